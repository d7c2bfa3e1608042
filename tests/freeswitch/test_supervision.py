"""Who hears whom on a real switch when a supervisor listens, whispers and barges in, by HTTP, by keys, and by a dialled code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.hearing import RATE, heard, voices
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import booked, hang_up, on_duty, recording_of, sound_of, talks, until
from tests.freeswitch.switch import AGENT_PASSWORD, DOMAIN

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]

CALLER_HZ, AGENT_HZ, SUPERVISOR_HZ = 440, 950, 1300
TONES = {"caller": CALLER_HZ, "agent": AGENT_HZ, "supervisor": SUPERVISOR_HZ}


@dataclass
class Talk:
    """Hel talks with a caller; everybody sends a tone of their own."""

    rig: Rig
    contact: str
    agent_leg: str
    caller: Sipp
    phone: Sipp

    async def wish(self, mode: str, who: str = "sup") -> httpx.Response:
        token = self.rig.stack.token("lab", "supervisor", subject=who)
        async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
            return await client.post(
                f"{self.rig.stack.http('queue')}/v1/contacts/{self.contact}/supervise",
                json={"mode": mode},
                headers={"Authorization": f"Bearer {token}"},
            )

    async def ear(self) -> str:
        """The supervisor's leg."""

        async def found() -> str:
            rows = json.loads(await self.rig.switch.api("show channels as json")).get("rows", [])
            ours = [str(r["uuid"]) for r in rows if r["presence_data"] == f"s/lab/{self.contact}"]
            return ours[0] if ours else ""

        leg: str = await until("the supervisor's leg is there", found)
        return leg

    async def hears_it(self, ear: str, mode: str) -> None:
        """Until the leg is at the call in this mode."""

        async def there() -> bool:
            says = [
                await self.rig.switch.api(f"uuid_getvar {ear} {n}")
                for n in ("cc_mode", "cc_joined", "cc_seq")
            ]
            return says[0] == mode and says[1].isdigit() and says[1] == says[2]

        await until(f"the supervisor is in mode {mode}", there)

    async def heard(self, leg: str) -> tuple[set[str], set[str]]:
        """Who speaks on a leg and who is heard on it."""
        return await heard(self.rig, leg, TONES)

    async def end(self) -> None:
        await hang_up(self.rig, self.contact)
        assert (await self.caller.done()).successful == 1
        assert (await self.phone.done()).successful == 1


@contextlib.asynccontextmanager
async def talking(rig: Rig) -> AsyncIterator[Talk]:
    await on_duty(rig, "hel", "1047")
    await rig.lab.register("1048")
    phone = await rig.lab.agent("1047", hz=AGENT_HZ)
    caller = await rig.lab.callers("2047", hz=CALLER_HZ)
    contact = (await talks(rig, "heard"))[0]["contact_id"]
    rows: list[dict[str, Any]] = json.loads(await rig.switch.api("show channels as json"))["rows"]
    leg = next(str(r["uuid"]) for r in rows if r["presence_data"].startswith(f"a/lab/{contact}/"))
    yield Talk(rig, contact, leg, caller, phone)


async def test_listen_whisper_and_barge_by_http(rig: Rig) -> None:
    async with talking(rig) as talk:
        supervisor = await rig.lab.agent("1048", hz=SUPERVISOR_HZ)
        assert (await talk.wish("listen", who="somebody-else")).status_code in (404, 422)
        answer = await talk.wish("listen")
        assert (answer.status_code, answer.json()["agent_id"]) == (200, "hel"), answer.text
        ear = await talk.ear()
        await talk.hears_it(ear, "listen")
        assert (await talk.heard(ear))[1] == {"caller", "agent"}
        assert (await talk.heard(talk.agent_leg))[1] == {"caller"}
        assert (await talk.heard(talk.contact))[1] == {"agent"}
        answer = await talk.wish("whisper")
        assert (answer.status_code, answer.json()["state"]) == (200, "listening"), answer.text
        assert (await talk.heard(talk.agent_leg))[1] == {"caller", "supervisor"}
        assert (await talk.heard(talk.contact))[1] == {"agent"}
        assert {"caller", "agent"} <= (await talk.heard(ear))[1]
        recorded_s = await silent_until_here(rig, talk)
        assert (await talk.wish("barge")).status_code == 200
        assert (await talk.heard(talk.agent_leg))[1] == {"caller", "supervisor"}
        assert (await talk.heard(talk.contact))[1] == {"agent", "supervisor"}
        assert (await talk.wish("off")).json()["state"] == "ended"
        assert (await supervisor.done(10)).successful == 1
        assert (await talk.heard(talk.contact))[1] == {"agent"}
        await talk.end()
    found = await recording_of(rig, talk.contact)
    samples, rate = await sound_of(rig, found["recording_id"])
    before = samples[: int(recorded_s * rate)]
    for channel in (0, 1):
        assert "supervisor" not in voices(before[:, channel], rate, TONES), (
            "the whisper is in the contact's recording"
        )
    await booked(rig, {talk.contact: "answered"}, entry_point="2047")
    story = await rig.get("reporting", f"/v1/contacts/{talk.contact}")
    assert story["contact"]["agent_id"] == "hel"
    assert len(story["offers"]) == 1, "the supervisor's leg is in the books"


async def silent_until_here(rig: Rig, talk: Talk) -> float:
    """How long the contact's recording is now, by the switch's count of bytes."""
    paths = [p for p in rig.switch.recordings.rglob("*.wav") if p.stem == talk.contact]
    return (paths[0].stat().st_size - 44) / (RATE * 4)


async def test_the_supervisors_keys_by_our_own_names(rig: Rig) -> None:
    """``*2`` whispers to the agent whatever FreeSWITCH's key 2 would do; keys without ``*`` do nothing."""
    async with talking(rig) as talk:
        keys = ((2500, "3"), (300, "1"), (300, "*"), (300, "2"))
        supervisor = await rig.lab.agent("1048", hz=SUPERVISOR_HZ, keys=keys)
        await talk.wish("listen")
        ear = await talk.ear()
        await talk.hears_it(ear, "whisper")
        assert (await talk.heard(talk.agent_leg))[1] == {"caller", "supervisor"}
        assert (await talk.heard(talk.contact))[1] == {"agent"}
        await talk.end()
        assert (await supervisor.done(10)).successful == 1, "the supervisor was not hung up with the call"


async def test_a_supervisor_dials_the_code_and_outlives_our_processes(rig: Rig) -> None:
    """The phone sends no sound at all. An ivr that let the leg go after it was sent to the call would leave it deaf."""
    async with talking(rig) as talk, rig.switch.watch("CHANNEL_HANGUP_COMPLETE") as watch:
        values = {
            "domain": DOMAIN, "from_user": "1048", "password": AGENT_PASSWORD, "number": "*331047", "caller_name": "1048", "press": "",
            "speak": "",
        }  # fmt: skip
        dials = await rig.lab.run("dial_code", values, to=rig.switch.agents_port)
        ear = await talk.ear()
        await talk.hears_it(ear, "listen")
        queue = rig.stack.processes["queue"]
        await queue.kill()
        await queue.start()
        await queue.wait_ready(30)
        await talks(rig, "heard")
        assert (await talk.wish("whisper")).status_code == 200, "the new owner does not know the supervisor"
        assert (await talk.heard(talk.agent_leg))[1] == {"caller"}
        assert (await talk.heard(talk.contact))[1] == {"agent"}
        await talk.end()
        over = await watch.next(Event_Name="CHANNEL_HANGUP_COMPLETE", Unique_ID=ear)
        assert (await dials.done(30)).successful == 1
    sent, billed_ms = int(over["variable_rtp_audio_out_media_packet_count"]), int(over["variable_billmsec"])
    assert sent > billed_ms / 20 / 2, f"{sent} packets of 20 ms in {billed_ms} ms"
    async with rig.switch.watch("CHANNEL_EXECUTE_COMPLETE") as watch:
        assert (await rig.lab.dial_code("1048", "*331001")).successful == 1
        said = await watch.next(Event_Name="CHANNEL_EXECUTE_COMPLETE", Application="playback")
    assert said["Application-Data"].endswith("not-possible.wav")
