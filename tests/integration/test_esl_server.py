"""The server of calls that FreeSWITCH hands to us, against the calling end on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.common.errors import CallGone, SwitchTimeout, UnsafeCommandError
from services.common.esl import Event, OutboundSession, multiset
from services.common.esl import link as link_module
from services.common.esl import server as server_module
from services.simswitch.core.subscription import MYEVENTS
from tests.integration.esl_kit import Desk, desk_open, greeted
from tests.integration.esl_peer import api_response, call_to, event, reply

LINGER = b"Content-Type: text/disconnect-notice\nControlled-Session-UUID: u-1\nContent-Disposition: linger\nContent-Length: 0\n\n"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_open() as desk:
        yield desk


def gauge(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_call_is_greeted_in_one_go_and_described(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        unwanted = call.greeting.pop(3).split()
        assert call.greeting == ["connect", "linger", "myevents json", "event json RECORD_STOP"]
        assert unwanted[0] == "nixevent"
        # FreeSWITCH writes nothing of what is named here; the rest of what ``myevents`` asks for is what a session waits for.
        wanted = {"DTMF", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"}
        assert set(unwanted[1:]) == MYEVENTS - wanted
        assert session.unique_id == "u-1"
        assert session.channel.variable("cc_entry") == "*22"
        assert session.channel.get("Caller-Caller-ID-Name") == "Bob\nUnique-ID: victim"
        assert not session.hung_up
        assert gauge("peyvand_esl_sessions") == 1


async def test_events_right_behind_the_greeting_reach_the_session(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        greeting = asyncio.ensure_future(call.greet())
        session = await desk.session()
        await greeting
        call.peer.send(b"".join(event("DTMF", Unique_ID="u-1", DTMF_Digit=str(n)) for n in range(5)))
        digits = [await session.next_event(5) for _ in range(5)]
        assert [digit.get("DTMF-Digit") for digit in digits if digit] == list("01234")
        assert await session.next_event(0.01) is None
        assert not session.ended


async def test_an_application_ends_with_its_own_completion(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        first = asyncio.ensure_future(session.execute("playback", "a.wav"))
        one = await call.app("playback")
        second = asyncio.ensure_future(session.execute("playback", "b.wav"))
        two = await call.app("playback")
        call.complete(two, Application_Response="two")
        call.complete(one, Application_Response="one")
        assert (await first).get("Application-Response") == "one"
        assert (await second).get("Application-Response") == "two"
        queued = asyncio.ensure_future(session.execute("set", "a=b", wait=False))
        await call.app("set")
        assert await queued is None


async def test_api_answers_on_the_calls_own_socket(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        asked = asyncio.ensure_future(session.api("uuid_break u-1 all"))
        assert (await call.command()).line == "api uuid_break u-1 all"
        call.peer.send(api_response("+OK"))
        assert await asked == "+OK"


async def test_a_hangup_fails_whoever_waits_and_the_socket_closes_after_the_last_event(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        playing = asyncio.ensure_future(session.execute("playback", "a.wav"))
        await call.app("playback")
        call.hang_up()
        with pytest.raises(CallGone, match="NORMAL_CLEARING"):
            await playing
        assert session.hung_up
        with pytest.raises(CallGone):
            await session.execute("playback", "b.wav")  # FreeSWITCH would say +OK and never run it
        call.hang_up_complete()
        assert [event.name async for event in session.events] == ["CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"]
        assert session.ended
        assert await call.ended()
        session.leave()


async def test_the_hangup_of_another_leg_is_no_hangup_of_ours(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        call.peer.send(
            event("CHANNEL_HANGUP", Unique_ID="other") + event("CHANNEL_HANGUP_COMPLETE", Unique_ID="other")
        )
        assert await session.next_event(5)
        assert await session.next_event(5)
        assert not session.hung_up
        assert not session.ended


async def test_the_notice_that_the_socket_lingers_means_hung_up(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        playing = asyncio.ensure_future(session.execute("playback", "a.wav"))
        await call.app("playback")
        call.peer.send(LINGER)
        with pytest.raises(CallGone):
            await playing
        call.hang_up_complete()
        assert await session.next_event(5)
        assert await session.next_event() is None
        assert session.hung_up


async def test_a_lost_socket_fails_whoever_waits_but_is_no_hangup(desk: Desk) -> None:
    call_context = call_to(desk.port)
    call = await call_context.__aenter__()
    session = await greeted(call, desk)
    playing = asyncio.ensure_future(session.execute("playback", "a.wav"))
    listening = asyncio.ensure_future(session.next_event())
    await call.app("playback")
    await call_context.__aexit__(None, None, None)
    with pytest.raises(CallGone):
        await playing
    assert await listening is None
    assert session.ended
    assert not session.hung_up
    with pytest.raises(CallGone):
        await session.api("status")


async def test_one_call_too_many_is_turned_away_and_the_next_place_is_given_again(desk: Desk) -> None:
    refused = gauge("peyvand_esl_sessions_refused_total", reason="full")
    async with call_to(desk.port, "u-1") as one, call_to(desk.port, "u-2") as two:
        await greeted(one, desk)
        await greeted(two, desk)
        async with call_to(desk.port, "u-3") as three:
            assert await asyncio.wait_for(three.peer.reader.read(), 5) == b""
        assert gauge("peyvand_esl_sessions_refused_total", reason="full") == refused + 1
        one.hang_up_complete()
        assert await one.ended()
        desk.release.set()
        async with call_to(desk.port, "u-4") as four:
            assert (await greeted(four, desk)).unique_id == "u-4"


async def test_a_hand_over_sets_the_variables_and_lets_go_in_one_write(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        session.leave(("multiset", multiset({"cc_state": "handover", "cc_queue": "sales"})))
        session.leave()
        variables = await call.command()
        assert variables.headers["execute-app-name"] == "multiset"
        assert variables.headers["event-lock"] == "true"
        assert variables.body == "^^;cc_state=handover;cc_queue=sales"
        assert (await call.command()).line == "exit"
        assert not session.ended, "a socket that is closed before its commands are read loses them"
        call.peer.send(reply("+OK") + reply("+OK bye"))
        assert await call.ended()
        assert await session.next_event() is None
        assert session.ended
        assert not session.hung_up


@pytest.mark.parametrize(
    "error", [None, ValueError("bug"), CallGone("u-1: gone")], ids=["returns", "fails", "gone"]
)
async def test_however_the_coroutine_ends_the_call_is_let_go(desk: Desk, error: Exception | None) -> None:
    async def work(session: OutboundSession) -> None:
        if error is not None:
            raise error

    desk.work = work
    async with call_to(desk.port) as call:
        with capture_logs() as logs:
            await call.greet()
            assert (await call.command()).line == "exit"
            call.peer.send(reply("+OK bye"))
            assert await call.ended()
        levels = {entry["event"]: entry["log_level"] for entry in logs}
        assert levels.get("session_failed") == ("error" if isinstance(error, ValueError) else None)


async def test_stop_takes_no_more_calls_and_lets_the_rest_go(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        await greeted(call, desk)
        stopping = asyncio.ensure_future(desk.server.stop(0.01))
        assert (await call.command()).line == "exit"
        call.peer.send(reply("+OK bye"))
        await stopping
        assert await call.ended()
        assert desk.server.sessions == 0
        with pytest.raises(OSError, match=r"refused|Connect"):
            async with call_to(desk.port):
                pass


async def test_stop_waits_for_calls_that_end_by_themselves(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        await greeted(call, desk)
        stopping = asyncio.ensure_future(desk.server.stop(60))
        desk.release.set()
        assert (await call.command()).line == "exit"
        call.peer.send(reply("+OK bye"))
        await asyncio.wait_for(stopping, 5)


async def test_a_socket_without_full_control_is_reported(desk: Desk) -> None:
    with capture_logs() as logs:
        async with call_to(desk.port) as call:
            await call.greet(limited=True)
            session = await desk.session()
            asked = asyncio.ensure_future(session.api("status"))
            await call.command()
            call.peer.send(reply("-ERR command not found"))
            assert await asked == "-ERR command not found"
    assert [entry["expected"] for entry in logs if entry["event"] == "outbound_socket_limited"] == [
        "socket HOST:PORT async full"
    ]


async def test_who_does_not_answer_the_greeting_is_closed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_BEGIN_S", 0.05)
    refused = gauge("peyvand_esl_sessions_refused_total", reason="greeting")
    async with call_to(desk.port) as silent:
        assert await asyncio.wait_for(silent.peer.reader.read(), 5) != b""
    async with call_to(desk.port) as wrong:
        wrong.peer.send(reply("-ERR what?"))
        await asyncio.wait_for(wrong.peer.reader.read(), 5)
    async with call_to(desk.port) as right:
        await greeted(right, desk)
    assert gauge("peyvand_esl_sessions_refused_total", reason="greeting") == refused + 2


def stranger(port: int) -> threading.Thread:
    """A thread that calls, and ends when it is let go."""

    def call() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            while sock.recv(4096):
                pass

    thread = threading.Thread(target=call)
    thread.start()
    return thread


async def test_while_the_event_loop_stands_still_calls_are_let_go_and_then_served_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_BEGIN_S", 5.0)
    refused = gauge("peyvand_esl_sessions_refused_total", reason="slow")
    callers = [stranger(desk.port) for _ in range(2)]
    for caller in callers:
        caller.join(30)  # on the event loop, which takes nobody meanwhile
        assert not caller.is_alive()
    assert gauge("peyvand_esl_sessions_refused_total", reason="slow") == refused + 2
    guard = desk.server._listener._guard
    assert guard is not None
    while guard.still_s:  # until then it may take another one
        await asyncio.sleep(0.01)
    async with call_to(desk.port, "u-3") as three:
        assert (await greeted(three, desk)).unique_id == "u-3"


async def test_a_call_that_the_event_loop_took_and_does_not_begin_is_let_go(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_SLOW_S", 60.0)
    monkeypatch.setattr(link_module, "_BEGIN_S", 1.0)
    refused = gauge("peyvand_esl_sessions_refused_total", reason="slow")
    caller = stranger(desk.port)
    while not desk.server._listener._unbegun:
        await asyncio.sleep(0.001)
    caller.join(30)
    assert not caller.is_alive()
    assert gauge("peyvand_esl_sessions_refused_total", reason="slow") > refused


async def test_a_session_is_closed_when_the_last_event_never_comes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_LINGER_MAX_S", 0.05)
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        call.hang_up()
        assert await call.ended()
        assert [event.name async for event in session.events] == ["CHANNEL_HANGUP"]


async def test_an_application_that_takes_too_long_is_given_up_and_its_completion_ignored(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        playing = asyncio.ensure_future(session.execute("playback", "a.wav", timeout_s=0.05))
        app_id = await call.app("playback")
        with pytest.raises(SwitchTimeout, match="playback"):
            await playing
        call.complete(app_id)
        call.peer.send(event("DTMF", Unique_ID="u-1", DTMF_Digit="1"))
        first = await session.next_event(5)
        assert first is not None
        assert first.name == "DTMF"


async def test_variables_are_set_and_told_with_one_write_and_a_call_that_is_gone_says_so(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        values, headers = {"cc_queue": "sales", "cc_class": ""}, {"Leg": "u-1"}
        answers: asyncio.Queue[Exception | None] = asyncio.Queue()
        session.set_and_tell(values, "peyvand::handover", headers, answers.put_nowait)
        set_ = await call.command()
        told = await call.command()
        assert set_.line == "api uuid_setvar_multi u-1 cc_queue=sales;cc_class="
        assert told.line == "sendevent CUSTOM"
        assert told.headers == {"event-subclass": "peyvand::handover", "leg": "u-1"}
        call.peer.send(api_response("+OK\n") + reply("+OK 1"))
        assert await asyncio.wait_for(answers.get(), 5) is None
        session.set_and_tell(values, "peyvand::handover", headers, answers.put_nowait)
        await call.command()
        call.peer.send(api_response("-ERR No such channel!\n") + reply("+OK 2"))
        gone = await asyncio.wait_for(answers.get(), 5)
        assert isinstance(gone, CallGone)
        assert "No such channel" in str(gone)
        with pytest.raises(UnsafeCommandError):
            session.set_and_tell({"cc_queue": "a;b"}, "peyvand::handover", headers, answers.put_nowait)
        session.set_and_tell(values, "peyvand::handover", headers, answers.put_nowait)
        await call.command()
        call.peer.close()
        assert isinstance(await asyncio.wait_for(answers.get(), 5), CallGone)


async def test_a_listener_hears_what_came_before_it_and_of_the_end(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        heard: asyncio.Queue[str] = asyncio.Queue()
        call.peer.send(event("DTMF", Unique_ID="u-1", DTMF_Digit="1"))
        while not session._unread:
            await asyncio.sleep(0.001)
        session.listen(
            lambda e: heard.put_nowait(e.get("DTMF-Digit") or e.name), lambda: heard.put_nowait("over")
        )
        call.peer.send(event("DTMF", Unique_ID="u-1", DTMF_Digit="2"))
        call.hang_up_complete()
        assert [await asyncio.wait_for(heard.get(), 5) for _ in range(4)] == [
            "1", "2", "CHANNEL_HANGUP_COMPLETE", "over",
        ]  # fmt: skip
        late: list[str] = []
        session.listen(lambda e: late.append(e.name), lambda: late.append("over"))
        assert late == ["over"]


async def test_an_application_tells_its_end_or_why_there_will_be_none(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        ends: asyncio.Queue[Event | Exception] = asyncio.Queue()
        session.run("playback", "a.wav", ends.put_nowait)
        session.run("set", "a=b")
        call.complete(await call.app("playback"), Application_Response="FILE PLAYED")
        await call.app("set")
        one = await asyncio.wait_for(ends.get(), 5)
        assert isinstance(one, Event)
        assert one.get("Application-Response") == "FILE PLAYED"
        session.run("playback", "b.wav", ends.put_nowait)
        await call.app("playback")
        call.hang_up()
        assert isinstance(await asyncio.wait_for(ends.get(), 5), CallGone)
        session.run("playback", "c.wav", ends.put_nowait)
        assert isinstance(await asyncio.wait_for(ends.get(), 5), CallGone)
        call.hang_up_complete()


async def test_newlines_fetch_events_while_a_call_is_held(desk: Desk) -> None:
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        asked = asyncio.ensure_future(call.command())
        for _ in range(3):
            call.peer.poked.clear()
            await asyncio.wait_for(call.peer.poked.wait(), 5)
        api = asyncio.ensure_future(session.api("status"))
        assert (await asked).line == "api status"
        call.peer.send(api_response("UP"))
        assert await api == "UP"


async def test_among_many_calls_no_newlines_are_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_POKE_USELESS_S", 0.0)  # as if there were many
    async with call_to(desk.port) as call:
        session = await greeted(call, desk)
        before = call.peer.pokes
        for number in range(200):
            session.set_variables({"n": str(number)})
            assert (await call.command()).line == f"api uuid_setvar_multi u-1 n={number}"
            call.peer.send(api_response("+OK"))
        assert call.peer.pokes - before <= 1, "one may have been on its way"


async def test_events_nobody_reads_push_out_the_oldest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_MAX_UNREAD", 10)
    with capture_logs() as logs:
        async with call_to(desk.port) as call:
            session = await greeted(call, desk)
            call.peer.send(b"".join(event("DTMF", Unique_ID="u-1", DTMF_Digit=str(n)) for n in range(30)))
            call.hang_up_complete()
            assert await call.ended()
            kept = [event.get("DTMF-Digit") async for event in session.events]
    assert kept == [*(str(n) for n in range(21, 30)), ""]
    assert [entry["event"] for entry in logs] == ["session_events_unread"]
