"""What `make tail` shows: messages of the bus as rows, which of them are wanted, and their three forms. Pure.

A row is one fact: an entry of routing's log holds several. What this process cannot read (a type or a fact of a newer
version, bytes that are none) is a row too, and says so. Nothing that a sender wrote can drive the terminal.
"""

from __future__ import annotations

import base64
import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from rich.text import Text

from services.common.bus import Envelope, codec
from services.common.bus.headers import rfc3339
from services.common.errors import DecodeError
from services.contracts.peyvand.routing.v1.log_pb2 import Decided

KINDS = ("evt", "live", "dead")

# Shown first, in this order: who and what came of it. What is left follows in the order of the contract.
_FIRST = (
    *("outcome", "state", "presence", "activity", "queue", "agent_id", "extension", "offer_id", "reason"),
    *("cause", "disposition", "what", "digits", "action", "target", "ended_by", "by"),
)
# In columns of their own already.
_ELSEWHERE = ("contact_id",)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGEST = re.compile(r"\b[0-9a-f]{40,}\b")
_BAD = frozenset(
    [
        "no_answer",
        "declined",
        "busy",
        "unreachable",
        "expired",
        "failed",
        "abandoned",
        "ended_unseen",
        "hung_up",
        "withdrawn",
    ]
)
_GOOD = frozenset(["accepted", "completed", "available", "idle"])
_SERVICE_STYLES = {"ivr": "magenta", "queue": "cyan", "routing": "blue", "recording": "yellow"}


@dataclass(frozen=True)
class Row:
    """One fact. ``index`` is its place in an entry of a log; ``trouble`` says what could not be read."""

    envelope: Envelope
    name: str
    message: Message | None = None
    index: int | None = None
    trouble: str = ""
    entry: Decided | None = None

    @property
    def kind(self) -> str:
        """``evt``, ``live`` or ``dead``."""
        parts = self.envelope.subject.split(".")
        if parts[1:2] == ["dlq"]:
            return "dead"
        return parts[2] if len(parts) > 2 else ""

    @property
    def service(self) -> str:
        """Who said it; for a dead letter, whose consumer could not handle it."""
        parts = self.envelope.subject.split(".")
        place = 2 if self.kind == "dead" else 4
        return parts[place] if len(parts) > place else ""

    @property
    def contact(self) -> str:
        return str(getattr(self.message, "contact_id", "") or self.envelope.correlation_id)


def rows(envelope: Envelope) -> Iterator[Row]:
    """The facts of one message: one, or those of an entry of a log."""
    try:
        message = codec.decode(envelope)
    except DecodeError as e:
        yield Row(envelope, envelope.type.rpartition(".")[2] or "(no type)", trouble=str(e))
        return
    if not isinstance(message, Decided):
        yield Row(envelope, message.DESCRIPTOR.name, message, trouble=_unread(message))
        return
    for index, fact in enumerate(message.facts):
        chosen = fact.WhichOneof("fact")
        if chosen is None:
            yield Row(envelope, "(newer fact)", None, index, _unread(fact) or "an empty fact", message)
        else:
            inner = getattr(fact, chosen)
            yield Row(envelope, inner.DESCRIPTOR.name, inner, index, _unread(inner), message)
    if not message.facts:
        yield Row(envelope, "Decided", message, trouble=_unread(message), entry=message)


def _unread(message: Message) -> str:
    numbers = sorted({f.field_number for f in UnknownFieldSet(message)})  # type: ignore[attr-defined]
    if not numbers:
        return ""
    named = ", ".join(map(str, numbers))
    return f"written by a newer version: field {named} of {message.DESCRIPTOR.name} is not known here"


# ------------------------------------------------------------------------------------------------------------------ filters
def values_at(message: Message | None, path: str) -> list[str]:
    """What a message holds at ``why.rule`` or ``skills`` (every item of a list), as text; none where nothing is."""
    found: list[Any] = [message] if message is not None else []
    for name in path.split("."):
        inner: list[Any] = []
        for holder in found:
            descriptor = holder.DESCRIPTOR.fields_by_name.get(name) if isinstance(holder, Message) else None
            if descriptor is not None:
                value = getattr(holder, name)
                inner += list(value) if descriptor.is_repeated else [value]
        found = inner
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in found if not isinstance(v, Message)]


@dataclass(frozen=True)
class Criteria:
    """Which rows are wanted: all that are given must hold, of those given as several one must."""

    tenant: str = ""
    contact: str = ""
    agent: str = ""
    queue: str = ""
    service: str = ""
    kinds: Sequence[str] = KINDS
    types: Sequence[str] = ()
    where: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def wants(self, row: Row) -> bool:
        """Whether a row is wanted."""
        envelope = row.envelope
        return (
            row.kind in self.kinds
            and (not self.tenant or envelope.tenant == self.tenant)
            and (not self.service or row.service == self.service)
            and (not self.contact or row.contact.startswith(self.contact))
            and (not self.types or any(_named(row.name, pattern) for pattern in self.types))
            and (not self.agent or self._has(row, self.agent, "agent_id", "extension"))
            and (not self.queue or self._has(row, self.queue, "queue"))
            and all(self._has(row, wanted, path) for path, wanted in self.where)
        )

    @staticmethod
    def _has(row: Row, wanted: str, *paths: str) -> bool:
        return any(
            fnmatch.fnmatchcase(value, wanted) for path in paths for value in values_at(row.message, path)
        )


def _named(name: str, pattern: str) -> bool:
    if not set(pattern) & set("*?["):
        pattern = f"*{pattern}*"
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


# -------------------------------------------------------------------------------------------------------------------- forms
def short(row: Row) -> Text:
    """One line: local time, tenant, service, contact, fact, then what matters first."""
    envelope = row.envelope
    line = Text()
    line.append(_clock(envelope.time_us), style="dim")
    line.append(f" {_plain(envelope.tenant) or '-':<8}", style="dim")
    line.append(f" {_plain(row.service) or '-':<9}", style=_SERVICE_STYLES.get(row.service, ""))
    line.append(f" {_short_id(row.contact) or '-':<8} ", style="green")
    line.append(f"{_plain(row.name):<21}", style="bold")
    if row.kind == "live":
        line.append(" live", style="dim")
    for name, value, style in _pairs(row.message, envelope.time_us):
        line.append(f" {name}=", style="dim").append(value, style=style)
    if row.entry is not None and row.index is not None:
        line.append(f" epoch={row.entry.epoch}", style="dim")
    if row.trouble:
        line.append(f" ! {_plain(row.trouble)}", style="yellow")
        if row.message is None:
            line.append(f" ({len(envelope.data)} bytes)", style="dim")
    if envelope.note:
        line.append(f" DEAD LETTER {_plain(envelope.note)}", style="red")
    return line


def long(row: Row) -> Text:
    """A block: the short line's head, then every header and field on a line of its own, nothing shortened."""
    envelope = row.envelope
    at = datetime.fromtimestamp(0, UTC) if not _has_time(envelope.time_us) else _local(envelope.time_us)
    text = Text()
    text.append(f"{_plain(row.name)}", style="bold")
    text.append(f"  {at.isoformat(sep=' ', timespec='milliseconds')}\n", style="dim")
    place = f"{envelope.stream} {envelope.stream_seq}" if envelope.stream else ""
    if row.index is not None:
        place += f" fact {row.index}"
    for name, value in (
        ("subject", envelope.subject),
        ("type", envelope.type),
        ("id", envelope.id),
        ("stored", place),
        ("source", envelope.source),
        ("contact", row.contact),
        ("caused by", envelope.causation_id),
        ("trouble", row.trouble),
        ("dead letter", envelope.note),
    ):
        if value:
            text.append(f"    {name:<12} ", style="dim").append(f"{_plain(value)}\n")
    if row.entry is not None and row.index is not None:
        text.append(f"    {'entry':<12} ", style="dim")
        text.append(f"epoch {row.entry.epoch}, input {_plain(row.entry.input_id) or 'timer'}\n")
    data = plain(row.message) if row.message is not None else {}
    for name, value in data.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text.append(f"  {name:<20} ", style="cyan").append(f"{_plain(shown)}\n")
    if row.message is None:
        text.append(f"  {envelope.data[:256].hex(' ')}\n", style="dim")
    return text


def to_json(row: Row) -> str:
    """One object, for jq; numbers are numbers, bytes are base64, what is empty is left out."""
    envelope = row.envelope
    made: dict[str, Any] = {
        "time": rfc3339(envelope.time_us) if _has_time(envelope.time_us) else "",
        "time_us": envelope.time_us,
        "kind": row.kind,
        "tenant": envelope.tenant,
        "service": row.service,
        "name": row.name,
        "contact": row.contact,
        "id": envelope.id if row.index is None else f"{envelope.id}.{row.index}",
        "type": envelope.type,
        "subject": envelope.subject,
        "stream": envelope.stream,
        "seq": envelope.stream_seq,
        "source": envelope.source,
        "cause": envelope.causation_id,
        "trouble": row.trouble,
        "dead_letter": envelope.note,
    }
    made = {name: value for name, value in made.items() if value != ""}
    if row.index is not None and row.entry is not None:
        made |= {"index": row.index, "epoch": row.entry.epoch, "input": row.entry.input_id}
    if row.message is not None:
        made["data"] = plain(row.message)
    else:
        made["bytes"] = base64.b64encode(envelope.data).decode()
    return msgspec.json.encode(made).decode()


def plain(message: Message) -> dict[str, Any]:
    """What is set in a message, as values of JSON under the names of the contract."""
    return {f.name: _json_value(f, value) for f, value in message.ListFields()}


def _json_value(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        return {str(k): plain(v) if isinstance(v, Message) else v for k, v in value.items()}
    if descriptor.is_repeated:
        return [_json_item(item) for item in value]
    return _json_item(value)


def _json_item(value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _pairs(message: Message | None, told_us: int = 0) -> Iterator[tuple[str, str, str]]:
    """Name without its unit, value for people, style. ``told_us`` is on the line already."""
    if message is None:
        return
    given = {f.name: value for f, value in message.ListFields() if f.name not in _ELSEWHERE}
    for name in sorted(given, key=lambda n: _FIRST.index(n) if n in _FIRST else len(_FIRST)):
        value = given[name]
        if name.endswith("_us"):
            if abs(value - told_us) >= 1000:
                yield name.removesuffix("_us").removesuffix("_at"), _clock(value), ""
        elif name.endswith("_ms"):
            bare = name.removesuffix("_ms")
            yield f"{bare}_for" if bare in given else bare, f"{value / 1000:.1f}s", ""
        else:
            text = _value(value)
            style = "yellow" if text in _BAD else "green" if text in _GOOD else ""
            yield name.removesuffix("_id"), text, style


def _value(value: Any) -> str:
    if isinstance(value, Message):
        return "{" + " ".join(f"{name}={text}" for name, text, _ in _pairs(value)) + "}"
    if isinstance(value, bytes):
        return value[:16].hex() + ("…" if len(value) > 16 else "")
    if isinstance(value, str):
        text = _DIGEST.sub(lambda m: m[0][:8] + "…", _UUID.sub(lambda m: _short_id(m[0]), value))
        return repr(text) if " " in text or not text.isprintable() else text
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if hasattr(value, "items"):
        return "{" + " ".join(f"{k}={_value(v)}" for k, v in value.items()) + "}"
    return "[" + ",".join(_value(item) for item in value) + "]"


def _short_id(text: str) -> str:
    # A UUID of version 7 begins with the time: two of the same minute differ at the end only.
    if _UUID.fullmatch(text):
        return text[-8:] if text[14] == "7" else text[:8]
    return _plain(text[:24])


def _has_time(time_us: int) -> bool:
    try:
        datetime.fromtimestamp(time_us / 1e6, UTC)
    except (ValueError, OverflowError, OSError):  # a year that no calendar here has
        return False
    return True


def _local(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone()


def _clock(time_us: int) -> str:
    return _local(time_us).strftime("%H:%M:%S.%f")[:-3] if _has_time(time_us) else "--:--:--.---"


def _plain(text: str) -> str:
    """What a sender wrote, unable to drive the terminal."""
    return text if text.isprintable() else repr(text)
