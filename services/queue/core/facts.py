"""What this service reports: mirrors of ``peyvand.queue.v1`` by field name. Times in µs since the epoch, spans in ms."""

from __future__ import annotations

from msgspec import Struct

from services.queue.core.drain_facts import NodeDrainChanged, NodeDrained
from services.queue.core.outbound_facts import OutboundAnswered, OutboundDialled, OutboundFailed
from services.queue.core.supervision_facts import SupervisionChanged, SupervisionEnded, SupervisionStarted
from services.queue.core.trunk_facts import DialRefused, TrunkFailed, TrunkFull


class ContactWaiting(Struct, frozen=True, kw_only=True):
    """A parked leg was adopted and waits for an agent."""

    contact_id: str
    node: str
    queue: str
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    revision: str = ""
    waiting_since_us: int
    started_at_us: int = 0
    recovered: bool = False
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0
    no_answer: str = ""
    callback_id: str = ""
    kind: str = ""


class TreatmentPlayed(Struct, frozen=True, kw_only=True):
    """Something was played to a waiting caller: ``welcome``, ``position``, ``wait``, ``message`` (then with the prompt) or
    ``connecting`` (then with the prompt and an ``outcome``: played, missing or cut)."""

    contact_id: str
    what: str
    position: int = 0
    at_us: int = 0
    prompt: str = ""
    expected_wait_ms: int = 0
    outcome: str = ""


class WhisperPlayed(Struct, frozen=True, kw_only=True):
    """An agent who answered was told whom it is about: ``said`` of queue, wait, callback, transfer; ``outcome`` played, missing or cut."""

    offer_id: str
    contact_id: str
    agent_id: str
    said: tuple[str, ...]
    language: str
    waited_ms: int
    outcome: str
    played_ms: int = 0
    at_us: int


class OfferRinging(Struct, frozen=True, kw_only=True):
    """The agent's phone rings."""

    offer_id: str
    contact_id: str
    agent_id: str
    agent_leg_id: str
    at_us: int


class OfferFailed(Struct, frozen=True, kw_only=True):
    """The offer ended without a bridge: no_answer, busy, declined, unreachable, withdrawn or failed."""

    offer_id: str
    contact_id: str
    agent_id: str
    outcome: str
    cause: str = ""
    ring_ms: int = 0
    at_us: int


class OfferAnswered(Struct, frozen=True, kw_only=True):
    """The agent answered; the bridge is being made."""

    offer_id: str
    contact_id: str
    agent_id: str
    ring_ms: int = 0
    at_us: int


class AgentReleased(Struct, frozen=True, kw_only=True):
    """The leg of an agent who had answered in vain is over."""

    offer_id: str
    contact_id: str
    agent_id: str
    at_us: int


class AgentBridged(Struct, frozen=True, kw_only=True):
    """Caller and agent talk. ``recording_path`` is relative to the recordings folder, empty when not recorded."""

    offer_id: str
    contact_id: str
    agent_id: str
    agent_leg_id: str
    queue: str = ""
    node: str = ""
    wait_ms: int = 0
    answer_latency_ms: int = 0
    recording_path: str = ""
    at_us: int


class ConversationEnded(Struct, frozen=True, kw_only=True):
    """The bridge is over; ``ended_by`` is caller, agent or system."""

    offer_id: str
    contact_id: str
    agent_id: str
    ended_by: str
    talk_ms: int = 0
    hold_ms: int = 0
    cause: str = ""
    at_us: int


class ContactGone(Struct, frozen=True, kw_only=True):
    """The caller's leg is over; ``state`` says when: waiting, offered, talking or after.

    ``kept_offer_id``, here as elsewhere: the offer whose agent had answered and is on the line until ``AgentReleased``.
    """

    contact_id: str
    state: str
    cause: str = ""
    wait_ms: int = 0
    unseen: bool = False
    at_us: int
    kept_offer_id: str = ""


class DispositionKeyed(Struct, frozen=True, kw_only=True):
    """The agent keyed a disposition after the call."""

    offer_id: str
    contact_id: str
    agent_id: str
    code: str
    at_us: int


class ContactHeld(Struct, frozen=True, kw_only=True):
    """The caller hears music while the agent stays: ``by`` agent, phone, consult or transfer."""

    offer_id: str
    contact_id: str
    agent_id: str
    by: str
    at_us: int


class ContactResumed(Struct, frozen=True, kw_only=True):
    """Caller and agent talk again, or the hold ended with the conversation."""

    offer_id: str
    contact_id: str
    agent_id: str
    hold_ms: int = 0
    at_us: int


class TransferRequested(Struct, frozen=True, kw_only=True):
    """The agent wants somebody else to have the contact; ``target_kind`` agent, queue, number or keyed."""

    request_id: str
    offer_id: str
    contact_id: str
    agent_id: str
    target_kind: str
    target: str
    consult: bool = False
    at_us: int


class ConsultStarted(Struct, frozen=True, kw_only=True):
    """Two agents talk about a contact, who hears music."""

    offer_id: str
    contact_id: str
    agent_id: str
    from_agent_id: str
    agent_leg_id: str = ""
    at_us: int


class ConsultEnded(Struct, frozen=True, kw_only=True):
    """``outcome`` completed (the contact talks with who was asked), cancelled (with who asked) or failed."""

    offer_id: str
    contact_id: str
    agent_id: str
    from_agent_id: str = ""
    outcome: str
    consult_ms: int = 0
    at_us: int


class ConferenceStarted(Struct, frozen=True, kw_only=True):
    """Caller and both agents hear each other."""

    contact_id: str
    room: str
    at_us: int


class PartyJoined(Struct, frozen=True, kw_only=True):
    """A leg entered the room; ``agent_id`` is empty for the caller."""

    contact_id: str
    room: str
    leg_id: str
    agent_id: str = ""
    at_us: int


class PartyLeft(Struct, frozen=True, kw_only=True):
    """A leg left the room; ``agent_id`` is empty for the caller."""

    contact_id: str
    room: str
    leg_id: str
    agent_id: str = ""
    cause: str = ""
    at_us: int


class KeyPressed(Struct, frozen=True, kw_only=True):
    """A waiting caller pressed a key that leads somewhere."""

    contact_id: str
    key: str
    queue: str
    at_us: int


class CallbackAccepted(Struct, frozen=True, kw_only=True):
    """A waiting caller asked to be called back; routing decides."""

    contact_id: str
    number: str
    own_number: bool = False
    at_us: int


class CallbackAttempted(Struct, frozen=True, kw_only=True):
    """The customer was not reached: no_answer, busy, declined, unreachable, machine, agent_left or failed."""

    contact_id: str
    callback_id: str
    outcome: str
    cause: str = ""
    number: str = ""
    offer_id: str = ""
    agent_id: str = ""
    agent_outcome: str = ""
    ring_ms: int = 0
    at_us: int
    kept_offer_id: str = ""


Observation = (
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
    | ContactHeld
    | ContactResumed
    | TransferRequested
    | ConsultStarted
    | ConsultEnded
    | ConferenceStarted
    | PartyJoined
    | PartyLeft
    | KeyPressed
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
