"""What ivr builds on when a key cuts a prompt: how FreeSWITCH treats a ``uuid_break`` that comes too early or too late."""

from __future__ import annotations

import socket
import uuid
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from tests.freeswitch.conftest import Rig
from tests.freeswitch.switch import Watch, free_port

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]

LONG_S = 1.0
SHORT_S = 0.2


def tone(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes((8000 * np.sin(np.arange(int(8000 * seconds)) * 0.3)).astype("<i2").tobytes())
    return path


class Parked:
    """A phone on a parked leg that no service cares for, and prompts of known length."""

    def __init__(self, watch: Watch, leg: str, folder: Path) -> None:
        self.watch = watch
        self.leg = leg
        self.long = tone(folder / "long.wav", LONG_S)
        self.short = tone(folder / "short.wav", SHORT_S)

    def play(self, path: Path) -> tuple[str, str]:
        """The command that ivr's session sends, and the id under which its end comes."""
        app_id = str(uuid.uuid4())
        lines = (
            f"sendmsg {self.leg}",
            "call-command: execute",
            "execute-app-name: playback",
            f"execute-app-arg: {path}",
            f"Event-UUID: {app_id}",
            "event-lock: true",
        )
        return "\n".join(lines), app_id

    @property
    def cut(self) -> str:
        return f"api uuid_break {self.leg}"

    async def length_s(self, app_id: str) -> float:
        """How long the playback took, by FreeSWITCH's own clock."""
        began = await self.watch.next(Event_Name="CHANNEL_EXECUTE", Application_UUID=app_id)
        ended = await self.watch.next(Event_Name="CHANNEL_EXECUTE_COMPLETE", Application_UUID=app_id)
        return (int(ended["Event-Date-Timestamp"]) - int(began["Event-Date-Timestamp"])) / 1e6


@pytest_asyncio.fixture(loop_scope="session")
async def parked(rig: Rig, tmp_path: Path) -> AsyncIterator[Parked]:
    rig.lab.phones["breaks"] = free_port(socket.SOCK_DGRAM)
    phone = await rig.lab.agent("breaks")
    leg = str(uuid.uuid4())
    async with rig.switch.watch("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE") as watch:
        to = f"sofia/agents/sip:breaks@127.0.0.1:{rig.lab.phones['breaks']}"
        assert (
            await watch.api(f"originate {{origination_uuid={leg},cc_tenant=lab}}{to} &park()")
        ).startswith("+OK")
        yield Parked(watch, leg, tmp_path)
        await watch.api(f"uuid_kill {leg}")
    assert (await phone.done(10)).successful == 1


async def test_a_break_cuts_the_prompt_that_plays(parked: Parked) -> None:
    play, app_id = parked.play(parked.long)
    await parked.watch.ask(play)
    began = await parked.watch.next(Event_Name="CHANNEL_EXECUTE", Application_UUID=app_id)
    # CHANNEL_EXECUTE is fired before the application opens its file, so the first break may still come too early.
    for _ in range(20):
        await parked.watch.ask(parked.cut)
    ended = await parked.watch.next(Event_Name="CHANNEL_EXECUTE_COMPLETE", Application_UUID=app_id)
    took_s = (int(ended["Event-Date-Timestamp"]) - int(began["Event-Date-Timestamp"])) / 1e6
    assert took_s < LONG_S / 2


async def test_a_break_before_the_prompt_is_lost(parked: Parked) -> None:
    """Therefore ivr repeats it until the playback has ended."""
    play, app_id = parked.play(parked.long)
    await parked.watch.ask(parked.cut, play)
    assert await parked.length_s(app_id) > LONG_S * 0.95


async def test_a_break_after_the_end_does_not_cut_the_next_prompt(parked: Parked) -> None:
    """Therefore a key that comes as the prompt ends by itself costs the caller nothing of the next one."""
    for _ in range(3):
        play, app_id = parked.play(parked.short)
        await parked.watch.ask(play)
        assert await parked.length_s(app_id) < LONG_S / 2
        play, app_id = parked.play(parked.long)
        await parked.watch.ask(parked.cut)
        await parked.watch.ask(play)
        assert await parked.length_s(app_id) > LONG_S * 0.95
