"""A node that is silent, slow, restarted, partitioned, or refuses us: what the connection to it does in each case."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from services.common.config import Settings
from services.common.errors import SwitchTimeout, SwitchUnavailable
from services.common.esl import GeventHub, SwitchAddress, SwitchClient, node
from services.common.esl.transport import open_socket
from services.common.parts import start_hub
from services.common.runtime import Runtime
from tests.integration.esl_peer import REJECTION, Command, FakeSwitch, Peer, api_response, event
from tests.integration.esl_wire import Wire

SILENCE_S = 0.4
# A TLS server that is spoken to in the clear: handshake_failure, and then nothing.
TLS_ALERT = bytes.fromhex("15030300020228")
GARBAGE = TLS_ALERT + b"\n\n"


class Service:
    """What a service is: a client and a diary; the reasons for being down are kept whole."""

    def __init__(self, hub: GeventHub, port: int, **timing: float) -> None:
        self.diary: list[str] = []
        self.reasons: list[str] = []
        self._news = asyncio.Event()
        timing = {"silence_s": SILENCE_S, "heartbeat_s": 0.0, **timing}
        self.client = SwitchClient(
            hub,
            SwitchAddress("fs9", "127.0.0.1", port, "ClueCon", **timing),
            events=["CHANNEL_ANSWER"],
            on_event=lambda e: self._note(f"{e.name} {e.unique_id}"),
            on_up=self._up,
            on_down=self._down,
            connect_timeout_s=0.5,
            retry_max_s=0.1,
        )

    async def until(self, entry: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.diary.count(entry) < times:
                self._news.clear()
                await self._news.wait()

    def _note(self, entry: str) -> None:
        self.diary.append(entry)
        self._news.set()

    async def _up(self) -> None:
        self._note(f"up {self.client.core_uuid}")

    def _down(self, reason: str) -> None:
        self.reasons.append(reason)
        self._note(f"down {reason.split(':')[0]}")


def failures(kind: str) -> float:
    return REGISTRY.get_sample_value("peyvand_esl_failures_total", {"node": "fs9", "kind": kind}) or 0.0


@pytest.fixture
async def hub() -> AsyncIterator[GeventHub]:
    hub = GeventHub()
    hub.start()
    yield hub
    hub.stop()


@pytest.fixture
async def switch() -> AsyncIterator[FakeSwitch]:
    switch = FakeSwitch()
    await switch.start()
    yield switch
    await switch.stop()


async def test_a_node_that_falls_silent_is_unknown_and_found_again(
    hub: GeventHub, switch: FakeSwitch
) -> None:
    """Frozen: the connections stand, the kernel takes every byte, and nothing is ever answered."""
    service = Service(hub, switch.port)
    before = failures("silent")
    await service.client.start()
    await service.until("up core-1")
    switch.answer = lambda peer, command: b""
    switch.greeting = b""
    pending = asyncio.create_task(service.client.api("status", timeout_s=30))
    await service.until("down silent")
    with pytest.raises(SwitchUnavailable, match=r"asked, and nothing came for"):
        await pending
    assert not service.client.up
    assert failures("silent") > before
    switch.answer = lambda peer, command: None
    switch.greeting = b"Content-Type: auth/request\n\n"
    await service.until("up core-1", 2)
    assert await service.client.api("status") == "+OK status"
    await service.client.stop()


async def test_an_idle_node_is_asked_and_stays(hub: GeventHub, switch: FakeSwitch) -> None:
    """No calls at all: silence that answers is no silence. Both sockets are asked."""
    service = Service(hub, switch.port)
    await service.client.start()
    await service.until("up core-1")
    peers = list(switch.peers)
    while not switch.lines.empty():
        switch.lines.get_nowait()
    for _ in range(32):  # both sockets, for four times as long as silence is borne
        assert (await switch.sent("api ")).line == "api global_getvar core_uuid"
    assert service.diary == ["up core-1"]
    assert switch.peers == peers
    await service.client.stop()


async def test_answers_without_heartbeats_are_no_life(hub: GeventHub, switch: FakeSwitch) -> None:
    """A switch whose event thread hangs answers commands for ever. Beats that come keep it, and are not the service's events."""
    service = Service(hub, switch.port, heartbeat_s=0.4)
    await service.client.start()
    await service.until("up core-1")
    peer = await switch.subscriber()
    for n in range(20):  # almost twice as long as beats may be missed
        peer.send(event("HEARTBEAT"))
        peer.send(event("CHANNEL_ANSWER", Unique_ID=f"u{n}"))
        await asyncio.sleep(0.1)
    assert service.diary == ["up core-1", *(f"CHANNEL_ANSWER u{n}" for n in range(20))]
    await service.until("down silent")
    assert "no HEARTBEAT for 1." in service.reasons[0]
    assert "expected every 0.4 s (PEYVAND_SWITCH_HEARTBEAT_S" in service.reasons[0]
    await service.until("up core-1", 2)
    await service.client.stop()


async def test_a_slow_node_is_slow_and_not_silent(hub: GeventHub, switch: FakeSwitch) -> None:
    """Answers come after most of the time that silence is borne: callers time out, the connection stands, answers find their owners."""
    slow = False

    def answer(peer: Peer, command: Command) -> bytes | None:
        if not slow:
            return None
        reply = "core-1" if "core_uuid" in command.line else f"+OK {command.line[4:]}"
        asyncio.get_running_loop().call_later(SILENCE_S * 0.7, peer.send, api_response(reply))
        return b""

    switch.answer = answer
    service = Service(hub, switch.port)
    await service.client.start()
    await service.until("up core-1")
    slow = True
    for n in range(3):
        with pytest.raises(SwitchTimeout):
            await service.client.api(f"first {n}", timeout_s=0.1)
        assert await service.client.api(f"second {n}") == f"+OK second {n}"
    assert service.diary == ["up core-1"]
    await service.client.stop()


async def test_a_restarted_node_is_known_by_its_core_uuid(hub: GeventHub, switch: FakeSwitch) -> None:
    service = Service(hub, switch.port)
    await service.client.start()
    await service.until("up core-1")
    port = switch.port
    await switch.stop()
    await service.until("down closed")
    await service.until("down no_listener")
    again = FakeSwitch()
    again.core_uuid = "core-2"
    await again.start(port)
    await service.until("up core-2")
    assert service.client.core_uuid == "core-2"
    await service.client.stop()
    await again.stop()


async def test_a_partition_without_a_word_ends_in_the_same_core(hub: GeventHub, switch: FakeSwitch) -> None:
    """No RST, no FIN: the peer vanishes, and so do all attempts to reach it; then it is back as it was."""
    wire = Wire(switch.port)
    await wire.start()
    service = Service(hub, wire.port)
    await service.client.start()
    await service.until("up core-1")
    wire.cut()
    await service.until("down silent")
    accepted = switch.accepted
    wire.heal()
    await service.until("up core-1", 2)
    assert switch.accepted >= accepted + 2
    assert {entry for entry in service.diary if entry.startswith("down")} == {"down silent"}
    await service.client.stop()
    await wire.stop()


async def test_our_own_absence_is_not_the_nodes_silence(
    hub: GeventHub, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process was stopped or starved for longer than silence is borne: what came meanwhile stands in the kernel, unread."""
    service = Service(hub, switch.port, heartbeat_s=0.3)
    await service.client.start()
    await service.until("up core-1")
    peer = await switch.subscriber()
    away = asyncio.Event()
    loop = asyncio.get_running_loop()

    def absent() -> None:
        """In the hub's thread: nothing of gevent runs for three times the silence that is borne."""
        time.sleep(3 * SILENCE_S)
        loop.call_soon_threadsafe(away.set)

    hub.post(absent)
    await away.wait()
    for n in range(10):
        peer.send(event("HEARTBEAT"))
        peer.send(event("CHANNEL_ANSWER", Unique_ID=f"u{n}"))
        await service.until(f"CHANNEL_ANSWER u{n}")
        await asyncio.sleep(0.05)
    assert [entry for entry in service.diary if entry.startswith("down")] == []
    await service.client.stop()


@pytest.mark.parametrize(
    ("greeting", "kind", "says"),
    [
        (REJECTION, "rejected", "Access Denied, go away."),
        (GARBAGE, "broken", ""),
        (TLS_ALERT, "closed", "in the middle of a frame"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "closed", "in the middle of a frame"),
        (b"", "silent", "not ready within 0.5 s"),
    ],
    ids=["acl", "garbage", "tls", "http", "mute"],
)
async def test_a_peer_that_is_no_event_socket_is_named(
    hub: GeventHub, switch: FakeSwitch, greeting: bytes, kind: str, says: str
) -> None:
    switch.greeting = greeting
    service = Service(hub, switch.port)
    before = failures(kind)
    await service.client.start()
    await service.until(f"down {kind}")
    assert says in service.reasons[0]
    assert failures(kind) > before
    with pytest.raises(SwitchUnavailable, match=f"fs9: {kind}"):
        await service.client.api("status")
    await service.client.stop()


@pytest.mark.parametrize(
    ("how", "kind", "lowest", "highest"),
    [("closed", "no_listener", 0.0, 5.0), ("password", "denied", 1.0, 5.0), ("acl", "rejected", 1.0, 5.0)],
)
async def test_whoever_refuses_is_asked_again_after_a_growing_and_uneven_time(
    hub: GeventHub,
    switch: FakeSwitch,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    kind: str,
    lowest: float,
    highest: float,
) -> None:
    """Never in a busy loop, never in step with others, and told once, not once for a try."""
    spans: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        spans.append((low, high))
        return 0.01

    monkeypatch.setattr(node.random, "uniform", uniform)
    if how == "closed":
        await switch.stop()
    elif how == "password":
        switch.password = "another"
    else:
        switch.greeting = REJECTION
    service = Service(hub, switch.port)
    service.client._node._retry_max_s = 5.0
    await service.client.start()
    async with asyncio.timeout(10):
        while len(spans) < 8:
            await asyncio.sleep(0.01)
    assert service.diary == [f"down {kind}"]
    assert all(low == lowest and low < high <= highest for low, high in spans)
    highs = [high for _, high in spans]
    assert highs == sorted(highs)
    assert highs[-1] == highest
    await service.client.stop()


async def test_connections_that_do_not_last_are_no_success(
    hub: GeventHub, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that takes us, and drops us at once, time after time, is waited for longer each time."""
    highs: list[float] = []

    def uniform(low: float, high: float) -> float:
        highs.append(high)
        return 0.01

    monkeypatch.setattr(node.random, "uniform", uniform)
    service = Service(hub, switch.port)
    service.client._node._retry_max_s = 5.0
    await service.client.start()
    for n in range(1, 6):
        await service.until("up core-1", n)
        switch.drop()
        await service.until("down closed", n)
    await service.until("up core-1", 6)
    assert highs[:5] == [0.4, 0.8, 1.6, 3.2, 5.0]
    assert all(a < b for a, b in pairwise(highs))
    await service.client.stop()


async def test_one_socket_is_opened_after_the_other(hub: GeventHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """FreeSWITCH's listen backlog is 5: a node never has two connections of one client to take at once."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=5)
    listener.setblocking(False)
    monkeypatch.setattr(node.random, "uniform", lambda low, high: 60.0)  # one attempt is looked at
    service = Service(hub, listener.getsockname()[1])
    loop = asyncio.get_running_loop()
    await service.client.start()
    first, _ = await asyncio.wait_for(loop.sock_accept(listener), 5)
    await service.until("down silent")  # it is not greeted: half a second later it has given up, alone
    assert await loop.sock_recv(first, 10) == b""
    with pytest.raises(BlockingIOError):
        listener.accept()
    await service.client.stop()
    for sock in (first, listener):
        sock.close()


async def test_addresses_of_both_families_are_connected_to_without_a_lookup(
    hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*args: object, **more: object) -> list[object]:
        raise AssertionError("a literal address was looked up")

    monkeypatch.setattr("gevent.socket.getaddrinfo", lookup)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listener:
            port = listener.getsockname()[1]
            sock = await hub.call(open_socket, host, port, 1.0)
            assert sock.getpeername()[:2] == (host, port)
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            await hub.call(open_socket, host, port, 1.0)


async def test_a_name_with_several_addresses_is_tried_through(
    hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr("gevent.socket.getaddrinfo", lambda *a, **k: found)
        sock = await hub.call(open_socket, "fs.example", port, 1.0)
        assert sock.getpeername() == ("127.0.0.1", port)
        sock.close()


async def test_a_socket_that_meets_itself_found_nobody(
    hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback, a port of the range for outgoing connections, nobody listening: TCP may connect a socket to itself."""
    real = socket.socket.connect_ex

    def connect_ex(sock: socket.socket, address: tuple[str, int]) -> int:
        sock.bind(address)
        return real(sock, address)

    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await hub.call(open_socket, "127.0.0.1", port, 1.0)


async def test_a_dead_network_is_noticed_by_the_kernel_too(hub: GeventHub, switch: FakeSwitch) -> None:
    """The options that make it so, as they are on both sockets of a node."""
    service = Service(hub, switch.port)
    await service.client.start()
    await service.until("up core-1")
    links = [service.client._node._commands, service.client._node._events]
    for link in links:
        assert link is not None
        option = link.sock.getsockopt
        assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    await service.client.stop()


async def test_a_process_that_ends_takes_its_watch_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch looks every few seconds; a look after the thread was told to end failed the process that was ending."""
    looking = asyncio.Event()
    slow_join = threading.Thread.join

    async def stands_still(self: GeventHub, *, look_s: float = 3.0, looks: int = 3) -> None:
        while True:
            looking.set()
            self.post(lambda: None)
            await asyncio.sleep(0)

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        slow_join(thread, timeout)
        time.sleep(0.05)  # the loop turns meanwhile

    monkeypatch.setattr(GeventHub, "stands_still", stands_still)
    monkeypatch.setattr(threading.Thread, "join", join)
    rt = Runtime("test", Settings(auth_secret="s" * 32))
    start_hub(rt)
    await looking.wait()
    (thread, stop) = rt._closers[-1]
    assert thread == "event-socket"
    await stop()
    assert rt._exit_code == 0
    assert not rt._tasks


async def test_a_thread_that_stands_still_is_noticed(hub: GeventHub) -> None:
    """Nobody else can close its sockets; whoever looks ends the process. A pause is not yet a standstill."""
    watch = asyncio.create_task(hub.stands_still(look_s=0.2))
    for _ in range(4):
        hub.post(time.sleep, 0.3)  # misses one look
        await hub.call(lambda: None)
        await asyncio.sleep(0.25)
    assert not watch.done()
    hub.post(time.sleep, 1.5)
    await asyncio.wait_for(watch, 5)
