"""What is remembered of a supervision, and what FreeSWITCH can show of one. A supervision is named by the supervisor's leg."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

LISTEN, WHISPER, BARGE = "listen", "whisper", "barge"
MODES = (LISTEN, WHISPER, BARGE)


class Ear(Enum):
    """Where a supervisor's leg is."""

    RINGING = "ringing"
    ANSWERED = "answered"  # Picked up; the originate has not let go of the leg yet.
    JOINING = "joining"  # Sent to the call; FreeSWITCH has not said that it hears it.
    LISTENING = "listening"
    CLOSING = "closing"  # To be ended; over when the leg is gone.


class SupervisorLeg(Struct, frozen=True, kw_only=True):
    """A supervisor's leg from ``uuid_dump``. ``seq`` counts how often it was sent to a call, ``joined`` which of these it heard last."""

    leg: str
    tenant: str
    contact: str
    supervisor: str
    agent: str = ""
    mode: str = LISTEN
    first_mode: str = LISTEN
    answered: bool = False
    seq: int = 0
    joined: int = 0
    target: str = ""
    started_ms: int = 0


class SupervisionAnswered(Struct, frozen=True, kw_only=True):
    """What became of a wish. With a ``slug`` it was refused for ``reason``, else ``state`` is ringing, listening or ended."""

    request: str
    supervision: str = ""
    contact: str = ""
    supervisor: str = ""
    agent: str = ""
    mode: str = ""
    state: str = ""
    slug: str = ""
    reason: str = ""
    status: int = 409


@dataclass(slots=True)
class Supervision:
    """One supervisor at one contact."""

    leg: str
    tenant: str
    contact: str
    supervisor: str
    mode: str
    phase: Ear
    agent: str = ""
    target: str = ""  # The leg that is listened to.
    seq: int = 0
    started_at_us: int = 0
    reported_mode: str = ""
    first_mode: str = ""
    by: str = "http"
    job_pending: bool = False
    end_reason: str = ""
    kill_tries: int = 0
    requests: list[str] = field(default_factory=list)  # Wishes to be answered when it has its effect.
