"""Any measure by any dimension and interval over HTTP. ``core/kpi`` says what each of them is."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from services.center.jalali import gregorian
from services.common.auth import Principal
from services.common.clock import Clock
from services.common.errors import Refused
from services.reporting.api import Reader, Reports, parse_time
from services.reporting.core.kpi.answer import Line
from services.reporting.core.kpi.calendars import SECOND_US, SLOT_S, Calendar, Months, Span, Unit, WeekStart
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Measure
from services.reporting.core.kpi.question import (
    MAX_FCR_DAYS,
    MAX_INTERVALS,
    MAX_SPAN_DAYS,
    Question,
    QuestionInvalid,
    sources_of,
)
from services.reporting.core.kpi.sources import DIMENSIONS, SOURCES, allows
from services.reporting.questions import Answer, answered, earlier

MAX_PAGE_ROWS: Final = 10_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_SLOT_US: Final = SLOT_S * SECOND_US
_FILTER: Final = "filter."


class Defaults(msgspec.Struct, frozen=True):
    """What a tenant's questions mean when they do not say; from the center document."""

    zone: str = "UTC"
    months: Months = "gregorian"
    week_start: WeekStart = "mon"
    fcr_days: int = 7


# ------------------------------------------------------------------------------------------------------------------ answers
class MeasureInfo(BaseModel):
    """One entry of the catalogue."""

    id: str
    group: str = Field(description="heading of lists: contacts, service, handling, agents, quality, cost")
    name: dict[str, str] = Field(description="by language")
    words: str = Field(description="the formula in words")
    sql: str = Field(description="the formula over the rows of its sources")
    unit: str = Field(description="contacts, segments, offers, answers, evaluations, seconds, share (0 to 1), points, mos, milliseconds, money")  # fmt: skip
    better: str = Field(description="up, down, or empty where neither is better")
    origin: str = Field(description="who defines it so")
    sources: list[str]
    dimensions: list[str] = Field(description="what 'by' and 'filter.' may name with it")
    counts: list[str] = Field(description="raw counts that come with it")
    counts_are_contacts: bool = Field(description="whether /v1/contacts?measure= lists what it counts")


class DimensionInfo(BaseModel):
    id: str
    name: dict[str, str]
    words: str
    kind: str = Field(description="text, hour (0 to 23), weekday (mon to sun)")


class CountInfo(BaseModel):
    id: str
    name: dict[str, str]
    words: str
    sql: str
    unit: str
    source: str


class SourceInfo(BaseModel):
    id: str
    words: str
    view: str
    states: list[str] = Field(
        description="views of 15-minute states that are read instead where that is possible"
    )


class Catalogue(BaseModel):
    """Everything that can be asked."""

    measures: list[MeasureInfo]
    dimensions: list[DimensionInfo]
    counts: list[CountInfo]
    sources: list[SourceInfo]
    intervals: list[str]
    calendars: list[str]
    week_starts: list[str]


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
    """Figures. A row has a value for each column, ``interval_no`` and ``contacts``: the address of the contacts behind it."""

    from_: str = Field(serialization_alias="from", description="ISO 8601, with the zone's offset")
    to: str
    tz: str
    calendar: str
    week_start: str
    interval: str | None
    columns: list[ColumnInfo]
    rows: list[dict[str, Any]]
    row_count: int = Field(description="rows of all pages")
    totals: dict[str, Any] = Field(description="measures and counts of everything, not of the page")
    compare: Comparison | None
    next: int | None = Field(description="number of the next page")


def _sql(measure: Measure) -> str:
    def side(counts: dict[str, int]) -> str:
        text = ""
        for name, times in counts.items():
            sign = " - " if times < 0 else " + "
            text += (sign if text or times < 0 else "") + COUNTS[name].sql
        return text.strip()

    top, factor = side(measure.top), "" if measure.factor == 1 else f"{measure.factor:g} * "
    if not measure.bottom:
        return factor + (f"({top})" if factor and len(measure.top) > 1 else top)
    return f"{factor}({top}) / ({side(measure.bottom)})"


def catalogue() -> Catalogue:
    """The catalogue as the route tells it."""
    measures = []
    for measure in MEASURES.values():
        sources = sources_of(measure)
        if isinstance(measure, Measure):
            sql = _sql(measure)
            listed = list(measure.top) == [measure.id] and bool(_contact_column(measure.id))
        else:
            inner = f", {measure.where}" if measure.where else ""
            sql = f"0.001 * quantileExact{'If' if inner else ''}({measure.level})({measure.column}{inner})"
            listed = False
        measures.append(
            MeasureInfo(
                id=measure.id,
                group=measure.group,
                name=measure.name,
                words=measure.words,
                sql=sql,
                unit=measure.unit,
                better=measure.better,
                origin=measure.origin,
                sources=list(sources),
                dimensions=[name for name in DIMENSIONS if all(allows(SOURCES[s], name) for s in sources)],
                counts=list(measure.counts),
                counts_are_contacts=listed,
            )
        )
    return Catalogue(
        measures=measures,
        dimensions=[
            DimensionInfo(id=d.id, name=d.name, words=d.words, kind=d.kind) for d in DIMENSIONS.values()
        ],
        counts=[
            CountInfo(id=c.id, name=c.name, words=c.words, sql=c.sql, unit=c.unit, source=c.source)
            for c in COUNTS.values()
        ],
        sources=[
            SourceInfo(
                id=s.id,
                words=s.words,
                view=s.view.partition("(")[0],
                states=[state.view for state in s.states],
            )
            for s in SOURCES.values()
        ],
        intervals=list(Unit.__args__),  # type: ignore[attr-defined]
        calendars=list(Months.__args__),  # type: ignore[attr-defined]
        week_starts=list(WeekStart.__args__),  # type: ignore[attr-defined]
    )


def _contact_column(count: str) -> str:
    source = SOURCES[COUNTS[count].source]
    if source.view == "v_contacts":
        return "contact_id"
    return source.contact


# ---------------------------------------------------------------------------------------------------------------- questions
def _refused(e: QuestionInvalid) -> Refused:
    return Refused("question-invalid", str(e), status=422)


def parse_moment(name: str, text: str, calendar: Calendar) -> int:
    """Microseconds: a day of either calendar (its begin in the zone), or what ``parse_time`` takes. Raises Refused (422)."""
    day = _DATE.fullmatch(text)
    if day is None:
        return parse_time(name, text)
    try:
        at_us = calendar.start_of(gregorian(int(day[1]), int(day[2]), int(day[3])))
    except (ValueError, OverflowError):
        raise Refused("time-invalid", f"{name}={text!r}: there is no such day", status=422) from None
    return parse_time(name, str(at_us // SECOND_US) if at_us >= 0 else text)


def calendar_of(
    defaults: Defaults, tz: str | None, months: Months | None, week_start: WeekStart | None
) -> Calendar:
    """Raises Refused (422) for a zone that there is not."""
    zone = tz or defaults.zone
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise Refused(
            "zone-invalid", f"tz={zone!r}: expected an IANA name such as Asia/Tehran", status=422
        ) from None
    return Calendar(zone, months or defaults.months, week_start or defaults.week_start)


def filters_of(request: Request, known: set[str]) -> dict[str, tuple[str, ...]]:
    """``filter.<dimension>=value``, several times for any of several values. Raises Refused (422) for a parameter that there is not."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in request.query_params.multi_items():
        if name.startswith(_FILTER):
            key = name.removeprefix(_FILTER)
            found[key] = (*found.get(key, ()), value)
        elif name not in known:
            raise Refused(
                "parameter-unknown",
                f"{name}: there is no such parameter; expected of {', '.join(sorted(known))} and filter.<dimension>",
                status=422,
            )
    return found


def span_of(calendar: Calendar, now_us: int, from_text: str | None, to_text: str | None) -> Span:
    """From the text of ``from`` and ``to``; without them today up to the next quarter of an hour."""
    to_us = parse_moment("to", to_text, calendar) if to_text else -(-now_us // _SLOT_US) * _SLOT_US
    from_us = parse_moment("from", from_text, calendar) if from_text else calendar.floor("day", to_us - 1)
    return Span(from_us, to_us)


def compared(calendar: Calendar, span: Span, text: str) -> Span:
    """The span that ``compare`` means."""
    if text == "previous":
        return calendar.earlier(span)
    if text == "year":
        return calendar.year_earlier(span)
    return calendar.starting(parse_moment("compare", text, calendar), span)


def iso(calendar: Calendar, at_us: int) -> str:
    """A moment as answers write it."""
    return (_EPOCH + dt.timedelta(microseconds=at_us)).astimezone(ZoneInfo(calendar.zone)).isoformat()


def contacts_url(question: Question, line: Line) -> str:
    """Where the contacts behind a row are listed."""
    query = [("from", iso(question.calendar, line.from_us)), ("to", iso(question.calendar, line.to_us))]
    query.append(("tz", question.calendar.zone))
    for name, values in question.filters.items():
        if name not in line.dimensions:
            query += [(f"{_FILTER}{name}", value) for value in values]
    query += [(f"{_FILTER}{name}", str(value)) for name, value in line.dimensions.items()]
    return f"/v1/contacts?{urlencode(query)}"


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
        "short_s", "fcr_days", "limit", "page",
    }  # fmt: skip

    @router.get(
        "/query",
        summary="Any measures by any dimensions and interval",
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
    ) -> QueryAnswer:
        filters = filters_of(request, known)
        asked = _question(
            who, clock.now_us(), defaults(who.tenant), measures, by, interval, from_, to,
            (tz, calendar, week_start), filters, (target_s, short_s, fcr_days),
        )  # fmt: skip
        other = compared(asked.calendar, asked.span, compare) if compare else None
        try:
            found = await answered(reports.ask, asked, order=order)
            then = await answered(reports.ask, earlier(asked, other), order=order) if other else None
        except QuestionInvalid as e:
            raise _refused(e) from None
        first = (page - 1) * limit
        return QueryAnswer(
            from_=iso(asked.calendar, asked.span.from_us),
            to=iso(asked.calendar, asked.span.to_us),
            tz=asked.calendar.zone,
            calendar=asked.calendar.months,
            week_start=asked.calendar.week_start,
            interval=interval,
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
        measures=_names(measures),
        by=_names(by),
        interval=interval,
        span=span_of(used, now_us, from_text, to_text),
        calendar=used,
        now_us=now_us,
        filters=filters,
        target_ms=None if target_s is None else target_s * 1000,
        short_ms=None if short_s is None else short_s * 1000,
        fcr_days=own.fcr_days if fcr_days is None else fcr_days,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)
