"""Faults on demand: each as a client sees it, how it ends by itself, what the ledger says; with our own ESL node too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import ConfigError, Refused
from services.simswitch.core.faults import Fault, complaints
from services.simswitch.scenario_file import parse
from tests.integration.simswitch_kit import WAIT_S, Client, Lab, Phone, lab


async def until_over(sw: Lab) -> None:
    await sw.until(lambda: not sw.switch.faults.active())


async def begun(sw: Lab, **fault: Any) -> int:
    number = sw.switch.faults.begin(Fault(**fault))
    await sw.until(lambda: any(f["number"] == number for f in sw.switch.faults.active()))
    return number


async def test_slow_holds_replies_events_and_jobs_and_ends_by_itself(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json HEARTBEAT BACKGROUND_JOB")
        loop = asyncio.get_running_loop()
        await begun(sw, kind="slow", for_s=1.2, reply_ms=150, event_ms=100, job_ms=200)
        began = loop.time()
        assert await client.api("echo a") == "a"
        assert loop.time() - began >= 0.15
        began = loop.time()
        sw.switch.heartbeat()
        await client.event("HEARTBEAT")
        assert loop.time() - began >= 0.1
        began = loop.time()
        await client.send("bgapi echo x\nJob-UUID: j")
        await client.event("BACKGROUND_JOB", Job_UUID="j")
        assert loop.time() - began >= 0.15 + 0.2 + 0.1
        await until_over(sw)
        assert [(x["what"], x["fault"]["kind"]) for x in sw.ledger.lines("fault")] == [
            ("began", "slow"),
            ("ended", "slow"),
        ]
        assert not sw.switch.faults.event_delay_s


async def test_a_kill_that_overtakes_a_slow_job_misses_and_the_phone_rings(tmp_path: Path) -> None:
    """On a real switch 2 of 30, when originate and kill came on two connections; here on one, too."""
    async with lab(tmp_path) as sw:
        phone = Phone("ring")
        sw.switch.register("1001", phone)
        client, other = await sw.client("event json CHANNEL_CREATE"), await sw.client()
        number = await begun(sw, kind="slow", for_s=60, job_ms=200)
        to = "user/1001@peyvand.local &park()"
        await client.send(f"bgapi originate {{origination_uuid=late}}{to}")
        for one in (other, client):
            assert await one.api("uuid_kill late") == "-ERR No such channel!"
        await client.event("CHANNEL_CREATE", Unique_ID="late")
        assert [leg.uuid for leg in phone.legs if not leg.down] == ["late"]
        assert await other.api("uuid_kill late") == "+OK"
        await sw.switch.faults.end(number)
        # Without the fault the leg is there when the job is acknowledged.
        await client.send(f"bgapi originate {{origination_uuid=soon}}{to}")
        assert await client.api("uuid_kill soon") == "+OK"


async def test_lossy_drops_events_and_kills_the_listener_beyond_500(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json CUSTOM a::b")
        await begun(sw, kind="lossy", for_s=30, after=2, lose=3)
        for i in range(7):
            sw.switch.fire("CUSTOM", subclass="a::b", tail={"n": str(i)})
        await client.event("CUSTOM", n="6")
        assert [e["n"] for e in client.events] == ["0", "1", "5", "6"], "no word about the three"
        await sw.switch.faults.end(1)
        await begun(sw, kind="lossy", for_s=30)
        for _ in range(500):
            sw.switch.fire("CUSTOM", subclass="a::b")
        assert await client.api("echo alive") == "alive"
        sw.switch.fire("CUSTOM", subclass="a::b")
        notice, body = await client.reply()
        assert notice["Content-Type"] == "text/disconnect-notice"
        assert body == "killed listener because of lost events\n"
        await asyncio.wait_for(client.closed.wait(), WAIT_S)


async def test_crash_while_a_leg_that_is_in_the_books_is_still_there(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        leg = sw.caller("1000")
        leg.end("NORMAL_CLEARING", by="caller")
        await sw.until(lambda: bool(sw.ledger.lines("leg")))
        sw.switch.add_channel(leg)  # Its last events are on their way.
        sw.switch.faults.begin(Fault(kind="restart", for_s=0.01))
        await sw.until(lambda: [x["what"] for x in sw.ledger.lines("fault")] == ["began", "ended"])
        assert not sw.switch.down
        assert [line["cause"] for line in sw.ledger.lines("leg")] == ["NORMAL_CLEARING"]


async def test_half_a_frame_and_then_a_reset(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        reader, writer = await asyncio.open_connection("127.0.0.1", sw.socket.port)
        writer.write(b"auth ClueCon\n\nevent json HEARTBEAT\n\n")
        await reader.readuntil(b"enabled json\n\n")
        await begun(sw, kind="half_frame")
        sw.switch.heartbeat()
        head = (await asyncio.wait_for(reader.readuntil(b"\n\n"), WAIT_S)).decode()
        length = int(head.split("Content-Length: ")[1].split("\n")[0])
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)) as e:
            await asyncio.wait_for(reader.readexactly(length), WAIT_S)
        assert isinstance(e.value, ConnectionResetError), "a reset, not an orderly end"
        other = await sw.client()
        assert await other.api("echo a") == "a"
        writer.close()


async def test_full_refuses_with_the_real_causes(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.register("1001", Phone())
        client = await sw.client()
        number = await begun(sw, kind="full", for_s=60, max_sessions=1)
        assert (await client.api("originate user/1001@peyvand.local &park()")).startswith("+OK")
        assert (
            await client.api("originate user/1001@peyvand.local &park()") == "-ERR DESTINATION_OUT_OF_ORDER"
        )
        with pytest.raises(Refused, match="Over Session Limit! 1"):
            sw.caller()
        assert sw.ledger.counts["refused"] == 1
        assert sw.ledger.lines("refused")[0]["entry"] == "1000"
        await sw.switch.faults.end(number)
        sw.caller()
        await begun(sw, kind="full", for_s=60, sps=0)
        with pytest.raises(Refused, match="Throttle"):
            sw.caller()


async def test_a_partition_is_silent_and_what_it_held_back_arrives(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json CHANNEL_CREATE HEARTBEAT")
        await begun(sw, kind="partition", for_s=1.0)
        leg = sw.caller()
        client.write("api echo late\n\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection("127.0.0.1", sw.socket.port), 0.3)
        assert client.events == []
        assert client.replies.empty()
        assert not leg.down, "calls go on"
        assert not client.closed.is_set(), "no reset"
        await until_over(sw)
        assert (await client.event("CHANNEL_CREATE"))["Unique-ID"] == leg.uuid
        assert (await client.reply())[1] == "late"
        assert await (await sw.client()).api("echo new") == "new"


async def test_a_partition_may_end_in_a_reset(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json HEARTBEAT")
        await begun(sw, kind="partition", for_s=0.2, heal="reset")
        sw.switch.heartbeat()
        await asyncio.wait_for(client.closed.wait(), WAIT_S)
        assert client.events == []


async def test_a_freeze_accepts_and_says_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        number = await begun(sw, kind="freeze", for_s=30)
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", sw.socket.port), 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        await sw.switch.faults.end(number)
        assert await asyncio.wait_for(reader.readuntil(b"\n\n"), WAIT_S) == b"Content-Type: auth/request\n\n"
        writer.close()


@pytest.mark.parametrize("how", ["acl", "password", "port"])
async def test_refused_in_three_ways(tmp_path: Path, how: str) -> None:
    async with lab(tmp_path) as sw:
        number = await begun(sw, kind="refuse", for_s=30, how=how)
        if how == "port":
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", sw.socket.port)
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", sw.socket.port)
            writer.write(b"auth ClueCon\n\n" if how == "password" else b"")
            got = await asyncio.wait_for(reader.read(-1), WAIT_S)
            rejection = (
                b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
                b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
            )
            assert got.startswith(rejection) if how == "acl" else b"Reply-Text: -ERR invalid\n\n" in got
            writer.close()
        await sw.switch.faults.end(number)
        await sw.until(lambda: sw.socket.listening)
        assert await (await sw.client()).api("echo in") == "in"


async def test_a_crash_takes_legs_and_records_and_comes_back_as_another_process(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.register("1001", Phone())
        client = await sw.client("event json ALL")
        leg = sw.caller()
        await client.event("CHANNEL_EXECUTE", Application="playback")
        before = await client.api("global_getvar core_uuid")
        await begun(sw, kind="restart", for_s=0.3)
        await asyncio.wait_for(client.closed.wait(), WAIT_S)
        assert not any(e["Event-Name"].startswith("CHANNEL_HANGUP") for e in client.events)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", sw.socket.port)
        with pytest.raises(Refused, match="down"):
            sw.caller()
        assert leg.gone
        assert sw.switch.channels == {}
        await sw.until(lambda: sw.socket.listening)
        again = await sw.client("event json HEARTBEAT")
        assert await again.api("global_getvar core_uuid") != before
        assert json.loads(await again.api("show channels as json")) == {"row_count": 0}
        assert "1001" in await again.api("show registrations as json"), "the database on disk kept it"
        assert not list((tmp_path / "cdr").glob("*.json"))
        assert sw.ledger.lines("call")[0]["cause"] == "CRASH"
        assert (await again.api("status")).split("\n")[2].startswith("0 session(s) since startup")


async def test_an_orderly_restart_hangs_up_records_and_says_goodbye(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.register("1001", Phone())
        client = await sw.client("event json CHANNEL_HANGUP_COMPLETE SHUTDOWN")
        leg = sw.caller()
        await sw.until(lambda: leg.answered)
        await begun(sw, kind="restart", for_s=0.1, graceful=True, registrations="lost")
        done = await client.event("CHANNEL_HANGUP_COMPLETE")
        assert done["Hangup-Cause"] == "SYSTEM_SHUTDOWN"
        await client.event("SHUTDOWN")
        assert (await client.reply())[1] == "The system is being shut down.\n"
        await asyncio.wait_for(client.closed.wait(), WAIT_S)
        assert (tmp_path / "cdr" / f"{leg.uuid}.cdr.json").exists()
        await until_over(sw)
        assert sw.switch.registered == {}


async def test_the_text_that_reloads_the_module_closes_every_connection_and_keeps_the_calls(
    tmp_path: Path,
) -> None:
    """Anywhere in a command; recorded as transcript 18: a response, then the notice to everybody."""
    async with lab(tmp_path) as sw:
        leg = sw.caller()
        client, other = await sw.client(), await sw.client()
        client.write(f"sendmsg {leg.uuid}\ncall-command: execute\nexecute-app-name: set\n")
        client.write("execute-app-arg: cid=please reload my mod_event_socket thanks\n\n")
        headers, body = await client.reply()
        assert (headers["Content-Length"], body[:15]) == ("51", "+OK Job-UUID: " + body[14:15])
        for each in (client, other):
            assert (await each.reply())[1] == "The system is being shut down.\n"
            await asyncio.wait_for(each.closed.wait(), WAIT_S)
        await sw.until(lambda: sw.socket.listening)
        assert await (await sw.client()).api(f"uuid_exists {leg.uuid}") == "true"


def test_a_fault_that_never_ends_or_says_nothing_is_refused_by_its_field() -> None:
    assert complaints(Fault("slow", for_s=1.0, reply_ms=1)) == []
    assert complaints(Fault("partition"))[0].startswith("for_s: partition ends by itself")
    assert "at least one of reply_ms" in complaints(Fault("slow", for_s=1.0))[0]
    assert complaints(Fault("freeze", for_s=1e9))
    assert complaints(Fault("restart", reply_ms=3)) == ["reply_ms: not a field of restart, only of slow"]
    assert complaints(Fault("full", for_s=1.0)) == ["full: expected max_sessions or sps"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("faults: [{kind: slow, for_s: 2}]", "s.yaml.faults[0].slow: expected at least one"),
        ("faults: [{kind: melt}]", "s.yaml.faults[0].kind"),
        ("faults: [{kind: freeze, for_s: 1, sure: 1}]", "unknown sure"),
        ("faults: {kind: freeze}", "expected a list of faults"),
    ],
)
def test_faults_in_a_scenario_are_checked(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(text, "s.yaml")
    assert said in str(e.value)


def test_faults_of_a_scenario_are_read() -> None:
    (fault,) = parse("faults: [{kind: partition, at_s: 5, for_s: 2, heal: reset}]", "s.yaml").faults
    assert fault == Fault("partition", at_s=5.0, for_s=2.0, heal="reset")


async def test_a_client_that_meets_them_by_the_kit_is_told_of_unknown_numbers(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        with pytest.raises(Refused, match="no fault 7"):
            await sw.switch.faults.end(7)
        with pytest.raises(Refused, match="for_s"):
            sw.switch.faults.begin(Fault("freeze"))
        assert isinstance(await sw.client(), Client)
