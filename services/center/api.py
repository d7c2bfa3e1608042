"""HTTP routes of the center documents: read, edit, look back, go back.

Every answer has the document's revision as its ETag. Every edit names in ``If-Match`` the revision it is based on; when the document is
another one by now, the answer is 412 and nothing has changed. An edit is checked as the whole document that it leads to.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from services.center import customer_api, flow_api
from services.center.changes import changes
from services.center.editor import Change, Edited, Editor, Present, value_of
from services.center.loader import CenterError
from services.center.parts import (
    AGENTS,
    KINDS,
    Kind,
    patched,
    put_skill,
    put_tier,
    queue_of,
    remove_skill,
    remove_tier,
)
from services.center.store import Author, CenterRevised
from services.common.auth import Principal
from services.common.errors import Refused
from services.common.http import problem, require

_Reader = Annotated[Principal, Depends(require("supervisor"))]
_Writer = Annotated[Principal, Depends(require())]
_YAML = "application/yaml"
_MOST_BODY = 8 << 20


class ChangeShown(BaseModel):
    """One value that is another one now: JSON, empty when absent."""

    path: str = Field(examples=["agents.sara.skills.sales"])
    before: str = Field(examples=["3"])
    after: str = Field(examples=["5"])


class EditResult(BaseModel):
    """What an edit led to."""

    revision: str = Field(description="Of the document as it is, or would be after a dry run.")
    based_on: str
    number: int = Field(description="Of the new revision; 0 when none was made.")
    changes: list[ChangeShown]
    changes_left_out: int
    drains: list[str] = Field(
        default=[], description="What is gone from the document but finishes what it has: callers, a call."
    )


class RevisionShown(BaseModel):
    """One revision of the history: who changed what, and why."""

    number: int
    revision: str
    based_on: str
    kind: str = Field(examples=["edited"])
    actor: str = Field(examples=["admin:maryam"])
    reason: str
    at_us: int
    changes: list[ChangeShown]
    changes_left_out: int


class Difference(BaseModel):
    """Between two revisions: value by value, and as text."""

    before: int
    after: int
    changes: list[ChangeShown]
    text: str = Field(description="Unified diff of the YAML.")


class Tier(BaseModel):
    """How an agent serves a queue."""

    priority: int = Field(1, ge=1, le=10, description="1 comes first.")
    after_s: int = Field(0, ge=0, le=3600, description="Only contacts that have waited so long.")


class TierShown(Tier):
    """One agent and one queue."""

    agent_id: str
    queue: str


class RollBack(BaseModel):
    """The revision to go back to."""

    number: int = Field(ge=1, examples=[12])


class _Route(APIRoute):
    """Answers a document that is wrong with every fault, each with path and line."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except CenterError as e:
                errors = [{"path": f.path, "line": f.line, "message": f.message} for f in e.faults]
                return problem("center-invalid", str(e), 422, errors=errors)

        return answer


@dataclass(frozen=True)
class Asked:
    """What comes with every edit: who asks, on which revision, why, and whether in earnest."""

    response: Response
    principal: Principal
    if_match: str
    reason: str
    dry_run: bool

    @property
    def tenant(self) -> str:
        """Whose document."""
        return self.principal.tenant

    def based_on(self) -> str:
        """Return the revision that the edit names. Raises Refused (428) when it names none."""
        revision = self.if_match.strip().removeprefix("W/").strip('"')
        if not revision or revision == "*":
            raise Refused(
                "revision-missing",
                'expected If-Match: "<revision>", the one that the edit is based on',
                status=428,
            )
        return revision

    def author(self, kind: str) -> Author:
        """Return who stands in the history."""
        return Author(f"{self.principal.role}:{self.principal.subject}", kind, self.reason)

    def result(self, edited: Edited, *drains: str) -> EditResult:
        """Return the answer, with the new revision as its ETag."""
        _tag(self.response, edited.revision)
        return EditResult(
            revision=edited.revision,
            based_on=edited.based_on,
            number=edited.number,
            changes=[ChangeShown(path=c.path, before=c.before, after=c.after) for c in edited.changes],
            changes_left_out=edited.changes_left_out,
            drains=list(drains),
        )


def _asked(
    response: Response,
    principal: _Writer,
    if_match: Annotated[
        str, Header(alias="If-Match", description='The revision that the edit is based on: "1f0c3a9b7d52".')
    ] = "",
    reason: Annotated[str, Query(max_length=500, description="Why, for whoever looks at the history.")] = "",
    dry_run: Annotated[bool, Query(description="Check and answer as if, but change nothing.")] = False,
) -> Asked:
    return Asked(response, principal, if_match, reason, dry_run)


_Edit = Annotated[Asked, Depends(_asked)]


def _tag(response: Response, revision: str) -> None:
    response.headers["ETag"] = f'"{revision}"'


def _shown(revised: CenterRevised) -> RevisionShown:
    return RevisionShown(
        number=revised.number,
        revision=revised.revision,
        based_on=revised.based_on,
        kind=revised.kind,
        actor=revised.actor,
        reason=revised.reason,
        at_us=revised.at_us,
        changes=[ChangeShown(path=c.path, before=c.before, after=c.after) for c in revised.changes],
        changes_left_out=revised.changes_left_out,
    )


def router(editor: Editor) -> APIRouter:
    """Return the routes; admins edit, supervisors read."""
    routes = APIRouter(prefix="/v1/center", tags=["center"], route_class=_Route)

    async def present(principal: Principal, response: Response) -> Present:
        found = await editor.present(principal.tenant)
        if not found.text:
            raise Refused("unknown-tenant", f"no center document for tenant {principal.tenant}", status=404)
        _tag(response, found.revision)
        return found

    async def edit(asked: Asked, change: Change, *drains: str) -> EditResult:
        author = asked.author("edited")
        edited = await editor.edit(asked.tenant, asked.based_on(), change, author, dry_run=asked.dry_run)
        return asked.result(edited, *drains)

    _document_routes(routes, editor, present)
    flow_api.add(routes, editor)

    @routes.post("/flows/{name}/rollback", summary="Make an earlier version of a flow the newest one")
    async def roll_back_flow(name: str, wish: flow_api.FlowRollBack, asked: _Edit) -> EditResult:
        """It gets a version of its own, above the present one."""
        return await edit(asked, await flow_api.earlier(editor, asked.tenant, name, wish.version))

    @routes.put(
        "/customers",
        summary="Put a table of customers (CSV) in the place of all",
        openapi_extra=customer_api.CSV_BODY,
    )
    async def replace_customers(request: Request, asked: _Edit) -> EditResult:
        """Columns: number, customer, name, class, agent, language; only number is needed."""
        customers = customer_api.customers_of(await _body(request))
        return await edit(asked, lambda value: {**value, "customers": customers})

    for kind in KINDS:
        _part_routes(routes, kind, present, edit)
    _tier_routes(routes, present, edit)
    _skill_routes(routes, present, edit)
    return routes


_PresentOf = Callable[[Principal, Response], Coroutine[Any, Any, Present]]
_EditBy = Callable[..., Coroutine[Any, Any, EditResult]]


def _document_routes(routes: APIRouter, editor: Editor, present: _PresentOf) -> None:
    @routes.get(
        "/document",
        summary="The whole document, as YAML with its comments or as JSON",
        response_class=Response,
        responses={200: {"content": {_YAML: {"example": "tenant: demo\n"}, "application/json": {}}}},
    )
    async def document(request: Request, principal: _Reader) -> Response:
        response = Response(media_type=_YAML)
        found = await present(principal, response)
        if "json" in request.headers.get("accept", ""):
            response = Response(json.dumps(found.value(), ensure_ascii=False), media_type="application/json")
            _tag(response, found.revision)
            return response
        return Response(found.text, media_type=_YAML, headers={"ETag": response.headers["ETag"]})

    @routes.put(
        "/document",
        summary="Put another document in its place",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    _YAML: {
                        "schema": {"type": "string"},
                        "example": "tenant: demo\nname: {en: Customer care}\n…",
                    },
                    "application/json": {"schema": {"type": "object"}},
                },
            }
        },
    )
    async def replace(
        request: Request,
        asked: _Edit,
        if_none_match: Annotated[
            str, Header(alias="If-None-Match", description="*: make the tenant's first document.")
        ] = "",
    ) -> EditResult:
        """YAML is stored byte by byte. JSON is written into the present YAML: what does not change keeps its comments."""
        body = await _body(request)
        first = if_none_match.strip() == "*" and not asked.if_match
        based_on = "" if first else asked.based_on()
        author = asked.author("replaced")
        tenant, dry_run = asked.tenant, asked.dry_run
        if "json" in request.headers.get("content-type", ""):
            wanted = value_of(tenant, body)
            edited = await editor.edit(tenant, based_on, lambda _: wanted, author, dry_run=dry_run)
        else:
            edited = await editor.replace(tenant, based_on, body, author, dry_run=dry_run)
        return asked.result(edited)

    @routes.get("/revisions", summary="The history, the newest first: who changed what, and why")
    async def revisions(
        principal: _Reader, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> list[RevisionShown]:
        history = await editor.store.history(principal.tenant)
        return [_shown(revised) for revised in reversed(history[-limit:])]

    @routes.get(
        "/revisions/{number}",
        summary="The document as it was",
        response_class=Response,
        responses={200: {"content": {_YAML: {}}}},
    )
    async def revision(number: int, principal: _Reader) -> Response:
        revised = await editor.store.numbered(principal.tenant, number)
        return Response(revised.text(), media_type=_YAML, headers={"ETag": f'"{revised.revision}"'})

    @routes.get("/diff", summary="What is different between two revisions")
    async def diff(
        principal: _Reader,
        before: Annotated[int, Query(ge=1, description="Number of a revision.")],
        after: Annotated[int, Query(ge=1)],
    ) -> Difference:
        one = await editor.store.numbered(principal.tenant, before)
        other = await editor.store.numbered(principal.tenant, after)
        texts = [r.text().decode() for r in (one, other)]
        found = changes(*(value_of(principal.tenant, t.encode()) for t in texts))
        left, right = (text.splitlines(keepends=True) for text in texts)
        lines = difflib.unified_diff(left, right, f"revision {before}", f"revision {after}", n=1)
        return Difference(
            before=before,
            after=after,
            changes=[ChangeShown(path=c.path, before=c.before, after=c.after) for c in found],
            text="".join(lines),
        )

    @routes.post("/rollback", summary="Make an earlier document the newest revision")
    async def roll_back(
        wish: RollBack,
        asked: _Edit,
    ) -> EditResult:
        edited = await editor.roll_back(
            asked.tenant, asked.based_on(), wish.number, asked.author("rolled_back"), dry_run=asked.dry_run
        )
        return asked.result(edited)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BODY:
            raise Refused("center-too-large", f"a document has at most {_MOST_BODY} bytes", status=413)
    return body


def _part_routes(routes: APIRouter, kind: Kind, present: _PresentOf, edit: _EditBy) -> None:
    """List, get, put, patch and delete of one sort of part."""

    async def get_all(response: Response, principal: _Reader) -> dict[str, Any]:
        return kind.all_of((await present(principal, response)).value())

    async def get_one(name: str, response: Response, principal: _Reader) -> Any:
        return kind.get((await present(principal, response)).value(), name)

    async def put(
        name: str,
        item: Any,
        request: Request,
        asked: _Edit,
    ) -> EditResult:
        # What was sent and not the model: that would write every default into the document.
        sent = await request.json()
        return await edit(asked, lambda value: kind.put(value, name, sent))

    put.__annotations__["item"] = Annotated[kind.model, Body(examples=[kind.example])]

    async def patch(
        name: str,
        wanted: dict[str, Any],
        asked: _Edit,
    ) -> EditResult:
        """JSON merge patch (RFC 7396): null removes a setting."""

        def change(value: Any) -> Any:
            return kind.put(value, name, patched(kind.get(value, name), wanted))

        return await edit(asked, change)

    async def delete(
        name: str,
        asked: _Edit,
    ) -> EditResult:
        """What other parts still refer to cannot go (422 names them); agents stop serving a queue that goes, and it drains."""
        drains = [name] if kind.place in ("agents", "queues") else []
        return await edit(asked, lambda value: kind.remove(value, name), *drains)

    base, one = f"/{kind.path}", f"/{kind.path}/{{name}}"
    token = kind.path.replace("-", "_")
    for path, endpoint, method, summary in (
        (base, get_all, "GET", f"All {kind.one}s, by name"),
        (one, get_one, "GET", f"One {kind.one}, as the document has it"),
        (one, put, "PUT", f"Make a {kind.one}, or put another in its place"),
        (one, patch, "PATCH", f"Change settings of a {kind.one}"),
        (one, delete, "DELETE", f"Remove a {kind.one}"),
    ):
        routes.add_api_route(
            path,
            endpoint,
            methods=[method],
            summary=summary,
            operation_id=f"center_{token}_{endpoint.__name__}",
        )


def _tier_routes(routes: APIRouter, present: _PresentOf, edit: _EditBy) -> None:
    def shown(agent_id: str, served: Any) -> TierShown:
        order = served if isinstance(served, dict) else {}
        return TierShown(
            agent_id=agent_id,
            queue=queue_of(served),
            priority=order.get("priority", 1),
            after_s=order.get("after_s", 0),
        )

    @routes.get("/tiers", summary="Who serves which queue, with priority and delay")
    async def tiers(
        response: Response, principal: _Reader, queue: str = "", agent_id: str = ""
    ) -> list[TierShown]:
        value = (await present(principal, response)).value()
        return [
            shown(name, served)
            for name, agent in AGENTS.all_of(value).items()
            for served in agent["queues"]
            if agent_id in ("", name) and queue in ("", queue_of(served))
        ]

    @routes.put("/tiers/{agent_id}/{queue}", summary="Have an agent serve a queue")
    async def put(
        agent_id: str,
        queue: str,
        tier: Annotated[Tier, Body(examples=[{"priority": 2, "after_s": 30}])],
        asked: _Edit,
    ) -> EditResult:
        order = tier.model_dump(exclude_defaults=True)
        return await edit(asked, put_tier(agent_id, queue, order))

    @routes.delete("/tiers/{agent_id}/{queue}", summary="An agent serves a queue no longer")
    async def delete(
        agent_id: str,
        queue: str,
        asked: _Edit,
    ) -> EditResult:
        return await edit(asked, remove_tier(agent_id, queue))


def _skill_routes(routes: APIRouter, present: _PresentOf, edit: _EditBy) -> None:
    @routes.get("/skills", summary="All skills")
    async def skills(response: Response, principal: _Reader) -> list[str]:
        return list((await present(principal, response)).value().get("skills") or [])

    @routes.put("/skills/{skill}", summary="Declare a skill")
    async def put(
        skill: str,
        asked: _Edit,
    ) -> EditResult:
        return await edit(asked, put_skill(skill))

    @routes.delete("/skills/{skill}", summary="Take a skill back")
    async def delete(
        skill: str,
        asked: _Edit,
    ) -> EditResult:
        return await edit(asked, remove_skill(skill))
