"""Queues and agents that are deleted while they have calls: each stage is finished, also by an owner who starts in the middle."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import AgentRules, Center, Overflow, QueueOrder, QueueRules
from tests.unit.routing.floor import QUEUES, Floor, center

VIP = QueueRules(
    ring_ms=15_000, wrap_up_ms=20_000, max_wait_ms=120_000, overflow=Overflow("queue", "gone-too")
)
AGENTS = {
    "sara": AgentRules("1001", ("sales", "vip"), {"sales": 3}),
    "omid": AgentRules("1002", ("sales",), {"sales": 1}),
}
BEFORE = center({**QUEUES, "vip": VIP, "gone-too": VIP}, AGENTS)
AFTER = msgspec.structs.replace(BEFORE, revision="r2", draining=frozenset({"vip", "gone-too"}))
"""What the adapter makes of a document without the queues."""

Restart = Callable[[Floor], None]


def _goes_on(floor: Floor) -> None:
    """The owner stays."""


def _from_the_log(floor: Floor) -> None:
    floor.take_over(AFTER)


def _from_a_snapshot(floor: Floor) -> None:
    floor.take_over(AFTER, via_snapshot=True)


restarts = pytest.mark.parametrize("restart", [_goes_on, _from_the_log, _from_a_snapshot])


def floor_with_a_talk() -> Floor:
    """Sara, the only one who serves vip, talks with somebody of it."""
    floor = Floor(BEFORE)
    floor.available("sara")
    floor.waits("first", "vip")
    assert floor.talks("first") == "sara"
    return floor


def revise(floor: Floor, to: Center = AFTER) -> None:
    floor.send(i.CenterRevised, center=to)


def queue_of(floor: Floor, contact_id: str) -> str:
    return floor.engine.state.contacts[contact_id].queue


def seen(floor: Floor) -> dict[str, bool]:
    """The queues that are shown, and whether they drain."""
    engine = floor.engine
    return {
        q.queue: q.draining for q in views.queues(engine.state, engine.center, engine.index, floor.now_us)
    }


@restarts
def test_who_waits_in_a_deleted_queue_is_served_by_those_who_served_it(restart: Restart) -> None:
    floor = floor_with_a_talk()
    floor.waits("second", "vip")
    revise(floor)
    restart(floor)
    assert queue_of(floor, "second") == "vip"
    assert seen(floor)["vip"] is True
    assert "gone-too" not in seen(floor), "nobody is in it"
    floor.report(i.ConversationEnded, "first", ended_by="caller", talk_ms=5_000)
    assert floor.engine.state.agent("sara").activity == "wrap_up", "as the queue had it"
    floor.pass_ms(20_000)
    assert floor.talks("second") == "sara"
    restart(floor)
    assert seen(floor)["vip"] is True
    floor.report(i.ConversationEnded, "second", ended_by="caller", talk_ms=5_000)
    floor.pass_ms(20_000)
    assert "vip" not in seen(floor)
    assert floor.engine.check() == []


@restarts
def test_an_offer_that_rings_while_its_queue_is_deleted_goes_on(restart: Restart) -> None:
    floor = Floor(BEFORE)
    floor.available("sara")
    floor.waits("c", "vip")
    floor.report(i.OfferRinging, "c")
    revise(floor)
    restart(floor)
    assert floor.facts(f.OfferEnded) == []
    floor.report(i.OfferFailed, "c", outcome="declined")
    assert queue_of(floor, "c") == "vip", "back at its place, as long as somebody serves it"
    floor.pass_ms(6_000)
    assert len(floor.facts(f.OfferMade)) == 2
    assert floor.talks("c") == "sara"


@restarts
def test_a_deleted_queue_takes_nobody_new(restart: Restart) -> None:
    floor = floor_with_a_talk()
    floor.waits("second", "vip")
    revise(floor)
    restart(floor)
    floor.waits("late", "vip", entry_point="2000")
    assert queue_of(floor, "late") == "support", "the fallback of its entry point"
    overflow = floor.facts(f.ContactOverflowed)[-1]
    assert (overflow.contact_id, overflow.reason) == ("late", "queue_removed")
    floor.waits("found", "vip", recovered=True)
    assert queue_of(floor, "found") == "vip", "who was found there after a takeover is not new"
    floor.waits("other")
    floor.available("omid")
    floor.talks("other")
    floor.report(i.TransferRequested, "other", request_id="t", target_kind="queue", target="vip")
    assert queue_of(floor, "other") == "sales"


@restarts
def test_the_way_out_is_taken_and_one_that_leads_to_a_deleted_queue_leads_to_the_fallback(
    restart: Restart,
) -> None:
    floor = floor_with_a_talk()
    floor.waits("second", "vip", entry_point="2000")
    began_us = floor.now_us
    revise(floor)
    restart(floor)
    floor.pass_ms(119_000)
    assert queue_of(floor, "second") == "vip"
    floor.pass_ms(1_000)
    assert queue_of(floor, "second") == "support"
    assert floor.engine.state.contacts["second"].waiting_since_us == began_us
    assert floor.facts(f.ContactOverflowed)[-1].reason == "max_wait"


@restarts
def test_when_nobody_is_left_who_served_it_the_callers_go_on_with_their_time(restart: Restart) -> None:
    floor = floor_with_a_talk()
    floor.available("omid")
    floor.waits("second", "vip")
    began_us = floor.now_us
    revise(floor)
    restart(floor)
    floor.pass_ms(10_000)
    floor.send(i.SetAgentPresence, request_id="r", agent_id="sara", presence="offline")
    floor.pass_ms(0)
    assert floor.engine.state.contacts["second"].waiting_since_us == began_us
    assert queue_of(floor, "second") == "sales"
    assert floor.talks("second") == "omid"


@restarts
def test_a_deleted_agent_finishes_the_call_and_its_work_and_is_seen_until_then(restart: Restart) -> None:
    floor = floor_with_a_talk()
    floor.waits("second")
    without = msgspec.structs.replace(BEFORE, revision="r3", agents={"omid": AGENTS["omid"]})

    def again() -> None:
        if restart is not _goes_on:
            floor.take_over(without, via_snapshot=restart is _from_a_snapshot)

    def sara() -> views.AgentState | None:
        shown = views.agents(floor.engine.state, without, floor.now_us)
        return next((agent for agent in shown if agent.agent_id == "sara"), None)

    revise(floor, without)
    again()
    talking = sara()
    assert talking is not None
    assert (talking.draining, talking.activity, talking.presence) == (True, "talking", "offline")
    outputs = floor.send(i.SetAgentPresence, request_id="r", agent_id="sara", presence="available")
    assert [o.slug for o in outputs if isinstance(o, i.Refuse)] == ["agent-removed"]
    floor.report(i.ConversationEnded, "first", ended_by="caller", talk_ms=5_000)
    again()
    writing = sara()
    assert writing is not None
    assert (writing.draining, writing.activity) == (True, "wrap_up")
    floor.send(i.SetDisposition, request_id="r", agent_id="sara", code="1")
    assert floor.facts(f.WrapUpEnded)[-1].disposition == "1"
    assert sara() is None
    assert all(o.agent_id != "sara" for o in floor.facts(f.OfferMade)[1:])


def test_the_order_that_an_agent_had_in_a_deleted_queue_holds_until_it_is_empty() -> None:
    orders = {"vip": QueueOrder(1, 30_000)}
    agents = {**AGENTS, "sara": msgspec.structs.replace(AGENTS["sara"], orders=orders)}
    floor = Floor(msgspec.structs.replace(BEFORE, agents=agents))
    floor.available("sara")
    floor.waits("c", "vip")
    revise(floor, msgspec.structs.replace(AFTER, agents=agents))
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(30_000)
    assert floor.talks("c") == "sara"
