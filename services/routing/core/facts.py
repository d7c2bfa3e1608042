"""The facts of a tenant's log, with the fields of ``proto/peyvand/routing/v1/log.proto`` (see there for their meaning).

Times end in ``_us`` (microseconds since the epoch, UTC, of the owner), durations in ``_ms``.
"""

from __future__ import annotations

import msgspec


class OwnerChanged(msgspec.Struct, frozen=True):
    """A process took the shard."""

    owner: str
    epoch: int


class ContactQueued(msgspec.Struct, frozen=True):
    """A contact waits in a queue; ``requeued`` when it did so before."""

    contact_id: str
    queue: str
    waiting_since_us: int
    node: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    started_at_us: int = 0
    requeued: bool = False
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0
    no_answer: str = ""
    returned_ms: int = 0
    kind: str = ""
    """``callback``: of a customer who is called back."""
    callback_id: str = ""
    number: str = ""
    no_leg: bool = False
    attempts: int = 0
    serial: int = 0
    not_before_us: int = 0
    expires_us: int = 0
    channel: str = ""
    """Empty: a call."""


class Excluded(msgspec.Struct, frozen=True):
    """How many agents of the queue could not be offered the contact, for one reason."""

    reason: str
    count: int


class Term(msgspec.Struct, frozen=True):
    """One part of a contact's score."""

    name: str
    ms: int = 0


class Explanation(msgspec.Struct, frozen=True):
    """Why this agent and this contact."""

    rule: str
    idle_ms: int = 0
    candidates: int = 0
    next_best: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    waiting_ahead: int = 0
    strategy: str = ""
    value: int = 0
    next_values: tuple[int, ...] = ()
    score_ms: int = 0
    score: tuple[Term, ...] = ()
    contact_rule: str = ""
    requirement: str = ""


class OfferMade(msgspec.Struct, frozen=True):
    """The order to ring an agent."""

    offer_id: str
    contact_id: str
    agent_id: str
    extension: str
    queue: str
    node: str
    ring_ms: int
    waited_ms: int
    attempt: int
    why: Explanation = Explanation(rule="")
    at_once: int = 1
    kind: str = ""
    by_agent: str = ""
    number: str = ""
    first: str = ""
    dial_ms: int = 0
    callback_id: str = ""
    language: str = ""
    entry_point: str = ""
    waiting_since_us: int = 0
    agent_node: str = ""
    connect_ms: int = 0
    channel: str = ""
    share_of: int = 0
    caller_id: str = ""
    agent_leg: str = ""
    agent_number: str = ""
    confirm: bool = False


class OfferEnded(msgspec.Struct, frozen=True):
    """The one end of an offer; ``outcome`` is one of ``OUTCOMES``."""

    offer_id: str
    contact_id: str
    agent_id: str
    outcome: str
    cause: str = ""
    ring_ms: int = 0
    delay_ms: int = 0


class ContactConnected(msgspec.Struct, frozen=True):
    """Caller and agent talk."""

    contact_id: str
    offer_id: str
    agent_id: str
    queue: str
    wait_ms: int = 0
    connected_at_us: int = 0
    recording_path: str = ""
    channel: str = ""


class ContactTransferred(msgspec.Struct, frozen=True):
    """An agent gave the contact away; what follows stands behind it in the same entry."""

    contact_id: str
    from_agent: str
    target_kind: str
    target: str
    kept_waiting_since_us: int = 0
    request_id: str = ""
    offer_id: str = ""


class TransferRefused(msgspec.Struct, frozen=True):
    """A transfer or consultation that cannot be; the conversation goes on."""

    contact_id: str
    agent_id: str
    target_kind: str = ""
    target: str = ""
    reason: str = ""
    detail: str = ""
    request_id: str = ""


class ContactOverflowed(msgspec.Struct, frozen=True):
    """A queue gave the contact away: ``action`` queue, transfer, voicemail or hangup; with callback the caller is asked first."""

    contact_id: str
    queue: str
    reason: str
    action: str
    target: str = ""
    wait_ms: int = 0


class ContactClosed(msgspec.Struct, frozen=True):
    """The end of a contact in routing's care: completed, abandoned, overflowed, ended_unseen or callback; finer in ``result``."""

    contact_id: str
    queue: str
    outcome: str
    agent_id: str = ""
    offer_id: str = ""
    wait_ms: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    ended_by: str = ""
    cause: str = ""
    entry_point: str = ""
    ani: str = ""
    waiting_since_us: int = 0
    offers: int = 0
    result: str = ""
    transfers: int = 0
    kind: str = ""
    callback_id: str = ""
    channel: str = ""


class ContactPriorityChanged(msgspec.Struct, frozen=True):
    """A contact that waits got another priority."""

    contact_id: str
    priority: int = 0
    previous: int = 0
    actor: str = ""


class AgentPresenceChanged(msgspec.Struct, frozen=True):
    """What the person says: available, break or offline."""

    agent_id: str
    presence: str
    reason: str = ""
    actor: str = ""
    previous: str = ""
    previous_ms: int = 0


class AgentActivityChanged(msgspec.Struct, frozen=True):
    """What the system sees: idle, handling, offered, ringing, talking, held, wrap_up, closing, own_call or unreachable."""

    agent_id: str
    activity: str
    contact_id: str = ""
    queue: str = ""
    previous: str = ""
    previous_ms: int = 0
    limit_ms: int = 0


class AgentOwnCallChanged(msgspec.Struct, frozen=True):
    """A call that is none of ours began or ended on the agent's phone."""

    agent_id: str
    leg_id: str
    began: bool = False
    direction: str = ""
    node: str = ""


class WrapUpChanged(msgspec.Struct, frozen=True):
    """The coming or running wrap-up is another one: ``action`` requested, extended or disposed."""

    agent_id: str
    contact_id: str
    action: str
    limit_ms: int = 0
    disposition: str = ""
    by: str = ""


class WrapUpEnded(msgspec.Struct, frozen=True):
    """The agent has finished the after-call work, ``by`` key, http, code or timeout, or (completed) a contact of another channel."""

    agent_id: str
    contact_id: str
    disposition: str
    by: str
    wrap_up_ms: int = 0
    queue: str = ""


class AgentPhoneChanged(msgspec.Struct, frozen=True):
    """FreeSWITCH's registrar gained or lost the agent's phone."""

    agent_id: str
    registered: bool
    node: str = ""
    also: tuple[str, ...] = ()


class AgentSeatChanged(msgspec.Struct, frozen=True):
    """The agent is at another phone: ``extension``, empty for the own one of the document."""

    agent_id: str
    extension: str = ""
    previous: str = ""
    node: str = ""
    actor: str = ""


class AgentLoginRefused(msgspec.Struct, frozen=True):
    """Somebody gave a wrong PIN of the agent; after ``attempts`` in a row none is taken for ``locked_ms``."""

    agent_id: str
    extension: str = ""
    attempts: int = 0
    locked_ms: int = 0
    node: str = ""


class NodeChanged(msgspec.Struct, frozen=True):
    """The connection to a FreeSWITCH node went or came."""

    node: str
    up: bool


class CallbackAnswered(msgspec.Struct, frozen=True):
    """The customer of a callback has answered: the contact has a leg and waits like any other, at its place."""

    contact_id: str
    callback_id: str


class CallbackChanged(msgspec.Struct, frozen=True):
    """Somebody changed a callback that is in line."""

    contact_id: str
    callback_id: str
    not_before_us: int = 0
    number: str = ""
    actor: str = ""
    previous_number: str = ""
    previous_not_before_us: int = 0


class NumberDialled(msgspec.Struct, frozen=True):
    """A call to a number outside was granted and counts for its agent, team and tenant: ``purpose`` transfer, callback or outbound."""

    contact_id: str
    number: str
    purpose: str
    agent_id: str = ""
    team: str = ""
    request_id: str = ""


class NumberEnded(msgspec.Struct, frozen=True):
    """A call to a number outside goes on no more."""

    contact_id: str


class CallRefused(msgspec.Struct, frozen=True):
    """A call to a number outside was not granted: ``reason`` number-forbidden, limit-reached, outside-hours; ``payer`` is whose limit it is."""

    agent_id: str
    number: str
    purpose: str
    reason: str
    payer: str = ""
    detail: str = ""
    contact_id: str = ""
    request_id: str = ""
    actor: str = ""


class NodeDraining(msgspec.Struct, frozen=True):
    """A node is being emptied, or is back."""

    node: str
    draining: bool = False
    since_us: int = 0
    actor: str = ""


class ContactMoved(msgspec.Struct, frozen=True):
    """A contact is on another node from here on."""

    contact_id: str
    from_node: str
    node: str
    reason: str = ""


Fact = (
    OwnerChanged
    | ContactQueued
    | OfferMade
    | OfferEnded
    | ContactConnected
    | ContactOverflowed
    | ContactClosed
    | AgentPresenceChanged
    | AgentActivityChanged
    | WrapUpEnded
    | AgentPhoneChanged
    | AgentSeatChanged
    | AgentLoginRefused
    | NodeChanged
    | ContactPriorityChanged
    | AgentOwnCallChanged
    | WrapUpChanged
    | ContactTransferred
    | TransferRefused
    | CallbackAnswered
    | CallbackChanged
    | NumberDialled
    | NumberEnded
    | CallRefused
    | NodeDraining
    | ContactMoved
)


class Decided(msgspec.Struct, frozen=True):
    """One entry of the log: everything that one input led to."""

    epoch: int
    owner: str
    at_us: int
    facts: tuple[Fact, ...]
    input_id: str = ""
    revision: str = ""
    input_seq: int = 0


NO_LINE = "no_line"
OUTCOMES = (
    "accepted",
    "declined",
    "no_answer",
    "busy",
    "unreachable",
    "withdrawn",
    "expired",
    "failed",
    NO_LINE,
)
"""Every way in which an offer can end. ``no_line``: every trunk to the agent's number outside was full, so nobody was called."""
