"""What may go wrong on demand: one description for the HTTP API and the scenario file. Pure.

Every fault ends by itself: one that lasts says for how long (``for_s``), the others are one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal["slow", "lossy", "half_frame", "full", "partition", "freeze", "refuse", "restart"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
LONGEST_S: Final = 3600.0
LOST_AT: Final = 500
"""Events lost in a row beyond which the real switch kills a listener (``MAX_MISSED``)."""

_LASTING: Final = ("slow", "lossy", "full", "partition", "freeze", "refuse")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Fields that do not belong to its kind stay as they are."""

    kind: Kind
    for_s: float = 0.0
    """How long it lasts; for ``restart`` how long the switch is down."""
    at_s: float = 0.0
    """In a scenario: seconds after its start. Over HTTP: from now."""
    reply_ms: int = 0
    """slow: before each reply."""
    event_ms: int = 0
    """slow: before events are written."""
    job_ms: int = 0
    """slow: before a ``bgapi`` job begins."""
    after: int = 0
    """lossy, half_frame: so many events still get through on each connection."""
    lose: int = LOST_AT + 1
    """lossy: so many events are lost then, on each connection; beyond 500 in a row its listener is killed."""
    max_sessions: int | None = None
    """full: legs at most."""
    sps: int | None = None
    """full: new legs a second at most."""
    heal: Literal["resume", "reset"] = "resume"
    """partition: what was held back arrives late, or the connections are reset because a host between forgot them."""
    how: Literal["acl", "password", "port"] = "acl"
    """refuse: a rude rejection, ``-ERR invalid``, or nobody listens."""
    graceful: bool = False
    """restart: legs are hung up and recorded first, clients told; otherwise everything is gone at once, unrecorded."""
    registrations: Literal["kept", "lost"] = "kept"
    """restart: whether the phones' registrations survive in the switch's database on disk."""


def complaints(fault: Fault) -> list[str]:
    """What is wrong with it: field, what was found and what is expected; empty when it may begin."""
    found = []
    if not 0.0 <= fault.at_s <= LONGEST_S:
        found.append(f"at_s: expected 0 to {LONGEST_S:g} seconds, found {fault.at_s:g}")
    if fault.kind in _LASTING and not 0.0 < fault.for_s <= LONGEST_S:
        found.append(
            f"for_s: {fault.kind} ends by itself, expected above 0 and at most {LONGEST_S:g} seconds, found {fault.for_s:g}"
        )
    elif not 0.0 <= fault.for_s <= LONGEST_S:
        found.append(f"for_s: expected 0 to {LONGEST_S:g} seconds, found {fault.for_s:g}")
    if fault.kind == "slow" and not (fault.reply_ms or fault.event_ms or fault.job_ms):
        found.append("slow: expected at least one of reply_ms, event_ms, job_ms above 0")
    if fault.kind == "full" and fault.max_sessions is None and fault.sps is None:
        found.append("full: expected max_sessions or sps")
    for name in ("reply_ms", "event_ms", "job_ms", "after", "max_sessions", "sps"):
        value = getattr(fault, name)
        if value is not None and value < 0:
            found.append(f"{name}: expected 0 or more, found {value}")
    if fault.kind == "lossy" and fault.lose < 1:
        found.append(f"lose: expected 1 or more, found {fault.lose}")
    foreign = [name for name, kinds in _BELONGS.items() if fault.kind not in kinds and _given(fault, name)]
    found += [f"{name}: not a field of {fault.kind}, only of {', '.join(_BELONGS[name])}" for name in foreign]
    return found


_BELONGS: Final = {
    "reply_ms": ("slow",),
    "event_ms": ("slow",),
    "job_ms": ("slow",),
    "after": ("lossy", "half_frame"),
    "lose": ("lossy",),
    "max_sessions": ("full",),
    "sps": ("full",),
    "heal": ("partition",),
    "how": ("refuse",),
    "graceful": ("restart",),
    "registrations": ("restart",),
}


def _given(fault: Fault, name: str) -> bool:
    return bool(getattr(fault, name) != Fault.__dataclass_fields__[name].default)
