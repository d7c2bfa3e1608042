"""Business hours: is a center open at a moment? Pure; the zone's rules come inside the calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec

Periods = tuple[tuple[int, int], ...]
"""Minutes since midnight (start, end), the end not included; 1440 is midnight at the day's end."""


class Calendar(msgspec.Struct, frozen=True):
    """Opening hours by weekday (0 Monday), and dates that have hours of their own (none: closed all day)."""

    zone: dt.tzinfo
    weekdays: Mapping[int, Periods]
    dates: Mapping[dt.date, Periods] = {}
    emergency: bool = False
    """The emergency switch: closed, whatever the hours say."""


def is_open(calendar: Calendar, at_us: int) -> bool:
    """Return whether the moment (microseconds since the epoch) lies in a period of the calendar's local day.

    Periods are wall-clock times: an hour that a change of the clock repeats counts twice, one that it skips not at all.
    """
    if calendar.emergency:
        return False
    local = dt.datetime.fromtimestamp(at_us // 1_000_000, dt.UTC).astimezone(calendar.zone)
    day = local.date()
    periods = calendar.dates.get(day)
    if periods is None:
        periods = calendar.weekdays.get(day.weekday(), ())
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in periods)
