"""What stands between a test and the event socket: a service with a diary, a desk that takes calls, a call that goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from services.common.esl import Event, GeventHub, OutboundServer, OutboundSession, SwitchAddress, SwitchClient
from tests.integration.esl_peer import FakeCall, FakeSwitch, Peer, call_to


class Service:
    """What a service would be: a client, and a diary of what it was told."""

    def __init__(self, hub: GeventHub, switch: FakeSwitch) -> None:
        self.hub = hub
        self.switch = switch
        self.diary: list[str] = []
        self.news = asyncio.Event()
        self.on_up: Callable[[], Awaitable[None]] = self._nothing
        self.on_event: Callable[[Event], None] = lambda event: None
        self.client: SwitchClient = self.make()

    def make(
        self, *, max_backlog: int = 20_000, connect_timeout_s: float = 5.0, prompt: bool = False
    ) -> SwitchClient:
        self.client = SwitchClient(
            self.hub,
            SwitchAddress("fs1", "127.0.0.1", self.switch.port, "ClueCon"),
            events=["CHANNEL_ANSWER"],
            subclasses=["peyvand::waiting"],
            on_event=self._on_event,
            on_up=self._on_up,
            on_down=lambda reason: self._note(f"down {reason.split(':')[0]}"),
            max_backlog=max_backlog,
            connect_timeout_s=connect_timeout_s,
            retry_max_s=0.02,
            prompt=prompt,
        )
        return self.client

    async def until(self, entry: str, times: int = 1) -> None:
        async with asyncio.timeout(5):
            while self.diary.count(entry) < times:
                self.news.clear()
                await self.news.wait()

    async def started(self) -> Peer:
        await self.client.start()
        await self.until("up")
        return await self.switch.subscriber()

    def _note(self, entry: str) -> None:
        self.diary.append(entry)
        self.news.set()

    def _on_event(self, event: Event) -> None:
        self._note(f"{event.name} {event.unique_id}")
        self.on_event(event)

    async def _on_up(self) -> None:
        self._note("up?")
        await self.on_up()
        self._note("up")

    async def _nothing(self) -> None:
        return


class Desk:
    """A server whose sessions are handed to the test and end when it says so."""

    def __init__(self) -> None:
        self.sessions: asyncio.Queue[OutboundSession] = asyncio.Queue()
        self.work: Callable[[OutboundSession], Awaitable[None]] = self._wait
        self.release = asyncio.Event()
        self.server = OutboundServer(
            "127.0.0.1", 0, self._on_session, max_sessions=2, events=("DTMF", "RECORD_STOP")
        )
        self.port = 0

    async def session(self) -> OutboundSession:
        return await asyncio.wait_for(self.sessions.get(), 5)

    async def _on_session(self, session: OutboundSession) -> None:
        self.sessions.put_nowait(session)
        await self.work(session)

    async def _wait(self, session: OutboundSession) -> None:
        await self.release.wait()


async def greeted(call: FakeCall, desk: Desk) -> OutboundSession:
    """Take a call over; return the session that serves it."""
    await call.greet()
    return await desk.session()


@contextlib.asynccontextmanager
async def hub_running() -> AsyncIterator[GeventHub]:
    """The thread of the event socket."""
    hub = GeventHub()
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


@contextlib.asynccontextmanager
async def service_on_switch() -> AsyncIterator[Service]:
    """A service, not started yet, with a switch of its own."""
    switch = FakeSwitch()
    await switch.start()
    try:
        async with hub_running() as hub:
            service = Service(hub, switch)
            yield service
            await service.client.stop()
    finally:
        await switch.stop()


@contextlib.asynccontextmanager
async def desk_open() -> AsyncIterator[Desk]:
    """A desk that listens."""
    desk = Desk()
    desk.port = await desk.server.start()
    try:
        yield desk
    finally:
        await desk.server.stop(0)


@contextlib.asynccontextmanager
async def call_on_desk() -> AsyncIterator[tuple[FakeCall, OutboundSession, Desk]]:
    """A call that a desk has taken."""
    async with desk_open() as desk, call_to(desk.port) as call:
        yield call, await greeted(call, desk), desk
