"""What the interpreter works on: the flow as small structs, the events that come in, the outputs that go out."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ivr.core.hours import Calendar


class Play(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt, go on."""

    prompt: str
    then: str


class Say(msgspec.Struct, frozen=True, tag=True):
    """Read out a variable, or the literal digits."""

    what: str
    as_number: bool
    then: str


class Menu(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and branch on keys; ``tries`` rounds without a match lead to ``otherwise``."""

    prompt: str
    digits: Mapping[str, str]
    otherwise: str
    timeout_ms: int
    tries: int
    invalid: str | None = None


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Play a prompt and collect digits into a variable."""

    prompt: str
    into: str
    min_digits: int
    max_digits: int
    timeout_ms: int
    tries: int
    then: str
    otherwise: str


class Hours(msgspec.Struct, frozen=True, tag=True):
    """Branch on a calendar."""

    calendar: Calendar
    open: str
    closed: str


class ToQueue(msgspec.Struct, frozen=True, tag=True):
    """Hand the caller over."""

    queue: str
    priority: int
    skills: tuple[str, ...] = ()
    service_class: str = ""
    preferred_agent: str = ""


class ToNumber(msgspec.Struct, frozen=True, tag=True):
    """Connect the caller to an outside number."""

    number: str
    otherwise: str | None = None


class Hangup(msgspec.Struct, frozen=True, tag=True):
    """End the call."""


Node = Play | Say | Menu | Ask | Hours | ToQueue | ToNumber | Hangup

KIND = {
    Play: "play",
    Say: "say",
    Menu: "menu",
    Ask: "ask",
    Hours: "hours",
    ToQueue: "queue",
    ToNumber: "transfer",
    Hangup: "hangup",
}


class Flow(msgspec.Struct, frozen=True):
    """One flow of one revision, with what takes a caller whom the flow cannot serve."""

    name: str
    start: str
    nodes: Mapping[str, Node]
    fallback: ToQueue


class Limits(msgspec.Struct, frozen=True):
    """What bounds a call inside a flow, whatever the caller does."""

    max_steps: int = 200
    max_time_ms: int = 900_000
    key_gap_ms: int = 2_000
    """How long a key that is a whole choice waits for the next one, where a longer choice begins with it."""


# -- events: what happened to the call; ``at_us`` is wall time, microseconds since the epoch ------------------------


class Begun(msgspec.Struct, frozen=True):
    """The call is answered and ours."""

    at_us: int
    languages: tuple[str, ...]
    """The caller's language first, then where else to look for a prompt."""
    caller: str
    entry: str


class PlayEnded(msgspec.Struct, frozen=True):
    """A playback is over: played or broken off (``heard``), or its file was missing or broken."""

    at_us: int
    play: int
    heard: bool


class KeyPressed(msgspec.Struct, frozen=True):
    """The caller pressed one key of 0-9, star, pound."""

    at_us: int
    key: str


class TimerFired(msgspec.Struct, frozen=True):
    """A timer is over."""

    at_us: int
    timer: int


class TransferConnected(msgspec.Struct, frozen=True):
    """Somebody answered at the outside number."""

    at_us: int


class TransferEnded(msgspec.Struct, frozen=True):
    """The connection to the outside number is over, or was never made."""

    at_us: int
    cause: str


class HandedOver(msgspec.Struct, frozen=True):
    """FreeSWITCH confirmed that the hand-over is written on the channel."""

    at_us: int


class HungUp(msgspec.Struct, frozen=True):
    """The caller's leg is gone."""

    at_us: int
    cause: str


class Lost(msgspec.Struct, frozen=True):
    """The connection to FreeSWITCH ended without a word about the call; the dialplan has it now, if it lives."""

    at_us: int


class Broken(msgspec.Struct, frozen=True):
    """Something inside ivr failed for this call."""

    at_us: int
    reason: str


Event = (
    Begun
    | PlayEnded
    | KeyPressed
    | TimerFired
    | TransferConnected
    | TransferEnded
    | HandedOver
    | HungUp
    | Lost
    | Broken
)


# -- outputs: what is to be done, in this order -----------------------------------------------------------------------


class PlayPrompt(msgspec.Struct, frozen=True):
    """Play a prompt in a language; answered by PlayEnded."""

    play: int
    prompt: str
    language: str


class SayText(msgspec.Struct, frozen=True):
    """Read out digits, or a whole number; answered by PlayEnded."""

    play: int
    text: str
    as_number: bool
    language: str


class StopPlaying(msgspec.Struct, frozen=True):
    """Break the running playback off; its PlayEnded still comes."""


class ArmTimer(msgspec.Struct, frozen=True):
    """Fire once after so long. Timers are not cancelled: the interpreter knows which one counts."""

    timer: int
    after_ms: int


class Transfer(msgspec.Struct, frozen=True):
    """Connect to an outside number; answered by TransferConnected, and TransferEnded."""

    number: str


class HandOver(msgspec.Struct, frozen=True):
    """Write this on the channel and confirm by HandedOver; let go at Ended."""

    queue: str
    priority: int
    skills: tuple[str, ...]
    language: str
    customer: str
    service_class: str = ""
    preferred_agent: str = ""


class StepTaken(msgspec.Struct, frozen=True):
    """The caller went through a node."""

    step_no: int
    node: str
    kind: str
    result: str
    spent_ms: int
    at_us: int


class PromptMissing(msgspec.Struct, frozen=True):
    """A prompt could not be played in a language; ``given_up`` when no language is left."""

    prompt: str
    language: str
    given_up: bool


class Ended(msgspec.Struct, frozen=True):
    """The last output of a call. ``handed_over`` is for the queue; everything else ended inside ivr.

    ``hang_up``: the leg is still there and ours to end.
    """

    outcome: str
    node: str
    cause: str
    hang_up: bool
    at_us: int


Output = (
    PlayPrompt | SayText | StopPlaying | ArmTimer | Transfer | HandOver | StepTaken | PromptMissing | Ended
)

OUTCOMES = ("handed_over", "hung_up", "closed", "transferred", "finished", "failed")
