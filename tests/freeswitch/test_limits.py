"""The longest wait on a real switch: on to another queue with the wait kept, or a farewell."""

from __future__ import annotations

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, offers, on_duty

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_the_longest_wait_leads_to_another_queue_and_is_kept(rig: Rig) -> None:
    await on_duty(rig, "pat", "1016")
    phone = await rig.lab.agent("1016", talk_ms=1500)
    caller = await rig.lab.callers("2006", hz=0)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    contact = (await closed(rig, entry_point="2006"))[0]
    assert (contact["outcome"], contact["first_queue"], contact["queue"]) == ("answered", "crowded", "relief")
    assert (contact["overflow_reason"], contact["overflow_action"]) == ("max_wait", "queue")
    assert 3000 <= contact["wait_ms"] < 6000, "the wait began anew, or the overflow came late"
    assert [o["queue"] for o in await offers(rig, contact["contact_id"])] == ["relief"]


async def test_the_longest_wait_ends_with_a_farewell(rig: Rig) -> None:
    async with rig.switch.watch("CHANNEL_EXECUTE_COMPLETE") as watch:
        caller = await rig.lab.callers("2007", hz=0)
        assert (await caller.done()).successful == 1, "the caller was not hung up"
        contact = (await closed(rig, entry_point="2007"))[0]
        heard = []
        while not heard or not heard[-1].endswith("sorry.wav"):
            played = await watch.next(
                Event_Name="CHANNEL_EXECUTE_COMPLETE",
                Unique_ID=contact["contact_id"],
                Application="playback",
            )
            heard.append(played["Application-Data"])
    assert played["Application-Response"] == "FILE PLAYED"
    assert (contact["outcome"], contact["overflow_reason"], contact["overflow_action"]) == (
        "overflowed",
        "max_wait",
        "hangup",
    )
    assert 2000 <= contact["wait_ms"] < 5000
