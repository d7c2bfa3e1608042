"""The standing check against a real ClickHouse: it is silent while the books are whole, and names what is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.common import ids
from services.common.bus import Envelope, Outgoing, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.reporting.adapters.audit import Audit, StreamBooks
from services.reporting.adapters.writer import Writer
from services.reporting.app import CONSUMERS, EVENTS_CONSUMER, ROUTING_CONSUMER, Ingest
from services.reporting.core import facts as f
from services.reporting.core.legs import Directory

pytestmark = pytest.mark.clickhouse

CALLS = 20


class Lab:
    """Streams in memory, a real ClickHouse, reporting's consumers and the check."""

    def __init__(self, store: ServerStore, database: str) -> None:
        self.tenant = f"a{ids.new_id()}"
        self.store = store
        self.bus = MemoryBus(MemoryBroker(), source="/test/1")
        self.ingest = Ingest(Writer(store, database), lambda: Directory({}, {}, ""))
        # Short stretches, so that there are several.
        self.audit = Audit(self.bus, store, SystemClock(), CONSUMERS, stretch=7)
        self._last = 0

    async def call(self, n: int) -> None:
        """Two observations and one decision with two facts."""
        contact, at_us = f"{self.tenant}-{n}", SystemClock().now_us()
        waiting = f.ContactWaiting(contact_id=contact, node="fs1", queue="sales", waiting_since_us=at_us)
        gone = f.ContactGone(contact_id=contact, state="waiting", wait_ms=5, at_us=at_us)
        for what, fact in (("waiting", waiting), ("gone", gone)):
            subject = subjects.fact(self.tenant, "queue", "contact", what)
            await self.bus.append(Outgoing(subject, fact, f"{contact}:{what}", self.tenant, contact))
        queued = f.ContactQueued(contact_id=contact, queue="sales", waiting_since_us=at_us)
        closed = f.ContactClosed(contact_id=contact, queue="sales", outcome="abandoned", wait_ms=5)
        entry = f.Decided(epoch=1, at_us=at_us, facts=(queued, closed))
        await self.decide(entry, f"{contact}:decided")

    async def decide(self, entry: f.Decided, entry_id: str) -> None:
        log = subjects.log(self.tenant)
        self._last = await self.bus.append_log(
            log, Outgoing(log, entry, entry_id, self.tenant), expected_seq=self._last
        )

    async def stored(self) -> None:
        """Until the consumers have acknowledged everything."""
        for durable, patterns in list(CONSUMERS.items())[:2]:
            while (now := await self.bus.progress(durable, patterns)) is None or now.floor_seq < now.last_seq:
                pass

    async def compared(self) -> dict[str, StreamBooks]:
        """After as many rounds as it takes to come to the end."""
        for _ in range(8):
            await self.audit.compare()
        return {books.consumer: books for books in self.audit.books}


@pytest.fixture
async def lab(store: ServerStore, store_url: StoreUrl) -> AsyncIterator[Lab]:
    lab = Lab(store, store_url.database)
    for n in range(CALLS):
        await lab.call(n)
    await lab.ingest.consume(lab.bus, linger_s=0.0)
    await lab.stored()
    yield lab
    await lab.bus.stop()


async def test_whole_books_are_right_and_rows_taken_away_are_named(lab: Lab) -> None:
    books = await lab.compared()
    events, routing = books[EVENTS_CONSUMER], books[ROUTING_CONSUMER]
    assert (events.missing, routing.missing) == (0, 0)
    assert (events.messages, events.facts) == (2 * CALLS, 2 * CALLS)
    assert (routing.messages, routing.facts) == (CALLS, 2 * CALLS)
    assert (events.compared_seq, events.acknowledged_seq, events.behind) == (2 * CALLS, 2 * CALLS, 0)

    # A whole message, three in a row across the border of a stretch, and one of the two facts of a decision.
    taken = "stream = 'CC_EVENTS' AND seq IN (3, 13, 14, 15) OR stream = 'CC_ROUTING' AND seq = 5 AND idx = 0"
    await lab.store.command(f"DELETE FROM facts WHERE {taken}")
    again = Audit(lab.bus, lab.store, SystemClock(), CONSUMERS, stretch=7)
    lab.audit = again
    books = await lab.compared()
    assert books[EVENTS_CONSUMER].missing_seqs == [3, 13, 14, 15]
    assert books[ROUTING_CONSUMER].missing_seqs == [5]

    # They are sent again: nothing is missing any more.
    def of(seq: int) -> Envelope:
        return next(
            e for e in lab.bus.broker.entries(subjects.any_fact(service="queue")) if e.stream_seq == seq
        )

    await lab.ingest.facts([of(seq) for seq in (3, 13, 14, 15)])
    books = await lab.compared()
    assert books[EVENTS_CONSUMER].missing == 0
    assert books[ROUTING_CONSUMER].missing_seqs == [5]


async def test_what_is_no_fact_of_ours_is_not_missing(lab: Lab) -> None:
    """Messages without facts, and sequences that the stream has no message for any more."""
    await lab.decide(f.Decided(epoch=1, at_us=SystemClock().now_us()), f"{lab.tenant}:nothing")
    await lab.call(CALLS)
    await lab.stored()
    stream = lab.bus.broker.stream("CC_EVENTS")
    for seq in (1, 2, 9):
        del stream.entries[seq]  # by age, and out of the middle
    await lab.store.command("DELETE FROM facts WHERE stream = 'CC_EVENTS' AND seq IN (1, 2, 9)")
    books = await lab.compared()
    assert {name: one.missing for name, one in books.items()} == dict.fromkeys(CONSUMERS, 0)
    assert books[EVENTS_CONSUMER].first_seq == 3
    assert books[ROUTING_CONSUMER].compared_seq == books[ROUTING_CONSUMER].last_seq == CALLS + 2


async def test_facts_older_than_what_clickhouse_keeps_are_not_missing(lab: Lab) -> None:
    await lab.store.command("DELETE FROM facts WHERE stream = 'CC_EVENTS' AND seq = 4")

    class Later(SystemClock):
        def now_us(self) -> int:
            return super().now_us() + 11 * 86_400_000_000

    for keep_days, missing in ((10, []), (12, [4])):
        lab.audit = Audit(lab.bus, lab.store, Later(), CONSUMERS, keep_days=keep_days)
        assert (await lab.compared())[EVENTS_CONSUMER].missing_seqs == missing
