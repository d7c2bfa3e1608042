"""The facts that become rows: every message of ivr, queue, recording, routing and reporting itself, field by field.

Names and fields are those of ``proto/peyvand/*/v1``; a contract test holds them equal, because the ``facts`` table keeps
each fact whole. Times are microseconds since the epoch, UTC; durations are milliseconds.
"""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from services.reporting.core.facts.center import CenterChange, CenterRevised
from services.reporting.core.facts.ivr import (
    ContactHandedOver,
    ContactStarted,
    IvrEnded,
    IvrFact,
    IvrStepsTaken,
    IvrStepTaken,
    PromptMissed,
    SurveyAnswered,
    SurveyEnded,
)
from services.reporting.core.facts.queue import (
    AgentBridged,
    AgentReleased,
    CallbackAccepted,
    CallbackAttempted,
    ConferenceStarted,
    ConsultEnded,
    ConsultStarted,
    ContactGone,
    ContactHeld,
    ContactResumed,
    ContactWaiting,
    ConversationEnded,
    DialRefused,
    DispositionKeyed,
    KeyPressed,
    NodeDrainChanged,
    NodeDrained,
    OfferAnswered,
    OfferFailed,
    OfferRinging,
    OutboundAnswered,
    OutboundDialled,
    OutboundFailed,
    PartyJoined,
    PartyLeft,
    QueueFact,
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TransferRequested,
    TreatmentPlayed,
    TrunkFailed,
    TrunkFull,
    WhisperPlayed,
)
from services.reporting.core.facts.recording import (
    RecordingFact,
    RecordingFailed,
    RecordingStarted,
    RecordingStored,
)
from services.reporting.core.facts.reporting import (
    EvaluationGiven,
    Mark,
    ReportFailed,
    ReportingFact,
    ReportSent,
)
from services.reporting.core.facts.routing import (
    AgentActivityChanged,
    AgentLoginRefused,
    AgentOwnCallChanged,
    AgentPhoneChanged,
    AgentPresenceChanged,
    AgentSeatChanged,
    CallbackAnswered,
    CallbackChanged,
    CallRefused,
    ContactClosed,
    ContactConnected,
    ContactMoved,
    ContactOverflowed,
    ContactPriorityChanged,
    ContactQueued,
    ContactTransferred,
    Excluded,
    Explanation,
    NodeChanged,
    NodeDraining,
    NumberDialled,
    NumberEnded,
    OfferEnded,
    OfferMade,
    OwnerChanged,
    RoutingFact,
    Term,
    TransferRefused,
    WrapUpChanged,
    WrapUpEnded,
)

__all__ = [
    "OBSERVATIONS",
    "AgentActivityChanged",
    "AgentBridged",
    "AgentLoginRefused",
    "AgentOwnCallChanged",
    "AgentPhoneChanged",
    "AgentPresenceChanged",
    "AgentReleased",
    "AgentSeatChanged",
    "AnyFact",
    "CallRefused",
    "CallbackAccepted",
    "CallbackAnswered",
    "CallbackAttempted",
    "CallbackChanged",
    "CenterChange",
    "CenterRevised",
    "ConferenceStarted",
    "ConsultEnded",
    "ConsultStarted",
    "ContactClosed",
    "ContactConnected",
    "ContactGone",
    "ContactHandedOver",
    "ContactHeld",
    "ContactMoved",
    "ContactOverflowed",
    "ContactPriorityChanged",
    "ContactQueued",
    "ContactResumed",
    "ContactStarted",
    "ContactTransferred",
    "ContactWaiting",
    "ConversationEnded",
    "Decided",
    "DialRefused",
    "DispositionKeyed",
    "EvaluationGiven",
    "Excluded",
    "Explanation",
    "IvrEnded",
    "IvrFact",
    "IvrStepTaken",
    "IvrStepsTaken",
    "KeyPressed",
    "Mark",
    "NodeChanged",
    "NodeDrainChanged",
    "NodeDrained",
    "NodeDraining",
    "NumberDialled",
    "NumberEnded",
    "OfferAnswered",
    "OfferEnded",
    "OfferFailed",
    "OfferMade",
    "OfferRinging",
    "OutboundAnswered",
    "OutboundDialled",
    "OutboundFailed",
    "OwnerChanged",
    "PartyJoined",
    "PartyLeft",
    "Placed",
    "PromptMissed",
    "QueueFact",
    "RecordingFact",
    "RecordingFailed",
    "RecordingStarted",
    "RecordingStored",
    "ReportFailed",
    "ReportSent",
    "ReportingFact",
    "RoutingFact",
    "SupervisionChanged",
    "SupervisionEnded",
    "SupervisionStarted",
    "SurveyAnswered",
    "SurveyEnded",
    "Term",
    "TransferRefused",
    "TransferRequested",
    "TreatmentPlayed",
    "TrunkFailed",
    "TrunkFull",
    "Unread",
    "WhisperPlayed",
    "WrapUpChanged",
    "WrapUpEnded",
]


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


AnyFact = IvrFact | QueueFact | RecordingFact | ReportingFact | RoutingFact | CenterRevised | Unread

OBSERVATIONS: Final[tuple[type[IvrFact | QueueFact | RecordingFact | ReportingFact], ...]] = (
    *get_args(IvrFact),
    *get_args(QueueFact),
    *get_args(RecordingFact),
    *get_args(ReportingFact),
)
"""Messages of the stream of events. Those of routing come inside ``Decided``, and steps of a call inside the message that tells them."""


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
