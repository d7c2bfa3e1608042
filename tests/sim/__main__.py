"""A day of a center, simulated through routing's real core.

    python -m tests.sim [--calls 100000] [--seed 1] [--kills 12]     the day; also `make sim`

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
from tests.sim.report import report


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


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=12)
    given = parser.parse_args()
    return play(given.calls, given.seed, given.kills)


if __name__ == "__main__":
    sys.exit(main())
