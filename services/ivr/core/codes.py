"""Feature codes that agents dial: pure mapping from what was dialled to a wish, and from the answer to a prompt."""

from __future__ import annotations

import re

import msgspec


class SetPresence(msgspec.Struct, frozen=True):
    """The agent wants another presence: available, break, or toggle (log in when out, out when in).

    ``key`` names the reason of a break by its digit in the center document; empty: without a reason.
    """

    presence: str
    key: str = ""


class Dispose(msgspec.Struct, frozen=True):
    """The agent names the result of the last contact, which also ends wrap-up."""

    code: str


class SitDown(msgspec.Struct, frozen=True):
    """Somebody wants to log in at this phone as the agent whose number (extension) it is, by PIN."""

    number: str


class Supervise(msgspec.Struct, frozen=True):
    """A supervisor wants to hear the conversation of the agent with this extension."""

    extension: str


Wish = SetPresence | Dispose | SitDown | Supervise

_DISPOSITION = re.compile(r"\*26([0-9]{1,4})", re.ASCII)
_BREAK = re.compile(r"\*24([0-9])", re.ASCII)
_SEAT = re.compile(r"\*23([0-9]{2,10})", re.ASCII)
_SUPERVISION = re.compile(r"\*33([0-9]{2,10})", re.ASCII)
_PRESENCES = {"*22": "toggle", "*23": "offline", "*24": "break", "*25": "available"}

NOT_POSSIBLE = "not-possible"
ENTER_PIN = "enter-pin"
WRONG_PIN = "wrong-pin"
LOGGED_IN = "logged-in"
SAVED = "saved"
FORBIDDEN = "number-forbidden"
NOT_ALLOWED = frozenset({"number-forbidden", "limit-reached", "outside-hours"})
"""Refusals of a call outside that the agent hears as FORBIDDEN."""


def wish(dialled: str) -> Wish | None:
    """Return what a feature code asks for, None for an unknown one."""
    if dialled in _PRESENCES:
        return SetPresence(_PRESENCES[dialled])
    if m := _BREAK.fullmatch(dialled):
        return SetPresence("break", m[1])
    if m := _DISPOSITION.fullmatch(dialled):
        return Dispose(m[1])
    if m := _SEAT.fullmatch(dialled):
        return SitDown(m[1])
    if m := _SUPERVISION.fullmatch(dialled):
        return Supervise(m[1])
    return None


def presence_prompt(asked: SetPresence, now: str) -> str:
    """Return the prompt for the presence that the agent has now, after having asked for it."""
    if now == "offline":
        return "logged-out"
    if now == "break":
        return "on-break"
    if now == "available":
        return "logged-in" if asked.presence == "toggle" else "available"
    return NOT_POSSIBLE
