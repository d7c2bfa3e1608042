"""ivr's flows on the simulated switch: every application is carried out as FreeSWITCH does, and every caller is let go or hung up."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.center import load
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import OutboundServer
from services.common.webclient import WebClient, networks
from services.ivr.adapters.outbox import Outbox
from services.ivr.app import EVENTS, Ivr
from services.ivr.config import IvrSettings
from services.simswitch.channel import Channel
from tests.integration.ivr_switch import told_of_a_whole_call
from tests.integration.simswitch_kit import Lab, lab
from tests.integration.web_peer import WebPeer

FRONT = Path(__file__).parents[1] / "freeswitch" / "front.yaml"


class Floor:
    """A simulated switch with ivr beside it."""

    def __init__(self, switch: Lab, broker: MemoryBroker, server: OutboundServer, ivr: Ivr) -> None:
        self.lab = switch
        self.broker = broker
        self.server = server
        self.ivr = ivr

    def call(self, entry: str) -> Channel:
        return self.lab.caller(entry)

    async def plays(self, leg: Channel, prompt: str) -> None:
        """Until the leg runs a playback of this prompt."""
        await self.lab.until(lambda: any(prompt in data for app, data, _ in leg.app_log if app == "playback"))

    async def ends(self, leg: Channel) -> None:
        await self.lab.until(lambda: leg.down)

    async def facts(self, kind: str) -> list[Any]:
        """All facts of this type, once the call has ended for ivr."""
        return await told_of_a_whole_call(self.broker, kind)


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    settings = IvrSettings(
        auth_secret="x" * 32,
        ivr_sounds_dir=str(tmp_path / "sounds"),
        ivr_recordings_dir=str(tmp_path / "rec"),
        ivr_esl_port=0,
    )
    broker = MemoryBroker()
    bus = MemoryBus(broker, source="/ivr/1", clock=SystemClock())
    outbox = Outbox(bus, settings.ivr_outbox_size)
    appending = asyncio.create_task(outbox.run())
    ivr = Ivr(
        settings, SystemClock(), bus, outbox, load(FRONT), WebClient(networks(["127.0.0.0/8", "::1/128"]))
    )
    server = OutboundServer("127.0.0.1", 0, ivr.on_session, max_sessions=20, events=EVENTS)
    port = await server.start()
    try:
        async with lab(tmp_path, cc_ivr=f"127.0.0.1:{port}", cc_early="3008|3009") as switch:
            switch.switch._missing_file_ms = 300  # every prompt is there, and short
            yield Floor(switch, broker, server, ivr)
    finally:
        await server.stop(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        await bus.stop()


async def test_a_language_is_chosen_and_everything_after_it_is_heard_in_it(floor: Floor) -> None:
    leg = floor.call("3001")
    await floor.plays(leg, "/en/choose")
    leg.press("2")
    await floor.ends(leg)
    played = [data for app, data, _ in leg.app_log if app == "playback"]
    assert [data.split("/front/")[1].removesuffix(".wav") for data in played[:2]] == ["en/choose", "fa/hello"]
    assert "fa/currency/toman" in played[2]
    assert "fa/time/jalali-1" in played[3]
    assert leg.hangup_cause == "NORMAL_CLEARING"
    steps = await floor.facts("IvrStepTaken")
    assert [(s.flow_node, s.result) for s in steps] == [
        ("choose", "language:fa"), ("hello", "played"), ("amount", "played"), ("day", "played"), ("bye", "told"),
    ]  # fmt: skip
    assert {s.flow_version for s in steps} == {7}
    assert all(s.entered_at_us <= s.at_us for s in steps)


@pytest.mark.parametrize(("keys", "result"), [("4711#", "right"), ("1234#", "wrong"), ("47112222", "wrong")])
async def test_a_secret_code_is_taken_with_its_terminator_and_stays_hidden(
    floor: Floor, keys: str, result: str
) -> None:
    leg = floor.call("3002")
    await floor.plays(leg, "/en/code")
    for key in keys:
        leg.press(key)
    await floor.plays(leg, f"/en/{result}")
    await floor.ends(leg)
    assert leg.variables["digits_dialed"] == "X" * len(keys)
    steps = await floor.facts("IvrStepTaken")
    assert (steps[0].flow_node, steps[0].input) == ("code", "(secret)")
    assert steps[1].result == ("matched" if result == "right" else "otherwise")


async def test_too_few_digits_are_asked_for_again(floor: Floor) -> None:
    leg = floor.call("3002")
    await floor.plays(leg, "/en/code")
    leg.press("4")
    leg.press("#")
    await floor.plays(leg, "/en/wrong")
    for key in "4711#":
        leg.press(key)
    await floor.plays(leg, "/en/right")
    await floor.ends(leg)


async def test_closed_doors(floor: Floor) -> None:
    leg = floor.call("3005")
    await floor.plays(leg, "/fa/closed")
    await floor.ends(leg)
    ended = await floor.facts("IvrEnded")
    assert (ended[0].outcome, ended[0].flow_node) == ("closed", "bye")


async def test_a_message_is_recorded_and_the_call_goes_on(floor: Floor, tmp_path: Path) -> None:
    leg = floor.call("3004")
    await floor.lab.until(lambda: any(app == "record" for app, _, _ in leg.app_log))
    await asyncio.sleep(1.5)  # the message: the simulated caller speaks all the time
    leg.press("#")
    await floor.plays(leg, "/en/thanks")
    await floor.ends(leg)
    (file,) = (tmp_path / "rec" / "front").rglob("*.wav")
    assert file.name == f"{leg.uuid}.message.box.wav"
    with wave.open(str(file)) as wav:
        assert wav.getnframes() / wav.getframerate() >= 1.0
        assert any(wav.readframes(8000)), "there is sound in it"
    steps = await floor.facts("IvrStepTaken")
    assert [(s.flow_node, s.result) for s in steps] == [
        ("leave", "recorded"),
        ("thanks", "played"),
        ("bye", "done"),
    ]


async def test_whoever_hangs_up_while_speaking_has_left_the_message(floor: Floor, tmp_path: Path) -> None:
    leg = floor.call("3004")
    await floor.lab.until(lambda: any(app == "record" for app, _, _ in leg.app_log))
    await asyncio.sleep(1.2)
    leg.end("NORMAL_CLEARING", by="caller")
    await floor.ends(leg)
    steps = await floor.facts("IvrStepTaken")
    assert [(s.flow_node, s.result) for s in steps] == [("leave", "hung_up")]
    assert list((tmp_path / "rec" / "front").rglob(f"{leg.uuid}.message.box.wav"))


async def test_a_prompt_that_vanished_is_heard_in_the_next_language_and_is_a_fact(floor: Floor) -> None:
    files = floor.lab.switch.file_ms

    def file_ms(path: str) -> int:
        return -2 if path.endswith("/en/code.wav") else files(path)

    floor.lab.switch.file_ms = file_ms  # type: ignore[method-assign]
    leg = floor.call("3002")
    await floor.plays(leg, "/fa/code")
    for key in "4711#":
        leg.press(key)
    await floor.plays(leg, "/en/right")
    await floor.ends(leg)
    missed = await floor.facts("PromptMissed")
    assert [(m.flow_node, m.prompt, m.language, m.given_up) for m in missed] == [
        ("code", "code", "en", False)
    ]


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_an_ivr_that_goes_during_a_message_leaves_music_that_no_key_ends(
    floor: Floor, how: str
) -> None:
    leg = floor.call("3004")
    await floor.lab.until(lambda: any(app == "record" for app, _, _ in leg.app_log))
    if how == "stopped":
        await floor.server.stop(0)
    else:
        assert leg.controller is not None
        leg.controller.drop()  # the socket of a process that was killed: nothing more is said
    await floor.lab.until(lambda: leg.app_log[-1][:2] == ("playback", "local_stream://moh"))
    leg.press("#")
    await asyncio.sleep(0.3)  # the key is looked at every 20 ms
    assert leg.app_log[-1][:2] == ("playback", "local_stream://moh"), "the key ended the music"
    assert leg.var("cc_state") == "waiting"
    assert leg.var("cc_queue") == ("box" if how == "stopped" else "")


async def test_a_flow_asks_web_services_and_goes_on_however_they_answer(floor: Floor, tmp_path: Path) -> None:
    async with WebPeer() as peer:
        document = tmp_path / "front.yaml"
        document.write_text(FRONT.read_text().replace("http://localhost:1", peer.url))
        floor.ivr.use(load(document))
        leg = floor.call("3006")
        await floor.plays(leg, "/en/right")
        await floor.ends(leg)
        steps = await floor.facts("IvrStepTaken")
        assert [(s.flow_node, s.result) for s in steps] == [
            ("who", "answered"), ("check", "answered"), ("which", "is:gold"), ("right", "played"), ("slow", "failed:timeout"),
            ("garbage", "failed:not_json"), ("failed", "status:500"), ("closed", "played"), ("bye", "told"),
        ]  # fmt: skip
        assert peer.requests[1].startswith("GET /ok?customer=4711 ")
        assert not any("gold" in str(step) for step in steps if step.flow_node != "which")


async def test_a_call_that_nobody_answers_hears_that_it_is_closed(floor: Floor) -> None:
    leg = floor.call("3008")
    await floor.plays(leg, "/en/closed")
    assert leg.answer_state == "early"
    await floor.ends(leg)
    assert not leg.answered
    ended = await floor.facts("IvrEnded")
    assert (ended[0].outcome, ended[0].flow_node) == ("finished", "bye")


async def test_a_menu_answers_by_itself_and_an_ivr_that_dies_before_it_does_not_cost_the_call(
    floor: Floor,
) -> None:
    leg = floor.call("3009")
    await floor.plays(leg, "/en/hello")
    assert not leg.answered
    await floor.plays(leg, "/en/choose")
    assert leg.answered
    leg.press("1")
    await floor.ends(leg)
    dying = floor.call("3009")
    await floor.plays(dying, "/en/hello")
    assert dying.controller is not None
    dying.controller.drop()
    await floor.lab.until(lambda: dying.app_log[-1][:2] == ("playback", "local_stream://moh"))
    assert dying.answered
    assert dying.var("cc_state") == "waiting"
