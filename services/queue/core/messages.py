"""What goes into the engine and what comes out of it.

Every input carries ``at_us``, the time its shell saw it (µs since the epoch). A timer is an output (:class:`SetTimer`) that comes
back as an input (:class:`TimerFired`). Legs are named by their FreeSWITCH UUID; the contact id is the caller's leg.
"""

from __future__ import annotations

from msgspec import Struct

from services.center.outside import Way
from services.queue.core.facts import Observation
from services.queue.core.listening import SupervisionAnswered, SupervisorLeg
from services.queue.core.plan import Plans

OUTBOUND = "outbound"  # Kind of an offer, and of its contact: the agent calls a number.

# --- what the shell knows of a leg -----------------------------------------------------------------------------------


class CallerLeg(Struct, frozen=True, kw_only=True):
    """A caller's leg, from the variables of ``peyvand::waiting`` or of ``uuid_dump``."""

    leg: str
    tenant: str = ""
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    customer: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    service_class: str = ""
    preferred_agent: str = ""
    wish: str = ""  # cc_wish: callback, when the caller has asked for one before coming in.
    revision: str = ""
    started_ms: int = 0
    waiting_ms: int = 0  # 0: nobody has adopted it yet.
    waited_ms: int = 0  # How long ago it was parked, by the switch's own clock.
    bridged_ms: int = 0  # 0: it has not talked yet.
    state: str = ""  # cc_state
    offer: str = ""
    agent: str = ""
    supervisions: tuple[str, ...] = ()  # Legs of those who listen.
    bridged: bool = False  # FreeSWITCH says it exchanges media with ``partner`` now.
    partner: str = ""
    heard: str = ""  # cc_heard: what was said last, see ``schedule``.
    step: str = ""  # cc_step: how far a hold, a consultation or a conference is.
    second: str = ""  # cc_second: the offer of the agent who is asked.
    held_ms: int = 0  # cc_held_ms: since when it hears music in a conversation.
    silent: bool = False  # Parked after a bridge: nothing plays.
    kind: str = ""  # cc_kind: OUTBOUND of a party whom an agent called.
    out: str = ""  # cc_out: the number outside that it is on its way to, and for what.
    callback: str = (
        ""  # The callback whose customer this is; ``offer`` and ``agent`` are those that it was called for.
    )
    answered: bool = True
    arrived: str = ""  # cc_arrived: of one who came from another node; where and when.
    moving: str = ""  # cc_move: the node to which its carrier was asked to bring it.
    refer_status: int = 0  # What the carrier answered.


class AgentLeg(Struct, frozen=True, kw_only=True):
    """An agent's leg that carries one of our offers, from ``uuid_dump``."""

    leg: str
    tenant: str
    contact: str
    offer: str
    agent: str
    answered: bool
    bridged_ms: int = 0
    bridged: bool = False
    partner: str = ""
    kind: str = ""  # Of its offer: transfer, consult, return; empty: from the queue.
    callback: str = ""  # The callback whose customer was to be called after this agent's answer.
    codes: str = ""  # cc_codes: the keys that give the conversation's result.
    elsewhere: bool = False  # Goes through another node, which has the phone.
    unconfirmed: bool = False  # Goes to a number outside where nobody has pressed the key yet.


class TrunkLeg(Struct, frozen=True, kw_only=True):
    """A leg on a trunk, and the lines that are kept behind it: (leg, trunk, gateway)."""

    leg: str
    tenant: str
    trunk: str
    gateway: str
    contact: str
    answered: bool = False
    then: tuple[tuple[str, str, str], ...] = ()


class OpenContact(Struct, frozen=True, kw_only=True):
    """A contact of this node that routing's log has not closed; found at a takeover."""

    contact: str
    tenant: str
    queue: str
    waiting_since_us: int
    entry_point: str = ""
    offer: str = ""  # The open or accepted offer.
    agent: str = ""
    connected_at_us: int = 0  # 0: it waits.


# --- inputs: the switch ----------------------------------------------------------------------------------------------


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
    open_contacts: tuple[OpenContact, ...] = ()  # Once after a takeover.


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


# --- inputs: routing's log, people, the rest -------------------------------------------------------------------------


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


# --- outputs: commands to the switch ---------------------------------------------------------------------------------


class Command(Struct, frozen=True, kw_only=True):
    """Base of what FreeSWITCH is told. Commands of one contact are sent in the order of the outputs."""

    contact: str
    leg: str


class SetVars(Command, frozen=True, kw_only=True):
    """uuid_setvar_multi."""

    values: tuple[tuple[str, str], ...]


class PlayMusic(Command, frozen=True, kw_only=True):
    """uuid_transfer to music, then park: the caller's music, and the rescue from whatever state a failed bridge left."""

    music: str


class StartAnnouncement(Command, frozen=True, kw_only=True):
    """uuid_displace start."""

    file: str


class StopAnnouncement(Command, frozen=True, kw_only=True):
    """uuid_displace stop."""

    file: str


class Whisper(Command, frozen=True, kw_only=True):
    """uuid_transfer of an agent's leg to these files, one after the other, then :class:`WhisperEnded` and the park."""

    files: tuple[str, ...]


class PlayTo(Command, frozen=True, kw_only=True):
    """uuid_broadcast on a parked leg."""

    file: str


class Originate(Command, frozen=True, kw_only=True):
    """bgapi originate of the agent's leg, parked when answered. ``leg`` becomes its UUID."""

    offer: str
    agent: str
    extension: str
    tenant: str
    ring_ms: int
    ani: str
    caller_name: str
    kind: str = ""
    callback: str = ""
    phone_node: str = ""  # The node that the phone is registered with; empty: not known.
    way: Way | None = None  # To the agent's number outside; None: to the phone.
    confirm: bool = False  # The leg is no answer before a key.


class CallCustomer(Command, frozen=True, kw_only=True):
    """bgapi originate of a customer's leg, parked when answered. ``leg`` becomes its UUID."""

    offer: str  # What its job is named.
    way: Way
    ring_ms: int
    variables: tuple[tuple[str, str], ...]


class Kill(Command, frozen=True, kw_only=True):
    """uuid_kill."""

    cause: str


class Bridge(Command, frozen=True, kw_only=True):
    """uuid_bridge; ``leg`` is the agent's, which must be named first. ``caller_leg`` may be another agent's: they consult."""

    caller_leg: str
    offer: str


class Record(Command, frozen=True, kw_only=True):
    """uuid_record start; ``path`` is relative to the recordings folder."""

    path: str


class Farewell(Command, frozen=True, kw_only=True):
    """uuid_transfer to a prompt (none when empty), then hang up."""

    file: str


class LeaveMessage(Command, frozen=True, kw_only=True):
    """uuid_transfer to a prompt, a beep and a recording, thanks, then hang up. ``path`` is relative to the recordings folder."""

    file: str
    path: str
    most_s: int
    silence_s: int
    thanks_file: str


class RingBack(Command, frozen=True, kw_only=True):
    """uuid_transfer of an agent's leg to a ring tone, then park: what is heard while somebody's phone rings.

    ``keys``: the phone has dialled, and gets the feature codes that a rung one has from its answer on.
    """

    keys: bool = False


class Park(Command, frozen=True, kw_only=True):
    """uuid_transfer to the park: out of a conference."""


class JoinRoom(Command, frozen=True, kw_only=True):
    """uuid_transfer to a conference; ``both``: with the leg that it talks to."""

    room: str
    both: bool = False


class TransferOut(Command, frozen=True, kw_only=True):
    """uuid_transfer to a bridge with an outside number, tried by one trunk after the other.

    When nobody is reached: a prompt and the end, or, with ``returns``, the wait in the queue again, to this ``music``.
    """

    tenant: str
    ways: tuple[Way, ...]
    sorry_file: str
    returns: bool = False
    music: str = ""


class SetGlobal(Command, frozen=True, kw_only=True):
    """global_setvar. ``contact`` and ``leg`` are empty."""

    name: str
    value: str


class Refer(Command, frozen=True, kw_only=True):
    """uuid_deflect of an answered leg: the carrier is asked to call ``sip:<user>@<address>`` in its place."""

    user: str
    address: str


class Probe(Command, frozen=True, kw_only=True):
    """Ask whether the leg lives (the channel table is written late; a missing row proves nothing)."""


# --- outputs: everything else ----------------------------------------------------------------------------------------


class Report(Struct, frozen=True, kw_only=True):
    """Append a fact. ``fact_id`` is the same whoever reports it again."""

    tenant: str
    fact_id: str
    fact: Observation


class SetTimer(Struct, frozen=True, kw_only=True):
    """Come back with :class:`TimerFired`; replaces a timer of the same key."""

    key: str
    after_ms: int


class CancelTimer(Struct, frozen=True, kw_only=True):
    """Forget a timer."""

    key: str


class AskPosition(Struct, frozen=True, kw_only=True):
    """Ask routing for the place of a contact (``what`` position) or its expected wait (wait); no answer is needed."""

    tenant: str
    contact: str
    language: str
    queue: str
    what: str = "position"


class AskContact(Struct, frozen=True, kw_only=True):
    """Ask routing who a caller is who came from another node; to be answered with :class:`ContactKnown`."""

    tenant: str
    contact: str


class WishAnswered(Struct, frozen=True, kw_only=True):
    """What a wish came to: the call after it, or a ``slug`` and a ``reason`` why not (``status`` is HTTP's)."""

    request_id: str
    contact: str
    slug: str = ""
    reason: str = ""
    status: int = 409


class RouteChosen(Struct, frozen=True, kw_only=True):
    """The ways that ivr may try; none, and then ``refusal`` says why."""

    request_id: str
    ways: tuple[Way, ...] = ()
    refusal: str = ""


class ListChannels(Struct, frozen=True, kw_only=True):
    """Read the switch: show channels, uuid_dump of what the engine does not know."""


class Line(Struct, frozen=True, kw_only=True):
    """One line for the log."""

    event: str
    fields: tuple[tuple[str, str | int | bool], ...]
    warning: bool = False


Output = (
    Command
    | Report
    | SetTimer
    | CancelTimer
    | AskPosition
    | AskContact
    | WishAnswered
    | RouteChosen
    | SupervisionAnswered
    | ListChannels
    | Line
)
