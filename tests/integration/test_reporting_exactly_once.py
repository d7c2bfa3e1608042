"""Whatever happens on the way, the tables hold what the streams say, once: to the last cell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.common import ids
from services.common.bus import Envelope, Outgoing, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.nats import NatsBus
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.common.errors import NotReady
from services.reporting import migrate
from services.reporting.adapters.bus import placed_facts
from services.reporting.adapters.writer import Writer
from services.reporting.app import EVENTS_CONSUMER, ROUTING_CONSUMER, Ingest
from services.reporting.core import facts as f
from services.reporting.core.legs import Directory
from services.reporting.core.rows import rows_of
from services.reporting.core.tables import CARDS, COLUMNS, ENTRIES

pytestmark = [pytest.mark.clickhouse, pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(300)]

CALLS_BEFORE, CALLS_MEANWHILE = 60, 400
"""While ClickHouse is away an hour's calls of a small center come together."""
_CARDS = {card.name: card for card in CARDS if card.name != "legs"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[EmbeddedClickHouse]:
    """A ClickHouse of the test's own, which it may kill."""
    server = EmbeddedClickHouse(
        tmp_path / "house", password="a-password-for-tests", analyst_password="another-password"
    )
    server.start()
    admin = ServerStore(server.url, threads=1, database="default")
    await migrate.apply(admin, database=server.url.database)
    await admin.stop()
    yield server
    server.stop()


class Streams:
    """Appends calls, and remembers every message as the streams have it."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.tenant = f"x{ids.new_id()}"
        self.last_of: dict[str, int] = {}
        self._calls = 0

    async def calls(self, count: int) -> None:
        for _ in range(count):
            self._calls += 1
            await self._call(f"{self.tenant}-{self._calls}")

    async def _call(self, contact: str) -> None:
        at_us = SystemClock().now_us()
        steps = tuple(
            f.IvrStepTaken(
                contact_id=contact,
                step_no=n + 1,
                flow="main",
                flow_node="n",
                kind="play",
                at_us=at_us,
                spent_ms=5,
            )
            for n in range(2)
        )
        told: tuple[tuple[str, str, Any], ...] = (
            ("ivr", "started", f.ContactStarted(contact_id=contact, node="fs1", entry_point="1000", ani="1", started_at_us=at_us)),
            ("ivr", "handed-over", f.ContactHandedOver(contact_id=contact, queue="q", at_us=at_us, steps=steps)),
            ("queue", "waiting", f.ContactWaiting(contact_id=contact, node="fs1", queue="q", waiting_since_us=at_us)),
            ("queue", "gone", f.ContactGone(contact_id=contact, state="waiting", wait_ms=5, at_us=at_us)),
        )  # fmt: skip
        for service, what, fact in told:
            subject = subjects.fact(self.tenant, service, "contact", what)
            await self._append(Outgoing(subject, fact, f"{contact}:{service}:{what}", self.tenant, contact))
        entry = f.Decided(
            epoch=1,
            at_us=at_us,
            facts=(
                f.ContactQueued(contact_id=contact, queue="q", waiting_since_us=at_us),
                f.AgentActivityChanged(agent_id="sara", activity="offered", previous="idle"),
                f.ContactClosed(contact_id=contact, queue="q", outcome="abandoned", wait_ms=5),
            ),
        )
        log = subjects.log(self.tenant)
        await self._append(Outgoing(log, entry, f"{contact}:decided", self.tenant))

    async def _append(self, fact: Outgoing) -> None:
        seq = (await self.bus.append(fact)).seq
        self.last_of["CC_ROUTING" if fact.subject == subjects.log(self.tenant) else "CC_EVENTS"] = seq

    async def stored(self) -> None:
        """Until the consumers have acknowledged everything."""
        for durable, stream, service in (
            (EVENTS_CONSUMER, "CC_EVENTS", "queue"),
            (ROUTING_CONSUMER, "CC_ROUTING", "routing"),
        ):
            while True:
                progress = await self.bus.progress(durable, [subjects.any_fact(service=service)])
                if progress is not None and progress.floor_seq >= self.last_of[stream]:
                    break
                await asyncio.sleep(0.05)

    async def everything(self) -> list[Envelope]:
        """Every message of the tenant, read back from the streams."""
        found = []
        for service in ("ivr", "queue", "routing"):
            pattern = subjects.any_fact(tenant=self.tenant, service=service)
            found += [envelope async for envelope in self.bus.read_log(pattern, after_seq=0)]
        return found


def wanted(envelopes: Sequence[Envelope]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the tables must hold, fact by fact."""
    out: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (row for e in envelopes for placed in placed_facts(e) for row in rows_of(placed)):
        values = dict(zip(COLUMNS[row.table], row.values, strict=True))
        card = _CARDS.get(row.table)
        if card is None:
            out[row.table, values["id"]] = values
            continue
        now = out.setdefault((row.table, values["day"], values[card.id_column]), {})
        for name in card.cells:
            now[name] = max(now.get(name, values[name]), values[name])
    return out


async def found_in(store: ServerStore, tenant: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What they hold, in the same form."""
    out: dict[tuple[Any, ...], dict[str, Any]] = {}
    for card in _CARDS.values():
        cells = ", ".join(f"max({name}) AS c_{name}" for name in card.cells)
        for row in await store.query(
            f"SELECT day, {card.id_column} AS key, {cells} FROM {card.name} WHERE tenant = {{t:String}} GROUP BY day, key",
            {"t": tenant},
        ):
            out[card.name, row["day"], row["key"]] = {name: row[f"c_{name}"] for name in card.cells}
    for entries in ENTRIES:
        columns = ", ".join(
            f"toUnixTimestamp64Micro({c}) AS {c}" if c in ("at", "entered_at") else c for c in entries.columns
        )
        for row in await store.query(
            f"SELECT {columns} FROM (SELECT * FROM {entries.name} FINAL) WHERE tenant = {{t:String}}",
            {"t": tenant},
        ):
            assert (entries.name, row["id"]) not in out, "once"
            out[entries.name, row["id"]] = row
    return out


class Life:
    """A reporting process's intake: a connection of its own, and the consumers that it shares with the others."""

    def __init__(self, nats: EmbeddedNats, house: EmbeddedClickHouse) -> None:
        # A lost acknowledgement comes again soon.
        self.bus = NatsBus(nats.url, source="/reporting/1", clock=SystemClock(), ack_wait_s=1.0)
        self.store = ServerStore(house.url, timeout_s=10.0)
        self.ingest = Ingest(Writer(self.store, house.url.database), lambda: Directory({}, {}, ""))

    async def start(self, batch: int) -> None:
        self.bus.start()
        await self.bus.connected(10)
        await self.ingest.consume(self.bus, batch=batch, linger_s=0.02)

    async def stop(self) -> None:
        await self.bus.stop()
        await self.store.stop()


async def test_dying_before_the_acknowledgement_two_at_once_and_an_outage_of_clickhouse(
    nats_server: EmbeddedNats, house: EmbeddedClickHouse
) -> None:
    teller = NatsBus(nats_server.url, source="/test/1", clock=SystemClock())
    teller.start()
    await teller.connected(10)
    streams = Streams(teller)
    await streams.calls(CALLS_BEFORE)

    # The first stores what it gets and never comes to acknowledge it.
    first, stored = Life(nats_server, house), asyncio.Event()
    handle = first.ingest.facts

    async def store_and_say_nothing(batch: Sequence[Envelope]) -> None:
        await handle(batch)
        stored.set()
        raise NotReady("it dies here")

    first.ingest.facts = store_and_say_nothing  # type: ignore[method-assign]
    await first.start(batch=37)
    await stored.wait()
    await first.stop()

    # Two take over, with other borders.
    lives = [Life(nats_server, house), Life(nats_server, house)]
    for n, life in enumerate(lives):
        await life.start(batch=50 + 90 * n)
    await streams.stored()

    house.kill()
    await streams.calls(CALLS_MEANWHILE)
    house.start()
    await streams.stored()

    told = await streams.everything()
    facts = 9 * (CALLS_BEFORE + CALLS_MEANWHILE)
    reader = ServerStore(house.url)
    found = await found_in(reader, streams.tenant)
    assert sum(key[0] == "facts" for key in found) == facts
    assert found == wanted(told)
    for life in lives:
        await life.stop()
    await reader.stop()
    await teller.stop()
