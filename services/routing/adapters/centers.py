"""Center documents as the engine wants them."""

from __future__ import annotations

import zlib

from services.center import Center as Document
from services.center import Queue
from services.center.callback import Callback
from services.center.model import Agent, Misses, ServedQueue
from services.center.model import Overflow as Way
from services.center.rights import CallLimits, CallRights
from services.center.skills import parse
from services.routing.core.center import (
    CAUSES,
    AgentRules,
    CallbackRules,
    Center,
    ChannelRules,
    Miss,
    Overflow,
    QueueOrder,
    QueueRules,
    Step,
)
from services.routing.core.toll import Rights

SHARDS = 16
"""Never changed on a running installation: two numbers of shards would give a tenant two owners that contend."""
RING_AT_ONCE = 5
"""Phones that ring for one contact of a ring_all queue that does not say how many."""


CONFIRM_MS = 20_000
"""What a customer who has to confirm is given for it (queue's ``callbacks.CONFIRM_MS`` and the time of the prompt's first words)."""


def shard_of(tenant: str) -> int:
    """The shard whose owner decides for the tenant."""
    return zlib.crc32(tenant.encode()) % SHARDS


def center_of(document: Document) -> Center:
    """The part of a document that decides about routing."""
    return Center(
        revision=document.revision,
        queues={name: _queue(gone.queue) for name, gone in document.retired.items()}
        | {name: _queue(queue) for name, queue in document.queues.items()},
        agents={
            name: _agent(document, agent, _drained_by(document, name))
            for name, agent in document.agents.items()
        },
        dispositions=frozenset(d.code for d in document.dispositions),
        break_reasons=frozenset(r.code for r in document.break_reasons),
        fallback={number: entry.fallback_queue for number, entry in document.entry_points.items()},
        default_fallback=document.entry_points[document.default_entry_point].fallback_queue,
        priority_ms=document.routing.priority_s * 1000,
        class_ms={name: seconds * 1000 for name, seconds in document.routing.classes.items()},
        entry_ms={number: entry.head_start_s * 1000 for number, entry in document.entry_points.items()},
        between_queues=document.routing.between_queues,
        misses=_misses(document.routing.misses),
        transfer_place=document.routing.transfer.place,
        transfer_failed=document.routing.transfer.failed,
        do_not_call=frozenset(document.do_not_call),
        desks=frozenset(document.desks),
        pin_attempts=document.login.attempts,
        pin_lock_ms=document.login.lock_s * 1000,
        draining=frozenset(document.retired),
        calls=_rights(document.calls),
        team_calls={name: _rights(team.calls) for name, team in document.teams.items()},
        channels={
            name: ChannelRules(channel.capacity, frozenset(channel.interrupted_by))
            for name, channel in document.routing.channels.items()
        },
    )


def _drained_by(document: Document, agent_id: str) -> list[ServedQueue]:
    """The queues that are gone from the document and that the agent served."""
    return [gone.agents[agent_id] for gone in document.retired.values() if agent_id in gone.agents]


def _rights(rights: CallRights, else_: CallLimits | None = None) -> Rights:
    def limit(name: str) -> int:
        own: int | None = getattr(rights, name)
        return own or (getattr(else_, name) if else_ is not None else None) or 0

    return Rights(
        allowed=tuple(rights.allowed) if rights.allowed is not None else None,
        forbidden=tuple(rights.forbidden),
        a_minute=limit("a_minute"),
        a_day=limit("a_day"),
        at_once=limit("at_once"),
    )


def _agent(document: Document, agent: Agent, drained: list[ServedQueue]) -> AgentRules:
    team = document.teams.get(agent.team or "")
    shown = [agent.calls.caller_id, team.calls.caller_id if team else None, document.calls.caller_id]
    queues = [*agent.queues, *drained]
    return AgentRules(
        agent.extension,
        tuple(served.queue for served in queues),
        dict(agent.skills),
        orders={
            served.queue: QueueOrder(served.priority, served.after_s * 1000)
            for served in queues
            if (served.priority, served.after_s) != (1, 0)
        },
        weight=agent.weight,
        team=agent.team or "",
        calls=_rights(agent.calls, document.calls.each_agent),
        caller_id=next((number for number in shown if number), ""),
        capacity=dict(agent.capacity),
        number=agent.number or "",
        confirm=agent.confirm,
    )


def _misses(misses: Misses) -> dict[str, Miss]:
    found = {cause: getattr(misses, cause) for cause in CAUSES}
    return {cause: Miss(miss.delay_s * 1000, miss.most) for cause, miss in found.items() if miss is not None}


def _way(way: Way) -> Overflow:
    return Overflow(*way.text.split(":", 1))


def _callback(callback: Callback) -> CallbackRules:
    return CallbackRules(
        first=callback.first,
        dial_ms=callback.dial_s * 1000 + (CONFIRM_MS if callback.confirm else 0),
        attempts=callback.attempts,
        pause_ms=callback.pause_s * 1000,
        expires_ms=callback.expires_s * 1000,
    )


def _queue(queue: Queue) -> QueueRules:
    ring_at_once = (queue.ring_at_once or RING_AT_ONCE) if queue.strategy == "ring_all" else 1
    return QueueRules(
        skills=dict(queue.skills),
        ring_ms=queue.ring_s * 1000,
        wrap_up_ms=queue.wrap_up_s * 1000,
        max_wait_ms=queue.max_wait.after_s * 1000 if queue.max_wait is not None else 0,
        max_length=queue.max_length,
        overflow=_way(queue.max_wait.then) if queue.max_wait is not None else Overflow("hangup"),
        strategy=queue.strategy,
        ring_at_once=ring_at_once,
        steps=tuple(Step(parse(step.skills), step.for_s * 1000) for step in queue.steps),
        skills_for_ms=(queue.caller_skills_for_s or 0) * 1000,
        preferred_ms=(queue.preferred_s or 0) * 1000,
        wrap_up_mode=queue.wrap_up.mode,
        wrap_up_max_ms=queue.wrap_up.max_s * 1000,
        disposition_required=queue.wrap_up.result == "required",
        dispositions=frozenset(queue.dispositions),
        short_abandon_ms=queue.short_abandon_s * 1000,
        full=_way(queue.full) if queue.full is not None else None,
        no_agent=_way(queue.no_agent.then) if queue.no_agent is not None else None,
        closed=_way(queue.closing.then) if queue.closing is not None else None,
        keys={key: _way(way) for key, way in queue.keys.items()},
        return_ms=queue.return_s * 1000,
        callback=_callback(queue.callback) if queue.callback is not None else None,
        connect_ms=queue.before_bridge.most_s * 1000 if queue.before_bridge is not None else 0,
        caller_id=queue.caller_id or "",
        no_agent_after_ms=queue.no_agent.after_s * 1000 if queue.no_agent is not None else 0,
    )
