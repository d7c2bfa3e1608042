"""HTTP routes of the versions of a flow: which there were, what is different between two, and back to an earlier one.

A flow is a part of the document, so its versions are those revisions of the document in which it changed. Reading, putting and
removing flows is as of every part (``services.center.api``); a put counts the version.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.center import source
from services.center.changes import CenterChange, changes
from services.center.edit import new_text
from services.center.editor import Editor
from services.center.parts import FLOWS
from services.center.store import CenterRevised
from services.common.auth import Principal
from services.common.errors import DecodeError, Refused
from services.common.http import require

_Reader = Annotated[Principal, Depends(require("supervisor"))]


class FlowVersion(BaseModel):
    """A version of a flow, and the revision of the document that brought it."""

    version: int
    number: int = Field(description="Of the revision.")
    revision: str
    actor: str = Field(examples=["admin:maryam"])
    reason: str
    at_us: int


class FlowChange(BaseModel):
    """One value of a flow that is another one: JSON, empty when absent."""

    path: str = Field(examples=["nodes.menu.digits.1"])
    before: str
    after: str


class FlowDifference(BaseModel):
    """Between two versions: value by value, and as text."""

    before: int
    after: int
    changes: list[FlowChange]
    text: str = Field(description="Unified diff of the flow's YAML.")


class FlowRollBack(BaseModel):
    """The version to go back to."""

    version: int = Field(ge=1, examples=[3])


class Kept(msgspec.Struct, frozen=True):
    """A version of a flow that the history has, with its value; None where the flow was removed."""

    revised: CenterRevised
    value: Any

    @property
    def version(self) -> int:
        """As its author counted."""
        return int(self.value.get("version", 1)) if isinstance(self.value, dict) else 0


def versions_of(history: list[CenterRevised], name: str) -> list[Kept]:
    """The versions of a flow in a history (the oldest revision first), the newest last. Removals are in it, as value None."""
    found: list[Kept] = []
    for revised in history:
        prefix = f"flows.{name}"
        touched = [
            c.path for c in revised.changes if c.path == "flows" or f"{c.path}.".startswith(f"{prefix}.")
        ]
        if found and not touched and not revised.changes_left_out:
            continue
        try:
            document = source.parse(revised.text().decode()).value
        except DecodeError:
            continue  # damaged, and told by whoever runs it
        flows = document.get("flows") if isinstance(document, dict) else None
        value = flows.get(name) if isinstance(flows, dict) else None
        if not found or found[-1].value != value:
            found.append(Kept(revised, value))
    return found


def newest(kept: list[Kept], name: str, version: int) -> Kept:
    """The last one with this version. Raises Refused when none is kept."""
    for found in reversed(kept):
        if found.value is not None and found.version == version:
            return found
    raise Refused("unknown-version", f"no version {version} of flow {name!r} is kept", status=404)


def add(routes: APIRouter, editor: Editor) -> None:
    """Add the routes that read to those of the center."""

    async def kept_of(tenant: str, name: str) -> list[Kept]:
        history = await editor.store.history(tenant)
        # In a thread, as all reading of YAML.
        kept = await asyncio.to_thread(versions_of, history, name)
        if not any(found.value is not None for found in kept):
            raise Refused("unknown-flow", f"no revision that is kept has a flow {name!r}", status=404)
        return kept

    @routes.get("/flows/{name}/versions", summary="The versions of a flow, the newest first: who, when, why")
    async def versions(name: str, principal: _Reader) -> list[FlowVersion]:
        kept = await kept_of(principal.tenant, name)
        return [
            FlowVersion(
                version=found.version,
                number=found.revised.number,
                revision=found.revised.revision,
                actor=found.revised.actor,
                reason=found.revised.reason,
                at_us=found.revised.at_us,
            )
            for found in reversed(kept)
            if found.value is not None
        ]

    @routes.get("/flows/{name}/diff", summary="What is different between two versions of a flow")
    async def diff(
        name: str,
        principal: _Reader,
        before: Annotated[int, Query(ge=1, description="A version.")],
        after: Annotated[int, Query(ge=1)],
    ) -> FlowDifference:
        kept = await kept_of(principal.tenant, name)
        one, other = newest(kept, name, before).value, newest(kept, name, after).value
        left, right = (new_text(value).splitlines(keepends=True) for value in (one, other))
        lines = difflib.unified_diff(left, right, f"version {before}", f"version {after}", n=2)
        return FlowDifference(
            before=before,
            after=after,
            changes=[_shown(change) for change in changes(one, other)],
            text="".join(lines),
        )


async def earlier(editor: Editor, tenant: str, name: str, version: int) -> Callable[[Any], Any]:
    """Return the edit that makes an earlier version of a flow the newest one. Raises Refused when it is not kept."""
    history = await editor.store.history(tenant)
    kept = newest(await asyncio.to_thread(versions_of, history, name), name, version)
    return lambda value: FLOWS.put(value, name, dict(kept.value))


def _shown(change: CenterChange) -> FlowChange:
    return FlowChange(path=change.path, before=change.before, after=change.after)
