"""Questions to the catalogue, answered from ClickHouse. The HTTP routes and scheduled reports both come here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec

from services.common.clickhouse import Row
from services.common.errors import Refused
from services.reporting.core.kpi import answer, cost, question, statement
from services.reporting.core.kpi.answer import Column, Line
from services.reporting.core.kpi.calendars import SECOND_US, Span
from services.reporting.core.kpi.question import Question, QuestionInvalid
from services.reporting.core.sql import Statement

Ask = Callable[[Statement], Awaitable[list[Row]]]


class Answer(msgspec.Struct, frozen=True):
    """Figures of one span."""

    question: Question
    columns: list[Column]
    lines: list[Line]
    """All of them, in the order that was asked for."""
    totals: dict[str, Any]
    """The same figures of everything, made from the counts of everything."""


async def answered(ask: Ask, asked: Question, *, order: str | None = None, rows_only: bool = False) -> Answer:
    """The figures. Raises QuestionInvalid, Refused (422: too many rows) and StoreUnavailable.

    ``order`` is the id of a column with figures, ``-`` before it for the greatest first. ``rows_only`` does without 15-minute states.
    """
    question.checked(asked)
    columns = answer.columns(asked)
    known = {column.id for column in columns if column.kind in ("measure", "count")}
    if order is not None and order.removeprefix("-") not in known:
        raise QuestionInvalid("order", f"{order!r}: expected of {', '.join(sorted(known))}, or '-' and it")
    borders = asked.borders()
    parts = question.parts(asked, rows_only=rows_only)
    grouped = bool(asked.by) or asked.interval is not None
    totals = [
        statement.statement(asked, part, borders, totals=True)
        for part in parts
        if not (grouped and answer.adds_up(asked, part))
    ]
    detail = [statement.statement(asked, part, borders) for part in parts] if grouped else []
    found = await asyncio.gather(*(ask(one) for one in (*totals, *detail)))
    for rows in found:
        if len(rows) > statement.MAX_GROUPS:
            raise Refused(
                "rows-too-many",
                f"more than {statement.MAX_GROUPS} rows: ask for fewer dimensions, longer intervals or a shorter span",
                status=422,
            )
    fixed = await _months(ask, asked)
    everything: answer.Numbers = fixed(asked.span)
    for rows in found[: len(totals)]:
        for row in rows:
            everything |= {name[2:]: value for name, value in row.items()}
    details = list(zip(parts, found[len(totals) :], strict=True)) if grouped else []
    for part, rows in details:
        if answer.adds_up(asked, part):
            everything |= answer.total(part, rows)
    if grouped:
        numbers = answer.gathered(asked, details)
        for begin, end in pairwise(borders) if asked.interval is not None and not asked.by else ():
            own = numbers.setdefault((begin // SECOND_US,), {})
            own |= fixed(Span(begin, end))
    else:
        numbers = {(): everything}
    return Answer(
        question=asked,
        columns=columns,
        lines=answer.ordered(answer.lines(asked, borders, numbers), order),
        totals=answer.figures(asked.measures, everything, asked.tariffs),
    )


async def _months(ask: Ask, asked: Question) -> Callable[[Span], dict[str, Any]]:
    """What months have of a part of the span; nothing where no measure wants it."""
    if not any(count.source == "months" for count in question.counts_of(asked.measures)):
        return lambda part: {}
    borders = cost.months(asked.calendar, asked.span)
    users = {row["month"]: row["users"] for row in await ask(cost.users(asked.tenant, borders))}
    return lambda part: cost.fixed(borders, part, users)


def earlier(asked: Question, span: Span) -> Question:
    """The same question of another span."""
    return msgspec.structs.replace(asked, span=span)
