"""Facts through a durable consumer, decoded and acknowledged, a hundred at a time: ``Bus.consume`` beside nats-py's ``fetch``.

Latency is from publishing one fact to the end of its handler, while nothing else is on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import nats.errors
from nats.js.client import JetStreamContext

from services.common import ids
from services.common.bus import Envelope, codec, subjects
from services.common.bus.headers import to_headers
from tests.bench._bus import AT_ONCE, ROUNDS, Bench, bench, bridged, figures

BATCH = 100
SINGLE = 300


class Count:
    """Lets a publisher wait until so many messages were handled."""

    def __init__(self) -> None:
        self.seen = 0
        self._wanted = 0
        self._there = asyncio.Event()

    def add(self, count: int) -> None:
        self.seen += count
        if self.seen >= self._wanted:
            self._there.set()

    async def reach(self, wanted: int) -> None:
        self._wanted = wanted
        if self.seen < wanted:
            self._there.clear()
            await self._there.wait()


async def fill(b: Bench, tenant: str, count: int) -> None:
    """Store facts with all the headers that the bus gives them."""
    subject = subjects.fact(tenant, "queue", "contact", "bridged")
    jetstream = b.client.jetstream()
    for first in range(0, count, 100):
        await asyncio.gather(
            *(jetstream.publish(subject, *_made(subject, tenant, n)) for n in range(first, first + 100))
        )


def _made(subject: str, tenant: str, number: int) -> tuple[bytes, float, None, dict[str, str]]:
    name, data = codec.encode(subject, bridged(number))
    envelope = Envelope(
        ids.new_id(), name, 1_795_248_000_123_456, "/bench/1", tenant, f"c-{number}", "", subject, 0, data
    )
    return data, 10.0, None, to_headers(envelope, stored=True)


async def shipped(b: Bench, tenant: str, count: Count) -> Callable[[], object]:
    """Start a consumer of the bus; what is returned stops it."""

    async def handle(batch: list[Envelope]) -> None:
        for envelope in batch:
            codec.decode(envelope)
        count.add(len(batch))

    pattern = subjects.any_fact(tenant=tenant, service="queue")
    return (await b.bus.consume(f"s-{tenant}", [pattern], handle, batch=BATCH)).stop


async def plain(b: Bench, tenant: str, count: Count) -> Callable[[], object]:
    """The same with nats-py."""
    jetstream: JetStreamContext = b.client.jetstream()
    pattern = subjects.any_fact(tenant=tenant, service="queue")
    subscription = await jetstream.pull_subscribe(pattern, f"p-{tenant}", stream="CC_EVENTS")

    async def run() -> None:
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=1)
            except nats.errors.TimeoutError:
                continue
            for message in messages:
                codec.message_type((message.headers or {})["ce-type"]).FromString(message.data)
                await message.ack()
            count.add(len(messages))

    task = asyncio.get_running_loop().create_task(run())

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return stop


async def main() -> None:
    rates: dict[str, list[float]] = {"shipped": [], "plain": []}
    times: dict[str, list[float]] = {"shipped": [], "plain": []}
    async with bench() as b:
        for number in range(ROUNDS):
            for way, start in (("shipped", shipped), ("plain", plain)):
                tenant, count = f"{way}-{number}", Count()
                await fill(b, tenant, AT_ONCE)
                began = time.perf_counter()
                stop = await start(b, tenant, count)
                await count.reach(AT_ONCE)
                rates[way].append(AT_ONCE / (time.perf_counter() - began))
                subject = subjects.fact(tenant, "queue", "contact", "bridged")
                for single in range(SINGLE // ROUNDS):
                    data, _, _, headers = _made(subject, tenant, single)
                    began = time.perf_counter()
                    await b.client.jetstream().publish(subject, data, headers=headers)
                    await count.reach(AT_ONCE + single + 1)
                    times[way].append(time.perf_counter() - began)
                await stop()  # type: ignore[misc]
    figures("bus_consume", rates["shipped"], rates["plain"], times["shipped"], times["plain"])


if __name__ == "__main__":
    asyncio.run(main())
