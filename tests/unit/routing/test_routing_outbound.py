"""Agents place calls: one reserved contact from the wish on, offered to nobody else, in no queue's numbers, over when its agent is."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.common.bus import codec, subjects
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results, views
from services.routing.core.center import AgentRules, Policy, QueueRules
from services.routing.core.toll import Rights
from tests.unit.routing.floor import Floor, center

RULES = replace(
    center(
        {"q": QueueRules(wrap_up_ms=20_000, ring_ms=15_000, caller_id="0219"), "other": QueueRules()},
        {
            "ann": AgentRules("1001", ("other", "q"), caller_id="0218"),
            "bob": AgentRules("1002", ("other", "q")),
        },
    ),
    calls=Rights(allowed=("0",), forbidden=("00",), at_once=1),
)


@pytest.fixture
def floor() -> Floor:
    made = Floor(RULES)
    made.send(i.PhoneChanged, extension="1001", registered=True, node="fs1")
    made.available("ann")
    return made


def places(floor: Floor, number: str = "021234", **more: Any) -> str:
    """Ann wishes to call; returns the slug of the refusal, empty when granted."""
    wish: dict[str, Any] = {"request_id": "w1", "contact_id": "out-1", "agent_id": "ann", "number": number}
    outputs = floor.send(i.PlaceCall, **wish | more)
    return next((o.slug for o in outputs if isinstance(o, i.Refuse)), "")


def offer(floor: Floor) -> f.OfferMade:
    return floor.facts(f.OfferMade)[-1]


def closed(floor: Floor) -> f.ContactClosed:
    return floor.facts(f.ContactClosed)[-1]


def activity(floor: Floor, agent: str = "ann") -> str:
    return floor.engine.state.agent(agent).activity


def joined(floor: Floor) -> None:
    made = offer(floor)
    floor.send(i.OfferAnswered, offer_id=made.offer_id, contact_id="out-1", agent_id="ann")
    floor.send(i.ContactWaiting, contact_id="out-1", node="fs1", queue="q", waiting_since_us=floor.now_us)
    floor.send(
        i.AgentBridged, offer_id=made.offer_id, contact_id="out-1", agent_id="ann", queue="q", node="fs1"
    )


def test_a_click_reserves_the_agent_and_rings_the_phone(floor: Floor) -> None:
    assert places(floor, queue="q") == ""
    made = offer(floor)
    assert (made.agent_id, made.kind, made.number, made.first, made.node, made.queue) == (
        "ann",
        "outbound",
        "021234",
        "agent",
        "fs1",
        "q",
    )
    assert (made.caller_id, made.agent_leg) == ("0219", ""), "the queue's number before the agent's"
    assert activity(floor) == "offered"
    floor.available("bob")
    floor.waits("c1", "other")
    assert floor.engine.state.contacts["c1"].agent_id == "bob", "nothing else is offered to ann"


def test_the_log_takes_every_entry(floor: Floor) -> None:
    places(floor, queue="q")
    joined(floor)
    floor.send(i.ContactGone, contact_id="out-1")
    floor.pass_ms(25_000)
    places(floor, "0049", contact_id="out-2")
    assert {type(x).__name__ for x in floor.facts(object)} >= {
        "CallbackAnswered",
        "CallRefused",
        "NumberDialled",
    }
    for entry in floor.log:
        codec.encode(subjects.log("demo"), entry)


def test_a_conversation_and_its_wrap_up(floor: Floor) -> None:
    places(floor, queue="q")
    joined(floor)
    assert activity(floor) == "talking"
    history = floor.engine.state.history.get("q")
    assert history is None or not history.served_waits_ms, "no caller's wait"
    floor.pass_ms(30_000)
    floor.send(
        i.ConversationEnded, offer_id=offer(floor).offer_id, contact_id="out-1", agent_id="ann",
        ended_by="agent", talk_ms=30_000,
    )  # fmt: skip
    assert (closed(floor).kind, closed(floor).result, closed(floor).talk_ms) == (
        "outbound",
        "answered",
        30_000,
    )
    assert activity(floor) == "wrap_up"
    history = floor.engine.state.history.get("q")
    assert history is None or not history.conversations
    assert not floor.engine.state.tolls.going
    floor.pass_ms(20_000)
    assert [(w.queue, w.wrap_up_ms) for w in floor.facts(f.WrapUpEnded)] == [("q", 20_000)]
    history = floor.engine.state.history.get("q")
    assert history is None or (history.handling_ms, history.load_ms) == (0.0, 0.0), "no work of the queue"
    floor.waits("c1", "q")
    assert floor.talks("c1") == "ann"
    floor.pass_ms(10_000)
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.pass_ms(20_000)
    assert floor.engine.state.history["q"].handling_ms == 30_000, "that of a caller counts as before"


@pytest.mark.parametrize("outcome", ["busy", "no_answer", "no_line", "agent_left"])
def test_nobody_is_reached(floor: Floor, outcome: str) -> None:
    places(floor)
    floor.send(i.OutboundFailed, contact_id="out-1", outcome=outcome)
    assert (closed(floor).outcome, closed(floor).result, closed(floor).cause) == (
        results.NOT_REACHED,
        results.NOT_REACHED,
        outcome,
    )
    agent = floor.engine.state.agent("ann")
    assert (agent.activity, agent.presence, agent.missed) == ("idle", "available", 0)
    assert places(floor, contact_id="out-2") == "", "the limit of one at once is free again"


def test_the_agents_own_phone_is_not_answered(floor: Floor) -> None:
    places(floor)
    made = offer(floor)
    floor.send(i.OfferFailed, offer_id=made.offer_id, contact_id="out-1", agent_id="ann", outcome="no_answer")
    assert closed(floor).cause == "agent_no_answer"
    agent = floor.engine.state.agent("ann")
    assert (agent.presence, agent.activity, agent.misses) == ("available", "idle", {})


def test_nobody_reports_and_the_offer_expires(floor: Floor) -> None:
    places(floor)
    floor.available("bob")
    floor.pass_ms(15_000 + 60_000 + 4_000)
    assert activity(floor) == "offered"
    floor.pass_ms(10_000)
    assert closed(floor).cause == "agent_expired"
    assert not floor.engine.state.contacts, "and bob was not asked"


def test_the_party_hangs_up_in_the_moment_of_the_bridge(floor: Floor) -> None:
    places(floor)
    floor.send(i.ContactWaiting, contact_id="out-1", node="fs1", queue="q", waiting_since_us=floor.now_us)
    floor.send(i.ContactGone, contact_id="out-1", cause="NORMAL_CLEARING")
    assert closed(floor).result == results.NOT_REACHED
    assert activity(floor) == "idle"


def test_a_number_that_the_phone_dialled(floor: Floor) -> None:
    floor.send(
        i.OwnCallChanged, extension="1001", leg_id="leg-1", node="fs1", began=True, direction="inbound"
    )
    assert activity(floor) == "own_call"
    assert places(floor) == "agent-not-available"
    assert places(floor, agent_id="", extension="1001", leg_id="leg-1", node="fs1") == ""
    assert (offer(floor).agent_leg, activity(floor)) == ("leg-1", "offered")
    assert floor.engine.state.agent("ann").own_legs == {}, "it is ours now"
    floor.send(i.OwnCallChanged, extension="1001", leg_id="leg-1", node="fs1", began=False)
    assert activity(floor) == "offered"


@pytest.mark.parametrize(
    ("wish", "slug"),
    [
        ({"number": "0049"}, "number-forbidden"),
        ({"number": "911"}, "number-forbidden"),
        ({"number": "*22"}, "bad-number"),
        ({"agent_id": "nobody"}, "unknown-agent"),
        ({"agent_id": "bob"}, "agent-not-available"),
        ({"queue": "nowhere"}, "unknown-queue"),
    ],
)
def test_refusals(floor: Floor, wish: dict[str, str], slug: str) -> None:
    assert places(floor, **wish) == slug
    assert not floor.engine.state.contacts
    told = [(x.number, x.reason, x.purpose) for x in floor.facts(f.CallRefused)]
    assert told == ([(wish["number"], slug, "outbound")] if slug == "number-forbidden" else [])


def test_an_agent_whose_phone_nobody_has_seen(floor: Floor) -> None:
    floor.available("bob")
    assert places(floor, agent_id="bob") == "no-phone"


def test_the_queue_does_not_know_of_it(floor: Floor) -> None:
    places(floor, queue="q")
    joined(floor)
    engine = floor.engine
    (state,) = [
        x for x in views.queues(engine.state, engine.center, engine.index, floor.now_us) if x.queue == "q"
    ]
    assert (state.talking, state.waiting) == (0, 0)
    assert not views.callbacks(engine.state, engine.index, floor.now_us)


def test_a_replay_arrives_at_the_same(floor: Floor) -> None:
    places(floor, queue="q")
    floor.take_over(via_snapshot=True)
    joined(floor)
    assert activity(floor) == "talking"
    assert places(floor, contact_id="out-1") == "agent-not-available"


def test_a_transfer_of_it_goes_as_with_any_contact(floor: Floor) -> None:
    places(floor, queue="q")
    joined(floor)
    floor.available("bob")
    floor.send(
        i.TransferRequested, request_id="t1", offer_id="o", contact_id="out-1", agent_id="ann", target_kind="queue",
        target="other",
    )  # fmt: skip
    assert floor.engine.state.contacts["out-1"].agent_id == "bob"


def test_a_click_is_carried_out_by_a_node_that_can_and_reaches_the_phone_through_its_own() -> None:
    """The phone's last node is gone, or is being emptied; an agent outside needs no phone at all."""
    floor = Floor(RULES, Policy(nodes=("fs1", "fs2")))
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs2")
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs1")
    floor.available("ann")
    floor.send(i.NodeSeen, node="fs1", up=False)
    assert places(floor) == ""
    assert (offer(floor).node, offer(floor).agent_node) == ("fs2", "fs2")
    floor.send(i.OutboundFailed, contact_id="out-1", outcome="busy")
    floor.send(i.NodeSeen, node="fs1", up=True)
    floor.send(i.NodeDrainChanged, node="fs1", draining=True, since_us=floor.now_us, actor="root")
    assert places(floor, contact_id="out-2") == ""
    assert (offer(floor).node, offer(floor).agent_node) == ("fs2", "fs1")


def test_an_agent_outside_calls_by_click_although_no_phone_was_ever_seen() -> None:
    agents = {"ann": AgentRules("1001", ("q",), number="0912")}
    outside = replace(center({"q": QueueRules()}, agents), calls=Rights(allowed=("0",)))
    floor = Floor(outside, Policy(nodes=("fs1", "fs2")))
    floor.available("ann")
    assert places(floor) == ""
    assert (offer(floor).node, offer(floor).agent_number) == ("fs1", "0912")
