"""The shell of routing: contends for the shards, and decides for the tenants of those that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from services.center import CenterSet, open_centers
from services.center.api import router as center_router
from services.center.editor import Editor
from services.center.hours import closed_queues
from services.center.store import CenterStore
from services.common.bus import Bus
from services.common.bus.lease import Lease, LeaseKeeper, Timing
from services.common.clock import Clock
from services.common.parts import start_bus, start_hub
from services.common.runtime import Runtime
from services.routing import api, channel_api
from services.routing.adapters.centers import center_of, shard_of
from services.routing.adapters.phones import PhoneWatch
from services.routing.config import RoutingSettings
from services.routing.core.center import Policy
from services.routing.tenant import MakeInput, TenantOwner

log = structlog.get_logger()


class Routing:
    """The tenants of this process; ``work`` is what a ``LeaseKeeper`` does for a shard."""

    def __init__(self, settings: RoutingSettings, clock: Clock, bus: Bus, centers: CenterSet) -> None:
        self._bus = bus
        self._clock = clock
        self._centers = centers
        self._snapshot_every = settings.routing_snapshot_every
        self._policy = Policy(
            offer_grace_ms=round(settings.routing_offer_grace_s * 1000),
            max_no_answer=settings.routing_max_no_answer,
            nodes=tuple(address.name for address in settings.addresses()),
        )
        self._owners: dict[str, TenantOwner] = {}
        self._revised: dict[str, asyncio.Event] = {}
        self.phones: PhoneWatch | None = None
        self.keeper: LeaseKeeper | None = None

    def use(self, centers: CenterSet) -> None:
        """From the next decision on these documents hold; tenants come and go with them."""
        self._centers = centers
        if self.keeper is not None:
            self.keeper.contend_for(self.shards())
        for event in self._revised.values():
            event.set()

    def shards(self) -> list[str]:
        """Those that have a tenant. The others are nobody's: an idle shard costs its renewals, and every standby the looks at them."""
        return sorted({str(shard_of(c.tenant)) for c in self._centers.centers})

    def tell(self, make: MakeInput) -> None:
        """Pass on what concerns every tenant: nodes and phones."""
        for owner in self._owners.values():
            owner.tell(make)

    def _known(self) -> Sequence[MakeInput]:
        return self.phones.known() if self.phones is not None else ()

    async def work(self, lease: Lease) -> None:
        """Own the tenants of a shard until the lease is over.

        Raises Fenced when a newer owner of one of them has been there: then the shard is no longer ours.
        """
        if self.phones is not None:
            await self.phones.start()
        revised = self._revised[lease.shard] = asyncio.Event()
        running: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                revised.clear()
                self._arrange(lease, running)
                waiting = asyncio.ensure_future(revised.wait())
                try:
                    await asyncio.wait({waiting, *running.values()}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                if ended := [task for task in running.values() if task.done()]:
                    for task in ended:
                        task.result()
                    return  # the lease is over
        finally:
            del self._revised[lease.shard]
            for tenant in list(running):
                await self._let_go(tenant, running)

    def _arrange(self, lease: Lease, running: dict[str, asyncio.Task[None]]) -> None:
        """Make the owned tenants those of the documents; a tenant whose document is gone is left as it is in its log."""
        wanted = {c.tenant: c for c in self._centers.centers if str(shard_of(c.tenant)) == lease.shard}
        for tenant in running.keys() - wanted.keys():
            # Its callers still wait: the last document serves them until a process starts without it.
            log.warning(
                "center_removed", tenant=tenant, consequence="it is served until the shard changes hands"
            )
        for tenant, document in wanted.items():
            if tenant in running:
                if self._owners[tenant].revision != document.revision:
                    self._owners[tenant].revise(center_of(document), partial(closed_queues, document))
                continue
            owner = TenantOwner(
                tenant,
                center_of(document),
                bus=self._bus,
                clock=self._clock,
                owner=lease.owner,
                policy=self._policy,
                known=self._known,
                snapshot_every=self._snapshot_every,
                closed_at=partial(closed_queues, document),
            )
            self._owners[tenant] = owner
            running[tenant] = asyncio.get_running_loop().create_task(
                owner.run(lease), name=f"tenant:{tenant}"
            )

    async def _let_go(self, tenant: str, running: dict[str, asyncio.Task[None]]) -> None:
        task = running.pop(tenant)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del self._owners[tenant]


async def start(settings: RoutingSettings, rt: Runtime) -> None:
    """Wire routing."""
    addresses = settings.addresses()
    bus = start_bus(settings, rt)

    watch = await open_centers(
        settings,
        bus,
        rt.clock,
        lambda centers: routing.use(centers),
        ready=rt.ready,
        must_read=True,
        takes_files=True,
    )
    routing = Routing(settings, rt.clock, bus, watch.current)
    watch.start()
    rt.add(watch, "centers")
    rt.app.include_router(api.router(bus, lambda: watch.current))
    rt.app.include_router(channel_api.router(bus, lambda: watch.current))
    editor = Editor(lambda: watch, CenterStore(bus, rt.clock), settings.centers_rule)
    rt.app.include_router(center_router(editor))

    if addresses:
        hub = start_hub(rt)
        routing.phones = PhoneWatch(hub, addresses, routing.tell, rt.ready, settings.routing_node_grace_s)
        rt.add(routing.phones, "phones")

    keeper = LeaseKeeper(
        bus,
        rt.clock,
        service="routing",
        instance=settings.instance,
        shards=routing.shards(),
        work=routing.work,
        timing=Timing(lease_s=settings.routing_lease_s),
    )
    routing.keeper = keeper
    rt.add(keeper, "shards")
    await keeper.start()
