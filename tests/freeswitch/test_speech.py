"""Voices both ways on a real switch: texts that are spoken, prompts that vanished, callers who interrupt, ask, flood and fax."""

from __future__ import annotations

import asyncio
import dataclasses
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.hearing import bytes_of
from tests.freeswitch.rtp import Line, phone_sound
from tests.freeswitch.steps import Samples, closed, loudness, until
from tests.freeswitch.switch import Watch
from tests.freeswitch.test_flows import path_of, steps_of
from tests.freeswitch.test_keys import connect
from tests.unit.ivr.utterances import needs_espeak, pcm, utterance

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session"), needs_espeak]
RATE = 8000
WAITING = "peyvand::waiting"
LINE = Line(noise=20)
"""At rest: 64 dB below full scale."""
FAX = np.tile(  # The tone of a calling machine (ITU-T T.30): half a second in three and a half.
    np.concatenate([0.4 * np.sin(2 * np.pi * 1100 * np.arange(RATE // 2) / RATE), np.zeros(3 * RATE)])
    * 32767,
    20,
).astype(np.int32)


@pytest.fixture
def words(rig: Rig) -> Rig:
    return dataclasses.replace(rig, tenant="words")


def spoken(text: str) -> np.ndarray[Any, np.dtype[np.int32]]:
    """What a caller says."""
    return pcm(utterance(text, band=False)).astype(np.int32)


async def listened_to(words: Rig, watch: Watch, number: str) -> str:
    """Until ivr listens to the one who has called ``number``, and has heard half a second of nothing; returns the leg."""
    answered = await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number=number)
    leg = answered["Unique-ID"]
    file = Path((await watch.next(Event_Name="RECORD_START", Unique_ID=leg))["Record-File-Path"])
    assert file.parent.name == "heard"

    async def half_a_second() -> bool:
        return bytes_of(file) > RATE

    await until(f"{file} has half a second of sound", half_a_second)
    return leg


async def played(watch: Watch) -> tuple[str, str]:
    """The next prompt of the center that ended: its name, and how."""
    while True:
        event = await watch.next(Event_Name="PLAYBACK_STOP")
        path = event.get("Playback-File-Path", "")
        if "/words/" in path or "/spoken/" in path:
            name = path.split("/words/")[-1].removesuffix(".wav")
            return "spoken" if "/spoken/" in path else name, event["Playback-Status"]


async def test_a_callers_voice_ends_the_prompt_and_is_understood(words: Rig) -> None:
    """The line comes late, as lines do: what it brings, its noise, after the silence that FreeSWITCH writes until then is no speech."""
    async with (
        phone_sound(LINE) as sound,
        words.switch.watch("PLAYBACK_STOP", "CHANNEL_ANSWER", "RECORD_START") as watch,
    ):
        caller = await words.lab.callers("3101", hz=0, media_port=str(sound.port))
        leg = await listened_to(words, watch, "3101")
        both = words.switch.recordings.parent / f"{leg}-both.wav"
        await watch.ask(f"api uuid_setvar {leg} RECORD_STEREO true", f"api uuid_record {leg} start {both}")
        await connect(words, sound, leg)
        await sound.say_nothing(1_000)
        await sound.say(spoken("speak to somebody"))
        assert await played(watch) == ("en/wish", "break")
        assert await played(watch) == ("en/person", "done")
    assert (await caller.done(30)).successful == 1
    assert await steps_of(words, leg) == [
        ("wish", "said:person"), ("person", "played"), ("bye-person", "person"),
    ]  # fmt: skip
    with wave.open(str(both)) as wav:
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2).astype(float)
    voice, prompt = loud(heard[:, 0]), loud(heard[:, 1])
    began = int(np.flatnonzero(voice)[0])
    assert prompt[began - 15 : began].any(), "the line's noise has ended the prompt, not the caller"


def loud(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which frames of 20 ms have sound."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    return np.sqrt(np.mean(frames**2, axis=1)) > 300


async def test_a_question_is_answered_by_voice_and_no_word_is_kept(words: Rig) -> None:
    async with (
        phone_sound(LINE) as sound,
        words.switch.watch("PLAYBACK_STOP", "CHANNEL_ANSWER", "RECORD_START") as watch,
    ):
        caller = await words.lab.callers("3102", hz=0, media_port=str(sound.port))
        leg = await listened_to(words, watch, "3102")
        await connect(words, sound, leg)
        assert await played(watch) == ("en/question", "done")
        await sound.say(spoken("delivery time"))
        assert await played(watch) == ("spoken", "done")
        assert await played(watch) == ("en/more", "done")
        assert (await caller.done(40)).successful == 1, "who has no more questions is let go"
    assert await steps_of(words, leg) == [
        ("ask", "said:ask/time"), ("ask/time", "played"), ("ask/more", "timeout"), ("bye", "answered"),
    ]  # fmt: skip
    assert not list((words.stack.speech / "heard").iterdir())


@pytest.mark.parametrize("seed", [2, 5])  # Those of which not a word was understood without a jitter buffer.
async def test_a_line_that_loses_and_delays_packets_is_understood(words: Rig, seed: int) -> None:
    """One packet in twenty is lost, and every one is late by up to 60 ms, so that they overtake each other."""
    bad = Line(noise=20, loss=0.05, jitter_ms=60, seed=seed)
    async with (
        phone_sound(bad) as sound,
        words.switch.watch("PLAYBACK_STOP", "CHANNEL_ANSWER", "RECORD_START") as watch,
    ):
        caller = await words.lab.callers("3101", hz=0, media_port=str(sound.port))
        await connect(words, sound, await listened_to(words, watch, "3101"))
        await sound.say_nothing(1_000)
        await sound.say(spoken("buy something"))
        assert await played(watch) == ("en/wish", "break")
        assert await played(watch) == ("en/sold", "done")
        assert (await caller.done(30)).successful == 1


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
    async with (
        phone_sound(LINE) as sound,
        words.switch.watch("CHANNEL_ANSWER", "RECORD_START", "CHANNEL_HANGUP_COMPLETE") as watch,
    ):
        caller = await words.lab.callers("3101", hz=0, media_port=str(sound.port))
        leg = await listened_to(words, watch, "3101")
        if who != "nobody":  # of whom no packet ever comes
            await connect(words, sound, leg)
        calling = asyncio.create_task(sound.say(FAX)) if who == "fax" else None
        if who == "flood":
            for _ in range(30):
                await watch.ask(f"api uuid_recv_dtmf {leg} 3456789*#03456789*#0")
        await watch.next(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID=leg)
        if calling is not None:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
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
