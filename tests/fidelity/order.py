"""Order between legs: which event of one leg the real switch always tells before which event of another.

Legs are threads, and what they tell races. What does not race is learned: the recording and several runs on a real switch
(``python -m tests.fidelity.learn RUNS``, which needs one) give so many orders of the same events; what holds in all of them is
a partial order, and its immediate pairs are kept in ``tests/vectors/simswitch/order_between_legs.json``. A pair that went the
same way by chance each time may be among them; the more runs, the fewer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from tests.fidelity.compare import Legs
from tests.fidelity.conversation import Frame

FILE: Final = Path(__file__).parents[1] / "vectors" / "simswitch" / "order_between_legs.json"

Place = tuple[str, str, int]
"""An event: its leg's name, its label, and which of its like it is, from 1."""


def places(frames: Iterable[Frame], legs: Legs) -> list[Place]:
    """The events of the legs that take part, in their order."""
    seen: Counter[tuple[str, str]] = Counter()
    out: list[Place] = []
    for frame in frames:
        if frame.event is None or not frame.leg or frame.name == "connect" or not legs.counts(frame):
            continue
        key = legs.roles[frame.leg], legs.normal(frame.label)
        seen[key] += 1
        out.append((*key, seen[key]))
    return out


def stable(runs: Sequence[Sequence[Place]]) -> list[tuple[Place, Place]]:
    """Pairs of events of different legs that come in this order in every run, without those that follow from others."""
    where = [{place: i for i, place in enumerate(run)} for run in runs]
    common = [place for place in runs[0] if all(place in at for at in where)]
    after = [
        {j for j in range(i + 1, len(common)) if all(at[common[i]] < at[common[j]] for at in where)}
        for i in range(len(common))
    ]
    pairs = []
    for i, later in enumerate(after):
        follows = set().union(*(after[j] for j in later)) if later else set()
        pairs += [(common[i], common[j]) for j in sorted(later - follows) if common[i][0] != common[j][0]]
    return pairs


def broken(pairs: Iterable[tuple[Place, Place]], run: Sequence[Place]) -> list[tuple[Place, Place]]:
    """Pairs that came the other way round."""
    at = {place: i for i, place in enumerate(run)}
    return [(a, b) for a, b in pairs if a in at and b in at and at[a] > at[b]]


@cache
def learned() -> dict[str, list[tuple[Place, Place]]]:
    """The pairs of each transcript."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: [(tuple(a), tuple(b)) for a, b in pairs] for name, pairs in document.items()}
