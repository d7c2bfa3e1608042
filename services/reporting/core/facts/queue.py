"""The facts of queue: what happened to the caller and to the legs of the agents."""

from __future__ import annotations

import msgspec


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
    preferred_ms: int = 0
    no_answer: str = ""
    callback_id: str = ""
    kind: str = ""


class TreatmentPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """Something was played to a waiting caller."""

    contact_id: str = ""
    what: str = ""
    position: int = 0
    at_us: int = 0
    prompt: str = ""
    expected_wait_ms: int = 0
    outcome: str = ""


class WhisperPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """An agent was told before the bridge whom it is about."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
    said: tuple[str, ...] = ()
    language: str = ""
    waited_ms: int = 0
    outcome: str = ""
    played_ms: int = 0
    at_us: int = 0


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


class AgentReleased(msgspec.Struct, frozen=True, kw_only=True):
    """The leg of an agent who had answered in vain is over."""

    offer_id: str = ""
    contact_id: str = ""
    agent_id: str = ""
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
    kept_offer_id: str = ""


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
    kept_offer_id: str = ""


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


class TrunkFull(msgspec.Struct, frozen=True, kw_only=True):
    """A call out passed over a full trunk."""

    contact_id: str = ""
    node: str = ""
    trunk: str = ""
    channels: int = 0
    number: str = ""
    purpose: str = ""
    diverted_to: str = ""
    at_us: int = 0


class TrunkFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A call out failed on the way."""

    contact_id: str = ""
    node: str = ""
    trunk: str = ""
    gateway: str = ""
    cause: str = ""
    rest_ms: int = 0
    at_us: int = 0


class DialRefused(msgspec.Struct, frozen=True, kw_only=True):
    """No trunk could carry a call out."""

    contact_id: str = ""
    node: str = ""
    number: str = ""
    purpose: str = ""
    reason: str = ""
    agent_id: str = ""
    at_us: int = 0


class NodeDrainChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A node is to be emptied, or is back in service."""

    node: str = ""
    draining: bool = False
    since_us: int = 0
    actor: str = ""
    at_us: int = 0


class NodeDrained(msgspec.Struct, frozen=True, kw_only=True):
    """The last leg has left a node that drains."""

    node: str = ""
    drain_ms: int = 0
    at_us: int = 0


class OutboundDialled(msgspec.Struct, frozen=True, kw_only=True):
    """The number of a call that an agent places is being called."""

    contact_id: str = ""
    offer_id: str = ""
    agent_id: str = ""
    number: str = ""
    trunk: str = ""
    caller_id: str = ""
    at_us: int = 0


class OutboundAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody answered the call that an agent placed."""

    contact_id: str = ""
    offer_id: str = ""
    agent_id: str = ""
    number: str = ""
    ring_ms: int = 0
    at_us: int = 0


class OutboundFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A call that an agent placed reached nobody."""

    contact_id: str = ""
    offer_id: str = ""
    agent_id: str = ""
    number: str = ""
    outcome: str = ""
    cause: str = ""
    ring_ms: int = 0
    at_us: int = 0
    kept_offer_id: str = ""


QueueFact = (
    ContactWaiting
    | TreatmentPlayed
    | WhisperPlayed
    | OfferRinging
    | OfferFailed
    | OfferAnswered
    | AgentReleased
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
    | TrunkFull
    | TrunkFailed
    | DialRefused
    | NodeDrainChanged
    | NodeDrained
    | OutboundDialled
    | OutboundAnswered
    | OutboundFailed
)
