"""The traps of FreeSWITCH's event socket that need a socket to fall into; the inventory of all of them is tests/esl_traps.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.common.errors import CallGone, SwitchUnavailable, UnsafeCommandError
from services.common.esl import Event, OutboundServer
from services.common.esl import link as link_module
from tests.esl_transcripts import transcript
from tests.integration.esl_kit import (
    Desk,
    Service,
    call_on_desk,
    desk_open,
    greeted,
    service_on_switch,
)
from tests.integration.esl_peer import FAREWELL, Command, FakeCall, Peer, api_response, call_to, event, reply


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with service_on_switch() as service:
        yield service


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_open() as desk:
        yield desk


def command_peer(service: Service, subscriber: Peer) -> Peer:
    return next(peer for peer in service.switch.peers if peer is not subscriber)


# -- 1.1 connection ----------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_before_the_password_is_asked_for(service: Service) -> None:
    """A command before ``auth`` is answered ``-ERR command not found``, as if it did not exist."""
    service.switch.greeting = b""
    service.make(connect_timeout_s=0.1)
    await service.client.start()
    await service.until("down silent")
    await service.switch.left()
    assert service.switch.unasked == b""
    service.switch.greeting = b"Content-Type: auth/request\n\n"
    await service.until("up")
    assert service.switch.heard[0] == "auth ClueCon"


async def test_a_node_costs_two_connections_whatever_is_asked(service: Service) -> None:
    """Nothing limits them, and each is a thread and 1.5 MB of the switch."""
    await service.started()
    await asyncio.gather(*(service.client.api(f"n {n}") for n in range(50)))
    await asyncio.gather(*(service.client.execute(f"u-{n}", "answer") for n in range(10)))
    assert service.switch.accepted == 2


async def test_only_six_verbs_are_ever_sent(service: Service) -> None:
    """No getvar (its value forges replies), no inbound myevents (an unknown id delivers everybody's events), no noevents, log,
    exit or userauth: each has a trap of its own."""
    peer = await service.started()
    await service.client.pipeline(["status", "show channels"])
    job = asyncio.ensure_future(service.client.bgapi("originate x"))
    sent = await service.switch.sent("bgapi originate x")
    command_peer(service, peer).send(event("BACKGROUND_JOB", "+OK", Job_UUID=sent.headers["job-uuid"]))
    await job
    playing = asyncio.ensure_future(service.client.execute("u-1", "playback", "a.wav", wait=True))
    await service.switch.sent("sendmsg u-1")
    command_peer(service, peer).send(event("CHANNEL_HANGUP", Unique_ID="u-1"))
    with pytest.raises(CallGone):
        await playing
    await service.client.stop()
    await service.switch.left()
    assert {line.split(" ")[0] for line in service.switch.heard} <= {
        "auth",
        "event",
        "filter",
        "api",
        "bgapi",
        "sendmsg",
    }


async def test_the_recorded_rejection_is_told_as_such(service: Service) -> None:
    service.switch.greeting = transcript("05_rude_rejection").s2c
    await service.client.start()
    await service.until("down rejected")


async def test_stopping_waits_for_nobodys_farewell(service: Service) -> None:
    """FreeSWITCH closes a connection only when every background job of it is done: 3.5 s in one measurement."""
    await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate x"))
    await service.switch.sent("bgapi originate x")
    await asyncio.wait_for(service.client.stop(), 5)  # the peer says nothing more, and does not close
    with pytest.raises(SwitchUnavailable):
        await job


async def test_a_farewell_of_a_live_connection_disturbs_no_reply(service: Service) -> None:
    """Skipping its body would shift all that follows."""
    service.switch.answer = lambda peer, command: (
        FAREWELL + api_response("+OK mine") if command.line == "api status" else None
    )
    await service.started()
    assert await service.client.api("status") == "+OK mine"


# -- 1.2 framing -------------------------------------------------------------------------------------------------------


async def test_a_half_written_command_is_never_followed_by_a_poke(service: Service) -> None:
    """While a command is half sent no event is delivered, and a newline inside it would end it: 8 MB arrive as one line,
    though newlines are due every few milliseconds all the while, and a command of another caller comes whole behind it."""
    peer = await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate x"))
    await service.switch.sent("bgapi originate x")  # from now on newlines are due
    commands = command_peer(service, peer)
    reading = asyncio.Event()
    commands.reader._transport.pause_reading()  # type: ignore[attr-defined]
    large = asyncio.ensure_future(service.client.api("x" * 8_000_000, timeout_s=60))
    small = asyncio.ensure_future(service.client.api("small", timeout_s=60))
    asyncio.get_running_loop().call_later(0.1, reading.set)  # some twenty newlines' time
    await reading.wait()
    commands.reader._transport.resume_reading()  # type: ignore[attr-defined]
    assert len(await large) == len("+OK ") + 8_000_000
    assert await small == "+OK small"
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


async def test_head_and_body_of_a_command_go_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is announced and not sent spins a thread of the switch at 100 %."""
    async with call_on_desk() as (call, session, _):
        writes: list[bytes] = []
        transport = session._link._transport
        write = transport.write

        def spy(data: bytes) -> None:
            writes.append(data)
            write(data)

        monkeypatch.setattr(transport, "write", spy)
        playing = asyncio.ensure_future(session.execute("playback", "a.wav"))
        call.complete(await call.app("playback"))
        await playing
        (written,) = [data for data in writes if data != b"\n"]
        assert written.startswith(b"sendmsg\n")
        assert written.endswith(b"content-length: 5\n\na.wav")


async def test_failure_is_in_the_text_and_given_as_it_is(service: Service) -> None:
    """There is no status: ``-ERR``, ``-USAGE``, plain text, and ``-ERR no reply`` for an empty one."""
    texts = iter(["-ERR No such channel!\n", "-USAGE: <uuid>\n", "true", "-ERR no reply\n"])
    service.switch.answer = lambda peer, command: (
        api_response(next(texts)) if command.line == "api x" else None
    )
    await service.started()
    assert await service.client.pipeline(["x"] * 4) == [
        "-ERR No such channel!\n",
        "-USAGE: <uuid>\n",
        "true",
        "-ERR no reply\n",
    ]


async def test_a_job_id_that_freeswitch_would_cut_is_refused(service: Service) -> None:
    """36 characters are kept: the job of a longer id would be waited for in vain."""
    await service.started()
    for job_id in ("", "j" * 37, "a b", "a\nb"):
        with pytest.raises(UnsafeCommandError, match="job"):
            await service.client.bgapi("status", job_id=job_id)


# -- 1.3 subscriptions -------------------------------------------------------------------------------------------------


async def test_a_subscription_that_is_refused_is_no_connection(service: Service) -> None:
    """``-ERR no keywords supplied``: the socket would stand, and nothing ever come."""
    service.switch.answer = lambda peer, command: (
        reply("-ERR no keywords supplied") if command.line.startswith("event json CHANNEL") else None
    )
    await service.client.start()
    await service.until("down broken")


async def test_filters_are_alternatives_and_let_background_jobs_through(service: Service) -> None:
    """Several filters are an OR, and one for a channel also keeps BACKGROUND_JOB away: its own filter stands first, and
    stays when the channel's goes (without any filter everything would come). Events the service wants are not filtered."""
    peer = await service.started()
    playing = asyncio.ensure_future(service.client.execute("u-1", "playback", "a.wav", wait=True))
    sent = await service.switch.sent("sendmsg u-1")
    command_peer(service, peer).send(
        event("CHANNEL_EXECUTE_COMPLETE", Unique_ID="u-1", Application_UUID=sent.headers["event-uuid"])
    )
    await playing
    await service.switch.sent("filter delete")
    filters = [line for line in service.switch.heard if line.startswith("filter")]
    assert filters == [
        "filter Event-Name BACKGROUND_JOB",
        "filter Unique-ID u-1",
        "filter delete Unique-ID u-1",
    ]
    lines = service.switch.heard
    assert lines.index(filters[0]) < next(
        n for n, line in enumerate(lines) if line.startswith("event json CHANNEL")
    )


@pytest.mark.parametrize("unique_id", ["-u-1", "/.*/", "u 1"])
async def test_no_id_becomes_a_negative_filter_or_an_expression(service: Service, unique_id: str) -> None:
    """With only a negative filter nothing is ever delivered; an expression lets everybody's events through."""
    await service.started()
    with pytest.raises(UnsafeCommandError, match="the id of a channel"):
        await service.client.execute(unique_id, "playback", "a.wav", wait=True)
    assert not any(line.startswith("filter Unique-ID") for line in service.switch.heard)


async def test_log_lines_between_replies_answer_nobody(service: Service) -> None:
    """Each is a frame of its own, before, between and behind replies."""
    line = b"Content-Type: log/data\nContent-Length: 5\nLog-Level: 7\nUser-Data: u-1\n\nhello"
    service.switch.answer = lambda peer, command: (
        line + api_response("+OK mine") + line if command.line == "api status" else None
    )
    await service.started()
    assert await service.client.api("status") == "+OK mine"
    assert await service.client.api("next") == "+OK next"


async def test_what_myevents_lacks_is_subscribed_beside_it() -> None:
    """It has no RECORD, PLAYBACK or HOLD events."""
    server = OutboundServer("127.0.0.1", 0, _never, max_sessions=1, events=("RECORD_STOP", "CHANNEL_HOLD"))
    port = await server.start()
    async with call_to(port) as call:
        await call.greet()
        assert call.greeting[2] == "myevents json"
        assert call.greeting[4] == "event json RECORD_STOP CHANNEL_HOLD"
    await server.stop(0)


async def _never(session: object) -> None:
    await asyncio.Event().wait()


async def test_a_diverted_event_without_a_name_reaches_the_session_and_harms_nobody() -> None:
    async with call_on_desk() as (call, session, _):
        call.peer.send(b'Content-Length: 19\nContent-Type: text/event-json\n\n{"Unique-ID":"u-1"}')
        found = await session.next_event(5)
        assert found is not None
        assert (found.name, found.unique_id) == ("", "u-1")


# -- 1.4 outbound ------------------------------------------------------------------------------------------------------


async def test_we_speak_first_and_all_of_the_greeting_before_any_answer(desk: Desk) -> None:
    """FreeSWITCH says nothing first, and answers no first command but ``connect``."""
    async with call_to(desk.port) as call:
        lines = [(await call.command()).line for _ in range(5)]
    assert [line.split()[0] for line in lines] == ["connect", "linger", "myevents", "nixevent", "event"]


async def test_a_call_too_many_is_held_over_the_dangerous_moment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that closes within a millisecond of connect orphans its call."""
    held: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def later(seconds: float, do: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        held.append(seconds)
        return call_later(seconds, do, *args)

    monkeypatch.setattr(loop, "call_later", later)
    async with call_to(desk.port, "u-1") as one, call_to(desk.port, "u-2") as two:
        for call in (one, two):
            await greeted(call, desk)
        async with call_to(desk.port, "u-3") as three:
            assert await asyncio.wait_for(three.peer.reader.read(), 5) == b""
    assert link_module._REFUSE_AFTER_S in held


async def test_the_last_event_comes_after_the_notice_and_then_we_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without linger CHANNEL_HANGUP_COMPLETE was lost in 27 of 30 calls; with it the channel lives until we close."""
    monkeypatch.setattr(link_module, "_LINGER_MAX_S", 60.0)  # which would close it, too
    async with call_on_desk() as (call, session, _):
        call.hang_up()
        call.peer.send(
            b"Content-Type: text/disconnect-notice\nControlled-Session-UUID: u-1\n"
            b"Content-Disposition: linger\nContent-Length: 0\n\n"
        )
        call.hang_up_complete()
        async with asyncio.timeout(5):
            names = [found.name async for found in session.events]
        assert names == ["CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"]
        assert await call.ended()


async def test_after_the_hangup_nothing_is_sent_that_would_never_run() -> None:
    """``sendmsg`` is still answered +OK."""
    async with call_on_desk() as (call, session, _):
        call.hang_up()
        assert await session.next_event(5) is not None
        with pytest.raises(CallGone, match="NORMAL_CLEARING"):
            await session.execute("playback", "a.wav")
        call.hang_up_complete()
        assert await call.ended()


# -- 1.5 sendmsg -------------------------------------------------------------------------------------------------------


async def test_an_unknown_application_ends_in_the_hangup_that_it_causes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered +OK, the call is hung up, and no completion ever comes."""
    monkeypatch.setattr(link_module, "_LINGER_MAX_S", 60.0)  # the end of the socket would tell as well, later
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        playing = asyncio.ensure_future(session.execute("playbakc", "a.wav"))
        await call.app("playbakc")
        call.peer.send(event("CHANNEL_HANGUP", Unique_ID="u-1", Hangup_Cause="DESTINATION_OUT_OF_ORDER"))
        with pytest.raises(CallGone, match="DESTINATION_OUT_OF_ORDER"):
            await asyncio.wait_for(playing, 5)


async def test_a_bridge_that_fails_and_hangs_up_ends_waiting(service: Service) -> None:
    """A failed ``bridge`` hangs up the caller, unless the dialplan said otherwise."""
    peer = await service.started()
    bridging = asyncio.ensure_future(service.client.execute("u-1", "bridge", "user/1001", wait=True))
    await service.switch.sent("sendmsg u-1")
    command_peer(service, peer).send(event("CHANNEL_HANGUP", Unique_ID="u-1", Hangup_Cause="USER_BUSY"))
    with pytest.raises(CallGone, match="USER_BUSY"):
        await bridging


async def test_commands_on_a_call_wait_for_each_other_unless_told_otherwise() -> None:
    async with call_on_desk() as (call, session, _):
        for lock, given in ((True, {}), (True, {"event_lock": True}), (False, {"event_lock": False})):
            queued = asyncio.ensure_future(session.execute("playback", "a.wav", wait=False, **given))
            command = await call.command()
            assert command.headers.get("event-lock") == ("true" if lock else None)
            call.peer.send(reply("+OK"))
            await queued


# -- 1.7 order, 1.8 blocking -------------------------------------------------------------------------------------------


async def test_events_keep_the_order_in_which_they_came(service: Service) -> None:
    """Event-Sequence is given at creation: 676 inversions in 12 902 events, and gaps are normal."""
    got: list[Event] = []
    service.on_event = got.append
    peer = await service.started()
    numbers = [7, 5, 6, 900, 8]
    peer.send(b"".join(event("CHANNEL_ANSWER", Unique_ID="u", Event_Sequence=str(n)) for n in numbers))
    await service.until("CHANNEL_ANSWER u", times=5)
    assert [int(found.get("Event-Sequence")) for found in got] == numbers


async def test_a_slow_command_holds_up_no_event(service: Service) -> None:
    """``api`` blocks its own connection: events behind one of 1.5 s came after 1.5 s."""
    held: list[Peer] = []

    def answer(peer: Peer, command: Command) -> bytes | None:
        if command.line == "api slow":
            held.append(peer)
            return b""
        return None

    service.switch.answer = answer
    peer = await service.started()
    slow = asyncio.ensure_future(service.client.api("slow"))
    await service.switch.sent("api slow")
    assert held == [command_peer(service, peer)], "commands go over the other connection"
    peer.send(event("CHANNEL_ANSWER", Unique_ID="meanwhile"))
    await service.until("CHANNEL_ANSWER meanwhile")
    assert not slow.done()
    held[0].send(api_response("+OK"))
    assert await slow == "+OK"


async def test_calls_are_taken_over_version_six() -> None:
    sessions: asyncio.Queue[str] = asyncio.Queue()

    async def on_session(session: object) -> None:
        sessions.put_nowait(session.unique_id)  # type: ignore[attr-defined]

    server = OutboundServer("::1", 0, on_session, max_sessions=1, events=("RECORD_STOP",))
    port = await server.start()
    reader, writer = await asyncio.open_connection("::1", port)
    call = FakeCall(Peer(reader, writer), "u-6")
    await call.greet()
    assert await asyncio.wait_for(sessions.get(), 5) == "u-6"
    writer.close()
    await server.stop(0)
