"""An agent at a number outside on a simulated switch: the carrier answers, and only a key makes it the agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.bus import codec
from services.common.esl import GeventHub
from services.contracts.peyvand.queue.v1 import events_pb2
from services.contracts.peyvand.routing.v1 import log_pb2
from tests.integration.simswitch_kit import Phone
from tests.integration.test_queue_node import Floor, floor

NUMBER = "09121234567"


@pytest.fixture
async def hub() -> AsyncIterator[GeventHub]:
    hub = GeventHub()
    hub.start()
    yield hub
    hub.stop()


async def orders(f: Floor, contact: str) -> None:
    made = log_pb2.OfferMade(
        offer_id="o1", contact_id=contact, agent_id="sara", extension="1001", queue="support", node="fs1", ring_ms=15_000,
        agent_number=NUMBER, confirm=True,
    )  # fmt: skip
    await f.decide(log_pb2.Fact(offer_made=made))


async def test_the_key_brings_the_two_together_after_a_takeover_too(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        desk, mobile = Phone("answer"), Phone("answer")
        f.sw.switch.register("1001", desk)
        f.sw.switch.phones["gateway"] = mobile
        contact = await f.call()
        await orders(f, contact)
        await f.until(lambda: bool(mobile.legs) and mobile.legs[0].answered)
        leg = mobile.legs[0]
        await f.die()
        assert f.facts("answered") == [], "an answer outside is none without the key"
        f.runner = f.make_runner()
        f.own()

        def bridged() -> bool:
            if not f.facts("bridged"):
                leg.press("1")  # Somebody who listens to nothing.
            return bool(f.facts("bridged"))

        await f.until(bridged)
        assert leg.variables["cc_confirmed"] == "1"
        assert (len(mobile.legs), desk.legs) == (1, [])
        assert len(f.facts("answered")) == 1
        assert f.facts("failed") == []


async def test_a_mobile_that_hangs_up_without_the_key_is_no_answer(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        mobile = f.sw.switch.phones["gateway"] = Phone("answer")
        contact = await f.call()
        await orders(f, contact)
        await f.until(lambda: bool(mobile.legs) and mobile.legs[0].answered)
        mobile.legs[0].press("9")
        mobile.legs[0].end("NORMAL_CLEARING", by="agent")
        failed = codec.decode(await f.fact("failed"))
        assert isinstance(failed, events_pb2.OfferFailed)
        assert (failed.outcome, failed.cause) == ("no_answer", "NOT_CONFIRMED")
        assert f.facts("answered") == []
        assert f.sw.switch.channels[contact].answered, "the caller waits on"
