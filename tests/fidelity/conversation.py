"""A conversation over the event socket as turns: what the client sent and the frames that came, in their order.

The same reader serves the recorded side and the live one, and nothing of the product takes part: it is the measure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from tests.esl_transcripts import Transcript

_DETAIL: Final = {
    "CHANNEL_STATE": "Channel-State",
    "CHANNEL_CALLSTATE": "Channel-Call-State",
    "CHANNEL_EXECUTE": "Application",
    "CHANNEL_EXECUTE_COMPLETE": "Application",
    "CUSTOM": "Event-Subclass",
    "DTMF": "DTMF-Digit",
    "API": "API-Command",
    "BACKGROUND_JOB": "Job-Command",
    "PLAYBACK_START": "Playback-File-Path",
    "PLAYBACK_STOP": "Playback-File-Path",
    "MEDIA_BUG_START": "Media-Bug-Function",
    "MEDIA_BUG_STOP": "Media-Bug-Function",
    "RE_SCHEDULE": "Task-Desc",
}


@dataclass
class Frame:
    """One frame from the switch: its header lines, its body, and the event in it if there is one."""

    headers: dict[str, str]
    body: str
    event: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def name(self) -> str:
        return str((self.event or {}).get("Event-Name", ""))

    @property
    def answers(self) -> bool:
        """Whether it is a reply or a notice: neither an event nor a line of the log."""
        return (self.event is None and self.kind != "log/data") or self.name == "connect"

    @cached_property
    def dumped(self) -> Frame | None:
        """The event that a reply shows as text, as uuid_dump does."""
        if self.event is not None or not self.body.startswith("Event-Name: "):
            return None
        return Frame({}, "", {name: unquote(value) for name, value in _lines(self.body).items()})

    @property
    def leg(self) -> str:
        return str((self.event or {}).get("Unique-ID", ""))

    @cached_property
    def label(self) -> str:
        """What an event is called in reports: its name, and what tells it from its like."""
        assert self.event is not None
        detail = self.event.get(_DETAIL.get(self.name, ""), "")
        return f"{self.name} {detail}".strip() if isinstance(detail, str) else self.name

    @property
    def reply(self) -> str:
        """The text of a reply, whatever kind of frame it came in."""
        return self.headers.get("Reply-Text", "") + self.body


class Frames:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._buffer += data
        while (end := self._buffer.find(b"\n\n")) >= 0:
            head = _lines(self._buffer[:end].decode("utf-8", "surrogateescape"))
            # The answer to ``connect`` carries the channel's variables, none of which announces a body.
            length = int(head.get("Content-Length", "0")) if "Event-Name" not in head else 0
            if len(self._buffer) < end + 2 + length:
                return
            body = self._buffer[end + 2 : end + 2 + length]
            self._buffer = self._buffer[end + 2 + length :]
            yield _frame(head, body)


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\n") if ":" in line)
    return {name: value.strip(" ") for name, _, value in pairs}


def _frame(head: dict[str, str], raw: bytes) -> Frame:
    kind = head.get("Content-Type", "")
    if kind == "text/event-json":
        return Frame(head, "", json.loads(raw.decode("utf-8", "surrogateescape")))
    body = raw.decode("utf-8", "surrogateescape")
    if kind == "text/event-plain":
        lines, _, rest = body.partition("\n\n")
        event: dict[str, Any] = {name: unquote(value) for name, value in _lines(lines).items()}
        if "Content-Length" in event:
            event["_body"] = rest
        return Frame(head, "", event)
    if "Event-Name" in head:
        event = {name: unquote(value) for name, value in head.items()}
        event["Event-Name"] = "connect"
        return Frame({"Content-Type": "command/reply", "Reply-Text": event["Reply-Text"]}, "", event)
    return Frame(head, body)


@dataclass
class Turn:
    """One command, and the frames that had come before it was written."""

    command: bytes
    before: list[Frame] = field(default_factory=list)
    pause_s: float = 0.0
    """How long nothing had come before it was written."""


@dataclass
class Conversation:
    """A recorded connection."""

    turns: list[Turn]
    after: list[Frame]
    """Frames after the last command."""

    @cached_property
    def frames(self) -> list[Frame]:
        return [frame for turn in self.turns for frame in turn.before] + self.after


def conversation(transcript: Transcript) -> Conversation:
    """Read a recorded connection."""
    frames, pending = Frames(), b""
    turns: list[Turn] = []
    seen: list[Frame] = []
    last_s = 0.0
    for (from_switch, data), at_s in zip(transcript.order, transcript.times_s, strict=True):
        pause_s, last_s = at_s - last_s, at_s
        if from_switch:
            seen.extend(frames.feed(data))
            continue
        pending += data
        while (cut := _command_end(pending)) > 0:
            command, pending = pending[:cut], pending[cut:]
            if command.strip(b"\r\n"):
                turns.append(Turn(command, seen, pause_s))
                seen = []
    return Conversation(turns, seen)


def _command_end(data: bytes) -> int:
    end = data.find(b"\n\n")
    if end < 0:
        return 0
    found = re.search(rb"^content-length:\s*(\d+)", data[:end], re.IGNORECASE | re.MULTILINE)
    end += 2 + (int(found[1]) if found else 0)
    return end if end <= len(data) else 0
