"""Flows: what callers go through until a queue takes them or the call ends."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from services.center.words import Keys, Number, Part, Skills, Token


class PlayNode(Part):
    """Play a prompt, go on."""

    play: Token
    then: Token


class SayNode(Part):
    """Read out digits: of a variable (``caller``, ``entry`` or one an ask node filled) or a literal."""

    say: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,30}|[0-9]{1,18})$")]
    as_: Literal["digits", "number"] = Field("digits", alias="as")
    then: Token


class MenuNode(Part):
    """Play a prompt and branch on keys. After ``retries`` more tries without a match: ``otherwise``."""

    menu: Token
    digits: Annotated[dict[Keys, Token], Field(min_length=1)]
    otherwise: Token
    timeout_s: Annotated[int, Field(ge=1, le=60)] = 5
    retries: Annotated[int, Field(ge=0, le=9)] = 2
    invalid: Token | None = None
    """Prompt after a key that leads nowhere, before the menu is played again."""


class AskNode(Part):
    """Play a prompt and collect digits into a variable; ``#`` ends the input."""

    ask: Token
    into: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    min_digits: Annotated[int, Field(ge=1, le=32)] = 1
    max_digits: Annotated[int, Field(ge=1, le=32)]
    timeout_s: Annotated[int, Field(ge=1, le=60)] = 5
    retries: Annotated[int, Field(ge=0, le=9)] = 2
    then: Token
    otherwise: Token

    @model_validator(mode="after")
    def _range(self) -> AskNode:
        if self.max_digits < self.min_digits:
            raise ValueError("max_digits is smaller than min_digits")
        return self


class HoursNode(Part):
    """Branch on a calendar."""

    hours: Token
    open: Token
    closed: Token


class QueueNode(Part):
    """Hand the caller over to a queue. Skills are wanted on top of the queue's own."""

    queue: Token
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    """None takes the queue's."""
    skills: Skills = {}
    class_: Token | None = Field(None, alias="class")
    """The caller's class (``routing.classes``)."""
    prefer: Token | None = None
    """The agent to wait for first, for the queue's ``preferred_s``."""


class TransferNode(Part):
    """Connect the caller to an outside number; ``otherwise`` when nobody answers there (else the fallback queue)."""

    transfer: Number
    otherwise: Token | None = None


class HangupNode(Part):
    """End the call."""

    hangup: Literal[True]


NODE_KINDS = ("play", "say", "menu", "ask", "hours", "queue", "transfer", "hangup")


def _kind(value: Any) -> str:
    """Tag of a node; ambiguity and absence are told apart by ``_node`` before this is asked."""
    if isinstance(value, Part):
        return f"<{next(kind for kind in NODE_KINDS if kind in type(value).model_fields)}>"
    return f"<{next(kind for kind in NODE_KINDS if kind in value)}>"


def _node(value: Any) -> Any:
    if isinstance(value, Part):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping with one of {', '.join(NODE_KINDS)}")
    kinds = [kind for kind in NODE_KINDS if kind in value]
    if len(kinds) != 1:
        raise ValueError(
            f"expected exactly one of {', '.join(NODE_KINDS)}; found {', '.join(kinds) or 'none'}"
        )
    return value


AnyNode = PlayNode | SayNode | MenuNode | AskNode | HoursNode | QueueNode | TransferNode | HangupNode
Node = Annotated[
    Annotated[PlayNode, Tag("<play>")]
    | Annotated[SayNode, Tag("<say>")]
    | Annotated[MenuNode, Tag("<menu>")]
    | Annotated[AskNode, Tag("<ask>")]
    | Annotated[HoursNode, Tag("<hours>")]
    | Annotated[QueueNode, Tag("<queue>")]
    | Annotated[TransferNode, Tag("<transfer>")]
    | Annotated[HangupNode, Tag("<hangup>")],
    Discriminator(_kind),
    BeforeValidator(_node),
]


class Flow(Part):
    """What callers go through until a queue takes them or the call ends."""

    start: Token
    nodes: Annotated[dict[Token, Node], Field(min_length=1)]
