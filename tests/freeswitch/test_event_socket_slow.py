"""A slow consumer on a real switch closes its own socket before it hurts anybody, and comes back.

What it prevents was measured once on this switch: a reader that stops lets 100 000 events (28.8 KB each, 2.7 GB) pile up in
FreeSWITCH, then freezes the event sockets of everybody for up to ten minutes. That is not repeated here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.freeswitch import slow_consumer
from tests.freeswitch.conftest import Rig
from tests.freeswitch.switch import ROOT

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]

FLOOD = 6_000
AT_ONCE = 100


class Consumer:
    """The process, and what it says."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.said: list[dict[str, Any]] = []

    async def says(self, what: str) -> dict[str, Any]:
        """The next line about ``what``."""
        assert self.child.stdout is not None
        async with asyncio.timeout(40):
            while line := await self.child.stdout.readline():
                self.said.append(json.loads(line))
                if self.said[-1]["what"] == what:
                    return self.said[-1]
        raise AssertionError(f"it ended and never said {what!r}: {self.said}")

    def tell(self, line: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\n".encode())


@asynccontextmanager
async def consumer(rig: Rig, how: str) -> AsyncIterator[Consumer]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.freeswitch.slow_consumer",
        how,
        rig.switch.address,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        made = Consumer(child)
        await made.says("up")
        yield made
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def numbered(number: object) -> str:
    filling = "x" * 500
    return f"sendevent CUSTOM\nEvent-Subclass: {slow_consumer.SUBCLASS}\nFlood-Number: {number}\nFilling: {filling}"


async def flood(rig: Rig) -> None:
    """Fire numbered events, as fast as one socket takes them (about a thousand a second)."""
    async with rig.switch.watch() as socket_:
        for start in range(0, FLOOD, AT_ONCE):
            await socket_.ask(*(numbered(n) for n in range(start, start + AT_ONCE)))


async def marker(rig: Rig) -> None:
    async with rig.switch.watch() as socket_:
        await socket_.ask(numbered("marker"))


async def bystander(rig: Rig) -> int:
    """A listener that reads: it gets every event, in order, none lost."""
    async with rig.switch.watch(f"CUSTOM {slow_consumer.SUBCLASS}") as watch:
        for n in range(FLOOD):
            async with asyncio.timeout(5):
                assert (await watch.next(Event_Name="CUSTOM"))["Flood-Number"] == str(n)
    return FLOOD


async def newcomers(rig: Rig, done: asyncio.Event) -> int:
    """New connections, one after the other, each authenticated and answered within the time that a frozen switch takes ten times."""
    answered = 0
    while not done.is_set():
        async with asyncio.timeout(3):
            assert "is ready" in await rig.switch.api("status")
        answered += 1
        await asyncio.sleep(0.05)
    return answered


async def while_others_work(rig: Rig, trouble: Callable[[], Awaitable[None]]) -> int:
    """Flood the switch, make ``trouble``, and have a bystander and newcomers all the while; how many of these were served."""
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(bystander(rig))
        coming = group.create_task(newcomers(rig, done))
        await asyncio.sleep(0.2)  # the bystander subscribes
        flooding = group.create_task(flood(rig))
        await trouble()
        await flooding
        assert await reading == FLOOD
        done.set()
    return coming.result()


def harm(rig: Rig) -> list[str]:
    """What FreeSWITCH says when a listener's queue was full."""
    log = (rig.switch.folder / "log" / "freeswitch.log").read_text(errors="replace")
    return [line for line in log.splitlines() if "illing listener" in line or "Lost [" in line]


async def test_a_slow_handler_closes_its_own_sockets_and_comes_back(rig: Rig) -> None:
    async with consumer(rig, "handler") as slow:
        down: dict[str, Any] = {}

        async def trouble() -> None:
            down.update(await slow.says("down"))

        served = await while_others_work(rig, trouble)
        assert down["reason"].startswith(f"backlog: more than {slow_consumer.MAX_BACKLOG} events wait")
        # What had been read was handled before anything new, and that was far from all: the rest was never queued for it.
        assert slow_consumer.MAX_BACKLOG < down["handled"] < FLOOD
        assert (await slow.says("up"))["channels"].strip() == "0 total."
        await marker(rig)
        assert (await slow.says("marker"))["handled"] > down["handled"]
        assert served > 20
    assert harm(rig) == []


async def test_a_blocked_reader_ends_its_process(rig: Rig) -> None:
    """The thread that reads stands still: its sockets can only be closed by the end of the process, which comes by itself."""
    async with consumer(rig, "hub") as stuck:

        async def trouble() -> None:
            stuck.tell("block")
            await stuck.says("blocked")
            async with asyncio.timeout(20):
                assert await stuck.child.wait() == 70

        assert await while_others_work(rig, trouble) > 20
    assert harm(rig) == []
