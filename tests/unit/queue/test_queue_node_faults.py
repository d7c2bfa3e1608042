"""A node that cannot be reached: its contacts are frozen in place. A node that was started again: they ended with it."""

from __future__ import annotations

import pytest

from services.queue.core import facts, inputs, outputs
from tests.unit.queue.rig import Rig


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.feed(inputs.LinkUp(at_us=rig.now_us, core_uuid="core-1"))
    rig.call("c1")
    rig.deliver()
    return rig


def lose(rig: Rig) -> None:
    """The connection goes; what FreeSWITCH does meanwhile is not heard of."""
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.sent.clear()
    rig.reports.clear()


def back(rig: Rig, core_uuid: str) -> None:
    rig.events.clear()
    rig.replies.clear()
    rig.feed(inputs.LinkUp(at_us=rig.now_us, core_uuid=core_uuid))


def gone(rig: Rig) -> list[tuple[str, str, str, bool]]:
    found = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    return [(f.contact_id, f.state, f.cause, f.unseen) for f in found]


def test_another_core_uuid_ends_every_call_with_the_cause_and_asks_nobody(rig: Rig) -> None:
    talking = rig.talk("c1", "o1", "sara")
    rig.call("c2")
    rig.call("c3")
    ringing = rig.offer("c3", "o3", "omid")
    rig.ring(ringing)
    rig.deliver()
    lose(rig)
    rig.legs.clear()
    rig.jobs.clear()
    back(rig, "core-2")
    assert sorted(gone(rig)) == [
        ("c1", "talking", "SWITCH_RESTARTED", True),
        ("c2", "waiting", "SWITCH_RESTARTED", True),
        ("c3", "offered", "SWITCH_RESTARTED", True),
    ]
    ended = [f for f in rig.facts(facts.ConversationEnded) if isinstance(f, facts.ConversationEnded)]
    assert [(f.contact_id, f.agent_id, f.ended_by, f.cause) for f in ended] == [
        ("c1", "sara", "system", "SWITCH_RESTARTED")
    ]
    assert rig.engine.calls() == []
    assert rig.engine.open_agent_legs() == 0
    assert rig.sent == [], "legs of a dead FreeSWITCH were asked for or killed"
    assert {talking, ringing}.isdisjoint(rig.legs)
    rig.call("c4")
    rig.advance(100)  # sara's phone may still see the end of its call
    leg = rig.talk("c4", "o4", "sara")
    assert rig.legs[leg].mode == "bridged"


def test_a_bridge_that_nobody_saw_is_frozen_and_ends_with_its_node(rig: Rig) -> None:
    """The connection goes between the command and CHANNEL_BRIDGE: nothing is given up, until the node is proved dead."""
    leg = rig.offer("c1")
    rig.answer(leg)
    while rig.events or rig.replies:  # up to the order to bridge, not to the bridge
        rig.feed_next(rig.events or rig.replies)
    assert rig.commands(outputs.Bridge)
    rig.bridges.clear()  # whatever came of it, its event is not heard
    lose(rig)
    rig.advance(60_000)
    assert rig.sent == []
    assert gone(rig) == []
    rig.legs.clear()
    back(rig, "core-2")
    assert gone(rig) == [("c1", "offered", "SWITCH_RESTARTED", True)]
    assert rig.engine.open_agent_legs() == 0


def test_the_same_core_uuid_ends_nothing(rig: Rig) -> None:
    leg = rig.talk("c1")
    lose(rig)
    rig.advance(60_000)
    back(rig, "core-1")
    rig.deliver()
    assert gone(rig) == []
    assert rig.state() == "talking"
    assert rig.legs[leg].mode == "bridged"


def test_a_core_uuid_that_could_not_be_read_proves_nothing(rig: Rig) -> None:
    lose(rig)
    back(rig, "")
    rig.deliver()
    assert gone(rig) == []
    lose(rig)
    back(rig, "core-2")  # and the one before is still known
    assert [g[2] for g in gone(rig)] == ["SWITCH_RESTARTED"]


def test_a_farewell_waits_for_the_connection(rig: Rig) -> None:
    """The agent has left, the caller is to be thanked: said into a dead connection it would be lost, and the caller parked for good."""
    leg = rig.talk("c1")
    rig.hang_up(leg)
    rig.deliver()
    lose(rig)
    rig.advance(60_000)
    assert rig.commands(outputs.Farewell) == []
    assert rig.state() == "leaving"
    back(rig, "core-1")
    rig.advance(2_000)
    assert len(rig.commands(outputs.Farewell)) == 1
    assert rig.legs["c1"].mode == "farewell"


def test_the_outage_limit_waits_for_the_connection(rig: Rig) -> None:
    """With the bus away and the node unreachable nobody is sent away in memory alone."""
    rig.feed(inputs.BusDown(at_us=rig.now_us))
    lose(rig)
    rig.advance(600_000)
    assert gone(rig) == []
    back(rig, "core-1")
    rig.advance(2_000)
    assert [g[:3] for g in gone(rig)] == [("c1", "waiting", "OUTAGE")]
    assert len(rig.commands(outputs.Farewell)) == 1


def test_a_call_in_wrap_up_is_let_go_when_the_connection_is_back(rig: Rig) -> None:
    leg = rig.talk("c1")
    rig.hang_up("c1")
    rig.deliver()
    lose(rig)
    rig.advance(120_000)
    assert rig.commands(outputs.Kill) == []
    back(rig, "core-1")
    rig.advance(2_000)
    rig.deliver()
    assert leg not in rig.legs


def test_a_dial_that_waits_for_the_former_leg_waits_for_the_connection_too(rig: Rig) -> None:
    first = rig.talk("c1", "o1", "sara")
    rig.call("c2")
    rig.hang_up("c1")
    rig.deliver()
    rig.hang_up(first)
    rig.deliver()  # the phone is still busy for 50 ms
    rig.offer("c2", "o2", "sara")
    lose(rig)
    rig.advance(5_000)
    assert rig.commands(outputs.Originate) == []
    back(rig, "core-1")
    rig.advance(1_100)
    assert [c.offer for c in rig.commands(outputs.Originate) if isinstance(c, outputs.Originate)] == ["o2"]
