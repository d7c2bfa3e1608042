"""What both buses do alike: repeat, settle, answer, follow. Adapters add the primitives that touch a server.

The rules that keep logs whole live here once, so that the in-memory bus with injected faults tests the very code that
runs over NATS.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import structlog

from services.common import ids, metrics
from services.common.bus import (
    Appended,
    BatchHandler,
    Envelope,
    Handler,
    Outgoing,
    Progress,
    ReadyHook,
    RequestHandler,
    Sendable,
    Subscription,
    codec,
    subjects,
)
from services.common.bus.delivery import Courier, Delivered, as_it_was, letter_of
from services.common.bus.streams import DUPLICATE_WINDOW_S, REPLAY, by_stream, stream_of
from services.common.bus.subjects import replay as replay_of
from services.common.clock import Clock
from services.common.errors import (
    BusUnavailable,
    Conflict,
    ContractError,
    DecodeError,
    NotReady,
    Refused,
    WrongSequence,
)
from services.contracts.peyvand.common.v1.problem_pb2 import Problem

logger = structlog.get_logger()

T = TypeVar("T")

MAX_CONCURRENT_REQUESTS = 64
# One attempt of an append. An election takes 4 to 11 s; shorter attempts notice its end sooner.
ATTEMPT_S = 2.0
_SHORTEST_ASK_S = 0.1
# A person waits for the outcome of a replay: a letter that fails twice more is a letter again after a second.
REPLAY_DELIVERIES = 2
_PROBLEM = Problem.DESCRIPTOR.full_name


class Unconfirmed(Exception):
    """An attempt whose outcome nobody told us: it may be stored, now or a little later."""


class Unstored(Exception):
    """An attempt that surely stored nothing and may be repeated."""


class Nobody(Exception):
    """A request for which there was surely no listener."""


def ignore_ready(part: str, ok: bool, detail: str) -> None:
    """A ReadyHook for whoever does not report readiness."""


class TaskSubscription:
    """A subscription that is a task."""

    def __init__(self, coro: Coroutine[Any, Any, None], name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(coro, name=name)

    async def stop(self) -> None:
        await end([self._task])

    async def wait(self) -> None:
        # Not awaited directly: a waiter that is cancelled must not take the subscription with it.
        await asyncio.wait({self._task})
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error


class Pauses:
    """Growing pauses with jitter, 0.1 to 2 s: 300 writers that repeat every 0.1 s saturate a server in an election."""

    def __init__(self, first_s: float = 0.1, longest_s: float = 2.0) -> None:
        self._next_s = first_s
        self._longest_s = longest_s

    async def wait(self, until: float) -> None:
        """Sleep, but not past ``until`` on the loop's clock."""
        left = max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.sleep(min(left, self._next_s * random.uniform(0.5, 1.5)))  # noqa: S311 -- jitter, not a secret
        self._next_s = min(self._longest_s, self._next_s * 2)


class BaseBus(abc.ABC):
    """The port's behaviour over a handful of primitives."""

    def __init__(
        self, *, source: str, clock: Clock, on_ready: ReadyHook = ignore_ready, first_pause_s: float = 0.1
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_ready = on_ready
        self._first_pause_s = first_pause_s
        self._running: list[TaskSubscription] = []

    # -------------------------------------------------------------------------------------------------------- primitives
    @abc.abstractmethod
    async def _put(self, envelope: Envelope, *, expected_seq: int | None, timeout_s: float) -> Appended:
        """One attempt to store. Raises Unconfirmed, Unstored, WrongSequence, ContractError."""

    @abc.abstractmethod
    async def _next_of(self, subject: str, after_seq: int, timeout_s: float) -> Envelope | None:
        """First entry of a subject after a sequence, from the leader. Raises Unconfirmed or Unstored."""

    @abc.abstractmethod
    async def _last_of(self, subject: str, timeout_s: float) -> Envelope | None:
        """Newest entry of a subject, from the leader. Raises Unconfirmed or Unstored."""

    @abc.abstractmethod
    async def _end_of(self, stream: str, timeout_s: float) -> int:
        """Last sequence of a stream. Raises Unconfirmed or Unstored."""

    @abc.abstractmethod
    async def _progress_of(self, durable: str, stream: str, timeout_s: float) -> Progress | None:
        """How far a durable consumer is. Raises Unconfirmed or Unstored."""

    @abc.abstractmethod
    def _messages(
        self, stream: str, patterns: Sequence[str], *, after_seq: int, since_us: int | None
    ) -> AsyncGenerator[Envelope | None, None]:
        """Messages in order, without end and without a gap; None whenever it may have caught up."""

    @abc.abstractmethod
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
        """Pull for ever and hand batches to the courier."""

    @abc.abstractmethod
    async def _ask(self, envelope: Envelope, timeout_s: float) -> Envelope:
        """One request. Raises Nobody, Unstored (not sent) or Unconfirmed (no answer in time)."""

    # ---------------------------------------------------------------------------------------------------------- appending
    async def append(self, fact: Outgoing, *, timeout_s: float = 30.0) -> Appended:
        return await self._repeat(self._outgoing(fact), timeout_s)

    async def _repeat(self, envelope: Envelope, timeout_s: float) -> Appended:
        stream_of(envelope.subject)
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + timeout_s
        pauses = Pauses(self._first_pause_s)
        while True:
            try:
                appended = await self._put(
                    envelope, expected_seq=None, timeout_s=_attempt_s(until - loop.time())
                )
            except (Unconfirmed, Unstored) as e:
                if loop.time() >= until:
                    raise BusUnavailable(
                        f"{envelope.subject} was not confirmed within {timeout_s} s: {e}"
                    ) from e
                metrics.BUS_RETRIES.inc()
                await pauses.wait(until)
            else:
                metrics.BUS_APPEND_S.observe(loop.time() - began)
                return appended

    async def append_log(
        self, subject: str, fact: Outgoing, *, expected_seq: int, timeout_s: float = 30.0
    ) -> int:
        if fact.subject != subject:
            raise ContractError(f"an entry for {subject} must not name the subject {fact.subject}")
        stream_of(subject)
        envelope = self._outgoing(fact)
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = began + timeout_s
        pauses = Pauses(self._first_pause_s)
        while True:
            try:
                seq = await self._put_after(envelope, expected_seq, _attempt_s(until - loop.time()))
            except (Unconfirmed, Unstored) as e:
                if loop.time() >= until:
                    raise BusUnavailable(
                        f"whether {subject} got the entry after {expected_seq} is unknown after {timeout_s} s: {e}"
                    ) from e
                metrics.BUS_RETRIES.inc()
                await pauses.wait(until)
            else:
                metrics.BUS_APPEND_S.observe(loop.time() - began)
                return seq

    async def _put_after(self, envelope: Envelope, expected_seq: int, timeout_s: float) -> int:
        # Repeating is safe: the server takes one entry after expected_seq, whichever attempt it is. When it refuses, that
        # entry is there to be read, and its id says whether it is ours (an attempt whose confirmation was lost).
        try:
            appended = await self._put(envelope, expected_seq=expected_seq, timeout_s=timeout_s)
        except WrongSequence as refused:
            entry = await self._next_of(envelope.subject, expected_seq, timeout_s)
            if entry is None and refused.last_seq > expected_seq:
                # Whoever answered does not have what the other refused us for: a leader that was frozen, and does not know
                # yet that there is a new one. Believed, it would have us take our own stored entry for not stored.
                raise Unconfirmed(f"{refused}, but a server says there is none") from None
            if entry is not None and entry.id == envelope.id:
                return entry.stream_seq
            found = (
                f"entry {entry.stream_seq} of {entry.source}"
                if entry
                else "nothing after it and another end before it"
            )
            raise WrongSequence(
                f"{envelope.subject}: expected the log to end at {expected_seq}, found {found}"
            ) from None
        if appended.seq <= expected_seq:
            raise ContractError(
                f"{envelope.subject}: the id {envelope.id} was used before, for entry {appended.seq}"
            )
        return appended.seq

    def _outgoing(self, fact: Outgoing) -> Envelope:
        type_name, data = codec.encode(fact.subject, fact.message)
        if not fact.id:
            raise ContractError(
                f"{type_name} on {fact.subject} has no id: without it a repetition would be stored twice"
            )
        return Envelope(
            id=fact.id,
            type=type_name,
            time_us=fact.time_us or self._clock.now_us(),
            source=self._source,
            tenant=fact.tenant,
            correlation_id=fact.correlation_id,
            causation_id=fact.causation_id,
            subject=fact.subject,
            stream_seq=0,
            data=data,
        )

    async def _put_aside(self, durable: str, reason: str, envelope: Envelope, detail: str) -> None:
        dead = letter_of(envelope, durable, reason, detail, now_us=self._clock.now_us(), source=self._source)
        try:
            await self._repeat(dead, DUPLICATE_WINDOW_S / 20)
        except ContractError:
            # With what a letter adds it is too large for the server. Its place in the stream is enough to find it by.
            logger.error("letter_without_data", consumer=durable, id=dead.id, bytes=len(dead.data))
            await self._repeat(
                msgspec.structs.replace(dead, data=b"", correlation_id=""), DUPLICATE_WINDOW_S / 20
            )

    async def _as_it_was(self, dead: Envelope) -> Envelope:
        message = as_it_was(dead)
        if message.data:
            return message
        # It was empty, or too large to be copied into a letter: then it is read where it stands.
        found = await self._patient(
            lambda t: self._next_of(message.subject, message.stream_seq - 1, t), f"{message.subject}", 5.0
        )
        return found if found is not None and found.stream_seq == message.stream_seq else message

    async def replay(self, dead: Envelope) -> Appended:
        """Send a dead letter back to the consumer that could not handle it, and to nobody else.

        Doing it twice sends it once (within the stream's window). Raises ContractError for what is no dead letter,
        BusUnavailable.
        """
        letter = dead.letter
        if letter is None:
            raise ContractError(
                f"{dead.id or dead.stream_seq} does not say which consumer could not handle it"
            )
        again = msgspec.structs.replace(
            dead,
            id=f"{dead.id}:again",
            time_us=self._clock.now_us(),
            source=self._source,
            subject=subjects.replay(letter.consumer),
            stream="",
            stream_seq=0,
            note="",
        )
        return await self._repeat(again, 30.0)

    # ------------------------------------------------------------------------------------------------------------ reading
    async def last(self, subject: str, *, timeout_s: float = 30.0) -> Envelope | None:
        return await self._patient(
            lambda t: self._last_of(subject, t), f"the last entry of {subject}", timeout_s
        )

    async def progress(
        self, durable: str, subjects: Sequence[str], *, timeout_s: float = 5.0
    ) -> Progress | None:
        (stream,) = by_stream(subjects)
        return await self._patient(
            lambda t: self._progress_of(durable, stream, t), f"how far {durable} is", timeout_s
        )

    async def next_stored(
        self, subjects: Sequence[str], after_seq: int, *, timeout_s: float = 5.0
    ) -> Envelope | None:
        ((stream, patterns),) = by_stream(subjects).items()

        async def attempt(left_s: float) -> Envelope | None:
            found = [await self._next_of(pattern, after_seq, left_s) for pattern in patterns]
            return min((f for f in found if f is not None), key=lambda f: f.stream_seq, default=None)

        return await self._patient(attempt, f"what {stream} has after {after_seq}", timeout_s)

    async def _patient(self, attempt: Callable[[float], Awaitable[T]], what: str, timeout_s: float) -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        pauses = Pauses(self._first_pause_s)
        while True:
            try:
                return await attempt(_attempt_s(until - loop.time()))
            except (Unconfirmed, Unstored) as e:
                if loop.time() >= until:
                    raise BusUnavailable(f"{what} could not be read within {timeout_s} s: {e}") from e
                await pauses.wait(until)

    async def read_log(self, subject: str, *, after_seq: int) -> AsyncIterator[Envelope]:
        stream = stream_of(subject).name
        newest: Envelope | None = await self.last(subject)
        if newest is None or newest.stream_seq <= after_seq:
            return
        messages = self._messages(stream, [subject], after_seq=after_seq, since_us=None)
        try:
            while True:
                try:
                    async with asyncio.timeout(30.0):
                        entry = await anext(messages)
                except TimeoutError:
                    raise BusUnavailable(
                        f"{subject}: no entry for 30 s, wanted up to {newest.stream_seq}"
                    ) from None
                if entry is None:
                    continue
                yield entry
                if entry.stream_seq >= newest.stream_seq:
                    return
        finally:
            await messages.aclose()

    async def follow(
        self, subjects: Sequence[str], handler: Handler, *, after_seq: int | None, since_us: int | None = None
    ) -> Subscription:
        groups = by_stream(subjects)
        if after_seq and len(groups) > 1:
            raise ContractError(f"sequence {after_seq} means nothing in several streams: {', '.join(groups)}")
        starts = dict.fromkeys(groups, after_seq or 0)
        if after_seq is None and since_us is None:
            for stream in groups:
                starts[stream] = await self._end_for_sure(stream)
        one_at_a_time = asyncio.Lock()

        async def run(stream: str, patterns: list[str]) -> None:
            messages = self._messages(stream, patterns, after_seq=starts[stream], since_us=since_us)
            async with contextlib.aclosing(messages):
                async for message in messages:
                    if message is not None:
                        async with one_at_a_time:
                            await handler(message)

        part = f"follow:{subjects[0]}"

        async def run_all() -> None:
            tasks = [
                asyncio.get_running_loop().create_task(run(s, p), name=f"{part}:{s}")
                for s, p in groups.items()
            ]
            try:
                await asyncio.gather(*tasks)
            except Exception as e:
                logger.error("follower_failed", subjects=list(subjects), exc_info=e)
                self._on_ready(part, False, repr(e))
                raise
            finally:
                await end(tasks)

        return self._start(run_all(), part)

    async def _end_for_sure(self, stream: str) -> int:
        waiting = False
        while True:
            try:
                return await self._patient(lambda t: self._end_of(stream, t), f"the end of {stream}", 30.0)
            except BusUnavailable as e:
                if not waiting:
                    waiting = True
                    logger.warning("follow_waits", stream=stream, reason=str(e))

    async def consume(
        self,
        durable: str,
        subjects: Sequence[str],
        handler: BatchHandler,
        *,
        batch: int = 1,
        linger_s: float = 0.0,
        max_deliver: int = 5,
        exclusive: bool = False,
        begins_ago_s: float | None = None,
    ) -> Subscription:
        if not ids.is_token(durable):
            raise ContractError(
                f"{durable!r} cannot name a consumer: expected a token such as 'reporting' or 'routing-3'"
            )
        groups = by_stream(subjects)
        if len(groups) != 1:
            raise ContractError(f"a consumer reads one stream; {list(subjects)} are in {', '.join(groups)}")
        ((stream, patterns),) = groups.items()
        one_at_a_time = asyncio.Lock()

        async def handle(envelopes: list[Envelope]) -> None:
            async with one_at_a_time:
                await handler(envelopes)

        async def handle_again(envelopes: list[Envelope]) -> None:
            await handle([await self._as_it_was(envelope) for envelope in envelopes])
            for envelope in envelopes:
                metrics.BUS_REPLAYED.labels(durable).inc()
                logger.info("dead_letter_handled", consumer=durable, id=envelope.causation_id)

        couriers = (
            self._courier(durable, handle, max_deliver),
            self._courier(durable, handle_again, min(max_deliver, REPLAY_DELIVERIES)),
        )

        async def run() -> None:
            lanes = [
                self._consume(
                    durable,
                    stream,
                    patterns,
                    couriers[0],
                    batch=batch,
                    linger_s=linger_s,
                    exclusive=exclusive,
                    begins_ago_s=begins_ago_s,
                ),
                self._consume(
                    durable,
                    REPLAY.name,
                    [replay_subject],
                    couriers[1],
                    batch=1,
                    linger_s=0.0,
                    exclusive=exclusive,
                    begins_ago_s=None,
                ),
            ]
            tasks = [
                asyncio.get_running_loop().create_task(lane, name=f"consume:{durable}") for lane in lanes
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                await end(tasks)
                for courier in couriers:
                    courier.leave()

        replay_subject = replay_of(durable)
        return self._start(run(), f"consume:{durable}")

    def _courier(self, durable: str, handler: BatchHandler, max_deliver: int) -> Courier:
        return Courier(
            durable,
            handler,
            max_deliver=max_deliver,
            put_aside=self._put_aside,
            ack_all=self._ack_all,
            on_ready=self._on_ready,
        )

    async def _ack_all(self, messages: Sequence[Delivered]) -> None:
        """Acknowledge a batch; an adapter may do it in one go."""
        for message in messages:
            await message.ack()

    def _start(self, coro: Coroutine[Any, Any, None], name: str) -> TaskSubscription:
        subscription = TaskSubscription(coro, name)
        self._running.append(subscription)
        return subscription

    # --------------------------------------------------------------------------------------------------- asking, answering
    async def request(self, subject: str, message: Sendable, *, timeout_s: float) -> Envelope:
        asked = self._passing(subject, message)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        pauses = Pauses(self._first_pause_s / 2, 0.25)
        while True:
            left = until - loop.time()
            try:
                reply = await self._ask(asked, max(left, 0.001))
            except (Nobody, Unstored) as e:
                await pauses.wait(until)
                # With less time than an answer needs, one more attempt could only make the outcome unknown.
                if until - loop.time() < _SHORTEST_ASK_S:
                    raise BusUnavailable(f"nobody serves {subject}: asked for {timeout_s} s") from e
            except Unconfirmed as e:
                raise BusUnavailable(
                    f"no answer on {subject} within {timeout_s} s; whether it was done is unknown"
                ) from e
            else:
                break
        if reply.type == _PROBLEM:
            problem = Problem.FromString(reply.data)
            raise Refused(problem.slug, problem.reason, status=problem.status)
        return reply

    def _passing(self, subject: str, message: Sendable) -> Envelope:
        """An envelope for what is not stored."""
        return self._outgoing(Outgoing(subject, message, ids.new_id(), subjects.tenant_of(subject)))

    async def _answer(self, handler: RequestHandler, asked: Envelope) -> Envelope:
        """The reply to a request; what goes wrong becomes a Problem without inner detail."""
        try:
            return self._reply(asked, await handler(asked))
        except Refused as e:
            problem = Problem(slug=e.slug, reason=e.reason, status=e.status)
        except (DecodeError, ContractError) as e:
            problem = Problem(slug="malformed-request", reason=str(e), status=400)
        except (NotReady, Conflict) as e:
            logger.warning("request_not_ready", subject=asked.subject, reason=str(e))
            problem = Problem(slug="not-ready", reason="the owner is not ready; ask again", status=503)
        except Exception as e:
            logger.error("request_failed", subject=asked.subject, id=asked.id, exc_info=e)
            problem = Problem(slug="internal-error", reason=f"see the log for request {asked.id}", status=500)
        return self._reply(asked, problem)

    def _overloaded(self, asked: Envelope) -> Envelope:
        logger.warning("request_overload", subject=asked.subject, limit=MAX_CONCURRENT_REQUESTS)
        return self._reply(
            asked, Problem(slug="overloaded", reason="too many requests at once; ask again", status=503)
        )

    def _reply(self, asked: Envelope, message: Sendable) -> Envelope:
        return self._outgoing(
            Outgoing(
                asked.subject,
                message,
                ids.new_id(),
                asked.tenant,
                asked.correlation_id,
                causation_id=asked.id,
            )
        )

    async def _listen(self, handler: Handler, message: Envelope) -> None:
        """Hand over live news; an error costs this one message only."""
        try:
            await handler(message)
        except Exception as e:
            logger.error("live_handler_failed", subject=message.subject, exc_info=e)

    async def stop(self) -> None:
        running, self._running = self._running, []
        await asyncio.gather(*(s.stop() for s in running))


def _attempt_s(left_s: float) -> float:
    return max(0.05, min(ATTEMPT_S, left_s))


async def to_the_end(cleanup: Coroutine[Any, Any, None]) -> None:
    """Run what must be done before a task ends to its end, however often the task is cancelled meanwhile; ``end`` does so every 0.2 s.

    A cancellation that comes meanwhile is forgotten: for use where the task ends anyway.
    """
    cleaning = asyncio.get_running_loop().create_task(cleanup)
    while not cleaning.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({cleaning})
    cleaning.result()


async def end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: wait_for, which nats-py uses, loses a cancellation now and then (Python 3.11)."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.2)
