"""Forty callers and six agents on a real switch: nobody is lost, and every count is the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, no_legs, on_duty, until

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


CALLERS = 40
AGENTS = 6


async def test_forty_callers_and_six_agents(rig: Rig) -> None:
    await no_legs(rig)
    since = datetime.now(UTC).isoformat()
    extensions = [str(1024 + n) for n in range(AGENTS)]
    for n, extension in enumerate(extensions):
        await on_duty(rig, f"busy{n + 1}", extension)
    phones = [await rig.lab.agent(extension, talk_ms=1500, calls=CALLERS) for extension in extensions]
    callers = await rig.lab.callers("2012", patience_ms=9000, calls=CALLERS, rate=4, hz=0)
    counts = await callers.done(60)
    assert (counts.successful, counts.failed) == (CALLERS, 0), callers.errors()
    contacts = await closed(rig, CALLERS, entry_point="2012")
    answered = [c for c in contacts if c["outcome"] == "answered"]
    assert {c["outcome"] for c in contacts} <= {"answered", "abandoned"}
    assert len({c["agent_id"] for c in answered}) == AGENTS
    assert len(answered) >= AGENTS * 2
    await no_legs(rig)
    taken = await asyncio.gather(*(phone.leave() for phone in phones))
    assert sum(count.failed for count in taken) == 0
    legs = CALLERS + sum(count.successful for count in taken)

    async def stored() -> bool:
        page = await rig.get("reporting", "/v1/reports/legs", limit="500", **{"from": since})
        return len(page["items"]) == legs

    await until(f"{legs} legs are stored", stored)

    async def recorded() -> bool:
        found = (await rig.get("recording", "/v1/recordings", limit="500"))["recordings"]
        stored_ids = {r["contact_id"] for r in found}
        return {c["contact_id"] for c in answered} <= stored_ids

    await until("every answered call is recorded", recorded)
