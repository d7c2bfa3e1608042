"""Histories into ClickHouse: what is there already is left alone, and a crash at any moment leaves nothing that another run would not mend.

The order of a batch makes it so: everything that belongs to contacts, then the 15 minutes that have to be counted anew, then the contacts
themselves. A contact (or, where a history has none, a leg) that is found in ClickHouse under this version or a greater one therefore has
all the rest, too. Rows that are written twice are one row: their keys follow from their source.
"""

# ruff: noqa: S608 -- only a text that this file writes itself becomes part of a statement; values are parameters

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from services.common.clickhouse import Store, ValuesRefused
from services.reporting.core.imports.records import (
    COLUMNS,
    Contact,
    History,
    contact_row,
    rows_of_history,
    slots_of,
)
from services.reporting.core.tables import COLUMNS as CARD_COLUMNS
from services.reporting.core.tables import day_of

BATCH: Final = 5_000
"""Histories of one batch: ten to thirty thousand rows, which ClickHouse takes best."""

_COLUMNS: Final = CARD_COLUMNS | COLUMNS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Five thousand literals are read for a third of a second as part of the statement; as one text they are data.
_IDS: Final = "(SELECT arrayJoin(JSONExtract(materialize({{ids:String}}), 'Array(String)')))"
_encode: Final = msgspec.msgpack.Encoder(enc_hook=str).encode


class Written(msgspec.Struct):
    """What became of the histories that were given."""

    contacts: int = 0
    segments: int = 0
    legs: int = 0
    offers: int = 0
    intervals: int = 0
    there: int = 0
    """Contacts and legs that had been imported before, or of which live data is there."""
    refused: int = 0


class Sink:
    """Writes into one database, for one tenant."""

    def __init__(self, store: Store, database: str, tenant: str) -> None:
        self._store, self._database, self._tenant = store, database, tenant
        self.written = Written()

    async def write(self, histories: Sequence[History]) -> list[tuple[History, str]]:
        """Write a batch; returns what ClickHouse will never take, with the reason. Raises StoreUnavailable: give it again."""
        new = await self._unknown(histories)
        self.written.there += len(histories) - len(new)
        try:
            await self._insert(new)
        except ValuesRefused as e:
            if len(new) == 1:
                self.written.refused += 1
                return [(new[0], str(e))]
            refused = []
            for history in new:
                refused += await self.write([history])
            return refused
        return []

    async def _insert(self, histories: Sequence[History]) -> None:
        by_table: dict[str, list[tuple[Any, ...]]] = {}
        for history in histories:
            for row in rows_of_history(history):
                by_table.setdefault(row.table, []).append(row.values)
        # They wait for ClickHouse side by side. All have ended before anything is said, so that nothing is under way when a batch is given again.
        ended = await asyncio.gather(
            *(self._rows(table, _COLUMNS[table], rows) for table, rows in by_table.items()),
            return_exceptions=True,
        )
        for failed in ended:
            if failed is not None:
                raise failed
        slots = set[int]().union(*(slots_of(history) for history in histories))
        await self._touch(sorted(slots))
        contacts = [contact_row(h.contact) for h in histories if h.contact is not None]
        await self._rows("contact_records", _COLUMNS["contact_records"], [row.values for row in contacts])
        written = self.written
        written.contacts += len(contacts)
        for table, rows in by_table.items():
            name = {"agent_intervals": "intervals"}.get(table, table)
            setattr(written, name, getattr(written, name) + len(rows))

    async def _rows(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        token = hashlib.sha256(_encode((table, rows))).hexdigest()
        await self._store.insert(f"{self._database}.{table}", columns, rows, token=token)

    async def _touch(self, slots: Sequence[int]) -> None:
        """Have the 15 minutes counted anew."""
        rows = []
        for slot in slots:
            at = _EPOCH + timedelta(seconds=slot)
            rows.append(("minutes", self._tenant, str(slot), at, at, secrets.randbits(64), 1))
        await self._rows("touched", ("kind", "tenant", "id", "since", "due", "touch", "sign"), rows)

    async def _unknown(self, histories: Sequence[History]) -> list[History]:
        """Those of which less is in ClickHouse than they tell. Of two of one contact the one that knows more is kept."""
        contacts: dict[str, History] = {}
        legs: dict[str, History] = {}
        rest = []
        for history in histories:
            if (contact := history.contact) is not None:
                before = contacts.get(contact.contact_id)
                if before is None or _version(before.contact) < contact.version:
                    contacts[contact.contact_id] = history
            elif history.legs:
                legs[history.legs[0].leg_id] = history
            else:
                rest.append(history)
        found = await self._ask(
            "SELECT contact_id AS id, toInt64(max(version)) AS version FROM {}.contact_records"
            " WHERE tenant = {{tenant:String}} AND day BETWEEN {{first:Date}} AND {{last:Date}}"
            f" AND contact_id IN {_IDS} GROUP BY contact_id",
            {name: _version_day(one.contact) for name, one in contacts.items()},
        )
        there = await self._ask(
            "SELECT leg_id AS id, 1 AS version FROM {}.legs"
            " WHERE tenant = {{tenant:String}} AND day BETWEEN {{first:Date}} AND {{last:Date}}"
            f" AND leg_id IN {_IDS} GROUP BY leg_id",
            {name: day_of(h.legs[0].started_at_us or h.legs[0].ended_at_us) for name, h in legs.items()},
        )
        return [
            *(h for name, h in contacts.items() if found.get(name, 0) < _version(h.contact)),
            *(h for name, h in legs.items() if name not in there),
            *rest,
        ]

    async def _ask(self, sql: str, days: dict[str, Any]) -> dict[str, int]:
        if not days:
            return {}
        params = {
            "tenant": self._tenant,
            "first": min(days.values()),
            "last": max(days.values()),
            "ids": json.dumps(list(days)),
        }
        rows = await self._store.query(sql.format(self._database), params)
        return {row["id"]: row["version"] for row in rows}


def _version(contact: Contact | None) -> int:
    return contact.version if contact is not None else 0


def _version_day(contact: Contact | None) -> Any:
    return day_of(contact.started_at if contact is not None else 0)
