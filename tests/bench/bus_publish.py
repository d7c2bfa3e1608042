"""A fact appended and confirmed: ``Bus.append`` beside nats-py's ``js.publish`` of the same bytes under an id."""

from __future__ import annotations

import asyncio

from services.common.bus import Outgoing, subjects
from tests.bench._bus import bench, bridged, compare


async def main() -> None:
    async with bench() as b:
        subject = subjects.fact("demo", "queue", "contact", "bridged")
        jetstream = b.client.jetstream()

        async def shipped(number: int) -> None:
            await b.bus.append(Outgoing(subject, bridged(number), f"s{number}", "demo", f"c-{number}"))

        async def plain(number: int) -> None:
            data = bridged(number).SerializeToString()
            await jetstream.publish(subject, data, headers={"Nats-Msg-Id": f"p{number}"})

        await compare("bus_publish", shipped, plain)


if __name__ == "__main__":
    asyncio.run(main())
