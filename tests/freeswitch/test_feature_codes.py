"""Feature codes of any SIP phone on a real switch: during a call (``*1`` to ``*6``, by INFO), and dialled for a break with its reason.

What is heard after each of them is heard in the RTP of the leg itself. The other codes: ``*22``, ``*24``, ``*25`` in test_calls, ``*26`` and the
key of a disposition in test_agents, ``*33`` in test_supervision.
"""

from __future__ import annotations

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.passing import talking
from tests.freeswitch.steps import booked, hang_up, is_idle, log_in, no_legs, until

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_hold_and_resume_by_the_same_key(rig: Rig) -> None:
    async with talking(rig) as t:
        await t.press("*1")
        await t.becomes("held")
        assert await t.hears("caller") == set(), "the agent is heard during the hold"
        assert await t.hears("giver") == set(), "the caller is heard during the hold"
        await t.press("*1")
        await t.becomes("talking")
        assert (await t.hears("caller"), await t.hears("giver")) == ({"giver"}, {"caller"})


async def test_a_blind_transfer_by_keys(rig: Rig) -> None:
    async with talking(rig) as t:
        await t.press("*2")
        await t.becomes("dialling")
        await t.press("1035#")
        await t.becomes("talking", "taker")
        assert (await t.hears("caller"), await t.hears("taker")) == ({"taker"}, {"caller"})
        await is_idle(rig, "giver")


async def test_a_consultation_by_keys_is_cancelled_and_the_next_completed(rig: Rig) -> None:
    async with talking(rig, taken=2) as t:
        await t.press("*3")
        await t.becomes("dialling")
        await t.press("1035#")
        await t.agents_talk()
        assert await t.hears("caller") == set(), "the caller hears the agents talk about him"
        assert (await t.hears("giver"), await t.hears("taker")) == ({"taker"}, {"giver"})
        await t.press("*6")
        await t.becomes("talking")
        assert (await t.hears("caller"), await t.hears("giver")) == ({"giver"}, {"caller"})
        await is_idle(rig, "taker")
        await t.press("*3")
        await t.becomes("dialling")
        await t.press("1035#")
        await t.agents_talk()
        await t.press("*4")
        await t.becomes("talking", "taker")
        assert (await t.hears("caller"), await t.hears("taker")) == ({"taker"}, {"caller"})
        await is_idle(rig, "giver")


async def test_three_hear_each_other_in_a_conference_by_key_and_the_first_agent_leaves(rig: Rig) -> None:
    async with talking(rig) as t:
        await t.press("*3")
        await t.becomes("dialling")
        await t.press("1035#")
        await t.agents_talk()
        await t.press("*5")
        await t.becomes("conference")
        await until("all three are in the room", lambda: _members(rig, t.contact, 3))
        assert await t.hears("caller") == {"giver", "taker"}
        assert await t.hears("giver") == {"caller", "taker"}
        assert await t.hears("taker") == {"caller", "giver"}
        await rig.switch.api(f"uuid_kill {(await t.legs())['giver']}")
        await t.becomes("conference", "taker")
        assert (await t.hears("caller"), await t.hears("taker")) == ({"taker"}, {"caller"})
        await is_idle(rig, "giver")
        await hang_up(rig, t.contact)
        await no_legs(rig)
        await booked(rig, {t.contact: "answered"}, queue="passed")


async def test_a_conference_by_http_from_which_the_colleague_is_dropped(rig: Rig) -> None:
    async with talking(rig) as t:
        await t.wish("consult", agent="taker")
        await t.agents_talk()
        assert (await t.wish("conference"))["state"] == "conference"
        assert await t.hears("taker") == {"caller", "giver"}
        assert (await t.wish("drop", agent="taker"))["second_agent_id"] == ""
        await is_idle(rig, "taker")
        assert (await t.hears("caller"), await t.hears("giver")) == ({"giver"}, {"caller"})
        await t.press("*1")  # No code of a conference: nothing happens, and nobody hears it.
        assert (await t.hears("caller"), await t.hears("giver")) == ({"giver"}, {"caller"})


async def _members(rig: Rig, room: str, count: int) -> bool:
    return (await rig.switch.api(f"conference {room} count")).strip() == str(count)


async def test_a_break_with_its_reason_and_the_disposition_by_dialled_code(rig: Rig) -> None:
    await log_in(rig, "hoda", "1008")
    assert (await rig.lab.dial_code("1008", "*243")).successful == 1

    async def rests() -> bool:
        state = await rig.agent("hoda")
        return (state["presence"], state["reason"]) == ("break", "rest")

    await until("hoda is on a break to rest", rests)
    async with rig.switch.watch("CHANNEL_EXECUTE_COMPLETE") as watch:
        assert (await rig.lab.dial_code("1008", "*249")).successful == 1
        said = await watch.next(Event_Name="CHANNEL_EXECUTE_COMPLETE", Application="playback")
        assert said["Application-Data"].endswith("not-possible.wav"), "a key that names no reason"
    assert await rests()
    assert (await rig.lab.dial_code("1008", "*22")).successful == 1
