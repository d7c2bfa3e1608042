"""From a figure to its contacts, and to one contact's whole story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from services.common.clock import Clock
from services.common.errors import Refused
from services.reporting.api import SETTLED_UNTIL, Reader, Reports, parse_before
from services.reporting.asking import (
    FILTER,
    Defaults,
    calendar_of,
    filter_parameters,
    filters_of,
    iso,
    refused,
    span_of,
)
from services.reporting.core.kpi.answer import Line
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.model import Count, Source
from services.reporting.core.kpi.question import MAX_FCR_DAYS, Question, QuestionInvalid, counts_of, filtered
from services.reporting.core.kpi.sources import SOURCES
from services.reporting.core.kpi.statement import contacts as contacts_statement
from services.reporting.story import Story, story

_OF_CONTACTS: Final = {
    source.id: source for source in SOURCES.values() if source.contact or source.view == "v_contacts"
}
_KNOWN: Final = {
    "from", "to", "tz", "source", "count", "target_s", "short_s", "fcr_days", "limit", "before",
}  # fmt: skip


class Contacts(BaseModel):
    """A page of contacts, newest first."""

    from_: str = Field(serialization_alias="from")
    to: str
    source: str
    count: str | None
    settled_until: datetime | None = Field(description=SETTLED_UNTIL)
    items: list[dict[str, Any]] = Field(description="the columns of v_contacts, and started_at_us")
    next: str | None = Field(description="give it as 'before' to get the next page")


def contacts_url(question: Question, line: Line) -> str | None:
    """Where the contacts behind a row are listed; None for measures that are not about contacts."""
    source = next((c.source for c in counts_of(question.measures) if c.source in _OF_CONTACTS), None)
    if source is None:
        return None
    query = [("from", iso(question.calendar, line.from_us)), ("to", iso(question.calendar, line.to_us))]
    query += [("tz", question.calendar.zone), ("source", source)]
    for name, values in question.filters.items():
        if name not in line.dimensions:
            query += [(f"{FILTER}{name}", value) for value in values]
    query += [(f"{FILTER}{name}", str(value)) for name, value in line.dimensions.items()]
    for name, limit_ms in (("target_s", question.target_ms), ("short_s", question.short_ms)):
        if limit_ms is not None:
            query.append((name, str(limit_ms // 1000)))
    if source == "first_contacts":
        query.append(("fcr_days", str(question.fcr_days)))
    return f"/v1/contacts?{urlencode(query)}"


def _chosen(source: str | None, count: str | None) -> tuple[Source, Count | None]:
    """Raises Refused (422)."""
    if count is not None:
        found = COUNTS.get(count)
        if found is None or found.source not in _OF_CONTACTS:
            known = ", ".join(c.id for c in COUNTS.values() if c.source in _OF_CONTACTS)
            raise Refused("question-invalid", f"count: {count!r}: expected of {known}", status=422)
        if source is not None and source != found.source:
            raise Refused(
                "question-invalid", f"source: {source!r}: {count} is a count of {found.source}", status=422
            )
        return SOURCES[found.source], found
    chosen = next((s for s in _OF_CONTACTS.values() if s.id == (source or "contacts")), None)
    if chosen is None:
        raise Refused(
            "question-invalid", f"source: {source!r}: expected of {', '.join(_OF_CONTACTS)}", status=422
        )
    return chosen, None


def build_router(reports: Reports, clock: Clock, defaults: Callable[[str], Defaults]) -> APIRouter:
    """The routes ``/v1/contacts`` and ``/v1/contacts/{contact_id}``."""
    router = APIRouter(prefix="/v1/contacts", tags=["contacts"])

    @router.get(
        "",
        summary="Contacts behind a figure of a report, newest first",
        description=(
            "Takes the span and filters of /v1/reports/query. Rows of `source` decide (default: contacts), with `count` those"
            " that it counts: `count=abandoned&filter.queue=sales` are the contacts that left while they waited in sales."
        ),
        openapi_extra={"parameters": filter_parameters()},
    )
    async def contacts(
        request: Request,
        who: Reader,
        from_: Annotated[
            str | None, Query(alias="from", max_length=64, description="as in /v1/reports/query")
        ] = None,
        to: Annotated[str | None, Query(max_length=64, description="as in /v1/reports/query")] = None,
        tz: Annotated[
            str | None, Query(max_length=64, description="of days and hours; default: the center's")
        ] = None,
        source: Annotated[
            str | None, Query(max_length=64, description=f"of {', '.join(_OF_CONTACTS)}")
        ] = None,
        count: Annotated[
            str | None, Query(max_length=64, description="a count of /v1/reports/measures")
        ] = None,
        target_s: Annotated[int | None, Query(ge=1, le=3600, description="T for all queues")] = None,
        short_s: Annotated[int | None, Query(ge=0, le=600, description="S for all queues")] = None,
        fcr_days: Annotated[
            int | None, Query(ge=1, le=MAX_FCR_DAYS, description="window of first contacts")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str | None, Query(max_length=200, description="'next' of an earlier page")] = None,
    ) -> Contacts:
        own = defaults(who.tenant)
        chosen, counted = _chosen(source, count)
        calendar = calendar_of(own, tz, None, None)
        question = Question(
            tenant=who.tenant,
            measures=(),
            span=span_of(calendar, clock.now_us(), from_, to),
            calendar=calendar,
            now_us=clock.now_us(),
            filters=filters_of(request, _KNOWN),
            target_ms=None if target_s is None else target_s * 1000,
            short_ms=None if short_s is None else short_s * 1000,
            fcr_days=own.fcr_days if fcr_days is None else fcr_days,
        )
        try:
            filtered(question, chosen)
        except QuestionInvalid as e:
            raise refused(e) from None
        statement = contacts_statement(question, chosen, counted, limit=limit, before=parse_before(before))
        settled_until = reports.settled_until()
        rows = await reports.ask(statement)
        last = rows[-1] if len(rows) == limit else None
        return Contacts(
            from_=iso(calendar, question.span.from_us),
            to=iso(calendar, question.span.to_us),
            source=chosen.id,
            count=count,
            settled_until=settled_until,
            items=rows,
            next=f"{last['started_at_us']}:{last['contact_id']}" if last is not None else None,
        )

    @router.get("/{contact_id}", summary="The whole story of one contact, every step in the order of time")
    async def one(who: Reader, contact_id: str) -> Story:
        return await story(reports.ask, who.tenant, contact_id)

    return router
