"""The client of a node against a peer on loopback that answers, lies, stalls and dies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.common.errors import CallGone, Conflict, SwitchTimeout, SwitchUnavailable, UnsafeCommandError
from services.common.esl import Event
from services.common.esl import node as node_module
from services.common.esl.node import Down, Up
from tests.integration.esl_kit import Service, service_on_switch
from tests.integration.esl_peer import (
    FAREWELL,
    REJECTION,
    Command,
    FakeSwitch,
    Peer,
    api_response,
    event,
    reply,
)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with service_on_switch() as service:
        yield service


@pytest.fixture
async def switch(service: Service) -> FakeSwitch:
    return service.switch


async def poked(peer: Peer) -> bool:
    """Whether a newline more comes within half a second."""
    peer.poked.clear()
    try:
        return await asyncio.wait_for(peer.poked.wait(), 0.5)
    except TimeoutError:
        return False


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"node": "fs1"}) or 0.0


async def test_a_node_comes_up_with_its_identity_and_answers(service: Service, switch: FakeSwitch) -> None:
    await service.started()
    client = service.client
    assert client.up
    assert (client.core_uuid, client.switchname) == ("core-1", "+OK switchname")
    assert await client.api("status") == "+OK status"
    assert await client.pipeline(["a", "b", "c"]) == ["+OK a", "+OK b", "+OK c"]
    assert await client.pipeline([]) == []
    assert await asyncio.gather(*(client.api(f"n {n}") for n in range(100))) == [
        f"+OK n {n}" for n in range(100)
    ]
    assert metric("peyvand_esl_up") == 1


async def test_the_subscription_is_json_with_custom_last(service: Service, switch: FakeSwitch) -> None:
    await service.client.start()
    assert (
        await switch.sent("event json BACKGROUND_JOB")
    ).line == "event json BACKGROUND_JOB CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP"
    assert (
        await switch.sent("event json CHANNEL_ANSWER")
    ).line == "event json CHANNEL_ANSWER HEARTBEAT CUSTOM peyvand::waiting"


async def test_unsafe_commands_are_refused_before_a_byte_is_written(service: Service) -> None:
    await service.started()
    for line in ("status\n\nexit", "reload mod_event_socket"):
        with pytest.raises(UnsafeCommandError):
            await service.client.api(line)
        with pytest.raises(UnsafeCommandError):
            await service.client.bgapi(line)
    with pytest.raises(UnsafeCommandError):
        await service.client.execute("u 1\nevil: yes", "answer")
    assert await service.client.api("ok") == "+OK ok"


async def test_events_come_in_order_and_a_failing_handler_loses_only_its_own(service: Service) -> None:
    def fail_once(event: Event) -> None:
        if event.unique_id == "u-3":
            raise ValueError("handler")

    service.on_event = fail_once
    peer = await service.started()
    with capture_logs() as logs:
        peer.send(b"".join(event("CHANNEL_ANSWER", Unique_ID=f"u-{n}") for n in range(2000)))
        await service.until("CHANNEL_ANSWER u-1999")
    assert [entry for entry in service.diary if entry.startswith("CH")] == [
        f"CHANNEL_ANSWER u-{n}" for n in range(2000)
    ]
    assert [entry["event"] for entry in logs] == ["event_handler_failed"]


async def test_events_wait_until_the_service_has_read_the_state(service: Service, switch: FakeSwitch) -> None:
    # the first event stands right behind the reply to the subscription, in the same packet
    early = event("CHANNEL_ANSWER", Unique_ID="early")
    switch.answer = lambda peer, command: (
        reply("+OK") + early if command.line.startswith("event json CHANNEL") else None
    )
    may_go_on = asyncio.Event()
    service.on_up = may_go_on.wait  # type: ignore[assignment]
    await service.client.start()
    peer = await switch.subscriber()
    await service.until("up?")
    peer.send(event("CHANNEL_ANSWER", Unique_ID="later"))
    assert await service.client.api("show channels") == "+OK show channels"
    assert service.diary == ["up?"]
    may_go_on.set()
    await service.until("CHANNEL_ANSWER later")
    assert service.diary == ["up?", "up", "CHANNEL_ANSWER early", "CHANNEL_ANSWER later"]


async def test_a_lost_connection_fails_callers_tells_the_service_last_and_is_made_again(
    service: Service, switch: FakeSwitch
) -> None:
    def answer(peer: Peer, command: Command) -> bytes | None:
        if command.line == "api hang":
            # the answer ends in the middle of its body
            peer.send(b"Content-Type: api/response\nContent-Length: 100\n\n+OK")
            peer.close()
            return b""
        return None

    switch.answer = answer
    peer = await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate x &park()"))
    app = asyncio.ensure_future(service.client.execute("u-1", "playback", "x", wait=True))
    await switch.sent("sendmsg u-1")
    peer.send(event("CHANNEL_ANSWER", Unique_ID="last"))
    await service.until("CHANNEL_ANSWER last")
    with pytest.raises(SwitchUnavailable, match="unknown"):
        await service.client.api("hang")
    for waiting in (job, app):
        with pytest.raises(SwitchUnavailable):
            await waiting
    switch.core_uuid = "core-2"
    await service.until("up", times=2)
    assert service.diary == ["up?", "up", "CHANNEL_ANSWER last", "down closed", "up?", "up"]
    assert service.client.core_uuid == "core-2"
    again = await switch.subscriber()
    again.send(event("CHANNEL_ANSWER", Unique_ID="new"))
    await service.until("CHANNEL_ANSWER new")


async def test_while_a_node_is_down_commands_fail_at_once(service: Service) -> None:
    with pytest.raises(SwitchUnavailable, match="not connected yet"):
        await service.client.api("status")
    with pytest.raises(SwitchUnavailable):
        await service.client.bgapi("status")
    with pytest.raises(SwitchUnavailable):
        await service.client.execute("u", "answer", wait=True)
    with pytest.raises(SwitchUnavailable):
        await service.client.execute("u", "answer")


async def test_a_wrong_password_is_told_once_and_tried_until_it_is_right(
    service: Service, switch: FakeSwitch
) -> None:
    switch.password = "other"
    with capture_logs() as logs:
        await service.client.start()
        for _ in range(4):
            await switch.sent("auth ")
        await service.until("down denied")
        switch.password = "ClueCon"
        await service.until("up")
    assert service.diary == ["down denied", "up?", "up"]
    told = [entry for entry in logs if entry["event"] == "switch_not_connected"]
    assert [entry["kind"] for entry in told] == ["denied"]
    assert "password" in told[0]["reason"]
    assert "ClueCon" not in str(logs)


async def test_a_forbidden_address_a_missing_listener_and_a_silent_one_are_told_apart(
    service: Service, switch: FakeSwitch
) -> None:
    switch.greeting = REJECTION + FAREWELL
    service.make(connect_timeout_s=0.1)
    await service.client.start()
    await service.until("down rejected")
    switch.greeting = b""
    await service.until("down silent")
    await switch.stop()
    await service.until("down no_listener")
    switch.greeting = b"Content-Type: auth/request\n\n"
    await switch.start(switch.port)
    await service.until("up")
    assert [entry for entry in service.diary if entry.startswith("down")][-1] == "down no_listener"


async def test_the_switchs_farewell_is_the_reason(service: Service, switch: FakeSwitch) -> None:
    reasons: list[str] = []
    service.client._on_down = reasons.append
    peer = await service.started()
    peer.send(b"Content-Type: text/disconnect-notice\nContent-Length: 31\n\nThe system is being shut down.\n")
    peer.close()
    await service.until("up", times=2)
    assert reasons == ["closed: The system is being shut down."]


async def test_a_late_answer_goes_to_nobody_and_the_next_ones_to_the_right_callers(
    service: Service, switch: FakeSwitch
) -> None:
    held: list[Peer] = []

    def answer(peer: Peer, command: Command) -> bytes | None:
        if command.line == "api slow":
            held.append(peer)
            return b""
        return b"" if held else None

    switch.answer = answer
    await service.started()
    with pytest.raises(SwitchTimeout, match="slow"):
        await service.client.api("slow", timeout_s=0.02)
    second = asyncio.ensure_future(service.client.api("second"))
    await switch.sent("api second")
    held[0].send(api_response("answer to slow") + api_response("answer to second"))
    assert await second == "answer to second"


async def test_a_job_that_overtakes_its_reply_is_not_lost(service: Service, switch: FakeSwitch) -> None:
    def answer(peer: Peer, command: Command) -> bytes | None:
        if command.line.startswith("bgapi "):
            job_id = command.headers["job-uuid"]
            return event("BACKGROUND_JOB", "+OK done\n", Job_UUID=job_id) + reply(f"+OK Job-UUID: {job_id}")
        return None

    switch.answer = answer
    await service.started()
    assert await service.client.bgapi("originate x", job_id="mine") == "+OK done\n"
    assert (await switch.sent("bgapi originate x")).headers["job-uuid"] == "mine"
    assert await service.client.bgapi("originate y", job_id="mine") == "+OK done\n"
    assert await service.client.api("next") == "+OK next"


async def test_a_refused_job_answers_with_the_refusal_and_one_id_runs_once(
    service: Service, switch: FakeSwitch
) -> None:
    switch.answer = lambda peer, command: (
        reply("-ERR command not found") if command.line == "bgapi bad" else None
    )
    await service.started()
    assert await service.client.bgapi("bad") == "-ERR command not found"
    running = asyncio.ensure_future(service.client.bgapi("good", job_id="j"))
    await switch.sent("bgapi good")
    with pytest.raises(Conflict):
        await service.client.bgapi("good", job_id="j")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(SwitchTimeout):
        await service.client.bgapi("good", job_id="j", timeout_s=0.02)


async def test_newlines_fetch_events_while_a_job_is_waited_for(service: Service, switch: FakeSwitch) -> None:
    peer = await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate x"))
    command = await switch.sent("bgapi originate x")
    for one in switch.peers:
        for _ in range(3):
            one.poked.clear()
            await asyncio.wait_for(one.poked.wait(), 5)
    commands = next(one for one in switch.peers if one is not peer)
    commands.send(event("BACKGROUND_JOB", "+OK", Job_UUID=command.headers["job-uuid"]))
    assert await job == "+OK"


async def test_who_asks_for_prompt_events_has_them_fetched_until_nothing_happens_any_more(
    service: Service, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "PROMPT_FOR_S", 0.1)
    service.make(prompt=True)
    peer = await service.started()
    assert peer.pokes == 0, "a node on which nothing happens is left in peace"
    peer.send(event("CHANNEL_ANSWER", Unique_ID="u-1"))
    for _ in range(3):
        peer.poked.clear()
        await asyncio.wait_for(peer.poked.wait(), 5)
    async with asyncio.timeout(5):
        while await poked(peer):
            pass
    assert switch.pokes == peer.pokes, "nobody waits on the command socket"


async def test_an_application_is_matched_by_the_id_we_gave_it(service: Service, switch: FakeSwitch) -> None:
    peer = await service.started()
    commands = next(one for one in switch.peers if one is not peer)
    first = asyncio.ensure_future(
        service.client.execute("u-1", "playback", "a.wav", wait=True, event_lock=True)
    )
    await switch.sent("filter Unique-ID u-1")
    one = await switch.sent("sendmsg u-1")
    second = asyncio.ensure_future(service.client.execute("u-1", "playback", "b.wav", wait=True))
    two = await switch.sent("sendmsg u-1")
    assert (one.body, one.headers["event-lock"]) == ("a.wav", "true")
    assert "event-lock" not in two.headers
    ids = [command.headers["event-uuid"] for command in (one, two)]
    for app_id, text in ((ids[1], "second"), ("somebody-elses", "other"), (ids[0], "first")):
        commands.send(
            event(
                "CHANNEL_EXECUTE_COMPLETE",
                Unique_ID="u-1",
                Application_UUID=app_id,
                Application_Response=text,
            )
        )
    done = [await first, await second]
    assert [event.get("Application-Response") for event in done if event] == ["first", "second"]
    assert (await switch.sent("filter delete")).line == "filter delete Unique-ID u-1"
    assert await service.client.execute("u-1", "answer") is None


async def test_an_application_on_a_call_that_is_gone_says_so(service: Service, switch: FakeSwitch) -> None:
    switch.answer = lambda peer, command: (
        reply("-ERR invalid session id [gone]") if command.line == "sendmsg gone" else None
    )
    peer = await service.started()
    for wait in (True, False):
        with pytest.raises(CallGone, match="invalid session"):
            await service.client.execute("gone", "playback", "a.wav", wait=wait)
    playing = asyncio.ensure_future(service.client.execute("u-1", "playback", "a.wav", wait=True))
    await switch.sent("sendmsg u-1")
    next(one for one in switch.peers if one is not peer).send(
        event("CHANNEL_HANGUP", Unique_ID="u-1", Hangup_Cause="ORIGINATOR_CANCEL")
    )
    with pytest.raises(CallGone, match="ORIGINATOR_CANCEL"):
        await playing


async def test_a_backlog_closes_our_own_sockets_delivers_what_is_there_and_starts_over(
    service: Service, switch: FakeSwitch
) -> None:
    service.make(max_backlog=50)
    stuck: list[bool] = []

    async def read_state() -> None:
        if not stuck:
            stuck.append(True)
            await asyncio.Event().wait()

    service.on_up = read_state
    closes = metric("peyvand_esl_backlog_closes_total")
    await service.client.start()
    peer = await switch.subscriber()
    await service.until("up?")
    peer.send(b"".join(event("CHANNEL_ANSWER", Unique_ID=str(n)) for n in range(60)))
    await service.until("up")
    assert metric("peyvand_esl_backlog_closes_total") == closes + 1
    events = [entry for entry in service.diary if entry.startswith("CHANNEL")]
    assert len(events) > 50
    assert events == [f"CHANNEL_ANSWER {n}" for n in range(len(events))]
    assert service.diary == ["up?", *events, "down backlog", "up?", "up"]


async def test_a_node_that_is_lost_in_the_turn_in_which_it_came_up_is_connected_again(
    service: Service,
) -> None:
    await service.started()
    node = service.client._node

    def up_and_lost() -> None:  # what the node tells, with no turn of the event loop between
        node.inbox.append(Up("core-1", "fs1"))
        node.wake()
        node._lost_now()
        node.inbox.append(Down("closed: at once"))
        node.wake()
        told.set()

    told = threading.Event()
    service.client._hub.post(up_and_lost)
    assert told.wait(5)  # the event loop must not turn meanwhile
    await service.until("down closed")
    assert service.diary == ["up?", "up", "down closed"]


async def test_a_state_that_cannot_be_read_is_read_again_on_a_new_connection(service: Service) -> None:
    failures = [ValueError("bad"), SwitchTimeout("slow")]

    async def read_state() -> None:
        if failures:
            raise failures.pop(0)

    service.on_up = read_state
    with capture_logs() as logs:
        await service.client.start()
        await service.until("up")
    assert service.diary == ["up?", "down resync", "up?", "down resync", "up?", "up"]
    assert [entry["log_level"] for entry in logs if entry["event"] == "switch_resync_failed"] == [
        "error",
        "warning",
    ]


async def test_a_large_command_is_written_whole_with_others_behind_it(
    service: Service, switch: FakeSwitch
) -> None:
    switch.answer = lambda peer, command: (
        api_response(str(len(command.line))) if command.line.startswith("api ") else None
    )
    await service.started()
    large = "x" * 8_000_000
    answers = await asyncio.gather(
        service.client.api(large), service.client.api("small"), service.client.api("also")
    )
    assert list(answers) == ["8000004", "9", "8"]


async def test_broken_events_are_counted_shown_once_and_survived(service: Service) -> None:
    peer = await service.started()
    before = metric("peyvand_esl_malformed_total")
    broken = b"Content-Length: 7\nContent-Type: text/event-json\n\n{oops!}"
    with capture_logs() as logs:
        peer.send(broken + broken + event("CHANNEL_ANSWER", Unique_ID="good"))
        await service.until("CHANNEL_ANSWER good")
    assert metric("peyvand_esl_malformed_total") == before + 2
    assert [entry["event"] for entry in logs] == ["event_malformed"]


@pytest.mark.parametrize(
    "garbage", [b"Content-Length: x\n\n", reply("+OK nobody asked")], ids=["length", "reply"]
)
async def test_a_stream_that_makes_no_sense_is_given_up_and_begun_anew(
    service: Service, garbage: bytes
) -> None:
    peer = await service.started()
    peer.send(garbage)
    await service.until("up", times=2)
    assert service.diary == ["up?", "up", "down broken", "up?", "up"]


async def test_stop_fails_callers_and_tells_nothing_more(service: Service, switch: FakeSwitch) -> None:
    await service.started()
    job = asyncio.ensure_future(service.client.bgapi("originate x"))
    await switch.sent("bgapi originate x")
    told = list(service.diary)
    await service.client.stop()
    with pytest.raises(SwitchUnavailable):
        await job
    assert not service.client.up
    assert service.diary == told
    with pytest.raises(SwitchUnavailable):
        await service.client.api("status")
