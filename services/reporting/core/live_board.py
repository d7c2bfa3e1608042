"""The live board: everything one wallboard shows at one moment, ready to be encoded as JSON.

No text for people in it besides the names of the center document: what a state, alarm or level is called is the page's
business. A duration that goes on is sent as the time it began (``since_us``); the page counts it on against ``now_us``.
Percentages are 0 to 100, or null without contacts to divide by.
"""

from __future__ import annotations

import msgspec

from services.reporting.core.live_facts import Names
from services.reporting.core.live_levels import Level


class ServiceLevelTile(msgspec.Struct, frozen=True):
    """Over the window: answered in time / (answered + abandoned), short abandons left out."""

    level: Level
    value_pct: float | None
    before_pct: float | None
    """The same over the window before this one."""
    answered_in_time: int
    answered: int
    abandoned: int
    target_pct: float
    """Of all queues: their targets weighted with their contacts in the window."""
    target_s: int | None
    """The answer time the target is about; null when queues differ."""


class WaitingTile(msgspec.Struct, frozen=True):
    """Contacts that wait now, those whose agent is ringing included."""

    level: Level
    value: int
    before: int
    """The number 15 minutes ago."""
    in_menu: int
    """Callers that are still with ivr."""
    worst_queue: str
    """The queue that sets the level; empty when all are on target."""
    limit: int
    """The bound that this queue reached."""


class LongestTile(msgspec.Struct, frozen=True):
    """The contact that waits longest."""

    level: Level
    since_us: int
    """0 when nobody waits."""
    queue: str
    limit_s: int


class IdleTile(msgspec.Struct, frozen=True):
    """Agents that could take a contact now."""

    level: Level
    value: int
    logged_in: int


class AbandonedTile(msgspec.Struct, frozen=True):
    """Callers that gave up today: in queues (the rate) and, apart, in the menu."""

    level: Level
    value_pct: float | None
    abandoned: int
    short: int
    """Of the abandoned ones: within the queue's short-abandon time."""
    offered: int
    left_menu: int
    limit_pct: float


class AnswerTile(msgspec.Struct, frozen=True):
    """Average wait of the contacts answered in the window."""

    level: Level
    value_ms: int | None
    answered: int
    target_s: int


class Tiles(msgspec.Struct, frozen=True):
    """The six numbers on top."""

    service_level: ServiceLevelTile
    waiting: WaitingTile
    longest: LongestTile
    idle: IdleTile
    abandoned: AbandonedTile
    answer: AnswerTile


class QueueRow(msgspec.Struct, frozen=True):
    """One queue. Service level and abandoned are over the window, the other numbers are of this moment."""

    id: str
    names: Names
    service_level: Level
    service_level_pct: float | None
    answered_in_time: int
    answered: int
    abandoned: int
    target_pct: float
    target_s: int
    waiting: int
    waiting_level: Level
    longest_since_us: int
    longest_level: Level
    talking: int
    idle: int
    idle_level: Level
    logged_in: int
    wrap_up: int
    abandoned_pct: float | None
    abandoned_level: Level
    trend: tuple[int, ...]
    """Most contacts waiting at once in each of the last eight quarter hours, oldest first."""


class AgentRow(msgspec.Struct, frozen=True):
    """One agent that is logged in.

    ``state``: ready, ringing, talking, outbound (a call that the agent placed, from its first ring on), own_call (on the phone without us),
    handling, wrap_up, break, unreachable.
    """

    id: str
    names: Names
    state: str
    since_us: int
    queue: str
    reason: str
    """Code of the break reason."""
    reason_names: Names
    level: Level


class StateCount(msgspec.Struct, frozen=True):
    """How many agents are in a state."""

    state: str
    count: int


class Alarm(msgspec.Struct, frozen=True):
    """Something that somebody should look at.

    ``code``: node_down, unstaffed, no_idle, longest_wait, service_level, break_over, missed_offer, unreachable.
    ``subject`` is the id of the queue, agent or node. ``value`` is the percentage of service_level and the waiting
    contacts of unstaffed, else 0; ``bound`` is the percentage of service_level, else seconds; the page counts from
    ``since_us`` where that is not 0.
    """

    code: str
    level: Level
    subject: str
    names: Names
    since_us: int
    value: float
    bound: float


class Quarter(msgspec.Struct, frozen=True):
    """One quarter hour of the whole center."""

    start_us: int
    answered: int
    abandoned: int


class Books(msgspec.Struct, frozen=True):
    """Contacts of today by their one outcome, and those that are still on their way.

    offered = answered + abandoned_queue + abandoned_menu + other + open.
    """

    offered: int
    answered: int
    abandoned_queue: int
    abandoned_menu: int
    other: int
    open: int
    """In the menu or waiting; a contact counts as answered from the moment of its first conversation."""


class Board(msgspec.Struct, frozen=True):
    """One frame of the wallboard."""

    v: int
    tenant: str
    names: Names
    languages: tuple[str, ...]
    time_zone: str
    revision: str
    now_us: int
    day_start_us: int
    window_s: int
    tiles: Tiles
    queues: tuple[QueueRow, ...]
    agents: tuple[AgentRow, ...]
    """Most urgent first, at most ``MAX_AGENT_ROWS`` of live.py; ``agent_states`` counts them all."""
    agent_states: tuple[StateCount, ...]
    alarms: tuple[Alarm, ...]
    alarms_total: int
    quarters: tuple[Quarter, ...]
    books: Books
