"""Bus messages to placed facts."""

from __future__ import annotations

import re
import typing
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from prometheus_client import Counter

from services.common.bus import Envelope, codec, subjects
from services.common.errors import DecodeError
from services.reporting.core.facts import (
    OBSERVATIONS,
    CenterRevised,
    ContactHandedOver,
    Decided,
    IvrEnded,
    IvrStepsTaken,
    IvrStepTaken,
    Placed,
    Unread,
)

log = structlog.get_logger()

EVENT_SUBJECTS: Final = tuple(
    subjects.any_fact(service=s) for s in ("ivr", "queue", "recording", "reporting")
)
ROUTING_SUBJECTS: Final = (subjects.any_fact(service="routing"),)
CENTER_SUBJECTS: Final = (subjects.any_fact(service="center"),)

# Messages kept as they came, because this program cannot read them. Above zero: a newer sender (update reporting), or a
# broken one; the log names the first of each type.
UNREAD = Counter("peyvand_reporting_unread_total", "Messages that could not be read")
_LOGGED: Final[set[str]] = set()
_LOGGED_MAX: Final = 100
_NUMBER_MAX: Final = 2**53  # as microseconds the year 2255, which DateTime64 can still show
_WIDE: Final = ("_us", "_ms", "bytes", "epoch")
_COUNT_MAX: Final = 2**31 - 1
_SIGNED: Final = frozenset({"priority"})
_CLOCK_STEP_US: Final = 366 * 86_400 * 1_000_000

_tenant_of: Final = lru_cache(4096)(subjects.tenant_of)
_STRUCTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in OBSERVATIONS}
_DECIDED: Final = "peyvand.routing.v1.Decided"
_ROUTING: Final = "peyvand.routing.v1"
_REVISED: Final = "peyvand.center.v1.CenterRevised"
_PIN: Final = re.compile(r"scrypt\$[^\"\\\s]*")
_STEP: Final = "peyvand.ivr.v1.IvrStepTaken"


def placed_facts(envelope: Envelope) -> list[Placed]:
    """The facts of one message, each with its place.

    A message that cannot be read (a newer sender's, or broken) becomes one ``Unread`` fact: nothing on the streams is
    lost, and nothing on them can stop the writer.
    """
    try:
        if envelope.type == _DECIDED:
            return _decided(envelope)
        if envelope.type == _REVISED:
            return [_observed(envelope, _without_pins(codec.read(envelope, CenterRevised)))]
        kind = _STRUCTS.get(envelope.type.rpartition(".")[2])
        if kind is None:
            return [_unread(envelope, "unknown type")]
        fact = codec.read(envelope, kind)
        if isinstance(fact, (IvrStepsTaken, ContactHandedOver, IvrEnded)):
            return _with_steps(envelope, fact)
        return [_observed(envelope, fact)]
    except DecodeError as e:
        return [_unread(envelope, str(e))]


class _Bounds(NamedTuple):
    """What a field's number may be."""

    name: str
    least: int
    most: int
    wide: bool


@cache
def _bounds(kind: Any) -> tuple[_Bounds, ...]:
    """Of each field of a kind of fact that can be a number."""
    out = []
    for field in msgspec.structs.fields(kind):
        if field.type in (str, bool) or typing.get_origin(field.type) is tuple:
            continue
        wide = field.name.endswith(_WIDE)
        least = -_COUNT_MAX if field.name in _SIGNED else 0
        out.append(_Bounds(field.name, least, _NUMBER_MAX if wide else _COUNT_MAX, wide))
    return tuple(out)


def _sound(fact: Any) -> Any:
    """The fact, with negative durations and times (a clock that was set back) as 0. Raises DecodeError for absurd numbers."""
    mended: dict[str, int] = {}
    kind: Any = type(fact)
    for name, least, most, wide in _bounds(kind):
        value = getattr(fact, name)
        if not isinstance(value, int) or least <= value <= most:
            continue
        if not wide or not -_CLOCK_STEP_US < value < 0:
            raise DecodeError(f"{type(fact).__name__}.{name}: {value} is no number for it")
        mended[name] = 0
    return msgspec.structs.replace(fact, **mended) if mended else fact


def _without_pins(revised: CenterRevised) -> CenterRevised:
    """A PIN has few digits: whoever may read its hash may find it."""
    return msgspec.structs.replace(
        revised,
        changes=tuple(
            msgspec.structs.replace(
                change, before=_PIN.sub("(secret)", change.before), after=_PIN.sub("(secret)", change.after)
            )
            for change in revised.changes
        ),
    )


def _with_steps(envelope: Envelope, told: IvrStepsTaken | ContactHandedOver | IvrEnded) -> list[Placed]:
    """Each step as a fact of its own, under the message's id and its place; then the message itself, if it says anything more."""
    message = _observed(envelope, msgspec.structs.replace(told, steps=()))
    placed = [
        msgspec.structs.replace(
            message, id=f"{envelope.id}.{idx}", idx=idx, type=_STEP, **_step(envelope, told, step)
        )
        for idx, step in enumerate(told.steps)
    ]
    if not isinstance(told, IvrStepsTaken):
        placed.append(msgspec.structs.replace(message, idx=len(placed)))
    return placed


def _step(
    envelope: Envelope, told: IvrStepsTaken | ContactHandedOver | IvrEnded, step: IvrStepTaken
) -> dict[str, Any]:
    try:
        # Whose step it is the message around it says.
        sound = _sound(msgspec.structs.replace(step, contact_id=told.contact_id))
    except DecodeError as e:
        # How the call ended does not depend on it.
        _note(envelope, str(e))
        return {"fact": Unread(problem=str(e), data_hex=envelope.data.hex())}
    return {"fact": sound, "at_us": sound.at_us}


def _observed(envelope: Envelope, read: Any) -> Placed:
    fact = _sound(read)
    return Placed(
        id=envelope.id,
        stream=envelope.stream,
        seq=envelope.stream_seq,
        idx=0,
        type=envelope.type,
        tenant=_tenant(envelope),
        contact_id=getattr(fact, "contact_id", ""),
        at_us=getattr(fact, "at_us", 0) or getattr(fact, "started_at_us", 0) or _time_us(envelope),
        causation_id=envelope.causation_id,
        revision=getattr(fact, "revision", ""),
        fact=fact,
    )


def _decided(envelope: Envelope) -> list[Placed]:
    entry = _sound(codec.read(envelope, Decided))
    facts = [_sound(fact) if fact is not None else None for fact in entry.facts]
    if None in facts:
        _note(envelope, "unknown kind of fact")
    return [
        Placed(
            id=f"{envelope.id}.{idx}",
            stream=envelope.stream,
            seq=envelope.stream_seq,
            idx=idx,
            type=f"{_ROUTING}.{type(fact).__name__}" if fact is not None else _DECIDED,
            tenant=_tenant(envelope),
            contact_id=getattr(fact, "contact_id", ""),
            at_us=entry.at_us,
            causation_id=entry.input_id,
            revision=entry.revision,
            # The whole entry is kept in hex, so that what it says can be read by a later version.
            fact=fact
            if fact is not None
            else Unread(problem="unknown kind of fact", data_hex=envelope.data.hex()),
        )
        for idx, fact in enumerate(facts)
    ]


def _note(envelope: Envelope, problem: str) -> None:
    """Count what cannot be read, and log it once for each type: a newer sender's messages come by the thousand."""
    UNREAD.inc()
    if envelope.type not in _LOGGED and len(_LOGGED) < _LOGGED_MAX:
        _LOGGED.add(envelope.type)
        log.warning(
            "fact_unreadable", id=envelope.id, type=envelope.type, subject=envelope.subject, reason=problem
        )


def _time_us(envelope: Envelope) -> int:
    return min(max(envelope.time_us, 0), _NUMBER_MAX)


def _unread(envelope: Envelope, problem: str) -> Placed:
    _note(envelope, problem)
    return Placed(
        id=envelope.id,
        stream=envelope.stream,
        seq=envelope.stream_seq,
        idx=0,
        type=envelope.type,
        tenant=_tenant(envelope),
        contact_id=envelope.correlation_id,
        at_us=_time_us(envelope),
        causation_id=envelope.causation_id,
        fact=Unread(problem=problem, data_hex=envelope.data.hex()),
    )


def _tenant(envelope: Envelope) -> str:
    # The subject is what permissions and streams go by; the header is the sender's word.
    return _tenant_of(envelope.subject) or envelope.tenant
