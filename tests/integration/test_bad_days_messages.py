"""Nonsense on the bus and on the event socket, before and while the services run: counted, told, passed over, and calls go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nats
import pytest
import structlog
from prometheus_client import REGISTRY

from deploy.dev.tail_rows import rows, short
from services.common import ids
from services.common.bus import Envelope, codec, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.common.runtime import Runtime
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.queue.adapters import switch as queue_switch
from services.reporting.adapters.legs import HANGUP
from services.reporting.books import Books
from services.routing.adapters import phones
from services.routing.adapters.centers import shard_of
from services.simswitch.client import Client
from tests.integration.bad_days import ROOT, WAIT_S, in_process
from tests.integration.simswitch_kit import Lab, Phone, lab

pytestmark = [pytest.mark.nats, pytest.mark.clickhouse, pytest.mark.timeout(120)]

# Subject (of a tenant and a node) and the type that belongs there.
PLACES = {
    "cc.v1.evt.{tenant}.routing.log.decided": "peyvand.routing.v1.Decided",
    "cc.v1.evt.{tenant}.queue.contact.waiting": "peyvand.queue.v1.ContactWaiting",
    "cc.v1.evt.{tenant}.queue.contact.bridged": "peyvand.queue.v1.AgentBridged",
    "cc.v1.evt.{tenant}.queue.offer.answered": "peyvand.queue.v1.OfferAnswered",
    "cc.v1.evt.{tenant}.ivr.contact.started": "peyvand.ivr.v1.ContactStarted",
    "cc.v1.evt.{tenant}.recording.file.stored": "peyvand.recording.v1.RecordingStored",
    "cc.lease.queue.{node}": "peyvand.common.v1.LeaseHeld",
    "cc.lease.recording.{node}": "peyvand.common.v1.LeaseHeld",
    "cc.lease.routing.{shard}": "peyvand.common.v1.LeaseHeld",
    "cc.v1.snap.{tenant}.routing.log.current": "peyvand.common.v1.SnapshotTaken",
}


@pytest.fixture
def spoilt_nats(own_nats: EmbeddedNats) -> EmbeddedNats:
    """A server of the test's own: what is left on it would be read by the services of the next."""
    asyncio.run(migrate(own_nats.start(), replicas=1))
    return own_nats


def nonsense(kind: str) -> list[tuple[dict[str, str], bytes]]:
    """Headers and bytes of messages that nobody should send."""
    return [
        ({}, b"no headers at all"),
        ({"ce-type": "peyvand.queue.v1.NoSuchThing", "ce-id": "x"}, b""),
        ({"ce-type": kind, "ce-id": "broken"}, b"\xff\xff\xff\xff"),
        ({"ce-type": kind, "ce-id": "empty"}, b""),  # required fields are missing
        ({"ce-type": "peyvand.ivr.v1.IvrEnded", "ce-id": "elsewhere"}, b"\x0a\x01c"),
        ({"ce-type": "\x1b[31mred", "ce-time": "9999-12-31T23:59:59Z", "ce-tenant": "../../etc", "ce-id": "%00%0a"}, b"x"),
    ]  # fmt: skip


class Bus:
    """The tests' connection: facts of the tenant as they come, wishes, and nonsense."""

    def __init__(self, url: str, tenant: str, node: str) -> None:
        self.tenant, self.node, self._url = tenant, node, url
        self.bus = NatsBus(url, source="/test/1", clock=SystemClock())
        self.seen: list[tuple[str, Envelope]] = []
        self._news = asyncio.Condition()

    async def start(self) -> None:
        self.bus.start()
        await self.bus.connected(10)
        pattern = subjects.any_fact(tenant=self.tenant)
        await self.bus.follow([pattern, "cc.dlq.>"], self._take, after_seq=None)

    async def _take(self, envelope: Envelope) -> None:
        async with self._news:
            self.seen.append((envelope.type.rpartition(".")[2], envelope))
            self._news.notify_all()

    async def fact(self, name: str, contact: str) -> Envelope:
        """The first fact of this name about this contact, waited for; those of routing by the name inside."""

        def found() -> Envelope | None:
            for kind, envelope in self.seen:
                if kind == name and envelope.correlation_id == contact:
                    return envelope
                if kind == "Decided" and envelope.source.startswith("/routing"):
                    for fact in codec.decode(envelope).facts:  # type: ignore[attr-defined]
                        inner = getattr(fact, fact.WhichOneof("fact"))
                        if type(inner).__name__ == name and getattr(inner, "contact_id", "") == contact:
                            return envelope
            return None

        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: found() is not None)
        envelope = found()
        assert envelope is not None
        return envelope

    async def volley(self) -> int:
        """Nonsense on every subject; returns how much that was."""
        client = await nats.connect(self._url)
        sent = 0
        try:
            for pattern, kind in PLACES.items():
                subject = pattern.format(tenant=self.tenant, node=self.node, shard=shard_of(self.tenant))
                for headers, data in nonsense(kind):
                    await client.publish(subject, data, headers=headers or None)
                    sent += 1
            await client.flush()
        finally:
            await client.close()
        return sent

    async def available(self, agent: str) -> None:
        wish = rpc_pb2.SetAgentPresence(agent_id=agent, presence="available", actor="agent")
        subject = subjects.rpc(self.tenant, "routing", "agent", "set-presence")
        await self.bus.request(subject, wish, timeout_s=WAIT_S)


class Place:
    """A switch and the services around it."""

    def __init__(self, sw: Lab, bus: Bus, services: dict[str, Runtime]) -> None:
        self.sw, self.bus, self.services = sw, bus, services

    async def until_ready(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while not all(rt.readiness.ok for rt in self.services.values()):
                await asyncio.sleep(0.02)

    async def a_call_goes_well(self, store: ServerStore) -> str:
        """A caller waits, is connected and recorded, and is in the books in the end."""
        began_us = SystemClock().now_us()
        leg = self.sw.switch.place_call(
            context="public",
            destination="1000",
            caller_number="${system(reboot)}",
            caller_name="Bob\r\nUnique-ID: victim',{a=b} \U0001f4a5" + "x" * 2000,
        )
        contact = leg.uuid
        await self.bus.fact("ContactQueued", contact)
        await self.bus.fact("AgentBridged", contact)
        await self.bus.fact("ContactConnected", contact)
        await self.bus.fact("RecordingStarted", contact)
        leg.end("NORMAL_CLEARING", by="caller")
        await self.bus.fact("ContactClosed", contact)
        await self.bus.fact("RecordingStored", contact)
        books = Books(store, self.bus.tenant, began_us - 1_000_000, began_us + 60_000_000)
        async with asyncio.timeout(WAIT_S):
            while not any(
                row["contact_id"] == contact and row["outcome"] == "answered" and row["recording_path"]
                for row in await books.contacts()
            ):
                await asyncio.sleep(0.1)
        return contact


@asynccontextmanager
async def place(
    folder: Path,
    nats_url: str,
    store: StoreUrl,
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: bool = False,
) -> AsyncIterator[Place]:
    """routing, queue, recording and reporting on a simulated switch; with ``before``, nonsense was there first."""
    tenant, node = f"t{ids.new_id()}", f"n{ids.new_id()[-8:]}"
    document = folder / "center.yaml"
    text = (ROOT / "deploy" / "centers" / "demo.yaml").read_text()
    document.write_text(text.replace("tenant: demo", f"tenant: {tenant}", 1))
    bus = Bus(nats_url, tenant, node)
    await bus.start()
    async with lab(folder / "switch") as sw, AsyncExitStack() as stack:
        stack.push_async_callback(bus.bus.stop)
        if before:
            await bus.volley()
        settings = {
            "NATS_URL": nats_url,
            "CENTERS": document,
            "SWITCHES": f"{node}=esl://:ClueCon@127.0.0.1:{sw.socket.port}",
            "CLICKHOUSE_URL": f"clickhouse://{store.user}:{quote(store.password, safe='')}@{store.host}:{store.port}/{store.database}",
            "QUEUE_RECORDINGS_DIR": sw.switch.recordings,
            "RECORDING_DIR": sw.switch.recordings,
        }
        services = {
            name: await stack.enter_async_context(in_process(name, monkeypatch, **settings))
            for name in ("routing", "queue", "recording", "reporting")
        }
        made = Place(sw, bus, services)
        await made.until_ready()
        sw.switch.register("1001", Phone("answer"))
        await bus.available("sara")
        yield made


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_nonsense_on_the_bus_costs_nothing_but_itself(
    when: str,
    spoilt_nats: EmbeddedNats,
    store: ServerStore,
    store_url: StoreUrl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread = counted("peyvand_reporting_unread_total")
    async with place(tmp_path, spoilt_nats.url, store_url, monkeypatch, before=when == "before") as p:
        if when == "meanwhile":
            await p.a_call_goes_well(store)
            await p.bus.volley()
        await p.a_call_goes_well(store)
        tenant, node = p.bus.tenant, p.bus.node
        each = len(nonsense(""))
        assert counted("peyvand_routing_foreign_entries_total", tenant=tenant) >= each
        # Of each subject of queue what is of its type but broken, or without its fields; the rest is no observation. A rebuild
        # (the log was written to by somebody else) reads some of it again.
        assert counted("peyvand_routing_unreadable_total", tenant=tenant) >= 3 * 2
        assert counted("peyvand_recording_unreadable_total", node=node) >= each
        dead = counted("peyvand_bus_dead_letters_total", consumer=f"queue-{node}", reason="undecodable")
        assert dead == each - 1  # one has a name of ours: it may be a newer routing's, and is passed over
        async with asyncio.timeout(WAIT_S):
            while counted("peyvand_reporting_unread_total") - unread < 6 * each - 6:
                await asyncio.sleep(0.05)
        found = [row for _, envelope in p.bus.seen for row in rows(envelope)]
        assert any(row.trouble for row in found)
        shown = [short(row).plain for row in found]
        assert sum("DEAD LETTER" in line for line in shown) >= each - 1
        assert all(line.isprintable() for line in shown)


def hostile() -> list[bytes]:
    """Events of every kind that a service listens to: broken, without what they need, about nobody, with absurd values."""
    bodies: list[bytes] = [b"{", b"[]", b"null", b"\xff\xfe", b'{"Event-Name":"CHANNEL_ANSWER"', b"{}" * 3]
    names = [*queue_switch.EVENTS, "RECORD_START", "RECORD_STOP", HANGUP]
    about = [{"Event-Name": name} for name in names] + [
        {"Event-Name": "CUSTOM", "Event-Subclass": name}
        for name in (queue_switch.WAITING, phones.REGISTERED, *phones.LOST)
    ]
    values: list[Any] = [
        "",
        "x" * 70_000,
        "9" * 30,
        "\x00",
        "a\r\nb: c",
        "${x}",
        "../../../etc/passwd",
        "'{;,}",
        "\ud800",
        ["a", "b"],
        5,
        None,
        {},
    ]
    for start in about:
        bodies.append(json.dumps(start).encode())
        for value in values:
            headers = dict.fromkeys(
                ("Hangup-Cause", "DTMF-Digit", "Record-File-Path", "from-user", "Media-Bug-Function", "Media-Bug-Target",
                 "Other-Leg-Unique-ID", "Bridge-A-Unique-ID", "Caller-Caller-ID-Number", "Caller-Caller-ID-Name",
                 "variable_cc_tenant", "variable_cc_queue", "variable_cc_priority", "variable_cc_waiting_ms",
                 "variable_cc_skills", "variable_cc_offer", "variable_cc_state", "variable_cc_contact", "variable_cc_entry"),
                value,
            )  # fmt: skip
            bodies.append(
                json.dumps({**start, "Unique-ID": ids.new_id(), **headers}, separators=(",", ":")).encode()
            )
            bodies.append(
                json.dumps({**start, **headers, "Unique-ID": value}, separators=(",", ":")).encode()
            )
    return [b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body) for body in bodies]


async def test_hostile_events_cost_nothing_but_themselves(
    spoilt_nats: EmbeddedNats,
    store: ServerStore,
    store_url: StoreUrl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with place(tmp_path, spoilt_nats.url, store_url, monkeypatch) as p:
        failures = counted("peyvand_esl_handler_failures_total", node=p.bus.node)
        with structlog.testing.capture_logs() as logged:
            for client in [link for link in p.sw.switch.links if isinstance(link, Client)]:
                for frame in hostile():
                    client._write(frame)
            await p.a_call_goes_well(store)
        broken = [entry["event"] for entry in logged if "exc_info" in entry]
        assert set(broken) <= {"event_handler_failed"}, "refused where they come in, and nowhere behind"
        assert len(broken) <= 4 * 15, "once for each kind of event and service"
        assert counted("peyvand_esl_malformed_total", node=p.bus.node) > 0
        assert counted("peyvand_esl_handler_failures_total", node=p.bus.node) == failures
        assert counted("peyvand_routing_poisoned_inputs_total", tenant=p.bus.tenant) == 0
        assert p.services["reporting"].readiness.ok
