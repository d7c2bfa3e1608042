"""What the engine remembers of one caller, one offer, one line: where each is, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from services.queue.core.inputs import OfferMade
from services.queue.core.legs import CallerLeg
from services.queue.core.outputs import Farewell, Originate, StartAnnouncement, StopAnnouncement
from services.queue.core.plan import CenterPlan, QueuePlan

if TYPE_CHECKING:
    from services.queue.core.node import Node


class Stage(Enum):
    """Where a caller is. OFFERED is not a stage: a waiting caller has an offer or not."""

    WAITING = "waiting"
    BRIDGING = "bridging"
    TALKING = "talking"
    UNSETTLED = (
        "unsettled"  # Found after a takeover in the middle of a bridge; looked at again a second later.
    )
    ASIDE = "aside"  # Hears music while its agent holds, dials, waits for a colleague or talks with one.
    CONFERENCE = "conference"  # In a room with one or two agents.
    MOVING = "moving"  # Waits, and its carrier was asked to bring it to another node; see ``moves``.
    PARTED = "parted"  # The agent has left; the farewell comes next.
    LEAVING = "leaving"  # Under a farewell or a transfer: FreeSWITCH ends it without us.


class Phase(Enum):
    """Where an offer is."""

    RINGING = "ringing"
    ANSWERED = "answered"
    TALKING = "talking"
    CONSULTING = "consulting"  # Talks with the agent who asks; the caller hears music.
    WRAP_UP = "wrap_up"  # The caller has left, the agent's leg is parked for a disposition.
    CLOSING = "closing"  # To be ended; over once the job has come and the leg is gone.


class Step(Enum):
    """How far it is with a caller who is ASIDE. The value stands on the caller's leg (``cc_step``) before the step is taken."""

    HELD = "held"
    DIALLING = "dialling"  # The agent keys a target.
    ASKED = "asked"  # Routing is asked.
    RINGING = "ringing"  # A colleague's phone rings, or is being bridged with the agent.
    CONSULTING = "consulting"
    COMPLETING = "completing"  # The colleague is being bridged with the caller.
    BACK = "back"  # The agent is being bridged with the caller.


@dataclass(slots=True)
class Menu:
    """A caller asks to be called back; see ``callback_menu``."""

    step: str  # confirm, enter, taken
    number: str = ""
    tries: int = 0


@dataclass(slots=True)
class Customer:
    """The leg of a customer who is called back, until it is ready; see ``callbacks``."""

    leg: CallerLeg
    center: CenterPlan
    queue: QueuePlan
    step: str = "held"  # held, dialling, redialling, confirming, closing
    order: OfferMade | None = None  # None after a takeover, until the order is read again.
    job_pending: bool = False
    answered: bool = False
    leg_gone: bool = False
    announcing: str = ""
    agent_announcing: str = ""
    called_at_us: int = 0
    retries: int = 0
    cause: str = ""
    tried: list[str] = field(default_factory=list)  # Trunks that failed on the way.

    @property
    def contact(self) -> str:
        return self.leg.leg

    def prompt(self, name: str) -> str:
        return self.center.prompt(name, self.leg.language)


@dataclass(slots=True)
class WayOut:
    """A caller's way to a number outside; see ``outward``."""

    number: str
    purpose: str  # transfer, overflow, outage
    since_us: int


@dataclass(slots=True)
class Caller:
    """A contact's leg on this node."""

    leg: CallerLeg
    center: CenterPlan
    queue: QueuePlan
    stage: Stage
    waiting_since_us: int
    recovered: bool = False
    announcing: str = ""
    announced_at_us: int = 0
    armed: set[str] = field(default_factory=set)  # What the schedule has a timer for.
    heard_position: int = 0  # What was said last; 0 is nothing.
    heard_minutes: int = 0
    keyed_at_us: int = 0  # When a key led somewhere: here from the menu at first.
    offer_id: str = ""  # The offer that was answered or talks; before that the newest of those that ring.
    rings: list[str] = field(default_factory=list)  # Offers whose phones ring; several with ring_all.
    bridged_at_us: int = 0
    reannounced: int = 0
    ended_by_us: bool = False
    parted: bool = False  # The conversation was reported as over.
    recording: str = ""  # Where it is recorded, once it is.
    again: int = 0  # How often it was told anew that it waits.
    gone_reported: bool = False
    unsettled_at_us: int = 0
    agent_there: str = ""  # Offer whose agent had answered, found while nobody knew how the caller's leg is.
    held: list[OfferMade] = field(default_factory=list)  # Orders that came while nobody knew how the leg is.
    offers: int = 0
    menu: Menu | None = None
    lost_agent: Offer | None = None  # Talked to an agent whose node is gone; the way back comes next.
    move_tried: bool = False
    moving_to: str = ""
    moved_to: str = ""  # Where it was to move last, though that seemed to fail.
    line_taken: bool = False
    move_asks: int = 0
    moving_since_us: int = 0
    callback_told: bool = False
    way_out: WayOut | None = None  # LEAVING to a number outside.
    leaving: bool = False  # The queue's limit was reached: a callback or a farewell.

    @property
    def contact(self) -> str:
        return self.leg.leg

    @property
    def called_back(self) -> bool:
        return bool(self.leg.callback)

    @property
    def tenant(self) -> str:
        return self.center.tenant

    def prompt(self, name: str) -> str:
        return self.center.prompt(name, self.leg.language)

    def announce(self, node: Node, file: str) -> None:
        """Play a file over the music, in place of one that is still running."""
        self.stop_announcement(node)
        self.announcing, self.announced_at_us = file, node.at_us
        node.emit(StartAnnouncement(contact=self.contact, leg=self.contact, file=file))

    def stop_announcement(self, node: Node) -> None:
        """Stop what displaces the music: a displacement that runs survives a bridge."""
        if self.announcing:
            node.emit(StopAnnouncement(contact=self.contact, leg=self.contact, file=self.announcing))
            self.announcing = ""


@dataclass(slots=True)
class Remote:
    """An agent at a number outside; see ``remote``."""

    number: str = ""  # Empty after a takeover: it is being called by nobody here.
    confirm: bool = True  # An answer counts when the key has been pressed.
    ring_until_us: int = 0  # Over all trunks.
    tried: list[str] = field(default_factory=list)  # Trunks that failed on the way.
    picked_up: bool = False
    asked: bool = False  # The prompt was started.
    let_go: bool = False  # Originate has let go of the leg: it may be bridged.
    order: Originate | None = None  # Repeated by the next trunk.


@dataclass(slots=True)
class Offer:
    """An agent's leg under one offer."""

    offer_id: str
    contact: str
    tenant: str
    agent: str
    leg: str
    queue: str
    phase: Phase
    made_at_us: int
    ring_limit_ms: int
    ringing_at_us: int = 0
    answered_at_us: int = 0
    bridged_at_us: int = 0
    job_pending: bool = False
    bridge_sent_at_us: int = 0
    look_pending: bool = False  # Whether the legs live was asked and is not answered.
    bridge_held: bool = False  # Answered, but originate has not let go of the leg.
    said_ms: int = 0  # Of the time from the answer to the bridge, what was spent on saying something.
    leg_seen: bool = False
    leg_gone: bool = False
    reported: bool = False  # Its end is known to routing, or was decided there.
    kill_cause: str = "NORMAL_CLEARING"
    retries: int = 0
    recovered: bool = False
    cause: str = ""
    dispositions: frozenset[str] = frozenset()
    wrap_up_ms: int = 0
    originate: Originate | None = None  # Not sent yet: the agent's former leg is still there.
    insisted: bool = False  # That leg was told to end, whatever was being said to it.
    kind: str = ""
    elsewhere: bool = False  # Its phone is registered with another node, which the leg goes through.
    bridge_to: str = ""  # Another leg than the caller's: of the agent who asks.
    farewell: Farewell | None = None  # Waits until the leg is out of a bridge, or of its originate.
    held_since_us: int = 0
    held_ms: int = 0
    remote: Remote | None = None  # Rings at a number outside.
    kept: bool = False  # Routing has its agent busy until AgentReleased.

    @property
    def serves(self) -> bool:
        """Whether its agent is, or may yet be, in the conversation."""
        return self.phase not in (Phase.CLOSING, Phase.WRAP_UP)

    def ring_ms(self, at_us: int) -> int:
        """How long it rang, until the answer or until now."""
        end = self.answered_at_us or at_us
        return max(0, (end - (self.ringing_at_us or self.made_at_us)) // 1000)


@dataclass(slots=True)
class Aside:
    """What happens beside a caller who hears music."""

    contact: str
    first: Offer  # Of the agent who has the contact.
    step: Step
    second: Offer | None = None  # Of the colleague who is asked.
    purpose: str = ""  # DIALLING: transfer or consult.
    digits: str = ""
    consulting_since_us: int = 0


@dataclass(slots=True)
class TrunkLine:
    """A leg on a trunk, from the decision to dial it on; see ``lines``."""

    tenant: str
    trunk: str
    gateway: str
    contact: str
    batch: tuple[str, ...]  # The legs that are tried one after the other, this one among them.
    seen: bool = False  # FreeSWITCH has it.
    answered: bool = False


@dataclass(slots=True)
class Room:
    """A conference around a caller."""

    contact: str
    name: str
    first: Offer
    second: Offer | None
    consulting_since_us: int
    joined: dict[str, str] = field(default_factory=dict)  # Agent by leg; empty for the caller.


@dataclass(slots=True)
class Lead:
    """What is said before a bridge; see ``connecting``."""

    offer: Offer
    began_at_us: int
    files: tuple[str, ...]  # For the agent.
    said: tuple[str, ...]
    language: str
    waited_ms: int
    caller_prompt: str = ""
    caller_file: str = ""  # For the caller; empty when it is over, or there is nothing.
    whispering_since_us: int = 0


@dataclass(slots=True)
class Wish:
    """A wish that waits for its effect."""

    request_id: str
    verb: str


@dataclass(slots=True)
class Drain:
    """The node is being emptied."""

    since_ms: int
    actor: str = ""
    drained: bool = False


@dataclass(slots=True)
class Arrival:
    """A caller from another node, of whom routing is being asked."""

    leg: CallerLeg
    tries: int = 0


@dataclass(slots=True)
class Departed:
    """A caller whose leg ended while moving."""

    tenant: str
    cause: str
    wait_ms: int
    at_us: int
