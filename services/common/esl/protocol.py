"""The event socket as bytes in and frames out: no sockets, no threads, no clock. Theory of operation.

A frame is lines ``Name: value``, a blank line, and as many bytes of body as ``Content-Length`` says. Order of the lines,
a newline at the end of the body, and even a Content-Type are not to be relied upon. What follows from experience
(transcripts of a real switch are in ``tests/vectors/esl``):

* Lines are split first and values decoded after, on LF only: a caller's display name may hold ``%0A``, U+2028 or U+0085,
  and must stay a value. Percent signs are decoded in one place only: events in plain form and the reply to ``connect``.
* Every frame may have a body, a ``text/disconnect-notice`` as well: not skipping it shifts everything that follows.
* FreeSWITCH copies bytes into JSON without looking whether they are UTF-8. orjson refuses such text, so it is read a
  second time with U+FFFD in their place: the strings go on to protobuf, JSON and ClickHouse, which refuse lone surrogates.
  The bytes themselves stay in ``Event.raw``.
* Arrays (``variable_x`` pushed twice) are lists in JSON and ``ARRAY::a|:b`` in plain form; a header may come twice (the
  last one counts).

An event of 5 KB has 150 headers, of which a service reads three, and decoding all of them costs five times as much as
everything else here together. So `Event` takes its name from the place where FreeSWITCH always writes it, finds single
headers by their bytes (``Event.get``), and decodes the whole only after several questions, or when the bytes are not
plain: escapes, arrays, other writers' spacing.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

import msgspec
import orjson

from services.common.errors import ProtocolError, UnsafeCommandError
from services.common.esl.quoting import (
    channel_vars,
    checked_id,
    command,
    encoded,
    multiset,
    neutralise,
    separate,
    setvar_multi,
)

__all__ = [
    "Decoder",
    "Event",
    "Frame",
    "Item",
    "channel_vars",
    "command",
    "event_from_connect",
    "multiset",
    "neutralise",
    "sendmsg",
    "separate",
    "setvar_multi",
]

# `show channels as json` of 10 000 legs is about 10 MB; the reply to `connect` holds all variables of a call in its lines.
MAX_BODY_BYTES = 64 << 20
MAX_HEAD_BYTES = 1 << 20
_TOO_LONG = f"no end of the headers within {MAX_HEAD_BYTES} bytes"
# What one read may take; grows for a frame that is larger.
BUFFER_BYTES = 256 << 10

_LENGTH = b"Content-Length: "
_JSON_TAIL = b"\nContent-Type: text/event-json"
# switch_event_create() puts the name first, and cJSON writes no blanks.
_JSON_START = b'{"Event-Name":"'


class Frame(msgspec.Struct, gc=False):
    """Anything that is not an event: a reply, a notice, a log line; or an event whose text makes no sense."""

    content_type: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def text(self) -> str:
        """What the command answered: the body of an api/response, else the Reply-Text."""
        if self.content_type == "command/reply":
            return self.headers.get("Reply-Text", "")
        return self.body.decode("utf-8", "replace")

    @property
    def data(self) -> str:
        """The name greenswitch has for `text`."""
        return self.text


class Event(msgspec.Struct, gc=False, eq=False):
    """One event.

    ``raw`` is the text of the event as it came (JSON or plain), without the frame around it; empty if it never was any.
    Reading a header of an event whose text turns out to be broken raises ProtocolError.
    """

    name: str
    raw: bytes = b""
    _all: Mapping[str, str | list[str]] | None = None
    _looks: int = 0

    @classmethod
    def of(cls, headers: Mapping[str, str | list[str]], body: str = "") -> Event:
        """Return an event with these headers; ``Event-Name`` is its name."""
        everything = dict(headers)
        if body:
            everything[_BODY] = body
        return cls(_name(everything), b"", everything)

    @property
    def headers(self) -> Mapping[str, str | list[str]]:
        """All headers, decoded at the first use. An array is a list; the body is there as ``_body``."""
        if self._all is None:
            self._all = _json_headers(self.raw)
        return self._all

    def get(self, header: str, default: str = "") -> str:
        """Value of ``header``; the first element if it is an array; ``default`` if it is not there."""
        everything = self._all
        if everything is None:
            self._looks += 1
            pattern = _pattern(header)
            if pattern and self._looks <= _LOOKS:
                # Inside a JSON string a quote has a backslash before it. So this pattern behind a comma or a brace is
                # the header's own name, whatever the values hold. Of two the last counts, as for a JSON decoder.
                raw = self.raw
                at = raw.rfind(pattern)
                if at < 0:
                    return default
                start = at + len(pattern) + 1
                if raw[at - 1] in b",{" and raw[start - 1] == _QUOTE:
                    value = raw[start : raw.find(b'"', start)]
                    if b"\\" not in value:
                        try:
                            return value.decode()
                        except UnicodeDecodeError:
                            pass
            everything = dict(self.headers)
        found = everything.get(header)
        if found is None:
            return default
        if isinstance(found, list):
            return found[0] if found else default
        return found

    def variable(self, name: str, default: str = "") -> str:
        """Value of the channel variable ``name``, if this kind of event carries variables."""
        return self.get("variable_" + name, default)

    @property
    def subclass(self) -> str:
        """Event-Subclass of a CUSTOM event, such as ``sofia::register``."""
        return self.get("Event-Subclass")

    @property
    def unique_id(self) -> str:
        """UUID of the channel the event is about, or empty."""
        raw = self.raw
        # The last one counts, as in `get`: the dialplan's `event` puts what it is told in front of what is so.
        start = raw.rfind(_UNIQUE_ID) + len(_UNIQUE_ID) if self._all is None else 0
        if start >= len(_UNIQUE_ID):
            value = raw[start : raw.find(b'"', start)]
            if value.isascii() and b"\\" not in value:
                return value.decode("ascii")
        return self.get("Unique-ID")

    @property
    def application_id(self) -> str:
        """The ``Event-UUID`` of the ``sendmsg`` that started the application (CHANNEL_EXECUTE, CHANNEL_EXECUTE_COMPLETE)."""
        return self.get("Application-UUID")

    @property
    def body(self) -> str:
        """Text after the headers: the answer of a background job, a message; else empty."""
        return self.get(_BODY)


# Where both forms keep the body; FreeSWITCH's own name for it in JSON.
_BODY = "_body"
_QUOTE = ord('"')
_UNIQUE_ID = b',"Unique-ID":"'
# So many single headers are looked for (1-2 us each in 5 KB) before all are decoded (10-20 us).
_LOOKS = 6


@functools.lru_cache(maxsize=4096)
def _pattern(header: str) -> bytes:
    """How the name stands in JSON; empty if it could be written in more than one way."""
    if header.isascii() and header.isprintable() and not set('"\\\\/') & set(header):
        return b'"%b":' % header.encode()
    return b""


# Names of events that have been seen; FreeSWITCH has about 90. Bounded, since a peer chooses them.
_NAMES: dict[bytes, str] = {}
_NAMES_MAX = 256
_FIRST_IN_JSON = re.compile(rb'\{"Event-Name":"([A-Z][A-Z0-9_]*)"')
_FIRST_IN_PLAIN = re.compile(rb"Event-Name: ([A-Z][A-Z0-9_]*)\n")
# A command that went through a channel's private queue comes out under two names, of which the second is true
# (PRIVATE_COMMAND; switch_core_session.c:1274).
_REUSED = "COMMAND"
_APPLICATION = re.compile(r"[A-Za-z0-9_]+(::[A-Za-z0-9_]+)?")

Item: TypeAlias = Frame | Event


class Decoder:
    """Bytes of one connection to frames and events, however they were split.

    Either `feed` it, or let a socket write straight into `space` and say how much that was (`received`): asking the system
    for a fresh block at each read costs more than decoding what is in it.

    What is kept between calls is bounded: a head of more than 1 MiB, a body of more than 64 MiB, a length that is no
    number, or a first line without a colon are errors, after which the connection has to be closed. What came before the
    error is returned first, so that it does not depend on how the bytes were split: `error` is set then, and the next
    call raises it. An event whose text cannot be read comes as a `Frame` with its content type, and the next one is fine.
    """

    __slots__ = ("_buffer", "_least", "_size", "_view", "_wanted", "error")

    def __init__(self, buffer_bytes: int | None = None) -> None:
        """``buffer_bytes``: what is kept for the connection's life; ``BUFFER_BYTES`` by default."""
        self.error: ProtocolError | None = None
        self._size = 0  # bytes in the buffer that are not decoded yet; they begin at 0
        self._wanted = 0  # not worth looking before so many are there
        self._least = buffer_bytes or BUFFER_BYTES
        self._allocate(self._least)

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes; return what they complete, in order. Raises ProtocolError."""
        size = len(data)
        if len(self._buffer) - self._size < size:
            self._grow(self._size + size)
        self._view[self._size : self._size + size] = data
        return self.received(size)

    def space(self) -> memoryview:
        """Where the next bytes go: never empty, and valid until the next call."""
        if len(self._buffer) == self._size:
            self._grow(2 * self._size)
        return self._view[self._size :]

    def received(self, count: int) -> list[Item]:
        """Take ``count`` bytes that were written to `space`; return what they complete, in order. Raises ProtocolError."""
        if self.error is not None:
            raise self.error
        self._size += count
        if self._size < self._wanted:
            return []
        out: list[Item] = []
        try:
            used, wanted = _decode_all(self._buffer, self._view, self._size, out)
        except ProtocolError as e:
            self.error = e
            if not out:
                raise
            return out
        rest = self._size - used
        if used:
            kept = bytes(self._view[used : self._size])
            if len(self._buffer) > self._least >= 4 * rest:
                self._allocate(self._least)  # the large frame is over
            self._view[:rest] = kept
        self._size = rest
        self._wanted = wanted
        if wanted > len(self._buffer):
            self._grow(wanted)
        return out

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame. Not zero at the end of a connection: it was cut."""
        return self._size

    def _allocate(self, size: int) -> None:
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)

    def _grow(self, size: int) -> None:
        kept = bytes(self._view[: self._size])
        self._allocate(max(size, 2 * len(self._buffer)))
        self._view[: self._size] = kept


def _decode_all(data: bytearray, view: memoryview, size: int, out: list[Item]) -> tuple[int, int]:
    """Append the whole frames in ``data`` to ``out``; return bytes used, and how many the frame after them needs at least."""
    at = 0
    find = data.find
    starts = data.startswith
    known = _NAMES.get
    append = out.append
    while True:
        end = find(b"\n\n", at, size)
        if end < 0:
            if size - at > MAX_HEAD_BYTES + 1:  # the last byte may be the first half of the end
                raise ProtocolError(_TOO_LONG)
            return at, size - at + 1
        if starts(_LENGTH, at):  # an event
            line_end = find(b"\n", at)
            digits = data[at + 16 : line_end]
            length = int(digits) if len(digits) < 8 and digits.isdigit() else -1
            if not 0 <= length <= MAX_BODY_BYTES:
                length = _length(digits)
            body_at = end + 2
            stop = body_at + length
            if stop > size:
                return at, stop - at
            if end - line_end == 30 and starts(_JSON_TAIL, line_end):
                body = bytes(view[body_at:stop])
                name = known(body[15 : body.find(b'"', 15)])
                if name and body.startswith(_JSON_START) and body.endswith(b"}"):
                    append(Event(name, body))
                else:
                    append(_slow_json(bytes(view[at:end]), body))
                at = stop
                continue
        elif starts(b"\n", at):  # blank lines between frames mean nothing
            at += 1
            continue
        if end - at > MAX_HEAD_BYTES:
            raise ProtocolError(_TOO_LONG)
        head = bytes(view[at:end])
        headers, length = _short_head(head) if end - at <= _SHORT else _head(head)
        stop = end + 2 + length
        if stop > size:
            return at, stop - at
        append(_frame(head, headers, bytes(view[end + 2 : stop])))
        at = stop


def _length(digits: bytes | bytearray) -> int:
    if not digits.isdigit():
        raise ProtocolError(f"Content-Length is not a number: {bytes(digits[:40])!r}")
    # int() of thousands of digits is slow and means nothing
    length = int(digits) if len(digits) < 12 else MAX_BODY_BYTES + 1
    if length > MAX_BODY_BYTES:
        raise ProtocolError(f"a body of {bytes(digits[:40])!r} bytes, more than {MAX_BODY_BYTES}")
    return length


def _head(head: bytes) -> tuple[dict[str, str], int]:
    """Lines of a frame to headers as they are (nothing is decoded), and the length of the body."""
    lines = head.decode("utf-8", "replace").split("\n")
    try:  # a hundred lines describe a call, and every one is as it should be
        headers = dict([line.split(": ", 1) for line in lines])
    except ValueError:
        headers = _headers_of(lines)
    length = headers.get("Content-Length")
    return headers, 0 if length is None else _length(length.encode())


def _headers_of(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    last = ""
    for line in lines:
        name, colon, value = line.partition(": ")
        if not colon and line.endswith(":"):
            name, colon, value = line[:-1], ":", ""
        if colon:
            last = name
            headers[name] = value
        elif last:  # an answer such as that of `getvar` holds line breaks as they are
            headers[last] += "\n" + line
        else:
            raise ProtocolError(f"not a header: {line[:80]!r}")
    return headers


# Most replies are one of a few: "+OK", or so many bytes of an answer. Nobody changes the headers of a frame.
_SHORT = 64
_short_head = functools.lru_cache(maxsize=512)(_head)


def _frame(head: bytes, headers: dict[str, str], body: bytes) -> Item:
    content_type = headers.get("Content-Type", "")
    if content_type == "text/event-json":
        return _slow_json(head, body)
    if content_type == "text/event-plain":
        told = _plain_headers(body)
        return Event(_name(told, _FIRST_IN_PLAIN.match(body)), body, told)
    return Frame(content_type, headers, body)


def _slow_json(head: bytes, body: bytes) -> Item:
    """An event that does not begin with its name, such as a diverted one, which has none; or a name seen first."""
    try:
        headers = _json_headers(body)
    except ProtocolError:
        return Frame("text/event-json", _head(head)[0], body)
    first = _FIRST_IN_JSON.match(body)
    name = _name(headers, first)
    if first is not None and name == first[1].decode() and name != _REUSED and len(_NAMES) < _NAMES_MAX:
        _NAMES[first[1]] = name
    return Event(name, body, headers)


def _name(headers: Mapping[str, str | list[str]], first: re.Match[bytes] | None = None) -> str:
    """The name of an event: the one in front, which FreeSWITCH itself wrote and by which known events are told apart."""
    if first is not None and first[1] != _REUSED.encode():
        return first[1].decode()
    name = headers.get("Event-Name", "")
    return name if isinstance(name, str) else "".join(name[:1])


def _json_headers(raw: bytes) -> dict[str, str | list[str]]:
    try:
        found: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            found = json.loads(raw.decode("utf-8", "replace"), strict=False)
            # Half of a surrogate pair ("\ud800") is no character: nothing behind us could encode it.
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError) as e:
            raise ProtocolError(f"an event that is no JSON: {e}: {raw[:80]!r}") from None
    if not isinstance(found, dict):
        raise ProtocolError(f"an event that is no JSON object: {raw[:80]!r}")
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = [str(v) for v in value]
        elif not isinstance(value, str):
            found[name] = str(value)
    return found


def _plain_headers(block: bytes) -> dict[str, str | list[str]]:
    """An event in plain form: every value is percent-encoded, except the body behind the blank line."""
    lines, _, body = block.partition(b"\n\n")
    headers: dict[str, str | list[str]] = {}
    for line in lines.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(": ")
        if colon:
            headers[name] = _decoded(value)
    if body:
        headers[_BODY] = body.decode("utf-8", "replace")
    return headers


def _decoded(value: str) -> str | list[str]:
    if value == "_undef_":  # what FreeSWITCH writes for an empty value
        return ""
    # "+" stands for itself (a blank is %20), so never unquote_plus.
    text = unquote(value, errors="replace") if "%" in value else value
    return text[7:].split("|:") if text.startswith("ARRAY::") else text


def event_from_connect(frame: Frame) -> Event:
    """Return the call as the reply to ``connect`` describes it: the one reply whose values are percent-encoded."""
    headers = _Encoded(frame.headers)
    return Event(_name(headers), b"", headers)


class _Encoded(Mapping[str, str | list[str]]):
    """Headers whose values are decoded when they are asked for: of some hundred of a call a dozen are."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[str, str]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str | list[str]:
        return _decoded(self._raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def sendmsg(app: str, arg: str, app_id: str, *, unique_id: str = "", event_lock: bool) -> bytes:
    """Return the command that runs an application, under an id of ours that its completion carries.

    The argument goes as a body, which may hold any text and is not searched for the words that reload the module; line
    breaks in it are refused all the same, since no application has a use for them. Raises UnsafeCommandError.
    """
    if not _APPLICATION.fullmatch(app):
        # an application that is not there hangs up the call, without a completion
        raise UnsafeCommandError(f"not the name of an application: {app[:80]!r}")
    headers = {"call-command": "execute", "execute-app-name": app, "Event-UUID": app_id}
    if event_lock:
        headers["event-lock"] = "true"
    body = None
    if arg:
        if any(c in arg for c in "\r\n\0"):
            raise UnsafeCommandError(f"CR, LF or NUL in the argument of {app}")
        headers["content-type"] = "text/plain"
        body = encoded(arg, f"the argument of {app}")
    line = f"sendmsg {checked_id(unique_id, 'the id of a channel')}" if unique_id else "sendmsg"
    return command(line, headers, body)
