"""Passing a contact on: what routing decides, in which order, and what every failure leads back to."""

from __future__ import annotations

from typing import Any

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results
from services.routing.core.center import AgentRules, QueueRules
from services.routing.core.engine import Engine
from tests.unit.routing.floor import Floor, center


def floor_of(**settings: str) -> Floor:
    rules = center(
        {
            "q": QueueRules(wrap_up_ms=20_000, ring_ms=15_000),
            "other": QueueRules(wrap_up_ms=0),
            "small": QueueRules(max_length=1),
        },
        {
            "ann": AgentRules("1001", ("q",)),
            "bob": AgentRules("1002", ("q", "other")),
            "cyd": AgentRules("1003", ("other",)),
        },
    )
    return Floor(type(rules)(**{k: getattr(rules, k) for k in rules.__struct_fields__} | settings))


def talking(floor: Floor) -> str:
    """Ann talks with c1; returns the offer."""
    floor.available("ann")
    floor.waits("c1", "q")
    floor.pass_ms(1_000)
    assert floor.talks("c1") == "ann"
    floor.pass_ms(5_000)
    return floor.offer("c1").offer_id


def wish(floor: Floor, kind: str, target: str, *, consult: bool = False, agent: str = "ann") -> list[str]:
    floor.send(
        i.TransferRequested, request_id="w1", offer_id="o", contact_id="c1", agent_id=agent,
        target_kind=kind, target=target, consult=consult,
    )  # fmt: skip
    return floor.names()


def refusal(floor: Floor) -> str:
    found = floor.new_facts()
    return found[0].reason if found and isinstance(found[0], f.TransferRefused) else ""


def activity(floor: Floor, agent: str) -> str:
    return floor.engine.state.agent(agent).activity


def test_to_an_agent_the_contact_keeps_its_place_and_rings_there_only() -> None:
    floor = floor_of()
    talking(floor)
    floor.available("bob", "cyd")
    assert wish(floor, "agent", "bob") == [
        "ContactTransferred",
        "ContactQueued",
        "AgentActivityChanged",
        "OfferMade",
        "AgentActivityChanged",
    ]
    made = floor.offer("c1")
    assert (made.agent_id, made.kind, made.by_agent, made.ring_ms) == ("bob", "transfer", "ann", 15_000)
    given = floor.facts(f.ContactTransferred)[0]
    assert (given.from_agent, given.target_kind, given.target, given.request_id) == (
        "ann",
        "agent",
        "bob",
        "w1",
    )
    assert given.kept_waiting_since_us == floor.facts(f.ContactQueued)[0].waiting_since_us
    assert activity(floor, "ann") == "wrap_up"
    floor.talks("c1")
    floor.pass_ms(3_000)
    floor.report(i.ConversationEnded, "c1", ended_by="caller", talk_ms=3_000)
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.agent_id, closed.talk_ms, closed.wait_ms, closed.transfers) == ("bob", 8_000, 1_000, 1)


def test_a_colleague_who_does_not_answer_leaves_the_contact_at_the_head_of_its_queue() -> None:
    floor = floor_of()
    talking(floor)
    floor.waits("c2", "q")
    floor.available("bob")
    floor.report(i.OfferFailed, "c2", outcome="declined")  # bob pauses, and is asked all the same
    floor.pass_ms(4_900)
    wish(floor, "agent", "bob")
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    assert floor.engine.state.contacts["c1"].status == "waiting"
    floor.send(i.SetDisposition, request_id="r", agent_id="ann", code="1")
    assert (floor.offer("c1").agent_id, floor.offer("c1").kind) == ("ann", "")
    assert floor.engine.state.contacts["c2"].status == "waiting"


def test_a_failed_transfer_comes_back_to_its_giver_first_when_the_center_says_so() -> None:
    floor = floor_of(transfer_failed="agent")
    talking(floor)
    floor.available("bob")
    wish(floor, "agent", "1002")  # by extension
    floor.report(i.OfferFailed, "c1", outcome="busy")
    assert (floor.offer("c1").agent_id, floor.offer("c1").kind) == ("ann", "return")
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    assert floor.engine.state.contacts["c1"].status == "waiting"


@pytest.mark.parametrize(("place", "kept"), [("kept", True), ("last", False)])
def test_to_a_queue_by_the_whole_wait_or_as_the_last(place: str, kept: bool) -> None:
    floor = floor_of(transfer_place=place)
    talking(floor)
    floor.waits("c2", "other")
    floor.pass_ms(1_000)
    wish(floor, "queue", "other")
    floor.available("cyd")
    first = next(c for c in ("c1", "c2") if floor.engine.state.contacts[c].status == "offered")
    assert first == ("c1" if kept else "c2")


def test_to_a_number_ends_the_contact_as_answered() -> None:
    floor = floor_of()
    talking(floor)
    assert wish(floor, "number", "+982112345")[:2] == ["ContactTransferred", "ContactClosed"]
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.result, closed.ended_by, closed.talk_ms, closed.transfers) == (
        "completed",
        results.ANSWERED,
        "transfer",
        5_000,
        1,
    )


@pytest.mark.parametrize(
    ("kind", "target", "reason"),
    [
        ("agent", "nobody", "unknown-target"),
        ("agent", "ann", "agent-not-available"),
        ("agent", "cyd", "agent-not-available"),  # logged out
        ("queue", "nowhere", "unknown-target"),
        ("queue", "small", "queue-full"),
        ("number", "sip:x@y", "bad-target"),
        ("moon", "1", "bad-target"),
    ],
)
def test_a_transfer_that_cannot_be_leaves_the_conversation(kind: str, target: str, reason: str) -> None:
    floor = floor_of()
    talking(floor)
    floor.waits("c2", "small")
    assert wish(floor, kind, target) == ["TransferRefused"]
    assert refusal(floor) == reason
    assert floor.engine.state.contacts["c1"].status == "talking"


def test_only_who_has_the_contact_may_give_it_away() -> None:
    floor = floor_of()
    talking(floor)
    wish(floor, "queue", "other", agent="bob")
    assert refusal(floor) == "not-talking"


@pytest.mark.parametrize(
    ("keys", "kind", "target"),
    [("1002", "agent", "bob"), ("2000", "queue", "support"), ("02112", "number", "02112")],
)
def test_keys_mean_a_colleague_an_entry_point_or_a_number(keys: str, kind: str, target: str) -> None:
    engine = Engine(center(agents={"bob": AgentRules("1002", ("sales",))}), Floor().policy)
    assert engine._target("keyed", keys) == (kind, target)


def test_a_consultation_reserves_the_colleague_and_a_bridge_hands_the_contact_over() -> None:
    floor = floor_of()
    talking(floor)
    floor.available("bob")
    assert wish(floor, "agent", "bob", consult=True) == ["OfferMade", "AgentActivityChanged"]
    assert floor.engine.state.contacts["c1"].status == "talking"
    floor.send(i.ContactHeld, agent_id="ann", contact_id="c1")
    floor.report(i.OfferRinging, "c1")
    floor.report(i.OfferAnswered, "c1")
    floor.report(i.ConsultStarted, "c1", from_agent_id="ann")
    assert (activity(floor, "ann"), activity(floor, "bob")) == ("held", "talking")
    assert floor.facts(f.OfferEnded)[-1].outcome == "accepted"
    floor.pass_ms(4_000)
    floor.report(i.AgentBridged, "c1")
    assert (activity(floor, "ann"), activity(floor, "bob")) == ("wrap_up", "talking")
    floor.report(i.ConsultEnded, "c1", outcome="completed")
    assert activity(floor, "bob") == "talking"
    floor.pass_ms(2_000)
    floor.report(i.ConversationEnded, "c1", ended_by="agent", talk_ms=2_000)
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.agent_id, closed.talk_ms, closed.hold_ms, closed.transfers) == ("bob", 11_000, 4_000, 1)


@pytest.mark.parametrize("report", ["declined", "cancelled", "bridge_failed"])
def test_a_consultation_that_comes_to_nothing_frees_the_colleague(report: str) -> None:
    floor = floor_of()
    talking(floor)
    floor.available("bob")
    wish(floor, "agent", "bob", consult=True)
    if report == "declined":
        floor.report(i.OfferFailed, "c1", outcome="declined")
    else:
        floor.report(i.ConsultStarted, "c1", from_agent_id="ann")
        floor.report(i.ConsultEnded, "c1", outcome="cancelled" if report == "cancelled" else "failed")
    assert (activity(floor, "ann"), activity(floor, "bob")) == ("talking", "idle")
    assert floor.engine.state.contacts["c1"].agent_id == "ann"


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("event", ["gone", "ended", "back"])
def test_whatever_ends_the_conversation_ends_the_asking(answered: bool, event: str) -> None:
    floor = floor_of()
    first = talking(floor)
    floor.available("bob")
    wish(floor, "agent", "bob", consult=True)
    if answered:
        floor.report(i.ConsultStarted, "c1", from_agent_id="ann")
    if event == "gone":
        floor.send(i.ContactGone, contact_id="c1")
    elif event == "ended":
        floor.send(i.ConversationEnded, offer_id=first, contact_id="c1", agent_id="ann", ended_by="caller")
    else:
        floor.waits("c1", "q", recovered=True)
        assert floor.engine.state.contacts["c1"].status == "offered"  # to bob, who is free again
        assert floor.offer("c1").kind == ""
        return
    assert activity(floor, "ann") == "wrap_up"
    if answered:
        assert activity(floor, "bob") == "closing", "who talks with ann is told that the caller left"
        floor.send(i.AgentReleased, offer_id="o", contact_id="c1", agent_id="bob")
    assert activity(floor, "bob") == "idle"


def test_a_colleague_of_whom_nobody_says_that_the_leg_is_over_is_free_all_the_same() -> None:
    floor = floor_of()
    first = talking(floor)
    floor.available("bob")
    wish(floor, "agent", "bob", consult=True)
    floor.report(i.ConsultStarted, "c1", from_agent_id="ann")
    floor.send(i.ConversationEnded, offer_id=first, contact_id="c1", agent_id="ann", ended_by="caller")
    floor.pass_ms(9_999)
    assert activity(floor, "bob") == "closing"
    floor.pass_ms(1)
    assert activity(floor, "bob") == "idle"


def test_who_is_lost_after_the_first_talk_was_answered() -> None:
    floor = floor_of()
    talking(floor)
    wish(floor, "queue", "other")
    floor.pass_ms(30_000)
    floor.send(i.ContactGone, contact_id="c1")
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.result, closed.agent_id, closed.talk_ms, closed.wait_ms) == (
        results.ANSWERED,
        "ann",
        5_000,
        1_000,
    )


@pytest.mark.parametrize("via_snapshot", [False, True])
@pytest.mark.parametrize("steps", range(5))
def test_a_new_owner_goes_on_in_the_middle(steps: int, via_snapshot: bool) -> None:
    floor = floor_of()
    talking(floor)
    floor.available("bob")
    script: list[Any] = [
        lambda: wish(floor, "agent", "bob", consult=True),
        lambda: floor.report(i.OfferRinging, "c1"),
        lambda: floor.report(i.ConsultStarted, "c1", from_agent_id="ann"),
        lambda: floor.report(i.AgentBridged, "c1"),
    ]
    for step in script[:steps]:
        step()
    floor.take_over(via_snapshot=via_snapshot)
    for step in script[steps:]:
        step()
    assert (activity(floor, "ann"), activity(floor, "bob")) == ("wrap_up", "talking")
    assert floor.engine.state.contacts["c1"].agent_id == "bob"
