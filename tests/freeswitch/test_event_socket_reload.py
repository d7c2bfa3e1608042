"""mod_event_socket is loaded anew under calls: every connection of everybody drops, and nothing else happens."""

from __future__ import annotations

import asyncio

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import booked, hang_up, no_legs, offers, on_duty, talks, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_reload_of_the_module_costs_no_call_and_no_place(rig: Rig) -> None:
    """One talks, one waits; the module goes and comes. The same Core-UUID: who talked talks, who waited is next."""
    await on_duty(rig, "abe", "1033")
    phone = await rig.lab.agent("1033", calls=2)
    talking = await rig.lab.callers("2016", ani="1111")
    first = str((await talks(rig, "node-lost"))[0]["contact_id"])
    waiting = await rig.lab.callers("2016", ani="2222")
    second = str((await waits(rig, "node-lost"))[0]["contact_id"])
    connects = await connects_of(rig)

    await rig.switch.api("bgapi reload mod_event_socket")

    async def back() -> bool:
        return await connects_of(rig) > connects

    await until("queue has connected again", back)
    await rig.stack.processes["queue"].wait_ready(30)
    assert [c["contact_id"] for c in await talks(rig, "node-lost")] == [first]
    assert [c["contact_id"] for c in await waits(rig, "node-lost")] == [second]
    # What was said while nobody was connected is made up for, and what is said now is heard.
    await hang_up(rig, first)
    assert (await talking.done()).successful == 1
    assert [c["contact_id"] for c in await talks(rig, "node-lost")] == [second]
    await hang_up(rig, second)
    assert (await waiting.done()).successful == 1
    assert (await phone.done(10)).successful == 2
    await booked(rig, {first: "answered", second: "answered"}, entry_point="2016")
    for contact in (first, second):
        assert [o["outcome"] for o in await offers(rig, contact)] == ["accepted"]
    await no_legs(rig)


async def connects_of(rig: Rig) -> float:
    """How often queue has connected to the switch."""
    text = (await rig.get("queue", "/metrics")).decode()
    lines = [line for line in text.splitlines() if line.startswith('peyvand_esl_connects_total{node="fs1"}')]
    return float(lines[0].split()[1])


async def test_a_call_that_ends_while_the_socket_is_away_is_booked(rig: Rig) -> None:
    """Both sides hang up in the moment in which nobody can be told."""
    await on_duty(rig, "abe", "1033")
    phone = await rig.lab.agent("1033")
    caller = await rig.lab.callers("2016", ani="3333")
    contact_id = str((await talks(rig, "node-lost"))[0]["contact_id"])
    async with rig.switch.watch() as socket_:
        # In one write: the kill is carried out by the switch while its module closes every socket.
        await socket_.ask("bgapi reload mod_event_socket", f"api uuid_kill {contact_id}")
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1
    await booked(rig, {contact_id: "answered"}, entry_point="2016")
    await asyncio.gather(no_legs(rig), rig.stack.processes["queue"].wait_ready(30))
