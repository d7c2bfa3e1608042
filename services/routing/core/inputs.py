"""What goes into the engine and what comes out of it.

Every input carries ``at_us``, the owner's wall clock in microseconds when it took the input up, and ``input_id``, the
id of the bus message behind it (empty when there is none: then it cannot be redelivered either). ``input_seq`` is where
an observation stands in its stream: a new owner reads on after the last one that the log names. Observations repeat
the fields of ``proto/peyvand/queue/v1/events.proto``, without those that decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.routing.core.center import Center
from services.routing.core.facts import Fact
from services.routing.core.views import AgentState, CallbackState, ContactState


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all inputs."""

    at_us: int
    input_id: str = ""
    input_seq: int = 0


class Observation(Input, frozen=True, kw_only=True):
    """Base of what queue sees: the messages of the same names on its subjects. They are about calls."""


class TakenOver(Input, frozen=True, kw_only=True):
    """This process is the owner now: the first input of an engine that will write."""

    owner: str
    epoch: int


class ContactWaiting(Observation, frozen=True, kw_only=True):
    """queue adopted a parked leg; ``recovered`` when it found it by reading FreeSWITCH."""

    contact_id: str
    node: str
    queue: str
    waiting_since_us: int
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    started_at_us: int = 0
    recovered: bool = False
    service_class: str = ""
    preferred_agent: str = ""
    preferred_ms: int = 0
    no_answer: str = ""
    callback_id: str = ""


class OfferRinging(Observation, frozen=True, kw_only=True):
    """The agent's phone rings."""

    offer_id: str
    contact_id: str
    agent_id: str


class OfferFailed(Observation, frozen=True, kw_only=True):
    """The offer ended without a bridge."""

    offer_id: str
    contact_id: str
    agent_id: str
    outcome: str
    cause: str = ""
    ring_ms: int = 0


class OfferAnswered(Observation, frozen=True, kw_only=True):
    """The agent answered; the bridge is being made."""

    offer_id: str
    contact_id: str
    agent_id: str
    ring_ms: int = 0


class AgentReleased(Observation, frozen=True, kw_only=True):
    """The leg of an agent who had answered in vain is over."""

    offer_id: str
    contact_id: str
    agent_id: str


class AgentBridged(Observation, frozen=True, kw_only=True):
    """Caller and agent talk."""

    offer_id: str
    contact_id: str
    agent_id: str
    queue: str = ""
    node: str = ""
    wait_ms: int = 0
    recording_path: str = ""


class ConversationEnded(Observation, frozen=True, kw_only=True):
    """The bridge is over."""

    offer_id: str
    contact_id: str
    agent_id: str
    ended_by: str
    talk_ms: int = 0
    hold_ms: int = 0
    cause: str = ""


class ContactGone(Observation, frozen=True, kw_only=True):
    """The caller's leg is over; ``unseen`` when nobody listened as it ended."""

    contact_id: str
    cause: str = ""
    unseen: bool = False
    kept_offer_id: str = ""
    """The offer whose agent had answered and is on the line until ``AgentReleased``."""


class KeyPressed(Observation, frozen=True, kw_only=True):
    """A caller who waits in ``queue`` pressed a key that leads out of it; nobody rings for the caller."""

    contact_id: str
    key: str
    queue: str = ""


class CallbackAccepted(Observation, frozen=True, kw_only=True):
    """A waiting caller asked to be called back."""

    contact_id: str
    number: str
    own_number: bool = False


class CallbackAttempted(Observation, frozen=True, kw_only=True):
    """A customer was called back and not reached."""

    contact_id: str
    callback_id: str
    outcome: str
    cause: str = ""
    agent_outcome: str = ""
    kept_offer_id: str = ""


class DispositionKeyed(Observation, frozen=True, kw_only=True):
    """The agent keyed a disposition after the call."""

    contact_id: str
    agent_id: str
    code: str


class SetAgentPresence(Input, frozen=True, kw_only=True):
    """A wish: ``presence`` available, break, offline or toggle. The agent is named by id or by extension."""

    request_id: str
    presence: str
    agent_id: str = ""
    extension: str = ""
    reason: str = ""
    actor: str = "agent"


class SeatAgent(Input, frozen=True, kw_only=True):
    """A wish: the agent is at the phone ``extension`` from now on, and available.

    ``by_pin``: at the phone itself, by a PIN that was ``verified`` or was wrong. ``force``: whoever is at the phone is logged out.
    """

    request_id: str
    agent_id: str
    extension: str
    node: str = ""
    by_pin: bool = False
    verified: bool = False
    force: bool = False
    actor: str = "agent"


class SetDisposition(Input, frozen=True, kw_only=True):
    """A wish: the disposition of the contact in wrap-up, which ends the wrap-up."""

    request_id: str
    code: str
    agent_id: str = ""
    extension: str = ""
    by: str = "http"


class SetWrapUp(Input, frozen=True, kw_only=True):
    """A wish: ``action`` request (during the talk, a wrap-up that the queue does not ask for), extend or end (without a result)."""

    request_id: str
    action: str
    agent_id: str = ""
    extension: str = ""
    by: str = "http"


class SetContactPriority(Input, frozen=True, kw_only=True):
    """A wish: another priority for a contact that waits, at once."""

    request_id: str
    contact_id: str
    priority: int = 0
    actor: str = "supervisor"


class ChangeCallback(Input, frozen=True, kw_only=True):
    """A wish: ``action`` cancel, or reschedule to ``not_before_us`` (0: as soon as it is its turn) and perhaps another number."""

    request_id: str
    callback_id: str
    action: str
    not_before_us: int = 0
    number: str = ""
    actor: str = "supervisor"


class EnqueueContact(Input, frozen=True, kw_only=True):
    """A wish of another service, ``reporter``: an agent for a contact of its channel. ``waiting_since_us`` 0 is now."""

    request_id: str
    contact_id: str
    channel: str
    queue: str
    reporter: str
    waiting_since_us: int = 0
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    address: str = ""
    name: str = ""
    customer: str = ""
    service_class: str = ""
    preferred_agent: str = ""
    entry_point: str = ""


class LeaveContact(Input, frozen=True, kw_only=True):
    """A wish of another service: its customer is gone."""

    request_id: str
    contact_id: str
    cause: str = ""


class HandleContact(Input, frozen=True, kw_only=True):
    """A wish: ``action`` accept or decline an offer, complete or release a contact of another channel than calls."""

    request_id: str
    agent_id: str
    contact_id: str
    action: str
    code: str = ""
    by: str = "agent"


class PlaceCall(Input, frozen=True, kw_only=True):
    """A wish: an agent calls a number outside. ``leg_id`` is the agent's leg when the phone has dialled it, on ``node``."""

    request_id: str
    contact_id: str
    number: str
    agent_id: str = ""
    extension: str = ""
    queue: str = ""
    leg_id: str = ""
    node: str = ""
    actor: str = "agent"


class OutboundFailed(Observation, frozen=True, kw_only=True):
    """A call that an agent placed has come to nothing: no_answer, busy, declined, unreachable, no_line, agent_left or failed."""

    contact_id: str
    outcome: str
    cause: str = ""
    kept_offer_id: str = ""


class OwnCallChanged(Input, frozen=True, kw_only=True):
    """A call without an offer of ours began or ended on a phone; ``direction`` is FreeSWITCH's (inbound: the phone dialled)."""

    extension: str
    leg_id: str
    node: str
    began: bool
    direction: str = ""


class OwnCallsListed(Input, frozen=True, kw_only=True):
    """All calls without an offer of ours on a node: extension by leg."""

    node: str
    legs: Mapping[str, str]


class ContactHeld(Observation, frozen=True, kw_only=True):
    """The agent put the contact on hold."""

    agent_id: str
    contact_id: str


class ContactResumed(Observation, frozen=True, kw_only=True):
    """The agent took the contact back."""

    agent_id: str
    contact_id: str
    hold_ms: int = 0


class TransferRequested(Observation, frozen=True, kw_only=True):
    """An agent wants somebody else to have the contact, or to ask first: ``target_kind`` agent, queue, number or keyed."""

    request_id: str
    offer_id: str
    contact_id: str
    agent_id: str
    target_kind: str
    target: str
    consult: bool = False


class ConsultStarted(Observation, frozen=True, kw_only=True):
    """Two agents talk about a contact."""

    offer_id: str
    contact_id: str
    agent_id: str
    from_agent_id: str


class ConsultEnded(Observation, frozen=True, kw_only=True):
    """They talk no more: completed, cancelled or failed."""

    offer_id: str
    contact_id: str
    agent_id: str
    outcome: str


class PhoneChanged(Input, frozen=True, kw_only=True):
    """A phone registered with a node or was lost there."""

    extension: str
    registered: bool
    node: str = ""


class PhonesListed(Input, frozen=True, kw_only=True):
    """All phones that are registered with a node."""

    node: str
    extensions: frozenset[str]


class NodeDrainChanged(Observation, frozen=True, kw_only=True):
    """A node is to be emptied, or is back in service."""

    node: str
    draining: bool = False
    since_us: int = 0
    actor: str = ""


class NodeSeen(Input, frozen=True, kw_only=True):
    """The connection to a FreeSWITCH node is up, or has been down for longer than a hiccup."""

    node: str
    up: bool


class HoursChanged(Input, frozen=True, kw_only=True):
    """The queues whose hours have ended; all others are open. Told again to every new owner.

    ``callback:<queue>`` stands for a queue whose customers are not called back now.
    """

    closed: frozenset[str]


class CenterRevised(Input, frozen=True, kw_only=True):
    """A new revision of the configuration holds from now on."""

    center: Center


class TimerFired(Input, frozen=True, kw_only=True):
    """The time of an armed timer has come."""

    timer: tuple[str, str]


AnyInput = (
    TakenOver
    | ContactWaiting
    | OfferRinging
    | OfferFailed
    | OfferAnswered
    | AgentReleased
    | AgentBridged
    | ConversationEnded
    | ContactGone
    | CallbackAccepted
    | CallbackAttempted
    | DispositionKeyed
    | SetAgentPresence
    | SeatAgent
    | SetDisposition
    | SetWrapUp
    | SetContactPriority
    | ChangeCallback
    | EnqueueContact
    | LeaveContact
    | HandleContact
    | PlaceCall
    | OutboundFailed
    | OwnCallChanged
    | OwnCallsListed
    | ContactHeld
    | ContactResumed
    | TransferRequested
    | ConsultStarted
    | ConsultEnded
    | PhoneChanged
    | PhonesListed
    | NodeSeen
    | NodeDrainChanged
    | HoursChanged
    | CenterRevised
    | TimerFired
)


class Decide(msgspec.Struct, frozen=True):
    """Append these facts as one entry. Nothing after it in the list may be done before it is confirmed."""

    facts: tuple[Fact, ...]


class ArmTimer(msgspec.Struct, frozen=True):
    """Bring ``TimerFired(timer)`` at ``at_us``; replaces a timer of the same name."""

    timer: tuple[str, str]
    at_us: int


class CancelTimer(msgspec.Struct, frozen=True):
    """Forget the timer."""

    timer: tuple[str, str]


class Answer(msgspec.Struct, frozen=True):
    """The wish was granted: the state of the agent, the contact or the callback after it."""

    request_id: str
    agent: AgentState | None = None
    contact: ContactState | None = None
    callback: CallbackState | None = None


class Refuse(msgspec.Struct, frozen=True):
    """The wish cannot be granted; ``slug`` is part of the API, ``status`` is HTTP's."""

    request_id: str
    slug: str
    reason: str
    status: int = 409


class Ignored(msgspec.Struct, frozen=True):
    """The input led to nothing, for a reason that belongs into the log of the process."""

    reason: str
    contact_id: str = ""
    agent_id: str = ""
    offer_id: str = ""


Output = Decide | ArmTimer | CancelTimer | Answer | Refuse | Ignored
