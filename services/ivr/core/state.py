"""Everything about one call, as a value."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ivr.core.model import PlayPrompt, SayText, SpeakText, SpeechMissed, SpeechUnderstood

TIME_LIMIT = 1
"""Id of the timer that bounds the call's time in its flows."""


class Utterance(msgspec.Struct, frozen=True):
    """One thing to be heard, and the languages in which to look for it."""

    what: PlayPrompt | SayText | SpeakText
    languages: tuple[str, ...]
    texts: Mapping[str, str] = {}
    """Of what is spoken by a voice: the text in each language."""
    voice: str = ""
    """In which language its text is spoken when no recording is found; empty: in none."""


class State(msgspec.Struct):
    """Treat as a value: ``step`` returns a new one and leaves its argument alone."""

    mode: str = "new"
    """new, deciding (never between two events), playing, listening, recording, looking, asking, transfer, handing, ended."""
    flow: str = ""
    node: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """The nodes (flow, node) that called the present flow and wait for its return, the innermost last."""
    step_no: int = 0
    started_us: int = 0
    entered_us: int = 0
    languages: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    chance: int = 0
    typed: str = ""
    """Keys that nobody has asked for yet."""
    collected: str = ""
    tries_left: int = 0
    hearings: int = 0
    """How often the caller was listened to; the last one is the one that counts."""
    hears: bool = False
    """Whether somebody listens to the caller."""
    speaks: bool = False
    """The caller has begun to speak, and it is not known yet what was said."""
    said: SpeechUnderstood | SpeechMissed | None = None
    """What was said before the prompt was over."""
    drop_key: str = ""
    """The key that ends an input which was complete without it."""
    playing: Utterance | None = None
    """What is heard, with the languages that are left to try."""
    speech: tuple[Utterance, ...] = ()
    """What is heard after it."""
    plays: int = 0
    heard: bool = False
    """Whether anything of the present speech was heard."""
    stopping: bool = False
    after: str = ""
    """What follows the speech: ``then`` (the next node), ``listen``, ``round`` (the question again), ``record``."""
    timer: int = TIME_LIMIT
    hidden: bool = False
    was_closed: bool = False
    bridged: bool = False
    survey: str = ""
    """The flow that asks the caller after the conversation; ``-``: none does."""
    answered: int = 0
    """Questions of a survey that the caller has answered."""
    unanswered: bool = False
    """Nobody has answered: early media."""
    reported: bool = True
    """Whether the way out of the present node was reported."""
