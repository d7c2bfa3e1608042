"""The event socket's text on the way out: events, plain and JSON.

Sources: switch_utils.c (``switch_url_encode``) and switch_event.c of FreeSWITCH 1.10.12, and recordings of a real one. In a
plain event every value is url-encoded, but ``%XX`` with upper-case digits is left as it is, so plain is lossy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from operator import add
from typing import Any, Final, Literal

import orjson

Format = Literal["plain", "json"]
Value = str | list[str]

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

_SAFE: Final = b"!$'()*,-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_SAFE_AND_NUL: Final = _SAFE + b"\0"
_BARE_PERCENT: Final = re.compile(rb"%(?![0-9A-F]{2})")
_ENCODED: Final = {byte: (bytes([byte]), b"%%%02X" % byte) for byte in range(256)}
_SAFE_TEXT: Final = re.compile(r"[!$'()*,\-./0-9A-Z_a-z~]*")


def url_encode(text: str) -> str:
    """Encode one value as FreeSWITCH does for plain events and the reply to ``connect``."""
    if _SAFE_TEXT.fullmatch(text):
        return text
    return _encoded(text).decode("ascii")


def _encoded(text: str, safe: bytes = _SAFE) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    # The channel data of a call has some fifteen different unsafe bytes and a thousand of them: a pass over everything for each
    # kind costs a third of looking every one up.
    unsafe = set(data.translate(None, safe))
    if 0x25 in unsafe:
        unsafe.discard(0x25)
        data = _BARE_PERCENT.sub(b"%25", data)
    for byte in unsafe:
        data = data.replace(*_ENCODED[byte])
    return data


class _LineStarts(dict[str, bytes]):
    """``Name: `` of header names, which come again in every event."""

    _MOST = 20_000

    def __missing__(self, name: str) -> bytes:
        if len(self) >= self._MOST:  # somebody makes up names
            self.clear()
        made = self[name] = name.encode("utf-8", "surrogateescape") + b": "
        return made


_LINE_STARTS: Final = _LineStarts()


def header_lines(headers: Mapping[str, Value]) -> bytes:
    """``Name: value`` lines with encoded values; arrays as ``ARRAY::a|:b``, empty values as ``_undef_``."""
    values: Iterable[Any] = headers.values()
    if list in map(type, values):
        values = [value if isinstance(value, str) else "ARRAY::" + "|:".join(value) for value in values]
    # All values in one pass, four times as fast as one by one; NUL, which no C string has, keeps them apart.
    encoded = _encoded("\0".join(values), _SAFE_AND_NUL).split(b"\0")
    if len(encoded) != len(headers):
        encoded = [_encoded(text) for text in values]
    if b"" in encoded:
        encoded = [value or b"_undef_" for value in encoded]
    return b"\n".join([*map(add, map(_LINE_STARTS.__getitem__, headers), encoded), b""])


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
