"""Runs settling against ClickHouse: takes what is due from ``touched``, runs the statements of ``core/settling_sql`` in order, strikes it off.

Every statement may be repeated, so nothing is remembered here: whatever ends the process, the list of work has the rest.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.common import ids
from services.common.clickhouse import Store, StoreRefused
from services.common.clock import Clock
from services.common.errors import StoreUnavailable
from services.reporting.core import settling, settling_sql, states_sql
from services.reporting.core.settling import Agents, Contacts, Slots, Touch
from services.reporting.core.tables import day_of

log = structlog.get_logger()

# Things settled: contacts, agents' intervals, 15 minutes. Zero while calls are made: /readyz says why.
SETTLED = Counter("peyvand_reporting_settled_total", "Contacts, agents and 15 minutes settled", ["kind"])
# Seconds of one round that had something to do. Above a few seconds for long: reports lag behind the calls.
SETTLE_S = Histogram(
    "peyvand_reporting_settle_seconds",
    "Seconds of one round of settling",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
# Entries of the list of work that are due. Growing: settling is slower than the facts come.
TOUCHED = Gauge("peyvand_reporting_touched", "Entries of the list of work that are due")
# Age of the oldest of them. It is how far records are behind cards and facts.
LAG_S = Gauge("peyvand_reporting_settle_lag_seconds", "Age of the oldest due entry of the list of work")

_RETRY_S: Final = 2.0
_TIMEOUT_S: Final = 300.0
# The price of a round is ClickHouse's reading of the statements (a quarter of a second of CPU for the longest), whether for one contact or a
# thousand. So whoever has little to settle does it less often, and calls keep the machine: a fifth of the time at most, unless work piles up.
_REST: Final = 4.0
_OPEN_DAYS: Final = timedelta(days=32)
_AGENT_KINDS: Final = (settling.PRESENCE, settling.ACTIVITY)
_KINDS: Final = (settling.CONTACT, *_AGENT_KINDS, settling.MINUTES)
_DAYS_AT_ONCE: Final = 1

ReadyHook = Callable[[bool, str], None]
Pairs = set[tuple[str, int]]


class Settler:
    """Settles what was touched. Methods raise StoreUnavailable (call again) and StoreRefused."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """``store`` is bound to the database of the tables."""
        self._store = store
        self._clock = clock
        self._slot = 0
        self.settled_until_us: int | None = None
        """Whatever was stored by then is in the records; None: nobody has looked yet."""

    async def run(self, every_s: float, ready: ReadyHook) -> None:
        """Settle what comes; forever."""
        said = ""
        while True:
            try:
                await self.seed()
                while True:
                    began_s = self._clock.monotonic_s()
                    await self.next_slot()
                    done = await self.round()
                    lag_s = await self.measure()
                    ready(True, f"{lag_s:.1f} s behind")
                    said = ""
                    if done < settling.FULL_ROUND:
                        took_s = self._clock.monotonic_s() - began_s
                        await asyncio.sleep(max(every_s, _REST * took_s))
            except (StoreUnavailable, StoreRefused) as e:
                if str(e) != said:
                    said = str(e)
                    log.warning("settling_waits", reason=said)
                ready(False, said)
                await asyncio.sleep(_RETRY_S)

    async def seed(self) -> None:
        """When there are no records at all: put the days of what is there on the list of work."""
        await self._store.command(settling_sql.SEED, timeout_s=_TIMEOUT_S)

    async def drain(self, *, ahead_ms: int = 0) -> None:
        """Settle until nothing is due; with ``ahead_ms`` also what will be due until then."""
        while await self.round(ahead_ms=ahead_ms):
            pass

    async def round(self, *, ahead_ms: int = 0) -> int:
        """Settle what is due, up to a bound; return how many entries of the list were struck off."""
        began = time.monotonic()
        done = 0
        by_kind: dict[str, list[Touch]] = {}
        for touch in await self._touched(_KINDS, ahead_ms):
            by_kind.setdefault(touch.kind, []).append(touch)
        for contacts in settling.contact_batches(by_kind.get(settling.CONTACT, ())):
            done += await self._contacts(contacts)
        for agents in settling.agent_batches(t for kind in _AGENT_KINDS for t in by_kind.get(kind, ())):
            done += await self._agents(agents)
        if minutes := by_kind.get(settling.MINUTES):
            await self._states((t.tenant, int(t.id)) for t in minutes)
            done += await self._strike(minutes)
        if not done:
            # What was there before there were records comes last, a day at a time.
            for touch in await self._touched([settling.DAY], ahead_ms, most=_DAYS_AT_ONCE):
                await self._day(date.fromisoformat(touch.id))
                done += await self._strike([touch])
        if done:
            SETTLE_S.observe(time.monotonic() - began)
        return done

    async def next_slot(self) -> None:
        """At each quarter of an hour: what goes on fills it, and at midnight goes on in the next day."""
        now_us = self._clock.now_us()
        slot = settling.slot_of(now_us)
        if slot == self._slot:
            return
        # A process that starts does not know what the former one saw; a day is what it looks back.
        first = self._slot or slot - 86_400
        going_on = await self._store.query(
            settling_sql.OPEN_AGENTS,
            {"from_day": max(day_of(now_us) - _OPEN_DAYS, settling.FIRST_DAY)},
        )
        touches = settling.at_a_quarter(
            [(row["kind"], row["tenant"], row["agent_id"], row["of_day"]) for row in going_on],
            first,
            slot,
            now_us,
            lambda: secrets.randbits(63),
        )
        await self._put(touches, 1)
        self._slot = slot

    # -- contacts

    async def _contacts(self, batch: Contacts) -> int:
        partial = await self._store.query(settling_sql.PARTIAL, batch.params(), timeout_s=_TIMEOUT_S)
        done = 0
        for part in batch.split(row["contact_id"] for row in partial):
            params = part.params()
            before = await self._slots(settling_sql.SLOTS_OF_CONTACTS, params)
            lease = await self._lease(before)
            await self._run(settling_sql.CONTACT_RECORDS, params)
            await self._run(settling_sql.SEGMENTS, params)
            for statement in settling_sql.SUPERSEDED:
                await self._run(statement, params)
            await self._states(before | await self._slots(settling_sql.SLOTS_OF_CONTACTS, params))
            SETTLED.labels("contact").inc(len(part.ids))
            done += await self._strike([*part.touches, *lease])
        return done

    # -- agents

    async def _agents(self, batch: Agents) -> int:
        now_us = self._clock.now_us()
        partial = await self._store.query(
            settling_sql.AGENTS_PARTIAL, batch.params(now_us), timeout_s=_TIMEOUT_S
        )
        done = 0
        for part in settling.agents_apart(batch, (row["agent_id"] for row in partial)):
            params = part.params(now_us)
            before = await self._slots(settling_sql.SLOTS_OF_AGENTS, params)
            lease = await self._lease(before)
            await self._run(settling_sql.AGENT_INTERVALS, params)
            await self._run(settling_sql.AGENTS_SUPERSEDED, params)
            await self._states(before | await self._slots(settling_sql.SLOTS_OF_AGENTS, params))
            SETTLED.labels("agent").inc(len(part.ids))
            done += await self._strike([*part.touches, *lease])
        return done

    # -- 15-minute states

    async def _states(self, pairs: Iterable[tuple[str, int]]) -> None:
        for batch in settling.slot_batches(pairs):
            await self._states_of(batch)

    async def _states_of(self, batch: Slots) -> None:
        params = batch.params() | {"now_us": self._clock.now_us()}
        # Before anything is read: see the theory of operation.
        row = await self._store.query(states_sql.NEXT_VERSION, params)
        params["version"] = row[0]["version"]
        for statement in (states_sql.QUEUE_15M, states_sql.AGENT_15M, *states_sql.STATES_GONE):
            await self._run(statement, params)
        SETTLED.labels("minutes").inc(len(batch.slots) * len(batch.tenants))

    # -- what was there before there were records

    async def _day(self, day: date) -> None:
        tenant = after = ""
        while True:
            rows = await self._store.query(
                settling_sql.CONTACTS_OF_DAY,
                {"from_day": day, "tenant": tenant, "after": after, "most": settling.BATCH},
                timeout_s=_TIMEOUT_S,
            )
            if not rows:
                break
            tenant, after = rows[-1]["tenant"], rows[-1]["contact_id"]
            await self._contacts(
                settling.contacts_of_day([(row["tenant"], row["contact_id"]) for row in rows], day)
            )
        if day.day == 1:
            found = await self._store.query(
                settling_sql.AGENTS_OF_MONTH, {"from_day": day}, timeout_s=_TIMEOUT_S
            )
            for agents in settling.agents_of_month(
                [(row["tenant"], row["kind"], row["agent_id"]) for row in found], day
            ):
                await self._agents(agents)
        log.info("day_settled", day=str(day))

    # -- the list of work

    async def _touched(self, kinds: Sequence[str], ahead_ms: int, most: int = settling.ROUND) -> list[Touch]:
        rows = await self._store.query(
            settling_sql.TOUCHED, {"kinds": list(kinds), "ahead_ms": ahead_ms, "most": most}
        )
        return [Touch(**row) for row in rows]

    async def _lease(self, pairs: Pairs) -> list[Touch]:
        touches = settling.lease(pairs, self._clock.now_us() + settling.LEASE_US, secrets.randbits(63))
        await self._put(touches, 1)
        return touches

    async def _strike(self, touches: Sequence[Touch]) -> int:
        await self._put(touches, -1)
        return len(touches)

    async def _put(self, touches: Sequence[Touch], sign: int) -> None:
        await self._store.insert(
            "touched", settling_sql.TOUCHED_COLUMNS, [t.row(sign) for t in touches], token=ids.new_id()
        )

    async def measure(self) -> float:
        """Look how far behind the records are, in seconds."""
        looked_us = self._clock.now_us()
        row = (await self._store.query(settling_sql.BACKLOG, {"kinds": list(_KINDS), "ahead_ms": 0}))[0]
        TOUCHED.set(row["touches"])
        LAG_S.set(row["lag_ms"] / 1000)
        self.settled_until_us = looked_us - max(int(row["lag_ms"]), 0) * 1000
        return float(row["lag_ms"]) / 1000

    async def _slots(self, statement: str, params: dict[str, Any]) -> Pairs:
        rows = await self._store.query(statement, params, timeout_s=_TIMEOUT_S)
        return {(row["tenant"], int(row["slot"])) for row in rows}

    async def _run(self, statement: str, params: dict[str, Any]) -> None:
        await self._store.command(statement, params, timeout_s=_TIMEOUT_S)
