"""Spans of time as people count them: the borders of days, weeks and months in a time zone and a calendar.

Theory of operation
-------------------
Every border is worked out here, once, from Python's time zones and persiantools' calendar, and travels to ClickHouse as an array
of seconds. SQL only finds between which two borders a moment lies, so the database's own time zones and calendars (another
release of the zone rules, no Jalali months) have no say, and the pure computation that tests compare with counts the same.

* A day begins at the first moment that bears its date: at 01:00 where midnight is skipped, 23 or 25 hours after the last one
  where clocks are changed. A date that was skipped altogether has no border.
* Weeks begin on the day that is asked for. Months, quarters and years are those of the Gregorian or the Jalali calendar.
* Hours and quarters of an hour follow the wall clock; the hour that comes twice is two of them.
* Offsets of time zones are multiples of 15 minutes, everywhere since 1972: so is every border.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from services.center.jalali import gregorian, jalali

Unit = Literal["15m", "hour", "day", "week", "month", "quarter", "year"]
Months = Literal["gregorian", "jalali"]
WeekStart = Literal["sat", "sun", "mon"]

SLOT_S: Final = 900
SECOND_US: Final = 1_000_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of ``datetime.date.weekday``."""

_FIRST_WEEKDAY: Final[dict[WeekStart, int]] = {"sat": 5, "sun": 6, "mon": 0}
_MONTHS: Final[dict[Unit, int]] = {"month": 1, "quarter": 3, "year": 12}
_DAY: Final = dt.timedelta(days=1)
_SLOT: Final = dt.timedelta(seconds=SLOT_S)
_DAY_S: Final = 86_400
_EPOCH_DAY: Final = dt.date(1970, 1, 1)


class Span(msgspec.Struct, frozen=True):
    """``[from_us, to_us)``, microseconds since the epoch."""

    from_us: int
    to_us: int


class Calendar(msgspec.Struct, frozen=True):
    """A time zone (IANA name), whose months, and the first day of the week."""

    zone: str
    months: Months = "gregorian"
    week_start: WeekStart = "mon"

    # ------------------------------------------------------------------------------------------------------------ moments
    def local(self, at_us: int) -> dt.datetime:
        """The wall clock, with its offset; parts of a second are cut off."""
        return dt.datetime.fromtimestamp(at_us // SECOND_US, _zone(self.zone))

    def at(self, local: dt.datetime) -> int:
        """Microseconds of a wall clock without zone: the first time that it shows this, the moment of the jump if it never does."""
        return round(local.replace(tzinfo=_zone(self.zone), fold=0).timestamp()) * SECOND_US

    def start_of(self, day: dt.date) -> int:
        """The first moment that bears this date."""
        return _start_of(self.zone, day) * SECOND_US

    def offsets(self, span: Span) -> list[tuple[int, int]]:
        """How far the wall clock is ahead of UTC: (since when, by how much), both in seconds, from the span's begin on."""
        zone = _zone(self.zone)
        first, last = span.from_us // SECOND_US, max(span.from_us, span.to_us - 1) // SECOND_US

        def offset(at_s: int) -> int:
            found = dt.datetime.fromtimestamp(at_s, zone).utcoffset()
            assert found is not None
            return round(found.total_seconds())

        changes = [(first, offset(first))]
        at_s = first
        while at_s < last:
            ahead = min(at_s + _DAY_S, last)
            # Between two moments of one day there is one change at most; Ramadan's are weeks apart.
            if offset(ahead) != changes[-1][1]:
                low, high = at_s, ahead
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if offset(middle) == changes[-1][1] else (low, middle)
                changes.append((high, offset(high)))
            at_s = ahead
        return changes

    # ------------------------------------------------------------------------------------------------------------ borders
    def borders(self, unit: Unit, span: Span, *, most: int) -> list[int]:
        """Where the intervals of the span begin, and its end: microseconds, ascending.

        The first is the span's begin and the last its end, wherever in an interval they are. Stops after ``most`` + 1 intervals: who asked for
        more finds out by counting.
        """
        borders = [span.from_us]
        for at_us in self._later_starts(unit, span.from_us):
            if at_us >= span.to_us or len(borders) > most:
                break
            if at_us > borders[-1]:
                borders.append(at_us)
        return [*borders, span.to_us]

    def is_border(self, unit: Unit, at_us: int) -> bool:
        """Whether an interval of this unit begins at that very moment."""
        return self.floor(unit, at_us) == at_us

    def floor(self, unit: Unit, at_us: int) -> int:
        """The begin of the interval in which a moment lies."""
        if unit in ("15m", "hour"):
            slot = at_us // SECOND_US // SLOT_S * SLOT_S
            while unit == "hour" and self.local(slot * SECOND_US).minute:
                slot -= SLOT_S
            return slot * SECOND_US
        day = self._first_day(unit, self.local(at_us).date())
        return self.start_of(day)

    def _later_starts(self, unit: Unit, from_us: int) -> Iterator[int]:
        if unit in ("15m", "hour"):
            slot = from_us // SECOND_US // SLOT_S * SLOT_S
            while True:
                slot += SLOT_S
                if unit == "15m" or self.local(slot * SECOND_US).minute == 0:
                    yield slot * SECOND_US
        day = self._first_day(unit, self.local(from_us).date())
        while True:
            day = self._next_first(unit, day)
            yield self.start_of(day)

    # ------------------------------------------------------------------------------------------------------- days and months
    def parts(self, day: dt.date) -> tuple[int, int, int]:
        """Year, month and day in the calendar."""
        return jalali(day) if self.months == "jalali" else (day.year, day.month, day.day)

    def day(self, year: int, month: int, day: int) -> dt.date:
        """The day of the calendar; one past the end of the month is its last. Raises ValueError for a month that there is not."""
        while True:
            try:
                return gregorian(year, month, day) if self.months == "jalali" else dt.date(year, month, day)
            except ValueError:
                if day <= 28:
                    raise
                day -= 1

    def months_later(self, day: dt.date, months: int) -> dt.date:
        """The same day so many months later, or earlier; the last of the month where it is too short."""
        year, month, in_month = self.parts(day)
        count = year * 12 + month - 1 + months
        return self.day(count // 12, count % 12 + 1, in_month)

    def _first_day(self, unit: Unit, day: dt.date) -> dt.date:
        if unit == "day":
            return day
        if unit == "week":
            return day - dt.timedelta(days=(day.weekday() - _FIRST_WEEKDAY[self.week_start]) % 7)
        year, month, _ = self.parts(day)
        length = _MONTHS[unit]
        return self.day(year, (month - 1) // length * length + 1, 1)

    def _next_first(self, unit: Unit, first: dt.date) -> dt.date:
        if unit == "day":
            return first + _DAY
        if unit == "week":
            return first + 7 * _DAY
        return self.months_later(first, _MONTHS[unit])

    # ------------------------------------------------------------------------------------------------------------- labels
    def label(self, unit: Unit, at_us: int) -> str:
        """What people call the interval that begins (or goes on) at a moment: ``1405-09``, ``2026-Q4``, ``2026-11-22 08:15``.

        A week is called by its first day. Digits are ASCII; pages write them as their readers do.
        """
        local = self.local(at_us)
        year, month, day = self.parts(self._first_day("week" if unit == "week" else "day", local.date()))
        match unit:
            case "year":
                return f"{year:04d}"
            case "quarter":
                return f"{year:04d}-Q{(month + 2) // 3}"
            case "month":
                return f"{year:04d}-{month:02d}"
            case "week" | "day":
                return f"{year:04d}-{month:02d}-{day:02d}"
            case _:
                return f"{year:04d}-{month:02d}-{day:02d} {local.hour:02d}:{local.minute:02d}"

    # ------------------------------------------------------------------------------------------------------- earlier spans
    def earlier(self, span: Span) -> Span:
        """The span just before of the same length: so many months where it is whole months, days where it is whole days, else as long."""
        if self.is_border("month", span.from_us) and self.is_border("month", span.to_us):
            first, end = self.local(span.from_us).date(), self.local(span.to_us).date()
            (year, month, _), (end_year, end_month, _) = self.parts(first), self.parts(end)
            months = (end_year - year) * 12 + end_month - month
            return Span(self.start_of(self.months_later(first, -months)), span.from_us)
        days = self._days(span)
        if days is not None:
            first = self.local(span.from_us).date()
            return Span(self.start_of(first - days * _DAY), span.from_us)
        return Span(2 * span.from_us - span.to_us, span.from_us)

    def year_earlier(self, span: Span) -> Span:
        """The same dates and clock times a year of the calendar before."""

        def before(at_us: int) -> int:
            local = self.local(at_us)
            day = self.months_later(local.date(), -12)
            if self.is_border("day", at_us):
                return self.start_of(day)
            return self.at(dt.datetime.combine(day, local.time())) + at_us % SECOND_US

        return Span(before(span.from_us), before(span.to_us))

    def starting(self, from_us: int, like: Span) -> Span:
        """A span that begins at ``from_us`` and is as long as ``like``, in days where that is whole days."""
        days = self._days(like)
        if days is not None and self.is_border("day", from_us):
            return Span(from_us, self.start_of(self.local(from_us).date() + days * _DAY))
        return Span(from_us, from_us + like.to_us - like.from_us)

    def _days(self, span: Span) -> int | None:
        if self.is_border("day", span.from_us) and self.is_border("day", span.to_us):
            return (self.local(span.to_us).date() - self.local(span.from_us).date()).days
        return None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4096)
def _start_of(zone_name: str, day: dt.date) -> int:
    zone = _zone(zone_name)
    # Of a clock time that is skipped, Python takes the offset before the jump: for midnight that is the jump itself.
    at_s = round(dt.datetime.combine(day, dt.time(), zone).timestamp())
    # Unless the jump began before midnight: its end bears the new date already.
    while dt.datetime.fromtimestamp(at_s - SLOT_S, zone).date() == day:
        at_s -= SLOT_S
    return at_s
