"""Rows of facts join to the same truth in any order, any grouping and any number of repetitions."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.core.legs import rows_of_leg
from services.reporting.core.rows import rows_of
from services.reporting.core.tables import CARDS, COLUMNS, Row
from tests.reporting_stories import Story, stories

_CARDS = {card.name: card for card in CARDS}


def joined(rows: list[Row]) -> dict[tuple[str, str], dict[str, Any]]:
    """What ClickHouse makes of the rows: of cards the greatest cell of each column, of entries one row an id."""
    out: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        values = dict(zip(COLUMNS[row.table], row.values, strict=True))
        card = _CARDS.get(row.table)
        if card is None:
            out[row.table, values["id"]] = values
            continue
        card_now = out.setdefault((row.table, values[card.id_column]), {})
        for name in card.cells:
            card_now[name] = max(card_now.get(name, values[name]), values[name])
    return out


def all_rows(told: list[Story]) -> list[Row]:
    rows = [row for story in told for placed in story.placed for row in rows_of(placed)]
    return rows + [row for story in told for leg in story.legs for row in rows_of_leg(leg)]


@given(stories(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_and_repetition_do_not_change_what_rows_join_to(told: list[Story], random: Any) -> None:
    rows = all_rows(told)
    truth = joined(rows)
    again = rows + random.choices(rows, k=len(rows) // 2)
    random.shuffle(again)
    assert joined(again) == truth


@given(stories())
@settings(max_examples=150, deadline=None)
def test_a_contacts_cells_say_what_happened(told: list[Story]) -> None:
    truth = joined(all_rows(told))
    names = {
        "entry_point": "entry_point",
        "ani": "ani",
        "queue": "queue",
        "first_queue": "first_queue",
        "agent_id": "agent_id",
        "offer_id": "offer_id",
        "offers": "offers",
        "talk_ms": "talk_ms",
        "started_at_us": "started_at_us",
        "waiting_since_us": "waiting_since_us",
        "disposition": "disposition",
        "recording_path": "recording_path",
    }
    for story in told:
        cells = truth["contacts", story.contact_id]
        for expected, cell in names.items():
            if expected in story.expected:
                assert cells[cell][1] == story.expected[expected], cell


@given(stories(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_any_part_of_the_facts_only_adds(told: list[Story], random: Any) -> None:
    """What is known from some of the facts is never taken back by more of them: versions only grow."""
    rows = all_rows(told)
    some = joined([row for row in rows if random.random() < 0.5])
    truth = joined(rows)
    for key, cells in some.items():
        if key[0] in _CARDS:
            assert all(cells[name] <= truth[key][name] for name in cells)


@given(stories())
@settings(max_examples=50, deadline=None)
def test_every_fact_has_one_row_of_its_own(told: list[Story]) -> None:
    placed = [p for story in told for p in story.placed]
    rows = [row for p in placed for row in rows_of(p) if row.table == "facts"]
    assert len(rows) == len(placed)
    assert len({row.values[COLUMNS["facts"].index("id")] for row in rows}) == len(placed)
