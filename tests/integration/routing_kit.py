"""One tenant's owner on the bus, and the rest of the system as it sees it: for tests of routing's shell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.common.bus import Bus, Outgoing, codec, subjects
from services.common.clock import SystemClock
from services.contracts.peyvand.queue.v1 import events_pb2 as queue_pb2
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing.core import facts as f
from services.routing.core import views
from services.routing.core.center import Center, Policy
from services.routing.tenant import TenantOwner
from tests.unit.routing.floor import center


class SwitchableLease:
    """A lease that holds until the test says otherwise."""

    def __init__(self, epoch: int = 1) -> None:
        self.held = True
        self.epoch = epoch

    def valid(self) -> bool:
        return self.held


class Outside:
    """The rest of the system as one tenant's owner sees it."""

    def __init__(self, bus: Bus, tenant: str) -> None:
        self.bus = bus
        self.tenant = tenant

    async def observe(self, message: Any, fact_id: str) -> None:
        what = {"ContactWaiting": ("contact", "waiting"), "ContactGone": ("contact", "gone")}
        entity, last = what.get(type(message).__name__, ("offer", "reported"))
        subject = subjects.fact(self.tenant, "queue", entity, last)
        # Ids are unique in a stream, and this stream is shared with the other tests.
        await self.bus.append(Outgoing(subject, message, f"{self.tenant}:{fact_id}", self.tenant))

    async def waits(self, contact_id: str, queue: str = "sales") -> None:
        message = queue_pb2.ContactWaiting(
            contact_id=contact_id, node="fs1", queue=queue, waiting_since_us=SystemClock().now_us()
        )
        await self.observe(message, f"{contact_id}:waiting:1")

    async def wish(self, agent_id: str, presence: str) -> views.AgentState:
        asked = rpc_pb2.SetAgentPresence(agent_id=agent_id, presence=presence)
        subject = subjects.rpc(self.tenant, "routing", "agent", "set-presence")
        return codec.read(await self.bus.request(subject, asked, timeout_s=10), views.AgentState)

    async def place_call(self, agent_id: str, number: str) -> views.AgentState:
        asked = rpc_pb2.PlaceCall(agent_id=agent_id, number=number, actor="agent")
        subject = subjects.rpc(self.tenant, "routing", "agent", "place-call")
        return codec.read(await self.bus.request(subject, asked, timeout_s=10), views.AgentState)

    async def log(self) -> list[f.Decided]:
        entries = self.bus.read_log(subjects.log(self.tenant), after_seq=0)
        return [codec.read(e, f.Decided) async for e in entries]

    async def facts(self, kind: type[Any]) -> list[Any]:
        return [fact for entry in await self.log() for fact in entry.facts if isinstance(fact, kind)]

    async def until(self, kind: type[Any], count: int = 1) -> list[Any]:
        """Follow the log until it has so many facts of a kind."""
        found: list[Any] = []
        enough = asyncio.Event()

        async def take(envelope: Any) -> None:
            found.extend(x for x in codec.read(envelope, f.Decided).facts if isinstance(x, kind))
            if len(found) >= count:
                enough.set()

        following = await self.bus.follow([subjects.log(self.tenant)], take, after_seq=0)
        try:
            async with asyncio.timeout(15):
                await enough.wait()
        finally:
            await following.stop()
        return found


@contextlib.asynccontextmanager
async def owning(
    bus: Bus,
    tenant: str,
    name: str = "one",
    lease: SwitchableLease | None = None,
    policy: Policy | None = None,
    snapshot_every: int = 2_000,
    rules: Center | None = None,
    closed: frozenset[str] = frozenset(),
) -> AsyncIterator[TenantOwner]:
    """An owner at work, for as long as the context is open."""
    owner = TenantOwner(
        tenant,
        rules or center(),
        closed_at=lambda _: closed,
        bus=bus,
        clock=SystemClock(),
        owner=name,
        policy=policy or Policy(),
        snapshot_every=snapshot_every,
    )
    task = asyncio.create_task(owner.run(lease or SwitchableLease()))
    try:
        yield owner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
