"""`make tail` on a real nats-server: stored and new facts, an end, a server that goes away, and nobody disturbed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from deploy.dev.stack import ROOT
from deploy.dev.tail import Start, Tail
from deploy.dev.tail_rows import Criteria, Row
from services.common.bus import Bus, Outgoing, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable
from services.common.ports import free_port
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition

pytestmark = pytest.mark.nats


def gone(tenant: str, number: int) -> Outgoing:
    return Outgoing(
        subjects.fact(tenant, "queue", "contact", "gone"),
        ContactGone(contact_id=f"c-{number}", state="waiting", at_us=1),
        f"{tenant}:{number}",
        tenant,
        correlation_id=f"c-{number}",
    )


class Seen:
    """What a tail shows and says."""

    def __init__(self) -> None:
        self.rows: asyncio.Queue[Row] = asyncio.Queue()
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def contact(self) -> str:
        return (await asyncio.wait_for(self.rows.get(), 20)).contact

    async def word(self) -> str:
        return await asyncio.wait_for(self.said.get(), 20)


async def connect(url: str) -> NatsBus:
    bus = NatsBus(url, source="/test/1", clock=SystemClock())
    bus.start()
    await bus.connected(10)
    return bus


async def ended(watching: asyncio.Task[None]) -> None:
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def test_tail_goes_on_after_nats_came_back(own_nats: EmbeddedNats, tmp_path: object) -> None:
    port = free_port()
    server = EmbeddedNats(own_nats._folder, port=port)
    url = server.start()
    seen = Seen()
    try:
        await migrate(url, replicas=1)
        bus = await connect(url)
        await bus.append(gone("demo", 1))
        tail = Tail(
            url,
            Criteria(tenant="demo"),
            seen.rows.put_nowait,
            say=seen.said.put_nowait,
            start=Start(ago_s=300),
        )
        watching = asyncio.create_task(tail.run())
        try:
            assert await seen.contact() == "c-1"
            server.stop(kill=True)
            assert "disconnected from NATS" in await seen.word()
            server.start()
            assert await seen.word() == "connected"
            await bus.append(gone("demo", 2))
            assert await seen.contact() == "c-2"
            assert seen.rows.empty()
        finally:
            await ended(watching)
            await bus.stop()
    finally:
        server.stop()


async def test_tail_disturbs_nobody_who_asks_whether_somebody_is_there(
    nats_server: EmbeddedNats, tenant: str
) -> None:
    bus = await connect(nats_server.url)
    seen = Seen()
    tail = Tail(nats_server.url, Criteria(tenant=tenant), seen.rows.put_nowait, say=seen.said.put_nowait)
    watching = asyncio.create_task(tail.run())
    try:
        live = subjects.live(tenant, "reporting", "board", "changed")
        message = ContactGone(contact_id="live", state="waiting", at_us=1)
        async with asyncio.timeout(20):
            while seen.rows.empty():  # until the tail listens: what is live is lost before
                await bus.connection.publish(
                    live, message.SerializeToString(), {"ce-type": "peyvand.queue.v1.ContactGone"}
                )
                await asyncio.sleep(0.05)
        assert (await seen.rows.get()).kind == "live"
        assert await bus.is_present("nobody-of-this-name", timeout_s=5) is False
        with pytest.raises(BusUnavailable, match="nobody serves"):
            await bus.request(
                subjects.rpc(tenant, "routing", "contact", "position"),
                AskPosition(contact_id="c"),
                timeout_s=0.3,
            )
    finally:
        await ended(watching)
        await bus.stop()


async def run_tail(url: str, *arguments: str) -> tuple[int, list[str]]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.dev.tail", "--url", url, *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(child.communicate(), 60)
    assert err == b"", err.decode()
    return child.returncode or 0, out.decode().splitlines()


async def test_tail_command_ends_after_what_is_stored(nats_server: EmbeddedNats, tenant: str) -> None:
    bus: Bus = await connect(nats_server.url)
    try:
        for number in range(5):
            await bus.append(gone(tenant, number))
    finally:
        await bus.stop()
    pick: Callable[[list[str]], list[str]] = lambda lines: [json.loads(line)["contact"] for line in lines]  # noqa: E731
    whole, some, none = await asyncio.gather(
        run_tail(nats_server.url, "--tenant", tenant, "--stop", "--json"),
        run_tail(
            nats_server.url, "--tenant", tenant, "--since", "10m", "--count", "2", "--json", "--kind", "evt"
        ),
        run_tail(nats_server.url, "--tenant", f"{tenant[:40]}-none", "--stop"),
    )
    assert whole[0] == some[0] == none[0] == 0
    assert pick(whole[1]) == ["c-0", "c-1", "c-2", "c-3", "c-4"]
    assert pick(some[1]) == ["c-0", "c-1"]
    assert none[1] == []
