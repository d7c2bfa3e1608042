"""Choosing the contact: score, an agent's own order of queues, a change of priority, and fairness between queues."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, QueueOrder, QueueRules
from services.routing.core.facts import Term
from tests.unit.routing.floor import Floor


def floor_of(*, between: str = "strict", orders: dict[str, QueueOrder] | None = None) -> Floor:
    return Floor(
        Center(
            "r1",
            {"a": QueueRules(), "b": QueueRules()},
            {"ann": AgentRules("1", ("a", "b"), orders=orders or {})},
            default_fallback="a",
            class_ms={"vip": 90_000},
            entry_ms={"2000": 30_000},
            between_queues=between,
        )
    )


def served(floor: Floor) -> list[str]:
    """Let the agent take everybody who waits, one after the other."""
    floor.available("ann")
    order = []
    while floor.engine.state.contacts:
        offer = floor.facts(f.OfferMade)[-1]
        order.append(offer.contact_id)
        floor.talks(offer.contact_id)
        floor.report(i.ConversationEnded, offer.contact_id, ended_by="caller")
    return order


def test_score_is_age_and_head_starts_in_seconds() -> None:
    floor = floor_of()
    floor.waits("old", "a")
    floor.pass_ms(80_000)
    floor.waits("point", "a", priority=1)  # 60 s
    floor.waits("vip", "a", service_class="vip")  # 90 s
    floor.waits("line", "a", entry_point="2000")  # 30 s
    floor.waits("all", "a", priority=1, service_class="vip", entry_point="2000")  # 180 s
    assert served(floor) == ["all", "vip", "old", "point", "line"]
    why = floor.offer("all").why
    assert why.score == (
        Term("age", 0),
        Term("priority", 60_000),
        Term("class", 90_000),
        Term("entry_point", 30_000),
    )
    assert why.score_ms == 180_000
    assert why.contact_rule == "score"


def test_negative_priority_waits_longer_but_not_for_ever() -> None:
    floor = floor_of()
    floor.waits("late", "a", priority=-1)
    floor.pass_ms(61_000)
    floor.waits("new", "a")
    assert served(floor) == ["late", "new"]


def test_agents_own_order_of_queues_comes_before_the_score() -> None:
    floor = floor_of(orders={"a": QueueOrder(2)})
    floor.waits("a1", "a")
    floor.pass_ms(600_000)
    floor.waits("b1", "b")
    assert served(floor) == ["b1", "a1"]
    assert floor.offer("b1").why.contact_rule == "own_order"


def test_change_of_priority_acts_at_once() -> None:
    floor = floor_of()
    floor.waits("first", "a")
    floor.pass_ms(10_000)
    floor.waits("second", "a")
    floor.send(i.SetContactPriority, request_id="r", contact_id="second", priority=2)
    assert floor.new_facts() == [f.ContactPriorityChanged("second", 2, 0, "supervisor")]
    answer = floor.outputs[-1]
    assert isinstance(answer, i.Answer)
    assert answer.contact is not None
    assert (answer.contact.priority, answer.contact.position) == (2, 1)
    assert served(floor) == ["second", "first"]


def test_priority_of_a_contact_that_rings_counts_when_it_waits_again() -> None:
    floor = floor_of()
    floor.available("ann")
    floor.waits("c1", "a")
    floor.waits("c2", "a")
    floor.send(i.SetContactPriority, request_id="r", contact_id="c1", priority=-5)
    floor.report(i.OfferFailed, "c1", outcome="declined")
    floor.pass_ms(5_000)
    assert floor.facts(f.OfferMade)[-1].contact_id == "c2"


def test_wish_for_a_priority_is_refused_with_a_slug() -> None:
    floor = floor_of()
    floor.available("ann")
    floor.waits("c1", "a")
    for contact_id, priority, slug, status in (
        ("c9", 1, "unknown-contact", 404),
        ("c1", 101, "bad-priority", 422),
    ):
        floor.send(i.SetContactPriority, request_id="r", contact_id=contact_id, priority=priority)
        refusal = floor.outputs[-1]
        assert isinstance(refusal, i.Refuse)
        assert (refusal.slug, refusal.status) == (slug, status)
    floor.talks("c1")
    floor.send(i.SetContactPriority, request_id="r", contact_id="c1", priority=1)
    assert isinstance(floor.outputs[-1], i.Refuse)
    assert floor.outputs[-1].slug == "contact-answered"


def test_queues_that_share_take_turns_whatever_the_score() -> None:
    floor = floor_of(between="share")
    for n in range(3):
        floor.waits(f"a{n}", "a", service_class="vip")
    floor.pass_ms(1_000)
    for n in range(3):
        floor.waits(f"b{n}", "b")
    assert served(floor) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert floor.offer("b0").why.contact_rule == "share"


def test_strict_queues_go_by_the_score_of_all() -> None:
    floor = floor_of(between="strict")
    for n in range(3):
        floor.waits(f"b{n}", "b")
    floor.pass_ms(1_000)
    for n in range(3):
        floor.waits(f"a{n}", "a", service_class="vip")
    assert served(floor) == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_queue_that_was_empty_does_not_make_up_for_it() -> None:
    floor = floor_of(between="share")
    for n in range(6):
        floor.waits(f"a{n}", "a")
    floor.available("ann")
    for n in range(4):
        floor.talks(f"a{n}")
        floor.report(i.ConversationEnded, f"a{n}", ended_by="caller")
    for n in range(3):
        floor.waits(f"b{n}", "b")
    order = served(floor)
    assert order[:5] == ["a4", "b0", "a5", "b1", "b2"]
