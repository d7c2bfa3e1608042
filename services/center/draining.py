"""Queues that are deleted while callers may wait in them.

A document without a queue says nothing about the callers who are in it. So each revision carries the queues that went with it or
shortly before (``Center.retired``): as they were last, with the agents who served them. They take nobody new; who is in them is served
or goes the queue's way out. A revision stands by itself, so a process that starts in the middle of it drains all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from services.center.model import Center, Retired
from services.common.errors import DecodeError

KEPT_US = 86_400 * 1_000_000
"""No limit of a queue is longer than a day, and forgetting a queue only sends its callers to their fallback queue."""

_ALL: TypeAdapter[dict[str, Retired]] = TypeAdapter(dict[str, Retired])


def with_retired(after: Center, before: Center | None, at_us: int) -> Center:
    """Return ``after`` with the queues that it no longer has but ``before`` had, or drained a short time ago."""
    if before is None:
        return after
    kept = {
        name: retired
        for name, retired in before.retired.items()
        if name not in after.queues and at_us - retired.at_us < KEPT_US
    }
    for name, queue in before.queues.items():
        if name not in after.queues:
            agents = {
                agent_id: served
                for agent_id, agent in before.agents.items()
                for served in agent.queues
                if served.queue == name
            }
            kept[name] = Retired(queue=queue, agents=agents, at_us=at_us)
    return after.model_copy(update={"retired": kept})


def dump(retired: Mapping[str, Retired]) -> bytes:
    """As a revision carries them."""
    return _ALL.dump_json(dict(retired), exclude_defaults=True) if retired else b""


def load(data: bytes) -> dict[str, Retired]:
    """Read what ``dump`` wrote. Raises DecodeError."""
    if not data:
        return {}
    try:
        return _ALL.validate_json(data)
    except ValidationError as e:
        raise DecodeError(f"CenterRevised.retired cannot be read: {e.errors()[0]['msg']}") from None
