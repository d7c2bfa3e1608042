"""Routing has an agent idle: nothing of a former conversation is left on the phone, for the next order may come on another node."""

from __future__ import annotations

import pytest

from services.common.bus import Envelope, codec, subjects
from services.contracts.peyvand.routing.v1 import log_pb2 as routing
from services.queue.adapters import log as routing_log
from services.queue.core import inputs
from tests.unit.queue.rig import Rig


def freed(rig: Rig, agent: str = "sara", *, tenant: str = "demo", age_ms: int = 0) -> None:
    rig.feed(inputs.AgentFreed(at_us=rig.now_us, tenant=tenant, agent_id=agent, age_ms=age_ms))
    rig.deliver()


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.call()
    return rig


def written_up(rig: Rig) -> str:
    """The caller has left and the agent's leg waits for a key; returns the leg."""
    leg = rig.talk()
    rig.advance(5_000)
    rig.hang_up("c1")
    rig.deliver()
    assert rig.legs[leg].mode == "parked"
    return leg


def test_the_leg_that_waits_for_a_key_goes(rig: Rig) -> None:
    leg = written_up(rig)
    freed(rig, "reza")
    freed(rig, tenant="another")
    assert leg in rig.legs
    freed(rig)
    assert leg not in rig.legs
    assert rig.engine.open_agent_legs() == 0


def test_so_does_one_that_a_new_owner_has_found(rig: Rig) -> None:
    leg = written_up(rig)
    rig.take_over()
    rig.deliver()
    assert leg in rig.legs
    freed(rig)
    assert leg not in rig.legs


def test_a_word_that_is_older_than_the_conversation_says_nothing_of_it(rig: Rig) -> None:
    leg = written_up(rig)
    freed(rig, age_ms=60_000)
    assert leg in rig.legs


def test_a_conversation_is_not_cut(rig: Rig) -> None:
    leg = rig.talk()
    rig.advance(5_000)
    freed(rig)
    assert rig.legs[leg].mode == "bridged"


def test_the_log_says_so_by_the_activity() -> None:
    def read(activity: str) -> list[inputs.Input]:
        changed = routing.AgentActivityChanged(agent_id="sara", activity=activity)
        entry = routing.Decided(
            epoch=1, owner="o", at_us=1_000_000, facts=[routing.Fact(agent_activity_changed=changed)]
        )
        name, data = codec.encode(subjects.log("demo"), entry)
        envelope = Envelope("1", name, 1_000_000, "routing", "demo", "", "", subjects.log("demo"), 7, data)
        return routing_log.inputs_of([envelope], "fs1", 3_000_000)

    assert read("idle") == [inputs.AgentFreed(at_us=3_000_000, tenant="demo", agent_id="sara", age_ms=2_000)]
    assert read("talking") == read("wrap_up") == []
