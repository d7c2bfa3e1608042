"""What happens to messages that a consumer was given: handled, given again, or put aside. The same for every adapter.

Theory of operation
  A batch goes to the handler as a whole. If the handler fails, the batch is tried message by message, so that one bad
  message is found and the others get through; that is why handlers must bear repetition.
  Waiting for a dependency (Retry, NotReady) is done here, with the messages held: they keep their order, and the number of
  deliveries, which decides about dead letters, only grows by failures and by processes that died with the message.
  A message that arrives more often than ``max_deliver`` has killed its process each time: it is put aside unhandled.
  Too many dead letters in a minute mean that not the messages but this program is wrong: the consumer pauses, and
  says that it is not ready, before it has emptied the stream into the dead letters.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from services.common import metrics
from services.common.bus import BatchHandler, Envelope, Letter, ReadyHook, Reject, Retry, subjects
from services.common.errors import BusUnavailable, DecodeError, NotReady

logger = structlog.get_logger()

# Seconds until a failed message is given again, by its number of deliveries.
FAILURE_DELAYS_S = (1.0, 5.0, 30.0, 120.0)
DEAD_LETTERS_A_MINUTE = 100
_ERROR_CHARS = 1000


class Delivered(Protocol):
    """A message that was given to this process and waits for its verdict."""

    @property
    def envelope(self) -> Envelope: ...

    async def ack(self) -> None:
        """It is done."""
        ...

    async def nak(self, delay_s: float) -> None:
        """Give it again after this time."""
        ...

    async def term(self, reason: str) -> None:
        """Never give it again."""
        ...


def letter_of(
    envelope: Envelope, durable: str, reason: str, error: str, *, now_us: int, source: str
) -> Envelope:
    """The dead letter about a message; about a replayed one, the next letter about the first message."""
    before = envelope.letter
    message = as_it_was(envelope) if before is not None else envelope
    times = before.times + 1 if before is not None else 1
    error = error[:_ERROR_CHARS]
    return Envelope(
        # With the count: the letter of a failed replay must not be taken for a repetition of the first one.
        id=f"{durable}:{message.stream}:{message.stream_seq}:{times}",
        type=message.type,
        time_us=now_us,
        source=source,
        tenant=message.tenant,
        correlation_id=message.correlation_id,
        causation_id=message.id,
        subject=subjects.dead_letter(durable.partition("-")[0], reason),
        stream_seq=0,
        data=message.data,
        note=f"{message.stream} {message.stream_seq} {message.subject}: {error}",
        letter=Letter(
            consumer=durable,
            reason=reason,
            error=error,
            subject=message.subject,
            stream=message.stream,
            stream_seq=message.stream_seq,
            id=message.id,
            source=message.source,
            time_us=message.time_us,
            causation_id=message.causation_id,
            deliveries=envelope.deliveries,
            times=times,
        ),
        traceparent=message.traceparent,
    )


def as_it_was(dead: Envelope) -> Envelope:
    """The message that a dead letter is about, as its consumer was given it. Raises Reject for what is no dead letter."""
    letter = dead.letter
    if letter is None:
        raise Reject(f"{dead.subject} {dead.stream_seq} is no dead letter")
    return msgspec.structs.replace(
        dead,
        id=letter.id,
        source=letter.source,
        time_us=letter.time_us,
        causation_id=letter.causation_id,
        subject=letter.subject,
        stream=letter.stream,
        stream_seq=letter.stream_seq,
        note="",
        letter=None,
    )


def _failure(error: Exception) -> str:
    """An exception in one line, with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{error!r}{where}"


class Courier:
    """Carries the batches of one durable consumer to its handler."""

    def __init__(
        self,
        durable: str,
        handler: BatchHandler,
        *,
        max_deliver: int,
        put_aside: Callable[[str, str, Envelope, str], Awaitable[None]],
        ack_all: Callable[[Sequence[Delivered]], Awaitable[None]],
        on_ready: ReadyHook,
        failure_delays_s: Sequence[float] = FAILURE_DELAYS_S,
        pause_s: float = 60.0,
    ) -> None:
        self._durable = durable
        self._handler = handler
        self._max_deliver = max_deliver
        self._put_aside = put_aside
        self._ack_all = ack_all
        self._on_ready = on_ready
        self._failure_delays_s = failure_delays_s
        self._pause_s = pause_s
        self._recent: deque[float] = deque()
        self._part = f"consumer:{durable}"
        self._waiting_for = ""
        self._unready = False

    async def rest(self) -> None:
        """Wait while the limit of dead letters is reached; called before more messages are asked for."""
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - self._pause_s:
            self._recent.popleft()
        if len(self._recent) < DEAD_LETTERS_A_MINUTE:
            return
        self._tell(False, f"paused: {len(self._recent)} dead letters within {self._pause_s:.0f} s")
        logger.error(
            "consumer_paused", consumer=self._durable, dead_letters=len(self._recent), pause_s=self._pause_s
        )
        await asyncio.sleep(self._pause_s)
        self._recent.clear()
        self._tell(True, "")

    def leave(self) -> None:
        """The consumer is stopped: nobody waits or rests any more, and another process may own what it was for."""
        if self._unready:
            self._tell(True, "")

    def _tell(self, ok: bool, detail: str) -> None:
        self._unready = not ok
        self._on_ready(self._part, ok, detail)

    async def deliver(self, batch: Sequence[Delivered]) -> None:
        """Bring a batch to its end: each message acknowledged, given back, or put aside."""
        left = list(batch)
        try:
            for message in batch:
                if message.envelope.deliveries > self._max_deliver:
                    left.remove(message)
                    times = message.envelope.deliveries - 1
                    await self._bury(
                        message, "too-many-deliveries", f"its handler ended without a verdict {times} times"
                    )
            await self._attempt(left)
        except asyncio.CancelledError:
            # The process stops: whoever takes over should not have to wait for the acknowledgement to time out.
            for message in left:
                await message.nak(0.0)
            raise

    async def _attempt(self, batch: list[Delivered]) -> None:
        while batch:
            try:
                await self._handler([m.envelope for m in batch])
            except (Retry, NotReady) as e:
                await self._hold(e)
            except (Reject, DecodeError) as e:
                if len(batch) > 1:
                    await self._one_by_one(batch)
                else:
                    reason = "undecodable" if isinstance(e, DecodeError) else "rejected"
                    await self._bury(batch[0], reason, str(e))
                batch.clear()
            except Exception as e:
                if len(batch) > 1:
                    await self._one_by_one(batch)
                else:
                    await self._failed(batch[0], e)
                batch.clear()
            else:
                self._proceed()
                await self._ack_all(batch)
                batch.clear()

    async def _one_by_one(self, batch: list[Delivered]) -> None:
        while batch:
            single = [batch[0]]
            await self._attempt(single)
            del batch[0]

    async def _hold(self, error: Retry | NotReady) -> None:
        cause = error.__cause__ or error.__context__ or error
        if not self._waiting_for:
            self._waiting_for = repr(cause)
            logger.warning("consumer_waits", consumer=self._durable, reason=self._waiting_for)
            self._tell(False, f"waits: {self._waiting_for}")
        await asyncio.sleep(error.after_s if isinstance(error, Retry) else 1.0)

    def _proceed(self) -> None:
        if self._waiting_for:
            self._waiting_for = ""
            logger.info("consumer_goes_on", consumer=self._durable)
            self._tell(True, "")

    async def _failed(self, message: Delivered, error: Exception) -> None:
        envelope = message.envelope
        logger.error(
            "handler_failed",
            consumer=self._durable,
            type=envelope.type,
            id=envelope.id,
            contact=envelope.correlation_id,
            deliveries=envelope.deliveries,
            exc_info=error,
        )
        if envelope.deliveries >= self._max_deliver:
            await self._bury(message, "too-many-deliveries", _failure(error))
            return
        delays = self._failure_delays_s
        await message.nak(delays[min(envelope.deliveries, len(delays)) - 1])

    async def _bury(self, message: Delivered, reason: str, detail: str) -> None:
        envelope = message.envelope
        try:
            await self._put_aside(self._durable, reason, envelope, detail)
        except BusUnavailable:
            await message.nak(1.0)  # not lost: it comes again, and is put aside then
            return
        await message.term(detail)
        metrics.BUS_DEAD_LETTERS.labels(self._durable, reason).inc()
        self._recent.append(asyncio.get_running_loop().time())
        logger.error(
            "dead_letter",
            consumer=self._durable,
            reason=reason,
            detail=detail,
            type=envelope.type,
            id=envelope.id,
            subject=envelope.subject,
            stream_seq=envelope.stream_seq,
        )
