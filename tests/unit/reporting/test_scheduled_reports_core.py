"""When scheduled reports are due, what is done about those that fail, and the page that is sent."""

from __future__ import annotations

import datetime as dt
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.core import schedules as core
from services.reporting.core.kpi.answer import Column, Line
from services.reporting.core.kpi.calendars import Calendar
from services.reporting.core.report_page import MAX_ROWS, number, page
from services.reporting.core.schedules import Attempt, Schedule, Target

ZONES = ("UTC", "Asia/Tehran", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia")
MINUTE = 60_000_000
MAIL = Target("email", "a@example.com")
FOLDER = Target("folder", "daily")


def schedule(**changes: Any) -> Schedule:
    fields: dict[str, Any] = {
        "tenant": "demo", "id": "morning", "title": "Morning", "every": "day", "at_minute": 7 * 60 + 30,
        "calendar": Calendar("Asia/Tehran", "jalali", "sat"), "measures": ("offered",), "by": (), "interval": None, "filters": {},
        "language": "fa", "format": "xlsx", "targets": (MAIL, FOLDER),
    }  # fmt: skip
    return Schedule(**fields | changes)


def us(text: str, zone: str) -> int:
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("every", "calendar", "now", "due", "begin", "end"),
    [
        # 22 November 2026 is 1 Azar 1405, a Sunday.
        ("day", Calendar("Asia/Tehran"), "2026-11-22T07:30", "2026-11-22T07:30", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("day", Calendar("Asia/Tehran"), "2026-11-22T07:29", "2026-11-21T07:30", "2026-11-20T00:00", "2026-11-21T00:00"),
        ("week", Calendar("Asia/Tehran", week_start="sat"), "2026-11-22T12:00", "2026-11-21T07:30", "2026-11-14T00:00", "2026-11-21T00:00"),
        ("week", Calendar("Asia/Tehran", week_start="mon"), "2026-11-22T12:00", "2026-11-16T07:30", "2026-11-09T00:00", "2026-11-16T00:00"),
        ("month", Calendar("Asia/Tehran", "jalali"), "2026-11-22T12:00", "2026-11-22T07:30", "2026-10-23T00:00", "2026-11-22T00:00"),
        ("month", Calendar("Asia/Tehran", "gregorian"), "2026-11-22T12:00", "2026-11-01T07:30", "2026-10-01T00:00", "2026-11-01T00:00"),
        # The clocks of Berlin go back on 25 October: that day has 25 hours.
        ("day", Calendar("Europe/Berlin"), "2026-10-26T08:00", "2026-10-26T07:30", "2026-10-25T00:00", "2026-10-26T00:00"),
    ],
)  # fmt: skip
def test_a_report_is_about_the_whole_day_week_or_month_before(
    every: core.Every, calendar: Calendar, now: str, due: str, begin: str, end: str
) -> None:
    zone = calendar.zone
    found = core.latest(schedule(every=every, calendar=calendar), us(now, zone))
    assert (found.due_us, found.span.from_us, found.span.to_us) == (
        us(due, zone),
        us(begin, zone),
        us(end, zone),
    )


@given(
    now_s=st.integers(1_262_304_000, 2_208_988_800),  # 2010 to 2040
    every=st.sampled_from(("day", "week", "month")),
    at_minute=st.integers(0, 1439),
    zone=st.sampled_from(ZONES),
    months=st.sampled_from(("gregorian", "jalali")),
    week_start=st.sampled_from(("sat", "sun", "mon")),
)
def test_due_times_follow_each_other_and_their_spans_leave_no_gap(
    now_s: int, every: Any, at_minute: int, zone: str, months: Any, week_start: Any
) -> None:
    one = schedule(every=every, at_minute=at_minute, calendar=Calendar(zone, months, week_start))
    now_us = now_s * 1_000_000
    last = core.latest(one, now_us)
    following_us = core.following(one, now_us)
    assert last.due_us <= now_us < following_us
    assert last.span.from_us < last.span.to_us <= last.due_us
    after = core.latest(one, following_us)
    assert after.due_us == following_us
    assert after.span.from_us == last.span.to_us
    assert core.latest(one, following_us - 1) == last


class _Office:
    """Carries jobs out as the shell does: written down before and after, unless the process dies in between."""

    def __init__(self) -> None:
        self.one = schedule()
        self.now_us = us("2026-11-22T07:30", "Asia/Tehran")
        self.occurrence = core.latest(self.one, self.now_us)
        self.attempts: list[Attempt] = []
        self.arrived: dict[str, list[bool]] = {}

    def look(self, outcome: str) -> list[core.Job]:
        jobs = core.decide(self.one, self.occurrence, self.attempts, self.now_us)
        for job in jobs:
            known = {"target": str(job.target), "number": job.number, "repeated": job.repeated}
            self.attempts.append(Attempt(state="began", at_us=self.now_us, **known))
            if outcome in ("sent", "dies after"):
                self.arrived.setdefault(str(job.target), []).append(job.repeated)
            if outcome in ("sent", "failed"):
                self.attempts.append(Attempt(state=outcome, at_us=self.now_us, **known))  # type: ignore[arg-type]
        return jobs


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("sent", "failed", "dies before", "dies after")),
            st.integers(0, 120),
            st.randoms(use_true_random=False),
        ),
        max_size=30,
    )
)
def test_nothing_is_sent_twice_without_saying_so(steps: list[tuple[str, int, Any]]) -> None:
    office = _Office()
    for outcome, pause, chance in steps:
        office.look(outcome)
        chance.shuffle(office.attempts)
        assert office.look("sent") == [], "what was just tried waits"
        office.now_us += pause * MINUTE
    for arrived in office.arrived.values():
        assert not arrived[0] or len(office.attempts) > 2
        assert all(arrived[1:]), "whatever came again said that it may have come before"
    sent = {attempt.target for attempt in office.attempts if attempt.state == "sent"}
    office.now_us = office.occurrence.due_us + core.GIVEN_UP_US - 1
    office.attempts = [a for a in office.attempts if a.at_us < office.now_us - 60 * MINUTE]
    sent = {attempt.target for attempt in office.attempts if attempt.state == "sent"}
    assert {str(job.target) for job in office.look("sent")} == {str(MAIL), str(FOLDER)} - sent


def test_failures_are_repeated_ever_later_and_given_up() -> None:
    office = _Office()
    began = office.now_us
    pauses = []
    last = began
    for _ in range(12 * 60 + 5):
        if office.look("failed"):
            pauses.append((office.now_us - last) // MINUTE)
            last = office.now_us
        office.now_us += MINUTE
    assert pauses[:7] == [0, 1, 5, 15, 30, 60, 60]
    assert began + 11 * 60 * MINUTE <= last < began + 12 * 60 * MINUTE
    assert core.decide(office.one, office.occurrence, [], began + 12 * 60 * MINUTE) == []


def test_an_end_that_nobody_knows_is_waited_for_and_then_repeated_with_a_word() -> None:
    office = _Office()
    office.look("dies after")
    office.now_us += core.UNKNOWN_US - 1
    assert office.look("sent") == []
    office.now_us += 1
    assert [job.repeated for job in office.look("sent")] == [True, True]


# ------------------------------------------------------------------------------------------------------------------ the page
class _Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


COLUMNS = [
    Column("interval", {"en": "Interval", "fa": "بازه"}, "interval", "day"),
    Column("from", {"en": "From", "fa": "از"}, "time", "time"),
    Column("queue", {"en": "Queue", "fa": "صف"}, "dimension", "text"),
    Column("service_level", {"en": "Service level", "fa": "سطح خدمت"}, "measure", "share"),
    Column("answered", {"en": "Answered", "fa": "پاسخ‌داده"}, "count", "segments"),
]


def _line(queue: str, level: float | None) -> Line:
    return Line(0, 1, "1405-09-01", {"queue": queue}, {"service_level": level, "answered": 3})


@pytest.mark.parametrize(("language", "direction", "level"), [("en", "ltr", "81.3%"), ("fa", "rtl", "۸۱٫۳٪")])
def test_the_page_reads_in_its_direction_and_trusts_no_name(
    language: Any, direction: str, level: str
) -> None:
    text = page(
        "<b>Morning</b>", "1405-08-30", COLUMNS, [_line("<script>x</script>", 0.8128), _line("b", None)],
        {"service_level": 0.5}, language,
    )  # fmt: skip
    read = _Read(text)
    (top,) = [attrs for tag, attrs in read.tags if tag == "html"]
    assert (top["dir"], top["lang"]) == (direction, language)
    assert not {"script", "b", "link", "img"} & {tag for tag, _ in read.tags}
    assert "<script>x</script>" in read.words
    assert level in read.words
    assert "–" in read.words
    assert ("۱۴۰۵-۰۸-۳۰" if language == "fa" else "1405-08-30") in read.words
    heads = [tag for tag, _ in read.tags if tag == "th"]
    assert len(heads) == 3, "times and counts are left to the file"
    assert COLUMNS[2].name[language] in read.words
    assert ("before" in text or "پیش‌تر" in text) is False


def test_the_page_says_what_it_leaves_out_and_that_it_may_have_come_before() -> None:
    lines = [_line(f"q{n}", 0.5) for n in range(MAX_ROWS + 7)]
    text = page("T", "w", COLUMNS, lines, {}, "en", repeated=True)
    assert "7 further rows are in the file." in text
    assert "may have reached you before" in text
    assert "Nothing happened" in page("T", "w", COLUMNS, [], {}, "en")


@pytest.mark.parametrize(
    ("value", "unit", "en", "fa"),
    [
        (None, "share", "–", "–"),
        (0.8128, "share", "81.3%", "۸۱٫۳٪"),
        (75.4, "seconds", "1:15", "۱:۱۵"),
        (3725, "seconds", "1:02:05", "۱:۰۲:۰۵"),
        (59.6, "seconds", "1:00", "۱:۰۰"),
        (1500.0, "milliseconds", "0:02", "۰:۰۲"),
        (12345, "segments", "12,345", "۱۲٬۳۴۵"),
        (4.256, "mos", "4.26", "۴٫۲۶"),
        (-20.0, "points", "-20", "-۲۰"),
    ],
)
def test_figures_are_written_as_people_write_them(value: Any, unit: str, en: str, fa: str) -> None:
    assert (number(value, unit, "en"), number(value, unit, "fa")) == (en, fa)
