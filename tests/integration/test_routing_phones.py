"""Registrations and node connections, from the simulated switch's event socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.common.esl import GeventHub, SwitchAddress
from services.routing.adapters.phones import MakeInput, PhoneWatch
from services.routing.core import inputs as i
from tests.integration.simswitch_kit import Lab, Phone, lab


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
            assert [make(1) for make in watch.known()] == [
                i.NodeSeen(at_us=1, node="fs1", up=True),
                phones(),
                i.OwnCallsListed(at_us=1, node="fs1", legs={}),
            ]


def own_call(leg: str, extension: str, direction: str, *, began: bool) -> i.OwnCallChanged:
    return i.OwnCallChanged(
        at_us=1, extension=extension, leg_id=leg, node="fs1", began=began, direction=direction
    )


async def test_calls_of_a_phone_are_its_own_unless_they_carry_an_offer(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch, watched(switch, told, node_grace_s=30) as watch:
        await told.until(i.OwnCallsListed(at_us=1, node="fs1", legs={}))
        phone = Phone("answer")
        switch.switch.register("1001", phone)
        client = await switch.client()
        await client.api("originate {origination_uuid=own-leg}user/1001@peyvand.local &park()")
        await told.until(own_call("own-leg", "1001", "outbound", began=True))
        await client.api(
            "originate {origination_uuid=our-leg,cc_offer=o1,cc_contact=c1,cc_agent=sara,cc_role=agent}"
            "user/1001@peyvand.local &park()"
        )
        dialled = switch.switch.place_call(
            context="agents", destination="1002", caller_number="1001", caller_name="Sara", user_name="1001"
        )
        await told.until(own_call(dialled.uuid, "1001", "inbound", began=True))
        stranger = switch.caller("1000")  # a caller who says nothing about a phone of ours
        known = [make(1) for make in watch.known()]
        assert i.OwnCallsListed(at_us=1, node="fs1", legs={"own-leg": "1001", dialled.uuid: "1001"}) in known
        assert (await client.api(f"uuid_setvar {dialled.uuid} cc_offer o2")).startswith(
            "+OK"
        )  # It dials out.
        for leg in ("own-leg", "our-leg", dialled.uuid, stranger.uuid):
            switch.switch.channels[leg].end("NORMAL_CLEARING", by="agent")
        await told.until(own_call("own-leg", "1001", "outbound", began=False))
        await told.until(own_call(dialled.uuid, "1001", "inbound", began=False))
        legs = {inp.leg_id for inp in told.inputs if isinstance(inp, i.OwnCallChanged)}
        assert legs == {"own-leg", dialled.uuid}


async def test_own_calls_that_ended_while_the_connection_was_away_are_found(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch, watched(switch, told, node_grace_s=30):
        await told.until(i.OwnCallsListed(at_us=1, node="fs1", legs={}))
        switch.switch.register("1001", Phone("answer"))
        client = await switch.client()
        for leg in ("ends", "lives"):
            await client.api(f"originate {{origination_uuid={leg}}}user/1001@peyvand.local &park()")
            await told.until(own_call(leg, "1001", "outbound", began=True))
        port = switch.socket.port
        await switch.socket.stop()
        switch.switch.channels["ends"].end("NORMAL_CLEARING", by="agent")
        await switch.until(lambda: "ends" not in switch.switch.channels)
        await switch.socket.start("127.0.0.1", port)
        await told.until(i.OwnCallsListed(at_us=1, node="fs1", legs={"lives": "1001"}))


async def test_an_own_call_that_began_before_anybody_watched_ends(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch:
        dialled = switch.switch.place_call(
            context="agents", destination="1002", caller_number="1001", caller_name="Sara", user_name="1001"
        )
        async with watched(switch, told, node_grace_s=30):
            await told.until(i.OwnCallsListed(at_us=1, node="fs1", legs={dialled.uuid: ""}))
            switch.switch.channels[dialled.uuid].end("NORMAL_CLEARING", by="agent")
            await told.until(own_call(dialled.uuid, "1001", "inbound", began=False))


async def test_node_that_stays_away_becomes_unknown_after_the_grace(tmp_path: Path) -> None:
    told = Told()
    async with lab(tmp_path) as switch, watched(switch, told) as watch:
        await told.until(phones())
        before = len(told.inputs)  # a slow first connection outlasts the grace as well
        await switch.socket.stop()
        await told.until(i.NodeSeen(at_us=1, node="fs1", up=False), after=before)
        assert told.ready == {"switch:fs1": False}
        assert [make(1) for make in watch.known()] == [i.NodeSeen(at_us=1, node="fs1", up=False)]
