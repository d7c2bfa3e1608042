"""What is queued to a leg: ``sendmsg``, broadcasts, hold music."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(slots=True)
class Message:
    """A queued ``sendmsg`` or broadcast."""

    app: str
    data: str
    event_uuid: str = ""
    locked: bool = False
    loops: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has run; never when the leg ended before."""
    lead_s: float = 0.0
    """A broadcast begins so much later: its ``lead-frames``."""
    begun: bool = False
    """Whether its application has started."""
    role: str = ""
    """``hold``: music that plays because the other side holds."""
    after: Callable[[], None] | None = None
    """Called when it is over."""


LEAD_S: Final = 0.1


def broadcast_message(app: str, data: str, *, locked: bool = True, loops: int = 1, role: str = "") -> Message:
    """What ``uuid_broadcast`` and hold music queue (``switch_ivr_broadcast_in_thread``)."""
    headers = {"call-command": "execute", "execute-app-name": app, "execute-app-arg": data}
    if locked:
        headers["event-lock"] = "true"
    headers |= {"lead-frames": "5", "loops": str(loops)}
    return Message(app=app, data=data, locked=locked, loops=loops, headers=headers, lead_s=LEAD_S, role=role)
