"""How long ClickHouse keeps what: the TTL of each table, set at every start to what the settings say.

A table drops whole months (its parts), so rows may stay for up to a month longer, and nothing is ever rewritten for it. 0 days is for ever.
Records and 15-minute states outlive the facts that they were made from: what is settled late then knows less and is not believed
(``core/settling``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from services.common.clickhouse import Store

log = structlog.get_logger()

_FACTS: Final = {
    "facts": "at",
    "ivr_steps": "at",
    "agent_changes": "at",
    "survey_answers": "at",
    "surveys": "at",
    "contacts": "day",
    "offers": "day",
    "legs": "day",
    "recordings": "day",
}
_RECORDS: Final = {
    "contact_records": "day",
    "segments": "day",
    "agent_intervals": "day",
    "evaluations": "day",
}
_STATES: Final = {"queue_15m": "at", "agent_15m": "at"}


@dataclass(frozen=True)
class Keep:
    """Days; 0 is for ever."""

    facts_days: int = 0
    records_days: int = 0
    states_days: int = 0

    def by_table(self) -> dict[str, tuple[str, int]]:
        """The column of time and the days of each table."""
        return {
            table: (column, days)
            for tables, days in (
                (_FACTS, self.facts_days),
                (_RECORDS, self.records_days),
                (_STATES, self.states_days),
            )
            for table, column in tables.items()
        }


async def apply(store: Store, keep: Keep, *, database: str, cluster: str = "") -> list[str]:
    """Make the tables keep rows for so long; return those that were changed. Raises StoreUnavailable and StoreRefused."""
    rows = await store.query(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
        {"database": database},
    )
    engines = {row["name"]: str(row["engine_full"]) for row in rows}
    on_cluster = f" ON CLUSTER '{cluster}'" if cluster else ""
    changed = []
    for table, (column, days) in keep.by_table().items():
        wanted = f"TTL toDateTime({column}) + toIntervalDay({days})" if days else ""
        has = " TTL " in engines[table]
        if (wanted in engines[table]) if wanted else not has:
            continue
        alter = f"ALTER TABLE {database}.{table}{on_cluster} "
        if wanted:
            await store.command(f"{alter}MODIFY SETTING ttl_only_drop_parts = 1")
            await store.command(f"{alter}MODIFY {wanted} SETTINGS materialize_ttl_after_modify = 0")
        else:
            await store.command(f"{alter}REMOVE TTL")
        log.info("retention_set", table=table, days=days)
        changed.append(table)
    return changed
