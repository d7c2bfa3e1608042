"""``originate``: every failure with its cause, several destinations, limits, and what a person must press.

Each expectation was measured on a real FreeSWITCH 1.10.12 with the configuration of this repository and a phone that did
the same: replies word for word, events of a leg in their order.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import ManualClock
from tests.integration.simswitch_kit import Client, Lab, Phone, lab

EVENTS = "event json ALL"
OVER = ["CHANNEL_HANGUP", "CHANNEL_STATE CS_HANGUP", "CHANNEL_CALLSTATE HANGUP", "CHANNEL_STATE CS_REPORTING"]
OVER += ["CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY", "CHANNEL_STATE CS_DESTROY"]
BORN = ["CHANNEL_OUTGOING", "CHANNEL_STATE CS_INIT", "CHANNEL_CREATE", "CHANNEL_ORIGINATE"]
BORN += ["CHANNEL_STATE CS_ROUTING", "CHANNEL_STATE CS_CONSUME_MEDIA"]
RINGS = ["CHANNEL_PROGRESS", "CHANNEL_CALLSTATE RINGING"]
ANSWERED = ["CHANNEL_ANSWER", "CHANNEL_CALLSTATE ACTIVE"]
PARKED = ["CALL_UPDATE", "CHANNEL_STATE CS_EXECUTE", "CHANNEL_EXECUTE park", "CHANNEL_PARK"]


def order(client: Client, uuid: str) -> list[str]:
    """Names of a leg's events, with the state or the application."""
    out = []
    for event in client.events:
        if event.get("Unique-ID") != uuid or event["Event-Name"] in ("CODEC", "PRESENCE_IN"):
            continue
        detail = {
            "CHANNEL_STATE": "Channel-State",
            "CHANNEL_CALLSTATE": "Channel-Call-State",
            "CHANNEL_EXECUTE": "Application",
            "CHANNEL_EXECUTE_COMPLETE": "Application",
        }.get(event["Event-Name"])
        out.append(event["Event-Name"] + (f" {event[detail]}" if detail else ""))
    return out


def legs(client: Client) -> list[str]:
    """The legs in the order of their birth."""
    return [e["Unique-ID"] for e in client.events if e["Event-Name"] == "CHANNEL_OUTGOING"]


def phones(sw: Lab, **does: str) -> dict[str, Phone]:
    made = {number.removeprefix("n"): Phone(what, 0.03) for number, what in does.items()}
    for number, phone in made.items():
        sw.switch.register(number, phone)
    return made


async def ended(client: Client, uuid: str) -> dict[str, Any]:
    done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    await client.event("CHANNEL_STATE", Unique_ID=uuid, Channel_State="CS_DESTROY")
    return done


@pytest.mark.parametrize(
    ("url", "reply"),
    [
        ("error/USER_BUSY", "-ERR USER_BUSY"),
        ("error/user_busy", "-ERR USER_BUSY"),
        ("error/17", "-ERR USER_BUSY"),
        ("error/nonsense", "-ERR NORMAL_CLEARING"),
        ("user/1001@peyvand.local", "-ERR USER_NOT_REGISTERED"),
        ("user/1001", "-ERR USER_NOT_REGISTERED"),
        ("user/9999@peyvand.local", "-ERR SUBSCRIBER_ABSENT"),
        ("user/1001@nowhere", "-ERR SUBSCRIBER_ABSENT"),
        ("sofia/gateway/none/123", "-ERR INVALID_GATEWAY"),
        ("sofia/gateway/trunk/123", "-ERR GATEWAY_DOWN"),
        ("sofia/nope/201@x", "-ERR INVALID_PROFILE"),
        ("sofia/agents/1001%peyvand.local", "-ERR USER_NOT_REGISTERED"),
        ("sofia", "-ERR INVALID_URL"),
        ("sofia/agents", "-ERR INVALID_URL"),
        ("nosuchendpoint/1", "-ERR CHAN_NOT_IMPLEMENTED"),
        ("{origination_uuid=taken}null/x", "-ERR DESTINATION_OUT_OF_ORDER"),
    ],
)
async def test_what_cannot_be_dialled_fails_without_a_leg(tmp_path: Path, url: str, reply: str) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client()
        assert await client.api("originate {origination_uuid=taken}null/x &park()") == "+OK taken"
        sw.switch.register("1001", Phone())
        sw.switch.unregister("1001")
        sw.switch.gateways["trunk"].up = False
        await client.send(EVENTS)
        assert await client.api(f"originate {url} &park()") == reply
        assert not legs(client)


@pytest.mark.parametrize(
    ("status", "cause", "q850"),
    [
        ("401", "MANDATORY_IE_MISSING", "96"),
        ("403", "CALL_REJECTED", "21"),
        ("404", "UNALLOCATED_NUMBER", "1"),
        ("408", "RECOVERY_ON_TIMER_EXPIRE", "102"),
        ("480", "NO_USER_RESPONSE", "18"),
        ("486", "USER_BUSY", "17"),
        ("487", "ORIGINATOR_CANCEL", "16"),
        ("488", "INCOMPATIBLE_DESTINATION", "88"),
        ("502", "NETWORK_OUT_OF_ORDER", "38"),
        ("503", "NORMAL_TEMPORARY_FAILURE", "41"),
        ("600", "USER_BUSY", "17"),
        ("603", "CALL_REJECTED", "21"),
    ],
)
async def test_a_refusal_has_its_cause_and_its_status(
    tmp_path: Path, status: str, cause: str, q850: str
) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n201=status)
        assert await client.api("originate sofia/agents/201@h &park()") == f"-ERR {cause}"
        (leg,) = legs(client)
        done = await ended(client, leg)
        assert (done["Hangup-Cause"], done["variable_hangup_cause_q850"]) == (cause, q850)
        assert done["variable_sip_invite_failure_status"] == status
        assert done["variable_sip_hangup_disposition"] == "recv_refuse"
        assert done["variable_proto_specific_hangup_cause"] == f"sip:{status}"
        assert order(client, leg) == BORN + OVER


async def test_nobody_there_looks_like_a_remote_503(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        assert await client.api("originate sofia/agents/201@h:1 &park()") == "-ERR NORMAL_TEMPORARY_FAILURE"
        done = await ended(client, legs(client)[0])
        assert (done["variable_sip_invite_failure_status"], done["variable_hangup_cause_q850"]) == (
            "503",
            "41",
        )


@pytest.mark.parametrize(
    ("variables", "phone", "cause"),
    [
        ("{originate_timeout=1}", "ring", "NO_ANSWER"),
        ("{leg_timeout=1}", "ring", "ALLOTTED_TIMEOUT"),
        ("[leg_timeout=1]", "ring", "ALLOTTED_TIMEOUT"),
        ("{leg_progress_timeout=1}", "unheard", "PROGRESS_TIMEOUT"),
        ("{progress_timeout=1}", "unheard", "PROGRESS_TIMEOUT"),
    ],
)
async def test_limits_of_time_have_their_own_causes(
    tmp_path: Path, variables: str, phone: str, cause: str
) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n401=phone)
        assert await client.api(f"originate {variables}sofia/agents/401@h &park()") == f"-ERR {cause}"
        done = await ended(client, legs(client)[0])
        assert done["Hangup-Cause"] == cause
        assert done["variable_sip_invite_failure_status"] == "487"
        assert done["variable_sip_hangup_disposition"] == "send_cancel"


async def test_a_kill_while_it_rings_gives_the_job_its_cause(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n401="ring")
        await client.send("bgapi originate {origination_uuid=A}sofia/agents/401@h &park()\nJob-UUID: j")
        await client.event("CHANNEL_CALLSTATE", Unique_ID="A", Channel_Call_State="RINGING")
        assert await client.api("uuid_kill A picked_off") == "+OK"
        job = await client.event("BACKGROUND_JOB", Job_UUID="j")
        assert job["_body"] == "-ERR PICKED_OFF\n"
        done = await ended(client, "A")
        assert (done["Hangup-Cause"], done["variable_hangup_cause_q850"]) == ("PICKED_OFF", "16")
        assert order(client, "A") == BORN + RINGS + OVER


async def test_the_first_to_answer_wins_and_the_others_lose_the_race(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n201="answer", n301="ring")
        await client.send(
            "bgapi originate [a=1]sofia/agents/301@h,[a=2]sofia/agents/201@h &park()\nJob-UUID: j"
        )
        loser, winner = (await client.event("CHANNEL_PARK"), legs(client))[1]
        assert (await client.event("BACKGROUND_JOB", Job_UUID="j"))["_body"] == f"+OK {winner}\n"
        done = await ended(client, loser)
        assert (done["Hangup-Cause"], done["variable_a"]) == ("LOSE_RACE", "1")
        assert (await client.event("CHANNEL_PARK", Unique_ID=winner))["variable_a"] == "2"
        assert order(client, loser) == BORN + RINGS + OVER
        assert order(client, winner) == BORN + RINGS + ANSWERED + PARKED
        names = [(e["Unique-ID"], e["Event-Name"]) for e in client.events if "Unique-ID" in e]
        assert names.index((winner, "CHANNEL_ANSWER")) < names.index((loser, "CHANNEL_HANGUP"))
        assert names.index((loser, "CHANNEL_HANGUP")) < names.index((winner, "CHANNEL_PARK"))


@pytest.mark.parametrize(
    ("url", "reply"),
    [
        ("sofia/agents/486@h,sofia/agents/480@h", "-ERR USER_BUSY"),
        ("sofia/agents/486@h|sofia/agents/404@h", "-ERR UNALLOCATED_NUMBER"),
        ("user/9999@peyvand.local,sofia/agents/486@h", "-ERR USER_BUSY"),
        ("user/9999@peyvand.local|sofia/agents/486@h", "-ERR USER_BUSY"),
        ("{fail_on_single_reject=true}sofia/agents/486@h,sofia/agents/301@h", "-ERR NO_ANSWER"),
        ("{fail_on_single_reject=USER_BUSY}sofia/agents/486@h,sofia/agents/301@h", "-ERR NO_ANSWER"),
        ("{originate_timeout=1}sofia/agents/301@h|sofia/agents/201@h", "-ERR NO_ANSWER"),
        ("sofia/agents/486@h|sofia/agents/201@h", "+OK 201"),
        ("[leg_timeout=1]sofia/agents/301@h|sofia/agents/201@h", "+OK 201"),
        (
            "{originate_timeout=1,originate_continue_on_timeout=true}sofia/agents/301@h|sofia/agents/201@h",
            "+OK 201",
        ),
        ("sofia/agents/486@h:_:sofia/agents/201@h", "+OK 201"),
        ("sofia/agents/301@h:_:sofia/agents/201@h", "+OK 201"),
        ("{originate_timeout=3}[leg_delay_start=1]sofia/agents/201@h,sofia/agents/301@h", "+OK 201"),
        ("user/9999@peyvand.local,sofia/agents/201@h", "+OK 201"),
    ],
)
async def test_several_destinations(tmp_path: Path, url: str, reply: str) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client()
        made = phones(sw, n201="answer", n301="ring", n486="486", n480="480", n404="404")
        answer = await client.api(f"originate {url} &park()")
        if reply == "+OK 201":
            assert answer == f"+OK {made['201'].legs[0].uuid}"
            await sw.until(lambda: len(sw.switch.channels) == 1)
        else:
            assert answer == reply
            await sw.until(lambda: not sw.switch.channels)


async def test_early_media_is_enough_unless_it_is_ignored(tmp_path: Path) -> None:
    """Without ``ignore_early_media`` the job is done, and the application runs, at the 183."""
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        made = phones(sw, n421="early", n422="early", n301="ring")
        made["421"].after_s = 1.0
        await client.api("originate {origination_uuid=E}sofia/agents/421@h &park()")
        await client.event("CHANNEL_PARK", Unique_ID="E")
        assert order(client, "E") == [*BORN, "CHANNEL_PROGRESS_MEDIA", "CHANNEL_CALLSTATE EARLY", *PARKED]
        await client.api("originate {origination_uuid=I,ignore_early_media=true}sofia/agents/422@h &park()")
        await client.event("CHANNEL_PARK", Unique_ID="I")
        assert order(client, "I") == [
            *(*BORN, "CHANNEL_PROGRESS_MEDIA", "CHANNEL_CALLSTATE EARLY"),
            *(*ANSWERED, *PARKED),
        ]
        await client.api("originate {origination_uuid=R,return_ring_ready=true}sofia/agents/301@h &park()")
        assert (await client.event("CHANNEL_PARK", Unique_ID="R"))["Answer-State"] == "ringing"
        assert order(client, "R") == BORN + RINGS + PARKED


async def test_who_must_press_a_key_is_not_reached_before(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n201="answer")
        ask = "group_confirm_key=1,group_confirm_file=silence_stream://300"
        await client.send(
            f"bgapi originate {{origination_uuid=A,{ask}}}sofia/agents/201@h &park()\nJob-UUID: j"
        )
        await client.event("PLAYBACK_START", Unique_ID="A")
        leg = sw.switch.find("A")
        assert leg is not None
        leg.press("2")
        await sw.until(lambda: order(client, "A").count("PLAYBACK_START") == 2)
        assert "BACKGROUND_JOB" not in [e["Event-Name"] for e in client.events]
        leg.press("1")
        assert (await client.event("BACKGROUND_JOB"))["_body"] == "+OK A\n"
        await client.event("CHANNEL_PARK", Unique_ID="A")
        asked = ["PLAYBACK_START", "DTMF", "PLAYBACK_STOP"]
        assert order(client, "A") == BORN + RINGS + ANSWERED + asked + asked + PARKED


async def test_a_loopback_call_is_two_legs_that_share_their_fate(tmp_path: Path) -> None:
    plan = (
        '<extension name="a"><condition field="destination_number" expression="^1$">'
        '<action application="answer"/><action application="park"/></condition></extension>'
        '<extension name="b"><condition field="destination_number" expression="^2$">'
        '<action application="hangup" data="USER_BUSY"/></condition></extension>'
    )
    async with lab(tmp_path, dialplan=plan) as sw:
        client = await sw.client(EVENTS)
        assert await client.api("originate {origination_uuid=L}loopback/1/public &park()") == "+OK L"
        a = await client.event("CHANNEL_PARK", Unique_ID="L")
        b = a["variable_other_loopback_leg_uuid"]
        assert (a["Channel-Name"], a["variable_loopback_leg"]) == ("loopback/1-a", "A")
        assert order(client, b)[:3] == [
            "CHANNEL_STATE CS_INIT",
            "CHANNEL_CREATE",
            "CHANNEL_CALLSTATE RINGING",
        ]
        answers = [e["Unique-ID"] for e in client.events if e["Event-Name"] == "CHANNEL_ANSWER"]
        assert answers == ["L", b]
        assert await client.api("uuid_kill L") == "+OK"
        assert (await ended(client, b))["Hangup-Cause"] == "NORMAL_CLEARING"
        assert await client.api("originate loopback/2/public &park()") == "-ERR USER_BUSY"
        assert await client.api("originate loopback/9/public &park()") == "-ERR NO_ROUTE_DESTINATION"


async def test_what_an_answered_leg_is_sent_to(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n201="answer", n202="answer", n203="answer")
        await client.api("originate {origination_uuid=A}sofia/agents/201@h nosuch XML public")
        assert (await ended(client, "A"))["Hangup-Cause"] == "NO_ROUTE_DESTINATION"
        assert order(client, "A") == [*BORN, *RINGS, *ANSWERED, "CHANNEL_STATE CS_ROUTING", *OVER]
        await client.api("originate {origination_uuid=B}sofia/agents/202@h &nosuchapp(x)")
        assert (await ended(client, "B"))["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
        await client.api("originate {origination_uuid=D}sofia/agents/203@h &playback(none.wav)")
        assert (await ended(client, "D"))["Hangup-Cause"] == "NORMAL_CLEARING"
        update = await client.event("CALL_UPDATE", Unique_ID="D")
        assert (update["Direction"], update["Caller-Caller-ID-Number"]) == ("RECV", "203")
        assert update["variable_channel_cid_flipped"] == "yes"


async def test_the_application_bridge_and_its_failures(tmp_path: Path) -> None:
    """An unanswered caller hears the ringing and is answered with the other; a failure goes on only where it may."""
    plan = (
        '<extension name="b"><condition field="destination_number" expression="^7(\\d+)$">'
        '<action application="set" data="continue_on_fail=USER_BUSY"/>'
        '<action application="bridge" data="sofia/trunk/$1@h"/>'
        '<action application="park"/></condition></extension>'
    )
    async with lab(tmp_path, dialplan=plan) as sw:
        client = await sw.client(EVENTS)
        phones(sw, n201="answer", n486="486", n404="404", n301="ring")
        caller = sw.caller("7201", uuid="C")
        await client.event("CHANNEL_BRIDGE", Unique_ID="C")
        (x,) = legs(client)
        await client.event("CALL_UPDATE", Unique_ID="C")
        between = order(client, "C")[order(client, "C").index("CHANNEL_EXECUTE bridge") + 1 :]
        assert between == ["CHANNEL_PROGRESS", *ANSWERED, "CHANNEL_BRIDGE", "CALL_UPDATE"]
        talking = [*ANSWERED, "CHANNEL_STATE CS_EXCHANGE_MEDIA", "CALL_UPDATE"]
        assert order(client, x) == BORN + RINGS + talking
        await client.api(f"uuid_kill {x}")
        await client.event("CHANNEL_PARK", Unique_ID="C")
        assert order(client, "C")[-4:] == [
            "CHANNEL_UNBRIDGE",
            "CHANNEL_EXECUTE_COMPLETE bridge",
            "CHANNEL_EXECUTE park",
            "CHANNEL_PARK",
        ]
        caller.end("NORMAL_CLEARING", by="caller")
        sw.caller("7486", uuid="D")
        parked = await client.event("CHANNEL_PARK", Unique_ID="D")
        assert parked["variable_originate_disposition"] == "USER_BUSY"
        assert parked["variable_originate_failed_cause"] == "USER_BUSY"
        sw.caller("7404", uuid="E")
        assert (await ended(client, "E"))["Hangup-Cause"] == "UNALLOCATED_NUMBER"
        leaving = sw.caller("7301", uuid="F")
        await client.event("CHANNEL_PROGRESS", Unique_ID="F")
        leaving.end("ORIGINATOR_CANCEL", by="caller")
        rung = legs(client)[-1]
        assert (await ended(client, rung))["Hangup-Cause"] == "ORIGINATOR_CANCEL"


async def test_a_retry_rings_again(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client()
        made = phones(sw, n486="486")
        waiting = asyncio.create_task(
            client.api(
                "originate {originate_retries=2,originate_retry_sleep_ms=500}sofia/agents/486@h &park()"
            )
        )
        assert await waiting == "-ERR USER_BUSY"
        assert len(made["486"].legs) == 2


@pytest.mark.parametrize(("does", "reply"), [("answer", "+OK A"), ("decline", "-ERR CALL_REJECTED")])
async def test_what_a_phone_does_is_noticed_before_another_second_of_the_clock(
    tmp_path: Path, does: str, reply: str
) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.clock = ManualClock()  # at the beginning of a second, for ever
        client = await sw.client(EVENTS)
        phones(sw, n1001=does)
        later = asyncio.create_task(asyncio.sleep(0.8))
        originated = asyncio.create_task(
            client.api("originate {origination_uuid=A}user/1001@peyvand.local &park()")
        )
        await asyncio.wait({later, originated}, return_when=asyncio.FIRST_COMPLETED)
        assert originated.done()
        assert await originated == reply
        later.cancel()
