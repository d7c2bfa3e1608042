"""What must hold for the event socket's codec whatever bytes come: the rules that the fuzzer tries to break.

Each rule takes any bytes and raises AssertionError, or whatever the code under it should never raise. They need no fuzzer:
`tests/unit/esl/test_esl_fuzz_findings.py` runs them over the seeds and over all inputs that once broke one.
"""

from __future__ import annotations

import contextlib
import json
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from services.common.errors import ProtocolError, UnsafeCommandError
from services.common.esl import protocol
from services.common.esl.protocol import Decoder, Event, Frame, event_from_connect, sendmsg
from services.common.esl.quoting import channel_vars, command, multiset, neutralise, separate, setvar_multi
from services.simswitch.core import command as simulated_command
from tests.esl_reference import read_commands, unread

# So small that inputs of some KB get to the bounds.
MAX_BODY = 3_000
MAX_HEAD = 3_700


@contextlib.contextmanager
def small_bounds() -> Iterator[None]:
    """Shrink what the codec will keep, so that short inputs reach it."""
    bounds = {
        (protocol, "MAX_BODY_BYTES"): MAX_BODY,
        (protocol, "MAX_HEAD_BYTES"): MAX_HEAD,
        (protocol, "BUFFER_BYTES"): 512,
        (simulated_command, "MAX_COMMAND_BYTES"): MAX_BODY,
    }
    usual = {(module, name): getattr(module, name) for module, name in bounds}
    try:
        for (module, name), value in bounds.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in usual.items():
            setattr(module, name, value)


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut ``data`` at places that depend on it alone: all over, or byte by byte somewhere."""
    dice = random.Random(zlib.crc32(data))
    close = dice.randrange(len(data) + 1)
    points = {dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 12))} | set(
        range(close, close + 12)
    )
    at = 0
    for point in sorted(points):
        if at < point < len(data):
            yield data[at:point]
            at = point
    yield data[at:]


# -- what FreeSWITCH sends ---------------------------------------------------------------------------------------------


def client_stream(data: bytes) -> None:
    """Bytes at the client: items, or ProtocolError; the same ones however they are cut; never more kept than allowed."""
    protocol._NAMES.clear()  # an input must do the same whatever came before it
    whole, whole_error = _decode([data])
    split, split_error = _decode(pieces(data))
    assert split == whole
    assert split_error == whole_error


def _decode(chunks: Any) -> tuple[list[object], str]:
    decoder = Decoder()
    seen: list[object] = []
    error = ""
    try:
        for chunk in chunks:
            seen += [_item(item) for item in decoder.feed(chunk)]
            longest = MAX_BODY + MAX_HEAD + len(chunk)
            assert decoder.pending <= longest, "kept more than a whole frame"
            if decoder.error is not None:
                raise decoder.error
        assert len(decoder.space()) <= 2 * (protocol.BUFFER_BYTES + longest)
    except ProtocolError as e:
        error = str(e)
    return seen, error


def _item(item: Frame | Event) -> object:
    if isinstance(item, Frame):
        assert isinstance(item.text, str)
        item.text.encode()
        if item.content_type == "command/reply":
            _event(event_from_connect(item))
        if item.content_type == "text/event-json":
            return _broken(item.body)
        return item.content_type, item.headers, item.body
    return _event(item)


def _broken(raw: bytes) -> object:
    """An event that is no JSON: found at once when it is the first of its name, and otherwise by who reads a header."""
    return "broken", raw


def _event(event: Event) -> object:
    try:
        headers = dict(event.headers)
    except ProtocolError:
        return _broken(event.raw)
    looked = Event(event.name, event.raw) if _is_cjson(event.raw) else event
    quick = looked.unique_id, looked.subclass, looked.get("Hangup-Cause", "none")
    assert quick == (event.get("Unique-ID"), event.get("Event-Subclass"), event.get("Hangup-Cause", "none"))
    for at, (name, value) in enumerate(headers.items()):
        assert isinstance(name, str)
        first = value if isinstance(value, str) else (value[0] if value else "absent")
        assert event.get(name, "absent") == first
        if looked is not event and at < 8:
            assert Event(event.name, event.raw).get(name, "absent") == first
        for text in [name] + ([value] if isinstance(value, str) else value):
            text.encode()  # protobuf and ClickHouse refuse half a surrogate pair
    return event.name, event.raw, headers


def _is_cjson(raw: bytes) -> bool:
    """Whether FreeSWITCH could have written this: its names and values in one flat object, without blanks."""
    try:
        pairs = json.loads(raw.decode(), object_pairs_hook=list)
    except (ValueError, RecursionError):
        return False
    if not raw.startswith(b"{") or not isinstance(pairs, list):
        return False
    parts = []
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            return False
        name, value = pair
        flat = isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(part, str) for part in value)
        )
        if not flat:
            return False
        parts.append(f"{_written(name)}:{_written(value)}")
    return "{" + ",".join(parts) + "}" == raw.decode()


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- what clients send -------------------------------------------------------------------------------------------------


def server_stream(data: bytes) -> None:
    """Bytes at the simulated switch: commands, or ProtocolError; the same however cut; what is kept is bounded."""
    whole, whole_error = _read([data])
    split, split_error = _read(pieces(data))
    assert split == whole
    assert split_error == whole_error


def _read(chunks: Any) -> tuple[list[object], str]:
    reader = simulated_command.CommandReader()
    seen: list[object] = []
    try:
        for chunk in chunks:
            for found in reader.feed(chunk):
                seen.append((found.line, dict(found.headers), dict(found.written), found.body))
                found.line.encode("utf-8", "surrogateescape")
            assert reader.pending <= MAX_BODY + len(chunk) + 1, "kept more than a whole command"
    except ProtocolError as e:
        return seen, str(e)
    return seen, ""


# -- what we send ------------------------------------------------------------------------------------------------------


def written_command(data: bytes) -> None:
    """Any words as line, headers and body: FreeSWITCH reads exactly that one command, or nothing is written."""
    # Behind ff halves of surrogate pairs may stand, which no encoding carries.
    half = data[:1] == b"\xff"
    text = data[half:].decode("utf-8", "surrogateescape")
    if half:
        text = text.replace("\x1e", "\ud800")
    line, *rest = text.split("\x1f")
    body = rest.pop().encode("utf-8", "replace") if len(rest) % 2 else None
    headers = dict(zip(rest[::2], rest[1::2], strict=True))
    try:
        sent = command(line, headers, body)
    except UnsafeCommandError:
        return
    arrives_as(sent, line, headers, body)


def written_application(data: bytes) -> None:
    """Any words as application, argument, id and channel: as `written_command`; so with channel variables of all kinds."""
    words = [*data.decode("utf-8", "surrogateescape").split("\x1f"), "", "", "", ""]
    app, arg, app_id, unique_id = words[:4]
    with contextlib.suppress(UnsafeCommandError):
        sent = sendmsg(app, arg, app_id, unique_id=unique_id, event_lock=True)
        headers = {
            "call-command": "execute",
            "execute-app-name": app,
            "Event-UUID": app_id,
            "event-lock": "true",
        }
        if arg:
            headers["content-type"] = "text/plain"
        arrives_as(
            sent,
            f"sendmsg {unique_id}".rstrip(),
            headers,
            arg.encode("utf-8", "surrogateescape") if arg else None,
        )
    tame = neutralise(arg)
    assert not set("$\\\r\n\0") & set(tame)
    assert neutralise(tame) == tame
    with contextlib.suppress(UnsafeCommandError):
        assert separate(f"{setvar_multi({app: arg, 'last': '1'})}", ";") == [f"{app}={arg}", "last=1"]
    with contextlib.suppress(UnsafeCommandError):
        (written,) = separate(f"{channel_vars({app: arg})}user/1 &park()", " ", 10)[:1]
        (pair,) = separate(written.rpartition("}")[0][1:], ",")
        assert separate(pair, "=", 2) == ([app, arg] if arg else [app])
    with contextlib.suppress(UnsafeCommandError):
        assert multiset({app: arg, "last": "1"}) == f"^^;{app}={arg};last=1"
        assert not set(";$\\\r\n\0") & set(arg)


def arrives_as(sent: bytes, line: str, headers: dict[str, str], body: bytes | None) -> None:
    """Assert that FreeSWITCH, and the simulated switch, read ``sent`` as this one command and nothing else."""
    (found,) = read_commands(sent)
    assert not found.reloads
    assert unread(sent) == b""
    assert found.line == line
    length = [] if body is None else [("content-length", str(len(body)))]
    assert found.headers == [*headers.items(), *length]
    assert found.body == (body or b"")
    reader = simulated_command.CommandReader()
    (simulated,) = reader.feed(sent)
    assert reader.pending == 0
    assert (simulated.line, simulated.body) == (line, (body or b"").decode("utf-8", "surrogateescape"))


RULES: dict[str, Callable[[bytes], None]] = {
    "client_stream": client_stream,
    "server_stream": server_stream,
    "written_command": written_command,
    "written_application": written_application,
}
