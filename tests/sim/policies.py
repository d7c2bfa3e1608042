"""What the settings that choose do to waits and to agents: the tables of services/routing/README.md, measured anew.

    python -m tests.sim.policies

Simulated rushes through routing's core. All variants of a table meet the same callers: same seeds (1 to 6, fixed beforehand), and the
times of arrival, talk and patience of a caller come from that caller's own source of chance, whoever serves it and when.
Behind each mean stands half of its 95 % interval over the seeds.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import STRATEGIES, AgentRules, Center, QueueOrder, QueueRules, Step
from services.whatif.driver import START_US, Driver
from tests.sim.theory import student

SEEDS = range(1, 7)
HOUR_US = 3_600_000_000

Found = Mapping[str, float]


class Rush(Driver):
    """Two hours; every so many-th agent (``late``) comes an hour later. A caller's life is drawn when it arrives."""

    def __init__(
        self,
        house: Center,
        seed: int,
        *,
        per_h: float,
        skills: tuple[tuple[str, ...], ...] = ((),),
        late: int = 0,
    ) -> None:
        super().__init__(house, seed=seed)
        self.per_h, self.skills, self.late = per_h, skills, late
        self.end_us = START_US + 2 * HOUR_US
        self.closed: list[f.ContactClosed] = []
        self.talked_us: dict[str, int] = dict.fromkeys(house.agents, 0)
        self.taken: dict[str, list[int]] = {agent_id: [] for agent_id in house.agents}
        self._lives: dict[str, tuple[float, float]] = {}
        self._served: set[str] = set()

    def run(self) -> Rush:
        self.take_over()
        for n, agent_id in enumerate(self.center.agents):
            self.after(3600.0 if self.late and n % self.late == 0 else 0.0, self._come, agent_id)
        at_s = 0.0
        while (at_s := at_s + self.random.expovariate(self.per_h / 3600)) < 7200:
            self.after(at_s, self._arrive, random.Random(self.random.getrandbits(64)))
        self.play()
        return self

    def decided(self, entry: f.Decided) -> None:
        for fact in entry.facts:
            if isinstance(fact, f.OfferMade):
                self.after(3.0, self._answer, fact)
            elif isinstance(fact, f.ContactClosed):
                self.closed.append(fact)

    def _come(self, agent_id: str) -> None:
        self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")

    def _arrive(self, chance: random.Random) -> None:
        contact_id = f"c{len(self._lives)}"
        self._lives[contact_id] = (chance.expovariate(1 / 170), chance.expovariate(1 / 240))
        queue = chance.choice(list(self.center.queues))
        self.tell(
            i.ContactWaiting,
            contact_id=contact_id,
            node="fs1",
            queue=queue,
            entry_point=queue,
            skills=chance.choice(self.skills),
            waiting_since_us=self.now_us,
        )
        self.after(self._lives[contact_id][1], self._lose_patience, contact_id)

    def _lose_patience(self, contact_id: str) -> None:
        if contact_id not in self._served:
            self._served.add(contact_id)
            self.tell(i.ContactGone, contact_id=contact_id)

    def _answer(self, offer: f.OfferMade) -> None:
        if offer.contact_id in self._served:
            return
        self._served.add(offer.contact_id)
        about = {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}
        self.tell(i.AgentBridged, **about)
        talk_s = self._lives[offer.contact_id][0]
        self.talked_us[offer.agent_id] += min(round(talk_s * 1e6), max(0, self.end_us - self.now_us))
        self.taken[offer.agent_id].append(self.now_us)
        self.after(talk_s, self._end, about)

    def _end(self, about: dict[str, Any]) -> None:
        self.tell(i.ConversationEnded, ended_by="caller", **about)

    def waits(self) -> dict[str, float]:
        """Mean and 90 % wait of those who were answered, in seconds, and the share of those who left, in %."""
        answered = sorted(c.wait_ms / 1000 for c in self.closed if c.outcome == "completed")
        return {
            "wait, s": statistics.fmean(answered),
            "90 % wait": answered[len(answered) * 9 // 10],
            "left, %": 100 - 100 * len(answered) / len(self.closed),
        }


def by_strategy(strategy: str, seed: int) -> Found:
    """24 agents, of whom eight come an hour later; moderate load at first, light when all are there."""
    people = {f"a{n:02}": AgentRules(str(n), ("q",), weight=1 + n % 2) for n in range(24)}
    at_once = 3 if strategy == "ring_all" else 1
    rush = Rush(
        Center("r", {"q": QueueRules(strategy=strategy, ring_at_once=at_once)}, people, default_fallback="q"),
        seed,
        per_h=330,
        late=3,
    ).run()
    there = {a: (2 if n % 3 else 1) * HOUR_US for n, a in enumerate(people)}
    busy = [100 * rush.talked_us[a] / there[a] for a in people]
    half_us = START_US + HOUR_US * 3 // 2
    quarter = [sum(START_US + HOUR_US <= t < half_us for t in rush.taken[a]) for a in people]
    return {
        **rush.waits(),
        "talking, % lowest": min(busy),
        "highest": max(busy),
        "calls in the newcomers' first half hour": statistics.fmean(quarter[::3]),
        "of the others": statistics.fmean(quarter[1::3] + quarter[2::3]),
    }


def by_turns(between: str, seed: int) -> Found:
    """20 agents for two queues, 6 % too much work; callers of one have a head start of ten minutes."""
    people = {f"a{n:02}": AgentRules(str(n), ("vip", "rest")) for n in range(20)}
    house = Center(
        "r",
        {"vip": QueueRules(), "rest": QueueRules()},
        people,
        entry_ms={"vip": 600_000},
        between_queues=between,
        default_fallback="rest",
    )
    rush = Rush(house, seed, per_h=450).run()
    found = rush.waits()
    for queue in ("vip", "rest"):
        mine = [c for c in rush.closed if c.queue == queue]
        found[f"wait of {queue}, s"] = statistics.fmean(c.wait_ms / 1000 for c in mine)
        found[f"{queue} left, %"] = 100 * statistics.fmean(c.outcome != "completed" for c in mine)
    return found


RELAXED: dict[str, tuple[Step, ...]] = {
    "anybody at once": (),
    "level 4 for 10 s, then anybody": (Step(("level", "network", 4, 99), 10_000),),
    "level 4 for 30 s, then anybody": (Step(("level", "network", 4, 99), 30_000),),
    "4 for 15 s, 3 for 15 s, 2 for 30 s": tuple(
        Step(("level", "network", level, 99), ms) for level, ms in ((4, 15_000), (3, 15_000), (2, 30_000))
    ),
    "level 4 for 2 min, then anybody": (Step(("level", "network", 4, 99), 120_000),),
    "level 4 for ever": (Step(("level", "network", 4, 99), 86_400_000),),
}


def by_steps(name: str, seed: int) -> Found:
    """25 agents with levels 1 to 5 of a skill in turns; all callers would like level 4 or 5, which ten agents have."""
    people = {f"a{n:02}": AgentRules(str(n), ("q",), {"network": n % 5 + 1}) for n in range(25)}
    house = Center("r", {"q": QueueRules(steps=RELAXED[name])}, people, default_fallback="q")
    rush = Rush(house, seed, per_h=420).run()
    levels = [house.agents[c.agent_id].skills["network"] for c in rush.closed if c.agent_id]
    return {**rush.waits(), "by level 4 or 5, %": 100 * statistics.fmean(level >= 4 for level in levels)}


DELAYS_MS = (0, 10_000, 20_000, 60_000)


def by_delay(name: str, seed: int) -> Found:
    """Two queues with twelve agents each, who help out in the other one after a delay."""
    delay_ms = int(name.split()[0]) * 1000
    people = {
        f"a{n:02}": AgentRules(
            str(n),
            ("one", "two") if n < 12 else ("two", "one"),
            orders={"two" if n < 12 else "one": QueueOrder(2, delay_ms)},
        )
        for n in range(24)
    }
    house = Center("r", {"one": QueueRules(), "two": QueueRules()}, people, default_fallback="one")
    rush = Rush(house, seed, per_h=430).run()
    own = [c.queue == house.agents[c.agent_id].queues[0] for c in rush.closed if c.agent_id]
    return {**rush.waits(), "by an agent of the queue, %": 100 * statistics.fmean(own)}


def table(title: str, variants: list[str], play: Callable[[str, int], Found]) -> None:
    """Play all variants and print them as Markdown."""
    print(f"\n{title}\n")
    quantile = student(0.95, len(SEEDS) - 1) / math.sqrt(len(SEEDS))
    for k, variant in enumerate(variants):
        runs = [play(variant, seed) for seed in SEEDS]
        if k == 0:
            print(f"| | {' | '.join(runs[0])} |\n|---|{'---:|' * len(runs[0])}")
        cells = []
        for name in runs[0]:
            values = [run[name] for run in runs]
            cells.append(f"{statistics.fmean(values):.1f} ± {quantile * statistics.stdev(values):.1f}")
        print(f"| {variant} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    """Print all tables."""
    table(by_strategy.__doc__ or "", list(STRATEGIES), by_strategy)
    table(by_turns.__doc__ or "", ["strict", "share"], by_turns)
    table(by_steps.__doc__ or "", list(RELAXED), by_steps)
    table(by_delay.__doc__ or "", [f"{ms // 1000} s" for ms in DELAYS_MS], by_delay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
