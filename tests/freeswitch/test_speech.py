"""Voices both ways on a real switch: texts that are spoken, prompts that vanished, callers who interrupt, ask, flood and fax."""

from __future__ import annotations

import dataclasses
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.sipp import write_sound
from tests.freeswitch.steps import Samples, closed, loudness, until
from tests.freeswitch.switch import Watch
from tests.freeswitch.test_flows import path_of
from tests.unit.ivr.utterances import needs_espeak, pcm, silence, utterance

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session"), needs_espeak]
RATE = 8000
WAITING = "peyvand::waiting"


@pytest.fixture
def words(rig: Rig) -> Rig:
    return dataclasses.replace(rig, tenant="words")


def sound(words: Rig, name: str, *parts: Samples) -> Path:
    """A caller's sound, with a long silence behind it."""
    samples = np.concatenate([*parts, silence(40)])
    return write_sound(words.lab.folder / f"{name}.pcma", pcm(samples).astype(np.int32))


async def played(watch: Watch) -> tuple[str, str]:
    """The next prompt of the center that ended: its name, and how."""
    while True:
        event = await watch.next(Event_Name="PLAYBACK_STOP")
        path = event.get("Playback-File-Path", "")
        if "/words/" in path or "/spoken/" in path:
            name = path.split("/words/")[-1].removesuffix(".wav")
            return "spoken" if "/spoken/" in path else name, event["Playback-Status"]


async def test_a_callers_voice_ends_the_prompt_and_is_understood(words: Rig) -> None:
    said = sound(words, "interrupts", silence(2), utterance("speak to somebody", band=False))
    async with words.switch.watch("PLAYBACK_STOP", "CHANNEL_ANSWER") as watch:
        caller = await words.lab.callers("3101", sound=said)
        answered = await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3101")
        leg, both = answered["Unique-ID"], words.switch.recordings.parent / "interrupted.wav"
        await watch.ask(f"api uuid_setvar {leg} RECORD_STEREO true", f"api uuid_record {leg} start {both}")
        assert await played(watch) == ("en/wish", "break")
        assert await played(watch) == ("en/person", "done")
    assert (await caller.done(30)).successful == 1
    assert await path_of(words, "3101") == [
        ("wish", "said:person"), ("person", "played"), ("bye-person", "person"),
    ]  # fmt: skip
    with wave.open(str(both)) as wav:
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2).astype(float)
    voice, prompt = loud(heard[:, 0]), loud(heard[:, 1])
    began = int(np.flatnonzero(voice)[0])
    silent = next(i for i in range(began, len(prompt)) if not prompt[i : i + 15].any())
    took_ms = (silent - began) * 20
    print(f"the prompt ended {took_ms} ms after the caller began to speak")
    assert began * 20 > 500, "the prompt was heard before"
    assert took_ms < 2_000


def loud(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which frames of 20 ms have sound."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    return np.sqrt(np.mean(frames**2, axis=1)) > 300


async def test_a_question_is_answered_by_voice_and_no_word_is_kept(words: Rig) -> None:
    said = sound(words, "asks", silence(3), utterance("delivery time", band=False))
    async with words.switch.watch("PLAYBACK_STOP") as watch:
        caller = await words.lab.callers("3102", sound=said)
        assert (await played(watch))[0] == "en/question"
        assert await played(watch) == ("spoken", "done")
        assert await played(watch) == ("en/more", "done")
    assert (await caller.done(40)).successful == 1, "who has no more questions is let go"
    assert await path_of(words, "3102") == [
        ("ask", "said:ask/time"), ("ask/time", "played"), ("ask/more", "timeout"), ("bye", "answered"),
    ]  # fmt: skip
    assert not list((words.stack.speech / "heard").iterdir())


async def test_a_text_with_the_callers_number_is_spoken_and_heard(words: Rig) -> None:
    async with words.switch.watch("CHANNEL_ANSWER", "PLAYBACK_STOP") as watch:
        caller = await words.lab.callers("3103", hz=0)
        answered = await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3103")
        ear = words.switch.recordings.parent / "spoken.wav"
        await watch.ask(
            f"api uuid_setvar {answered['Unique-ID']} RECORD_STEREO true",
            f"api uuid_record {answered['Unique-ID']} start {ear}",
        )
        assert await played(watch) == ("spoken", "done")
    assert (await caller.done(30)).successful == 1
    assert await path_of(words, "3103") == [("say", "played"), ("bye", "spoken")]
    with wave.open(str(ear)) as wav:
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)[:, 1].astype(float)
    assert loudness(heard) > 300


async def test_a_prompt_that_vanished_is_looked_for_in_the_next_language_then_spoken(words: Rig) -> None:
    recorded = words.switch.sounds / "words"
    (recorded / "en" / "gone.wav").unlink()
    async with words.switch.watch("PLAYBACK_STOP") as watch:
        caller = await words.lab.callers("3104", hz=0)
        assert await played(watch) == ("fa/gone", "done"), (
            "FreeSWITCH tells nothing of a file that is not there"
        )
        assert (await caller.done(30)).successful == 1
        (recorded / "fa" / "gone.wav").unlink()
        caller = await words.lab.callers("3104", hz=0)
        assert await played(watch) == ("spoken", "done")
        assert (await caller.done(30)).successful == 1
    contacts = await closed(words, 2, entry_point="3104")

    async def told() -> bool:
        facts = []
        for contact in contacts:
            story = await words.get("reporting", f"/v1/contacts/{contact['contact_id']}")
            facts += [f["payload"] for f in story["timeline"] if f.get("type", "").endswith("PromptMissed")]
        return sorted((f["language"], f.get("given_up", False)) for f in facts) == [
            ("en", False), ("en", False), ("fa", False),
        ]  # fmt: skip

    await until("the books say what was missing", told)


async def test_a_number_of_which_one_part_is_missing_is_heard_in_the_next_language_then_spoken(
    words: Rig,
) -> None:
    """FreeSWITCH plays what there is of a ``file_string`` and answers FILE PLAYED: 4711 without its 7 is 411."""

    async def heard() -> list[str]:
        async with words.switch.watch("CHANNEL_ANSWER", "PLAYBACK_STOP") as watch:
            caller = await words.lab.callers("3106", hz=0)
            leg = (await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3106"))[
                "Unique-ID"
            ]
            path = (await watch.next(Event_Name="PLAYBACK_STOP", Unique_ID=leg))["Playback-File-Path"]
            assert (await caller.done(30)).successful == 1
        if "/spoken/" in path:
            return ["spoken"]
        return [part.split("/words/")[-1].removesuffix(".wav") for part in path.split("!")]

    recorded = words.switch.sounds / "words"
    (recorded / "en" / "digits" / "7.wav").unlink()
    assert await heard() == ["fa/digits/4", "fa/digits/7", "fa/digits/1", "fa/digits/1"]
    (recorded / "fa" / "digits" / "7.wav").unlink()
    # What ivr has seen there it looks for again after a minute.
    await until("the voice speaks the number", lambda: _is(heard, ["spoken"]), timeout_s=90)


async def _is(heard: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return await heard() == wanted


@pytest.mark.parametrize("who", ["flood", "fax", "nobody"])
async def test_whoever_cannot_be_served_reaches_a_named_end(words: Rig, who: str) -> None:
    at = np.arange(RATE // 2) / RATE
    fax = [part for _ in range(6) for part in (0.4 * np.sin(2 * np.pi * 1100 * at), silence(3))]
    noise = sound(words, who, *(fax if who == "fax" else [silence(1)])) if who != "nobody" else None
    async with words.switch.watch("CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE") as watch:
        caller = await words.lab.callers("3101", sound=noise, hz=0)  # of ``nobody`` no packet ever comes
        answered = await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3101")
        leg = answered["Unique-ID"]
        if who == "flood":
            for _ in range(30):
                await watch.ask(f"api uuid_recv_dtmf {leg} 3456789*#03456789*#0")
        await watch.next(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID=leg)
    assert (await caller.done(60)).successful == 1
    story = await until("the call is in the books", lambda: _outcome(words, leg))
    assert story == "finished"


async def test_what_an_ivr_that_is_killed_listened_to_is_recorded_no_longer_and_nothing_else_stops(
    words: Rig,
) -> None:
    ivr = words.stack.processes["ivr"]
    async with words.switch.watch(
        "CHANNEL_ANSWER", "RECORD_START", "RECORD_STOP", "CUSTOM", WAITING
    ) as watch:
        caller = await words.lab.callers("3101", hz=0, patience_ms=60_000)
        answered = await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3101")
        leg, others = answered["Unique-ID"], str(words.switch.recordings.parent / "others.wav")
        heard = (await watch.next(Event_Name="RECORD_START", Unique_ID=leg))["Record-File-Path"]
        assert "/heard/" in heard
        assert "+OK" in await watch.api(f"uuid_record {leg} start {others}")
        await watch.next(Event_Name="RECORD_START", Unique_ID=leg)
        await ivr.kill()
        try:
            stopped = await watch.next(Unique_ID=leg)
            assert (stopped["Event-Name"], stopped["Record-File-Path"]) == ("RECORD_STOP", heard)
            assert (await watch.next(Unique_ID=leg))["Event-Subclass"] == WAITING, (
                "before queue takes the caller"
            )
            assert "+OK" in await watch.api(f"uuid_record {leg} mask {others}"), "that one goes on"
            assert (await watch.api(f"uuid_record {leg} stop {heard}")).startswith("-ERR")
        finally:
            await ivr.start()
            await ivr.wait_ready(120)
        await watch.api(f"uuid_kill {leg}")
        over = await watch.next(Event_Name="RECORD_STOP", Unique_ID=leg)
        assert over["Record-File-Path"] == others
    await caller.done()


async def _outcome(words: Rig, leg: str) -> str:
    story = await words.get("reporting", f"/v1/contacts/{leg}")
    ends = [f["payload"] for f in story["timeline"] if f.get("type", "").endswith("IvrEnded")]
    return str(ends[0]["outcome"]) if ends else ""
