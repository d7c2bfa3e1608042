"""Offers to agents whose phones are registered with another FreeSWITCH node: how they are dialled, and what its end means."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.queue.adapters import switch
from services.queue.config import QueueSettings
from services.queue.core import facts, outputs
from services.queue.core import supervision_messages as sm
from tests.unit.queue.rig import Rig

DIALING = switch.Dialing(
    agent_dial="user/{extension}@{domain}",
    sip_domain="peyvand.local",
    transfer_dial="sofia/gateway/trunk/{number}",
    recordings_dir="/rec",
    nodes={"fs1": "10.0.0.1:5085", "fs2": "10.0.0.2:5085"},
)
ORDER = outputs.Originate(
    contact="c1", leg="leg-1", offer="o-1", agent="sara", extension="1001", tenant="demo", ring_ms=15_000,
    ani="0912", caller_name="Ali", phone_node="fs2",
)  # fmt: skip


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_leg_goes_through_the_node_that_has_the_phone() -> None:
    line = switch.originate_line(ORDER, "fs1", DIALING)
    assert line.endswith("}sofia/nodes/1001@10.0.0.2:5085 &park()")
    for pair in (
        "sip_h_X-CC-Leg=leg-1",
        "sip_h_X-CC-Offer=o-1",
        "sip_h_X-CC-Contact=c1",
        "sip_h_X-CC-Ring=17",
        "media_timeout=10000",
    ):
        assert pair in line
    assert "origination_uuid=leg-1" in line


@pytest.mark.parametrize(
    ("phone_node", "node"), [("fs2", "fs2"), ("", "fs1"), ("fs9", "fs1")], ids=["same", "unknown", "foreign"]
)
def test_a_phone_of_the_same_node_or_of_one_without_an_address_is_dialled_as_ever(
    phone_node: str, node: str
) -> None:
    order = outputs.Originate(
        contact="c1", leg="leg-1", offer="o-1", agent="sara", extension="1001", tenant="demo", ring_ms=15_000,
        ani="", caller_name="", phone_node=phone_node,
    )  # fmt: skip
    line = switch.originate_line(order, node, DIALING)
    assert line.endswith("}user/1001@peyvand.local &park()")
    assert "X-CC" not in line
    assert "media_timeout" not in line


def test_a_supervisors_leg_carries_no_offer_there_either() -> None:
    order = sm.CallSupervisor(
        contact="c1", leg="s-1", offer="s-1", agent="sup", extension="1048", tenant="demo", ring_ms=15_000,
        ani="", caller_name="", mode="listen", phone_node="fs2",
    )  # fmt: skip
    line = switch.originate_line(order, "fs1", DIALING)
    assert "sip_h_X-CC-Leg=s-1" in line
    assert "X-CC-Offer" not in line


@pytest.mark.parametrize("cause", ["NORMAL_TEMPORARY_FAILURE", "RECOVERY_ON_TIMER_EXPIRE"])
def test_the_failure_of_a_node_is_not_the_agents(rig: Rig, cause: str) -> None:
    rig.call("c1")
    for offer, node, outcome in (("o1", "fs1", "unreachable"), ("o2", "fs2", "failed")):
        leg = rig.offer("c1", offer, agent_node=node)
        rig.create(leg)
        rig.deliver()
        rig.fail(leg, cause)
        rig.deliver()
        said = rig.facts(facts.OfferFailed)[-1]
        assert isinstance(said, facts.OfferFailed)
        assert (said.offer_id, said.outcome, said.cause) == (offer, outcome, cause)
    assert rig.state() == "waiting"


def test_a_caller_whose_agents_node_dies_is_back_at_the_head_of_the_queue(rig: Rig) -> None:
    rig.call("c1")
    since_us = rig.facts(facts.ContactWaiting)[0].waiting_since_us  # type: ignore[union-attr]
    rig.advance(9_000)
    leg = rig.talk("c1", agent_node="fs2")
    rig.advance(20_000)
    rig.hang_up(leg, "MEDIA_TIMEOUT")
    rig.deliver()
    rig.advance(500)
    assert rig.state() == "waiting"
    assert rig.legs["c1"].mode == "music"
    again = rig.facts(facts.ContactWaiting)[-1]
    assert isinstance(again, facts.ContactWaiting)
    assert (again.waiting_since_us, again.recovered) == (since_us, True)
    ended = rig.facts(facts.ConversationEnded)
    assert [(e.ended_by, e.cause) for e in ended if isinstance(e, facts.ConversationEnded)] == [
        ("system", "MEDIA_TIMEOUT")
    ]
    rig.talk("c1", "o2", "reza")
    assert rig.state() == "talking"


def test_an_agent_of_another_node_who_puts_down_ends_the_call_as_ever(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1", agent_node="fs2")
    rig.hang_up(leg)
    rig.deliver()
    rig.advance(500)
    assert rig.state() == "leaving"
    assert rig.commands(outputs.Farewell)


def test_silence_of_a_phone_of_the_same_node_is_no_lost_node(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1", agent_node="fs1")
    rig.hang_up(leg, "MEDIA_TIMEOUT")
    rig.deliver()
    rig.advance(500)
    assert rig.state() == "leaving"


def test_a_new_owner_still_knows_that_the_leg_goes_through_another_node(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1", agent_node="fs2")
    rig.take_over()
    rig.advance(2_000)
    assert rig.state() == "talking"
    rig.hang_up(leg, "MEDIA_TIMEOUT")
    rig.deliver()
    rig.advance(500)
    assert rig.state() == "waiting"


def test_an_owner_that_dies_between_the_end_and_the_music_loses_nobody(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1", agent_node="fs2")
    rig.hang_up(leg, "MEDIA_TIMEOUT")
    rig.deliver()
    rig.take_over()
    rig.advance(3_000)
    assert rig.state() == "waiting"
    assert rig.legs["c1"].mode == "music"


def settings(nodes: str) -> QueueSettings:
    return QueueSettings(
        nats_url="nats://127.0.0.1:4222",
        auth_secret="s" * 40,
        centers=Path("deploy/centers"),
        switches="fs1=esl://:x@127.0.0.1:8021",
        queue_nodes=nodes,
    )


def test_the_addresses_of_nodes_are_a_setting() -> None:
    assert settings("fs1=10.0.0.1:5085, fs2=sip2.example:5085").sip_addresses() == {
        "fs1": "10.0.0.1:5085",
        "fs2": "sip2.example:5085",
    }
    assert settings("").sip_addresses() == {}


@pytest.mark.parametrize("nodes", ["fs1", "fs1=10.0.0.1", "FS=1:5", "fs1=a:1,fs1=b:2", "fs1=a b:5085"])
def test_wrong_addresses_of_nodes_are_refused(nodes: str) -> None:
    with pytest.raises(ValidationError):
        settings(nodes)
