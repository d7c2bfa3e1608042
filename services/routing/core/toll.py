"""Limits on calls to numbers outside: which numbers, how many a minute and a day, how many at once, at what hours.

Pure, and part of the state: every call that is granted is a fact (``NumberDialled``), and the counts are a fold of these facts, so they are
the same after a restart, on another machine, and in a replay. A refusal is a fact, too (``CallRefused``).

Each call counts for its *payers*: the agent, the team the agent was in, the tenant. The limit of a minute is exact over any 60 s; that
of a day counts by whole minutes, the one at the edge included, so it is never too many.
"""

from __future__ import annotations

import msgspec

MINUTE_US = 60_000_000
DAY_MINUTES = 1440
LONGEST_US = 12 * 3_600_000_000
"""A transferred call whose end nobody told of counts as one at the same time for so long."""
TENANT = ""

FORBIDDEN, LIMIT, HOURS = "number-forbidden", "limit-reached", "outside-hours"


class Rights(msgspec.Struct, frozen=True):
    """What one payer may do. ``allowed`` None: as the next wider one says. 0 is no limit."""

    allowed: tuple[str, ...] | None = None
    forbidden: tuple[str, ...] = ()
    a_minute: int = 0
    a_day: int = 0
    at_once: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """Why a call cannot be; ``payer`` is whose limit it is."""

    slug: str
    payer: str
    detail: str


class Meter(msgspec.Struct):
    """One payer's calls: the times of those of the last minute, and how many there were in each minute of the last day."""

    recent_us: list[int] = []
    minutes: dict[int, int] = {}

    def count(self, at_us: int) -> None:
        """One call more."""
        self.recent_us = [t for t in self.recent_us if at_us - t < MINUTE_US] + [at_us]
        now = at_us // MINUTE_US
        self.minutes = {m: n for m, n in self.minutes.items() if now - m <= DAY_MINUTES}
        self.minutes[now] = self.minutes.get(now, 0) + 1

    def last_minute(self, at_us: int) -> int:
        return sum(at_us - t < MINUTE_US for t in self.recent_us)

    def last_day(self, at_us: int) -> int:
        now = at_us // MINUTE_US
        return sum(n for m, n in self.minutes.items() if now - m <= DAY_MINUTES)


class Going(msgspec.Struct, frozen=True):
    """A call that goes on."""

    payers: tuple[str, ...]
    since_us: int


class Tolls(msgspec.Struct):
    """All of it, as it is stored."""

    meters: dict[str, Meter] = {}
    going: dict[str, Going] = {}
    """By contact."""

    def dialled(self, contact_id: str, payers: tuple[str, ...], at_us: int, *, goes_on: bool) -> None:
        """A call was granted."""
        for payer in payers:
            self.meters.setdefault(payer, Meter()).count(at_us)
        if goes_on:
            self.going[contact_id] = Going(payers, at_us)

    def ended(self, contact_id: str) -> None:
        self.going.pop(contact_id, None)

    def at_once(self, payer: str, at_us: int) -> int:
        """How many calls of a payer go on."""
        return sum(payer in g.payers and at_us - g.since_us < LONGEST_US for g in self.going.values())


def payers_of(agent_id: str, team: str) -> tuple[str, ...]:
    """Whose counts a call is in, the nearest first; a call of nobody's (a callback) is the tenant's alone."""
    nearest = (f"agent:{agent_id}",) if agent_id else ()
    return (*nearest, *((f"team:{team}",) if agent_id and team else ()), TENANT)


def refusal(
    number: str,
    levels: tuple[tuple[str, Rights], ...],
    tolls: Tolls,
    closed: frozenset[str],
    at_us: int,
    *,
    anything: bool = False,
) -> Refusal | None:
    """Why a number may not be called now; None when it may.

    ``levels`` are the payers with their rights, the nearest first; ``closed`` has ``calls:<payer>`` of those whose hours have ended.
    ``anything``: what is allowed was decided elsewhere, only what is forbidden counts.
    """
    for payer, rights in levels:
        if rights.forbidden and number.startswith(rights.forbidden):
            return Refusal(FORBIDDEN, payer, f"numbers that begin like {number} are forbidden")
    allowed = next((rights.allowed for _, rights in levels if rights.allowed is not None), ())
    if not anything and not (allowed and number.startswith(allowed)):
        return Refusal(FORBIDDEN, levels[0][0], f"numbers that begin like {number} are not allowed")
    for payer, rights in levels:
        if f"calls:{payer}" in closed:
            return Refusal(HOURS, payer, "calls may not be placed at this hour")
        meter = tolls.meters.get(payer) or Meter()
        for limit, found, unit in (
            (rights.a_minute, meter.last_minute(at_us), "a minute"),
            (rights.a_day, meter.last_day(at_us), "a day"),
            (rights.at_once, tolls.at_once(payer, at_us), "at once"),
        ):
            if limit and found >= limit:
                return Refusal(LIMIT, payer, f"{found} calls {unit}, the limit is {limit}")
    return None
