"""What is said before a bridge on a real switch, by sound: the agent hears the whisper, the caller the announcement, then each other."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    Samples,
    closed,
    hang_up,
    is_idle,
    no_legs,
    offers,
    on_duty,
    strongest_hz,
    talks,
    until,
)
from tests.freeswitch.test_crashes import restart

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]
WHISPER_HZ, ANNOUNCEMENT_HZ, AGENT_HZ, CALLER_HZ = 620, 830, 1100, 440


def tone(path: Path, hz: float, seconds: float) -> None:
    """A prompt whose sound tells it from everything else."""
    t = np.arange(int(8000 * seconds))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes((9000 * np.sin(2 * np.pi * hz * t / 8000)).astype("<i2").tobytes())


@pytest.fixture
def prompts(rig: Rig) -> Path:
    """The prompts of the test: two seconds for the agent, three for the caller."""
    folder = rig.switch.sounds / "prompts" / "en"
    tone(folder / "queue-told.wav", WHISPER_HZ, 2.0)
    tone(folder / "may-record.wav", ANNOUNCEMENT_HZ, 3.0)
    return folder


def ears(path: Path) -> tuple[Samples, int]:
    with wave.open(str(path)) as wav:
        rate = wav.getframerate()
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)[:, 1].astype(float), rate


def seconds_of(ear: Samples, rate: int, hz: float) -> float:
    """How long a tone is heard."""
    step = rate // 10
    pieces = [ear[n : n + step] for n in range(0, len(ear) - step, step)]
    return sum(abs(strongest_hz(p, rate) - hz) < 12 and p.std() > 300 for p in pieces) / 10


async def rung(rig: Rig) -> tuple[str, str]:
    """The caller whom an agent is rung for, and the agent's leg."""
    found = await until("somebody is offered", lambda: rig.calls("told", "offered"))
    contact = str(found[0]["contact_id"])

    async def leg() -> str:
        rows = json.loads(await rig.switch.api("show channels as json")).get("rows", [])
        return next((r["uuid"] for r in rows if r["presence_data"].startswith(f"a/lab/{contact}/")), "")

    return contact, await until("the agent's leg is there", leg)


async def how_it_went(rig: Rig, contact: str) -> tuple[list[str], list[str]]:
    """How whispers and announcements ended, by the books."""
    timeline = (await rig.get("reporting", f"/v1/contacts/{contact}"))["timeline"]
    facts = [(f["type"].rpartition(".")[2], f["payload"]) for f in timeline if "payload" in f]
    return (
        [p["outcome"] for kind, p in facts if kind == "WhisperPlayed"],
        [p["outcome"] for kind, p in facts if kind == "TreatmentPlayed" and p["what"] == "connecting"],
    )


async def test_each_hears_what_is_meant_for_them_and_then_the_other(rig: Rig, prompts: Path) -> None:
    await on_duty(rig, "tola", "1036")
    phone = await rig.lab.agent("1036", hz=AGENT_HZ, ring_ms=400)
    heard = {who: rig.switch.recordings / f"before-{who}.wav" for who in ("agent", "caller")}
    async with rig.switch.watch(
        "CHANNEL_EXECUTE", "MEDIA_BUG_START", "CHANNEL_BRIDGE", "CUSTOM", "peyvand::whispered"
    ) as watch:
        caller = await rig.lab.callers("2072", hz=CALLER_HZ)
        contact, leg = await rung(rig)
        # A recording hears what was put into the leg's sound before it, and nothing can be recorded of a leg that is not answered.
        await watch.next(Event_Name="MEDIA_BUG_START", Unique_ID=contact, Media_Bug_Function="displace")
        await watch.next(Event_Name="CHANNEL_EXECUTE", Unique_ID=leg, Application="playback")
        for who, uuid in (("caller", contact), ("agent", leg)):
            await rig.switch.api(f"uuid_setvar {uuid} RECORD_STEREO true")
            await rig.switch.api(f"uuid_record {uuid} start {heard[who]}")
        ended = await watch.next(Event_Name="CUSTOM", Event_Subclass="peyvand::whispered")
        assert (ended["Unique-ID"], ended["response"]) == (leg, "FILE PLAYED")
        await watch.next(Event_Name="CHANNEL_BRIDGE")
    await talks(rig, "told")
    await asyncio.sleep(1.5)
    for who, uuid in (("agent", leg), ("caller", contact)):
        await rig.switch.api(f"uuid_record {uuid} stop {heard[who]}")
    await hang_up(rig, contact)
    for process in (caller, phone):
        await process.stop()
    for who, own, other, shift in (
        ("agent", (WHISPER_HZ, 2.0), CALLER_HZ, ANNOUNCEMENT_HZ),
        ("caller", (ANNOUNCEMENT_HZ, 3.0), AGENT_HZ, WHISPER_HZ),
    ):
        ear, rate = ears(heard[who])
        assert abs(seconds_of(ear, rate, own[0]) - own[1]) <= 0.6, f"the {who} was not told"
        assert seconds_of(ear, rate, shift) == 0, f"the {who} heard what was meant for the other"
        assert seconds_of(ear[-rate:], rate, other) >= 0.7, f"the {who} does not hear the other"
    book = (await closed(rig, entry_point="2072"))[0]
    assert (book["outcome"], book["agent_id"]) == ("answered", "tola")
    assert await how_it_went(rig, contact) == (["played"], ["played"])
    await is_idle(rig, "tola")
    await no_legs(rig)


async def test_a_missing_prompt_and_a_caller_who_leaves_while_the_agent_is_told(
    rig: Rig, prompts: Path
) -> None:
    (prompts / "queue-told.wav").unlink()
    (prompts / "may-record.wav").unlink()
    await on_duty(rig, "tola", "1036")
    phone = await rig.lab.agent("1036", calls=2)
    caller = await rig.lab.callers("2072", hz=0, patience_ms=2500)
    contact = (await talks(rig, "told"))[0]["contact_id"]
    assert (await caller.done()).successful == 1
    books = await closed(rig, 2, entry_point="2072")
    assert books[1]["outcome"] == "answered"
    assert await how_it_went(rig, contact) == (["missing"], ["missing"])
    await is_idle(rig, "tola")
    tone(prompts / "queue-told.wav", WHISPER_HZ, 8.0)
    async with rig.switch.watch("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE") as watch:
        caller = await rig.lab.callers("2072", hz=0)
        contact, leg = await rung(rig)
        await watch.next(Event_Name="CHANNEL_EXECUTE", Unique_ID=leg, Application="playback")
        await rig.switch.api(f"uuid_kill {contact}")
        while True:
            played = await watch.next(
                Event_Name="CHANNEL_EXECUTE_COMPLETE", Unique_ID=leg, Application="playback"
            )
            if played["Application-Data"].endswith("caller-left.wav"):
                break
        assert played["Application-Response"] == "FILE PLAYED"
    await caller.stop()
    assert (await phone.done(20)).successful == 2
    book = (await closed(rig, 3, entry_point="2072"))[2]
    assert book["outcome"] == "abandoned"
    assert (await how_it_went(rig, contact))[0] == ["cut"]
    assert [o["outcome"] for o in await offers(rig, contact)] == ["withdrawn"]
    await is_idle(rig, "tola")
    await no_legs(rig)


async def test_queue_is_killed_in_the_middle_and_the_next_owner_joins_them(rig: Rig, prompts: Path) -> None:
    tone(prompts / "queue-told.wav", WHISPER_HZ, 12.0)
    tone(prompts / "may-record.wav", ANNOUNCEMENT_HZ, 12.0)
    await on_duty(rig, "tola", "1036")
    phone = await rig.lab.agent("1036", hz=AGENT_HZ)
    caller = await rig.lab.callers("2072", hz=CALLER_HZ)
    contact, leg = await rung(rig)

    async def told() -> bool:
        return "queue-told" in await rig.switch.api(f"uuid_getvar {leg} current_application_data")

    await until("the agent is being told", told)
    await rig.stack.processes["queue"].kill()
    await restart(rig, "queue")
    await talks(rig, "told", timeout_s=9)
    ear = rig.switch.recordings / "after.wav"
    await rig.switch.api(f"uuid_setvar {contact} RECORD_STEREO true")
    await rig.switch.api(f"uuid_record {contact} start {ear}")
    await asyncio.sleep(1.5)
    await rig.switch.api(f"uuid_record {contact} stop {ear}")
    heard, rate = ears(ear)
    assert seconds_of(heard, rate, ANNOUNCEMENT_HZ) == 0, "the announcement goes on in the conversation"
    assert seconds_of(heard, rate, AGENT_HZ) >= 1.0
    await hang_up(rig, contact)
    await phone.stop()
    await caller.stop()
    assert (await closed(rig, 4, entry_point="2072"))[3]["outcome"] == "answered"
    await is_idle(rig, "tola")
    await no_legs(rig)
