"""Complaints about agents: rung together, delayed, paused, deleted, in wrap-up. Table: ``test_complaints``."""

from __future__ import annotations

from collections import Counter

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, Miss, QueueRules
from tests.complaints.one_queue import activity, one_queue
from tests.unit.routing.floor import Floor


@pytest.mark.parametrize("end", ["answered", "caller_left", "nobody_reported"])
def test_nobody_stays_reserved_when_several_were_rung(end: str) -> None:
    """Complaint 8: agents stay reserved when several were rung."""
    floor = one_queue(4, strategy="ring_all", ring_at_once=4, ring_ms=10_000)
    floor.waits("c1", "q")
    if end == "answered":
        floor.talks("c1")
    elif end == "caller_left":
        floor.send(i.ContactGone, contact_id="c1")
    else:
        floor.pass_ms(15_000)  # and the contact waits on until the agents' delay is over
    reserved = [a for a in floor.engine.center.agents if activity(floor, a) in ("offered", "ringing")]
    assert reserved == []
    assert floor.engine.state.offers == {}


def test_phones_that_ring_together_are_different_ones() -> None:
    """Complaint 10: two agents are rung on one phone."""
    floor = one_queue(3, strategy="ring_all", ring_at_once=3)
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    dialled = Counter(o.extension for o in floor.facts(f.OfferMade))
    assert dialled == {
        "1000": 1,
        "1001": 1,
        "1002": 1,
    }  # that extensions are unique is checked in the document


def test_last_agent_of_the_list_on_a_break_stops_nobody() -> None:
    """Complaint 11: the last agent of the list is on a break and nobody is called."""
    floor = one_queue(3, strategy="linear")
    floor.send(i.SetAgentPresence, request_id="r", agent_id="a2", presence="break")
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert [o.agent_id for o in floor.facts(f.OfferMade)] == ["a0", "a1"]
    floor.report(i.OfferFailed, "c1", outcome="declined")
    floor.pass_ms(5_000)
    assert [o.agent_id for o in floor.facts(f.OfferMade)] == ["a0", "a1", "a0"], "nor is that agent rung"


def test_a_change_of_presence_during_an_offer_makes_no_further_offer() -> None:
    """Complaint 12: an agent who changes the status during an offer causes a storm of calls."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    for presence in ("break", "available", "offline", "available", "break"):
        floor.send(i.SetAgentPresence, request_id="r", agent_id="a0", presence=presence)
    assert len(floor.facts(f.OfferMade)) == 1
    assert floor.facts(f.OfferEnded) == []
    assert activity(floor, "a0") == "offered"


@pytest.mark.parametrize("cause", ["declined", "busy", "unreachable"])
def test_delay_and_most_per_cause(cause: str) -> None:
    """Complaint 14: delays and maxima for refusing, busy and lost phones are missing."""
    center = Center(
        "r1",
        {"q": QueueRules()},
        {"a0": AgentRules("1000", ("q",))},
        default_fallback="q",
        misses={cause: Miss(7_000, 3)},
    )
    floor = Floor(center)
    floor.available("a0")
    floor.waits("c1", "q")
    for rung in (1, 2, 3):
        assert len(floor.facts(f.OfferMade)) == rung
        floor.report(i.OfferFailed, "c1", outcome=cause)
        floor.pass_ms(6_999)
        assert len(floor.facts(f.OfferMade)) == rung, "the delay is not over"
        floor.pass_ms(1)
    assert len(floor.facts(f.OfferMade)) == 3
    assert floor.engine.state.agent("a0").reason == cause


def test_removal_of_an_agent_is_a_fact() -> None:
    """Complaint 15: nothing is said when an agent is deleted."""
    floor = one_queue(2)
    floor.send(i.CenterRevised, center=Center("r2", {"q": QueueRules()}, {}, default_fallback="q"))
    gone = [
        (p.agent_id, p.presence, p.reason, p.actor)
        for p in floor.new_facts()
        if isinstance(p, f.AgentPresenceChanged)
    ]
    assert gone == [("a0", "offline", "removed", "system"), ("a1", "offline", "removed", "system")]


def test_agents_and_queues_that_left_the_document_are_offered_nothing() -> None:
    """Complaint 17: deleted agents stay after a reload."""
    floor = one_queue(2)
    people = {"a1": AgentRules("1001", ("q",))}
    floor.send(i.CenterRevised, center=Center("r2", {"q": QueueRules()}, people, default_fallback="q"))
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    assert [o.agent_id for o in floor.facts(f.OfferMade)] == ["a1"]


def test_an_agent_without_a_phone_is_offered_nothing_and_serves_nobody() -> None:
    """Complaint 24: an agent whose phone is not registered stays available."""
    floor = one_queue(1)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    floor.send(i.PhoneChanged, extension="1000", registered=False, node="fs1")
    floor.waits("c1", "q")
    assert floor.facts(f.OfferMade) == []
    assert (activity(floor, "a0"), floor.engine.index.serving("q")) == ("unreachable", 0)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    assert floor.offer("c1").agent_id == "a0"


def test_wrap_up_holds_for_all_queues_and_is_not_shortened_by_a_transfer() -> None:
    """Complaint 27: the wrap-up of an agent of two queues ends early, or is reset by a transfer."""
    queues = {"p": QueueRules(wrap_up_ms=20_000), "q": QueueRules(wrap_up_ms=1_000)}
    people = {n: AgentRules(f"10{k}", ("p", "q")) for k, n in enumerate(("a0", "a1"))}
    floor = Floor(Center("r1", queues, people, default_fallback="q"))
    floor.available("a0")
    floor.waits("c1", "p")
    floor.talks("c1")
    floor.waits("c2", "q")
    floor.send(i.AgentBridged, offer_id="moved", contact_id="c1", agent_id="a1", node="fs1")  # to a1
    floor.pass_ms(19_999)
    assert activity(floor, "a0") == "wrap_up"
    floor.pass_ms(1)
    assert floor.offer("c2").agent_id == "a0"


def test_wrap_up_is_an_activity_with_a_beginning_an_end_and_a_length() -> None:
    """Complaint 28: the wrap-up cannot be seen."""
    floor = one_queue(1, wrap_up_ms=20_000)
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    began = floor.facts(f.AgentActivityChanged)[-1]
    assert (began.activity, began.contact_id, began.limit_ms) == ("wrap_up", "c1", 20_000)
    floor.pass_ms(20_000)
    assert floor.facts(f.WrapUpEnded)[-1].wrap_up_ms == 20_000


def test_a_phone_that_gives_up_leaves_the_others_ringing() -> None:
    """Complaint 29: one phone that gives up ends the ringing of all."""
    floor = one_queue(3, strategy="ring_all", ring_at_once=3)
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert len(floor.engine.state.offers) == 2
    assert [o.outcome for o in floor.facts(f.OfferEnded)] == ["declined"]


def test_a_report_that_comes_twice_counts_once() -> None:
    """Complaint 31: calls are counted twice under load, which skews the choice of the agent."""
    floor = one_queue(1, strategy="fewest_contacts")
    floor.waits("c1", "q")
    about = {"offer_id": floor.offer("c1").offer_id, "contact_id": "c1", "agent_id": "a0"}
    floor.send(i.AgentBridged, input_id="same", **about)
    floor.send(i.AgentBridged, input_id="same", **about)
    floor.send(i.AgentBridged, input_id="other", **about)
    assert floor.engine.state.agent("a0").contacts == 1
    assert len(floor.facts(f.ContactConnected)) == 1
