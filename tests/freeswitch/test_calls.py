"""Calls through a real FreeSWITCH: SIPp's callers and phones on one side, our services on the other."""

from __future__ import annotations

import asyncio

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    closed,
    hang_up,
    log_in,
    loudness,
    middle,
    no_legs,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
    until,
    waits,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_menu_by_key_queue_two_way_audio_and_a_recording_with_sound_in_both_channels(rig: Rig) -> None:
    await log_in(rig, "ann", "1001")
    phone = await rig.lab.agent("1001", ring_ms=300)
    caller = await rig.lab.callers("1000", digits="1", patience_ms=8000, hz=440)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1

    contact = (await closed(rig, queue="talk"))[0]
    recording = await recording_of(rig, contact["contact_id"])
    assert recording["agent_id"] == "ann"
    samples, rate = await sound_of(rig, recording["recording_id"])
    # The phone echoes what it hears: the caller's tone on the right channel went to the agent and came back.
    for channel in (0, 1):
        heard = middle(samples)[:, channel]
        assert loudness(heard) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(heard, rate) - 440) < 10


async def test_caller_hangs_up_while_the_agent_rings_and_no_phone_rings_on(rig: Rig) -> None:
    await log_in(rig, "ben", "1002")
    phone = await rig.lab.silent_agent("1002")
    caller = await rig.lab.callers("1000", digits="2", patience_ms=3000)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1, "the phone was not told to stop ringing"

    async def idle() -> bool:
        return (await rig.agent("ben"))["activity"] in ("idle", "wrap_up")

    await until("ben is free again", idle)

    await no_legs(rig)


async def test_login_break_and_logout_by_dialled_code(rig: Rig) -> None:
    await log_in(rig, "hoda", "1008")
    for code, presence in (("*24", "break"), ("*25", "available"), ("*22", "offline")):
        assert (await rig.lab.dial_code("1008", code)).successful == 1

        async def says(wanted: str = presence) -> bool:
            return bool((await rig.agent("hoda"))["presence"] == wanted)

        await until(f"{code} makes hoda {presence}", says)


async def test_a_killed_ivr_costs_the_menu_not_the_call(rig: Rig) -> None:
    await log_in(rig, "cem", "1003")
    phone = await rig.lab.agent("1003", talk_ms=2000)
    caller = await rig.lab.callers("1000", digits="", think_ms=1000)
    ivr = rig.stack.processes["ivr"]

    async def in_menu() -> bool:
        return await rig.switch.channels() == 1

    await until("the caller is in the menu", in_menu)
    await asyncio.sleep(0.5)  # into the prompt: a kill during playback is the hard case
    await ivr.kill()
    try:
        assert (await phone.done(30)).successful == 1, "the caller never reached the fallback queue's agent"
        assert (await caller.done(30)).successful == 1
    finally:
        await ivr.start()
        await ivr.wait_ready(30)


async def test_a_killed_queue_loses_no_waiting_and_no_talking_caller(rig: Rig) -> None:
    await log_in(rig, "dua", "1004")
    talking_phone = await rig.lab.agent("1004")
    talking = await rig.lab.callers("1000", digits="3", hz=500)

    contact_id = (await talks(rig, "queue-lost"))[0]["contact_id"]
    waiting = await rig.lab.callers("1000", digits="3", hz=600)
    await waits(rig, "queue-lost")
    queue = rig.stack.processes["queue"]
    await queue.kill()
    await queue.start()
    await queue.wait_ready(30)
    await waits(rig, "queue-lost")
    await talks(rig, "queue-lost")
    await rig.lab.register("1005")
    waiting_phone = await rig.lab.agent("1005", talk_ms=2000)
    assert (await rig.lab.dial_code("1005", "*22")).successful == 1
    assert (await waiting_phone.done(40)).successful == 1
    assert (await waiting.done(40)).successful == 1
    await hang_up(rig, contact_id)
    assert (await talking_phone.done(40)).successful == 1
    assert (await talking.done(40)).successful == 1


async def test_a_killed_routing_loses_no_waiting_caller(rig: Rig) -> None:
    await log_in(rig, "fay", "1006")
    talking_phone = await rig.lab.agent("1006")
    talking = await rig.lab.callers("1000", digits="4", hz=500)
    contact_id = (await talks(rig, "routing-lost"))[0]["contact_id"]
    routing = rig.stack.processes["routing"]
    await routing.kill()
    waiting = await rig.lab.callers("1000", digits="4", hz=600)
    await asyncio.sleep(2)
    await routing.start()
    await routing.wait_ready(30)
    await talks(rig, "routing-lost")
    await rig.lab.register("1007")
    waiting_phone = await rig.lab.agent("1007", talk_ms=2000)
    assert (await rig.lab.dial_code("1007", "*22")).successful == 1
    assert (await waiting_phone.done(40)).successful == 1
    assert (await waiting.done(40)).successful == 1
    await hang_up(rig, contact_id)
    assert (await talking_phone.done(40)).successful == 1
    assert (await talking.done(40)).successful == 1
