"""The reports over HTTP. Every route is cut to the token's tenant; see ``core/sql`` for what is counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.common.auth import Principal
from services.common.clickhouse import Row, Store
from services.common.clock import Clock
from services.common.errors import Refused, StoreUnavailable
from services.common.http import require
from services.reporting.core import service_level, sql
from services.reporting.core.service_level import FormulaId
from services.reporting.story import Story, story

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_MAX_SPAN_US: Final = 400 * _DAY_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"^\d{1,12}(\.\d{1,6})?$", re.ASCII)
_LAST_US: Final = 4_102_444_800_000_000  # the year 2100

Reader = Annotated[Principal, Depends(require("supervisor", "analyst", "admin"))]
FromText = Annotated[
    str | None,
    Query(
        alias="from",
        description="Begin: ISO 8601 with a zone, or seconds since the epoch. Default: a day before 'to'.",
    ),
]
ToText = Annotated[
    str | None, Query(alias="to", description="End, itself not included; same forms. Default: now.")
]
Name = Annotated[str, Query(min_length=1, max_length=128)]


# ------------------------------------------------------------------------------------------------------------------ answers
class Interval(BaseModel):
    """``[from, to)``."""

    from_: datetime = Field(serialization_alias="from")
    to: datetime


class Other(BaseModel):
    """Contacts that were neither answered nor left unanswered by the caller."""

    total: int
    by_cause: dict[str, int] = Field(
        description="closed, transferred, finished, failed, overflowed, ended_unseen"
    )


class Missed(BaseModel):
    """Callers who left unanswered."""

    total: int
    in_menu: int = Field(description="hung up before they reached a queue")
    in_queue: int = Field(description="hung up while they waited or were offered")


class Duration(BaseModel):
    """Seconds. ``p50`` and ``p95`` are exact quantiles."""

    count: int
    sum_s: float
    avg_s: float | None
    max_s: float
    p50_s: float | None
    p95_s: float | None


class Durations(BaseModel):
    wait_answered: Duration = Field(description="parking to the first conversation")
    wait_abandoned: Duration = Field(description="parking to the caller's hangup")
    talk: Duration
    total: Duration = Field(description="start to end of contacts that are over")


class ByAgent(BaseModel):
    agent_id: str
    answered: int
    talk_s: float
    hold_s: float
    wrap_up_s: float


class ServiceLevel(BaseModel):
    """The share and everything it was made from."""

    formula: str
    words: str
    value: float | None = Field(description="0 to 1; null when nobody asked for service")
    target_s: int | None = Field(description="T of the question or queue; null when each queue has its own")
    short_abandon_s: int | None
    answered: int
    answered_within: int
    abandoned: int
    abandoned_within: int
    abandoned_short: int


class Summary(BaseModel):
    """The books of an interval: received = answered + missed + other + open."""

    interval: Interval
    queue: str | None
    received: int
    answered: int
    missed: Missed
    other: Other
    open: int = Field(description="contacts that are not over and not answered yet")
    callbacks: dict[str, int] = Field(
        description="calls back to customers by outcome, in no sum above; who asked for one is in other.by_cause.callback"
    )
    outbound: dict[str, int] = Field(
        description="calls that agents placed by outcome, in no sum above: answered, not_reached"
    )
    durations: Durations
    answered_by: list[ByAgent]
    service_level: ServiceLevel


class Page(BaseModel):
    interval: Interval
    items: list[dict[str, Any]]
    next: str | None = Field(description="give it as 'before' to get the next page")


class AgentReport(BaseModel):
    agent_id: str
    answered: int
    talk_s: float
    hold_s: float
    wrap_up_s: float
    offers: dict[str, int] = Field(description="offers by outcome")
    presence_s: dict[str, float] = Field(description="seconds available, on break, offline")
    breaks_s: dict[str, float] = Field(description="seconds on break by reason")
    activity_s: dict[str, float] = Field(description="seconds idle, offered, talking, wrap_up, unreachable")


class Agents(BaseModel):
    interval: Interval
    agents: list[AgentReport]


# ---------------------------------------------------------------------------------------------------------------- questions
def parse_time(name: str, text: str) -> int:
    """Microseconds since the epoch. Raises Refused (422) that says what was expected."""
    if _NUMBER.fullmatch(text):
        at_us = round(float(text) * 1_000_000)
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise Refused(
                "time-invalid",
                f"{name}={text!r}: expected ISO 8601 with a zone, such as 2026-11-21T08:00:00+03:30 "
                "(in a URL '+' is %2B), or seconds since the epoch",
                status=422,
            )
        at_us = (at - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= at_us <= _LAST_US:
        raise Refused("time-invalid", f"{name}={text!r}: expected a time between 1970 and 2100", status=422)
    return at_us


def parse_before(text: str | None) -> tuple[int, str] | None:
    """Start (microseconds) and id out of the 'next' of a page. Raises Refused (422)."""
    if text is None:
        return None
    number, colon, key = text.partition(":")
    if not colon or not key or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise Refused("cursor-invalid", "before: expected the 'next' of an earlier page", status=422)
    return int(number), key


class Reports:
    """Questions to ClickHouse. Raises StoreUnavailable until ``open`` was called: there may be no tables yet."""

    def __init__(self, store: Store, clock: Clock, targets: Callable[[str], sql.Targets]) -> None:
        self._store = store
        self._clock = clock
        self._targets = targets
        self._open = False

    def open(self) -> None:
        """The schema is there."""
        self._open = True

    async def ask(self, statement: sql.Statement) -> list[Row]:
        if not self._open:
            raise StoreUnavailable("ClickHouse has not been reached yet; /readyz says why")
        return await self._store.query(statement.sql, statement.params)

    def span(self, principal: Principal, from_text: str | None, to_text: str | None) -> sql.Span:
        """The question's interval. Raises Refused (422)."""
        to_us = parse_time("to", to_text) if to_text is not None else self._clock.now_us()
        from_us = parse_time("from", from_text) if from_text is not None else max(to_us - _DAY_US, 0)
        if from_us >= to_us:
            raise Refused("interval-invalid", "from must be before to", status=422)
        if to_us - from_us > _MAX_SPAN_US:
            raise Refused("interval-too-long", "expected an interval of at most 400 days", status=422)
        return sql.Span(principal.tenant, from_us, to_us)

    async def summary(
        self, span: sql.Span, queue: str | None, formula: FormulaId, target_s: int | None, short_s: int | None
    ) -> Summary:
        filters = {"queue": queue} if queue else {}
        configured = self._targets(span.tenant)
        targets = sql.Targets(
            service_level_s=configured.service_level_s if target_s is None else {},
            short_abandon_s=configured.short_abandon_s if short_s is None else {},
            default_service_level_s=configured.default_service_level_s if target_s is None else target_s,
            default_short_abandon_s=configured.default_short_abandon_s if short_s is None else short_s,
        )
        by_outcome, called_back, placed, spent, by_agent, level = await asyncio.gather(
            self.ask(sql.outcomes(span, filters)),
            self.ask(sql.outcomes(span, filters | {"start": "callback"})),
            self.ask(sql.outcomes(span, filters | {"start": "outbound"})),
            self.ask(sql.durations(span, filters)),
            self.ask(sql.answered_by(span, filters)),
            self.ask(sql.service_level(span, filters, targets)),
        )
        counts = {row["outcome"]: row["contacts"] for row in by_outcome}
        answered, in_queue = counts.pop("answered", 0), counts.pop("abandoned", 0)
        in_menu, still_open = counts.pop("hung_up", 0), counts.pop("open", 0)
        raw = service_level.Counts(**level[0])
        return Summary(
            interval=interval_of(span),
            queue=queue,
            received=answered + in_queue + in_menu + still_open + sum(counts.values()),
            answered=answered,
            missed=Missed(total=in_queue + in_menu, in_menu=in_menu, in_queue=in_queue),
            other=Other(total=sum(counts.values()), by_cause=counts),
            open=still_open,
            callbacks={row["outcome"]: row["contacts"] for row in called_back},
            outbound={row["outcome"]: row["contacts"] for row in placed},
            durations=_durations(spent[0]),
            answered_by=[_by_agent(row) for row in by_agent],
            service_level=ServiceLevel(
                formula=formula,
                words=service_level.WORDS[formula],
                value=service_level.service_level(raw, formula),
                target_s=_one_target(
                    target_s, queue, targets.service_level_s, targets.default_service_level_s
                ),
                short_abandon_s=_one_target(
                    short_s, queue, targets.short_abandon_s, targets.default_short_abandon_s
                ),
                **level[0],
            ),
        )

    async def agents(self, span: sql.Span) -> list[AgentReport]:
        answered, offers, times = await asyncio.gather(
            self.ask(sql.answered_by(span, {})),
            self.ask(sql.offers_by_agent(span)),
            self.ask(sql.agent_times(span, self._clock.now_us())),
        )
        names = sorted({row["agent_id"] for rows in (answered, offers, times) for row in rows})
        reports = {
            name: AgentReport(
                agent_id=name,
                answered=0,
                talk_s=0,
                hold_s=0,
                wrap_up_s=0,
                offers={},
                presence_s={},
                breaks_s={},
                activity_s={},
            )
            for name in names
            if name
        }
        for row in answered:
            if row["agent_id"] in reports:
                reports[row["agent_id"]] = reports[row["agent_id"]].model_copy(
                    update=_by_agent(row).model_dump()
                )
        for row in offers:
            reports[row["agent_id"]].offers[row["outcome"]] = row["offers"]
        for row in times:
            report, seconds = reports[row["agent_id"]], row["ms"] / 1000
            kinds = report.presence_s if row["kind"] == "presence" else report.activity_s
            kinds[row["value"]] = kinds.get(row["value"], 0.0) + seconds
            if row["value"] == "break":
                report.breaks_s[row["reason"]] = report.breaks_s.get(row["reason"], 0.0) + seconds
        return list(reports.values())

    async def page(self, span: sql.Span, statement: sql.Statement, limit: int, key: str) -> Page:
        rows = await self.ask(statement)
        last = rows[-1] if len(rows) == limit else None
        following = f"{last['started_at_us']}:{last[key]}" if last is not None else None
        return Page(interval=interval_of(span), items=rows, next=following)


def _one_target(asked: int | None, queue: str | None, by_queue: Any, default: int) -> int | None:
    if asked is not None:
        return asked
    if queue is not None:
        return int(by_queue.get(queue, default))
    values = set(by_queue.values()) or {default}
    return int(values.pop()) if len(values) == 1 else None


def interval_of(span: sql.Span) -> Interval:
    """The span as people write it."""
    return Interval(
        from_=_EPOCH + timedelta(microseconds=span.from_us), to=_EPOCH + timedelta(microseconds=span.to_us)
    )


def _by_agent(row: Row) -> ByAgent:
    return ByAgent(
        agent_id=row["agent_id"],
        answered=row["answered"],
        talk_s=row["talk_ms"] / 1000,
        hold_s=row["hold_ms"] / 1000,
        wrap_up_s=row["wrap_up_ms"] / 1000,
    )


def _durations(row: Row) -> Durations:
    def one(name: str) -> Duration:
        count, total = row[f"{name}_count"], row[f"{name}_sum"]
        half, most = row[f"{name}_quantiles"]
        return Duration(
            count=count,
            sum_s=total / 1000,
            avg_s=total / count / 1000 if count else None,
            max_s=row[f"{name}_max"] / 1000,
            p50_s=half / 1000 if count else None,
            p95_s=most / 1000 if count else None,
        )

    return Durations(
        wait_answered=one("wait_answered"),
        wait_abandoned=one("wait_abandoned"),
        talk=one("talk"),
        total=one("total"),
    )


# ------------------------------------------------------------------------------------------------------------------- routes
def build_router(reports: Reports) -> APIRouter:
    """The routes under ``/v1/reports``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/summary", summary="The books of an interval, with durations and service level")
    async def summary(
        who: Reader,
        from_: FromText = None,
        to: ToText = None,
        queue: Name | None = None,
        formula: FormulaId = service_level.DEFAULT,
        service_level_s: Annotated[
            int | None, Query(ge=1, le=3600, description="T; default: the queue's own")
        ] = None,
        short_abandon_s: Annotated[
            int | None, Query(ge=0, le=600, description="S; default: the queue's own")
        ] = None,
    ) -> Summary:
        span = reports.span(who, from_, to)
        return await reports.summary(span, queue, formula, service_level_s, short_abandon_s)

    @router.get("/contacts", summary="Contacts that began in an interval, newest first")
    async def contacts(
        who: Reader,
        from_: FromText = None,
        to: ToText = None,
        queue: Name | None = None,
        outcome: Name | None = None,
        agent: Name | None = None,
        entry_point: Name | None = None,
        ani: Name | None = None,
        start: Literal["ivr", "queue", "callback", "outbound"] | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Page:
        span = reports.span(who, from_, to)
        wanted = {
            "queue": queue,
            "outcome": outcome,
            "agent_id": agent,
            "entry_point": entry_point,
            "ani": ani,
            "start": start,
        }
        filters = {column: value for column, value in wanted.items() if value is not None}
        statement = sql.contacts(span, filters, limit=limit, before=parse_before(before))
        return await reports.page(span, statement, limit, "contact_id")

    @router.get("/contacts/{contact_id}", summary="The whole story of one contact, in the order of time")
    async def story_of(who: Reader, contact_id: str) -> Story:
        return await story(reports.ask, who.tenant, contact_id)

    @router.get("/legs", summary="Channels (call detail records) that began in an interval, newest first")
    async def legs(
        who: Reader,
        from_: FromText = None,
        to: ToText = None,
        contact: Name | None = None,
        agent: Name | None = None,
        role: Literal["caller", "agent", "other"] | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Page:
        span = reports.span(who, from_, to)
        wanted = {"contact_id": contact, "agent_id": agent, "role": role}
        filters = {column: value for column, value in wanted.items() if value is not None}
        statement = sql.legs(span, filters, limit=limit, before=parse_before(before))
        return await reports.page(span, statement, limit, "leg_id")

    @router.get("/agents", summary="Agents: answered contacts, offers, time in each state")
    async def agents(who: Reader, from_: FromText = None, to: ToText = None) -> Agents:
        span = reports.span(who, from_, to)
        return Agents(interval=interval_of(span), agents=await reports.agents(span))

    return router
