"""One fact in, its rows out. A function of the fact and its place alone, so that a repetition gives the same rows.

What is written is the rows of a whole batch, joined (``cards``). This is the same for a single fact, in plain sight; tests hold them
equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.reporting.core.facts import Placed
from services.reporting.core.sayings import ENTRY_OF, SPEECHES, Saying, Speech, applies, read
from services.reporting.core.tables import EMPTY, FACTS, Card, Row, card_row, order, version

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
    for speech in SPEECHES.get(type(fact), ()):
        key = getattr(fact, speech.key)
        if key:
            rows.append(card_row(speech.card, placed.tenant, placed.at_us, key, _cells(speech, placed)))
    return rows


def entry_row(placed: Placed) -> Row:
    """The row of a fact whose kind has a table of its own. Raises KeyError for other kinds."""
    entry = ENTRY_OF[type(placed.fact)]
    return Row(
        entry.table.name,
        tuple([_plain(read(value, placed.fact, placed)) for value in entry.columns.values()]),
    )


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
