"""How many inputs a second routing's core decides on: a simulated rush hour, CPU time, best of three rounds.

    python -m tests.bench.routing_core

Prints one JSON line.
"""

from __future__ import annotations

import json
import time

from services.routing.core.center import AgentRules, Center, QueueRules
from tests.sim.routing_day import Day, World

AGENTS, QUEUES = 600, 30


def large_center() -> Center:
    """Every agent in three queues, four kinds of skills."""
    queues = {f"q{n}": QueueRules({"x": 1} if n % 3 else {}, wrap_up_ms=10_000) for n in range(QUEUES)}
    agents = {
        f"a{n}": AgentRules(
            str(n), tuple(f"q{(n + k * 7) % QUEUES}" for k in range(3)), {"x": n % 4, "fa": n % 2}
        )
        for n in range(AGENTS)
    }
    return Center("r1", queues, agents)


def main() -> None:
    """Run and print."""
    world = World(
        arrivals_per_h=AGENTS * 3600 / 170,
        talk_s=150,
        patience_s=300,
        answer_s=4,
        queues=tuple(f"q{n}" for n in range(QUEUES)),
        skills=((), ("fa:1",)),
    )
    best = 0.0
    for seed in range(3):
        day = Day(large_center(), world, hours=0.5, seed=seed)
        began = time.process_time()
        day.run()
        best = max(best, day.inputs / (time.process_time() - began))
    print(json.dumps({"name": "routing_core", "per_s": round(best), "agents": AGENTS, "queues": QUEUES}))


if __name__ == "__main__":
    main()
