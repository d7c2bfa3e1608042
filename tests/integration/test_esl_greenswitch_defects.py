"""The 21 defects of greenswitch 0.0.19 that were reproduced, each twice: our client does not have it, the library still does.

Our classes override greenswitch's reader, writer and dispatch because of these. ``test_dNN_…`` holds the client to it on a
scripted socket, with the bytes that a real FreeSWITCH sent where the defect was found on one (T: bytes are from a recording).
``test_the_library_still_has_it`` calls greenswitch itself, without a network: when a new release mends one, that test fails
and the override for it may go.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import socket
import warnings
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from greenswitch import esl as greenswitch
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.common.errors import CallGone, SwitchTimeout, SwitchUnavailable
from services.common.esl import Event
from services.common.esl.transport import Protocol
from tests.esl_transcripts import transcript
from tests.integration.esl_kit import Desk, Service, call_on_desk, desk_open, service_on_switch
from tests.integration.esl_peer import Command, Peer, call_to, event, reply


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with service_on_switch() as service:
        yield service


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_open() as desk:
        yield desk


def plain(block: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%b" % (len(block), block)


def recorded(name: str, *marks: bytes) -> bytes:
    """The first frame of a recording that holds all ``marks``."""
    data = transcript(name).s2c
    at = 0
    while at < len(data):
        end = data.index(b"\n\n", at)
        length = next(
            (int(line[16:]) for line in data[at:end].split(b"\n") if line[:16] == b"Content-Length: "), 0
        )
        stop = end + 2 + length
        if all(mark in data[at:stop] for mark in marks):
            return data[at:stop]
        at = stop
    raise AssertionError(f"no frame with {marks} in {name}")


async def events_after(service: Service, data: bytes, count: int) -> list[Event]:
    """Connect, have the switch send ``data``, return the events that the service was given."""
    got: list[Event] = []
    service.on_event = got.append
    peer = await service.started()
    peer.send(data + event("CHANNEL_ANSWER", Unique_ID="last"))
    await service.until("CHANNEL_ANSWER last")
    assert len(got) == count + 1
    return got[:-1]


# -- our client --------------------------------------------------------------------------------------------------------


async def test_d01_a_newline_encoded_in_a_callers_name_forges_no_header(service: Service) -> None:
    """The name was in the From header of an INVITE: greenswitch called the handler of CHANNEL_BRIDGE with the victim's id."""
    forged = plain(
        b"Event-Name: CHANNEL_CREATE\nUnique-ID: real\nCaller-Caller-ID-Name: Bob%0AUnique-ID: victim-uuid%0A"
        b"Event-Name: CHANNEL_BRIDGE%0Avariable_is_admin: true\n\n"
    )
    (created,) = await events_after(service, forged, 1)
    assert (created.name, created.unique_id, created.variable("is_admin", "no")) == (
        "CHANNEL_CREATE",
        "real",
        "no",
    )
    assert created.get("Caller-Caller-ID-Name").startswith("Bob\nUnique-ID: victim-uuid\n")


async def test_d02_a_body_is_a_body_and_no_header(service: Service) -> None:
    """T. A job's answer stood in the header Content-Length, and a body could name another event."""
    job = recorded("08_bgapi_originate", b"Event-Name: BACKGROUND_JOB", b"USER_BUSY\n")
    block = b"Event-Name: CUSTOM\nEvent-Subclass: x%3A%3Ay\nContent-Length: 46\n\nEvent-Name: CHANNEL_HANGUP\nUnique-ID: victim-1"
    done, custom = await events_after(service, job + plain(block), 2)
    assert (done.name, done.body, done.get("Content-Length")) == ("BACKGROUND_JOB", "-ERR USER_BUSY\n", "15")
    assert (custom.name, custom.subclass, custom.unique_id) == ("CUSTOM", "x::y", "")
    assert custom.body == "Event-Name: CHANNEL_HANGUP\nUnique-ID: victim-1"


async def test_d03_a_large_command_is_sent_whole(service: Service) -> None:
    """131 072 of 8 000 041 bytes were sent, and the caller waited for ever."""
    whole = "x" * 8_000_000
    sizes: list[int] = []

    def answer(peer: Peer, command: Command) -> bytes | None:
        sizes.append(len(command.line))
        return None

    service.switch.answer = answer
    await service.started()
    assert await service.client.api(whole, timeout_s=30) == f"+OK {whole}"
    assert sizes[-1] == len("api ") + len(whole)


async def test_d04_the_end_of_the_connection_ends_waiting(service: Service) -> None:
    """send() never returned, and nobody was told."""
    service.switch.answer = lambda peer, command: (
        (peer.close(), b"")[1] if command.line == "api status" else None
    )
    await service.started()
    with pytest.raises(SwitchUnavailable, match="unknown"):
        await service.client.api("status")
    await service.until("down closed")


async def test_d05_the_end_of_the_connection_inside_a_body_is_its_end(service: Service) -> None:
    """The process hung at 100 % of a core."""

    def answer(peer: Peer, command: Command) -> bytes | None:
        if command.line != "api status" or len(service.diary) > 2:
            return None
        peer.send(b"Content-Type: api/response\nContent-Length: 100\n\n+OK")
        peer.writer.write_eof()  # a close would reset the connection if a newline of ours were unread
        return b""

    service.switch.answer = answer
    await service.started()
    with pytest.raises(SwitchUnavailable, match="in the middle of a frame"):
        await service.client.api("status")
    assert await service.hub.call(lambda: "the thread runs on") == "the thread runs on"
    await service.until("up", times=2)
    assert await service.client.api("status") == "+OK status"


async def test_d06_a_byte_that_is_no_utf8_spoils_one_answer_only(service: Service) -> None:
    """The reader ended; the connection still called itself connected."""
    odd = b"Content-Type: api/response\nContent-Length: 3\n\nZo\xeb"
    service.switch.answer = lambda peer, command: odd if command.line.startswith("api uuid_getvar") else None
    await service.started()
    assert await service.client.api("uuid_getvar u-1 nm") == "Zo\N{REPLACEMENT CHARACTER}"
    assert await service.client.api("status") == "+OK status"


async def test_d07_after_a_reload_the_client_is_back_and_subscribed(service: Service) -> None:
    """T. Nothing reconnected, the subscription was gone, a greenlet was left over."""
    farewell = recorded("18_disconnect_by_server", b"text/disconnect-notice")
    assert b"The system is being shut down." in farewell
    await service.started()
    for peer in tuple(service.switch.peers):
        peer.send(farewell)
        peer.close()
    await service.until("up", times=2)
    again = await service.switch.subscriber()
    subscribed = [
        line
        for line in service.switch.heard
        if line.startswith("event json") and "BACKGROUND_JOB" not in line
    ]
    assert len(subscribed) == 2
    assert subscribed[0] == subscribed[1]
    again.send(event("CHANNEL_ANSWER", Unique_ID="new"))
    await service.until("CHANNEL_ANSWER new")
    assert service.diary == ["up?", "up", "down closed", "up?", "up", "CHANNEL_ANSWER new"]


async def test_d08_handlers_of_several_calls_wait_side_by_side(service: Service) -> None:
    """Five events that came at once were handled at 0, 0.5, 1, 1.5 and 2 s."""
    together = asyncio.Barrier(5)
    work: list[asyncio.Task[Any]] = []
    service.on_event = lambda e: work.append(asyncio.ensure_future(together.wait()))
    peer = await service.started()
    peer.send(b"".join(event("CHANNEL_ANSWER", Unique_ID=f"u-{n}") for n in range(5)))
    await service.until("CHANNEL_ANSWER u-4")
    assert sorted(await asyncio.wait_for(asyncio.gather(*work), 5)) == list(range(5))


async def test_d09_an_application_ends_with_its_own_completion() -> None:
    """A playback of 2.5 s returned after 0.8 s with another's event; an application that runs others never returned."""
    async with call_on_desk() as (call, session, _):
        long = asyncio.ensure_future(session.execute("playback", "silence_stream://2500"))
        first = await call.app("playback")
        short = asyncio.ensure_future(session.execute("playback", "silence_stream://500"))
        second = await call.app("playback")
        outer = asyncio.ensure_future(session.execute("execute_extension", "inner XML esl"))
        third = await call.app("execute_extension")
        call.complete("of-the-dialplan", variable_current_application="playback")
        call.complete(second, variable_current_application="playback", Application_Response="short")
        assert (await short).get("Application-Response") == "short"
        assert not long.done()
        call.complete(third, variable_current_application="set", Application_Response="outer")
        assert (await outer).get("Application-Response") == "outer"
        call.complete(first, variable_current_application="playback", Application_Response="long")
        assert (await long).get("Application-Response") == "long"


async def test_d10_whoever_reads_completions_takes_them_from_nobody() -> None:
    """A handler for CHANNEL_EXECUTE_COMPLETE turned off what ended a blocking call."""
    async with call_on_desk() as (call, session, _):
        playing = asyncio.ensure_future(session.execute("playback", "a.wav"))
        reading = asyncio.ensure_future(session.next_event(5))
        app_id = await call.app("playback")
        call.complete(app_id)
        assert (await playing).application_id == app_id
        call.peer.send(event("DTMF", Unique_ID="u-1", DTMF_Digit="1"))
        seen = await reading
        assert seen is not None
        assert seen.name == "DTMF", "completions are for who waits for them"


class AlwaysReady:
    """A socket that has more to read each time it is asked, and is over after 100 reads."""

    def __init__(self, sock: Any, data: bytes) -> None:
        self._sock = sock
        self._data = data
        self.reads = 0

    def recv_into(self, space: memoryview) -> int:
        self.reads += 1
        if self.reads > 100:
            return 0
        count = len(space) - len(space) % len(self._data)
        space[:count] = self._data * (count // len(self._data))
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Burst(Protocol, greenswitch.ESLProtocol):  # type: ignore[misc]
    def __init__(self, sock: Any) -> None:
        greenswitch.ESLProtocol.__init__(self)
        self.sock = sock
        self.events = 0

    def on_events(self, events: list[Event]) -> None:
        self.events += len(events)


async def test_d11_a_burst_starves_no_timer_and_fills_no_memory(service: Service) -> None:
    """A timer of 10 ms stood still for 863 ms, and 12 901 events (139 MB) were queued."""

    def read() -> tuple[int, int, int]:
        here, there = socket.socketpair()
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            while not burst.closed.is_set():
                ticks += 1
                gevent.sleep(0)

        listener = socket.create_server(("127.0.0.1", 0))
        here.close()
        there.close()
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
        burst = Burst(AlwaysReady(here, event("CHANNEL_ANSWER", Unique_ID="u-1", Filler="x" * 2_000)))
        burst.start_event_handlers()
        gevent.spawn(tick)
        burst.closed.wait()
        there.close()
        listener.close()
        return burst.events, burst.sock.reads, ticks

    events, reads, ticks = await service.hub.call(read)
    assert events > 10_000
    assert reads == 101
    assert ticks > 80, "others have a turn between reads"
    # and what waits for handlers is bounded: beyond it our own sockets are closed
    service.make(max_backlog=50)
    service.on_event = lambda e: None
    released = asyncio.Event()
    service.on_up = released.wait  # type: ignore[assignment]
    await service.client.start()
    peer = await service.switch.subscriber()
    await service.until("up?")
    peer.send(b"".join(event("CHANNEL_ANSWER", Unique_ID=f"u-{n}") for n in range(500)))
    async with asyncio.timeout(5):
        while peer in service.switch.peers:
            await asyncio.sleep(0.005)
    released.set()
    await service.until("down backlog")
    assert len(service.client._inbox) == 0


async def test_d12_calls_are_taken_without_polling(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accept loop slept 100 ms at a time."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s to look for calls")

    monkeypatch.setattr(greenswitch, "gevent", SimpleNamespace(**{**vars(gevent), "sleep": sleep}))
    for n in range(3):
        async with call_to(desk.port, f"u-{n}") as call:
            await call.greet()
            assert (await desk.session()).unique_id == f"u-{n}"
            call.hang_up_complete()
            assert await call.ended()


async def test_d13_whatever_a_handler_raises_is_counted_and_the_next_event_follows(service: Service) -> None:
    """GreenletExit was swallowed; a callable without a name that failed ended the dispatcher."""

    class Nameless:
        def __call__(self, event: Event) -> None:
            if event.unique_id == "bad":
                raise ValueError("handler")
            after.set()

    after = asyncio.Event()
    service.client._on_event = Nameless()
    peer = await service.started()

    def failures() -> float:
        return REGISTRY.get_sample_value("peyvand_esl_handler_failures_total", {"node": "fs1"}) or 0.0

    before = failures()
    with capture_logs() as logs:
        peer.send(event("CHANNEL_ANSWER", Unique_ID="bad") + event("CHANNEL_ANSWER", Unique_ID="good"))
        await asyncio.wait_for(after.wait(), 5)
    assert failures() == before + 1
    assert [entry["event"] for entry in logs] == ["event_handler_failed"]


async def test_d14_the_deadline_of_connecting_holds_for_all_of_it(service: Service) -> None:
    """It ended with the TCP connection; a peer that then said nothing was waited for."""
    service.switch.greeting = b""
    service.make(connect_timeout_s=0.1)
    await service.client.start()
    await service.until("down silent")


async def test_d15_stop_waits_for_no_job_and_works_inside_a_handler(service: Service) -> None:
    """stop() took as long as the jobs that were under way, and never returned in a handler."""
    stopped: list[asyncio.Task[None]] = []
    service.on_event = lambda e: stopped.append(asyncio.ensure_future(service.client.stop()))
    peer = await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate sofia/internal/x &park()"))
    await service.switch.sent("bgapi originate")
    peer.send(event("CHANNEL_ANSWER", Unique_ID="u-1"))
    with pytest.raises(SwitchUnavailable):
        await job
    await asyncio.wait_for(stopped[0], 5)
    assert "exit" not in service.switch.heard, "FreeSWITCH would answer when its jobs are done"


async def test_d16_a_frame_without_content_type_and_a_notice_with_blank_lines_are_read_over(
    service: Service,
) -> None:
    """Either ended the reader, which still called itself connected."""
    body = b"bye\n\nmore\n\n"
    notice = (
        b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nContent-Length: %d\n\n%b"
        % (
            len(body),
            body,
        )
    )
    peer = await service.started()
    commands = next(one for one in service.switch.peers if one is not peer)
    commands.send(notice + b"Content-Length: 3\n\nabc")
    assert await service.client.api("status") == "+OK status"
    assert service.diary == ["up?", "up"]


async def test_d17_only_a_line_feed_ends_a_line(service: Service) -> None:
    """A U+2028 in a value forged Event-Subclass without any newline."""
    separators = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"
    value = f"Bob{separators}Event-Subclass: forged::z"
    block = f"Event-Name: CUSTOM\nEvent-Subclass: x%3A%3Ay\nX-Name: {value}\n\n".encode()
    in_plain, in_json = await events_after(
        service, plain(block) + event("CUSTOM", Event_Subclass="x::y", X_Name=value), 2
    )
    for one in (in_plain, in_json):
        assert (one.subclass, one.get("X-Name")) == ("x::y", value)


async def test_d18_events_come_as_json(service: Service) -> None:
    """T. The text went through the parser of header lines, which ended the reader."""
    first = recorded("20_queue_call_sip.all_json", b"CHANNEL_CREATE")
    (created,) = await events_after(service, first, 1)
    assert created.name == "CHANNEL_CREATE"
    assert created.get("Channel-Call-UUID") == created.unique_id
    assert len(created.headers) > 50


async def test_d19_a_write_that_fails_leaves_no_waiter_behind(service: Service) -> None:
    """After one failed write every later reply went to the wrong caller."""
    await service.started()
    links: list[Any] = []

    def break_socket() -> None:
        link = service.client._node._commands
        links.append(link)
        real = link.sock

        class Bad:
            def send(self, data: bytes) -> int:
                raise BrokenPipeError(32, "Broken pipe")

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        link.sock = Bad()

    await service.hub.call(break_socket)
    with pytest.raises(SwitchUnavailable, match="Broken pipe"):
        await service.client.api("a")
    assert not links[0]._waiters
    await service.until("up", times=2)
    assert await asyncio.gather(*(service.client.api(f"n {n}") for n in range(5))) == [
        f"+OK n {n}" for n in range(5)
    ]


async def test_d20_when_the_application_breaks_the_call_is_let_go_and_nobody_waits(desk: Desk) -> None:
    """The error was only logged: greenlets of the session stayed, and their commands waited."""
    left: list[asyncio.Task[Any]] = []

    async def work(session: Any) -> None:
        left.append(asyncio.ensure_future(session.execute("playback", "a.wav")))
        await asyncio.sleep(0)
        raise RuntimeError("a bug")

    desk.work = work
    with capture_logs() as logs:
        async with call_to(desk.port) as call:
            await call.greet()
            await call.app("playback")
            assert (await call.command()).line == "exit"
            call.peer.send(reply("+OK bye"))
            assert await call.ended()
            with pytest.raises(CallGone):
                await left[0]
    assert [entry["log_level"] for entry in logs if entry["event"] == "session_failed"] == ["error"]


async def test_d21_what_was_given_up_is_waited_for_no_more() -> None:
    """The next call of the same application was ended by the completion of the one before."""
    async with call_on_desk() as (call, session, _):
        given_up = asyncio.ensure_future(session.execute("play_and_get_digits", "1 1 1", timeout_s=0.05))
        first = await call.app("play_and_get_digits")
        with pytest.raises(SwitchTimeout):
            await given_up
        again = asyncio.ensure_future(session.execute("play_and_get_digits", "1 1 1"))
        second = await call.app("play_and_get_digits")
        assert list(session._link._apps) == [second]
        call.complete(first, variable_current_application="play_and_get_digits", variable_dg="stale")
        call.complete(second, variable_current_application="play_and_get_digits", variable_dg="7")
        assert (await again).variable("dg") == "7"


# -- the library itself ------------------------------------------------------------------------------------------------


def stock(data: bytes = b"") -> Any:
    """greenswitch's own client on bytes instead of a socket, its greenlets not started."""
    client = greenswitch.InboundESL("127.0.0.1", 1, "x")
    client.connected = True
    client.sock_file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    client.sock = SimpleNamespace(close=lambda: None, send=lambda raw: len(raw))
    return client


def stock_session() -> Any:
    session = greenswitch.OutboundSession.__new__(greenswitch.OutboundSession)
    greenswitch.ESLProtocol.__init__(session)
    session.expected_events = {}
    session.connected = True
    session.sock = SimpleNamespace(close=lambda: None, send=lambda raw: len(raw))
    return session


def read_all(client: Any) -> list[Any]:
    """Read until the bytes are over; return what was queued for handlers."""
    client.receive_events()
    queue = client._esl_event_queue
    return [queue.get_nowait() for _ in range(queue.qsize())]


def d01() -> bool:
    found = greenswitch.ESLEvent("Unique-ID: real\nCaller-Caller-ID-Name: Bob%0AUnique-ID: victim")
    return found.headers["Unique-ID"] == "victim"


def d02() -> bool:
    (job,) = read_all(stock(recorded("08_bgapi_originate", b"Event-Name: BACKGROUND_JOB", b"USER_BUSY\n")))
    return "USER_BUSY" in job.headers["Content-Length"]


def d03() -> bool:
    client = stock()
    calls: list[int] = []
    client.sock.send = lambda raw: calls.append(len(raw)) or 100
    with gevent.Timeout(0.01, False):
        client.send("x" * 10_000)
    return calls == [10_002]


def d04() -> bool:
    client = stock()
    waiter = gevent.event.AsyncResult()
    client._commands_sent.append(waiter)
    return not read_all(client) and not waiter.ready()


class Spinning(Exception):
    pass


def d05() -> bool:
    class Ended:
        reads = 0

        def read(self, length: int) -> bytes:
            self.reads += 1
            if self.reads > 100:
                raise Spinning
            return b""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it logs through a function that is deprecated
        try:
            greenswitch.ESLProtocol._read_socket(Ended(), 10)
        except Spinning:
            return True
    return False


def d06() -> bool:
    client = stock(b"Content-Type: api/response\nContent-Length: 3\n\nZo\xeb")
    client._commands_sent.append(gevent.event.AsyncResult())
    try:
        client.receive_events()
    except UnicodeDecodeError:
        return bool(client.connected)
    return False


def d07() -> bool:
    return not any(
        "reconnect" in name for name in dir(greenswitch.InboundESL)
    ) and "while" not in inspect.getsource(greenswitch.InboundESL.connect)


def dispatched(*handlers: Callable[[Any], None]) -> list[str]:
    """Run greenswitch's dispatcher over two events; the greenlets that the handlers ran in."""
    client = stock()
    ran: list[str] = []
    for handler in handlers:
        client.register_handle("HEARTBEAT", handler)
    client.register_handle("HEARTBEAT", lambda e: ran.append(str(id(gevent.getcurrent()))))
    for _ in range(2):
        client._esl_event_queue.put(greenswitch.ESLEvent("Event-Name: HEARTBEAT"))
    client._esl_event_queue.put(greenswitch.ESLEvent("Event-Name: STOP"))

    def stop(e: Any) -> None:
        client._run = False

    client.register_handle("STOP", stop)
    client.process_events()
    return ran


def d08() -> bool:
    return len(set(dispatched())) == 1


def completion(app: str, app_id: str) -> Any:
    return greenswitch.ESLEvent(
        f"Event-Name: CHANNEL_EXECUTE_COMPLETE\nApplication-UUID: {app_id}\nvariable_current_application: {app}"
    )


def d09() -> bool:
    session = stock_session()
    waiter = gevent.event.AsyncResult()
    session.register_expected_event("CHANNEL_EXECUTE_COMPLETE", "current_application", "playback", waiter)
    session.on_event(completion("playback", "of-somebody-else"))
    return bool(waiter.ready())


def d10() -> bool:
    source = inspect.getsource(greenswitch.ESLProtocol.process_events)
    return "if not handlers and '*' in self.event_handlers" in source


def d11() -> bool:
    return stock()._esl_event_queue.maxsize in (None, 0)


def d12() -> bool:
    return "gevent.sleep(0.1)" in inspect.getsource(greenswitch.OutboundESLServer.listen)


def d13() -> bool:
    class Nameless:
        def __call__(self, event: Any) -> None:
            raise ValueError

    try:
        dispatched(Nameless())
    except AttributeError:
        return True
    return False


def d14() -> bool:
    source = inspect.getsource(greenswitch.InboundESL.connect)
    return "settimeout(None)" in source and "_auth_request_event.wait()" in source


def d15() -> bool:
    source = inspect.getsource(greenswitch.ESLProtocol.stop)
    return "self.send('exit')" in source and "greenlet.join()" in source


def d16() -> bool:
    try:
        read_all(stock(b"Content-Length: 3\n\nabc"))
    except KeyError:
        return True
    return False


def d17() -> bool:
    return (
        greenswitch.ESLEvent("A: Bob\u2028Event-Subclass: forged").headers.get("Event-Subclass") == "forged"
    )


def d18() -> bool:
    try:
        found = read_all(stock(event("CHANNEL_ANSWER", Unique_ID="u-1")))
    except AttributeError:
        return True
    return "Event-Name" not in found[0].headers


def d19() -> bool:
    client = stock()

    def send(raw: bytes) -> int:
        raise BrokenPipeError

    client.sock.send = send
    try:
        client.send("api a")
    except BrokenPipeError:
        return len(client._commands_sent) == 1
    return False


def d20() -> bool:
    source = inspect.getsource(greenswitch.OutboundESLServer._handle_call_finish)
    return "session.stop()" in source and "exception" not in source and "hangup" not in source


def d21() -> bool:
    session = stock_session()
    session.call_command = lambda *args: None
    try:
        session.play_and_get_digits(variable="dg", response_timeout=0.001)
    except gevent.Timeout:
        return len(session.expected_events["CHANNEL_EXECUTE_COMPLETE"]) == 1
    return False


LIBRARY = (
    d01,
    d02,
    d03,
    d04,
    d05,
    d06,
    d07,
    d08,
    d09,
    d10,
    d11,
    d12,
    d13,
    d14,
    d15,
    d16,
    d17,
    d18,
    d19,
    d20,
    d21,
)


@pytest.mark.parametrize("defect", LIBRARY, ids=lambda defect: defect.__name__)
def test_the_library_still_has_it(defect: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "disabled", True)
    assert defect(), f"greenswitch has mended {defect.__name__}: our override for it may go"


def test_every_defect_is_tested() -> None:
    ours = sorted(name[5:8] for name in globals() if name.startswith("test_d"))
    assert ours == [defect.__name__ for defect in LIBRARY]
