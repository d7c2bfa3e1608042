"""Keys of waiting callers, messages instead of waiting, and the old place of who calls again."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Overflow, QueueRules
from tests.unit.routing.floor import QUEUES, Floor, center

KEYS = {
    "1": Overflow("queue", "support"),
    "2": Overflow("voicemail", "leave-message"),
    "3": Overflow("transfer", "+982112"),
    "4": Overflow("queue", "gone"),
}
RULES = center(
    QUEUES
    | {
        "sales": QueueRules(
            ring_ms=15_000, keys=KEYS, return_ms=120_000, max_wait_ms=600_000, overflow=Overflow("voicemail", "leave")
        ),
        "support": QueueRules(keys={"2": Overflow("hangup", "sorry")}),
    }
)  # fmt: skip


def key(floor: Floor, contact_id: str, digit: str, queue: str = "sales") -> None:
    floor.send(i.KeyPressed, contact_id=contact_id, key=digit, queue=queue)


def test_a_key_leads_to_another_queue_and_the_wait_goes_on() -> None:
    floor = Floor(RULES)
    floor.waits("c1")
    since_us = floor.now_us
    floor.pass_ms(30_000)
    key(floor, "c1", "1")
    overflowed, queued = floor.facts(f.ContactOverflowed)[-1], floor.facts(f.ContactQueued)[-1]
    assert (overflowed.reason, overflowed.action, overflowed.target) == ("key", "queue", "support")
    assert (queued.queue, queued.waiting_since_us, queued.requeued) == ("support", since_us, True)
    floor.available("mina")
    assert floor.facts(f.OfferMade)[-1].queue == "support"


def test_a_key_to_a_message_or_a_number_ends_the_wait() -> None:
    floor = Floor(RULES)
    for n, (digit, action) in enumerate((("2", "voicemail"), ("3", "transfer"))):
        floor.waits(f"c{n}")
        floor.pass_ms(5_000)
        key(floor, f"c{n}", digit)
        assert floor.facts(f.ContactOverflowed)[-1].action == action
        closed = floor.facts(f.ContactClosed)[-1]
        assert (closed.outcome, closed.result, closed.wait_ms) == ("overflowed", "overflowed", 5_000)


def test_a_message_after_the_longest_wait_is_a_wait_that_was_too_long() -> None:
    floor = Floor(RULES)
    floor.waits("c1")
    floor.pass_ms(600_000)
    assert floor.facts(f.ContactOverflowed)[-1].action == "voicemail"
    assert floor.facts(f.ContactClosed)[-1].result == "timed_out"


def test_a_key_of_the_former_queue_or_without_a_meaning_changes_nothing() -> None:
    floor = Floor(RULES)
    floor.waits("c1")
    key(floor, "c1", "9")
    key(floor, "c1", "4")
    key(floor, "c1", "1")
    key(floor, "c1", "2")  # pressed in sales, read when the contact is in support
    key(floor, "unknown", "1")
    assert [o.action for o in floor.facts(f.ContactOverflowed)] == ["queue"]
    assert "c1" in floor.engine.state.contacts


def test_a_key_withdraws_an_offer_that_routing_has_just_made() -> None:
    floor = Floor(RULES)
    floor.available("sara")
    floor.waits("c1")
    offer = floor.facts(f.OfferMade)[-1]
    key(floor, "c1", "2")
    ended = floor.facts(f.OfferEnded)[-1]
    assert (ended.offer_id, ended.outcome, ended.cause) == (offer.offer_id, "withdrawn", "caller_key")
    assert floor.engine.state.agent("sara").activity == "idle"
    assert "c1" not in floor.engine.state.contacts


def leave(floor: Floor, contact_id: str) -> None:
    floor.send(i.ContactGone, contact_id=contact_id, cause="ORIGINATOR_CANCEL")


def test_who_hangs_up_and_calls_again_has_the_old_place_once() -> None:
    floor = Floor(RULES)
    floor.waits("c1", ani="0912")
    floor.pass_ms(60_000)
    floor.waits("c2", ani="0913")
    floor.pass_ms(30_000)
    leave(floor, "c1")
    floor.pass_ms(20_000)
    floor.take_over(via_snapshot=True)
    floor.waits("c3", ani="0914")
    floor.waits("c4", ani="0912")
    back = floor.facts(f.ContactQueued)[-1]
    assert (back.contact_id, back.returned_ms) == ("c4", 110_000)
    assert back.waiting_since_us == floor.now_us  # the books count the wait of this call alone
    floor.available("sara")
    made = floor.facts(f.OfferMade)[-1]
    assert made.contact_id == "c4"
    assert ("returned", 110_000) in [(term.name, term.ms) for term in made.why.score]
    leave(floor, "c4")
    floor.pass_ms(1_000)
    floor.waits("c5", ani="0912")
    assert floor.facts(f.ContactQueued)[-1].returned_ms == 0


def test_too_late_another_queue_another_number_or_none_is_a_new_caller() -> None:
    floor = Floor(RULES)
    for n, ani in enumerate(("0912", "")):
        floor.waits(f"c{n}", ani=ani)
        floor.pass_ms(10_000)
        leave(floor, f"c{n}")
    for n, (queue, ani) in enumerate((("support", "0912"), ("sales", "0913"), ("sales", ""))):
        floor.waits(f"n{n}", queue, ani=ani)
        assert floor.facts(f.ContactQueued)[-1].returned_ms == 0
    floor.pass_ms(120_001)
    floor.waits("late", ani="0912")
    assert floor.facts(f.ContactQueued)[-1].returned_ms == 0


def test_who_was_answered_and_calls_again_is_a_new_caller() -> None:
    floor = Floor(RULES)
    floor.available("sara")
    floor.waits("c1", ani="0912")
    offer = floor.facts(f.OfferMade)[-1]
    floor.send(i.AgentBridged, offer_id=offer.offer_id, contact_id="c1", agent_id="sara")
    floor.send(
        i.ConversationEnded, offer_id=offer.offer_id, contact_id="c1", agent_id="sara", ended_by="caller"
    )
    floor.waits("c2", ani="0912")
    assert floor.facts(f.ContactQueued)[-1].returned_ms == 0


def test_the_old_place_goes_along_to_another_queue() -> None:
    floor = Floor(RULES)
    floor.waits("c1", ani="0912")
    floor.pass_ms(60_000)
    leave(floor, "c1")
    floor.waits("c2", ani="0912")
    key(floor, "c2", "1")
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.queue, queued.returned_ms) == ("support", 60_000)


def test_what_a_queue_remembers_survives_its_owner() -> None:
    floor = Floor(RULES)
    floor.available("sara")
    floor.waits("c1")
    floor.pass_ms(4_000)
    floor.talks("c1")
    floor.pass_ms(90_000)
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.waits("c2")
    floor.pass_ms(7_000)
    leave(floor, "c2")
    history = floor.engine.state.history["sales"]
    assert (history.handling_ms, history.left, history.served_waits_ms) == (90_000, 1, (4_000,))
    for via_snapshot in (False, True):
        floor.take_over(via_snapshot=via_snapshot)
        assert floor.engine.state.history["sales"] == history
