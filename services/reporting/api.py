"""Legs over HTTP, and what all routes of reports share: their interval, their pages and the store that they ask."""

from __future__ import annotations

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
from services.reporting.core import sql

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
SETTLED_UNTIL: Final = (
    "whatever was stored by then is counted; calls that go on are a second or so behind. Null: not known yet"
)
Name = Annotated[str, Query(min_length=1, max_length=128)]


# ------------------------------------------------------------------------------------------------------------------ answers
class Interval(BaseModel):
    """``[from, to)``."""

    from_: datetime = Field(serialization_alias="from")
    to: datetime


class Page(BaseModel):
    interval: Interval
    items: list[dict[str, Any]]
    next: str | None = Field(description="give it as 'before' to get the next page")


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

    def __init__(self, store: Store, clock: Clock, settled_until_us: Callable[[], int | None]) -> None:
        """``settled_until_us``: whatever was stored by then is in the records; None: not known yet."""
        self._store = store
        self._clock = clock
        self._settled_until_us = settled_until_us
        self._open = False

    def open(self) -> None:
        """The schema is there."""
        self._open = True

    async def ask(self, statement: sql.Statement) -> list[Row]:
        if not self._open:
            raise StoreUnavailable("ClickHouse has not been reached yet; /readyz says why")
        return await self._store.query(statement.sql, statement.params)

    def settled_until(self) -> datetime | None:
        """Ask before the records are read: they may be newer, never older."""
        at_us = self._settled_until_us()
        return None if at_us is None else _EPOCH + timedelta(microseconds=at_us)

    def span(self, principal: Principal, from_text: str | None, to_text: str | None) -> sql.Span:
        """The question's interval. Raises Refused (422)."""
        to_us = parse_time("to", to_text) if to_text is not None else self._clock.now_us()
        from_us = parse_time("from", from_text) if from_text is not None else max(to_us - _DAY_US, 0)
        if from_us >= to_us:
            raise Refused("interval-invalid", "from must be before to", status=422)
        if to_us - from_us > _MAX_SPAN_US:
            raise Refused("interval-too-long", "expected an interval of at most 400 days", status=422)
        return sql.Span(principal.tenant, from_us, to_us)

    async def page(self, span: sql.Span, statement: sql.Statement, limit: int, key: str) -> Page:
        rows = await self.ask(statement)
        last = rows[-1] if len(rows) == limit else None
        following = f"{last['started_at_us']}:{last[key]}" if last is not None else None
        return Page(interval=interval_of(span), items=rows, next=following)


def interval_of(span: sql.Span) -> Interval:
    """The span as people write it."""
    return Interval(
        from_=_EPOCH + timedelta(microseconds=span.from_us), to=_EPOCH + timedelta(microseconds=span.to_us)
    )


# ------------------------------------------------------------------------------------------------------------------- routes
def build_router(reports: Reports) -> APIRouter:
    """The routes under ``/v1/reports``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

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

    return router
