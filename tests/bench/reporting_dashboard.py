"""The questions of the historical pages, asked of two years of fifty tenants in ClickHouse.

Records are made on the server (``INSERT SELECT`` from numbers) month by month, as many as ``--contacts`` says or as fit into ``--seconds``;
the states of the queues are computed from them by reporting's own statement. Then the pages' measures (``services/web``'s
history) are asked by the statements of ``core/kpi``, of tenants in turn: ``p95_ms`` over a day, a month and a year, the slowest of the three.
``raw_p95_ms`` reads the segments of all tenants without any state, a month each time. ``ratio`` stands beside a plain ``count()`` of the rows
that the year's answer stands for. ``bytes_a_row`` is what a row takes on disk, by table.

    python -m tests.bench.reporting_dashboard [--contacts 100000000] [--seconds 40] [--folder DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from services.common.clickhouse import Row
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.reporting import migrate
from services.reporting.core import states_sql
from services.reporting.core.kpi.calendars import Calendar, Span, Unit
from services.reporting.core.kpi.question import Question
from services.reporting.core.sql import Statement
from services.reporting.questions import answered

TENANTS: Final = 50
QUEUES: Final = 8
FIRST: Final = date(2024, 11, 1)
MONTHS: Final = 24
MOST_CONTACTS: Final = 100_000_000
CONTACTS_A_DAY: Final = 60  # of an agent
SHIFT_SLOTS: Final = 36  # nine hours
ASKED: Final = 6  # of each question
ROWS_AT_ONCE: Final = 400_000
TENANTS_AT_ONCE: Final = 10
QUEUE_MEASURES: Final = (
    "offered", "answered", "abandoned", "abandoned_short", "service_level", "abandon_rate", "asa", "longest_wait", "handled", "aht",
)  # fmt: skip
AGENT_MEASURES: Final = (
    "handled", "aht", "att", "acw", "occupancy", "logged_in_time", "available_time", "break_time", "offers", "offers_missed",
    "non_response", "transfer_rate", "csat",
)  # fmt: skip


# A month's contacts: spread over its days and the hours of work, over tenants, their queues and agents; four of five are answered.
_CONTACTS: Final = """
SELECT
    concat('t', toString(cityHash64(number, 1) % {tenants})) AS tenant,
    toDate('{first}') + cityHash64(number, 2) % {days} AS day,
    toString(generateUUIDv4(number)) AS contact_id,
    toDateTime64(day, 6, 'UTC') + toIntervalMicrosecond(25200000000 + cityHash64(number, 3) % 43200000000) AS started_at,
    concat('q', toString(cityHash64(number, 4) % {queues})) AS queue,
    cityHash64(number, 5) % 100 < 80 AS met,
    if(met, concat('a', toString(cityHash64(number, 6) % {agents})), '') AS agent_id,
    toInt64(-15000 * log((cityHash64(number, 7) % 100000 + 1) / 100000)) AS wait_ms,
    if(met, toInt64(30000 - 180000 * log((cityHash64(number, 8) % 100000 + 1) / 100000)), 0) AS talk_ms,
    if(met, toInt64(cityHash64(number, 9) % 40000), 0) AS wrap_ms,
    concat('+98912', toString(1000000 + cityHash64(number, 10) % 5000000)) AS ani,
    started_at + toIntervalMillisecond(5000) AS waiting_since,
    waiting_since + toIntervalMillisecond(wait_ms) AS met_at,
    met_at + toIntervalMillisecond(talk_ms) AS ended_at
FROM numbers({begin}, {count})
"""
_RECORDS: Final = """
INSERT INTO contact_records (tenant, day, contact_id, started_at, counted, start, channel, entry_point, node, ani, language, flow,
 revision, steps, first_queue, queue, queued, waiting_since, connected_at, ended_at, outcome, result, state, wait_ms, talk_ms, wrap_up_ms,
 total_ms, offers, agent_id, team, offer_id, ended_by, cause, disposition, target_ms, short_ms, mos_milli, billed_ms, version)
SELECT tenant, day, contact_id, started_at, 1, 'ivr', 'voice', concat('982', queue), 'fs1', ani, 'fa', 'main', 'abcdef012345', 3, queue,
 queue, 1, waiting_since, if(met, met_at, NULL), ended_at, if(met, 'answered', 'abandoned'), if(met, 'answered', 'abandoned'), 'closed',
 wait_ms, talk_ms, wrap_ms, dateDiff('millisecond', started_at, ended_at), toUInt8(met), agent_id, if(met, 'front', ''),
 if(met, concat(contact_id, '/1'), ''), if(met, 'agent', 'caller'), 'NORMAL_CLEARING', if(met, 'done', ''), 20000, 5000, 4400,
 wait_ms + talk_ms, 1 FROM ({contacts})
"""
_SEGMENTS: Final = """
INSERT INTO segments (tenant, day, contact_id, segment_no, segment_id, initial_segment_id, previous_segment_id, next_segment_id, kind,
 queue, agent_id, team, offer_id, agent_leg_id, channel, reason, started_at, ended_at, wait_ms, ring_ms, talk_ms, wrap_up_ms, outcome,
 ended_by, target_ms, short_ms, disposition, version)
SELECT tenant, day, contact_id, no, concat(contact_id, '-', toString(no)), concat(contact_id, '-1'),
 if(no = 2, concat(contact_id, '-1'), ''), if(no = 1 AND met, concat(contact_id, '-2'), ''), if(no = 1, 'queue', 'agent'), queue,
 if(no = 1, '', agent_id), if(no = 1, '', 'front'), if(no = 1, '', concat(contact_id, '/1')),
 if(no = 1, '', toString(generateUUIDv4(contact_id))), 'voice', 'arrived', if(no = 1, waiting_since, met_at),
 if(no = 1, met_at, ended_at), if(no = 1, wait_ms, 0), if(no = 1, 0, 4000), if(no = 1, 0, talk_ms), if(no = 1, 0, wrap_ms),
 multiIf(no = 2, 'completed', met, 'answered', 'abandoned'), if(no = 1, '', 'agent'), 20000, 5000, if(no = 1, '', 'done'), 1
FROM (SELECT *, arrayJoin(if(met, [1, 2], [1])) AS no FROM ({contacts}))
"""
_AGENTS: Final = """
INSERT INTO agent_15m (tenant, at, day, agent_id, team, logged_in_ms, available_ms, break_ms, idle_ms, offered_ms, talking_ms, wrap_up_ms,
 handled, talk_ms, acw_ms, offers, offers_accepted, offers_missed, version)
SELECT concat('t', toString(number % {tenants})), toDateTime(day, 'UTC') + 25200 + 900 * slot, day, concat('a', toString(agent)),
 'front', 900000, 860000, 40000, 860000 - busy, 8000, busy, 30000, 2, busy, 30000, 3, 2, 1, 1
FROM (SELECT number, intDiv(number, {tenants}) % {agents} AS agent, intDiv(number, {tenants} * {agents}) % {shift} AS slot,
 toDate('{first}') + intDiv(number, {tenants} * {agents} * {shift}) AS day, 300000 + cityHash64(number) % 400000 AS busy
 FROM numbers({begin}, {count}))
"""
_ANSWERS: Final = """
INSERT INTO survey_answers (tenant, contact_id, id, at, survey, question, kind, score, least, most, queue, agent_id)
SELECT tenant, contact_id, concat(contact_id, ':s'), ended_at, 'after', 'satisfied', 'score', 1 + cityHash64(ani) % 5, 1, 5, queue, agent_id
FROM ({contacts}) WHERE met AND cityHash64(ani, 1) % 20 = 0
"""


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def months() -> list[tuple[date, int]]:
    found, first = [], FIRST
    for _ in range(MONTHS):
        following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
        found.append((first, (following - first).days))
        first = following
    return found


def pieces(count: int) -> list[tuple[int, int]]:
    """Begin and size of each piece: the embedded engine has 1 GiB of memory, and a block of wide rows is in it whole."""
    return [(begin, min(ROWS_AT_ONCE, count - begin)) for begin in range(0, count, ROWS_AT_ONCE)]


class Maker:
    """Fills a database, a month after the other."""

    def __init__(self, store: ServerStore, contacts: int) -> None:
        self._store = store
        self.contacts = contacts
        self.agents = max(4, contacts // (TENANTS * MONTHS * 30 * CONTACTS_A_DAY))

    async def fill(self) -> None:
        for no, (first, days) in enumerate(months()):
            await self.month(no, first, days)
            sys.stderr.write(f"made {first:%Y-%m}\n")

    async def month(self, no: int, first: date, days: int) -> None:
        count = self.contacts // MONTHS
        places = {"tenants": TENANTS, "queues": QUEUES, "agents": self.agents, "first": first, "days": days}
        for begin, piece in pieces(count):
            contacts = _CONTACTS.format(**places, begin=no * count + begin, count=piece)
            for statement in (_RECORDS, _SEGMENTS, _ANSWERS):
                await self._run(statement.format(contacts=contacts))
        for begin, piece in pieces(TENANTS * self.agents * SHIFT_SLOTS * days):
            await self._run(_AGENTS.format(**places, shift=SHIFT_SLOTS, begin=begin, count=piece))
        slots_from = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
        for tenant in range(0, TENANTS, TENANTS_AT_ONCE):
            await self._run(
                states_sql.QUEUE_15M,
                {
                    "tenants": [f"t{n}" for n in range(tenant, min(tenant + TENANTS_AT_ONCE, TENANTS))],
                    "slots": list(range(slots_from, slots_from + days * 86_400, 900)),
                    "from_day": first,
                    "to_day": first + timedelta(days=days - 1),
                    "version": 1,
                },
            )

    async def _run(self, statement: str, params: dict[str, Any] | None = None) -> None:
        settings = " SETTINGS min_insert_block_size_rows = 4000000, min_insert_block_size_bytes = 0, max_insert_threads = 1"
        cut = statement.index("SELECT")
        await self._store.command(statement[:cut] + statement[cut:] + settings, params, timeout_s=600)


async def pages(store: ServerStore, agents: int) -> dict[str, list[float]]:
    """Milliseconds of each question's whole answer (its statements are asked at once, as the service does)."""

    async def ask(one: Statement) -> list[Row]:
        return await store.query(one.sql, one.params)

    calendar = Calendar("Asia/Tehran", "jalali", "sat")
    last = FIRST + timedelta(days=700)
    spans: dict[str, tuple[date, int, Unit]] = {
        "day": (last, 1, "hour"),
        "month": (last - timedelta(days=30), 30, "day"),
        "year": (last - timedelta(days=365), 365, "day"),
    }
    found: dict[str, list[float]] = {name: [] for name in spans}
    for n in range(ASKED):
        for name, (first, days, unit) in spans.items():
            begin = first - timedelta(days=n if name == "day" else 0)
            span = Span(calendar.start_of(begin), calendar.start_of(begin + timedelta(days=days)))
            for measures, by, interval in (
                (QUEUE_MEASURES, (), unit),
                (QUEUE_MEASURES, ("queue",), None),
                (AGENT_MEASURES, ("agent",), None),
            ):
                asked = Question(
                    tenant=f"t{(n * 7) % TENANTS}", measures=measures, span=span, calendar=calendar, now_us=span.to_us,
                    by=by, interval=interval,
                )  # fmt: skip
                began = time.perf_counter()
                answer = await answered(ask, asked)
                found[name].append((time.perf_counter() - began) * 1000)
                if not answer.lines:
                    raise AssertionError(f"{name} by {by}: no figures")
    return found


async def all_tenants(store: ServerStore) -> list[float]:
    """Milliseconds of the service level's counts of every tenant and queue, a month each, from segments alone."""
    found = []
    for first, days in months()[::3]:
        began = time.perf_counter()
        rows = await store.query(
            "SELECT tenant, queue, count() AS offered, countIf(outcome = 'answered') AS answered,"
            " countIf(outcome = 'answered' AND wait_ms <= target_ms) AS answered_within,"
            " countIf(outcome = 'abandoned' AND wait_ms < short_ms) AS abandoned_short,"
            " sumIf(wait_ms, outcome = 'answered') AS wait_answered_ms FROM v_segments"
            " WHERE kind = 'queue' AND day BETWEEN {a:Date} AND {b:Date} GROUP BY tenant, queue",
            {"a": first, "b": first + timedelta(days=days - 1)},
        )
        found.append((time.perf_counter() - began) * 1000)
        if len(rows) != TENANTS * QUEUES:
            raise AssertionError(f"{len(rows)} queues of {TENANTS * QUEUES} had contacts in {first}")
    return found


async def plain_count(store: ServerStore) -> float:
    """Milliseconds of a count of the rows that a tenant's year stands for."""
    found = []
    for n in range(ASKED):
        began = time.perf_counter()
        await store.query(
            "SELECT count() FROM segments WHERE tenant = {t:String} AND day >= {a:Date} AND NOT ignore(wait_ms)",
            {"t": f"t{(n * 7) % TENANTS}", "a": FIRST + timedelta(days=365)},
        )
        found.append((time.perf_counter() - began) * 1000)
    return percentile(found, 0.5)


async def sizes(store: ServerStore) -> tuple[dict[str, int], dict[str, float]]:
    rows = await store.query(
        "SELECT table, sum(rows) AS n, sum(bytes_on_disk) AS bytes FROM system.parts"
        " WHERE active AND database = currentDatabase() GROUP BY table HAVING n > 0 ORDER BY table"
    )
    held = {row["table"]: row["n"] for row in rows if row["table"] != "schema_migrations"}
    return held, {row["table"]: round(row["bytes"] / row["n"], 1) for row in rows if row["table"] in held}


async def measure(server: EmbeddedClickHouse, contacts: int, seconds: float) -> dict[str, Any]:
    admin = ServerStore(server.url, threads=1, database="default")
    await migrate.apply(admin, database="bench")
    store = ServerStore(replace(server.url, database="bench"), threads=4, timeout_s=600)
    try:
        # The first month, small, says how fast this machine makes them.
        trial = Maker(store, 100_000 * MONTHS)
        began = time.monotonic()
        await trial.month(0, *months()[0])
        took_s = time.monotonic() - began
        for table in ("contact_records", "segments", "survey_answers", "agent_15m", "queue_15m"):
            await store.command(f"TRUNCATE TABLE {table} SYNC")
        wanted = contacts or min(MOST_CONTACTS, round(100_000 * seconds / took_s))
        maker = Maker(store, max(wanted, 100_000))
        began = time.monotonic()
        await maker.fill()
        made_s = time.monotonic() - began
        rows, bytes_a_row = await sizes(store)
        answers = await pages(store, maker.agents)
        raw = await all_tenants(store)
        plain = await plain_count(store)
        p95 = {name: round(percentile(took, 0.95), 1) for name, took in answers.items()}
        return {
            "p95_ms": max(p95.values()),
            **{f"{name}_p95_ms": value for name, value in p95.items()},
            "median_ms": {name: round(percentile(took, 0.5), 1) for name, took in answers.items()},
            "raw_p95_ms": round(percentile(raw, 0.95), 1),
            "ratio": round(percentile(answers["year"], 0.5) / plain, 2),
            "plain_count_ms": round(plain, 1),
            "made_s": round(made_s),
            "tenants": TENANTS,
            "agents_a_tenant": maker.agents,
            "rows": rows,
            "bytes_a_row": bytes_a_row,
            "load": round(os.getloadavg()[0], 1),
        }
    finally:
        await store.stop()
        await admin.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=0, help="contacts to make; 0: as --seconds allow")
    parser.add_argument("--seconds", type=float, default=40.0, help="about how long making them may take")
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        server = EmbeddedClickHouse(
            Path(folder), password="for-the-bench-only", analyst_password="for-the-bench-alone"
        )
        server.start()
        try:
            found = asyncio.run(measure(server, args.contacts, args.seconds))
        finally:
            server.stop()
    print(json.dumps({"name": "reporting_dashboard", **found}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
