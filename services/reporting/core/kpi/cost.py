"""What contacts cost: prices of the center document times counts. Pure.

Fixed prices are for whole months of the reports' calendar; an interval bears them by its share of each month's time. Who was logged in
at least once in a month is paid for the whole of it, so costs of a month that goes on still grow. Everything is computed in
fractions of millionths and becomes a float at the very end: parts add up to their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import msgspec

from services.reporting.core.kpi.calendars import SECOND_US, Calendar, Span
from services.reporting.core.kpi.model import Cost
from services.reporting.core.sql import Statement
from services.reporting.core.tables import day_of

MICRO: Final = 1_000_000
_MINUTE_MS: Final = 60_000


class Tariffs(msgspec.Struct, frozen=True):
    """Prices in millionths of the currency."""

    currency: str
    user_month: int = 0
    line_month: int = 0
    lines: int = 0
    minute: int = 0
    contact: Mapping[str, int] = {}
    """By channel."""


def months(calendar: Calendar, span: Span) -> list[int]:
    """Begin of each month that the span touches, and the end of the last: microseconds."""
    first = calendar.floor("month", span.from_us)
    found = calendar.borders("month", Span(first, span.to_us), most=10_000)
    following = calendar.months_later(calendar.local(found[-2]).date(), 1)
    return [*found[:-1], calendar.start_of(following)]


def users(tenant: str, borders: Sequence[int]) -> Statement:
    """Agents who were logged in, by month: the month's begin in seconds, and how many."""
    span = Span(borders[0], borders[-1])
    sql = (
        "SELECT roundDown(toUnixTimestamp(at), {months:Array(UInt32)}) AS month, uniqExact(agent_id) AS users"
        " FROM v_agent_15m WHERE tenant = {tenant:String} AND day BETWEEN {from_day:Date} AND {to_day:Date}"
        " AND toUnixTimestamp(at) >= {from_s:Int64} AND toUnixTimestamp(at) < {to_s:Int64} AND logged_in_ms > 0 GROUP BY month"
    )
    return Statement(
        sql,
        {
            "tenant": tenant,
            "months": [border // SECOND_US for border in borders[:-1]],
            "from_day": day_of(span.from_us),
            "to_day": day_of(span.to_us - 1),
            "from_s": span.from_us // SECOND_US,
            "to_s": span.to_us // SECOND_US,
        },
    )


def shares(borders: Sequence[int], part: Span) -> list[Fraction]:
    """How much of each month lies in a part of the span, from 0 to 1."""
    found = []
    for begin, end in pairwise(borders):
        inside = max(0, min(end, part.to_us) - max(begin, part.from_us))
        found.append(Fraction(inside, end - begin))
    return found


def fixed(borders: Sequence[int], part: Span, users_by_month: Mapping[int, int]) -> dict[str, Fraction]:
    """The counts that months have: ``months`` and ``user_months`` of a part of the span."""
    parts = shares(borders, part)
    people = (
        share * users_by_month.get(begin // SECOND_US, 0)
        for begin, share in zip(borders, parts, strict=False)
    )
    return {"months": sum(parts, Fraction()), "user_months": sum(people, Fraction())}


def amount(measure: Cost, tariffs: Tariffs, numbers: Mapping[str, Any]) -> float | None:
    """Money; None where there is no contact to divide by."""
    prices = {
        "users": Fraction(numbers.get("user_months", 0)) * tariffs.user_month,
        "lines": Fraction(numbers.get("months", 0)) * tariffs.lines * tariffs.line_month,
        "minutes": Fraction(int(numbers.get("billed_ms", 0)) * tariffs.minute, _MINUTE_MS),
        "contacts": Fraction(int(numbers.get("contact_prices", 0))),
    }
    total = sum((prices[part] for part in measure.parts), Fraction()) / MICRO
    if not measure.per:
        return float(total)
    divisor = int(numbers.get(measure.per, 0))
    return float(total / divisor) if divisor else None
