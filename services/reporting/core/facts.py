"""The facts that become rows: every message of ivr, queue, recording and routing, field by field.

Names and fields are those of ``proto/peyvand/*/v1``; a contract test holds them equal, because the ``facts`` table keeps
each fact whole. Times are microseconds since the epoch, UTC; durations are milliseconds.
"""

from __future__ import annotations

from typing import Final

import msgspec


class ContactStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A call reached an entry point and ivr took it."""

    contact_id: str = ""
    node: str = ""
    entry_point: str = ""
    ani: str = ""
    caller_name: str = ""
    language: str = ""
    flow: str = ""
    revision: str = ""
    started_at_us: int = 0


class IvrStepTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The caller went through one node of the flow."""

    contact_id: str = ""
    step_no: int = 0
    flow: str = ""
    flow_node: str = ""
    kind: str = ""
    result: str = ""
    spent_ms: int = 0
    at_us: int = 0


class ContactHandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """ivr wrote the queue on the channel and let go."""

    contact_id: str = ""
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    customer: str = ""
    at_us: int = 0


class IvrEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The call ended inside ivr."""

    contact_id: str = ""
    outcome: str = ""
    flow_node: str = ""
    cause: str = ""
    duration_ms: int = 0
    at_us: int = 0


class ContactWaiting(msgspec.Struct, frozen=True, kw_only=True):
    """A parked leg was adopted and waits."""

    contact_id: str = ""
    node: str = ""
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    revision: str = ""
    waiting_since_us: int = 0
    started_at_us: int = 0
    recovered: bool = False
    service_class: str = ""
    preferred_agent: str = ""
    callback_id: str = ""


class TreatmentPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """Something was played to a waiting caller."""

    contact_id: str = ""
    what: str = ""
    position: int = 0
    at_us: int = 0
    prompt: str = ""
    expected_wait_ms: int = 0


class OfferRinging(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's phone rings."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    agent_leg_id: str = ""
    at_us: int = 0


class OfferFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The offer ended without a bridge, as the switch saw it."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    outcome: str = ""
    cause: str = ""
    ring_ms: int = 0
    at_us: int = 0


class OfferAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The agent answered."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    ring_ms: int = 0
    at_us: int = 0


class AgentBridged(msgspec.Struct, frozen=True, kw_only=True):
    """Caller and agent talk, as the switch saw it."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    agent_leg_id: str = ""
    queue: str = ""
    node: str = ""
    wait_ms: int = 0
    answer_latency_ms: int = 0
    recording_path: str = ""
    at_us: int = 0


class ConversationEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The bridge is over."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    ended_by: str = ""
    talk_ms: int = 0
    hold_ms: int = 0
    cause: str = ""
    at_us: int = 0


class ContactGone(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's leg is over."""

    contact_id: str = ""
    state: str = ""
    cause: str = ""
    wait_ms: int = 0
    unseen: bool = False
    at_us: int = 0


class DispositionKeyed(msgspec.Struct, frozen=True, kw_only=True):
    """The agent keyed a disposition after the call."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    code: str = ""
    at_us: int = 0


class KeyPressed(msgspec.Struct, frozen=True, kw_only=True):
    """A waiting caller pressed a key that leads out of the queue."""

    contact_id: str = ""
    key: str = ""
    queue: str = ""
    at_us: int = 0


class ContactHeld(msgspec.Struct, frozen=True, kw_only=True):
    """The caller hears music while the agent stays: ``by`` agent, phone, consult or transfer."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    by: str = ""
    at_us: int = 0


class ContactResumed(msgspec.Struct, frozen=True, kw_only=True):
    """Caller and agent talk again, or the hold ended with the conversation."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    hold_ms: int = 0
    at_us: int = 0


class TransferRequested(msgspec.Struct, frozen=True, kw_only=True):
    """The agent wants somebody else to have the contact; ``target_kind`` agent, queue, number or keyed."""

    request_id: str = ""
    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    target_kind: str = ""
    target: str = ""
    consult: bool = False
    at_us: int = 0


class ConsultStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Two agents talk about a contact, who hears music."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    from_agent_id: str = ""
    agent_leg_id: str = ""
    at_us: int = 0


class ConsultEnded(msgspec.Struct, frozen=True, kw_only=True):
    """``outcome`` completed (the contact talks with who was asked), cancelled (with who asked) or failed."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    from_agent_id: str = ""
    outcome: str = ""
    consult_ms: int = 0
    at_us: int = 0


class ConferenceStarted(msgspec.Struct, frozen=True, kw_only=True):
    """Caller and both agents hear each other."""

    contact_id: str = ""
    room: str = ""
    at_us: int = 0


class PartyJoined(msgspec.Struct, frozen=True, kw_only=True):
    """A leg entered the room; ``agent_id`` is empty for the caller."""

    contact_id: str = ""
    room: str = ""
    leg_id: str = ""
    agent_id: str = ""
    at_us: int = 0


class PartyLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A leg left the room; ``agent_id`` is empty for the caller."""

    contact_id: str = ""
    room: str = ""
    leg_id: str = ""
    agent_id: str = ""
    cause: str = ""
    at_us: int = 0


class CallbackAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A waiting caller asked to be called back."""

    contact_id: str = ""
    number: str = ""
    own_number: bool = False
    at_us: int = 0


class CallbackAttempted(msgspec.Struct, frozen=True, kw_only=True):
    """A customer was called back and not reached."""

    contact_id: str = ""
    callback_id: str = ""
    outcome: str = ""
    cause: str = ""
    number: str = ""
    offer_id: str = ""
    agent_id: str = ""
    agent_outcome: str = ""
    ring_ms: int = 0
    at_us: int = 0


class SupervisionStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor listens in."""

    supervision_id: str = ""
    contact_id: str = ""
    supervisor: str = ""
    agent_id: str = ""
    mode: str = ""
    at_us: int = 0


class SupervisionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears the supervisor has changed."""

    supervision_id: str = ""
    contact_id: str = ""
    supervisor: str = ""
    agent_id: str = ""
    mode: str = ""
    former_mode: str = ""
    by: str = ""
    at_us: int = 0


class SupervisionEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody listens any more."""

    supervision_id: str = ""
    contact_id: str = ""
    supervisor: str = ""
    reason: str = ""
    cause: str = ""
    listened_ms: int = 0
    at_us: int = 0


class RecordingStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A recording began."""

    recording_id: str = ""
    contact_id: str = ""
    node: str = ""
    path: str = ""
    at_us: int = 0


class RecordingStored(msgspec.Struct, frozen=True, kw_only=True):
    """A recording is complete and readable."""

    recording_id: str = ""
    contact_id: str = ""
    node: str = ""
    path: str = ""
    bytes: int = 0
    duration_ms: int = 0
    channels: int = 0
    sample_rate: int = 0
    sha256: str = ""
    rms: tuple[float, ...] = ()
    repaired: bool = False
    agent_id: str = ""
    queue: str = ""
    started_at_us: int = 0
    at_us: int = 0
    kind: str = ""
    caller: str = ""


class RecordingFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A recording is missing or unreadable."""

    recording_id: str = ""
    contact_id: str = ""
    path: str = ""
    reason: str = ""
    at_us: int = 0


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
    returned_ms: int = 0
    kind: str = ""
    callback_id: str = ""
    number: str = ""
    no_leg: bool = False
    attempts: int = 0
    serial: int = 0
    not_before_us: int = 0
    expires_us: int = 0


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
    number: str = ""
    first: str = ""
    dial_ms: int = 0
    callback_id: str = ""
    language: str = ""
    entry_point: str = ""
    waiting_since_us: int = 0


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


IvrFact = ContactStarted | IvrStepTaken | ContactHandedOver | IvrEnded
QueueFact = (
    ContactWaiting
    | TreatmentPlayed
    | OfferRinging
    | OfferFailed
    | OfferAnswered
    | AgentBridged
    | ConversationEnded
    | ContactGone
    | DispositionKeyed
    | KeyPressed
    | ContactHeld
    | ContactResumed
    | TransferRequested
    | ConsultStarted
    | ConsultEnded
    | ConferenceStarted
    | PartyJoined
    | PartyLeft
    | CallbackAccepted
    | CallbackAttempted
    | SupervisionStarted
    | SupervisionChanged
    | SupervisionEnded
)
RecordingFact = RecordingStarted | RecordingStored | RecordingFailed
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
    | NodeChanged
    | ContactPriorityChanged
    | AgentOwnCallChanged
    | WrapUpChanged
    | ContactTransferred
    | TransferRefused
    | CallbackAnswered
    | CallbackChanged
)


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a tenant's routing log. A kind of fact that this process does not know yet is None in its place."""

    epoch: int = 0
    owner: str = ""
    input_id: str = ""
    at_us: int = 0
    facts: tuple[RoutingFact | None, ...] = ()
    revision: str = ""


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A message that this process cannot read: of a newer sender, or broken. Kept as it came."""

    problem: str
    data_hex: str = ""


AnyFact = IvrFact | QueueFact | RecordingFact | RoutingFact | Unread

OBSERVATIONS: Final[tuple[type[IvrFact | QueueFact | RecordingFact], ...]] = (
    ContactStarted,
    IvrStepTaken,
    ContactHandedOver,
    IvrEnded,
    ContactWaiting,
    TreatmentPlayed,
    OfferRinging,
    OfferFailed,
    OfferAnswered,
    AgentBridged,
    ConversationEnded,
    ContactGone,
    DispositionKeyed,
    KeyPressed,
    ContactHeld,
    ContactResumed,
    TransferRequested,
    ConsultStarted,
    ConsultEnded,
    ConferenceStarted,
    PartyJoined,
    PartyLeft,
    CallbackAccepted,
    CallbackAttempted,
    SupervisionStarted,
    SupervisionChanged,
    SupervisionEnded,
    RecordingStarted,
    RecordingStored,
    RecordingFailed,
)
"""Facts that are a message each; those of routing come inside ``Decided``."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A fact and where it stands.

    ``id`` names it for ever. ``seq`` is the sequence of its message in ``stream`` and ``idx`` its index inside that
    message (0 unless it is routing's). ``at_us`` is when it happened, as its owner saw it.
    """

    id: str
    stream: str
    seq: int
    idx: int
    type: str
    tenant: str
    contact_id: str
    at_us: int
    causation_id: str = ""
    revision: str = ""
    fact: AnyFact
