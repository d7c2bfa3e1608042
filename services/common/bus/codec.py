"""Frozen structs of the cores to protobuf and back, by field name.

Rules
- A struct is sent as the message with its class's name; every field of the struct must be a field of the message. Fields
  of the message that a struct does not name are ignored when it is read, so a reader takes what it needs.
- What is empty in proto3 ('', 0, false, nothing) becomes the struct's default; without a default it stays empty.
- A nested struct is a nested message; ``list[T]``, ``tuple[T, ...]`` and ``frozenset[T]`` are repeated fields; ``dict`` is a map.
- An enum of Python whose values are text or numbers stands for such a field. A value that the enum does not know is a
  DecodeError unless the enum has ``_missing_``; plain ``str`` and ``int`` fields let unknown values through.
- A union of structs is a message that is nothing but one ``oneof``: the member is chosen by the class's name. A
  kind that this process does not know yet becomes None if the union has it, so that positions in a list stay what they
  are in the log, and a DecodeError if not.
- Fields marked ``// required`` in proto/ must not be empty, neither when sent nor when read.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as BrokenBytes
from google.protobuf.message import Message

from services.common.bus import Envelope, Sendable, subjects
from services.common.errors import ContractError, DecodeError, NewerMessage
from services.contracts.registry import TYPES
from services.contracts.required import REQUIRED

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_Convert = Callable[[Any], Any]
_OURS = re.compile(r"peyvand\.[a-z]+\.v\d+(alpha|beta)?\.[A-Z]\w*", re.ASCII)


# ---------------------------------------------------------------------------------------------------------- entry points
def to_proto(value: msgspec.Struct, message_type: type[Message]) -> bytes:
    """Encode a struct as ``message_type``.

    Raises ContractError for an empty required field, TypeError for a struct that does not fit the message at all.
    """
    message = fill(value, message_type)
    check(message)
    return message.SerializeToString()


def from_proto(data: bytes, message_type: type[Message], struct_type: type[T]) -> T:
    """Decode bytes of ``message_type`` to ``struct_type``. Raises DecodeError."""
    return to_struct(_parse(data, message_type), struct_type)  # type: ignore[no-any-return]


def fill(value: msgspec.Struct, message_type: type[M]) -> M:
    """Make the message of a struct, without looking at required fields."""
    message = message_type()
    _writer(type(value), message_type.DESCRIPTOR)(value, message)
    return message


def to_struct(message: Message, struct_type: Any) -> Any:
    """Make a struct (or a member of a union of structs) of a message. Raises DecodeError."""
    return _reader(struct_type, message.DESCRIPTOR)(message)


def message_type(name: str) -> type[Message]:
    """The class of a message by full name. Raises NewerMessage for one that a newer sender may have, DecodeError for others."""
    try:
        return TYPES[name]
    except KeyError:
        problem = (
            f"unknown message type {name!r}: expected one of proto/; is this process older than the sender?"
        )
        raise (NewerMessage if _OURS.fullmatch(name) else DecodeError)(problem) from None


def encode(subject: str, message: Sendable) -> tuple[str, bytes]:
    """Full name and bytes of what is sent on ``subject``. Raises ContractError."""
    if not isinstance(message, Message):
        name = f"{subjects.package_of(subject)}.{type(message).__name__}"
        if name not in TYPES:
            raise ContractError(
                f"no message {name} in proto/ for the struct {type(message).__name__} on {subject}"
            )
        message = fill(message, TYPES[name])
    check(message)
    return message.DESCRIPTOR.full_name, message.SerializeToString()


def decode(envelope: Envelope) -> Message:
    """The message of an envelope, with its required fields. Raises DecodeError."""
    return _parse(envelope.data, message_type(envelope.type))


def read(envelope: Envelope, struct_type: type[T]) -> T:
    """The message of an envelope as a struct. Raises DecodeError."""
    kind = message_type(envelope.type)
    message = _parsed(envelope.data, kind)
    try:
        # Required fields are looked for on the way: a walk of its own over the message costs as much as the reading.
        reader: _Convert = _reader(cast("Hashable", struct_type), kind.DESCRIPTOR, True)
        return cast("T", reader(message))
    except _Empty:
        raise DecodeError(
            f"{kind.DESCRIPTOR.full_name}: required field {_missing(message)} is empty"
        ) from None
    except DecodeError:
        if missing := _missing(message):
            raise DecodeError(f"{kind.DESCRIPTOR.full_name}: required field {missing} is empty") from None
        raise


def check(message: Message) -> None:
    """Raise ContractError when a required field is empty, here or in a message inside."""
    if missing := _missing(message):
        raise ContractError(f"{message.DESCRIPTOR.full_name}: required field {missing} is empty")


def _parsed(data: bytes, kind: type[M]) -> M:
    message = kind()
    try:
        message.ParseFromString(data)
    except BrokenBytes as e:
        raise DecodeError(
            f"{kind.DESCRIPTOR.full_name}: {len(data)} bytes are no such message ({e})"
        ) from None
    return message


def _parse(data: bytes, kind: type[M]) -> M:
    message = _parsed(data, kind)
    if missing := _missing(message):
        raise DecodeError(f"{kind.DESCRIPTOR.full_name}: required field {missing} is empty")
    return message


# -------------------------------------------------------------------------------------------------------- required fields
class _Empty(Exception):
    """Some required field is empty; ``_missing`` says which."""


@cache
def _demands(descriptor_name: str) -> tuple[tuple[str, ...], tuple[tuple[str, bool], ...]]:
    descriptor: Any = TYPES[descriptor_name].DESCRIPTOR
    inner = tuple(
        (f.name, f.is_repeated)
        for f in descriptor.fields
        if f.message_type is not None
        and f.message_type.full_name in TYPES
        and _is_demanding(f.message_type, ())
    )
    return REQUIRED.get(descriptor_name, ()), inner


def _is_demanding(descriptor: Descriptor, seen: tuple[str, ...]) -> bool:
    if descriptor.full_name in REQUIRED:
        return True
    return any(
        f.message_type is not None
        and f.message_type.full_name not in (*seen, descriptor.full_name)
        and _is_demanding(f.message_type, (*seen, descriptor.full_name))
        for f in descriptor.fields
    )


def _missing(message: Message) -> str:
    required, inner = _demands(message.DESCRIPTOR.full_name)
    for name in required:
        if not getattr(message, name):
            return name
    for name, repeated in inner:
        if repeated:
            for i, item in enumerate(getattr(message, name)):
                if missing := _missing(item):
                    return f"{name}[{i}].{missing}"
        elif message.HasField(name) and (missing := _missing(getattr(message, name))):
            return f"{name}.{missing}"
    return ""


# ------------------------------------------------------------------------------------------------------------ shared parts
def _as_is(value: Any) -> Any:
    return value


def _members(hint: Any) -> tuple[list[Any], bool]:
    """Members of a union without None, and whether None is one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        args = typing.get_args(hint)
        return [a for a in args if a is not type(None)], type(None) in args
    return [hint], False


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _item_hint(hint: Any) -> Any:
    args = typing.get_args(hint)
    return args[0] if args else Any


def _alternatives(descriptor: Descriptor) -> dict[str, FieldDescriptor] | None:
    """Message name to field, when the message is one oneof of messages and nothing else."""
    if len(descriptor.oneofs) != 1 or len(descriptor.oneofs[0].fields) != len(descriptor.fields):
        return None
    if any(f.message_type is None for f in descriptor.fields):
        return None
    return {f.message_type.name: f for f in descriptor.fields if f.message_type is not None}


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


# ------------------------------------------------------------------------------------------------------------------ reading
@cache
def _reader(hint: Any, descriptor: Descriptor, checked: bool = False) -> _Convert:
    """What makes a struct of a message; with ``checked`` it raises _Empty where a required field is empty."""
    members, allows_none = _members(hint)
    alternatives = _alternatives(descriptor)
    if (
        alternatives is not None
        and all(_is_struct(m) for m in members)
        and (len(members) > 1 or members[0].__name__ in alternatives)
    ):
        return _union_reader(members, allows_none, descriptor, alternatives, checked)
    if len(members) != 1 or not _is_struct(members[0]):
        raise TypeError(
            f"{descriptor.full_name} cannot be read as {hint!r}: expected a struct, or a union of structs for a oneof"
        )
    struct_type: type[msgspec.Struct] = members[0]
    converts: dict[int, tuple[str, _Convert | None]] = {}
    empties: list[tuple[str, str, _Convert]] = []
    for field in msgspec.structs.fields(struct_type):
        found = descriptor.fields_by_name.get(field.name)
        if found is None:
            if field.required:
                raise TypeError(
                    f"{struct_type.__name__}.{field.name} has no default and {descriptor.full_name} has no such field"
                )
            continue
        convert = _read_field(field.type, found, checked)
        converts[found.number] = (field.name, None if convert is _as_is else convert)
        if field.required:
            empties.append(
                (
                    field.name,
                    found.name,
                    convert
                    if found.message_type is None or found.is_repeated
                    else _nothing(struct_type, field),
                )
            )
    demanded, unread = _demanded(descriptor, converts) if checked else ((), False)

    def read_struct(message: Any) -> Any:
        values: dict[str, Any] = {}
        for set_field, value in message.ListFields():
            known = converts.get(set_field.number)
            if known is not None:
                name, convert = known
                values[name] = value if convert is None else convert(value)
        for name in demanded:
            if name not in values:
                raise _Empty
        if unread and _missing(message):
            raise _Empty
        for name, proto_name, convert in empties:
            if name not in values:
                values[name] = convert(getattr(message, proto_name))
        return struct_type(**values)

    return read_struct


def _demanded(descriptor: Descriptor, read: Mapping[int, Any]) -> tuple[tuple[str, ...], bool]:
    """The required fields that are looked at anyway, and whether there is more to check than those."""
    required, inner = _demands(descriptor.full_name) if descriptor.full_name in TYPES else ((), ())
    seen = [
        name
        for name in required
        if (field := descriptor.fields_by_name[name]).number in read
        and not (field.has_presence and field.message_type is None)  # there although it is 0 or ''
    ]
    others = {*required, *(name for name, _ in inner)} - set(seen)
    inside = {name for name, _ in inner if descriptor.fields_by_name[name].number in read}
    return tuple(seen), bool(others - inside)


def _nothing(struct_type: type[msgspec.Struct], field: Any) -> _Convert:
    allows_none = _members(field.type)[1]

    def absent(_: Any) -> None:
        if not allows_none:
            raise DecodeError(f"{struct_type.__name__}.{field.name}: the message is not there")

    return absent


def _union_reader(
    members: list[Any],
    allows_none: bool,
    descriptor: Descriptor,
    alternatives: dict[str, FieldDescriptor],
    checked: bool,
) -> _Convert:
    oneof = descriptor.oneofs[0].name
    readers: dict[str, _Convert] = {}
    for member in members:
        field = alternatives.get(member.__name__)
        if field is None:
            raise TypeError(f"{descriptor.full_name} has no alternative {member.__name__}")
        readers[field.name] = _reader(member, field.message_type, checked)

    def read_union(message: Any) -> Any:
        chosen = message.WhichOneof(oneof)
        reader = readers.get(chosen)
        if reader is not None:
            return reader(getattr(message, chosen))
        if checked and chosen is not None and _missing(message):
            raise _Empty
        if allows_none:
            return None
        raise DecodeError(
            f"{descriptor.full_name}: the alternative {chosen or 'of a newer sender'} is not known here"
        )

    return read_union


def _read_field(hint: Any, field: FieldDescriptor, checked: bool) -> _Convert:
    if _is_map(field):
        return dict
    if field.is_repeated:
        members, _ = _members(hint)
        container: Any = typing.get_origin(members[0]) or members[0]
        item = _read_item(_item_hint(members[0]), field, checked)
        if container not in (list, tuple, frozenset, set):
            raise TypeError(f"{field.full_name} is repeated: expected list, tuple or frozenset, not {hint!r}")
        if item is _as_is:
            return container  # type: ignore[no-any-return]
        return lambda values: container([item(v) for v in values])
    return _read_item(hint, field, checked)


def _read_item(hint: Any, field: FieldDescriptor, checked: bool) -> _Convert:
    if field.message_type is not None:
        return _reader(hint, field.message_type, checked)
    members, _ = _members(hint)
    if len(members) == 1 and isinstance(members[0], type) and issubclass(members[0], enum.Enum):
        kind = members[0]

        def read_enum(value: Any) -> Any:
            try:
                return kind(value)
            except ValueError:
                raise DecodeError(f"{field.full_name}: {value!r} is no {kind.__name__}") from None

        return read_enum
    return _as_is


# ------------------------------------------------------------------------------------------------------------------ writing
@cache
def _writer(struct_type: type[msgspec.Struct], descriptor: Descriptor) -> Callable[[Any, Any], None]:
    alternatives = _alternatives(descriptor)
    if alternatives is not None and struct_type.__name__ in alternatives:
        chosen = alternatives[struct_type.__name__]
        inner = _writer(struct_type, chosen.message_type)

        def write_alternative(value: Any, message: Any) -> None:
            target = getattr(message, chosen.name)
            target.SetInParent()
            inner(value, target)

        return write_alternative

    setters: list[tuple[str, Callable[[Any, Any], None]]] = []
    for field in msgspec.structs.fields(struct_type):
        found = descriptor.fields_by_name.get(field.name)
        if found is None:
            raise TypeError(f"{descriptor.full_name} has no field for {struct_type.__name__}.{field.name}")
        setters.append((field.name, _setter(found)))

    def write_struct(value: Any, message: Any) -> None:
        for name, set_field in setters:
            content = getattr(value, name)
            if content is not None:
                set_field(message, content)

    return write_struct


def _write(value: Any, message: Any, descriptor: Descriptor) -> None:
    kind: type[msgspec.Struct] = type(value)
    _writer(kind, descriptor)(value, message)


def _setter(field: FieldDescriptor) -> Callable[[Any, Any], None]:
    name = field.name
    descriptor = field.message_type
    if _is_map(field):

        def set_map(message: Any, content: Mapping[Any, Any]) -> None:
            getattr(message, name).update(content)

        return set_map
    if descriptor is not None and field.is_repeated:

        def add_messages(message: Any, content: Any) -> None:
            target = getattr(message, name)
            for item in content:
                added = target.add()
                if item is not None:
                    _write(item, added, descriptor)

        return add_messages
    if descriptor is not None:

        def set_message(message: Any, content: Any) -> None:
            target = getattr(message, name)
            target.SetInParent()
            _write(content, target, descriptor)

        return set_message
    if field.is_repeated:

        def add_scalars(message: Any, content: Any) -> None:
            items = sorted(content) if isinstance(content, (set, frozenset)) else content
            getattr(message, name).extend([_scalar(item) for item in items])

        return add_scalars

    def set_scalar(message: Any, content: Any) -> None:
        try:
            setattr(message, name, _scalar(content))
        except (TypeError, ValueError) as e:
            raise ContractError(f"{field.full_name}: {content!r} does not fit ({e})") from None

    return set_scalar


def _scalar(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
