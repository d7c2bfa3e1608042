"""The command for dead letters, on a real server: list, show, replay, drop; with reporting and ClickHouse as the consumer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.common import ids
from services.common.bus import Envelope, Letter, Outgoing, Reject, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.letters import Filter, Letters, about, as_json, rows, seconds
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.bus.streams import DEAD_LETTERS
from services.common.clickhouse import StoreUrl, ValuesRefused
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.common.errors import ConfigError
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone, ContactWaiting
from services.contracts.peyvand.routing.v1.log_pb2 import Decided
from services.reporting.adapters.writer import Writer
from services.reporting.app import Ingest
from services.reporting.core.cards import Groups
from services.reporting.core.legs import Directory

pytestmark = pytest.mark.nats

ROOT = Path(__file__).parents[2]


def gone(tenant: str, contact: str) -> Outgoing:
    message = ContactGone(contact_id=contact, state="waiting", cause="ORIGINATOR_CANCEL", at_us=1)
    return Outgoing(
        subjects.fact(tenant, "queue", "contact", "gone"), message, f"{tenant}:{contact}", tenant, contact
    )


@pytest.fixture
def server(own_nats: EmbeddedNats) -> EmbeddedNats:
    """A server of the test's own: the command shows everybody's letters."""
    asyncio.run(migrate(own_nats.start(), replicas=1))
    return own_nats


@pytest.fixture
async def bus(server: EmbeddedNats) -> AsyncIterator[NatsBus]:
    made = NatsBus(server.url, source="/test/1", clock=SystemClock())
    made.start()
    await made.connected(10)
    yield made
    await made.stop()


async def letters(server: EmbeddedNats, *args: str) -> tuple[int, str, str]:
    """Run the command as an operator does; exit code, output, errors."""
    command = [sys.executable, "-m", "services.common.bus.letters", *args, "--url", server.url]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


async def count(bus: NatsBus, expected: int) -> list[Envelope]:
    found = Letters(bus, SystemClock())
    async with asyncio.timeout(30):
        while len(dead := await found.find(Filter())) < expected:
            await asyncio.sleep(0.05)
    return dead


class Picky:
    def __init__(self) -> None:
        self.refuse = True
        self.got: list[str] = []

    async def __call__(self, batch: list[Envelope]) -> None:
        if self.refuse:
            raise Reject("no such queue: \x1b[31mفروش")
        self.got += [e.correlation_id for e in batch]


async def test_bus_letters_command_lists_shows_replays_and_drops(server: EmbeddedNats, bus: NatsBus) -> None:
    handler = Picky()
    for contact in ("c-1", "c-2", "c-3"):
        await bus.append(gone("demo", contact))
    await bus.append(gone("other", "c-4"))
    await bus.consume("billing-events", [subjects.any_fact(service="queue")], handler)
    await count(bus, 4)

    code, out, err = await letters(server, "list", "--tenant", "demo")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 5
    assert lines[1].split()[:1] + lines[1].split()[2:7] == [
        "1",
        "billing-events",
        "rejected",
        "1",
        "demo",
        "ContactGone",
    ]
    assert "\x1b" not in out
    assert lines[-1].startswith("3 of 4 dead letters; the stream is 0.0 % full; 0 replays wait")

    code, out, _ = await letters(server, "list", "--contact", "c-4", "--json")
    (shown,) = [json.loads(line) for line in out.splitlines()]
    assert shown["message"] == {
        "contact_id": "c-4",
        "state": "waiting",
        "cause": "ORIGINATOR_CANCEL",
        "at_us": "1",
    }
    assert (shown["consumer"], shown["subject"], shown["stream_seq"], shown["id"]) == (
        "billing-events", "cc.v1.evt.other.queue.contact.gone", 4, "other:c-4",
    )  # fmt: skip

    code, out, err = await letters(server, "show", "2", "99")
    assert (code, json.loads(out)["contact"]) == (1, "c-2")
    assert "there is no dead letter 99" in err

    code, out, _ = await letters(server, "replay", "--all", "--dry-run")
    assert out.splitlines() == [f"{n}: would go to billing-events" for n in (1, 2, 3, 4)]
    code, out, _ = await letters(server, "replay", "1", "--wait", "20")
    assert out.startswith("1: came back as letter 5: no such queue:")
    assert "\x1b" not in out
    handler.refuse = False
    code, out, _ = await letters(server, "replay", "--tenant", "demo", "--all", "--wait", "20")
    assert (code, out.splitlines()) == (0, ["2: handled", "3: handled", "5: handled"])
    assert sorted(handler.got) == ["c-1", "c-2", "c-3"]
    code, out, _ = await letters(server, "drop", "4")
    assert out == "4: dropped\n"
    code, out, _ = await letters(server, "list")
    assert out == "0 of 0 dead letters; the stream is 0.0 % full; 0 replays wait\n"


async def test_bus_letters_command_says_that_nobody_takes_a_replay(
    server: EmbeddedNats, bus: NatsBus
) -> None:
    handler = Picky()
    await bus.append(gone("demo", "c-1"))
    consuming = await bus.consume("billing-events", [subjects.any_fact(service="queue")], handler)
    await count(bus, 1)
    await consuming.stop()
    _, out, _ = await letters(server, "replay", "1", "--wait", "0.3")
    assert out == "1: waits for billing-events: is it running?\n"
    _, out, _ = await letters(server, "list")
    assert "1 replays wait" in out
    handler.refuse = False
    await bus.consume("billing-events", [subjects.any_fact(service="queue")], handler)
    async with asyncio.timeout(20):
        while handler.got != ["c-1"]:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("args", [["replay"], ["drop"], ["list", "--newer-than", "2 hours"]])
async def test_bus_letters_command_refuses_what_is_not_clear(server: EmbeddedNats, args: list[str]) -> None:
    code, _, err = await letters(server, *args)
    assert code in (2, 78)
    assert "--all" in err or "expected for example 90s" in err


async def test_bus_letters_keep_to_their_limits_by_service_and_reason(
    server: EmbeddedNats, bus: NatsBus
) -> None:
    """The oldest letters of a defect make room; those of another service stay."""
    from services.common.bus.jetstream import JetStream

    jetstream = JetStream(bus.connection)
    config = (await jetstream.api(f"STREAM.INFO.{DEAD_LETTERS.name}", {}, 5.0))["config"]
    assert (config["max_msgs_per_subject"], config["discard"]) == (10_000, "old")
    assert (config["max_bytes"], config["max_age"]) == (256 << 20, 30 * 86_400 * 10**9)
    await jetstream.api(f"STREAM.UPDATE.{DEAD_LETTERS.name}", config | {"max_msgs_per_subject": 2}, 5.0)
    for n in range(5):
        await bus.append(gone("demo", f"c-{n}"))
    pattern = [subjects.any_fact(service="queue")]
    for durable in ("billing-events", "audit"):
        consuming = await bus.consume(durable, pattern, Picky())
        async with asyncio.timeout(20):
            while (
                last := await bus.last(subjects.dead_letter(durable.partition("-")[0], "rejected"))
            ) is None or (last.correlation_id != "c-4"):
                await asyncio.sleep(0.02)
        await consuming.stop()
    left = [(e.letter.consumer, e.correlation_id) for e in await count(bus, 4) if e.letter]
    assert left == [(c, n) for c in ("billing-events", "audit") for n in ("c-3", "c-4")]


async def test_bus_letter_too_large_to_copy_is_read_where_it_stands(
    server: EmbeddedNats, bus: NatsBus
) -> None:
    """The message just fits; with what a letter adds it does not."""
    handler = Picky()
    big = gone("demo", "c-1")
    fact = msgspec.structs.replace(
        big, message=ContactGone(contact_id="c" * (1_048_576 - 420), state="waiting", at_us=1)
    )
    await bus.append(fact)
    await bus.append(gone("demo", "c-2"))
    await bus.consume("billing-events", [subjects.any_fact(service="queue")], handler)
    dead = await count(bus, 2)
    assert [len(e.data) > 0 for e in dead] == [False, True]
    handler.refuse = False
    found = Letters(bus, SystemClock())
    number = await found.replay(dead[0])
    outcome = await found.outcome(dead[0], number, 20.0)
    assert outcome == "handled"
    assert len(handler.got) == 1


# ------------------------------------------------------------------------------------------------- reporting as the consumer
class Moody(Writer):
    """The writer to ClickHouse, which refuses the values of some contacts until it is mended."""

    def __init__(self, store: ServerStore, database: str) -> None:
        super().__init__(store, database)
        self.refused: set[str] = set()

    async def write_groups(self, groups: Groups) -> None:
        if any(contact in row for rows in groups.values() for row in rows for contact in self.refused):
            raise ValuesRefused(6, "Cannot parse: c-2")
        await super().write_groups(groups)


@pytest.mark.clickhouse
async def test_bus_letters_of_reporting_are_counted_once_after_a_replay(
    server: EmbeddedNats, bus: NatsBus, store: ServerStore, store_url: StoreUrl
) -> None:
    tenant = f"t{ids.new_id()}"
    at_us = SystemClock().now_us()

    def waiting(contact: str) -> Outgoing:
        fact = ContactWaiting(
            contact_id=contact, node="fs1", queue="sales", waiting_since_us=at_us, started_at_us=at_us
        )
        return Outgoing(
            subjects.fact(tenant, "queue", "contact", "waiting"),
            fact,
            f"{contact}:waiting",
            tenant,
            contact,
            time_us=at_us,
        )

    async def stored() -> list[dict[str, Any]]:
        return await store.query(
            f"SELECT contact_id, count() AS n, uniqExact(id) AS ids, any(stream) AS stream, any(seq) AS seq "
            f"FROM {store_url.database}.facts FINAL WHERE tenant = '{tenant}' GROUP BY contact_id ORDER BY contact_id"
        )

    async def until_stored(contacts: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(found := await stored()) < contacts:
                await asyncio.sleep(0.05)
        return found

    writer = Moody(store, store_url.database)
    writer.refused = {"c-2"}
    ingest = Ingest(writer, lambda: Directory(entry_points={}, extensions={}))
    for contact in ("c-1", "c-2", "c-3"):
        await bus.append(waiting(contact))
    await ingest.consume(bus, linger_s=0.1)
    assert [row["contact_id"] for row in await until_stored(2)] == ["c-1", "c-3"]
    (dead,) = await count(bus, 1)
    assert dead.letter is not None
    assert (dead.letter.consumer, dead.letter.error) == (
        "reporting-events",
        "ClickHouse refused the statement (code 6): Cannot parse: c-2",
    )

    code, out, _ = await letters(server, "replay", str(dead.stream_seq), "--wait", "20")
    assert "came back as letter 2: ClickHouse refused" in out
    writer.refused = set()
    # Replayed three times over: sent twice before the letter is deleted, and once more by somebody who had it on his screen.
    (again,) = await count(bus, 1)
    await bus.replay(again)
    code, out, _ = await letters(server, "replay", "--all", "--consumer", "reporting-*", "--wait", "20")
    assert (code, out) == (0, "2: handled\n")
    await bus.replay(again)
    found = await until_stored(3)
    assert [(r["contact_id"], r["n"], r["ids"], r["stream"], r["seq"]) for r in found] == [
        ("c-1", 1, 1, "CC_EVENTS", 1), ("c-2", 1, 1, "CC_EVENTS", 2), ("c-3", 1, 1, "CC_EVENTS", 3),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ without a server
def dead_letter(**changes: Any) -> Envelope:
    letter = Letter(
        "billing-events",
        "rejected",
        "no",
        "cc.v1.evt.demo.queue.contact.gone",
        "CC_EVENTS",
        7,
        "id-7",
        "/queue/1",
        1,
    )
    first = Envelope(
        "billing-events:CC_EVENTS:7:1", "peyvand.queue.v1.ContactGone", 1_000_000, "/x/1", "demo", "c-1", "id-7",
        "cc.dlq.billing.rejected", 3, b"", "CC_DLQ", 1, "CC_EVENTS 7 …", letter,
    )  # fmt: skip
    return msgspec.structs.replace(first, **changes)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), True),
        (
            Filter(consumer="billing-*", reason="rejected", type="contactgone", tenant="demo", contact="c-"),
            True,
        ),
        (Filter(type="peyvand.queue.v1.*"), True),
        (Filter(consumer="billing"), False),
        (Filter(reason="undecodable"), False),
        (Filter(type="Offer*"), False),
        (Filter(tenant="other"), False),
        (Filter(contact="x"), False),
        (Filter(newer_s=10), True),
        (Filter(newer_s=8), False),
        (Filter(older_s=8), True),
        (Filter(older_s=10), False),
    ],
)
def test_bus_letters_filter(wanted: Filter, expected: bool) -> None:
    assert wanted.wants(dead_letter(), now_us=10_000_000) is expected


def test_bus_letters_of_the_version_before_are_understood() -> None:
    old = dead_letter(
        id="billing-events:CC_EVENTS:7",
        letter=None,
        note="CC_EVENTS 7 cc.v1.evt.demo.queue.contact.gone: no such queue: x",
    )
    letter = about(old).letter
    assert letter is not None
    assert (letter.consumer, letter.reason, letter.stream, letter.stream_seq) == (
        "billing-events",
        "rejected",
        "CC_EVENTS",
        7,
    )
    assert (letter.subject, letter.error, letter.id) == (
        "cc.v1.evt.demo.queue.contact.gone",
        "no such queue: x",
        "id-7",
    )
    assert about(dead_letter(letter=None, note="?")).letter is None
    assert Filter(consumer="billing-*").wants(old, now_us=1)


def test_bus_letters_show_what_cannot_be_decoded() -> None:
    newer = dead_letter(type="peyvand.queue.v9.\x1b[31mStrange", data=b"\x01\xff")
    shown = as_json(newer)
    assert shown["data_hex"] == "01ff"
    assert "unknown message type" in shown["unreadable"]
    assert all("\x1b" not in row for row in rows([newer, dead_letter(letter=None)]))
    routing = dead_letter(
        type="peyvand.routing.v1.Decided", data=Decided(epoch=1, at_us=2).SerializeToString()
    )
    assert as_json(routing)["message"] == {"epoch": "1", "at_us": "2"}


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604_800)])
def test_bus_letters_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-1h", "1 h", "1w"])
def test_bus_letters_durations_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        seconds(text)
