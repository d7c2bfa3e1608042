"""Many facts in, few rows out: what the rows of a batch (``rows``) join to, made at once.

A contact tells two dozen facts, and each would be a row of fifty cells of which ten are filled. The facts that come together are joined
here as ClickHouse would join them later (``tables``): the greatest of each cell. A function of the batch alone; how facts are grouped
into batches does not show in what is read.

What a kind of fact says is prepared once from ``sayings``: most sayings are a field, a rank and an order.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from typing import Any, Final

from services.reporting.core.facts import EvaluationGiven, Placed
from services.reporting.core.rows import cell_of, entry_row, evaluation_rows, fact_row
from services.reporting.core.sayings import ENTRY_OF, SPEECHES, Saying, Speech
from services.reporting.core.tables import DAY_US, EMPTY, FACTS, Card, day_of, order, version

Groups = dict[str, list[tuple[Any, ...]]]
"""Rows by table, in the order in which they must be written: ``facts`` last."""

_Cell = tuple[int, Any]


class _Prepared(typing.NamedTuple):
    """What a kind of fact says about a card. Of each cell: its number, the version of place (or number) 0, and 1 or -1 for whether a
    greater one makes it greater."""

    card: Card
    key: str
    fields: tuple[tuple[int, int, int, str], ...]
    texts: tuple[tuple[int, int, int, str], ...]
    # Times: the field, and where it is empty (or there is none: '') the fact's own.
    times: tuple[tuple[int, int, int, str], ...]
    # Said even if they are 0; the version is of the number, not of the place.
    extremes: tuple[tuple[int, int, int, str], ...]
    others: tuple[tuple[int, tuple[Saying, ...]], ...]


def rows_of_batch(batch: Iterable[Placed]) -> Groups:
    """The rows of all facts. ``facts`` comes last: what is there has been written everywhere else before."""
    groups: Groups = {}
    cards: dict[tuple[str, str, int, str], list[_Cell]] = {}
    days: dict[int, date] = {}
    facts = []
    for placed in batch:
        facts.append(fact_row(placed).values)
        kind: Any = type(placed.fact)
        if kind in ENTRY_OF:
            row = entry_row(placed)
            groups.setdefault(row.table, []).append(row.values)
        elif kind is EvaluationGiven:
            for row in evaluation_rows(placed.tenant, typing.cast(EvaluationGiven, placed.fact)):
                groups.setdefault(row.table, []).append(row.values)
        for prepared in _prepared(kind):
            key = getattr(placed.fact, prepared.key)
            if key:
                day = placed.at_us // DAY_US
                if day not in days:
                    days[day] = day_of(placed.at_us)
                name = (prepared.card.name, placed.tenant, day, key)
                cells = cards.get(name)
                if cells is None:
                    cells = cards[name] = _empty(prepared.card.name)[:]
                _say(cells, prepared, placed)
    for (table, tenant, day, key), cells in cards.items():
        groups.setdefault(table, []).append((tenant, days[day], key, *cells))
    groups[FACTS.name] = facts
    return groups


def _say(cells: list[_Cell], prepared: _Prepared, placed: Placed) -> None:
    fact, at_us = placed.fact, placed.at_us
    place = order(placed.seq, placed.idx)
    for cell, base, sign, field in prepared.fields:
        value = getattr(fact, field)
        if value:
            said = base + sign * place
            now = cells[cell]
            if said > now[0] or (said == now[0] and value > now[1]):
                cells[cell] = (said, value)
    for cell, base, sign, text in prepared.texts:
        new: _Cell = (base + sign * place, text)
        if new > cells[cell]:
            cells[cell] = new
    for cell, base, sign, field in prepared.times:
        value = (getattr(fact, field) if field else 0) or at_us
        if value and (new := (base + sign * place, value)) > cells[cell]:
            cells[cell] = new
    for cell, base, sign, field in prepared.extremes:
        value = getattr(fact, field) if field else at_us
        if (new := (base + sign * value, value)) > cells[cell]:
            cells[cell] = new
    for cell, sayings in prepared.others:
        found = cell_of(sayings, prepared.card, placed)
        if found is not None and found > cells[cell]:
            cells[cell] = found


@cache
def _prepared(kind: Any) -> tuple[_Prepared, ...]:
    return tuple(_prepare(kind, speech) for speech in SPEECHES.get(kind, ()))


def _prepare(kind: type, speech: Speech) -> _Prepared:
    numbers = {name: n for n, name in enumerate(speech.card.cells)}
    by_cell: dict[str, list[Saying]] = {}
    for saying in speech.sayings:
        by_cell.setdefault(saying.cell, []).append(saying)
    hints = typing.get_type_hints(kind)
    sorts: dict[str, list[tuple[int, int, int, str]]] = {
        sort: [] for sort in ("fields", "texts", "times", "extremes")
    }
    others = []
    for cell, sayings in by_cell.items():
        one = sayings[0]
        sort = _sort(one, hints) if len(sayings) == 1 else ""
        if sort:
            down = one.how in ("first", "earliest")
            name = "" if one.value.origin == "place" else one.value.name
            sorts[sort].append((numbers[cell], version(one.rank, 0, first=down), -1 if down else 1, name))
        else:
            others.append((numbers[cell], tuple(sayings)))
    return _Prepared(
        speech.card, speech.key, **{sort: tuple(said) for sort, said in sorts.items()}, others=tuple(others)
    )


def _sort(saying: Saying, hints: dict[str, Any]) -> str:
    """Which list of ``_Prepared`` a saying belongs to that is the only one about its cell; empty for what is rare."""
    origin, by_place = saying.value.origin, saying.how in ("last", "first")
    is_time = origin == "place" and saying.value.name == "at_us"
    if saying.when is not None or saying.always == by_place:
        return ""
    if by_place and origin == "text":
        return "texts"
    if by_place and (origin == "or_place" or is_time):
        return "times"
    plain = origin == "field" and hints.get(saying.value.name) in (str, int)
    if by_place:
        return "fields" if plain else ""
    return "extremes" if plain or is_time else ""


_EMPTIES: Final[dict[str, list[_Cell]]] = {
    speech.card.name: [EMPTY[kind] for kind in speech.card.cells.values()]
    for speeches in SPEECHES.values()
    for speech in speeches
}
_empty: Final[Callable[[str], list[_Cell]]] = _EMPTIES.__getitem__
