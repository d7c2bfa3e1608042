"""Offers: their one end, what follows for agent and contact, and bridges that nobody expected."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import Policy
from tests.unit.routing.floor import QUEUES, START_US, Floor, center


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
