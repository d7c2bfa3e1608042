"""A caller's way through the queue: what is sent to FreeSWITCH, in which order, and what is reported."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.queue.core import facts, inputs, outputs
from services.queue.core.causes import cause_of, outcome_of
from services.queue.core.conversation import day_of
from tests.unit.queue.rig import START_US, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def names(commands: list[outputs.Command]) -> list[str]:
    return [type(c).__name__ for c in commands]


def test_a_parked_leg_is_adopted_welcomed_and_reported(rig: Rig) -> None:
    rig.call("c1", cc_queue="sales")
    assert names(rig.sent) == ["SetVars", "StartAnnouncement"]
    marks = dict(rig.commands(outputs.SetVars)[0].values)
    assert marks["cc_waiting_ms"] == str(START_US // 1000)
    assert marks["presence_data"] == "c/demo/c1"
    waiting, played = rig.facts()
    assert isinstance(waiting, facts.ContactWaiting)
    assert (waiting.queue, waiting.waiting_since_us, waiting.recovered) == ("sales", START_US, False)
    assert isinstance(played, facts.TreatmentPlayed)
    assert rig.reports[0].fact_id == "c1:waiting:0"


def test_a_leg_that_ivr_left_without_a_queue_gets_the_entry_points_fallback(rig: Rig) -> None:
    rig.call("c1", cc_queue="", cc_tenant="")
    assert rig.engine.calls()[0].queue == "support"
    assert rig.engine.calls()[0].tenant == "demo"


def test_a_queue_with_music_of_its_own_plays_it(rig: Rig) -> None:
    rig.call("c1", cc_queue="support")
    assert [c.music for c in rig.commands(outputs.PlayMusic) if isinstance(c, outputs.PlayMusic)] == [
        "local_stream://jazz"
    ]


def test_the_place_is_spoken_when_it_is_known_and_nothing_else_plays(rig: Rig) -> None:
    rig.call("c1")
    rig.feed(inputs.AnnouncementEnded(at_us=rig.now_us, leg="c1", file="/s/fa/queue-welcome.wav"))
    rig.advance(30_000)
    assert [q.contact for q in rig.asked] == ["c1"]
    rig.feed(inputs.PositionKnown(at_us=rig.now_us, contact="c1", position=3, file="file_string:///s/3.wav"))
    assert rig.legs["c1"].playing == "file_string:///s/3.wav"
    assert [f.position for f in rig.facts(facts.TreatmentPlayed) if isinstance(f, facts.TreatmentPlayed)] == [
        0,
        3,
    ]
    rig.feed(inputs.PositionKnown(at_us=rig.now_us, contact="c1", position=0, file=""))
    assert rig.legs["c1"].playing == "file_string:///s/3.wav"


def test_an_offer_becomes_a_conversation_in_the_tried_order(rig: Rig) -> None:
    rig.call("c1")
    rig.sent.clear()
    leg = rig.talk("c1")
    assert names(rig.sent) == [
        "Originate", "StopAnnouncement", "SetVars", "Bridge", "Record", "SetVars", "SetVars",
    ]  # fmt: skip
    before = dict(rig.commands(outputs.SetVars)[0].values)
    assert before["park_after_bridge"] == before["uuid_bridge_park_on_cancel"] == "true"
    assert before["RECORD_STEREO"] == "true", "read when the recording starts"
    assert before["cc_state"] == "talking"
    assert before["socket_resume"] == "false"  # ivr may still hold the leg's socket
    bridge = rig.commands(outputs.Bridge)[0]
    assert isinstance(bridge, outputs.Bridge)
    assert (bridge.leg, bridge.caller_leg) == (leg, "c1")
    assert rig.state() == "talking"
    talk = rig.facts(facts.AgentBridged)[0]
    assert isinstance(talk, facts.AgentBridged)
    assert talk.recording_path == f"demo/{datetime.fromtimestamp(START_US / 1e6, UTC):%Y/%m/%d}/c1.wav"
    assert [type(f).__name__ for f in rig.facts()][-3:] == ["OfferRinging", "OfferAnswered", "AgentBridged"]


def test_a_redelivered_order_rings_once(rig: Rig) -> None:
    rig.call("c1")
    rig.offer("c1", "o1")
    rig.offer("c1", "o1")
    assert len(rig.dialled) == 1
    rig.fail("leg-o1", "USER_BUSY")
    rig.deliver()
    rig.offer("c1", "o1")
    assert len(rig.dialled) == 1


def test_an_old_order_is_ignored(rig: Rig) -> None:
    rig.call("c1")
    order = inputs.OfferMade(
        at_us=rig.now_us, tenant="demo", offer_id="o1", contact_id="c1", agent_id="sara", extension="1001",
        queue="sales", leg="leg-o1", ring_ms=15_000, age_ms=60_000,
    )  # fmt: skip
    rig.feed(order)
    assert rig.dialled == []
    assert rig.facts(facts.OfferFailed) == []


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("NO_ANSWER", "no_answer"),
        ("USER_BUSY", "busy"),
        ("CALL_REJECTED", "declined"),
        ("SUBSCRIBER_ABSENT", "unreachable"),
        ("NORMAL_TEMPORARY_FAILURE", "unreachable"),
        ("EXCHANGE_ROUTING_ERROR", "failed"),
    ],
)
@pytest.mark.parametrize("has_channel", [True, False])
def test_a_failed_offer_is_reported_once_and_the_caller_keeps_waiting(
    rig: Rig, cause: str, outcome: str, has_channel: bool
) -> None:
    rig.call("c1")
    leg = rig.offer("c1")
    if has_channel:
        rig.ring(leg)
    rig.fail(leg, cause)
    rig.deliver()
    failed = rig.facts(facts.OfferFailed)
    assert [(f.outcome, f.cause) for f in failed if isinstance(f, facts.OfferFailed)] == [(outcome, cause)]
    assert rig.state() == "waiting"
    assert rig.engine.open_agent_legs() == 0
    assert rig.legs["c1"].mode == "music"
    assert rig.offer("c1", "o2") == "leg-o2"
    assert len(rig.dialled) == 2


def test_the_agent_leaves_first_and_the_caller_is_thanked(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1")
    rig.advance(5_000)
    rig.hang_up(leg)
    rig.advance(300)
    assert rig.legs["c1"].mode == "farewell"
    assert [c.file for c in rig.commands(outputs.Farewell) if isinstance(c, outputs.Farewell)] == [
        "/s/fa/goodbye.wav"
    ]
    rig.settle()
    ended, gone = rig.facts()[-2:]
    assert isinstance(ended, facts.ConversationEnded)
    assert isinstance(gone, facts.ContactGone)
    assert (ended.ended_by, ended.talk_ms, gone.state) == ("agent", 5_000, "after")


def test_the_caller_leaves_first_and_the_agent_keys_a_disposition(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1")
    rig.advance(3_000)
    rig.hang_up("c1")
    rig.advance(200)
    assert [c.file for c in rig.commands(outputs.PlayTo) if isinstance(c, outputs.PlayTo)] == [
        "/s/fa/disposition.wav"
    ]
    rig.press(leg, "7")
    assert leg in rig.legs
    rig.press(leg, "2")
    assert leg not in rig.legs
    keyed = rig.facts(facts.DispositionKeyed)
    assert [f.code for f in keyed if isinstance(f, facts.DispositionKeyed)] == ["2"]
    assert [type(f).__name__ for f in rig.facts()][-3:] == [
        "ConversationEnded",
        "ContactGone",
        "DispositionKeyed",
    ]


def test_the_agents_leg_is_let_go_when_the_wrap_up_time_is_over_or_the_agent_is_free(rig: Rig) -> None:
    rig.call("c1")
    first = rig.talk("c1")
    rig.hang_up("c1")
    rig.advance(20_500)
    assert first not in rig.legs
    rig.call("c2")
    second = rig.talk("c2", "o2")
    rig.hang_up("c2")
    rig.advance(1_000)
    rig.feed(inputs.WrapUpEnded(at_us=rig.now_us, agent_id="sara", contact_id="c2"))
    assert second not in rig.legs
    assert rig.facts(facts.DispositionKeyed) == []


def test_a_new_offer_ends_what_is_left_of_the_agents_last_call(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1")
    rig.hang_up("c1")
    rig.advance(1_000)
    rig.call("c2")
    rig.offer("c2", "o2", "sara")
    assert leg not in rig.legs


def test_an_agent_is_not_rung_before_the_former_leg_is_gone(rig: Rig) -> None:
    """The key that ends a wrap-up brings the next order within milliseconds; the phone would be busy."""
    rig.call("c1")
    rig.talk("c1")
    rig.hang_up("c1")
    rig.advance(1_000)
    rig.call("c2")
    rig.offer("c2", "o2", "sara")
    assert [order.offer for order in rig.dialled] == ["o1"]
    rig.deliver()
    assert [order.offer for order in rig.dialled] == ["o1"], (
        "the hangup is known before the phone has its BYE"
    )
    rig.advance(50)
    assert [order.offer for order in rig.dialled] == ["o1", "o2"]


def test_an_order_right_after_the_hangup_waits_for_the_bye_too(rig: Rig) -> None:
    rig.call("c1")
    leg = rig.talk("c1")
    rig.hang_up("c1")
    rig.advance(1_000)
    rig.call("c2")
    rig.hang_up(leg)
    rig.deliver()
    rig.offer("c2", "o2", "sara")
    assert [order.offer for order in rig.dialled] == ["o1"]
    rig.advance(50)
    assert [order.offer for order in rig.dialled] == ["o1", "o2"]
    rig.create("leg-o2")
    rig.deliver()
    assert "leg-o2" in rig.legs


def test_an_order_ends_what_the_agent_is_told_about_the_former_caller(rig: Rig) -> None:
    """The prompt takes two seconds, and routing takes the agent for free at once: the phone would answer busy."""
    rig.call("c1")
    leg = rig.offer("c1", "o1", "sara")
    rig.answer(leg)
    rig.hang_up("c1")
    rig.take_over()
    rig.deliver()
    assert rig.legs[leg].mode == "farewell"
    rig.call("c2")
    rig.offer("c2", "o2", "sara")
    rig.advance(900)
    assert [order.offer for order in rig.dialled] == ["o1"]
    assert leg in rig.legs
    rig.advance(200)
    assert leg not in rig.legs
    rig.advance(60)
    assert [order.offer for order in rig.dialled] == ["o1", "o2"]


def test_an_order_does_not_wait_for_ever_for_a_former_leg(rig: Rig) -> None:
    rig.call("c1")
    rig.talk("c1")
    rig.hang_up("c1")
    rig.deliver()
    rig.call("c2")
    rig.offer("c2", "o2", "sara")
    rig.events.clear()  # The end of the former leg is not seen.
    rig.replies.clear()
    assert len(rig.dialled) == 1
    while len(rig.dialled) == 1:
        rig.fire_next()
    assert rig.now_us - START_US <= 1_500_000


def test_an_order_that_waits_for_a_former_leg_can_be_withdrawn(rig: Rig) -> None:
    rig.call("c1")
    rig.talk("c1")
    rig.hang_up("c1")
    rig.deliver()
    rig.call("c2")
    rig.offer("c2", "o2", "sara")
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o2", contact_id="c2", outcome="withdrawn"))
    rig.settle()
    assert [order.offer for order in rig.dialled] == ["o1"]
    assert rig.state("c2") == "waiting"


def test_without_keys_the_agents_leg_ends_with_the_call(rig: Rig) -> None:
    rig.call("c1", cc_queue="support")
    leg = rig.talk("c1")
    rig.hang_up("c1")
    rig.deliver()
    assert leg not in rig.legs
    assert rig.engine.open_agent_legs() == 0


def test_overflow_to_another_queue_changes_music_and_keeps_the_place(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(10_000)
    rig.feed(inputs.ContactOverflowed(at_us=rig.now_us, contact_id="c1", action="queue", target="support"))
    call = rig.engine.calls()[0]
    assert (call.queue, call.waiting_since_us) == ("support", START_US)
    assert rig.commands(outputs.PlayMusic)
    assert len(rig.facts(facts.ContactWaiting)) == 1


def test_what_a_flow_said_of_one_agent_holds_for_the_queue_it_handed_over_to(rig: Rig) -> None:
    rig.call("c1", cc_queue="sales", cc_preferred_agent="sara", cc_no_answer="queue:support")
    (told,) = rig.facts(facts.ContactWaiting)
    assert (told.preferred_agent, told.no_answer) == ("sara", "queue:support")
    rig.feed(inputs.ContactOverflowed(at_us=rig.now_us, contact_id="c1", action="queue", target="support"))
    assert rig.legs["c1"].vars.get("cc_no_answer", "") == "", "the next owner reads it from the leg"
    rig.feed(inputs.ContactClosed(at_us=rig.now_us, contact_id="c1", outcome="abandoned"))
    again = rig.facts(facts.ContactWaiting)[-1]
    assert (again.queue, again.no_answer) == ("support", "")


@pytest.mark.parametrize(
    ("action", "target", "mode"), [("hangup", "sorry", "farewell"), ("transfer", "+98211", "out")]
)
def test_overflow_out_of_the_center_ends_a_ringing_offer(
    rig: Rig, action: str, target: str, mode: str
) -> None:
    rig.call("c1")
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.deliver()
    rig.feed(inputs.ContactOverflowed(at_us=rig.now_us, contact_id="c1", action=action, target=target))
    rig.deliver()
    assert leg not in rig.legs
    assert rig.legs["c1"].mode == mode
    assert rig.legs["c1"].vars["cc_state"] in ("leaving", "transferred")
    assert rig.facts(facts.OfferFailed) == []


def test_a_contact_closed_in_error_is_announced_again_but_not_for_ever(rig: Rig) -> None:
    rig.call("c1")
    for _ in range(4):
        rig.feed(inputs.ContactClosed(at_us=rig.now_us, contact_id="c1", outcome="ended_unseen"))
    ids = [r.fact_id for r in rig.reports if isinstance(r.fact, facts.ContactWaiting)]
    assert ids == ["c1:waiting:0", "c1:waiting:again-1", "c1:waiting:again-2", "c1:waiting:again-3"]
    assert rig.legs["c1"].mode == "farewell"


def test_an_outage_sends_nobody_away_before_its_time(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(50_000)
    rig.feed(inputs.BusDown(at_us=rig.now_us))
    rig.advance(14_000)
    assert rig.legs["c1"].mode == "music"
    rig.feed(inputs.BusUp(at_us=rig.now_us))
    rig.advance(120_000)
    assert rig.legs["c1"].mode == "music"


def test_a_long_outage_plays_the_centers_message(rig: Rig) -> None:
    rig.call("c1")
    rig.feed(inputs.BusDown(at_us=rig.now_us))
    rig.advance(60_000)
    away = rig.commands(outputs.Farewell)
    assert [c.file for c in away if isinstance(c, outputs.Farewell)] == ["/s/fa/outage.wav"]
    gone = rig.facts(facts.ContactGone)
    assert [f.cause for f in gone if isinstance(f, facts.ContactGone)] == ["OUTAGE"]
    rig.settle()
    assert len(rig.facts(facts.ContactGone)) == 1


def test_a_supervisors_hangup_is_reported_as_the_systems(rig: Rig) -> None:
    rig.call("c1")
    rig.talk("c1")
    rig.feed(inputs.HangUpWished(at_us=rig.now_us, contact="c1"))
    rig.deliver()
    ended = rig.facts(facts.ConversationEnded)
    assert [f.ended_by for f in ended if isinstance(f, facts.ConversationEnded)] == ["system"]


def test_one_line_for_each_leg(rig: Rig) -> None:
    rig.call("c1")
    rig.talk("c1")
    rig.hang_up("c1")
    rig.settle()
    assert sorted(line.event for line in rig.lines) == ["agent_leg_over", "caller_leg_over"]


def test_days_are_those_of_the_calendar() -> None:
    for day in ("1970-01-01", "2000-02-29", "2026-11-21", "2100-03-01", "2027-12-31"):
        at = datetime.fromisoformat(f"{day}T23:59:59+00:00")
        assert day_of(int(at.timestamp()) * 1_000_000) == day.replace("-", "/")


def test_causes_are_read_from_jobs() -> None:
    assert cause_of("-ERR USER_BUSY\n") == "USER_BUSY"
    assert cause_of("+OK 1234") == ""
    assert outcome_of("") == "failed"


@pytest.mark.parametrize("taken_over", [False, True])
def test_a_key_that_is_no_result_of_the_queue_is_not_an_answer(taken_over: bool) -> None:
    """It would end the agent's leg here, and routing would not take it."""
    rig = Rig()
    rig.call("c1", cc_queue="listed")
    leg = rig.talk()
    rig.hang_up("c1")
    rig.deliver()
    if taken_over:
        rig.take_over()
        rig.deliver()
    rig.press(leg, "1")
    assert leg in rig.legs
    assert rig.facts(facts.DispositionKeyed) == []
    rig.press(leg, "2")
    assert [f.code for f in rig.facts(facts.DispositionKeyed) if isinstance(f, facts.DispositionKeyed)] == [
        "2"
    ]
    assert leg not in rig.legs
