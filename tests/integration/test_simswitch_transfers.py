"""Hold, transfers, consultation, pick-up and listening in, as ESL sees them.

Every order below is that of a real FreeSWITCH 1.10.12 for the same commands, with an agent's leg A that was originated and
parked, a caller's leg C that came in, and ``uuid_bridge A C``. Events of different legs are compared only where the real
switch had one order in every run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from services.simswitch import hold, transfers
from services.simswitch.channel import Channel
from services.simswitch.core import scenario as sc
from services.simswitch.people import People
from tests.integration.simswitch_kit import Client, Lab, Phone, lab

PLAN = (
    '<extension name="park"><condition field="destination_number" expression="^1000$">'
    '<action application="answer"/><action application="park"/></condition></extension>'
    '<extension name="music"><condition field="destination_number" expression="^1002$">'
    '<action application="answer"/><action application="playback" data="local_stream://moh"/>'
    "</condition></extension>"
    '<extension name="sleep"><condition field="destination_number" expression="^echo$">'
    '<action application="answer"/><action application="sleep" data="60000"/></condition></extension>'
)
ENDS = ["HANGUP", "STATE HANGUP", "CALLSTATE HANGUP", "STATE REPORTING", "HANGUP_COMPLETE", "DESTROY"]
ENDS += ["STATE DESTROY"]
MUSIC = "local_stream://moh"
JOINING = ["STATE RESET", "STATE SOFT_EXECUTE", "EXECUTE uuid_bridge"]


def label(event: dict[str, Any]) -> str:
    name = event["Event-Name"].removeprefix("CHANNEL_")
    if name == "CUSTOM":
        return str(event["Event-Subclass"])
    detail = {
        "STATE": event.get("Channel-State", "").removeprefix("CS_"),
        "CALLSTATE": event.get("Channel-Call-State"),
        "EXECUTE": event.get("Application"),
        "EXECUTE_COMPLETE": event.get("Application"),
        "MEDIA_BUG_START": event.get("Media-Bug-Function"),
        "MEDIA_BUG_STOP": event.get("Media-Bug-Function"),
        "CALL_UPDATE": event.get("Direction"),
        "DTMF": event.get("DTMF-Digit"),
    }.get(name)
    return f"{name} {detail}" if detail else name


class Seen:
    """Events of the legs from a moment on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._from = len(client.events)

    def events(self) -> list[dict[str, Any]]:
        return self._client.events[self._from :]

    def of(self, *uuids: str, skip: tuple[str, ...] = ("PRIVATE_COMMAND",)) -> list[str]:
        """Labels of these legs; of several legs with their names."""
        out = []
        for event in self.events():
            if event.get("Unique-ID") in uuids and label(event) not in skip:
                who = f"{event['Unique-ID']} " if len(uuids) > 1 else ""
                out.append(who + label(event))
        return out


@asynccontextmanager
async def talking(tmp_path: Path, **more: str) -> AsyncIterator[tuple[Lab, Client, Channel, Channel]]:
    """Agent A and caller C talk."""
    async with lab(tmp_path, dialplan=PLAN, hold_music=MUSIC, **more) as sw:
        client = await sw.client("event json ALL")
        caller = sw.caller(uuid="C")
        agent = await parked(sw, client, "A", "1001")
        await client.api("uuid_bridge A C")
        await client.event("CHANNEL_BRIDGE")
        await client.event("CALL_UPDATE", Unique_ID="C", Direction="SEND")
        yield sw, client, agent, caller


async def parked(sw: Lab, client: Client, uuid: str, number: str) -> Channel:
    sw.switch.register(number, Phone(after_s=0.02))
    await client.api(f"originate {{origination_uuid={uuid}}}user/{number}@peyvand.local &park()")
    await client.event("CHANNEL_PARK", Unique_ID=uuid)
    leg = sw.switch.find(uuid)
    assert leg is not None
    return leg


async def until_seen(sw: Lab, seen: Seen, uuid: str, what: str) -> None:
    await sw.until(lambda: what in seen.of(uuid))


async def test_hold_by_command_plays_music_to_the_other_side(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, caller):
        seen = Seen(client)
        assert await client.api("uuid_hold A") == "+OK Success"
        await until_seen(sw, seen, "C", "PLAYBACK_START")
        assert await client.api("uuid_hold A") == "-ERR Operation failed"
        assert seen.of("A", "C") == ["A CALLSTATE HELD", "A HOLD", "C EXECUTE playback", "C PLAYBACK_START"]
        start = next(e for e in seen.events() if e["Event-Name"] == "PLAYBACK_START")
        assert start["Playback-File-Path"] == MUSIC
        seen = Seen(client)
        assert await client.api("uuid_hold off A") == "+OK Success"
        await until_seen(sw, seen, "A", "CALLSTATE ACTIVE")
        await until_seen(sw, seen, "C", "EXECUTE_COMPLETE playback")
        assert seen.of("A") == ["CALLSTATE UNHELD", "UNHOLD", "CALLSTATE ACTIVE"]
        assert seen.of("C") == ["PLAYBACK_STOP", "EXECUTE_COMPLETE playback"]
        unhold = next(e for e in seen.events() if e["Event-Name"] == "CHANNEL_UNHOLD")
        assert int(unhold["Caller-Channel-Hold-Accum"]) > 0
        assert int(unhold["Caller-Channel-Last-Hold"]) > 0
        assert await client.api("uuid_hold off A") == "-ERR Operation failed"
        assert await client.api("uuid_hold toggle A") == "+OK Success"
        await sw.until(lambda: caller.var("current_application") == "playback")
        assert await client.api("uuid_hold toggle A") == "+OK Success"
        assert await client.api("uuid_hold nobody") == "+OK Success", "as the real one says"
        usage = await client.api("uuid_hold")
        assert usage == "-USAGE: [off|toggle] <uuid> [<display>]\n-ERR Operation failed"


async def test_hold_by_the_phone_is_a_reinvite(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        seen = Seen(client)
        hold.phone_holds(agent)
        await until_seen(sw, seen, "A", "sofia::reinvite")
        assert seen.of("A") == ["CALLSTATE HELD", "HOLD", "sofia::reinvite"]
        assert seen.of("C") == ["EXECUTE playback", "PLAYBACK_START"]
        seen = Seen(client)
        hold.phone_resumes(agent)
        await until_seen(sw, seen, "A", "CALLSTATE ACTIVE")
        assert seen.of("A") == ["CALLSTATE UNHELD", "UNHOLD", "sofia::reinvite", "CALLSTATE ACTIVE"]
        names = seen.of("A", "C")
        assert names.index("C EXECUTE_COMPLETE playback") < names.index("A UNHOLD"), "the music ends first"


async def test_who_ends_on_hold_is_unheld_first(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, caller):
        hold.phone_holds(agent)
        await client.event("PLAYBACK_START", Unique_ID="C")
        seen = Seen(client)
        caller.end("NORMAL_CLEARING", by="caller")
        await client.event("CHANNEL_DESTROY", Unique_ID="A")
        assert seen.of("A") == [
            *("CALLSTATE UNHELD", "UNHOLD", "UNBRIDGE", "STATE EXECUTE", "CALLSTATE ACTIVE"),
            *[x for x in ENDS if x != "STATE DESTROY" or x in seen.of("A")],
        ]
        assert seen.of("C")[:3] == ["HANGUP", "PLAYBACK_STOP", "EXECUTE_COMPLETE playback"]
        await sw.until(lambda: not sw.switch.channels)


async def test_a_held_leg_that_is_killed_is_unheld(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, _, _):
        await client.api("uuid_hold A")
        seen = Seen(client)
        await client.api("uuid_kill A")
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
        assert seen.of("A")[:4] == ["CALLSTATE UNHELD", "UNHOLD", "HANGUP", "UNBRIDGE"]
        assert int(done["variable_hold_accum_usec"]) >= 0


async def test_transfer_of_the_other_side(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        seen = Seen(client)
        assert await client.api("uuid_transfer A -bleg echo XML public") == "+OK"
        await until_seen(sw, seen, "C", "EXECUTE sleep")
        await client.event("CHANNEL_DESTROY", Unique_ID="A")
        assert seen.of("C") == [
            *("CALLSTATE RINGING", "STATE ROUTING", "CALL_UPDATE RECV", "CALLSTATE ACTIVE", "STATE EXECUTE"),
            *("EXECUTE answer", "EXECUTE_COMPLETE answer", "EXECUTE sleep"),
        ]
        assert seen.of("A")[:4] == ["UNBRIDGE", "STATE EXECUTE", "HANGUP", "STATE HANGUP"]
        routed = next(
            e for e in seen.events() if e.get("Unique-ID") == "C" and label(e) == "CALL_UPDATE RECV"
        )
        assert routed["variable_transfer_source"].endswith(":bl_xfer:echo/public/XML")
        history = routed["variable_transfer_history"]
        assert [h.split(":")[2] for h in history] == ["uuid_br", "bl_xfer"]
        assert routed["Caller-Transfer-Source"] == routed["variable_transfer_source"]
        assert routed["Caller-Destination-Number"] == "echo"


async def test_transfer_of_both_and_back(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        seen = Seen(client)
        assert await client.api("uuid_transfer C -both park inline") == "+OK"
        await until_seen(sw, seen, "A", "PARK")
        await until_seen(sw, seen, "C", "PARK")
        to_park = ["STATE EXECUTE", "EXECUTE park", "PARK"]
        assert seen.of("A") == ["UNBRIDGE", "STATE ROUTING", *to_park]
        ringing = ["CALLSTATE RINGING", "STATE ROUTING", "CALL_UPDATE RECV", "CALLSTATE ACTIVE"]
        assert seen.of("C") == ringing + to_park
        seen = Seen(client)
        assert await client.api("uuid_bridge A C") == "+OK C"
        await until_seen(sw, seen, "A", "BRIDGE")
        assert seen.of("A")[2:6] == ["STATE HIBERNATE", *JOINING]
        seen = Seen(client)
        assert await client.api("uuid_dual_transfer A 1002/XML/public echo/XML/public") == "+OK"
        await until_seen(sw, seen, "A", "PLAYBACK_START")
        await until_seen(sw, seen, "C", "EXECUTE sleep")
        assert (await client.api("uuid_dual_transfer")).startswith("-USAGE: <uuid> <A-dest-exten>")


async def test_a_blind_refer_sends_the_caller_on_and_ends_the_agent(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, caller):
        seen = Seen(client)
        assert transfers.refer(agent, "1002")
        await until_seen(sw, seen, "C", "PLAYBACK_START")
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
        assert (done["Hangup-Cause"], done["variable_transfer_to"]) == ("NORMAL_CLEARING", "blind:C")
        assert done["variable_transfer_fallback_extension"] == "1001"
        assert seen.of("A")[:3] in (
            ["UNBRIDGE", "HANGUP", "STATE HANGUP"],
            ["HANGUP", "UNBRIDGE", "STATE HANGUP"],
        )
        assert caller.profile.context == "public"
        assert sorted(sw.switch.channels) == ["C"]


async def test_a_refer_to_nowhere_loses_the_caller(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, agent, _):
        assert transfers.refer(agent, "8888")
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="C")
        assert done["Hangup-Cause"] == "NO_ROUTE_DESTINATION"


async def test_a_refer_with_replaces_joins_the_two_partners(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        consultation = sw.caller(uuid="D")
        await parked(sw, client, "B", "1002")
        await client.api("uuid_bridge D B")
        await client.event("CHANNEL_BRIDGE", Unique_ID="D")
        await client.event("CALL_UPDATE", Unique_ID="B", Direction="SEND")
        seen = Seen(client)
        assert transfers.refer_replaces(agent, consultation)
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="D")
        assert done["Hangup-Cause"] == "ATTENDED_TRANSFER"
        assert (await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A"))[
            "variable_transfer_to"
        ] == "att:B"
        bridge = next(e for e in seen.events() if e["Event-Name"] == "CHANNEL_BRIDGE")
        assert (bridge["Bridge-A-Unique-ID"], bridge["Bridge-B-Unique-ID"]) == ("C", "B")
        names = seen.of("C", "D")
        assert names.index("D PARK") < names.index("C BRIDGE") < names.index("D HANGUP")
        assert [h.split(":")[2] for h in bridge["variable_transfer_history"]] == [
            "uuid_br",
            "att_xfer",
            "uuid_br",
        ]
        assert sorted(sw.switch.channels) == ["B", "C"]


async def consult(sw: Lab, client: Client) -> Seen:
    """A asks B while C waits."""
    sw.switch.register("1002", Phone(after_s=0.02))
    seen = Seen(client)
    await client.send(
        "sendmsg A\ncall-command: execute\nexecute-app-name: att_xfer\n"
        "execute-app-arg: {origination_uuid=B}user/1002@peyvand.local"
    )
    await until_seen(sw, seen, "A", "BRIDGE")
    await until_seen(sw, seen, "A", "CALL_UPDATE SEND")
    assert seen.of("A")[:4] == ["EXECUTE att_xfer", "CALLSTATE RING_WAIT", "CALLSTATE ACTIVE", "BRIDGE"]
    return seen


async def test_a_consultation_that_is_completed(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        await consult(sw, client)
        seen = Seen(client)
        agent.end("NORMAL_CLEARING", by="agent")
        await until_seen(sw, seen, "B", "BRIDGE")
        assert seen.of("A")[:5] == [
            "HANGUP",
            *seen.of("A")[1:2],
            "EXECUTE_COMPLETE att_xfer",
            "UNBRIDGE",
            "STATE HANGUP",
        ]
        bridge = next(e for e in seen.events() if e["Event-Name"] == "CHANNEL_BRIDGE")
        assert (bridge["Bridge-A-Unique-ID"], bridge["Bridge-B-Unique-ID"]) == ("B", "C")
        for uuid in ("B", "C"):
            states = [x for x in seen.of(uuid) if not x.startswith("CALL_UPDATE")]
            assert states[:6] == ["STATE PARK", "PARK", "UNPARK", "STATE HIBERNATE", *JOINING[:2]]
        await sw.until(lambda: sorted(sw.switch.channels) == ["B", "C"])


async def test_a_consultation_that_is_given_up(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        await consult(sw, client)
        seen = Seen(client)
        agent.press("#", "APP")
        await until_seen(sw, seen, "A", "BRIDGE")
        assert (await client.event("CHANNEL_HANGUP", Unique_ID="B"))["Hangup-Cause"] == "NORMAL_CLEARING"
        assert seen.of("A")[:5] == [
            "DTMF #",
            "UNBRIDGE",
            "EXECUTE_COMPLETE att_xfer",
            "UNBRIDGE",
            "STATE RESET",
        ]
        assert seen.of("A")[5:8] == ["STATE SOFT_EXECUTE", "EXECUTE uuid_bridge", "BRIDGE"]
        await sw.until(lambda: sorted(sw.switch.channels) == ["A", "C"])


async def test_who_is_asked_and_hangs_up_brings_the_caller_back(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, caller):
        await consult(sw, client)
        seen = Seen(client)
        await client.api("uuid_kill B")
        await until_seen(sw, seen, "A", "BRIDGE")
        assert caller.partner is sw.switch.find("A")


async def test_who_is_asked_and_busy_changes_nothing(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, caller):
        sw.switch.register("1002", Phone("486"))
        seen = Seen(client)
        await client.send(
            "sendmsg A\ncall-command: execute\nexecute-app-name: att_xfer\nexecute-app-arg: user/1002@peyvand.local"
        )
        await until_seen(sw, seen, "A", "EXECUTE_COMPLETE att_xfer")
        assert seen.of("A") == [
            *("EXECUTE att_xfer", "CALLSTATE RING_WAIT", "CALLSTATE ACTIVE", "EXECUTE_COMPLETE att_xfer")
        ]
        assert agent.partner is caller


async def test_the_asked_one_is_let_into_the_call(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        await consult(sw, client)
        seen = Seen(client)
        agent.press("0", "APP")
        await until_seen(sw, seen, "A", "MEDIA_BUG_START eavesdrop")
        await until_seen(sw, seen, "A", "BRIDGE")
        assert "EXECUTE three_way" in seen.of("B")
        assert sorted(sw.switch.channels) == ["A", "B", "C"]


async def test_intercept_takes_a_caller_over(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        seen = Seen(client)
        sw.switch.register("1002", Phone(after_s=0.02))
        await client.api("originate {origination_uuid=B}user/1002@peyvand.local &intercept(C)")
        await until_seen(sw, seen, "B", "BRIDGE")
        assert (await client.event("CHANNEL_HANGUP", Unique_ID="A"))["Hangup-Cause"] == "PICKED_OFF"
        after = seen.of("B")[seen.of("B").index("EXECUTE intercept") :]
        assert after[:3] == ["EXECUTE intercept", "EXECUTE_COMPLETE intercept", "STATE HIBERNATE"]
        assert after[3:7] == [*JOINING, "BRIDGE"]
        assert seen.of("A")[:3] == ["HANGUP", "UNBRIDGE", "STATE HANGUP"]
        assert (
            await client.api("originate {origination_uuid=N}user/1002@peyvand.local &intercept(nobody)")
            == "+OK N"
        )
        done = await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="N")
        assert done["Hangup-Cause"] == "NORMAL_CLEARING"


@pytest.mark.parametrize("keys", ["", "false"])
async def test_what_an_eavesdropper_is_told_waits_for_its_end(tmp_path: Path, keys: str) -> None:
    """Recorded on a real switch: it parses no message; with ``eavesdrop_enable_dtmf=false`` its keys are nobody's, else ``*`` ends it."""
    async with talking(tmp_path) as (sw, client, agent, _):
        await parked(sw, client, "S", "1002")
        await client.api(f"uuid_setvar S eavesdrop_enable_dtmf {keys}")
        seen = Seen(client)
        await client.api("uuid_transfer S 'm:^:eavesdrop:A^park:' inline")
        await until_seen(sw, seen, "A", "MEDIA_BUG_START eavesdrop")
        await client.api("uuid_broadcast S silence_stream://100 aleg")
        await client.api("uuid_recv_dtmf S 12*")
        if keys:
            agent.end("NORMAL_CLEARING", by="agent")
        await until_seen(sw, seen, "S", "EXECUTE_COMPLETE playback")
        order = [x for x in seen.of("S") if x.startswith(("DTMF", "EXECUTE"))]
        pressed = [] if keys else ["DTMF 1", "DTMF 2", "DTMF *"]
        assert order[order.index("EXECUTE eavesdrop") + 1 :] == [
            *pressed, "EXECUTE_COMPLETE eavesdrop", "EXECUTE park", "EXECUTE playback", "EXECUTE_COMPLETE playback"
        ]  # fmt: skip


async def test_eavesdrop_is_a_bug_on_the_leg_that_is_heard(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, _):
        sw.switch.register("1002", Phone(after_s=0.02))
        seen = Seen(client)
        await client.api("originate {origination_uuid=S}user/1002@peyvand.local &eavesdrop(A)")
        await until_seen(sw, seen, "A", "MEDIA_BUG_START eavesdrop")
        bug = await client.event("MEDIA_BUG_START", Unique_ID="A")
        assert (bug["Media-Bug-Function"], bug["Media-Bug-Target"]) == ("eavesdrop", "A")
        shown = await client.event("CALL_UPDATE", Unique_ID="S", Direction="SEND")
        assert shown["Sent-Callee-ID-Number"] == agent.profile.cid_number
        assert "Bridged-To" not in shown
        assert await client.api("uuid_recv_dtmf S 2") == "+OK S received DTMF 2."
        await until_seen(sw, seen, "S", "DTMF 2")
        seen = Seen(client)
        agent.end("NORMAL_CLEARING", by="agent")
        await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="S")
        assert seen.of("S")[:3] == ["EXECUTE_COMPLETE eavesdrop", "HANGUP", "STATE HANGUP"]
        assert seen.of("A").index("MEDIA_BUG_STOP eavesdrop") > 0


async def test_who_listens_and_leaves_leaves_the_call_alone(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, caller):
        sw.switch.register("1002", Phone(after_s=0.02))
        await client.api("originate {origination_uuid=S}user/1002@peyvand.local &eavesdrop(C)")
        await client.event("MEDIA_BUG_START", Unique_ID="C")
        caller.variables["park_after_bridge"] = "true"
        await client.api("uuid_kill A")
        await client.event("CHANNEL_PARK", Unique_ID="C", Channel_State="CS_PARK")
        assert not [e for e in client.events if e["Event-Name"] == "MEDIA_BUG_STOP"], "it survives the change"
        await client.api("uuid_kill S")
        await client.event("MEDIA_BUG_STOP", Unique_ID="C")
        assert sorted(sw.switch.channels) in (["C"], ["C", "S"])
        assert (
            await client.api("originate {origination_uuid=T}user/1002@peyvand.local &eavesdrop(none)")
            == "+OK T"
        )
        assert (await client.event("CHANNEL_HANGUP", Unique_ID="T"))["Hangup-Cause"] == "NORMAL_CLEARING"


async def test_the_books_know_who_talked_to_whom_through_a_consultation(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, caller):
        await consult(sw, client)
        seen = Seen(client)
        agent.end("NORMAL_CLEARING", by="agent")
        await until_seen(sw, seen, "B", "BRIDGE")
        caller.end("NORMAL_CLEARING", by="caller")
        await sw.until(lambda: not sw.switch.channels)
        (line,) = sw.ledger.lines("call", "C")
        assert [b["agent_leg"] for b in line["bridges"]] == ["A", "B"]
        first, second = line["bridges"]
        assert first["bridged_us"] < first["unbridged_us"] <= second["bridged_us"] < second["unbridged_us"]


async def test_simulated_agents_hold_and_send_on_by_their_phones(tmp_path: Path) -> None:
    """By habit, and when they are told to."""
    habits = sc.AgentHabits(
        holds=1.0, hold_after=sc.Spread(0.2, 0.0), hold_for=sc.Spread(0.4, 0.0), talk=sc.Spread(60, 0.0)
    )
    scenario = sc.Scenario(agent=habits, login=False)
    async with lab(tmp_path, dialplan=PLAN, hold_music=MUSIC) as sw:
        client = await sw.client("event json ALL")
        people = People(sw.switch, scenario, Random(1), {}, {"1001": "Sara"})
        agent = people.agents["1001"]
        agent.forced.append(sc.RingAct(0.02, "answer"))
        agent.begin_day(0.0)
        sw.caller(uuid="C")
        await client.api(
            "originate {origination_uuid=A,ignore_early_media=true}user/1001@peyvand.local &park()"
        )
        assert await client.api("uuid_bridge A C") == "+OK C"
        held = await client.event("CHANNEL_HOLD", Unique_ID="A")
        back = await client.event("CHANNEL_UNHOLD", Unique_ID="A")
        assert int(held["Caller-Channel-Last-Hold"]) > 0
        assert int(back["Caller-Channel-Hold-Accum"]) >= 300_000
        agent.hold()
        await sw.until(lambda: len([e for e in client.events if e["Event-Name"] == "CHANNEL_HOLD"]) == 2)
        assert agent.send_on("echo")
        await client.event("CHANNEL_EXECUTE", Unique_ID="C", Application="sleep")
        await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
        assert not agent.send_on("echo"), "nobody is there any more"
