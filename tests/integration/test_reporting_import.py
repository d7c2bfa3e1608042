"""Imports into a real ClickHouse: what stands in the views, twice and in pieces, killed in the middle, with lines that are none."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.ids import derived_id
from services.reporting import migrate
from services.reporting.core.sql import Statement
from services.reporting.core.tables import AGENT_CHANGES
from services.reporting.importer.__main__ import arguments, main, run_import
from services.reporting.questions import Ask
from services.reporting.story import story
from tests.clickhouse_fixtures import settle

pytestmark = pytest.mark.clickhouse

VECTORS = Path(__file__).parents[1] / "vectors" / "imports"
MAP = "queues: {sales: {queue: verkauf, service_level_s: 30}}\nagents: {SIP/1001: reza, Sara: {agent: sara, team: north}}\n"


@pytest.fixture(scope="module")
def database(clickhouse_server: EmbeddedClickHouse) -> Iterator[StoreUrl]:
    """One database for all tests here, which keep apart by their tenants."""
    name = f"t_{ids.new_id().replace('-', '')}"

    async def at_the_server(what: Callable[[ServerStore], Awaitable[object]]) -> None:
        admin = ServerStore(clickhouse_server.url, threads=1, database="default")
        await what(admin)
        await admin.stop()

    asyncio.run(at_the_server(lambda admin: migrate.apply(admin, database=name)))
    yield replace(clickhouse_server.url, database=name)
    asyncio.run(at_the_server(lambda admin: admin.command(f"DROP DATABASE IF EXISTS {name} SYNC")))


@pytest.fixture
async def books(database: StoreUrl) -> AsyncIterator[ServerStore]:
    """The database, to read what stands in it."""
    store = ServerStore(database)
    yield store
    await store.stop()


async def imported(url: StoreUrl, capsys: pytest.CaptureFixture[str], *given: object) -> tuple[int, str]:
    """Run an import; its exit code and what it printed."""
    code = await run_import(arguments([str(one) for one in given]), url)
    return code, capsys.readouterr().out


def _asked(store: ServerStore) -> Ask:
    async def ask(statement: Statement) -> list[dict[str, object]]:
        return await store.query(statement.sql, statement.params)

    return ask


async def rows(
    store: ServerStore, tenant: str, view: str, columns: str, order: str, group: str = ""
) -> list[tuple[object, ...]]:
    found = await store.query(
        f"SELECT {columns} FROM {view} WHERE tenant = '{tenant}' {group} ORDER BY {order}"
    )
    return [tuple(row.values()) for row in found]


async def test_a_queue_log_stands_in_the_views_and_a_second_import_changes_nothing(
    books: ServerStore, database: StoreUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = tmp_path / "map.yaml"
    mapping.write_text(MAP)
    given = (
        "queue_log",
        VECTORS / "queue_log",
        "--tenant",
        "log",
        "--map",
        mapping,
        "--rejects",
        tmp_path / "bad",
    )
    code, out = await imported(database, capsys, *given)
    assert (code, "imported 6 contacts" in out, "left out (1)" in out) == (0, True, True), out
    contacts = await rows(
        books,
        "log",
        "v_contacts",
        "ani, outcome, wait_ms, talk_ms, agent_id, target_ms, offers_missed",
        "ani",
    )
    assert contacts == [
        ("02188776655", "answered", 50_000, 120_000, "sara", 30_000, 0),
        ("09120000000", "overflowed", 8_000, 0, "", 30_000, 0),
        ("09120000001", "overflowed", 1_000, 0, "", 20_000, 0),
        ("09120000002", "answered", 4_000, 30_000, "reza", 30_000, 0),
        ("09121112233", "answered", 10_000, 60_000, "sara", 30_000, 1),
        ("09351234567", "abandoned", 3_000, 0, "", 30_000, 0),
    ]
    imported_times = "(SELECT * FROM v_agent_intervals WHERE place >= pow(2, 62))"
    views = ("v_contacts", "v_segments", imported_times, "v_offers", "v_legs")
    before = [await rows(books, "log", view, "*", "ALL") for view in views]
    assert [len(found) for found in before[:4]] == [6, 12, 23, 5]
    code, out = await imported(database, capsys, *given)
    assert (code, "imported 0 contacts" in out, "already there 6" in out) == (0, True, True), out
    assert [await rows(books, "log", view, "*", "ALL") for view in views] == before
    assert not (tmp_path / "bad").exists()

    # From a figure to the whole story of one contact.
    told = await story(_asked(books), "log", derived_id("import", "queue_log", "1795335299.30"))
    assert [step["text"]["en"] for step in told.steps] == [
        "Waits in the queue verkauf",
        "Left the queue verkauf for max_wait: – –",
        "Waits in the queue support",
        "Talks with reza",
        "The conversation with reza ended, by agent",
        "Waits in the queue verkauf",
        "Talks with sara",
        "The conversation with sara ended, by agent",
        "Over: answered",
    ]
    missed = await story(_asked(books), "log", derived_id("import", "queue_log", "1795335098.10"))
    assert "reza did not answer" in [step["text"]["en"] for step in missed.steps]
    assert len({step["fact_id"] for step in told.steps}) == 9

    # Reporting counts the 15 minutes, and what was imported stays as it is, also where Peyvand itself has news of the same agent
    # and day: settling knows no facts of it.
    live = (
        "log",
        "sara",
        "presence",
        "f1",
        1_795_339_000_000_000,
        1,
        0,
        "offline",
        "",
        "agent",
        "",
        "",
        "",
        0,
    )
    await books.insert(f"{database.database}.agent_changes", AGENT_CHANGES.columns, [live], token="t")
    await settle(books, 1_795_340_000_000_000)
    assert await rows(
        books, "log", "v_agent_intervals", "agent_id, value", "ALL", "AND place < pow(2, 62)"
    ) == [("sara", "offline")]
    assert [await rows(books, "log", view, "*", "ALL") for view in views] == before
    queues = "sum(offered), sum(answered), sum(answered_within), sum(abandoned_short), sum(overflowed), sum(talk_ms)"
    assert await rows(books, "log", "v_queue_15m", f"queue, {queues}", "queue", "GROUP BY queue") == [
        ("night", 1, 0, 0, 0, 1, 0),
        ("support", 1, 1, 1, 0, 0, 60_000),
        ("verkauf", 6, 3, 3, 1, 2, 150_000),
    ]
    times = "sum(logged_in_ms), sum(break_ms), sum(talking_ms), sum(handled), sum(offers), sum(offers_missed)"
    assert await rows(books, "log", "v_agent_15m", f"agent_id, {times}", "agent_id", "GROUP BY agent_id") == [
        ("reza", 3_600_000, 0, 90_000, 2, 3, 1),
        ("sara", 3_600_000, 1_560_000, 120_000, 2, 2, 0),
    ]


async def test_a_log_cut_in_two_and_imported_with_overlap_is_the_log(
    books: ServerStore, database: StoreUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (VECTORS / "queue_log").read_text().splitlines(keepends=True)
    (tmp_path / "queue_log.1").write_text("".join(lines[:20]))
    with gzip.open(tmp_path / "queue_log.2.gz", "wt") as out:
        out.writelines(lines[12:])
    common = ("--tenant", "halves", "--source", "pbx", "--rejects", tmp_path / "bad")
    # The later half first: of the calls that both tell of, the one that tells more wins.
    assert (await imported(database, capsys, "queue_log", tmp_path / "queue_log.2.gz", *common))[0] == 0
    assert (await imported(database, capsys, "queue_log", tmp_path / "queue_log.1", *common))[0] == 0
    in_pieces = await rows(books, "halves", "v_contacts", "*", "ALL")
    assert (await imported(database, capsys, "queue_log", VECTORS / "queue_log", *common))[0] == 0
    assert await rows(books, "halves", "v_contacts", "*", "ALL") == in_pieces
    assert len(in_pieces) == 6


async def test_call_records_with_their_agents_legs_are_contacts_offers_and_legs(
    books: ServerStore, database: StoreUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cdr"
    folder.mkdir()
    for path in (VECTORS / "json_cdr").iterdir():
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    (folder / "broken.json").write_text('{"variables":')
    rejects = tmp_path / "rejected.jsonl"
    code, out = await imported(database, capsys, "json_cdr", folder, "--tenant", "cdr", "--rejects", rejects)
    assert (code, "imported 3 contacts" in out, "rejected 1" in out) == (1, True, True), out
    entry = json.loads(rejects.read_text())
    assert (Path(entry["file"]).name, entry["line"]) == ("broken.json", 1)
    assert "unexpected end of data" in entry["reason"]
    contacts = await rows(books, "cdr", "v_contacts", "outcome, result, queue, agent_id, wait_ms", "wait_ms")
    assert contacts == [
        ("abandoned", "short_abandon", "support", "", 2_087),
        ("overflowed", "timed_out", "nobody", "", 5_067),
        ("answered", "answered", "support", "1001", 5_962),
    ]
    offers = await rows(books, "cdr", "v_offers", "agent_id, outcome, ring_ms", "agent_id")
    assert offers == [("1001", "accepted", 719), ("1002", "no_answer", 4_939), ("1003", "busy", 0)]
    legs = await rows(books, "cdr", "v_legs", "role, count() OVER ()", "role LIMIT 1")
    assert legs == [("agent", 7)]


async def test_lines_that_are_none_go_to_the_reject_file_and_the_others_are_imported(
    books: ServerStore, database: StoreUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    master = (VECTORS / "cdr_csv" / "example.csv").read_bytes()
    path = tmp_path / "Master.csv"
    path.write_bytes(master + b"what is this\n" + b'"' + b"x" * (1 << 21) + b"\n\n" + b"\xff\xfe\n" + master)
    rejects = tmp_path / "rejected.jsonl"
    code, out = await imported(
        database,
        capsys,
        "cdr_csv",
        path,
        "--tenant",
        "csv",
        "--timezone",
        "Asia/Tehran",
        "--rejects",
        rejects,
    )
    assert (code, "rejected 3" in out) == (1, True), out
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(one["line"], one["reason"].split(",")[0]) for one in found] == [
        (2, "expected a line of the template 'example'"),
        (3, "the line is longer than a mebibyte"),
        (5, "expected a line of the template 'example'"),
    ]
    (leg,) = await rows(books, "csv", "v_legs", "started_at, billed_ms, from_spool", "leg_id")
    assert (str(leg[0]), leg[1:]) == ("2026-11-22 09:04:41+00:00", (14_000, 0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("queue_log", "nowhere", "--tenant", "x"), "nowhere: expected a file or a folder"),
        (("queue_log", "{log}", "--tenant", "X!"), "--tenant: expected a tenant's name"),
        (
            ("queue_log", "{log}", "--tenant", "x", "--timezone", "Mars"),
            "--timezone: expected a name such as",
        ),
        (
            ("queue_log", "{log}", "--tenant", "x", "--map", "{map}"),
            "map.yaml: Object contains unknown field `queus`",
        ),
        (("cdr_csv", "{log}", "--tenant", "x", "--template", "x"), "expected a template such as"),
        (("cdr_csv", "{log}", "--tenant", "x"), "queue_log: expected a header"),
    ],
)
def test_what_cannot_begin_says_what_was_expected(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "map.yaml").write_text("queus: {}")
    monkeypatch.setattr("services.common.log.setup", lambda *_, **__: None)  # it is the whole process's
    monkeypatch.setenv("PEYVAND_CLICKHOUSE_URL", "clickhouse://peyvand@127.0.0.1:1/peyvand")
    places = {"{log}": str(VECTORS / "queue_log"), "{map}": str(tmp_path / "map.yaml")}
    code = main([*(places.get(one, one) for one in given), "--rejects", str(tmp_path / "bad")])
    assert code == 78
    assert said in capsys.readouterr().err


async def test_a_run_that_was_killed_is_finished_by_the_next_one(
    books: ServerStore, database: StoreUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "queue_log"
    with log.open("w") as out:
        for n in range(12_000):
            at_s = 1_795_334_400 + 10 * n
            call = f"{at_s}.{n}"
            out.write(f"{at_s}|{call}|q|NONE|ENTERQUEUE||{n}|1\n{at_s + 2}|{call}|q|NONE|ABANDON|1|1|2\n")
    given = ("queue_log", log, "--tenant", "killed", "--rejects", tmp_path / "bad")
    text = f"clickhouse://{database.user}:{quote(database.password, safe='')}@{database.host}:{database.port}/{database.database}"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.reporting.importer", *map(str, given)),
        env={**os.environ, "PEYVAND_CLICKHOUSE_URL": text},
        stdout=asyncio.subprocess.DEVNULL,
    )
    stored = 0
    async with asyncio.timeout(60):
        while not stored:
            ((stored,),) = await rows(books, "killed", "v_contacts", "count()", "ALL")
    child.send_signal(signal.SIGKILL)
    await child.wait()
    ((stored,),) = await rows(books, "killed", "v_contacts", "count()", "ALL")
    code, out_ = await imported(database, capsys, *given)
    assert code == 0, out_
    counts = [
        await rows(books, "killed", view, "count(), uniqExact(contact_id)", "ALL")
        for view in ("v_contacts", "v_segments")
    ]
    assert counts == [[(12_000, 12_000)]] * 2
    # What the first run had finished was not written again.
    assert f"imported {12_000 - int(str(stored)):,} contacts" in out_
