"""What the state of a tenant is made of: contacts, agents, offers, nodes, and the form in which they are stored.

Plain records; ``State.apply`` alone changes them. A snapshot of an older version still loads: a new field needs a default.
"""

from __future__ import annotations

import msgspec

from services.routing.core.center import CALL
from services.routing.core.history import History
from services.routing.core.toll import Tolls

OFFERED = frozenset({"offered", "ringing"})
IN_TALK = frozenset({"talking", "held"})
CLOSING = "closing"
"""Activity of an agent who answered in vain and is on the line still: told so, or about to be put down."""
CLOSING_MS = 10_000
"""So long it lasts when nobody reports its end. queue ends the leg after 5 s, whatever is being said there."""
ENGAGED = OFFERED | IN_TALK | {"wrap_up", CLOSING}
"""Activities with a call at hand. The others (idle, handling, own_call, unreachable) follow from the phone and from ``Agent.at_hand``."""
WORKING = IN_TALK | {"wrap_up"}
OUTBOUND = "outbound"
"""Kind of a contact that an agent placed: reserved for that agent, in no queue's order."""


def left_key(queue: str, ani: str) -> str:
    """By what a caller who left is found again."""
    return f"{queue} {ani}"


class Contact(msgspec.Struct):
    """An open contact. ``status`` is waiting, offered or talking."""

    contact_id: str
    queue: str
    node: str
    priority: int
    skills: tuple[str, ...]
    language: str
    ani: str
    caller_name: str
    entry_point: str
    customer: str
    waiting_since_us: int
    started_at_us: int
    queued_at_us: int
    """When it came into this queue: the parking for the first queue, the overflow for a later one."""
    status: str = "waiting"
    offer_id: str = ""
    agent_id: str = ""
    offers: int = 0
    tried: tuple[str, ...] = ()
    """Agents to whom it was offered in vain."""
    hold_until_us: int = 0
    """It is offered to nobody before this time."""
    wait_ms: int = 0
    connected_at_us: int = 0
    rings: tuple[str, ...] = ()
    """Its open offers; more than one with ring_all. ``offer_id`` is the newest of them, or the one that was accepted."""
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0
    """How long it is waited for; 0: as the queue says."""
    no_answer: str = ""
    """Where it goes when the preferred agent has not taken it (``voicemail:leave-message``): nobody else is asked. Empty: the others are."""
    consult_offer: str = ""
    """The open offer to an agent who shall be asked about it."""
    consult_agent: str = ""
    """Who is asked about it, and talks with its agent."""
    answered_by: str = ""
    """The agent of the last conversation that is over; empty when nobody talked yet."""
    answered_offer: str = ""
    talked_ms: int = 0
    """In conversations that are over."""
    held_ms: int = 0
    transfers: int = 0
    returned_ms: int = 0
    """Head start of a caller who had waited before, hung up and called again."""
    kind: str = ""
    """``callback``: of a customer who is called back; empty: of a caller."""
    callback_id: str = ""
    number: str = ""
    no_leg: bool = False
    """Nobody has been reached yet: it keeps a place, and nobody hears anything."""
    attempts: int = 0
    serial: int = 0
    expires_us: int = 0
    answered_at_us: int = 0
    """When the customer of a callback came to the phone; the queue's limits count from then on."""
    leaving: str = ""
    """The limit for which the caller is asked whether to be called back: it is in no order any more."""
    channel: str = CALL


class Left(msgspec.Struct, frozen=True):
    """A caller who hung up while waiting."""

    waiting_since_us: int
    at_us: int


class AtHand(msgspec.Struct, frozen=True):
    """A contact of another channel than calls that an agent is offered or, without ``offer_id``, has."""

    channel: str
    queue: str
    share_of: int
    """So many of them fill the agent."""
    since_us: int
    offer_id: str = ""


class Agent(msgspec.Struct):
    """An agent that the log has spoken of; others are offline and idle."""

    agent_id: str
    presence: str = "offline"
    reason: str = ""
    presence_since_us: int = 0
    activity: str = "idle"
    activity_since_us: int = 0
    contact_id: str = ""
    queue: str = ""
    offer_id: str = ""
    idle_since_us: int = 0
    """Since when the agent could work: not reset by an offer that came to nothing."""
    delay_until_us: int = 0
    """The agent is offered nothing before this time."""
    missed: int = 0
    """Unanswered offers in a row."""
    registered: bool = True
    """Whether the phone is registered, as far as is known; never seen counts as registered."""
    node: str = ""
    """Node of the last registration; empty when never seen."""
    also: tuple[str, ...] = ()
    """Other nodes that have a registration of the phone, the oldest first."""
    shift_since_us: int = 0
    offline_since_us: int = 0
    contacts: int = 0
    """Taken in this shift."""
    work_us: int = 0
    """Talk, hold and wrap-up of this shift, up to the present activity; of contacts of other channels their shares."""
    misses: dict[str, int] = {}
    """Offers in a row that ended declined, busy or unreachable, by that word; see ``missed`` for no_answer."""
    own_legs: dict[str, str] = {}
    """Calls on the phone that are none of ours: leg and node."""
    limit_ms: int = 0
    """How long the present wrap-up may last; 0 in logs that did not say."""
    wants_wrap_up: bool = False
    disposition: str = ""
    """Already given in a wrap-up that goes on."""
    served_until_us: int = 0
    """When the agent last stopped being there for callers: left, took a break or lost the phone."""
    at_hand: dict[str, AtHand] = {}
    """Contacts of other channels than calls, by id. The activity and the fields about a contact are those of calls."""
    counted_us: int = 0
    """Up to when ``work_us`` has their shares."""
    seat: str = ""
    """The phone at which the agent has logged in; empty: the own one of the document."""
    pin_failures: int = 0
    """Wrong PINs in a row."""
    locked_until_us: int = 0
    """No PIN is taken before this time."""
    placed: bool = False
    """The call that the agent has, or had before the wrap-up, was placed by an agent: the queue's past does not know of it."""

    @property
    def handles(self) -> bool:
        """Whether the agent has taken up a contact of another channel."""
        return any(not one.offer_id for one in self.at_hand.values())


class Offer(msgspec.Struct):
    """An open offer."""

    offer_id: str
    contact_id: str
    agent_id: str
    queue: str
    node: str
    ring_ms: int
    made_at_us: int
    kind: str = ""
    """transfer, consult, return; empty: from the queue."""
    by_agent: str = ""
    dial_ms: int = 0
    """How long a customer is called besides."""
    connect_ms: int = 0
    """How long something may be said between the answer and the bridge."""
    channel: str = CALL


class Node(msgspec.Struct):
    """A FreeSWITCH node whose connection changed at least once."""

    up: bool
    since_us: int


class Snapshot(msgspec.Struct):
    """The form in which a state is stored."""

    version: int
    at_us: int
    epoch: int
    owner: str
    offer_count: int
    input_seq: int
    contacts: list[Contact]
    agents: list[Agent]
    offers: list[Offer]
    nodes: dict[str, Node]
    inputs: list[str]
    closed: dict[str, str]
    turns: dict[str, str] = {}
    shares: dict[str, int] = {}
    share_now: int = 0
    history: dict[str, History] = {}
    left: dict[str, Left] = {}
    tolls: Tolls = msgspec.field(default_factory=Tolls)
    draining: dict[str, int] = {}
    no_lines: dict[str, int] = {}


SNAPSHOT_VERSION = 1
