"""Formulas of the service level, and times of the reports."""

from __future__ import annotations

from datetime import date

import pytest

from services.common.errors import Refused
from services.reporting.api import parse_time
from services.reporting.core.kpi.answer import value
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.sql import Span

# ICMI's example: 1000 answered, 860 of them within 20 s; 60 abandoned, 20 of them within 20 s, 10 of those under 5 s.
EXAMPLE = {
    "answered": 1000,
    "answered_within": 860,
    "abandoned": 60,
    "abandoned_within": 20,
    "abandoned_short": 10,
}
LEVELS = ("service_level", *(f"service_level_f{n}" for n in range(1, 6)))


@pytest.mark.parametrize(
    ("formula", "percent"), list(zip(LEVELS, (81.9, 83.0, 86.0, 81.1, 82.7, 82.1), strict=True))
)
def test_the_same_day_by_six_formulas(formula: str, percent: float) -> None:
    level = value(MEASURES[formula], EXAMPLE)
    assert level is not None
    assert round(level * 100, 1) == percent


def test_there_is_no_level_without_contacts() -> None:
    assert [value(MEASURES[formula], dict.fromkeys(EXAMPLE, 0)) for formula in LEVELS] == [None] * 6


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("1790000000", 1_790_000_000_000_000),
        ("1790000000.25", 1_790_000_000_250_000),
        ("2026-11-21T08:00:00+03:30", 1_795_235_400_000_000),
        ("2026-11-21T04:30:00Z", 1_795_235_400_000_000),
    ],
)
def test_times_are_read(text: str, at_us: int) -> None:
    assert parse_time("from", text) == at_us


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-21", "2026-11-21T08:00:00", "-5", "1e9", "99999999999", "١٢٣"]
)
def test_times_without_a_zone_or_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="from=") as refused:
        parse_time("from", text)
    assert refused.value.status == 422


def test_a_span_reads_its_days_with_a_margin() -> None:
    midnight = 1_795_219_200_000_000  # 2026-11-21
    params = Span("t", midnight, midnight + 86_400_000_000).params()
    assert (params["from_day"], params["to_day"]) == (date(2026, 11, 20), date(2026, 11, 24))
    assert Span("t", 0, 1).params()["from_day"] == date(1970, 1, 1)
