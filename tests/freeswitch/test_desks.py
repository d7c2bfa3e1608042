"""Hot-desking on a real switch: an agent logs in at a phone that is nobody's by PIN, and everything follows the agent."""

from __future__ import annotations

import json

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, is_idle, no_legs, talks, until

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]
PIN = "1234"


async def stands(rig: Rig, agent_id: str, presence: str, extension: str) -> None:
    async def seen() -> bool:
        state = await rig.agent(agent_id)
        return (state["presence"], state["extension"]) == (presence, extension)

    await until(f"{agent_id} is {presence} at {extension}", seen)


async def test_an_agent_logs_in_at_a_desk_by_pin_and_takes_calls_there(rig: Rig) -> None:
    await no_legs(rig)
    await rig.lab.register("1038")
    assert (await rig.lab.dial_code("1038", "*22")).successful == 1, "nobody is at the desk: not possible"
    dialled = await rig.lab.dial_code("1038", "*231040", keys=f"{PIN}#")
    assert dialled.successful == 1
    await stands(rig, "dora", "available", "1038")
    await is_idle(rig, "dora")
    phone = await rig.lab.agent("1038")
    caller = await rig.lab.callers("2073", patience_ms=2500, hz=0)
    await talks(rig, "desk")
    assert (await caller.done()).successful == 1
    assert (await rig.lab.dial_code("1038", "*262")).successful == 1, (
        "the result, from the phone the agent is at"
    )
    assert (await phone.done()).successful == 1
    await is_idle(rig, "dora")
    contact = (await closed(rig, entry_point="2073"))[0]
    assert (contact["outcome"], contact["agent_id"]) == ("answered", "dora")

    async def disposed() -> bool:
        book = (await closed(rig, entry_point="2073"))[0]
        return (book["disposition"], book["disposition_by"]) == ("2", "code")

    await until("the disposition is in the books", disposed)
    assert (await rig.lab.dial_code("1038", "*24")).successful == 1
    await stands(rig, "dora", "break", "1038")
    # routing dies; the next owner knows from the log where she is.
    await rig.stack.processes["routing"].kill()
    await rig.stack.processes["routing"].start()
    await rig.stack.processes["routing"].wait_ready(30)
    assert (await rig.lab.dial_code("1038", "*25")).successful == 1
    await stands(rig, "dora", "available", "1038")
    assert (await rig.lab.dial_code("1038", "*23")).successful == 1
    await stands(rig, "dora", "offline", "1040")


async def test_wrong_pins_lock_the_agent_and_are_nowhere_in_the_records(rig: Rig) -> None:
    await rig.lab.register("1038")
    await rig.lab.register("1039")
    assert (await rig.lab.dial_code("1039", "*22")).successful == 1
    await stands(rig, "eve", "available", "1039")
    wrong = "86421357"
    assert (await rig.lab.dial_code("1038", "*231040", keys=f"{wrong}#{wrong}#")).successful == 1

    assert (await rig.lab.dial_code("1038", "*231040", keys=f"{PIN}#")).successful == 1
    await stands(rig, "dora", "offline", "1040")  # The right one, too: she is locked.
    for folder in (rig.stack.folder, rig.switch.cdr_spool):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (".log", ".json", ".xml"):
                assert wrong.encode() not in path.read_bytes(), f"{path} has the digits"
    rows = json.loads(await rig.switch.api("show channels as json")).get("rows", [])
    assert rows == []
    assert (await rig.agent("eve"))["presence"] == "available"
