"""mod_callcenter's own words: the lists of ``callcenter_config`` and the events ``callcenter::info``.

The module keeps no history: its lists say how things stand. From them a person who moves here gets agents, queues and who serves what, as the
part of a center document. Its events, where somebody has written them down (``event json CUSTOM callcenter::info``, a JSON object
a line), tell when agents were available, on a break and logged out. What became of calls stands in the records of legs (``cdr``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from services.reporting.core.imports.clock import MOST_S
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.records import BadLine, History, Interval, cut_at_midnight

_AGENTS: Final = frozenset({"name", "contact", "status", "wrap_up_time"})
_TIERS: Final = frozenset({"queue", "agent", "level", "position"})
_QUEUES: Final = frozenset({"name", "strategy", "max_wait_time"})
_MEMBERS: Final = frozenset({"queue", "session_uuid", "joined_epoch"})
_EXTENSION: Final = re.compile(r"(?:user|sofia/[^/]+|loopback)/(\+?\d+)")
_STRATEGIES: Final = {
    # "ring-progressively" and "agent-with-least-talk-time" come nearest to these.
    "ring-all": "ring_all",
    "ring-progressively": "ring_all",
    "longest-idle-agent": "longest_idle",
    "round-robin": "round_robin",
    "top-down": "linear",
    "sequentially-by-agent-order": "linear",
    "agent-with-least-talk-time": "least_occupied",
    "agent-with-fewest-calls": "fewest_contacts",
    "random": "random_weighted",
}
_PRESENCE: Final = {
    "Available": "available",
    "Available (On Demand)": "available",
    "On Break": "break",
    "Logged Out": "offline",
}


class Lists:
    """What the lists said. ``document`` is the part of a center document."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.agents: dict[str, dict[str, str]] = {}
        self.queues: dict[str, dict[str, str]] = {}
        self.tiers: list[dict[str, str]] = []

    def header(self, line: str) -> list[str]:
        """The columns of a list. Raises BadLine when it is none that is known."""
        names = line.split("|")
        if not any(kind <= set(names) for kind in (_AGENTS, _TIERS, _QUEUES, _MEMBERS)):
            raise BadLine(
                "expected the output of callcenter_config (agent list, tier list, queue list) or events as JSON lines"
            )
        return names

    def take(self, header: list[str], line: str) -> None:
        """A row of the list with these columns. Raises BadLine."""
        values = line.split("|")
        if len(values) != len(header):
            raise BadLine(f"expected {len(header)} columns as in the header, found {len(values)}")
        row = dict(zip(header, values, strict=True))
        if set(header) >= _TIERS:
            self.tiers.append(row)
        elif set(header) >= _AGENTS:
            self.agents[row["name"]] = row
        elif set(header) >= _QUEUES:
            self.queues[row["name"]] = row

    def document(self) -> dict[str, Any]:
        """``queues`` and ``agents`` of a center document; names and prompts are for a person to fill in."""
        queues: dict[str, Any] = {}
        for name, row in self.queues.items():
            rules = self._names.queue(name)
            own: dict[str, Any] = {"name": {"en": rules.queue}}
            if strategy := _STRATEGIES.get(row.get("strategy", "")):
                own["strategy"] = strategy
            if (longest := _whole(row.get("max_wait_time", ""))) > 0:
                own["max_wait_s"] = longest
            queues[rules.queue] = own
        agents: dict[str, Any] = {}
        for name, row in self.agents.items():
            served = sorted(
                (t for t in self.tiers if t["agent"] == name),
                key=lambda t: (_whole(t["level"]), _whole(t["position"])),
            )
            found = _EXTENSION.search(row.get("contact", ""))
            agent_id = self._names.agent(name).agent
            agents[agent_id] = {
                "name": {"en": agent_id},
                "extension": found[1] if found else "",
                "queues": [
                    {"queue": self._names.queue(t["queue"]).queue, "priority": max(1, _whole(t["level"]))}
                    for t in served
                ],
            }
        return {"queues": queues, "agents": agents}


class _Event(msgspec.Struct, frozen=True):
    """The headers of an event that are read."""

    action: str = msgspec.field(name="CC-Action", default="")
    agent: str = msgspec.field(name="CC-Agent", default="")
    status: str = msgspec.field(name="CC-Agent-Status", default="")
    at: str = msgspec.field(name="Event-Date-Timestamp", default="")


_decode: Final = msgspec.json.Decoder(_Event).decode


class Events:
    """Agents' presence from ``agent-status-change``."""

    def __init__(self, tenant: str, names: Names) -> None:
        self._tenant, self._names = tenant, names
        self._since: dict[str, tuple[int, str]] = {}
        self._now_us = 0

    def take(self, line: str) -> Iterator[History]:
        """What is known for certain with this event. Raises BadLine."""
        try:
            event = _decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError) as e:
            raise BadLine(f"no event of the event socket: {e}") from None
        at_us = _whole(event.at)
        if not 0 < at_us < MOST_S * 1_000_000:
            raise BadLine(f"Event-Date-Timestamp: expected microseconds since 1970, found {event.at[:40]!r}")
        self._now_us = max(self._now_us, at_us)
        presence = _PRESENCE.get(event.status)
        if event.action == "agent-status-change" and event.agent and presence:
            yield from self._over(event.agent, at_us)
            self._since[event.agent] = (at_us, presence)

    def finish(self) -> Iterator[History]:
        """The presence in which agents were where the events end."""
        for agent in list(self._since):
            yield from self._over(agent, self._now_us)

    def _over(self, name: str, at_us: int) -> Iterator[History]:
        since_us, presence = self._since.get(name, (at_us, ""))
        if at_us <= since_us:
            return
        who = self._names.agent(name)
        whole = Interval(
            tenant=self._tenant,
            agent_id=who.agent,
            team=who.team,
            kind="presence",
            value=presence,
            started_at=since_us,
            ended_at=at_us,
        )
        yield History(intervals=tuple(cut_at_midnight(whole)))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
