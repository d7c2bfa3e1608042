"""The board's numbers with their levels: one row a queue, the six tiles, and what needs attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from services.reporting.core.live_agents import AgentView
from services.reporting.core.live_board import (
    AbandonedTile,
    Alarm,
    AnswerTile,
    IdleTile,
    LongestTile,
    QueueRow,
    ServiceLevelTile,
    WaitingTile,
)
from services.reporting.core.live_counts import Counts, total
from services.reporting.core.live_facts import CenterInfo, QueueInfo, QueueTargets
from services.reporting.core.live_levels import Level, Levels, rank, worst

MIN_CONTACTS_FOR_LEVEL: Final = 5
"""Fewer contacts than this say nothing about a rate: one abandoned call at night is no alarm."""
EVERYWHERE: Final = ""
"""The queue under which the menu's ends are counted, and the subject of levels of the whole center."""
_SECOND_US: Final = 1_000_000


class Load(msgspec.Struct, frozen=True):
    """What a queue holds at this moment."""

    waiting_since_us: tuple[int, ...]
    talking: int
    trend: tuple[int, ...]


def queue_row(
    queue: QueueInfo, load: Load, counts: Counts, agents: list[AgentView], levels: Levels, now_us: int
) -> QueueRow:
    """One line of the table; ``counts`` are those of the window."""
    t = queue.targets
    waiting = len(load.waiting_since_us)
    longest_us = min(load.waiting_since_us, default=0)
    serving = [a for a in agents if queue.id in a.queues]
    idle = sum(a.state == "ready" for a in serving)
    level_pct = counts.service_level_pct
    offered = counts.offered + counts.moved
    abandoned_pct = 100.0 * counts.abandoned / offered if offered else None
    service_level: Level = "none"
    abandoned: Level = "none"
    if counts.answered + counts.abandoned >= MIN_CONTACTS_FOR_LEVEL:
        if level_pct is not None:
            service_level = levels.below(
                queue.id,
                "service_level",
                level_pct,
                warn_pct=t.service_level_pct,
                crit_pct=t.service_level_crit_pct,
            )
        if abandoned_pct is not None:
            abandoned = levels.above(
                queue.id, "abandoned", abandoned_pct, warn=t.abandoned_warn_pct, crit=t.abandoned_crit_pct
            )
    idle_level: Level = "ok"
    if not idle:
        idle_level = "warn" if serving else "crit" if waiting else "none"
    longest_s = (now_us - longest_us) / _SECOND_US if waiting else 0.0
    return QueueRow(
        id=queue.id,
        names=queue.names,
        service_level=service_level,
        service_level_pct=level_pct,
        answered_in_time=counts.answered_in_time,
        answered=counts.answered,
        abandoned=counts.abandoned,
        target_pct=t.service_level_pct,
        target_s=t.service_level_s,
        waiting=waiting,
        waiting_level=levels.above(queue.id, "waiting", waiting, warn=t.waiting_warn, crit=t.waiting_crit),
        longest_since_us=longest_us,
        longest_level=levels.above(
            queue.id, "longest", longest_s, warn=t.longest_warn_s, crit=t.longest_crit_s
        ),
        talking=load.talking,
        idle=idle,
        idle_level=idle_level,
        logged_in=len(serving),
        wrap_up=sum(a.state == "wrap_up" and a.queue == queue.id for a in agents),
        abandoned_pct=abandoned_pct,
        abandoned_level=abandoned,
        trend=load.trend,
    )


def _pooled(center: CenterInfo, sums: dict[str, Counts], bound: Callable[[QueueTargets], float]) -> float:
    """A bound of the whole center: the queues' bounds, weighted with their contacts.

    It is what all queues would make together if each were exactly on its own bound.
    """
    weighted = [
        (bound(q.targets), counts.answered + counts.abandoned)
        for q in center.queues
        for counts in (sums.get(q.id, Counts()),)
    ]
    contacts = sum(weight for _, weight in weighted)
    if contacts:
        return sum(value * weight for value, weight in weighted) / contacts
    return sum(value for value, _ in weighted) / len(weighted) if weighted else bound(QueueTargets())


def service_level_tile(
    center: CenterInfo, window: dict[str, Counts], before: dict[str, Counts], levels: Levels
) -> ServiceLevelTile:
    """Service level of all queues over the window."""
    counts = total(window)
    target_pct = _pooled(center, window, lambda t: t.service_level_pct)
    value = counts.service_level_pct
    level: Level = "none"
    if value is not None and counts.answered + counts.abandoned >= MIN_CONTACTS_FOR_LEVEL:
        level = levels.below(
            EVERYWHERE,
            "service_level",
            value,
            warn_pct=target_pct,
            crit_pct=_pooled(center, window, lambda t: t.service_level_crit_pct),
        )
    times = {q.targets.service_level_s for q in center.queues}
    return ServiceLevelTile(
        level=level,
        value_pct=value,
        before_pct=total(before).service_level_pct,
        answered_in_time=counts.answered_in_time,
        answered=counts.answered,
        abandoned=counts.abandoned,
        target_pct=target_pct,
        target_s=times.pop() if len(times) == 1 else None,
    )


def waiting_tile(center: CenterInfo, rows: tuple[QueueRow, ...], *, before: int, in_menu: int) -> WaitingTile:
    """Everybody who waits; the level is that of the worst queue, since only there somebody can act."""
    level = worst(*(r.waiting_level for r in rows))
    raised = [r for r in rows if r.waiting_level in ("warn", "crit")]
    worst_row = max(raised, key=lambda r: (rank(r.waiting_level), r.waiting), default=None)
    limit = 0
    if worst_row is not None:
        t = _targets(center, worst_row.id)
        limit = t.waiting_crit if level == "crit" else t.waiting_warn
    return WaitingTile(
        level=level,
        value=sum(r.waiting for r in rows),
        before=before,
        in_menu=in_menu,
        worst_queue=worst_row.id if worst_row else "",
        limit=limit,
    )


def longest_tile(center: CenterInfo, rows: tuple[QueueRow, ...]) -> LongestTile:
    """The contact that waits longest; the level is the worst of any queue."""
    waiting = [r for r in rows if r.waiting]
    if not waiting:
        return LongestTile(level="ok", since_us=0, queue="", limit_s=0)
    first = min(waiting, key=lambda r: r.longest_since_us)
    t = _targets(center, first.id)
    return LongestTile(
        level=worst(*(r.longest_level for r in waiting)),
        since_us=first.longest_since_us,
        queue=first.id,
        limit_s=t.longest_crit_s if first.longest_level == "crit" else t.longest_warn_s,
    )


def idle_tile(rows: tuple[QueueRow, ...], agents: list[AgentView]) -> IdleTile:
    """Agents that could take a contact now; raised where somebody waits without one."""
    idle = sum(a.state == "ready" for a in agents)
    level: Level = "ok" if idle else "warn" if agents else "none"
    starved = [r.idle_level for r in rows if r.waiting and not r.idle]
    return IdleTile(level=worst(level, *starved), value=idle, logged_in=len(agents))


def abandoned_tile(center: CenterInfo, today: dict[str, Counts], levels: Levels) -> AbandonedTile:
    """Callers that gave up today: the rate is of the queues, the menu is counted beside it."""
    queues = total({q: c for q, c in today.items() if q != EVERYWHERE})
    limit_pct = _pooled(center, today, lambda t: t.abandoned_warn_pct)
    value = 100.0 * queues.abandoned / queues.offered if queues.offered else None
    level: Level = "none"
    if value is not None and queues.offered >= MIN_CONTACTS_FOR_LEVEL:
        crit_pct = _pooled(center, today, lambda t: t.abandoned_crit_pct)
        level = levels.above(EVERYWHERE, "abandoned", value, warn=limit_pct, crit=crit_pct)
    return AbandonedTile(
        level=level,
        value_pct=value,
        abandoned=queues.abandoned,
        short=queues.abandoned_short,
        offered=queues.offered,
        left_menu=today.get(EVERYWHERE, Counts()).left_menu,
        limit_pct=limit_pct,
    )


def answer_tile(center: CenterInfo, window: dict[str, Counts], levels: Levels) -> AnswerTile:
    """Average wait of the answered, held against the answer time of the service level."""
    counts = total(window)
    target_s = _pooled(center, window, lambda t: t.service_level_s)
    value_ms = counts.wait_ms // counts.answered if counts.answered else None
    level: Level = "none"
    if value_ms is not None:
        # Being at the very second of the target is on target; twice the target is the point to act.
        over_s = 0.001
        level = levels.above(
            EVERYWHERE, "answer", value_ms / 1000, warn=target_s + over_s, crit=2 * target_s + over_s
        )
    return AnswerTile(level=level, value_ms=value_ms, answered=counts.answered, target_s=round(target_s))


def queue_alarms(
    center: CenterInfo, rows: tuple[QueueRow, ...], agents: list[AgentView], levels: Levels, now_us: int
) -> list[Alarm]:
    """What the queues want somebody to look at."""
    alarms = []
    for r in rows:
        t = _targets(center, r.id)
        if r.waiting and not r.logged_in:
            alarms.append(Alarm("unstaffed", "crit", r.id, r.names, r.longest_since_us, r.waiting, 0.0))
        elif r.waiting and not r.idle:
            # Counted from when both were true: somebody waits, and the last idle agent was gone.
            gone_us = max((a.left_ready_us for a in agents if r.id in a.queues), default=0)
            since_us = max(r.longest_since_us, gone_us)
            level = levels.above(
                r.id,
                "no_idle",
                (now_us - since_us) / _SECOND_US,
                warn=t.no_idle_warn_s,
                crit=t.no_idle_crit_s,
            )
            if level != "ok":
                alarms.append(Alarm("no_idle", level, r.id, r.names, since_us, 0.0, t.no_idle_warn_s))
        if r.longest_level in ("warn", "crit"):
            bound = t.longest_crit_s if r.longest_level == "crit" else t.longest_warn_s
            alarms.append(
                Alarm("longest_wait", r.longest_level, r.id, r.names, r.longest_since_us, 0.0, bound)
            )
        if r.service_level in ("warn", "crit"):
            value = r.service_level_pct or 0.0
            alarms.append(Alarm("service_level", r.service_level, r.id, r.names, 0, value, r.target_pct))
    return alarms


def _targets(center: CenterInfo, queue_id: str) -> QueueTargets:
    return next((q.targets for q in center.queues if q.id == queue_id), QueueTargets())
