"""The floor: agents of one tenant, the two axes of their state joined into the one word that the board shows."""

from __future__ import annotations

from typing import Final

from services.reporting.core.live_board import AgentRow, Alarm
from services.reporting.core.live_facts import (
    AgentActivityChanged,
    AgentInfo,
    AgentPresenceChanged,
    BreakReason,
    CenterInfo,
    Names,
)
from services.reporting.core.live_levels import Level

STATES: Final = (
    "ready",
    "talking",
    "outbound",
    "own_call",
    "handling",
    "ringing",
    "wrap_up",
    "break",
    "unreachable",
)
"""In the order of the board's bar."""

MAX_AGENT_ROWS: Final = 120
"""A frame goes to every viewer each second: more names than fit on a wall are counted, not listed."""

MISSED_REASONS: Final = ("no_answer", "declined", "busy", "unreachable")
"""Break reasons that routing gives by itself after a failed offer."""

_ROW_ORDER: Final = {
    s: n
    for n, s in enumerate(
        ("unreachable", "break", "wrap_up", "ringing", "handling", "own_call", "outbound", "talking", "ready")
    )
}
_BY_ACTIVITY: Final = {
    "offered": "ringing",
    "ringing": "ringing",
    "talking": "talking",
    "held": "talking",
    "wrap_up": "wrap_up",
    # Answered in vain: told so, or put down, within seconds.
    "closing": "ringing",
    # Contacts of other channels; whether a call may come in between is the center's rule.
    "handling": "handling",
    # A call that the agent makes or gets without us: on the phone, with no queue.
    "own_call": "own_call",
}
_ON_THE_LINE: Final = frozenset({"offered", "ringing", "talking", "held"})
_SECOND_US: Final = 1_000_000


class _Agent:
    __slots__ = (
        "activity",
        "activity_us",
        "left_ready_us",
        "placed",
        "presence",
        "presence_us",
        "queue",
        "reason",
    )

    def __init__(self) -> None:
        self.presence = "offline"
        self.presence_us = 0
        self.reason = ""
        self.activity = "idle"
        self.activity_us = 0
        self.queue = ""
        self.left_ready_us = 0
        self.placed = False  # The call at hand is one that the agent placed.

    @property
    def state(self) -> str:
        """A call outranks what the person says: somebody who logs out in a call is still talking."""
        if self.placed and self.activity in _ON_THE_LINE:
            return "outbound"
        if self.activity in _BY_ACTIVITY:
            return _BY_ACTIVITY[self.activity]
        if self.presence == "available":
            return "unreachable" if self.activity == "unreachable" else "ready"
        return self.presence

    @property
    def since_us(self) -> int:
        """When the shown state began, as far as both axes tell."""
        if self.activity in _BY_ACTIVITY:
            return self.activity_us
        return max(self.activity_us, self.presence_us)


class AgentView:
    """An agent that is logged in, or still in a call, at the time of a snapshot."""

    __slots__ = ("id", "left_ready_us", "names", "queue", "queues", "reason", "since_us", "state")

    def __init__(self, agent: _Agent, info: AgentInfo) -> None:
        self.id = info.id
        self.names = info.names
        self.queues = info.queues
        self.state = agent.state
        self.since_us = agent.since_us
        self.queue = agent.queue if agent.activity in _BY_ACTIVITY else ""
        self.reason = agent.reason if self.state == "break" else ""
        self.left_ready_us = agent.left_ready_us


class Floor:
    """All agents of a tenant."""

    def __init__(self, center: CenterInfo) -> None:
        self._agents: dict[str, _Agent] = {}
        self.reconfigure(center)

    def reconfigure(self, center: CenterInfo) -> None:
        """Take the agents and break reasons of a new revision; who left the document goes when off the phone."""
        self._infos = {a.id: a for a in center.agents}
        self._reasons = {r.code: r for r in center.break_reasons}
        self._break_limit_s = center.break_limit_s

    def presence_changed(self, fact: AgentPresenceChanged, at_us: int) -> None:
        agent = self._agents.setdefault(fact.agent_id, _Agent())
        was_ready = agent.state == "ready"
        agent.presence, agent.reason, agent.presence_us = fact.presence, fact.reason, at_us
        self._after(fact.agent_id, agent, was_ready, at_us)

    def activity_changed(self, fact: AgentActivityChanged, at_us: int, *, placed: bool = False) -> None:
        """``placed``: the agent has called the contact, whichever leg of it rings or talks now."""
        agent = self._agents.setdefault(fact.agent_id, _Agent())
        was_ready = agent.state == "ready"
        # Wrap-up belongs to the queue of the call before it, also where the fact does not repeat the queue.
        agent.queue = fact.queue or (agent.queue if fact.activity == "wrap_up" else "")
        agent.activity, agent.activity_us, agent.placed = fact.activity, at_us, placed
        self._after(fact.agent_id, agent, was_ready, at_us)

    def _after(self, agent_id: str, agent: _Agent, was_ready: bool, at_us: int) -> None:
        if was_ready and agent.state != "ready":
            agent.left_ready_us = at_us
        if agent.state == "offline" and agent_id not in self._infos:
            del self._agents[agent_id]

    def views(self) -> list[AgentView]:
        """Everybody who is not offline, in the center's order, strangers to the document last."""
        order = [a for a in self._infos if a in self._agents]
        order += sorted(self._agents.keys() - self._infos.keys())
        return [
            AgentView(self._agents[a], self._infos.get(a) or AgentInfo(id=a, names={}, queues=()))
            for a in order
            if self._agents[a].state != "offline"
        ]

    def counts(self, views: list[AgentView]) -> dict[str, int]:
        """Number of agents by state; every state has an entry."""
        return {s: sum(v.state == s for v in views) for s in STATES}

    def rows(self, views: list[AgentView], now_us: int) -> tuple[AgentRow, ...]:
        """Rows for the board: what may need somebody first, longest first within a state."""
        ordered = sorted(views, key=lambda v: (_ROW_ORDER.get(v.state, len(_ROW_ORDER)), v.since_us, v.id))
        return tuple(
            AgentRow(
                id=v.id,
                names=v.names,
                state=v.state,
                since_us=v.since_us,
                queue=v.queue,
                reason=v.reason,
                reason_names=self._reason_names(v.reason),
                level=self._level(v, now_us),
            )
            for v in ordered[:MAX_AGENT_ROWS]
        )

    def _reason_names(self, code: str) -> Names:
        reason = self._reasons.get(code)
        return reason.names if reason else {}

    def _limit_s(self, code: str) -> int:
        reason: BreakReason | None = self._reasons.get(code)
        return reason.limit_s if reason else self._break_limit_s

    def _level(self, view: AgentView, now_us: int) -> Level:
        if view.state == "unreachable" or view.reason in MISSED_REASONS:
            return "warn"
        if view.state != "break":
            return "none"
        # No hysteresis: a break only gets longer, it cannot swing round its bound.
        return "warn" if now_us - view.since_us >= self._limit_s(view.reason) * _SECOND_US else "none"

    def alarms(self, views: list[AgentView], now_us: int) -> list[Alarm]:
        """Breaks over their limit, phones that cannot be reached, agents that missed an offer."""
        alarms = []
        for v in views:
            if self._level(v, now_us) == "none":
                continue
            if v.state == "unreachable":
                alarms.append(Alarm("unreachable", "warn", v.id, v.names, v.since_us, 0.0, 0.0))
            elif v.reason in MISSED_REASONS:
                alarms.append(Alarm("missed_offer", "warn", v.id, v.names, v.since_us, 0.0, 0.0))
            else:
                bound = float(self._limit_s(v.reason))
                alarms.append(Alarm("break_over", "warn", v.id, v.names, v.since_us, 0.0, bound))
        return alarms
