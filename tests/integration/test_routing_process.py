"""routing as processes on a real NATS: a killed owner is replaced, and nothing is lost or decided twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.center import load
from services.common import auth
from services.common.bus import Envelope, Outgoing, codec, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.http import Readiness, make_app
from services.contracts.peyvand.queue.v1 import events_pb2 as queue_pb2
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing import api
from services.routing.core import facts as f
from services.routing.core import views
from services.routing.core.center import Policy
from services.routing.core.state import State

pytestmark = pytest.mark.nats

ROOT = Path(__file__).resolve().parents[2]
SECRET = "not-a-secret-only-a-test-0123456789"
TENANT = "demo"


class LogReader:
    """Follows the tenant's log and lets tests wait for what it says."""

    def __init__(self) -> None:
        self.entries: list[f.Decided] = []
        self._grown = asyncio.Condition()

    async def take(self, envelope: Envelope) -> None:
        async with self._grown:
            self.entries.append(codec.read(envelope, f.Decided))
            self._grown.notify_all()

    def facts(self, kind: type[Any]) -> list[Any]:
        return [fact for entry in self.entries for fact in entry.facts if isinstance(fact, kind)]

    async def until(self, kind: type[Any], count: int) -> list[Any]:
        async with asyncio.timeout(30), self._grown:
            await self._grown.wait_for(lambda: len(self.facts(kind)) >= count)
        return self.facts(kind)


@contextlib.asynccontextmanager
async def routing_process(nats_url: str, instance: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "PEYVAND_NATS_URL": nats_url,
        "PEYVAND_AUTH_SECRET": SECRET,
        "PEYVAND_INSTANCE": instance,
        "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
        "PEYVAND_LOG_FORMAT": "json",
        "PEYVAND_LOG_LEVEL": "warning",
        "PEYVAND_HTTP_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.routing", cwd=ROOT, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def request(bus: NatsBus, entity: str, what: str, message: Any, kind: type[Any]) -> Any:
    subject = subjects.rpc(TENANT, "routing", entity, what)
    return codec.read(await bus.request(subject, message, timeout_s=20), kind)


async def report(bus: NatsBus, what: str, message: Any) -> None:
    fact_id = f"{message.contact_id}:{what}:1"
    await bus.append(Outgoing(subjects.fact(TENANT, "queue", "contact", what), message, fact_id, TENANT))


async def caller(bus: NatsBus, contact_id: str) -> None:
    """Comes, and gives up."""
    waiting = queue_pb2.ContactWaiting(
        contact_id=contact_id, node="fs1", queue="sales", waiting_since_us=SystemClock().now_us()
    )
    await report(bus, "waiting", waiting)
    await report(bus, "gone", queue_pb2.ContactGone(contact_id=contact_id, state="waiting", at_us=1))


@pytest.fixture
async def bus(own_nats: EmbeddedNats) -> AsyncIterator[NatsBus]:
    own_nats.start()
    await migrate(own_nats.url, replicas=1)
    bus = NatsBus(own_nats.url, source="/test/1", clock=SystemClock())
    bus.start()
    await bus.connected(10)
    yield bus
    await bus.stop()


async def test_killed_owner_is_replaced_and_nothing_is_lost(own_nats: EmbeddedNats, bus: NatsBus) -> None:
    log = LogReader()
    following = await bus.follow([subjects.log(TENANT)], log.take, after_seq=0)
    async with routing_process(own_nats.url, "a") as first, routing_process(own_nats.url, "b") as second:
        processes = {"a": first, "b": second}
        wish = rpc_pb2.SetAgentPresence(agent_id="sara", presence="available")
        state = await request(bus, "agent", "set-presence", wish, views.AgentState)
        assert state.presence == "available"
        (taken,) = log.facts(f.OwnerChanged)
        for n in range(20):
            await caller(bus, f"before-{n}")
        processes[taken.owner.split("-")[1]].send_signal(signal.SIGKILL)
        for n in range(20):
            await caller(bus, f"after-{n}")
        await log.until(f.ContactClosed, 40)
        owners = log.facts(f.OwnerChanged)
        agents = await request(bus, "agent", "list", rpc_pb2.ListAgents(), views.AgentList)
        assert {a.agent_id: a.presence for a in agents.agents}["sara"] == "available"
    await following.stop()
    assert len(owners) == 2
    assert owners[0].owner.split("-")[1] != owners[1].owner.split("-")[1]
    queued = [q.contact_id for q in log.facts(f.ContactQueued)]
    closed = [c.contact_id for c in log.facts(f.ContactClosed)]
    assert len(queued) == len(set(queued)) == 40
    assert sorted(queued) == sorted(closed)
    epochs = [entry.epoch for entry in log.entries]
    assert epochs == sorted(epochs)
    state_of_log = State(Policy())
    for entry in log.entries:
        state_of_log.replay(entry)
    assert state_of_log.contacts == {}
    assert state_of_log.offers == {}


async def test_orderly_stop_hands_the_tenant_over(own_nats: EmbeddedNats, bus: NatsBus) -> None:
    log = LogReader()
    following = await bus.follow([subjects.log(TENANT)], log.take, after_seq=0)
    async with routing_process(own_nats.url, "a") as first:
        await log.until(f.OwnerChanged, 1)
        async with routing_process(own_nats.url, "b"):
            first.terminate()
            assert await first.wait() == 0
            await log.until(f.OwnerChanged, 2)
            await caller(bus, "c1")
            await log.until(f.ContactClosed, 1)
    await following.stop()


async def test_standby_answers_http_for_the_owner(own_nats: EmbeddedNats, bus: NatsBus) -> None:
    """The HTTP routes ask over the bus, so that any copy can be asked."""
    centers = load(ROOT / "deploy" / "centers")
    app = make_app("routing", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.router(bus, lambda: centers))

    def headers(role: auth.Role, subject: str) -> dict[str, str]:
        token = auth.issue(SECRET, tenant=TENANT, role=role, subject=subject, ttl_s=60)
        return {"Authorization": f"Bearer {token}"}

    transport = httpx.ASGITransport(app=app)
    async with (
        routing_process(own_nats.url, "a"),
        httpx.AsyncClient(transport=transport, base_url="http://routing") as client,
    ):
        await request(bus, "agent", "list", rpc_pb2.ListAgents(), views.AgentList)
        sara, boss = headers("agent", "sara"), headers("supervisor", "supervisor")
        answer = await client.post("/v1/agents/sara/presence", json={"presence": "available"}, headers=sara)
        assert (answer.status_code, answer.json()["presence"]) == (200, "available")
        answer = await client.post("/v1/agents/omid/presence", json={"presence": "break"}, headers=sara)
        assert (answer.status_code, answer.json()["type"]) == (403, "not-your-agent")
        answer = await client.post(
            "/v1/agents/sara/presence", json={"presence": "break", "reason": "no_answer"}, headers=boss
        )
        assert (answer.status_code, answer.json()["type"]) == (422, "unknown-reason")
        for body, who, status, slug in (
            ({"extension": "1049"}, sara, 200, ""),
            ({"extension": "1002", "force": True}, sara, 403, "not-allowed"),
            ({"extension": "4711"}, boss, 422, "unknown-phone"),
        ):
            answer = await client.post("/v1/agents/sara/seat", json=body, headers=who)
            assert (answer.status_code, answer.json().get("type", "")) == (status, slug)
        answer = await client.get("/v1/agents", headers=boss)
        assert {a["agent_id"]: a["extension"] for a in answer.json()}["sara"] == "1049"
        answer = await client.post("/v1/agents/sara/disposition", json={"code": "1"}, headers=boss)
        assert (answer.status_code, answer.json()["type"]) == (409, "not-in-wrap-up")
        answer = await client.get("/v1/agents", headers=boss)
        assert {a["agent_id"]: a["presence"] for a in answer.json()}["sara"] == "available"
        answer = await client.get("/v1/queues", headers=boss)
        assert {q["queue"] for q in answer.json()} == set(centers.centers[0].queues)
        await caller(bus, "c1")
        answer = await client.get("/v1/contacts", headers=boss)
        assert answer.status_code == 200
        answer = await client.post("/v1/contacts/nobody/priority", json={"priority": 5}, headers=boss)
        assert (answer.status_code, answer.json()["type"]) == (404, "unknown-contact")
        answer = await client.post("/v1/contacts/nobody/priority", json={"priority": 5}, headers=sara)
        assert answer.status_code == 403
        answer = await client.post("/v1/agents/sara/wrap-up", json={"action": "end"}, headers=sara)
        assert (answer.status_code, answer.json()["type"]) == (409, "not-in-wrap-up")
        assert (await client.get("/v1/contacts", headers=sara)).status_code == 403
        answer = await client.get("/v1/center", headers=sara)
        assert answer.json()["revision"] == centers.centers[0].revision
        assert (await client.get("/v1/center")).status_code == 401
