"""Whether the books are whole, over HTTP: the facts of the streams against ClickHouse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.common.auth import Principal
from services.common.http import require
from services.reporting.adapters.audit import Audit, StreamBooks

_Admin = Annotated[Principal, Depends(require("admin"))]


class Stream(BaseModel):
    """One stream of facts, of all tenants."""

    stream: str = Field(description="Empty while nothing was compared")
    consumer: str
    first_seq: int = Field(description="Oldest message that the stream still holds")
    last_seq: int = Field(description="Newest one")
    acknowledged_seq: int = Field(
        description="Everything up to here was acknowledged: it must be in ClickHouse"
    )
    compared_seq: int = Field(description="Everything up to here was compared")
    messages: int = Field(description="Messages found in ClickHouse in this round of the check")
    facts: int = Field(description="Their facts")
    missing: int = Field(description="Acknowledged messages without all of their facts in ClickHouse")
    missing_seqs: list[int] = Field(description="Sequences of the first of them")
    behind: int = Field(description="Messages that are not stored yet")
    lag_seconds: float = Field(description="Age of the oldest of those")
    compared_at: datetime | None


class BooksReport(BaseModel):
    """The books are right when every stream was compared and nothing is missing."""

    right: bool | None = Field(description="Null while not every stream has been compared once")
    streams: list[Stream]


def build_router(audit: Audit) -> APIRouter:
    """The route ``/v1/reports/books``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/books", summary="Whether every fact of the streams is in ClickHouse")
    async def books(_: _Admin) -> BooksReport:
        found = audit.books
        compared = all(one.compared_at_us for one in found)
        missing = any(one.missing for one in found)
        return BooksReport(
            right=False if missing else (True if compared else None),
            streams=[_stream(one) for one in found],
        )

    return router


def _stream(books: StreamBooks) -> Stream:
    at = datetime.fromtimestamp(books.compared_at_us / 1e6, UTC) if books.compared_at_us else None
    return Stream(
        stream=books.stream,
        consumer=books.consumer,
        first_seq=books.first_seq,
        last_seq=books.last_seq,
        acknowledged_seq=books.acknowledged_seq,
        compared_seq=books.compared_seq,
        messages=books.messages,
        facts=books.facts,
        missing=books.missing,
        missing_seqs=books.missing_seqs,
        behind=books.behind,
        lag_seconds=books.lag_seconds,
        compared_at=at,
    )
