"""Fixtures with a real ClickHouse out of the wheel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from services.common import ids
from services.common.clickhouse import Store, StoreUrl
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock, SystemClock
from services.reporting import migrate
from services.reporting.adapters.settler import Settler

PASSWORD = "for-tests-'only' & <quoted>"
ANALYST_PASSWORD = "for-tests-and-reading"


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """One server for the whole run: tests keep apart by their databases."""
    folder = tmp_path_factory.mktemp("clickhouse")
    server = EmbeddedClickHouse(folder, password=PASSWORD, analyst_password=ANALYST_PASSWORD)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def admin_store(clickhouse_server: EmbeddedClickHouse) -> AsyncIterator[ServerStore]:
    """A store that is bound to no database of ours."""
    store = ServerStore(clickhouse_server.url, threads=2, database="default")
    yield store
    await store.stop()


@pytest.fixture(scope="module")
def shared_url(clickhouse_server: EmbeddedClickHouse) -> StoreUrl:
    """A database with all tables for a whole file, whose tests keep apart by their tenants."""
    url = replace(clickhouse_server.url, database=f"t_{ids.new_id().replace('-', '')}")

    async def make() -> None:
        store = ServerStore(clickhouse_server.url, threads=1, database="default")
        await migrate.apply(store, database=url.database)
        await store.stop()

    asyncio.run(make())
    return url


@pytest.fixture
async def store_url(
    clickhouse_server: EmbeddedClickHouse, admin_store: ServerStore
) -> AsyncIterator[StoreUrl]:
    """A database of the test's own with all tables."""
    database = f"t_{ids.new_id().replace('-', '')}"
    await migrate.apply(admin_store, database=database)
    yield replace(clickhouse_server.url, database=database)
    await admin_store.command(f"DROP DATABASE IF EXISTS {database} SYNC")


@pytest.fixture
async def store(store_url: StoreUrl) -> AsyncIterator[ServerStore]:
    """A store bound to ``store_url``."""
    store = ServerStore(store_url)
    yield store
    await store.stop()


async def settle(store: Store, now_us: int = 0) -> None:
    """Bring records and 15-minute states up to what is stored, as the service does within a second or so.

    ``now_us`` is the time up to which what goes on is counted: the stories' own, when they are not of today.
    """
    await Settler(store, ManualClock(now_us) if now_us else SystemClock()).drain(ahead_ms=3_600_000)
