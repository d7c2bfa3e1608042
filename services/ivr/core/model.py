"""What happens to a call, and what is to be done: the events and outputs of the interpreter."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

# -- events: what happened to the call; ``at_us`` is wall time, microseconds since the epoch ------------------------


class Begun(msgspec.Struct, frozen=True):
    """The call is answered and ours."""

    at_us: int
    languages: tuple[str, ...]
    """The caller's language first, then where else to look for a prompt."""
    caller: str
    entry: str
    chance: int = 0
    """Any number, another one for each call: what splits are drawn from."""
    answered: bool = True
    """False: what is played is early media, for nobody has answered."""


class PlayEnded(msgspec.Struct, frozen=True):
    """A playback is over: played or broken off (``heard``), or its file was missing or broken.

    ``said`` is False when there was nothing to play, because a text cannot be said in the wanted form.
    """

    at_us: int
    play: int
    heard: bool
    said: bool = True


class SpeechBegan(msgspec.Struct, frozen=True):
    """The caller has begun to speak."""

    at_us: int
    hearing: int


class SpeechUnderstood(msgspec.Struct, frozen=True):
    """The caller said a phrase; ``to`` is where it leads."""

    at_us: int
    hearing: int
    to: str
    phrase: str


class SpeechMissed(msgspec.Struct, frozen=True):
    """What the caller said was not understood. ``heard`` is False when nobody could listen: no recogniser, or too much to do."""

    at_us: int
    hearing: int
    heard: bool


class KeyPressed(msgspec.Struct, frozen=True):
    """The caller pressed one key of 0-9, star, pound."""

    at_us: int
    key: str


class TimerFired(msgspec.Struct, frozen=True):
    """A timer is over."""

    at_us: int
    timer: int


class Recorded(msgspec.Struct, frozen=True):
    """A recording is over: so much was said, 0 when nothing was recorded."""

    at_us: int
    recording: int
    length_ms: int


class QueueSeen(msgspec.Struct, frozen=True):
    """The state of the queue that was asked about."""

    at_us: int
    look: int
    waiting: int
    longest_ms: int
    ready: int


class QueueUnseen(msgspec.Struct, frozen=True):
    """Nobody could tell the state of the queue."""

    at_us: int
    look: int


class AgentSeen(msgspec.Struct, frozen=True):
    """How the agent is that was asked about: ``ready``, ``busy``, ``away``, or ``unseen`` when nobody could tell."""

    at_us: int
    look: int
    state: str


class WebAnswered(msgspec.Struct, frozen=True):
    """A web service answered. ``values`` are those of the wanted ones that are there, as text."""

    at_us: int
    request: int
    status: int
    values: Mapping[str, str]


class WebFailed(msgspec.Struct, frozen=True):
    """A web service could not be asked, or what it answered is of no use; ``reason`` in a word."""

    at_us: int
    request: int
    reason: str


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
    | SpeechBegan
    | SpeechUnderstood
    | SpeechMissed
    | KeyPressed
    | TimerFired
    | Recorded
    | QueueSeen
    | QueueUnseen
    | AgentSeen
    | WebAnswered
    | WebFailed
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
    """Read out a text in a form (digits, number, ordinal, money, date, time); answered by PlayEnded.

    ``detail`` is the currency of money, the calendar of a date.
    """

    play: int
    text: str
    form: str
    language: str
    detail: str = ""


class SpeakText(msgspec.Struct, frozen=True):
    """Speak a text by a voice; answered by PlayEnded, not heard when it could not be spoken in time.

    ``instead``: of what no recording was found, whose text it is then; ``text`` is empty.
    """

    play: int
    text: str
    language: str
    instead: PlayPrompt | SayText | None = None


class HearCaller(msgspec.Struct, frozen=True):
    """Listen to the caller until StopHearing; ``phrases`` by where they lead. Answered by SpeechBegan, then SpeechUnderstood or SpeechMissed.

    A later HearCaller takes the place of an earlier one.
    """

    hearing: int
    language: str
    phrases: Mapping[str, tuple[str, ...]]
    most_ms: int


class StopHearing(msgspec.Struct, frozen=True):
    """Do not listen any more; no answer."""


class StopPlaying(msgspec.Struct, frozen=True):
    """Break the running playback or recording off; its PlayEnded or Recorded still comes."""


class ArmTimer(msgspec.Struct, frozen=True):
    """Fire once after so long. Timers are not cancelled: the interpreter knows which one counts."""

    timer: int
    after_ms: int


class AnswerCall(msgspec.Struct, frozen=True):
    """Answer the call before whatever comes next."""


class HideKeys(msgspec.Struct, frozen=True):
    """Secret keys follow: FreeSWITCH must not write what this call presses into its records."""


class RecordMessage(msgspec.Struct, frozen=True):
    """Beep, and record the caller until ``#``, silence or the time end it; answered by Recorded."""

    recording: int
    queue: str
    most_s: int
    silence_s: int


class RecordAnswer(msgspec.Struct, frozen=True):
    """As RecordMessage, but what is said is the answer to a question of a survey."""

    recording: int
    question: str
    most_s: int
    silence_s: int


class LookAtQueue(msgspec.Struct, frozen=True):
    """Find out the state of a queue; answered by QueueSeen or QueueUnseen."""

    look: int
    queue: str


class LookAtAgent(msgspec.Struct, frozen=True):
    """Find out whether an agent can take a call; answered by AgentSeen."""

    look: int
    agent: str


class SendRequest(msgspec.Struct, frozen=True):
    """Ask a web service of the center; answered by WebAnswered or WebFailed. ``wanted``: variables, each with its JSON path."""

    request: int
    service: str
    method: str
    target: str
    """Path and query behind the service's address."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int
    """Of one try."""
    tries: int
    wanted: tuple[tuple[str, str], ...]


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
    callback: bool = False
    survey: str = ""
    """The flow that asks the caller after the conversation; ``-``: none is to; empty: as the queue says."""
    preferred_ms: int = 0
    """How long the preferred agent is waited for; 0: as the queue says."""
    no_answer: str = ""
    """Where a caller goes whom that agent has not taken; empty: to the others of the queue."""


class StepTaken(msgspec.Struct, frozen=True):
    """The caller went through a node. ``input`` is what they keyed there, ``HIDDEN`` instead of what is secret."""

    step_no: int
    flow: str
    version: int
    node: str
    kind: str
    result: str
    entered_us: int
    spent_ms: int
    at_us: int
    input: str = ""


class Rated(msgspec.Struct, frozen=True):
    """A question of a survey was answered by a number, or by words (``said_ms``) that were recorded."""

    step_no: int
    flow: str
    question: str
    at_us: int
    score: int = 0
    least: int = 0
    most: int = 0
    said_ms: int = 0


class PromptMissing(msgspec.Struct, frozen=True):
    """A prompt could not be played in a language; ``given_up`` when nothing is left to try.

    ``by_voice``: no recording was found before, and its text could not be spoken either.
    """

    flow: str
    node: str
    prompt: str
    language: str
    given_up: bool
    at_us: int
    by_voice: bool = False


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
    PlayPrompt
    | SayText
    | SpeakText
    | HearCaller
    | StopHearing
    | StopPlaying
    | ArmTimer
    | AnswerCall
    | HideKeys
    | RecordMessage
    | LookAtQueue
    | LookAtAgent
    | SendRequest
    | RecordAnswer
    | Transfer
    | HandOver
    | StepTaken
    | Rated
    | PromptMissing
    | Ended
)

OUTCOMES = ("handed_over", "hung_up", "closed", "transferred", "finished", "failed")

HIDDEN = "(secret)"
"""What stands for secret input in reports."""
