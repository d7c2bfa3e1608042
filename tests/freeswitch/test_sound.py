"""Who hears whom on a real switch, and what a break does to prompts."""

from __future__ import annotations

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, loudness, middle, on_duty, recording_of, sound_of, strongest_hz

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_each_party_is_on_its_own_channel(rig: Rig) -> None:
    await on_duty(rig, "xia", "1030")
    phone = await rig.lab.agent("1030", hz=950)
    caller = await rig.lab.callers("2013", patience_ms=5000, hz=440)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    contact = (await closed(rig, entry_point="2013"))[0]
    recording = await recording_of(rig, contact["contact_id"])
    samples, rate = await sound_of(rig, recording["recording_id"])
    for channel, hz in ((0, 440), (1, 950)):
        heard = middle(samples)[:, channel]
        assert loudness(heard) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(heard, rate) - hz) < 10
