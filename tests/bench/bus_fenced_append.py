"""An entry of a log, appended only after the one that it must follow: ``Bus.append_log`` beside nats-py with the same header.

One at a time by nature, so the throughput is that of one writer.
"""

from __future__ import annotations

import asyncio

from services.common.bus import Outgoing, subjects
from services.contracts.peyvand.routing.v1.log_pb2 import Decided, OfferMade
from tests.bench._bus import bench, compare


def decided(number: int) -> Decided:
    entry = Decided(epoch=1, owner="routing-1", input_id=f"c-{number}:waiting:0", at_us=1_795_248_000_123_456)
    entry.facts.add().offer_made.CopyFrom(
        OfferMade(
            offer_id=f"o-{number}",
            contact_id=f"c-{number}",
            agent_id="sara",
            extension="1001",
            queue="sales",
            node="fs1",
            ring_ms=15_000,
        )
    )
    return entry


async def main() -> None:
    async with bench() as b:
        ours, theirs = subjects.log("ours"), subjects.log("theirs")
        jetstream = b.client.jetstream()
        ends = {ours: 0, theirs: 0}

        async def shipped(number: int) -> None:
            entry = Outgoing(ours, decided(number), f"s{number}", "ours", f"c-{number}")
            ends[ours] = await b.bus.append_log(ours, entry, expected_seq=ends[ours])

        async def plain(number: int) -> None:
            headers = {
                "Nats-Msg-Id": f"p{number}",
                "Nats-Expected-Last-Subject-Sequence": str(ends[theirs]),
            }
            data = decided(number).SerializeToString()
            ends[theirs] = (await jetstream.publish(theirs, data, headers=headers)).seq

        await compare("bus_fenced_append", shipped, plain, concurrency=1)


if __name__ == "__main__":
    asyncio.run(main())
