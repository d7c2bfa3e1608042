"""A chat service beside routing: it brings its contacts over the bus and follows the log; agents act by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.center import CenterSet, load
from services.common import auth
from services.common.bus import Bus, Envelope, codec, subjects
from services.common.errors import Refused
from services.common.http import Readiness, make_app
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing import api, channel_api
from services.routing.adapters.centers import center_of
from services.routing.core import facts as f
from services.routing.core import views
from tests.integration.routing_kit import Outside, SwitchableLease, owning

DEMO = Path(__file__).resolve().parents[2] / "deploy" / "centers" / "demo.yaml"
SECRET = "not-a-secret-only-a-test-0123456789"


class ChatService:
    """Customers in its windows. It knows what the log says: to whom a chat is offered, who has it, how it ended."""

    def __init__(self, bus: Bus, tenant: str) -> None:
        self._bus, self._tenant = bus, tenant
        self.offered: dict[str, str] = {}
        self.joined: dict[str, str] = {}
        self.over: dict[str, f.ContactClosed] = {}
        self.ends: Counter[str] = Counter()
        self.made = 0
        self._changed = asyncio.Condition()

    async def take(self, envelope: Envelope) -> None:
        """Follow one entry of the log."""
        async with self._changed:
            for fact in codec.read(envelope, f.Decided).facts:
                if isinstance(fact, f.OfferMade) and fact.channel == "chat":
                    self.offered[fact.contact_id] = fact.agent_id
                    self.made += 1
                elif isinstance(fact, f.OfferEnded):
                    self.ends[fact.offer_id] += 1
                elif isinstance(fact, f.ContactConnected) and fact.channel == "chat":
                    self.joined[fact.contact_id] = fact.agent_id
                elif isinstance(fact, f.ContactClosed) and fact.channel == "chat":
                    self.over[fact.contact_id] = fact
            self._changed.notify_all()

    async def until(self, has: Any) -> None:
        """Wait until the service has heard what ``has`` looks for."""
        async with asyncio.timeout(15), self._changed:
            await self._changed.wait_for(has)

    async def ask(self, what: str, question: Any) -> views.ContactState:
        """A wish of the service to routing."""
        subject = subjects.rpc(self._tenant, "routing", "contact", what)
        return codec.read(await self._bus.request(subject, question, timeout_s=10), views.ContactState)

    async def opens(self, contact_id: str, **fields: Any) -> views.ContactState:
        """A customer opens a window."""
        wish = rpc_pb2.EnqueueContact(
            **{"contact_id": contact_id, "channel": "chat", "queue": "support", "reporter": "chat", **fields}
        )
        return await self.ask("enqueue", wish)


@pytest.fixture
def centers(tenant: str, tmp_path: Path) -> CenterSet:
    document = tmp_path / "center.yaml"
    text = DEMO.read_text(encoding="utf-8").replace("\ntenant: demo\n", f"\ntenant: {tenant}\n")
    document.write_text(text, encoding="utf-8")
    return load(document)


@contextlib.asynccontextmanager
async def desk(bus: Bus, centers: CenterSet) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app("routing", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.router(bus, lambda: centers))
    app.include_router(channel_api.router(bus, lambda: centers))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
        yield client


async def test_routing_serves_a_chat_service_over_the_bus_and_its_agents_by_http(
    bus: Bus, tenant: str, centers: CenterSet
) -> None:
    rules = center_of(centers.centers[0])
    outside, chat = Outside(bus, tenant), ChatService(bus, tenant)

    def token(subject: str, role: auth.Role = "agent") -> dict[str, str]:
        text = auth.issue(SECRET, tenant=tenant, role=role, subject=subject, ttl_s=60)
        return {"Authorization": f"Bearer {text}"}

    async with desk(bus, centers) as http, contextlib.AsyncExitStack() as stack:
        following = await bus.follow([subjects.log(tenant)], chat.take, after_seq=0)
        stack.push_async_callback(following.stop)

        async def act(
            agent_id: str, contact_id: str, action: str, who: str = "", **body: str
        ) -> httpx.Response:
            path = f"/v1/agents/{agent_id}/contacts/{contact_id}/{action}"
            return await http.post(path, headers=token(who or agent_id), json=body or None)

        async with owning(bus, tenant, rules=rules):
            await outside.wish("omid", "available")
            for n in range(4):
                await chat.opens(f"chat-{n}")
            state = await chat.opens("chat-3")  # Said again after a reply that got lost: nothing new.
            assert (state.state, state.position, state.channel) == ("waiting", 1, "chat")
            with pytest.raises(Refused) as refused:
                await chat.opens("fax-0", channel="fax")
            assert refused.value.slug == "unknown-channel"
            await chat.until(lambda: len(chat.offered) == 3)
            assert set(chat.offered.values()) == {"omid"}
            assert (await act("omid", "chat-0", "accept", who="neda")).status_code == 403
            assert (await act("omid", "chat-0", "accept")).json()["state"] == "talking"
            assert (await act("omid", "chat-1", "accept")).status_code == 200
            # A caller does not get somebody who chats.
            await outside.waits("call-0", "support")
        async with owning(bus, tenant, "two", SwitchableLease(2), rules=rules):
            # The owner is another one: what was offered is offered still, what omid has is omid's.
            answer = await http.get("/v1/agents", headers=token("boss", "analyst"))
            (omid,) = [a for a in answer.json() if a["agent_id"] == "omid"]
            assert omid["activity"] == "handling"
            assert {c["contact_id"]: c["state"] for c in omid["at_hand"]} == {
                "chat-0": "handled",
                "chat-1": "handled",
                "chat-2": "offered",
            }
            assert (await act("omid", "chat-2", "decline")).status_code == 200
            await chat.ask("leave", rpc_pb2.LeaveContact(contact_id="chat-1", cause="window_closed"))
            wrong = await act("omid", "chat-0", "complete", code="77")
            assert (wrong.status_code, wrong.json()["type"]) == (422, "unknown-disposition")
            done = await act("omid", "chat-0", "complete", code="1")
            assert (done.status_code, done.json()["state"]) == (200, "closed")
            # Omid declined chat-2 and is left in peace for some seconds; neda takes what waits.
            await outside.wish("neda", "available")
            await outside.until(f.OfferMade)
            calls = [o for o in await outside.facts(f.OfferMade) if not o.channel]
            assert [(o.contact_id, o.agent_id) for o in calls] == [("call-0", "neda")]
            for contact_id in ("chat-2", "chat-3"):
                await chat.ask("leave", rpc_pb2.LeaveContact(contact_id=contact_id))
            await chat.until(lambda: len(chat.over) == 4)
            queues = (await http.get("/v1/queues", headers=token("boss", "analyst"))).json()
            assert all(q["others"] == [] for q in queues)
    assert {c: closed.result for c, closed in chat.over.items()} == {
        "chat-0": "answered",
        "chat-1": "answered",
        "chat-2": "short_abandon",
        "chat-3": "short_abandon",
    }
    assert chat.joined == {"chat-0": "omid", "chat-1": "omid"}
    assert set(chat.ends.values()) == {1}


async def test_routing_takes_contacts_of_a_service_by_http(bus: Bus, tenant: str, centers: CenterSet) -> None:
    """What has no bus brings its contacts by HTTP; agents may not."""
    wish = {"contact_id": "mail-1", "channel": "email", "queue": "billing", "reporter": "mail"}

    def token(role: auth.Role) -> dict[str, str]:
        text = auth.issue(SECRET, tenant=tenant, role=role, subject="mail", ttl_s=60)
        return {"Authorization": f"Bearer {text}"}

    async with owning(bus, tenant, rules=center_of(centers.centers[0])), desk(bus, centers) as http:
        assert (await http.post("/v1/contacts", json=wish, headers=token("agent"))).status_code == 403
        taken = await http.post("/v1/contacts", json=wish, headers=token("service"))
        assert (taken.status_code, taken.json()["state"], taken.json()["position"]) == (200, "waiting", 1)
        (contact,) = (await http.get("/v1/contacts", headers=token("service"))).json()
        assert (contact["channel"], contact["queue"]) == ("email", "billing")
        left = await http.post("/v1/contacts/mail-1/leave", json={}, headers=token("service"))
        assert left.json()["state"] == "closed"
        gone = await http.post("/v1/contacts/mail-1/leave", json={}, headers=token("service"))
        assert (gone.status_code, gone.json()["type"]) == (404, "unknown-contact")
