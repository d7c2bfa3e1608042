"""A question and its answer between two connections: ``Bus.request`` and ``Bus.serve`` beside nats-py's own, both with
protobuf decoded and made on either side."""

from __future__ import annotations

import asyncio

import nats
from nats.aio.msg import Msg

from services.common.bus import Envelope, codec, subjects
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition, Position
from tests.bench._bus import bench, compare


async def main() -> None:
    async with bench() as b:
        ours = subjects.rpc("ours", "routing", "contact", "position")
        theirs = subjects.rpc("theirs", "routing", "contact", "position")
        server = NatsBus(b.url, source="/bench/2", clock=SystemClock())
        server.start()
        await server.connected(10)
        other = await nats.connect(b.url)

        async def answer(asked: Envelope) -> Position:
            question = codec.decode(asked)
            assert isinstance(question, AskPosition)
            return Position(contact_id=question.contact_id, position=3, waiting=7, agents_available=5)

        async def respond(message: Msg) -> None:
            question = AskPosition.FromString(message.data)
            reply = Position(contact_id=question.contact_id, position=3, waiting=7, agents_available=5)
            await other.publish(message.reply, reply.SerializeToString())

        await server.serve(ours, answer, queue="routing")
        await other.subscribe(theirs, queue="routing", cb=respond)
        await other.flush()

        async def shipped(number: int) -> None:
            reply = await b.bus.request(ours, AskPosition(contact_id=f"c-{number}"), timeout_s=5)
            position = codec.decode(reply)
            assert isinstance(position, Position)
            assert position.position == 3

        async def plain(number: int) -> None:
            data = AskPosition(contact_id=f"c-{number}").SerializeToString()
            reply = await b.client.request(theirs, data, timeout=5)
            assert Position.FromString(reply.data).position == 3

        try:
            await compare("bus_request", shipped, plain)
        finally:
            await other.close()
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
