"""The books, read back from ClickHouse: for the balance check after a demonstration or a load run.

They are what facts and legs say at this moment, before anything is settled: what is compared is whether everything arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.common.clickhouse import Row, Store
from services.reporting.core import sql

_OUTCOME_ANSWERED = "answered"
_OUTCOMES_ABANDONED = ("abandoned", "hung_up")


@dataclass(frozen=True)
class Balance:
    """Contacts of a span by outcome. ``offered == answered + abandoned + sum(other) + open`` holds by construction;
    what a check compares is ``offered`` with the calls that were made, and ``open`` with zero."""

    offered: int
    answered: int
    abandoned_in_queue: int
    abandoned_in_menu: int
    open: int
    other: dict[str, int]

    @property
    def abandoned(self) -> int:
        return self.abandoned_in_queue + self.abandoned_in_menu


class Books:
    """Reads one tenant's span ``[from_us, to_us)``. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, tenant: str, from_us: int, to_us: int) -> None:
        self._store = store
        self._span = sql.Span(tenant, from_us, to_us)

    async def balance(self) -> Balance:
        """Contacts by outcome."""
        rows = await self._ask(sql.outcomes(self._span))
        counts = {row["outcome"]: row["contacts"] for row in rows}
        offered = sum(counts.values())
        answered, still_open = counts.pop(_OUTCOME_ANSWERED, 0), counts.pop("open", 0)
        in_queue, in_menu = (counts.pop(name, 0) for name in _OUTCOMES_ABANDONED)
        return Balance(offered, answered, in_queue, in_menu, still_open, counts)

    async def contacts(self, *, limit: int = 100_000, **columns: str) -> list[Row]:
        """A row a contact whose columns of ``v_contacts`` have these values, newest first; calls of customers unless ``start`` is one."""
        return await self._ask(sql.contacts(self._span, columns, limit=limit))

    async def legs(self, *, limit: int = 200_000) -> list[Row]:
        """A row a channel: the columns of ``v_legs``."""
        return await self._ask(sql.legs(self._span, {}, limit=limit, before=None))

    async def recordings(self) -> list[Row]:
        """A row a recording, with ``rms`` by channel: the columns of ``v_recordings``."""
        return await self._ask(sql.recordings(self._span))

    async def facts(self) -> dict[str, int]:
        """Facts by type."""
        return {row["type"]: row["facts"] for row in await self._ask(sql.facts_count(self._span))}

    async def fact_ids(self) -> list[str]:
        """The id of every fact: the message's own, and ``<message>.<index>`` for those of a routing log entry."""
        return [row["id"] for row in await self._ask(sql.fact_ids(self._span))]

    async def facts_of(self, contact_id: str) -> list[dict[str, Any]]:
        """Everything that was said about a contact, in the order of time."""
        return await self._ask(sql.facts_of(self._span.tenant, contact_id))

    async def _ask(self, statement: sql.Statement) -> list[Row]:
        return await self._store.query(statement.sql, statement.params)
