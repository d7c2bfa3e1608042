"""Flows on a real switch: a language, a code that nobody sees, closed doors, a message with sound in it."""

from __future__ import annotations

import dataclasses
import io
import wave
from typing import Any

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, loudness, recording_of, strongest_hz, until
from tests.freeswitch.switch import Watch

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def front(rig: Rig) -> Rig:
    return dataclasses.replace(rig, tenant="front")


async def path_of(front: Rig, entry: str) -> list[tuple[str, str]]:
    """The nodes that the one call of an entry point went through, with their results, as the books have them."""
    return await steps_of(front, (await closed(front, entry_point=entry))[0]["contact_id"])


async def steps_of(front: Rig, contact_id: str) -> list[tuple[str, str]]:
    """The nodes that a call went through, with their results, as the books have them."""

    async def told() -> Any:
        story = await front.get("reporting", f"/v1/contacts/{contact_id}")
        facts = [entry for entry in story["timeline"] if "payload" in entry]
        steps = [f["payload"] for f in facts if f["type"].endswith("IvrStepTaken")]
        ended = any(f["type"].endswith("IvrEnded") for f in facts)
        return sorted(steps, key=lambda s: s["step_no"]) if ended else None

    steps = await until(f"the steps of {contact_id} are in the books", told)
    assert all(step["entered_at_us"] <= step["at_us"] for step in steps)
    return [(step["flow_node"], step["result"]) for step in steps]


async def played(watch: Watch, count: int) -> list[str]:
    """The next prompts that are played to callers of the front door, as ``language/prompt``."""
    found: list[str] = []
    while len(found) < count:
        event = await watch.next(Event_Name="PLAYBACK_START")
        path = event.get("Playback-File-Path", "")
        if "/front/" in path:
            found.append("+".join(part.split("/front/")[1].removesuffix(".wav") for part in path.split("!")))
    return found


async def test_a_caller_chooses_a_language_and_hears_money_and_a_date_in_it(front: Rig) -> None:
    async with front.switch.watch("PLAYBACK_START", "CHANNEL_ANSWER") as watch:
        caller = await front.lab.callers("3001", digits="2", think_ms=300)
        contact = (await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3001"))[
            "Unique-ID"
        ]
        heard = front.switch.recordings / "front.wav"
        await front.switch.api(f"uuid_setvar {contact} RECORD_STEREO true")
        await front.switch.api(f"uuid_record {contact} start {heard}")
        assert await played(watch, 4) == [
            "en/choose",
            "fa/hello",
            "fa/digits/100++fa/digits/20++fa/digits/5+fa/digits/1000+fa/currency/toman",
            "fa/digits/1om-e+fa/time/jalali-1+fa/digits/1000++fa/digits/400++fa/digits/6",
        ]
    assert (await caller.done(30)).successful == 1
    assert await path_of(front, "3001") == [
        ("choose", "language:fa"),
        ("hello", "played"),
        ("amount", "played"),
        ("day", "played"),
        ("bye", "told"),
    ]
    with wave.open(str(heard)) as wav:
        ear = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)[:, 1].astype(float)
        seconds = len(ear) / wav.getframerate()
    assert seconds > 3, "the numbers were not spoken"
    assert loudness(ear) > 300, "the caller heard nothing"


async def test_a_secret_code_is_taken_and_nobody_sees_it(front: Rig) -> None:
    async with front.switch.watch("CHANNEL_HANGUP_COMPLETE") as watch:
        caller = await front.lab.callers("3002", digits="4711#", think_ms=300)
        over = await watch.next(Event_Name="CHANNEL_HANGUP_COMPLETE", Caller_Destination_Number="3002")
    assert (await caller.done(30)).successful == 1
    assert over["variable_digits_dialed"] == "XXXXX"
    assert await path_of(front, "3002") == [
        ("code", "entered"),
        ("check", "matched"),
        ("right", "played"),
        ("bye", "done"),
    ]
    contact = (await closed(front, entry_point="3002"))[0]
    story = await front.get("reporting", f"/v1/contacts/{contact['contact_id']}")
    asked = next(f["payload"] for f in story["timeline"] if f.get("payload", {}).get("flow_node") == "code")
    assert asked["input"] == "(secret)"
    assert "4711" not in str(story)
    logs = [file.read_text(errors="replace") for file in front.stack.log_dir.glob("*.log")]
    assert logs
    assert not any(
        contact["contact_id"] in line and "4711" in line for log in logs for line in log.splitlines()
    )


async def test_a_closed_door_and_an_emergency_say_so_and_hang_up(front: Rig) -> None:
    async with front.switch.watch("PLAYBACK_START") as watch:
        for entry, prompt in (("3003", "en/closed"), ("3005", "fa/closed")):
            caller = await front.lab.callers(entry)
            assert await played(watch, 1) == [prompt]
            assert (await caller.done(30)).successful == 1
    assert await path_of(front, "3003") == [("hours", "closed"), ("closed", "played"), ("bye", "done")]
    assert await path_of(front, "3005") == [("hours", "emergency"), ("closed", "played"), ("bye", "done")]


async def test_a_message_of_a_flow_has_the_callers_voice_in_it_and_is_a_work_item(front: Rig) -> None:
    async with front.switch.watch("RECORD_START", "RECORD_STOP", "PLAYBACK_START") as watch:
        caller = await front.lab.callers("3004", hz=440, ani="2155512345")
        began = await watch.next(Event_Name="RECORD_START", Caller_Destination_Number="3004")
        contact = began["Unique-ID"]
        assert began["Record-File-Path"].endswith(f"/{contact}.message.box.wav")
        # Three seconds of it, by the switch's own count of what it has recorded.
        await until("something was said", lambda: _recorded(front, began["Record-File-Path"], 3 * 16_000))
        await front.switch.api(f"uuid_recv_dtmf {contact} #")
        assert await played(watch, 1) == ["en/thanks"], "the call goes on after the message"
    assert (await caller.done(30)).successful == 1
    assert await path_of(front, "3004") == [("leave", "recorded"), ("thanks", "played"), ("bye", "done")]

    stored = await recording_of(front, contact)
    assert (stored["queue"], stored["channels"]) == ("box", 1)
    audio = await front.get("recording", f"/v1/recordings/{stored['recording_id']}/audio")
    with wave.open(io.BytesIO(audio)) as wav:
        message = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
    assert abs(strongest_hz(message, stored["sample_rate"]) - 440) < 10
    assert loudness(message) > 500
    page = await front.get("recording", "/v1/messages", queue="box")
    assert [m["caller"] for m in page["messages"] if m["contact_id"] == contact] == ["2155512345"]


async def _recorded(front: Rig, path: str, least_bytes: int) -> bool:
    file = front.switch.recordings / path.split(f"{front.switch.recordings.name}/", 1)[1]
    return file.exists() and file.stat().st_size >= least_bytes
