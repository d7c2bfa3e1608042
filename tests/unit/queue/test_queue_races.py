"""The races that were seen on the real switch, each by name."""

from __future__ import annotations

import pytest

from services.queue.core import facts, inputs, legs, outputs
from services.queue.core.takeover import EARLIER_OWNER_MS
from tests.unit.queue.rig import PLANS, Leg, Rig


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.call("c1")
    return rig


def test_caller_hangs_up_before_freeswitch_has_the_agents_channel(rig: Rig) -> None:
    """A kill misses when it overtakes the originate (2 of 30): it is repeated when the channel appears."""
    leg = rig.offer("c1")
    rig.hang_up("c1")
    rig.deliver()
    assert isinstance(rig.sent[-1], outputs.Kill)
    assert rig.engine.open_agent_legs() == 1
    rig.create(leg)
    rig.deliver()
    assert leg not in rig.legs
    assert rig.engine.open_agent_legs() == 0
    gone = rig.facts(facts.ContactGone)
    assert [f.state for f in gone if isinstance(f, facts.ContactGone)] == ["offered"]
    assert rig.facts(facts.OfferFailed) == []


def test_the_kill_is_repeated_by_time_when_no_event_comes(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.hang_up("c1")
    rig.deliver()
    rig.advance(700)
    assert len(rig.commands(outputs.Kill)) >= 3
    rig.fail(leg, "ORIGINATOR_CANCEL")
    rig.deliver()
    assert rig.engine.open_agent_legs() == 0


def test_agent_answers_a_cancelled_offer(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.deliver()
    rig.hang_up("c1")
    rig.answer(leg)
    rig.deliver()
    rig.settle()
    assert leg not in rig.legs
    assert rig.commands(outputs.Bridge) == []


def test_an_offer_is_over_only_with_its_job(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.create(leg)
    rig.deliver()
    rig.hang_up("c1")
    rig.feed_next(rig.events)
    assert leg not in rig.legs
    while rig.events:
        rig.feed_next(rig.events)
    assert rig.engine.open_agent_legs() == 1
    rig.deliver()
    assert rig.engine.open_agent_legs() == 0


def test_caller_hangs_up_while_the_bridge_is_made(rig: Rig) -> None:
    """The agent's leg must be killed by us: FreeSWITCH leaves it connected and silent."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.hang_up("c1")
    rig.complete_bridges()
    assert rig.legs[leg].mode == "stuck"
    rig.settle()
    assert leg not in rig.legs
    assert rig.facts(facts.AgentBridged) == []


def test_agent_hangs_up_while_the_bridge_is_made(rig: Rig) -> None:
    """The caller is never lost with the agent first, only silent: back to music, the offer counts as declined."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.hang_up(leg)
    rig.complete_bridges()
    assert rig.legs["c1"].mode == "stuck"
    rig.deliver()
    assert rig.legs["c1"].mode == "music"
    assert rig.legs["c1"].vars["cc_state"] == "waiting"
    assert rig.state() == "waiting"
    failed = rig.facts(facts.OfferFailed)
    assert [f.outcome for f in failed if isinstance(f, facts.OfferFailed)] == ["declined"]


def test_the_bridge_waits_for_the_end_of_originate(rig: Rig) -> None:
    """Before it, the real switch hung up the waiting caller: DESTINATION_OUT_OF_ORDER."""
    leg = rig.offer("c1")
    rig.answer(leg)
    while rig.events:
        rig.feed_next(rig.events)
    assert rig.commands(outputs.Bridge) == []
    rig.deliver()
    assert len(rig.commands(outputs.Bridge)) == 1
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"


@pytest.mark.parametrize("known", [True, False])
def test_an_answered_agent_is_bridged_though_the_end_of_originate_is_not_heard(rig: Rig, known: bool) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    lost = rig.replies.pop()
    rig.deliver()
    if not known:
        assert isinstance(lost, inputs.JobEnded)
        rig.feed(inputs.JobEnded(at_us=rig.now_us, offer=lost.offer, ok=False, text="", known=False))
        rig.deliver()
    assert rig.commands(outputs.Bridge) == []
    rig.advance(2_100)
    assert rig.state() == "talking"
    assert len(rig.commands(outputs.Bridge)) == 1


def test_the_bridge_never_comes(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.bridges.clear()
    rig.legs["c1"].mode = "stuck"
    rig.advance(1_900)
    assert leg in rig.legs
    rig.advance(200)
    assert leg not in rig.legs
    assert rig.legs["c1"].mode == "music"
    failed = rig.facts(facts.OfferFailed)
    assert [(f.outcome, f.cause) for f in failed if isinstance(f, facts.OfferFailed)] == [
        ("failed", "NO_BRIDGE")
    ]


def test_a_look_that_is_not_answered_takes_no_bridge_apart(rig: Rig) -> None:
    """An overloaded switch answers late, and bridges as late: 3.4 s were seen."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    slow = rig.bridges.pop()
    rig.advance_unanswered(3_400)
    assert len(rig.commands(outputs.Probe)) == 2
    rig.feed(inputs.LegBridged(at_us=rig.now_us, leg=slow[0], partner="c1"))
    assert rig.state() == "talking"
    assert rig.facts(facts.OfferFailed) == []


def test_a_bridge_is_given_up_though_no_look_is_answered(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.bridges.clear()
    rig.advance_unanswered(9_900)
    assert rig.state() != "waiting"
    rig.advance_unanswered(200)
    assert rig.state() == "waiting"


def test_the_bridge_comes_after_it_was_given_up(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    slow = rig.bridges.pop()
    rig.advance(2_000)
    second = rig.offer("c1", "o2", "reza")
    rig.feed(inputs.LegBridged(at_us=rig.now_us, leg=slow[0], partner="c1"))
    rig.deliver()
    assert rig.legs["c1"].mode == "music"
    assert leg not in rig.legs
    rig.answer(second)
    rig.deliver()
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"


def test_a_slow_bridge_is_not_taken_apart(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    slow = rig.bridges.pop()
    rig.advance(900)
    rig.bridges.append(slow)
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"
    assert rig.facts(facts.OfferFailed) == []


def test_a_leg_that_died_without_an_event_is_found_at_the_first_look(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.bridges.clear()
    del rig.legs[leg]
    rig.legs["c1"].mode = "stuck"
    rig.advance(600)
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")


def test_uuid_bridge_is_refused(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    del rig.legs[leg]
    rig.deliver()
    rig.settle()
    assert rig.state() == "waiting"
    assert rig.legs["c1"].mode == "music"
    assert rig.engine.open_agent_legs() == 0


def test_the_job_overtakes_the_answer(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    while rig.replies:
        rig.feed_next(rig.replies)
    rig.deliver()
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"
    assert len(rig.commands(outputs.Bridge)) == 1


def test_an_order_for_a_caller_who_has_gone(rig: Rig) -> None:
    rig.hang_up("c1")
    rig.deliver()
    rig.offer("c1")
    rig.settle()
    assert rig.dialled == []
    gone = {r.fact_id for r in rig.reports if isinstance(r.fact, facts.ContactGone)}
    assert gone == {"c1:gone:0"}


def test_routing_withdraws_a_ringing_offer(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.deliver()
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="expired"))
    rig.deliver()
    assert leg not in rig.legs
    assert rig.facts(facts.OfferFailed) == []
    assert rig.offer("c1", "o2") == "leg-o2"
    assert len(rig.dialled) == 2


def test_routing_withdraws_while_the_bridge_is_made(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="expired"))
    rig.settle()
    assert leg not in rig.legs
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")


def test_routing_has_given_the_contact_to_somebody_else_before_it_heard_of_the_bridge(rig: Rig) -> None:
    leg = rig.talk("c1")
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="withdrawn"))
    rig.offer("c1", "o2", "reza")
    rig.deliver()
    assert leg not in rig.legs
    assert rig.dialled[-1].offer == "o2"
    assert [r.fact_id for r in rig.reports if isinstance(r.fact, facts.ContactWaiting)] == [
        "c1:waiting:0",
        "c1:waiting:o1",
    ]


def test_an_offer_that_expired_while_nobody_owned_the_node_cuts_no_conversation(rig: Rig) -> None:
    """The phone was answered in the dark. The new owner joins the two, and reads only then that routing had given up waiting."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.take_over()
    rig.advance(3_000)
    assert rig.legs["c1"].partner == leg
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="expired"))
    rig.offer("c1", "o2", "reza")
    rig.deliver()
    assert (rig.state(), rig.legs["c1"].partner) == ("talking", leg)
    assert [(f.offer_id, f.outcome) for f in rig.facts(facts.OfferFailed)] == [("o2", "withdrawn")]


def test_somebody_else_takes_the_pair_apart(rig: Rig) -> None:
    leg = rig.talk("c1")
    for each in (leg, "c1"):
        rig.legs[each].mode, rig.legs[each].partner = "parked", ""
    rig.feed(inputs.LegUnbridged(at_us=rig.now_us, leg=leg, partner="c1"))
    rig.advance(600)
    assert leg not in rig.legs
    assert rig.legs["c1"].mode == "farewell"
    ended = rig.facts(facts.ConversationEnded)
    assert [f.ended_by for f in ended if isinstance(f, facts.ConversationEnded)] == ["system"]


# --- a new owner -----------------------------------------------------------------------------------------------------


def test_takeover_keeps_the_place_of_a_waiting_caller(rig: Rig) -> None:
    rig.advance(40_000)
    rig.take_over()
    rig.deliver()
    again = rig.facts(facts.ContactWaiting)[-1]
    assert isinstance(again, facts.ContactWaiting)
    first = rig.facts(facts.ContactWaiting)[0]
    assert isinstance(first, facts.ContactWaiting)
    assert again.waiting_since_us == first.waiting_since_us
    assert again.recovered
    assert len(rig.commands(outputs.StartAnnouncement)) == 1  # No second welcome.


def test_takeover_joins_a_talking_pair_under_the_same_id(rig: Rig) -> None:
    leg = rig.talk("c1")
    rig.advance(2_000)
    rig.take_over()
    rig.deliver()
    bridged = [r for r in rig.reports if isinstance(r.fact, facts.AgentBridged)]
    assert len({r.fact_id for r in bridged}) == 1
    assert len(bridged) == 2
    rig.hang_up(leg)
    rig.settle()
    ended = rig.facts(facts.ConversationEnded)
    assert [f.talk_ms for f in ended if isinstance(f, facts.ConversationEnded)] == [2_000]


def test_takeover_bridges_an_answered_leg(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.take_over()
    rig.deliver()
    assert rig.commands(outputs.Bridge) == [], "nobody here hears of the originate: it may still have the leg"
    rig.advance(600)
    assert rig.state() == "talking"


def test_takeover_in_the_middle_of_a_bridge_waits_and_joins(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.take_over()
    rig.deliver()
    assert rig.state() == "waiting"
    rig.complete_bridges()
    rig.deliver()
    rig.advance(1_100)
    assert rig.state() == "talking"
    assert rig.legs[leg].partner == "c1"


def test_takeover_rescues_a_caller_stuck_in_a_bridge(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.hang_up(leg)
    rig.complete_bridges()
    rig.take_over()
    rig.deliver()
    assert rig.legs["c1"].mode == "stuck"
    rig.advance(1_100)
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")


def test_takeover_after_a_conversation_of_which_nobody_saw_anything(rig: Rig) -> None:
    """The process ended between uuid_bridge and CHANNEL_BRIDGE, the agent put down meanwhile: they talked all the same."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    rig.complete_bridges()
    rig.events.clear()
    bridged_at_us = rig.now_us
    rig.now_us += 2_000_000
    rig.hang_up(leg)
    rig.take_over()
    rig.deliver()
    rig.advance(1_100)
    assert rig.legs["c1"].mode == "farewell"
    told = [f for f in rig.facts() if isinstance(f, facts.AgentBridged | facts.ConversationEnded)]
    assert [(type(f).__name__, f.offer_id, f.agent_id) for f in told] == [
        ("AgentBridged", "o1", "sara"),
        ("ConversationEnded", "o1", "sara"),
    ]
    assert told[0].at_us == bridged_at_us
    assert isinstance(told[0], facts.AgentBridged)
    assert (told[0].agent_leg_id, told[0].recording_path) == (leg, "")


def test_takeover_takes_no_former_conversation_for_this_one(rig: Rig) -> None:
    """Back in the queue after one agent, the next one's bridge did not come about: the caller waits on."""
    rig.talk("c1", "o1")
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="withdrawn"))
    rig.settle()
    leg = rig.offer("c1", "o2", "reza")
    rig.answer(leg)
    rig.deliver()
    rig.hang_up(leg)
    rig.complete_bridges()
    rig.take_over()
    rig.deliver()
    rig.advance(1_100)
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")


def test_takeover_after_the_agent_has_left_unseen(rig: Rig) -> None:
    leg = rig.talk("c1")
    rig.hang_up(leg)
    rig.take_over()
    rig.deliver()
    rig.advance(1_100)
    assert rig.legs["c1"].mode == "farewell"
    ended = rig.facts(facts.ConversationEnded)
    assert [(f.ended_by, f.cause) for f in ended if isinstance(f, facts.ConversationEnded)] == [
        ("agent", "UNSEEN")
    ]


def test_takeover_with_an_agent_whose_caller_has_left(rig: Rig) -> None:
    """Before a bridge the agent is told so and freed; after a conversation the disposition is asked for."""
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.hang_up("c1")
    rig.take_over()
    rig.deliver()
    assert [c.file for c in rig.commands(outputs.Farewell) if isinstance(c, outputs.Farewell)] == [
        "/s/fa/caller-left.wav"
    ]
    rig.settle()
    assert leg not in rig.legs

    rig.call("c2")
    leg = rig.talk("c2", "o2")
    rig.hang_up("c2")
    rig.take_over()
    rig.advance(100)
    rig.press(leg, "1")
    keyed = rig.facts(facts.DispositionKeyed)
    assert [f.contact_id for f in keyed if isinstance(f, facts.DispositionKeyed)] == ["c2"]


def test_takeover_finds_contacts_that_ended_while_nobody_looked(rig: Rig) -> None:
    rig.talk("c1")
    rig.call("c2")
    rig.legs.clear()
    rig.take_over(
        (
            legs.OpenContact(
                contact="c1", tenant="demo", queue="sales", waiting_since_us=rig.now_us, offer="o1", agent="sara",
                connected_at_us=rig.now_us,
            ),
            legs.OpenContact(contact="c2", tenant="demo", queue="sales", waiting_since_us=rig.now_us),
        )
    )  # fmt: skip
    rig.settle()
    gone = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    assert {(f.contact_id, f.unseen) for f in gone} == {("c1", True), ("c2", True)}
    ended = [f for f in rig.facts(facts.ConversationEnded) if isinstance(f, facts.ConversationEnded)]
    assert [f.contact_id for f in ended] == ["c1"]


def test_takeover_tells_of_a_caller_who_hung_up_before_the_leg_was_read(rig: Rig) -> None:
    """Subscribed already, and then the details came to a leg that was gone: only routing knows whose it was."""
    rig.talk("c1")
    bridged_at_us = rig.now_us
    rig.call("c2")
    rig.take_over()
    rig.hang_up("c1")
    rig.hang_up("c2", "ORIGINATOR_CANCEL")
    rig.deliver()  # The ends come first, the listing names both still.
    rig.advance(200)
    assert rig.facts(facts.ContactGone) == []
    known = legs.OpenContact(
        contact="c1", tenant="demo", queue="sales", waiting_since_us=bridged_at_us, offer="o1", agent="sara",
        connected_at_us=bridged_at_us,
    )  # fmt: skip
    waiting = legs.OpenContact(contact="c2", tenant="demo", queue="sales", waiting_since_us=bridged_at_us)
    seen_at_us = rig.now_us
    # The owner before may still tell; and an answer of routing that is late tells nothing twice.
    for _ in range(3):
        rig.feed(
            inputs.ChannelsListed(
                at_us=rig.now_us, present=frozenset(rig.legs), open_contacts=(known, waiting)
            )
        )
        rig.advance(EARLIER_OWNER_MS)
    gone = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    assert [(f.contact_id, f.state, f.cause, f.unseen) for f in gone] == [
        ("c1", "after", "NORMAL_CLEARING", False),
        ("c2", "waiting", "ORIGINATOR_CANCEL", False),
    ]
    assert all(f.at_us <= seen_at_us for f in gone)
    ended = [f for f in rig.facts(facts.ConversationEnded) if isinstance(f, facts.ConversationEnded)]
    assert [(f.contact_id, f.offer_id, f.ended_by) for f in ended] == [("c1", "o1", "caller")]


def test_takeover_leaves_to_the_owner_before_what_that_one_saw(rig: Rig) -> None:
    """It was cut off from NATS, lost the node and lives: what it saw comes later than what its successor finds."""
    rig.talk("c1")
    rig.call("c2")
    rig.hang_up("c1")
    rig.hang_up("c2", "ORIGINATOR_CANCEL")
    rig.settle()
    stale = tuple(
        legs.OpenContact(contact=contact, tenant="demo", queue="sales", waiting_since_us=rig.now_us)
        for contact in ("c1", "c2")
    )
    rig.reports.clear()
    taken_over_at_us = rig.now_us
    rig.take_over(stale)
    rig.advance(EARLIER_OWNER_MS - 500)
    assert rig.facts(facts.ContactGone) == []
    rig.still_open = stale[1:]  # Routing has heard of one of them by now.
    rig.settle()
    gone = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    assert [(f.contact_id, f.unseen) for f in gone] == [("c2", True)]
    assert gone[0].at_us - taken_over_at_us < 500_000, "when it was missed first, not when it was given up"


def test_a_missing_row_proves_nothing(rig: Rig) -> None:
    """The channel table is written late: the leg itself is asked."""
    rig.feed(inputs.ChannelsListed(at_us=rig.now_us, present=frozenset()))
    rig.deliver()
    assert rig.state() == "waiting"


def test_a_lost_connection_ends_nothing_and_is_made_up_for(rig: Rig) -> None:
    leg = rig.talk("c1")
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.hang_up(leg)
    rig.events.clear()
    assert rig.state() == "talking"
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.advance(300)
    assert rig.legs["c1"].mode == "farewell"


def test_a_switch_that_was_started_again_has_lost_its_calls(rig: Rig) -> None:
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.legs.clear()
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.settle()
    gone = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    assert [(f.contact_id, f.unseen) for f in gone] == [("c1", True)]


def test_a_leg_that_no_center_covers_is_adopted_when_one_does() -> None:
    rig = Rig()
    rig.feed(inputs.CentersRevised(at_us=rig.now_us, plans=type(PLANS)()))
    rig.legs["c1"] = Leg("c1", caller=True, answered=True, vars={"cc_state": "waiting", "cc_entry": "1000"})
    rig.feed(
        inputs.LegParked(
            at_us=rig.now_us, caller=legs.CallerLeg(leg="c1", entry_point="1000", state="waiting")
        )
    )
    assert rig.state() == ""
    rig.feed(inputs.CentersRevised(at_us=rig.now_us, plans=PLANS))
    rig.deliver()
    assert rig.state() == "waiting"


def test_an_answer_that_was_missed_is_found_when_the_connection_is_back(rig: Rig) -> None:
    leg = rig.offer("c1")
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.answer(leg)
    rig.events.clear()
    rig.replies.clear()
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.deliver()
    rig.advance(2_100)
    assert rig.state() == "talking"
