"""Two simulated nodes with the queue service and routing over them: an agent of one takes a call of the other; a node is emptied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.center import CenterWatch
from services.common import auth
from services.common.bus import codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import GeventHub, SwitchAddress
from services.common.http import Readiness, make_app
from services.contracts.peyvand.queue.v1 import events_pb2, rpc_pb2
from services.queue.adapters import centers, switch
from services.queue.app import client_factory
from services.queue.core import moves
from services.queue.runner import NodeRunner
from services.queue.supervision_api import build_supervision_router
from services.routing.adapters.phones import PhoneWatch
from services.routing.core import facts as f
from services.routing.core.center import Policy
from services.simswitch.channel import Channel
from services.simswitch.party import Party
from services.simswitch.relay import FIRST_PORT, FIRST_TRUNK, connect
from tests.integration.routing_kit import Outside, owning
from tests.integration.simswitch_kit import Lab, Phone, lab
from tests.integration.test_queue_node import CENTERS, SECRET, WAIT_S, Held

NODES = ("fs1", "fs2")


class Carrier(Party):
    """A carrier's side of a call: follows a REFER, or refuses it."""

    def __init__(self, to: Lab, *, follows: bool) -> None:
        self.to = to
        self.follows = follows
        self.brought: Channel | None = None

    def on_taken_over(self, leg: Channel) -> bool:
        return self.follows

    def on_moved(self, former: Channel, leg: Channel) -> None:
        self.brought = leg

    def on_refer(self, leg: Channel, uri: str) -> int:
        if not self.follows:
            return 405
        user, _, address = uri.removeprefix("sip:").partition("@")
        assert leg.switch.carrier[address] is self.to.switch
        self.brought = self.to.caller(user)
        return 202


class Two:
    """Both nodes with their owners; routing knows their phones."""

    def __init__(self, labs: dict[str, Lab], broker: MemoryBroker, outside: Outside) -> None:
        self.labs, self.broker, self.outside = labs, broker, outside
        self.watch = CenterWatch(CENTERS)
        self.runners: dict[str, NodeRunner] = {}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def call(self, node: str, party: Party | None = None) -> Channel:
        """A caller waits on a node."""
        leg = self.labs[node].switch.place_call(
            context="public", destination="1000", caller_number="0912", caller_name="Ali", party=party
        )
        await self.until(lambda: bool(self.state(node, leg.uuid)))
        return leg

    def state(self, node: str, contact: str) -> str:
        found = self.runners[node].call(contact)
        return found.state if found is not None else ""

    async def drain(self, node: str, verb: str = "drain") -> rpc_pb2.NodeStatus:
        answer = codec.decode(
            await self.outside.bus.request(
                subjects.rpc("demo", "queue", node, verb), rpc_pb2.NodeWish(actor="root"), timeout_s=10
            )
        )
        assert isinstance(answer, rpc_pb2.NodeStatus)
        return answer


@asynccontextmanager
async def two(tmp_path: Path, *, refers: bool = False) -> AsyncIterator[Two]:
    """``refers``: callers are moved by REFER, and not by taking over their lines."""
    broker = MemoryBroker(SystemClock())
    hub = GeventHub()
    hub.start()
    async with AsyncExitStack() as stack:
        stack.callback(hub.stop)
        labs = {n: await stack.enter_async_context(lab(tmp_path / n, name=n)) for n in NODES}
        connect([labs[n].switch for n in NODES])
        addresses = {n: SwitchAddress(n, "127.0.0.1", labs[n].socket.port, "ClueCon") for n in NODES}

        def bus() -> MemoryBus:
            made = MemoryBus(broker, clock=SystemClock())
            stack.push_async_callback(made.stop)
            return made

        owner = await stack.enter_async_context(owning(bus(), "demo", policy=Policy(nodes=NODES)))
        phones = PhoneWatch(hub, list(addresses.values()), owner.tell, lambda *_: None, 3.0)
        await phones.start()
        stack.push_async_callback(phones.stop)
        made = Two(labs, broker, Outside(bus(), "demo"))
        up: set[str] = set()
        for name in NODES:
            runner = made.runners[name] = NodeRunner(
                name,
                bus=bus(),
                clock=SystemClock(),
                make_client=client_factory(hub, addresses[name]),
                dialing=switch.Dialing(
                    agent_dial="user/{extension}@{domain}",
                    sip_domain="peyvand.local",
                    transfer_dial="sofia/gateway/trunk/{number}",
                    recordings_dir=str(labs[name].switch.recordings),
                    nodes={n: f"127.0.0.1:{FIRST_PORT + i}" for i, n in enumerate(NODES)},
                ),
                plans=centers.plans_of(made.watch.current, "/sounds"),
                spoken=lambda *_: ("", 0),
                ready=lambda part, ok, _: up.add(part) if ok else up.discard(part),
                refer={n: f"127.0.0.1:{FIRST_TRUNK + i}" for i, n in enumerate(NODES)} if refers else None,
                peers=NODES,
            )
            task = asyncio.create_task(runner.own(Held(f"queue-{name}")))
            stack.push_async_callback(_ended, task)
        await made.until(lambda: up == {f"switch:{n}" for n in NODES})
        yield made


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_agent_of_one_node_takes_the_call_of_another_whose_death_brings_the_caller_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "NODE_GONE_MS", 300)
    async with two(tmp_path) as t:
        phone = Phone()
        t.labs["fs2"].switch.register("1001", phone)
        await t.outside.until(f.AgentPhoneChanged)
        await t.outside.wish("sara", "available")
        leg = await t.call("fs1")
        await t.until(lambda: t.state("fs1", leg.uuid) == "talking")
        (offer,) = await t.outside.until(f.OfferMade)
        assert (offer.node, offer.agent_node) == ("fs1", "fs2")
        assert phone.legs[0].switch.name == "fs2"
        assert await t.outside.facts(f.AgentOwnCallChanged) == [], "its legs there are no call of her own"
        assert t.runners["fs2"].calls() == []
        since_us = t.runners["fs1"].calls()[0].waiting_since_us
        await t.labs["fs2"].switch.vanish()
        await t.until(lambda: t.state("fs1", leg.uuid) == "waiting")
        assert t.runners["fs1"].calls()[0].waiting_since_us == since_us
        queued = await t.outside.until(f.ContactQueued, 2)
        assert (queued[1].requeued, queued[1].waiting_since_us) == (True, queued[0].waiting_since_us)


@pytest.mark.parametrize("refers", [False, True], ids=["line", "refer"])
async def test_a_node_is_emptied_and_who_waits_keeps_the_place_on_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refers: bool
) -> None:
    monkeypatch.setattr(moves, "LOOK_MS", 100)
    monkeypatch.setattr(moves, "REFUSED_MS", 100)
    async with two(tmp_path, refers=refers) as t:
        follows = Carrier(t.labs["fs2"], follows=True)
        refuses = Carrier(t.labs["fs2"], follows=False)
        first = await t.call("fs1", follows)
        since_us = t.runners["fs1"].calls()[0].waiting_since_us
        second = await t.call("fs1", refuses)
        assert (await t.drain("fs1")).draining
        await t.until(lambda: t.state("fs2", first.uuid) == "waiting")
        await t.until(lambda: first.down)
        (moved,) = await t.outside.until(f.ContactMoved)
        assert (moved.contact_id, moved.from_node, moved.node) == (first.uuid, "fs1", "fs2")
        assert t.runners["fs2"].calls()[0].waiting_since_us // 1000 == since_us // 1000
        late = t.labs["fs1"].caller("1000")
        await t.until(lambda: late.down)
        assert (late.hangup_cause, late.answered) == ("NORMAL_TEMPORARY_FAILURE", False)
        await t.until(lambda: t.state("fs1", second.uuid) == "waiting")
        # The phone is registered with the node that is emptied; that is no reason not to take the call of the other.
        phone = Phone()
        t.labs["fs1"].switch.register("1001", phone)
        await t.outside.until(f.AgentPhoneChanged)
        await t.outside.wish("sara", "available")
        await t.until(lambda: t.state("fs2", first.uuid) == "talking")
        assert follows.brought is not None
        assert follows.brought.partner is not None, "the leg that the carrier brought is the one that talks"
        brought = follows.brought
        await t.until(lambda: bool(brought.recorders))
        assert next(iter(brought.recorders)).endswith(f"/{first.uuid}.wav"), (
            "recorded under the contact's name"
        )
        brought.end("NORMAL_CLEARING", by="caller")
        second.end("NORMAL_CLEARING", by="caller")
        closed = await t.outside.until(f.ContactClosed, 2)
        assert {c.contact_id: c.result for c in closed} == {
            first.uuid: "answered",
            second.uuid: "short_abandon",
        }
        for leg in list(phone.legs):
            leg.end("NORMAL_CLEARING", by="agent")
        subject = subjects.fact("demo", "queue", "node", "drained")
        await t.until(lambda: bool(t.broker.entries(subject)))
        drained = codec.decode(t.broker.entries(subject)[0])
        assert isinstance(drained, events_pb2.NodeDrained)
        assert drained.node == "fs1"
        assert not (await t.drain("fs1", "undrain")).draining
        assert (await t.call("fs1")).answered


async def test_a_line_that_moves_on_and_back_at_once_is_not_hung_up_by_the_node_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LOOK_MS", 20)
    async with two(tmp_path) as t:
        carrier = Carrier(t.labs["fs2"], follows=True)
        first = await t.call("fs1", carrier)
        legs = [first]
        for source, target in (("fs1", "fs2"), ("fs2", "fs1")):
            assert (await t.drain(source)).draining
            await t.until(lambda node=target: t.state(node, first.uuid) == "waiting")
            await t.until(lambda: legs[-1].down)
            assert not (await t.drain(source, "undrain")).draining
            assert carrier.brought is not None
            legs.append(carrier.brought)
        assert legs[2].switch.name == "fs1"
        assert not legs[2].down, "the carrier takes the BYE of the node in between for the end of the call"
        assert legs[2].cseq > legs[1].cseq + 1
        legs[2].end("NORMAL_CLEARING", by="caller")
        (closed,) = await t.outside.until(f.ContactClosed, 1)
        assert closed.contact_id == first.uuid


async def test_a_supervisor_whose_phone_is_on_the_other_node_listens_whispers_and_leaves(
    tmp_path: Path,
) -> None:
    async with two(tmp_path) as t:
        agent, mina = Phone(), Phone()
        t.labs["fs1"].switch.register("1001", agent)
        t.labs["fs2"].switch.register("1003", mina)
        await t.outside.until(f.AgentPhoneChanged, 2)
        await t.outside.wish("sara", "available")
        leg = await t.call("fs1")
        await t.until(lambda: t.state("fs1", leg.uuid) == "talking")
        app = make_app("queue", "0", Readiness(), auth_secret=SECRET)
        app.include_router(build_supervision_router(t.outside.bus, lambda: t.watch.current))
        token = auth.issue(SECRET, tenant="demo", role="supervisor", subject="mina", ttl_s=60)

        async def wish(mode: str) -> dict[str, Any]:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://t", timeout=15
            ) as http:
                answer = await http.post(
                    f"/v1/contacts/{leg.uuid}/supervise",
                    json={"mode": mode},
                    headers={"Authorization": f"Bearer {token}"},
                )
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        assert (await wish("listen"))["state"] in ("ringing", "listening")
        heard = agent.legs[0]
        await t.until(lambda: bool(heard.overhearing))
        (ear,) = heard.overhearing
        assert [leg.switch.name for leg in mina.legs] == ["fs2"]
        assert ear.switch.name == "fs1"
        owned = await t.outside.until(f.AgentOwnCallChanged)
        assert (owned[0].agent_id, owned[0].node) == ("mina", "fs2"), "nobody offers a call to who listens"
        assert (await wish("whisper"))["mode"] == "whisper"
        for key in ("*", "3"):
            mina.legs[0].press(key)
        await t.until(lambda: ear.var("eavesdrop_whisper_aleg") == "true")
        assert (await wish("off"))["state"] == "ended"
        await t.until(lambda: mina.legs[0].down)
        assert not heard.down


async def test_a_click_is_carried_out_where_the_phone_is(tmp_path: Path) -> None:
    async with two(tmp_path) as t:
        phone, customer = Phone(), Phone()
        t.labs["fs2"].switch.register("1001", phone)
        t.labs["fs2"].switch.phones["gateway"] = customer
        await t.outside.until(f.AgentPhoneChanged)
        await t.outside.wish("sara", "available")
        await t.outside.place_call("sara", "09121234567")
        await t.until(
            lambda: bool(t.runners["fs2"].calls()) and t.runners["fs2"].calls()[0].state == "talking"
        )
        assert (len(phone.legs), len(customer.legs)) == (1, 1)
        assert t.runners["fs1"].calls() == []
        (made,) = await t.outside.until(f.OfferMade)
        assert (made.node, made.agent_node) == ("fs2", "fs2")
        phone.legs[0].end("NORMAL_CLEARING", by="agent")
        (closed,) = await t.outside.until(f.ContactClosed)
        assert closed.result == "answered"
