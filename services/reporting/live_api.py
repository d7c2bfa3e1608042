"""The live wallboard's shell: facts from the bus into the projection, and frames out to browsers.

Theory of operation
-------------------
``LiveFeed`` keeps one ``LiveProjection`` a tenant and follows two subjects for it. The routing log is followed from its
beginning, because who is logged in may have been decided days ago; ivr's facts only from the day before yesterday on,
because nothing older is shown.

Once a second a board is made and encoded for each tenant that somebody looks at, once for all of its viewers. A viewer has
one slot, not a queue: a browser that reads slowly finds the newest frame in it and misses those between.

No frame is sent before the routing log has been read to the end it had at the start, nor while ``source_ok`` says that the
bus is gone. The page judges freshness by the last frame alone, so a board that would be wrong turns grey by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from prometheus_client import Counter, Gauge

from services.center import Center
from services.common import auth
from services.common.auth import Principal
from services.common.bus import Bus, Envelope, codec, subjects
from services.common.clock import Clock
from services.common.errors import BusUnavailable, DecodeError, Refused
from services.common.http import require
from services.contracts.peyvand.routing.v1 import log_pb2
from services.reporting.core.live import LiveProjection
from services.reporting.core.live_facts import (
    IVR_FACTS,
    ROUTING_FACTS,
    AgentInfo,
    BreakReason,
    CenterInfo,
    IvrFact,
    Position,
    QueueInfo,
    QueueTargets,
    RoutingFact,
)

log = structlog.get_logger()

# Browsers that look at a board now.
VIEWERS = Gauge("peyvand_reporting_live_viewers", "Wallboards that are open", ["tenant"])
# Frames a browser was too slow for. A steady rate: that screen's network or machine is too weak, the others are not touched.
FRAMES_SKIPPED = Counter(
    "peyvand_reporting_live_frames_skipped_total", "Frames that a slow viewer missed", ["tenant"]
)
# Facts that could not be decoded. Anything above zero: a newer sender, or a broken one; the board may be wrong.
FACTS_REFUSED = Counter("peyvand_reporting_live_facts_refused_total", "Facts left out of the live board")

FRAME_S: Final = 1.0
COMMENT_S: Final = 15.0
TOKEN_CHECK_S: Final = 60.0
MAX_VIEWERS: Final = 500
LOOK_BACK_US: Final = 2 * 86_400 * 1_000_000
_RETRY_S: Final = 2.0
_RETRY_MAX_S: Final = 60.0

_IVR_TYPES: Final = {f"peyvand.ivr.v1.{t.__name__}": t for t in IVR_FACTS}
_ROUTING_FIELDS: Final = {
    field.name: t
    for field in log_pb2.Fact.DESCRIPTOR.oneofs_by_name["fact"].fields
    for t in ROUTING_FACTS
    if field.message_type is not None and field.message_type.name == t.__name__
}


# Center document and bus messages to the core's types


def center_info(center: Center) -> CenterInfo:
    """What the board needs of a center document."""
    return CenterInfo(
        tenant=center.tenant,
        names=center.name,
        zone=ZoneInfo(center.timezone),
        zone_name=center.timezone,
        revision=center.revision,
        languages=tuple(center.languages),
        queues=tuple(
            QueueInfo(
                id=queue_id,
                names=queue.name,
                targets=QueueTargets(
                    service_level_s=queue.service_level_s,
                    short_abandon_s=queue.short_abandon_s,
                    service_level_pct=queue.targets.service_level_pct.watch,
                    service_level_crit_pct=queue.targets.service_level_pct.act,
                    waiting_warn=queue.targets.waiting.watch,
                    waiting_crit=queue.targets.waiting.act,
                    longest_warn_s=queue.targets.longest_wait_s.watch
                    if queue.targets.longest_wait_s
                    else 3 * queue.service_level_s,
                    longest_crit_s=queue.targets.longest_wait_s.act
                    if queue.targets.longest_wait_s
                    else 6 * queue.service_level_s,
                    abandoned_warn_pct=queue.targets.abandoned_pct.watch,
                    abandoned_crit_pct=queue.targets.abandoned_pct.act,
                    no_idle_warn_s=queue.targets.no_idle_s.watch,
                    no_idle_crit_s=queue.targets.no_idle_s.act,
                ),
            )
            for queue_id, queue in center.queues.items()
        ),
        agents=tuple(
            AgentInfo(id=agent_id, names=agent.name, queues=tuple(agent.queue_names))
            for agent_id, agent in center.agents.items()
        ),
        break_reasons=tuple(
            BreakReason(code=r.code, names=r.name, limit_s=r.limit_s) for r in center.break_reasons
        ),
    )


def read_ivr(envelope: Envelope) -> IvrFact | None:
    """An ivr fact, or None for one that the board does not use. Raises DecodeError."""
    kind = _IVR_TYPES.get(envelope.type)
    return None if kind is None else codec.read(envelope, kind)


def read_routing(envelope: Envelope) -> tuple[int, list[tuple[int, RoutingFact]]]:
    """When one entry of the log was decided, and its facts that the board uses, with their index. Raises DecodeError."""
    entry = codec.decode(envelope)
    if not isinstance(entry, log_pb2.Decided):
        raise DecodeError(f"{envelope.subject}: expected peyvand.routing.v1.Decided, found {envelope.type}")
    facts: list[tuple[int, RoutingFact]] = []
    for index, item in enumerate(entry.facts):
        name = item.WhichOneof("fact")
        kind = _ROUTING_FIELDS.get(name) if name else None
        if name is not None and kind is not None:
            facts.append((index, codec.to_struct(getattr(item, name), kind)))
    return entry.at_us, facts


# The feed


class Viewer:
    """One open wallboard: a slot with the newest frame."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self._frame: bytes | None = None
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, frame: bytes) -> None:
        """Lay a frame in the slot, over one that was not taken."""
        if self._frame is not None:
            FRAMES_SKIPPED.labels(self.tenant).inc()
        self._frame = frame
        self._changed.set()

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._changed.set()

    async def take(self, timeout_s: float) -> bytes | None:
        """The newest frame not taken yet; None when there was none in time or the stream is over (``closed``)."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()
        frame, self._frame = self._frame, None
        return None if self._closed else frame

    @property
    def closed(self) -> bool:
        return self._closed


class _Tenant:
    projection: LiveProjection
    log_end: int | None
    position: int

    def __init__(self, center: CenterInfo) -> None:
        self.center = center
        self.viewers: set[Viewer] = set()
        self.task: asyncio.Task[None] | None = None
        self.begin(None)

    def begin(self, log_end: int | None) -> None:
        """Start anew from nothing; frames begin when the log was read up to ``log_end``."""
        self.projection = LiveProjection(self.center)
        self.log_end = log_end
        self.position = 0

    @property
    def caught_up(self) -> bool:
        return self.log_end is not None and self.position >= self.log_end


class LiveFeed:
    """Boards of all tenants, from the bus to whoever looks.

    ``source_ok`` tells whether the bus is connected now.
    """

    def __init__(
        self, clock: Clock, *, source_ok: Callable[[], bool] = lambda: True, frame_s: float = FRAME_S
    ) -> None:
        self._clock = clock
        self._source_ok = source_ok
        self._frame_s = frame_s
        self._bus: Bus | None = None
        self._tenants: dict[str, _Tenant] = {}
        self._frame_no = 0
        self._frames: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self, bus: Bus, centers: Iterable[Center]) -> None:
        """Begin to follow the bus for these centers; returns at once, the past is read in the background."""
        self._bus = bus
        self.reconfigure(centers)
        self._frames = asyncio.create_task(self._run_frames(), name="live-frames")

    def reconfigure(self, centers: Iterable[Center]) -> None:
        """Use these documents from now on: new tenants are followed, names and targets change at the next frame."""
        assert self._bus is not None, "start() comes first"
        for center in centers:
            info = center_info(center)
            tenant = self._tenants.get(info.tenant)
            if tenant is None:
                tenant = self._tenants[info.tenant] = _Tenant(info)
                tenant.task = asyncio.create_task(
                    self._keep_following(self._bus, tenant), name=f"live-{info.tenant}"
                )
            elif tenant.center.revision != info.revision:
                tenant.center = info
                tenant.projection.reconfigure(info)

    async def stop(self) -> None:
        """Stop following and end all streams."""
        self._stopped = True
        tasks = [t for t in (*(x.task for x in self._tenants.values()), self._frames) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for tenant in self._tenants.values():
            for viewer in tenant.viewers:
                viewer.close()

    def admit(self, tenant: str) -> None:
        """Raise Refused for a tenant without a center, or when too many boards are open."""
        if tenant not in self._tenants or self._stopped:
            raise Refused("unknown-tenant", f"no center of the tenant {tenant!r} is loaded here", status=404)
        if self.viewers >= MAX_VIEWERS:
            raise Refused("too-many-viewers", f"{MAX_VIEWERS} wallboards are open already", status=503)

    @property
    def viewers(self) -> int:
        """How many boards are open."""
        return sum(len(t.viewers) for t in self._tenants.values())

    def open(self, tenant: str) -> Viewer:
        """A new viewer of an admitted tenant."""
        viewer = Viewer(tenant)
        viewers = self._tenants[tenant].viewers
        viewers.add(viewer)
        VIEWERS.labels(tenant).set(len(viewers))
        return viewer

    def close(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        viewer.close()
        viewers = self._tenants[viewer.tenant].viewers
        viewers.discard(viewer)
        VIEWERS.labels(viewer.tenant).set(len(viewers))

    async def _keep_following(self, bus: Bus, tenant: _Tenant) -> None:
        """Follow for ever; after a failure begin again from nothing, since what was missed is not known."""
        delay_s = _RETRY_S
        while True:
            try:
                await self._follow(bus, tenant)
            except BusUnavailable as e:
                log.warning("live_waits_for_bus", tenant=tenant.center.tenant, error=str(e))
            except Exception:
                log.exception("live_follow_failed", tenant=tenant.center.tenant, again_in_s=delay_s)
            tenant.begin(None)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RETRY_MAX_S)

    async def _follow(self, bus: Bus, tenant: _Tenant) -> None:
        name = tenant.center.tenant
        newest = await bus.last(subjects.log(name))
        tenant.begin(newest.stream_seq if newest else 0)

        async def on_routing(envelope: Envelope) -> None:
            self._routing(tenant, envelope)

        async def on_ivr(envelope: Envelope) -> None:
            self._ivr(tenant, envelope)

        async with contextlib.AsyncExitStack() as stack:
            routing = await bus.follow([subjects.log(name)], on_routing, after_seq=0)
            stack.push_async_callback(routing.stop)
            since_us = self._clock.now_us() - LOOK_BACK_US
            pattern = subjects.any_fact(tenant=name, service="ivr")
            ivr = await bus.follow([pattern], on_ivr, after_seq=None, since_us=since_us)
            stack.push_async_callback(ivr.stop)
            log.info("live_follows", tenant=name, log_end=tenant.log_end)
            waits = [asyncio.ensure_future(s.wait()) for s in (routing, ivr)]
            try:
                # Neither ends by itself: the first that does has failed.
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for ended in waits:
                    if ended.done():
                        ended.result()
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    def _routing(self, tenant: _Tenant, envelope: Envelope) -> None:
        try:
            at_us, facts = read_routing(envelope)
        except DecodeError as e:
            self._refused(envelope, e)
        else:
            for index, fact in facts:
                position = Position(envelope.stream_seq, index)
                tenant.projection.handle("routing", position, fact, self._not_ahead(at_us))
        tenant.position = envelope.stream_seq

    def _ivr(self, tenant: _Tenant, envelope: Envelope) -> None:
        try:
            fact = read_ivr(envelope)
        except DecodeError as e:
            self._refused(envelope, e)
            return
        if fact is not None:
            at_us = self._not_ahead(envelope.time_us)
            tenant.projection.handle("ivr", Position(envelope.stream_seq), fact, at_us)

    def _refused(self, envelope: Envelope, error: DecodeError) -> None:
        FACTS_REFUSED.inc()
        log.warning("live_fact_refused", fact_id=envelope.id, subject=envelope.subject, error=str(error))

    def _not_ahead(self, at_us: int) -> int:
        """A fact from a clock that is ahead of ours counts as of now: counts in the future would be seen by nobody."""
        return min(at_us, self._clock.now_us())

    async def _run_frames(self) -> None:
        while True:
            await asyncio.sleep(self._frame_s)
            try:
                self.send_frames()
            except Exception:
                # The page greys without frames; the process has reports to serve besides.
                log.exception("live_frame_failed")

    def send_frames(self) -> None:
        """Make one frame for each tenant that somebody looks at and lay it in its viewers' slots."""
        if not self._source_ok():
            return
        self._frame_no += 1
        for tenant in self._tenants.values():
            if tenant.viewers and tenant.caught_up:
                board = tenant.projection.snapshot(self._clock.now_us())
                frame = b"id: %d\ndata: %b\n\n" % (self._frame_no, msgspec.json.encode(board))
                for viewer in tenant.viewers:
                    viewer.put(frame)


# The routes

PAGES: Final = {"wallboard": "The live wallboard's page", "reports": "The history pages"}


def build_router(feed: LiveFeed) -> APIRouter:
    """The data at ``/v1/live`` (with a token)."""
    router = APIRouter(tags=["wallboard"])

    @router.get(
        "/v1/live",
        summary="The tenant's live board as server-sent events, one full frame a second",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def live(
        request: Request,
        principal: Annotated[Principal, Depends(require("supervisor", "analyst", "display"))],
    ) -> Response:
        feed.admit(principal.tenant)
        token = request.headers["authorization"].partition(" ")[2].strip()
        return StreamingResponse(
            _stream(feed, principal.tenant, lambda: _still_valid(request.app.state.auth_secret, token)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


def _still_valid(secret: str, token: str) -> bool:
    try:
        auth.check(secret, token)
    except Refused:
        return False
    return True


async def _stream(feed: LiveFeed, tenant: str, still_valid: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Frames as they come, a comment when none came for a while, the end when the token's time is over."""
    loop = asyncio.get_running_loop()
    # Opened here and not in the route: an answer that is never begun would leave its viewer behind.
    viewer = feed.open(tenant)
    next_check = loop.time() + TOKEN_CHECK_S
    try:
        # At once, so that the browser and any proxy between know that the stream stands.
        yield b"retry: 1000\n: stream begins\n\n"
        while True:
            frame = await viewer.take(COMMENT_S)
            if viewer.closed:
                return
            if loop.time() >= next_check:
                next_check = loop.time() + TOKEN_CHECK_S
                if not still_valid():
                    return
            yield frame if frame is not None else b": no news\n\n"
    finally:
        feed.close(viewer)
