"""Bus messages to the engine's inputs, and what the engine says to messages."""

from __future__ import annotations

from typing import Any

from services.common.bus import Envelope, codec, subjects
from services.common.ids import derived_id
from services.routing.core import inputs as i

_OBSERVATIONS: dict[str, type[Any]] = {
    f"peyvand.queue.v1.{kind.__name__}": kind for kind in i.Observation.__subclasses__()
}
_OWN = frozenset({"at_us", "input_id", "input_seq", "request_id"})
_MADE = {i.PlaceCall: "contact_id"}  # Not in the message.
_KINDS: tuple[type[Any], ...] = (
    *_OBSERVATIONS.values(),
    i.SetAgentPresence,
    i.SeatAgent,
    i.SetDisposition,
    i.SetWrapUp,
    i.SetContactPriority,
    i.ChangeCallback,
    i.EnqueueContact,
    i.LeaveContact,
    i.HandleContact,
    i.PlaceCall,
)
_FIELDS: dict[type[Any], tuple[str, ...]] = {
    # request_id is the envelope's where the message is the wish; a wish that queue passes on has its own.
    kind: tuple(
        name
        for name in kind.__struct_fields__
        if (name not in _OWN and name != _MADE.get(kind))
        or (name == "request_id" and kind is i.TransferRequested)
    )
    for kind in _KINDS
}


def observation(envelope: Envelope, now_us: int) -> i.AnyInput | None:
    """What queue saw; None for what decides nothing (treatments). Raises DecodeError.

    ``at_us`` becomes the time at which the owner takes it up: the observer's own time is not comparable with ours.
    """
    kind = _OBSERVATIONS.get(envelope.type)
    if kind is None:
        return None
    seen: i.AnyInput = _input(kind, envelope, now_us, input_seq=envelope.stream_seq)
    return seen


def wish(kind: type[Any], envelope: Envelope, now_us: int) -> i.AnyInput:
    """What somebody wishes; ``kind`` is the input of the message's name. Raises DecodeError."""
    own = {"request_id": envelope.id}
    if kind is i.PlaceCall:
        # Named by the wish: whoever asks again under the same id means the same call.
        own["contact_id"] = derived_id("outbound", envelope.id)
    made: i.AnyInput = _input(kind, envelope, now_us, **own)
    return made


def asked_position(envelope: Envelope) -> str:
    """The contact that an AskPosition names. Raises DecodeError."""
    contact_id: str = getattr(codec.decode(envelope), "contact_id", "")
    return contact_id


def asked_node(envelope: Envelope) -> tuple[str, str]:
    """The node that an AskOpenContacts names, and after which contact to go on. Raises DecodeError."""
    asked = codec.decode(envelope)
    return getattr(asked, "node", ""), getattr(asked, "after", "")


def _input(kind: type[Any], envelope: Envelope, now_us: int, **own: Any) -> Any:
    message = codec.decode(envelope)
    fields = {name: getattr(message, name) for name in _FIELDS[kind]}
    if "skills" in fields:
        fields["skills"] = tuple(fields["skills"])
    return kind(at_us=now_us, input_id=envelope.id, **fields, **own)


def observations_of(tenant: str) -> str:
    """The subjects of everything that queue sees for a tenant."""
    return subjects.any_fact(tenant=tenant, service="queue")
