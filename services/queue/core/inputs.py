"""What goes into the engine: what the switch does, what routing's log says, what people wish.

Every input carries ``at_us``, the time its shell saw it (µs since the epoch). A timer is an output
(:class:`~services.queue.core.outputs.SetTimer`) that comes back as an input (:class:`TimerFired`).
"""

from __future__ import annotations

from msgspec import Struct

from services.queue.core.legs import AgentLeg, CallerLeg, Line, OpenContact, TrunkLeg
from services.queue.core.listening import SupervisorLeg
from services.queue.core.outputs import Command
from services.queue.core.plan import Plans

# --- the switch ------------------------------------------------------------------------------------------------------


class Input(Struct, frozen=True, kw_only=True):
    """Base of all inputs."""

    at_us: int


class LegParked(Input, frozen=True, kw_only=True):
    """The dialplan said ``peyvand::waiting``."""

    caller: CallerLeg


class LegHandedOver(Input, frozen=True, kw_only=True):
    """ivr said ``peyvand::handover``: the dialplan has the leg in some milliseconds, and says ``peyvand::waiting`` then."""

    caller: CallerLeg


class LegCreated(Input, frozen=True, kw_only=True):
    """CHANNEL_CREATE. ``trunk`` has the details of a leg on one."""

    leg: str
    trunk: TrunkLeg | None = None


class LegRinging(Input, frozen=True, kw_only=True):
    """CHANNEL_PROGRESS."""

    leg: str


class LegAnswered(Input, frozen=True, kw_only=True):
    """CHANNEL_ANSWER. ``customer`` has the details of the leg of somebody who is called back."""

    leg: str
    customer: CallerLeg | None = None


class LegBridged(Input, frozen=True, kw_only=True):
    """CHANNEL_BRIDGE; FreeSWITCH fires it once, on the leg named first."""

    leg: str
    partner: str


class LegUnbridged(Input, frozen=True, kw_only=True):
    """CHANNEL_UNBRIDGE."""

    leg: str
    partner: str


class LegHungUp(Input, frozen=True, kw_only=True):
    """CHANNEL_HANGUP."""

    leg: str
    cause: str


class LegHeld(Input, frozen=True, kw_only=True):
    """CHANNEL_HOLD: the phone holds; CHANNEL_UNHOLD when ``held`` is False."""

    leg: str
    held: bool


class FeaturePressed(Input, frozen=True, kw_only=True):
    """``peyvand::feature``: a feature code on an agent's phone; ``what`` is one of ``wishes.KEYS``."""

    leg: str
    what: str


class RoomChanged(Input, frozen=True, kw_only=True):
    """``conference::maintenance``: a leg joined a room or left it."""

    leg: str
    room: str
    joined: bool


class AnnouncementEnded(Input, frozen=True, kw_only=True):
    """MEDIA_BUG_STOP of a displacement."""

    leg: str
    file: str


class WhisperEnded(Input, frozen=True, kw_only=True):
    """``peyvand::whispered``: what an agent is told before the bridge has ended; ``heard`` is False when there was nothing to play."""

    leg: str
    heard: bool


class DigitPressed(Input, frozen=True, kw_only=True):
    """DTMF."""

    leg: str
    digit: str


class JobEnded(Input, frozen=True, kw_only=True):
    """The originate's BACKGROUND_JOB. ``known`` is False when the connection broke first: the outcome is not known."""

    offer: str
    ok: bool
    text: str
    known: bool = True


class LegProbed(Input, frozen=True, kw_only=True):
    """The answer to :class:`Probe`. ``caller`` holds the details of a caller's leg that lives."""

    leg: str
    alive: bool
    answered: bool = False
    caller: CallerLeg | None = None


class CommandFailed(Input, frozen=True, kw_only=True):
    """FreeSWITCH said -ERR to a command, or could not be asked."""

    command: Command
    text: str


class ChannelsListed(Input, frozen=True, kw_only=True):
    """The answer to :class:`ListChannels`: every UUID there is, with details of those that the engine does not know."""

    present: frozenset[str]
    callers: tuple[CallerLeg, ...] = ()
    agents: tuple[AgentLeg, ...] = ()
    supervisors: tuple[SupervisorLeg, ...] = ()
    trunks: tuple[TrunkLeg, ...] = ()
    open_contacts: tuple[OpenContact, ...] = ()  # After a takeover, and after each :class:`LookBack`.


class GatewayChanged(Input, frozen=True, kw_only=True):
    """FreeSWITCH's pings or registrations of a gateway fail, or succeed again."""

    gateway: str
    up: bool


class LinkUp(Input, frozen=True, kw_only=True):
    """The event connection is up and subscribed; nothing has been read yet.

    ``core_uuid`` is another one for each life of FreeSWITCH; empty when it could not be read.
    """

    core_uuid: str = ""


class LinkDown(Input, frozen=True, kw_only=True):
    """The event connection broke: what the legs do is unknown, not ended."""


# --- routing's log, people, the rest ---------------------------------------------------------------------------------


class OfferMade(Input, frozen=True, kw_only=True):
    """Routing's order to ring an agent. ``age_ms``: how old the entry was when it was read."""

    tenant: str
    offer_id: str
    contact_id: str
    agent_id: str
    extension: str
    queue: str
    leg: str  # The agent leg's UUID, derived from the offer.
    ring_ms: int
    at_once: int = 1  # How many phones ring for the contact together.
    age_ms: int = 0
    kind: str = ""  # transfer, consult, return; empty: from the queue.
    callback_id: str = ""  # Not empty: the customer has to be called, at ``number``.
    number: str = ""
    first: str = "customer"  # Whose phone rings first.
    language: str = ""
    entry_point: str = ""
    waiting_since_us: int = 0
    agent_node: str = ""  # The node that the agent's phone is registered with; empty: not known.
    dial_ms: int = 0  # So long the customer's phone may ring; 0: as the queue says.
    caller_id: str = ""  # outbound: the number that is shown.
    agent_leg: str = ""  # outbound: the agent's leg, when the phone has dialled.
    agent_number: str = ""  # The agent is at this number outside; empty: at the phone.
    confirm: bool = False  # Who answers there has to press a key first.


class OfferEnded(Input, frozen=True, kw_only=True):
    """Routing's one end of an offer."""

    offer_id: str
    contact_id: str
    outcome: str


class ContactOverflowed(Input, frozen=True, kw_only=True):
    """The queue's limit was reached: ``action`` is queue, transfer, hangup or callback."""

    contact_id: str
    action: str
    target: str


class ContactClosed(Input, frozen=True, kw_only=True):
    """Routing is done with the contact."""

    contact_id: str
    outcome: str


class ContactTransferred(Input, frozen=True, kw_only=True):
    """Routing took the contact from its agent: for a colleague or a queue (it waits again), or for a number outside."""

    contact_id: str
    offer_id: str
    target_kind: str
    target: str
    waiting_since_us: int = 0


class TransferRefused(Input, frozen=True, kw_only=True):
    """Routing refused a transfer or a consultation."""

    contact_id: str
    request_id: str
    reason: str
    detail: str


class AgentFreed(Input, frozen=True, kw_only=True):
    """Routing has the agent idle, so far as ``age_ms`` ago: whatever is left of a conversation here is over."""

    tenant: str
    agent_id: str
    age_ms: int = 0


class WrapUpEnded(Input, frozen=True, kw_only=True):
    """The agent is free again, whoever said so."""

    agent_id: str
    contact_id: str


class PositionKnown(Input, frozen=True, kw_only=True):
    """The answer to :class:`AskPosition`; ``file`` speaks ``what`` was asked for, empty when there is nothing to say.

    ``minutes`` stands for the expected wait as it is spoken.
    """

    contact: str
    position: int
    file: str
    what: str = "position"
    wait_ms: int = 0
    minutes: int = 0


class CentersRevised(Input, frozen=True, kw_only=True):
    """The center documents in force."""

    plans: Plans


class BusDown(Input, frozen=True, kw_only=True):
    """Facts can be neither written nor read."""


class BusUp(Input, frozen=True, kw_only=True):
    """Facts flow again."""


class HangUpWished(Input, frozen=True, kw_only=True):
    """A supervisor ends the call."""

    contact: str


class CallWished(Input, frozen=True, kw_only=True):
    """A wish about a call, to be answered with :class:`WishAnswered`. ``agent``: whose conversation it must be."""

    request_id: str
    contact: str
    tenant: str
    verb: str
    agent: str = ""
    target_kind: str = ""
    target: str = ""


class RouteWished(Input, frozen=True, kw_only=True):
    """ivr wants to dial out for a caller; to be answered with :class:`RouteChosen`."""

    request_id: str
    tenant: str
    contact: str
    number: str


class DrainWished(Input, frozen=True, kw_only=True):
    """The node is to be emptied, or back in service."""

    draining: bool
    actor: str = ""


class DrainFound(Input, frozen=True, kw_only=True):
    """Whether the node is being emptied: ``said`` is since when (ms), ``0`` for not, empty when nothing is known.

    ``by_switch``: the switch's own global; otherwise routing's log.
    """

    said: str
    by_switch: bool
    actor: str = ""


class PeerSeen(Input, frozen=True, kw_only=True):
    """What routing's log says of another node; None: nothing."""

    node: str
    up: bool | None = None
    draining: bool | None = None


class ReferEnded(Input, frozen=True, kw_only=True):
    """``sofia::notify_refer``: what became of the call that a REFER asked for, as a SIP status."""

    leg: str
    status: int


class LineOffered(Input, frozen=True, kw_only=True):
    """Another node, which is being emptied, wants a waiting caller's line to be taken over; to be answered with :class:`LineAnswered`."""

    request_id: str
    tenant: str
    contact: str
    leg: str  # The UUID that the leg here gets.
    line: Line
    cseq: int


class LineSent(Input, frozen=True, kw_only=True):
    """What the other node said to :class:`SendLine`: taken or not; None: nothing is known."""

    contact: str
    taken: bool | None
    reason: str = ""


class ContactMoved(Input, frozen=True, kw_only=True):
    """Routing has the contact on ``node`` from here on."""

    contact_id: str
    node: str


class ContactKnown(Input, frozen=True, kw_only=True):
    """The answer to :class:`AskContact`; ``caller`` is None when routing has no such open contact, ``node`` where it is."""

    contact: str
    caller: CallerLeg | None
    node: str = ""


class TimerFired(Input, frozen=True, kw_only=True):
    """A timer set by :class:`SetTimer`."""

    key: str
