"""Eight FreeSWITCH nodes in one process, one of them failing in each way: the other seven neither wait nor lose anything.

Nothing here measures time. The trouble of the eighth node goes on until the seven are done with all of their traffic, which a
thread that waited for the eighth would keep from happening.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.errors import SwitchUnavailable
from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from tests.integration.esl_peer import AUTH, REJECTION, Command, FakeSwitch, Peer, event
from tests.integration.esl_wire import Wire

EVENTS = 400
COMMANDS = 100


class Healthy:
    """One of the seven: numbered events come, commands go and come back, both in order and whole."""

    def __init__(self, hub: GeventHub, switch: FakeSwitch, name: str) -> None:
        self.switch = switch
        self.got: list[str] = []
        self.downs: list[str] = []
        self.up = asyncio.Event()
        self.all_here = asyncio.Event()
        self.client = SwitchClient(
            hub,
            SwitchAddress(name, "127.0.0.1", switch.port, "ClueCon", silence_s=60.0, heartbeat_s=0.0),
            events=["CHANNEL_ANSWER"],
            on_event=self._on_event,
            on_up=self._on_up,
            on_down=self.downs.append,
        )

    def _on_event(self, found: Event) -> None:
        self.got.append(found.unique_id)
        if len(self.got) == EVENTS:
            self.all_here.set()

    async def _on_up(self) -> None:
        self.up.set()

    async def work(self) -> None:
        """Have all traffic through."""
        peer = await self.switch.subscriber()
        for n in range(EVENTS):
            peer.send(event("CHANNEL_ANSWER", Unique_ID=f"u{n}", variable_filling="x" * 2000))
            if n % (EVENTS // COMMANDS) == 0:
                assert await self.client.api(f"n {n}") == f"+OK n {n}"
        await asyncio.wait_for(self.all_here.wait(), 60)
        assert self.got == [f"u{n}" for n in range(EVENTS)]
        assert self.downs == []


class Failing:
    """The eighth: a switch that a test makes fail, behind a wire that it may cut."""

    def __init__(self, hub: GeventHub, switch: FakeSwitch, wire: Wire) -> None:
        self.switch = switch
        self.wire = wire
        self.diary: list[str] = []
        self.news = asyncio.Event()
        self.handled = 0
        self.client = SwitchClient(
            hub,
            SwitchAddress("fs8", "127.0.0.1", wire.port, "ClueCon", silence_s=0.4, heartbeat_s=0.0),
            events=["CHANNEL_ANSWER"],
            on_event=self._on_event,
            on_up=self._on_up,
            on_down=lambda reason: self._note(f"down {reason.split(':')[0]}"),
            max_backlog=500,
            connect_timeout_s=0.5,
            retry_max_s=0.1,
        )

    def _note(self, entry: str) -> None:
        self.diary.append(entry)
        self.news.set()

    def _on_event(self, found: Event) -> None:
        self.handled += 1

    async def _on_up(self) -> None:
        self._note("up")

    async def until(self, entry: str) -> None:
        async with asyncio.timeout(15):
            while entry not in self.diary:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def seven_and_one() -> AsyncIterator[tuple[list[Healthy], Failing]]:
    hub = GeventHub()
    hub.start()
    switches = [FakeSwitch() for _ in range(8)]
    for switch in switches:
        await switch.start()
    wire = Wire(switches[7].port)
    await wire.start()
    seven = [Healthy(hub, switch, f"fs{n + 1}") for n, switch in enumerate(switches[:7])]
    eighth = Failing(hub, switches[7], wire)
    for client in (*(s.client for s in seven), eighth.client):
        await client.start()
    async with asyncio.timeout(10):
        for healthy in seven:
            await healthy.up.wait()
    await eighth.until("up")
    yield seven, eighth
    for client in (*(s.client for s in seven), eighth.client):
        await client.stop()
    await wire.stop()
    for switch in switches:
        await switch.stop()
    hub.stop()


async def flood(eighth: Failing, stop: asyncio.Event) -> None:
    """More than its handlers are let take: whoever subscribes is sent events without end."""
    block = b"".join(event("CHANNEL_ANSWER", Unique_ID=f"f{n}") for n in range(2_000))
    subscribers = eighth.switch.subscribers
    while not stop.is_set():
        if not subscribers.empty():
            peer = subscribers.get_nowait()
        if peer.writer.transport.get_write_buffer_size() < len(block):
            peer.send(block)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "trouble",
    ["silent", "slow", "closed", "no_listener", "denied", "rejected", "partitioned", "garbage", "flood"],
)
async def test_seven_nodes_do_not_notice_the_eighth(
    seven_and_one: tuple[list[Healthy], Failing], trouble: str
) -> None:
    seven, eighth = seven_and_one
    switch = eighth.switch
    stop = asyncio.Event()
    noise: list[asyncio.Task[None]] = []
    calls: list[asyncio.Task[str]] = []
    eighth.diary.clear()
    seen = f"down {trouble}"

    def dead(peer: Peer, command: Command) -> bytes:
        return b""

    match trouble:
        case "silent":
            switch.answer, switch.greeting = dead, b""
        case "slow":

            def late(peer: Peer, command: Command) -> bytes | None:
                asyncio.get_running_loop().call_later(0.3, peer.send, switch._usual(peer, command))
                return b""

            switch.answer, seen = late, ""
        case "closed":
            noise.append(asyncio.create_task(dropped_again_and_again(switch, stop)))
        case "no_listener":
            await eighth.wire.stop()
        case "denied":
            switch.password = "another"
            switch.drop()
        case "rejected":
            switch.greeting = REJECTION
            switch.drop()
        case "partitioned":
            eighth.wire.cut()
            seen = "down silent"
        case "garbage":
            for peer in switch.peers:
                peer.send(b"\x15\x03\x03\x00\x02\x02\x28 is no header\n\n")
            seen = "down broken"
        case "flood":
            noise.append(asyncio.create_task(flood(eighth, stop)))
            seen = "down backlog"
    # Who waits for the eighth waits alone.
    calls += [asyncio.create_task(eighth.client.api(f"lost {n}", timeout_s=30)) for n in range(20)]
    if seen:
        await eighth.until(seen)
    await asyncio.gather(*(healthy.work() for healthy in seven))
    stop.set()
    await asyncio.gather(*noise)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    # And the trouble of one is over for that one too when it ends.
    if trouble == "no_listener":
        return
    switch.answer, switch.greeting, switch.password = (lambda peer, command: None), AUTH, "ClueCon"
    eighth.wire.heal()
    switch.drop()
    async with asyncio.timeout(15):
        while True:
            try:
                assert await eighth.client.api("status") == "+OK status"
                return
            except SwitchUnavailable:  # a connection from before, or none yet
                await asyncio.sleep(0.05)


async def dropped_again_and_again(switch: FakeSwitch, stop: asyncio.Event) -> None:
    while not stop.is_set():
        switch.drop()
        await asyncio.sleep(0.01)
