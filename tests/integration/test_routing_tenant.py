"""A tenant's owner on the bus: decisions, wishes, takeovers, two owners at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from services.common.bus import Appended, Bus, Outgoing, codec, subjects
from services.common.bus.log import load_snapshot
from services.common.errors import BusUnavailable, Refused
from services.contracts.peyvand.queue.v1 import events_pb2 as queue_pb2
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing.core import engine, views
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Center, Overflow, Policy, QueueRules
from services.routing.core.state import State
from tests.integration.routing_kit import Outside, SwitchableLease, owning

BusMaker = Callable[[str], Awaitable[Bus]]


async def test_routing_says_what_is_open_on_a_node(
    bus: Bus, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "OPEN_AT_ONCE", 2)
    outside = Outside(bus, tenant)
    subject = subjects.rpc(tenant, "routing", "contact", "open")

    async def ask(node: str, after: str = "") -> views.OpenContacts:
        question = rpc_pb2.AskOpenContacts(node=node, after=after)
        return codec.read(await bus.request(subject, question, timeout_s=10), views.OpenContacts)

    async with owning(bus, tenant):
        for contact_id in ("c3", "c1", "c2"):
            await outside.waits(contact_id)
        queued = {q.contact_id: q for q in await outside.until(f.ContactQueued, 3)}
        first = await ask("fs1")
        assert [c.contact_id for c in first.contacts] == ["c1", "c2"]
        assert first.more
        assert (first.contacts[0].queue, first.contacts[0].waiting_since_us) == (
            "sales",
            queued["c1"].waiting_since_us,
        )
        second = await ask("fs1", after="c2")
        assert ([c.contact_id for c in second.contacts], second.more) == (["c3"], False)
        assert await ask("fs2") == views.OpenContacts(())
        await outside.wish("omid", "available")
        (offer,) = await outside.until(f.OfferMade)
        ringing = {c.contact_id: c for c in (await ask("fs1")).contacts + (await ask("fs1", "c2")).contacts}
        assert ringing[offer.contact_id].offer_id == offer.offer_id
        assert ringing[offer.contact_id].agent_id == "omid"


async def test_routing_changes_priorities_at_once(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)
    subject = subjects.rpc(tenant, "routing", "contact", "set-priority")
    async with owning(bus, tenant):
        for contact_id in ("c1", "c2"):
            await outside.waits(contact_id)
        await outside.until(f.ContactQueued, 2)
        wish = rpc_pb2.SetContactPriority(contact_id="c2", priority=7, actor="supervisor")
        state = codec.read(await bus.request(subject, wish, timeout_s=10), views.ContactState)
        assert (state.contact_id, state.priority, state.position) == ("c2", 7, 1)
        unknown = rpc_pb2.SetContactPriority(contact_id="c9", priority=7)
        with pytest.raises(Refused, match="no open contact"):
            await bus.request(subject, unknown, timeout_s=10)
        await outside.wish("omid", "available")
        (offer,) = await outside.until(f.OfferMade)
        assert offer.contact_id == "c2"


async def test_routing_tells_every_new_owner_which_queues_have_closed(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)
    queue = QueueRules(closed=Overflow("hangup", "closed"))
    rules = Center("r1", {"sales": queue}, {}, default_fallback="sales")
    async with owning(bus, tenant, rules=rules):
        await outside.waits("c1")
        await outside.until(f.ContactQueued)
    async with owning(bus, tenant, "two", SwitchableLease(2), rules=rules, closed=frozenset({"sales"})):
        (ended,) = await outside.until(f.ContactClosed)
        assert (ended.contact_id, ended.result) == ("c1", "closed")


async def test_routing_offers_over_the_bus(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)
    async with owning(bus, tenant):
        state = await outside.wish("omid", "available")
        assert (state.presence, state.activity) == ("available", "idle")
        await outside.waits("c1")
        (offer,) = await outside.until(f.OfferMade)
        assert (offer.agent_id, offer.contact_id) == ("omid", "c1")
        bridged = queue_pb2.AgentBridged(
            offer_id=offer.offer_id, contact_id="c1", agent_id="omid", agent_leg_id="leg", at_us=5, wait_ms=7
        )
        await outside.observe(bridged, "c1:bridged:1")
        (connected,) = await outside.until(f.ContactConnected)
        assert connected.wait_ms == 7
    log = await outside.log()
    assert log[0].facts == (f.OwnerChanged("one", 1),)
    assert [e.input_id for e in log if e.input_seq] == [f"{tenant}:c1:waiting:1", f"{tenant}:c1:bridged:1"]


async def test_routing_answers_questions_and_refuses_with_the_slug(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)

    async def ask(entity: str, what: str, question: Any, kind: type[Any]) -> Any:
        subject = subjects.rpc(tenant, "routing", entity, what)
        return codec.read(await bus.request(subject, question, timeout_s=10), kind)

    async with owning(bus, tenant):
        await outside.waits("c1")
        await outside.until(f.ContactQueued)
        place = await ask("contact", "position", rpc_pb2.AskPosition(contact_id="c1"), views.Position)
        assert place == views.Position("c1", 1, 1, 0)
        agents = await ask("agent", "list", rpc_pb2.ListAgents(), views.AgentList)
        assert [a.agent_id for a in agents.agents] == ["mina", "omid", "sara"]
        queues = await ask("queue", "list", rpc_pb2.ListQueues(), views.QueueList)
        assert {q.queue: q.waiting for q in queues.queues} == {"billing": 0, "sales": 1, "support": 0}
        contacts = await ask("contact", "list", rpc_pb2.ListContacts(), views.ContactList)
        assert contacts.contacts[0].position == 1
        with pytest.raises(Refused) as refused:
            await outside.wish("nobody", "available")
        assert refused.value.slug == "unknown-agent"
        with pytest.raises(Refused) as refused:
            await ask("agent", "dispose", rpc_pb2.SetDisposition(agent_id="omid", code="1"), views.AgentState)
        assert refused.value.slug == "not-in-wrap-up"


async def test_next_owner_goes_on_where_the_last_one_stopped(make_bus: BusMaker, tenant: str) -> None:
    first, second = await make_bus("/routing/1"), await make_bus("/routing/2")
    outside = Outside(second, tenant)
    async with owning(first, tenant, "one", snapshot_every=2):
        await outside.wish("omid", "available")
        await outside.waits("c1")
        await outside.until(f.OfferMade)
        async with asyncio.timeout(15):  # the snapshot is written after the entry that makes it due
            while await load_snapshot(second, tenant, "routing") is None:
                await asyncio.sleep(0.01)
    await outside.waits("c2")  # while nobody owns the tenant
    await outside.observe(queue_pb2.ContactGone(contact_id="c1", state="offered", at_us=1), "c1:gone:1")
    async with owning(second, tenant, "two", SwitchableLease(2)):
        offers = await outside.until(f.OfferMade, 2)
    assert [(o.contact_id, o.agent_id) for o in offers] == [("c1", "omid"), ("c2", "omid")]
    log = await outside.log()
    assert [x for e in log for x in e.facts if isinstance(x, f.OwnerChanged)] == [
        f.OwnerChanged("one", 1),
        f.OwnerChanged("two", 2),
    ]
    assert len([x for x in await outside.facts(f.ContactQueued) if x.contact_id == "c1"]) == 1


async def test_decisions_go_on_while_a_snapshot_is_stored(
    bus: Bus, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, begun, go_on = bus.append, asyncio.Event(), asyncio.Event()
    snapshots = subjects.snapshot(tenant, "routing", "log", "a-0").removesuffix("a-0")

    async def slow(fact: Outgoing, *, timeout_s: float = 30.0) -> Appended:
        if fact.subject.startswith(snapshots):
            begun.set()
            await go_on.wait()
        return await append(fact, timeout_s=timeout_s)

    monkeypatch.setattr(bus, "append", slow)
    outside = Outside(bus, tenant)
    async with owning(bus, tenant, snapshot_every=2):
        await outside.wish("omid", "available")
        await outside.waits("c1")
        async with asyncio.timeout(15):
            await begun.wait()
        await outside.until(f.OfferMade)
        for n in range(2, 6):
            await outside.waits(f"c{n}")
        await outside.until(f.ContactQueued, 5)
        go_on.set()
        async with asyncio.timeout(15):
            while (snapshot := await load_snapshot(bus, tenant, "routing")) is None:
                await asyncio.sleep(0.01)
    stored, replayed = State.load(snapshot.data, Policy()), State(Policy())
    async for entry in bus.read_log(subjects.log(tenant), after_seq=0):
        if entry.stream_seq <= snapshot.log_seq:
            replayed.replay(codec.read(entry, f.Decided))
    assert stored is not None
    assert stored.dump() == replayed.dump()  # As it was when it was due, under the number of that entry.


async def test_old_owner_that_believes_in_its_lease_is_refused_and_nothing_is_decided_twice(
    make_bus: BusMaker, tenant: str
) -> None:
    first, second = await make_bus("/routing/1"), await make_bus("/routing/2")
    outside = Outside(second, tenant)
    async with owning(first, tenant, "one"), owning(second, tenant, "two", SwitchableLease(2)):
        for _ in range(20):
            try:
                await outside.wish("omid", "available")
                break
            except Refused as e:  # by the first, which finds out by it that it is not the owner any more
                if e.slug != "not-ready":
                    raise
        for n in range(10):
            await outside.waits(f"c{n}")
        await outside.until(f.ContactQueued, 10)
    log = await outside.log()
    queued = [x.contact_id for e in log for x in e.facts if isinstance(x, f.ContactQueued)]
    assert sorted(queued) == sorted(set(queued))
    state = State(Policy())
    for entry in log:
        state.replay(entry)
    epochs = [e.epoch for e in log]
    assert epochs == sorted(epochs)
    writer_of = {e.epoch: e.owner for e in log}
    assert all(writer_of[e.epoch] == e.owner for e in log)
    assert len(state.offers) == 1


async def test_owner_without_a_lease_writes_nothing(bus: Bus, tenant: str) -> None:
    outside, lease = Outside(bus, tenant), SwitchableLease()
    async with owning(bus, tenant, lease=lease) as owner:
        await outside.wish("omid", "available")
        entries = len(await outside.log())
        lease.held = False
        with pytest.raises(BusUnavailable):
            await owner._ask(
                lambda at_us: i.SetAgentPresence(
                    at_us=at_us, request_id="r", agent_id="omid", presence="offline"
                )
            )
        assert len(await outside.log()) == entries


async def test_timers_fire_into_the_log(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)
    async with owning(bus, tenant, policy=Policy(contact_delay_ms=20)):
        await outside.wish("omid", "available")
        await outside.waits("c1")
        (offer,) = await outside.until(f.OfferMade)
        failed = queue_pb2.OfferFailed(
            offer_id=offer.offer_id, contact_id="c1", agent_id="omid", outcome="withdrawn"
        )
        await outside.observe(failed, "c1:failed:1")
        offers = await outside.until(f.OfferMade, 2)
    assert [o.attempt for o in offers] == [1, 2]


async def test_input_that_breaks_the_engine_is_left_out_and_the_rest_goes_on(
    bus: Bus, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Outside(bus, tenant)

    def explode(self: Any, inp: i.ContactWaiting) -> None:
        if inp.contact_id == "bad":
            raise KeyError(inp.contact_id)
        original(self, inp)

    original = engine._HANDLERS[i.ContactWaiting]
    monkeypatch.setitem(engine._HANDLERS, i.ContactWaiting, explode)
    with structlog.testing.capture_logs() as logs:
        async with owning(bus, tenant):
            await outside.waits("good-1")
            await outside.waits("bad")
            await outside.waits("good-2")
            queued = await outside.until(f.ContactQueued, 2)
    assert [entry["input_id"] for entry in logs if entry["event"] == "input_poisoned"] == [
        f"{tenant}:bad:waiting:1"
    ]
    assert "follower_failed" not in [entry["event"] for entry in logs]
    assert [q.contact_id for q in queued] == ["good-1", "good-2"]


async def test_message_that_nobody_can_read_is_passed_over(bus: Bus, tenant: str) -> None:
    outside = Outside(bus, tenant)
    async with owning(bus, tenant):
        await outside.observe(queue_pb2.TreatmentPlayed(contact_id="c0", what="welcome"), "t:1")
        await outside.waits("c1")
        (queued,) = await outside.until(f.ContactQueued)
    assert queued.contact_id == "c1"
