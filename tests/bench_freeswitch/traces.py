"""SIPp's message traces (``-trace_msg``) as messages with SIPp's own timestamps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_HEAD = re.compile(
    r"^-{40,} (\d{4}-\d\d-\d\d)[ \t](\d\d:\d\d:\d\d\.\d+).*\nUDP message (sent|received) .*\n\n", re.M
)


@dataclass(frozen=True)
class Message:
    """One SIP message; ``at_ms`` is when SIPp sent or received it, since the epoch."""

    at_ms: float
    sent: bool
    text: str

    @property
    def start(self) -> str:
        """The request line or status line."""
        return self.text.partition("\n")[0].rstrip()

    def header(self, name: str) -> str:
        """The first header of that name, or ``""``."""
        found = re.search(rf"^{name}:[ \t]*(.*)$", self.text, re.M | re.I)
        return found[1].strip() if found else ""

    @property
    def call_id(self) -> str:
        return self.header("Call-ID")

    @property
    def caller(self) -> str:
        """User part of the From header."""
        found = re.search(r"sips?:([^@>;]+)@", self.header("From"))
        return found[1] if found else ""

    @property
    def media(self) -> tuple[str, int] | None:
        """Address and port for audio of the message's SDP."""
        address = re.search(r"^c=IN IP4 (\S+)", self.text, re.M)
        port = re.search(r"^m=audio (\d+)", self.text, re.M)
        return (address[1], int(port[1])) if address and port else None


class Trace:
    """A trace file that may still be written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = ""

    def more(self, *, ended: bool = False) -> list[Message]:
        """Messages written since the last call. The last one of the file counts as whole only when SIPp has ``ended``
        or written the start of the next: a body has no length that the trace would keep to."""
        try:
            with self._path.open(encoding="utf-8", errors="replace", newline="") as file:
                file.seek(self._read)
                text = file.read()
                self._read = file.tell()
        except FileNotFoundError:
            return []
        self._rest += text.replace("\r\n", "\n")
        heads = list(_HEAD.finditer(self._rest))
        whole = heads if ended else heads[:-1]
        found = []
        for number, head in enumerate(whole):
            end = heads[number + 1].start() if number + 1 < len(heads) else len(self._rest)
            found.append(_message(head, self._rest[head.end() : end]))
        if whole:
            self._rest = self._rest[heads[len(whole)].start() :] if len(whole) < len(heads) else ""
        return found


def _message(head: re.Match[str], text: str) -> Message:
    at = datetime.strptime(f"{head[1]} {head[2]}", "%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ007 -- SIPp writes local time
    return Message(at.timestamp() * 1000, head[3] == "sent", text.strip("\n"))
