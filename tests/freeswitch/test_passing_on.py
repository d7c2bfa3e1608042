"""Hold, transfer and consultation on a real switch: who talks to whom, who hears whom, and who is left when somebody goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import (
    hang_up,
    is_idle,
    loudness,
    no_legs,
    on_duty,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
    until,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@dataclass
class Talk:
    """Giver talks with a caller; Taker is free."""

    rig: Rig
    contact: str
    caller: Sipp
    giver: Sipp
    taker: Sipp

    async def wish(self, verb: str, **body: str) -> Any:
        return await self.rig.post("queue", f"/v1/contacts/{self.contact}/{verb}", **body)

    async def call(self) -> dict[str, Any] | None:
        calls = (await self.rig.get("queue", "/v1/calls"))["calls"]
        return next((c for c in calls if c["contact_id"] == self.contact), None)

    async def becomes(self, state: str, agent: str = "giver") -> None:
        async def seen() -> bool:
            found = await self.call()
            return found is not None and (found["state"], found["agent_id"]) == (state, agent)

        await until(f"the call is {state} with {agent}", seen)

    async def legs(self) -> dict[str, str]:
        """The agents' legs by agent."""
        rows = json.loads(await self.rig.switch.api("show channels as json")).get("rows", [])
        found = {}
        for row in rows:
            if row["presence_data"].startswith("a/") and self.contact in row["presence_data"]:
                agent = await self.rig.switch.api(f"uuid_getvar {row['uuid']} cc_agent")
                found[agent.strip()] = row["uuid"]
        return found

    async def partner(self, leg: str) -> str:
        """Whom FreeSWITCH says a leg is bridged with now."""
        return (await self.rig.switch.api(f"uuid_getvar {leg} bridge_uuid")).strip()


@asynccontextmanager
async def talking(rig: Rig, *, keys: str = "") -> AsyncIterator[Talk]:
    await no_legs(rig)
    await on_duty(rig, "giver", "1034")
    await on_duty(rig, "taker", "1035")
    giver = await rig.lab.agent("1034", hz=700)
    taker = await rig.lab.agent("1035", hz=1100)
    caller = await rig.lab.callers("2071", hz=440)
    contact = (await talks(rig, "passed"))[0]["contact_id"]
    talk = Talk(rig, contact, caller, giver, taker)
    try:
        yield talk
    finally:
        if await talk.call() is not None:
            await hang_up(rig, contact)
        await no_legs(rig)
        for phone in (giver, taker, caller):
            await phone.stop()
        for agent in ("giver", "taker"):
            await rig.post("routing", f"/v1/agents/{agent}/presence", presence="offline")


async def test_a_held_caller_hears_music_and_then_the_agent_again(rig: Rig) -> None:
    async with talking(rig) as t:
        await asyncio.sleep(1.0)  # of conversation, to be heard in the recording
        assert (await t.wish("hold"))["state"] == "held"
        await asyncio.sleep(1.5)
        assert (await t.wish("resume"))["state"] == "talking"
        await asyncio.sleep(1.5)
        await hang_up(rig, t.contact)
        recording = await recording_of(rig, t.contact)
        samples, rate = await sound_of(rig, recording["recording_id"])
        ends = samples[-rate:, 1]
        assert abs(strongest_hz(ends, rate) - 700) < 15, "the agent is not heard after the hold"
        held = samples[
            -int(2.6 * rate) : -int(2.1 * rate), 1
        ]  # resumed 1.5 s before the end, held 1.5 s before that
        assert abs(strongest_hz(held, rate) - 700) > 15, "the agent is heard during the hold"
        assert loudness(samples[-rate:, 0]) > 500


async def test_a_blind_transfer(rig: Rig) -> None:
    async with talking(rig) as t:
        assert (await t.wish("transfer", kind="agent", target="taker"))["state"] in ("waiting", "offered")
        await t.becomes("talking", "taker")
        await asyncio.sleep(1.5)
        assert set(await t.legs()) >= {"taker"}
        await hang_up(rig, t.contact)
        samples, rate = await sound_of(rig, (await recording_of(rig, t.contact))["recording_id"])
        assert abs(strongest_hz(samples[-rate:, 1], rate) - 1100) < 15


async def test_an_attended_transfer_is_completed(rig: Rig) -> None:
    async with talking(rig) as t:
        assert (await t.wish("consult", agent="taker"))["state"] == "consulting"

        async def speak() -> bool:
            legs = await t.legs()
            return len(legs) == 2 and await t.partner(legs["giver"]) == legs["taker"]

        await until("the agents talk", speak)
        await asyncio.sleep(0.5)
        assert (await t.wish("complete"))["agent_id"] == "taker"
        await asyncio.sleep(1.5)
        await hang_up(rig, t.contact)
        samples, rate = await sound_of(rig, (await recording_of(rig, t.contact))["recording_id"])
        assert abs(strongest_hz(samples[-rate:, 1], rate) - 1100) < 15
        await is_idle(rig, "giver")


async def consults(t: Talk) -> None:
    await t.wish("consult", agent="taker")

    async def speak() -> bool:
        legs = await t.legs()
        return len(legs) == 2 and await t.partner(legs["giver"]) == legs["taker"]

    await until("the agents talk", speak)
    await t.becomes("consulting")
    await asyncio.sleep(0.3)


async def test_an_attended_transfer_is_cancelled(rig: Rig) -> None:
    async with talking(rig) as t:
        await consults(t)
        assert (await t.wish("cancel"))["state"] == "talking"
        await asyncio.sleep(1.0)
        await t.becomes("talking")
        assert set(await t.legs()) == {"giver"}
