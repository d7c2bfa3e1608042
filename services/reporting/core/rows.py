"""One fact in, its rows out. A function of the fact and its place alone, so that a repetition gives the same rows.

What is written is the rows of a whole batch, joined (``cards``). This is the same for a single fact, in plain sight; tests hold them
equal.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from services.reporting.core.facts import EvaluationGiven, Mark, Placed
from services.reporting.core.sayings import ENTRY_OF, SPEECHES, Saying, Speech, applies, read
from services.reporting.core.tables import (
    EMPTY,
    EVALUATIONS,
    FACTS,
    Card,
    Row,
    card_row,
    day_of,
    order,
    version,
)

_encode: Final = msgspec.json.Encoder().encode


def fact_row(placed: Placed) -> Row:
    """The fact itself: the row of which all others are made."""
    fact: Any = placed.fact
    return Row(
        FACTS.name,
        (
            placed.tenant,
            placed.contact_id,
            placed.id,
            placed.at_us,
            placed.stream,
            placed.seq,
            placed.idx,
            placed.type,
            getattr(fact, "agent_id", ""),
            getattr(fact, "queue", ""),
            placed.causation_id,
            placed.revision,
            _encode(fact).decode(),
        ),
    )


def rows_of(placed: Placed) -> list[Row]:
    """All rows of one fact; the first is always its row in ``facts``."""
    fact = placed.fact
    rows = [fact_row(placed)]
    if type(fact) in ENTRY_OF:
        rows.append(entry_row(placed))
    if isinstance(fact, EvaluationGiven):
        rows += evaluation_rows(placed.tenant, fact)
    for speech in SPEECHES.get(type(fact), ()):
        key = getattr(fact, speech.key)
        if key:
            rows.append(card_row(speech.card, placed.tenant, placed.at_us, key, _cells(speech, placed)))
    return rows


def entry_row(placed: Placed) -> Row:
    """The row of a fact whose kind has a table of its own. Raises KeyError for other kinds."""
    kind: Any = type(placed.fact)
    table, values_of = _entry(kind)
    return Row(table, values_of(placed.fact, placed))


def evaluation_rows(tenant: str, given: EvaluationGiven) -> list[Row]:
    """A row for each question; of those that are in it no longer, one that takes the earlier row away."""
    day = day_of(given.first_at_us)
    gone = (Mark(question=question, most=1) for question in given.withdrawn)
    return [
        Row(
            EVALUATIONS.name,
            (
                tenant, day, given.evaluation_id, mark.question, given.contact_id, given.segment_id, given.agent_id,
                given.form, mark.score, mark.most, mark.comment, given.evaluator, given.first_at_us, given.at_us, deleted,
            ),
        )
        for marks, deleted in ((given.marks, 0), (gone, 1))
        for mark in marks
    ]  # fmt: skip


@cache
def _entry(kind: Any) -> tuple[str, Callable[[Any, Placed], tuple[Any, ...]]]:
    """The table of a kind of fact, and what makes its row: where the columns are nothing but fields, without a look at each."""
    entry = ENTRY_OF[kind]
    values = list(entry.columns.values())
    hints = typing.get_type_hints(kind)
    if any(
        v.origin not in ("field", "place", "text")
        or (v.origin == "field" and hints[v.name] not in (str, int, bool))
        for v in values
    ):
        return entry.table.name, lambda fact, placed: tuple([_plain(read(v, fact, placed)) for v in values])
    fields = sorted({v.name for v in values if v.origin == "field"})
    places = sorted({v.name for v in values if v.origin == "place"})
    texts = tuple(v.name for v in values if v.origin == "text")
    known = [*(("field", n) for n in fields), *(("place", n) for n in places), *(("text", n) for n in texts)]
    of_fact, of_placed = attrgetter(*fields), attrgetter(*places)
    pick = itemgetter(*(known.index((v.origin, v.name)) for v in values))
    return entry.table.name, lambda fact, placed: pick(of_fact(fact) + of_placed(placed) + texts)


def _plain(value: Any) -> Any:
    """A list of messages as a list of tuples."""
    if isinstance(value, tuple):
        return [msgspec.structs.astuple(item) if isinstance(item, msgspec.Struct) else item for item in value]
    return value


def _cells(speech: Speech, placed: Placed) -> dict[str, tuple[int, Any]]:
    by_cell: dict[str, list[Saying]] = {}
    for saying in speech.sayings:
        by_cell.setdefault(saying.cell, []).append(saying)
    said = {name: cell_of(sayings, speech.card, placed) for name, sayings in by_cell.items()}
    return {name: cell for name, cell in said.items() if cell is not None}


def cell_of(sayings: Sequence[Saying], card: Card, placed: Placed) -> tuple[int, Any] | None:
    """What a fact says about one cell: the first of its sayings that applies; None when none does."""
    for saying in sayings:
        if applies(saying.when, placed.fact):
            value = read(saying.value, placed.fact, placed)
            if value or saying.always:
                return _version(saying, placed, value), _like(EMPTY[card.cells[saying.cell]][1], value)
    return None


def _version(saying: Saying, placed: Placed, value: Any) -> int:
    if saying.how in ("earliest", "latest"):
        return version(saying.rank, value, first=saying.how == "earliest")
    return version(saying.rank, order(placed.seq, placed.idx), first=saying.how == "first")


def _like(empty: Any, value: Any) -> Any:
    """The value in the type of its column: a flag is a number, a tuple is a list."""
    return type(empty)(value)
