"""What services rely on in a Store, against a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from services.common.clickhouse import Store, StoreRefused, StoreUrl
from services.common.clickhouse.embedded import EmbeddedClickHouse, free_port
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable

pytestmark = pytest.mark.clickhouse

TABLE = """CREATE TABLE numbers_seen (n Int64, text String) ENGINE = MergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 100"""


async def test_query_returns_rows_by_column_name(store: Store) -> None:
    assert await store.query("SELECT number AS a, toString(number) AS b FROM numbers(1, 2) ORDER BY a") == [
        {"a": 1, "b": "1"},
        {"a": 2, "b": "2"},
    ]


@pytest.mark.parametrize(
    "text", ["it's", 'q"', "back\\slash", "tab\tnewline\n", "%(x)s {y:String}", "سلام", "", "' OR 1=1 --"]
)
async def test_parameters_arrive_as_they_are(store: Store, text: str) -> None:
    rows = await store.query("SELECT {t:String} AS t, {l:Array(String)} AS l", {"t": text, "l": [text, text]})
    assert rows == [{"t": text, "l": [text, text]}]


async def test_parameters_of_other_types(store: Store) -> None:
    rows = await store.query(
        "SELECT {i:Int64} AS i, {d:Date} AS d, {e:Array(Int64)} AS e",
        {"i": -5, "d": date(2026, 1, 2), "e": []},
    )
    assert rows == [{"i": -5, "d": date(2026, 1, 2), "e": []}]


async def test_times_come_back_with_their_zone(store: Store) -> None:
    rows = await store.query(
        "SELECT fromUnixTimestamp64Micro({us:Int64}, 'UTC') AS at", {"us": 1_790_000_000_123_456}
    )
    assert rows[0]["at"] == datetime.fromtimestamp(1_790_000_000, UTC).replace(microsecond=123_456)
    assert rows[0]["at"].tzinfo is not None


async def test_a_block_is_stored_once_under_its_token(store: Store) -> None:
    await store.command(TABLE)
    for _ in range(2):
        await store.insert("numbers_seen", ("n", "text"), [(1, "a"), (2, "b")], token="first")
    await store.insert("numbers_seen", ("n", "text"), [(1, "a"), (2, "b")], token="second")
    assert await store.query("SELECT count() AS n FROM numbers_seen") == [{"n": 4}]


async def test_a_block_is_stored_whole_or_not_at_all(store: Store) -> None:
    await store.command(TABLE)
    rows = [(n, "x") for n in range(5000)] + [("no number", "x")]
    with pytest.raises(StoreRefused):
        await store.insert("numbers_seen", ("n", "text"), rows, token="broken")
    assert await store.query("SELECT count() AS n FROM numbers_seen") == [{"n": 0}]
    await store.insert("numbers_seen", ("n", "text"), [(1, "a")], token="after")
    assert await store.query("SELECT count() AS n FROM numbers_seen") == [{"n": 1}]


async def test_nothing_is_inserted_for_no_rows(store: Store) -> None:
    await store.command(TABLE)
    await store.insert("numbers_seen", ("n", "text"), [], token="none")
    assert await store.query("SELECT count() AS n FROM numbers_seen") == [{"n": 0}]


@pytest.mark.parametrize(
    ("sql", "code"), [("SELEC 1", 62), ("SELECT * FROM nowhere", 60), ("SELECT nothing", 47)]
)
async def test_wrong_statements_are_refused_with_the_servers_code(store: Store, sql: str, code: int) -> None:
    with pytest.raises(StoreRefused) as refused:
        await store.query(sql)
    assert refused.value.code == code


async def test_a_query_cannot_write(store: Store) -> None:
    await store.command(TABLE)
    with pytest.raises(StoreRefused):
        await store.query("INSERT INTO numbers_seen VALUES (1, 'x')")


async def test_a_query_ends_at_its_time_limit(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="159"):
        await store.query("SELECT sum(sipHash64(number)) AS s FROM numbers(1000000000000)", timeout_s=1)
    assert await store.query("SELECT 1 AS a") == [{"a": 1}]


async def test_many_callers_at_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.query("SELECT {n:Int64} AS n", {"n": n}) for n in range(40)))
    assert [rows[0]["n"] for rows in answers] == list(range(40))


async def test_no_server_is_unavailable_and_a_wrong_password_too(
    clickhouse_server: EmbeddedClickHouse,
) -> None:
    nobody = ServerStore(replace(clickhouse_server.url, port=free_port()), threads=1)
    stranger = ServerStore(replace(clickhouse_server.url, password="wrong"), threads=1)
    try:
        for store in (nobody, stranger):
            with pytest.raises(StoreUnavailable):
                await store.ping()
    finally:
        await nobody.stop()
        await stranger.stop()


def test_url_parts() -> None:
    url = StoreUrl.parse("clickhouse://peyvand:a%40b%2Fc@db.example:9001/center")
    assert url == StoreUrl("db.example", 9001, "peyvand", "a@b/c", "center")
    assert "a@b/c" not in repr(url)
    assert StoreUrl.parse("clickhouse://u:p@h").database == "peyvand"
    assert StoreUrl.parse("clickhouses://u:p@h/d").port == 9440


@pytest.mark.parametrize(
    "text", ["", "http://h/d", "clickhouse:///d", "clickhouse://h/bad-name", "clickhouse://h:x/d"]
)
def test_wrong_urls_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="PEYVAND_CLICKHOUSE_URL"):
        StoreUrl.parse(text)
