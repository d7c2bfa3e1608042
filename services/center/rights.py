"""Who may call numbers outside, and how often: against toll fraud, and against phones that dial by themselves.

Nobody may, unless a document allows it. The nearest ``allowed`` decides: the agent's, else that of the team, else the center's; what any
of them forbids is forbidden. Every limit is a count of its own: the agent's calls, those of the team together, those of all.
Prefixes are of numbers as they are dialled, before a trunk rewrites them. They hold for what people dial (agents' calls, transfers to
numbers, callbacks to another number than the caller's), not for numbers that stand in the document.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.center.trunks import Prefix
from services.center.words import Number, Part, Token

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class CallLimits(Part):
    """How many calls to numbers outside; None: no limit of this kind."""

    a_minute: Count | None = None
    """Within any 60 seconds."""
    a_day: Count | None = None
    """Within any 24 hours, counted by minutes."""
    at_once: Count | None = None
    """Calls and transfers that go on at the same time; calls back to customers are bounded by the agents who wait for them."""


class CallRights(CallLimits):
    """What an agent, a team or the whole center may call."""

    allowed: list[Prefix] | None = None
    """How numbers begin that may be called; None: as the next wider level says, and in the end none."""
    forbidden: list[Prefix] = Field(default_factory=list)
    """How numbers begin that may not be called, whatever is allowed."""
    hours: Token | None = None
    """The calendar in which calls may be placed; None: at any time."""
    caller_id: Number | None = None
    """The number that is shown when an agent calls; the nearest one is taken: queue, agent, team, center, trunk."""


class CenterCalls(CallRights):
    """The rights of all agents together."""

    each_agent: CallLimits = CallLimits()
    """What holds for every agent by itself, where the agent has no such limit of its own."""
