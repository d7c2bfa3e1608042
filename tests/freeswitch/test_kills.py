"""Kills between the steps of calls on a real FreeSWITCH."""

from __future__ import annotations

import asyncio

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import no_legs, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_who_is_parked_while_queue_is_down_has_the_place_from_then_on(rig: Rig) -> None:
    queue = rig.stack.processes["queue"]
    await queue.kill()
    try:
        caller = await rig.lab.callers("1000", digits="3", patience_ms=30_000)

        async def parked() -> bool:
            return await rig.switch.channels() == 1 and "waiting" in await state_of()

        async def state_of() -> str:
            rows = (await rig.switch.api("show channels")).splitlines()
            return await rig.switch.api(f"uuid_getvar {rows[1].partition(',')[0]} cc_state")

        await until("the caller is parked", parked)
        await asyncio.sleep(2)  # time that counts
    finally:
        await queue.start()
        await queue.wait_ready(30)
    contact = (await waits(rig, "queue-lost"))[0]
    parked_us = int(await rig.switch.api(f"uuid_getvar {contact['contact_id']} cc_parked_us"))
    # FreeSWITCH stamps a dump with the time of its last tick, 20 ms ago at most.
    assert abs(contact["waiting_since_us"] - parked_us) < 300_000
    await rig.lab.register("1004")
    phone = await rig.lab.agent("1004", talk_ms=1000)
    assert (await rig.lab.dial_code("1004", "*22")).successful == 1
    assert (await phone.done(40)).successful == 1
    assert (await caller.done(40)).successful == 1
    await no_legs(rig)
