"""Hold, transfer and consultation on a real switch: who talks to whom, who hears whom, and who is left when somebody goes."""

from __future__ import annotations

import asyncio

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.passing import TONES, talking
from tests.freeswitch.steps import (
    hang_up,
    is_idle,
    loudness,
    recording_of,
    sound_of,
    strongest_hz,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_held_caller_hears_music_and_then_the_agent_again(rig: Rig) -> None:
    async with talking(rig) as t:
        await asyncio.sleep(1.0)  # of conversation, to be heard in the recording
        assert (await t.wish("hold"))["state"] == "held"
        await asyncio.sleep(1.5)
        assert (await t.wish("resume"))["state"] == "talking"
        await asyncio.sleep(1.5)
        await hang_up(rig, t.contact)
        recording = await recording_of(rig, t.contact)
        samples, rate = await sound_of(rig, recording["recording_id"])
        ends = samples[-rate:, 1]
        assert abs(strongest_hz(ends, rate) - TONES["giver"]) < 15, "the agent is not heard after the hold"
        held = samples[
            -int(2.6 * rate) : -int(2.1 * rate), 1
        ]  # resumed 1.5 s before the end, held 1.5 s before that
        assert abs(strongest_hz(held, rate) - TONES["giver"]) > 15, "the agent is heard during the hold"
        assert loudness(samples[-rate:, 0]) > 500


async def test_a_blind_transfer(rig: Rig) -> None:
    async with talking(rig) as t:
        assert (await t.wish("transfer", kind="agent", target="taker"))["state"] in ("waiting", "offered")
        await t.becomes("talking", "taker")
        await asyncio.sleep(1.5)
        assert set(await t.legs()) >= {"taker"}
        await hang_up(rig, t.contact)
        samples, rate = await sound_of(rig, (await recording_of(rig, t.contact))["recording_id"])
        assert abs(strongest_hz(samples[-rate:, 1], rate) - TONES["taker"]) < 15


async def test_an_attended_transfer_is_completed(rig: Rig) -> None:
    async with talking(rig) as t:
        assert (await t.wish("consult", agent="taker"))["state"] == "consulting"
        await t.agents_talk()
        assert (await t.wish("complete"))["agent_id"] == "taker"
        await asyncio.sleep(1.5)
        await hang_up(rig, t.contact)
        samples, rate = await sound_of(rig, (await recording_of(rig, t.contact))["recording_id"])
        assert abs(strongest_hz(samples[-rate:, 1], rate) - TONES["taker"]) < 15
        await is_idle(rig, "giver")


async def test_an_attended_transfer_is_cancelled(rig: Rig) -> None:
    async with talking(rig) as t:
        await t.wish("consult", agent="taker")
        await t.agents_talk()
        assert (await t.wish("cancel"))["state"] == "talking"
        await asyncio.sleep(1.0)
        await t.becomes("talking")
        assert set(await t.legs()) == {"giver"}
