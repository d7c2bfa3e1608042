"""A survey on the simulated switch, with ivr and queue beside it: the agent hangs up, the caller answers, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.center import load
from services.common.bus import Envelope, Outgoing, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import GeventHub, OutboundServer
from services.common.ids import new_id
from services.common.webclient import WebClient
from services.contracts.peyvand.ivr.v1.events_pb2 import SurveyAnswered, SurveyEnded
from services.contracts.peyvand.routing.v1 import log_pb2
from services.ivr.adapters.outbox import Outbox
from services.ivr.app import EVENTS, Ivr
from services.ivr.config import IvrSettings
from services.simswitch.channel import Channel
from tests.integration.simswitch_kit import Lab, Phone, lab
from tests.integration.test_queue_node import Floor

FRONT = Path(__file__).parents[1] / "freeswitch" / "front.yaml"


class Desk(Floor):
    """The node of the queue service, for the tenant ``front``."""

    def facts(self, what: str) -> list[Envelope]:
        return self.broker.entries(subjects.fact("front", "queue", "contact", what))

    def surveyed(self, what: str) -> list[Any]:
        """What ivr has told of surveys."""
        return [codec.decode(e) for e in self.broker.entries(subjects.fact("front", "ivr", "contact", what))]

    async def talks(self, phone: Phone) -> tuple[Channel, Channel]:
        """A caller and the agent in a conversation."""
        self.sw.switch.register("1053", phone)
        leg = self.sw.caller("3007")
        await self.fact("waiting")
        made = log_pb2.OfferMade(
            offer_id=new_id(), contact_id=leg.uuid, agent_id="pia", extension="1053", queue="asked", node="fs1", ring_ms=9_000,
        )  # fmt: skip
        entry = log_pb2.Decided(epoch=1, at_us=SystemClock().now_us(), facts=[log_pb2.Fact(offer_made=made)])
        await self.bus.append(Outgoing(subjects.log("front"), entry, new_id(), "front"))
        await self.fact("bridged")
        return leg, phone.legs[0]

    async def plays(self, leg: Channel, prompt: str) -> None:
        await self.until(lambda: any(prompt in data for app, data, _ in leg.app_log if app == "playback"))


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncIterator[tuple[Desk, OutboundServer]]:
    settings = IvrSettings(
        auth_secret="x" * 32,
        ivr_sounds_dir=str(tmp_path / "sounds"),
        ivr_recordings_dir=str(tmp_path / "rec"),
        ivr_esl_port=0,
    )
    broker = MemoryBroker(SystemClock())
    bus = MemoryBus(broker, source="/ivr/1", clock=SystemClock())
    outbox = Outbox(bus, settings.ivr_outbox_size)
    appending = asyncio.create_task(outbox.run())
    ivr = Ivr(settings, SystemClock(), bus, outbox, load(FRONT), WebClient())
    hub = GeventHub()
    hub.start()
    server = OutboundServer("127.0.0.1", 0, ivr.on_session, max_sessions=20, events=EVENTS)
    port = await server.start()
    made: Desk | None = None
    try:
        async with lab(tmp_path, cc_ivr=f"127.0.0.1:{port}") as switch:
            switch.switch._missing_file_ms = 300  # every prompt is there, and short
            made = await owned(switch, broker, hub)
            yield made, server
            await made.die()
    finally:
        await server.stop(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        if made is not None:
            await made.bus.stop()
        await bus.stop()
        hub.stop()


async def owned(switch: Lab, broker: MemoryBroker, hub: GeventHub) -> Desk:
    made = Desk(switch, broker, hub, FRONT)
    made.own()
    await made.until(lambda: made.parts.get("switch:fs1", False))
    return made


async def test_the_caller_is_asked_when_the_agent_has_hung_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as (floor, _):
        phone = Phone("answer")
        leg, agent = await floor.talks(phone)
        agent.end("NORMAL_CLEARING", by="agent")
        await floor.plays(leg, "/en/rate.wav")
        assert len(floor.facts("ended")) == 1, "the agent writes up"
        assert floor.facts("gone") == []
        leg.press("4")
        await floor.plays(leg, "/en/rate-ten.wav")
        leg.press("9")
        await floor.until(lambda: any(app == "record" for app, _, _ in leg.app_log))
        await asyncio.sleep(1.0)  # what is said: the simulated caller speaks all the time
        leg.press("#")
        await floor.until(lambda: bool(floor.surveyed("surveyed")))
        answers = floor.surveyed("answered")
        assert all(isinstance(a, SurveyAnswered) for a in answers)
        assert [(a.question, a.kind, a.score, a.agent_id, a.queue) for a in answers] == [
            ("csat", "score", 4, "pia", "asked"),
            ("nps", "score", 9, "pia", "asked"),
            ("why", "comment", 0, "pia", "asked"),
        ]
        assert answers[2].recording_path.endswith(f"/{leg.uuid}.comment.why.wav")
        (over,) = floor.surveyed("surveyed")
        assert isinstance(over, SurveyEnded)
        assert (over.outcome, over.answers, over.offer_id) == ("finished", 3, answers[0].offer_id)
        await floor.until(lambda: leg.down)
        assert leg.hangup_cause == "NORMAL_CLEARING"
        await floor.fact("gone")
        assert len(floor.surveyed("started")) == 1, "the contact has begun once"
        assert floor.surveyed("ended") == [], "and ended with routing"


@pytest.mark.parametrize("who", ["ivr", "queue"])
async def test_whoever_dies_in_a_survey_leaves_a_caller_who_comes_to_an_end(tmp_path: Path, who: str) -> None:
    async with desk(tmp_path) as (floor, server):
        leg, agent = await floor.talks(Phone("answer"))
        agent.end("NORMAL_CLEARING", by="agent")
        await floor.plays(leg, "/en/rate.wav")
        if who == "ivr":
            await server.stop(0)
            await floor.until(lambda: leg.down)
            assert leg.hangup_cause == "NORMAL_CLEARING"
            return
        await floor.die()
        floor.runner = floor.make_runner()
        floor.own()
        await floor.until(lambda: leg.uuid in {call.contact for call in floor.runner.calls()})
        assert not leg.down, "the caller goes on answering"
        leg.press("3")
        await floor.plays(leg, "/en/rate-ten.wav")
        leg.end("NORMAL_CLEARING", by="caller")
        await floor.fact("gone")
        assert [a.question for a in floor.surveyed("answered")] == ["csat"]
