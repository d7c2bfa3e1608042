"""Rules of the event socket that clients trip over, on the simulated switch; texts and order as recorded or read from
mod_event_socket.c of 1.10.12 (transcripts of userauth, rude rejection, log and divert_events)."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest

from services.simswitch.core.command import CommandReader
from services.simswitch.core.directory import Directory, User
from services.simswitch.core.subscription import Subscription
from services.simswitch.core.wire import Event
from services.simswitch.node import EventSocket
from tests.integration.simswitch_kit import WAIT_S, Lab, Phone, lab

SOCKET = """<extension name="q"><condition field="destination_number" expression="^(.*)$">
<action application="socket" data="$${cc_ivr} MODE"/></condition></extension>"""


async def talk(port: int, data: bytes) -> str:
    """Everything that comes until the switch closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    got = await asyncio.wait_for(reader.read(-1), WAIT_S)
    writer.close()
    return got.decode()


def add_user(sw: Lab, **params: str) -> None:
    user = User("u", "d", params={f"esl-{k.replace('_', '-')}": v for k, v in params.items()})
    sw.switch.directory = Directory({("u", "d"): user})


async def test_userauth_tells_and_keeps_to_the_lists(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        add_user(
            sw,
            password="secret",
            allowed_log="false",
            allowed_events="CHANNEL_ANSWER CUSTOM a::b",
            allowed_api="status expand echo",
        )
        got = await talk(
            sw.socket.port,
            b"userauth u@d:secret\n\napi version\n\napi echo x\n\napi expand version\n\nbgapi originate x\n\n"
            b"event plain CHANNEL_ANSWER\n\nevent plain CHANNEL_CREATE\n\nevent plain ALL\n\nevent plain CUSTOM a::b\n\n"
            b"event plain CUSTOM c::d\n\nlog debug\n\nsendevent CUSTOM\n\nexit\n\n",
        )
        head = (
            "Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: +OK accepted\n"
            "Allowed-Events: CHANNEL_ANSWER CUSTOM a::b\nAllowed-API: status expand echo\nAllowed-LOG: false\n\n"
        )
        assert got.startswith(head)
        texts = [
            line.partition(": ")[2][:24] for line in got[len(head) :].split("\n") if "Reply-Text" in line
        ]
        denied, enabled = "-ERR permission denied", "+OK event listener enabl"
        assert texts[:2] == [denied, denied], "api version, api expand version"
        assert texts[2:9] == [denied, enabled, denied, denied, enabled, denied, denied]
        assert texts[9].startswith("+OK "), "sendevent is not controlled"
        assert "-ERR invalid" in await talk(sw.socket.port, b"userauth u@d:wrong\n\n")
        assert "+OK accepted" in await talk(sw.socket.port, b"userauth u:secret@d\n\nexit\n\n")


async def test_a_long_userauth_reply_is_cut_with_its_end(tmp_path: Path) -> None:
    """The reply buffer has 512 bytes: the blank line never comes, and the next reply is glued on."""
    async with lab(tmp_path) as sw:
        add_user(sw, password="secret", allowed_api=" ".join(f"api_command_{i}" for i in range(60)))
        got = await talk(sw.socket.port, b"userauth u@d:secret\n\nevent plain CHANNEL_ANSWER\n\nexit\n\n")
        reply = got.partition("command/reply\n")[2]
        cut = reply.index("Content-Type")
        assert len("~" + reply[:cut]) == 511
        assert "\n\n" not in reply[:cut]


async def test_a_stranger_is_rejected_before_a_word(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        guarded = EventSocket(sw.switch, "x", networks=(ip_network("10.0.0.0/8"),))
        await guarded.start("127.0.0.1", 0)
        got = await talk(guarded.port, b"")
        assert got == (
            "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
            "Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
            "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
        )
        await guarded.stop()


async def test_who_says_nothing_is_shown_the_door_who_said_something_wrong_is_not(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        hasty = EventSocket(sw.switch, "ClueCon", deadline_s=0.2)
        await hasty.start("127.0.0.1", 0)
        assert (await talk(hasty.port, b"")).endswith("http://www.cluecon.com/\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
        writer.write(b"api status\n\n")
        await reader.readuntil(b"not found\n\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.4)
        writer.close()
        await hasty.stop()


async def test_a_half_sent_command_holds_the_events_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json HEARTBEAT")
        client.write("api ec")
        await asyncio.sleep(0.05)
        sw.switch.heartbeat()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.replies.get(), 0.2)
        assert client.events == []
        client.write("ho x\n\n")
        assert (await client.reply())[1] == "x"
        await client.event("HEARTBEAT")


async def test_events_of_an_idle_connection_wait_and_a_bare_newline_fetches_them(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.poll_s = 5.0
        client = await sw.client("event json HEARTBEAT")
        sw.switch.heartbeat()
        await asyncio.sleep(0.1)
        assert client.events == []
        client.write("\n")
        await asyncio.wait_for(client.event("HEARTBEAT"), 1.0)


async def test_exit_waits_for_the_jobs_that_were_started(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.register("1001", Phone(after_s=0.5))
        client = await sw.client()
        await client.send("bgapi originate {origination_uuid=A}user/1001@peyvand.local &park()")
        assert await client.send("exit") == "+OK bye"
        assert not client.closed.is_set()
        assert not sw.switch.channels["A"].answered
        await asyncio.wait_for(client.closed.wait(), WAIT_S)
        assert sw.switch.channels["A"].answered


async def test_a_diverted_event_has_no_name_and_comes_here_only(tmp_path: Path) -> None:
    async with lab(tmp_path, dialplan=SOCKET.replace("MODE", "async full"), ivr_up=True) as sw:
        leg = sw.caller()
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        for command in ("connect", "myevents json", "divert_events on"):
            await ivr.send(command)
        other = await sw.client("event json MESSAGE")
        other.write(f"sendevent MESSAGE\nunique-id: {leg.uuid}\nX-Test: 1\ncontent-length: 5\n\nhello")
        assert (await other.reply())[0]["Reply-Text"].startswith("+OK ")
        await sw.until(lambda: any("X-Test" in e for e in ivr.events))
        (diverted,) = [e for e in ivr.events if "X-Test" in e]
        assert "Event-Name" not in diverted
        assert (diverted["_body"], diverted["content-length"], diverted["Content-Length"]) == (
            "hello",
            "5",
            "5",
        )
        assert other.events == []


async def test_without_async_the_reply_comes_when_the_application_is_done(tmp_path: Path) -> None:
    async with lab(tmp_path, dialplan=SOCKET.replace("MODE", "full"), ivr_up=True) as sw:
        sw.caller()
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        for command in ("connect", "myevents json"):
            await ivr.send(command)
        began = asyncio.get_running_loop().time()
        ivr.write(
            "sendmsg\ncall-command: execute\nexecute-app-name: playback\nexecute-app-arg: silence_stream://300\n\n"
        )
        assert (await ivr.reply())[0]["Reply-Text"] == "+OK"
        assert asyncio.get_running_loop().time() - began >= 0.3
        await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application="playback")


async def test_linger_with_seconds_ends_by_itself(tmp_path: Path) -> None:
    async with lab(tmp_path, dialplan=SOCKET.replace("MODE", "async full"), ivr_up=True) as sw:
        leg = sw.caller()
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        await ivr.send("connect")
        assert await ivr.send("linger 1") == "+OK will linger 1 seconds"
        await ivr.send("myevents json")
        leg.end("NORMAL_CLEARING", by="caller")
        notice, _ = await ivr.reply()
        assert (notice["Content-Disposition"], notice["Linger-Time"]) == ("linger", "1")
        await ivr.event("CHANNEL_HANGUP_COMPLETE")
        assert not leg.gone, "the socket holds the session"
        await asyncio.wait_for(ivr.closed.wait(), WAIT_S)
        await sw.until(lambda: leg.gone)


async def test_inbound_myevents_of_a_leg_and_of_nobody(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        leg, other = sw.caller(), sw.caller()
        mine, all_of_them = await sw.client("event json DTMF"), await sw.client("event json DTMF")
        assert await mine.send(f"myevents {leg.uuid}") == "+OK Events Enabled"
        assert await mine.send("myevents x") == "-ERR aready enabled."
        assert await all_of_them.send("myevents nobody") == "+OK Events Enabled"
        for each in (leg, other):
            await sw.until(lambda each=each: each.answered)
            each.press("1")
        await sw.until(lambda: sum(e["Event-Name"] == "DTMF" for e in all_of_them.events) == 2)
        assert {e["Unique-ID"] for e in mine.events} <= {leg.uuid}
        leg.end("NORMAL_CLEARING", by="caller")
        await asyncio.wait_for(mine.closed.wait(), WAIT_S)
        assert not all_of_them.closed.is_set()


async def test_log_lines_come_as_frames_of_their_own(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client()
        assert await client.send("log 7") == "+OK log level 7 [7]"
        assert await client.send("log nosuch") == "-ERR invalid log level"
        leg = sw.caller(uuid="A")
        headers, body = await client.reply()
        assert list(headers)[:3] == ["Content-Type", "Content-Length", "Log-Level"]
        assert (headers["Content-Type"], headers["Log-Func"], headers["User-Data"]) == (
            "log/data",
            "switch_channel_set_name",
            "A",
        )
        assert body.endswith(f"[NOTICE] switch_channel.c:1142 New Channel {leg.name} [A]\n")
        while (await client.reply())[1].startswith("EXECUTE") is False:
            pass
        client.write("nolog\n\n")
        while (reply := (await client.reply())[0])["Content-Type"] == "log/data":
            pass
        assert reply["Reply-Text"] == "+OK no longer logging"


async def test_xml_and_unicast_are_refused_with_a_reason(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        leg = sw.caller()
        client = await sw.client()
        assert "expected plain or json" in await client.send("event xml ALL")
        assert "unicast is not spoken" in await client.send(f"sendmsg {leg.uuid}\ncall-command: unicast")


def test_one_cr_in_a_value_swallows_the_lines_before_it() -> None:
    (command,) = CommandReader().feed(b"sendmsg uuid\ncall-command: execute\nx: a\rb: c\n\n")
    assert command.line == "sendmsg uuid\ncall-command: execute\nx: a"
    assert dict(command.headers) == {"b": "c"}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (["a /^x/"], True),
        (["a -/^x/"], False),  # compared literally, so it never matches, and alone it passes nothing
        (["a x1", "b -2"], False),
        (["a x1", "b -9"], True),
        (["a +x1"], True),
        (["b 1", "a X1"], True),
        (["a /(/"], False),
        (["add a x1"], True),
        (["a x1", "delete a"], True),
    ],
)
def test_filters(filters: list[str], passes: bool) -> None:
    sub = Subscription()
    sub.event(["ALL"])
    for text in filters:
        assert sub.filter(text).startswith("+OK")
    assert sub.takes(Event("X", {"a": "x1", "b": "2"})) is passes


@pytest.mark.parametrize("resume", ["", "socket_resume=true"])
async def test_a_controller_that_goes_before_it_speaks_takes_the_call_with_it_unless_it_resumes(
    tmp_path: Path, resume: str
) -> None:
    """As measured: the real switch parks the call for ever, or goes on at once."""
    accepted = asyncio.Event()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        accepted.set()

    ivr = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = ivr.sockets[0].getsockname()[1]
    dialplan = f"""<extension name="q"><condition field="destination_number" expression="^(.*)$">
        <action application="set" data="{resume or "a=b"}"/>
        <action application="socket" data="127.0.0.1:{port} async full"/>
        <action application="event" data="Event-Name=CUSTOM,Event-Subclass=went::on"/>
        <action application="park"/></condition></extension>"""
    async with lab(tmp_path, dialplan=dialplan) as sw:
        client = await sw.client("event json CHANNEL_PARK CUSTOM went::on")
        leg = sw.caller()
        await asyncio.wait_for(accepted.wait(), WAIT_S)
        if resume:
            await client.event("CUSTOM")
        else:
            await client.event("CHANNEL_PARK")
            await asyncio.sleep(0.1)  # it would have gone on by now
            assert (await client.api(f"uuid_transfer {leg.uuid} park: inline")).startswith("+OK")
            await sw.until(lambda: leg.app_log[-1][0] == "park")
            assert "event" not in [app for app, _, _ in leg.app_log]
        assert not leg.down
    ivr.close()
    await ivr.wait_closed()
