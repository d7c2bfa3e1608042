"""Agents and queues as the center document had them, over time: what a report of last year's contacts is to go by.

A row holds from its ``valid_from`` on, up to the next one of the same agent or queue. The first document that reporting sees holds for the
time before it as well: nobody knows better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

AGENTS: Final = ("tenant", "agent_id", "name", "team", "skills", "queues", "valid_from", "version")
QUEUES: Final = ("tenant", "queue", "name", "target_ms", "short_ms", "valid_from", "version")
NEWEST: Final = {
    "center_agents": (
        "SELECT tenant, agent_id, name, team, skills, queues FROM center_agents FINAL"
        " ORDER BY valid_from DESC LIMIT 1 BY tenant, agent_id"
    ),
    "center_queues": (
        "SELECT tenant, queue, name, target_ms, short_ms FROM center_queues FINAL"
        " ORDER BY valid_from DESC LIMIT 1 BY tenant, queue"
    ),
}
CAME_INTO_FORCE: Final = (
    "SELECT tenant, revision, min(at) AS at FROM center_revisions"
    " WHERE revision IN {revisions:Array(String)} GROUP BY tenant, revision"
)
TOUCH_SINCE: Final = (
    "INSERT INTO touched (kind, tenant, id, since, due, touch, sign) SELECT DISTINCT 'contact', tenant, contact_id, started_at,"
    " now64(6, 'UTC') + toIntervalMillisecond({ahead_ms:Int64}), rand64(), 1 FROM contact_records FINAL WHERE tenant = {tenant:String}"
    " AND day >= toDate({since:DateTime64(6, 'UTC')}) AND started_at >= {since:DateTime64(6, 'UTC')}"
)
"""Contacts that were settled by the document of before, because reporting heard of the new one a moment later."""


def news(
    said: Iterable[tuple[Any, ...]], known: Mapping[tuple[str, str], tuple[Any, ...]], at: datetime
) -> list[tuple[Any, ...]]:
    """The rows of a document that say something else than the newest ones of their table, complete."""
    tenants = {tenant for tenant, _ in known}
    return [
        (*row, at if row[0] in tenants else BEGINNING, 1)
        for row in said
        if known.get((row[0], row[1])) != row
    ]
