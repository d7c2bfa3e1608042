"""A caller for one agent, of whom the flow says where to go when that agent does not take the call: nobody else is asked."""

from __future__ import annotations

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Overflow, QueueRules, way_of
from tests.unit.routing.floor import Floor, center

AGENTS = {name: AgentRules(ext, ("q", "other")) for name, ext in (("ann", "1"), ("bob", "2"))}
QUEUES = {"q": QueueRules(ring_ms=15_000), "other": QueueRules()}
MESSAGE = "voicemail:leave-message"


def floor_with(*there: str, no_answer: str = MESSAGE, ms: int = 20_000) -> Floor:
    """The agents of ``there`` are available, and ``c1`` waits for ann alone."""
    floor = Floor(center(QUEUES, AGENTS))
    floor.available(*there)
    floor.waits("c1", "q", preferred_agent="ann", preferred_ms=ms, no_answer=no_answer)
    return floor


def went(floor: Floor) -> tuple[str, str, str, int]:
    """Why and where the caller went, and after which wait."""
    (fact,) = floor.facts(f.ContactOverflowed)
    return fact.reason, fact.action, fact.target, fact.wait_ms


def fails(floor: Floor, outcome: str) -> None:
    """The agent does not take the call; what is due then happens."""
    floor.report(i.OfferFailed, "c1", outcome=outcome)
    floor.pass_ms(0)


def asked(floor: Floor) -> list[str]:
    return [o.agent_id for o in floor.facts(f.OfferMade) if o.contact_id == "c1"]


@pytest.mark.parametrize("outcome", ["no_answer", "declined", "busy", "unreachable"])
def test_after_a_ring_in_vain_the_caller_leaves_a_message_and_nobody_else_is_asked(outcome: str) -> None:
    floor = floor_with("ann", "bob")
    floor.pass_ms(10_000)
    fails(floor, outcome)
    assert went(floor) == ("no_answer", "voicemail", "leave-message", 10_000)
    assert asked(floor) == ["ann"]
    assert floor.facts(f.ContactClosed)[-1].result == "timed_out"


def test_who_talks_for_too_long_is_given_up() -> None:
    floor = Floor(center(QUEUES, AGENTS))
    floor.available("ann", "bob")
    floor.waits("c0", "q")
    assert floor.talks("c0") == "ann"
    floor.waits("c1", "q", preferred_agent="ann", preferred_ms=20_000, no_answer=MESSAGE)
    floor.pass_ms(19_999)
    assert floor.facts(f.ContactOverflowed) == []
    floor.pass_ms(1)
    assert went(floor) == ("no_answer", "voicemail", "leave-message", 20_000)
    assert asked(floor) == []


def test_a_phone_that_rings_rings_to_its_end_though_the_time_is_over() -> None:
    floor = floor_with("ann", ms=5_000)
    floor.pass_ms(14_000)
    assert floor.facts(f.ContactOverflowed) == []
    fails(floor, "no_answer")
    assert went(floor)[3] == 14_000


@pytest.mark.parametrize("presence", ["break", "offline"])
def test_who_goes_away_meanwhile_is_given_up_at_once(presence: str) -> None:
    floor = Floor(center(QUEUES, AGENTS))
    floor.available("ann")
    floor.waits("c0", "q")
    floor.talks("c0")
    floor.available("bob")
    floor.waits("c1", "q", preferred_agent="ann", preferred_ms=60_000, no_answer=MESSAGE)
    floor.pass_ms(3_000)
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence=presence)
    floor.pass_ms(0)
    assert went(floor) == ("no_answer", "voicemail", "leave-message", 3_000)
    assert asked(floor) == []


def test_another_queue_asks_everybody_and_keeps_the_wait() -> None:
    floor = floor_with("ann", "bob", no_answer="queue:other")
    since_us = floor.now_us
    floor.pass_ms(10_000)
    fails(floor, "declined")
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.queue, queued.waiting_since_us, queued.no_answer) == ("other", since_us, "")
    floor.pass_ms(1_000)
    assert asked(floor) == ["ann", "bob"]
    floor.pass_ms(600_000)
    assert len(floor.facts(f.ContactOverflowed)) == 1, "that was for the first queue"


def test_a_queue_that_is_gone_leads_to_the_fallback() -> None:
    floor = floor_with("ann", no_answer="queue:gone")
    fails(floor, "declined")
    reason, action, target, _ = went(floor)
    assert (reason, action) == ("no_answer", "queue")
    assert target == "q", "there is no other: everybody of this one is asked"


def test_a_new_owner_keeps_to_it() -> None:
    floor = floor_with("ann", "bob")
    floor.take_over()
    fails(floor, "declined")
    assert went(floor)[:3] == ("no_answer", "voicemail", "leave-message")


@pytest.mark.parametrize("said", ["", "nowhere", "dance:now", "voicemail"])
def test_what_is_no_way_out_is_as_if_nothing_was_said(said: str) -> None:
    assert way_of(said) is None
    floor = floor_with("ann", "bob", no_answer=said)
    fails(floor, "declined")
    assert floor.facts(f.ContactOverflowed) == []
    floor.pass_ms(1_000)
    assert asked(floor) == ["ann", "bob"]


def test_ways_out_are_read_as_they_are_written() -> None:
    assert way_of("transfer:+98:21") == Overflow("transfer", "+98:21")
    assert way_of("callback:") == Overflow("callback")
