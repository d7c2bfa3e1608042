"""`make fidelity`: hold every recorded conversation with the simulated switch and print what differs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fidelity.compare import Result
from tests.fidelity.player import play
from tests.fidelity.scenarios import SCENARIOS, Scenario
from tests.fidelity.simulated import simulated


async def run(names: list[str]) -> dict[str, Result]:
    """Play the scenarios, each on a switch of its own, all at once: they mostly wait."""

    async def one(scenario: Scenario) -> dict[str, Result]:
        with tempfile.TemporaryDirectory() as folder:
            async with simulated(Path(folder)) as lab:
                return await play(scenario, lab)

    chosen = [s for s in SCENARIOS if not names or any(s.name.startswith(name) for name in names)]
    played = await asyncio.gather(*(one(scenario) for scenario in chosen))
    return {name: result for results in played for name, result in results.items()}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("scenario", nargs="*", help="the beginning of a transcript's name")
    arguments.add_argument("--all", action="store_true", help="also the differences that are listed")
    given = arguments.parse_args()
    results = asyncio.run(run(given.scenario))
    total = Result()
    for name, result in results.items():
        total.add(result)
        kinds = Counter(d.kind for d in result.differences.elements())
        print(
            f"{name:36} {result.replies:4} replies {result.events:5} events {result.headers:6} headers  {dict(kinds)}"
        )
    for difference, count in sorted(total.differences.items()):
        d = difference
        print(
            f"{count:4} {d.scenario[:4]} {d.kind:14} {d.event:40} {d.header:40} {d.was[:60]!r} -> {d.found[:60]!r}"
        )
    line = {"name": "fidelity", "transcripts": len(results), "replies": total.replies, "events": total.events}
    print(json.dumps(line | {"headers": total.headers, "differences": len(total.differences)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
