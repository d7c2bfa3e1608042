"""Trunks in a center document: by which carriers, and with how many calls at a time, a tenant calls numbers outside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from services.center import outside
from services.center.words import Number, Part, Token

TRUNK_PROMPTS = ("lines-busy", "number-forbidden", "call-busy", "call-failed")
"""What agents hear when a number cannot be called: every line is taken, they may not call it, it is busy, nobody is reached."""

Gateway = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+?[0-9*#]{0,15}$")]
"""How a number begins; empty: every number."""


class Rewrite(Part):
    """How a carrier wants numbers that begin with ``prefix``; the first rule that fits is taken."""

    prefix: Prefix = ""
    strip: Annotated[int, Field(ge=0, le=15)] = 0
    """So many characters are taken off ..."""
    add: Prefix = ""
    """... and this is put in front."""

    @model_validator(mode="after")
    def _stays_a_number(self) -> Rewrite:
        if self.strip > len(self.prefix):
            raise ValueError(f"strip ({self.strip}) takes off more than the prefix {self.prefix!r}")
        if self.prefix.startswith("+") and self.add and not self.strip:
            raise ValueError("add would stand before the plus sign; strip it")
        return self


class Trunk(Part):
    """A gateway of FreeSWITCH as this tenant may use it."""

    gateway: Gateway
    """Its name in FreeSWITCH's configuration (``sofia status gateway``)."""
    channels: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most calls out at a time on each FreeSWITCH node; None: the carrier alone limits them.

    Two nodes that share a carrier's line of 30 get 15 each: no node knows of the other's calls without asking, and none has to ask
    before it dials. Tenants that share a gateway get a share each, too. What comes in by the gateway does not count.
    """
    rewrite: list[Rewrite] = Field(default_factory=list)
    caller_id: Number | None = None
    """The number that is shown for calls that have none of their own."""
    shows_callers: bool = True
    """Whether the carrier lets a transferred caller's number through; without it ``caller_id`` is shown."""

    @model_validator(mode="after")
    def _shows_something(self) -> Trunk:
        if not self.shows_callers and self.caller_id is None:
            raise ValueError("shows_callers: false needs a caller_id that is shown instead")
        return self


class Route(Part):
    """Numbers that begin with ``prefix`` go by these trunks, tried in this order. The longest prefix that fits is taken."""

    prefix: Prefix
    trunks: Annotated[list[Token], Field(min_length=1, max_length=10)]


def outside_of(trunks: dict[str, Trunk], routes: list[Route]) -> outside.Outside:
    """What the choice of a trunk needs of a document."""
    return outside.Outside(
        trunks=tuple(
            outside.Trunk(
                name=name,
                gateway=trunk.gateway,
                channels=trunk.channels or 0,
                rewrite=tuple(
                    outside.Rewrite(prefix=rule.prefix, strip=rule.strip, add=rule.add)
                    for rule in trunk.rewrite
                ),
                caller_id=trunk.caller_id or "",
                shows_callers=trunk.shows_callers,
            )
            for name, trunk in trunks.items()
        ),
        routes=tuple(outside.Route(prefix=route.prefix, trunks=tuple(route.trunks)) for route in routes),
    )
