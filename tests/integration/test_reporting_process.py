"""The process itself, on a real NATS and a real ClickHouse: killed at any moment, it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from services.common import ids
from services.common.auth import issue
from services.common.bus import Outgoing, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.common.ports import free_port
from services.reporting.books import Books
from services.reporting.core import facts as f

pytestmark = [pytest.mark.clickhouse, pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "a secret of thirty-two characters and more"
ROOT = Path(__file__).parents[2]


class Process:
    """``python -m services.reporting`` and its environment."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self._environment = environment | {"PEYVAND_HTTP_PORT": str(self.port)}
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "services.reporting"],
                env=self._environment,
                cwd=ROOT,
                stderr=log,
                stdout=log,
            )

    def end(self, number: signal.Signals) -> int:
        if self._child is None:
            return 0
        if self._child.poll() is None:
            self._child.send_signal(number)
        return self._child.wait(30)

    async def books(self, tenant: str) -> dict[str, Any]:
        """What the standing check says."""
        token = issue(SECRET, tenant=tenant, role="admin", subject="test", ttl_s=60)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}/v1/reports/books")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def report(self) -> dict[str, dict[str, object]]:
        """The parts of /readyz; empty while there is no answer."""
        try:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
        except httpx.TransportError:
            return {}
        parts: dict[str, dict[str, object]] = answer.json()["parts"]
        return parts


async def until(condition: Callable[[], Awaitable[bool]], *, what: str) -> None:
    for _ in range(1200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"not within a minute: {what}")


@pytest.fixture
def nats_server(own_nats: EmbeddedNats) -> EmbeddedNats:
    """The test's own: a process' consumers are durable, and what another test's process has acknowledged stands in that one's database."""
    asyncio.run(migrate(own_nats.start(), replicas=1))
    return own_nats


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def process(nats_server: EmbeddedNats, store_url: StoreUrl, spool: Path, tmp_path: Path) -> Iterator[Process]:
    """Not started yet."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PEYVAND_")}
    url = f"clickhouse://{store_url.user}:{quote(store_url.password, safe='')}@{store_url.host}:{store_url.port}/{store_url.database}"
    child = Process(
        clean
        | {
            "PEYVAND_AUTH_SECRET": SECRET,
            "PEYVAND_NATS_URL": nats_server.url,
            "PEYVAND_CLICKHOUSE_URL": url,
            "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
            "PEYVAND_REPORTING_CDR_SPOOL": str(spool),
            "PEYVAND_LOG_FORMAT": "json",
            "PEYVAND_REPORTING_BOOKS_EVERY_S": "0.2",
        },
        tmp_path / "reporting.log",
    )
    yield child
    child.end(signal.SIGKILL)


@pytest.fixture
async def nats(nats_server: EmbeddedNats) -> AsyncIterator[NatsBus]:
    bus = NatsBus(nats_server.url, source="/test/1", clock=SystemClock())
    bus.start()
    await bus.connected(10)
    yield bus
    await bus.stop()


async def append_life(bus: NatsBus, tenant: str, n: int, last_seq: int) -> int:
    """A call that waits and is abandoned: two messages of queue, one entry of routing; returns the entry's sequence."""
    contact, at_us = f"{tenant}-{n}", SystemClock().now_us()
    waiting = f.ContactWaiting(
        contact_id=contact,
        node="fs1",
        queue="sales",
        waiting_since_us=at_us,
        started_at_us=at_us,
        entry_point="1000",
    )
    gone = f.ContactGone(contact_id=contact, state="waiting", wait_ms=5, at_us=at_us + 5000)
    for what, fact in (("waiting", waiting), ("gone", gone)):
        subject = subjects.fact(tenant, "queue", "contact", what)
        await bus.append(Outgoing(subject, fact, f"{contact}:{what}", tenant, contact))
    queued = f.ContactQueued(contact_id=contact, queue="sales", waiting_since_us=at_us, entry_point="1000")
    closed = f.ContactClosed(contact_id=contact, queue="sales", outcome="abandoned", wait_ms=5)
    entry = f.Decided(epoch=1, at_us=at_us + 5000, input_id=f"{contact}:gone", facts=(queued, closed))
    log = subjects.log(tenant)
    return await bus.append_log(
        log, Outgoing(log, entry, f"{contact}:decided", tenant), expected_seq=last_seq
    )


async def test_killed_again_and_again_it_loses_and_doubles_nothing(
    process: Process, nats: NatsBus, store: ServerStore, spool: Path
) -> None:
    tenant, calls = f"k{ids.new_id()}", 120
    now_us = SystemClock().now_us()
    books = Books(store, tenant, now_us - 60_000_000, now_us + 600_000_000)
    os.mkdir(spool)
    process.start()
    last_seq = 0
    for n in range(calls):
        last_seq = await append_life(nats, tenant, n, last_seq)
        contact = f"{tenant}-{n}"
        variables = {
            "uuid": contact, "cc_contact": contact, "cc_tenant": tenant, "start_uepoch": str(now_us), "end_uepoch": str(now_us + 1),
        }  # fmt: skip
        (spool / f"{contact}.cdr.json").write_text(json.dumps({"variables": variables}))
        if n % 30 == 29:
            # Some are stored, some are being stored, some have not been seen.
            async def some_more(least: int = n // 2) -> bool:
                return (await books.balance()).offered > least

            await until(some_more, what="some contacts are stored")
            process.end(signal.SIGKILL)
            process.start()

    async def everything() -> bool:
        return (
            (await books.balance()).abandoned_in_queue == calls
            and len(await books.legs()) == calls
            and sum((await books.facts()).values()) == 4 * calls
        )

    await until(everything, what="all contacts, legs and facts are stored")
    balance = await books.balance()
    assert (balance.offered, balance.abandoned_in_queue, balance.open) == (calls, calls, 0)
    assert len(await books.fact_ids()) == len(set(await books.fact_ids())) == 4 * calls

    async def spool_is_empty() -> bool:
        return os.listdir(spool) == []

    await until(spool_is_empty, what="the spool is empty")

    async def books_are_right() -> bool:
        found = {one["stream"]: one for one in (await process.books(tenant))["streams"]}
        return all(
            found[stream]["compared_seq"] == found[stream]["last_seq"] and found[stream]["behind"] == 0
            for stream in ("CC_EVENTS", "CC_ROUTING")
        )

    await until(books_are_right, what="the standing check has compared everything")
    found = await process.books(tenant)
    assert found["right"] is True, found
    assert process.end(signal.SIGTERM) == 0


async def test_it_waits_for_clickhouse_says_so_and_catches_up(
    process: Process, nats: NatsBus, tmp_path: Path
) -> None:
    tenant = f"k{ids.new_id()}"
    server = EmbeddedClickHouse(
        tmp_path / "late", password="a-password-for-tests", analyst_password="another-password"
    )
    process._environment["PEYVAND_CLICKHOUSE_URL"] = server.url_text
    process.start()

    async def says_so() -> bool:
        part = (await process.report()).get("clickhouse")
        return part is not None and not part["ok"] and "refused" in str(part["detail"])

    await until(says_so, what="/readyz names ClickHouse")
    await append_life(nats, tenant, 0, 0)
    store = ServerStore(server.url)
    try:
        server.start()

        async def is_ready() -> bool:
            parts = await process.report()
            return bool(parts) and all(part["ok"] for part in parts.values())

        await until(is_ready, what="ready")
        books = Books(store, tenant, 0, 4_000_000_000_000_000)

        async def caught_up() -> bool:
            return (await books.balance()).abandoned_in_queue == 1

        await until(caught_up, what="the contact is stored")

        server.kill()
        await append_life_again(nats, tenant)
        server.start()

        async def both() -> bool:
            return (await books.balance()).abandoned_in_queue == 2

        await until(both, what="the contact of the outage is stored")
        assert process.end(signal.SIGTERM) == 0
    finally:
        await store.stop()
        server.kill()


async def append_life_again(bus: NatsBus, tenant: str) -> None:
    last = await bus.last(subjects.log(tenant))
    assert last is not None
    await append_life(bus, tenant, 1, last.stream_seq)
