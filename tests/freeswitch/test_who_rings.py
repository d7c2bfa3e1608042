"""Which phones ring, on a real switch: several at once, and none that is in a call of its own."""

from __future__ import annotations

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.sipp import DOMAIN
from tests.freeswitch.steps import booked, closed, hang_up, is_idle, offers, on_duty, talks, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_three_phones_ring_and_the_first_to_answer_has_the_call(rig: Rig) -> None:
    for agent_id, extension in (("all1", "1041"), ("all2", "1042"), ("all3", "1043")):
        await on_duty(rig, agent_id, extension)
    silent = [await rig.lab.silent_agent(extension) for extension in ("1041", "1043")]
    phone = await rig.lab.agent("1042", ring_ms=2_000)
    caller = await rig.lab.callers("2041", hz=0)
    contact = (await talks(rig, "all"))[0]
    for other in silent:  # both rang, and got the CANCEL
        assert (await other.done()).successful == 1, other.errors()
    await hang_up(rig, contact["contact_id"])
    await phone.done()
    await caller.done()
    await booked(rig, {contact["contact_id"]: "answered"}, entry_point="2041")
    books = (await closed(rig, entry_point="2041"))[0]
    assert (books["outcome"], books["agent_id"]) == ("answered", "all2")
    ends = {o["agent_id"]: o["outcome"] for o in await offers(rig, contact["contact_id"])}
    assert ends == {"all1": "withdrawn", "all2": "accepted", "all3": "withdrawn"}
    for agent_id in ("all1", "all2", "all3"):
        await is_idle(rig, agent_id)


async def test_an_agent_on_an_own_call_is_rung_when_it_is_over(rig: Rig) -> None:
    await on_duty(rig, "own", "1044")
    phone = await rig.lab.agent("1044", calls=2)
    answer = await rig.switch.api(
        f"originate {{origination_uuid=own-call-of-1044}}user/1044@{DOMAIN} &park()"
    )
    assert answer.startswith("+OK")

    async def on_own_call() -> bool:
        return bool((await rig.agent("own"))["activity"] == "own_call")

    await until("own is on an own call", on_own_call)
    caller = await rig.lab.callers("2042", hz=0)
    await waits(rig, "own")
    await rig.switch.api("uuid_kill own-call-of-1044")
    contact = (await talks(rig, "own"))[0]
    await hang_up(rig, contact["contact_id"])
    await phone.done()
    await caller.done()
    assert [o["outcome"] for o in await offers(rig, contact["contact_id"])] == ["accepted"]
