"""`make fidelity`: hold every recorded conversation with the simulated switch, and report what differs and why."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fidelity.compare import Difference, Result
from tests.fidelity.known import judge, load
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
    arguments = argparse.ArgumentParser(prog="make fidelity", description=__doc__)
    arguments.add_argument("transcript", nargs="*", help="the beginning of a transcript's name")
    arguments.add_argument("--all", action="store_true", help="also the differences that are listed")
    given = arguments.parse_args()
    results = asyncio.run(run(given.transcript))
    entries, not_compared = load()
    total = Result()
    print(f"{'transcript':40} replies  events  headers  differences by kind")
    for name, result in results.items():
        total.add(result)
        kinds = " ".join(f"{kind} {n}" for kind, n in Counter(d.kind for d in result.differences).items())
        print(f"{name:40} {result.replies:7} {result.events:7} {result.headers:8}  {kinds}")
    for name, why in not_compared.items():
        print(f"{name:40} not compared: {why}")
    unlisted, stale, covered = judge(total.differences, entries)
    for entry in entries:
        print(f"{sum(map(entry.covers, total.differences)):7}  {entry.why}")
    show(sorted(total.differences) if given.all else unlisted, "" if given.all else "not listed: ")
    for entry in [] if given.transcript else stale:
        print(f"no longer needed: {entry.why}")
    line = {
        "name": "fidelity",
        "transcripts": len(results),
        "replies": total.replies,
        "events": total.events,
        "headers": total.headers,
        "pairs_between_legs": total.pairs,
        "differences": len(total.differences),
        "kinds": dict(covered),
        "unlisted": len(unlisted),
    }
    print(json.dumps(line))
    return 1 if unlisted or (stale and not given.transcript) else 0


def show(differences: list[Difference], prefix: str) -> None:
    """A line a difference."""
    for d in differences:
        print(f"{prefix}{d.scenario}: {d.kind}: {d.event} {d.header} {d.was[:80]!r} -> {d.found[:80]!r}")


if __name__ == "__main__":
    sys.exit(main())
