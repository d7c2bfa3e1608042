"""Every race of a call on the simulated switch, with routing and queue as they are: ``tests/races/races.py`` tells which."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
from services.queue import contact_api, supervision_api
from services.routing.adapters.centers import center_of
from services.routing.core import views
from services.routing.core.center import Policy
from services.routing.core.facts import Decided
from services.routing.tenant import TenantOwner
from services.simswitch.channel import Channel
from services.simswitch.client import Client
from services.simswitch.connection import Link
from tests.freeswitch.switch import Watch, watching
from tests.integration.simswitch_kit import Phone
from tests.integration.test_queue_node import SECRET, Floor, Held, floor
from tests.races import world
from tests.races.races import RACES, Race
from tests.races.world import EXTENSIONS, Seen, World, sweep

CENTER = Path(__file__).parents[1] / "freeswitch" / "center.yaml"


_numbers = itertools.count(2_155_500_000)


class PoolPhone(Phone):
    """A phone that rings as long as the race wants."""

    ring_ms: tuple[int, int] = (0, 0)
    chance = random.Random(7)

    def invite(self, leg: Channel) -> None:
        self.after_s = self.chance.uniform(*self.ring_ms) / 1000
        super().invite(leg)


class HeldShard(Held):
    """A lease of routing's."""

    epoch = 1


class SimWorld(World):
    """Routing and queue in this process, over the real event socket client."""

    def __init__(self, house: Floor, http: httpx.AsyncClient, asks: Watch) -> None:
        super().__init__()
        self.house = house
        self._http = http
        self._asks = asks
        self._asking = asyncio.Lock()
        self.tests_own: set[Link] = set()
        self._phones = {extension: PoolPhone() for extension in EXTENSIONS.values()}
        for extension, phone in self._phones.items():
            house.sw.switch.register(extension, phone)

    def drop_clients(self) -> None:
        """The event sockets of the services break; the test's stay."""
        for link in list(self.house.sw.switch.links):
            if isinstance(link, Client) and link not in self.tests_own:
                link.drop()

    async def phones(self, ring_ms: int | tuple[int, int]) -> None:
        for phone in self._phones.values():
            phone.ring_ms = (ring_ms, ring_ms) if isinstance(ring_ms, int) else ring_ms

    async def dial(self, number: str, calls: int) -> None:
        for _ in range(calls):
            self.house.sw.switch.place_call(
                context="public", destination=number, caller_number=str(next(_numbers)), caller_name="Cust"
            )

    async def customers(self) -> None:
        self.house.sw.switch.phones["gateway"] = Phone("answer")

    async def hang_up(self, leg: str) -> None:
        if (channel := self.house.sw.switch.find(leg)) is not None:
            channel.end("NORMAL_CLEARING", by="caller" if channel.direction == "inbound" else "agent")

    async def press(self, leg: str, keys: str) -> None:
        if (channel := self.house.sw.switch.find(leg)) is not None:
            for key in keys:
                channel.press(key)

    async def wish(self, contact: str, verb: str, **body: str) -> dict[str, Any]:
        token = auth.issue(SECRET, tenant="lab", role="admin", subject="boss", ttl_s=60)
        answer = await self._http.post(
            f"/v1/contacts/{contact}/{verb}",
            headers={"Authorization": f"Bearer {token}"},
            json=body or None,
        )
        return dict(answer.json()) | {"http": answer.status_code}

    async def agents(self) -> dict[str, tuple[str, str]]:
        subject = subjects.rpc("lab", "routing", "agent", "list")
        answer = await self.house.bus.request(subject, rpc_pb2.ListAgents(), timeout_s=5)
        agents = codec.read(answer, views.AgentList).agents
        return {a.agent_id: (a.presence, a.activity) for a in agents if a.agent_id in EXTENSIONS}

    async def available(self, agent: str) -> None:
        await self._presence(agent, "available")

    async def away(self, agent: str) -> None:
        await self._presence(agent, "break", "rest")

    async def _presence(self, agent: str, presence: str, reason: str = "") -> None:
        subject = subjects.rpc("lab", "routing", "agent", "set-presence")
        wish = rpc_pb2.SetAgentPresence(agent_id=agent, presence=presence, reason=reason)
        await self.house.bus.request(subject, wish, timeout_s=5)

    async def log(self) -> list[Any]:
        entries = self.house.broker.entries(subjects.log("lab"))
        return [fact for entry in entries for fact in codec.read(entry, Decided).facts]

    async def api(self, command: str) -> str:
        async with self._asking:
            return await self._asks.api(command)

    async def calls(self) -> dict[str, str]:
        return {call.contact: call.state for call in self.house.runner.calls()}


@asynccontextmanager
async def pool(tmp_path: Path) -> AsyncIterator[SimWorld]:
    hub = GeventHub()
    hub.start()
    async with floor(tmp_path, hub, CENTER) as house:
        document = house.watch.current.tenant("lab")
        assert document is not None
        owner = TenantOwner(
            "lab", center_of(document), bus=house.bus, clock=SystemClock(), owner="r1", policy=Policy()
        )
        owning = asyncio.create_task(owner.run(HeldShard()))
        app = make_app("queue", "0", Readiness(), auth_secret=SECRET)
        app.include_router(contact_api.router(house.bus, lambda: house.watch.current))
        app.include_router(supervision_api.build_supervision_router(house.bus, lambda: house.watch.current))
        port = house.sw.socket.port
        ours = set(house.sw.switch.links)
        async with (
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://t", timeout=20
            ) as http,
            watching(port, "ClueCon") as asks,
            watching(port, "ClueCon", *world.EVENTS.split()) as events,
        ):
            made = SimWorld(house, http, asks)
            made.tests_own = set(house.sw.switch.links) - ours
            listening = asyncio.create_task(made.listen(events))
            try:
                for agent in EXTENSIONS:
                    await made.until("routing runs", lambda a=agent: _is_available(made, a))  # type: ignore[misc]
                yield made
            finally:
                for task in (listening, owning):
                    task.cancel()
                await asyncio.gather(listening, owning, return_exceptions=True)
    hub.stop()


async def _is_available(made: SimWorld, agent: str) -> bool:
    try:
        await made.available(agent)
    except Exception:  # nobody serves the tenant yet
        return False
    return True


async def run(tmp_path: Path, race: Callable[[SimWorld], Awaitable[None]]) -> None:
    async with pool(tmp_path) as made, made.race():
        await race(made)
        await made.at_rest()


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_race(tmp_path: Path, race: Race) -> None:
    await run(tmp_path, race)


async def test_the_event_socket_breaks_as_the_bridge_is_made(tmp_path: Path) -> None:
    """Between the variables and the bridge, or the bridge and its event: who talks is found talking, who does not waits or is joined."""

    async def race(w: SimWorld) -> None:
        await w.phones(300)

        async def drop(_: Seen) -> None:
            w.drop_clients()

        w.on("CHANNEL_ANSWER", "agent", sweep(0, 70, 2), drop)
        contacts = await w.callers(8)
        await w.acted()
        await w.become(contacts, "talking")
        await w.end(contacts)

    await run(tmp_path, race)
