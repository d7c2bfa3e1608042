"""The bus over NATS: one connection a process, JetStream for facts and logs, core NATS for requests and live news.

``NatsBus(...)`` and ``start()`` return at once: a process must be able to serve calls while NATS is away. Operations wait
for the connection as long as their own time allows; followers, consumers and servers begin when it is there, and go on
by themselves after every loss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog
from nats.aio.msg import Msg

from services.common import ids
from services.common.bus import (
    Appended,
    Envelope,
    Handler,
    Progress,
    ReadyHook,
    RequestHandler,
    Sendable,
    Subscription,
    subjects,
)
from services.common.bus.access import NatsAccess
from services.common.bus.arrival import Arrival, place_of
from services.common.bus.base import (
    MAX_CONCURRENT_REQUESTS,
    BaseBus,
    Nobody,
    Pauses,
    Unconfirmed,
    Unstored,
    ignore_ready,
)
from services.common.bus.connection import Callback, Connection, Wanted
from services.common.bus.delivery import Courier, Delivered
from services.common.bus.headers import from_headers, stored_envelope, to_headers
from services.common.bus.jetstream import ACK, IN_PROGRESS, ApiError, JetStream, nak, term
from services.common.bus.pull import HEARTBEAT_S, Pull, Silent
from services.common.bus.streams import REPLAY, STREAMS
from services.common.clock import Clock

logger = structlog.get_logger()

# How long the server waits for an acknowledgement before it gives a message to somebody else, which only a dead process
# should cause: messages in hand are marked "in progress" three times as often.
ACK_WAIT_S = 5.0
_READ_BATCH = 500
# Messages that all who share a consumer may have in hand together; for larger batches two of them.
_IN_HAND = 1000
# For what a person sends now and then: a node's death may go unnoticed for three times as long.
IDLE_HEARTBEAT_S = 4.0
_FOREVER = float("inf")


class NatsBus(BaseBus):
    """One process's connection to NATS."""

    def __init__(
        self,
        url: str,
        *,
        source: str,
        clock: Clock,
        on_ready: ReadyHook = ignore_ready,
        on_closed: Callable[[str], None] | None = None,
        ack_wait_s: float = ACK_WAIT_S,
        access: NatsAccess | None = None,
    ) -> None:
        """``url``: servers separated by commas. ``access``: how to log in; None is without a name. ``source``: ``/<service>/<instance>``, in every message's ``ce-source``.

        ``on_ready`` hears of the parts ``nats``, ``consumer:<name>`` and ``follow:<subject>``; ``on_closed`` is called when the
        connection is lost for good, which only a restart of the process cures.
        """
        super().__init__(source=source, clock=clock, on_ready=on_ready)
        self._ack_wait_s = ack_wait_s
        self._connection = Connection(
            url,
            name=source.strip("/").replace("/", "-"),
            on_ready=on_ready,
            on_closed=on_closed,
            verify=self._verify,
            access=access,
        )
        self._jetstream = JetStream(self._connection)
        self._listening: list[_Listening] = []
        self._answering: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Connect in the background."""
        self._connection.start()

    async def connected(self, timeout_s: float | None = None) -> None:
        """Wait for the connection. Raises Unstored after ``timeout_s``."""
        await self._connection.connected(timeout_s)

    @property
    def connection(self) -> Connection:
        """The connection, for tools of this package."""
        return self._connection

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._connection.max_payload

    async def _verify(self, connection: Connection) -> str:
        missing = []
        for spec in STREAMS:
            try:
                info = await self._jetstream.api(f"STREAM.INFO.{spec.name}", {}, 2.0)
            except ApiError:
                missing.append(spec.name)
                continue
            if not set(spec.subjects) <= set(info["config"].get("subjects", [])):
                missing.append(f"{spec.name} (without some of its subjects)")
        if missing:
            return f"streams are missing: {', '.join(missing)}; run python -m services.common.bus.migrate"
        return ""

    # -------------------------------------------------------------------------------------------------------- primitives
    async def _put(self, envelope: Envelope, *, expected_seq: int | None, timeout_s: float) -> Appended:
        return await self._jetstream.put(envelope, expected_seq=expected_seq, timeout_s=timeout_s)

    async def _next_of(self, subject: str, after_seq: int, timeout_s: float) -> Envelope | None:
        return await self._jetstream.next_of(subject, after_seq, timeout_s)

    async def _last_of(self, subject: str, timeout_s: float) -> Envelope | None:
        return await self._jetstream.last_of(subject, timeout_s)

    async def _end_of(self, stream: str, timeout_s: float) -> int:
        return await self._jetstream.end_of(stream, timeout_s)

    async def _progress_of(self, durable: str, stream: str, timeout_s: float) -> Progress | None:
        return await self._jetstream.progress(stream, durable, timeout_s)

    async def _ask(self, envelope: Envelope, timeout_s: float) -> Envelope:
        reply = await self._connection.request(
            envelope.subject, envelope.data, to_headers(envelope, stored=False), timeout_s
        )
        return from_headers(reply.headers, subject=envelope.subject, data=reply.data)

    async def _messages(
        self, stream: str, patterns: Sequence[str], *, after_seq: int, since_us: int | None
    ) -> AsyncGenerator[Envelope | None, None]:
        cursor = after_seq
        pauses = Pauses()
        while True:
            name = f"reader-{ids.new_id()}"
            await self._connection.connected()
            try:
                await self._jetstream.create_reader(
                    stream, name, patterns, after_seq=cursor, since_us=since_us, timeout_s=2.0
                )
            except (Unstored, Unconfirmed) as e:
                logger.debug("reader_waits", stream=stream, reason=str(e))
                await pauses.wait(_FOREVER)
                continue
            pauses = Pauses()
            pull = Pull(self._connection, self._jetstream, stream, name)
            await pull.open()
            number = 0
            try:
                while True:
                    pending = 0
                    for message in await pull.take(_READ_BATCH):
                        place = place_of(message.reply)
                        number += 1
                        if place.consumer != name or place.consumer_seq != number:
                            raise Silent  # a message between was lost on the way: read again from where we are
                        cursor, since_us, pending = place.stream_seq, None, place.pending
                        yield stored_envelope(message.headers, message.subject, message.data, place)
                    if pending == 0:
                        yield None
            except Silent:
                logger.debug("reader_renewed", stream=stream, after_seq=cursor)
            finally:
                await pull.close()
                await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}", b"")

    async def _consume(
        self,
        durable: str,
        stream: str,
        patterns: Sequence[str],
        courier: Courier,
        *,
        batch: int,
        linger_s: float,
        exclusive: bool,
        begins_ago_s: float | None,
    ) -> None:
        await self._make_durable(stream, durable, patterns, batch, begins_ago_s)
        if exclusive:
            await self._take_over(stream, durable)
        beat_s = IDLE_HEARTBEAT_S if stream == REPLAY.name else HEARTBEAT_S
        pull = Pull(self._connection, self._jetstream, stream, durable, heartbeat_s=beat_s)
        await pull.open()
        held: list[_Held] = []
        loop = asyncio.get_running_loop()
        keeping = loop.create_task(self._keep(pull, held), name=f"keep:{durable}")
        try:
            while True:
                await courier.rest()
                try:
                    held += [_Held(m, self._connection) for m in await pull.take(batch)]
                    until = loop.time() + linger_s
                    while len(held) < batch and (left := until - loop.time()) > 0:
                        held += [
                            _Held(m, self._connection)
                            for m in await pull.take(batch - len(held), timeout_s=left)
                        ]
                except Silent:
                    if not held:
                        await self._make_sure(stream, durable, patterns, batch, begins_ago_s)
                        continue
                await courier.deliver(held)
                held.clear()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._connection.publish_same([m.reply.decode() for m in await pull.close()], nak(0.0))

    async def _ack_all(self, messages: Sequence[Delivered]) -> None:
        held = [m for m in messages if isinstance(m, _Held) and not m.settled]
        for message in held:
            message.settled = True
        await self._connection.publish_same([m.reply for m in held], ACK)

    async def _keep(self, pull: Pull, held: list[_Held]) -> None:
        """Tell the server that messages in hand are being worked on."""
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            replies = [h.reply for h in held if not h.settled] + [m.reply.decode() for m in pull.waiting]
            await self._connection.publish_same(replies, IN_PROGRESS)

    async def _make_sure(
        self, stream: str, durable: str, patterns: Sequence[str], batch: int, begins_ago_s: float | None
    ) -> None:
        with contextlib.suppress(Unstored, Unconfirmed):
            if await self._jetstream.consumer_exists(stream, durable, 2.0):
                return
            logger.error("consumer_vanished", stream=stream, consumer=durable)
            await self._make_durable(stream, durable, patterns, batch, begins_ago_s)

    async def _take_over(self, stream: str, durable: str) -> None:
        try:
            await self._jetstream.reset(stream, durable, 2.0)
        except (Unstored, Unconfirmed) as e:
            # Only speed depends on it: what the reader before had in hand comes when its time is over.
            logger.warning("consumer_not_reset", consumer=durable, reason=str(e))

    async def _make_durable(
        self, stream: str, durable: str, patterns: Sequence[str], batch: int, begins_ago_s: float | None
    ) -> None:
        since_us = self._clock.now_us() - int(begins_ago_s * 1e6) if begins_ago_s is not None else None
        pauses = Pauses()
        logged = False
        while True:
            await self._connection.connected()
            try:
                await self._jetstream.create_durable(
                    stream,
                    durable,
                    patterns,
                    ack_wait_s=self._ack_wait_s,
                    in_hand=max(_IN_HAND, 2 * batch),
                    since_us=since_us,
                    timeout_s=2.0,
                )
            except (Unstored, Unconfirmed) as e:
                if not logged:
                    logged = True
                    logger.warning("consumer_not_made", stream=stream, consumer=durable, reason=str(e))
                await pauses.wait(_FOREVER)
            else:
                return

    # --------------------------------------------------------------------------------------------------- asking, listening
    async def serve(self, subject: str, handler: RequestHandler, *, queue: str) -> Subscription:
        async def answer(asked: Envelope, reply_to: str) -> None:
            await self._send_reply(await self._answer(handler, asked), reply_to)

        async def on_message(message: Msg) -> None:
            if not message.reply:
                return
            asked = from_headers(message.headers, subject=message.subject, data=message.data)
            if len(self._answering) >= MAX_CONCURRENT_REQUESTS:
                await self._send_reply(self._overloaded(asked), message.reply)
                return
            task = asyncio.get_running_loop().create_task(answer(asked, message.reply))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return await self._listen_on([subject], on_message, queue=queue)

    async def _send_reply(self, reply: Envelope, to: str) -> None:
        # Not message.respond(): it would echo the request's headers, its id among them.
        await self._connection.publish(to, reply.data, to_headers(reply, stored=False))

    async def publish_live(self, subject: str, message: Sendable) -> None:
        envelope = self._passing(subject, message)
        await self._connection.publish(subject, envelope.data, to_headers(envelope, stored=False))

    async def subscribe_live(self, subjects: Sequence[str], handler: Handler) -> Subscription:
        async def on_message(message: Msg) -> None:
            await self._listen(
                handler, from_headers(message.headers, subject=message.subject, data=message.data)
            )

        return await self._listen_on(subjects, on_message)

    async def announce(self, name: str) -> Subscription:
        async def on_message(message: Msg) -> None:
            if message.reply:
                await self._connection.publish(message.reply, b"")

        return await self._listen_on([subjects.alive(name)], on_message)

    async def is_present(self, name: str, *, timeout_s: float = 0.3) -> bool | None:
        try:
            await self._connection.request(subjects.alive(name), b"", None, timeout_s)
        except Nobody:
            return False
        except (Unconfirmed, Unstored):
            return None
        return True

    async def _listen_on(
        self, patterns: Sequence[str], on_message: Callback, *, queue: str = ""
    ) -> Subscription:
        wanted = [await self._connection.subscribe(p, on_message, queue=queue) for p in patterns]
        listening = _Listening(wanted)
        self._listening.append(listening)
        return listening

    async def stop(self) -> None:
        listening, self._listening = self._listening, []
        await asyncio.gather(*(subscription.stop() for subscription in listening))
        await super().stop()
        if self._answering:
            await asyncio.wait(self._answering, timeout=2)
        for task in list(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._connection.stop()


class _Held:
    """A message in hand, with its way back to the server. A lost acknowledgement only means one more delivery."""

    __slots__ = ("_connection", "envelope", "reply", "settled")

    def __init__(self, message: Arrival, connection: Connection) -> None:
        self._connection = connection
        self.reply = message.reply.decode()
        self.settled = False
        self.envelope = stored_envelope(
            message.headers, message.subject, message.data, place_of(message.reply)
        )

    async def _settle(self, verdict: bytes) -> None:
        if not self.settled:
            self.settled = True
            await self._connection.publish(self.reply, verdict)

    async def ack(self) -> None:
        await self._settle(ACK)

    async def nak(self, delay_s: float) -> None:
        await self._settle(nak(delay_s))

    async def term(self, reason: str) -> None:
        await self._settle(term(reason))


class _Listening:
    """Core subscriptions that end together."""

    def __init__(self, wanted: list[Wanted]) -> None:
        self._wanted = wanted
        self._ended = asyncio.Event()

    async def stop(self) -> None:
        self._ended.set()
        for wanted in self._wanted:
            # Drained: a request that the server has given us already would otherwise get no answer, and its asker would
            # wait for the whole of its patience.
            await wanted.unsubscribe(drain=True)

    async def wait(self) -> None:
        await self._ended.wait()
