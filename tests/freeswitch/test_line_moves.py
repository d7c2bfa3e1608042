"""A node is emptied while callers wait: the other node takes over their lines inside the SIP dialog. A third FreeSWITCH is the carrier."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from tests.freeswitch.hearing import heard
from tests.freeswitch.steps import booked, hang_up, offers, until, waits
from tests.freeswitch.switch import FreeSwitch
from tests.freeswitch.test_two_nodes import Pair, two_nodes

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="module")]

TONES = {"caller": 440, "agent": 950}


@dataclass
class Emptied:
    """Two nodes and a carrier that is a SIP stack of its own."""

    pair: Pair
    carrier: FreeSwitch

    async def calls(self, number: str, name: str) -> str:
        """A customer calls ``number`` at fs1 and sends a tone; returns the carrier's leg."""
        tone = "'m:^:playback:tone_stream://%(1000,0,440);loops=-1' inline"  # ``&playback(...)`` would end at the first bracket.
        to = f"sofia/trunk/{number}@127.0.0.1:{self.pair.switch.trunk_port}"
        answer = await self.carrier.api(
            f"originate {{origination_uuid={name},originate_timeout=10}}{to} {tone}"
        )
        assert answer.startswith("+OK"), answer
        return name

    async def alive(self, leg: str) -> bool:
        return await self.carrier.api(f"uuid_exists {leg}") == "true"

    async def node_of(self, contact: str) -> str:
        found = {c["contact_id"]: c["node"] for c in (await self.pair.get("queue", "/v1/calls"))["calls"]}
        return str(found.get(contact, ""))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emptied(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emptied]:
    folder = tmp_path_factory.mktemp("line-moves")
    async with two_nodes(folder, refers=False) as pair:
        carrier = FreeSwitch(folder / "fs3", 1, name="fs3", beside=pair.switch)
        carrier.rtp_start = 34_000
        try:
            await carrier.start()
            yield Emptied(pair, carrier)
        finally:
            await carrier.stop()


async def test_a_waiting_caller_goes_on_at_the_other_node_at_the_same_place(emptied: Emptied) -> None:
    pair = emptied.pair
    line = await emptied.calls("2014", "customer-0")
    first = (await waits(pair, "steady"))[0]
    contact = str(first["contact_id"])
    assert (await pair.post("queue", "/v1/nodes/fs1/drain"))["state"] == "draining"

    async def there() -> bool:
        return await emptied.node_of(contact) == "fs2"

    await until("the caller waits on the other node", there)

    async def let_go() -> bool:
        return await pair.switch.api(f"uuid_exists {contact}") == "false"

    await until("nothing is left of its line here", let_go)
    assert await emptied.alive(line), "the carrier has heard the former node's BYE"
    moved = next(c for c in await pair.calls("steady", "waiting") if c["contact_id"] == contact)
    assert moved["waiting_since_us"] // 1000 == first["waiting_since_us"] // 1000
    assert (await pair.post("queue", "/v1/nodes/fs1/undrain"))["state"] == "in_service"
    await emptied.carrier.api(f"uuid_kill {line}")
    await booked(pair, {contact: "abandoned"}, entry_point="2014")


async def test_who_has_moved_is_served_first_and_whose_carrier_is_deaf_is_served_here(
    emptied: Emptied,
) -> None:
    pair = emptied.pair
    line = await emptied.calls("2014", "customer-1")
    first = (await waits(pair, "steady"))[0]
    deaf = await pair.lab.unmoved_caller("2014")
    second = next(c for c in await waits(pair, "steady", 2) if c["contact_id"] != first["contact_id"])
    assert (await pair.post("queue", "/v1/nodes/fs1/drain"))["state"] == "draining"

    async def there() -> bool:
        return await emptied.node_of(first["contact_id"]) == "fs2"

    await until("the first caller waits on the other node", there)

    async def let_go() -> bool:
        return await pair.switch.api(f"uuid_exists {first['contact_id']}") == "false"

    await until("nothing is left of its line here", let_go)
    assert await emptied.alive(line), "the carrier has heard the former node's BYE"
    moved = next(c for c in await pair.calls("steady", "waiting") if c["contact_id"] == first["contact_id"])
    assert moved["waiting_since_us"] // 1000 == first["waiting_since_us"] // 1000

    await pair.phones.register("1031")
    phone = await pair.phones.agent("1031", calls=2, hz=950)
    await pair.post("routing", "/v1/agents/yan/presence", presence="available")

    async def talks() -> Any:
        return [c["contact_id"] for c in await pair.calls("steady", "talking")]

    who = await until("the first caller talks", talks)
    assert who == [first["contact_id"]], f"the place is lost: {await offers(pair, first['contact_id'])}"
    seen: list[str] = []

    async def given_up() -> bool:
        """The re-INVITE to the carrier that does not answer is a leg of its own, for five seconds."""
        rows = json.loads(await pair.there.api("show channels as json")).get("rows", [])
        seen[:] = [f"{r['name']} {r['state']} {r['presence_data']}" for r in rows]
        return len(rows) == 2

    await until(f"the caller's line and the agent's are alone on one node, not {seen}", given_up)
    says, _ = await heard(replace(pair, switch=emptied.carrier), line, TONES)
    assert says == {"agent"}, "the customer does not hear the agent"
    rows = json.loads(await pair.there.api("show channels as json"))["rows"]
    legs = [str(r["uuid"]) for r in rows if r["presence_data"].startswith("c/lab/")]
    assert (await heard(replace(pair, switch=pair.there), legs[0], TONES)) == ({"caller"}, {"agent"})
    await emptied.carrier.api(f"uuid_kill {line}")
    assert await until("the second caller talks", talks) == [second["contact_id"]]
    assert await emptied.node_of(second["contact_id"]) == "fs1"
    await hang_up(pair, str(second["contact_id"]))
    assert (await deaf.done()).successful == 1
    assert (await phone.done()).successful == 2
    await booked(pair, {c["contact_id"]: "answered" for c in (first, second)}, entry_point="2014")

    async def drained() -> bool:
        listing = (await pair.get("queue", "/v1/nodes"))["nodes"]
        return {n["node"]: n["state"] for n in listing} == {"fs1": "drained", "fs2": "in_service"}

    await until("the node is empty", drained, 40)
    assert (await pair.post("queue", "/v1/nodes/fs1/undrain"))["state"] == "in_service"


async def test_a_line_moves_back_and_the_customers_hang_up_is_heard(emptied: Emptied) -> None:
    """To and fro: each re-INVITE has a higher number than the last, and the other side of the dialog is the caller's again."""
    pair = emptied.pair
    line = await emptied.calls("2014", "customer-2")
    contact = str((await waits(pair, "steady"))[0]["contact_id"])
    for source, target in (("fs1", "fs2"), ("fs2", "fs1")):
        await pair.post("queue", f"/v1/nodes/{source}/drain")

        async def there(node: str = target) -> bool:
            return await emptied.node_of(contact) == node and len(await pair.calls("steady", "waiting")) == 1

        await until(f"the caller waits on {target}", there)
        await pair.post("queue", f"/v1/nodes/{source}/undrain")
        assert await emptied.alive(line)
    await emptied.carrier.api(f"uuid_kill {line}")
    await booked(pair, {contact: "abandoned"}, entry_point="2014")
    await pair.no_legs()
