"""What comes out of the engine: commands to the switch, facts, timers, answers to wishes."""

from __future__ import annotations

from msgspec import Struct

from services.center.outside import Way
from services.queue.core.facts import Observation
from services.queue.core.legs import Line as SipLine
from services.queue.core.listening import SupervisionAnswered

# --- commands to the switch ------------------------------------------------------------------------------------------


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


class RunSurvey(Command, frozen=True, kw_only=True):
    """uuid_transfer to the dialplan's context ``survey``: ivr has the leg, and whenever it lets go the call ends."""


class StopRecording(Command, frozen=True, kw_only=True):
    """uuid_record stop: what comes now is no conversation."""


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


class SendLine(Command, frozen=True, kw_only=True):
    """Offer a waiting caller's line to another node; to be answered with :class:`LineSent`."""

    tenant: str
    node: str
    move: int  # The same for the same move, however often it is asked for: when it began, µs.


class TakeLine(Command, frozen=True, kw_only=True):
    """bgapi originate of a leg in the dialog of another node's, which the dialplan takes for a caller who has come. ``leg`` becomes its UUID."""

    offer: str  # What its job is named.
    tenant: str
    line: SipLine
    cseq: int
    ring_ms: int


class Refer(Command, frozen=True, kw_only=True):
    """uuid_deflect of an answered leg: the carrier is asked to call ``sip:<user>@<address>`` in its place."""

    user: str
    address: str


class Probe(Command, frozen=True, kw_only=True):
    """Ask whether the leg lives (the channel table is written late; a missing row proves nothing)."""


# --- everything else -------------------------------------------------------------------------------------------------


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


class LineAnswered(Struct, frozen=True, kw_only=True):
    """Whether the line that another node offered is taken; with a ``slug`` it is not, for ``reason``. ``known`` False: nobody knows."""

    request_id: str
    contact: str
    slug: str = ""
    reason: str = ""
    known: bool = True


class RouteChosen(Struct, frozen=True, kw_only=True):
    """The ways that ivr may try; none, and then ``refusal`` says why."""

    request_id: str
    ways: tuple[Way, ...] = ()
    refusal: str = ""


class ListChannels(Struct, frozen=True, kw_only=True):
    """Read the switch: show channels, uuid_dump of what the engine does not know."""


class LookBack(Struct, frozen=True, kw_only=True):
    """Ask routing once more what it has open on this node, and read the switch with its answer."""


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
    | LineAnswered
    | SupervisionAnswered
    | ListChannels
    | LookBack
    | Line
)
