"""A house full of calls, one in each moment of a call, and a process of ours that is killed or hangs: nobody notices.

The moments: in the menu, waiting, offered (the phone has not said that it rings), ringing, answering (the process dies as the phone is
answered), talking, held, consulting, in a conference, supervised, and a customer who is being called back. All of them stand at the same time, so that
each fault meets all of them: who talks talks on with the same party, who waits keeps the place, who rings is answered and bridged, whatever was
begun can be ended, and the books are right.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.pool import RealWorld, opened
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import asks, comes_on, until, waits
from tests.races.world import POOL, Seen

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]

READY_S = 120.0  # Loading Python takes its time on a busy machine.
HANGS_S = 6.0  # Longer than a lease: who hangs so long has lost the node, or the tenant, when it goes on.
TALKS, HOLDS, CONSULTS, CONFERS, SUPERVISED, COLLEAGUE, THIRD, RINGS, TRIES, ANSWERS = POOL
_numbers = itertools.count(2_155_561_100)  # Of customers: one who asks again has the callback that there is.

Fault = Callable[[Rig], Awaitable[None]]


def killed(name: str) -> Fault:
    async def fault(rig: Rig) -> None:
        process = rig.stack.processes[name]
        await process.kill()
        await process.start()
        await process.wait_ready(READY_S)

    fault.__name__ = f"{name} is killed"
    return fault


def hangs(name: str) -> Fault:
    async def fault(rig: Rig) -> None:
        process = rig.stack.processes[name]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(HANGS_S)  # the fault itself
        finally:
            os.kill(process.pid, signal.SIGCONT)
        await process.wait_ready(READY_S)

    fault.__name__ = f"{name} hangs"
    return fault


FAULTS = [make(name) for name in ("queue", "routing", "ivr") for make in (killed, hangs)]


class House(RealWorld):
    """A call in each moment, by the name of the moment."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, own_phones=(RINGS, TRIES, ANSWERS), on_duty=())
        self.at: dict[str, str] = {}
        self.partners: dict[str, str] = {}
        self.waiting_since_us = 0
        self._people: list[Sipp] = []

    async def phone(self, port: int, **how: Any) -> None:
        """Put a phone where calls come to."""
        self._people.append(
            await self.rig.lab.agent("", port=port, talk_ms=100_000, calls=5, echo=False, **how)
        )

    async def partner(self, leg: str) -> str:
        return (await self.api(f"uuid_getvar {leg} bridge_uuid")).strip()

    async def queue_says(self, moment: str) -> dict[str, Any]:
        calls = (await self.rig.get("queue", "/v1/calls"))["calls"]
        return next((c for c in calls if c["contact_id"] == self.at[moment]), {"state": "gone"})

    async def is_in(self, **states: str) -> None:
        """Until the calls of these moments are in these states."""
        for moment, state in states.items():

            async def so(moment: str = moment, state: str = state) -> bool:
                return bool((await self.queue_says(moment))["state"] == state)

            await until(f"the call that is {moment} is {state}", so)

    async def granted(self, moment: str, verb: str, **body: str) -> dict[str, Any]:
        """The answer to a wish; one that comes while the switch is read anew is to be asked again."""

        async def asked() -> Any:
            answer = await self.wish(self.at[moment], verb, **body)
            assert answer["http"] in (200, 503), answer
            return answer if answer["http"] == 200 else None

        answer: dict[str, Any] = await until(f"{verb} is granted", asked)
        return answer

    async def fill(self) -> None:
        """Everything but who answers: that is the moment of the fault."""
        lab = self.rig.lab
        await self.phones(100)
        await self.phone(self.ports[RINGS], ring_ms=7_000)
        await self.phone(self.ports[TRIES], ring_ms=7_000, rings=False)
        await self.phone(await lab.register("1048"))
        for agent in (TALKS, HOLDS, CONSULTS, CONFERS, SUPERVISED):
            await self.log_in(agent)
        contacts = await self.talking(5)
        moments = {TALKS: "talking", HOLDS: "held", CONSULTS: "consulting", CONFERS: "conference", SUPERVISED: "supervised"}  # fmt: skip
        has = {s.contact: s.agent for s in self.seen if s.name == "CHANNEL_BRIDGE"}
        self.at |= {moments[has[contact]]: contact for contact in contacts}
        for agent in (COLLEAGUE, THIRD):
            await self.log_in(agent)
        granted = [
            await self.wish(self.at["held"], "hold"),
            await self.wish(self.at["consulting"], "consult", agent=COLLEAGUE),
            await self.wish(self.at["conference"], "consult", agent=THIRD),
            await self.wish(self.at["supervised"], "supervise", mode="listen", extension="1048"),
        ]
        assert [answer["http"] for answer in granted] == [200] * 4, granted
        await self.agents_talk("consulting", "conference")
        assert (await self.wish(self.at["conference"], "conference"))["http"] == 200
        (self.at["waiting"],) = await self.callers(1, "2085")
        self.at["callback"] = await asks(self.rig, "2063", "back-once", str(next(_numbers)))
        confirms = ((2_000, "1"),) * 30  # whenever we come to ask
        await self.phone(lab.switch.carrier_port, ring_ms=8_000, keys=confirms)
        await self.phone(await lab.register("1045"))
        await comes_on(self.rig, "cal")
        for agent, moment in ((RINGS, "ringing"), (TRIES, "offered")):
            await self.log_in(agent)
            (self.at[moment],) = await self.callers(1)
        await self.is_in(ringing="offered", offered="offered", waiting="waiting", supervised="talking")
        self.waiting_since_us = (await self.queue_says("waiting"))["waiting_since_us"]
        await self.dial("1000", 1)
        self.at["menu"] = await until("somebody is in the menu", self._in_menu)
        for moment in ("talking", "supervised", "consulting"):
            self.partners[moment] = await self.partner(self.at[moment])

    async def _in_menu(self) -> str:
        return next((s.leg for s in self.seen if s.headers.get("variable_cc_entry") == "1000"), "")

    def seen_waiting(self, contact: str) -> bool:
        """Whether the dialplan has gone on to the queue."""
        return any((s.name, s.leg) == ("peyvand::waiting", contact) for s in self.seen)

    async def agents_talk(self, *moments: str) -> None:
        """Until those who ask and those who are asked are together."""

        async def both() -> bool:
            for moment in moments:
                call = await self.queue_says(moment)
                leg = self.agent_leg(self.at[moment], call["second_agent_id"])
                if call["state"] != "consulting" or not leg:
                    return False
                if await self.partner(leg) != self.agent_leg(self.at[moment], call["agent_id"]):
                    return False
            return True

        await until("the agents talk", both)

    async def answering(self, fault: Fault) -> None:
        """The last phone is answered, and that is when it happens."""
        happened = asyncio.Event()

        async def now(_: Seen) -> None:
            happened.set()

        self.on("CHANNEL_ANSWER", "agent", (0,), now, lambda seen: seen.agent == ANSWERS)
        await self.phone(self.ports[ANSWERS], ring_ms=500)
        await self.log_in(ANSWERS)
        before = len(self.contacts)
        await self.dial("2080", 1)
        async with asyncio.timeout(30):
            await happened.wait()
        await fault(self.rig)
        self.at["answering"] = self.contacts[before]

    async def drain(self) -> None:
        """Everybody leaves."""
        await self.end([c for c in self.contacts if not self.left(c)])

    async def close(self) -> None:
        await self.rig.post("routing", "/v1/agents/cal/presence", presence="offline")
        await self.api("hupall")  # of a test that failed
        for process in self._people:
            await process.stop()
        await super().close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_nobody_notices(rig: Rig, fault: Fault) -> None:
    house = House(rig)
    async with opened(rig, house), house.race():
        await house.fill()
        await house.answering(fault)

        # Who talked talks on, with the same party; nothing that was going on was undone.
        await house.is_in(talking="talking", supervised="talking", held="held", consulting="consulting")
        await house.is_in(conference="conference", waiting="waiting")
        for moment in ("talking", "supervised", "consulting"):
            assert await house.partner(house.at[moment]) == house.partners[moment], moment
            assert "true" in await house.api(f"uuid_exists {house.partners[moment]}")
        assert (await house.api(f"conference {house.at['conference']} count")).strip() == "3"
        since_us = (await house.queue_says("waiting"))["waiting_since_us"]
        # The leg carries the place in milliseconds.
        assert since_us // 1000 == house.waiting_since_us // 1000, "the place in the queue is another one"

        # Who rang is answered and bridged, also the one who answered in that moment.
        await house.is_in(ringing="talking", offered="talking", answering="talking")

        # What was begun can be ended.
        assert (await house.granted("held", "resume"))["state"] == "talking"
        assert (await house.granted("consulting", "complete"))["agent_id"] == COLLEAGUE
        assert (await house.granted("conference", "drop", agent=THIRD))["second_agent_id"] == ""
        off = await house.granted("supervised", "supervise", mode="off", extension="1048")
        assert off["state"] == "ended"

        # The customer who was being called answers, confirms, and has the agent.
        async def called_back() -> Any:
            talking = await rig.calls("back-once", "talking")
            return next((c for c in talking if c["contact_id"] == f"{house.at['callback']}-cb1"), None)

        talk = await until("the customer talks", called_back)
        assert talk["agent_id"] == "cal"
        await house.hang_up(talk["contact_id"])

        # Who was in the menu is there still, or waits where the entry point says.
        if house.seen_waiting(house.at["menu"]):
            await waits(rig, "menu-lost")
        else:
            await house.press(house.at["menu"], "3")
            await waits(rig, "queue-lost")
        await house.drain()
        await house.at_rest()
