"""What the benchmarks of the bus share: a nats-server of their own, two clients side by side, and how they are measured.

The shipped bus and plain nats-py do the same work in turns, in one process on one server, so that whatever else the machine
does hits both. ``ratio`` is the shipped one's throughput by the plain one's (the median over the rounds); above 1 it is faster.
Latencies are of one operation at a time, throughput is with 32 at a time.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.client import Client

from services.common import log
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.contracts.peyvand.queue.v1.events_pb2 import AgentBridged

ROUNDS = 5
ONE_BY_ONE = 400
AT_ONCE = 2000
CONCURRENCY = 32

Work = Callable[[int], Awaitable[object]]


@dataclass
class Bench:
    """Two clients of one server: the shipped bus and plain nats-py."""

    url: str
    bus: NatsBus
    client: Client


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A server with its streams, and both clients connected."""
    log.setup("bench", "1", level="error")
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedNats(Path(folder))
        url = server.start()
        try:
            await migrate(url, replicas=1)
            bus = NatsBus(url, source="/bench/1", clock=SystemClock())
            bus.start()
            await bus.connected(10)
            client = await nats.connect(url)
            try:
                yield Bench(url, bus, client)
            finally:
                await client.close()
                await bus.stop()
        finally:
            server.stop()


def bridged(number: int) -> AgentBridged:
    """A fact as services send it, a third of a kilobyte with its headers."""
    return AgentBridged(
        offer_id=f"01936f00-2c1d-7e55-8a11-{number:012}",
        contact_id=f"3f2a9c1e-7b64-4d0a-9a53-{number:012}",
        agent_id="sara",
        agent_leg_id="b8a5b1f0-4f2c-5c0b-9f35-7d0f3c2a1e44",
        queue="sales",
        node="fs1",
        wait_ms=21_400,
        answer_latency_ms=60,
        at_us=1_795_248_000_123_456,
    )


def figures(
    name: str,
    shipped: Sequence[float],
    plain: Sequence[float],
    shipped_s: Sequence[float],
    plain_s: Sequence[float],
) -> None:
    """Print one line. ``shipped``, ``plain``: operations a second by round; ``..._s``: seconds of single operations."""

    def ms(times: Sequence[float], share: float) -> float:
        return round(sorted(times)[int((len(times) - 1) * share)] * 1000, 3)

    line = {
        "name": name,
        "per_s": round(statistics.median(shipped)),
        "p50_ms": ms(shipped_s, 0.5),
        "p99_ms": ms(shipped_s, 0.99),
        "plain_per_s": round(statistics.median(plain)),
        "plain_p50_ms": ms(plain_s, 0.5),
        "plain_p99_ms": ms(plain_s, 0.99),
        "ratio": round(statistics.median(a / b for a, b in zip(shipped, plain, strict=True)), 2),
    }
    print(json.dumps(line), flush=True)


async def compare(name: str, shipped: Work, plain: Work, *, concurrency: int = CONCURRENCY) -> None:
    """Measure two ways of doing one operation (called with a number that is never given twice) and print the line."""
    number = 0
    rates: dict[str, list[float]] = {"shipped": [], "plain": []}
    times: dict[str, list[float]] = {"shipped": [], "plain": []}

    async def one_by_one(way: str, work: Work) -> None:
        nonlocal number
        for _ in range(ONE_BY_ONE):
            number += 1
            began = time.perf_counter()
            await work(number)
            times[way].append(time.perf_counter() - began)

    async def at_once(way: str, work: Work) -> None:
        nonlocal number
        left = AT_ONCE

        async def worker() -> None:
            nonlocal number, left
            while left > 0:
                left -= 1
                number += 1
                await work(number)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        rates[way].append(AT_ONCE / (time.perf_counter() - began))

    for way, work in (("shipped", shipped), ("plain", plain)):  # warm up
        await one_by_one(way, work)
        times[way].clear()
    for _ in range(ROUNDS):
        for way, work in (("shipped", shipped), ("plain", plain)):
            await one_by_one(way, work)
            await at_once(way, work)
    figures(name, rates["shipped"], rates["plain"], times["shipped"], times["plain"])
