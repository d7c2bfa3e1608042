"""Nodes of flows that speak texts made at the call, and that understand what callers say. What must hold is in ``speech_check``.

Whatever can be said can be keyed too: nobody depends on being understood, and where no recogniser speaks the caller's language these nodes
are menus.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.center.phrases import PLACE, normal, places_of
from services.center.words import Key, Language, Part, Retries, Text, Timeout, Token

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)


def _spoken(text: dict[str, str]) -> dict[str, str]:
    for language, line in text.items():
        left = PLACE.sub("", line)
        if "{" in left or "}" in left:
            raise ValueError(f'{language}: a brace in "{line}" has no other one')
        for name in places_of(line):
            if not _NAME.fullmatch(name):
                raise ValueError(f'{language}: "{{{name}}}" names no variable')
    return text


def _phrase(text: str) -> str:
    if not normal(text):
        raise ValueError(f'"{text}" has nothing that can be said')
    return text


Spoken = Annotated[Text, AfterValidator(_spoken)]
"""A text by language, with variables in braces."""
Phrase = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$"),
    AfterValidator(_phrase),
]
Phrases = Annotated[
    dict[Language, Annotated[list[Phrase], Field(min_length=1, max_length=50)]], Field(min_length=1)
]
"""What callers may say, by language. Spelling does not matter: see ``services.center.phrases``."""


class SpeakNode(Part):
    """Speak a text by the voice of its language, with what variables have at this moment."""

    speak: Spoken
    skip: bool = False
    """Whether a key ends it; the key counts for the menu that follows."""
    then: Token
    otherwise: Token
    """It could not be spoken: no voice, or not in time."""


class ListenNode(Part):
    """Play a prompt and branch on what the caller says, or keys. After ``retries`` more tries without an answer: ``otherwise``."""

    listen: Token
    hears: Annotated[dict[Token, Phrases], Field(min_length=1)]
    """Where each phrase leads."""
    digits: Annotated[dict[Key, Token], Field(min_length=1)]
    """The same by keys."""
    otherwise: Token
    interrupt: bool = True
    """Whether the prompt ends when the caller begins to speak."""
    most_s: Annotated[int, Field(ge=1, le=20)] = 8
    """The longest answer."""
    timeout_s: Timeout = 5
    retries: Retries = 2
    invalid: Token | None = None
    """Prompt after an answer that leads nowhere, before the question is asked again."""


class Way(Part):
    """Where a word or a key leads."""

    to: Token
    key: Key
    says: Phrases


class Answer(Part):
    """One common question, and what is answered."""

    asked: Phrases
    """How people ask it."""
    key: Key
    """What stands for the question where it is not understood."""
    play: Token | None = None
    """The answer as a prompt."""
    speak: Spoken | None = None
    """The answer as a text that is spoken."""

    @model_validator(mode="after")
    def _one(self) -> Answer:
        if (self.play is None) == (self.speak is None):
            raise ValueError("expected exactly one of play, speak")
        return self


class FaqNode(Part):
    """Answer common questions: ask what the caller wants to know, answer, ask whether there is anything else, and so on."""

    faq: Token
    """The prompt that asks what the caller wants to know; it names the keys too."""
    answers: Annotated[dict[Token, Answer], Field(min_length=1, max_length=20)]
    more: Token
    """The prompt after an answer: anything else? It names the keys too."""
    person: Way
    """Who wants to speak to somebody; also when an answer could not be given."""
    done: Way
    """Who has no more questions; also who says nothing after an answer."""
    otherwise: Token
    """No question was understood."""
    most_s: Annotated[int, Field(ge=1, le=20)] = 8
    timeout_s: Timeout = 5
    retries: Retries = 2
    invalid: Token | None = None

    @model_validator(mode="after")
    def _keys(self) -> FaqNode:
        if "more" in self.answers:
            raise ValueError("an answer cannot be called more: that is what is asked after each of them")
        found: dict[str, str] = {}
        keys = [(name, answer.key) for name, answer in self.answers.items()]
        for name, key in (*keys, ("person", self.person.key), ("done", self.done.key)):
            if key in found:
                raise ValueError(f"key {key} is that of {found[key]} and of {name}")
            found[key] = name
        return self


Speaking = SpeakNode | ListenNode | FaqNode


class Speech(Part):
    """How the center sounds where nothing was recorded."""

    voices: dict[
        Language, Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+/-]{0,63}$")]
    ] = {}
    """The voice of each language, as the installation's engine calls it; others have the engine's own."""
