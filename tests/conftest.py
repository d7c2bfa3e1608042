"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from services.common import ids
from services.common.bus import Bus
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock

# How long an example takes says something about the machine's other work, nothing about the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

pytest_plugins = ("tests.clickhouse_fixtures", "tests.analyst_fixtures")


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """structlog's own default draws a logged exception with all locals, which blocks the event loop for up to seconds."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])


# Makes another process's connection to the same server.
BusMaker = Callable[[str], Awaitable[Bus]]


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    """A real nats-server with all streams, for the whole run: tests keep apart by their tenants."""
    server = EmbeddedNats(tmp_path_factory.mktemp("nats"))
    url = server.start()
    try:
        asyncio.run(migrate(url, replicas=1))
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A real nats-server for one test that stops or kills it; not started yet."""
    server = EmbeddedNats(tmp_path / "nats")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses."""
    return f"t-{ids.new_id()}"


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
def bus_server(request: pytest.FixtureRequest) -> MemoryBroker | EmbeddedNats:
    """What the buses of a test connect to: the server in memory, then the real one."""
    if request.param == "memory":
        return MemoryBroker()
    server: EmbeddedNats = request.getfixturevalue("nats_server")
    return server


@pytest.fixture
async def make_bus(bus_server: MemoryBroker | EmbeddedNats) -> AsyncIterator[BusMaker]:
    """Makes buses on one server: each stands for a process. Runs a test in memory and over NATS."""
    made: list[Bus] = []

    async def make(source: str = "/test/1") -> Bus:
        bus: Bus
        if isinstance(bus_server, MemoryBroker):
            bus = MemoryBus(bus_server, source=source)
        else:
            over_nats = NatsBus(bus_server.url, source=source, clock=SystemClock())
            over_nats.start()
            await over_nats.connected(10)
            bus = over_nats
        made.append(bus)
        return bus

    yield make
    for bus in made:
        await bus.stop()


@pytest.fixture
async def bus(make_bus: BusMaker) -> Bus:
    """One process's bus, in memory and over NATS."""
    return await make_bus("/test/1")
