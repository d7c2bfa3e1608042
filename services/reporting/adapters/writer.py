"""Rows into ClickHouse, exactly once as read.

A batch is grouped by table and each group is one insert, under a token made of its own content: sent again whole, it is
stored once. Sent again in other groups it is stored twice and read once, because every table joins repetitions (see
``core/tables``). So a crash between two inserts, or between an insert and its acknowledgement, needs no memory of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec
from prometheus_client import Counter, Histogram

from services.common.clickhouse import Store, ValuesRefused
from services.reporting.core.cards import Groups
from services.reporting.core.tables import COLUMNS, FACTS, LEGS, Row

# Rows confirmed by ClickHouse. Zero while calls are made: look at /readyz and the consumers' backlog.
ROWS = Counter("peyvand_reporting_rows_total", "Rows confirmed by ClickHouse", ["table"])
# Seconds of one insert. Above a second for long: too many parts, a slow disk, or a far server.
INSERT_S = Histogram(
    "peyvand_reporting_insert_seconds",
    "Seconds until ClickHouse confirmed an insert",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10),
)

_LAST: Final = (FACTS.name, LEGS.name)
_encode = msgspec.msgpack.Encoder().encode


class Writer:
    """Writes rows; whoever gave them may acknowledge their source once ``write`` has returned."""

    def __init__(self, store: Store, database: str) -> None:
        self._store = store
        self._database = database

    async def write(self, rows: Iterable[Row]) -> None:
        """Insert every row. Raises as ``write_groups``."""
        groups: Groups = {}
        for row in rows:
            groups.setdefault(row.table, []).append(row.values)
        await self.write_groups(groups)

    async def write_groups(self, groups: Groups) -> None:
        """Insert the rows of each table; facts and legs after all others: whoever reads of them finds everything that they led to.

        Raises StoreUnavailable (call again with the same rows), StoreRefused, and ValuesRefused when a row does not fit.
        """
        for table in sorted(groups, key=lambda name: (name in _LAST, name)):
            values = groups[table]
            try:
                token = hashlib.sha256(_encode(values)).hexdigest()
            except (OverflowError, UnicodeEncodeError) as e:
                raise ValuesRefused(0, f"values do not fit {table}: {e}") from None
            with INSERT_S.time():
                await self._store.insert(f"{self._database}.{table}", COLUMNS[table], values, token=token)
            ROWS.labels(table).inc(len(values))
