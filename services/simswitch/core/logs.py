"""Lines of the switch's own log that follow from events, for clients that said ``log``: texts recorded from 1.10.12.

Only what a client could act on: channels that come, are answered, run an application, hang up and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.simswitch.core.wire import Value

LEVELS: Final = ("CONSOLE", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")


def level(text: str) -> int | None:
    """The number of a level's name or number; None for a name that is none. A number too large is the finest level."""
    if text.isdigit():
        return min(int(text), 10)
    if text.upper() == "DISABLE":
        return -1
    return LEVELS.index(text.upper()) if text.upper() in LEVELS else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its level, where it was written, the leg (or nothing) and the text without its stamp."""

    level: int
    file: str
    function: str
    number: int
    text: str
    uuid: str = ""
    channel: int = 0
    """``Text-Channel``: 0 log, 1 clean (no stamp), 3 of a session."""

    def frame(self, stamp: str, micros: int) -> bytes:
        """The ``log/data`` frame. Values of its headers are not encoded; ``Content-Length`` comes second."""
        if self.channel == 1:
            text = f"{self.text}\n"
        else:
            text = (
                f"{stamp}.{micros:06d} 0.00% [{LEVELS[self.level]}] {self.file}:{self.number} {self.text}\n"
            )
        body = text.encode("utf-8", "surrogateescape")
        head = (
            f"Content-Type: log/data\nContent-Length: {len(body)}\nLog-Level: {self.level}\n"
            f"Text-Channel: {self.channel}\nLog-File: {self.file}\nLog-Func: {self.function}\nLog-Line: {self.number}\n"
            f"User-Data: {self.uuid}\n\n"
        )
        return head.encode("utf-8", "surrogateescape") + body


def lines(name: str, headers: Mapping[str, Value]) -> tuple[Line, ...]:
    """The lines that go with an event; ``headers`` are those of its leg."""

    def get(header: str) -> str:
        value = headers.get(header, "")
        return value if isinstance(value, str) else ""

    uuid, channel = get("Unique-ID"), get("Channel-Name")
    session = "switch_core_session.c"
    if name in ("CHANNEL_CREATE", "CHANNEL_OUTGOING"):
        if name == "CHANNEL_CREATE" and get("Call-Direction") == "outbound":
            return ()
        text = f"New Channel {channel} [{uuid}]"
        return (Line(5, "switch_channel.c", "switch_channel_set_name", 1142, text, uuid, 3),)
    if name == "CHANNEL_ANSWER":
        text = f"Channel [{channel}] has been answered"
        return (Line(5, "switch_channel.c", "switch_channel_perform_mark_answered", 3846, text, uuid),)
    if name == "CHANNEL_EXECUTE":
        text = f"EXECUTE [depth=0] {channel} {get('Application')}({get('Application-Data')})"
        return (Line(6, session, "switch_core_session_exec", 2902, text, uuid, 1),)
    if name == "CHANNEL_HANGUP":
        text = f"Hangup {channel} [CS_EXECUTE] [{get('Hangup-Cause')}]"
        return (Line(5, "switch_channel.c", "switch_channel_perform_hangup", 3445, text, uuid),)
    if name == "CHANNEL_DESTROY":
        ended = f"Session {get('variable_session_id')} ({channel}) Ended"
        closed = f"Close Channel {channel} [CS_DESTROY]"
        return (
            Line(5, session, "switch_core_session_thread", 1762, ended, uuid, 3),
            Line(5, session, "switch_core_session_thread", 1766, closed, uuid),
        )
    return ()
