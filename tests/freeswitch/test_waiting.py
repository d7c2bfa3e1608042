"""Waiting on a real switch: the tone of a phone instead of music, an announcement over it, a key, and a message that is left."""

from __future__ import annotations

import asyncio
import io
import wave

import httpx
import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, loudness, recording_of, strongest_hz, until, waits

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_caller_hears_ringing_and_a_word_and_leaves_a_message_by_key(rig: Rig) -> None:
    heard = rig.switch.recordings / "heard.wav"
    async with rig.switch.watch("MEDIA_BUG_STOP", "RECORD_START") as watch:
        caller = await rig.lab.callers("2051", hz=440, ani="2155512345")
        contact = (await waits(rig, "message"))[0]["contact_id"]
        await rig.switch.api(f"uuid_setvar {contact} RECORD_STEREO true")
        await rig.switch.api(f"uuid_record {contact} start {heard}")
        said = await watch.next(Event_Name="MEDIA_BUG_STOP", Media_Bug_Function="displace")
        assert said["Media-Bug-Target"].endswith("/en/hello.wav")
        await asyncio.sleep(5.5)  # a whole period of the tone: 1 s on, 4 s off
        await rig.switch.api(f"uuid_record {contact} stop {heard}")
        await rig.switch.api(f"uuid_recv_dtmf {contact} 5")
        while True:
            began = await watch.next(Event_Name="RECORD_START", Unique_ID=contact)
            if began["Record-File-Path"].endswith(f"/{contact}.message.message.wav"):
                break
        await asyncio.sleep(3)  # the message
        await rig.switch.api(f"uuid_recv_dtmf {contact} #")
    assert (await caller.done()).successful == 1, "the caller was not hung up after the thanks"

    with wave.open(str(heard)) as wav:
        rate = wav.getframerate()
        ear = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)[:, 1].astype(float)
    seconds = [ear[n : n + rate // 4] for n in range(0, len(ear) - rate // 4, rate // 4)]
    tone = [s for s in seconds if loudness(s) > 300 and abs(strongest_hz(s, rate) - 425) < 8]
    assert 3 <= len(tone) <= 9, "no ringing tone, or one without pauses"

    stored = await recording_of(rig, contact)
    assert (stored["queue"], stored["agent_id"], stored["channels"]) == ("message", "", 1)
    assert 2000 <= stored["duration_ms"] <= 8000
    audio = await rig.get("recording", f"/v1/recordings/{stored['recording_id']}/audio")
    with wave.open(io.BytesIO(audio)) as wav:
        message = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
    assert abs(strongest_hz(message, stored["sample_rate"]) - 440) < 10

    book = (await closed(rig, entry_point="2051"))[0]
    assert (book["outcome"], book["overflow_reason"], book["overflow_action"]) == (
        "overflowed",
        "key",
        "voicemail",
    )

    async def listed() -> object:
        page = await rig.get("recording", "/v1/messages", queue="message")
        return [m for m in page["messages"] if m["contact_id"] == contact]

    (item,) = await until("the message is listed", listed)
    assert (item["caller"], item["handled_at_us"]) == ("2155512345", 0)
    path = f"/v1/messages/{item['recording_id']}/handled"
    assert (await rig.post("recording", path))["handled_at_us"] > 0
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await rig.post("recording", path)
    assert await listed() == []


async def test_whoever_says_nothing_leaves_after_some_seconds(rig: Rig) -> None:
    caller = await rig.lab.callers("2052", hz=0)
    assert (await caller.done(30)).successful == 1, "silence did not end the message"
    book = (await closed(rig, entry_point="2052"))[0]
    assert (book["overflow_reason"], book["overflow_action"]) == ("max_wait", "voicemail")
