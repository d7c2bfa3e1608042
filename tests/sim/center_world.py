"""What the parts of the simulated day share: who is on the line, what the people know, the log's ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.whatif.driver import Driver
from tests.sim.center import center
from tests.sim.ledger import Ledger

HOUR_US = 3_600_000_000
NODES = ("fs1", "fs2")
ACKNOWLEDGED_LATE = 64
"""How many inputs a new owner is sent again."""


class Caller(msgspec.Struct):
    """One person on the line. ``outcome`` is what happened in the end, as the person would tell it."""

    contact_id: str
    queue: str
    node: str
    arrived_us: int
    talking_to: str = ""
    answered_us: int = 0
    moved: int = 0
    channel: str = ""
    callback_id: str = ""
    leaving: str = ""
    """The limit for which the caller is asked whether to be called back."""
    gone: bool = False
    outcome: str = ""
    left_us: int = 0


class Rates(msgspec.Struct, frozen=True):
    """What goes how wrong: shares of offers, of talks and of agent hours."""

    no_answer: float = 0.02
    declined: float = 0.01
    busy: float = 0.004
    unreachable: float = 0.002
    hasty: float = 0.03
    """Callers who are gone within seconds."""
    held: float = 0.06
    transferred: float = 0.03
    dropped: float = 0.005
    """Talks in which the agent's leg is lost."""
    consulted: float = 0.02
    repeated: float = 0.01
    unregisters_per_h: float = 0.05
    own_calls_per_h: float = 0.3
    short_breaks_per_h: float = 0.5


class World(Driver):
    """The state of the day. ``reactions`` of a subclass says what people do about the facts of the log."""

    reactions: ClassVar[dict[type[Any], Callable[..., None]]] = {}

    def __init__(self, *, calls: int, seed: int, kills: int = 12, check_every: int = 25_000) -> None:
        super().__init__(center(), seed=seed)
        self.rates = Rates()
        self.ledger = Ledger(self.center)
        self.calls = calls
        self.kills, self.check_every = kills, check_every
        self.takeovers = self.checks = self.repeats = 0
        self.callers: dict[str, Caller] = {}
        self.outcomes: dict[str, int] = {}
        self.most_at_hand = 0
        """Of other channels, with any agent."""
        self._extensions: dict[str, str] = {r.extension: a for a, r in self.center.agents.items()}
        self._off_duty: set[str] = set(self.center.agents)
        self._phones: dict[str, str] = {}
        """Agents at a working phone and its node."""
        self._offers: dict[str, f.OfferMade] = {}
        self._activity: dict[str, str] = {}
        self._presence: dict[str, str] = {}
        self._closed: frozenset[str] = frozenset()
        self._snapshot = self.engine.state.dump()
        self._tail: list[f.Decided] = []
        self._delivered: list[i.AnyInput] = []

    # -- what the driver asks for

    def decided(self, entry: f.Decided) -> None:
        self._tail.append(entry)
        self.ledger.take(entry)
        for fact in entry.facts:
            react = self.reactions.get(type(fact))
            if react is not None:
                react(self, fact)

    def feed(self, inp: i.AnyInput) -> None:
        super().feed(inp)
        if inp.input_id:
            self._delivered.append(inp)
            if len(self._delivered) > 2 * ACKNOWLEDGED_LATE:
                del self._delivered[:ACKNOWLEDGED_LATE]
            if self.random.random() < self.rates.repeated:
                self._again(inp)
        if self.inputs % self.check_every == 0:
            self._check()

    def _again(self, inp: i.AnyInput) -> None:
        """Deliver an input for the second time: nothing may be decided anew. A wish is answered with the present state."""
        self.repeats += 1
        for output in self.engine.handle(inp):
            if isinstance(output, (i.Decide, i.ArmTimer, i.CancelTimer)):
                self.ledger.wrong(f"{inp} came twice and led to {output}")

    def _check(self) -> None:
        self.checks += 1
        for problem in self.engine.check():
            self.ledger.wrong(f"input {self.inputs}: {problem}")
