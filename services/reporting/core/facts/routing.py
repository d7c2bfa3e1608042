"""The facts of routing's log: what was decided, and what it means."""

from __future__ import annotations

import msgspec


class OwnerChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A process took the tenant's log."""

    owner: str = ""
    epoch: int = 0


class ContactQueued(msgspec.Struct, frozen=True, kw_only=True):
    """The contact waits in a queue."""

    contact_id: str = ""
    queue: str = ""
    node: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    waiting_since_us: int = 0
    started_at_us: int = 0
    requeued: bool = False
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0
    no_answer: str = ""
    returned_ms: int = 0
    kind: str = ""
    callback_id: str = ""
    number: str = ""
    no_leg: bool = False
    attempts: int = 0
    serial: int = 0
    not_before_us: int = 0
    expires_us: int = 0
    channel: str = ""


class Excluded(msgspec.Struct, frozen=True, kw_only=True):
    """How many agents were not eligible, by reason."""

    reason: str = ""
    count: int = 0


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a contact's score."""

    name: str = ""
    ms: int = 0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why this agent and this contact."""

    rule: str = ""
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


class OfferMade(msgspec.Struct, frozen=True, kw_only=True):
    """The order to ring an agent."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    extension: str = ""
    queue: str = ""
    node: str = ""
    ring_ms: int = 0
    waited_ms: int = 0
    attempt: int = 0
    why: Explanation | None = None
    at_once: int = 0
    kind: str = ""
    by_agent: str = ""
    agent_node: str = ""
    number: str = ""
    first: str = ""
    dial_ms: int = 0
    callback_id: str = ""
    language: str = ""
    entry_point: str = ""
    waiting_since_us: int = 0
    connect_ms: int = 0
    channel: str = ""
    share_of: int = 0
    caller_id: str = ""
    agent_leg: str = ""
    agent_number: str = ""
    confirm: bool = False


class OfferEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The one end of an offer."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    outcome: str = ""
    cause: str = ""
    ring_ms: int = 0
    delay_ms: int = 0


class ContactConnected(msgspec.Struct, frozen=True, kw_only=True):
    """Caller and agent talk, as routing decided."""

    contact_id: str = ""
    offer_id: str = ""
    agent_id: str = ""
    queue: str = ""
    wait_ms: int = 0
    connected_at_us: int = 0
    recording_path: str = ""
    channel: str = ""


class ContactTransferred(msgspec.Struct, frozen=True, kw_only=True):
    """An agent gave the contact away; what follows stands behind it in the same entry."""

    contact_id: str = ""
    from_agent: str = ""
    target_kind: str = ""
    target: str = ""
    kept_waiting_since_us: int = 0
    request_id: str = ""
    offer_id: str = ""


class TransferRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer or consultation that cannot be."""

    contact_id: str = ""
    agent_id: str = ""
    target_kind: str = ""
    target: str = ""
    reason: str = ""
    detail: str = ""
    request_id: str = ""


class ContactOverflowed(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of the queue was reached."""

    contact_id: str = ""
    queue: str = ""
    reason: str = ""
    action: str = ""
    target: str = ""
    wait_ms: int = 0


class ContactClosed(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a contact in routing's care."""

    contact_id: str = ""
    queue: str = ""
    outcome: str = ""
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


class ContactPriorityChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that waits got another priority."""

    contact_id: str = ""
    priority: int = 0
    previous: int = 0
    actor: str = ""


class AgentPresenceChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What the person says."""

    agent_id: str = ""
    presence: str = ""
    reason: str = ""
    actor: str = ""
    previous: str = ""
    previous_ms: int = 0


class AgentActivityChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What the system sees."""

    agent_id: str = ""
    activity: str = ""
    contact_id: str = ""
    queue: str = ""
    previous: str = ""
    previous_ms: int = 0
    limit_ms: int = 0


class AgentOwnCallChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is none of ours began or ended on the agent's phone."""

    agent_id: str = ""
    leg_id: str = ""
    began: bool = False
    direction: str = ""
    node: str = ""


class WrapUpChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The wrap-up that runs or will follow is another one."""

    agent_id: str = ""
    contact_id: str = ""
    action: str = ""
    limit_ms: int = 0
    disposition: str = ""
    by: str = ""


class WrapUpEnded(msgspec.Struct, frozen=True, kw_only=True):
    """After-call work is over."""

    agent_id: str = ""
    contact_id: str = ""
    disposition: str = ""
    by: str = ""
    wrap_up_ms: int = 0
    queue: str = ""


class AgentPhoneChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What the registrar says about the agent's phone."""

    agent_id: str = ""
    registered: bool = False
    node: str = ""
    also: tuple[str, ...] = ()


class AgentSeatChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The agent is at another phone."""

    agent_id: str = ""
    extension: str = ""
    previous: str = ""
    node: str = ""
    actor: str = ""


class AgentLoginRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong PIN was given for the agent."""

    agent_id: str = ""
    extension: str = ""
    attempts: int = 0
    locked_ms: int = 0
    node: str = ""


class NodeDraining(msgspec.Struct, frozen=True, kw_only=True):
    """A node is being emptied, or is back."""

    node: str = ""
    draining: bool = False
    since_us: int = 0
    actor: str = ""


class ContactMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A contact is on another node from here on."""

    contact_id: str = ""
    from_node: str = ""
    node: str = ""
    reason: str = ""


class NodeChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to a FreeSWITCH node came up or was lost."""

    node: str = ""
    up: bool = False


class CallbackAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The customer of a callback has answered."""

    contact_id: str = ""
    callback_id: str = ""


class CallbackChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changed a callback that is in line."""

    contact_id: str = ""
    callback_id: str = ""
    not_before_us: int = 0
    number: str = ""
    actor: str = ""
    previous_number: str = ""
    previous_not_before_us: int = 0


class NumberDialled(msgspec.Struct, frozen=True, kw_only=True):
    """A call to a number outside was granted."""

    contact_id: str = ""
    number: str = ""
    purpose: str = ""
    agent_id: str = ""
    team: str = ""
    request_id: str = ""


class NumberEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A call to a number outside goes on no more."""

    contact_id: str = ""


class CallRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A call to a number outside was not granted."""

    agent_id: str = ""
    number: str = ""
    purpose: str = ""
    reason: str = ""
    payer: str = ""
    detail: str = ""
    contact_id: str = ""
    request_id: str = ""
    actor: str = ""


RoutingFact = (
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
    | NodeDraining
    | ContactMoved
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
)
