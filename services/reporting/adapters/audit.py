"""The standing check of the books: every message that a consumer has acknowledged has its facts in ClickHouse.

Theory of operation
-------------------
Facts keep the stream and sequence of their message. Every half minute each stream is compared in stretches of sequences, from the
oldest message that it still holds up to the consumer's floor; once there, what is new is compared, and every few hours all of it
again. Sequences without a fact are looked up in the stream itself: it may have no such message any more (its age, or the last hundred
of a subject), or one that reporting does not read, or one without facts. Only what is there, is ours, has facts and is younger than
what ClickHouse keeps is missing. What was found missing is looked for again every time: a message that is sent again cures it.

A message that was put aside as a dead letter is acknowledged and has no facts: it is missing until somebody replays it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog
from prometheus_client import Gauge

from services.common.bus import Bus, Envelope, Progress
from services.common.clickhouse import Row, Store, StoreRefused
from services.common.clock import Clock
from services.common.errors import BusUnavailable, StoreUnavailable
from services.reporting.adapters.bus import placed_facts
from services.reporting.core import audit_sql
from services.reporting.core.sql import Statement

log = structlog.get_logger()

# Messages whose facts are not in ClickHouse although they were acknowledged. Above zero: the books are wrong; the log and
# GET /v1/reports/books name them. Dead letters (make letters) are the usual reason.
MISSING = Gauge(
    "peyvand_reporting_facts_missing", "Acknowledged messages without their facts in ClickHouse", ["stream"]
)
# Messages that reporting has not stored yet. Growing for long: ClickHouse is away or too slow.
BEHIND = Gauge("peyvand_reporting_messages_behind", "Messages that are not stored yet", ["stream"])
# Age of the oldest of them: how far the facts in ClickHouse are behind.
LAG_S = Gauge("peyvand_reporting_lag_seconds", "Age of the oldest message that is not stored yet", ["stream"])
# Share of what the stream holds that this round of the check has compared. Stuck below 1: the check cannot keep up.
COMPARED = Gauge(
    "peyvand_reporting_books_compared_ratio", "Share of the stream that was compared", ["stream"]
)

STRETCH: Final = 100_000
_STRETCHES: Final = 5
_LOOK_UPS: Final = 500
_AGAIN_US: Final = 6 * 3_600_000_000
# How much older a fact may be than its message: the clocks of other machines, a report that was late. Older ones are found singly.
_OLDER_US: Final = 2 * 86_400_000_000
_DAY_US: Final = 86_400_000_000
_NAMED: Final = 20


class StreamBooks(msgspec.Struct):
    """One stream. Sequences are the stream's; ``facts`` and ``messages`` are those found up to ``compared_seq`` in this round."""

    stream: str
    consumer: str
    first_seq: int = 0
    last_seq: int = 0
    acknowledged_seq: int = 0
    compared_seq: int = 0
    messages: int = 0
    facts: int = 0
    missing: int = 0
    missing_seqs: list[int] = []
    behind: int = 0
    lag_seconds: float = 0.0
    compared_at_us: int = 0


class _Reading(msgspec.Struct):
    """What is remembered of one stream between two rounds; nothing of it has to survive the process."""

    consumer: str
    subjects: Sequence[str]
    books: StreamBooks
    missing: set[int] = msgspec.field(default_factory=set)
    # Compared up to here in this round; whether the round has not come to the floor yet, and when the last one did.
    done: int = 0
    sweeping: bool = True
    swept_at_us: int = 0


class Audit:
    """Compares the streams with ClickHouse, for ever."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        clock: Clock,
        consumers: Mapping[str, Sequence[str]],
        *,
        keep_days: int = 0,
        stretch: int = STRETCH,
    ) -> None:
        """``consumers``: the subjects of each durable consumer, of one stream each. ``keep_days``: for how long ClickHouse keeps facts;
        0 is for ever."""
        self._bus = bus
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._stretch = stretch
        self._readings = [
            _Reading(name, subjects, StreamBooks("", name)) for name, subjects in consumers.items()
        ]

    @property
    def books(self) -> list[StreamBooks]:
        """What is known of each stream; of one that was never compared, nothing but its consumer."""
        return [reading.books for reading in self._readings]

    async def run(self, every_s: float) -> None:
        """Compare every so often; what cannot be reached is compared the next time."""
        while True:
            try:
                await self.compare()
            except (StoreUnavailable, StoreRefused, BusUnavailable) as e:
                log.info("books_not_compared", reason=str(e))
            await asyncio.sleep(every_s)

    async def compare(self) -> None:
        """One round. Raises StoreUnavailable, StoreRefused and BusUnavailable."""
        for reading in self._readings:
            progress = await self._bus.progress(reading.consumer, reading.subjects)
            if progress is not None:
                await self._compare(reading, progress)

    async def _compare(self, reading: _Reading, progress: Progress) -> None:
        now_us = self._clock.now_us()
        books = reading.books
        books.stream = progress.stream
        before = max(progress.first_seq - 1, 0)
        floor = min(progress.floor_seq, progress.last_seq)
        oldest = await self._bus.next_stored(reading.subjects, before)
        since_us = oldest.time_us - _OLDER_US if oldest is not None else 0
        await self._look_again(reading, before)
        if not reading.sweeping and now_us - reading.swept_at_us > _AGAIN_US:
            reading.sweeping, reading.done, books.messages, books.facts = True, before, 0, 0
        reading.done = max(reading.done, before)
        for _ in range(_STRETCHES):
            if reading.done < floor:
                to = min(reading.done + self._stretch, floor)
                reading.done = await self._stretch_of(reading, to, since_us, now_us)
        if reading.sweeping and reading.done >= floor:
            reading.sweeping, reading.swept_at_us = False, now_us
        books.first_seq, books.last_seq, books.acknowledged_seq = progress.first_seq, progress.last_seq, floor
        books.compared_seq, books.compared_at_us = reading.done, now_us
        COMPARED.labels(progress.stream).set(
            (reading.done - before) / (floor - before) if floor > before else 1
        )
        await self._say_lag(reading, progress, now_us)
        self._say_missing(reading)

    async def _stretch_of(self, reading: _Reading, to: int, since_us: int, now_us: int) -> int:
        """Compare up to ``to``; returns how far it came."""
        stream = reading.books.stream
        (counted,) = await self._ask(audit_sql.counts(stream, reading.done, to, since_us))
        gaps = await self._ask(audit_sql.gaps(stream, reading.done, to, since_us))
        suspects, reached, looked = set(counted["torn"]), to, 0
        if len(gaps) == audit_sql.GAPS_MAX:
            reached = gaps[-1]["before"] - 1
        for gap in gaps:
            at = gap["after"]
            while looked < _LOOK_UPS:
                looked += 1
                message = await self._bus.next_stored(reading.subjects, at)
                if message is None or message.stream_seq >= gap["before"]:
                    break
                at = message.stream_seq
                if self._is_wanted(message, now_us):
                    suspects.add(at)
            else:
                reached = min(reached, at)  # the rest of them the next time
                break
        if suspects:
            there = await self._ask(audit_sql.whole(stream, sorted(suspects)))
            reading.missing |= suspects - {row["seq"] for row in there}
        if reached == to:
            reading.books.facts += counted["facts"]
            reading.books.messages += counted["messages"]
        return reached

    def _is_wanted(self, message: Envelope, now_us: int) -> bool:
        old = self._keep_days and message.time_us < now_us - self._keep_days * _DAY_US
        return not old and bool(placed_facts(message))

    async def _look_again(self, reading: _Reading, before: int) -> None:
        """What has come meanwhile, or has left the stream by its age, is not missing any more."""
        reading.missing = {seq for seq in reading.missing if seq > before}
        if reading.missing:
            some = sorted(reading.missing)[:10_000]
            there = await self._ask(audit_sql.whole(reading.books.stream, some))
            reading.missing -= {row["seq"] for row in there}

    async def _ask(self, statement: Statement) -> list[Row]:
        return await self._store.query(statement.sql, statement.params, timeout_s=60.0)

    async def _say_lag(self, reading: _Reading, progress: Progress, now_us: int) -> None:
        books = reading.books
        books.behind = progress.waiting + progress.in_hand
        books.lag_seconds = 0.0
        if books.behind:
            oldest = await self._bus.next_stored(reading.subjects, progress.floor_seq)
            if oldest is not None:
                books.lag_seconds = max(0.0, (now_us - oldest.time_us) / 1e6)
        BEHIND.labels(progress.stream).set(books.behind)
        LAG_S.labels(progress.stream).set(books.lag_seconds)

    def _say_missing(self, reading: _Reading) -> None:
        books, missing = reading.books, sorted(reading.missing)
        if len(missing) > books.missing:
            log.error("facts_missing", stream=books.stream, messages=len(missing), first=missing[:_NAMED])
        elif books.missing and not missing:
            log.info("facts_complete", stream=books.stream)
        books.missing, books.missing_seqs = len(missing), missing[:_NAMED]
        MISSING.labels(books.stream).set(len(missing))
