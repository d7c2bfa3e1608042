"""Settling: from cards and facts, which know everything at once, to records and 15-minute states, which reports over years read.

Theory of operation
-------------------
``touched`` is the durable list of work. Views write it whenever a table that settling reads has new rows, after those rows are there. A
round takes what is due, and for each batch of contacts

1. notes, as work that is due a minute later, the 15 minutes in which the contacts count now (the lease),
2. writes their records and segments anew and takes away the rows that no longer are,
3. and when all batches of the round are that far, computes the 15-minute states of the minutes of before and of now,
4. and strikes the batches and their leases off the list.

Nothing is ever added to a number: each statement replaces what it computes, so it may run any number of times. A crash before 4 leaves the
batch on the list. The one thing that a repetition could not find out is in which 15 minutes a segment used to be that step 2 moved: for that
there is the lease, which comes due when the process that had it is gone. Agents are settled in the same way.

Two processes may settle the same contact at the same moment. A record's version says how much was known when it was computed and, of two
that knew as much, which looked later (``settling_sql``); the greater one is read. Whatever became known in between has its own entry
on the list. States have no such measure: a segment may leave their minutes again. Their version is a number that is taken before the segments
are read, and each change of segments is followed by a computation that began after it, so the greatest number has seen all changes.

What has to be read is bounded by time, because contacts' ids are random: a batch reads from the day before the earliest news on. A
contact whose start is not found there is settled over all days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, Final

import msgspec

from services.reporting.core.settling_sql import SLOT_S
from services.reporting.core.tables import DAY_US, day_of

FIRST_DAY: Final = date(1970, 1, 4)  # some days after ClickHouse's first, for what is a little older
LAST_DAY: Final = date(2149, 6, 2)
LAST_US: Final = 5_660_000_000_000_000
BATCH: Final = 1000
ROUND: Final = 20_000
"""Touches that one round takes at most; a contact has a few in a second."""
FULL_ROUND: Final = ROUND // 4
"""So many say that work piles up: the next round follows at once."""
LEASE_US: Final = 60_000_000
_BEFORE: Final = timedelta(days=1)
_AGENTS_BEFORE_US: Final = 2 * DAY_US
_AFTER: Final = timedelta(days=4)
_DAYS_AT_ONCE: Final = 7

CONTACT: Final = "contact"
PRESENCE: Final = "presence"
ACTIVITY: Final = "activity"
MINUTES: Final = "minutes"
DAY: Final = "day"


class Touch(msgspec.Struct, frozen=True):
    """One entry of the list of work, as ``touched`` has it."""

    kind: str
    tenant: str
    id: str
    since: datetime
    due: datetime
    touch: int

    def row(self, sign: int) -> tuple[Any, ...]:
        """The row that adds it (1) or strikes it off (-1)."""
        return (self.kind, self.tenant, self.id, self.since, self.due, self.touch, sign)


Pairs = set[tuple[str, int]]
"""15 minutes: tenant and start in seconds since the epoch."""


class Round:
    """What the batches of a round leave for its end: 15 minutes to compute, then entries of the list (leases with them) to strike off."""

    def __init__(self) -> None:
        self.slots: Pairs = set()
        self.touches: list[Touch] = []

    def settled(self, slots: Pairs, touches: Iterable[Touch]) -> None:
        """A batch's rows are written."""
        self.slots |= slots
        self.touches += touches


class Contacts(msgspec.Struct, frozen=True):
    """Contacts that are settled together, and the days that are read for it."""

    tenants: tuple[str, ...]
    ids: tuple[str, ...]
    from_day: date
    to_day: date = LAST_DAY
    touches: tuple[Touch, ...] = ()

    def params(self) -> dict[str, Any]:
        return {
            "tenants": list(self.tenants),
            "ids": list(self.ids),
            "from_day": self.from_day,
            "to_day": self.to_day,
        }

    def split(self, partial: Iterable[str]) -> list[Contacts]:
        """Those whose start was found in the days, and those for which all days have to be read."""
        apart = frozenset(partial)
        if not apart or self.from_day == FIRST_DAY:
            return [self]
        found = tuple(i for i in self.ids if i not in apart)
        whole = msgspec.structs.replace(
            self,
            ids=tuple(i for i in self.ids if i in apart),
            from_day=FIRST_DAY,
            to_day=LAST_DAY,
            touches=tuple(t for t in self.touches if t.id in apart),
        )
        rest = msgspec.structs.replace(
            self, ids=found, touches=tuple(t for t in self.touches if t.id not in apart)
        )
        return [rest, whole] if found else [whole]


class Agents(msgspec.Struct, frozen=True):
    """Agents whose intervals are settled together; ``since_us`` is the earliest change that is news."""

    tenants: tuple[str, ...]
    kinds: tuple[str, ...]
    ids: tuple[str, ...]
    since_us: int
    from_us: int
    to_us: int = LAST_US
    touches: tuple[Touch, ...] = ()

    def params(self, now_us: int) -> dict[str, Any]:
        return {
            "tenants": list(self.tenants),
            "ids": list(self.ids),
            "kinds": list(self.kinds),
            "since_us": self.since_us,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "now_us": min(now_us, self.to_us),
        }


class Slots(msgspec.Struct, frozen=True):
    """15 minutes of some tenants, and the days (UTC) on which they are."""

    tenants: tuple[str, ...]
    slots: tuple[int, ...]
    from_day: date
    to_day: date

    def params(self) -> dict[str, Any]:
        return {
            "tenants": list(self.tenants),
            "slots": list(self.slots),
            "from_day": self.from_day,
            "to_day": self.to_day,
        }


def _us(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def contact_batches(touches: Iterable[Touch], size: int = BATCH) -> Iterator[Contacts]:
    """Contacts touched about the same day together: each batch reads no more days than its earliest news asks for."""
    by_contact: dict[tuple[str, str], list[Touch]] = {}
    for touch in touches:
        by_contact.setdefault((touch.tenant, touch.id), []).append(touch)
    by_day = sorted((min(t.since for t in found).date(), key) for key, found in by_contact.items())
    for day, group in groupby(by_day, key=lambda pair: pair[0]):
        keys = [key for _, key in group]
        for at in range(0, len(keys), size):
            part = keys[at : at + size]
            yield Contacts(
                tenants=tuple(sorted({tenant for tenant, _ in part})),
                ids=tuple(sorted({contact for _, contact in part})),
                from_day=max(day - _BEFORE, FIRST_DAY),
                touches=tuple(t for key in part for t in by_contact[key]),
            )


def agent_batches(touches: Iterable[Touch], size: int = BATCH) -> Iterator[Agents]:
    """Agents whose earliest news is of the same day, together, presence and activity in one: what one statement does is not asked twice."""
    by_agent: dict[tuple[str, str], list[Touch]] = {}
    for touch in touches:
        by_agent.setdefault((touch.tenant, touch.id), []).append(touch)
    firsts = sorted((min(t.since for t in found).date(), key) for key, found in by_agent.items())
    for _, group in groupby(firsts, key=lambda first: first[0]):
        keys = [key for _, key in group]
        for at in range(0, len(keys), size):
            part = tuple(t for key in keys[at : at + size] for t in by_agent[key])
            since_us = min(_us(t.since) for t in part)
            yield Agents(
                tenants=tuple(sorted({t.tenant for t in part})),
                kinds=tuple(sorted({t.kind for t in part})),
                ids=tuple(sorted({t.id for t in part})),
                since_us=since_us,
                from_us=max(since_us - _AGENTS_BEFORE_US, 0),
                touches=part,
            )


def agents_apart(batch: Agents, partial: Iterable[str]) -> list[Agents]:
    """Those whose interval before the news is among what is read, and those for which everything has to be read."""
    apart = frozenset(partial)
    if not apart or batch.from_us == 0:
        return [batch]
    parts = []
    for ids, from_us, to_us in (
        (tuple(i for i in batch.ids if i not in apart), batch.from_us, batch.to_us),
        (tuple(i for i in batch.ids if i in apart), 0, LAST_US),
    ):
        if ids:
            of = frozenset(ids)
            touches = tuple(t for t in batch.touches if t.id in of)
            parts.append(
                msgspec.structs.replace(batch, ids=ids, from_us=from_us, to_us=to_us, touches=touches)
            )
    return parts


def slot_of(at_us: int) -> int:
    """Start of the 15 minutes, in seconds since the epoch."""
    return at_us // (SLOT_S * 1_000_000) * SLOT_S


def slot_batches(pairs: Iterable[tuple[str, int]]) -> Iterator[Slots]:
    """15 minutes of some days that follow each other: a day's segments and intervals are read once for all of them."""
    by_day = {
        day: list(group)
        for day, group in groupby(
            sorted(set(pairs), key=lambda p: p[1]), key=lambda p: day_of(p[1] * 1_000_000)
        )
    }
    days = sorted(by_day)
    while days:
        until = days[0] + timedelta(days=_DAYS_AT_ONCE)
        part = [day for day in days if day < until]
        days = days[len(part) :]
        found = [pair for day in part for pair in by_day[day]]
        yield Slots(
            tenants=tuple(sorted({tenant for tenant, _ in found})),
            slots=tuple(sorted({slot for _, slot in found})),
            from_day=part[0],
            to_day=part[-1],
        )


def lease(pairs: Iterable[tuple[str, int]], due_us: int, touch: int) -> list[Touch]:
    """Work on 15 minutes that somebody has in hand: it is due only when that one is gone."""
    due = datetime.fromtimestamp(due_us / 1e6, UTC)
    return [
        Touch(MINUTES, tenant, str(slot), datetime.fromtimestamp(slot, UTC), due, touch)
        for tenant, slot in sorted(set(pairs))
    ]


def at_a_quarter(
    going_on: Iterable[tuple[str, str, str, date]],
    since: int,
    slot: int,
    now_us: int,
    mark: Callable[[], int],
) -> list[Touch]:
    """Work that time makes at the start of the 15 minutes ``slot``, as far as intervals go on: (kind, tenant, agent, day they are kept under).

    They fill every 15 minutes from ``since`` on, and at midnight they go on under the next day. ``mark`` tells pieces of work apart.
    """
    now, today = datetime.fromtimestamp(now_us / 1e6, UTC), day_of(now_us)
    intervals = list(going_on)
    touches = [
        Touch(kind, tenant, agent, datetime(day.year, day.month, day.day, tzinfo=UTC), now, mark())
        for kind, tenant, agent, day in intervals
        if day < today
    ]
    return touches + [
        Touch(MINUTES, tenant, str(at), datetime.fromtimestamp(at, UTC), now, mark())
        for tenant in sorted({tenant for _, tenant, _, _ in intervals})
        for at in range(since, slot, SLOT_S)
    ]


def contacts_of_day(rows: Sequence[tuple[str, str]], day: date) -> Contacts:
    """A page of a day's contacts, for records of what was there before. What comes more than a few days later is settled with its own day."""
    return Contacts(
        tenants=tuple(sorted({tenant for tenant, _ in rows})),
        ids=tuple(sorted({contact for _, contact in rows})),
        from_day=max(day - _BEFORE, FIRST_DAY),
        to_day=day + _AFTER,
    )


def agents_of_month(rows: Iterable[tuple[str, str, str]], month: date) -> Iterator[Agents]:
    """The agents (tenant, kind, agent) that changed in a month, with a month behind it."""
    begin_us = (month - date(1970, 1, 1)).days * DAY_US
    for kind, group in groupby(sorted(rows, key=lambda r: r[1]), key=lambda r: r[1]):
        found = list(group)
        for at in range(0, len(found), BATCH):
            part = found[at : at + BATCH]
            yield Agents(
                tenants=tuple(sorted({tenant for tenant, _, _ in part})),
                kinds=(kind,),
                ids=tuple(sorted({agent for _, _, agent in part})),
                since_us=begin_us,
                from_us=max(begin_us - _AGENTS_BEFORE_US, 0),
                to_us=begin_us + 63 * DAY_US,
            )
