"""Stationary queues through routing's core, replicated and compared with exact theory.

    python -m tests.sim.stationary [--replications 20]     also `make sim-theory`

How it is compared
------------------
* Each case is played ``replications`` times (at least 20). The seed is 1,000 times the number of the case plus that of the replication:
  fixed beforehand, and no two runs share their chance.
* Each replication begins with an empty house. Callers of the warm-up are thrown away: it is at least six relaxation times of the
  queue (``Case.relaxation_s``), so that less than 0.3 % of the empty beginning is left.
* The means of the replications are independent and nearly normal, so Student's interval holds: mean +- t * s / sqrt(replications).
* Many intervals are looked at together. At 95 % each, one in twenty misses the truth although everything is right. What has to hold is
  therefore (1) all *simultaneous* 95 % intervals (Bonferroni: each at 1 - 0.05 / m) contain the exact value, and (2) the number of
  *single* 95 % intervals that miss it is no larger than chance allows in 99 of 100 such tables (binomial). Both are printed.
* The intervals must be worth something: the exact values of one agent more and one less lie outside of them for at least one figure of
  every case (``misled`` is empty), and the tests show that talks that are a tenth longer are told apart too.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable
from multiprocessing import Pool

import msgspec

from services.routing.core import facts as f
from services.routing.core.center import AgentRules, Center, QueueOrder, QueueRules
from services.whatif.driver import START_US
from tests.sim.routing_day import Day, World
from tests.sim.theory import student, with_patience, with_priority, with_waiting

IN_TIME_MS = 20_000


class Case(msgspec.Struct, frozen=True):
    """One queue. ``patience_s`` 0: for ever. ``first`` is the share of calls of a class that every agent takes first; 0: one class."""

    name: str
    per_h: float
    talk_s: float
    agents: int
    patience_s: float
    warm_h: float
    hours: float
    first: float = 0.0
    strategy: str = "longest_idle"

    @property
    def relaxation_s(self) -> float:
        """The time in which a disturbance decays to 1/e.

        Without patience 1 / (sqrt(n mu) - sqrt(lambda))^2, the known time of M/M/n; with it at most the longer one of talk and patience.
        """
        if self.patience_s:
            return max(self.talk_s, self.patience_s)
        return float((math.sqrt(self.agents / self.talk_s) - math.sqrt(self.per_h / 3600)) ** -2)

    def seeds(self, replications: int) -> range:
        """Those of its replications."""
        first = 1_000 * (1 + [case.name for case in (*CASES, *SHORT)].index(self.name)) + 1
        return range(first, first + replications)


CASES = (
    Case("Erlang C, 5 agents", 70, 180, 5, 0, 2.5, 60),
    Case("Erlang C, 13 agents", 210, 180, 13, 0, 2.5, 30, strategy="random_weighted"),
    Case("Erlang C, 28 agents", 450, 180, 28, 0, 1.2, 12, strategy="least_occupied"),
    Case("Erlang A, 13 agents", 210, 180, 13, 300, 0.5, 20),
    Case("Erlang A, 9 agents, too few", 210, 180, 9, 300, 0.5, 16, strategy="round_robin"),
    Case("Erlang A, 50 agents", 2880, 60, 50, 120, 0.3, 1.6, strategy="fewest_contacts"),
    Case("Two classes, 10 agents", 150, 180, 10, 0, 2.0, 30, first=0.3),
)
SHORT = (
    Case("Erlang C, 5 agents", 60, 180, 5, 0, 1.25, 8),
    Case("Erlang A, 9 agents, too few", 210, 180, 9, 300, 0.5, 1.5),
    Case("Two classes, 4 agents", 45, 180, 4, 0, 1.25, 10, first=0.4),
)
"""The same in small, for every run of the tests."""


class Watched(Day):
    """A replication that keeps sums and no log."""

    def __init__(self, case: Case, seed: int) -> None:
        queues = ("first", "then") if case.first else ("then",)
        people = {
            f"a{n}": AgentRules(
                str(n), queues, orders={queue: QueueOrder(k + 1) for k, queue in enumerate(queues)}
            )
            for n in range(case.agents)
        }
        house = Center("r1", {q: QueueRules(strategy=case.strategy) for q in queues}, people)
        # The world draws a queue of this list for each call, all alike: a share is a number of entries.
        drawn = ("first",) * round(case.first * 100) + ("then",) * round((1 - case.first) * 100)
        world = World(case.per_h, case.talk_s, case.patience_s, queues=drawn)
        super().__init__(house, world, hours=case.warm_h + case.hours, seed=seed)
        self.warm_us = START_US + round(case.warm_h * 3_600_000_000)
        self.came: dict[str, int] = dict.fromkeys(queues, 0)
        self.wait_ms: dict[str, int] = dict.fromkeys(queues, 0)
        self.waited = self.left = self.in_time = 0

    def decided(self, entry: f.Decided) -> None:
        for fact in entry.facts:
            if isinstance(fact, f.OfferMade):
                self._ring(fact)
            elif isinstance(fact, f.ContactClosed) and fact.waiting_since_us >= self.warm_us:
                self.came[fact.queue] += 1
                self.wait_ms[fact.queue] += fact.wait_ms
                self.waited += fact.wait_ms > 0
                self.left += fact.outcome == "abandoned"
                self.in_time += fact.outcome == "completed" and fact.wait_ms <= IN_TIME_MS


def exact(case: Case) -> dict[str, float]:
    """What theory says, by figure."""
    if case.first:
        rates = (case.per_h * case.first, case.per_h * (1 - case.first))
        first_s, then_s = with_priority(rates, case.talk_s, case.agents)
        waited = with_waiting(case.per_h, case.talk_s, case.agents).waited
        return {"waited": waited, "wait of the first, s": first_s, "wait of the others, s": then_s}
    if case.patience_s:
        known = with_patience(case.per_h, case.talk_s, case.patience_s, case.agents, IN_TIME_MS / 1000)
        return {
            "waited": known.waited,
            "mean wait, s": known.mean_wait_s,
            "abandoned": known.abandoned,
            "in 20 s": known.in_time,
        }
    known = with_waiting(case.per_h, case.talk_s, case.agents, IN_TIME_MS / 1000)
    return {"waited": known.waited, "mean wait, s": known.mean_wait_s, "in 20 s": known.in_time}


def replicate(case: Case, seed: int) -> dict[str, float]:
    """The same figures of one replication."""
    day = Watched(case, seed)
    day.run()
    came = sum(day.came.values())
    found = {
        "waited": day.waited / came,
        "mean wait, s": sum(day.wait_ms.values()) / came / 1000,
        "abandoned": day.left / came,
        "in 20 s": day.in_time / came,
    }
    if case.first:
        for queue, name in (("first", "wait of the first, s"), ("then", "wait of the others, s")):
            found[name] = day.wait_ms[queue] / day.came[queue] / 1000
    return {name: found[name] for name in exact(case)}


class Figure(msgspec.Struct, frozen=True):
    """One comparison. ``half`` is half the single 95 % interval, ``wide`` half the simultaneous one."""

    case: Case
    name: str
    exact: float
    mean: float
    half: float
    wide: float

    @property
    def hit(self) -> bool:
        """Whether the single interval contains the exact value."""
        return abs(self.mean - self.exact) <= self.half

    @property
    def agrees(self) -> bool:
        """Whether the simultaneous interval does."""
        return abs(self.mean - self.exact) <= self.wide


class Table(msgspec.Struct, frozen=True):
    """All comparisons together."""

    figures: tuple[Figure, ...]
    replications: int

    @property
    def misses(self) -> int:
        """Single intervals without the exact value."""
        return sum(not figure.hit for figure in self.figures)

    @property
    def misses_allowed(self) -> int:
        """The smallest number that 99 of 100 such tables do not exceed when everything is right."""
        n, below = len(self.figures), 0.0
        for misses in range(n + 1):
            below += math.comb(n, misses) * 0.05**misses * 0.95 ** (n - misses)
            if below >= 0.99:
                return misses
        return n

    @property
    def misled(self) -> list[str]:
        """Cases that would agree as well with one agent more or less: then they say nothing."""
        found = []
        for case in dict.fromkeys(figure.case for figure in self.figures):
            for agents in (case.agents - 1, case.agents + 1):
                try:
                    other = exact(msgspec.structs.replace(case, agents=agents))
                except ValueError:
                    continue  # one agent less and the queue would grow for ever
                mine = [figure for figure in self.figures if figure.case == case]
                if all(abs(one.mean - other[one.name]) <= one.wide for one in mine):
                    found.append(f"{case.name}: {agents}")
        return found

    @property
    def holds(self) -> bool:
        """Whether the simulation agrees with theory by the rule above."""
        return (
            all(figure.agrees for figure in self.figures)
            and self.misses <= self.misses_allowed
            and not self.misled
        )


def compare(cases: Iterable[Case], runs: dict[str, list[dict[str, float]]]) -> Table:
    """Put the replications of all cases beside theory."""
    cases = list(cases)
    figures = []
    together = sum(len(exact(case)) for case in cases)
    for case in cases:
        found = runs[case.name]
        single = student(0.95, len(found) - 1)
        simultaneous = student(1 - 0.05 / together, len(found) - 1)
        for name, truth in exact(case).items():
            values = [one[name] for one in found]
            error = statistics.stdev(values) / math.sqrt(len(values))
            figures.append(
                Figure(case, name, truth, statistics.fmean(values), single * error, simultaneous * error)
            )
    return Table(tuple(figures), len(runs[cases[0].name]))


def _play(job: tuple[Case, int]) -> dict[str, float]:
    gc.disable()
    return replicate(*job)


def main() -> int:
    """Play all cases on all processors and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.stationary")
    parser.add_argument("--replications", type=int, default=20)
    replications = parser.parse_args().replications
    began = time.perf_counter()
    jobs = [(case, seed) for case in CASES for seed in case.seeds(replications)]
    with Pool() as pool:
        played = pool.map(_play, jobs, chunksize=1)
    runs: dict[str, list[dict[str, float]]] = {}
    for (case, _), found in zip(jobs, played, strict=True):
        runs.setdefault(case.name, []).append(found)
    table = compare(CASES, runs)
    print(f"{'case':28} {'figure':22} {'exact':>9} {'simulated':>10} {'+- 95 %':>8} {'+- all together':>16}")
    for one in table.figures:
        verdict = "" if one.hit else "outside of 95 %" if one.agrees else "WRONG"
        print(
            f"{one.case.name:28} {one.name:22} {one.exact:9.4f} {one.mean:10.4f} {one.half:8.4f} {one.wide:16.4f} {verdict}"
        )
    print(
        f"{len(table.figures)} figures, {replications} replications each; outside of their own 95 %: {table.misses} (chance"
        f" allows {table.misses_allowed}); outside of 95 % all together: {sum(not one.agrees for one in table.figures)};"
        f" cases that would fit another number of agents: {table.misled or 'none'}"
    )
    print(
        json.dumps(
            {
                "name": "sim_theory",
                "seconds": round(time.perf_counter() - began, 1),
                "replications": replications,
                "figures": len(table.figures),
                "outside_single": table.misses,
                "outside_together": sum(not one.agrees for one in table.figures),
                "holds": table.holds,
            }
        )
    )
    return 0 if table.holds else 1


if __name__ == "__main__":
    sys.exit(main())
