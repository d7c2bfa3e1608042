"""The survey after the conversation on a real switch: the agent hangs up, writes up at once, and the caller answers by keys and by voice."""

from __future__ import annotations

import dataclasses
import io
import json
import wave
from typing import Any

import numpy as np
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import day, loudness, on_duty, recording_of, strongest_hz, talks, until
from tests.freeswitch.test_flows import played

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def agents_leg(front: Rig, contact: str) -> str:
    rows = json.loads(await front.switch.api("show channels as json")).get("rows", [])
    return str(next(r["uuid"] for r in rows if r["presence_data"].startswith(f"a/front/{contact}/")))


async def facts_of(front: Rig, contact: str, kind: str) -> list[dict[str, Any]]:
    story = await front.get("reporting", f"/v1/contacts/{contact}")
    return [f["payload"] for f in story["timeline"] if str(f.get("type", "")).endswith(kind)]


async def test_a_caller_is_asked_when_the_agent_has_hung_up(rig: Rig) -> None:
    front = dataclasses.replace(rig, tenant="front")
    await on_duty(front, "pia", "1053")
    phone = await front.lab.agent("1053", hz=1100)
    async with front.switch.watch("RECORD_START", "PLAYBACK_START") as watch:
        caller = await front.lab.callers("3007", hz=440)
        contact = str((await talks(front, "asked"))[0]["contact_id"])
        await front.switch.api(f"uuid_kill {await agents_leg(front, contact)} NORMAL_CLEARING")
        assert await played(watch, 1) == ["en/rate"]
        agent = await front.agent("pia")
        assert agent["activity"] == "wrap_up", "the agent does not wait for the survey"
        await front.switch.api(f"uuid_recv_dtmf {contact} 4")
        assert await played(watch, 1) == ["en/rate-ten"]
        await front.switch.api(f"uuid_recv_dtmf {contact} 10")
        assert await played(watch, 1) == ["en/leave"]
        began = await watch.next(Event_Name="RECORD_START", Unique_ID=contact)
        while not began["Record-File-Path"].endswith(f"/{contact}.comment.why.wav"):
            began = await watch.next(Event_Name="RECORD_START", Unique_ID=contact)
        path = began["Record-File-Path"].split(f"{front.switch.recordings.name}/", 1)[1]
        file = front.switch.recordings / path

        async def long_enough() -> bool:
            return file.exists() and file.stat().st_size >= 3 * 16_000

        await until("something was said", long_enough)
        await front.switch.api(f"uuid_recv_dtmf {contact} #")
        assert await played(watch, 1) == ["en/thanks"]
    assert (await caller.done(30)).successful == 1
    await phone.stop()

    async def ended() -> Any:
        return await facts_of(front, contact, "SurveyEnded")

    (over,) = await until("the survey is in the books", ended)
    assert (over["survey"], over["outcome"], over["answers"]) == ("after-call", "finished", 3)
    assert (over["agent_id"], over["queue"]) == ("pia", "asked")
    answers = await facts_of(front, contact, "SurveyAnswered")
    assert [(a["question"], a["kind"], a["score"]) for a in answers] == [
        ("csat", "score", 4),
        ("nps", "score", 10),
        ("why", "comment", 0),
    ]
    assert {(a["agent_id"], a["queue"]) for a in answers} == {("pia", "asked")}

    async def listed() -> bool:
        page = await front.get("reporting", "/v1/contacts", **{"filter.queue": "asked", **day()})
        return [(c["contact_id"], c["outcome"], c["agent_id"]) for c in page["items"]] == [
            (contact, "answered", "pia")
        ]

    await until("the contact is listed", listed)
    (survey,) = (await front.get("reporting", "/v1/reports/surveys"))["surveys"]
    assert (survey["begun"], survey["answered"]) == (1, 1)
    assert {q["question"]: q["nps"] for q in survey["by_agent"]["pia"]} == {"csat": None, "nps": 100.0}

    recordings = await front.get("recording", "/v1/recordings", contact_id=contact)
    assert len(recordings["recordings"]) == 2, "the conversation's ended before the survey"
    comment = next(r for r in recordings["recordings"] if r["channels"] == 1)
    assert (comment["agent_id"], comment["queue"]) == ("pia", "asked")
    audio = await front.get("recording", f"/v1/recordings/{comment['recording_id']}/audio")
    with wave.open(io.BytesIO(audio)) as wav:
        said = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(float)
    assert abs(strongest_hz(said, comment["sample_rate"]) - 440) < 10
    assert loudness(said) > 500
    assert answers[2]["recording_path"] == path
    assert (await recording_of(front, contact))["recording_id"]
