"""Business hours: zones, exceptions, edges of periods, changes of the clock."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from services.ivr.core.hours import Calendar, is_open

OFFICE = dict.fromkeys(range(5), ((480, 720), (780, 1200)))
TEHRAN = Calendar(
    ZoneInfo("Asia/Tehran"), OFFICE, {dt.date(2026, 3, 23): (), dt.date(2026, 3, 28): ((600, 660),)}
)
BERLIN = Calendar(ZoneInfo("Europe/Berlin"), dict.fromkeys(range(7), ((120, 180),)))
ALWAYS = Calendar(ZoneInfo("Asia/Tehran"), dict.fromkeys(range(7), ((0, 1440),)))


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("calendar", "moment", "is_now"),
    [
        (TEHRAN, "2026-03-16T07:59:59+03:30", False),
        (TEHRAN, "2026-03-16T08:00:00+03:30", True),
        (TEHRAN, "2026-03-16T11:59:59+03:30", True),
        (TEHRAN, "2026-03-16T12:00:00+03:30", False),
        (TEHRAN, "2026-03-16T13:00:00+03:30", True),
        (TEHRAN, "2026-03-16T04:29:59+00:00", False),
        (TEHRAN, "2026-03-16T04:30:00+00:00", True),
        (TEHRAN, "2026-03-21T10:00:00+03:30", False),  # a Saturday, which this calendar does not name
        (TEHRAN, "2026-03-23T10:00:00+03:30", False),  # a Monday that is closed
        (TEHRAN, "2026-03-28T10:30:00+03:30", True),  # a Saturday with hours of its own
        (TEHRAN, "2026-03-28T13:30:00+03:30", False),
        (ALWAYS, "2026-03-16T00:00:00+03:30", True),
        (ALWAYS, "2026-03-16T23:59:59+03:30", True),
        (BERLIN, "2026-10-25T02:30:00+02:00", True),  # the hour that comes twice: the first time
        (BERLIN, "2026-10-25T02:30:00+01:00", True),  # and the second
        (BERLIN, "2026-03-29T01:59:59+01:00", False),
        (BERLIN, "2026-03-29T03:00:00+02:00", False),  # the hour that does not come
    ],
)
def test_open_or_closed(calendar: Calendar, moment: str, is_now: bool) -> None:
    assert is_open(calendar, at(moment)) is is_now
