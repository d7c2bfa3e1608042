"""Facts on their way to the bus, in order for each contact, without ever making a call wait."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque

import structlog
from prometheus_client import Counter, Gauge

from services.common.bus import Bus, Outgoing
from services.common.errors import ContractError, NotReady

log = structlog.get_logger()

# Facts in memory that the bus has not confirmed. Grows while NATS elects a leader; a lasting rise: NATS is down.
OUTBOX_FACTS = Gauge("peyvand_ivr_outbox_facts", "Facts that wait for the bus")
# Facts that are lost for good: the books of these contacts have holes. Anything above zero: NATS was away for long.
FACTS_LOST = Counter("peyvand_ivr_facts_lost_total", "Facts that never reached the bus", ["reason"])

_FLUSH_S = 2.0
_AGAIN_S = 0.5
# An append takes about a millisecond; facts of one contact follow each other, those of different contacts need not.
_LANES = 8


class Outbox:
    """At most ``size`` facts; what comes on top is lost, counted, and logged once until there is room again."""

    def __init__(self, bus: Bus, size: int) -> None:
        self._bus = bus
        self._size = size
        self._lanes: list[deque[Outgoing]] = [deque() for _ in range(_LANES)]
        self._news = [asyncio.Event() for _ in range(_LANES)]
        self._waiting = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._full = False
        self._silent = False

    def put(self, fact: Outgoing) -> None:
        """Take a fact; returns at once."""
        if self._waiting >= self._size:
            FACTS_LOST.labels("outbox_full").inc()
            if not self._full:
                self._full = True
                log.error("outbox_full", size=self._size, setting="PEYVAND_IVR_OUTBOX_SIZE")
            return
        self._full = False
        lane = zlib.crc32(fact.correlation_id.encode()) % _LANES
        self._lanes[lane].append(fact)
        self._news[lane].set()
        self._count(+1)

    def __len__(self) -> int:
        return self._waiting

    async def run(self) -> None:
        """Append fact after fact, each until it is confirmed. Ends only by cancellation."""
        await asyncio.gather(*(self._run(lane) for lane in range(_LANES)))

    async def stop(self) -> None:
        """Give the last facts a moment; those that remain are lost, counted and logged."""
        try:
            await asyncio.wait_for(self._empty.wait(), _FLUSH_S)
        except TimeoutError:
            FACTS_LOST.labels("stopped").inc(self._waiting)
            log.error("facts_lost_at_stop", facts=self._waiting)

    async def _run(self, lane: int) -> None:
        facts, news = self._lanes[lane], self._news[lane]
        while True:
            while not facts:
                news.clear()
                await news.wait()
            try:
                await self._bus.append(facts[0])
                self._silent = False
            except NotReady as e:
                if not self._silent:
                    self._silent = True
                    log.warning("facts_wait_for_bus", waiting=self._waiting, reason=str(e))
                await asyncio.sleep(_AGAIN_S)
                continue
            except ContractError as e:
                # It would fail for ever, and everything behind it with it.
                FACTS_LOST.labels("contract").inc()
                log.error("fact_refused", fact=facts[0].id, subject=facts[0].subject, reason=str(e))
            facts.popleft()
            self._count(-1)

    def _count(self, change: int) -> None:
        self._waiting += change
        OUTBOX_FACTS.set(self._waiting)
        if self._waiting:
            self._empty.clear()
        else:
            self._empty.set()
