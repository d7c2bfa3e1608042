"""The event socket's text: commands in, events out, and which event a listener gets.

Sources: mod_event_socket.c, switch_utils.c (``switch_url_encode``) and switch_event.c of FreeSWITCH 1.10.12, and
recordings of a real one. What clients depend on and this keeps:

* commands are header lines up to a blank line; leading CR and LF are skipped, so a bare newline is a free no-op;
* in a plain event every value is url-encoded, but ``%XX`` with upper-case digits is left as it is, so plain is lossy;
* every token after ``CUSTOM`` in a subscription is a subclass, also when it is the name of a standard event;
* several filters are alternatives, a negative one always wins, and with only negative ones nothing is delivered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson

from services.common.errors import ProtocolError

Format = Literal["plain", "json"]
Value = str | list[str]

MAX_COMMAND_BYTES: Final = 10 * 1024 * 1024

_ALL_NAMES: Final = """CUSTOM CLONE CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_STATE CHANNEL_CALLSTATE CHANNEL_ANSWER CHANNEL_HANGUP
    CHANNEL_HANGUP_COMPLETE CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_BRIDGE
    CHANNEL_UNBRIDGE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_UNPARK
    CHANNEL_APPLICATION CHANNEL_ORIGINATE CHANNEL_UUID API LOG INBOUND_CHAN OUTBOUND_CHAN STARTUP SHUTDOWN PUBLISH
    UNPUBLISH TALK NOTALK SESSION_CRASH MODULE_LOAD MODULE_UNLOAD DTMF MESSAGE PRESENCE_IN NOTIFY_IN PRESENCE_OUT
    PRESENCE_PROBE MESSAGE_WAITING MESSAGE_QUERY ROSTER CODEC BACKGROUND_JOB DETECTED_SPEECH DETECTED_TONE
    PRIVATE_COMMAND HEARTBEAT TRAP ADD_SCHEDULE DEL_SCHEDULE EXE_SCHEDULE RE_SCHEDULE RELOADXML NOTIFY PHONE_FEATURE
    PHONE_FEATURE_SUBSCRIBE SEND_MESSAGE RECV_MESSAGE REQUEST_PARAMS CHANNEL_DATA GENERAL COMMAND SESSION_HEARTBEAT
    CLIENT_DISCONNECTED SERVER_DISCONNECTED SEND_INFO RECV_INFO RECV_RTCP_MESSAGE SEND_RTCP_MESSAGE CALL_SECURE NAT
    RECORD_START RECORD_STOP PLAYBACK_START PLAYBACK_STOP CALL_UPDATE FAILURE SOCKET_DATA MEDIA_BUG_START
    MEDIA_BUG_STOP CONFERENCE_DATA_QUERY CONFERENCE_DATA CALL_SETUP_REQ CALL_SETUP_RESULT CALL_DETAIL DEVICE_STATE
    TEXT SHUTDOWN_REQUESTED ALL"""
EVENT_NAMES: Final = frozenset(_ALL_NAMES.split())

_MYEVENTS: Final = """CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY CHANNEL_EXECUTE
    CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_OUTGOING
    CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNPARK
    DETECTED_SPEECH DTMF NOTALK TALK"""
MYEVENTS: Final = frozenset(_MYEVENTS.split())

_UNSAFE: Final = re.compile(rb'(%(?![0-9A-F]{2})|[\x00-\x20"#&+:;<=>?@\[\\\]^`{|}\x7f-\xff])')
_ENCODED: Final = {bytes([i]): b"%%%02X" % i for i in range(256)}
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_DIGITS: Final = re.compile(r"[0-9]+")
_SAFE_TEXT: Final = re.compile(r"[!$'()*,\-./0-9A-Z_a-z~]*")


def url_encode(text: str) -> str:
    """Encode one value as FreeSWITCH does for plain events and the reply to ``connect``."""
    if _SAFE_TEXT.fullmatch(text):
        return text
    # Safe runs and unsafe bytes alternate: a look-up a byte is four times as fast as a call a match.
    parts = _UNSAFE.split(text.encode("utf-8", "surrogateescape"))
    parts[1::2] = [_ENCODED[byte] for byte in parts[1::2]]
    return b"".join(parts).decode("ascii")


def header_lines(headers: Mapping[str, Value]) -> bytes:
    """``Name: value`` lines with encoded values; arrays as ``ARRAY::a|:b``, empty values as ``_undef_``."""
    lines = []
    for name, value in headers.items():
        text = value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
        lines.append(f"{name}: {url_encode(text) if text else '_undef_'}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def to_json(value: object) -> bytes:
    """Compact JSON; bytes that are no UTF-8 go out as they came in, as cJSON does."""
    try:
        return orjson.dumps(value)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogateescape")


class Event:
    """One fired event; it is encoded at most once a format, however many listeners get it."""

    __slots__ = ("_json", "_lower", "_plain", "body", "headers", "name", "subclass")

    def __init__(
        self, name: str, headers: dict[str, Value], body: str | None = None, subclass: str = ""
    ) -> None:
        self.name = name
        self.headers = headers
        self.body = body
        self.subclass = subclass
        self._plain: bytes | None = None
        self._json: bytes | None = None
        self._lower: dict[str, Value] | None = None

    def get(self, name: str) -> Value | None:
        """A header by its name, whatever the case."""
        found = self.headers.get(name)
        if found is not None:
            return found
        if self._lower is None:
            self._lower = {k.lower(): v for k, v in self.headers.items()}
        return self._lower.get(name.lower())

    def frame(self, fmt: Format) -> bytes:
        """The bytes that go on the socket."""
        if fmt == "json":
            if self._json is None:
                headers = self.headers
                if self.body is not None:
                    length = len(self.body.encode("utf-8", "surrogateescape"))
                    headers = {**headers, "Content-Length": str(length), "_body": self.body}
                data = to_json(headers)
                self._json = b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(data) + data
            return self._json
        if self._plain is None:
            data = header_lines(self.headers)
            if self.body is None:
                data += b"\n"
            else:
                body = self.body.encode("utf-8", "surrogateescape")
                data += b"Content-Length: %d\n\n" % len(body) + body
            self._plain = b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(data) + data
        return self._plain


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its first line, its headers (by names in lower case, and as they were written) and its body."""

    line: str
    headers: Mapping[str, str]
    body: str = ""
    written: Mapping[str, str] = field(default_factory=dict)


class CommandReader:
    """Cuts a byte stream into commands.

    What is kept is bounded: a head or a body of more than 10 MB raises ProtocolError, after which the connection has to be
    closed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no end of a head begins before here
        self._waiting: tuple[str, dict[str, str], dict[str, str], int] | None = None

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their command; a head that waits for its body counts as one."""
        return len(self._buffer) + (self._waiting is not None)

    def feed(self, data: bytes) -> Iterator[Command]:
        """Yield every command that is complete with ``data``. Raises ProtocolError."""
        self._buffer += data
        while True:
            if self._waiting is not None:
                line, headers, written, length = self._waiting
                if len(self._buffer) < length:
                    return
                body = bytes(self._buffer[:length]).decode("utf-8", "surrogateescape")
                del self._buffer[:length]
                self._waiting = None
                yield Command(line, headers, body, written)
                continue
            skip = 0
            while skip < len(self._buffer) and self._buffer[skip] in b"\r\n":
                skip += 1
            if skip:
                del self._buffer[:skip]
                self._searched = 0
            found = _HEAD_END.search(self._buffer, self._searched)
            if found is None:
                self._searched = max(0, len(self._buffer) - 2)
                if len(self._buffer) > MAX_COMMAND_BYTES:
                    raise ProtocolError(f"a command of more than {MAX_COMMAND_BYTES} bytes")
                return
            text = bytes(self._buffer[: found.start()]).decode("utf-8", "surrogateescape")
            del self._buffer[: found.end()]
            self._searched = 0
            line, headers, written = _parse_head(text)
            announced = _body_length(headers.get("content-length", ""))
            if announced:
                self._waiting = (line, headers, written, announced)
                continue
            yield Command(line, headers, "", written)


def _body_length(text: str) -> int:
    """What atoi() makes of the header: the digits it begins with. Raises ProtocolError for more than 10 MB."""
    digits = _DIGITS.match(text)
    if digits is None:
        return 0
    length = int(digits[0]) if len(digits[0]) < 10 else MAX_COMMAND_BYTES + 1
    if length > MAX_COMMAND_BYTES:
        raise ProtocolError(f"a body of {digits[0][:20]} bytes, more than {MAX_COMMAND_BYTES}")
    return length


def _parse_head(text: str) -> tuple[str, dict[str, str], dict[str, str]]:
    first, *rest = text.split("\n")
    headers: dict[str, str] = {}
    written: dict[str, str] = {}
    for raw in rest:
        name, colon, value = raw.rstrip("\r").partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip(" "))
            written.setdefault(name.strip(), value.strip(" "))
    return first.rstrip("\r"), headers, written


@dataclass(slots=True)
class Subscription:
    """What one listener asked for."""

    fmt: Format = "plain"
    listening: bool = False
    names: set[str] = field(default_factory=set)
    subclasses: set[str] = field(default_factory=set)
    everything: bool = False
    filters: list[tuple[str, str]] = field(default_factory=list)
    session: str = ""
    """With ``myevents``: only events of this leg, and of the background jobs it started."""

    def event(self, words: Sequence[str]) -> bool:
        """Carry out ``event [plain|json] NAMES...``; False when no name was known."""
        known = 0
        custom = False
        for i, word in enumerate(words):
            lower = word.lower()
            if i == 0 and lower in ("plain", "json", "xml"):
                # xml is not spoken here: such a listener gets plain, which every client library reads too
                self.fmt = "json" if lower == "json" else "plain"
            elif custom:
                self.subclasses.add(word)
            elif word.upper() in EVENT_NAMES:
                known += 1
                name = word.upper()
                if name == "ALL":
                    self.everything = True
                else:
                    self.names.add(name)
                custom = name == "CUSTOM"
        if known:
            self.listening = True
        return known > 0

    def nixevent(self, words: Sequence[str]) -> bool:
        """Carry out ``nixevent NAMES...``; False when no name was known."""
        known = 0
        custom = False
        for word in words:
            name = word.upper()
            if custom:
                self.subclasses.discard(word)
            elif name in EVENT_NAMES:
                known += 1
                if name == "ALL":
                    self.names.clear()
                    self.everything = False
                elif name == "CUSTOM":
                    custom = True
                else:
                    if self.everything:
                        self.everything = False
                        self.names |= EVENT_NAMES - {"ALL"}
                    self.names.discard(name)
        return known > 0

    def clear(self) -> bool:
        """Carry out ``noevents``; False when nothing was subscribed. Filters stay."""
        was = self.listening
        self.listening = self.everything = False
        self.names.clear()
        self.subclasses.clear()
        return was

    def takes_name(self, name: str, subclass: str = "") -> bool:
        """Whether events of this name may be wanted at all: cheap, asked before an event is built."""
        if not self.listening:
            return False
        if self.everything:
            return True
        return name in self.names and (name != "CUSTOM" or subclass in self.subclasses)

    def takes(self, event: Event) -> bool:
        """Whether this very event is delivered."""
        if not self.takes_name(event.name, event.subclass):
            return False
        if self.session and not (
            event.headers.get("Unique-ID") == self.session
            or event.headers.get("Job-Owner-UUID") == self.session
        ):
            return False
        return not self.filters or self._passes(event)

    def _passes(self, event: Event) -> bool:
        passed = False
        for header, wanted in self.filters:
            found = event.get(header)
            if found is None:
                continue
            negative = wanted.startswith("-")
            want = wanted[1:] if negative else wanted
            text = found if isinstance(found, str) else "|:".join(found)
            if not negative and len(want) > 1 and want.startswith("/") and want.endswith("/"):
                passed = passed or re.search(want[1:-1], text) is not None
            elif text.lower() == want.lower():
                if negative:
                    return False
                passed = True
        return passed

    def filter(self, argument: str) -> str:
        """Carry out ``filter ...`` and return the reply."""
        name, _, value = argument.strip().partition(" ")
        if name.lower() == "delete" and value:
            name, _, value = value.partition(" ")
            if name.lower() == "all":
                self.filters.clear()
            else:
                self.filters = [
                    (n, v) for n, v in self.filters if n.lower() != name.lower() or (value and v != value)
                ]
            return f"+OK filter deleted. [{name}][{value}]"
        if not value:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        self.filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"
