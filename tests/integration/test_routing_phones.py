"""Registrations and node connections, from the simulated switch's event socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.common.esl import GeventHub, SwitchAddress
from services.routing.adapters.phones import MakeInput, PhoneWatch
from services.routing.core import inputs as i
from tests.integration.simswitch_kit import Lab, lab


class Told:
    """What the owner of a tenant is told."""

    def __init__(self) -> None:
        self.inputs: list[i.AnyInput] = []
        self.ready: dict[str, bool] = {}
        self._news = asyncio.Condition()

    def tell(self, make: MakeInput) -> None:
        self.inputs.append(make(1))
        self._notice()

    def on_ready(self, part: str, ok: bool, detail: str) -> None:
        self.ready[part] = ok

    def _notice(self) -> None:
        async def notify() -> None:
            async with self._news:
                self._news.notify_all()

        self._notifying = asyncio.get_running_loop().create_task(notify())

    async def until(self, wanted: i.AnyInput, *, after: int = 0) -> None:
        """Wait until it was told, not counting the first ``after`` inputs."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: wanted in self.inputs[after:])


@asynccontextmanager
async def watched(switch: Lab, told: Told, node_grace_s: float = 0.05) -> AsyncIterator[PhoneWatch]:
    hub = GeventHub()
    hub.start()
    address = SwitchAddress("fs1", "127.0.0.1", switch.socket.port, "ClueCon")
    watch = PhoneWatch(hub, [address], told.tell, told.on_ready, node_grace_s)
    await watch.start()
    await watch.start()  # the second shard: already watching
    try:
        yield watch
    finally:
        await watch.stop()
        hub.stop()


def phones(*extensions: str) -> i.PhonesListed:
    return i.PhonesListed(at_us=1, node="fs1", extensions=frozenset(extensions))


async def test_phones_are_listed_first_and_followed_then(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch:
        switch.switch.register("1001")
        async with watched(switch, told, node_grace_s=30) as watch:
            await told.until(phones("1001"))
            assert told.inputs[0] == i.NodeSeen(at_us=1, node="fs1", up=True)
            assert told.ready == {"switch:fs1": True}
            switch.switch.register("1002")
            await told.until(i.PhoneChanged(at_us=1, extension="1002", registered=True, node="fs1"))
            switch.switch.unregister("1001")
            await told.until(phones("1002"))
            switch.switch.unregister("1002", expired=True)
            await told.until(phones())
            assert [make(1) for make in watch.known()] == [i.NodeSeen(at_us=1, node="fs1", up=True), phones()]


async def test_node_that_stays_away_becomes_unknown_after_the_grace(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch, watched(switch, told) as watch:
        await told.until(phones())
        before = len(told.inputs)  # a slow first connection outlasts the grace as well
        await switch.socket.stop()
        await told.until(i.NodeSeen(at_us=1, node="fs1", up=False), after=before)
        assert told.ready == {"switch:fs1": False}
        assert [make(1) for make in watch.known()] == [i.NodeSeen(at_us=1, node="fs1", up=False)]
