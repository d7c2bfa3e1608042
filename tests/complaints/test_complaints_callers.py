"""Complaints about what becomes of callers: their place, callbacks, missed calls, transfers, counts. Table: ``test_complaints``."""

from __future__ import annotations

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import AgentRules, CallbackRules, Center, Overflow, Policy, QueueRules
from tests.complaints.one_queue import activity, one_queue
from tests.unit.routing.floor import Floor


def test_a_contact_whose_leg_is_gone_is_closed_whatever_was_lost_before() -> None:
    """Complaint 7: callers count as answered hours after their call."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.send(
        i.ContactGone, contact_id="c1", cause="NORMAL_CLEARING"
    )  # the end of the talk was not reported
    assert floor.engine.state.contacts == {}
    assert activity(floor, "a0") == "idle"


def test_a_removed_queue_does_not_come_back_with_a_caller() -> None:
    """Complaint 18: a queue that was removed comes back with a caller who left it."""
    floor = one_queue(0)
    floor.waits("c1", "q")
    floor.send(i.ContactGone, contact_id="c1")
    floor.send(i.CenterRevised, center=Center("r2", {"new": QueueRules()}, {}, default_fallback="new"))
    floor.waits("c1", "q", recovered=True)
    assert floor.engine.state.contacts["c1"].queue == "new"
    shown = views.queues(floor.engine.state, floor.engine.center, floor.engine.index, floor.now_us)
    assert [q.queue for q in shown] == ["new"]


def test_a_missed_call_is_a_fact_with_agent_cause_and_time() -> None:
    """Complaint 21: missed calls are not reported."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="no_answer", cause="NO_ANSWER", ring_ms=20_000)
    missed = floor.facts(f.OfferEnded)[0]
    assert (missed.agent_id, missed.outcome, missed.cause, missed.ring_ms) == (
        "a0",
        "no_answer",
        "NO_ANSWER",
        20_000,
    )


def _calling_back() -> Floor:
    back = CallbackRules(attempts=2, pause_ms=600_000, expires_ms=3_600_000)
    return one_queue(0, callback=back)


def test_who_asks_to_be_called_back_is_called_at_the_old_place() -> None:
    """Complaint 23: nobody is called back."""
    floor = _calling_back()
    floor.waits("asks", "q")
    since_us = floor.now_us
    floor.pass_ms(60_000)
    floor.send(i.CallbackAccepted, contact_id="asks", number="09121234567")
    assert floor.facts(f.ContactClosed)[-1].result == "callback_taken"
    _staff(floor, 1)
    offer = floor.facts(f.OfferMade)[-1]
    assert (offer.kind, offer.number, offer.waiting_since_us) == ("callback", "09121234567", since_us)


def _staff(floor: Floor, agents: int) -> None:
    """Give the queue its people: the same document with agents, who log in."""
    people = {f"a{n}": AgentRules(f"10{n:02}", ("q",)) for n in range(agents)}
    floor.send(
        i.CenterRevised, center=msgspec.structs.replace(floor.engine.center, revision="r2", agents=people)
    )
    floor.available(*people)


def test_position_of_every_caller_is_known_and_kept() -> None:
    """Complaint 25: callers do not hear their position."""
    floor = one_queue(0)
    for n in range(3):
        floor.waits(f"c{n}", "q")
        floor.pass_ms(1_000)
    state, index = floor.engine.state, floor.engine.index
    assert [views.position(state, index, f"c{n}").position for n in range(3)] == [1, 2, 3]
    floor.send(i.ContactGone, contact_id="c0")
    assert [views.position(state, index, f"c{n}").position for n in range(3)] == [0, 1, 2]


def test_a_transfer_is_in_the_log_with_both_agents_and_their_times() -> None:
    """Complaint 32: transfers are missing in the log, so talk times are wrong."""
    floor = one_queue(2)
    floor.waits("c1", "q")
    assert floor.talks("c1") == "a0"
    floor.pass_ms(30_000)
    floor.send(i.AgentBridged, offer_id="moved", contact_id="c1", agent_id="a1", node="fs1")
    floor.pass_ms(12_000)
    floor.send(
        i.ConversationEnded,
        offer_id="moved",
        contact_id="c1",
        agent_id="a1",
        ended_by="caller",
        talk_ms=12_000,
    )
    assert [c.agent_id for c in floor.facts(f.ContactConnected)] == ["a0", "a1"]
    talked = {
        a.agent_id: a.previous_ms for a in floor.facts(f.AgentActivityChanged) if a.previous == "talking"
    }
    assert talked == {"a0": 30_000, "a1": 12_000}
    assert len(floor.facts(f.ContactClosed)) == 1


def test_who_was_bridged_was_answered() -> None:
    """Complaint 37: answered calls are reported as abandoned."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    about = {"offer_id": floor.offer("c1").offer_id, "contact_id": "c1", "agent_id": "a0"}
    floor.send(i.ConversationEnded, ended_by="caller", **about)  # the bridge itself was never reported
    floor.send(i.ContactGone, contact_id="c1")
    assert [(c.outcome, c.result) for c in floor.facts(f.ContactClosed)] == [("completed", "answered")]


def test_an_agent_who_missed_calls_is_paused_with_the_reason_and_comes_back() -> None:
    """Complaint 38: an agent who misses three calls is logged out for good; called-back callers jump the line."""
    floor = one_queue(1)
    floor.engine.policy = Policy(max_no_answer=3)
    floor.waits("c1", "q")
    for _ in range(3):
        floor.report(i.OfferFailed, "c1", outcome="no_answer")
        floor.pass_ms(5_000)
    agent = floor.engine.state.agent("a0")
    assert (agent.presence, agent.reason) == ("break", "no_answer")
    floor.available("a0")
    assert floor.offer("c1").attempt == 4
    # Whoever is taken in again keeps the place: the waiting time is the caller's, not the queue's.
    floor.talks("c1")
    since_us = floor.engine.state.contacts["c1"].waiting_since_us
    floor.waits("c1", "q", recovered=True)
    assert floor.engine.state.contacts["c1"].waiting_since_us == since_us


def test_called_back_callers_do_not_jump_the_line() -> None:
    """Complaint 38, its second half: whoever is called back is neither before the older callers nor behind the younger ones."""
    floor = _calling_back()
    for contact_id in ("older", "asks", "younger"):
        floor.waits(contact_id, "q")
        floor.pass_ms(1_000)
    floor.send(i.CallbackAccepted, contact_id="asks", number="09121234567")
    _staff(floor, 3)
    assert [o.contact_id.partition("-")[0] for o in floor.facts(f.OfferMade)] == ["older", "asks", "younger"]


def test_no_way_out_of_a_queue_is_a_busy_tone() -> None:
    """Complaint 18 again: callers of a queue that is full or gone are led on, never turned away without a word."""
    floor = one_queue(0, max_length=1, full=Overflow("hangup", "sorry"))
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    left = floor.facts(f.ContactOverflowed)[-1]
    assert (left.contact_id, left.action, left.target) == ("c2", "hangup", "sorry")
