"""`python -m tests.fidelity.learn RUNS`: learn from runs on a real FreeSWITCH which order between legs is stable."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from tests.esl_transcripts import transcript
from tests.fidelity.compare import Legs
from tests.fidelity.conversation import conversation
from tests.fidelity.order import FILE, Place, broken, learned, places, stable
from tests.fidelity.player import play
from tests.fidelity.real import real
from tests.fidelity.scenarios import SCENARIOS


async def learn(runs: int) -> dict[str, list[list[Place]]]:
    """The orders of each transcript: the recorded one, then those of the runs."""
    seen: dict[str, list[list[Place]]] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            async with real(Path(folder)) as lab:
                for scenario in SCENARIOS:
                    for name, result in (await play(scenario, lab)).items():
                        recorded = conversation(transcript(name)).frames
                        was = places(recorded, Legs(recorded, scenario.view))
                        now = places(result.found, Legs(result.found, scenario.view, str(lab.folder)))
                        seen.setdefault(name, [was]).append(now)
    return seen


def write(pairs: dict[str, list[tuple[Place, Place]]]) -> int:
    """Write the file; return how many pairs are in it."""
    rows = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in sorted(pairs.items()) if found]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    return sum(map(len, pairs.values()))


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.fidelity.learn", description=__doc__)
    arguments.add_argument("runs", type=int, help="how many runs; each takes a minute and a half")
    arguments.add_argument(
        "--narrow", action="store_true", help="only drop what is learned and does not hold in these runs"
    )
    given = arguments.parse_args()
    seen = asyncio.run(learn(given.runs))
    if given.narrow:
        pairs = {
            name: [pair for pair in found if not any(broken([pair], run) for run in seen[name])]
            for name, found in learned().items()
        }
    else:
        pairs = {name: stable(runs) for name, runs in seen.items()}
    print(write(pairs))


if __name__ == "__main__":
    main()
