"""When which report is sent to whom, and what is done about one that could not be sent. Pure.

Theory of operation
-------------------
A report is *due* once a day, week or month: on the first day of the next one, at a time of the center's zone; it is about the one
that is over then. What was tried is a list of attempts that is kept in ClickHouse: an attempt is written down before it is made, and how it ended
after it. So ``decide`` needs nothing but the clock and that list, and whoever becomes the owner of the schedules goes on where the
last one stopped.

* Sent is sent: never again.
* A failed attempt is repeated after 1, 5, 15, 30 minutes and then every hour.
* An attempt of which nobody knows the end (its process died) may have arrived: after ten minutes it is repeated and says so.
* Each end is told as a fact. What is told is read from the attempts, so that an owner tells what its predecessor could not; facts have
  the attempt's name, and the streams drop a repetition for as long as one is told.
* Twelve hours after it was due a report is given up, so that an installation that was away for a week, or a new schedule, sends nothing old.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from services.reporting.core.kpi.calendars import SECOND_US, Calendar, Span, Unit

State = Literal["began", "sent", "failed"]
Every = Literal["day", "week", "month"]

MINUTE_US: Final = 60 * SECOND_US
BACKOFF_US: Final = tuple(minutes * MINUTE_US for minutes in (1, 5, 15, 30, 60))
UNKNOWN_US: Final = 10 * MINUTE_US
GIVEN_UP_US: Final = 12 * 60 * MINUTE_US
TELL_US: Final = 9 * MINUTE_US
"""For so long an attempt that has ended is told: a little shorter than the streams remember what they have."""


class Target(msgspec.Struct, frozen=True):
    """Where it goes: an address, a folder, or a prefix of names in the installation's bucket."""

    kind: Literal["email", "folder", "s3"]
    where: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.where}"


class Schedule(msgspec.Struct, frozen=True):
    """One scheduled report of a tenant."""

    tenant: str
    id: str
    title: str
    """In its language."""
    every: Every
    at_minute: int
    """Since midnight."""
    calendar: Calendar
    measures: tuple[str, ...]
    by: tuple[str, ...]
    interval: Unit | None
    filters: Mapping[str, tuple[str, ...]]
    language: Literal["en", "fa"]
    format: Literal["xlsx", "csv", "parquet"]
    targets: tuple[Target, ...]


class Occurrence(msgspec.Struct, frozen=True):
    """A time at which a report is due, and what it is about."""

    due_us: int
    span: Span


class Attempt(msgspec.Struct, frozen=True):
    """What is known of one attempt to send to one target; ``at_us`` is when it was written down."""

    target: str
    number: int
    state: State
    at_us: int
    repeated: bool = False
    """An earlier one may have arrived."""
    error: str = ""


class Job(msgspec.Struct, frozen=True):
    """Send it now."""

    target: Target
    number: int
    repeated: bool


def latest(schedule: Schedule, now_us: int) -> Occurrence:
    """The last time at which it was due, that is now or before."""
    begin = schedule.calendar.floor(schedule.every, now_us)
    while (due_us := _due(schedule, begin)) > now_us:
        begin = schedule.calendar.floor(schedule.every, begin - 1)
    return Occurrence(due_us, Span(schedule.calendar.floor(schedule.every, begin - 1), begin))


def following(schedule: Schedule, now_us: int) -> int:
    """When it is due next, after now."""
    begin = schedule.calendar.floor(schedule.every, now_us)
    while (due_us := _due(schedule, begin)) <= now_us:
        begin = _next(schedule, begin)
    return due_us


def _due(schedule: Schedule, begin_us: int) -> int:
    local = schedule.calendar.local(begin_us)
    wall = dt.datetime.combine(local.date(), dt.time(*divmod(schedule.at_minute, 60)))
    # A day may begin after its first hours were skipped: then it is due as it begins.
    return max(schedule.calendar.at(wall), begin_us)


def _next(schedule: Schedule, begin_us: int) -> int:
    longest = {"day": 26, "week": 8 * 24, "month": 32 * 24}[schedule.every] * 60 * MINUTE_US
    borders = schedule.calendar.borders(schedule.every, Span(begin_us, begin_us + longest), most=3)
    return borders[1]


def decide(schedule: Schedule, occurrence: Occurrence, attempts: Iterable[Attempt], now_us: int) -> list[Job]:
    """What is to be sent now, by target. ``attempts``: those of this occurrence, in any order."""
    if now_us < occurrence.due_us or now_us >= occurrence.due_us + GIVEN_UP_US:
        return []
    by_target = newest(attempts)
    jobs = []
    for target in dict.fromkeys(schedule.targets):
        made = by_target.get(str(target), [])
        last = made[-1] if made else None
        if last is None:
            jobs.append(Job(target, 1, False))
            continue
        if any(attempt.state == "sent" for attempt in made):
            continue
        if now_us >= last.at_us + _pause(made):
            unknown = any(attempt.state == "began" for attempt in made)
            jobs.append(Job(target, last.number + 1, unknown))
    return jobs


def news(attempts: Iterable[Attempt], now_us: int) -> list[Attempt]:
    """Those that ended lately."""
    return [
        attempt
        for made in newest(attempts).values()
        for attempt in made
        if attempt.state != "began" and attempt.at_us > now_us - TELL_US
    ]


def newest(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """By target, in the order of their numbers, each as it was written down last."""
    found: dict[str, dict[int, Attempt]] = {}
    for attempt in attempts:
        of_target = found.setdefault(attempt.target, {})
        known = of_target.get(attempt.number)
        if known is None or known.state == "began":
            of_target[attempt.number] = attempt
    return {target: [made[number] for number in sorted(made)] for target, made in found.items()}


def _pause(made: Sequence[Attempt]) -> int:
    if made[-1].state == "began":
        return UNKNOWN_US
    return BACKOFF_US[min(len(made), len(BACKOFF_US)) - 1]
