"""Calls to numbers outside on a simulated switch, with ivr, routing and queue over it: by click, dialled on a phone, and out of a flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from services.center import CenterWatch
from services.common.bus import codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import GeventHub, OutboundServer, SwitchAddress
from services.common.webclient import WebClient
from services.contracts.peyvand.queue.v1 import trunks_pb2
from services.ivr.adapters.channel import Leg
from services.ivr.adapters.outbox import Outbox
from services.ivr.adapters.trunks import Trunks
from services.ivr.app import EVENTS, Ivr
from services.ivr.config import IvrSettings
from services.queue.adapters import centers, switch
from services.queue.app import client_factory
from services.queue.runner import NodeRunner
from services.routing.adapters.centers import center_of
from services.routing.adapters.phones import PhoneWatch
from services.routing.core import facts as f
from services.routing.core.center import Policy
from services.simswitch.channel import Channel
from tests.integration.routing_kit import Outside, owning
from tests.integration.simswitch_kit import Lab, Phone, lab
from tests.integration.test_queue_node import CENTERS, WAIT_S, Held

NUMBER = "02122223333"


class House:
    """One node, its services, Sara's phone (1001) and whoever is at the end of the trunk."""

    def __init__(self, lab: Lab, broker: MemoryBroker, outside: Outside, watch: CenterWatch) -> None:
        self.lab, self.broker, self.outside, self.watch = lab, broker, outside, watch
        self.phone, self.customer = Phone(), Phone()
        self.start: Callable[[], NodeRunner]
        self.runner: NodeRunner

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def state(self, wanted: str) -> str:
        """Until the node's one contact is in a state; returns it."""
        await self.until(lambda: [c.state for c in self.runner.calls()] == [wanted])
        return self.runner.calls()[0].contact

    def dial(self, number: str) -> Channel:
        return self.lab.switch.place_call(
            context="agents", destination=number, caller_number="1001", caller_name="Sara", user_name="1001"
        )

    def told(self, what: str) -> list[object]:
        entries = self.broker.entries(subjects.fact("demo", "queue", "trunk", what))
        return [codec.decode(entry) for entry in entries]

    async def flow_calls(self, leg: Channel) -> str:
        """What ivr bridges a caller to; empty when there is no line."""
        center = self.watch.current.tenant("demo")
        assert center is not None
        asks = Trunks(self.outside.bus, "sofia/gateway/trunk/{number}", 30)
        return await asks.bridge_argument(center, Leg(leg.uuid, "fs1", "1000", "0912", "", ""), NUMBER)


@asynccontextmanager
async def house(tmp_path: Path, *, channels: int = 60) -> AsyncIterator[House]:
    documents = tmp_path / "centers"
    documents.mkdir()
    text = (CENTERS / "demo.yaml").read_text(encoding="utf-8")
    (documents / "demo.yaml").write_text(
        text.replace("\n    channels: 60 ", f"\n    channels: {channels} "), encoding="utf-8"
    )
    watch = CenterWatch(documents)
    broker = MemoryBroker(SystemClock())
    hub = GeventHub()
    hub.start()
    async with AsyncExitStack() as stack:
        stack.callback(hub.stop)

        def bus() -> MemoryBus:
            made = MemoryBus(broker, clock=SystemClock())
            stack.push_async_callback(made.stop)
            return made

        settings = IvrSettings(auth_secret="x" * 32, ivr_sounds_dir="/sounds", ivr_esl_port=0)
        outbox = Outbox(bus(), settings.ivr_outbox_size)
        stack.push_async_callback(_ended, asyncio.create_task(outbox.run()))
        ivr = Ivr(settings, SystemClock(), bus(), outbox, watch.current, WebClient())
        server = OutboundServer("127.0.0.1", 0, ivr.on_session, max_sessions=20, events=EVENTS)
        port = await server.start()
        stack.push_async_callback(server.stop, 0)
        sw = await stack.enter_async_context(lab(tmp_path, cc_ivr=f"127.0.0.1:{port}"))
        address = SwitchAddress("fs1", "127.0.0.1", sw.socket.port, "ClueCon")
        rules = center_of(watch.current.centers[0])
        owner = await stack.enter_async_context(
            owning(bus(), "demo", policy=Policy(nodes=("fs1",)), rules=rules)
        )
        phones = PhoneWatch(hub, [address], owner.tell, lambda *_: None, 3.0)
        await phones.start()
        stack.push_async_callback(phones.stop)
        made = House(sw, broker, Outside(bus(), "demo"), watch)
        ready = asyncio.Event()

        def start() -> NodeRunner:
            runner = NodeRunner(
                "fs1",
                bus=bus(),
                clock=SystemClock(),
                make_client=client_factory(hub, address),
                dialing=switch.Dialing(
                    agent_dial="user/{extension}@{domain}",
                    sip_domain="peyvand.local",
                    transfer_dial="sofia/gateway/trunk/{number}",
                    recordings_dir=str(sw.switch.recordings),
                ),
                plans=centers.plans_of(watch.current, "/sounds"),
                spoken=lambda *_: ("", 0),
                ready=lambda _, ok, __: ready.set() if ok else ready.clear(),
            )
            stack.push_async_callback(_ended, asyncio.create_task(runner.own(Held())))
            return runner

        made.start = start
        made.runner = start()
        await asyncio.wait_for(ready.wait(), WAIT_S)
        sw.switch.register("1001", made.phone)
        sw.switch.phones["gateway"] = made.customer
        await made.outside.until(f.AgentPhoneChanged)
        await made.outside.wish("sara", "available")
        yield made


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_click_rings_the_agent_and_then_the_number_and_is_the_agents_contact(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.outside.place_call("sara", NUMBER)
        contact = await h.state("talking")
        (agent,), (customer,) = h.phone.legs, h.customer.legs
        assert agent.profile.times.answered < customer.profile.times.created
        assert customer.uuid == contact
        shown = customer.var("origination_caller_id_number")
        assert (customer.var("cc_trunk"), shown) == ("carrier", "02191000000")
        (connected,) = await h.outside.until(f.ContactConnected)
        assert (connected.agent_id, connected.contact_id) == ("sara", contact)
        assert await h.outside.facts(f.AgentOwnCallChanged) == [], "it is no call of her own"
        customer.end("NORMAL_CLEARING", by="caller")
        (closed,) = await h.outside.until(f.ContactClosed)
        assert closed.result == "answered"
        await h.until(lambda: not h.lab.switch.channels or agent.down)


async def test_a_number_dialled_on_the_phone_is_the_same_contact_with_the_same_leg(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        leg = h.dial(NUMBER)
        contact = await h.state("talking")
        assert h.phone.legs == [], "the phone is not rung: it has dialled"
        (customer,) = h.customer.legs
        assert customer.partner is leg
        assert customer.uuid == contact
        (offer,) = await h.outside.until(f.OfferMade)
        assert (offer.kind, offer.agent_leg) == ("outbound", leg.uuid)
        leg.end("NORMAL_CLEARING", by="agent")
        (closed,) = await h.outside.until(f.ContactClosed)
        assert (closed.result, closed.agent_id) == ("answered", "sara")
        await h.until(lambda: customer.down)


async def test_a_busy_number_and_a_forbidden_one_end_without_a_conversation(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.customer.does = "busy"
        leg = h.dial(NUMBER)
        (closed,) = await h.outside.until(f.ContactClosed)
        assert (closed.result, closed.cause) == ("not_reached", "busy")
        await h.until(lambda: leg.down)
        forbidden = h.dial("00493012345")
        await h.until(lambda: forbidden.down)
        assert any("number-forbidden" in data for app, data, _ in forbidden.app_log if app == "playback")
        (refused,) = await h.outside.until(f.CallRefused)
        assert (refused.agent_id, refused.reason) == ("sara", "number-forbidden")
        assert len(h.customer.legs) == 1


async def test_a_killed_queue_finds_the_agents_call_and_its_trunk_again(tmp_path: Path) -> None:
    async with house(tmp_path, channels=1) as h:
        leg = h.dial(NUMBER)
        contact = await h.state("talking")
        runner = h.runner
        # A process that is gone says nothing: its client is closed, its engine forgotten.
        await runner._let_go()
        h.runner = h.start()
        assert await h.state("talking") == contact
        assert not leg.down
        other = h.lab.caller("1000")
        assert await h.flow_calls(other) == "", "the trunk's one channel is in use"
        leg.end("NORMAL_CLEARING", by="agent")
        await h.outside.until(f.ContactClosed)


async def test_a_flow_asks_for_a_line_and_the_next_caller_hears_that_there_is_none(tmp_path: Path) -> None:
    async with house(tmp_path, channels=1) as h:
        client = await h.lab.client()
        first, second = h.lab.caller("1000"), h.lab.caller("1000")
        argument = await h.flow_calls(first)
        assert "cc_trunk=carrier" in argument
        assert await h.flow_calls(second) == "", "counted from the decision, before there is a leg"
        await client.api(f"uuid_transfer {first.uuid} 'm:^:bridge:{argument}' inline")
        await h.until(lambda: first.partner is not None)
        assert await h.flow_calls(second) == ""
        full, *_ = h.told("full")
        assert isinstance(full, trunks_pb2.TrunkFull)
        assert (full.trunk, full.channels, full.purpose) == ("carrier", 1, "flow")
        first.end("NORMAL_CLEARING", by="caller")
        await h.until(lambda: h.customer.legs[0].down)
        async with asyncio.timeout(WAIT_S):
            while not await h.flow_calls(second):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("seen", [True, False])
async def test_a_line_that_was_promised_and_not_used_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """The caller hangs up between the answer and the bridge, or the bridge fails at once."""
    monkeypatch.setattr("services.queue.core.lines.UNSEEN_MS", 200)
    async with house(tmp_path, channels=1) as h:
        first, second = h.lab.caller("1000"), h.lab.caller("1000")
        assert await h.flow_calls(first)
        if seen:
            first.end("NORMAL_CLEARING", by="caller")
        async with asyncio.timeout(WAIT_S):
            while not await h.flow_calls(second):
                await asyncio.sleep(0.05)
