"""Calls through a real FreeSWITCH: SIPp's callers and phones on one side, our services on the other."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def until(what: str, check: Callable[[], Awaitable[Any]], timeout_s: float = 30) -> Any:
    """Poll until ``check`` gives something true, and return it."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                if value := await check():
                    return value
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not in {timeout_s} s: {what}") from None


async def log_in(rig: Rig, agent_id: str, extension: str) -> None:
    await rig.lab.register(extension)
    counts = await rig.lab.dial_code(extension, "*22")
    assert counts.successful == 1

    async def ready() -> bool:
        state = await rig.agent(agent_id)
        return state["presence"] == "available" and state["activity"] == "idle"

    await until(f"{agent_id} is available and idle", ready)


async def calls(rig: Rig, state: str) -> list[dict[str, Any]]:
    """Contacts that queue sees in ``state``."""
    answer = await rig.get("queue", "/v1/calls")
    return [c for c in answer["calls"] if c["state"] == state]


def strongest_hz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[int(spectrum.argmax())])


async def test_menu_by_key_queue_two_way_audio_and_a_recording_with_sound_in_both_channels(rig: Rig) -> None:
    await log_in(rig, "ann", "1001")
    phone = await rig.lab.agent("1001", ring_ms=300)
    caller = await rig.lab.callers("1000", digits="1", patience_ms=8000, hz=440)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1

    async def stored() -> Any:
        return (await rig.get("recording", "/v1/recordings"))["recordings"]

    recording = (await until("the recording is stored", stored))[0]
    assert recording["agent_id"] == "ann"
    audio = await rig.get("recording", f"/v1/recordings/{recording['recording_id']}/audio")
    with wave.open(io.BytesIO(audio)) as wav:
        assert wav.getnchannels() == 2
        rate = wav.getframerate()
        sound = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2).astype(float)
    middle = sound[len(sound) // 3 : 2 * len(sound) // 3]
    # The phone echoes what it hears: the caller's tone on the right channel went to the agent and came back.
    for channel in (0, 1):
        assert np.sqrt(np.mean(middle[:, channel] ** 2)) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(middle[:, channel], rate) - 440) < 10


async def test_caller_hangs_up_while_the_agent_rings_and_no_phone_rings_on(rig: Rig) -> None:
    await log_in(rig, "ben", "1002")
    phone = await rig.lab.silent_agent("1002")
    caller = await rig.lab.callers("1000", digits="2", patience_ms=3000)
    assert (await caller.done()).successful == 1
    assert (await phone.done(10)).successful == 1, "the phone was not told to stop ringing"

    async def idle() -> bool:
        return (await rig.agent("ben"))["activity"] in ("idle", "wrap_up")

    await until("ben is free again", idle)

    async def no_legs() -> bool:
        return await rig.switch.channels() == 0

    await until("no leg is left", no_legs)


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
    talking_phone = await rig.lab.agent("1004", talk_ms=14_000)
    talking = await rig.lab.callers("1000", digits="3", hz=500)

    async def connected() -> bool:
        return any(c["queue"] == "queue-lost" for c in await calls(rig, "talking"))

    await until("the first caller talks", connected)
    waiting = await rig.lab.callers("1000", digits="3", hz=600)

    async def waits() -> bool:
        return any(c["queue"] == "queue-lost" for c in await calls(rig, "waiting"))

    await until("the second caller waits", waits)
    queue = rig.stack.processes["queue"]
    await queue.kill()
    await queue.start()
    await queue.wait_ready(30)
    await until("the second caller waits again", waits)
    await until("the first caller still talks", connected)
    await rig.lab.register("1005")
    waiting_phone = await rig.lab.agent("1005", talk_ms=2000)
    assert (await rig.lab.dial_code("1005", "*22")).successful == 1
    assert (await waiting_phone.done(40)).successful == 1
    assert (await waiting.done(40)).successful == 1
    assert (await talking_phone.done(40)).successful == 1
    assert (await talking.done(40)).successful == 1


async def test_a_killed_routing_loses_no_waiting_caller(rig: Rig) -> None:
    await log_in(rig, "fay", "1006")
    talking_phone = await rig.lab.agent("1006", talk_ms=12_000)
    talking = await rig.lab.callers("1000", digits="4", hz=500)

    async def connected() -> bool:
        return any(c["queue"] == "routing-lost" for c in await calls(rig, "talking"))

    await until("the first caller talks", connected)
    routing = rig.stack.processes["routing"]
    await routing.kill()
    waiting = await rig.lab.callers("1000", digits="4", hz=600)
    await asyncio.sleep(2)
    await routing.start()
    await routing.wait_ready(30)
    await rig.lab.register("1007")
    waiting_phone = await rig.lab.agent("1007", talk_ms=2000)
    assert (await rig.lab.dial_code("1007", "*22")).successful == 1
    assert (await waiting_phone.done(40)).successful == 1
    assert (await waiting.done(40)).successful == 1
    assert (await talking_phone.done(40)).successful == 1
    assert (await talking.done(40)).successful == 1


async def test_zz_cdrs_are_as_many_as_sipps_calls(rig: Rig) -> None:
    """Last in the file: one CDR for each call that any SIPp process made or took, and none besides."""
    wanted = sum(p.counts().successful for p in rig.lab.running if not p.name.endswith("register"))
    assert all(p.counts().failed == 0 for p in rig.lab.running), [
        p.name for p in rig.lab.running if p.counts().failed
    ]

    async def legs() -> Any:
        answer = await rig.get("reporting", "/v1/reports/legs", limit="500")
        return answer["items"] if len(answer["items"]) >= wanted else None

    rows = await until(f"{wanted} legs are stored", legs)
    assert len(rows) == wanted
    assert len({r["leg_id"] for r in rows}) == wanted
    assert not list(rig.switch.cdr_spool.glob("*.cdr.json")), "the spool is not empty"
