"""Center documents as the engine wants them."""

from __future__ import annotations

import zlib

from services.center import Center as Document
from services.center import Queue
from services.routing.core.center import AgentRules, Center, Overflow, QueueRules

SHARDS = 16
"""Never changed on a running installation: two numbers of shards would give a tenant two owners that contend."""


def shard_of(tenant: str) -> int:
    """The shard whose owner decides for the tenant."""
    return zlib.crc32(tenant.encode()) % SHARDS


def center_of(document: Document) -> Center:
    """The part of a document that decides about routing."""
    return Center(
        revision=document.revision,
        queues={name: _queue(queue) for name, queue in document.queues.items()},
        agents={
            name: AgentRules(agent.extension, tuple(agent.queues), dict(agent.skills))
            for name, agent in document.agents.items()
        },
        dispositions=frozenset(d.code for d in document.dispositions),
        break_reasons=frozenset(r.code for r in document.break_reasons),
        fallback={number: entry.fallback_queue for number, entry in document.entry_points.items()},
        default_fallback=document.entry_points[document.default_entry_point].fallback_queue,
    )


def _queue(queue: Queue) -> QueueRules:
    overflow, max_wait_ms = Overflow("hangup"), 0
    if queue.max_wait is not None:
        max_wait_ms = queue.max_wait.after_s * 1000
        then = queue.max_wait.then
        if then.queue is not None:
            overflow = Overflow("queue", then.queue)
        elif then.transfer is not None:
            overflow = Overflow("transfer", then.transfer)
        elif then.hangup is not None:
            overflow = Overflow("hangup", then.hangup.prompt)
    return QueueRules(
        skills=dict(queue.skills),
        ring_ms=queue.ring_s * 1000,
        wrap_up_ms=queue.wrap_up_s * 1000,
        max_wait_ms=max_wait_ms,
        max_length=queue.max_length,
        overflow=overflow,
    )
