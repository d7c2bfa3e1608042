"""A day of a center, simulated through routing's real core.

    python -m tests.sim [--calls 100000] [--seed 1] [--kills 12]     the day through routing's core; also `make sim`
    python -m tests.sim --joined [--calls 10000] [--seed 1]          a rush hour through the cores of routing and queue together

Prints the key figures and, last, one line of JSON. Ends with 1 when anything was wrong. ``seconds`` is elapsed time and ``cpu_s``
this process's own; ``digest`` is over every decision in order and depends on nothing but the seed, the number of calls and the code.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time

from tests.sim.center import AGENTS, LINES
from tests.sim.center_day import CenterDay
from tests.sim.joined_day import JoinedDay
from tests.sim.report import joined_report, report


def play(calls: int, seed: int, kills: int) -> int:
    """Run a day, print it, and say by the exit code whether all was right."""
    gc.disable()  # A day makes no cycles, and 165 MB of live objects are not worth walking again and again.
    began, cpu = time.perf_counter(), time.process_time()
    day = CenterDay(calls=calls, seed=seed, kills=kills).run()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    for line in report(day):
        print(line)
    print(
        json.dumps(
            {
                "name": "sim_day",
                "seconds": round(took, 1),
                "calls": calls,
                "digest": day.digest,
                "cpu_s": round(cpu, 1),
                "agents": AGENTS,
                "queues": len(LINES),
                "seed": seed,
                "inputs": day.inputs,
                "facts": day.ledger.facts.total(),
                "takeovers": day.takeovers,
                "findings": day.ledger.findings,
            }
        )
    )
    return 1 if day.ledger.findings else 0


def play_joined(calls: int, seed: int, kills: int) -> int:
    """Run a rush hour through both cores; as ``play``."""
    gc.disable()
    began, cpu = time.perf_counter(), time.process_time()
    day = JoinedDay(calls=calls, seed=seed, kills=kills).run()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    for line in joined_report(day):
        print(line)
    print(
        json.dumps(
            {
                "name": "sim_joined",
                "seconds": round(took, 1),
                "calls": calls,
                "digest": day.digest,
                "cpu_s": round(cpu, 1),
                "seed": seed,
                "routing_inputs": day.inputs,
                "queue_inputs": sum(node.inputs for node in day.nodes.values()),
                "commands": sum(node.commands for node in day.nodes.values()),
                "owners_killed": day.takeovers + sum(node.deaths for node in day.nodes.values()),
                "findings": day.ledger.findings,
            }
        )
    )
    return 1 if day.ledger.findings else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.splitlines()[0])
    parser.add_argument("--joined", action="store_true", help="queue's core as well, on simulated switches")
    parser.add_argument("--calls", type=int, help="100,000 a day, 10,000 joined")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=12)
    given = parser.parse_args()
    if given.joined:
        return play_joined(given.calls or 10_000, given.seed, given.kills)
    return play(given.calls or 100_000, given.seed, given.kills)


if __name__ == "__main__":
    sys.exit(main())
