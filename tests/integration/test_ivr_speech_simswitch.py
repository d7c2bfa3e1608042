"""Texts that a voice speaks, prompts that vanished and callers who speak, on the simulated switch: with the real voice and the real recogniser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.center import load, prompts
from services.center.audio import RATE, Samples
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import ManualClock, SystemClock
from services.common.esl import OutboundServer
from services.common.webclient import WebClient
from services.ivr.adapters import understanding
from services.ivr.adapters.outbox import Outbox
from services.ivr.adapters.speech import SpeechOfProcess
from services.ivr.adapters.understanding import Recognisers
from services.ivr.app import EVENTS, Ivr
from services.ivr.config import IvrSettings
from services.simswitch.channel import Channel
from tests.integration.ivr_switch import told_of_a_whole_call
from tests.integration.simswitch_kit import Lab, lab
from tests.integration.test_ivr_process import launched
from tests.unit.ivr.utterances import needs_espeak, pcm, silence, utterance

WORDS = Path(__file__).parents[1] / "freeswitch" / "words.yaml"


class Floor:
    """A simulated switch with ivr beside it."""

    def __init__(self, switch: Lab, broker: MemoryBroker, folder: Path, recognisers: Recognisers) -> None:
        self.lab = switch
        self.recognisers = recognisers
        self.broker = broker
        self.sounds = folder / "sounds"
        self.speech = folder / "speech"

    def call(self, entry: str) -> Channel:
        return self.lab.caller(entry)

    def played(self, leg: Channel) -> list[str]:
        """What was played, without what leads to it."""
        paths = [data for app, data, _ in leg.app_log if app == "playback"]
        return [path.split("/words/")[-1].removesuffix(".wav") for path in paths]

    async def knows_english(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Until the recogniser has its model, however busy the machine is."""
        with monkeypatch.context() as patient:
            patient.setattr(understanding, "_ANSWER_S", 60.0)
            assert await self.recognisers.understand("en", b"", ["hello"]) == ""

    async def listens(self, leg: Channel) -> None:
        await self.lab.until(lambda: any("/heard/" in path for path in leg.recorders))

    def say(self, leg: Channel, text: str, *before: Samples) -> None:
        leg.say(pcm(np.concatenate([*before, utterance(text, band=False), silence(0.2)])))

    async def ends(self, leg: Channel) -> None:
        await self.lab.until(lambda: leg.down)
        await self.lab.until(lambda: not list((self.speech / "heard").glob("*")))

    async def steps(self) -> list[str]:
        return [f"{s.flow_node}={s.result}" for s in await self.facts("IvrStepTaken")]

    async def facts(self, kind: str) -> list[Any]:
        """All facts of this type, once the call has ended for ivr."""
        return await told_of_a_whole_call(self.broker, kind)


@pytest.fixture
def more_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(getattr(request, "param", {}))


@pytest.fixture
async def floor(tmp_path: Path, more_settings: dict[str, Any]) -> AsyncIterator[Floor]:
    (tmp_path / "speech").mkdir()
    settings = IvrSettings(
        auth_secret="x" * 32,
        ivr_sounds_dir=str(tmp_path / "sounds"),
        ivr_recordings_dir=str(tmp_path / "rec"),
        ivr_speech_dir=tmp_path / "speech",
        ivr_esl_port=0,
        **more_settings,
    )
    centers = load(WORDS)
    prompts.make(centers, tmp_path / "sounds", espeak="")
    broker = MemoryBroker()
    bus = MemoryBus(broker, source="/ivr/1", clock=SystemClock())
    outbox = Outbox(bus, settings.ivr_outbox_size)
    appending = asyncio.create_task(outbox.run())
    ivr = Ivr(settings, SystemClock(), bus, outbox, centers, WebClient())
    server = OutboundServer("127.0.0.1", 0, ivr.on_session, max_sessions=20, events=EVENTS)
    port = await server.start()
    try:
        async with lab(tmp_path, cc_ivr=f"127.0.0.1:{port}") as switch:
            switch.switch.speech = tmp_path / "speech"
            yield Floor(switch, broker, tmp_path, ivr.recognisers)
    finally:
        await server.stop(0)
        await ivr.stop()
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        await bus.stop()


@needs_espeak
@pytest.mark.slow
async def test_a_word_interrupts_the_prompt_and_leads_where_it_says(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.knows_english(monkeypatch)
    leg = floor.call("3101")
    await floor.listens(leg)
    # The line comes late: after nothing at all its noise, which is no speech.
    floor.say(leg, "speak to somebody", np.zeros(RATE // 2), silence(1, noise=0.003))
    await floor.ends(leg)
    assert floor.played(leg) == ["en/wish", "en/person"]
    assert await floor.steps() == ["wish=said:person", "person=played", "bye-person=person"]
    (wish,) = [s for s in await floor.facts("IvrStepTaken") if s.flow_node == "wish"]
    assert wish.input == "speak to somebody"
    assert leg.var("jitterbuffer_msec") == "60:200", "packets that overtake each other are put in order"


@needs_espeak
@pytest.mark.slow
async def test_questions_are_answered_and_done_is_done(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.knows_english(monkeypatch)
    leg = floor.call("3102")
    await floor.listens(leg)
    floor.say(leg, "delivery time")
    await floor.lab.until(lambda: "en/more" in floor.played(leg))
    leg.press("9")
    await floor.ends(leg)
    assert await floor.steps() == ["ask=said:ask/time", "ask/time=played", "ask/more=digit:9", "bye=answered"]


async def test_a_key_is_as_good_as_a_word(floor: Floor) -> None:
    leg = floor.call("3101")
    await floor.listens(leg)
    leg.press("1")
    await floor.ends(leg)
    assert (await floor.steps())[0] == "wish=digit:1"
    assert not leg.recorders, "nobody listens any more"


@pytest.mark.parametrize("more_settings", [{"ivr_recognisers": ""}], indirect=True)
async def test_without_a_recogniser_it_is_a_menu(floor: Floor) -> None:
    leg = floor.call("3101")
    await floor.lab.until(lambda: "en/wish" in floor.played(leg))
    leg.press("2")
    await floor.ends(leg)
    assert (await floor.steps())[0] == "wish=digit:2"
    assert not any("uuid_record" in str(entry) for entry in leg.app_log)


@needs_espeak
async def test_a_text_is_spoken_and_kept(floor: Floor) -> None:
    for _ in range(2):
        leg = floor.call("3103")
        await floor.ends(leg)
    kept = list((floor.speech / "spoken").rglob("*.wav"))
    assert len(kept) == 1
    assert floor.played(leg) == [str(kept[0].with_suffix(""))]
    assert (await floor.steps())[:2] == ["say=played", "bye=spoken"]


@pytest.mark.parametrize(
    "more_settings",
    [{"ivr_voice": "none"}, {"ivr_voice": "http", "ivr_voice_url": "http://127.0.0.1:9/"}],
    ids=["nobody", "a service that is not there"],
    indirect=True,
)
async def test_a_text_that_cannot_be_spoken_goes_the_failure_edge(floor: Floor) -> None:
    leg = floor.call("3103")
    await floor.ends(leg)
    assert floor.played(leg) == []
    assert await floor.steps() == ["say=missing", "mute=mute"]


@needs_espeak
async def test_a_prompt_that_vanished_is_heard_in_the_next_language_then_spoken(floor: Floor) -> None:
    (floor.sounds / "words" / "en" / "gone.wav").unlink()
    leg = floor.call("3104")
    await floor.ends(leg)
    assert floor.played(leg) == ["en/gone", "fa/gone"]
    assert [(f.language, f.given_up, f.by_voice) for f in await floor.facts("PromptMissed")] == [
        ("en", False, False)
    ]
    (floor.sounds / "words" / "fa" / "gone.wav").unlink()
    floor.lab.switch._file_ms.clear()  # The simulated switch looks at each file once.
    leg = floor.call("3104")
    await floor.ends(leg)
    *tried, spoken = floor.played(leg)
    assert tried == ["en/gone", "fa/gone"]
    assert "/spoken/" in spoken


@pytest.mark.parametrize("more_settings", [{"ivr_voice": "none"}], indirect=True)
async def test_what_cannot_be_heard_at_all_goes_the_failure_edge_at_once(floor: Floor) -> None:
    for language in ("en", "fa"):
        for prompt in ("gone", "menu"):
            (floor.sounds / "words" / language / f"{prompt}.wav").unlink()
    leg = floor.call("3104")
    await floor.ends(leg)
    assert await floor.steps() == ["gone=missing", "unheard=unheard"]
    assert [(f.language, f.given_up, f.by_voice) for f in await floor.facts("PromptMissed")] == [
        ("en", False, False), ("fa", False, False), ("en", True, True),
    ]  # fmt: skip
    leg = floor.call("3105")
    await floor.ends(leg)
    assert (await floor.steps())[2:] == ["menu=missing", "unheard=unheard"]


@pytest.mark.parametrize("more_settings", [{"ivr_voice": "none"}], indirect=True)
async def test_a_number_of_which_one_part_is_missing_is_not_read_out_with_a_hole(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.sentences._THERE_S", 0.0)
    digits = {language: floor.sounds / "words" / language / "digits" for language in ("en", "fa")}

    async def call() -> list[list[str]]:
        floor.lab.switch._file_ms.clear()  # The simulated switch looks at each file once.
        leg = floor.call("3106")
        await floor.ends(leg)
        paths = [data for app, data, _ in leg.app_log if app == "playback"]
        return [
            [part.split("/words/")[-1].removesuffix(".wav") for part in path.split("!")] for path in paths
        ]

    assert await call() == [["en/digits/4", "en/digits/7", "en/digits/1", "en/digits/1"]]
    (digits["en"] / "7.wav").unlink()
    assert await call() == [["fa/digits/4", "fa/digits/7", "fa/digits/1", "fa/digits/1"]]
    assert [(f.prompt, f.language, f.given_up) for f in await floor.facts("PromptMissed")] == [
        ("digits", "en", False)
    ]
    (digits["fa"] / "1.wav").unlink()
    assert await call() == []
    assert (await floor.steps())[-2:] == ["say=missing", "unsaid=unsaid"]


@pytest.mark.slow
@pytest.mark.parametrize("who", ["fax", "flood"])
async def test_whoever_cannot_be_served_reaches_a_named_end(
    floor: Floor, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.knows_english(monkeypatch)
    leg = floor.call("3101")
    await floor.listens(leg)
    if who == "fax":  # The tone of a calling machine (ITU-T T.30): half a second in three and a half.
        at = np.arange(4_000) / 8_000
        leg.say(pcm(np.tile(np.concatenate([0.5 * np.sin(2 * np.pi * 1100 * at), silence(3)]), 20)))
        (heard,) = (Path(path) for path in leg.recorders if "/heard/" in path)
        await floor.lab.until(lambda: heard.stat().st_size > 5 * RATE * 2)
        assert floor.played(leg) == ["en/wish"], "a tone is no speech"
    await floor.lab.until(lambda: leg.down or bool(leg.press("7")))
    await floor.ends(leg)
    assert (await floor.steps())[-1] == "nobody=nobody"
    assert [e.outcome for e in await floor.facts("IvrEnded")] == ["finished"]


async def test_what_was_said_to_a_process_that_was_killed_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next start what is old, and later, without any call, what was not old then."""
    clock = ManualClock()
    old, new = tmp_path / "heard" / "a.1.wav", tmp_path / "heard" / "b.1.wav"
    old.parent.mkdir()
    for file, age_s in ((old, 3_600), (new, 60)):
        file.write_bytes(b"words")
        then = clock.now_us() / 1e6 - age_s
        os.utime(file, (then, then))
    speech = SpeechOfProcess(IvrSettings(auth_secret="x" * 32, ivr_speech_dir=tmp_path), clock)
    assert [file.name for file in old.parent.iterdir()] == ["b.1.wav"]
    monkeypatch.setattr("services.ivr.adapters.speech._FORGET_EVERY_S", 0.01)
    forgetting = asyncio.create_task(speech.keep_forgetting())
    clock.advance_ms(600_000)
    async with asyncio.timeout(10):
        while new.exists():
            await asyncio.sleep(0.01)
    forgetting.cancel()
    await asyncio.gather(forgetting, return_exceptions=True)
    await speech.stop()


async def test_an_ivr_that_is_killed_while_it_listens_leaves_a_caller_who_waits(tmp_path: Path) -> None:
    """The dialplan ends what FreeSWITCH wrote for ivr, and nothing that anybody else records."""
    prompts.make(load(WORDS), tmp_path / "sounds", espeak="")
    env = {
        "PEYVAND_CENTERS": str(WORDS),
        "PEYVAND_IVR_SOUNDS_DIR": str(tmp_path / "sounds"),
        "PEYVAND_IVR_SPEECH_DIR": str(tmp_path / "speech"),
    }
    (tmp_path / "speech").mkdir()
    async with (
        launched("nats://127.0.0.1:9", **env) as ivr,
        lab(tmp_path, cc_ivr=f"127.0.0.1:{ivr.esl_port}") as switch,
    ):
        switch.switch.speech = tmp_path / "speech"
        leg = switch.caller("3101")
        await switch.until(lambda: any("/heard/" in path for path in leg.recorders))
        (path,) = leg.recorders
        client = await switch.client()
        others = f"{tmp_path}/rec/{leg.uuid}.others.wav"
        assert "+OK" in await client.api(f"uuid_record {leg.uuid} start {others}")
        ivr.child.kill()
        await ivr.child.communicate()  # until its recogniser has gone with it: that writes there, too
        await switch.until(lambda: leg.app_log[-1][:2] == ("playback", "local_stream://moh"))
        assert (leg.var("cc_state"), leg.answered, leg.down) == ("waiting", True, False)
        leg.press("1")
        assert list(leg.recorders) == [others], "what the caller says now is nobody's any more"
        assert Path(path).parent == tmp_path / "speech" / "heard"
        assert "+OK" in await client.api(f"uuid_record {leg.uuid} start {tmp_path}/rec/{leg.uuid}.wav")
        assert len(leg.recorders) == 2, "the conversation is recorded all the same"
        assert leg.app_log[-1][:2] == ("playback", "local_stream://moh"), "the key was nobody's"
        leg.end("NORMAL_CLEARING", by="caller")
        await switch.until(lambda: leg.down and not leg.recorders)
        assert list((tmp_path / "speech" / "heard").iterdir()) == [Path(path)], (
            "left for the next ivr to remove"
        )


async def test_a_caller_who_hangs_up_while_being_listened_to_leaves_nothing(floor: Floor) -> None:
    leg = floor.call("3101")
    await floor.listens(leg)
    leg.end("NORMAL_CLEARING", by="caller")
    await floor.ends(leg)
    assert (await floor.steps())[-1] == "wish=hung_up"
