"""What agents do with an offer and after a call, on a real switch: refuse, miss, leave first, name the result."""

from __future__ import annotations

import httpx
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, counted, is_idle, offers, on_duty, talks, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def has_break(rig: Rig, agent_id: str, reason: str) -> None:
    async def seen() -> bool:
        state = await rig.agent(agent_id)
        return (state["presence"], state["reason"]) == ("break", reason)

    await until(f"{agent_id} is on a break for {reason}", seen)


async def test_disposition_by_key_after_the_caller_left(rig: Rig) -> None:
    await on_duty(rig, "ivy", "1009")
    # The first key comes during the talk and is none of ours; the second when the caller has left.
    phone = await rig.lab.agent("1009", keys=((1000, "1"), (4500, "2")))
    caller = await rig.lab.callers("2001", patience_ms=4000, hz=0)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1, phone.errors()
    contact = (await closed(rig, entry_point="2001"))[0]
    assert (contact["outcome"], contact["agent_id"], contact["ended_by"]) == ("answered", "ivy", "caller")
    await is_idle(rig, "ivy")

    async def stored() -> bool:
        found = (await closed(rig, entry_point="2001"))[0]
        return (found["disposition"], found["disposition_by"]) == ("2", "key")

    await until("the disposition is in the books", stored)


async def test_a_required_result_from_the_queues_own_list_by_key(rig: Rig) -> None:
    """Key 1 is a result of the center, not of the queue: it neither ends the wrap-up nor is it lost to routing."""
    await on_duty(rig, "lis", "1049")
    phone = await rig.lab.agent("1049", keys=((5000, "1"), (4000, "2")))
    caller = await rig.lab.callers("2074", patience_ms=2500, hz=0)
    assert (await caller.done()).successful == 1

    async def wrap_up() -> bool:
        return bool((await rig.agent("lis"))["activity"] == "wrap_up")

    await until("lis is in wrap-up", wrap_up)
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await rig.post("routing", "/v1/agents/lis/wrap-up", action="end")
    assert (await phone.done()).successful == 1, phone.errors()
    await is_idle(rig, "lis")

    async def stored() -> bool:
        found = (await closed(rig, entry_point="2074"))[0]
        return (found["disposition"], found["disposition_by"]) == ("2", "key")

    await until("the result is in the books", stored)


async def test_disposition_by_dialled_code(rig: Rig) -> None:
    await on_duty(rig, "ivy", "1009")
    phone = await rig.lab.agent("1009")
    caller = await rig.lab.callers("2001", patience_ms=2500, hz=0)
    assert (await caller.done()).successful == 1

    async def wrap_up() -> bool:
        return bool((await rig.agent("ivy"))["activity"] == "wrap_up")

    await until("ivy is in wrap-up", wrap_up)
    assert (await rig.lab.dial_code("1009", "*261")).successful == 1
    assert (await phone.done()).successful == 1, "the leg of the last call was not ended"
    await is_idle(rig, "ivy")

    async def stored() -> bool:
        found = (await closed(rig, 2, entry_point="2001"))[1]
        return (found["disposition"], found["disposition_by"]) == ("1", "code")

    await until("the disposition is in the books", stored)


async def test_the_call_goes_on_to_the_next_agent_after_busy_and_declined(rig: Rig) -> None:
    for agent_id, extension in (("jan", "1010"), ("kim", "1011"), ("lee", "1012")):
        await on_duty(rig, agent_id, extension)
    busy = await rig.lab.refusing_agent("1010", "486 Busy Here")
    declines = await rig.lab.refusing_agent("1011", "603 Decline")
    phone = await rig.lab.agent("1012")
    caller = await rig.lab.callers("2002", patience_ms=4000, hz=0)
    assert (await caller.done()).successful == 1
    for process in (busy, declines, phone):
        assert (await process.done(10)).successful == 1, process.name
    contact = (await closed(rig, entry_point="2002"))[0]
    assert (contact["outcome"], contact["agent_id"]) == ("answered", "lee")
    made = await offers(rig, contact["contact_id"])
    assert [(o["agent_id"], o["outcome"]) for o in made] == [
        ("jan", "busy"),
        ("kim", "declined"),
        ("lee", "accepted"),
    ]
    assert contact["wait_ms"] < 3000, "two refusals cost the caller this much"


async def test_a_missed_call_keeps_its_place_and_its_agent_gets_a_break(rig: Rig) -> None:
    await on_duty(rig, "mia", "1013")
    rings = await rig.lab.silent_agent("1013")
    first = await rig.lab.callers("2003", patience_ms=14_000, hz=0, ani="1111")
    await until("the first caller is offered", lambda: rig.calls("missed", "offered"))
    second = await rig.lab.callers("2003", patience_ms=14_000, hz=0, ani="2222")
    assert (await rings.done(15)).successful == 1, "the phone was not told to stop ringing"
    await has_break(rig, "mia", "no_answer")
    waiting = await waits(rig, "missed", 2)
    place = {c["contact_id"]: c["waiting_since_us"] for c in waiting}
    await rig.lab.register("1014")
    phone = await rig.lab.agent("1014", talk_ms=1500, calls=2)
    await on_duty(rig, "ned")
    assert (await first.done()).successful == 1
    assert (await second.done()).successful == 1
    assert (await phone.done()).successful == 2
    one, two = await closed(rig, 2, entry_point="2003")
    assert (one["ani"], two["ani"]) == ("1111", "2222")
    made = await offers(rig, one["contact_id"])
    assert [(o["agent_id"], o["outcome"]) for o in made] == [("mia", "no_answer"), ("ned", "accepted")]
    assert [o["agent_id"] for o in await offers(rig, two["contact_id"])] == ["ned"]
    assert one["connected_at"] < two["connected_at"], "the first caller has lost the place"
    # FreeSWITCH counts the five seconds of ringing in whole seconds of its clock.
    assert one["wait_ms"] > 4000, "the wait began anew"
    assert min(place, key=lambda c: place[c]) == one["contact_id"]


async def test_an_agent_without_a_phone_costs_the_caller_nothing(rig: Rig) -> None:
    await on_duty(rig, "qui")  # Logged in by HTTP, the phone never registered.
    await on_duty(rig, "ray", "1018")
    phone = await rig.lab.agent("1018")
    caller = await rig.lab.callers("2005", patience_ms=3000, hz=0)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    contact = (await closed(rig, entry_point="2005"))[0]
    made = await offers(rig, contact["contact_id"])
    assert [(o["agent_id"], o["outcome"]) for o in made] == [("qui", "unreachable"), ("ray", "accepted")]
    assert contact["wait_ms"] < 2000
    await has_break(rig, "qui", "unreachable")


async def test_an_agent_who_leaves_first_and_a_caller_who_hears_goodbye(rig: Rig) -> None:
    await on_duty(rig, "oda", "1015")
    async with rig.switch.watch("CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP") as watch:
        phone = await rig.lab.agent("1015", talk_ms=2000)
        caller = await rig.lab.callers("2004", hz=0)
        contact_id = (await talks(rig, "parting"))[0]["contact_id"]
        assert (await phone.done()).successful == 1
        while True:
            played = await watch.next(
                Event_Name="CHANNEL_EXECUTE_COMPLETE", Unique_ID=contact_id, Application="playback"
            )
            if played["Application-Data"].endswith("goodbye.wav"):
                break
        assert played["Application-Response"] == "FILE PLAYED"
        ended = await watch.next(Event_Name="CHANNEL_HANGUP", Unique_ID=contact_id)
    assert ended["Hangup-Cause"] == "NORMAL_CLEARING"
    assert (await caller.done(10)).successful == 1, "the caller was not hung up"
    contact = (await closed(rig, entry_point="2004"))[0]
    assert (contact["outcome"], contact["ended_by"]) == ("answered", "agent")
    assert 1000 < contact["talk_ms"] < 4000
    await counted(rig, "parting", received=1, contacts_answered=1, contacts_abandoned=0)
    await is_idle(rig, "oda")


async def test_the_next_call_rings_after_the_former_is_hung_up(rig: Rig) -> None:
    """The end of the wrap-up brings the next order at once; the phone must not be busy with a leg that we still hold."""
    await on_duty(rig, "zoe", "1032")
    phone = await rig.lab.agent("1032", calls=2)
    first = await rig.lab.callers("2015", patience_ms=3000, hz=0)
    await talks(rig, "next")
    second = await rig.lab.callers("2015", patience_ms=6000, hz=0)
    assert (await first.done()).successful == 1
    assert (await second.done()).successful == 1
    assert (await phone.done()).successful == 2
    assert phone.requests() == ["INVITE", "ACK", "BYE"] * 2
    assert [c["outcome"] for c in await closed(rig, 2, entry_point="2015")] == ["answered"] * 2
