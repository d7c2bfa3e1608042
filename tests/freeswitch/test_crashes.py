"""Processes of ours die in the worst moments of calls on a real switch; the calls do not."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    closed,
    hang_up,
    loudness,
    middle,
    no_legs,
    offers,
    on_duty,
    recording_of,
    sound_of,
    talks,
    until,
    waits,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def offered(rig: Rig, queue: str) -> str:
    """Until a caller of the queue is offered and the phone rings; the contact's id."""
    found = await until(f"somebody of {queue} is offered", lambda: rig.calls(queue, "offered"))

    async def rings() -> bool:
        return "RINGING" in await rig.switch.api("show channels")

    await until("the phone rings", rings)
    return str(found[0]["contact_id"])


async def agent_leg(rig: Rig, contact_id: str) -> str:
    """The leg of the agent who talks with the contact."""
    rows = json.loads(await rig.switch.api("show channels as json"))["rows"]
    return next(str(r["uuid"]) for r in rows if r["presence_data"].startswith(f"a/lab/{contact_id}/"))


async def restart(rig: Rig, name: str) -> None:
    await rig.stack.processes[name].start()
    await rig.stack.processes[name].wait_ready(30)


async def test_queue_dies_while_the_phone_rings_and_the_pair_still_talks(rig: Rig) -> None:
    await on_duty(rig, "sam", "1019")
    phone = await rig.lab.agent("1019", ring_ms=6000)
    caller = await rig.lab.callers("2008")
    contact_id = await offered(rig, "ring-lost")
    await rig.stack.processes["queue"].kill()
    await restart(rig, "queue")
    await talks(rig, "ring-lost")
    await hang_up(rig, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1
    assert phone.requests().count("INVITE") == 1, "the phone was rung twice"
    contact = (await closed(rig, entry_point="2008"))[0]
    assert (contact["contact_id"], contact["outcome"], contact["agent_id"]) == (contact_id, "answered", "sam")
    assert [o["outcome"] for o in await offers(rig, contact_id)] == ["accepted"]


async def test_queue_dies_while_the_phone_rings_and_the_caller_leaves(rig: Rig) -> None:
    await on_duty(rig, "sam", "1019")
    phone = await rig.lab.silent_agent("1019")
    caller = await rig.lab.callers("2008", patience_ms=4000)
    await offered(rig, "ring-lost")
    await rig.stack.processes["queue"].kill()
    assert (await caller.done()).successful == 1
    await restart(rig, "queue")
    assert (await phone.done(15)).successful == 1, "the phone rings on for nobody"
    await no_legs(rig)
    contact = (await closed(rig, 2, entry_point="2008"))[1]
    assert contact["outcome"] in ("abandoned", "ended_unseen")


async def test_queue_dies_between_the_answer_and_the_bridge(rig: Rig) -> None:
    """The process is stopped while it rings and killed after the answer: nobody has bridged the two."""
    await on_duty(rig, "tia", "1020")
    queue = rig.stack.processes["queue"]
    async with rig.switch.watch("CHANNEL_ANSWER") as watch:
        phone = await rig.lab.agent("1020", ring_ms=2500)
        caller = await rig.lab.callers("2009")
        contact_id = await offered(rig, "answer-lost")
        os.kill(queue.pid, signal.SIGSTOP)
        try:
            await watch.next(variable_cc_role="agent")
        finally:
            await queue.kill()
            await restart(rig, "queue")
    await talks(rig, "answer-lost")
    await hang_up(rig, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1
    contact = (await closed(rig, entry_point="2009"))[0]
    assert (contact["contact_id"], contact["outcome"]) == (contact_id, "answered")
    assert [o["outcome"] for o in await offers(rig, contact_id)] == ["accepted"]
    await no_legs(rig)


async def test_queue_dies_at_the_moment_of_the_answer(rig: Rig) -> None:
    """Wherever in the bridging the kill hits: the pair talks in the end, or the caller is offered again."""
    await on_duty(rig, "tia", "1020")
    queue = rig.stack.processes["queue"]
    async with rig.switch.watch("CHANNEL_ANSWER") as watch:
        phone = await rig.lab.agent("1020", ring_ms=1000, calls=2)
        caller = await rig.lab.callers("2009")
        contact_id = await offered(rig, "answer-lost")
        await watch.next(variable_cc_role="agent")
        await queue.kill()
    await restart(rig, "queue")
    await talks(rig, "answer-lost")
    await hang_up(rig, contact_id)
    assert (await caller.done()).successful == 1
    await no_legs(rig)
    assert (await phone.leave()).failed == 0
    contact = (await closed(rig, 2, entry_point="2009"))[1]
    assert contact["outcome"] == "answered"


async def test_three_seconds_without_nats(rig: Rig) -> None:
    """Two talk, one waits, one comes while it is away, and one of the two conversations ends in the dark."""
    await on_duty(rig, "uwe", "1021")
    await on_duty(rig, "vic", "1022")
    short = await rig.lab.agent("1021")
    long = await rig.lab.agent("1022")
    talking = await rig.lab.callers("2010", calls=2)
    pairs = {c["agent_id"]: c["contact_id"] for c in await talks(rig, "bus-lost", 2)}
    waiting = await rig.lab.callers("2010", ani="3333")
    await waits(rig, "bus-lost")
    nats = rig.stack.processes["nats"]
    await nats.kill()
    late = await rig.lab.callers("2010", ani="4444")
    await asyncio.sleep(1)
    await rig.switch.api(f"uuid_kill {await agent_leg(rig, pairs['uwe'])}")
    assert (await short.done(10)).successful == 1
    await asyncio.sleep(2)
    await nats.start()
    for name in ("queue", "routing", "ivr"):
        await rig.stack.processes[name].wait_ready(30)
    short = await rig.lab.agent("1021", talk_ms=1500, calls=2)
    for process in (waiting, late):
        assert (await process.done()).successful == 1, process.name
    await hang_up(rig, pairs["vic"])
    assert (await long.done(10)).successful == 1
    assert (await talking.done()).successful == 2
    assert (await short.leave()).failed == 0
    contacts = await closed(rig, 4, entry_point="2010")
    assert [c["outcome"] for c in contacts] == ["answered"] * 4
    by_ani = {c["ani"]: c for c in contacts}
    assert by_ani["3333"]["connected_at"] < by_ani["4444"]["connected_at"], "the place in the queue was lost"
    await no_legs(rig)


async def test_recording_dies_and_the_call_ends_before_it_is_back(rig: Rig) -> None:
    await on_duty(rig, "wes", "1023")
    phone = await rig.lab.agent("1023", hz=950)
    caller = await rig.lab.callers("2011", patience_ms=5000)
    await talks(rig, "file-lost")
    await rig.stack.processes["recording"].kill()
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await restart(rig, "recording")
    contact = (await closed(rig, entry_point="2011"))[0]
    recording = await recording_of(rig, contact["contact_id"], timeout_s=60)
    assert recording["agent_id"] == "wes"
    samples, _ = await sound_of(rig, recording["recording_id"])
    for channel in (0, 1):
        assert loudness(middle(samples)[:, channel]) > 500, f"channel {channel} is silent"
