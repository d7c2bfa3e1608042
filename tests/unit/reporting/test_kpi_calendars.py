"""Borders of intervals: zones whose clocks change, both calendars, three first days of the week."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.core.kpi.calendars import SECOND_US, Calendar, Span, Unit

HOUR_US = 3600 * SECOND_US
BERLIN, TEHRAN = Calendar("Europe/Berlin"), Calendar("Asia/Tehran", "jalali", "sat")
ZONES = ("UTC", "Europe/Berlin", "Asia/Tehran", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "America/Havana")  # fmt: skip
UNITS: tuple[Unit, ...] = ("15m", "hour", "day", "week", "month", "quarter", "year")


def days(calendar: Calendar, first: dt.date, end: dt.date) -> Span:
    return Span(calendar.start_of(first), calendar.start_of(end))


def hours_of(calendar: Calendar, unit: Unit, span: Span) -> list[float]:
    return [(b - a) / HOUR_US for a, b in pairwise(calendar.borders(unit, span, most=10_000))]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", dt.date(2026, 3, 29), 23),
        ("Europe/Berlin", dt.date(2026, 10, 25), 25),
        ("Asia/Tehran", dt.date(2022, 3, 22), 23),  # midnight itself was skipped
        ("Asia/Tehran", dt.date(2022, 9, 21), 25),
        ("Asia/Tehran", dt.date(2026, 3, 22), 24),  # no longer
        ("Australia/Lord_Howe", dt.date(2026, 10, 4), 23.5),
        ("America/Havana", dt.date(2026, 11, 1), 25),  # 01:00 is 00:00 again
    ],
)
def test_days_are_as_long_as_they_are(zone: str, day: dt.date, hours: float) -> None:
    calendar = Calendar(zone)
    assert hours_of(calendar, "day", days(calendar, day, day + dt.timedelta(days=1))) == [hours]


def test_the_day_that_skips_its_midnight_begins_at_one() -> None:
    assert TEHRAN.local(TEHRAN.start_of(dt.date(2022, 3, 22))).isoformat() == "2022-03-22T01:00:00+04:30"


def test_the_hour_that_comes_twice_is_two_and_the_one_that_never_comes_none() -> None:
    long = days(BERLIN, dt.date(2026, 10, 25), dt.date(2026, 10, 26))
    labels = [BERLIN.label("hour", b) for b in BERLIN.borders("hour", long, most=100)[:-1]]
    assert (len(labels), labels.count("2026-10-25 02:00")) == (25, 2)
    short = days(BERLIN, dt.date(2026, 3, 29), dt.date(2026, 3, 30))
    labels = [BERLIN.label("hour", b) for b in BERLIN.borders("hour", short, most=100)[:-1]]
    assert (len(labels), labels.count("2026-03-29 02:00")) == (23, 0)


def test_a_date_that_a_country_skipped_has_no_border() -> None:
    apia = Calendar("Pacific/Apia")
    borders = apia.borders("day", days(apia, dt.date(2011, 12, 29), dt.date(2012, 1, 1)), most=10)
    assert [apia.label("day", b) for b in borders[:-1]] == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize(
    ("start", "first"), [("sat", "2026-11-21"), ("sun", "2026-11-22"), ("mon", "2026-11-16")]
)
def test_weeks_begin_where_they_are_asked_to(start: str, first: str) -> None:
    calendar = Calendar("Asia/Tehran", "gregorian", start)  # type: ignore[arg-type]
    sunday = calendar.start_of(dt.date(2026, 11, 22)) + 5 * HOUR_US
    assert calendar.label("week", calendar.floor("week", sunday)) == first


def test_jalali_months_quarters_and_years() -> None:
    # 1403 was a leap year: its last day is 30 Esfand, 2025-03-20.
    span = days(TEHRAN, dt.date(2024, 3, 20), dt.date(2026, 3, 21))
    months = TEHRAN.borders("month", span, most=100)
    assert [TEHRAN.label("month", b) for b in months[:-1]][:3] == ["1403-01", "1403-02", "1403-03"]
    assert [h / 24 for h in hours_of(TEHRAN, "month", span)] == [
        *([31] * 6),
        *([30] * 6),
        *([31] * 6),
        *([30] * 5),
        29,
    ]
    assert [TEHRAN.label("year", b) for b in TEHRAN.borders("year", span, most=9)[:-1]] == ["1403", "1404"]
    quarters = [TEHRAN.label("quarter", b) for b in TEHRAN.borders("quarter", span, most=9)[:-1]]
    assert quarters == [f"{y}-Q{q}" for y in (1403, 1404) for q in (1, 2, 3, 4)]


def test_intervals_at_the_ends_are_cut() -> None:
    noon = BERLIN.start_of(dt.date(2026, 5, 1)) + 12 * HOUR_US
    assert hours_of(BERLIN, "day", Span(noon, noon + 24 * HOUR_US)) == [12, 12]


def test_whoever_asks_for_too_many_intervals_can_tell() -> None:
    assert (
        len(BERLIN.borders("15m", days(BERLIN, dt.date(2026, 1, 1), dt.date(2027, 1, 1)), most=10)) - 1 > 10
    )


def test_earlier_spans() -> None:
    march = days(BERLIN, dt.date(2026, 3, 1), dt.date(2026, 4, 1))
    assert BERLIN.earlier(march) == days(BERLIN, dt.date(2026, 2, 1), dt.date(2026, 3, 1))
    week = days(BERLIN, dt.date(2026, 3, 26), dt.date(2026, 4, 2))  # clocks change in it
    assert BERLIN.earlier(week) == days(BERLIN, dt.date(2026, 3, 19), dt.date(2026, 3, 26))
    hours = Span(march.from_us + HOUR_US, march.from_us + 3 * HOUR_US)
    assert BERLIN.earlier(hours) == Span(march.from_us - HOUR_US, march.from_us + HOUR_US)
    mehr = days(TEHRAN, dt.date(2026, 9, 23), dt.date(2026, 10, 23))
    assert TEHRAN.label("month", mehr.from_us) == "1405-07"
    assert TEHRAN.earlier(mehr) == days(TEHRAN, dt.date(2026, 8, 23), dt.date(2026, 9, 23))


def test_a_year_earlier_goes_by_the_calendar() -> None:
    leap = days(BERLIN, dt.date(2028, 2, 29), dt.date(2028, 3, 1))
    assert BERLIN.year_earlier(leap) == days(BERLIN, dt.date(2027, 2, 28), dt.date(2027, 3, 1))
    # Nowruz of 1404 was on 2025-03-21, that of 1403 on 2024-03-20.
    nowruz = days(TEHRAN, dt.date(2025, 3, 21), dt.date(2025, 3, 22))
    assert TEHRAN.year_earlier(nowruz) == days(TEHRAN, dt.date(2024, 3, 20), dt.date(2024, 3, 21))


@given(
    st.sampled_from(ZONES),
    st.sampled_from(("gregorian", "jalali")),
    st.sampled_from(UNITS),
    st.integers(631_152_000, 2_000_000_000),
    st.integers(1, 400 * 86_400),
)
def test_intervals_cover_the_span_and_bear_one_label_each(
    zone: str, months: str, unit: Unit, from_s: int, length_s: int
) -> None:
    calendar = Calendar(zone, months, "sat")  # type: ignore[arg-type]
    if unit in ("15m", "hour"):
        length_s %= 40 * 86_400
        length_s += 1
    span = Span(from_s * SECOND_US, (from_s + length_s) * SECOND_US)
    borders = calendar.borders(unit, span, most=10_000)
    assert (borders[0], borders[-1]) == (span.from_us, span.to_us)
    assert all(a < b for a, b in pairwise(borders))
    for begin, end in pairwise(borders):
        assert calendar.floor(unit, end - 1) == calendar.floor(unit, begin)
        assert calendar.label(unit, begin) == calendar.label(unit, end - 1) or unit in ("15m", "hour")
        assert begin == span.from_us or calendar.is_border(unit, begin)
    assert all(b % (900 * SECOND_US) == 0 for b in borders[1:-1])


@given(
    st.sampled_from(ZONES),
    st.integers(631_152_000, 2_000_000_000),
    st.integers(1, 500 * 86_400),
    st.floats(0, 1),
)
def test_offsets_are_those_of_the_zone(zone: str, from_s: int, length_s: int, where: float) -> None:
    calendar = Calendar(zone)
    offsets = calendar.offsets(Span(from_s * SECOND_US, (from_s + length_s) * SECOND_US))
    at_s = from_s + int((length_s - 1) * where)
    expected = dt.datetime.fromtimestamp(at_s, ZoneInfo(zone)).utcoffset()
    assert expected is not None
    assert [ahead for since, ahead in offsets if since <= at_s][-1] == expected.total_seconds()
