"""The pages' calendar, run in Node, against persiantools and Python's time zones."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.dev.pages import WEB, find_node
from services.center.jalali import gregorian, jalali

Ask = Callable[..., Any]

ENTRY = Path(__file__).with_name("page_units.ts")
ZONES = (
    "Asia/Tehran",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
)
DAYS = st.dates(dt.date(1921, 3, 21), dt.date(2120, 3, 20))
WEEK_STARTS = {"mon": 0, "sat": 5, "sun": 6}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A Node that holds the pages' pure parts."""
    node = find_node()
    assert node is not None, "no Node: make pages"
    assert (WEB / "node_modules").is_dir(), "the pages' packages are not there: make pages"
    built = tmp_path_factory.mktemp("units")
    bundle = [
        str(node.executable), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn",
        "--ssr", str(ENTRY), "--outDir", str(built), "--emptyOutDir", "false",
    ]  # fmt: skip
    subprocess.run(bundle, cwd=WEB, check=True)
    (script,) = built.glob("page_units.*js")
    with subprocess.Popen(
        [str(node.executable), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(name: str, *arguments: Any) -> Any:
            process.stdin.write(json.dumps([name, *arguments]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.stdin.close()
        process.wait(10)


def first_of(span: str, day: dt.date, calendar: str, week_start: str) -> dt.date:
    """The oracle: persiantools and datetime."""
    if span == "day":
        return day
    if span == "week":
        return day - dt.timedelta((day.weekday() - WEEK_STARTS[week_start]) % 7)
    if calendar == "gregorian":
        return day.replace(day=1) if span == "month" else day.replace(day=1, month=1)
    year, month, _ = jalali(day)
    return gregorian(year, month if span == "month" else 1, 1)


@given(
    day=DAYS,
    span=st.sampled_from(["day", "week", "month", "year"]),
    calendar=st.sampled_from(["gregorian", "jalali"]),
    week_start=st.sampled_from(sorted(WEEK_STARTS)),
)
@settings(max_examples=300, deadline=None)
def test_spans_begin_and_end_where_the_oracle_says(
    ask: Ask, day: dt.date, span: str, calendar: str, week_start: str
) -> None:
    first = first_of(span, day, calendar, week_start)
    days = ask("daysOf", span, day.isoformat(), calendar, week_start)
    assert days["first"] == first.isoformat()
    following = dt.date.fromisoformat(days["last"]) + dt.timedelta(1)
    assert first_of(span, following, calendar, week_start) == following
    assert ask("shift", span, day.isoformat(), 1, calendar, week_start) == following.isoformat()
    before = first_of(span, first - dt.timedelta(1), calendar, week_start)
    assert ask("shift", span, day.isoformat(), -1, calendar, week_start) == before.isoformat()


def test_every_jalali_year_of_two_centuries_begins_where_persiantools_says(ask: Ask) -> None:
    for year in range(1300, 1500):
        first = gregorian(year, 1, 1)
        assert ask("numbers", first.isoformat(), "jalali") == {"year": year, "month": 1, "day": 1}
        assert ask("daysOf", "year", first.isoformat(), "jalali", "sat") == {
            "first": first.isoformat(),
            "last": (gregorian(year + 1, 1, 1) - dt.timedelta(1)).isoformat(),
        }


@given(day=DAYS, count=st.integers(-30, 30), calendar=st.sampled_from(["gregorian", "jalali"]))
@settings(max_examples=100, deadline=None)
def test_months_are_added_to_the_same_day_or_the_last(
    ask: Ask, day: dt.date, count: int, calendar: str
) -> None:
    year, month, number = jalali(day) if calendar == "jalali" else (day.year, day.month, day.day)
    months = year * 12 + month - 1 + count
    year, month = months // 12, months % 12 + 1
    make = gregorian if calendar == "jalali" else dt.date
    following = make(year + month // 12, month % 12 + 1, 1)
    expected = min(make(year, month, 1) + dt.timedelta(number - 1), following - dt.timedelta(1))
    assert ask("addMonths", day.isoformat(), count, calendar) == expected.isoformat()


@given(
    at_s=st.integers(315_532_800, 2_114_380_800),  # 1980 to 2037
    zone=st.sampled_from(ZONES),
)
@settings(max_examples=100, deadline=None)
def test_the_day_that_the_clocks_of_a_zone_show(ask: Ask, at_s: int, zone: str) -> None:
    expected = dt.datetime.fromtimestamp(at_s, ZoneInfo(zone)).date()
    assert ask("localDay", at_s * 1000, zone) == expected.isoformat()


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "26-01-01", "heute", "2026-1-1", ""])
def test_what_is_no_day_is_none(ask: Ask, text: str) -> None:
    assert ask("readDay", text) is None


def test_the_page_of_a_month_has_whole_weeks(ask: Ask) -> None:
    weeks = ask("weeksOf", "2026-11-22", "jalali", "sat")  # Azar 1405: 22 November to 21 December
    assert all(len(week) == 7 for week in weeks)
    assert dt.date.fromisoformat(weeks[0][0]).strftime("%A") == "Saturday"
    assert weeks[0][0] <= "2026-11-22" <= weeks[0][6]
    assert weeks[-1][0] <= "2026-12-21" <= weeks[-1][6]
