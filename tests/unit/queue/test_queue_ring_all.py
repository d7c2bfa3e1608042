"""Several phones ring for one caller: the first to answer has the call, every other leg ends, nobody is lost."""

from __future__ import annotations

import pytest

from services.queue.core import facts, inputs, outputs
from tests.unit.queue.rig import Rig

AGENTS = ("sara", "omid", "mina")


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.call("c1", cc_queue="everybody")
    return rig


def ring_all(rig: Rig) -> list[str]:
    legs = [rig.offer("c1", f"o{n}", agent, at_once=3) for n, agent in enumerate(AGENTS)]
    for leg in legs:
        rig.ring(leg)
    rig.deliver()
    return legs


def test_all_phones_ring_and_the_first_to_answer_is_bridged(rig: Rig) -> None:
    legs = ring_all(rig)
    assert len(rig.dialled) == 3
    rig.answer(legs[1])
    rig.deliver()
    assert legs[0] not in rig.legs
    assert legs[2] not in rig.legs
    assert {c.cause for c in rig.commands(outputs.Kill) if isinstance(c, outputs.Kill)} == {"LOSE_RACE"}
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"
    bridged = rig.facts(facts.AgentBridged)
    assert [f.agent_id for f in bridged if isinstance(f, facts.AgentBridged)] == ["omid"]
    assert rig.facts(facts.OfferFailed) == []


def test_two_phones_answer_at_once_and_one_has_the_call(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.answer(legs[2])
    rig.answer(legs[0])
    rig.deliver()
    rig.complete_bridges()
    rig.deliver()
    rig.settle()
    answered = [f.agent_id for f in rig.facts(facts.OfferAnswered) if isinstance(f, facts.OfferAnswered)]
    assert answered == ["mina"]
    assert [leg.uuid for leg in rig.agent_legs()] == [legs[2]]
    assert rig.engine.open_agent_legs() == 1


def test_one_who_declines_leaves_the_others_ringing(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.fail(legs[2], "CALL_REJECTED")
    rig.deliver()
    failed = rig.facts(facts.OfferFailed)
    assert [(f.agent_id, f.outcome) for f in failed if isinstance(f, facts.OfferFailed)] == [
        ("mina", "declined")
    ]
    assert rig.state() == "offered"
    rig.answer(legs[0])
    rig.deliver()
    rig.complete_bridges()
    rig.deliver()
    assert rig.state() == "talking"


def test_the_caller_leaves_and_every_phone_stops(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.hang_up("c1")
    rig.deliver()
    assert not set(legs) & rig.legs.keys()
    assert rig.engine.open_agent_legs() == 0
    assert len(rig.facts(facts.ContactGone)) == 1
    assert rig.facts(facts.OfferFailed) == []


def test_the_winner_is_lost_in_the_bridge_and_the_caller_waits_on(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.answer(legs[0])
    rig.deliver()
    rig.hang_up(legs[0])
    rig.complete_bridges()
    rig.settle()
    assert rig.state() == "waiting"
    failed = [f.offer_id for f in rig.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]
    assert failed == ["o0"]
    assert rig.engine.open_agent_legs() == 0


def test_a_second_order_is_refused_where_one_phone_may_ring(rig: Rig) -> None:
    rig.offer("c1", "o1", "sara")
    rig.offer("c1", "o2", "omid")
    failed = rig.facts(facts.OfferFailed)
    assert [(f.offer_id, f.cause) for f in failed if isinstance(f, facts.OfferFailed)] == [
        ("o2", "contact_offered")
    ]


def test_more_orders_than_may_ring_together_are_refused(rig: Rig) -> None:
    ring_all(rig)
    rig.offer("c1", "o9", "ali", at_once=3)
    failed = rig.facts(facts.OfferFailed)
    assert [f.offer_id for f in failed if isinstance(f, facts.OfferFailed)] == ["o9"]


def test_takeover_keeps_every_phone_that_rings_and_bridges_the_one_that_answers(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.take_over()
    rig.deliver()
    assert rig.engine.open_agent_legs() == 3
    rig.answer(legs[1])
    rig.deliver()
    rig.advance(1_000)
    assert rig.state() == "talking"
    assert [leg.uuid for leg in rig.agent_legs()] == [legs[1]]


def test_orders_for_a_caller_who_is_looked_for_are_all_carried_out(rig: Rig) -> None:
    rig.legs["c2"] = rig.legs["c1"].__class__(
        "c2",
        caller=True,
        answered=True,
        vars={"cc_tenant": "demo", "cc_queue": "everybody", "cc_state": "waiting"},
    )
    for n, agent in enumerate(AGENTS[:2]):
        rig.offer("c2", f"p{n}", agent, at_once=2)
    rig.deliver()
    rig.advance(2_000)
    assert sorted(o.offer for o in rig.dialled) == ["p0", "p1"]


def test_routing_withdraws_one_of_several(rig: Rig) -> None:
    legs = ring_all(rig)
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="withdrawn"))
    rig.deliver()
    assert legs[1] not in rig.legs
    assert {legs[0], legs[2]} <= rig.legs.keys()
    assert rig.state() == "offered"


def test_several_answer_while_nobody_looks_and_the_next_owner_ends_all_but_one(rig: Rig) -> None:
    """Routing has who lost free as soon as one has answered: a prompt in their ears would make their phones busy for the next call."""
    legs = ring_all(rig)
    rig.dead = True
    for leg in legs:
        rig.answer(leg)
    rig.deliver()
    rig.take_over()
    rig.deliver()
    assert len([leg for leg in legs if leg in rig.legs]) == 1
    assert rig.commands(outputs.Farewell) == []
    rig.settle()
    assert rig.state() == "talking"
    assert rig.facts(facts.OfferFailed) == []
