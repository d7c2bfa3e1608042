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
from services.reporting.core.settling import Agents, Contacts, Pairs, Round, Slots, Touch
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
# Entries of the list of work that a round found due. Growing: settling is slower than the facts come.
TOUCHED = Gauge("peyvand_reporting_touched", "Entries of the list of work that were due at the last look")
# How far records are behind cards and facts: the time since a look whose finds are all settled, or the age of the oldest entry that is not.
LAG_S = Gauge("peyvand_reporting_settle_lag_seconds", "How far records are behind what is stored")

_RETRY_S: Final = 2.0
_TIMEOUT_S: Final = 300.0
# The price of a round is ClickHouse's reading of the statements, whether for one contact or a thousand (adr/0066). So each statement runs once
# a round where it can, and who has little to settle does it less often: a fifth of the time at most, unless work piles up.
_REST: Final = 4.0
_OPEN_DAYS: Final = timedelta(days=32)
_AGENT_KINDS: Final = (settling.PRESENCE, settling.ACTIVITY)
_KINDS: Final = (settling.CONTACT, *_AGENT_KINDS, settling.MINUTES)
_DAYS_AT_ONCE: Final = 1

ReadyHook = Callable[[bool, str], None]


class Settler:
    """Settles what was touched. Methods raise StoreUnavailable (call again) and StoreRefused."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """``store`` is bound to the database of the tables."""
        self._store = store
        self._clock = clock
        self._slot = 0
        self.settled_until_us: int | None = None
        """Whatever was stored by then is in the records; None: nobody has looked yet."""
        self._all_until_us: int | None = None  # the last round settled all that was due then

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
        looked_us = self._clock.now_us()
        by_kind: dict[str, list[Touch]] = {}
        found = await self._touched(ahead_ms)
        for touch in found:
            by_kind.setdefault(touch.kind, []).append(touch)
        TOUCHED.set(len(found))
        round_ = Round()
        minutes = by_kind.get(settling.MINUTES, [])
        round_.settled({(t.tenant, int(t.id)) for t in minutes}, minutes)
        try:
            for contacts in settling.contact_batches(by_kind.get(settling.CONTACT, ())):
                await self._contacts(contacts, round_)
            for agents in settling.agent_batches(t for kind in _AGENT_KINDS for t in by_kind.get(kind, ())):
                await self._agents(agents, round_)
        except StoreRefused:
            # What one batch is refused for does not hold up the others.
            await self._finish(round_)
            raise
        done = await self._finish(round_)
        self._all_until_us = looked_us if len(found) < settling.ROUND else None
        if not done:
            # What was there before there were records comes last, a day at a time.
            for touch in by_kind.get(settling.DAY, [])[:_DAYS_AT_ONCE]:
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

    async def _contacts(self, batch: Contacts, round_: Round) -> None:
        partial = await self._store.query(settling_sql.PARTIAL, batch.params(), timeout_s=_TIMEOUT_S)
        for part in batch.split(row["contact_id"] for row in partial):
            params = part.params()
            before = await self._slots(settling_sql.SLOTS_OF_CONTACTS, params)
            lease = await self._lease(before)
            await self._run(settling_sql.CONTACT_RECORDS, params)
            await self._run(settling_sql.SEGMENTS, params)
            for statement in settling_sql.SUPERSEDED:
                await self._run(statement, params)
            after = await self._slots(settling_sql.SLOTS_OF_CONTACTS, params)
            round_.settled(before | after, [*part.touches, *lease])
            SETTLED.labels("contact").inc(len(part.ids))

    # -- agents

    async def _agents(self, batch: Agents, round_: Round) -> None:
        now_us = self._clock.now_us()
        partial = await self._store.query(
            settling_sql.AGENTS_PARTIAL, batch.params(now_us), timeout_s=_TIMEOUT_S
        )
        for part in settling.agents_apart(batch, (row["agent_id"] for row in partial)):
            params = part.params(now_us)
            before = await self._slots(settling_sql.SLOTS_OF_AGENTS, params)
            lease = await self._lease(before)
            await self._run(settling_sql.AGENT_INTERVALS, params)
            await self._run(settling_sql.AGENTS_SUPERSEDED, params)
            after = await self._slots(settling_sql.SLOTS_OF_AGENTS, params)
            round_.settled(before | after, [*part.touches, *lease])
            SETTLED.labels("agent").inc(len(part.ids))

    async def _finish(self, round_: Round) -> int:
        """Compute the 15 minutes of all batches, then strike the batches off."""
        await self._states(round_.slots)
        return await self._strike(round_.touches)

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
            page = Round()
            await self._contacts(
                settling.contacts_of_day([(row["tenant"], row["contact_id"]) for row in rows], day), page
            )
            await self._finish(page)
        if day.day == 1:
            found = await self._store.query(
                settling_sql.AGENTS_OF_MONTH, {"from_day": day}, timeout_s=_TIMEOUT_S
            )
            for agents in settling.agents_of_month(
                [(row["tenant"], row["kind"], row["agent_id"]) for row in found], day
            ):
                page = Round()
                await self._agents(agents, page)
                await self._finish(page)
        log.info("day_settled", day=str(day))

    # -- the list of work

    async def _touched(self, ahead_ms: int) -> list[Touch]:
        rows = await self._store.query(
            settling_sql.TOUCHED,
            {"kinds": [*_KINDS, settling.DAY], "ahead_ms": ahead_ms, "most": settling.ROUND},
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
        """How far behind the records are, in seconds. ClickHouse is asked only when the last round left something."""
        now_us = self._clock.now_us()
        if self._all_until_us is not None:
            lag_ms = max(now_us - self._all_until_us, 0) // 1000
        else:
            row = (await self._store.query(settling_sql.BACKLOG, {"kinds": list(_KINDS), "ahead_ms": 0}))[0]
            TOUCHED.set(row["touches"])
            lag_ms = max(int(row["lag_ms"]), 0)
        LAG_S.set(lag_ms / 1000)
        self.settled_until_us = now_us - lag_ms * 1000
        return lag_ms / 1000

    async def _slots(self, statement: str, params: dict[str, Any]) -> Pairs:
        rows = await self._store.query(statement, params, timeout_s=_TIMEOUT_S)
        return {(row["tenant"], int(row["slot"])) for row in rows}

    async def _run(self, statement: str, params: dict[str, Any]) -> None:
        await self._store.command(statement, params, timeout_s=_TIMEOUT_S)
