"""``conference``: who comes, speaks and goes, as ``conference::maintenance`` and the API of a real 1.10.12 told it."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

from tests.integration.simswitch_kit import Client
from tests.integration.test_simswitch_transfers import Seen, talking, until_seen


def actions(seen: Seen) -> list[tuple[str, str | None]]:
    """Action and leg of each maintenance event."""
    return [
        (e["Action"], e.get("Unique-ID"))
        for e in seen.events()
        if e.get("Event-Subclass") == "conference::maintenance"
    ]


async def maintenance(client: Client, action: str, **more: str) -> dict[str, Any]:
    return await client.event("CUSTOM", Event_Subclass="conference::maintenance", Action=action, **more)


async def test_a_call_becomes_a_conference_and_ends(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, agent, caller):
        seen = Seen(client)
        assert await client.api("uuid_transfer A -both conference:03@default inline") == "+OK"
        floor = await maintenance(client, "floor-change")
        await sw.until(lambda: len([a for a, _ in actions(seen) if a == "add-member"]) == 2)
        assert (floor["Old-ID"], floor["Conference-Name"], floor["Floor"]) == ("none", "03", "true")
        assert actions(seen)[0] == ("conference-create", None)
        assert {("add-member", "A"), ("add-member", "C")} <= set(actions(seen))
        added = await maintenance(client, "add-member", Unique_ID="A")
        number = added["Member-ID"]
        assert (added["Hear"], added["Speak"], added["Member-Type"]) == ("true", "true", "member")
        assert added["Event-Calling-Function"] == "conference_member_add"
        assert not [k for k in added if k.startswith("variable_")]
        assert len((await client.api("conference 03 list")).splitlines()) == 2
        line = next(
            x for x in (await client.api("conference 03 list")).splitlines() if x.startswith(f"{number};")
        )
        assert line.split(";")[1:3] == [agent.name, "A"]
        assert "hear|speak" in line
        assert (await client.api("conference list")).startswith(
            "+OK Conference 03 (2 members rate: 8000 flags: running|"
        )
        assert await client.api("conference 03 list count") == "2"
        seen = Seen(client)
        for command in ("mute", "unmute", "deaf", "undeaf", "hold", "unhold"):
            assert await client.api(f"conference 03 {command} {number}") == f"+OK {command} {number}"
        assert await client.api(f"conference 03 tmute {number}") == f"+OK mute {number}"
        await sw.until(lambda: len(actions(seen)) == 7)
        assert [a for a, _ in actions(seen)] == [
            f"{x}-member" for x in ("mute", "unmute", "deaf", "undeaf", "hold", "unhold", "mute")
        ]
        (room,) = json.loads(await client.api("conference 03 json_list"))
        assert room["member_count"] == 2
        assert {m["uuid"]: m["flags"]["can_speak"] for m in room["members"]} == {"A": False, "C": True}
        seen = Seen(client)
        assert await client.api(f"conference 03 kick {number}") == f"+OK kicked {number}"
        await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="A")
        ends = [x for x in seen.of("A") if not x.startswith("sofia")]
        assert ends[:4] == [*["conference::maintenance"] * 2, "EXECUTE_COMPLETE conference", "HANGUP"]
        kicked = [x for x in actions(seen) if x[1] == "A"]
        assert kicked == [("kick-member", "A"), ("del-member", "A")]
        caller.end("NORMAL_CLEARING", by="caller")
        await maintenance(client, "conference-destroy")
        assert actions(seen)[-2:] == [("del-member", "C"), ("conference-destroy", None)]
        assert await client.api("conference list") == "+OK No active conferences."


async def test_files_recordings_and_what_is_not_there(tmp_path: Path) -> None:
    async with talking(tmp_path) as (sw, client, _, _):
        seen = Seen(client)
        await client.api("uuid_transfer A -both conference:01@default inline")
        await maintenance(client, "floor-change")
        file = "silence_stream://60"
        assert await client.api(f"conference 01 play {file}") == f"+OK (play) Playing file {file}"
        assert (await maintenance(client, "play-file-done"))["File"] == file
        endless = "silence_stream://9000"
        await client.api(f"conference 01 play {endless}")
        assert await client.api("conference 01 stop all") == "+OK Stopped 1 files."
        path = tmp_path / "rec" / "conf.wav"
        assert await client.api(f"conference 01 record {path}") == f"+OK Record file {path}"
        assert await client.api("conference 01 norecord all") == (
            f"Stopped recording file {path}\n+OK Stopped recording 1 files"
        )
        stopped = await maintenance(client, "stop-recording")
        with wave.open(str(path), "rb") as recorded:
            assert recorded.getnframes() == int(stopped["Samples-Out"])
        assert await client.api("conference 01 lock") == "+OK 01 locked"
        assert await client.api("originate null/x &conference(01@default)")
        assert await client.api("conference 01 list count") == "2", "nobody comes into a locked one"
        assert await client.api("conference 01 unlock") == "+OK 01 unlocked"
        assert await client.api("conference 01 mute 99") == "-ERR Non-Existant ID 99"
        assert await client.api("conference nope list") == "-ERR Conference nope not found"
        assert await client.api("conference 01 nope") == "-ERR Conference command 'nope' not found."
        reply = await client.api("conference 01 hup all")
        assert [line.split()[:2] for line in reply.splitlines()] == [["+OK", "hup"]] * 2
        await until_seen(sw, seen, "A", "HANGUP_COMPLETE")
        await maintenance(client, "conference-destroy")
        assert [a for a, _ in actions(seen)].count("hup-member") == 2


async def test_who_comes_muted_has_no_floor(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, client, _, _):
        await client.api("originate {origination_uuid=M}null/x &conference(05@default+flags{mute})")
        added = await maintenance(client, "add-member", Unique_ID="M")
        assert (added["Speak"], added["Floor"]) == ("false", "false")
        await client.api("originate {origination_uuid=N}null/x &conference(05@default)")
        floor = await maintenance(client, "floor-change")
        assert floor["Unique-ID"] == "N"
