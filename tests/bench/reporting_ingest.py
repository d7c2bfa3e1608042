"""Facts a second from JetStream into ClickHouse by one process, exactly once: ``reporting``'s own way, with its consumers,
batches, tokens and views.

nats-server and ClickHouse are processes of their own and are not counted. ``per_s`` is facts by the seconds of CPU that this
process took (what one core to itself would do), ``wall_per_s`` by the clock. ``ratio`` is by the same work left undone: a plain nats-py
client that fetches and acknowledges the same messages (in messages a second of CPU); ``cpu_us_per_fact`` is the whole price of a fact.

    python -m tests.bench.reporting_ingest [--contacts 4000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nats
from nats.aio.client import Client

from services.common import log
from services.common.bus import Envelope
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.headers import to_headers
from services.common.bus.migrate import migrate as make_streams
from services.common.bus.nats import NatsBus
from services.common.bus.streams import stream_of
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.reporting import migrate
from services.reporting.adapters.bus import placed_facts
from services.reporting.adapters.writer import Writer
from services.reporting.app import Ingest, spare_collector
from tests.bench._facts import messages, of_tenant

CALLS, RUSH_S = 400, 120.0


async def publish(client: Client, day: list[Envelope], tenants: int) -> int:
    """Store the hour once for each tenant; returns the number of facts."""
    stream, facts = client.jetstream(), 0
    for n in range(tenants):
        for begin in range(0, len(day), 500):
            acks = []
            for envelope in day[begin : begin + 500]:
                mine = of_tenant(envelope, f"t{n}")
                facts += len(placed_facts(mine)) if n == 0 else 0
                headers = to_headers(mine, stored=True)
                acks.append(await stream.publish_async(mine.subject, mine.data, headers=headers))
            await asyncio.gather(*acks)
    return facts * tenants


async def plain(client: Client, wanted: dict[str, int]) -> float:
    """CPU seconds for fetching and acknowledging everything, a thousand at a time, with nats-py."""
    streams = client.jetstream()
    began = time.process_time()
    for stream, count in wanted.items():
        subscription = await streams.pull_subscribe("", "plain", stream=stream)
        while count > 0:
            batch = await subscription.fetch(min(count, 1000), timeout=30)
            for message in batch:
                await message.ack()
            count -= len(batch)
    return time.process_time() - began


async def ours(url: str, ingest: Ingest, wanted: int) -> tuple[float, float]:
    """Seconds of CPU and of the clock until reporting's consumers have acknowledged everything."""
    bus = NatsBus(url, source="/bench/1", clock=SystemClock())
    bus.start()
    await bus.connected(10)
    done, seen = asyncio.Event(), 0
    handle = ingest.facts

    async def counted(batch: list[Envelope]) -> None:
        nonlocal seen
        await handle(batch)
        seen += len(batch)
        if seen >= wanted:
            done.set()

    ingest.facts = counted  # type: ignore[method-assign]
    cpu, wall = time.process_time(), time.perf_counter()
    await ingest.consume(bus)
    await done.wait()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    await bus.stop()
    return spent


async def check(store: ServerStore, facts: int) -> None:
    """What is there must be what was sent, to the last fact."""
    (row,) = await store.query("SELECT count() AS rows, uniqExact(tenant, id) AS facts FROM facts")
    assert row["facts"] == facts, (row, facts)


async def main(contacts: int, profile: bool) -> None:
    log.setup("bench", "1", level="error")
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedNats(Path(folder) / "nats")
        house = EmbeddedClickHouse(Path(folder) / "house", password="for-the-bench-only", analyst_password="for-the-bench-only")  # fmt: skip
        url = server.start()
        house.start()
        try:
            await make_streams(url, replicas=1)
            admin = ServerStore(house.url, threads=1, database="default")
            await migrate.apply(admin, database=house.url.database)
            await admin.stop()
            spare_collector()
            day = messages(calls=CALLS, seed=3, rush_s=RUSH_S)
            client = await nats.connect(url)
            tenants = max(1, contacts // CALLS)
            facts = await publish(client, day, tenants)
            count = len(day) * tenants
            store = ServerStore(house.url)
            ingest = Ingest(Writer(store, house.url.database), lambda: _no_directory())
            wanted = Counter(stream_of(envelope.subject).name for envelope in day)
            plain_cpu = await plain(client, {stream: n * tenants for stream, n in wanted.items()})
            await client.close()
            if profile:
                import cProfile
                import pstats

                profiler = cProfile.Profile()
                profiler.enable()
            cpu, wall = await ours(url, ingest, count)
            if profile:
                profiler.disable()
                pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
            await check(store, facts)
            await store.stop()
            line = {
                "name": "reporting_ingest",
                "per_s": round(facts / cpu),
                "wall_per_s": round(facts / wall),
                "cpu_us_per_fact": round(cpu / facts * 1e6, 1),
                "ratio": round(plain_cpu / cpu, 2),
                "plain_messages_per_s": round(count / plain_cpu),
                "facts": facts,
                "messages": count,
            }
            print(json.dumps(line), flush=True)
        finally:
            house.stop()
            server.stop()


def _no_directory() -> None:
    raise AssertionError("there are no legs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=4000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.contacts, given.profile)))
