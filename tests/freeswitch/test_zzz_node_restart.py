"""The switch itself dies under calls, and comes back as another one. After everything else: it loses CDRs, as it must."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    booked,
    hang_up,
    no_legs,
    offers,
    on_duty,
    recording_of,
    talks,
    until,
    waits,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def switch_part(rig: Rig, service: str) -> dict[str, Any]:
    """What a service's /readyz says of its connection to the node."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        report = (await client.get(rig.stack.http(service) + "/readyz")).json()
    return dict(report["parts"]["switch:fs1"])


async def seen_down(rig: Rig, *services: str) -> None:
    """Until each service says that it has no connection, and why."""
    for service in services:

        async def down(name: str = service) -> bool:
            part = await switch_part(rig, name)
            return not part["ok"] and part["detail"].startswith(("no_listener", "closed"))

        await until(f"{service} says that the node is away", down)


async def seen_up(rig: Rig, *services: str) -> None:
    await asyncio.gather(*(rig.stack.processes[name].wait_ready(60) for name in services))


async def legs_of(rig: Rig, contact_id: str) -> int:
    """How many CDRs the books have of a contact."""
    page = await rig.get("reporting", "/v1/reports/legs", limit="500")
    return sum(1 for leg in page["items"] if leg["contact_id"] == contact_id)


ALL = ("queue", "routing", "recording", "reporting")


async def test_a_killed_switch_ends_its_calls_with_the_cause_and_starts_anew(rig: Rig) -> None:
    """kill -9 with one who talks and one who waits, and a while of nothing; then another Core-UUID.

    Until then the contacts stand as they were: a node that cannot be reached may live. Then who waited is ended unseen, and who
    talked was answered and ended by the system, both with the cause; the recording is mended, the agent is free again as soon as the phone registers, and the next call is a call like any other.
    """
    await on_duty(rig, "abe", "1033")
    phone = await rig.lab.agent("1033")
    talking = await rig.lab.callers("2016", ani="1111", hz=500)
    first = str((await talks(rig, "node-lost"))[0]["contact_id"])
    waiting = await rig.lab.callers("2016", ani="2222")
    second = str((await waits(rig, "node-lost"))[0]["contact_id"])
    core = (await rig.switch.api("global_getvar core_uuid")).strip()
    await asyncio.sleep(2)  # something to hear in the file

    await rig.switch.kill()
    await seen_down(rig, *ALL)
    await asyncio.gather(*(sipp.stop() for sipp in (phone, talking, waiting)))

    async def unreachable() -> bool:
        # Nobody is offered a call of the node; the agent still counts as talking, for nobody has seen the end.
        return (await rig.agent("abe"))["activity"] == "talking"

    await until("abe is where she was", unreachable)
    frozen = {
        c["contact_id"]: c["state"] for c in await rig.calls("node-lost", "talking", "waiting", "leaving")
    }
    assert frozen == {first: "talking", second: "waiting"}

    await rig.switch.start()
    await seen_up(rig, *ALL)
    assert (await rig.switch.api("global_getvar core_uuid")).strip() != core
    await booked(
        rig,
        {
            first: "answered",
            second: "ended_unseen",
        },
        entry_point="2016",
    )
    for contact_id in (first, second):
        story = await rig.get("reporting", f"/v1/contacts/{contact_id}")
        assert "SWITCH_RESTARTED" in str(story), f"the cause is not in the books: {story}"
    recording = await recording_of(rig, first, timeout_s=90)
    assert recording["agent_id"] == "abe"
    assert await rig.calls("node-lost", "waiting", "talking", "leaving") == []
    assert await legs_of(rig, first) == 0, "a killed switch writes no CDR"

    await on_duty(rig, "abe", "1033")
    phone = await rig.lab.agent("1033")
    caller = await rig.lab.callers("2016", ani="4444")
    third = str((await talks(rig, "node-lost"))[0]["contact_id"])
    await hang_up(rig, third)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1
    await booked(rig, {third: "answered"}, entry_point="2016")
    assert [o["outcome"] for o in await offers(rig, third)] == ["accepted"]

    async def both_legs() -> bool:
        return await legs_of(rig, third) == 2

    await until("both legs of the new call are in the books", both_legs)
    await no_legs(rig)


async def test_a_switch_that_is_shut_down_in_order_books_every_leg(rig: Rig) -> None:
    """SIGTERM: it hangs up, writes its CDRs, and goes; nothing is guessed about who talked."""
    await on_duty(rig, "abe", "1033")
    phone = await rig.lab.agent("1033")
    caller = await rig.lab.callers("2016", ani="5555")
    contact_id = str((await talks(rig, "node-lost"))[0]["contact_id"])
    await rig.switch.stop()
    await seen_down(rig, *ALL)
    assert (await caller.done()).successful == 1, "the caller was not hung up"
    assert (await phone.done(10)).successful == 1
    await rig.switch.start()
    await seen_up(rig, *ALL)
    await booked(rig, {contact_id: "answered"}, entry_point="2016")

    async def both_legs() -> bool:
        return await legs_of(rig, contact_id) == 2

    await until("both legs are in the books", both_legs)
    await no_legs(rig)
