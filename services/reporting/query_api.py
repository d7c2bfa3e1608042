"""Any measure by any dimension and interval over HTTP. ``core/kpi`` says what each of them is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from services.common.auth import Principal
from services.common.clock import Clock
from services.reporting import exports
from services.reporting.api import SETTLED_UNTIL, Reader, Reports
from services.reporting.asking import (
    Defaults,
    calendar_of,
    compared,
    filter_parameters,
    filters_of,
    iso,
    names,
    refused,
    span_of,
)
from services.reporting.catalogue import Catalogue, catalogue
from services.reporting.contacts_api import contacts_url
from services.reporting.core.kpi.answer import Line
from services.reporting.core.kpi.calendars import Months, Unit, WeekStart
from services.reporting.core.kpi.question import (
    MAX_FCR_DAYS,
    MAX_INTERVALS,
    MAX_SPAN_DAYS,
    Question,
    QuestionInvalid,
    checked,
)
from services.reporting.exports import Language
from services.reporting.questions import Answer, answered, earlier

MAX_PAGE_ROWS: Final = 10_000

MEDIA: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


# ------------------------------------------------------------------------------------------------------------------ answers


class ColumnInfo(BaseModel):
    id: str
    name: dict[str, str]
    unit: str
    kind: str = Field(description="interval, time, dimension, measure, count")
    estimate: bool = Field(description="made from 15-minute sketches: quantiles of more than 31 days")


class Comparison(BaseModel):
    """The same question of an earlier span. Rows belong together where ``interval_no`` and the dimensions are the same."""

    from_: str = Field(serialization_alias="from")
    to: str
    rows: list[dict[str, Any]]
    totals: dict[str, Any]


class QueryAnswer(BaseModel):
    """Figures. A row has a value for each column, ``interval_no`` and ``contacts``: the address of the contacts behind it.

    ``&count=<id>`` at the end of the address, with the id of a count, lists just the contacts of that figure.
    """

    from_: str = Field(serialization_alias="from", description="ISO 8601, with the zone's offset")
    to: str
    tz: str
    calendar: str
    week_start: str
    interval: str | None
    settled_until: datetime | None = Field(description=SETTLED_UNTIL)
    currency: str | None = Field(description="of measures with the unit money")
    columns: list[ColumnInfo]
    rows: list[dict[str, Any]]
    row_count: int = Field(description="rows of all pages")
    totals: dict[str, Any] = Field(description="measures and counts of everything, not of the page")
    compare: Comparison | None
    next: int | None = Field(description="number of the next page")


def _row(answer: Answer, line: Line, numbers: dict[int, int]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if answer.question.interval is not None:
        row |= {
            "interval": line.label,
            "from": iso(answer.question.calendar, line.from_us),
            "to": iso(answer.question.calendar, line.to_us),
        }
    row |= line.dimensions | {name: _finite(figure) for name, figure in line.figures.items()}
    return row | {"interval_no": numbers[line.from_us], "contacts": contacts_url(answer.question, line)}


def _finite(figure: Any) -> Any:
    return None if isinstance(figure, float) and not math.isfinite(figure) else figure


def _rows(answer: Answer, lines: list[Line]) -> list[dict[str, Any]]:
    numbers = {border: place for place, border in enumerate(answer.question.borders()[:-1])}
    return [_row(answer, line, numbers) for line in lines]


# ------------------------------------------------------------------------------------------------------------------- routes
def build_router(reports: Reports, clock: Clock, defaults: Callable[[str], Defaults]) -> APIRouter:
    """The routes ``/v1/reports/measures`` and ``/v1/reports/query``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])
    told = catalogue()

    @router.get(
        "/measures", summary="What can be asked: measures, dimensions, counts and where they come from"
    )
    async def measures(who: Reader) -> Catalogue:
        return told

    known = {
        "measures", "by", "interval", "from", "to", "tz", "calendar", "week_start", "compare", "order", "target_s",
        "short_s", "fcr_days", "limit", "page", "format", "lang",
    }  # fmt: skip

    @router.get(
        "/query",
        summary="Any measures by any dimensions and interval",
        response_model=QueryAnswer,
        responses={
            200: {
                "content": {
                    name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA.values()
                }
            }
        },
        openapi_extra={"parameters": filter_parameters()},
        description=(
            "Counts come with every measure. `filter.<dimension>=value` keeps rows with that value, given several times those with any"
            f" of the values. Limits: {MAX_SPAN_DAYS} days, {MAX_INTERVALS} intervals, {MAX_PAGE_ROWS} rows a page."
        ),
    )
    async def query(
        request: Request,
        who: Reader,
        measures: Annotated[
            str, Query(description="ids of /v1/reports/measures, with commas", max_length=2000)
        ],
        by: Annotated[str, Query(description="dimensions, with commas; 4 at most", max_length=200)] = "",
        interval: Annotated[Unit | None, Query(description="none: one row of the whole span")] = None,
        from_: Annotated[
            str | None,
            Query(
                alias="from",
                max_length=64,
                description="a day (2026-11-22 or Jalali 1405-09-01, in the zone), ISO 8601 with a zone, or seconds"
                " since the epoch; default: the begin of today",
            ),
        ] = None,
        to: Annotated[
            str | None,
            Query(
                max_length=64, description="end, itself not included; default: the next quarter of an hour"
            ),
        ] = None,
        tz: Annotated[
            str | None, Query(max_length=64, description="IANA name; default: the center's")
        ] = None,
        calendar: Annotated[Months | None, Query(description="of months, quarters and years")] = None,
        week_start: WeekStart | None = None,
        compare: Annotated[
            str | None,
            Query(
                max_length=64,
                description="previous (just before, as long), year (a year of the calendar before), or when the other span begins",
            ),
        ] = None,
        order: Annotated[
            str | None,
            Query(max_length=64, description="a column with figures, '-' before it: the greatest first"),
        ] = None,
        target_s: Annotated[
            int | None, Query(ge=1, le=3600, description="T for all; default: each queue's own at that time")
        ] = None,
        short_s: Annotated[int | None, Query(ge=0, le=600, description="S, likewise")] = None,
        fcr_days: Annotated[
            int | None, Query(ge=1, le=MAX_FCR_DAYS, description="window of fcr; default: the center's")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS, description="rows a page")] = 1000,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        format_: Annotated[
            Literal["json", "csv", "xlsx", "parquet"],
            Query(alias="format", description="files have all rows, whatever limit and page say"),
        ] = "json",
        lang: Annotated[
            Language | None,
            Query(
                description="headings of files; default: English in XLSX, ids in CSV, which then has no totals"
            ),
        ] = None,
    ) -> Any:
        filters = filters_of(request, known)
        asked = _question(
            who, clock.now_us(), defaults(who.tenant), measures, by, interval, from_, to,
            (tz, calendar, week_start), filters, (target_s, short_s, fcr_days),
        )  # fmt: skip
        settled_until = reports.settled_until()
        try:
            other = None
            if compare:
                # Before anything is read: a span that cannot be compared with is refused at once.
                other = checked(earlier(asked, compared(asked.calendar, asked.span, compare)))
            found = await answered(reports.ask, asked, order=order)
            then = await answered(reports.ask, other, order=order) if other is not None else None
        except QuestionInvalid as e:
            raise refused(e) from None
        if format_ != "json":
            return await _file(found, then, format_, lang)
        first = (page - 1) * limit
        return QueryAnswer(
            from_=iso(asked.calendar, asked.span.from_us),
            to=iso(asked.calendar, asked.span.to_us),
            tz=asked.calendar.zone,
            calendar=asked.calendar.months,
            week_start=asked.calendar.week_start,
            interval=interval,
            settled_until=settled_until,
            currency=asked.tariffs.currency if asked.tariffs is not None else None,
            columns=[
                ColumnInfo(id=c.id, name=c.name, unit=c.unit, kind=c.kind, estimate=c.estimate)
                for c in found.columns
            ],
            rows=_rows(found, found.lines[first : first + limit]),
            row_count=len(found.lines),
            totals={name: _finite(figure) for name, figure in found.totals.items()},
            compare=_comparison(then, first, limit) if then is not None else None,
            next=page + 1 if len(found.lines) > first + limit else None,
        )

    return router


async def _file(
    found: Answer, then: Answer | None, format_: Literal["csv", "xlsx", "parquet"], lang: Language | None
) -> Response:
    def made() -> bytes:
        match format_:
            case "csv":
                return exports.to_csv(found, then, lang)
            case "xlsx":
                return exports.to_xlsx(found, then, lang or "en")
            case "parquet":
                return exports.to_parquet(found, then)

    # A workbook of 50,000 rows takes seconds of CPU.
    content = await asyncio.to_thread(made)
    first, last = (
        found.question.calendar.local(at).date().isoformat()
        for at in (found.question.span.from_us, found.question.span.to_us - 1)
    )
    name = f"report-{first}-{last}.{format_}"
    return Response(
        content, media_type=MEDIA[format_], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _comparison(then: Answer, first: int, limit: int) -> Comparison:
    return Comparison(
        from_=iso(then.question.calendar, then.question.span.from_us),
        to=iso(then.question.calendar, then.question.span.to_us),
        rows=_rows(then, then.lines[first : first + limit]),
        totals={name: _finite(figure) for name, figure in then.totals.items()},
    )


def _question(
    who: Principal,
    now_us: int,
    own: Defaults,
    measures: str,
    by: str,
    interval: Unit | None,
    from_text: str | None,
    to_text: str | None,
    calendar: tuple[str | None, Months | None, WeekStart | None],
    filters: dict[str, tuple[str, ...]],
    limits: tuple[int | None, int | None, int | None],
) -> Question:
    """Raises Refused (422)."""
    used = calendar_of(own, *calendar)
    target_s, short_s, fcr_days = limits
    return Question(
        tenant=who.tenant,
        measures=names(measures),
        by=names(by),
        interval=interval,
        span=span_of(used, now_us, from_text, to_text),
        calendar=used,
        now_us=now_us,
        filters=filters,
        target_ms=None if target_s is None else target_s * 1000,
        short_ms=None if short_s is None else short_s * 1000,
        fcr_days=own.fcr_days if fcr_days is None else fcr_days,
        tariffs=own.tariffs,
    )
