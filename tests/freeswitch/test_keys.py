"""Keys as most phones send them: telephone events in the stream of sound (RFC 4733, before that RFC 2833). INFO is what the other tests send."""

from __future__ import annotations

import json

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.dialogs import Dialogs
from tests.freeswitch.rtp import PhoneSound, phone_sound
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import hang_up, is_idle, on_duty, talks, until
from tests.freeswitch.switch import AGENT_PASSWORD, DOMAIN
from tests.freeswitch.test_supervision import Talk, talking

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def leg_of(rig: Rig, start: str = "", number: str = "") -> str:
    """The leg whose presence data starts so, or of the caller with that number."""

    async def found() -> str:
        rows = json.loads(await rig.switch.api("show channels as json")).get("rows", [])
        of = [r for r in rows if r["presence_data"].startswith(start) and number in ("", r["cid_num"])]
        return str(of[0]["uuid"]) if of else ""

    leg: str = await until(f"there is a leg {start}{number}", found)
    return leg


async def connect(rig: Rig, sound: PhoneSound, leg: str) -> None:
    """Let the phone's sound go to its leg."""

    async def told() -> str:
        port = (await rig.switch.api(f"uuid_getvar {leg} local_media_port")).strip()
        return port if port.isdigit() else ""

    sound.speak_to(int(await until(f"{leg} has a port for sound", told)))


async def test_a_menu_is_chosen_from(rig: Rig) -> None:
    async with phone_sound() as sound, rig.switch.watch("CHANNEL_EXECUTE", "DTMF") as watch:
        caller = await rig.lab.callers(
            "1000", hz=0, ani="2177001", patience_ms=60_000, media_port=str(sound.port)
        )
        leg = await leg_of(rig, number="2177001")
        await connect(rig, sound, leg)
        while True:
            played = await watch.next(Event_Name="CHANNEL_EXECUTE", Unique_ID=leg, Application="playback")
            if played["Application-Data"].endswith("menu.wav"):
                break
        await sound.press("4")
        pressed = await watch.next(Event_Name="DTMF", Unique_ID=leg)
        assert (pressed["DTMF-Digit"], pressed["DTMF-Source"]) == ("4", "RTP")

        async def chosen() -> bool:
            return (await rig.switch.api(f"uuid_getvar {leg} cc_queue")).strip() == "routing-lost"

        await until("the caller is where key 4 leads", chosen)
        await rig.switch.api(f"uuid_kill {leg}")
        assert (await caller.done()).successful == 1


async def dials_in(talk: Talk, media_port: str) -> Sipp:
    """The supervisor's phone dials the code of the agent."""
    values = {
        "domain": DOMAIN, "from_user": "1048", "password": AGENT_PASSWORD, "number": "*331047", "caller_name": "1048",
        "press": "", "speak": "",
    }  # fmt: skip
    lab = talk.rig.lab
    return await lab.run("dial_code", values, to=talk.rig.switch.agents_port, media_port=media_port)


@pytest.mark.parametrize("by", ["events", "info"])
async def test_a_supervisor_who_dialled_in_changes_the_mode(rig: Rig, by: str) -> None:
    async with talking(rig) as talk, phone_sound() as sound:
        dials = await dials_in(talk, str(sound.port))
        ear = await talk.ear()
        await connect(rig, sound, ear)
        await talk.hears_it(ear, "listen")
        dialogs = Dialogs(rig.switch, rig.switch.api)
        for key, mode in (("2", "whisper"), ("3", "barge"), ("1", "listen"), ("3", "barge")):
            await (sound.press(f"*{key}") if by == "events" else dialogs.press(ear, f"*{key}"))
            await talk.hears_it(ear, mode)
        assert (await talk.heard(ear))[1] == {"caller", "agent"}, (
            "the keys or the mode have ended the listening"
        )
        await talk.end()
        assert (await dials.done(30)).successful == 1


async def test_the_result_of_a_call_is_keyed(rig: Rig) -> None:
    await on_duty(rig, "ivy", "1009")
    async with phone_sound() as sound:
        phone = await rig.lab.agent("1009", media_port=str(sound.port), echo=False)
        caller = await rig.lab.callers("2001", hz=0, ani="2177002")
        contact = (await talks(rig, "keyed"))[0]["contact_id"]
        await connect(rig, sound, await leg_of(rig, f"a/lab/{contact}/"))
        await sound.press("1")  # During the talk: none of ours.
        await hang_up(rig, contact)
        assert (await caller.done()).successful == 1

        async def wrap_up() -> bool:
            return bool((await rig.agent("ivy"))["activity"] == "wrap_up")

        await until("ivy is in wrap-up", wrap_up)
        await sound.press("2")
        await is_idle(rig, "ivy")
        assert (await phone.done()).successful == 1, phone.errors()

    async def stored() -> bool:
        found = (await rig.get("reporting", f"/v1/contacts/{contact}"))["contact"]
        return (found["disposition"], found["disposition_by"]) == ("2", "key")

    await until("the result is in the books", stored)
