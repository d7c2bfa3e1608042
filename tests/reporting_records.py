"""Rows of the record tables for tests that ask about them: what is not given is empty."""

from __future__ import annotations

from typing import Any

from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.reporting.core.tables import day_of

SLOT_US = 900_000_000

EMPTY: dict[str, dict[str, Any]] = {
    "contact_records": {
        "contact_id": "", "counted": True, "start": "ivr", "channel": "voice", "entry_point": "1000", "ani": "", "language": "fa",
        "customer": "", "flow": "main", "first_queue": "", "queue": "", "queued": False, "skills": [], "outcome": "open", "result": "",
        "state": "closed", "wait_ms": 0, "talk_ms": 0, "hold_ms": 0, "wrap_up_ms": 0, "total_ms": 0, "transfers": 0, "agent_id": "",
        "team": "", "ended_by": "", "disposition": "", "mos_milli": 0, "jitter_us": 0, "packet_loss_ppm": 0, "billed_ms": 0,
        "ended_at": None,
    },
    "evaluations": {
        "evaluation_id": "", "question": "", "contact_id": "", "agent_id": "", "form": "", "score": 0, "most": 0, "evaluator": "",
    },
    "segments": {
        "contact_id": "", "segment_no": 1, "kind": "queue", "queue": "", "agent_id": "", "team": "", "channel": "voice",
        "reason": "arrived", "ended_at": None, "wait_ms": 0, "talk_ms": 0, "hold_ms": 0, "wrap_up_ms": 0, "outcome": "open",
        "target_ms": 20_000, "short_ms": 5_000, "mos_milli": 0, "jitter_us": 0, "packet_loss_ppm": 0,
    },
}  # fmt: skip


class Records:
    """Inserts rows into a test's database."""

    def __init__(self, store: ServerStore, url: StoreUrl) -> None:
        self._store = store
        self._database = url.database

    async def add(self, table: str, *rows: dict[str, Any], tenant: str = "demo") -> None:
        """Rows with their time (``started_at``, of evaluations ``at``) in microseconds; what is not given is as ``EMPTY`` has it."""
        time = "at" if table == "evaluations" else "started_at"
        columns = ["tenant", "day", "version", "deleted", time, *EMPTY[table]]
        values = []
        for row in rows:
            whole = (
                EMPTY[table] | row | {"tenant": tenant, "day": day_of(row[time]), "version": 1, "deleted": 0}
            )
            values.append([whole[name] for name in columns])
        await self._store.insert(f"{self._database}.{table}", columns, values, token=ids.new_id())

    async def logged_in(self, tenant: str, agent: str, *times_us: int) -> None:
        """15 minutes in which an agent was there."""
        columns = ("tenant", "at", "day", "agent_id", "logged_in_ms", "version", "deleted")
        rows = [
            (tenant, at_us // SLOT_US * SLOT_US // 1_000_000, day_of(at_us), agent, 900_000, 1, 0)
            for at_us in times_us
        ]
        await self._store.insert(f"{self._database}.agent_15m", columns, rows, token=ids.new_id())

    async def summed(self) -> None:
        """Fill the 15-minute states of queues from the segments, as they are in the table."""
        counts = {
            "offered": "countIf(kind = 'queue')",
            "answered": "countIf(kind = 'queue' AND outcome = 'answered')",
            "answered_within": "countIf(kind = 'queue' AND outcome = 'answered' AND wait_ms <= target_ms)",
            "abandoned": "countIf(kind = 'queue' AND outcome = 'abandoned')",
            "abandoned_within": "countIf(kind = 'queue' AND outcome = 'abandoned' AND wait_ms <= target_ms)",
            "abandoned_short": "countIf(kind = 'queue' AND outcome = 'abandoned' AND wait_ms < short_ms)",
            "wait_answered_ms": "sumIf(wait_ms, kind = 'queue' AND outcome = 'answered')",
            "wait_abandoned_ms": "sumIf(wait_ms, kind = 'queue' AND outcome = 'abandoned')",
            "wait_max_ms": "maxIf(wait_ms, kind = 'queue')",
            "handled": "countIf(kind = 'agent')",
            "talk_ms": "sumIf(talk_ms, kind = 'agent')",
            "wait_state": "quantilesTDigestStateIf(0.5, 0.9, 0.95)(wait_ms, kind = 'queue' AND outcome = 'answered')",
            "talk_state": "quantilesTDigestStateIf(0.5, 0.9, 0.95)(talk_ms, kind = 'agent')",
        }
        await self._store.command(
            f"INSERT INTO {self._database}.queue_15m (tenant, at, day, queue, channel, version, deleted, {', '.join(counts)})"
            f" SELECT tenant, toStartOfFifteenMinutes(started_at) AS slot, toDate(slot), queue, channel, 1, 0, {', '.join(counts.values())}"
            f" FROM {self._database}.v_segments GROUP BY tenant, slot, queue, channel"
        )
