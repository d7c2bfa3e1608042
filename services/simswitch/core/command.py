"""What clients send: a byte stream cut into commands as ``read_packet`` of mod_event_socket.c does it.

* A command is lines up to a blank line; leading CR and LF are skipped, so a bare newline is a free no-op.
* The end of a line is looked for as the first CR of *everything that follows*, and only without any as an LF: a pure CRLF
  client works, but one CR inside a value makes all lines before it one line.
* The command itself is the whole text; each command cuts its first line out of it by the same rule. That is why
  ``reload`` and ``mod_event_socket`` anywhere in a command mean what they mean (`Command.magic`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from services.common.errors import ProtocolError

MAX_COMMAND_BYTES: Final = 10 * 1024 * 1024
_HEAD_END: Final = re.compile(rb"\n\r*\n")
_DIGITS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its first line, its headers (by names in lower case, and as they were written), its body, all its text."""

    line: str
    headers: Mapping[str, str]
    body: str = ""
    written: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def magic(self) -> Literal["", "unload", "reload"]:
        """Whether the text, wherever, tells the module to unload or reload itself; then nothing else of it counts."""
        text = (self.text or self.line).lower()
        if "mod_event_socket" not in text:
            return ""
        if "unload" in text:
            return "unload"
        return "reload" if "reload" in text else ""


class CommandReader:
    """Cuts a byte stream into commands.

    What is kept is bounded: a head or a body of more than 10 MB raises ProtocolError, after which the connection has to be
    closed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no end of a head begins before here
        self._waiting: tuple[Command, int] | None = None

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their command; a head that waits for its body counts as one. While there are any the
        real switch delivers no events."""
        return len(self._buffer) + (self._waiting is not None)

    def feed(self, data: bytes) -> Iterator[Command]:
        """Yield every command that is complete with ``data``. Raises ProtocolError."""
        self._buffer += data
        while True:
            if self._waiting is not None:
                head, length = self._waiting
                if len(self._buffer) < length:
                    return
                body = bytes(self._buffer[:length]).decode("utf-8", "surrogateescape")
                del self._buffer[:length]
                self._waiting = None
                yield Command(head.line, head.headers, body, head.written, head.text)
                continue
            skip = 0
            while skip < len(self._buffer) and self._buffer[skip] in b"\r\n":
                skip += 1
            if skip:
                del self._buffer[:skip]
                self._searched = 0
            end = _HEAD_END.search(self._buffer, self._searched)
            if end is None:
                # The end may begin with an LF that CRs follow: go back to the last byte that is no CR.
                self._searched = max(0, len(self._buffer.rstrip(b"\r")) - 1)
                if len(self._buffer) > MAX_COMMAND_BYTES:
                    raise ProtocolError(f"a command of more than {MAX_COMMAND_BYTES} bytes")
                return
            text = bytes(self._buffer[: end.end()]).decode("utf-8", "surrogateescape")
            del self._buffer[: end.end()]
            self._searched = 0
            head = _parse_head(text)
            announced = _body_length(head.headers.get("content-length", ""))
            if announced:
                self._waiting = (head, announced)
                continue
            yield head


def _body_length(text: str) -> int:
    """What atoi() makes of the header: the digits it begins with. Raises ProtocolError for more than 10 MB."""
    digits = _DIGITS.match(text)
    if digits is None:
        return 0
    length = int(digits[0]) if len(digits[0]) < 10 else MAX_COMMAND_BYTES + 1
    if length > MAX_COMMAND_BYTES:
        raise ProtocolError(f"a body of {digits[0][:20]} bytes, more than {MAX_COMMAND_BYTES}")
    return length


def _cut(text: str) -> tuple[str, str]:
    """The first line and the rest, by the rule above."""
    end = text.find("\r")
    if end < 0:
        end = text.find("\n")
    if end < 0:
        return text, ""
    return text[:end], text[end:].lstrip("\r\n")


def _cut_up(text: str) -> tuple[str, list[str]]:
    """The first line and all others that are not empty."""
    if "\r" not in text:
        line, *others = text.split("\n")
        return line, [other for other in others if other]
    line, rest = _cut(text)
    others = []
    while rest:
        other, rest = _cut(rest)
        others.append(other)
    return line, others


def _parse_head(text: str) -> Command:
    headers: dict[str, str] = {}
    written: dict[str, str] = {}
    line, others = _cut_up(text)
    for raw in others:
        name, colon, value = raw.partition(":")
        if colon and value.lstrip(" "):
            headers.setdefault(name.lower(), value.lstrip(" "))
            written.setdefault(name, value.lstrip(" "))
    return Command(line, headers, "", written, text)
