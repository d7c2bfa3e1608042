"""How long one decision takes: 5,000 contacts waiting in 20 queues, mixed skills, at 100, 1,000 and 10,000 agents.

    python -m tests.bench.routing_decision

A decision is one input that ends in an offer: an agent who becomes free and gets the contact that comes first, or a contact that
comes while agents are free. Both are measured, in turns, each with everything that belongs to it: state, index, explanation,
timers. CPU time of ``Engine.handle``: what others do on the machine is not its doing. Garbage is collected between the rounds.

One line of JSON a size. ``growth`` is p50 against the size before: with k log n it stays near 1, with a scan near 10.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import time
from collections.abc import Iterator

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, Policy, QueueOrder, QueueRules, Step
from services.routing.core.engine import Engine

QUEUES, WAITING = 20, 5_000
STRATEGIES = ("longest_idle", "least_occupied", "fewest_contacts", "round_robin", "random_weighted")
SKILLS = ("lang.fa", "lang.en", "billing", "technical", "vip")
WANTED: tuple[tuple[str, ...], ...] = (
    (),
    ("lang.fa:3",),
    ("lang.en:2",),
    ("lang.fa:4", "vip:2"),
    ("technical:5",),
)
MEASURED = 4_000
START_US = 1_767_225_600_000_000


def floor(agents: int, seed: int) -> Center:
    """20 queues, every agent in three of them with two to four skills at levels of their own."""
    chance = random.Random(seed)
    queues = {
        f"q{n}": QueueRules(
            strategy=STRATEGIES[n % len(STRATEGIES)],
            steps=(
                Step(("level", SKILLS[n % 5], 3, 99), 20_000),
                Step(("level", SKILLS[n % 5], 1, 99), 40_000),
            ),
        )
        for n in range(QUEUES)
    }
    people = {}
    for n in range(agents):
        served = tuple(f"q{q}" for q in chance.sample(range(QUEUES), 3))
        skills = {s: chance.randint(1, 5) for s in chance.sample(SKILLS, chance.randint(2, 4))}
        orders = {served[2]: QueueOrder(2)} if n % 4 == 0 else {}
        people[f"a{n}"] = AgentRules(str(n), served, skills, orders, chance.randint(1, 3))
    return Center("r1", queues, people)


class Bench:
    """An engine whose agents have all been offered something, with the queue full behind them."""

    def __init__(self, agents: int) -> None:
        self.chance = random.Random(agents)
        self.engine = Engine(floor(agents, 1), Policy())
        self.now_us = START_US
        self.n = 0
        self.open: list[f.OfferMade] = []
        self.do(i.TakenOver(at_us=self.now_us, owner="bench", epoch=1))
        for agent_id in self.engine.center.agents:
            self.do(self.presence(agent_id, "available"))
        while self.waiting < WAITING:
            self.do(self.arrival())

    @property
    def waiting(self) -> int:
        """How many contacts wait: those that were not offered or ended."""
        return len(self.engine.state.contacts) - len(self.open)

    def presence(self, agent_id: str, presence: str) -> i.SetAgentPresence:
        return i.SetAgentPresence(at_us=self.now_us, request_id="r", agent_id=agent_id, presence=presence)

    def arrival(self) -> i.ContactWaiting:
        self.n += 1
        return i.ContactWaiting(
            at_us=self.now_us,
            contact_id=f"c{self.n}",
            node=f"fs{self.n % 2}",
            queue=f"q{self.chance.randrange(QUEUES)}",
            priority=self.chance.randrange(3),
            skills=self.chance.choice(WANTED),
            waiting_since_us=self.now_us,
        )

    def do(self, inp: i.AnyInput) -> float:
        """Let the engine decide; returns the seconds it took."""
        self.now_us += 1_000
        began = time.thread_time()
        outputs = self.engine.handle(inp)
        took = time.thread_time() - began
        for output in outputs:
            if isinstance(output, i.Decide):
                self.open += [fact for fact in output.facts if isinstance(fact, f.OfferMade)]
        return took

    def decisions(self) -> Iterator[float]:
        """Talks end: the agent gets the next contact, and a new one comes; then agents are free and a contact comes."""
        while True:
            offer = self.open.pop(self.chance.randrange(len(self.open)))
            about = {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}
            made = len(self.open)
            self.do(i.AgentBridged(at_us=self.now_us, **about))
            took = self.do(i.ConversationEnded(at_us=self.now_us, ended_by="caller", **about))
            if len(self.open) > made:
                yield took
            while self.waiting < WAITING:
                made = len(self.open)
                took = self.do(self.arrival())
                if len(self.open) > made:
                    yield took


def measure(agents: int) -> dict[str, float]:
    """Milliseconds at p50 and p99, decisions a second, and how many waited."""
    bench = Bench(agents)
    decisions = bench.decisions()
    for _ in range(200):
        next(decisions)
    gc.collect()
    gc.disable()
    try:
        took = sorted(next(decisions) * 1000 for _ in range(MEASURED))
    finally:
        gc.enable()
    return {
        "p50_ms": round(took[len(took) // 2], 4),
        "p99_ms": round(took[len(took) * 99 // 100], 4),
        "per_s": round(1000 / statistics.fmean(took)),
        "waiting": bench.waiting,
        "queues": QUEUES,
    }


def main() -> None:
    """Run and print."""
    before = 0.0
    for agents in (100, 1_000, 10_000):
        found = measure(agents)
        growth = round(found["p50_ms"] / before, 2) if before else 1.0
        before = found["p50_ms"]
        print(json.dumps({"name": f"routing_decision_{agents}", **found, "growth": growth}), flush=True)


if __name__ == "__main__":
    main()
