"""The switch stands still with all its connections open: nobody waits for it, nobody is offered, and nothing is lost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import booked, hang_up, no_legs, offers, talks, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def switch_part(rig: Rig, service: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        report = (await client.get(rig.stack.http(service) + "/readyz")).json()
    return dict(report["parts"]["switch:fs1"])


async def test_a_frozen_switch_is_unknown_and_goes_on_where_it_stood(rig: Rig) -> None:
    """One waits and no agent is there; the switch freezes; the agent comes back from a break and is offered nothing.

    Then it goes on, with the same Core-UUID: the caller still waits, on the same leg, and is the agent's next call.
    """
    await rig.lab.register("1033")
    await rig.post("routing", "/v1/agents/abe/presence", presence="break", reason="rest")
    phone = await rig.lab.agent("1033")
    caller = await rig.lab.callers("2016", ani="7777")
    contact_id = str((await waits(rig, "node-lost"))[0]["contact_id"])
    core = (await rig.switch.api("global_getvar core_uuid")).strip()

    rig.switch.freeze()
    try:
        for service in ("queue", "routing", "recording", "reporting"):

            async def silent(name: str = service) -> bool:
                part = await switch_part(rig, name)
                return not part["ok"] and part["detail"].startswith("silent")

            await until(f"{service} finds out", silent, 40)

        async def unreachable() -> bool:
            return (await rig.agent("abe"))["activity"] == "unreachable"

        await until("the node's agents count as unreachable", unreachable)
        await rig.post("routing", "/v1/agents/abe/presence", presence="available")
        assert (await rig.agent("abe"))["activity"] == "unreachable"
        assert await offers(rig, contact_id) == []
        assert [c["contact_id"] for c in await rig.calls("node-lost", "waiting")] == [contact_id]
    finally:
        rig.switch.thaw()

    assert [c["contact_id"] for c in await talks(rig, "node-lost", timeout_s=60)] == [contact_id]
    assert (await rig.switch.api("global_getvar core_uuid")).strip() == core
    await hang_up(rig, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1
    await booked(rig, {contact_id: "answered"}, entry_point="2016")
    assert [o["outcome"] for o in await offers(rig, contact_id)] == ["accepted"]
    await no_legs(rig)
