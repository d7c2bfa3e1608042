"""The pool of agents of ``tests/races`` on a real switch, with SIPp as its phones and as callers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from services.common.bus import codec, subjects
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.routing.core.facts import Decided
from tests.freeswitch.conftest import Rig
from tests.freeswitch.dialogs import Dialogs
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import until
from tests.freeswitch.switch import Watch, free_port
from tests.races import world
from tests.races.world import EXTENSIONS, POOL, World

_numbers = itertools.count(100)


class RealWorld(World):
    """The pool's phones are one SIPp at which all of its extensions are registered."""

    def __init__(self, rig: Rig, *, own_phones: Sequence[str] = (), on_duty: Sequence[str] = POOL) -> None:
        """``own_phones``: agents whose phones are not the common SIPp; their calls come to ``ports``. ``on_duty``: who is logged in."""
        super().__init__()
        self.rig = rig
        self.port = free_port(socket.SOCK_DGRAM)
        self.ports = {agent: free_port(socket.SOCK_DGRAM) for agent in own_phones}
        self._on_duty = on_duty
        self.bus = NatsBus(rig.stack.nats_url, source="/test/1", clock=SystemClock())
        self._phones: Sipp | None = None
        self._callers: list[Sipp] = []
        self.dialogs = Dialogs(rig.switch, self.api)
        self._entries: list[Any] = []
        self._read_to = 0
        self._asking = asyncio.Lock()
        self._socket: Watch | None = None

    async def open(self, asks: Watch) -> None:
        self._socket = asks
        self.bus.start()
        for agent, extension in EXTENSIONS.items():
            self.rig.lab.phones[extension] = self.ports.get(agent, self.port)
        await asyncio.gather(*(self.rig.lab.register(extension) for extension in EXTENSIONS.values()))
        for agent in self._on_duty:
            await self.log_in(agent)

    async def close(self) -> None:
        for agent in EXTENSIONS:
            await self.rig.post("routing", f"/v1/agents/{agent}/presence", presence="offline")
        for process in (*self._callers, *([self._phones] if self._phones else [])):
            await process.stop()
        await self.bus.stop()

    async def phones(self, ring_ms: int | tuple[int, int]) -> None:
        if self._phones is not None:
            await self._phones.stop()
        self._phones = await self.rig.lab.agent(
            "", ring_ms=ring_ms, talk_ms=100_000, calls=1000, port=self.port, echo=False
        )

    async def dial(self, number: str, calls: int) -> None:
        self._callers.append(
            await self.rig.lab.callers(
                number,
                calls=calls,
                rate=50,
                hz=0,
                patience_ms=100_000,
                ani=f"2155{next(_numbers)}[call_number]",
            )
        )

    async def customers(self) -> None:
        port = self.rig.switch.carrier_port
        self._callers.append(
            await self.rig.lab.agent("", ring_ms=100, talk_ms=100_000, calls=99, port=port, echo=False)
        )

    async def hang_up(self, leg: str) -> None:
        await self.dialogs.bye(leg, self._event_of(leg))

    async def press(self, leg: str, keys: str) -> None:
        await self.dialogs.press(leg, keys, self._event_of(leg))

    def _event_of(self, leg: str) -> dict[str, str] | None:
        return next((seen.headers for seen in reversed(self.seen) if seen.leg == leg), None)

    async def wish(self, contact: str, verb: str, **body: str) -> dict[str, Any]:
        token = self.rig.stack.token("lab", "admin")
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            answer = await client.post(
                f"{self.rig.stack.http('queue')}/v1/contacts/{contact}/{verb}",
                headers={"Authorization": f"Bearer {token}"},
                json=body or None,
            )
        return dict(answer.json()) | {"http": answer.status_code}

    async def agents(self) -> dict[str, tuple[str, str]]:
        agents = await self.rig.get("routing", "/v1/agents")
        return {a["agent_id"]: (a["presence"], a["activity"]) for a in agents if a["agent_id"] in EXTENSIONS}

    async def available(self, agent: str) -> Any:
        return await self.rig.post("routing", f"/v1/agents/{agent}/presence", presence="available")

    async def away(self, agent: str) -> None:
        await self.rig.post("routing", f"/v1/agents/{agent}/presence", presence="break", reason="rest")

    async def log_in(self, agent: str) -> None:
        """Make an agent available, as soon as that is possible."""
        await until(f"{agent} may be made available", lambda: self.available(agent))

    async def log(self) -> list[Any]:
        async for envelope in self.bus.read_log(subjects.log("lab"), after_seq=self._read_to):
            self._read_to = envelope.stream_seq
            self._entries += codec.read(envelope, Decided).facts
        return self._entries

    async def api(self, command: str) -> str:
        assert self._socket is not None
        async with self._asking:
            return await self._socket.api(command)

    async def calls(self) -> dict[str, str]:
        calls = (await self.rig.get("queue", "/v1/calls"))["calls"]
        return {c["contact_id"]: c["state"] for c in calls}


@contextlib.asynccontextmanager
async def opened(rig: Rig, made: RealWorld) -> AsyncIterator[RealWorld]:
    """Log the pool in, and out at the end."""
    async with rig.switch.watch() as asks, rig.switch.watch(*world.EVENTS.split()) as watch:
        listening = asyncio.create_task(made.listen(watch))
        try:
            await made.open(asks)
            yield made
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await made.close()
