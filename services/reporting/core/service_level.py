"""Service level: five published formulas and the default, always shown with the counts it was made from.

The same day can be told as 81 % or 86 % (the example in the tests is ICMI's), so a report names its formula. What counts:
contacts that entered a queue. ``within`` is T, the queue's target; ``short`` is S, under which an abandonment is more
likely a wrong number than a failure of the center.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

FormulaId = Literal["F3S", "F1", "F2", "F3", "F4", "F5"]

DEFAULT: Final[FormulaId] = "F3S"
"""F3 with short abandonments left out and shown beside it: the measure ``service_level`` of the catalogue."""

WORDS: Final[dict[FormulaId, str]] = {
    "F3S": "answered within T / (answered + abandoned), abandons before S left out of both",
    "F1": "(answered within T + abandoned within T) / (answered + abandoned)",
    "F2": "answered within T / answered",
    "F3": "answered within T / (answered + abandoned)",
    "F4": "answered within T / (answered + abandoned after T)",
    "F5": "(answered within T + abandoned under S) / (answered + abandoned)",
}


class Counts(msgspec.Struct, frozen=True):
    """Contacts of queues in a span of time."""

    answered: int
    answered_within: int
    abandoned: int
    abandoned_within: int
    abandoned_short: int


def service_level(counts: Counts, formula: FormulaId = DEFAULT) -> float | None:
    """The share from 0 to 1, or None when there was nothing to serve."""
    everything = counts.answered + counts.abandoned
    good, all_of = {
        "F3S": (counts.answered_within, everything - counts.abandoned_short),
        "F1": (counts.answered_within + counts.abandoned_within, everything),
        "F2": (counts.answered_within, counts.answered),
        "F3": (counts.answered_within, everything),
        "F4": (counts.answered_within, everything - counts.abandoned_within),
        "F5": (counts.answered_within + counts.abandoned_short, everything),
    }[formula]
    return good / all_of if all_of else None
