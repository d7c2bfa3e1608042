"""Which shards a process of routing contends for: those that have a tenant, now or from a later revision on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services import center
from services.common.bus.lease import LeaseKeeper
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.routing.adapters.centers import shard_of
from services.routing.app import Routing
from services.routing.config import RoutingSettings

CENTERS = Path(__file__).parents[3] / "deploy" / "centers"


async def test_a_tenant_that_comes_later_finds_an_owner() -> None:
    one = center.load(CENTERS)
    [document] = [c for c in one.centers if c.tenant == "demo"]
    other = next(f"tenant-{n}" for n in range(100) if shard_of(f"tenant-{n}") != shard_of("demo"))
    one = replace(one, centers=(document,))
    two = replace(one, centers=(document, document.model_copy(update={"tenant": other})))
    bus = MemoryBus(MemoryBroker(SystemClock()), clock=SystemClock())
    settings = RoutingSettings(nats_url="nats://127.0.0.1:1", auth_secret="s" * 40)
    routing = Routing(settings, SystemClock(), bus, one)
    assert routing.shards() == [str(shard_of("demo"))]
    routing.use(two)  # Before anybody contends.
    routing.use(one)
    contended: list[str] = []

    class Keeper(LeaseKeeper):
        def contend_for(self, shards: object) -> None:
            assert isinstance(shards, list)
            contended.extend(shards)

    routing.keeper = Keeper(bus, SystemClock(), service="routing", instance="1", shards=[], work=routing.work)
    routing.use(two)
    assert contended == sorted({str(shard_of("demo")), str(shard_of(other))})
    await bus.stop()
