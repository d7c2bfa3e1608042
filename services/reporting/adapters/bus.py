"""Bus messages to placed facts."""

from __future__ import annotations

from typing import Any, Final

import structlog

from services.common.bus import Envelope, codec, subjects
from services.common.errors import DecodeError
from services.reporting.core.facts import OBSERVATIONS, Decided, Placed, Unread

log = structlog.get_logger()

EVENT_SUBJECTS: Final = tuple(subjects.any_fact(service=s) for s in ("ivr", "queue", "recording"))
ROUTING_SUBJECTS: Final = (subjects.any_fact(service="routing"),)

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
        log.warning(
            "fact_unreadable", id=envelope.id, type=envelope.type, subject=envelope.subject, reason=str(e)
        )
        return [_unread(envelope, str(e))]


def _observed(envelope: Envelope, fact: Any) -> Placed:
    return Placed(
        id=envelope.id,
        stream=envelope.stream,
        seq=envelope.stream_seq,
        idx=0,
        type=envelope.type,
        tenant=_tenant(envelope),
        contact_id=fact.contact_id,
        at_us=getattr(fact, "at_us", 0) or getattr(fact, "started_at_us", 0) or envelope.time_us,
        causation_id=envelope.causation_id,
        revision=getattr(fact, "revision", ""),
        fact=fact,
    )


def _decided(envelope: Envelope) -> list[Placed]:
    entry = codec.read(envelope, Decided)
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
        for idx, fact in enumerate(entry.facts)
    ]


def _unread(envelope: Envelope, problem: str) -> Placed:
    return Placed(
        id=envelope.id,
        stream=envelope.stream,
        seq=envelope.stream_seq,
        idx=0,
        type=envelope.type,
        tenant=_tenant(envelope),
        contact_id=envelope.correlation_id,
        at_us=envelope.time_us,
        causation_id=envelope.causation_id,
        fact=Unread(problem=problem, data_hex=envelope.data.hex()),
    )


def _tenant(envelope: Envelope) -> str:
    # The subject is what permissions and streams go by; the header is the sender's word.
    return subjects.tenant_of(envelope.subject) or envelope.tenant
