"""HTTP routes of the recording service: find recordings, hear them, deal with messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse
from msgspec import structs
from pydantic import AwareDatetime, BaseModel

from services.common.auth import Principal
from services.common.clock import Clock
from services.common.errors import Refused
from services.common.http import require
from services.recording.core.facts import COMMENT, MESSAGE
from services.recording.core.sidecar import Sidecar

_listener = require("supervisor", "agent")
_FOREVER_US = 253_370_764_800_000_000


class Library(Protocol):
    """The finished recordings. Its methods block."""

    def find(self, tenant: str, from_us: int, to_us: int) -> Iterator[Sidecar]: ...
    def by_id(self, tenant: str, recording_id: str) -> Sidecar | None: ...
    def file(self, path: str) -> Path: ...
    def write(self, sidecar: Sidecar) -> None: ...


class RecordingItem(BaseModel):
    """One finished recording. Times in µs since the epoch; ``rms`` of each channel from 0 to 1."""

    recording_id: str
    contact_id: str
    agent_id: str
    queue: str
    started_at_us: int
    duration_ms: int
    bytes: int
    channels: int
    sample_rate: int
    sha256: str
    rms: list[float]
    repaired: bool
    problem: str


class RecordingPage(BaseModel):
    """Newest first. ``next_offset`` is there when there are more."""

    recordings: list[RecordingItem]
    next_offset: int | None


class MessageItem(BaseModel):
    """A message that a caller left instead of waiting, and whether somebody has dealt with it. Times in µs since the epoch."""

    recording_id: str
    contact_id: str
    queue: str
    caller: str
    left_at_us: int
    duration_ms: int
    handled_by: str
    handled_at_us: int
    problem: str


class MessagePage(BaseModel):
    """Newest first. ``next_offset`` is there when there are more."""

    messages: list[MessageItem]
    next_offset: int | None


def _message(s: Sidecar) -> MessageItem:
    return MessageItem(
        recording_id=s.id,
        contact_id=s.contact,
        queue=s.queue,
        caller=s.caller,
        left_at_us=s.started_at_us,
        duration_ms=s.duration_ms,
        handled_by=s.handled_by,
        handled_at_us=s.handled_at_us,
        problem=s.problem,
    )


def _item(s: Sidecar) -> RecordingItem:
    return RecordingItem(
        recording_id=s.id,
        contact_id=s.contact,
        agent_id=s.agent,
        queue=s.queue,
        started_at_us=s.started_at_us,
        duration_ms=s.duration_ms,
        bytes=s.bytes,
        channels=s.channels,
        sample_rate=s.sample_rate,
        sha256=s.sha256,
        rms=list(s.rms),
        repaired=s.repaired,
        problem=s.problem,
    )


def _us(when: datetime | None, otherwise: int) -> int:
    return int(when.timestamp() * 1_000_000) if when is not None else otherwise


def build_router(library: Library, clock: Clock) -> APIRouter:
    """Return the routes over finished recordings and the messages among them."""
    both = APIRouter()
    router = APIRouter(prefix="/v1/recordings", tags=["recordings"])
    messages = APIRouter(prefix="/v1/messages", tags=["messages"])

    handling = asyncio.Lock()  # Of two colleagues, one has dealt with it.

    def may_hear(who: Principal) -> Callable[[Sidecar], bool]:
        # A message is for the whole queue: whoever takes its calls may hear it. What was said of an agent is not for the agent.
        return lambda s: (
            s.tenant == who.tenant
            and (who.role != "agent" or s.kind == MESSAGE or (s.kind != COMMENT and s.agent == who.subject))
        )

    async def one(recording_id: str, who: Principal) -> Sidecar:
        found = await asyncio.to_thread(library.by_id, who.tenant, recording_id)
        # Somebody else's recording looks like none: whether it exists is not told either.
        if found is None or not may_hear(who)(found):
            raise Refused("unknown-recording", f"no recording {recording_id[:64]!r}", status=404)
        return found

    @router.get("", summary="Find recordings")
    async def find(
        who: Annotated[Principal, Depends(_listener)],
        from_: Annotated[
            AwareDatetime | None, Query(alias="from", description="Started at or after; ISO 8601 with zone.")
        ] = None,
        to: Annotated[AwareDatetime | None, Query(description="Started before.")] = None,
        contact_id: Annotated[str, Query(max_length=64)] = "",
        agent_id: Annotated[str, Query(max_length=63)] = "",
        queue: Annotated[str, Query(max_length=63)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    ) -> RecordingPage:
        def wanted(s: Sidecar) -> bool:
            return (
                may_hear(who)(s)
                and contact_id in ("", s.contact)
                and agent_id in ("", s.agent)
                and queue in ("", s.queue)
            )

        def read() -> list[Sidecar]:
            found = library.find(who.tenant, _us(from_, 0), _us(to, _FOREVER_US))
            return list(islice(filter(wanted, found), offset, offset + limit + 1))

        rows = await asyncio.to_thread(read)
        more = len(rows) > limit
        return RecordingPage(
            recordings=[_item(s) for s in rows[:limit]], next_offset=offset + limit if more else None
        )

    @router.get("/{recording_id}", summary="One recording")
    async def get(recording_id: str, who: Annotated[Principal, Depends(_listener)]) -> RecordingItem:
        return _item(await one(recording_id, who))

    @router.get("/{recording_id}/audio", summary="Its sound (WAV; byte ranges are supported)")
    async def audio(recording_id: str, who: Annotated[Principal, Depends(_listener)]) -> FileResponse:
        found = await one(recording_id, who)
        file = library.file(found.path)
        if found.problem or not await asyncio.to_thread(file.is_file):
            raise Refused(
                "no-sound", f"there is nothing to hear: {found.problem or 'the file is gone'}", status=410
            )
        return FileResponse(file, media_type="audio/wav", headers={"Cache-Control": "private, no-store"})

    @messages.get("", summary="Messages that callers left; their sound is under /v1/recordings")
    async def find_messages(
        who: Annotated[Principal, Depends(_listener)],
        state: Annotated[Literal["open", "handled", "all"], Query()] = "open",
        queue: Annotated[str, Query(max_length=63)] = "",
        from_: Annotated[
            AwareDatetime | None, Query(alias="from", description="Left at or after; ISO 8601 with zone.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    ) -> MessagePage:
        def wanted(s: Sidecar) -> bool:
            return (
                s.kind == MESSAGE
                and may_hear(who)(s)
                and queue in ("", s.queue)
                and (state == "all" or bool(s.handled_at_us) == (state == "handled"))
            )

        def read() -> list[Sidecar]:
            found = library.find(who.tenant, _us(from_, 0), _FOREVER_US)
            return list(islice(filter(wanted, found), offset, offset + limit + 1))

        rows = await asyncio.to_thread(read)
        more = len(rows) > limit
        return MessagePage(
            messages=[_message(s) for s in rows[:limit]], next_offset=offset + limit if more else None
        )

    @messages.post("/{recording_id}/handled", summary="Say that a message was dealt with")
    async def handled(recording_id: str, who: Annotated[Principal, Depends(_listener)]) -> MessageItem:
        async with handling:
            found = await one(recording_id, who)
            if found.kind != MESSAGE:
                raise Refused("unknown-message", f"no message {recording_id[:64]!r}", status=404)
            if found.handled_at_us:
                raise Refused(
                    "message-handled", f"{found.handled_by or 'somebody'} has dealt with it", status=409
                )
            found = structs.replace(found, handled_by=who.subject, handled_at_us=clock.now_us())
            await asyncio.to_thread(library.write, found)
        return _message(found)

    both.include_router(router)
    both.include_router(messages)
    return both
