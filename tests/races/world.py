"""A floor with a pool of agents on some switch, and things that happen at chosen moments of its calls.

A *rule* waits for an event of the switch (by an event socket of the test's own, in the order in which queue hears it too) and acts so many
milliseconds later; each call of a race gets an offset of its own, so one run of a dozen calls is a sweep. What the two
switches differ in (how a phone answers, hangs up, presses a key; how the services are asked) is in the two subclasses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.routing.core import facts as f
from tests.freeswitch.switch import Watch
from tests.races.books import complaints, ends

POOL = tuple(f"pool{n}" for n in range(1, 11))
EXTENSIONS = {agent: str(1080 + n) for n, agent in enumerate(POOL)}
EVENTS = "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_HANGUP CHANNEL_EXECUTE CUSTOM peyvand::waiting"
LIMIT_S = 40.0
LOOK_S = 0.05


def sweep(first_ms: int, last_ms: int, calls: int = 8) -> tuple[int, ...]:
    """So many offsets from first to last, both included."""
    return tuple(round(first_ms + (last_ms - first_ms) * n / (calls - 1)) for n in range(calls))


@dataclass(frozen=True)
class Seen:
    """One event of one leg. ``contact`` is the leg itself for a caller's."""

    name: str
    leg: str
    contact: str
    role: str  # agent, caller, supervisor or ""
    agent: str
    offer: str
    headers: dict[str, str]

    @classmethod
    def of(cls, event: dict[str, str]) -> Seen:
        def var(name: str) -> str:
            return event.get(f"variable_{name}", "")

        name = event["Event-Subclass"] if event["Event-Name"] == "CUSTOM" else event["Event-Name"]
        leg, contact = event["Unique-ID"], var("cc_contact")
        role = var("cc_role") or ("caller" if contact == leg else "")
        return cls(name, leg, contact, role, var("cc_agent"), var("cc_offer"), event)


Act = Callable[[Seen], Awaitable[Any]]


@dataclass
class _Rule:
    name: str
    role: str
    offsets_ms: deque[int]
    act: Act
    where: Callable[[Seen], bool]


class World(ABC):
    """Ten agents in one pool, and callers as a race wants them."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.contacts: list[str] = []
        self._rules: list[_Rule] = []
        self._acts: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._from = 0  # The log's entries of this race.

    # --- what the two switches differ in ---

    @abstractmethod
    async def phones(self, ring_ms: int | tuple[int, int]) -> None:
        """Let every phone of the pool answer after so long, or after something between two values."""

    @abstractmethod
    async def dial(self, number: str, calls: int) -> None:
        """Let customers call an entry point of the center, each from a number of their own."""

    @abstractmethod
    async def customers(self) -> None:
        """Let every customer who is called back answer soon."""

    @abstractmethod
    async def hang_up(self, leg: str) -> None:
        """Let the party on a leg hang up, now. A leg that is gone is gone."""

    @abstractmethod
    async def press(self, leg: str, keys: str) -> None:
        """Let the party on a leg press keys."""

    @abstractmethod
    async def wish(self, contact: str, verb: str, **body: str) -> dict[str, Any]:
        """Wish something about a contact as an administrator; the answer, with its status under ``http``."""

    @abstractmethod
    async def agents(self) -> dict[str, tuple[str, str]]:
        """Presence and activity of the pool's agents."""

    @abstractmethod
    async def available(self, agent: str) -> None:
        """Make an agent available."""

    @abstractmethod
    async def away(self, agent: str) -> None:
        """Send an agent on a break."""

    @abstractmethod
    async def log(self) -> list[Any]:
        """Every fact of routing's log until now."""

    @abstractmethod
    async def api(self, command: str) -> str:
        """Ask the switch, past the code under test."""

    @abstractmethod
    async def calls(self) -> dict[str, str]:
        """State of each contact as queue sees it."""

    # --- moments ---

    def on(
        self,
        name: str,
        role: str,
        offsets_ms: Sequence[int],
        act: Act,
        where: Callable[[Seen], bool] = lambda _: True,
    ) -> None:
        """Act so long after an event; the first event of the kind gets the first offset, and beyond the last nothing happens."""
        self._rules.append(_Rule(name, role, deque(offsets_ms), act, where))

    async def listen(self, watch: Watch) -> None:
        """Take the switch's events until cancelled."""
        while True:
            event = await watch.event()
            if event.get("Unique-ID"):
                self._take(Seen.of(event))

    def _take(self, seen: Seen) -> None:
        self.seen.append(seen)
        if seen.name == "peyvand::waiting" and seen.leg not in self.contacts:
            self.contacts.append(seen.leg)
        for rule in self._rules:
            if (rule.name, rule.role) == (seen.name, seen.role) and rule.offsets_ms and rule.where(seen):
                task = asyncio.create_task(self._later(rule.offsets_ms.popleft(), rule.act, seen))
                self._acts.add(task)
                task.add_done_callback(self._acted)

    @staticmethod
    async def _later(offset_ms: int, act: Act, seen: Seen) -> None:
        await asyncio.sleep(offset_ms / 1000)  # this is the moment that is tested, not a wait for something
        await act(seen)

    def _acted(self, task: asyncio.Task[None]) -> None:
        self._acts.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    def bridged(self, contact: str) -> bool:
        """Whether caller and agent were joined before the caller's end, in the order in which everybody hears of it."""
        for seen in self.seen:
            if seen.name == "CHANNEL_HANGUP" and seen.leg == contact:
                return False
            if seen.name == "CHANNEL_BRIDGE" and contact in (seen.leg, _partner(seen)):
                return True
        return False

    def left(self, leg: str) -> bool:
        """Whether a leg is over."""
        return any(s.name == "CHANNEL_HANGUP" and s.leg == leg for s in self.seen)

    def told(self, leg: str, prompt: str) -> bool:
        """Whether a prompt was begun on a leg."""
        return any(
            s.name == "CHANNEL_EXECUTE"
            and s.leg == leg
            and s.headers.get("Application-Data", "").endswith(f"/{prompt}.wav")
            for s in self.seen
        )

    def agent_leg(self, contact: str, agent: str = "") -> str:
        """The agent's leg of a contact: the newest that was answered and is not over."""
        for seen in reversed(self.seen):
            of = (seen.name, seen.role, seen.contact) == ("CHANNEL_ANSWER", "agent", contact)
            if of and agent in ("", seen.agent) and not self.left(seen.leg):
                return seen.leg
        return ""

    async def hears_music(self, contact: str) -> bool:
        """Whether the music of the queue plays on a leg: not so on one that a bridge has left behind."""
        dump = await self.api(f"uuid_dump {contact} json")
        if dump.startswith("-"):
            return False
        leg = json.loads(dump)
        return (leg["Channel-State"], leg.get("variable_current_application")) == ("CS_EXECUTE", "playback")

    # --- waiting for what follows ---

    async def until(self, what: str, check: Callable[[], Awaitable[Any]], limit_s: float = LIMIT_S) -> Any:
        """Look until it is true; AssertionError with what was seen last."""
        last: object = None
        try:
            async with asyncio.timeout(limit_s):
                while not (last := await check()):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"not in {limit_s:.0f} s: {what}; last: {last!r}") from None
        return last

    async def callers(self, calls: int, number: str = "2080") -> list[str]:
        """So many customers call; their contacts, once all are with queue."""
        before = len(self.contacts)
        await self.dial(number, calls)

        async def there() -> bool:
            return len(self.contacts) >= before + calls

        await self.until(f"{calls} callers are parked", there)
        return self.contacts[before : before + calls]

    async def talking(self, calls: int, number: str = "2080") -> list[str]:
        """So many customers, each in conversation with an agent."""
        contacts = await self.callers(calls, number)
        await self.become(contacts, "talking")

        async def heard_of() -> bool:
            return all(map(self.bridged, contacts))

        await self.until("the test has heard of their bridges too", heard_of)
        return contacts

    async def become(self, contacts: Sequence[str], *states: str) -> None:
        """Until every contact is in one of the states, as queue sees it; ``gone``: queue has it no more."""
        wanted = set(states)

        async def all_are() -> bool:
            now = await self.calls()
            return all(now.get(c, "gone") in wanted for c in contacts)

        try:
            await self.until(f"the contacts are {states}", all_are)
        except AssertionError as e:
            now = await self.calls()
            raise AssertionError(f"{e}; they are { ({c: now.get(c, 'gone') for c in contacts}) }") from None

    async def acted(self) -> None:
        """Until all that was to happen has happened."""

        async def none_left() -> bool:
            return not self._acts and not any(rule.offsets_ms for rule in self._rules)

        await self.until("everything has happened", none_left)

    async def closed(self, contacts: Sequence[str]) -> dict[str, f.ContactClosed]:
        """Until routing is done with the contacts; how each ended."""

        async def all_closed() -> Any:
            log = await self.log()
            found = {c: ends(log, c) for c in contacts}
            return {c: e[0] for c, e in found.items()} if all(found.values()) else None

        try:
            found: dict[str, f.ContactClosed] = await self.until("all contacts are closed", all_closed)
        except AssertionError as e:
            log = await self.log()
            open_ = [c for c in contacts if not ends(log, c)]
            raise AssertionError(f"{e}; open: {open_}; queue: {await self.calls()}") from None
        return found

    async def end(self, contacts: Sequence[str]) -> dict[str, f.ContactClosed]:
        """Whoever is still there hangs up; how each contact ended."""
        await asyncio.gather(*(self.hang_up(c) for c in contacts if not self.left(c)))
        return await self.closed(contacts)

    async def at_rest(self) -> None:
        """After everybody has left: no leg, nobody stuck, every agent can be offered again, and the books are right."""
        await asyncio.gather(*self._acts)
        assert not self._errors, self._errors

        async def no_legs() -> bool:
            return (await self.api("show channels count")).strip().startswith("0 ")

        try:
            await self.until("no leg is left", no_legs)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{await self.api('show channels')}") from None

        async def idle() -> bool:
            agents = await self.agents()
            for name, (presence, activity) in agents.items():
                if presence == "break" and activity == "idle":
                    await self.available(name)
            return all(of == ("available", "idle") for of in agents.values())

        try:
            await self.until("every agent is idle", idle)
        except AssertionError as e:
            raise AssertionError(f"{e}; {await self.agents()}") from None

        async def forgotten() -> bool:
            return await self.calls() == {}

        await self.until("queue has forgotten them", forgotten)
        log = await self.log()
        wrong = complaints(log, self.contacts)
        assert not wrong, wrong

    @contextlib.asynccontextmanager
    async def race(self) -> AsyncIterator[None]:
        """One race on a world that others use before and after."""
        self._rules.clear()
        self.contacts.clear()
        self.seen.clear()
        try:
            yield
        finally:
            self._rules.clear()
            for task in self._acts:
                task.cancel()


def _partner(seen: Seen) -> str:
    a, b = seen.headers.get("Bridge-A-Unique-ID", ""), seen.headers.get("Bridge-B-Unique-ID", "")
    return b if a == seen.leg else a
