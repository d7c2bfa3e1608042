"""An engine with rows of three tenants in every table, and analysts of some of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.common.clickhouse import access
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.reporting import migrate
from services.reporting.analysts import Access, Analyst, EmbeddedKeeper

PASSWORD = "for-tests-'only' & <quoted>"
ANALYST_PASSWORD = "of-an-analyst-in-tests"
DATABASE = "peyvand"


@dataclass(frozen=True)
class AnalystEngine:
    """The engine, and how to talk to it as somebody."""

    server: EmbeddedClickHouse

    @asynccontextmanager
    async def service(self) -> AsyncIterator[ServerStore]:
        store = ServerStore(self.server.url, threads=1, database="default")
        try:
            yield store
        finally:
            await store.stop()

    @asynccontextmanager
    async def analyst(self, name: str, password: str = ANALYST_PASSWORD) -> AsyncIterator[ServerStore]:
        url = replace(self.server.url, user=name, password=password, database=f"{DATABASE}_{name}")
        store = ServerStore(url, threads=1)
        try:
            yield store
        finally:
            await store.stop()

    def access(self, store: ServerStore) -> Access:
        return Access(store, database=DATABASE, keeper=EmbeddedKeeper(self.server.directory))


@pytest.fixture(scope="session")
def analyst_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalystEngine]:
    """Its own server: it begins anew when an analyst comes or goes. ``acme`` sees the tenant acme, ``both`` acme and
    initech. Tests of one process share it: they bring rows for tenants of their own, or put back what they change."""
    folder = tmp_path_factory.mktemp("analysts")
    known = [Analyst("acme", ("acme",)), Analyst("both", ("initech", "acme"), memory_mib=64, rows=1000)]
    # As a folder is after both were added in a life before; so the engine begins anew once, not twice.
    accounts = [access.Account(analyst.name, access.hashed(ANALYST_PASSWORD)) for analyst in known]
    (folder / access.ACCOUNTS_FILE).write_text(access.dumps(accounts))
    server = EmbeddedClickHouse(folder, password=PASSWORD, analyst_password="of-all-tenants")
    server.start()
    engine = AnalystEngine(server)

    async def prepare() -> None:
        async with engine.service() as store:
            await migrate.apply(store, database=DATABASE)
            rights = engine.access(store)
            await rights.analysts()
            for analyst in known:
                await rights._write(analyst, analyst.tenants)
            await rights.sync()

    asyncio.run(prepare())
    yield engine
    server.kill()
