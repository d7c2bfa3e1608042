"""Agents who answered in vain: routing hears that they are on the line still, and when their leg is over, whoever owns the node then."""

from __future__ import annotations

from services.queue.core import facts, legs
from services.queue.core import outbound_facts as of
from tests.unit.queue.rig import Rig
from tests.unit.queue.test_queue_before_bridge import answered
from tests.unit.queue.test_queue_before_bridge import rig as told_rig
from tests.unit.queue.test_queue_callbacks import Floor
from tests.unit.queue.test_queue_outbound import CONTACT, Desk

rig = told_rig  # Agents are told something before the bridge.


def kept(on: Rig) -> list[str]:
    kinds = (facts.ContactGone, facts.CallbackAttempted, of.OutboundFailed)
    return [fact.kept_offer_id for fact in on.facts() if isinstance(fact, kinds)]


def released(on: Rig) -> list[tuple[str, str, str]]:
    found = [fact for fact in on.facts(facts.AgentReleased) if isinstance(fact, facts.AgentReleased)]
    return [(fact.offer_id, fact.contact_id, fact.agent_id) for fact in found]


def test_who_is_told_that_the_caller_left_is_kept_until_the_leg_is_over(rig: Rig) -> None:
    leg = answered(rig)
    rig.hang_up("c1")
    rig.deliver()
    assert rig.legs[leg].mode == "farewell"
    assert kept(rig) == ["o1"]
    assert released(rig) == []
    rig.settle()
    assert released(rig) == [("o1", "c1", "sara")]


def test_so_is_one_who_is_put_down_without_a_word() -> None:
    rig = Rig()
    rig.call()
    leg = rig.offer("c1", "o1", "sara")
    rig.ring(leg)
    rig.answer(leg)
    rig.feed_next(rig.events)
    rig.feed_next(rig.events)
    rig.hang_up("c1")
    rig.settle()
    assert kept(rig) == ["o1"]
    assert released(rig) == [("o1", "c1", "sara")]


def test_a_phone_that_rings_is_not_kept(rig: Rig) -> None:
    rig.ring(rig.offer("c1", "o1", "sara"))
    rig.deliver()
    rig.hang_up("c1")
    rig.settle()
    assert (kept(rig), released(rig)) == ([""], [])


def test_nor_is_one_who_puts_down_first(rig: Rig) -> None:
    leg = answered(rig)
    rig.hang_up(leg)
    rig.deliver()
    rig.hang_up("c1")
    rig.settle()
    assert (kept(rig), released(rig)) == ([""], [])


def test_a_conversation_keeps_nobody(rig: Rig) -> None:
    plain = Rig()
    plain.call()
    plain.talk()
    plain.hang_up("c1")
    plain.settle()
    assert (kept(plain), released(plain)) == ([""], [])


def test_the_agent_of_a_callback_whose_customer_is_not_reached() -> None:
    floor = Floor()
    floor.calls_in()
    floor.hang_up("c1")
    floor.deliver()
    floor.reports.clear()
    floor.orders("agent")
    floor.picks_up("leg-o1")
    floor.fail("c1-cb1", "NO_ANSWER")
    floor.deliver()
    assert (kept(floor), released(floor)) == (["o1"], [])
    floor.settle()
    assert released(floor) == [("o1", "c1-cb1", "sara")]


def test_the_next_owner_says_when_the_leg_is_over(rig: Rig) -> None:
    answered(rig)
    rig.hang_up("c1")
    rig.deliver()
    rig.take_over()
    rig.settle()
    assert kept(rig) == ["o1"]
    assert released(rig) == [("o1", "c1", "sara")]


def test_the_next_owner_finds_that_the_caller_left_and_the_agent_waits(rig: Rig) -> None:
    """Nobody saw the caller hang up: the agent's leg is in the listing, the caller's is not."""
    answered(rig)
    rig.dead = True
    rig.hang_up("c1")
    rig.deliver()
    open_contact = legs.OpenContact(
        contact="c1", tenant="demo", queue="sales", waiting_since_us=rig.now_us, offer="o1", agent="sara"
    )
    rig.take_over((open_contact,))
    rig.settle()
    # While the owner before might still tell of the caller, the agent is told and is off the line: nobody need be kept.
    assert (kept(rig), released(rig)) == ([""], [("o1", "c1", "sara")])
    reported = [type(fact) for fact in rig.facts()]
    assert reported.index(facts.AgentReleased) < reported.index(facts.ContactGone)
    assert rig.legs == {}


def test_the_agent_whose_own_call_reaches_nobody() -> None:
    desk = Desk()
    desk.picks_up(desk.places())
    desk.fail(CONTACT, "USER_BUSY")
    desk.settle()
    assert (kept(desk), released(desk)) == (["o1"], [("o1", CONTACT, "sara")])
    told = [type(fact) for fact in desk.facts()]
    assert told.index(of.OutboundFailed) < told.index(facts.AgentReleased)
