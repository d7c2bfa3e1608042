"""Calling a customer back on a simulated switch, over the real event socket client: the commands of the core as FreeSWITCH takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.bus import codec, subjects
from services.common.clock import SystemClock
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


async def orders(f: Floor, first: str) -> None:
    """Routing reserves sara for a callback of the demo center's sales."""
    made = log_pb2.OfferMade(
        offer_id="o1", contact_id="c1-cb1", agent_id="sara", extension="1001", queue="sales", node="fs1", ring_ms=15_000,
        kind="callback", callback_id="c1", number=NUMBER, first=first, dial_ms=45_000, language="fa", entry_point="1000",
        waiting_since_us=SystemClock().now_us() - 300_000_000,
    )  # fmt: skip
    await f.decide(log_pb2.Fact(offer_made=made))


def attempts(f: Floor) -> list[str]:
    found = [
        codec.decode(e) for e in f.broker.entries(subjects.fact("demo", "queue", "callback", "attempted"))
    ]
    return [message.outcome for message in found if isinstance(message, events_pb2.CallbackAttempted)]


@pytest.mark.parametrize("first", ["customer", "agent"])
async def test_a_customer_is_called_confirms_and_talks(tmp_path: Path, hub: GeventHub, first: str) -> None:
    async with floor(tmp_path, hub) as f:
        customer, agent = Phone("answer"), Phone("answer")
        f.sw.switch.phones["gateway"] = customer
        f.sw.switch.register("1001", agent)
        await orders(f, first)
        await f.until(lambda: bool(customer.legs))
        leg = customer.legs[0]
        assert leg.uuid == "c1-cb1"
        assert bool(agent.legs) is (first == "agent"), "who is called first"
        await f.until(lambda: leg.answered)

        def confirmed() -> bool:
            if not f.facts("waiting"):
                leg.press("1")  # A customer who listens to nothing.
            return bool(f.facts("waiting"))

        await f.until(confirmed)
        bridged = codec.decode(await f.fact("bridged"))
        assert isinstance(bridged, events_pb2.AgentBridged)
        assert (bridged.contact_id, bridged.offer_id) == ("c1-cb1", "o1")
        assert len(agent.legs) == 1
        waiting = codec.decode(await f.fact("waiting"))
        assert isinstance(waiting, events_pb2.ContactWaiting)
        assert (waiting.contact_id, waiting.callback_id, waiting.queue) == ("c1-cb1", "c1", "sales")
        assert attempts(f) == []


@pytest.mark.parametrize(("does", "outcome"), [("busy", "busy"), ("decline", "declined")])
async def test_a_customer_who_is_not_reached(tmp_path: Path, hub: GeventHub, does: str, outcome: str) -> None:
    async with floor(tmp_path, hub) as f:
        f.sw.switch.phones["gateway"] = Phone(does)
        await orders(f, "customer")
        await f.until(lambda: bool(attempts(f)))
        assert attempts(f) == [outcome]
        await f.until(lambda: not f.sw.switch.channels)


async def test_a_trunk_that_is_down_is_said(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        f.sw.switch.gateways["trunk"].up = False
        await orders(f, "customer")
        await f.until(lambda: bool(attempts(f)))
        assert attempts(f) == ["unreachable"]
