"""Writes agents and queues of the running center documents into ClickHouse whenever they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from services.center import Center, CenterSet
from services.common import ids
from services.common.clickhouse import Store, StoreRefused
from services.common.clock import Clock
from services.common.errors import StoreUnavailable
from services.reporting.core import dimensions
from services.reporting.core.settling import LEASE_US

log = structlog.get_logger()

_RETRY_S: Final = 2.0
_COLUMNS: Final = {"center_agents": dimensions.AGENTS, "center_queues": dimensions.QUEUES}


def rows_of_center(center: Center) -> dict[str, list[tuple[Any, ...]]]:
    """What the document says of its agents and queues, by table, without ``valid_from`` and ``version``."""
    return {
        "center_agents": [
            (
                center.tenant,
                agent_id,
                dict(agent.name),
                agent.team or "",
                [f"{skill}:{level}" for skill, level in sorted(agent.skills.items())],
                agent.queue_names,
            )
            for agent_id, agent in center.agents.items()
        ],
        "center_queues": [
            (
                center.tenant,
                name,
                dict(queue.name),
                queue.service_level_s * 1000,
                queue.short_abandon_s * 1000,
            )
            for name, queue in center.queues.items()
        ],
    }


class Dimensions:
    """The documents' agents and queues over time."""

    def __init__(self, store: Store, clock: Clock, current: Callable[[], CenterSet]) -> None:
        self._store = store
        self._clock = clock
        self._current = current
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Another set of documents runs."""
        self._changed.set()

    async def run(self) -> None:
        """Write what changes; forever. What is there at the start is the caller's to ``write``."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.write()
            except (StoreUnavailable, StoreRefused) as e:
                log.warning("center_not_written", reason=str(e))
                self._changed.set()
                await asyncio.sleep(_RETRY_S)

    async def write(self) -> int:
        """Write what is new; return how many rows. Raises StoreUnavailable and StoreRefused. May be repeated."""
        centers = self._current().centers
        known = {
            table: {
                tuple(row.values())[:2]: tuple(row.values()) for row in await self._store.query(statement)
            }
            for table, statement in dimensions.NEWEST.items()
        }
        at = {
            (row["tenant"], row["revision"]): row["at"]
            for row in await self._store.query(
                dimensions.CAME_INTO_FORCE, {"revisions": [center.revision for center in centers]}
            )
        }
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        written = 0
        for center in centers:
            since = at.get((center.tenant, center.revision), now)
            fresh = {
                table: dimensions.news(said, known[table], since)
                for table, said in rows_of_center(center).items()
            }
            if not any(fresh.values()):
                continue
            begins = min(row[-2] for rows in fresh.values() for row in rows)
            # Twice, because a repetition after a crash in between finds nothing new.
            await self._touch(center.tenant, begins, LEASE_US // 1000)
            for table, rows in fresh.items():
                await self._store.insert(table, _COLUMNS[table], rows, token=ids.new_id())
                written += len(rows)
            await self._touch(center.tenant, begins, 0)
        return written

    async def _touch(self, tenant: str, since: datetime, ahead_ms: int) -> None:
        params: dict[str, Any] = {"tenant": tenant, "since": since.replace(tzinfo=None), "ahead_ms": ahead_ms}
        await self._store.command(dimensions.TOUCH_SINCE, params)
