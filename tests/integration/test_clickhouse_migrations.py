"""Migrations against a real server: repeatable, at once from several processes, and true to what the code inserts."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError
from services.reporting import migrate
from services.reporting.core.tables import CARDS, COLUMNS

pytestmark = pytest.mark.clickhouse


async def test_applied_at_once_from_several_processes_and_again(admin_store: ServerStore) -> None:
    database = f"m_{ids.new_id().replace('-', '')}"
    try:
        await asyncio.gather(*(migrate.apply(admin_store, database=database) for _ in range(4)))
        assert await migrate.apply(admin_store, database=database) == []
        rows = await admin_store.query(f"SELECT name FROM {database}.schema_migrations FINAL ORDER BY name")
        assert [row["name"] for row in rows] == [m.name for m in migrate.read()]
    finally:
        await admin_store.command(f"DROP DATABASE IF EXISTS {database} SYNC")


async def test_a_changed_file_is_refused_by_name_and_a_new_one_applied(
    admin_store: ServerStore, tmp_path: Path
) -> None:
    database = f"m_{ids.new_id().replace('-', '')}"
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder)
    try:
        await migrate.apply(admin_store, database=database, folder=folder)
        (folder / "0999_more.sql").write_text(
            "ALTER TABLE ${database}.facts ${on_cluster} ADD COLUMN IF NOT EXISTS more UInt8 COMMENT 'More';\n"
        )
        assert await migrate.apply(admin_store, database=database, folder=folder) == ["0999_more.sql"]
        # The former version of the program goes on beside the newer schema.
        assert await migrate.apply(admin_store, database=database) == []
        with (folder / "0002_views.sql").open("a") as f:
            f.write("-- an afterthought\n")
        with pytest.raises(ConfigError, match=r"0002_views\.sql was changed"):
            await migrate.apply(admin_store, database=database, folder=folder)
    finally:
        await admin_store.command(f"DROP DATABASE IF EXISTS {database} SYNC")


async def test_tables_have_the_columns_that_rows_fill_and_each_has_a_comment(
    store: ServerStore, store_url: StoreUrl
) -> None:
    rows = await store.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {d:String} ORDER BY table, position",
        {"d": store_url.database},
    )
    found = {table: tuple(r["name"] for r in rows if r["table"] == table) for table in COLUMNS}
    assert found == COLUMNS
    assert [(r["table"], r["name"]) for r in rows if r["table"] in COLUMNS and not r["comment"]] == []
    kinds = {"text": "String", "int": "Int64", "list": "Array(Float64)"}
    for card in CARDS:
        types = {r["name"]: r["type"] for r in rows if r["table"] == card.name}
        for name, kind in card.cells.items():
            assert types[name] == f"SimpleAggregateFunction(max, Tuple(UInt64, {kinds[kind]}))", name


async def test_every_view_can_be_read(store: ServerStore, store_url: StoreUrl) -> None:
    rows = await store.query(
        "SELECT name FROM system.tables WHERE database = {d:String} AND engine = 'View'",
        {"d": store_url.database},
    )
    views = {row["name"] for row in rows}
    assert views > {
        "v_contacts",
        "v_segments",
        "v_agent_intervals",
        "v_queue_15m",
        "v_agent_day",
        "v_legs",
        "v_facts",
    }
    for view in sorted(views):
        # The views with a span are read through the ones without it or by the statements of the reports.
        if not view.endswith("_between"):
            assert await store.query(f"SELECT * FROM {view}") == [], view


async def test_tables_of_records_say_what_each_column_means_and_are_read_without_their_bookkeeping(
    store: ServerStore, store_url: StoreUrl
) -> None:
    rows = await store.query(
        "SELECT table, name, comment FROM system.columns WHERE database = {d:String} ORDER BY table, position",
        {"d": store_url.database},
    )
    columns = {(row["table"], row["name"]): row["comment"] for row in rows}
    tables = {table for table, name in columns if name == "version" and not table.startswith("v_")}
    assert tables >= {
        "contact_records", "segments", "agent_intervals", "center_agents", "center_queues", "queue_15m", "agent_15m", "evaluations",
    }  # fmt: skip
    assert [key for key, comment in columns.items() if key[0] in tables and not comment] == []
    assert [key for key in columns if key[0].startswith("v_") and key[1] in ("version", "deleted")] == []
    # Whatever a report of before read of a contact is a column of its record.
    between = {name for table, name in columns if table == "v_contacts_between"}
    assert between <= {name for table, name in columns if table == "v_contacts"}


async def test_the_clusters_form_is_understood(store: ServerStore, store_url: StoreUrl) -> None:
    for migration in migrate.read():
        for statement in migration.statements:
            text = migrate.render(statement, database=store_url.database, cluster="main")
            assert "ON CLUSTER 'main'" in text
            (row,) = await store.query("SELECT formatQuery({q:String}) AS formatted", {"q": text})
            if "MergeTree" in text:
                assert "ENGINE = Replicated" in row["formatted"]


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE ${database}.x (n Int8) ENGINE = Memory", "DROP TABLE ${database}.facts"]
)
def test_statements_that_must_not_run_twice_are_refused(tmp_path: Path, statement: str) -> None:
    (tmp_path / "0001_bad.sql").write_text(f"-- why\n{statement};\n")
    with pytest.raises(ConfigError, match=r"0001_bad\.sql: a statement must be repeatable"):
        migrate.read(tmp_path)


def test_a_wrong_file_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text("")
    with pytest.raises(ConfigError, match=r"first\.sql"):
        migrate.read(tmp_path)
