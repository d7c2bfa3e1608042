"""What must hold in scheduled reports: every measure there is, every dimension goes with each of them.

The catalogue of measures is reporting's, and no service is imported here; ``measures.json`` is what a document needs to know of it,
written by ``python -m deploy.dev.measures``. Pure but for reading that file once.

These faults refuse a new document or an edit. They do not keep a document from running that is there already (adr/0063).
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Final

from services.center.model import CenterDocument
from services.center.reports import ScheduledReport
from services.center.source import Path

Fault = tuple[Path, str]

FILE: Final = File(__file__).with_name("measures.json")
_CLOSE: Final = 3


@dataclass(frozen=True)
class Catalogue:
    """What can be asked, as ``measures.json`` has it."""

    measures: Mapping[str, tuple[str, ...]]
    """By id: the kinds of rows that it is made from."""
    dimensions: Mapping[str, tuple[str, ...]]
    """By kind of rows: by what its figures can be told apart, and filtered."""
    costs: frozenset[str]
    """Measures that need tariffs."""

    def goes_with(self, measure: str) -> list[str]:
        """The dimensions of a measure: those that all its rows have."""
        kinds = self.measures[measure]
        return [name for name in self.dimensions[kinds[0]] if all(name in self.dimensions[k] for k in kinds)]

    @property
    def all_dimensions(self) -> frozenset[str]:
        """Of any measure."""
        return frozenset(name for names in self.dimensions.values() for name in names)


@functools.cache
def catalogue() -> Catalogue:
    """The catalogue of this version."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return Catalogue(
        measures={name: tuple(kinds) for name, kinds in read["measures"].items()},
        dimensions={kind: tuple(names) for kind, names in read["dimensions"].items()},
        costs=frozenset(read["costs"]),
    )


def faults(document: CenterDocument) -> Iterator[Fault]:
    """Yield every fault of the scheduled reports that only the catalogue can tell."""
    known = catalogue()
    for name, report in document.reports.scheduled.items():
        for path, message in _faults(report, known, tariffs=document.tariffs is not None):
            yield ("reports", "scheduled", name, *path), message


def _faults(report: ScheduledReport, known: Catalogue, *, tariffs: bool) -> Iterator[Fault]:
    for i, measure in enumerate(report.measures):
        if measure not in known.measures:
            yield ("measures", i), _unknown("measure", measure, known.measures)
        elif measure in report.measures[:i]:
            yield ("measures", i), f'measure "{measure}" is named twice'
        elif measure in known.costs and not tariffs:
            yield ("measures", i), f'measure "{measure}" needs tariffs, and the document has none'
    for i, dimension in enumerate(report.by):
        if dimension not in known.all_dimensions:
            yield ("by", i), _unknown("dimension", dimension, known.all_dimensions)
        elif dimension in report.by[:i]:
            yield ("by", i), f'dimension "{dimension}" is named twice'
        else:
            for message in _strangers(dimension, report, known):
                yield ("by", i), message
    if report.queues:
        for message in _strangers("queue", report, known):
            yield ("queues",), message


def _strangers(dimension: str, report: ScheduledReport, known: Catalogue) -> Iterator[str]:
    for measure in dict.fromkeys(report.measures):
        if measure in known.measures and dimension not in (fit := known.goes_with(measure)):
            expected = f"expected one of {', '.join(sorted(fit))}" if fit else "it has no dimensions"
            yield f'measure "{measure}" cannot be told apart by "{dimension}"; {expected}'


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=_CLOSE)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f'unknown {kind} "{name}"; {meant}GET /v1/reports/measures lists them'
