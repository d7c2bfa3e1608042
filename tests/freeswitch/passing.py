"""A caller who talks with one agent while a colleague is free, on a real switch; everybody sends a tone of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.freeswitch.conftest import Rig
from tests.freeswitch.dialogs import Dialogs
from tests.freeswitch.hearing import heard
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import hang_up, no_legs, on_duty, talks, until

TONES = {
    "caller": 620,
    "giver": 840,
    "taker": 1110,
}  # None of them a note of the music that is made for the queues.


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

    async def press(self, keys: str, agent: str = "giver") -> None:
        """An agent presses keys."""
        await Dialogs(self.rig.switch, self.rig.switch.api).press((await self.legs())[agent], keys)

    async def hears(self, who: str) -> set[str]:
        """Who is heard by the caller or an agent."""
        leg = self.contact if who == "caller" else (await self.legs())[who]
        return (await heard(self.rig, leg, TONES))[1]

    async def agents_talk(self) -> None:
        """Until the two agents talk with each other, and queue knows."""

        async def speak() -> bool:
            legs = await self.legs()
            return len(legs) == 2 and await self.partner(legs["giver"]) == legs["taker"]

        await until("the agents talk", speak)
        await self.becomes("consulting")

        async def told() -> bool:
            found = await self.call()
            return found is not None and found["second_agent_id"] == "taker"

        await until("queue knows of the colleague", told)

    async def partner(self, leg: str) -> str:
        """Whom FreeSWITCH says a leg is bridged with now."""
        return (await self.rig.switch.api(f"uuid_getvar {leg} bridge_uuid")).strip()


@asynccontextmanager
async def talking(rig: Rig, *, taken: int = 1) -> AsyncIterator[Talk]:
    """Giver talks with a caller; Taker answers so many calls."""
    await no_legs(rig)
    await on_duty(rig, "giver", "1034")
    await on_duty(rig, "taker", "1035")
    giver = await rig.lab.agent("1034", hz=TONES["giver"])
    taker = await rig.lab.agent("1035", hz=TONES["taker"], calls=taken)
    caller = await rig.lab.callers("2071", hz=TONES["caller"])
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
