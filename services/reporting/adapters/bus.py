"""Bus messages to placed facts."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter

from services.common.bus import Envelope, codec, subjects
from services.common.errors import DecodeError
from services.reporting.core.facts import OBSERVATIONS, Decided, Placed, Unread

log = structlog.get_logger()

EVENT_SUBJECTS: Final = tuple(subjects.any_fact(service=s) for s in ("ivr", "queue", "recording"))
ROUTING_SUBJECTS: Final = (subjects.any_fact(service="routing"),)

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

_STRUCTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in OBSERVATIONS}
_DECIDED: Final = "peyvand.routing.v1.Decided"
_ROUTING: Final = "peyvand.routing.v1"


def placed_facts(envelope: Envelope) -> list[Placed]:
    """The facts of one message, each with its place.

    A message that cannot be read (a newer sender's, or broken) becomes one ``Unread`` fact: nothing on the streams is
    lost, and nothing on them can stop the writer.
    """
    try:
        if envelope.type == _DECIDED:
            return _decided(envelope)
        kind = _STRUCTS.get(envelope.type.rpartition(".")[2])
        if kind is None:
            return [_unread(envelope, "unknown type")]
        return [_observed(envelope, codec.read(envelope, kind))]
    except DecodeError as e:
        return [_unread(envelope, str(e))]


def _sound(fact: Any) -> Any:
    """The fact, with negative durations and times (a clock that was set back) as 0. Raises DecodeError for absurd numbers."""
    mended = {}
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if not isinstance(value, int):
            continue
        wide = name.endswith(_WIDE)
        if wide and -_CLOCK_STEP_US < value < 0:
            mended[name] = 0
        elif not (-_COUNT_MAX if name in _SIGNED else 0) <= value <= (_NUMBER_MAX if wide else _COUNT_MAX):
            raise DecodeError(f"{type(fact).__name__}.{name}: {value} is no number for it")
    return msgspec.structs.replace(fact, **mended) if mended else fact


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
    return subjects.tenant_of(envelope.subject) or envelope.tenant
