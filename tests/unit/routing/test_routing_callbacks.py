"""Callbacks in routing: the place, the reserved agent, attempts, expiry, hours, wishes, and what a new owner knows."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import CallbackRules, Center, Overflow, QueueRules
from tests.unit.routing.floor import Floor, center

MINUTE_US = 60_000_000
RULES = CallbackRules(dial_ms=30_000, attempts=2, pause_ms=600_000, expires_ms=3_600_000)


def calling(rules: CallbackRules = RULES, **queue: Any) -> Center:
    """Sales calls back; nobody has to know the skill."""
    sales = QueueRules(ring_ms=15_000, wrap_up_ms=20_000, callback=rules, **queue)
    return center({"sales": sales, "support": QueueRules(callback=rules), "billing": QueueRules()})


def floor(rules: Center | None = None) -> Floor:
    return Floor(rules or calling())


def accepts(on: Floor, contact: str, number: str = "09121234567") -> list[f.Fact]:
    on.send(i.CallbackAccepted, contact_id=contact, number=number, own_number=True)
    return on.new_facts()


def attempted(on: Floor, contact: str, outcome: str, **more: Any) -> list[f.Fact]:
    callback_id = contact.rpartition("-cb")[0]
    on.send(i.CallbackAttempted, contact_id=contact, callback_id=callback_id, outcome=outcome, **more)
    return on.new_facts()


def closed(on: Floor, contact: str) -> f.ContactClosed:
    return next(c for c in on.facts(f.ContactClosed) if c.contact_id == contact)


def listed(on: Floor) -> list[views.CallbackState]:
    return views.callbacks(on.engine.state, on.engine.index, on.now_us)


def test_a_callback_closes_the_call_and_takes_its_place() -> None:
    on = floor()
    on.waits("c1", priority=2, skills=("fa:1",), language="fa", customer="77", entry_point="1000")
    since_us = on.now_us
    on.pass_ms(90_000)
    taken, queued = accepts(on, "c1")
    assert isinstance(taken, f.ContactClosed)
    assert (taken.outcome, taken.result, taken.wait_ms) == ("callback", "callback_taken", 90_000)
    assert isinstance(queued, f.ContactQueued)
    assert (queued.contact_id, queued.callback_id, queued.waiting_since_us) == ("c1-cb1", "c1", since_us)
    assert (queued.priority, queued.skills, queued.language, queued.customer) == (2, ("fa:1",), "fa", "77")
    assert (queued.kind, queued.no_leg, queued.number) == ("callback", True, "09121234567")
    assert queued.expires_us == on.now_us + RULES.expires_ms * 1000


def test_it_comes_up_exactly_where_the_caller_stood() -> None:
    """Neither before those who came earlier nor after those who came later (complaint 38: callbacks jump the line)."""
    on = floor()
    for contact in ("first", "asks", "third"):
        on.waits(contact)
        on.pass_ms(1_000)
    accepts(on, "asks")
    on.available("sara")
    assert on.facts(f.OfferMade)[-1].contact_id == "first"
    on.available("omid")
    offer = on.facts(f.OfferMade)[-1]
    assert (offer.contact_id, offer.agent_id, offer.kind) == ("asks-cb1", "omid", "callback")
    assert (offer.number, offer.first, offer.dial_ms) == ("09121234567", "customer", 30_000)
    assert (offer.callback_id, offer.waiting_since_us) == (
        "asks",
        on.engine.state.contacts["asks-cb1"].waiting_since_us,
    )
    on.available("mina")  # serves support and billing only
    assert on.facts(f.OfferMade)[-1] is offer


def test_the_customer_answers_and_is_like_any_caller_from_then_on() -> None:
    on = floor()
    on.waits("c1")
    on.pass_ms(400_000)
    accepts(on, "c1")
    on.available("sara")
    offer = on.offer("c1-cb1")
    on.pass_ms(25_000)
    on.waits("c1-cb1", callback_id="c1")
    assert on.names() == ["CallbackAnswered"]
    assert not on.engine.state.callbacks
    assert on.timers[("offer", offer.offer_id)] == on.now_us + 20_000_000, (
        "the agent's whole ring time is left"
    )
    assert on.talks("c1-cb1") == "sara"
    on.report(i.ConversationEnded, "c1-cb1", ended_by="caller", talk_ms=5_000)
    over = closed(on, "c1-cb1")
    assert (over.result, over.kind, over.callback_id) == ("answered", "callback", "c1")


def test_the_limits_of_the_queue_count_from_the_answer() -> None:
    on = floor(calling(max_wait_ms=60_000, overflow=Overflow("hangup", "sorry")))
    on.waits("c1")
    on.pass_ms(30_000)
    accepts(on, "c1")
    on.pass_ms(600_000)
    assert on.engine.state.contacts["c1-cb1"].status == "waiting", "a place is no wait on the phone"
    on.available("sara")
    on.waits("c1-cb1", callback_id="c1")
    on.report(i.OfferFailed, "c1-cb1", outcome="declined")
    on.send(i.SetAgentPresence, request_id="r", agent_id="sara", presence="offline")
    on.pass_ms(59_000)
    assert on.engine.state.contacts["c1-cb1"].status == "waiting"
    on.pass_ms(2_000)
    assert closed(on, "c1-cb1").result == "timed_out"


def test_no_answer_is_an_attempt_and_the_last_one_ends_it() -> None:
    on = floor()
    on.waits("c1")
    since_us = on.now_us
    accepts(on, "c1")
    on.available("sara")
    ended, *_ = attempted(on, "c1-cb1", "no_answer")
    assert isinstance(ended, f.OfferEnded)
    assert (ended.outcome, ended.cause) == ("withdrawn", "customer_no_answer")
    assert on.engine.state.agent("sara").presence == "available", "it was not the agent's doing"
    assert (closed(on, "c1-cb1").outcome, closed(on, "c1-cb1").result) == ("callback", "callback_missed")
    second = on.engine.state.contacts["c1-cb2"]
    assert (second.attempts, second.waiting_since_us) == (1, since_us)
    assert second.hold_until_us == on.now_us + RULES.pause_ms * 1000
    made = len(on.facts(f.OfferMade))
    on.pass_ms(RULES.pause_ms - 1)
    assert len(on.facts(f.OfferMade)) == made
    on.pass_ms(1)
    assert on.facts(f.OfferMade)[-1].contact_id == "c1-cb2"
    attempted(on, "c1-cb2", "machine")
    assert closed(on, "c1-cb2").cause == "machine"
    assert not on.engine.state.contacts
    assert not on.engine.state.callbacks


def test_after_a_pause_it_is_before_those_who_came_later() -> None:
    on = floor()
    on.waits("early")
    accepts(on, "early")
    on.available("sara")
    attempted(on, "early-cb1", "busy")
    on.send(i.SetAgentPresence, request_id="r", agent_id="sara", presence="break")
    on.pass_ms(10_000)
    on.waits("late")
    on.pass_ms(RULES.pause_ms)
    on.available("sara")
    assert on.facts(f.OfferMade)[-1].contact_id == "early-cb2"


def test_an_agent_who_leaves_costs_the_customer_no_attempt() -> None:
    on = floor(calling(replace(RULES, first="agent")))
    on.waits("c1")
    accepts(on, "c1")
    on.available("sara")
    assert on.offer("c1-cb1").first == "agent"
    ended, *_ = attempted(on, "c1-cb1", "agent_left", agent_outcome="declined")
    assert isinstance(ended, f.OfferEnded)
    assert ended.outcome == "declined"
    again = on.engine.state.contacts["c1-cb2"]
    assert (again.attempts, again.serial) == (0, 2)


def test_a_late_report_about_an_attempt_is_ignored() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    on.available("sara")
    attempted(on, "c1-cb1", "no_answer")
    attempted(on, "c1-cb1", "no_answer")
    assert on.ignored() == "contact is no callback in line"
    on.waits("c1-cb1", callback_id="c1", recovered=True)
    assert on.ignored() == "contact is closed"
    assert list(on.engine.state.contacts) == ["c1-cb2"]


def test_nobody_reports_and_the_offer_ends_by_itself() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    on.available("sara")
    on.pass_ms(15_000 + 30_000 + 4_999)
    assert on.engine.state.offers
    on.pass_ms(1)
    assert on.facts(f.OfferEnded)[-1].outcome == "expired"
    assert on.engine.state.contacts["c1-cb1"].no_leg


def test_it_expires() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    on.pass_ms(RULES.expires_ms)
    assert closed(on, "c1-cb1").result == "callback_expired"


def test_nobody_is_called_outside_of_the_hours() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    on.send(i.HoursChanged, closed=frozenset({"callback:sales"}), input_id="")
    on.available("sara")
    assert not on.facts(f.OfferMade)
    on.waits("c2")
    assert on.facts(f.OfferMade)[-1].contact_id == "c2", "who is on the phone is served"
    on.available("omid")
    on.send(i.HoursChanged, closed=frozenset(), input_id="")
    assert on.facts(f.OfferMade)[-1].contact_id == "c1-cb1"


def test_a_number_on_the_do_not_call_list_is_not_called() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1", "0911")
    assert on.engine.state.callbacks
    on.send(i.CenterRevised, center=replace(calling(), do_not_call=frozenset({"0911"})), input_id="")
    assert (closed(on, "c1-cb1").result, closed(on, "c1-cb1").cause) == ("callback_cancelled", "do_not_call")
    on.waits("c2")
    accepts(on, "c2", "0911")
    assert on.ignored() == "number is on the do-not-call list"
    assert "c2" in on.engine.state.contacts, "the caller waits on"


def test_who_asks_twice_is_called_once_at_the_older_place() -> None:
    on = floor()
    on.waits("c1")
    on.pass_ms(60_000)
    accepts(on, "c1")
    on.waits("c2")
    accepts(on, "c2")
    assert closed(on, "c2").result == "callback_taken"
    assert [state.callback_id for state in listed(on)] == ["c1"]


def test_who_calls_again_and_is_served_is_not_called() -> None:
    on = floor()
    on.waits("c1", "support")
    accepts(on, "c1", "0912")
    on.waits("c2", ani="0912")
    on.available("omid")
    on.talks("c2")
    assert (closed(on, "c1-cb1").result, closed(on, "c1-cb1").cause) == ("callback_cancelled", "called_again")


def test_the_limit_asks_the_caller_before_it_ends_anything() -> None:
    on = floor(calling(max_wait_ms=60_000, overflow=Overflow("callback")))
    on.waits("c1")
    on.waits("c2")
    on.pass_ms(60_000)
    assert [fact.action for fact in on.facts(f.ContactOverflowed)] == ["callback"] * 2
    on.available("sara")
    assert not on.facts(f.OfferMade), "nobody is offered who is being asked"
    on.waits("c1", recovered=True)  # The process that asked died.
    assert on.names() == ["ContactOverflowed"]
    accepts(on, "c1")
    assert on.facts(f.OfferMade)[-1].contact_id == "c1-cb1"
    on.send(i.ContactGone, contact_id="c2", cause="NORMAL_CLEARING")
    assert (closed(on, "c2").outcome, closed(on, "c2").result) == ("overflowed", "timed_out")


def test_callbacks_do_not_fill_a_queue() -> None:
    on = floor(calling(max_length=1, full=Overflow("hangup", "sorry")))
    on.waits("c1")
    accepts(on, "c1")
    on.waits("c2")
    assert on.engine.state.contacts["c2"].status == "waiting"
    on.waits("c3")
    assert closed(on, "c3").result == "full"


def test_a_new_owner_knows_everything() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    on.available("sara")
    attempted(on, "c1-cb1", "no_answer")
    before = listed(on)
    for via_snapshot in (False, True):
        on.take_over(via_snapshot=via_snapshot)
        assert listed(on) == before
        assert on.timers[("hold", "c1-cb2")] == on.engine.state.contacts["c1-cb2"].hold_until_us
    on.pass_ms(RULES.pause_ms)
    assert on.facts(f.OfferMade)[-1].contact_id == "c1-cb2"


def wish(on: Floor, action: str, **fields: Any) -> i.Answer | i.Refuse:
    on.send(i.ChangeCallback, request_id="w", callback_id="c1", action=action, **fields)
    return next(o for o in on.outputs if isinstance(o, i.Answer | i.Refuse))


def test_cancel() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    answer = wish(on, "cancel", actor="supervisor")
    assert isinstance(answer, i.Answer)
    assert answer.callback is not None
    assert (answer.callback.state, closed(on, "c1-cb1").ended_by) == ("cancelled", "supervisor")
    refusal = wish(on, "cancel")
    assert isinstance(refusal, i.Refuse)
    assert (refusal.slug, refusal.status) == ("unknown-callback", 404)


def test_reschedule() -> None:
    on = floor()
    on.waits("c1")
    accepts(on, "c1")
    at_us = on.now_us + 10 * MINUTE_US
    answer = wish(on, "reschedule", not_before_us=at_us, number="0913")
    assert isinstance(answer, i.Answer)
    assert answer.callback is not None
    assert (answer.callback.state, answer.callback.number, answer.callback.not_before_us) == (
        "paused",
        "0913",
        at_us,
    )
    on.available("sara")
    assert not on.facts(f.OfferMade)
    on.pass_ms(600_000)
    assert on.facts(f.OfferMade)[-1].number == "0913"
    running = wish(on, "reschedule")
    assert isinstance(running, i.Refuse)
    assert running.slug == "callback-running"


def test_a_reschedule_that_cannot_be_is_refused_and_changes_nothing() -> None:
    on = floor(replace(calling(), do_not_call=frozenset({"0911"})))
    on.waits("c1")
    accepts(on, "c1")
    for fields, slug in (
        ({"number": "0911"}, "do-not-call"),
        ({"number": "call me"}, "bad-number"),
        ({"not_before_us": on.now_us + RULES.expires_ms * 1000}, "after-expiry"),
    ):
        refusal = wish(on, "reschedule", **fields)
        assert isinstance(refusal, i.Refuse)
        assert refusal.slug == slug
    assert not on.facts(f.CallbackChanged)


def test_the_callbacks_of_a_removed_queue_go_where_its_callers_go() -> None:
    on = floor()
    on.waits("c1", entry_point="2000")
    since_us = on.now_us
    accepts(on, "c1")
    on.pass_ms(1_000)
    on.send(i.CenterRevised, center=center({"support": QueueRules(callback=RULES)}), input_id="")
    moved = on.engine.state.contacts["c1-cb1"]
    assert (moved.queue, moved.no_leg, moved.waiting_since_us) == ("support", True, since_us)
    on.available("mina")
    assert on.facts(f.OfferMade)[-1].number == "09121234567"
