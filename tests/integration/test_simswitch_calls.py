"""Calls on the simulated switch: controllers that die, treatment, and the races of the bridge, as measured on a real one."""

from __future__ import annotations

import asyncio
import json
import struct
import wave
from pathlib import Path

import pytest

from services.common.ports import free_port
from services.simswitch.channel import Channel
from tests.integration.simswitch_kit import Client, Ivr, Lab, Phone, lab

MSG = "sendmsg{}\ncall-command: execute\nexecute-app-name: {}\nexecute-app-arg: {}\nEvent-UUID: {}\n{}"
LOCK = "event-lock: true"
EVENTS = "event json ALL"


def exec_(app: str, arg: str, event: str, *, lock: bool = True, leg: str = "") -> str:
    return MSG.format(f" {leg}" if leg else "", app, arg, event, LOCK if lock else "x: y")


async def controlled(sw: Lab, *commands: str) -> tuple[Channel, Client, dict[str, str]]:
    """A call that its controller has taken."""
    leg = sw.caller(uuid="C")
    ivr = await sw.ivr.call()
    sw.clients.append(ivr)
    ivr.write("connect\n\n")
    data, _ = await ivr.reply()
    for command in ("linger", "myevents json", *commands):
        assert (await ivr.send(command)).startswith("+OK")
    return leg, ivr, data


async def test_connect_gets_the_channel_data_url_encoded(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        _, _, data = await controlled(sw)
        assert (data["Event-Name"], data["Unique-ID"]) == ("CHANNEL_DATA", "C")
        assert (data["Reply-Text"], data["Control"], data["Socket-Mode"]) == ("%2BOK%0A", "full", "async")
        assert data["Channel-Destination-Number"] == "1000"
        assert data["variable_presence_data"] == "c/-/C"
        assert data["variable_sip_full_to"].startswith("%3Csip%3A1000%40")


async def test_a_handover_and_exit_in_one_write_sets_first_and_then_waits(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        client = await sw.client("event json CUSTOM peyvand::waiting")
        leg, ivr, _ = await controlled(sw)
        ivr.write(exec_("multiset", "^^;cc_queue=sales;cc_state=handover", "h") + "\n\nexit\n\n")
        waiting = await client.event("CUSTOM")
        assert (waiting["variable_cc_queue"], waiting["variable_cc_state"]) == ("sales", "waiting")
        assert waiting["Event-Subclass"] == "peyvand::waiting"
        await sw.until(lambda: leg.var("current_application") == "playback")
        assert leg.answered


@pytest.mark.parametrize(
    "app",
    [
        "playback silence_stream://9000",
        r"play_and_get_digits 1 1 3 9000 # silence_stream://9000 silence_stream://9000 m \d",
    ],
)
async def test_a_controller_that_dies_costs_the_menu_and_nothing_else(tmp_path: Path, app: str) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        client = await sw.client(EVENTS)
        leg, ivr, _ = await controlled(sw)
        name, _, argument = app.partition(" ")
        await ivr.send(exec_(name, argument, "p"))
        await ivr.event("CHANNEL_EXECUTE", Application=name)
        before = asyncio.get_running_loop().time()
        ivr._writer.transport.abort()
        await client.event("CUSTOM", Event_Subclass="peyvand::waiting")
        assert asyncio.get_running_loop().time() - before < 5.0, "the rest of the playback is not waited for"
        assert not leg.down
        assert leg.var("cc_queue") == ""


async def test_a_refused_controller_is_passed_over(tmp_path: Path) -> None:
    ivr = Ivr()
    await ivr.start()
    try:
        async with lab(tmp_path, cc_ivr=f"127.0.0.1:{free_port()}|127.0.0.1:{ivr.port}") as sw:
            leg = sw.caller()
            call = await ivr.call()
            sw.clients.append(call)
            call.write("connect\n\n")
            assert (await call.reply())[0]["Unique-ID"] == leg.uuid
    finally:
        await ivr.stop()


async def test_a_feature_code_ends_after_its_controller(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        leg = sw.switch.place_call(
            context="agents", destination="*22", caller_number="1001", caller_name="Sara", user_name="1001"
        )
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        ivr.write("connect\n\n")
        data, _ = await ivr.reply()
        assert (data["variable_cc_agent_ext"], data["variable_cc_entry"]) == ("1001", "*22")
        ivr.write("exit\n\n")
        await sw.until(lambda: leg.gone)
        assert leg.hangup_cause == "NORMAL_CLEARING"


async def test_without_linger_the_controller_never_sees_hangup_complete(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        leg = sw.caller()
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        ivr.write("connect\n\n")
        await ivr.reply()
        await ivr.send("myevents json")
        leg.end("NORMAL_CLEARING", by="caller")
        await asyncio.wait_for(ivr.closed.wait(), 5)
        names = [e["Event-Name"] for e in ivr.events]
        assert "CHANNEL_HANGUP" in names
        assert "CHANNEL_HANGUP_COMPLETE" not in names


async def test_digits_retries_and_silence_give_the_real_results(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        leg, ivr, _ = await controlled(sw)
        ask = r"play_and_get_digits", r"1 1 2 60 # silence_stream://2000 silence_stream://20 menu ^[12]$ 60"
        await ivr.send(exec_(*ask, "one"))
        await ivr.event("CHANNEL_EXECUTE", Application_UUID="one")
        leg.press("9")
        await sw.until(lambda: leg.var("menu_invalid") == "9")
        leg.press("2")
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="one")
        assert (done["variable_read_result"], done["variable_menu"]) == ("success", "2")
        digits = [e["DTMF-Digit"] for e in ivr.events if e["Event-Name"] == "DTMF"]
        assert digits == ["9", "2"]
        silent = r"play_and_get_digits", r"1 1 1 40 # silence_stream://20 silence_stream://20 menu \d 40"
        await ivr.send(exec_(*silent, "two"))
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="two")
        assert done["variable_read_result"] == "failure"
        assert "variable_menu" not in done
        several = (
            r"play_and_get_digits",
            r"2 6 1 2000 # silence_stream://2000 silence_stream://20 pin \d+ 2000",
        )
        await ivr.send(exec_(*several, "three"))
        await ivr.event("CHANNEL_EXECUTE", Application_UUID="three")
        for digit in "4711#":
            leg.press(digit)
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="three")
        assert (done["variable_pin"], done["variable_read_terminator_used"]) == ("4711", "#")


async def test_event_lock_queues_and_its_absence_nests(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        _, ivr, _ = await controlled(sw)
        for name in ("a", "b"):
            await ivr.send(exec_("playback", "silence_stream://60", name))
        await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="b")
        for name in ("c", "d"):
            await ivr.send(exec_("playback", "silence_stream://60", name, lock=False))
        await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="c")
        order = [e["Application-UUID"] for e in ivr.events if e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"]
        assert order == ["a", "b", "d", "c"]


async def test_breaks_missing_files_and_unknown_applications(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        client = await sw.client(EVENTS)
        leg, ivr, _ = await controlled(sw)
        await ivr.send(exec_("playback", "local_stream://moh", "m"))
        await ivr.send(exec_("playback", "silence_stream://60", "behind"))
        await client.event("PLAYBACK_START", Playback_File_Path="local_stream://moh")
        assert await client.api("uuid_break C") == "+OK"
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="m")
        assert done["Application-Response"] == "FILE PLAYED"
        await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="behind")
        await ivr.send(exec_("playback", "none.wav", "n"))
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="n")
        assert done["Application-Response"] == "FILE NOT FOUND"
        await ivr.send(exec_("nosuchapp", "", "x"))
        await ivr.event("CHANNEL_HANGUP_COMPLETE", Hangup_Cause="DESTINATION_OUT_OF_ORDER")
        assert not [e for e in ivr.events if e.get("Application-UUID") == "x"]
        assert leg.down


async def test_an_announcement_over_music_by_displace_and_by_broadcast(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    with wave.open(str(tmp_path / "sounds" / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack("<h", 0) * 800)
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        sw.caller(uuid="C")
        await client.event("PLAYBACK_START")
        assert await client.api("uuid_displace C start none.wav 0") == "-ERR Cannot displace session!"
        assert await client.api("uuid_displace C start a.wav 0") == "+OK Success"
        assert (await client.event("MEDIA_BUG_STOP"))["Media-Bug-Function"] == "displace"
        assert await client.api("uuid_displace C stop a.wav") == "-ERR Cannot stop displace session!"
        assert await client.api("uuid_broadcast C a.wav aleg") == "+OK Message sent"
        assert await client.api("uuid_broadcast nobody a.wav aleg") == "-ERR invalid uuid"
        await client.event("PLAYBACK_STOP", Playback_File_Path="a.wav")
        assert not [
            e
            for e in client.events
            if e["Event-Name"] == "PLAYBACK_STOP" and "moh" in e["Playback-File-Path"]
        ]


async def two_legs(sw: Lab, client: Client, *, caller_variables: str) -> tuple[Channel, Channel]:
    """A waiting caller C and an answered, parked agent leg A."""
    sw.switch.register("1001", Phone(after_s=0.02))
    caller = sw.caller(uuid="C")
    await sw.until(lambda: caller.var("current_application") == "playback")
    assert await client.api("originate {origination_uuid=A}user/1001@peyvand.local &park()") == "+OK A"
    await client.event("CHANNEL_PARK", Unique_ID="A")
    await client.api(f"uuid_setvar_multi C {caller_variables}")
    agent = sw.switch.find("A")
    assert agent is not None
    return caller, agent


async def test_agent_first_then_the_caller_leaves_early_ends_the_agent_leg(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        caller, agent = await two_legs(sw, client, caller_variables="park_after_bridge=true")
        assert await client.api("uuid_bridge A C") == "+OK C"
        caller.end("NORMAL_CLEARING", by="caller")
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
        assert done["Hangup-Cause"] == "ORIGINATOR_CANCEL"
        await sw.until(lambda: not sw.switch.channels)
        assert not [e for e in client.events if e["Event-Name"] == "CHANNEL_BRIDGE"]
        assert agent.ended_by == "switch"


async def test_agent_first_then_the_agent_leaves_early_leaves_a_silent_caller_to_rescue(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        caller, agent = await two_legs(sw, client, caller_variables="park_after_bridge=true")
        await client.api("uuid_bridge A C")
        agent.end("NORMAL_CLEARING", by="agent")
        await client.event("CHANNEL_DESTROY", Unique_ID="A")
        assert not caller.down
        assert caller.running in ("CS_RESET", "CS_SOFT_EXECUTE")
        assert not [e for e in client.events if e["Event-Name"] == "CHANNEL_BRIDGE"]
        rescue = "uuid_transfer C 'set:cc_state=waiting,playback:local_stream://moh,park:' inline"
        seen = len(client.events)
        assert await client.api(rescue) == "+OK"
        await sw.until(lambda: any(e["Event-Name"] == "PLAYBACK_START" for e in client.events[seen:]))
        assert caller.var("cc_state") == "waiting"
        sw.switch.register("1002", Phone(after_s=0.02))
        await client.api("originate {origination_uuid=B}user/1002@peyvand.local &park()")
        await client.event("CHANNEL_PARK", Unique_ID="B")
        await client.api("uuid_bridge B C")
        await client.event("CHANNEL_BRIDGE", Unique_ID="B", Bridge_B_Unique_ID="C")


async def test_caller_first_and_the_caller_leaves_leaves_the_agent_stuck_until_a_kill(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        caller, agent = await two_legs(sw, client, caller_variables="park_after_bridge=true")
        await client.api("uuid_bridge C A")
        caller.end("NORMAL_CLEARING", by="caller")
        await client.event("CHANNEL_DESTROY", Unique_ID="C")
        assert agent.running in ("CS_RESET", "CS_SOFT_EXECUTE")
        assert not agent.down
        await client.api("uuid_kill A")
        await client.event("CHANNEL_DESTROY", Unique_ID="A")


async def test_caller_first_and_the_agent_leaves_hangs_the_caller_up_unless_it_parks_on_cancel(
    tmp_path: Path,
) -> None:
    for protect, kept in (
        ("uuid_bridge_park_on_cancel=false", False),
        ("uuid_bridge_park_on_cancel=true", True),
    ):
        async with lab(tmp_path / str(kept)) as sw:
            client = await sw.client(EVENTS)
            caller, agent = await two_legs(sw, client, caller_variables=f"park_after_bridge=true;{protect}")
            await client.api("uuid_bridge C A")
            agent.end("NORMAL_CLEARING", by="agent")
            if kept:
                await client.event("CHANNEL_STATE", Unique_ID="C", Channel_State="CS_PARK")
            else:
                await client.event("CHANNEL_HANGUP", Unique_ID="C")
            assert caller.down is not kept


async def bridged(sw: Lab, client: Client, *, caller_variables: str) -> tuple[Channel, Channel]:
    caller, agent = await two_legs(sw, client, caller_variables=caller_variables)
    await client.api("uuid_bridge A C")
    await client.event("CALL_UPDATE", Unique_ID="C", Bridged_To="A")
    return caller, agent


async def test_the_agent_hangs_up_and_the_caller_parks_or_ends(tmp_path: Path) -> None:
    for variables, parked in (("park_after_bridge=true", True), ("a=b", False)):
        async with lab(tmp_path / str(parked)) as sw:
            client = await sw.client(EVENTS)
            caller, agent = await bridged(sw, client, caller_variables=variables)
            assert sw.switch.rows["C"]["state"] == "CS_EXCHANGE_MEDIA"
            agent.end("NORMAL_CLEARING", by="agent")
            unbridge = await client.event("CHANNEL_UNBRIDGE")
            assert (unbridge["Unique-ID"], unbridge["Bridge-B-Unique-ID"]) == ("A", "C")
            if parked:
                await client.event("CHANNEL_STATE", Unique_ID="C", Channel_State="CS_PARK")
                assert not caller.down
                assert caller.var("bridge_uuid") == "A", "it stays after the bridge"
            else:
                done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="C")
                assert done["Hangup-Cause"] == "NORMAL_CLEARING"


async def test_the_caller_hangs_up_and_the_agent_leg_ends_or_parks_for_a_disposition(tmp_path: Path) -> None:
    for variables, parked in (("a=b", False), ("park_after_bridge=true", True)):
        async with lab(tmp_path / str(parked)) as sw:
            client = await sw.client(EVENTS)
            caller, agent = await bridged(sw, client, caller_variables="park_after_bridge=true")
            await client.api(f"uuid_setvar_multi A {variables}")
            caller.end("NORMAL_CLEARING", by="caller")
            if parked:
                await client.event("CHANNEL_STATE", Unique_ID="A", Channel_State="CS_PARK")
                agent.press("1")
                assert (await client.event("DTMF", Unique_ID="A"))["DTMF-Digit"] == "1"
            else:
                await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
            call = next(x for x in sw.ledger.lines("call") if x["call_id"] == "C")
            assert (call["ended_by"], call["ended_in"]) == ("caller", "talking")
            assert call["bridges"][0]["agent_leg"] == "A"
            assert call["bridges"][0]["agent_extension"] == "1001"


async def test_a_bridge_right_on_the_answer_is_not_undone_by_the_end_of_originate(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        sw.switch.register("1001", Phone(after_s=0.02))
        sw.caller(uuid="C")
        await client.event("PLAYBACK_START")
        await client.send("bgapi originate {origination_uuid=A}user/1001@peyvand.local &park()\nJob-UUID: j")
        await client.event("CHANNEL_ANSWER", Unique_ID="A")
        assert await client.api("uuid_bridge A C") == "+OK C"
        await client.event("CHANNEL_BRIDGE", Unique_ID="A")
        assert (await client.event("BACKGROUND_JOB", Job_UUID="j"))["_body"] == "+OK A\n"
        await client.api("status")
        assert "CHANNEL_PARK" not in [e["Event-Name"] for e in client.events if e.get("Unique-ID") == "A"]
        assert json.loads(await client.api("uuid_dump A json"))["Channel-State"] == "CS_SOFT_EXECUTE"


async def test_park_timeout_unsets_park_after_bridge_and_ends_the_leg(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        caller = sw.caller(uuid="C")
        await client.event("PLAYBACK_START")
        await client.api("uuid_setvar_multi C park_timeout=1:ALLOTTED_TIMEOUT;park_after_bridge=true")
        await client.api("uuid_park C")
        done = await client.event("CHANNEL_HANGUP_COMPLETE")
        assert done["Hangup-Cause"] == "ALLOTTED_TIMEOUT"
        assert caller.var("park_after_bridge") == ""


async def test_every_leg_leaves_a_record_and_a_line(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        caller, agent = await bridged(sw, client, caller_variables="park_after_bridge=true")
        agent.end("NORMAL_CLEARING", by="agent")
        await client.event("CHANNEL_STATE", Unique_ID="C", Channel_State="CS_PARK")
        caller.end("NORMAL_CLEARING", by="caller")
        await sw.until(lambda: not sw.switch.channels)
        for uuid in ("A", "C"):
            complete = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
            record = json.loads((tmp_path / "cdr" / f"{uuid}.cdr.json").read_text())
            assert record["core-uuid"] == sw.switch.core_uuid == complete["Core-UUID"]
            for name in ("uuid", "hangup_cause", "duration", "billmsec", "end_uepoch", "last_bridge_to"):
                assert record["variables"][name] == complete[f"variable_{name}"], name
            assert record["callflow"][0]["caller_profile"]["uuid"] == uuid
            assert record["app_log"]["applications"]
        lines = [json.loads(x) for x in (tmp_path / "ledger.jsonl").read_text().splitlines()]
        assert [(x["kind"], x.get("leg", x.get("call_id"))) for x in lines] == [
            ("leg", "A"),
            ("leg", "C"),
            ("call", "C"),
        ]
        assert lines[0]["first_bridge_us"] >= lines[0]["answered_us"] > 0


async def test_a_function_of_the_api_in_what_an_application_is_given(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        before_us = sw.switch.clock.now_us()
        leg = sw.caller("1000")
        await sw.until(lambda: bool(leg.var("cc_parked_us")))
        assert before_us <= int(leg.var("cc_parked_us")) <= sw.switch.clock.now_us()
        assert leg.var("cc_state") == "waiting"
        await leg.execute("set", r"said=${strepoch(2026-11-21 21:00:00)} ${cc_state} \${x}")
        assert leg.var("said") == "1795294800 waiting ${x}"


async def test_a_jitter_buffer_is_a_variable_of_its_leg(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        leg = sw.caller(uuid="C")
        assert await client.api("uuid_jitterbuffer C") == "-USAGE: <uuid> [0|<min_msec>[:<max_msec>]]"
        assert await client.api("uuid_jitterbuffer nobody 60:200") == "-ERR Operation failed"
        assert await client.api("uuid_jitterbuffer C 60:200") == "+OK Success"
        assert await client.api("uuid_jitterbuffer C pause") == "+OK Success"
        assert leg.var("jitterbuffer_msec") == "60:200"
