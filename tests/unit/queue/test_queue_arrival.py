"""A caller whom ivr lets go: known at once, untouched until the dialplan has the leg."""

from __future__ import annotations

import pytest

from services.common.errors import ProtocolError
from services.common.esl import Event
from services.queue.adapters import switch
from services.queue.core import facts, inputs, legs, outputs
from tests.unit.queue.rig import START_US, Rig

CALLER = "6c0e2f3a-7f0d-4d3c-9c57-0a2b1c3d4e5f"


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_routing_hears_of_the_caller_at_once_and_once(rig: Rig) -> None:
    rig.hand_over("c1")
    assert len(rig.facts(facts.ContactWaiting)) == 1
    rig.advance(5)
    assert rig.legs["c1"].mode == "music"
    assert len(rig.facts(facts.ContactWaiting)) == 1


def test_an_agent_rings_before_the_dialplan_has_the_caller(rig: Rig) -> None:
    rig.hand_over("c1")
    leg = rig.offer("c1")
    assert [c.leg for c in rig.commands(outputs.Originate)] == [leg]


def test_another_music_and_the_welcome_wait_for_the_dialplan(rig: Rig) -> None:
    rig.hand_over("c1", cc_queue="support")
    rig.hand_over("c2")
    assert rig.commands(outputs.PlayMusic) == rig.commands(outputs.StartAnnouncement) == []
    rig.go_on("c1")
    rig.go_on("c2")
    rig.deliver()
    assert [c.contact for c in rig.commands(outputs.PlayMusic)] == ["c1"]
    assert rig.legs["c2"].playing == "/s/fa/queue-welcome.wav"


def test_an_agent_who_answers_first_is_bridged_when_the_dialplan_has_the_caller(rig: Rig) -> None:
    rig.hand_over("c1")
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    assert rig.commands(outputs.Bridge) == []
    rig.go_on("c1")
    rig.bridge()
    assert (rig.state(), rig.legs["c1"].partner) == ("talking", leg)
    assert rig.legs["c1"].vars["cc_state"] == "talking", "the dialplan's own came before"


def test_a_queue_that_is_left_at_once_is_left_by_the_dialplans_leg(rig: Rig) -> None:
    rig.hand_over("c1")
    rig.feed(inputs.ContactOverflowed(at_us=rig.now_us, contact_id="c1", action="hangup", target="sorry"))
    assert rig.commands(outputs.Farewell) == []
    rig.go_on("c1")
    rig.deliver()
    assert len(rig.commands(outputs.Farewell)) == 1


def test_a_caller_who_hangs_up_between_is_gone_and_the_agents_phone_stops(rig: Rig) -> None:
    rig.hand_over("c1")
    leg = rig.offer("c1")
    rig.create(leg)
    rig.deliver()
    rig.hang_up("c1")
    rig.settle()
    assert len(rig.facts(facts.ContactGone)) == 1
    assert rig.legs == {}
    rig.feed(inputs.LegHandedOver(at_us=rig.now_us, caller=legs.CallerLeg(leg="c1", queue="sales")))
    assert rig.engine.calls() == [], "a word that comes after the end means nothing"


def test_an_ivr_that_freezes_in_the_act_holds_nothing_up_for_long(rig: Rig) -> None:
    rig.hand_over("c1")
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.legs["c1"].mode = "music"  # The leg lets itself be taken; only the dialplan's word never comes.
    rig.advance_unanswered(1_000)
    rig.bridge()
    assert rig.state() == "talking"


@pytest.mark.parametrize("goes_on_first", [False, True])
def test_an_owner_who_is_killed_between_leaves_a_call_that_the_next_one_serves(
    rig: Rig, goes_on_first: bool
) -> None:
    """cc_waiting_ms on the leg says that routing knows the caller; the phone that rings goes on ringing."""
    rig.hand_over("c1")
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.deliver()
    since = rig.legs["c1"].vars["cc_waiting_ms"]
    if goes_on_first:
        rig.go_on("c1")
    rig.take_over()
    rig.deliver()
    assert leg in rig.legs
    rig.go_on("c1")
    rig.answer(leg)
    rig.advance(1_000)  # Nobody hears of the originate's end any more.
    assert rig.state() == "talking"
    assert rig.legs["c1"].vars["cc_waiting_ms"] == since


def test_a_connection_that_breaks_between_leads_to_a_look_at_the_leg(rig: Rig) -> None:
    rig.hand_over("c1")
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.legs["c1"].vars["cc_state"], rig.legs["c1"].mode = "waiting", "music"  # Its event went unheard.
    rig.settle()
    assert rig.state() == "waiting"
    leg = rig.offer("c1")
    assert [c.leg for c in rig.commands(outputs.Originate)] == [leg]


def test_the_event_is_read_as_the_dialplans_own_would_be() -> None:
    told = {
        "Event-Name": "CUSTOM",
        "Event-Subclass": switch.HANDED_OVER,
        "Leg": CALLER,
        "variable_cc_queue": "sales",
        "variable_cc_entry": "1000",
        "Caller-Caller-ID-Number": "0912",
        "Answer-State": "answered",
    }
    given = switch.to_input(Event.of(told), START_US)
    assert isinstance(given, inputs.LegHandedOver)
    assert (given.caller.leg, given.caller.queue, given.caller.ani) == (CALLER, "sales", "0912")
    with pytest.raises(ProtocolError, match="no UUID"):
        switch.to_input(Event.of({**told, "Leg": "uuid; rm"}), START_US)
