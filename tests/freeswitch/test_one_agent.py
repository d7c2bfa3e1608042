"""Callers who want one agent, on a real switch: that agent is rung though another has been idle for longer; busy, away, no answer."""

from __future__ import annotations

import dataclasses

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, hang_up, is_idle, offers, on_duty, talks, until
from tests.freeswitch.test_flows import path_of

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def front(rig: Rig) -> Rig:
    return dataclasses.replace(rig, tenant="front")


async def test_a_caller_gets_the_agent_or_the_way_of_busy_away_and_no_answer(front: Rig) -> None:
    await on_duty(front, "omid", "1062")
    await on_duty(front, "mina", "1061")
    others = await front.lab.agent("1062")
    phone = await front.lab.agent("1061")
    first = await front.lab.callers("3011", hz=0)
    talking = (await talks(front, "personal"))[0]
    assert talking["agent_id"] == "mina"

    busy = await front.lab.callers("3010", hz=0)
    assert (await busy.done(30)).successful == 1
    assert await path_of(front, "3010") == [("mina", "busy"), ("talks", "played"), ("bye", "done")]

    await hang_up(front, talking["contact_id"])
    await phone.done()
    await first.done()
    await is_idle(front, "mina")
    silent = await front.lab.silent_agent("1061")
    missed = await front.lab.callers("3011", hz=0)
    contact = (await talks(front, "personal"))[0]
    assert contact["agent_id"] == "omid"
    await silent.done()
    await hang_up(front, contact["contact_id"])
    await missed.done()
    await others.done()

    async def told() -> bool:
        found = [await offers(front, c["contact_id"]) for c in (talking, contact)]
        ends = [[(o["agent_id"], o["outcome"]) for o in made] for made in found]
        return ends == [[("mina", "accepted")], [("mina", "no_answer"), ("omid", "accepted")]]

    await until("the books have all offers", told)
    await front.post("routing", "/v1/agents/mina/presence", presence="offline")
    away = await front.lab.callers("3013", hz=0)
    assert (await away.done(30)).successful == 1
    assert await path_of(front, "3013") == [("mina", "away"), ("gone", "played"), ("bye", "done")]
    await front.post("routing", "/v1/agents/omid/presence", presence="offline")


async def test_whom_one_agent_does_not_take_leaves_a_message_and_nobody_else_rings(front: Rig) -> None:
    await on_duty(front, "omid", "1062")
    await on_duty(front, "mina", "1061")
    silent = await front.lab.silent_agent("1061")
    async with front.switch.watch("RECORD_START") as watch:
        caller = await front.lab.callers("3014", patience_ms=15_000)
        path = (await watch.next(Event_Name="RECORD_START"))["Record-File-Path"]
    await silent.done()
    assert (await caller.done(60)).successful == 1
    contact = (await closed(front, entry_point="3014"))[0]
    assert path.endswith(f"/{contact['contact_id']}.message.personal.wav")
    assert (contact["overflow_reason"], contact["overflow_action"]) == ("no_answer", "voicemail")
    assert [(o["agent_id"], o["outcome"]) for o in await offers(front, contact["contact_id"])] == [
        ("mina", "no_answer")
    ]
    for agent in ("mina", "omid"):
        await front.post("routing", f"/v1/agents/{agent}/presence", presence="offline")
