"""What the live board is made from: the facts it reads, and the center as the board needs it.

Facts have the names and the field names of their messages in ``proto/peyvand/{ivr,routing}/v1``, cut down to what is
counted, so that an adapter maps them by field name. Times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final, Literal

import msgspec

Source = Literal["ivr", "routing"]


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a fact stands in its stream: sequence of the entry, then the index inside the entry."""

    seq: int
    index: int = 0


class ContactStarted(msgspec.Struct, frozen=True):
    """ivr took a call."""

    contact_id: str
    started_at_us: int


class ContactHandedOver(msgspec.Struct, frozen=True):
    """ivr let go; the caller goes on to a queue."""

    contact_id: str
    queue: str


class IvrEnded(msgspec.Struct, frozen=True):
    """The call ended inside ivr: hung_up, closed, transferred, finished, failed."""

    contact_id: str
    outcome: str


class ContactQueued(msgspec.Struct, frozen=True):
    """The contact waits in a queue, from its first parking on."""

    contact_id: str
    queue: str
    waiting_since_us: int
    kind: str = ""
    channel: str = ""
    requeued: bool = False


class ContactConnected(msgspec.Struct, frozen=True):
    """Caller and agent talk."""

    contact_id: str
    queue: str
    wait_ms: int = 0
    channel: str = ""


class ContactOverflowed(msgspec.Struct, frozen=True):
    """A limit of the queue was reached. ``action`` queue: another queue takes it; else it leaves to outside."""

    contact_id: str
    queue: str
    action: str


class ContactClosed(msgspec.Struct, frozen=True):
    """The end: completed, abandoned, overflowed, ended_unseen."""

    contact_id: str
    queue: str
    outcome: str
    wait_ms: int = 0
    channel: str = ""


class AgentPresenceChanged(msgspec.Struct, frozen=True):
    """What the person says: available, break, offline."""

    agent_id: str
    presence: str
    reason: str = ""


class AgentActivityChanged(msgspec.Struct, frozen=True):
    """What the system sees: idle, handling, offered, talking, wrap_up, closing, own_call, unreachable."""

    agent_id: str
    activity: str
    queue: str = ""
    contact_id: str = ""


class NodeChanged(msgspec.Struct, frozen=True):
    """The connection to a FreeSWITCH node came up or was lost."""

    node: str
    up: bool = False


IvrFact = ContactStarted | ContactHandedOver | IvrEnded
RoutingFact = (
    ContactQueued
    | ContactConnected
    | ContactOverflowed
    | ContactClosed
    | AgentPresenceChanged
    | AgentActivityChanged
    | NodeChanged
)
LiveFact = IvrFact | RoutingFact

IVR_FACTS: Final[tuple[type[IvrFact], ...]] = (ContactStarted, ContactHandedOver, IvrEnded)
ROUTING_FACTS: Final[tuple[type[RoutingFact], ...]] = (
    ContactQueued,
    ContactConnected,
    ContactOverflowed,
    ContactClosed,
    AgentPresenceChanged,
    AgentActivityChanged,
    NodeChanged,
)

Names = dict[str, str]
"""A name by language tag, for example ``{"en": "Sales", "fa": "فروش"}``."""


class QueueTargets(msgspec.Struct, frozen=True):
    """When a queue's numbers ask for attention. A value at or over a bound raises; see ``live_levels``."""

    service_level_s: int = 20
    short_abandon_s: int = 5
    service_level_pct: float = 80.0
    service_level_crit_pct: float = 70.0
    waiting_warn: int = 5
    waiting_crit: int = 8
    longest_warn_s: int = 60
    longest_crit_s: int = 120
    abandoned_warn_pct: float = 5.0
    abandoned_crit_pct: float = 8.0
    no_idle_warn_s: int = 60
    no_idle_crit_s: int = 180


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue of the center, in the document's order."""

    id: str
    names: Names
    targets: QueueTargets = QueueTargets()


class AgentInfo(msgspec.Struct, frozen=True):
    """An agent of the center and the queues served."""

    id: str
    names: Names
    queues: tuple[str, ...]


class BreakReason(msgspec.Struct, frozen=True):
    """A reason for a break, and how long it may last before the board says so."""

    code: str
    names: Names
    limit_s: int = 900


class CenterInfo(msgspec.Struct, frozen=True):
    """One tenant's center as the board needs it. ``zone`` is loaded outside: time zone data are files."""

    tenant: str
    names: Names
    zone: tzinfo
    zone_name: str
    revision: str
    languages: tuple[str, ...]
    queues: tuple[QueueInfo, ...]
    agents: tuple[AgentInfo, ...]
    break_reasons: tuple[BreakReason, ...] = ()
    break_limit_s: int = 900
