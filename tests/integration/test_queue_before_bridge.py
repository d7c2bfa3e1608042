"""What is said before a bridge on a simulated switch: both hear it at the same time, and nothing keeps them apart."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.center import CenterSet
from services.center.waiting import BeforeBridge, Whisper
from services.common.bus import codec
from services.common.esl import GeventHub
from services.contracts.peyvand.queue.v1 import events_pb2
from services.queue.adapters import centers
from tests.integration.simswitch_kit import Phone
from tests.integration.test_queue_node import Floor, floor

PROMPTS = ("prompts/fa/queue-billing.wav", "prompts/fa/connecting.wav")


@pytest.fixture
async def hub() -> AsyncIterator[GeventHub]:
    hub = GeventHub()
    hub.start()
    yield hub
    hub.stop()


def told(f: Floor, sounds: Path, most_s: int = 10) -> None:
    """The queue of the test says something before a bridge."""
    before = BeforeBridge(
        whisper=Whisper(name="queue-billing", wait=True, why=True), caller="connecting", most_s=most_s
    )
    center = f.watch.current.tenant("demo")
    assert center is not None
    queues = {name: q.model_copy(update={"before_bridge": before}) for name, q in center.queues.items()}
    revised = replace(f.watch.current, centers=(center.model_copy(update={"queues": queues}),))
    assert isinstance(revised, CenterSet)
    f.runner.revise(centers.plans_of(revised, str(sounds)))


def silence(sounds: Path, name: str, ms: int) -> None:
    """A prompt that plays so long."""
    file = sounds / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(16 * ms))


def outcomes(f: Floor) -> tuple[list[str], list[str]]:
    """How whispers and announcements ended."""
    whispers = [codec.decode(e) for e in f.facts("whispered")]
    treated = [codec.decode(e) for e in f.facts("treated")]
    return (
        [w.outcome for w in whispers if isinstance(w, events_pb2.WhisperPlayed)],
        [t.outcome for t in treated if isinstance(t, events_pb2.TreatmentPlayed) and t.what == "connecting"],
    )


async def test_the_bridge_comes_when_both_have_heard_it(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        sounds = tmp_path / "sounds"
        for name, ms in zip(PROMPTS, (600, 300), strict=True):
            silence(sounds, name, ms)
        told(f, sounds)
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        bridged = codec.decode(await f.fact("bridged"))
        assert isinstance(bridged, events_pb2.AgentBridged)
        assert outcomes(f) == (["played"], ["played"])
        whisper = codec.decode(await f.fact("whispered"))
        assert isinstance(whisper, events_pb2.WhisperPlayed)
        assert (list(whisper.said), whisper.agent_id, whisper.language) == (["queue"], "sara", "fa")
        assert whisper.played_ms >= 590
        caller, agent = f.sw.switch.channels[contact], phone.legs[0]
        await f.until(lambda: caller.partner is agent and agent.partner is caller)
        assert caller.displaces == {}
        assert caller.var("cc_step") == ""


async def test_prompts_that_are_not_there_keep_nobody_apart(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        told(f, tmp_path / "nothing")
        f.sw.switch.register("1001", Phone("answer"))
        contact = await f.call()
        await f.offer(contact)
        await f.fact("bridged")
        assert outcomes(f) == (["missing"], ["missing"])


async def test_after_its_time_the_bridge_comes_and_nothing_is_heard_in_it(
    tmp_path: Path, hub: GeventHub
) -> None:
    async with floor(tmp_path, hub) as f:
        for name in PROMPTS:
            silence(tmp_path, name, 60_000)
        told(f, tmp_path, most_s=2)
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.fact("bridged")
        assert outcomes(f) == (["cut"], ["cut"])
        caller = f.sw.switch.channels[contact]
        assert caller.displaces == {}
        assert caller.partner is phone.legs[0]


async def test_a_caller_who_leaves_meanwhile_frees_the_agent(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        for name in PROMPTS:
            silence(tmp_path, name, 60_000)
        silence(tmp_path, "prompts/fa/caller-left.wav", 200)
        told(f, tmp_path)
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        caller = f.sw.switch.channels[contact]
        await f.until(lambda: bool(phone.legs) and phone.legs[0].var("current_application") == "playback")
        caller.end("NORMAL_CLEARING", by="caller")
        gone = codec.decode(await f.fact("gone"))
        assert isinstance(gone, events_pb2.ContactGone)
        assert gone.state == "offered"
        await f.until(lambda: not f.sw.switch.channels)
        assert phone.legs[0].var("current_application_data") == "NORMAL_CLEARING", (
            "told before it was hung up"
        )
        assert outcomes(f)[0] == ["cut"]


async def test_the_process_dies_meanwhile_and_the_next_owner_makes_the_bridge(
    tmp_path: Path, hub: GeventHub
) -> None:
    async with floor(tmp_path, hub) as f:
        for name in PROMPTS:
            silence(tmp_path, name, 60_000)
        told(f, tmp_path)
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        caller = f.sw.switch.channels[contact]
        await f.until(lambda: bool(phone.legs) and phone.legs[0].var("current_application") == "playback")
        await f.die()
        f.runner = f.make_runner()
        told(f, tmp_path)
        f.own()
        await f.until(lambda: caller.partner is phone.legs[0])
        await f.fact("bridged")
        assert caller.displaces == {}
        assert f.facts("whispered") == []
