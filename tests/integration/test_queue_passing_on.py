"""Routing and queue together on a simulated switch: agents hold, transfer, consult and confer, by HTTP and by keys of their phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common import auth
from services.common.bus import codec, subjects
from services.common.clock import SystemClock
from services.common.esl import GeventHub
from services.common.http import Readiness, make_app
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.queue import contact_api
from services.routing.adapters.centers import center_of
from services.routing.core import facts as f
from services.routing.core import views
from services.routing.core.center import Policy
from services.routing.tenant import TenantOwner
from services.simswitch.channel import Channel
from tests.integration.simswitch_kit import Phone
from tests.integration.test_queue_node import SECRET, Floor, Held, floor

AGENTS = {"sara": "1001", "omid": "1006"}


class HeldShard(Held):
    """A lease of routing's."""

    epoch = 1


@dataclass
class House:
    """One caller, two agents with phones, everything between."""

    floor: Floor
    phones: dict[str, Phone]
    http: httpx.AsyncClient
    contact: str = ""

    async def log(self, kind: type[Any], count: int = 1) -> list[Any]:
        """Until routing's log has so many facts of a kind."""

        def found() -> list[Any]:
            entries = self.floor.broker.entries(subjects.log("demo"))
            return [x for e in entries for x in codec.read(e, f.Decided).facts if isinstance(x, kind)]

        await self.floor.until(lambda: len(found()) >= count)
        return found()

    async def agent(self, agent_id: str) -> views.AgentState:
        subject = subjects.rpc("demo", "routing", "agent", "list")
        answer = await self.floor.bus.request(subject, rpc_pb2.ListAgents(), timeout_s=5)
        return next(a for a in codec.read(answer, views.AgentList).agents if a.agent_id == agent_id)

    async def becomes(self, agent_id: str, activity: str) -> None:
        async with asyncio.timeout(15):
            while (await self.agent(agent_id)).activity != activity:
                await asyncio.sleep(0.02)

    async def available(self, agent_id: str) -> None:
        subject = subjects.rpc("demo", "routing", "agent", "set-presence")
        wish = rpc_pb2.SetAgentPresence(agent_id=agent_id, presence="available")
        await self.floor.bus.request(subject, wish, timeout_s=5)

    async def wish(self, verb: str, agent: str = "sara", role: auth.Role = "agent", **body: str) -> Any:
        token = auth.issue(SECRET, tenant="demo", role=role, subject=agent, ttl_s=60)
        answer = await self.http.post(
            f"/v1/contacts/{self.contact}/{verb}",
            headers={"Authorization": f"Bearer {token}"},
            json={"agent" if name == "whom" else name: value for name, value in body.items()} or None,
        )
        return answer.json() | {"http": answer.status_code}

    @property
    def caller(self) -> Channel:
        return self.floor.sw.switch.channels[self.contact]

    def leg(self, agent: str) -> Channel:
        return self.phones[agent].legs[-1]

    async def together(self, one: Channel, other: Channel) -> None:
        await self.floor.until(lambda: one.partner is other and other.partner is one)

    async def state(self, state: str) -> None:
        await self.floor.until(lambda: [c.state for c in self.floor.runner.calls()] == [state])


@asynccontextmanager
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Sara talks with the caller; Omid is free."""
    hub = GeventHub()
    hub.start()
    async with floor(tmp_path, hub) as made:
        document = made.watch.current.tenant("demo")
        assert document is not None
        owner = TenantOwner(
            "demo", center_of(document), bus=made.bus, clock=SystemClock(), owner="r1", policy=Policy()
        )
        owning = asyncio.create_task(owner.run(HeldShard()))
        phones = {agent: Phone("answer") for agent in AGENTS}
        for agent, extension in AGENTS.items():
            made.sw.switch.register(extension, phones[agent])
        app = make_app("queue", "0", Readiness(), auth_secret=SECRET)
        app.include_router(contact_api.router(made.bus, lambda: made.watch.current))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t", timeout=20) as http:
            room = House(made, phones, http)
            try:
                await room.log(f.OwnerChanged)
                await room.available("sara")
                room.contact = await made.call()
                await room.log(f.ContactConnected)
                await room.together(room.caller, room.leg("sara"))
                await room.available("omid")
                yield room
            finally:
                owning.cancel()
                await asyncio.gather(owning, return_exceptions=True)
    hub.stop()


async def test_hold_and_resume_by_http_are_answered_after_their_effect(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert (await h.wish("hold", "omid"))["http"] == 403
        held = await h.wish("hold")
        assert (held["http"], held["state"]) == (200, "held")
        assert h.caller.partner is None
        await h.becomes("sara", "held")
        assert (await h.wish("hold"))["http"] == 409
        assert (await h.wish("resume", "stranger", "supervisor"))["http"] == 403
        resumed = await h.wish("resume", "boss", "admin")
        assert (resumed["http"], resumed["state"]) == (200, "talking")
        assert h.caller.partner is h.leg("sara")
        await h.becomes("sara", "talking")


async def test_a_blind_transfer_to_a_colleague(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        refused = await h.wish("transfer", kind="agent", target="nobody")
        assert (refused["http"], refused["type"].rsplit("/", 1)[-1]) == (409, "unknown-target")
        assert (await h.wish("transfer", kind="agent", target="omid"))["http"] == 200
        await h.log(f.ContactConnected, 2)
        await h.together(h.caller, h.leg("omid"))
        await h.becomes("sara", "wrap_up")
        h.caller.end("NORMAL_CLEARING", by="caller")
        closed = (await h.log(f.ContactClosed))[0]
        assert (closed.agent_id, closed.transfers, closed.result) == ("omid", 1, "answered")


async def test_a_blind_transfer_that_nobody_takes_comes_back_to_the_queue(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.phones["omid"].does = "decline"
        assert (await h.wish("transfer", kind="agent", target="1006"))["http"] == 200
        ended = await h.log(f.OfferEnded, 2)
        assert ended[1].outcome == "declined"
        await h.state("waiting")
        assert h.caller.app_log[-1][0] == "playback"


async def test_a_blind_transfer_to_a_number_goes_out(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        caller = h.caller
        await h.wish("transfer", kind="number", target="02112345")
        closed = (await h.log(f.ContactClosed))[0]
        assert (closed.ended_by, closed.result) == ("transfer", "answered")
        await h.floor.until(
            lambda: any(
                a[0] == "bridge"
                and "cc_trunk=carrier" in a[1]
                and a[1].endswith("sofia/gateway/trunk/02112345")
                for a in caller.app_log
            )
        )


async def consulting(h: House) -> Channel:
    """Sara talks with Omid about the caller, who hears music."""
    assert (await h.wish("consult", whom="omid"))["state"] == "consulting"
    await h.floor.until(lambda: bool(h.phones["omid"].legs))
    await h.together(h.leg("sara"), h.leg("omid"))
    await h.log(f.OfferEnded, 2)
    return h.leg("omid")


async def test_an_attended_transfer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        omid = await consulting(h)
        done = await h.wish("complete")
        assert (done["http"], done["agent_id"]) == (200, "omid")
        assert h.caller.partner is omid
        await h.log(f.ContactConnected, 2)
        await h.becomes("sara", "wrap_up")
        omid.end("NORMAL_CLEARING", by="agent")
        closed = (await h.log(f.ContactClosed))[0]
        assert (closed.agent_id, closed.transfers) == ("omid", 1)
        assert closed.hold_ms > 0
        assert closed.hold_ms <= closed.talk_ms


async def test_a_cancelled_consultation(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        omid = await consulting(h)
        assert (await h.wish("cancel"))["state"] == "talking"
        assert h.caller.partner is h.leg("sara")
        await h.floor.until(lambda: omid.down)
        await h.becomes("omid", "idle")
        await h.becomes("sara", "talking")


async def test_a_conference_that_the_first_agent_leaves(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        omid = await consulting(h)
        assert (await h.wish("conference"))["state"] == "conference"
        room = h.floor.sw.switch.conferences[h.contact]
        assert {member.leg for member in room.members.values()} == {h.caller, h.leg("sara"), omid}
        h.leg("sara").end("NORMAL_CLEARING", by="agent")
        await h.log(f.ContactConnected, 2)
        await h.floor.until(lambda: {member.leg for member in room.members.values()} == {h.caller, omid})
        h.caller.end("NORMAL_CLEARING", by="caller")
        assert (await h.log(f.ContactClosed))[0].agent_id == "omid"
        await h.floor.until(lambda: not h.floor.sw.switch.conferences)


@pytest.mark.parametrize("step", ["held", "consulting", "conference"])
async def test_a_killed_queue_goes_on_where_it_stood(tmp_path: Path, step: str) -> None:
    async with house(tmp_path) as h:
        if step == "held":
            await h.wish("hold")
        else:
            await consulting(h)
        if step == "conference":
            await h.wish("conference")
        await h.floor.die()
        h.floor.lease = Held("queue-2")
        h.floor.own()
        await h.state(step)
        verb = {"held": "resume", "consulting": "complete", "conference": "drop"}[step]
        done = await h.wish(verb, **({"whom": "sara"} if step == "conference" else {}))
        assert done["http"] == 200
        assert done["agent_id"] == ("sara" if step == "held" else "omid")


async def test_keys_of_the_phone_ask_a_colleague_and_hand_over(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        sara = h.leg("sara")
        for key in "*3":
            sara.press(key)
        await h.state("dialling")
        for key in "1006#":
            sara.press(key)
            await asyncio.sleep(0.03)
        await h.floor.until(lambda: bool(h.phones["omid"].legs))
        await h.together(sara, h.leg("omid"))
        await h.becomes("sara", "held")
        for key in "*4":
            sara.press(key)
        await h.together(h.caller, h.leg("omid"))
        await h.becomes("sara", "wrap_up")
        await h.becomes("omid", "talking")
