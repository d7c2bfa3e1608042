"""The lists of known differences: ``services/simswitch/differences.yaml``, and ``real.yaml`` here for a real switch.

An entry covers the differences that fit all of ``scenario`` (a glob over transcripts), ``kind`` (one, or a list), ``event`` (a
glob over labels) and ``header`` (a regular expression for its whole name). It must say why, and it must still be needed,
unless it says ``sometimes``: what the real switch itself does one way or the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import yaml

from tests.fidelity.compare import Difference

FILE: Final = Path(__file__).parents[2] / "services" / "simswitch" / "differences.yaml"
REAL: Final = Path(__file__).with_name("real.yaml")


@dataclass(frozen=True)
class Known:
    """One entry."""

    why: str
    kind: tuple[str, ...] = ()
    scenario: str = "*"
    event: str = "*"
    header: str = ".*"
    sometimes: bool = False

    def covers(self, d: Difference) -> bool:
        return (
            (not self.kind or d.kind in self.kind)
            and any(fnmatchcase(d.scenario, one) for one in self.scenario.split("|"))
            and any(fnmatchcase(d.event, one) for one in self.event.split("|"))
            and re.fullmatch(self.header, d.header) is not None
        )


def load(file: Path = FILE) -> tuple[list[Known], dict[str, str]]:
    """The entries, and the transcripts that are not compared with the reason. Raises TypeError for an unknown field."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    entries = []
    for fields in document["differences"]:
        kind = fields.pop("kind", ())
        entries.append(Known(kind=(kind,) if isinstance(kind, str) else tuple(kind), **fields))
    return entries, document.get("not_compared", {})


def judge(
    found: Iterable[Difference], entries: list[Known]
) -> tuple[list[Difference], list[Known], Counter[str]]:
    """Differences that no entry covers, entries that cover none, and how many differences of each kind are covered."""
    unlisted: list[Difference] = []
    used: set[int] = set()
    covered: Counter[str] = Counter()
    for difference in found:
        fitting = [i for i, entry in enumerate(entries) if entry.covers(difference)]
        used.update(fitting)
        if fitting:
            covered[difference.kind] += 1
        else:
            unlisted.append(difference)
    stale = [entry for i, entry in enumerate(entries) if i not in used and not entry.sometimes]
    return unlisted, stale, covered
