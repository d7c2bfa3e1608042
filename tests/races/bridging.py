"""A transfer in the middle of ``uuid_bridge``, told once for both switches (``tests/fidelity``'s lab; nothing of the product takes part).

The agent's leg is parked and named first, the caller's hears music. What was measured on 1.10.12, and why (switch_ivr_bridge.c,
uuid_bridge_on_soft_execute):

================  ===============================================  ==========================================================
moment            the caller is sent somewhere                     the agent's leg is sent somewhere
================  ===============================================  ==========================================================
at once           it goes there; the agent's leg waits in          it goes there; the caller stays in CS_RESET, silent, for
                  silence and hangs up both after 20 s             ever
while it waits    the same                                         the caller is hung up, then it goes there
when it stands    it goes there; the agent's leg is hung up        it goes there; the caller does as park_after_bridge says
================  ===============================================  ==========================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.fidelity.lab import PASSWORD
from tests.fidelity.player import Lab
from tests.freeswitch.switch import Watch, watching

AT_ONCE, WHILE_IT_WAITS, WHEN_IT_STANDS = MOMENTS = ("at once", "while it waits", "when it stands")
GIVEN_UP = "DESTINATION_OUT_OF_ORDER"
PAIRS = 4
LIMIT_S = 40.0
POKE_S = 0.002

_EVENTS = ("CHANNEL_STATE", "CHANNEL_BRIDGE", "CHANNEL_EXECUTE", "CHANNEL_PARK", "CHANNEL_HANGUP")
_numbers = itertools.count(1)
_SOMEWHERE = "'m:^:set:sent=1^playback:silence_stream://-1' inline"


@dataclass
class Pair:
    """Two legs that are being bridged. What happened to each, in order: ``bridge``, ``hangup CAUSE``, states, ``sent``."""

    agent: str
    caller: str
    moment: str
    saw: dict[str, list[str]] = field(default_factory=dict)

    def of(self, leg: str) -> list[str]:
        return self.saw.setdefault(leg, [])

    @property
    def bridged(self) -> bool:
        return "bridge" in self.of(self.agent)


class Bridging:
    """The lab with an ear on it."""

    def __init__(self, lab: Lab, asks: Watch, hears: Watch) -> None:
        self._lab = lab
        self._asks = asks
        self._hears = hears
        self._pairs: dict[str, Pair] = {}
        self._news = asyncio.Condition()

    async def pair(self, moment: str) -> Pair:
        """A parked agent's leg and a caller with music, who is to be parked after a bridge."""
        n = next(_numbers)
        made = Pair(f"agent-{n}", f"caller-{n}", moment)
        self._pairs |= {made.agent: made, made.caller: made}
        to = f"@127.0.0.1:{self._lab.sip_port}"
        music = "playback(silence_stream://-1)"
        both = (
            f"api originate {{origination_uuid={made.caller},park_after_bridge=true}}sofia/internal/talker{to} &{music}",
            f"api originate {{origination_uuid={made.agent}}}sofia/internal/echo{to} &park()",
        )
        assert all(answer.startswith("+OK") for answer in await self._asks.ask(*both))
        await self.until(made, lambda: "park" in made.of(made.agent))
        return made

    async def send(self, pair: Pair, leg: str) -> None:
        """Bridge the two, and send one of them somewhere else at the pair's moment."""
        bridge, transfer = (
            f"api uuid_bridge {pair.agent} {pair.caller}",
            f"api uuid_transfer {leg} {_SOMEWHERE}",
        )
        if pair.moment == AT_ONCE:
            answers = await self._asks.ask(bridge, transfer)
        else:
            answers = await self._asks.ask(bridge)
            wanted = "CS_SOFT_EXECUTE" if pair.moment == WHILE_IT_WAITS else "bridge"
            await self.until(pair, lambda: wanted in pair.of(pair.agent))
            answers += await self._asks.ask(transfer)
        assert all(answer.startswith("+OK") for answer in answers), answers
        await self.until(pair, lambda: "sent" in pair.of(leg))

    async def until(self, pair: Pair, true: Callable[[], bool]) -> None:
        """Until it is true. Raises AssertionError with what the pair saw."""
        try:
            async with asyncio.timeout(LIMIT_S), self._news:
                await self._news.wait_for(true)
        except TimeoutError:
            raise AssertionError(f"{pair.moment}: {pair.saw}") from None

    async def stands(self, leg: str) -> str:
        """The state that a leg is in; empty when it is gone."""
        dump = await self._asks.api(f"uuid_dump {leg} json")
        return "" if dump.startswith("-") else str(json.loads(dump)["Channel-State"])

    async def listen(self) -> None:
        while True:
            event = await self._hears.event()
            leg = event.get("Unique-ID", "")
            if (pair := self._pairs.get(leg)) is None:
                continue
            async with self._news:
                pair.of(leg).append(_label(event))
                self._news.notify_all()


def _label(event: dict[str, str]) -> str:
    match event["Event-Name"]:
        case "CHANNEL_STATE":
            return event["Channel-State"]
        case "CHANNEL_HANGUP":
            return f"hangup {event['Hangup-Cause']}"
        case "CHANNEL_EXECUTE" if event.get("Application-Data") == "sent=1":
            return "sent"
    return event["Event-Name"].removeprefix("CHANNEL_").lower()


@contextlib.asynccontextmanager
async def bridging(lab: Lab) -> AsyncIterator[Bridging]:
    """Listen to the lab's legs, with the newlines that bring events at once."""
    async with watching(lab.port, PASSWORD) as asks, watching(lab.port, PASSWORD, *_EVENTS) as hears:
        made = Bridging(lab, asks, hears)
        tasks = [asyncio.create_task(made.listen()), asyncio.create_task(hears.poke(POKE_S))]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def the_caller_is_sent_somewhere(lab: Lab) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    async with bridging(lab) as b:
        pairs = [await b.pair(moment) for moment in MOMENTS for _ in range(PAIRS)]
        for pair in pairs:
            await b.send(pair, pair.caller)
        for pair in pairs:
            agent, caller = pair.of(pair.agent), pair.of(pair.caller)
            if pair.bridged:
                await b.until(pair, lambda agent=agent: "hangup NORMAL_CLEARING" in agent)
                assert await b.stands(pair.caller) == "CS_EXECUTE"
            else:
                await b.until(
                    pair,
                    lambda agent=agent, caller=caller: {f"hangup {GIVEN_UP}"} <= set(agent) & set(caller),
                )
            seen[(pair.moment, pair.bridged)] += 1
    _as_known(seen)


async def the_agents_leg_is_sent_somewhere(lab: Lab) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    left = 0
    async with bridging(lab) as b:
        for moment in MOMENTS:
            for _ in range(PAIRS):
                pair = await b.pair(moment)
                await b.send(pair, pair.agent)
                caller = pair.of(pair.caller)
                seen[(moment, pair.bridged)] += 1
                if pair.bridged:
                    await b.until(pair, lambda caller=caller: "park" in caller)
                elif "CS_SOFT_EXECUTE" in pair.of(pair.agent):
                    await b.until(pair, lambda caller=caller: f"hangup {GIVEN_UP}" in caller)
                else:
                    await b.until(pair, lambda caller=caller: "CS_RESET" in caller)
                    assert await b.stands(pair.caller) == "CS_RESET"
                    left += 1
                assert await b.stands(pair.agent) == "CS_EXECUTE"
    _as_known(seen)
    assert left, "none was sent away before it waited"


def _as_known(seen: Counter[tuple[str, bool]]) -> None:
    """Only the moment in the middle may go either way, on a machine with too much to do."""
    assert not seen[(AT_ONCE, True)], seen
    assert not seen[(WHEN_IT_STANDS, False)], seen
    assert seen[(WHILE_IT_WAITS, False)], seen
