"""How simulated people behave: when they call, what they press, how long they wait and talk. Pure; chance comes in.

A `Scenario` is read from YAML; every draw takes a `Chance` (a `random.Random`) that the caller seeded, so a run can be repeated. All
times are in seconds of the simulated people and are divided by ``time_scale`` by whoever carries them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from services.simswitch.core.faults import Fault


class Chance(Protocol):
    """The part of `random.Random` that is used."""

    def random(self) -> float: ...
    def gauss(self, mu: float, sigma: float) -> float: ...
    def expovariate(self, lambd: float) -> float: ...
    def randrange(self, start: int) -> int: ...
    def choice(self, seq: Sequence[str]) -> str: ...
    def choices(self, population: Sequence[str], weights: Sequence[float]) -> list[str]: ...


InviteOutcome = Literal["answer", "no_answer", "decline", "busy"]

NAMES: Final = (
    "مریم احمدی",
    "رضا کریمی",
    "Zoë O'Brien",
    '"Quoted" Name',
    "100% sure %41 %0A",
    "Smith; Jones, & Co",
    "نیلوفر ‌رضایی",
    "Ali <admin> $HOME",
    "Ünal Åström",
    "",
)
"""Caller names that have broken clients: other scripts, quotes, percent signs, separators, none at all."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A lognormal duration: ``median`` seconds, ``sigma`` of its logarithm, cut to ``[least, most]``."""

    median: float
    sigma: float = 0.5
    least: float = 0.1
    most: float = 3600.0

    def draw(self, chance: Chance) -> float:
        return min(self.most, max(self.least, self.median * math.exp(chance.gauss(0.0, self.sigma))))


@dataclass(frozen=True, slots=True)
class CallerHabits:
    """Callers."""

    patience: Spread = Spread(60.0, 0.8)
    digits: dict[str, float] = field(default_factory=lambda: {"1": 3.0, "2": 2.0, "": 0.3, "9": 0.3})
    """What is pressed at a menu, with weights; an empty text is silence."""
    think: Spread = Spread(2.0, 0.4)
    """From the start of a menu to the key."""
    leaves_in_menu: float = 0.04
    """Probability to hang up at a menu instead of pressing."""
    listens: Spread = Spread(3.0, 0.4)
    """How long one who leaves in the menu stays."""


@dataclass(frozen=True, slots=True)
class AgentHabits:
    """Agents."""

    talk: Spread = Spread(30.0, 0.6)
    caller_ends: float = 0.7
    """Probability that the caller, not the agent, ends the conversation."""
    rings: Spread = Spread(2.0, 0.4)
    misses: float = 0.03
    declines: float = 0.02
    holds: float = 0.0
    """Probability to put the other side on hold once in a conversation, by the phone's own key."""
    hold_after: Spread = Spread(4.0, 0.4)
    """From the beginning of the conversation."""
    hold_for: Spread = Spread(8.0, 0.4)
    wrap_up: Spread = Spread(4.0, 0.4)
    keys_disposition: float = 0.4
    """Probability to press a disposition on the leg (when it is still there) or, if it is gone, to dial its code."""
    dials_disposition: float = 0.3
    dispositions: tuple[str, ...] = ("1", "2", "3")
    break_every_s: float = 600.0
    """Mean time between breaks of one agent; 0 is never."""
    break_for: Spread = Spread(60.0, 0.4)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that is drawn."""

    rate: float = 0.2
    """Calls a second, a Poisson process, over all entry points."""
    entries: dict[str, float] = field(default_factory=dict)
    """Called numbers with weights; empty takes those of the centers, evenly."""
    time_scale: float = 1.0
    """How much faster than life people act: 10 makes a talk of 30 s last 3 s."""
    login_code: str = "*22"
    break_code: str = "*24"
    back_code: str = "*25"
    disposition_code: str = "*26"
    login: bool = True
    caller: CallerHabits = CallerHabits()
    agent: AgentHabits = AgentHabits()
    faults: tuple[Fault, ...] = ()
    """What goes wrong, and when (``at_s`` from the start)."""


@dataclass(frozen=True, slots=True)
class CallerPlan:
    """One caller's mind, made up before the call."""

    entry: str
    number: str
    name: str
    patience_s: float
    talk_s: float
    ends_call: bool
    """Whether this caller, not the agent, ends the conversation."""


@dataclass(frozen=True, slots=True)
class MenuAct:
    """What a caller does at a menu: after ``after_s`` press ``digit``, say nothing (empty), or hang up."""

    after_s: float
    digit: str = ""
    hangup: bool = False


@dataclass(frozen=True, slots=True)
class RingAct:
    """What an agent does when the phone rings."""

    after_s: float
    outcome: InviteOutcome


@dataclass(frozen=True, slots=True)
class WrapAct:
    """What an agent does after a conversation: press ``digit`` on the leg, dial the code, or nothing."""

    after_s: float
    how: Literal["press", "dial", "nothing"]
    digit: str = ""


def next_arrival_s(scenario: Scenario, chance: Chance) -> float:
    """Seconds to the next call; infinite without arrivals."""
    return chance.expovariate(scenario.rate) if scenario.rate > 0 else math.inf


def next_break_s(scenario: Scenario, chance: Chance) -> float:
    """Seconds to an agent's next break; infinite without breaks."""
    every = scenario.agent.break_every_s
    return chance.expovariate(1.0 / every) if every > 0 else math.inf


def new_caller(scenario: Scenario, entries: dict[str, float], chance: Chance) -> CallerPlan:
    """Make up a caller. ``entries`` are the called numbers with their weights."""
    entry = _pick(entries, chance)
    return CallerPlan(
        entry=entry,
        number=f"0912{chance.randrange(10**7):07d}",
        name=chance.choice(NAMES),
        patience_s=scenario.caller.patience.draw(chance),
        talk_s=scenario.agent.talk.draw(chance),
        ends_call=chance.random() < scenario.agent.caller_ends,
    )


def at_menu(scenario: Scenario, chance: Chance) -> MenuAct:
    """Decide at a menu."""
    habits = scenario.caller
    if chance.random() < habits.leaves_in_menu:
        return MenuAct(habits.listens.draw(chance), hangup=True)
    return MenuAct(habits.think.draw(chance), digit=_pick(habits.digits, chance))


def at_talk(scenario: Scenario, chance: Chance) -> tuple[float, float] | None:
    """Whether an agent holds in this conversation: after so many seconds, for so many. No chance is drawn where nobody ever does,
    so that a seed makes the same day as before."""
    habits = scenario.agent
    if habits.holds <= 0 or chance.random() >= habits.holds:
        return None
    return habits.hold_after.draw(chance), habits.hold_for.draw(chance)


def at_ring(scenario: Scenario, chance: Chance) -> RingAct:
    """Decide when the phone rings."""
    habits = scenario.agent
    luck = chance.random()
    after = habits.rings.draw(chance)
    if luck < habits.misses:
        return RingAct(after, "no_answer")
    if luck < habits.misses + habits.declines:
        return RingAct(after, "decline")
    return RingAct(after, "answer")


def after_call(scenario: Scenario, chance: Chance) -> WrapAct:
    """Decide how to wrap up."""
    habits = scenario.agent
    luck = chance.random()
    after = habits.wrap_up.draw(chance)
    digit = chance.choice(habits.dispositions) if habits.dispositions else ""
    if digit and luck < habits.keys_disposition:
        return WrapAct(after, "press", digit)
    if digit and luck < habits.keys_disposition + habits.dials_disposition:
        return WrapAct(after, "dial", digit)
    return WrapAct(after, "nothing")


def _pick(weights: dict[str, float], chance: Chance) -> str:
    names = list(weights)
    return chance.choices(names, [weights[n] for n in names])[0]
