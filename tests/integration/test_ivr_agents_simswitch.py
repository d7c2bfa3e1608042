"""Callers who want one agent, on the simulated switch with ivr, routing and queue beside it: who rings, and where the others go.

Omid is always the one whom the queue would ask: he has been idle for longer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from services.center import load
from services.common.bus import codec
from services.common.bus.memory import MemoryBus
from services.common.clock import SystemClock
from services.common.errors import NotReady
from services.common.esl import SwitchAddress
from services.routing.adapters.centers import center_of
from services.routing.adapters.phones import PhoneWatch
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.simswitch.channel import Channel
from tests.integration.ivr_switch import told
from tests.integration.routing_kit import Outside, owning
from tests.integration.simswitch_kit import Phone
from tests.integration.test_surveys_simswitch import FRONT, Desk, desk

NUMBERS = {"mina": "1061", "omid": "1062"}


class Floor:
    """The node with its agents' phones; nobody is at work yet."""

    def __init__(self, node: Desk, outside: Outside) -> None:
        self.node = node
        self.outside = outside
        self.phones = {agent: Phone("answer") for agent in NUMBERS}
        for agent, phone in self.phones.items():
            node.sw.switch.register(NUMBERS[agent], phone)

    async def knows_phones(self, watch: PhoneWatch) -> None:
        """Until routing has been told of both."""
        await self.node.until(
            lambda: any(
                isinstance(known, i.PhonesListed) and known.extensions == set(NUMBERS.values())
                for known in (make(1) for make in watch.known())
            )
        )

    async def work(self, *agents: str, presence: str = "available") -> None:
        """Make the agents available, one after the other."""
        for agent in agents:
            assert (await self.outside.wish(agent, presence)).presence == presence

    def rung(self) -> dict[str, int]:
        """How often each phone has rung."""
        return {agent: len(phone.legs) for agent, phone in self.phones.items()}

    async def talks(self, agent: str, caller: Channel) -> Channel:
        """Until the agent talks with this caller; the agent's leg."""
        legs = self.phones[agent].legs

        def together() -> bool:
            return any(leg.partner is caller and leg.var("cc_contact") == caller.uuid for leg in legs)

        await self.node.until(together)
        return next(leg for leg in legs if leg.partner is caller)

    async def offered(self) -> list[tuple[str, str]]:
        """To whom routing has offered what, and by which rule."""
        return [(made.agent_id, made.why.rule) for made in await self.outside.facts(f.OfferMade)]

    async def steps(self) -> list[tuple[str, str]]:
        """The nodes that the calls went through, with their results."""
        return [
            (step.flow_node, step.result)
            for step in told(self.node.broker)
            if type(step).__name__ == "IvrStepTaken"
        ]


async def _owned(outside: Outside) -> None:
    """Until routing answers: what it is told of phones before is lost."""
    async with asyncio.timeout(15):
        while True:
            with contextlib.suppress(NotReady):
                await outside.wish("pia", "offline")
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    document = load(FRONT).tenant("front")
    assert document is not None
    rules = center_of(document)
    # A document's shortest ring takes five seconds. FreeSWITCH counts full ones: of three, two are sure to pass.
    queues = {name: msgspec.structs.replace(queue, ring_ms=3_000) for name, queue in rules.queues.items()}
    rules = msgspec.structs.replace(rules, queues=queues)
    async with desk(tmp_path) as (node, _):
        bus = MemoryBus(node.broker, source="/routing/1", clock=SystemClock())
        made = Floor(node, Outside(bus, "front"))
        async with owning(bus, "front", rules=rules) as owner:
            await _owned(made.outside)
            address = SwitchAddress("fs1", "127.0.0.1", node.sw.socket.port, "ClueCon")
            watch = PhoneWatch(node.hub, [address], owner.tell, lambda *_: None, node_grace_s=30)
            await watch.start()
            try:
                await made.knows_phones(watch)
                yield made
            finally:
                await watch.stop()
                await node.die()
        await bus.stop()


async def test_the_agent_who_is_free_is_rung_and_nobody_else(floor: Floor) -> None:
    await floor.work("omid", "mina")
    caller = floor.node.sw.caller("3010")
    await floor.talks("mina", caller)
    assert floor.rung() == {"mina": 1, "omid": 0}
    assert await floor.offered() == [("mina", "preferred")]


async def test_without_the_node_it_is_the_one_who_was_idle_for_longer(floor: Floor) -> None:
    await floor.work("omid", "mina")
    caller = floor.node.sw.caller("3012")
    await floor.talks("omid", caller)
    assert floor.rung() == {"mina": 0, "omid": 1}


async def test_an_agent_who_talks_is_not_rung_and_the_caller_goes_the_way_of_busy(floor: Floor) -> None:
    await floor.work("mina")
    talking = floor.node.sw.caller("3012")
    await floor.talks("mina", talking)
    await floor.work("omid")
    caller = floor.node.sw.caller("3010")
    await floor.node.plays(caller, "/en/wrong")
    await floor.node.until(lambda: caller.down)
    assert ("mina", "busy") in await floor.steps()
    assert floor.rung() == {"mina": 1, "omid": 0}
    assert not talking.down


async def test_who_waits_for_a_busy_agent_gets_that_agent_and_not_the_free_one(floor: Floor) -> None:
    await floor.work("mina")
    talking = floor.node.sw.caller("3012")
    leg = await floor.talks("mina", talking)
    await floor.work("omid")
    caller = floor.node.sw.caller("3011")
    await floor.node.fact("waiting", 2)
    leg.end("NORMAL_CLEARING", by="agent")
    await floor.talks("mina", caller)
    assert floor.rung() == {"mina": 2, "omid": 0}


@pytest.mark.parametrize("how", ["offline", "break", "no phone"])
async def test_an_agent_who_is_not_there_is_not_waited_for(floor: Floor, how: str) -> None:
    await floor.work("omid")
    if how == "no phone":
        await floor.work("mina")
        floor.node.sw.switch.unregister(NUMBERS["mina"])
        await floor.outside.until(f.AgentPhoneChanged, 3)
    else:
        await floor.work("mina", presence=how)
    caller = floor.node.sw.caller("3010")
    await floor.node.plays(caller, "/en/closed")
    await floor.node.until(lambda: caller.down)
    assert ("mina", "away") in await floor.steps()
    assert floor.rung() == {"mina": 0, "omid": 0}
    assert floor.node.facts("waiting") == []


@pytest.mark.parametrize(("how", "outcome"), [("silent", "no_answer"), ("decline", "declined")])
async def test_an_agent_who_does_not_answer_leaves_the_caller_to_the_rest_of_the_queue(
    floor: Floor, how: str, outcome: str
) -> None:
    floor.phones["mina"].does = how
    await floor.work("omid", "mina")
    caller = floor.node.sw.caller("3010")
    await floor.talks("omid", caller)
    assert floor.rung() == {"mina": 1, "omid": 1}
    assert [agent for agent, _ in await floor.offered()] == ["mina", "omid"]
    (missed, _) = await floor.outside.until(f.OfferEnded, 2)
    assert (missed.agent_id, missed.outcome) == ("mina", outcome)
    (waiting,) = floor.node.facts("waiting")
    assert codec.decode(waiting).contact_id == caller.uuid, "the caller has waited once, in one place"


@pytest.mark.parametrize("how", ["silent", "decline", "busy"])
async def test_an_agent_who_does_not_answer_leaves_the_caller_to_the_message(floor: Floor, how: str) -> None:
    floor.phones["mina"].does = how
    await floor.work("omid", "mina")
    caller = floor.node.sw.caller("3014")
    await floor.node.plays(caller, "/en/leave")
    await floor.node.sw.until(lambda: any(app == "record" for app, _, _ in caller.app_log))
    assert floor.rung() == {"mina": 1, "omid": 0}
    (left,) = await floor.outside.until(f.ContactOverflowed, 1)
    assert (left.contact_id, left.reason, left.action, left.target) == (
        caller.uuid, "no_answer", "voicemail", "leave",
    )  # fmt: skip


async def test_who_goes_on_to_another_queue_does_not_wait_for_the_agent_any_more(floor: Floor) -> None:
    floor.phones["mina"].does = "decline"
    await floor.work("mina")
    caller = floor.node.sw.caller("3015")
    await floor.node.sw.until(lambda: caller.var("cc_queue") == "box")
    assert (caller.var("cc_no_answer"), caller.down) == ("", False)
    assert floor.rung()["mina"] == 1
