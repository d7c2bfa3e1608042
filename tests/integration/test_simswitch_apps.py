"""Applications and commands on one leg: messages, digits, keys, recordings, plans for later, counters. As measured on 1.10.12."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from services.common.clock import SystemClock
from tests.integration.simswitch_kit import Client
from tests.integration.test_simswitch_transfers import Seen, label, parked, talking, until_seen

MSG = "sendmsg {}\ncall-command: execute\nexecute-app-name: {}\nexecute-app-arg: {}\nEvent-UUID: {}"


async def run(client: Client, leg: str, app: str, data: str, event: str = "") -> None:
    assert (await client.send(MSG.format(leg, app, data, event or app))).startswith("+OK")


async def done(client: Client, event: str) -> dict[str, str]:
    return await client.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID=event)


@pytest.mark.parametrize("how", ["key", "time", "silence", "break", "hangup"])
async def test_a_message_is_recorded_until(tmp_path: Path, how: str) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        leg = await parked(sw, client, "V", "1002")
        leg.speaking = how != "silence"
        path = tmp_path / "rec" / "v.wav"
        seen = Seen(client)
        limits = {"time": "1", "silence": "20 200 1"}.get(how, "20")
        await run(client, "V", "record", f"{path} {limits}", "r")
        await until_seen(sw, seen, "V", "RECORD_START")
        if how == "key":
            leg.press("5")
            await until_seen(sw, seen, "V", "DTMF 5")
            assert "RECORD_STOP" not in seen.of("V"), "only a terminator ends it"
            leg.press("*")
        elif how == "break":
            await client.api("uuid_break V")
        elif how == "hangup":
            leg.end("NORMAL_CLEARING", by="agent")
        complete = await done(client, "r")
        stop = next(e for e in seen.events() if e["Event-Name"] == "RECORD_STOP")
        assert stop["Record-File-Path"] == str(path)
        assert stop["Event-Calling-Function"] == "switch_ivr_record_file_event"
        assert "Record-Completion-Cause" not in stop
        between = [x for x in seen.of("V") if not x.startswith("DTMF")]
        hangs_up = ["HANGUP"] if how == "hangup" else []
        assert (
            between[:4]
            == [*("EXECUTE record", "RECORD_START"), *hangs_up, "RECORD_STOP", "EXECUTE_COMPLETE record"][:4]
        )
        assert complete["Application-Response"] == "_none_"
        with wave.open(str(path), "rb") as file:
            ms = file.getnframes() * 1000 // file.getframerate()
        assert ms == int(stop["variable_record_ms"])
        if how in ("time", "silence"):
            assert ms >= 900


async def test_a_message_that_cannot_be_written_ends_the_call(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        await parked(sw, client, "V", "1002")
        await run(client, "V", "record", "/proc/none/v.wav 20")
        ended = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="V")
        assert ended["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"


async def test_read_asks_once(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        leg = await parked(sw, client, "V", "1002")
        seen = Seen(client)
        await run(client, "V", "read", "1 4 silence_stream://2000 res 500 #", "one")
        await until_seen(sw, seen, "V", "PLAYBACK_START")
        for key in "12#":
            leg.press(key)
        complete = await done(client, "one")
        assert (complete["variable_res"], complete["variable_read_result"]) == ("12", "success")
        assert complete["variable_read_terminator_used"] == "#"
        assert [x for x in seen.of("V") if x.startswith(("DTMF", "PLAYBACK"))] == [
            *("PLAYBACK_START", "DTMF 1", "PLAYBACK_STOP", "DTMF 2", "DTMF #")
        ]
        await run(client, "V", "read", "1 4 silence_stream://20 res 100 #", "two")
        silent = await done(client, "two")
        assert silent["variable_read_result"] == "failure"
        assert "variable_res" not in silent


async def test_several_files_one_after_the_other(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        await parked(sw, client, "V", "1002")
        await client.api("uuid_setvar V playback_delimiter !")
        seen = Seen(client)
        await run(client, "V", "playback", "silence_stream://40!none.wav!tone_stream://%(40,0,400)", "p")
        assert (await done(client, "p"))["Application-Response"] == "FILE PLAYED"
        paths = [e["Playback-File-Path"] for e in seen.events() if e["Event-Name"] == "PLAYBACK_START"]
        assert paths == ["silence_stream://40", "tone_stream://%(40,0,400)"]


async def test_recordings_with_a_limit_and_all_at_once(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, _, _):
        one, two = (str(tmp_path / "rec" / name) for name in ("1.wav", "2.wav"))
        assert await client.api(f"uuid_record C start {one} 1") == "+OK Success"
        stop = await client.event("RECORD_STOP", Record_File_Path=one)
        assert int(stop["variable_record_ms"]) >= 900
        assert await client.api("uuid_record C stop all") == "-ERR Cannot stop record session!"
        seen = Seen(client)
        await client.api(f"uuid_record C start {one}")
        await client.api(f"uuid_record C start {two}")
        assert await client.api("uuid_record C stop all") == "+OK Success"
        await client.event("MEDIA_BUG_STOP", Media_Bug_Target=two)
        ends = [
            (label(e), e.get("Record-File-Path") or e["Media-Bug-Target"])
            for e in seen.events()
            if "STOP" in label(e)
        ]
        stopped, bug = "RECORD_STOP", "MEDIA_BUG_STOP session_record"
        assert ends[:3] == [(stopped, one), (stopped, two), (bug, two)]
        assert await client.api("uuid_record nobody start x") == "-ERR Cannot locate session!"
        assert (await client.api("uuid_record")).startswith("-USAGE: <uuid> [start|stop|mask|unmask]")


async def test_audio_is_one_bug_and_its_arguments_are_checked(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, _, _):
        usage = "-USAGE: <uuid> [start [read|write] [mute|level <level>]|stop]"
        replies = [
            await client.api(f"uuid_audio A {x}")
            for x in ("start read mute 1", "start write mute -1", "stop", "stop", "start read mute", "nope")
        ]
        assert replies == ["+OK"] * 4 + [usage] * 2
        assert await client.api("uuid_audio nobody start read mute 1") == "-ERR No such channel!"
        await client.event("MEDIA_BUG_STOP", Unique_ID="A")
        bugs = [
            (e["Event-Name"], e["Media-Bug-Function"], e["Media-Bug-Target"])
            for e in client.events
            if "BUG" in e["Event-Name"]
        ]
        assert bugs == [("MEDIA_BUG_START", "audio", "mute"), ("MEDIA_BUG_STOP", "audio", "mute")]


async def test_broadcast_to_each_side(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        for side, plays in (("aleg", "A"), ("bleg", "C")):
            seen = Seen(client)
            assert await client.api(f"uuid_broadcast A silence_stream://50 {side}") == "+OK Message sent"
            await until_seen(sw, seen, plays, "EXECUTE_COMPLETE playback")
            assert seen.of("A", "C")[0] == f"{plays} EXECUTE playback"
            assert len(seen.of("A", "C")) == 4
        seen = Seen(client)
        await client.api("uuid_broadcast A silence_stream://50 both")
        await until_seen(sw, seen, "A", "EXECUTE_COMPLETE playback")
        await until_seen(sw, seen, "C", "EXECUTE_COMPLETE playback")
        seen = Seen(client)
        await client.api("uuid_broadcast A silence_stream://100 holdb")
        await until_seen(sw, seen, "C", "EXECUTE_COMPLETE playback")
        music = [e for e in seen.events() if e.get("Unique-ID") == "C" and label(e) == "PLAYBACK_START"]
        assert [e["Playback-File-Path"] for e in music] == ["local_stream://moh"]
        seen = Seen(client)
        await client.api("uuid_broadcast A playback!user_busy::silence_stream://50 aleg")
        assert (await client.event("CHANNEL_HANGUP", Unique_ID="A"))["Hangup-Cause"] == "USER_BUSY"
        assert "EXECUTE hangup" in seen.of("A")


async def test_feature_keys_of_a_phone_are_no_digits(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        event = "event::Event-Name=CUSTOM,Event-Subclass=peyvand::feature,what=hold"
        await run(client, "A", "bind_meta_app", f"2 a s {event}")
        await done(client, "bind_meta_app")
        seen = Seen(client)
        for key in "*2*35":
            agent.press(key)
        fired = await client.event("CUSTOM", Event_Subclass="peyvand::feature")
        assert (fired["what"], fired["Unique-ID"]) == ("hold", "A")
        await until_seen(sw, seen, "C", "EXECUTE_COMPLETE playback")
        assert [x for x in seen.of("A") if x.startswith("DTMF")] == ["DTMF 5"], "neither *2 nor *3"
        assert await client.api("uuid_recv_dtmf A *2") == "+OK A received DTMF *2."
        await until_seen(sw, seen, "A", "DTMF 2")
        seen = Seen(client)
        for key in "**":
            agent.press(key)
        await until_seen(sw, seen, "A", "DTMF *")
        agent.press("*")
        sw.switch.clock = LaterClock(6)
        agent.press("2")
        await until_seen(sw, seen, "A", "DTMF 2")
        await run(client, "A", "unbind_meta_app", "")
        await done(client, "unbind_meta_app")
        seen = Seen(client)
        agent.press("*")
        await until_seen(sw, seen, "A", "DTMF *")


async def test_an_inline_feature_key_acts_at_once_whatever_the_leg_does(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, agent, _):
        event = "event::Event-Name=CUSTOM,Event-Subclass=peyvand::feature,what=hold"
        await run(client, "A", "bind_meta_app", f"2 a si {event}")
        await done(client, "bind_meta_app")
        await run(client, "A", "playback", "silence_stream://-1", "held\nevent-lock: true")
        await client.event("PLAYBACK_START", Unique_ID="A")
        for key in "*2":
            agent.press(key)
        fired = await client.event("CUSTOM", Event_Subclass="peyvand::feature")
        assert (fired["what"], fired["Unique-ID"]) == ("hold", "A")


class LaterClock(SystemClock):
    """So many seconds ahead."""

    def __init__(self, seconds: int) -> None:
        self._ahead_us = seconds * 1_000_000

    def now_us(self) -> int:
        return super().now_us() + self._ahead_us


async def test_plans_for_later(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        await parked(sw, client, "V", "1002")
        assert await client.api("sched_transfer +1 V 1002 XML public") == "+OK"
        assert await client.api("sched_hangup +1 nobody") == "-ERR No such channel!"
        assert (await client.api("sched_api +60 group status")).startswith("+OK Added: ")
        assert await client.api("sched_del group") == "+OK Deleted: 1"
        assert await client.api("sched_del 99") == "+OK Deleted: 0"
        await client.event("PLAYBACK_START", Unique_ID="V")
        await run(client, "V", "sched_hangup", "+30")
        await done(client, "sched_hangup")
        assert await client.api("sched_del V") == "+OK Deleted: 1"
        assert await client.api("sched_hangup +1 V") == "+OK"
        ended = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="V")
        assert ended["Hangup-Cause"] == "ALLOTTED_TIMEOUT"


async def test_a_trunk_takes_so_many_calls(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        first = await parked(sw, client, "V", "1002")
        await parked(sw, client, "W", "1003")
        await run(client, "V", "limit", "hash gw carrier 1")
        usage = await client.event("CUSTOM", Event_Subclass="limit::usage")
        assert (usage["realm"], usage["key"], usage["usage"], usage["max"]) == ("gw", "carrier", "1", "1")
        assert await client.api("limit_usage hash gw carrier") == "1"
        await run(client, "W", "limit", "hash gw carrier 1 !NORMAL_CIRCUIT_CONGESTION")
        ended = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="W")
        assert ended["Hangup-Cause"] == "NORMAL_CIRCUIT_CONGESTION"
        first.end("NORMAL_CLEARING", by="agent")
        await sw.until(lambda: first.gone)
        assert await client.api("limit_usage hash gw carrier") == "0"
        assert [await client.api(f"hash {x}") for x in ("insert/r/k/v", "select/r/k", "delete/r/k")] == [
            "+OK",
            "v",
            "+OK",
        ]
        assert (await client.api("hash")).startswith("-ERR Usage: hash insert|")


async def test_display_and_small_commands(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, _, _):
        assert await client.api("uuid_display A Bob|123") == "+OK Success"
        shown = await client.event("CALL_UPDATE", Unique_ID="A", Sent_Callee_ID_Name="Bob")
        assert (shown["Sent-Callee-ID-Number"], shown["Bridged-To"], shown["Direction"]) == (
            "123",
            "C",
            "SEND",
        )
        assert await client.api("uuid_display nobody x") == "-ERR Operation failed"
        assert await client.api("uuid_park nobody") == "-ERR No such channel!"
        assert await client.api("uuid_park") == "-ERR No such channel!"
        assert await client.api("uuid_send_dtmf A 12@100") == "+OK A sent DTMF 12@100."
        assert await client.api("uuid_send_dtmf") == "-USAGE: <uuid> <dtmf_data>"
        assert await client.api("uuid_flush_dtmf A") == "+OK"
        assert await client.api("uuid_break nobody") == "-ERR No such channel!"
        assert await client.api("uuid_pre_answer x") == "-ERROR"
