"""What a caller hears while waiting in a queue, and the ways of leaving it: the parts of a queue's settings for that.

Times count from the beginning of the wait, also across queues: a caller who changes the queue after five minutes comes into the middle of
the new one's schedule, and a process that takes over finds the same moments. What is due while something else is heard waits for its end.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from services.center.words import Number, Part, Seconds, Token

Key = Annotated[str, StringConstraints(pattern=r"^[0-9*#]$")]
"""One key of a phone."""
Every = Annotated[int, Field(ge=10, le=3600)]
First = Annotated[int, Field(ge=1, le=3600)]


class AnnouncePosition(Part):
    """Say the caller's place in the queue: prompts ``<prompt>-before``, the number, ``<prompt>-after``."""

    every_s: Every = 30
    first_s: First | None = None
    """The first time; after ``every_s`` when it is not given."""
    prompt: Token = "position"
    up_to: Annotated[int, Field(ge=1)] | None = None
    """Places beyond it are not said."""
    only_shorter: bool = False
    """Say it only when it is better than what the caller heard last."""
    ordinal: bool = False
    """English says "third" instead of "three"; Persian always does."""


class AnnounceWait(Part):
    """Say the expected wait: ``<prompt>-before``, minutes, ``<prompt>-after``; up to a minute ``<prompt>-short``.

    Nothing is said while nothing is known of the queue, below 15 s and above 90 minutes, nor ever a longer wait than the caller has heard.
    """

    every_s: Every = 60
    first_s: First | None = None
    """The first time; after ``every_s`` when it is not given."""
    prompt: Token = "wait"
    only_shorter: bool = False
    """Say it only when it is shorter than what the caller heard last."""


class Messages(Part):
    """Adverts or information, one after the other and then from the beginning."""

    prompts: Annotated[list[Token], Field(min_length=1, max_length=20)]
    first_s: First = 20
    every_s: Every | None = None
    """None: each is heard once only when there is one, so several need it."""

    @model_validator(mode="after")
    def _heard(self) -> Messages:
        if len(self.prompts) > 1 and self.every_s is None:
            raise ValueError("several prompts need every_s: without it only the first would be heard")
        return self


class Whisper(Part):
    """What the agent hears after answering, in the agent's language: whom it is about."""

    name: Token | None = None
    """A prompt that says the queue's name."""
    wait: bool = True
    """How long the caller has waited, from ten seconds on; never of somebody who is called back."""
    why: bool = True
    """That it is a callback, or a contact that a colleague passes on."""

    @model_validator(mode="after")
    def _something(self) -> Whisper:
        if not (self.name or self.wait or self.why):
            raise ValueError("nothing to whisper: expected name, wait or why")
        return self


class BeforeBridge(Part):
    """What is said between the agent's answer and the bridge, to both at the same time. It counts as waiting."""

    whisper: Whisper | None = None
    caller: Token | None = None
    """A prompt that the caller hears over the music: that the call may be recorded, that somebody is there now."""
    most_s: Annotated[int, Field(ge=2, le=60)] = 15
    """After so long the bridge comes, whatever is still being said."""

    @model_validator(mode="after")
    def _somebody(self) -> BeforeBridge:
        if self.whisper is None and self.caller is None:
            raise ValueError("nothing is said to anybody: expected whisper, caller, or both")
        return self


WHISPER_WHY_PROMPTS = ("whisper-callback", "whisper-transfer")
"""What an agent is told of a callback, and of a contact that a colleague passes on."""


class Farewell(Part):
    """Hang up after this prompt."""

    prompt: Token


class LeaveMessage(Part):
    """Ask for a message with this prompt, a beep, and record it. How long it may be is in ``voicemail`` of the center."""

    prompt: Token = "leave-message"


class Voicemail(Part):
    """How messages are recorded."""

    most_s: Annotated[int, Field(ge=10, le=900)] = 180
    silence_s: Annotated[int, Field(ge=2, le=30)] = 5
    """So much silence ends the message."""
    thanks: Token = "message-thanks"
    """Heard after the message, before the end."""


WAYS = ("queue", "hangup", "transfer", "voicemail", "callback")


class Overflow(Part):
    """Where a contact goes that cannot stay: exactly one of them."""

    queue: Token | None = None
    """Another queue; the time of waiting goes on."""
    hangup: Farewell | None = None
    """A message, then the end."""
    transfer: Number | None = None
    """A number outside."""
    voicemail: LeaveMessage | None = None
    """The caller leaves a message, which becomes a work item."""
    callback: Literal[True] | None = None
    """The caller is asked for a number and called back, as the queue's ``callback`` says; who does not want it hears ``sorry``."""

    @property
    def text(self) -> str:
        """As it is written where it travels: ``queue:sales``, ``transfer:+98…``, ``voicemail:leave-message``, ``hangup:sorry``, ``callback:``."""
        if self.hangup is not None:
            return f"hangup:{self.hangup.prompt}"
        if self.voicemail is not None:
            return f"voicemail:{self.voicemail.prompt}"
        if self.callback:
            return "callback:"
        return f"transfer:{self.transfer}" if self.queue is None else f"queue:{self.queue}"

    @model_validator(mode="after")
    def _one(self) -> Overflow:
        if sum(getattr(self, way) is not None for way in WAYS) != 1:
            raise ValueError(f"expected exactly one of {', '.join(WAYS)}")
        return self


class MaxWait(Part):
    """The longest wait and what happens then."""

    after_s: Seconds
    then: Overflow


class NoAgent(Part):
    """Nobody serves the queue: no agent is available with a phone that can be reached. Breaks and lost phones count as nobody."""

    after_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    """So long a caller waits all the same; 0 is not at all."""
    then: Overflow


class Closing(Part):
    """The queue's hours. When they end, whoever waits takes the way out; who comes later takes it at once."""

    hours: Token
    """A calendar."""
    then: Overflow
