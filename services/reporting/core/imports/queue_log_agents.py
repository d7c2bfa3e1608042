"""Agents' times out of queue_log: presence from the events of members, activity from the calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from services.reporting.core.imports.queue_log_calls import Call, Line, Talk, Told
from services.reporting.core.imports.records import History, Interval, cut_at_midnight

PRESENCE: Final = frozenset(
    {
        *(
            "ADDMEMBER",
            "REMOVEMEMBER",
            "AGENTLOGIN",
            "AGENTLOGOFF",
            "AGENTCALLBACKLOGIN",
            "AGENTCALLBACKLOGOFF",
        ),
        *("PAUSE", "UNPAUSE", "PAUSEALL", "UNPAUSEALL"),
    }
)
"""Events that say whether an agent is there."""


class _Agent(msgspec.Struct):
    """What an agent is known to be doing. 0 in a time: not known."""

    name: str
    queues: set[str] = set()
    paused: set[str] = set()
    paused_everywhere: bool = False
    reason: str = ""
    presence: str = ""
    since_us: int = 0
    free_since_us: int = 0
    shown_reason: str = ""


class Agents:
    """What all agents of a log are known to be doing."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._agents: dict[str, _Agent] = {}

    def finish(self, at_us: int) -> Iterator[History]:
        """The presence in which they were where the log ended."""
        for agent in self._agents.values():
            yield from self._presence(agent, at_us, "")

    def _of(self, name: str) -> _Agent:
        return self._agents.setdefault(name, _Agent(name))

    def rang(self, call: Call, name: str, queue: str, until_us: int, ring_ms: int) -> Iterator[History]:
        agent = self._of(name)
        yield from self._did_until(agent, "offered", until_us - ring_ms * 1000, until_us, call, queue)

    def talked(self, call: Call, talk: Talk) -> Iterator[History]:
        agent = self._of(talk.agent)
        yield from self._did_until(agent, "talking", talk.started_us, talk.ended_us, call, talk.queue)

    def _did_until(
        self, agent: _Agent, value: str, from_us: int, to_us: int, call: Call, queue: str
    ) -> Iterator[History]:
        """Idle up to ``from_us`` while logged in, then this. What overlaps with what was told before is told once."""
        from_us = max(from_us, agent.free_since_us)
        yield from self._idle(agent, from_us)
        if to_us > from_us and agent.name not in ("", "NONE"):
            yield self._interval(
                agent, "activity", value, from_us, to_us, contact_id=call.contact_id, queue=queue
            )
        agent.free_since_us = max(agent.free_since_us, to_us)

    def _idle(self, agent: _Agent, until_us: int) -> Iterator[History]:
        if agent.presence in ("available", "break") and 0 < agent.free_since_us < until_us:
            yield self._interval(agent, "activity", "idle", agent.free_since_us, until_us)
            agent.free_since_us = until_us

    def take(self, line: Line) -> Iterator[History]:
        agent = self._of(line.agent)
        event, queue = line.event, line.queue
        if event in ("ADDMEMBER", "AGENTLOGIN", "AGENTCALLBACKLOGIN"):
            agent.queues.add(queue)
            if line.text(0) == "PAUSED":
                agent.paused.add(queue)
        elif event == "REMOVEMEMBER":
            agent.queues.discard(queue)
            agent.paused.discard(queue)
            if not agent.queues:
                agent.paused_everywhere = False
        elif event in ("AGENTLOGOFF", "AGENTCALLBACKLOGOFF"):
            agent.queues.clear()
            agent.paused.clear()
            agent.paused_everywhere = False
        else:
            pausing = event in ("PAUSE", "PAUSEALL")
            if event.endswith("ALL") or queue in ("", "NONE"):
                agent.paused_everywhere = pausing
                if not pausing:
                    agent.paused.clear()
            else:
                agent.queues.add(queue)
                (agent.paused.add if pausing else agent.paused.discard)(queue)
            if pausing:
                agent.reason = line.text(0)
        on_break = agent.paused_everywhere or (agent.queues and agent.queues <= agent.paused)
        logged_in = agent.queues or (agent.paused_everywhere and event == "PAUSEALL") or event == "UNPAUSEALL"
        yield from self._presence(
            agent, line.at_us, "break" if on_break else "available" if logged_in else "offline"
        )

    def _presence(self, agent: _Agent, at_us: int, presence: str) -> Iterator[History]:
        reason = agent.reason if presence == "break" else ""
        if (presence, reason) == (agent.presence, agent.shown_reason):
            return
        if agent.presence and at_us > agent.since_us:
            yield self._interval(
                agent, "presence", agent.presence, agent.since_us, at_us, reason=agent.shown_reason
            )
        was_in = agent.presence in ("available", "break")
        if was_in and presence not in ("available", "break"):
            yield from self._idle(agent, at_us)
        elif not was_in:
            agent.free_since_us = max(agent.free_since_us, at_us)
        agent.presence, agent.shown_reason, agent.since_us = presence, reason, at_us

    def _interval(
        self,
        agent: _Agent,
        kind: str,
        value: str,
        from_us: int,
        to_us: int,
        *,
        reason: str = "",
        contact_id: str = "",
        queue: str = "",
    ) -> History:
        who = self._told.names.agent(agent.name)
        whole = Interval(
            tenant=self._told.tenant,
            agent_id=who.agent,
            team=who.team,
            kind=kind,
            value=value,
            reason=reason,
            contact_id=contact_id,
            queue=self._told.names.queue(queue).queue if queue else "",
            started_at=from_us,
            ended_at=to_us,
        )
        return History(intervals=tuple(cut_at_midnight(whole)))
