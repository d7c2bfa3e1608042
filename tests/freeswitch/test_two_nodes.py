"""Two real FreeSWITCH nodes: the caller is on one, the agent's phone is registered with the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.dev.stack import Stack, find_shift, table
from tests.freeswitch.conftest import CENTERS, Rig
from tests.freeswitch.sipp import Lab, Sipp
from tests.freeswitch.steps import (
    booked,
    hang_up,
    loudness,
    middle,
    offers,
    on_duty,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
    until,
    waits,
)
from tests.freeswitch.switch import FreeSwitch, find_binary
from tests.freeswitch.test_supervision import AGENT_HZ, CALLER_HZ, SUPERVISOR_HZ, Talk

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="module")]


@dataclass(kw_only=True)
class Pair(Rig):
    """Callers come to ``switch`` (fs1) by ``lab``; phones register with ``there`` (fs2) by ``phones``."""

    there: FreeSwitch
    phones: Lab

    async def legs(self) -> tuple[int, int]:
        """How many legs the two nodes have."""
        return await self.switch.channels(), await self.there.channels()

    async def no_legs(self) -> None:
        async def none() -> bool:
            return await self.legs() == (0, 0)

        await until("no leg is left on either node", none, 15)

    async def has_phone_there(self, agent_id: str, extension: str) -> None:
        """Register with fs2 and be available."""
        await self.phones.register(extension)
        await on_duty(self, agent_id)

    async def phones_of(self, extension: str, calls: int) -> Sipp:
        """A phone that answers, where ``extension`` is registered or will be."""
        await self.phones.register(extension)
        return await self.phones.agent(extension, calls=calls)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    async with two_nodes(tmp_path_factory.mktemp("two-nodes"), refers=True) as made:
        yield made


@contextlib.asynccontextmanager
async def two_nodes(folder: Path, *, refers: bool) -> AsyncIterator[Pair]:
    """``refers``: waiting callers of a node that drains are moved by REFER; otherwise their lines are taken over."""
    if find_binary() is None:
        pytest.skip("no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN")
    if shutil.which("sipp") is None:
        pytest.skip("no SIPp: install Debian's sip-tester")
    shift = find_shift(20_000)
    ivr_port = next(r for r in table() if r.name == "ivr").esl_port + shift
    here = FreeSwitch(folder / "fs1", ivr_port)
    there = FreeSwitch(folder / "fs2", ivr_port, name="fs2", beside=here)
    nodes = ",".join(f"{s.name}=127.0.0.1:{s.nodes_port}" for s in (here, there))
    addresses = ",".join(f"{s.name}=127.0.0.1:{s.trunk_port}" for s in (here, there)) if refers else ""
    stack = Stack(
        folder / "stack",
        centers=CENTERS[0],
        switches=f"{here.address},{there.address}",
        shift=shift,
        sounds=here.sounds,
        recordings=here.recordings,
        cdr_spool=here.cdr_spool,
        extra_env={
            "queue": {
                "PEYVAND_QUEUE_NODES": nodes,
                "PEYVAND_QUEUE_REFERS": addresses,
                "PEYVAND_QUEUE_MOVES": "true",
            }
        },
    )
    lab, phones = Lab(here, folder / "callers"), Lab(there, folder / "phones")
    try:
        await stack.prepare_prompts()
        await asyncio.gather(here.start(), there.start())
        await stack.start()
        yield Pair(switch=here, stack=stack, lab=lab, there=there, phones=phones)
    finally:
        await asyncio.gather(lab.close(), phones.close())
        await stack.stop()
        stack.close()
        await asyncio.gather(here.stop(), there.stop())


async def test_caller_and_agent_of_two_nodes_hear_each_other(pair: Pair) -> None:
    """The bridge, the recording and the books are the caller's node's; the other one is a piece of the line."""
    await pair.has_phone_there("xia", "1030")
    phone = await pair.phones.agent("1030", hz=950)
    caller = await pair.lab.callers("2013", hz=440)
    contact_id = str((await talks(pair, "tones"))[0]["contact_id"])
    assert await pair.legs() == (2, 2)
    # What goes on there is no call of the agent's own, and no call of that node's.
    assert (await pair.agent("xia"))["activity"] == "talking"
    assert [c["node"] for c in (await pair.get("queue", "/v1/calls"))["calls"]] == ["fs1"]
    await asyncio.sleep(4)  # something to hear
    await hang_up(pair, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await pair.no_legs()
    samples, rate = await sound_of(pair, (await recording_of(pair, contact_id))["recording_id"])
    for channel, hz in ((0, 440), (1, 950)):
        heard = middle(samples)[:, channel]
        assert loudness(heard) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(heard, rate) - hz) < 10
    await booked(pair, {contact_id: "answered"}, entry_point="2013")

    async def four() -> bool:
        page = await pair.get("reporting", "/v1/reports/legs", limit="500")
        mine = [leg for leg in page["items"] if leg["contact_id"] == contact_id]
        return sorted(leg["node"] for leg in mine) == ["fs1", "fs1", "fs2", "fs2"]

    await until("all four legs are in the books", four)


async def test_the_phone_of_the_other_node_stops_ringing_when_the_caller_leaves(pair: Pair) -> None:
    await pair.has_phone_there("yan", "1031")
    rings = await pair.phones.silent_agent("1031")
    caller = await pair.lab.callers("2014", patience_ms=2500, hz=0)
    await until("the caller is offered", lambda: pair.calls("steady", "offered"))
    assert (await caller.done()).successful == 1
    assert (await rings.done(3)).successful == 1, "the phone was not told to stop ringing"
    await pair.no_legs()
    await pair.post("routing", "/v1/agents/yan/presence", presence="offline")


@pytest.mark.parametrize(
    ("agent", "extension", "queue", "entry", "status", "outcome"),
    [
        ("jan", "1010", "refused", "2002", "486 Busy Here", "busy"),
        ("mia", "1013", "missed", "2003", "603 Decline", "declined"),
        ("qui", "1017", "absent", "2005", "503 Service Unavailable", "unreachable"),
    ],
)
async def test_what_the_phone_there_answers_is_what_the_offer_ends_with(
    pair: Pair, agent: str, extension: str, queue: str, entry: str, status: str, outcome: str
) -> None:
    await pair.has_phone_there(agent, extension)
    phone = await pair.phones.refusing_agent(extension, status, calls=20)
    caller = await pair.lab.callers(entry, hz=0)
    contact_id = str(
        (await until("somebody waits", lambda: pair.calls(queue, "waiting", "offered")))[0]["contact_id"]
    )

    async def ended() -> Any:
        return [o for o in await offers(pair, contact_id) if o["outcome"] not in ("", "open", None)]

    made = await until("the first offer is over", ended)
    assert (made[0]["agent_id"], made[0]["outcome"]) == (agent, outcome)
    await hang_up(pair, contact_id)
    assert (await caller.done()).successful == 1
    await phone.stop()
    await pair.post("routing", f"/v1/agents/{agent}/presence", presence="offline")
    await pair.no_legs()


async def test_hold_by_the_phone_and_by_its_keys_reach_the_callers_node(pair: Pair) -> None:
    """The phone's own hold key (re-INVITE to its node), and ``*1`` (keys through its node)."""
    await pair.has_phone_there("zoe", "1032")
    phone = await pair.phones.holding_agent("1032", talk_ms=1500, hold_ms=3000, hz=950)
    caller = await pair.lab.callers("2015", hz=440)
    contact_id = str((await talks(pair, "next"))[0]["contact_id"])

    async def is_(activity: str) -> None:
        async def seen() -> bool:
            return bool((await pair.agent("zoe"))["activity"] == activity)

        await until(f"zoe is {activity}", seen, 15)

    await is_("held")
    await is_("talking")
    await hang_up(pair, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await pair.no_legs()

    await pair.has_phone_there("zoe", "1032")
    phone = await pair.phones.agent("1032", keys=[(2000, "*"), (200, "1"), (4000, "*"), (200, "1")])
    caller = await pair.lab.callers("2015", hz=440)
    contact_id = str((await talks(pair, "next"))[0]["contact_id"])
    await is_("held")
    await is_("talking")
    await hang_up(pair, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await pair.no_legs()


async def test_a_supervisor_whose_phone_is_on_the_other_node_listens_whispers_and_barges(pair: Pair) -> None:
    await on_duty(pair, "hel", "1047")  # With the caller's node.
    await pair.phones.register("1048")
    phone = await pair.lab.agent("1047", hz=AGENT_HZ)
    caller = await pair.lab.callers("2047", hz=CALLER_HZ)
    contact = str((await talks(pair, "heard"))[0]["contact_id"])
    rows = json.loads(await pair.switch.api("show channels as json"))["rows"]
    leg = next(str(r["uuid"]) for r in rows if r["presence_data"].startswith(f"a/lab/{contact}/"))
    talk = Talk(pair, contact, leg, caller, phone)
    supervisor = await pair.phones.agent("1048", hz=SUPERVISOR_HZ, keys=((9_000, "*"), (200, "3")))
    answer = await talk.wish("listen")
    assert (answer.status_code, answer.json()["agent_id"]) == (200, "hel"), answer.text
    ear = await talk.ear()
    await talk.hears_it(ear, "listen")
    assert await pair.legs() == (3, 2)
    assert (await pair.agent("sup"))["activity"] == "own_call", "who listens is offered nothing"
    assert (await talk.heard(ear))[1] == {"caller", "agent"}
    assert (await talk.heard(leg))[1] == {"caller"}
    assert (await talk.wish("whisper")).status_code == 200
    assert (await talk.heard(leg))[1] == {"caller", "supervisor"}
    assert (await talk.heard(contact))[1] == {"agent"}
    await talk.hears_it(ear, "barge")  # By the keys of the phone there.
    assert (await talk.heard(contact))[1] == {"agent", "supervisor"}
    assert (await talk.wish("off")).json()["state"] == "ended"
    assert (await supervisor.done(10)).successful == 1
    await talk.end()
    await pair.no_legs()


async def test_an_agent_whose_phone_is_on_the_other_node_calls_by_click(pair: Pair) -> None:
    await pair.has_phone_there("xia", "1030")
    phone = await pair.phones.agent("1030", hz=950)
    customer = await pair.phones.customer(talk_ms=60_000, hz=440)
    await pair.post("routing", "/v1/agents/xia/calls", number="2177665544")
    (call,) = await until("xia talks", lambda: pair.calls("tones", "talking"))
    assert call["node"] == "fs2", "the call is placed where the phone is"
    await hang_up(pair, str(call["contact_id"]))
    assert (await phone.done()).successful == 1
    assert (await customer.done()).successful == 1
    await pair.post("routing", "/v1/agents/xia/presence", presence="offline")
    await pair.no_legs()


async def test_a_phone_that_moves_to_the_callers_node_is_called_there(pair: Pair) -> None:
    await pair.has_phone_there("pat", "1016")
    await on_duty(pair, "pat", "1016")  # Registers with fs1.
    phone = await pair.lab.agent("1016")
    caller = await pair.lab.callers("2006", hz=0)
    contact_id = str((await talks(pair, "relief"))[0]["contact_id"])
    assert await pair.legs() == (2, 0)
    await hang_up(pair, contact_id)
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await pair.no_legs()


async def test_a_node_that_drains_takes_nobody_and_who_waits_keeps_the_place_on_the_other(pair: Pair) -> None:
    """The carrier of the first caller follows the REFER, that of the second does not: nobody is lost, and the first stays the first."""
    follows = await pair.lab.referred_caller("2014", "202 Accepted")
    first = (await waits(pair, "steady"))[0]
    refuses = await pair.lab.referred_caller("2014", "405 Method Not Allowed")
    second = next(c for c in await waits(pair, "steady", 2) if c["contact_id"] != first["contact_id"])
    assert (await pair.post("queue", "/v1/nodes/fs1/drain"))["state"] == "draining"

    async def referred() -> str:
        text = (follows.folder / "messages.log").read_text(errors="replace")
        found = re.search(r"^Refer-To: *<?sip:([^@]+)@", text, re.MULTILINE)
        return found[1] if found else ""

    user = await until("the carrier is asked to move the call", referred)
    assert user == f"move-lab.{first['contact_id']}"
    moved = await pair.phones.callers(user, hz=440)  # What a carrier does then.

    async def there() -> bool:
        found = {c["contact_id"]: c for c in await pair.calls("steady", "waiting")}
        return {found[c["contact_id"]]["node"] for c in (first,) if c["contact_id"] in found} == {"fs2"}

    await until("the contact waits on the other node", there)
    assert (await follows.done(10)).successful == 1, "the first line was not let go"
    found = {c["contact_id"]: c for c in await pair.calls("steady", "waiting", "offered")}
    assert found[first["contact_id"]]["waiting_since_us"] // 1000 == first["waiting_since_us"] // 1000
    assert found[second["contact_id"]]["node"] == "fs1", "whose carrier refuses stays"
    late = await pair.lab.callers("2014", patience_ms=1000)
    assert (await late.done()).failed == 1
    assert "SIP/2.0 503" in (late.folder / "messages.log").read_text()

    phone = await pair.phones_of("1031", calls=2)
    await pair.post("routing", "/v1/agents/yan/presence", presence="available")
    assert (await talks(pair, "steady"))[0]["contact_id"] == first["contact_id"], "the place is lost"
    await hang_up(pair, str(first["contact_id"]))
    assert (await moved.done()).successful == 1

    async def next_() -> bool:
        return [c["contact_id"] for c in await pair.calls("steady", "talking")] == [second["contact_id"]]

    await until("the second caller talks", next_)
    await hang_up(pair, str(second["contact_id"]))
    assert (await refuses.done()).successful == 1
    assert (await phone.done()).successful == 2
    await booked(pair, {c["contact_id"]: "answered" for c in (first, second)}, entry_point="2014")

    async def drained() -> bool:
        listing = (await pair.get("queue", "/v1/nodes"))["nodes"]
        return {n["node"]: n["state"] for n in listing} == {"fs1": "drained", "fs2": "in_service"}

    await until("the node is empty", drained, 40)
    assert (await pair.post("queue", "/v1/nodes/fs1/undrain"))["state"] == "in_service"
    again = await pair.lab.callers("2014", patience_ms=1000)
    assert (await again.done()).successful == 1


async def test_the_death_of_the_agents_node_sends_the_caller_back_to_the_head_of_the_queue(
    pair: Pair,
) -> None:
    """kill -9 of the phone's node in a conversation; nobody is stuck, and the next agent has the same contact."""
    await pair.has_phone_there("abe", "1033")
    await pair.phones.agent("1033")
    caller = await pair.lab.callers("2016", hz=440)
    first = (await talks(pair, "node-lost"))[0]
    await pair.there.kill()
    back = (await waits(pair, "node-lost"))[0]
    assert (back["contact_id"], back["waiting_since_us"]) == (first["contact_id"], first["waiting_since_us"])

    async def gone() -> bool:
        return bool((await pair.agent("abe"))["activity"] in ("unreachable", "wrap_up"))

    await until("abe is free of the call", gone)
    await pair.lab.register(
        "1033"
    )  # The phone registers with the node that is left; the caller waits for it.
    phone = await pair.lab.agent("1033")
    assert (await talks(pair, "node-lost"))[0]["contact_id"] == first["contact_id"]
    assert await pair.switch.channels() == 2
    await hang_up(pair, str(first["contact_id"]))
    assert (await caller.done()).successful == 1
    assert (await phone.done()).successful == 1
    await booked(pair, {str(first["contact_id"]): "answered"}, entry_point="2016")
    made = await offers(pair, str(first["contact_id"]))
    assert [o["outcome"] for o in made] == ["accepted", "accepted"]
    await pair.there.start()
