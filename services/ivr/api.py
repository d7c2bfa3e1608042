"""HTTP routes of ivr: the flows that run, and the document they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from services.center import Center, RunningCenters
from services.common.auth import Principal
from services.common.errors import Refused
from services.common.http import require
from services.ivr.tools.picture import draw

_Reader = Annotated[Principal, Depends(require("supervisor", "analyst", "service"))]


class FlowSummary(BaseModel):
    """A flow and where it starts from."""

    name: str
    version: int
    start: str
    nodes: int
    entry_points: list[str]


class FlowList(BaseModel):
    """All flows of the tenant at a revision."""

    revision: str
    flows: list[FlowSummary]


class FlowDocument(BaseModel):
    """One flow as the center document has it."""

    revision: str
    name: str
    version: int
    start: str
    nodes: dict[str, dict[str, Any]]


class RefusedLine(BaseModel):
    """One thing that is wrong in a document that was not taken."""

    file: str
    line: int
    path: str
    message: str


class CenterState(BaseModel):
    """The running revision, and why a newer document does not run."""

    tenant: str
    revision: str
    file: str
    refused: list[RefusedLine]


def router(watch: Callable[[], RunningCenters]) -> APIRouter:
    """Return the routes; ``watch`` gives the running centers."""
    routes = APIRouter(prefix="/v1", tags=["ivr"])

    def center_of(principal: Principal) -> Center:
        center = watch().current.tenant(principal.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {principal.tenant}", status=404)
        return center

    @routes.get("/flows", summary="The tenant's flows")
    async def flows(principal: _Reader) -> FlowList:
        center = center_of(principal)
        entries = {
            name: [number for number, entry in center.entry_points.items() if entry.flow == name]
            for name in center.flows
        }
        return FlowList(
            revision=center.revision,
            flows=[
                FlowSummary(
                    name=name,
                    version=flow.version,
                    start=flow.start,
                    nodes=len(flow.nodes),
                    entry_points=entries[name],
                )
                for name, flow in center.flows.items()
            ],
        )

    @routes.get("/flows/{name}", summary="One flow, node by node")
    async def flow(name: str, principal: _Reader) -> FlowDocument:
        center = center_of(principal)
        found = center.flows.get(name)
        if found is None:
            raise Refused("unknown-flow", f"tenant {center.tenant} has no flow {name!r}", status=404)
        nodes = {
            key: node.model_dump(mode="json", by_alias=True, exclude_unset=True)
            for key, node in found.nodes.items()
        }
        return FlowDocument(
            revision=center.revision, name=name, version=found.version, start=found.start, nodes=nodes
        )

    @routes.get(
        "/flows/{name}/picture",
        summary="One flow as a picture",
        response_class=Response,
        responses={200: {"content": {"image/svg+xml": {}}}},
    )
    async def picture(
        name: str,
        principal: _Reader,
        language: Annotated[str, Query(description="Of words and prompts; empty: the center's first.")] = "",
    ) -> Response:
        center = center_of(principal)
        if name not in center.flows:
            raise Refused("unknown-flow", f"tenant {center.tenant} has no flow {name!r}", status=404)
        # In a thread: a large flow takes a tenth of a second, and calls go on meanwhile.
        drawn = await asyncio.to_thread(draw, center, name, language or center.languages[0])
        return Response(drawn, media_type="image/svg+xml")

    @routes.get("/center", summary="The running revision of the center, and what is wrong in a newer one")
    async def center(principal: _Reader) -> CenterState:
        running = center_of(principal)
        refused = [
            RefusedLine(file=Path(f.file).name, line=f.line, path=f.path, message=f.message)
            for f in watch().refused
            if f.file == str(running.path)
        ]
        return CenterState(
            tenant=running.tenant, revision=running.revision, file=running.path.name, refused=refused
        )

    return routes
