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

from services.reporting.core.facts import Placed
from services.reporting.core.rows import cell_of, entry_row, fact_row
from services.reporting.core.sayings import ENTRY_OF, SPEECHES, Saying, Speech
from services.reporting.core.tables import DAY_US, EMPTY, FACTS, Card, day_of, order, version

Groups = dict[str, list[tuple[Any, ...]]]
"""Rows by table, in the order in which they must be written: ``facts`` last."""

_Cell = tuple[int, Any]
# Cell, field, version of place 0, and whether a later place is greater.
_Plain = tuple[int, str, int, int]
_Other = tuple[int, tuple[Saying, ...]]


class _Prepared(typing.NamedTuple):
    card: Card
    key: str
    plain: tuple[_Plain, ...]
    others: tuple[_Other, ...]


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
    fact = placed.fact
    place = order(placed.seq, placed.idx)
    for at, field, base, sign in prepared.plain:
        value = getattr(fact, field)
        if value:
            said = base + sign * place
            now = cells[at]
            if said > now[0] or (said == now[0] and value > now[1]):
                cells[at] = (said, value)
    for at, sayings in prepared.others:
        cell = cell_of(sayings, prepared.card, placed)
        if cell is not None and cell > cells[at]:
            cells[at] = cell


@cache
def _prepared(kind: Any) -> tuple[_Prepared, ...]:
    return tuple(_prepare(kind, speech) for speech in SPEECHES.get(kind, ()))


def _prepare(kind: type, speech: Speech) -> _Prepared:
    places = {name: n for n, name in enumerate(speech.card.cells)}
    by_cell: dict[str, list[Saying]] = {}
    for saying in speech.sayings:
        by_cell.setdefault(saying.cell, []).append(saying)
    hints = typing.get_type_hints(kind)
    plain, others = [], []
    for cell, sayings in by_cell.items():
        one = sayings[0]
        if len(sayings) == 1 and _is_plain(one, hints):
            first = one.how == "first"
            plain.append(
                (places[cell], one.value.name, version(one.rank, 0, first=first), -1 if first else 1)
            )
        else:
            others.append((places[cell], tuple(sayings)))
    return _Prepared(speech.card, speech.key, tuple(plain), tuple(others))


def _is_plain(saying: Saying, hints: dict[str, Any]) -> bool:
    return (
        saying.value.origin == "field"
        and hints.get(saying.value.name) in (str, int)
        and saying.how in ("last", "first")
        and saying.when is None
        and not saying.always
    )


_EMPTIES: Final[dict[str, list[_Cell]]] = {
    speech.card.name: [EMPTY[kind] for kind in speech.card.cells.values()]
    for speeches in SPEECHES.values()
    for speech in speeches
}
_empty: Final[Callable[[str], list[_Cell]]] = _EMPTIES.__getitem__
