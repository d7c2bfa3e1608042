"""Where callers leave: the flows over HTTP, by flow, version and node; and what was changed in the center document, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.common.clickhouse import Row
from services.reporting.api import FromText, Interval, Name, Reader, Reports, ToText, interval_of
from services.reporting.core import sql


class FlowNode(BaseModel):
    """A node of one version of a flow."""

    flow: str
    version: int = Field(description="as the flow's author counts")
    node: str
    kind: str
    visits: int
    contacts: int = Field(description="callers who came here; one may come several times")
    left: int = Field(description="callers who hung up here")
    left_share: float = Field(description="of the visits, 0 to 1")
    spent_avg_s: float
    spent_p50_s: float
    spent_p95_s: float
    left_after_p50_s: float | None = Field(description="how long those were here who hung up here")
    left_after_p95_s: float | None
    results: dict[str, int] = Field(
        description="visits by the way out: digit:1, timeout, invalid, open, hung_up …"
    )


class Flows(BaseModel):
    interval: Interval
    nodes: list[FlowNode] = Field(
        description="by flow, its newest version first, nodes as callers reach them"
    )


class Change(BaseModel):
    path: str
    before: str = Field(description="JSON; empty when there was nothing")
    after: str


class Revision(BaseModel):
    """A revision of the center document. Contacts name the one with which they began."""

    number: int
    revision: str
    at: datetime
    based_on: str
    kind: str = Field(description="seeded, file, replaced, edited, rolled_back")
    actor: str
    reason: str
    changes: list[Change]
    changes_left_out: int


class Revisions(BaseModel):
    interval: Interval
    revisions: list[Revision] = Field(description="newest first")


def build_router(reports: Reports) -> APIRouter:
    """The routes under ``/v1/reports``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/flows", summary="Nodes of flows: how many came, what they did, where they left")
    async def flows(
        who: Reader,
        from_: FromText = None,
        to: ToText = None,
        flow: Name | None = None,
        node: Name | None = None,
        version: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    ) -> Flows:
        span = reports.span(who, from_, to)
        wanted = {"flow": flow, "flow_node": node}
        filters = {column: value for column, value in wanted.items() if value is not None}
        rows = await reports.ask(sql.flow_nodes(span, filters, version))
        return Flows(interval=interval_of(span), nodes=[_node(row) for row in rows])

    @router.get("/center-revisions", summary="What was changed in the center document, by whom and why")
    async def revisions(who: Reader, from_: FromText = None, to: ToText = None) -> Revisions:
        span = reports.span(who, from_, to)
        rows = await reports.ask(sql.center_revisions(span))
        return Revisions(interval=interval_of(span), revisions=[_revision(row) for row in rows])

    return router


def _node(row: Row) -> FlowNode:
    half, most = row["spent_ms_quantiles"]
    left_half, left_most = row["left_after_ms_quantiles"]
    left = row["left_count"]
    return FlowNode(
        flow=row["flow"],
        version=row["flow_version"],
        node=row["flow_node"],
        kind=row["kind"],
        visits=row["visits"],
        contacts=row["contacts"],
        left=left,
        left_share=left / row["visits"],
        spent_avg_s=row["spent_ms_sum"] / row["visits"] / 1000,
        spent_p50_s=half / 1000,
        spent_p95_s=most / 1000,
        left_after_p50_s=left_half / 1000 if left else None,
        left_after_p95_s=left_most / 1000 if left else None,
        results=row["results"],
    )


def _revision(row: Row) -> Revision:
    changes = [Change(path=path, before=before, after=after) for path, before, after in row["changes"]]
    return Revision(**(row | {"changes": changes}))
