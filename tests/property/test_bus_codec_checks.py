"""Reading looks for required fields on its way: it refuses exactly what the walk over the whole message refuses, with the same words."""

from __future__ import annotations

import random
import typing
from typing import Any

import pytest

from services.common.bus import Envelope, codec
from services.common.errors import DecodeError
from services.contracts.registry import TYPES
from services.reporting.core import facts as f

KINDS = {name: getattr(f, name.rpartition(".")[2], None) for name in TYPES}
READ = sorted(name for name, kind in KINDS.items() if isinstance(kind, type))


def fill(message: Any, chance: random.Random, depth: int = 0) -> None:
    """Fields of all kinds, some of them left empty."""
    oneofs = {field.name for oneof in message.DESCRIPTOR.oneofs for field in oneof.fields}
    chosen = chance.choice(sorted(oneofs)) if oneofs else ""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.1 or (field.name in oneofs and field.name != chosen):
            continue
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None:
            if field.is_repeated:
                for _ in range(chance.randint(0, 2)):
                    fill(target.add(), chance, depth + 1)
            elif depth < 4:
                target.SetInParent()
                fill(target, chance, depth + 1)
        elif field.is_repeated:
            target.append("x" if field.type == field.TYPE_STRING else 1)
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, "x")
        elif field.type == field.TYPE_BYTES:
            setattr(message, field.name, b"x")
        else:
            setattr(message, field.name, 1)


def outcome(read: typing.Callable[[], Any]) -> Any:
    try:
        return read()
    except DecodeError as e:
        return str(e)


@pytest.mark.parametrize("name", READ)
def test_reading_checks_what_decoding_checks(name: str) -> None:
    chance, kind = random.Random(name), KINDS[name]
    refused = 0
    for _ in range(120):
        message = TYPES[name]()
        fill(message, chance)
        envelope = Envelope("i", name, 5, "/x/1", "t", "", "", "a.b", 1, message.SerializeToString())
        apart = outcome(lambda e=envelope: codec.to_struct(codec.decode(e), kind))  # type: ignore[misc]
        assert outcome(lambda e=envelope: codec.read(e, kind)) == apart  # type: ignore[misc]
        refused += isinstance(apart, str)
    if name == "peyvand.routing.v1.Decided":
        assert refused > 20
