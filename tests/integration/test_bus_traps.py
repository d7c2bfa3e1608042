"""The traps of nats-py 2.16 (and of the server), each shown to be there, and shown not to catch the bus.

The first half of a test uses plain nats-py: when it fails, the trap was mended and the cure may go. The second half uses the adapter,
and fails without its cure. Where showing the trap would take long (19 s of silence, 120 s until a ping), only the cure is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from services.common import ids
from services.common.bus import Envelope, Outgoing, subjects
from services.common.bus.arrival import Arrival
from services.common.bus.base import Unstored
from services.common.bus.connection import Connection
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.jetstream import JetStream
from services.common.bus.lease import Lease, Timing
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.bus.pull import Pull
from services.common.bus.streams import STREAMS
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition, Position

pytestmark = pytest.mark.nats

Join = Callable[..., Awaitable[NatsBus]]


def gone(tenant: str, contact: str) -> Outgoing:
    message = ContactGone(contact_id=contact, state="waiting", at_us=1)
    return Outgoing(
        subjects.fact(tenant, "queue", "contact", "gone"), message, f"{tenant}:{contact}", tenant, contact
    )


async def ignore(error: Exception) -> None:
    """The callback for errors of plain clients."""


@asynccontextmanager
async def plain(url: str, **more: Any) -> AsyncIterator[Client]:
    """A client as nats-py makes it."""
    client = await nats.connect(url, **{"error_cb": ignore, **more})
    try:
        yield client
    finally:
        with suppress(Exception):
            await asyncio.wait_for(client.close(), 2)


@pytest.fixture
async def join(nats_server: EmbeddedNats) -> AsyncIterator[Join]:
    """Makes buses on the shared server, or on the one at ``url``."""
    made: list[NatsBus] = []

    async def make(url: str = "", **more: Any) -> NatsBus:
        bus = NatsBus(url or nats_server.url, source="/test/1", clock=SystemClock(), **more)
        bus.start()
        made.append(bus)
        await bus.connected(10)
        return bus

    yield make
    for bus in made:
        await bus.stop()


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A server of the test's own on a fixed port, with all streams."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    server = EmbeddedNats(tmp_path / "nats", port=port)
    asyncio.run(migrate(server.start(), replicas=1))
    try:
        yield server
    finally:
        with suppress(Exception):
            server.thaw()
        server.stop()


async def test_t01_a_lease_that_ended_by_the_servers_clock_cannot_be_created_again(
    nats_server: EmbeddedNats, join: Join
) -> None:
    """T1: after the end of a key's time its marker stays: ``get`` returns an entry without a value, ``create`` is refused."""
    bucket = f"t1-{ids.new_id()}"
    async with plain(nats_server.url) as client:
        kv = await client.jetstream().create_key_value(bucket=bucket, history=1, limit_marker_ttl=30.0)
        await kv.create("shard", b"owner", msg_ttl=1)
        async with asyncio.timeout(10):
            while (entry := await kv.get("shard")).value:
                await asyncio.sleep(0.05)
        assert not entry.value, "nats-py: a key that ended is not there any more"
        with pytest.raises(nats.js.errors.KeyWrongLastSequenceError):
            await kv.create("shard", b"next owner")
        await client.jetstream().delete_key_value(bucket)
    # Leases end by the observer's clock; what is stored does not vanish, and is replaced by compare-and-set.
    bus, other = await join(), await join()
    service, timing = f"t1-{ids.new_id()}", Timing(lease_s=0.3, poll_s=0.02)
    first = Lease(bus, SystemClock(), service, "0", "one", timing)
    await first._take(0)
    await other.announce("one")  # present, so that only the time counts
    second = Lease(other, SystemClock(), service, "0", "two", timing)
    await asyncio.wait_for(second.acquire(), 10)
    assert second.epoch > first.epoch
    await second.release()


async def test_t02_a_renewed_lease_still_ends(nats_server: EmbeddedNats, join: Join) -> None:
    """T2: ``update`` drops a key's time without a word: a lease that was renewed once lasts for ever."""
    bucket = f"t2-{ids.new_id()}"
    async with plain(nats_server.url) as client:
        kv = await client.jetstream().create_key_value(bucket=bucket, history=1, limit_marker_ttl=1.0)
        revision = await kv.create("shard", b"owner", msg_ttl=5)
        await kv.update("shard", b"owner", last=revision)
        stored = await client.jetstream().get_last_msg(f"KV_{bucket}", "$KV." + bucket + ".shard")
        assert "Nats-TTL" not in (stored.headers or {}), "nats-py: update keeps the time"
        await client.jetstream().delete_key_value(bucket)
    bus, other = await join(), await join()
    service, timing = f"t2-{ids.new_id()}", Timing(lease_s=0.5, poll_s=0.02)
    first = Lease(bus, SystemClock(), service, "0", "one", timing)
    await other.announce("one")
    await first.acquire()
    seen = await other.last(subjects.lease(service, "0"))
    async with asyncio.timeout(10):
        while (renewed := await other.last(subjects.lease(service, "0"))) == seen:
            await asyncio.sleep(0.02)
    assert renewed is not None
    await bus.connection.stop()  # renewed once, and then gone without a word
    second = Lease(other, SystemClock(), service, "0", "two", timing)
    await asyncio.wait_for(second.acquire(), 10)
    await second.release()


async def test_t03_what_was_given_up_is_not_sent_later(restartable: EmbeddedNats, join: Join) -> None:
    """T3: what is published without a connection waits in a buffer, and is sent after its caller was told that it failed."""
    bus = await join(restartable.url)
    async with plain(restartable.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05) as client:
        url = restartable.url
        restartable.stop()
        async with asyncio.timeout(10):
            while client.is_connected or bus.connection._client.is_connected:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        with pytest.raises(Exception):  # noqa: B017, PT011 -- whichever timeout it is
            await client.request(gone("t3", "plain").subject, b"late", timeout=0.2)
        with pytest.raises(BusUnavailable):
            await bus.append(gone("t3", "ours"), timeout_s=0.2)
        with pytest.raises(BusUnavailable):
            await bus.request(
                subjects.rpc("t3", "routing", "x", "y"), AskPosition(contact_id="c"), timeout_s=0.2
            )
        assert await bus.connection.publish("t3.direct", b"late") is False
        with pytest.raises(
            nats.errors.OutboundBufferLimitError
        ):  # in the moment before the loss is noticed, too
            await bus.connection._client.publish(gone("t3", "direct").subject, b"later")  # type: ignore[union-attr]
        restartable.start()
        assert restartable.url == url
        await bus.connected(10)
        async with asyncio.timeout(10):
            while not client.is_connected:
                await asyncio.sleep(0.01)
        await client.flush()
        stored: list[bytes] = []
        jetstream = JetStream(bus.connection)
        async with asyncio.timeout(10):
            while not stored:
                await asyncio.sleep(0.05)
                end = await jetstream.end_of("CC_EVENTS", 2.0)
                stored = [e.data async for e in bus.read_log(subjects.any_fact("t3", "queue"), after_seq=0)]
        assert stored == [b"late"], "nats-py sends it no more; or ours came too"
        assert end == 1


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_t04_a_silent_peer_with_unsent_data_is_given_up(restartable: EmbeddedNats, join: Join) -> None:
    """T4: the reconnection waits until the old socket is closed, which waits until everything is sent: to a dead machine, for minutes.

    The kernel gives up the socket after TCP_USER_TIMEOUT; it is set on the first socket and on every later one.
    """
    bus = await join(restartable.url)

    def timeout_ms() -> int:
        transport: Any = bus.connection._client._transport  # type: ignore[union-attr]
        sock = transport._io_writer.get_extra_info("socket")
        return int(sock.getsockopt(socket.IPPROTO_TCP, 18))

    assert timeout_ms() == 4000
    async with plain(restartable.url) as client:
        sock = client._transport._io_writer.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, 18) == 0, "nats-py sets a limit by itself"
    first = bus.connection._client._transport._io_writer  # type: ignore[union-attr]
    restartable.stop(kill=True)
    restartable.start()
    async with asyncio.timeout(10):
        while (
            bus.connection._client._transport._io_writer is first or not bus.connection._client.is_connected
        ):  # type: ignore[union-attr]
            await asyncio.sleep(0.02)
        while timeout_ms() != 4000:  # Set by a task that follows the reconnection.
            await asyncio.sleep(0.02)


async def test_t05_a_dead_read_loop_is_noticed(nats_server: EmbeddedNats, join: Join) -> None:
    """T5: an exception in the callback for errors ends the reading of the socket, and ``is_connected`` stays true.

    Ours raises nothing, whatever the loggers and readiness hooks do; and if reading ends all the same, pings find out.
    """

    async def raises(error: Exception) -> None:
        raise RuntimeError("a defect in a callback")

    async with plain(nats_server.url, error_cb=raises) as client:
        subject = f"t5.{ids.new_id()}"

        async def slow(message: Msg) -> None:
            await asyncio.sleep(0.5)

        await client.subscribe(subject, cb=slow, pending_msgs_limit=1)
        for _ in range(5):
            await client.publish(subject, b"")
        with suppress(Exception):
            await client.flush(timeout=1)
        async with asyncio.timeout(5):
            while not client._reading_task.done():
                await asyncio.sleep(0.01)
        assert client.is_connected, "nats-py notices that it does not read any more"
        with suppress(BaseException):
            client._reading_task.exception()

    bus = await join()
    assert (
        bus.connection._client.options["ping_interval"],
        bus.connection._client.options["max_outstanding_pings"],
    ) == (2, 2)  # type: ignore[union-attr]
    for error in (nats.errors.SlowConsumerError("s", None, 1, None), OSError("x"), RuntimeError()):  # type: ignore[arg-type]
        await bus.connection._error(error)
    reading = bus.connection._client._reading_task  # type: ignore[union-attr]
    reading.cancel()  # as after an exception in it
    assert bus.connection._client.is_connected  # type: ignore[union-attr]
    await asyncio.wait_for(_works_again(bus), 20)


async def _works_again(bus: NatsBus) -> None:
    while True:
        with suppress(BusUnavailable):
            await bus.last(subjects.fact("t5", "queue", "contact", "gone"), timeout_s=0.5)
            return


async def test_t06_connecting_does_not_hang_and_does_not_give_up(tmp_path: Path) -> None:
    """T6: ``connect`` to a dead server neither fails nor returns; a client without attempts left is closed for good."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(
            nats.connect(
                f"nats://127.0.0.1:{port}", error_cb=ignore, allow_reconnect=False, reconnect_time_wait=0.1
            ),
            0.7,
        )
    states: list[tuple[bool, str]] = []
    bus = NatsBus(
        f"nats://127.0.0.1:{port}",
        source="/test/1",
        clock=SystemClock(),
        on_ready=lambda part, ok, detail: states.append((ok, detail)),
    )
    bus.start()
    server = EmbeddedNats(tmp_path / "nats", port=port)
    try:
        with pytest.raises(Unstored):
            await bus.connected(0.5)
        async with asyncio.timeout(10):
            while not any("does not answer" in detail for _, detail in states):
                await asyncio.sleep(0.02)
        server.start()
        await bus.connected(10)
        client = bus.connection._client
        assert client is not None
        assert client.options["max_reconnect_attempts"] == -1
        server.stop(kill=True)
        await asyncio.sleep(1.0)  # several attempts
        assert not client.is_closed
        server.start()
        await bus.connected(10)
    finally:
        await bus.stop()
        server.stop()


async def test_t06_a_client_that_is_closed_all_the_same_ends_the_process(
    nats_server: EmbeddedNats, join: Join
) -> None:
    """T6: nothing opens a closed client again; the process is told, so that it ends and is started again."""
    told = asyncio.Event()
    bus = await join(on_closed=lambda reason: told.set())
    await bus.connection._client.close()  # type: ignore[union-attr]
    await asyncio.wait_for(told.wait(), 5)


async def test_t07_a_follower_whose_reader_died_goes_on_at_once(
    join: Join, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T7: ordered consumers and watches live in one node's memory; when it dies they are silent for 19 s.

    Ours expect a heartbeat twice a second. A node's death itself is in test_bus_cluster.py; here whatever the first reader would
    have said is lost.
    """
    speaking: set[Pull] = set()
    dead: set[Pull] = set()
    truth = Pull._on_arrival

    def on_arrival(self: Pull, message: Arrival) -> None:
        speaking.add(self)
        if self not in dead:
            truth(self, message)

    monkeypatch.setattr(Pull, "_on_arrival", on_arrival)
    bus = await join()
    got: asyncio.Queue[str] = asyncio.Queue()

    async def handler(envelope: Envelope) -> None:
        got.put_nowait(envelope.correlation_id)

    await bus.append(gone(tenant, "c-1"))
    await bus.follow([subjects.any_fact(tenant, "queue")], handler, after_seq=0)
    assert await asyncio.wait_for(got.get(), 10) == "c-1"
    dead |= speaking
    await bus.append(gone(tenant, "c-2"))
    assert await asyncio.wait_for(got.get(), 10) == "c-2"
    assert speaking > dead


async def test_t08_no_second_form_of_acknowledgements(
    nats_server: EmbeddedNats, tmp_path: Path, tenant: str
) -> None:
    """T8: with ``js_ack_fc_v2`` ordered consumers and watches of nats-py end their own read loop.

    Our servers pin it to false; and on one that has it on, the bus works all the same.
    """
    config = next(iter(nats_server._folder.glob("nats.conf"))).read_text()
    assert "js_ack_fc_v2: false" in config
    server = EmbeddedNats(tmp_path / "v2")
    patched = _start_with_v2(server)
    try:
        await migrate(patched, replicas=1)
        async with plain(patched, ping_interval=60) as client:
            js = client.jetstream(timeout=1)
            await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
            await js.publish("s.a", b"x")
            failed = False
            try:
                ordered = await js.subscribe("s.>", stream="S", ordered_consumer=True)
                await ordered.next_msg(timeout=1)
            except (ValueError, nats.errors.Error, TimeoutError):
                failed = True
            assert failed or client._reading_task.done(), "nats-py reads the second form"
        bus = NatsBus(patched, source="/test/1", clock=SystemClock())
        bus.start()
        try:
            await _everything_works(bus, tenant)
        finally:
            await bus.stop()
    finally:
        server.stop()


def _start_with_v2(server: EmbeddedNats) -> str:
    from services.common.bus import embedded

    before = embedded._CONFIG
    embedded._CONFIG = before.replace("js_ack_fc_v2: false", "js_ack_fc_v2: true")
    try:
        return server.start()
    finally:
        embedded._CONFIG = before


async def _everything_works(bus: NatsBus, tenant: str) -> None:
    """Append, follow, consume with a failure in between, read."""
    await bus.connected(10)
    followed: asyncio.Queue[int] = asyncio.Queue()
    consumed: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    tries = 0

    async def follow(envelope: Envelope) -> None:
        followed.put_nowait(envelope.stream_seq)

    async def consume(batch: list[Envelope]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError
        consumed.put_nowait((batch[0].correlation_id, batch[0].deliveries))

    pattern = [subjects.any_fact(tenant, "queue")]
    seq = (await bus.append(gone(tenant, "c-1"))).seq
    await bus.follow(pattern, follow, after_seq=0)
    await bus.consume(f"t{ids.new_id()}", pattern, consume)
    assert await asyncio.wait_for(followed.get(), 10) == seq
    assert await asyncio.wait_for(consumed.get(), 10) == ("c-1", 2)
    assert [e.stream_seq async for e in bus.read_log(pattern[0], after_seq=0)] == [seq]


async def test_t09_a_right_that_is_missing_is_told(tmp_path: Path) -> None:
    """T9: a refused publish only times out; the reason goes to a callback that nobody has to have."""
    users = 'authorization { users: [ { user: "a", password: "b", permissions: { publish: { allow: ["_INBOX.>"] } } } ] }'
    server = EmbeddedNats(tmp_path / "nats", more=users)
    server.start()
    url = server.url.replace("nats://", "nats://a:b@")
    told: list[str] = []
    try:
        async with plain(url) as client:
            with pytest.raises((TimeoutError, nats.errors.TimeoutError)):
                await client.request("cc.v1.rpc.demo.x.y.z", b"", timeout=0.3)
        bus = NatsBus(
            url,
            source="/test/1",
            clock=SystemClock(),
            on_ready=lambda part, ok, detail: told.append(f"{ok} {detail}"),
        )
        bus.start()
        try:
            await bus.connected(10)
            with pytest.raises(BusUnavailable, match=r"(?i)permissions violation.*cc\.v1\.evt"):
                await bus.append(gone("demo", "c-1"), timeout_s=0.5)
            async with asyncio.timeout(10):
                while not any("ermissions" in detail for detail in told):
                    await asyncio.sleep(0.02)
        finally:
            await bus.stop()
    finally:
        server.stop()


async def test_t10_slow_handlers_lose_no_facts_and_hold_up_no_requests(
    nats_server: EmbeddedNats, join: Join, tenant: str
) -> None:
    """T10: a callback gets one message at a time, and what does not fit into its buffer is dropped without a word."""
    async with plain(nats_server.url) as client:
        handled = 0

        async def slow(message: Msg) -> None:
            nonlocal handled
            handled += 1
            await asyncio.sleep(0.01)

        await client.subscribe(tenant, cb=slow, pending_msgs_limit=5)
        for _ in range(50):
            await client.publish(tenant, b"")
        await client.flush()
        await asyncio.sleep(0.7)
        assert handled < 50, "nats-py drops nothing"
    bus = await join()
    got: list[str] = []
    done = asyncio.Event()

    async def slow_fact(envelope: Envelope) -> None:
        got.append(envelope.correlation_id)
        await asyncio.sleep(0.002)
        if len(got) == 700:  # more than one pull, and than one follower's batch
            done.set()

    await asyncio.gather(*(bus.append(gone(tenant, f"c-{n}")) for n in range(700)))
    await bus.follow([subjects.any_fact(tenant, "queue")], slow_fact, after_seq=0)
    running = 0
    both = asyncio.Event()

    async def answer(asked: Envelope) -> Position:
        nonlocal running
        running += 1
        if running == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 10)
        return Position(contact_id="c", position=1)

    question = subjects.rpc(tenant, "routing", "contact", "position")
    await bus.serve(question, answer, queue="routing")
    ask = AskPosition(contact_id="c")
    await asyncio.gather(*(bus.request(question, ask, timeout_s=10) for _ in range(2)))
    await asyncio.wait_for(done.wait(), 20)
    assert sorted(got) == sorted(f"c-{n}" for n in range(700))


async def test_t11_an_answer_has_headers_of_its_own(
    nats_server: EmbeddedNats, join: Join, tenant: str
) -> None:
    """T11: ``respond`` copies the request's headers, its id among them, into the answer."""
    async with plain(nats_server.url) as client:

        async def echo(message: Msg) -> None:
            await message.respond(b"")

        await client.subscribe(tenant, cb=echo)
        answer = await client.request(tenant, b"", headers={"Nats-Msg-Id": "42", "secret": "s"})
        assert (answer.headers or {}).get("secret") == "s", "nats-py copies no headers"
        bus = await join()

        async def position(asked: Envelope) -> Position:
            return Position(contact_id="c", position=1)

        question = subjects.rpc(tenant, "routing", "contact", "position")
        await bus.serve(question, position, queue="routing")
        answer = await client.request(
            question, b"", headers={"ce-id": "asked", "Nats-Msg-Id": "42", "secret": "s"}
        )
        headers = answer.headers or {}
        assert "secret" not in headers
        assert "Nats-Msg-Id" not in headers
        assert (headers["ce-causationid"], headers["ce-id"] != "asked") == ("asked", True)


async def test_t12_reads_come_from_the_leader(nats_server: EmbeddedNats, join: Join) -> None:
    """T12: with ``allow_direct`` any replica answers, and some do not have what was acknowledged a moment ago.

    One server has no lagging follower, so this looks at what decides who answers: the streams' configuration, and the request.
    """
    bus = await join()
    jetstream = JetStream(bus.connection)
    for spec in STREAMS:
        config = (await jetstream.api(f"STREAM.INFO.{spec.name}", {}, 5.0))["config"]
        assert not config.get("allow_direct"), spec.name
        assert not config.get("mirror_direct"), spec.name
    asked: list[str] = []
    truth = Connection.request

    async def request(self: Connection, subject: str, *more: Any) -> Msg:
        asked.append(subject)
        return await truth(self, subject, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "request", request)
        with contextlib.suppress(BusUnavailable):
            await bus.last(subjects.lease("t12", "0"), timeout_s=1.0)
            await bus._next_of(subjects.log("t12"), 0, 1.0)
    assert asked == ["$JS.API.STREAM.MSG.GET.CC_LEASE", "$JS.API.STREAM.MSG.GET.CC_ROUTING"]


async def test_stopping_while_it_connects_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py waits with ``wait_for``, which in Python 3.11 may swallow the cancellation that comes with the result."""
    swallowed = 0

    async def connect(self: Client, *args: Any, **more: Any) -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    monkeypatch.setattr(Client, "connect", connect)
    bus = NatsBus("nats://127.0.0.1:1", source="/test/1", clock=SystemClock())
    bus.start()
    await asyncio.sleep(0.05)
    await asyncio.wait_for(bus.stop(), 10)
    assert swallowed, "nothing was to be learnt from this"
