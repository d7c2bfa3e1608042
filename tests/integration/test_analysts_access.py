"""Analysts' users: what they see, what they cannot see by any way that was thought of, and what they cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.clickhouse import StoreRefused
from services.common.clickhouse.server import ServerStore
from services.common.errors import StoreUnavailable
from services.reporting import dictionary
from services.reporting.analysts import kept_tables, shown_views
from services.reporting.core.dictionary import Relation
from tests.analyst_fixtures import DATABASE, AnalystEngine

pytestmark = [pytest.mark.clickhouse, pytest.mark.timeout(400)]  # its engine begins anew in between

TENANTS = ("acme", "globex", "initech")
THEIRS = 4242
"""A number in rows of globex alone."""


@pytest.fixture(scope="module")
def relations(analyst_engine: AnalystEngine) -> list[Relation]:
    """Tables and views, the tables with a row of each tenant."""

    async def fill() -> list[Relation]:
        async with analyst_engine.service() as store:
            found = await dictionary.read(store, DATABASE)
            collapsing = {r.name for r in found if any(column.name == "sign" for column in r.columns)}
            for table in kept_tables(found):
                columns, rest = ("tenant, sign", ", 1") if table in collapsing else ("tenant", "")
                rows = ", ".join(f"('{tenant}'{rest})" for tenant in TENANTS)
                await store.command(f"INSERT INTO {DATABASE}.{table} ({columns}) VALUES {rows}")
            for table in ("contact_records", "segments"):
                await store.command(
                    f"INSERT INTO {DATABASE}.{table} (tenant, contact_id, talk_ms, version) "
                    f"VALUES ('globex', 'of-globex', {THEIRS}, 1), ('acme', 'of-acme', 1, 1)"
                )
            return found

    return asyncio.run(fill())


@pytest.fixture
async def acme(analyst_engine: AnalystEngine, relations: list[Relation]) -> AsyncIterator[ServerStore]:
    async with analyst_engine.analyst("acme") as store:
        yield store


@pytest.fixture
async def both(analyst_engine: AnalystEngine, relations: list[Relation]) -> AsyncIterator[ServerStore]:
    async with analyst_engine.analyst("both") as store:
        yield store


async def _tenants(store: ServerStore, view: str) -> set[str]:
    return {row["tenant"] for row in await store.query(f"SELECT DISTINCT tenant FROM {view}")}


async def test_every_view_shows_the_analysts_tenants_and_no_other(
    acme: ServerStore, both: ServerStore, relations: list[Relation]
) -> None:
    views = [view.name for view in shown_views(relations)]
    assert {"v_contacts", "v_segments", "v_agent_day", "v_queue_15m", "v_legs", "v_facts"} <= set(views)
    for view in views:
        assert await _tenants(acme, view) == {"acme"}, view
        assert await _tenants(both, view) == {"acme", "initech"}, view


async def test_the_service_and_the_installations_own_analyst_see_all_as_before(
    analyst_engine: AnalystEngine, relations: list[Relation]
) -> None:
    everybody = ServerStore(analyst_engine.server.analyst_url, threads=1)
    async with analyst_engine.service() as service:
        for table in kept_tables(relations):
            assert await _tenants(service, f"{DATABASE}.{table}") == set(TENANTS), table
            assert await _tenants(everybody, table) == set(TENANTS), table
    await everybody.stop()


async def test_columns_tell_analysts_what_they_mean(acme: ServerStore, relations: list[Relation]) -> None:
    told = await acme.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase()"
    )
    expected = {
        (view.name, c.name, c.type, c.comment) for view in shown_views(relations) for c in view.columns
    }
    assert {(r["table"], r["name"], r["type"], r["comment"]) for r in told} == expected
    shown = await acme.query("SELECT DISTINCT database FROM system.tables WHERE database != 'system'")
    assert shown == [{"database": "peyvand_acme"}]


async def test_no_condition_of_the_analysts_own_is_evaluated_on_rows_of_others(
    analyst_engine: AnalystEngine, acme: ServerStore, relations: list[Relation]
) -> None:
    """A policy that stands on a view only lets this through: it raises on the row of globex."""
    guess = f"throwIf(talk_ms = {THEIRS}) = 0"
    async with analyst_engine.service() as service:
        with pytest.raises(StoreRefused):
            await service.query(f"SELECT count() FROM {DATABASE}.v_contacts WHERE {guess}")
    for view in ("v_contacts", "v_segments"):
        for settings in (
            "",
            " SETTINGS short_circuit_function_evaluation = 'disable', optimize_move_to_prewhere_if_final = 1",
        ):
            assert await acme.query(f"SELECT count() AS n FROM {view} WHERE {guess}{settings}") == [{"n": 2}]
    for view in shown_views(relations):
        assert await acme.query(f"SELECT count() AS n FROM {view.name} WHERE throwIf(tenant = 'globex')") == [
            {"n": 0}
        ], view.name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() AS n FROM v_contacts",
        "SELECT uniqExact(contact_id) AS n FROM v_contacts",
        "SELECT n FROM (SELECT count() AS n FROM v_contacts a JOIN v_contacts b ON a.contact_id = b.contact_id)",
        "WITH x AS (SELECT * FROM v_contacts) SELECT count() AS n FROM x",
        "SELECT count() AS n FROM view(SELECT * FROM v_contacts)",
        "SELECT count() AS n FROM merge(currentDatabase(), '^v_contacts$')",
        "SELECT count() AS n FROM v_contacts WHERE 1 OR tenant = 'globex'",
        "SELECT count() AS n FROM v_contacts SETTINGS additional_table_filters = {'peyvand.contact_records': '1'}",
        "SELECT count() AS n FROM v_contacts SETTINGS apply_row_policy_after_final = 0",
        "SELECT count() AS n FROM v_contacts SETTINGS optimize_trivial_count_query = 1, optimize_use_implicit_projections = 1",
        "SELECT sum(t) AS n FROM (SELECT talk_ms * 0 + 1 AS t FROM v_contacts UNION ALL SELECT 0 FROM v_contacts)",
    ],
)
async def test_by_whatever_way_there_are_the_analysts_own_contacts_only(acme: ServerStore, sql: str) -> None:
    assert await acme.query(sql) == [{"n": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM peyvand.contact_records",
        "SELECT * FROM peyvand.v_contacts",
        "SELECT * FROM peyvand.v_contacts_between(from_day = '1970-01-01', to_day = '2100-01-01')",
        "SELECT * FROM peyvand_both.v_contacts",
        "SELECT * FROM peyvand.analyst_users",
        "SELECT * FROM peyvand.schema_migrations",
        "SELECT * FROM merge('peyvand', '.*')",
        "SELECT * FROM mergeTreeIndex('peyvand', 'contact_records')",
        "SELECT * FROM mergeTreeAnalyzeIndexes('peyvand', 'contact_records', tenant = 'globex')",
        "SELECT * FROM loop(v_contacts) LIMIT 10",
        "SELECT * FROM cluster('embedded', 'peyvand', 'contact_records')",
        "SELECT * FROM remote('127.0.0.1', 'peyvand', 'contact_records')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM file('accounts.json', 'LineAsString')",
        "SELECT * FROM executable('id', 'CSV', 'a String')",
        "SELECT * FROM dictionary('x')",
        "SELECT * FROM system.users",
        "SELECT * FROM system.row_policies",
        "SELECT * FROM system.grants",
        "SELECT * FROM system.parts",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.query_log",
        "SELECT * FROM system.settings_profiles",
        "SELECT hasColumnInTable('peyvand', 'contact_records', 'tenant')",
        "SHOW USERS",
        "SHOW CREATE ROW POLICIES",
        "SHOW CREATE TABLE peyvand.contact_records",
        "SHOW GRANTS FOR both",
        "INSERT INTO v_contacts (tenant) VALUES ('acme')",
        "INSERT INTO peyvand.contact_records (tenant) VALUES ('acme')",
        "ALTER TABLE peyvand.contact_records DELETE WHERE 1",
        "CREATE TABLE mine (n Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE mine (n Int8)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE FUNCTION f AS (x) -> x",
        "CREATE USER mine",
        "GRANT SELECT ON peyvand.* TO acme",
        "ALTER ROW POLICY acme__views ON peyvand.contact_records USING 1",
        "ALTER TABLE v_contacts MODIFY SQL SECURITY INVOKER",
        "DROP VIEW v_contacts",
        "DROP DATABASE peyvand_acme",
        "OPTIMIZE TABLE peyvand.contact_records FINAL",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_execution_time = 3600",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS max_result_rows = 0",
        "SELECT 1 SETTINGS max_memory_usage_for_user = 0",
        "SELECT 1 SETTINGS serialize_query_plan = 1",
        "EXECUTE AS acme__views SELECT 1",
    ],
)  # fmt: skip
async def test_everything_else_is_refused(acme: ServerStore, sql: str) -> None:
    with pytest.raises(StoreRefused):
        await acme.command(sql)


async def test_sizes_of_tables_are_not_told(acme: ServerStore) -> None:
    for row in await acme.query(
        "SELECT name, total_rows, total_bytes FROM system.tables WHERE database != 'system'"
    ):
        assert row["total_rows"] is None, row
        assert row["total_bytes"] is None, row


async def test_limits_of_time_memory_and_rows_hold_also_inside_views(both: ServerStore) -> None:
    with pytest.raises(StoreUnavailable, match="159"):
        await both.command(
            "SELECT count() FROM numbers(1e13) WHERE cityHash64(number) = 0 SETTINGS max_threads = 1, max_execution_time = 1"
        )
    with pytest.raises(StoreUnavailable, match="241"):
        await both.command(
            "SELECT groupArray(toString(number)) FROM numbers(10000000) WHERE 0 < (SELECT count() FROM v_contacts)"
        )
    with pytest.raises(StoreRefused, match="396"):
        await both.command("SELECT a.tenant FROM v_contacts a, numbers(1001) n")


async def test_nobody_logs_in_as_the_views_user(analyst_engine: AnalystEngine) -> None:
    for password in ("", '"acme__views"', "acme__views"):
        async with analyst_engine.analyst("acme__views", password) as store:
            with pytest.raises((StoreRefused, StoreUnavailable), match="516"):
                await store.query("SELECT 1 AS a")
