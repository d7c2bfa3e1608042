"""From counts to figures: the rows of the parts joined by their keys, divided, sorted and cut into pages. Pure.

A figure is None where there is nothing to divide by. Values of a measure are floats or, where they are counts, integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from services.reporting.core.kpi.calendars import SECOND_US, WEEKDAYS, Calendar, Unit
from services.reporting.core.kpi.cost import Tariffs, amount
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Cost, Measure, Quantile, Text
from services.reporting.core.kpi.question import Part, Question, counts_of, estimates
from services.reporting.core.kpi.sources import DIMENSIONS
from services.reporting.core.kpi.statement import INTERVAL

Key = tuple[Any, ...]
"""Begin of the interval in seconds (when there are intervals), then the dimensions' values."""
Numbers = dict[str, Any]
"""Counts by id, and quantiles in milliseconds by id."""

_INTERVAL_NAME: Final[Text] = {"en": "Interval", "fa": "بازه"}
_FROM_NAME: Final[Text] = {"en": "From", "fa": "از"}
_TO_NAME: Final[Text] = {"en": "To", "fa": "تا"}


class Column(msgspec.Struct, frozen=True):
    """A column of the answer."""

    id: str
    name: Text
    kind: Literal["interval", "time", "dimension", "measure", "count"]
    unit: str
    estimate: bool = False
    """The figure is made from a sketch of the values, not from each of them."""


class Line(msgspec.Struct, frozen=True):
    """A row of the answer: where it stands, and its figures."""

    from_us: int
    to_us: int
    label: str
    dimensions: dict[str, str | int]
    figures: dict[str, Any]


def columns(question: Question) -> list[Column]:
    """The columns of the answer, in order: interval, dimensions, measures, then the counts that they were made from."""
    estimated = estimates(question)
    found = []
    if question.interval is not None:
        found += [
            Column("interval", _INTERVAL_NAME, "interval", question.interval),
            Column("from", _FROM_NAME, "time", "time"),
            Column("to", _TO_NAME, "time", "time"),
        ]
    found += [Column(name, DIMENSIONS[name].name, "dimension", DIMENSIONS[name].kind) for name in question.by]
    for name in question.measures:
        measure = MEASURES[name]
        found.append(Column(name, measure.name, "measure", measure.unit, name in estimated))
    found += [
        Column(count.id, count.name, "count", count.unit)
        for count in counts_of(question.measures)
        if count.id not in question.measures
    ]
    return found


def gathered(
    question: Question, found: Iterable[tuple[Part, Sequence[Mapping[str, Any]]]]
) -> dict[Key, Numbers]:
    """The numbers of all parts by key. What a part does not say about a key is zero."""
    numbers: dict[Key, Numbers] = {}
    for _, rows in found:
        for row in rows:
            key = tuple(
                row[name]
                for name in (
                    *((INTERVAL,) if question.interval else ()),
                    *(f"k_{name}" for name in question.by),
                )
            )
            own = numbers.setdefault(key, {})
            for name, value in row.items():
                if name.startswith(("c_", "q_")):
                    own[name[2:]] = value
    return numbers


def adds_up(question: Question, part: Part) -> bool:
    """Whether the part's numbers of everything are those of its rows added up.

    Quantiles are not, and a contact stands under each of its skills.
    """
    return not part.quantiles and "skill" not in question.by


def total(part: Part, rows: Sequence[Mapping[str, Any]]) -> Numbers:
    """The counts of a part over all of its rows."""
    found: Numbers = {}
    for count in part.counts:
        values = (int(row[f"c_{count.id}"]) for row in rows)
        found[count.id] = max(values, default=0) if count.greatest else sum(values)
    return found


def figures(measures: Sequence[str], numbers: Numbers, tariffs: Tariffs | None = None) -> dict[str, Any]:
    """Every measure, and every count that they were made from, of one key."""
    found: dict[str, Any] = {name: value(MEASURES[name], numbers, tariffs) for name in measures}
    for count in counts_of(measures):
        number = numbers.get(count.id, 0)
        found.setdefault(count.id, float(number) if count.unit == "months" else number)
    return found


def value(
    measure: Measure | Quantile | Cost, numbers: Numbers, tariffs: Tariffs | None = None
) -> float | int | None:
    """One figure. Costs want the tariffs."""
    if isinstance(measure, Cost):
        return amount(measure, tariffs, numbers) if tariffs is not None else None
    if isinstance(measure, Quantile):
        found = numbers.get(measure.id)
        if not numbers.get(measure.count) or found is None or math.isnan(found):
            return None
        return float(found) / 1000
    top = sum(times * int(numbers.get(name, 0)) for name, times in measure.top.items())
    if not measure.bottom:
        return top if measure.factor == 1 else top * measure.factor
    bottom = sum(times * int(numbers.get(name, 0)) for name, times in measure.bottom.items())
    return top / bottom * measure.factor if bottom > 0 else None


def lines(question: Question, borders: Sequence[int], numbers: Mapping[Key, Numbers]) -> list[Line]:
    """The rows in the order of time and dimensions; where only intervals were asked for, empty ones too."""
    keys: Iterable[Key] = numbers
    if question.interval is not None and not question.by:
        keys = [(border // SECOND_US,) for border in borders[:-1]]
    ends = dict(zip((b // SECOND_US for b in borders[:-1]), borders[1:], strict=True))
    begins = {b // SECOND_US: b for b in borders[:-1]}
    found = []
    for key in sorted(keys, key=lambda key: _place(question, key)):
        begin, rest = (key[0], key[1:]) if question.interval is not None else (borders[0] // SECOND_US, key)
        from_us = begins[begin] if question.interval is not None else borders[0]
        to_us = ends[begin] if question.interval is not None else borders[-1]
        found.append(
            Line(
                from_us=from_us,
                to_us=to_us,
                label=label(question.calendar, question.interval, from_us),
                dimensions={
                    name: WEEKDAYS[part] if name == "weekday" else part
                    for name, part in zip(question.by, rest, strict=True)
                },
                figures=figures(question.measures, numbers.get(key, {}), question.tariffs),
            )
        )
    return found


def _place(question: Question, key: Key) -> Key:
    """By which rows are sorted: weekdays from the first day of the week on."""
    first = WEEKDAYS.index(question.calendar.week_start)
    names = (*(("",) if question.interval is not None else ()), *question.by)
    return tuple(
        (part - first) % 7 if name == "weekday" else part for name, part in zip(names, key, strict=True)
    )


def label(calendar: Calendar, unit: Unit | None, from_us: int) -> str:
    """What the interval is called; empty without intervals."""
    return calendar.label(unit, from_us) if unit is not None else ""


def ordered(found: list[Line], by: str | None) -> list[Line]:
    """Sorted by a figure (``-`` before its name: the greatest first), else as they are; what has no figure comes last."""
    if by is None:
        return found
    name, downwards = by.lstrip("-"), by.startswith("-")

    def rank(line: Line) -> tuple[bool, float]:
        figure = line.figures[name]
        return (figure is None, 0 if figure is None else -figure if downwards else figure)

    return sorted(found, key=rank)
