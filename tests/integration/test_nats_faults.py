"""The bus while a real server is away, killed, or new: nothing is lost or doubled, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.bus import Envelope, Outgoing, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.jetstream import JetStream
from services.common.bus.migrate import apply, migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable, ConfigError, ContractError
from services.common.ports import free_port
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.log_pb2 import Decided
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition, Position

pytestmark = pytest.mark.nats

MakeNats = Callable[..., NatsBus]


def gone(number: int) -> Outgoing:
    contact = f"c-{number}"
    return Outgoing(
        subjects.fact("demo", "queue", "contact", "gone"),
        ContactGone(contact_id=contact, state="waiting", at_us=1),
        f"{contact}:gone",
        "demo",
        correlation_id=contact,
    )


class Collector:
    def __init__(self) -> None:
        self.contacts: list[str] = []
        self._more = asyncio.Event()

    async def one(self, envelope: Envelope) -> None:
        self.contacts.append(envelope.correlation_id)
        self._more.set()

    async def many(self, batch: list[Envelope]) -> None:
        for envelope in batch:
            await self.one(envelope)

    async def has(self, *contacts: str) -> None:
        async with asyncio.timeout(40):
            while not set(contacts) <= set(self.contacts):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, port: int) -> EmbeddedNats:
    return EmbeddedNats(tmp_path / "nats", port=port)


@pytest.fixture
async def make(server: EmbeddedNats, port: int) -> AsyncIterator[MakeNats]:
    made: list[NatsBus] = []

    def make_bus(**more: object) -> NatsBus:
        bus = NatsBus(f"nats://127.0.0.1:{port}", source="/test/1", clock=SystemClock(), **more)  # type: ignore[arg-type]
        bus.start()
        made.append(bus)
        return bus

    yield make_bus
    for bus in made:
        await bus.stop()
    server.stop()


async def up(server: EmbeddedNats, bus: NatsBus) -> None:
    server.start()
    await bus.connected(20)
    await apply(JetStream(bus.connection), replicas=1)


async def test_nats_everything_waits_for_a_server_that_comes_later(
    server: EmbeddedNats, make: MakeNats
) -> None:
    states: list[tuple[str, bool]] = []
    ready = asyncio.Event()

    def on_ready(part: str, ok: bool, detail: str) -> None:
        states.append((part, ok))
        if part == "nats" and ok:
            ready.set()

    bus = make(on_ready=on_ready)
    with pytest.raises(BusUnavailable):
        await bus.append(gone(0), timeout_s=0.2)
    consumed, followed = Collector(), Collector()
    await bus.consume("late", [subjects.any_fact("demo", "queue")], consumed.many)
    await bus.follow([subjects.any_fact("demo", "queue")], followed.one, after_seq=0)

    async def position(request: Envelope) -> Position:
        return Position(contact_id="c-1", position=1)

    question = subjects.rpc("demo", "routing", "contact", "position")
    await bus.serve(question, position, queue="routing")
    appending = asyncio.create_task(bus.append(gone(1)))
    await up(server, bus)
    await appending
    await consumed.has("c-1")
    await followed.has("c-1")
    assert (await bus.request(question, AskPosition(contact_id="c-1"), timeout_s=10)).type.endswith(
        "Position"
    )
    await asyncio.wait_for(ready.wait(), 20)
    assert states[0] == ("nats", False)


async def test_nats_a_killed_server_costs_nothing(
    server: EmbeddedNats, make: MakeNats, port: int, tmp_path: Path
) -> None:
    bus = make()
    await up(server, bus)
    consumed, followed = Collector(), Collector()
    await bus.consume("reader", [subjects.any_fact("demo", "queue")], consumed.many, batch=16)
    await bus.follow([subjects.any_fact("demo", "queue")], followed.one, after_seq=0)
    total = 400
    appending = [asyncio.create_task(bus.append(gone(n))) for n in range(total // 2)]
    await consumed.has("c-0")
    server.stop(kill=True)
    appending += [asyncio.create_task(bus.append(gone(n))) for n in range(total // 2, total)]
    tail = asyncio.create_task(
        bus.append_log(
            subjects.log("demo"),
            Outgoing(subjects.log("demo"), Decided(epoch=1, at_us=1), "e-1", "demo"),
            expected_seq=0,
        )
    )
    await asyncio.sleep(0.3)
    server.start()
    await asyncio.gather(*appending)
    assert await tail > 0
    everything = {f"c-{n}" for n in range(total)}
    await consumed.has(*everything)
    await followed.has(*everything)
    assert len(followed.contacts) == total, "a follower got a message twice"
    stored = [e.correlation_id async for e in bus.read_log(subjects.any_fact("demo", "queue"), after_seq=0)]
    assert sorted(stored) == sorted(everything)
    assert stored == followed.contacts


async def test_nats_a_message_of_a_vanished_process_comes_to_another(
    server: EmbeddedNats, make: MakeNats
) -> None:
    first = make(ack_wait_s=1.0)
    await up(server, first)
    second = make(ack_wait_s=1.0)
    took = asyncio.Event()

    async def stuck(batch: list[Envelope]) -> None:
        took.set()
        await asyncio.Event().wait()

    await first.append(gone(1))
    await first.consume("shared", [subjects.any_fact("demo", "queue")], stuck)
    await asyncio.wait_for(took.wait(), 20)
    other = Collector()
    await second.consume("shared", [subjects.any_fact("demo", "queue")], other.many)
    await asyncio.sleep(2.5)
    assert other.contacts == [], "a message in hand was given to somebody else"
    await first.connection.stop()  # as when a process is killed: nothing is said about the message
    await other.has("c-1")


async def test_nats_a_consumer_that_was_deleted_is_made_again(server: EmbeddedNats, make: MakeNats) -> None:
    bus = make()
    await up(server, bus)
    consumed = Collector()
    await bus.consume("lost", [subjects.any_fact("demo", "queue")], consumed.many)
    await bus.append(gone(1))
    await consumed.has("c-1")
    await JetStream(bus.connection).api("CONSUMER.DELETE.CC_EVENTS.lost", {}, 5.0)
    await bus.append(gone(2))
    await consumed.has("c-2")


async def test_nats_a_reader_that_was_deleted_goes_on_without_a_gap(
    server: EmbeddedNats, make: MakeNats
) -> None:
    bus = make()
    await up(server, bus)
    followed = Collector()
    await bus.follow([subjects.any_fact("demo", "queue")], followed.one, after_seq=0)
    await bus.append(gone(1))
    await followed.has("c-1")
    jetstream = JetStream(bus.connection)
    for name in (await jetstream.api("CONSUMER.NAMES.CC_EVENTS", {}, 5.0))["consumers"]:
        await jetstream.api(f"CONSUMER.DELETE.CC_EVENTS.{name}", {}, 5.0)
    await bus.append(gone(2))
    await followed.has("c-2")
    assert followed.contacts == ["c-1", "c-2"]


async def test_nats_missing_streams_are_named(server: EmbeddedNats, make: MakeNats) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    def on_ready(part: str, ok: bool, detail: str) -> None:
        if "streams are missing" in detail:
            told.put_nowait(detail)

    server.start()
    make(on_ready=on_ready)
    detail = await asyncio.wait_for(told.get(), 20)
    assert "CC_EVENTS" in detail
    assert "services.common.bus.migrate" in detail


async def test_nats_a_message_too_large_is_refused_not_repeated(server: EmbeddedNats, make: MakeNats) -> None:
    bus = make()
    await up(server, bus)
    fact = Outgoing(
        gone(1).subject, ContactGone(contact_id="c" * (2 << 20), state="waiting", at_us=1), "big", "demo"
    )
    with pytest.raises(Exception, match="more than NATS takes"):
        await asyncio.wait_for(bus.append(fact), 10)


@pytest.mark.parametrize("size", [70_000, 200_000])
async def test_nats_headers_too_large_are_refused_not_repeated(
    server: EmbeddedNats, make: MakeNats, size: int
) -> None:
    """The contact's id is in a header; repeated for ever, it would hold up every fact behind it."""
    bus = make()
    await up(server, bus)
    contact = "c" * size
    fact = Outgoing(
        gone(1).subject, ContactGone(contact_id=contact, state="waiting", at_us=1), "big", "demo", contact
    )
    with pytest.raises(ContractError):
        await asyncio.wait_for(bus.append(fact), 10)


# --------------------------------------------------------------------------------------------------------------- migration
async def test_nats_migration_can_be_repeated_and_refuses_what_loses_facts(
    server: EmbeddedNats, make: MakeNats, port: int
) -> None:
    bus = make()
    server.start()
    await bus.connected(20)
    url = f"nats://127.0.0.1:{port}"
    assert all(line.endswith(": create") for line in await migrate(url, replicas=1))
    assert all(line.endswith(": keep") for line in await migrate(url, replicas=1))
    jetstream = JetStream(bus.connection)
    config = (await jetstream.api("STREAM.INFO.CC_DLQ", {}, 5.0))["config"]
    await jetstream.api("STREAM.UPDATE.CC_DLQ", config | {"max_age": 3_600_000_000_000}, 5.0)
    assert "CC_DLQ: update" in await migrate(url, replicas=1)
    await jetstream.api("STREAM.UPDATE.CC_DLQ", config | {"subjects": ["cc.dlq.>", "mine.>"]}, 5.0)
    with pytest.raises(ConfigError, match=r"CC_DLQ stores mine\.>"):
        await migrate(url, replicas=1)


async def test_nats_migrations_at_the_same_time_agree(server: EmbeddedNats, port: int) -> None:
    server.start()
    url = f"nats://127.0.0.1:{port}"
    try:
        await asyncio.gather(*(migrate(url, replicas=1) for _ in range(3)))
    finally:
        server.stop()


# ---------------------------------------------------------------------------------------------------------------- embedded
def test_nats_embedded_folder_belongs_to_one_server(server: EmbeddedNats, tmp_path: Path) -> None:
    server.start()
    try:
        with pytest.raises(ConfigError, match="in use by another nats-server"):
            EmbeddedNats(tmp_path / "nats").start()
    finally:
        server.stop()
    again = EmbeddedNats(tmp_path / "nats")
    assert again.start().startswith("nats://127.0.0.1:")
    again.stop()


def test_nats_embedded_says_that_the_port_is_taken(server: EmbeddedNats, tmp_path: Path, port: int) -> None:
    server.start()
    try:
        with pytest.raises(ConfigError, match="address already in use"):
            EmbeddedNats(tmp_path / "other", port=port).start()
    finally:
        server.stop()


def test_nats_embedded_dies_with_its_parent(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.common.bus.embedded",
        "--dir",
        str(tmp_path / "nats"),
        "--port",
        "-1",
    ]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        ready = json.loads(parent.stdout.readline())
    descriptor = os.pidfd_open(ready["pid"])
    try:
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        assert _ended(descriptor, 10_000), "the server outlived its parent"
    finally:
        os.close(descriptor)


def test_nats_embedded_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.common.bus.embedded",
        "--dir",
        str(tmp_path / "nats"),
        "--port",
        "-1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        ready = json.loads(process.stdout.readline())
    descriptor = os.pidfd_open(ready["pid"])
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert _ended(descriptor, 0)
    finally:
        os.close(descriptor)


def _ended(descriptor: int, timeout_ms: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_ms))
