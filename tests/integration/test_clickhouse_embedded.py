"""The embedded server: the gate for another version of the chdb-core wheel, of which a private entry is used."""

from __future__ import annotations

import asyncio
import decimal
import ipaddress
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from services.common.clickhouse import StoreRefused
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable

pytestmark = pytest.mark.clickhouse

PASSWORD = "a-password-for-tests"


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[EmbeddedClickHouse]:
    """A server of the test's own, not started yet."""
    server = EmbeddedClickHouse(tmp_path / "data", password=PASSWORD, analyst_password=PASSWORD + "2")
    yield server
    server.kill()


async def test_every_type_that_services_use_comes_back_as_it_went(store: ServerStore) -> None:
    name = f"types_{uuid.uuid4().hex}"
    columns = {
        "u": "UUID", "at": "DateTime64(6, 'UTC')", "d": "Date", "e": "Enum8('a' = 1, 'b' = 2)", "n": "Nullable(UInt32)",
        "l": "LowCardinality(String)", "a": "Array(String)", "m": "Map(String, String)", "c": "Decimal(18, 6)", "f": "Float64",
        "i": "IPv6", "b": "Bool", "t": "Tuple(UInt64, String)", "x": "Tuple(UInt64, Array(Float64))", "w": "Int128",
        "s": "SimpleAggregateFunction(max, Tuple(UInt64, Int64))",
    }  # fmt: skip
    body = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    await store.command(f"CREATE TABLE {name} ({body}) ENGINE = MergeTree ORDER BY u")
    base = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (
            uuid.UUID(int=n), base + timedelta(microseconds=n), date(2026, 1, 1 + n % 28), "ab"[n % 2], n if n % 3 else None,
            f"queue {n % 7}", ["سلام"] * (n % 3), {"k": "v" * n}, decimal.Decimal(n) / 4, n / 2, ipaddress.IPv6Address(n + (1 << 100)),
            n % 2 == 0, (n, "x"), (n, [0.5, 0.25]), -n * 10**20, (2**63 + n, -n),
        )
        for n in range(500)
    ]  # fmt: skip
    await store.insert(name, tuple(columns), rows, token="types")
    back = await store.query(f"SELECT * FROM {name} ORDER BY u")
    assert [tuple(row.values()) for row in back] == rows


async def test_aggregating_tables_take_the_greatest_cell(store: ServerStore) -> None:
    name = f"cells_{uuid.uuid4().hex}"
    await store.command(
        f"CREATE TABLE {name} (k String, c SimpleAggregateFunction(max, Tuple(UInt64, String))) "
        "ENGINE = AggregatingMergeTree ORDER BY k"
    )
    for n in (3, 1, 2):
        await store.insert(name, ("k", "c"), [("k", (n, f"said {n}"))], token=str(n))
    assert await store.query(f"SELECT k, max(c).2 AS c FROM {name} GROUP BY k") == [{"k": "k", "c": "said 3"}]
    await store.command(f"OPTIMIZE TABLE {name} FINAL")
    assert await store.query(f"SELECT k, c.2 AS c FROM {name}") == [{"k": "k", "c": "said 3"}]


async def test_the_analyst_reads_the_database_and_nothing_else(
    clickhouse_server: EmbeddedClickHouse, admin_store: ServerStore
) -> None:
    await admin_store.command("CREATE DATABASE IF NOT EXISTS peyvand")
    await admin_store.command(
        "CREATE TABLE IF NOT EXISTS peyvand.open_book (n Int64) ENGINE = MergeTree ORDER BY n"
    )
    analyst = ServerStore(clickhouse_server.analyst_url, threads=1)
    try:
        assert await analyst.query("SELECT count() AS n FROM open_book") == [{"n": 0}]
        for sql in ("SELECT * FROM system.users", "SELECT * FROM file('/etc/hostname', 'LineAsString')"):
            with pytest.raises(StoreRefused):
                await analyst.query(sql)
        for sql in (
            "DROP TABLE open_book",
            "INSERT INTO open_book VALUES (1)",
            "CREATE TABLE mine (n Int8) ENGINE = Memory",
        ):
            with pytest.raises(StoreRefused):
                await analyst.command(sql)
    finally:
        await analyst.stop()


async def test_the_engines_own_user_lets_nobody_in(clickhouse_server: EmbeddedClickHouse) -> None:
    stranger = ServerStore(
        replace(clickhouse_server.url, user="default", password=""), threads=1, database=""
    )
    try:
        with pytest.raises((StoreRefused, StoreUnavailable), match="700"):
            await stranger.query("SELECT 1 AS a")
    finally:
        await stranger.stop()
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{clickhouse_server.http_port}/", content="SELECT 1")
    assert answer.status_code != 200


async def test_http_answers_too(clickhouse_server: EmbeddedClickHouse) -> None:
    url = clickhouse_server.url
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"http://127.0.0.1:{clickhouse_server.http_port}/",
            content="SELECT 40 + 2",
            auth=(url.user, url.password),
        )
    assert (answer.status_code, answer.text.strip()) == (200, "42")


async def test_confirmed_rows_survive_kill_9_and_a_stop_is_orderly(
    own_clickhouse: EmbeddedClickHouse,
) -> None:
    own_clickhouse.start()
    store = ServerStore(own_clickhouse.url, threads=1, database="default", timeout_s=5)
    await store.command("CREATE DATABASE books")
    await store.command(
        "CREATE TABLE books.kept (n Int64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100"
    )
    confirmed = 0

    async def write() -> None:
        nonlocal confirmed
        for n in range(10_000):
            await store.insert("books.kept", ("n",), [(n * 100 + i,) for i in range(100)], token=str(n))
            confirmed = n + 1

    writing = asyncio.create_task(write())
    while confirmed < 20:
        await asyncio.sleep(0.01)
    own_clickhouse.kill()
    with pytest.raises(StoreUnavailable):
        await writing
    own_clickhouse.start()
    (row,) = await store.query("SELECT count() AS stored, uniqExact(n) AS different FROM books.kept")
    assert row["stored"] == row["different"] >= confirmed * 100
    assert row["stored"] % 100 == 0
    await store.insert(
        "books.kept", ("n",), [(confirmed * 100 + i,) for i in range(100)], token=str(confirmed)
    )
    (row,) = await store.query("SELECT count() AS stored, uniqExact(n) AS different FROM books.kept")
    assert row["stored"] == row["different"] == (confirmed + 1) * 100
    await store.stop()
    assert own_clickhouse.stop() == 0


def test_one_process_a_folder(own_clickhouse: EmbeddedClickHouse, capfd: pytest.CaptureFixture[str]) -> None:
    own_clickhouse.start()
    second = EmbeddedClickHouse(own_clickhouse.directory, password=PASSWORD, analyst_password=PASSWORD)
    with pytest.raises(ConfigError):
        second.start()
    assert f"pid {own_clickhouse.pid}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "PEYVAND_CLICKHOUSE_URL"),
        ({"PEYVAND_CLICKHOUSE_URL": "clickhouse://peyvand:short@h/d"}, "PEYVAND_CLICKHOUSE_URL"),
        (
            {"PEYVAND_CLICKHOUSE_URL": f"clickhouse://peyvand:{PASSWORD}@h/d"},
            "PEYVAND_CLICKHOUSE_ANALYST_PASSWORD",
        ),
        (
            {
                "PEYVAND_CLICKHOUSE_URL": f"clickhouse://default:{PASSWORD}@h/d",
                "PEYVAND_CLICKHOUSE_ANALYST_PASSWORD": PASSWORD,
            },
            "user 'default'",
        ),
    ],
)
def test_it_does_not_start_without_passwords(tmp_path: Path, environment: dict[str, str], named: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PEYVAND_")}
    command = [sys.executable, "-m", "services.common.clickhouse.embedded", "--dir", str(tmp_path / "d")]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert named in done.stderr
    assert PASSWORD not in done.stderr
