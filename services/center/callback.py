"""How callers are called back instead of waiting on the phone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from services.center.words import Number, Part, Seconds, Token

CALLBACK_PROMPTS = (
    "callback-offer",
    "callback-number",
    "callback-confirm",
    "callback-enter",
    "callback-refused",
    "callback-taken",
    "callback-customer",
    "callback-agent",
    "callback-missed",
)
"""What callers and agents hear around a callback; needed as soon as a queue has one.

offer: press the key to be called back. number, the digits, confirm: press 1 when that is right, 2 for another one, star to go on
waiting. enter: key the number, then pound. refused: that number cannot be called. taken: we will call you, goodbye. customer: we are
calling you back, press 1. agent: a callback, the customer is being called. missed: the customer was not reached.
"""


Prefix = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{1,12}$")]


class CallbackOffer(Part):
    """Tell callers of it, whichever comes first."""

    after_s: Seconds | None = None
    """Who has waited so long."""
    expected_s: Seconds | None = None
    """Who can expect to wait so long, or longer, from now on; silent while nothing is known of it."""
    every_s: Annotated[int, Field(ge=20, le=3600)] = 120
    """Again after so long."""

    @model_validator(mode="after")
    def _one(self) -> CallbackOffer:
        if self.after_s is None and self.expected_s is None:
            raise ValueError("expected after_s, expected_s, or both")
        return self


class Callback(Part):
    """The caller hangs up, keeps the place in the queue and is called when it is their turn."""

    key: Annotated[str, StringConstraints(pattern=r"^[0-9*#]$")] = "1"
    """Pressed while waiting, it asks for a callback, said or not."""
    offer: CallbackOffer | None = None
    """None: nobody is told; who knows the key may press it."""
    first: Literal["customer", "agent"] = "customer"
    """Whose phone rings first. The agent is reserved in either case, so the customer does not wait again."""
    confirm: bool = True
    """The customer has to press 1: an answering machine does not, and is called again later."""
    another_number: bool = True
    """Whether callers may key a number other than their own."""
    prefixes: list[Prefix] = Field(default_factory=list)
    """What a number has to begin with, for example ``["0", "+98"]``; empty: the caller's own number, and what ``calls`` allows to all."""
    caller_id: Number | None = None
    """The number that customers see; None is the one that they had called."""
    hours: Token | None = None
    """The calendar in which customers are called; None: at any time. Callers may ask for it at any time."""
    dial_s: Annotated[int, Field(ge=5, le=120)] = 25
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    pause_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    """Between two attempts."""
    expires_s: Annotated[int, Field(ge=60, le=2_592_000)] = 345_600

    @model_validator(mode="after")
    def _order(self) -> Callback:
        if self.attempts > 1 and self.pause_s >= self.expires_s:
            raise ValueError(f"pause_s ({self.pause_s}) is not shorter than expires_s ({self.expires_s})")
        return self
