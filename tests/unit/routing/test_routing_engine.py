"""What routing decides, case by case."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import AgentRules, Overflow, Policy, QueueRules
from services.routing.core.facts import Excluded
from tests.unit.routing.floor import AGENTS, QUEUES, START_US, Floor, center


def test_first_entry_of_an_owner_names_it() -> None:
    floor = Floor()
    assert floor.log[0].facts == (f.OwnerChanged("one", 1),)


def test_waiting_contact_is_offered_to_the_free_agent_with_an_explanation() -> None:
    floor = Floor()
    floor.available("sara")
    floor.pass_ms(7_000)
    floor.waits("c1")
    assert floor.names() == ["ContactQueued", "OfferMade", "AgentActivityChanged"]
    offer = floor.offer("c1")
    assert (offer.agent_id, offer.extension, offer.ring_ms, offer.attempt, offer.node) == (
        "sara",
        "1001",
        15_000,
        1,
        "fs1",
    )
    assert offer.why == f.Explanation(
        "longest_idle",
        7_000,
        1,
        (),
        (Excluded("offline", 1),),
        0,
        strategy="longest_idle",
        value=7_000,
        score_ms=0,
        score=(f.Term("age", 0),),
        contact_rule="arrived",
        requirement="sales",
    )


def test_agent_who_becomes_free_gets_the_contact_that_waits_longest_over_all_queues() -> None:
    floor = Floor()
    floor.waits("c1", "support")
    floor.pass_ms(1_000)
    floor.waits("c2", "sales")
    floor.available("sara")
    assert floor.offer("c1").agent_id == "sara"
    assert floor.offer("c1").waited_ms == 1_000


def test_priority_comes_before_waiting_time() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.pass_ms(1_000)
    floor.waits("c2", priority=5)
    floor.available("omid")
    assert floor.offer("c2").agent_id == "omid"
    assert floor.offer("c2").why.waiting_ahead == 0


def test_longest_idle_agent_is_chosen_and_the_next_best_are_named() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1")
    offer = floor.offer("c1")
    assert offer.agent_id == "omid"
    assert (offer.why.candidates, offer.why.next_best) == (2, ("sara",))


def test_agent_without_the_skill_or_with_a_lower_level_is_not_chosen() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1", skills=("sales:2", "fa"))
    offer = floor.offer("c1")
    assert offer.agent_id == "sara"
    assert offer.why.excluded == (Excluded("skills", 1),)


def test_agent_takes_a_later_contact_when_the_first_needs_another_skill() -> None:
    floor = Floor()
    floor.waits("c1", skills=("sales:3",))
    floor.waits("c2")
    floor.available("omid")
    offer = floor.offer("c2")
    assert (offer.agent_id, offer.why.waiting_ahead) == ("omid", 1)


def test_call_from_offer_to_the_end_of_wrap_up() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(500)
    floor.waits("c1", ani="0912", entry_point="1000")
    floor.pass_ms(4_000)
    floor.report(i.OfferAnswered, "c1", ring_ms=3_900)
    assert floor.outputs == []
    floor.report(i.AgentBridged, "c1", wait_ms=4_000, recording_path="a.wav")
    assert floor.names() == ["OfferEnded", "ContactConnected", "AgentActivityChanged"]
    assert floor.facts(f.ContactConnected)[0].recording_path == "a.wav"
    floor.pass_ms(60_000)
    floor.report(
        i.ConversationEnded, "c1", ended_by="caller", talk_ms=60_000, hold_ms=10, cause="NORMAL_CLEARING"
    )
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.wait_ms, closed.talk_ms, closed.hold_ms) == (
        "completed",
        4_000,
        60_000,
        10,
    )
    assert (closed.agent_id, closed.ended_by, closed.ani, closed.entry_point) == (
        "omid",
        "caller",
        "0912",
        "1000",
    )
    assert (closed.offers, closed.offer_id) == (1, floor.offer("c1").offer_id)
    assert floor.engine.state.agent("omid").activity == "wrap_up"
    floor.pass_ms(20_000)
    wrapped = floor.facts(f.WrapUpEnded)[0]
    assert (wrapped.disposition, wrapped.by, wrapped.wrap_up_ms) == ("timeout", "timeout", 20_000)
    assert floor.engine.state.agent("omid").activity == "idle"
    assert floor.timers == {}


def test_wrap_up_ends_with_a_key_and_the_next_contact_follows_at_once() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.waits("c2")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id="omid", code="1")
    assert floor.names() == ["WrapUpEnded", "AgentActivityChanged", "OfferMade", "AgentActivityChanged"]
    assert floor.offer("c2").agent_id == "omid"


@pytest.mark.parametrize(("code", "agent"), [("9", "omid"), ("1", "sara")])
def test_keyed_disposition_that_fits_nothing_is_ignored(code: str, agent: str) -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id=agent, code=code)
    assert floor.ignored() in ("unknown disposition", "wrap-up is over")
    assert floor.facts(f.WrapUpEnded) == []


def test_queue_without_wrap_up_frees_the_agent_at_the_end() -> None:
    floor = Floor()
    floor.available("mina")
    floor.waits("c1", "billing")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="agent")
    assert floor.engine.state.agent("mina").activity == "idle"


@pytest.mark.parametrize("outcome", ["no_answer", "unreachable"])
def test_agent_who_does_not_answer_goes_on_a_break_and_the_contact_to_the_next(outcome: str) -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1")
    floor.report(i.OfferFailed, "c1", outcome=outcome, cause="X", ring_ms=15_000)
    ended = floor.facts(f.OfferEnded)[0]
    assert (ended.agent_id, ended.outcome, ended.cause, ended.ring_ms) == ("omid", outcome, "X", 15_000)
    changed = floor.facts(f.AgentPresenceChanged)[-1]
    assert (changed.agent_id, changed.presence, changed.reason, changed.actor) == (
        "omid",
        "break",
        outcome,
        "system",
    )
    offer = floor.offer("c1")
    assert (offer.agent_id, offer.attempt) == ("sara", 2)


def test_agent_stays_available_until_the_configured_number_of_missed_offers() -> None:
    floor = Floor(policy=Policy(max_no_answer=2))
    floor.available("omid")
    floor.waits("c1")
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    assert floor.engine.state.agent("omid").presence == "available"
    floor.pass_ms(5_000)
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    assert floor.engine.state.agent("omid").presence == "break"


@pytest.mark.parametrize("outcome", ["declined", "busy", "failed", "nonsense"])
def test_agent_who_declines_rests_five_seconds_and_may_be_asked_again(outcome: str) -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.report(i.OfferFailed, "c1", outcome=outcome)
    assert floor.engine.state.agent("omid").presence == "available"
    floor.pass_ms(4_999)
    assert len(floor.facts(f.OfferMade)) == 1
    floor.pass_ms(1)
    assert floor.offer("c1").why.rule == "tried_before"
    assert floor.offer("c1").attempt == 2


def test_contact_is_not_offered_again_to_the_same_agent_while_others_are_free() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    floor.send(i.NodeSeen, node="fs1", up=False)  # nothing is offered meanwhile
    floor.available("sara")
    floor.pass_ms(10_000)
    floor.send(i.NodeSeen, node="fs1", up=True)
    offer = floor.offer("c1")
    assert (offer.agent_id, offer.why.candidates, offer.why.next_best) == ("sara", 2, ("omid",))


def test_offer_that_came_to_nothing_does_not_cost_the_agent_the_turn() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1")
    floor.pass_ms(3_000)
    floor.send(i.ContactGone, contact_id="c1")
    floor.waits("c2")
    offer = floor.offer("c2")
    assert (offer.agent_id, offer.why.idle_ms) == ("omid", 4_000)


def test_failed_offer_keeps_the_place_and_the_waiting_time() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.pass_ms(1_000)
    floor.waits("c2")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert views.position(floor.engine.state, floor.engine.index, "c1").position == 1
    floor.pass_ms(5_000)
    assert floor.offer("c1").waited_ms == 6_000


def test_offer_that_nobody_reports_on_expires_after_ring_time_and_grace() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.pass_ms(19_999)
    assert floor.facts(f.OfferEnded) == []
    floor.pass_ms(1)
    assert floor.facts(f.OfferEnded)[0].outcome == "expired"
    assert floor.engine.state.agent("omid").presence == "available"


def test_an_offer_stays_open_for_what_is_said_before_the_bridge() -> None:
    """Also over a restart: how long is in the fact, whatever the document says by then."""
    told = msgspec.structs.replace(QUEUES["sales"], connect_ms=10_000)
    floor = Floor(center(queues={**QUEUES, "sales": told}))
    floor.available("omid")
    floor.waits("c1")
    assert floor.offer("c1").connect_ms == 10_000
    floor.pass_ms(29_999)
    assert floor.facts(f.OfferEnded) == []
    floor.pass_ms(1)
    assert floor.facts(f.OfferEnded)[0].outcome == "expired"


def test_late_report_about_an_ended_offer_leads_to_nothing() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1")
    for kind, fields in (
        (i.OfferAnswered, {}),
        (i.OfferRinging, {}),
        (i.OfferFailed, {"outcome": "no_answer"}),
    ):
        floor.report(kind, "c1", **fields)
        assert floor.names() == []
        assert floor.ignored() == "offer is over"
    floor.report(i.AgentBridged, "c1")
    assert floor.ignored() == "contact is closed"


def test_bridge_after_expiry_joins_and_withdraws_the_other_offer() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    first = floor.offer("c1")
    floor.pass_ms(19_000)
    floor.available("sara")
    floor.pass_ms(1_000)
    assert floor.offer("c1").agent_id == "sara"
    floor.send(i.AgentBridged, offer_id=first.offer_id, contact_id="c1", agent_id="omid")
    assert floor.facts(f.OfferEnded)[-1].outcome == "withdrawn"
    assert floor.facts(f.OfferEnded)[-1].agent_id == "sara"
    assert floor.facts(f.ContactConnected)[0].agent_id == "omid"
    assert floor.engine.state.agent("sara").activity == "idle"


def test_end_of_a_conversation_whose_bridge_nobody_reported_counts_as_answered() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller", talk_ms=5_000)
    assert floor.facts(f.OfferEnded)[0].outcome == "accepted"
    assert floor.facts(f.ContactClosed)[0].outcome == "completed"


def test_bridge_of_an_agent_who_was_elsewhere_ends_that_first() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.waits("c2")
    floor.send(i.AgentBridged, offer_id="x", contact_id="c2", agent_id="omid")
    assert floor.facts(f.ContactClosed)[0].outcome == "ended_unseen"
    assert floor.facts(f.WrapUpEnded)[0].by == "bridged"
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    assert floor.ignored() == "no such conversation"
    assert floor.engine.state.agent("omid").contact_id == "c2"


def test_bridge_of_an_agent_with_another_offer_puts_that_contact_back() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.waits("c2")
    floor.send(i.AgentBridged, offer_id="x", contact_id="c2", agent_id="omid")
    assert floor.facts(f.OfferEnded)[0].contact_id == "c1"
    assert floor.engine.state.contacts["c1"].status == "waiting"


def test_bridge_of_an_unknown_contact_is_joined() -> None:
    floor = Floor()
    floor.send(
        i.AgentBridged,
        offer_id="o",
        contact_id="c9",
        agent_id="omid",
        queue="sales",
        node="fs1",
        wait_ms=3_000,
    )
    assert floor.names() == ["ContactQueued", "ContactConnected", "AgentActivityChanged"]
    assert floor.facts(f.ContactConnected)[0].wait_ms == 3_000
    assert floor.engine.state.contacts["c9"].waiting_since_us == START_US - 3_000_000


def test_bridge_reported_twice_is_ignored() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.report(i.AgentBridged, "c1")
    assert floor.ignored() == "contact talks already"


def test_transferred_contact_moves_to_the_other_agent() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.send(i.AgentBridged, offer_id="t", contact_id="c1", agent_id="sara")
    assert floor.engine.state.agent("omid").activity == "wrap_up"
    assert floor.engine.state.agent("sara").contact_id == "c1"


def test_caller_who_hangs_up_while_offered_withdraws_the_offer_and_frees_the_agent_at_once() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.waits("c2")
    floor.pass_ms(3_000)
    floor.send(i.ContactGone, contact_id="c1", cause="ORIGINATOR_CANCEL")
    assert floor.names() == [
        "OfferEnded",
        "AgentActivityChanged",
        "ContactClosed",
        "OfferMade",
        "AgentActivityChanged",
    ]
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.wait_ms, closed.cause, closed.ended_by) == (
        "abandoned",
        3_000,
        "ORIGINATOR_CANCEL",
        "caller",
    )
    assert floor.offer("c2").agent_id == "omid"


def test_contact_that_vanished_unseen_has_an_outcome_of_its_own() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1", unseen=True)
    assert floor.facts(f.ContactClosed)[0].outcome == "ended_unseen"


def test_caller_gone_during_a_talk_ends_it() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.pass_ms(9_000)
    floor.send(i.ContactGone, contact_id="c1")
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.talk_ms, closed.agent_id) == ("completed", 9_000, "omid")
    assert floor.engine.state.agent("omid").activity == "wrap_up"
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    assert floor.ignored() == "no such conversation"


def test_offer_that_queue_withdrew_lets_the_contact_rest_a_second() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.report(i.OfferFailed, "c1", outcome="withdrawn")
    assert len(floor.facts(f.OfferMade)) == 1
    floor.pass_ms(1_000)
    assert len(floor.facts(f.OfferMade)) == 2
    assert floor.offer("c1").why.rule == "longest_idle"


def test_logging_out_while_the_phone_rings_takes_effect_after_the_call() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.waits("c2")
    floor.pass_ms(20_000)
    agent = floor.engine.state.agent("omid")
    assert (agent.presence, agent.activity) == ("offline", "idle")
    assert len(floor.facts(f.OfferMade)) == 1


def test_wait_over_the_limit_moves_to_the_next_queue_with_the_original_time() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.pass_ms(300_000)
    moved = floor.facts(f.ContactOverflowed)[0]
    assert (moved.queue, moved.reason, moved.action, moved.target, moved.wait_ms) == (
        "sales",
        "max_wait",
        "queue",
        "support",
        300_000,
    )
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.queue, queued.requeued, queued.waiting_since_us) == ("support", True, START_US)
    floor.pass_ms(59_999)
    assert len(floor.facts(f.ContactOverflowed)) == 1
    floor.pass_ms(1)
    assert floor.facts(f.ContactOverflowed)[-1].action == "transfer"
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.wait_ms, closed.queue) == ("overflowed", 360_000, "support")


def test_limit_that_passes_while_an_agent_rings_waits_for_the_answer() -> None:
    floor = Floor()
    floor.waits("c1", "support")
    floor.pass_ms(59_000)
    floor.available("mina")
    floor.pass_ms(5_000)
    assert floor.facts(f.ContactOverflowed) == []
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    floor.pass_ms(0)
    assert floor.facts(f.ContactOverflowed)[0].action == "transfer"


def test_full_queue_turns_a_new_contact_away_but_not_a_recovered_one() -> None:
    floor = Floor()
    floor.waits("c1", "billing")
    floor.waits("c2", "billing")
    assert floor.names() == ["ContactQueued", "ContactOverflowed", "ContactClosed"]
    assert floor.facts(f.ContactOverflowed)[0].reason == "max_length"
    floor.waits("c3", "billing", recovered=True)
    assert floor.names() == ["ContactQueued"]


def test_full_queues_that_point_at_each_other_keep_the_contact() -> None:
    queues = {
        "a": QueueRules(max_length=1, overflow=Overflow("queue", "b")),
        "b": QueueRules(max_length=1, overflow=Overflow("queue", "a")),
    }
    floor = Floor(center(queues, {}))
    floor.waits("c1", "a")
    floor.waits("c2", "b")
    floor.waits("c3", "a")
    assert floor.names() == ["ContactQueued", "ContactOverflowed", "ContactQueued"]
    assert floor.engine.state.contacts["c3"].queue == "b"


def test_unknown_queue_leads_to_the_fallback_of_the_entry_point() -> None:
    floor = Floor()
    floor.waits("c1", "gone", entry_point="2000")
    floor.waits("c2", "gone", entry_point="1")
    assert floor.engine.state.contacts["c1"].queue == "support"
    assert floor.engine.state.contacts["c2"].queue == "sales"


def test_queue_removed_from_the_document_moves_its_contacts_and_lets_ringing_ones_end() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.waits("c2")
    revised = center({"support": QUEUES["support"]}, AGENTS, "r2")
    floor.send(i.CenterRevised, center=msgspec.structs.replace(revised, default_fallback="support"))
    assert floor.engine.state.contacts["c2"].queue == "support"
    assert floor.engine.state.contacts["c1"].status == "offered"
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert floor.engine.state.contacts["c1"].queue == "support"


def test_agent_removed_from_the_document_finishes_the_talk_and_is_logged_out() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.send(i.CenterRevised, center=center(agents={"sara": AGENTS["sara"]}, revision="r2"))
    changed = floor.facts(f.AgentPresenceChanged)[-1]
    assert (changed.agent_id, changed.presence, changed.reason) == ("omid", "offline", "removed")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.waits("c2")
    floor.pass_ms(60_000)
    assert len(floor.facts(f.OfferMade)) == 1


def test_new_skill_in_the_document_matches_who_waits_already() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1", skills=("fa:2",))
    assert floor.facts(f.OfferMade) == []
    agents = {**AGENTS, "omid": AgentRules("1002", ("sales",), {"sales": 1, "fa": 2})}
    floor.send(i.CenterRevised, center=center(agents=agents, revision="r2"))
    assert floor.offer("c1").agent_id == "omid"


def test_contacts_of_a_lost_node_are_frozen_and_offered_when_it_is_back() -> None:
    floor = Floor()
    floor.waits("c1", "support", node="fs2")
    floor.send(i.NodeSeen, node="fs2", up=False)
    floor.available("sara")
    floor.pass_ms(120_000)
    assert floor.facts(f.OfferMade) == []
    assert floor.facts(f.ContactOverflowed) == []
    assert views.position(floor.engine.state, floor.engine.index, "c1").position == 1
    floor.waits("c2", "support", node="fs1")
    assert floor.offer("c2").agent_id == "sara"
    floor.available("mina")
    floor.send(i.NodeSeen, node="fs2", up=True)
    assert floor.offer("c1").agent_id == "mina"


def test_offer_on_a_lost_node_stays_reserved_and_gets_the_grace_anew() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.NodeSeen, node="fs1", up=False)
    floor.pass_ms(600_000)
    assert floor.engine.state.agent("omid").activity == "offered"
    floor.send(i.NodeSeen, node="fs1", up=True)
    floor.pass_ms(4_999)
    assert floor.facts(f.OfferEnded) == []
    floor.pass_ms(1)
    assert floor.facts(f.OfferEnded)[0].outcome == "expired"


def test_lost_phone_makes_the_agent_unreachable_until_it_registers() -> None:
    floor = Floor()
    floor.available("omid")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    assert floor.names() == []
    floor.send(i.PhoneChanged, extension="1002", registered=False, node="fs2")
    assert floor.ignored() == "phone is registered with another node"
    floor.send(i.PhoneChanged, extension="1002", registered=False, node="fs1")
    assert floor.engine.state.agent("omid").activity == "unreachable"
    floor.waits("c1")
    assert floor.facts(f.OfferMade) == []
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    assert floor.offer("c1").agent_id == "omid"


def test_list_of_phones_corrects_what_was_missed() -> None:
    floor = Floor()
    floor.available("omid", "sara", "mina")
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs2")
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset({"1002", "7777"}))
    assert floor.facts(f.AgentPhoneChanged)[1:] == [f.AgentPhoneChanged("omid", True, "fs1")]
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset())
    activity = {name: floor.engine.state.agent(name).activity for name in ("sara", "omid", "mina")}
    assert activity == {"sara": "idle", "omid": "unreachable", "mina": "idle"}


def test_phone_lost_during_a_talk_shows_after_it() -> None:
    floor = Floor()
    floor.available("mina")
    floor.waits("c1", "billing")
    floor.talks("c1")
    floor.send(i.PhoneChanged, extension="1003", registered=False, node="fs1")
    assert floor.engine.state.agent("mina").activity == "talking"
    floor.report(i.ConversationEnded, "c1", ended_by="agent")
    assert floor.engine.state.agent("mina").activity == "unreachable"


def test_agents_of_a_lost_node_are_unreachable_while_it_is_gone() -> None:
    floor = Floor()
    floor.available("omid")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs2")
    floor.send(i.NodeSeen, node="fs2", up=False)
    assert floor.engine.state.agent("omid").activity == "unreachable"
    floor.send(i.NodeSeen, node="fs2", up=True)
    assert floor.engine.state.agent("omid").activity == "idle"


def test_phone_of_nobody_and_node_without_news_lead_to_nothing() -> None:
    floor = Floor()
    floor.send(i.PhoneChanged, extension="9999", registered=True, node="fs1")
    assert floor.outputs == []
    floor.send(i.NodeSeen, node="fs1", up=True)
    assert floor.outputs == []


def test_contact_reported_twice_waits_once() -> None:
    floor = Floor()
    floor.waits("c1", input_id="same")
    floor.waits("c1", input_id="same")
    assert floor.ignored() == "input was decided on before"
    floor.waits("c1", recovered=True)
    assert floor.ignored() == "contact waits already"
    assert len(floor.facts(f.ContactQueued)) == 1


def test_closed_contact_is_opened_again_only_when_freeswitch_has_it() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1", unseen=True)
    floor.waits("c1")
    assert floor.ignored() == "contact is closed"
    floor.pass_ms(8_000)
    floor.waits("c1", waiting_since_us=START_US, recovered=True)
    assert floor.names() == ["ContactQueued"]
    floor.available("omid")
    assert floor.offer("c1").waited_ms == 8_000


def test_offer_ids_never_repeat_for_a_contact_that_was_opened_again() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1", unseen=True)
    floor.waits("c1", recovered=True)
    ids = [o.offer_id for o in floor.facts(f.OfferMade)]
    assert len(ids) == len(set(ids)) == 2


def test_caller_found_parked_after_a_talk_waits_again_in_the_former_place() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.pass_ms(5_000)
    floor.waits("c1", recovered=True, waiting_since_us=START_US)
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.requeued, queued.waiting_since_us) == (True, START_US)
    assert floor.engine.state.agent("omid").activity == "wrap_up"


def test_reports_about_nothing_known_are_ignored() -> None:
    floor = Floor()
    floor.send(i.ContactGone, contact_id="c9")
    assert floor.ignored() == "contact is closed"
    floor.send(i.ConversationEnded, offer_id="o", contact_id="c9", agent_id="omid", ended_by="caller")
    assert floor.ignored() == "no such conversation"
    floor.send(i.OfferFailed, offer_id="o", contact_id="c9", agent_id="omid", outcome="busy")
    assert floor.ignored() == "offer is over"


def test_clock_that_goes_back_makes_no_negative_times() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.now_us -= 60_000_000
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.now_us += 120_000_000
    assert all(entry.at_us >= START_US for entry in floor.log)
    assert floor.facts(f.ContactConnected)[0].connected_at_us == START_US
    assert all(fact.previous_ms >= 0 for fact in floor.facts(f.AgentActivityChanged))


def test_new_owner_arrives_at_the_same_state_and_timers() -> None:
    floor = Floor()
    floor.available("omid", "sara")
    floor.waits("c1")
    floor.waits("c2")
    floor.talks("c2")
    floor.waits("c3")
    before, timers = floor.engine.state.dump(), dict(floor.timers)
    assert floor.replayed().dump() == before
    floor.take_over(via_snapshot=True)
    assert floor.timers == timers
    assert floor.log[-1].facts == (f.OwnerChanged("one", 2),)


def test_timer_that_is_not_wanted_any_more_does_nothing() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    offer = floor.offer("c1")
    floor.send(i.ContactGone, contact_id="c1")
    for timer in (
        ("offer", offer.offer_id),
        ("limit", "c1"),
        ("hold", "c1"),
        ("wrap_up", "omid"),
        ("delay", "omid"),
    ):
        assert floor.send(i.TimerFired, timer=timer) == []


def test_timer_that_fires_early_is_armed_again() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    timer = ("offer", floor.offer("c1").offer_id)
    due = floor.timers.pop(timer)
    assert floor.send(i.TimerFired, timer=timer) == [i.ArmTimer(timer, due)]
