"""Nodes that are being emptied: what moves, what stays, and what a new owner knows of it."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import CallbackRules, Policy
from tests.unit.routing.floor import QUEUES, Floor, center

CALLBACKS = center({**QUEUES, "sales": QUEUES["sales"].__class__(ring_ms=15_000, callback=CallbackRules())})


def floor_of(*nodes: str) -> Floor:
    return Floor(CALLBACKS, Policy(nodes=nodes))


def drain(floor: Floor, node: str, *, draining: bool = True) -> None:
    floor.send(
        i.NodeDrainChanged, node=node, draining=draining, since_us=floor.now_us if draining else 0, actor="root"
    )  # fmt: skip


def test_a_waiting_contact_that_arrives_on_another_node_is_the_same_at_the_same_place() -> None:
    floor = floor_of("fs1", "fs2")
    floor.waits("c1", node="fs1")
    since_us = floor.engine.state.contacts["c1"].waiting_since_us
    floor.pass_ms(30_000)
    floor.waits("c2", node="fs1")
    floor.send(
        i.ContactWaiting, contact_id="c1", node="fs2", queue="sales", waiting_since_us=since_us, recovered=True
    )  # fmt: skip
    assert floor.facts(f.ContactMoved) == [f.ContactMoved("c1", "fs1", "fs2", "drain")]
    assert len(floor.facts(f.ContactQueued)) == 2, "nothing is queued anew"
    assert floor.engine.state.contacts["c1"].waiting_since_us == since_us
    floor.available("omid")
    made = floor.facts(f.OfferMade)[0]
    assert (made.contact_id, made.node) == ("c1", "fs2"), "the place is kept, the order goes to the new node"


def test_who_rings_on_the_former_node_is_freed_and_the_contact_offered_on_the_new_one() -> None:
    floor = floor_of("fs1", "fs2")
    floor.available("omid")
    floor.waits("c1", node="fs1")
    floor.offer("c1")
    floor.send(
        i.ContactWaiting, contact_id="c1", node="fs2", queue="sales", waiting_since_us=1, recovered=True
    )
    ended = floor.facts(f.OfferEnded)[0]
    assert (ended.outcome, ended.cause) == ("withdrawn", "contact_moved")
    floor.pass_ms(10_000)
    assert [o.node for o in floor.facts(f.OfferMade)] == ["fs1", "fs2"]


def test_a_conversation_is_not_taken_apart_by_an_arrival() -> None:
    """An agent was faster than the carrier: the caller talks on the first node."""
    floor = floor_of("fs1", "fs2")
    floor.available("omid")
    floor.waits("c1", node="fs1")
    floor.talks("c1")
    floor.send(
        i.ContactWaiting, contact_id="c1", node="fs2", queue="sales", waiting_since_us=1, recovered=True
    )
    assert floor.engine.state.contacts["c1"].status == "talking"
    assert floor.facts(f.ContactMoved) == []


def test_callbacks_in_line_are_called_from_another_node() -> None:
    floor = floor_of("fs1", "fs2", "fs3")
    floor.waits("c1", node="fs1")
    floor.send(i.CallbackAccepted, contact_id="c1", number="0912", own_number=True)
    drain(floor, "fs1")
    moved = floor.facts(f.ContactMoved)
    assert [(m.contact_id, m.from_node, m.reason) for m in moved] == [("c1-cb1", "fs1", "drain")]
    assert moved[0].node in ("fs2", "fs3")
    floor.available("omid")
    assert floor.facts(f.OfferMade)[-1].node == moved[0].node


def test_a_callback_that_is_asked_for_on_a_draining_node_goes_elsewhere_at_once() -> None:
    floor = floor_of("fs1", "fs2")
    drain(floor, "fs1")
    floor.waits("c1", node="fs1")
    floor.send(i.CallbackAccepted, contact_id="c1", number="0912", own_number=True)
    assert floor.engine.state.contacts["c1-cb1"].node == "fs2"
    drain(floor, "fs1", draining=False)
    floor.waits("c2", node="fs1")
    floor.send(i.CallbackAccepted, contact_id="c2", number="0913", own_number=True)
    assert floor.engine.state.contacts["c2-cb1"].node == "fs1"


def test_without_another_node_callbacks_stay() -> None:
    for floor in (floor_of("fs1"), floor_of()):
        floor.waits("c1", node="fs1")
        floor.send(i.CallbackAccepted, contact_id="c1", number="0912", own_number=True)
        drain(floor, "fs1")
        assert floor.facts(f.ContactMoved) == []
    both = floor_of("fs1", "fs2")
    both.waits("c1", node="fs1")
    both.send(i.CallbackAccepted, contact_id="c1", number="0912", own_number=True)
    both.send(i.NodeSeen, node="fs2", up=False)
    drain(both, "fs1")
    assert both.facts(f.ContactMoved) == []


def test_the_same_word_twice_is_one_fact_and_a_new_owner_knows_it() -> None:
    floor = floor_of("fs1", "fs2")
    drain(floor, "fs1")
    drain(floor, "fs1")
    assert len(floor.facts(f.NodeDraining)) == 1
    for via_snapshot in (True, False):
        floor.take_over(CALLBACKS, via_snapshot=via_snapshot)
        assert [(n.node, n.draining) for n in views.nodes(floor.engine.state)] == [("fs1", True)]
    drain(floor, "fs1", draining=False)
    assert floor.engine.state.draining == {}


def test_what_an_arrival_is_asked_about() -> None:
    floor = floor_of("fs1", "fs2")
    floor.waits("c1", node="fs1", priority=3, customer="k-7", skills=("fa:3",), ani="0912")
    known = views.contact_details(floor.engine.state, "c1")
    assert (known.queue, known.priority, known.customer, known.skills, known.ani, known.node) == (
        "sales", 3, "k-7", ("fa:3",), "0912", "fs1",
    )  # fmt: skip
    assert views.contact_details(floor.engine.state, "nobody") == views.ContactDetails("nobody")
