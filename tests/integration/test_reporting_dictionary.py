"""The data dictionary: every column of every table and view is explained, in words that are still true."""

from __future__ import annotations

import pytest

from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.reporting import dictionary
from services.reporting.core import dictionary as core

pytestmark = pytest.mark.clickhouse


async def test_every_column_is_explained_and_no_words_are_left_over(
    store: ServerStore, store_url: StoreUrl
) -> None:
    found = await dictionary.read(store, store_url.database)
    assert core.undocumented(found) == []
    columns = {f"{r.name}.{c.name}" for r in found for c in r.columns}
    assert set(core.WORDS) <= columns, "words for columns that are not there"
    assert set(core.VIEWS) <= {r.name for r in found if r.kind == "view"}, (
        "words for views that are not there"
    )


async def test_a_column_or_view_that_nobody_explained_is_named(
    store: ServerStore, store_url: StoreUrl
) -> None:
    await store.command("ALTER TABLE surveys ADD COLUMN mood String")
    await store.command("CREATE VIEW v_moods AS SELECT tenant, mood, mood = '' AS silent FROM surveys FINAL")
    with pytest.raises(ValueError, match="surveys") as refused:
        await dictionary.page(store, store_url.database)
    for name in ("surveys.mood", "v_moods.mood", "v_moods.silent"):
        assert name in str(refused.value)
    assert "v_moods.tenant" not in str(refused.value)
    assert str(refused.value).count("v_moods,") + str(refused.value).count("v_moods:") == 1


async def test_views_take_the_words_of_what_they_read(store: ServerStore, store_url: StoreUrl) -> None:
    await store.command(
        "CREATE TABLE moods (tenant String COMMENT 'Organisation', mood String COMMENT 'As the agent saw it',"
        " day Date COMMENT 'Day')"
        " ENGINE = MergeTree PARTITION BY tenant ORDER BY (tenant, mood) TTL day + INTERVAL 90 YEAR"
        " COMMENT 'Moods | of callers'"
    )
    await store.command(
        "CREATE VIEW v_moods AS SELECT tenant, mood FROM (SELECT * FROM moods) COMMENT 'Moods, as of now'"
    )
    page = await dictionary.page(store, store_url.database)
    view = page.split("### v_moods\n")[1].split("\n### ")[0]
    assert "Moods, as of now." in view
    assert "| `mood` | `String` | As the agent saw it |" in view
    table = page.split("### moods\n")[1].split("\n### ")[0]
    assert "MergeTree, partitions by `tenant`, ordered by `(tenant, mood)`; rows go after `" in table
    assert "toIntervalYear(90)" in table


def test_a_cell_does_not_break_the_table_of_the_page() -> None:
    relation = core.Relation(
        "v_x", "view", "X", (core.Column("a", "Enum8('|' = 1)", "one | two\nthree"),), ("x",)
    )
    assert "| `a` | `Enum8('\\|' = 1)` | one \\| two three |" in core.markdown([relation])


def test_a_cell_of_a_card_is_shown_by_what_is_in_it() -> None:
    column = core.Column("q", "SimpleAggregateFunction(max, Tuple(UInt64, String))", "Queue")
    relation = core.Relation("x", "table", "", (column,), engine="M", order="q")
    assert "| `q` | `cell of String` | Queue |" in core.markdown([relation])
