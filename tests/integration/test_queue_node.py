"""The queue service's shell on a simulated switch, over the real event socket client, with the bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.center import CenterWatch
from services.common import auth
from services.common.bus import Envelope, Outgoing, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import GeventHub, SwitchAddress
from services.common.http import Readiness, make_app
from services.common.ids import derived_id, new_id
from services.contracts.peyvand.queue.v1 import events_pb2
from services.contracts.peyvand.routing.v1 import log_pb2, rpc_pb2
from services.queue import api
from services.queue.adapters import centers, switch
from services.queue.app import client_factory
from services.queue.core import inputs
from services.queue.core.outputs import AskPosition
from services.queue.runner import NodeRunner
from services.simswitch import system_commands
from services.simswitch.core.faults import Fault
from tests.integration.simswitch_kit import Lab, Phone, lab

CENTERS = Path(__file__).parents[2] / "deploy" / "centers"
WAIT_S = 15.0
SECRET = "s" * 40


class Held:
    """A lease that the test gives and takes."""

    def __init__(self, owner: str = "queue-1") -> None:
        self.owner = owner
        self.confirmed = True

    def valid(self) -> bool:
        return self.confirmed


class Floor:
    """One node with its runner, and the test in the place of routing."""

    def __init__(self, sw: Lab, broker: MemoryBroker, hub: GeventHub, centers: Path = CENTERS) -> None:
        self.sw = sw
        self.broker = broker
        self.bus = MemoryBus(broker, clock=SystemClock())
        self.hub = hub
        self.watch = CenterWatch(centers)
        self.lease = Held()
        self.runner = self.make_runner()
        self.parts: dict[str, bool] = {}
        self._owning: asyncio.Task[None] | None = None

    def make_runner(self) -> NodeRunner:
        address = SwitchAddress("fs1", "127.0.0.1", self.sw.socket.port, "ClueCon")

        def ready(part: str, ok: bool, detail: str) -> None:
            self.parts[part] = ok

        def spoken(question: AskPosition, position: int, wait_ms: int) -> tuple[str, int]:
            center = self.watch.current.tenant(question.tenant)
            assert center is not None
            return centers.spoken(
                center,
                question.queue,
                question.language,
                "/sounds",
                what=question.what,
                position=position,
                wait_ms=wait_ms,
            )

        return NodeRunner(
            "fs1",
            bus=self.bus,
            clock=SystemClock(),
            make_client=client_factory(self.hub, address),
            dialing=switch.Dialing(
                agent_dial="user/{extension}@{domain}",
                sip_domain="peyvand.local",
                transfer_dial="sofia/gateway/trunk/{number}",
                recordings_dir=str(self.sw.switch.recordings),
            ),
            plans=centers.plans_of(self.watch.current, "/sounds"),
            spoken=spoken,
            ready=ready,
            attempt_s=0.2,
        )

    def own(self) -> None:
        self._owning = asyncio.create_task(self.runner.own(self.lease))

    async def die(self) -> None:
        """The process is gone: its runner stops without a word to anybody."""
        if self._owning is not None:
            self._owning.cancel()
            with suppress(asyncio.CancelledError):
                await self._owning

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.01)

    def facts(self, what: str) -> list[Envelope]:
        entity = "offer" if what in ("ringing", "failed", "answered", "whispered") else "contact"
        return self.broker.entries(subjects.fact("demo", "queue", entity, what))

    async def fact(self, what: str, n: int = 1) -> Envelope:
        await self.until(lambda: len(self.facts(what)) >= n)
        return self.facts(what)[n - 1]

    async def decide(self, *facts: log_pb2.Fact) -> None:
        entry = log_pb2.Decided(epoch=1, at_us=SystemClock().now_us(), facts=facts)
        await self.bus.append(Outgoing(subjects.log("demo"), entry, new_id(), "demo"))

    async def offer(self, contact: str, offer: str = "", ring_ms: int = 15_000) -> str:
        offer = offer or new_id()
        made = log_pb2.OfferMade(
            offer_id=offer, contact_id=contact, agent_id="sara", extension="1001", queue="support", node="fs1", ring_ms=ring_ms,
        )  # fmt: skip
        await self.decide(log_pb2.Fact(offer_made=made))
        return offer

    async def call(self) -> str:
        """A caller waits; ivr is not there, so it is the entry point's fallback queue."""
        before = len(self.facts("waiting"))
        leg = self.sw.caller("1000")
        await self.fact("waiting", before + 1)
        return leg.uuid


@asynccontextmanager
async def floor(
    tmp_path: Path, hub: GeventHub, centers: Path = CENTERS, *, ivr_up: bool = False
) -> AsyncIterator[Floor]:
    async with lab(tmp_path, ivr_up=ivr_up) as sw:
        made = Floor(sw, MemoryBroker(SystemClock()), hub, centers)
        made.own()
        await made.until(lambda: made.parts.get("switch:fs1", False))
        try:
            yield made
        finally:
            await made.die()
            await made.bus.stop()


@pytest.fixture
async def hub() -> AsyncIterator[GeventHub]:
    hub = GeventHub()
    hub.start()
    yield hub
    hub.stop()


async def test_a_call_from_the_queue_to_the_wrap_up(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        waiting = codec.decode(await f.fact("waiting"))
        assert isinstance(waiting, events_pb2.ContactWaiting)
        assert (waiting.queue, waiting.node, waiting.entry_point) == ("support", "fs1", "1000")
        offer = await f.offer(contact)
        bridged = codec.decode(await f.fact("bridged"))
        assert isinstance(bridged, events_pb2.AgentBridged)
        assert bridged.agent_leg_id == derived_id("leg", offer) == phone.legs[0].uuid
        assert bridged.recording_path.endswith(f"/{contact}.wav")
        recordings = f.sw.switch.recordings
        assert recordings is not None
        await f.until(lambda: (recordings / bridged.recording_path).exists())
        f.sw.switch.channels[contact].end("NORMAL_CLEARING", by="caller")
        ended = codec.decode(await f.fact("ended"))
        assert isinstance(ended, events_pb2.ConversationEnded)
        assert ended.ended_by == "caller"
        agent_leg = phone.legs[0]
        agent_leg.press("1")
        keyed = codec.decode(await f.fact("disposed"))
        assert isinstance(keyed, events_pb2.DispositionKeyed)
        assert keyed.code == "1"
        await f.until(lambda: agent_leg.down)


async def test_an_abandoned_call_stops_the_ringing(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phone = Phone("silent")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.fact("ringing")
        f.sw.switch.channels[contact].end("ORIGINATOR_CANCEL", by="caller")
        gone = codec.decode(await f.fact("gone"))
        assert isinstance(gone, events_pb2.ContactGone)
        assert gone.state == "offered"
        await f.until(lambda: not f.sw.switch.channels)
        assert f.facts("failed") == []


async def test_a_kill_that_misses_is_repeated_when_the_leg_appears(tmp_path: Path, hub: GeventHub) -> None:
    """FreeSWITCH has no channel yet when the caller leaves: the kill misses, and the phone would ring on (2 of 30 on a real one)."""
    async with floor(tmp_path, hub) as f:
        phone = Phone("silent")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        f.sw.switch.faults.begin(Fault("slow", for_s=60, job_ms=300))
        missed = kills_refused()
        await f.offer(contact)
        await f.until(lambda: any(task.get_name().startswith("job ") for task in asyncio.all_tasks()))
        f.sw.switch.channels[contact].end("ORIGINATOR_CANCEL", by="caller")
        await f.until(lambda: bool(phone.legs))
        assert kills_refused() > missed, "no kill came before the channel"
        await f.until(lambda: not f.sw.switch.channels)
        assert phone.legs[0].hangup_cause == "ORIGINATOR_CANCEL"
        assert f.facts("failed") == []


def kills_refused() -> float:
    return (
        REGISTRY.get_sample_value("peyvand_queue_commands_refused_total", {"node": "fs1", "command": "Kill"})
        or 0.0
    )


async def test_three_phones_ring_and_the_first_to_answer_has_the_call(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phones = {"1001": Phone("silent"), "1002": Phone("answer", after_s=0.3), "1003": Phone("silent")}
        for extension, phone in phones.items():
            f.sw.switch.register(extension, phone)
        contact = await f.call()
        offers = {extension: new_id() for extension in phones}
        await f.decide(
            *(
                log_pb2.Fact(
                    offer_made=log_pb2.OfferMade(
                        offer_id=offer, contact_id=contact, agent_id=f"agent-{extension}", extension=extension,
                        queue="support", node="fs1", ring_ms=15_000, at_once=3,
                    )
                )
                for extension, offer in offers.items()
            )
        )  # fmt: skip
        bridged = codec.decode(await f.fact("bridged"))
        assert isinstance(bridged, events_pb2.AgentBridged)
        assert bridged.offer_id == offers["1002"]
        await f.until(lambda: all(phones[e].legs and phones[e].legs[0].down for e in ("1001", "1003")))
        assert not phones["1002"].legs[0].down
        assert len(f.facts("answered")) == 1
        assert f.facts("failed") == []


@pytest.mark.parametrize(
    ("does", "outcome"), [("decline", "declined"), ("busy", "busy"), (None, "unreachable")]
)
async def test_a_failed_offer_says_why(
    tmp_path: Path, hub: GeventHub, does: str | None, outcome: str
) -> None:
    async with floor(tmp_path, hub) as f:
        if does is not None:
            f.sw.switch.register("1001", Phone(does))
        contact = await f.call()
        await f.offer(contact)
        failed = codec.decode(await f.fact("failed"))
        assert isinstance(failed, events_pb2.OfferFailed)
        assert failed.outcome == outcome
        assert not f.sw.switch.channels[contact].down


async def test_the_agent_leaves_and_the_caller_is_let_go(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.fact("bridged")
        phone.legs[0].end("NORMAL_CLEARING", by="agent")
        ended = codec.decode(await f.fact("ended"))
        assert isinstance(ended, events_pb2.ConversationEnded)
        assert ended.ended_by == "agent"
        gone = codec.decode(await f.fact("gone"))
        assert isinstance(gone, events_pb2.ContactGone)
        assert gone.state == "after"


async def test_a_node_is_let_go_whole_however_often_its_owner_is_told_to(
    tmp_path: Path, hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that is lost has the work for it cancelled every fifth of a second until it has ended; leaving takes longer now and then."""
    async with floor(tmp_path, hub) as f:
        client, outbox = f.runner._client, f.runner._outbox
        assert client is not None
        assert outbox is not None
        stop, told = client.stop, asyncio.Event()

        async def slow() -> None:
            await told.wait()
            await stop()

        monkeypatch.setattr(client, "stop", slow)
        owning = f._owning
        assert owning is not None
        for _ in range(3):
            owning.cancel()
            await asyncio.sleep(0)
            await asyncio.wait({owning}, timeout=0.02)
        told.set()
        with suppress(asyncio.CancelledError):
            await owning
        assert not client.up
        assert all(task.done() for task in outbox._tasks)


async def test_a_new_owner_joins_who_talks_and_keeps_who_waits(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        f.sw.switch.register("1001", Phone("answer"))
        talking = await f.call()
        await f.offer(talking)
        await f.fact("bridged")
        waiting = await f.call()
        await f.die()
        f.lease = Held("queue-2")
        f.runner = f.make_runner()
        f.own()
        await f.until(
            lambda: {c.contact: c.state for c in f.runner.calls()} == {talking: "talking", waiting: "waiting"}
        )
        assert len(f.facts("bridged")) == 1  # Reported again under the same id: stored once.
        f.sw.switch.channels[talking].end("NORMAL_CLEARING", by="caller")
        await f.fact("ended")


async def test_a_conversation_that_began_and_ended_unseen_was_one(
    tmp_path: Path, hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner hangs between uuid_bridge and CHANNEL_BRIDGE, and the agent has put down when the next one looks: FreeSWITCH remembers."""
    async with floor(tmp_path, hub) as f:
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        heard = f.runner.feed

        def hears_of_no_bridge(event: inputs.Input) -> None:
            if not isinstance(
                event, inputs.LegBridged | inputs.LegUnbridged | inputs.LegHungUp | inputs.LegProbed
            ):
                heard(event)

        monkeypatch.setattr(f.runner, "feed", hears_of_no_bridge)
        offer = await f.offer(contact)
        await f.until(lambda: bool(phone.legs) and phone.legs[0].partner is not None)
        bridged_us = SystemClock().now_us()
        phone.legs[0].end("NORMAL_CLEARING", by="agent")
        await f.until(lambda: f.sw.switch.channels[contact].state == "CS_PARK")
        await f.die()
        assert not f.facts("bridged")
        f.lease = Held("queue-2")
        f.runner = f.make_runner()
        f.own()
        told = codec.decode(await f.fact("bridged"))
        assert isinstance(told, events_pb2.AgentBridged)
        assert (told.offer_id, told.agent_id, told.agent_leg_id) == (offer, "sara", derived_id("leg", offer))
        assert abs(told.at_us - bridged_us) < 1_000_000
        ended = codec.decode(await f.fact("ended"))
        assert isinstance(ended, events_pb2.ConversationEnded)
        assert (ended.ended_by, ended.cause) == ("agent", "UNSEEN")
        gone = codec.decode(await f.fact("gone"))
        assert isinstance(gone, events_pb2.ContactGone)
        assert gone.state == "after"


async def test_who_is_parked_while_nobody_owns_the_node_has_the_place_from_then_on(
    tmp_path: Path, hub: GeventHub
) -> None:
    async with floor(tmp_path, hub) as f:
        await f.die()
        leg = f.sw.caller("1000")
        await f.until(lambda: bool(leg.var("cc_parked_us")))
        parked_us = int(leg.var("cc_parked_us"))
        await f.until(lambda: SystemClock().now_us() - parked_us > 400_000)
        f.runner = f.make_runner()
        f.own()
        waiting = codec.decode(await f.fact("waiting"))
        assert isinstance(waiting, events_pb2.ContactWaiting)
        assert waiting.contact_id == leg.uuid
        assert abs(waiting.waiting_since_us - parked_us) < 100_000


async def test_who_is_parked_while_the_owner_hangs_has_the_place_from_then_on(
    tmp_path: Path, hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor(tmp_path, hub) as f:
        await f.call()  # The clocks are known.
        held: list[Callable[[], None]] = []
        drain = f.runner._client._drain  # type: ignore[union-attr]
        monkeypatch.setattr(f.runner._client, "_drain", lambda: held.append(drain))
        leg = f.sw.caller("1000")
        await f.until(lambda: bool(leg.var("cc_parked_us")) and bool(held))
        parked_us = int(leg.var("cc_parked_us"))
        await f.until(lambda: SystemClock().now_us() - parked_us > 600_000)
        monkeypatch.undo()
        drain()
        waiting = codec.decode(await f.fact("waiting", 2))
        assert isinstance(waiting, events_pb2.ContactWaiting)
        assert waiting.contact_id == leg.uuid
        assert abs(waiting.waiting_since_us - parked_us) < 150_000


async def test_a_new_owner_serves_while_routing_does_not_answer(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        await f.die()
        f.runner = f.make_runner()
        f.own()
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.fact("bridged")


async def test_an_ivr_that_hung_after_the_hand_over_tears_no_conversation_apart(
    tmp_path: Path, hub: GeventHub
) -> None:
    """Its socket closes when the caller talks already; with socket_resume FreeSWITCH sends the leg back to the dialplan then."""
    async with floor(tmp_path, hub, ivr_up=True) as f:
        phone = Phone("answer")
        f.sw.switch.register("1001", phone)
        leg = f.sw.caller("1000")
        ivr = await f.sw.ivr.call()
        f.sw.clients.append(ivr)
        ivr.write("connect\n\n")
        await ivr.reply()
        for line in ("linger", "myevents json"):
            assert (await ivr.send(line)).startswith("+OK")
        given = {"cc_state": "handover", "cc_tenant": "demo", "cc_queue": "support"}
        await ivr.send(f"api uuid_setvar_multi {leg.uuid} " + ";".join(f"{k}={v}" for k, v in given.items()))
        told = {"Leg": leg.uuid, "variable_cc_tenant": "demo", "variable_cc_queue": "support"}
        await ivr.send(
            f"sendevent CUSTOM\nEvent-Subclass: {switch.HANDED_OVER}\n"
            + "\n".join(f"{name}: {value}" for name, value in told.items())
        )
        await f.fact("waiting")
        await f.offer(leg.uuid)
        await f.fact("bridged")
        ivr._writer.transport.abort()
        await f.until(lambda: leg.controller is None or leg.controller.closed)
        client = await f.sw.client("event json CHANNEL_UNBRIDGE")
        closed_us = SystemClock().now_us()
        await f.until(lambda: SystemClock().now_us() - closed_us > 300_000)  # fifteen ticks of the switch
        assert leg.partner is phone.legs[0]
        assert client.events == []
        leg.end("NORMAL_CLEARING", by="caller")
        await f.fact("ended")


async def test_contacts_that_ended_while_nobody_owned_the_node(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        contacts = sorted([await f.call(), await f.call()])
        alive = await f.call()
        await f.die()
        for contact in contacts:
            f.sw.switch.channels[contact].end("NORMAL_CLEARING", by="caller")
        await f.until(lambda: not any(c in f.sw.switch.channels for c in contacts))
        asked: list[str] = []
        since_us = SystemClock().now_us() - 9_000_000

        async def open_on(envelope: Envelope) -> rpc_pb2.OpenContacts:
            """Routing in its place: one contact an answer."""
            message = codec.decode(envelope)
            assert isinstance(message, rpc_pb2.AskOpenContacts)
            assert message.node == "fs1"
            asked.append(message.after)
            left = [c for c in sorted([*contacts, alive]) if c > message.after]
            found = [
                rpc_pb2.OpenContact(contact_id=c, queue="support", waiting_since_us=since_us)
                for c in left[:1]
            ]
            return rpc_pb2.OpenContacts(contacts=found, more=len(left) > 1)

        f.runner = f.make_runner()
        f.own()
        await f.until(lambda: f.parts.get("switch:fs1", False))
        await f.bus.serve(subjects.rpc("demo", "routing", "contact", "open"), open_on, queue="routing")
        for n in (1, 2):
            gone = codec.decode(await f.fact("gone", n))
            assert isinstance(gone, events_pb2.ContactGone)
            assert gone.contact_id in contacts
            assert gone.unseen
            assert gone.wait_ms >= 9_000
        assert len(asked) == 6, "and once more, when the owner before had time to tell of them"
        assert {c.contact for c in f.runner.calls()} == {alive}


async def test_facts_wait_for_the_bus_and_calls_do_not(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phone = Phone("answer", after_s=0.5)
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.until(lambda: bool(phone.legs))
        f.broker.set_up(False)
        f.lease.confirmed = False
        await f.until(lambda: any(c.state == "talking" for c in f.runner.calls()))
        assert f.facts("bridged") == []
        f.broker.set_up(True)
        f.lease.confirmed = True
        await f.fact("bridged")


async def test_a_leg_that_somebody_else_has_taken_is_left_alone(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        phone = Phone("answer", after_s=0.3)
        f.sw.switch.register("1001", phone)
        contact = await f.call()
        await f.offer(contact)
        await f.until(lambda: bool(phone.legs))
        f.lease.confirmed = False
        client = await f.sw.client()
        await client.api(f"uuid_setvar {contact} cc_keeper queue-2")
        await f.fact("answered")
        await f.fact("failed")
        assert f.sw.switch.channels[contact].var("bridge_uuid") == ""


async def test_the_switchs_connection_breaks_and_nobody_notices(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        f.sw.switch.register("1001", Phone("answer"))
        contact = await f.call()
        f.sw.socket.drop_clients()
        await f.until(lambda: not f.parts["switch:fs1"])
        await f.until(lambda: f.parts["switch:fs1"])
        await f.offer(contact)
        await f.fact("bridged")
        assert f.facts("gone") == []


async def test_supervisors_see_and_end_calls_of_their_own_tenant(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        contact = await f.call()
        app: FastAPI = make_app("queue", "0", Readiness(), auth_secret=SECRET)
        app.include_router(api.build_router({"fs1": f.runner}))

        def token(tenant: str, role: auth.Role) -> dict[str, str]:
            return {
                "Authorization": f"Bearer {auth.issue(SECRET, tenant=tenant, role=role, subject='supervisor', ttl_s=60)}"
            }

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:
            mine = (await http.get("/v1/calls", headers=token("demo", "supervisor"))).json()
            assert [(c["contact_id"], c["state"], c["queue"]) for c in mine["calls"]] == [
                (contact, "waiting", "support")
            ]
            assert (await http.get("/v1/calls", headers=token("other", "supervisor"))).json()["calls"] == []
            assert (await http.get("/v1/calls", headers=token("demo", "agent"))).status_code == 403
            path = f"/v1/calls/{contact}/hangup"
            assert (await http.post(path, headers=token("other", "supervisor"))).status_code == 404
            assert (await http.post(path, headers=token("demo", "supervisor"))).status_code == 202
        await f.fact("gone")


async def test_the_place_in_the_queue_is_asked_and_played(
    tmp_path: Path, hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_commands, "_is_there", lambda *_: True)
    async with floor(tmp_path, hub) as f:
        asked: list[str] = []

        async def answer(envelope: Envelope) -> rpc_pb2.Position:
            question = codec.decode(envelope)
            assert isinstance(question, rpc_pb2.AskPosition)
            asked.append(question.contact_id)
            return rpc_pb2.Position(contact_id=question.contact_id, position=2, expected_wait_ms=250_000)

        await f.bus.serve(subjects.rpc("demo", "routing", "contact", "position"), answer, queue="routing")
        contact = await f.call()
        await f.until(lambda: any(t.startswith("say:") for t in f.runner._timers))
        await f.fact("treated")
        f.runner.feed(
            inputs.AnnouncementEnded(at_us=1, leg=contact, file="/sounds/prompts/fa/queue-welcome.wav")
        )
        f.runner._fire(f"say:{contact}/position")
        played = codec.decode(await f.fact("treated", 2))
        assert isinstance(played, events_pb2.TreatmentPlayed)
        assert (asked, played.what, played.position) == ([contact], "position", 2)
        f.runner._fire(f"say:{contact}/wait")
        played = codec.decode(await f.fact("treated", 3))
        assert isinstance(played, events_pb2.TreatmentPlayed)
        assert (played.what, played.expected_wait_ms) == ("wait", 250_000)


async def test_a_place_of_which_one_part_is_missing_is_not_said(
    tmp_path: Path, hub: GeventHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FreeSWITCH would play the rest: "you are number" and nothing, or the wrong one of a composed number."""
    monkeypatch.setattr(system_commands, "_is_there", lambda _, path: "position-before" not in path)
    async with floor(tmp_path, hub) as f:

        async def answer(envelope: Envelope) -> rpc_pb2.Position:
            question = codec.decode(envelope)
            assert isinstance(question, rpc_pb2.AskPosition)
            return rpc_pb2.Position(contact_id=question.contact_id, position=2, expected_wait_ms=250_000)

        await f.bus.serve(subjects.rpc("demo", "routing", "contact", "position"), answer, queue="routing")
        contact = await f.call()
        await f.until(lambda: any(t.startswith("say:") for t in f.runner._timers))
        await f.fact("treated")
        f.runner.feed(
            inputs.AnnouncementEnded(at_us=1, leg=contact, file="/sounds/prompts/fa/queue-welcome.wav")
        )
        with capture_logs() as logs:
            f.runner._fire(f"say:{contact}/position")
            await f.until(lambda: any(line["event"] == "sentence_part_missing" for line in logs))
        f.runner._fire(f"say:{contact}/wait")
        said = codec.decode(await f.fact("treated", 2))
        assert isinstance(said, events_pb2.TreatmentPlayed)
        assert said.what == "wait", "what is whole is said"


async def test_a_caller_who_may_wait_no_longer_leaves_a_message(tmp_path: Path, hub: GeventHub) -> None:
    async with floor(tmp_path, hub) as f:
        contact = await f.call()
        over = log_pb2.ContactOverflowed(
            contact_id=contact, queue="support", reason="max_wait", action="voicemail", target="leave-message"
        )
        await f.decide(log_pb2.Fact(contact_overflowed=over))
        leg = f.sw.switch.channels[contact]
        recordings = f.sw.switch.recordings
        assert recordings is not None
        await f.until(lambda: leg.var("cc_state") == "message" and leg.var("current_application") == "record")
        await f.die()  # nobody of ours is needed any more
        leg.press("#")
        await f.until(lambda: leg.down)
        (message,) = recordings.glob(f"demo/*/*/*/{contact}.message.support.wav")
        assert message.stat().st_size >= 44
