"""An agent at a number outside on a real switch: the carrier answers, a key makes it the agent, both are heard."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    closed,
    comes_on,
    hang_up,
    is_idle,
    loudness,
    middle,
    no_legs,
    offers,
    on_duty,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
)
from tests.freeswitch.test_agents import has_break
from tests.freeswitch.test_before_bridge import tone

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_voicemail_is_no_answer_and_the_key_brings_the_two_together(rig: Rig) -> None:
    """The key is pressed into the prompt, which the bridge has to cut."""
    tone(rig.switch.sounds / "prompts" / "en" / "agent-confirm.wav", 830, 20.0)
    await on_duty(rig, "mobi")
    voicemail = await rig.lab.customer(talk_ms=2_500, hz=620)
    caller = await rig.lab.callers("2075", patience_ms=90_000, hz=440)
    assert (await voicemail.done(40)).successful == 1, voicemail.errors()
    await has_break(rig, "mobi", "no_answer")
    mobile = await rig.lab.customer(talk_ms=60_000, hz=0, keys=((2_500, "1"),))  # It echoes what it hears.
    await comes_on(rig, "mobi")
    contact = str((await talks(rig, "away", timeout_s=40))[0]["contact_id"])
    await asyncio.sleep(3)
    await hang_up(rig, contact)
    await mobile.stop()
    await caller.stop()
    (call,) = await closed(rig, entry_point="2075")
    assert (call["contact_id"], call["outcome"], call["agent_id"]) == (contact, "answered", "mobi")
    missed, taken = await offers(rig, contact)
    assert (missed["outcome"], missed["cause"]) == ("no_answer", "NOT_CONFIRMED")
    assert taken["outcome"] == "accepted"
    invite = (mobile.folder / "messages.log").read_text()
    assert "2189" in invite.split("From:", 1)[1].split("\n", 1)[0], "the queue's number is not shown"
    samples, rate = await sound_of(rig, (await recording_of(rig, contact))["recording_id"])
    for channel in (0, 1):
        ear = middle(samples)[:, channel]
        assert loudness(ear) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(ear, rate) - 440) < 10, "the prompt goes on in the conversation"
    await is_idle(rig, "mobi")
    await no_legs(rig)


async def test_who_presses_nothing_is_let_go_and_a_trunk_that_fails_is_followed_by_the_next(rig: Rig) -> None:
    """The route's first trunk has a gateway that is not there. Then somebody listens to the prompt and presses the wrong key only."""
    await on_duty(rig, "noma")
    listens = await rig.lab.customer(talk_ms=60_000, hz=620, keys=((1_000, "5"),))
    caller = await rig.lab.callers("2077", patience_ms=90_000, hz=440)
    assert (await listens.done(45)).successful == 1, "whoever presses nothing was not hung up"
    await has_break(rig, "noma", "no_answer")
    mobile = await rig.lab.customer(talk_ms=60_000, hz=0, keys=((2_000, "1"),))
    await comes_on(rig, "noma")
    contact = str((await talks(rig, "afar", timeout_s=40))[0]["contact_id"])
    rows = json.loads(await rig.switch.api("show channels as json"))["rows"]
    (leg,) = [str(r["uuid"]) for r in rows if r["presence_data"].startswith(f"a/lab/{contact}/")]
    assert await rig.switch.api(f"uuid_getvar {leg} cc_trunk") == "carrier"
    await hang_up(rig, contact)
    await mobile.stop()
    await caller.stop()
    missed, taken = await offers(rig, contact)
    assert (missed["outcome"], missed["cause"]) == ("no_answer", "NOT_CONFIRMED")
    assert taken["outcome"] == "accepted"
    await is_idle(rig, "noma")
    await no_legs(rig)
