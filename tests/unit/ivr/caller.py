"""A caller of the interpreter who does things at given times; see ``services.ivr.core.rehearsal``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.hours import Calendar
from services.ivr.core.interpreter import Interpreter
from services.ivr.core.rehearsal import PLAY_MS, Act, Heard, QueueNow, Rehearsal, Switch
from services.ivr.core.state import State

__all__ = ["PLAY_MS", "START_US", "Heard", "QueueNow", "Switch", "calendar", "call", "flow", "plan"]

START_US = 1_790_000_000_000_000


def call(
    flows: n.Plan | n.Flow,
    does: Iterable[tuple[int, str]] = (),
    *,
    limits: n.Limits | None = None,
    switch: Switch | None = None,
    languages: tuple[str, ...] = ("fa", "en"),
    caller: str = "09121234567",
    chance: int = 0,
    answered: bool = True,
    acts: Sequence[Act] = (),
    events: Iterable[m.Event] = (),
) -> Heard:
    """Run a call to its end. ``does`` is (milliseconds after the start, key or "hangup", "lost", "broken")."""
    begun = m.Begun(START_US, languages, caller, "500", chance, answered)
    runs = flows if isinstance(flows, n.Plan) else plan(flows)
    rehearsal = Rehearsal(runs, begun, limits=limits, switch=switch, interpreter=Watched)
    heard = rehearsal.run([*(_event(*act) for act in does), *events], acts)
    assert len(heard.ended) <= 1
    return heard


class Watched(Interpreter):
    """Holds the interpreter to its word that a state is a value."""

    def step(self, state: State, event: m.Event) -> tuple[State, list[m.Output]]:
        before = str(state)
        after = super().step(state, event)
        assert str(state) == before, "step must not change its argument"
        return after


def _event(after_ms: int, what: str) -> m.Event:
    at_us = START_US + after_ms * 1000
    match what:
        case "hangup":
            return m.HungUp(at_us, "NORMAL_CLEARING")
        case "lost":
            return m.Lost(at_us)
        case "broken":
            return m.Broken(at_us, "a test")
    return m.KeyPressed(at_us, what)


def flow(start: str, /, name: str = "test", **nodes: n.Node) -> n.Flow:
    """A flow of these nodes; ``_`` in a name stands for ``-``."""
    return n.Flow(name, start, {key.replace("_", "-"): node for key, node in nodes.items()})


def plan(*flows: n.Flow) -> n.Plan:
    """These flows; a call begins in the first one, and whom it cannot serve waits in the queue ``fallback``."""
    return n.Plan({f.name: f for f in flows}, flows[0].name, n.ToQueue("fallback", 0))


def calendar(*periods: tuple[int, int], emergency: bool = False) -> Calendar:
    """A calendar in UTC with the same periods every day."""
    return Calendar(UTC, dict.fromkeys(range(7), tuple(periods)), emergency=emergency)
