"""Envelopes as message headers: CloudEvents 1.0, binary mode, plus NATS's own id for its duplicate window.

CloudEvents' NATS binding wants percent-encoded values; ids, types and tenants are ASCII already, so only what people
write (the note of a dead letter, an instance's name) is ever longer for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from services.common.bus import Envelope, Letter, subjects
from services.common.bus.arrival import Place

MSG_ID = "Nats-Msg-Id"
TRACEPARENT = "traceparent"
EXPECTED_SEQ = "Nats-Expected-Last-Subject-Sequence"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN = re.compile(r"[!#-$&-~]*")
# Printable ASCII but '%' and '"', which the binding escapes.
_SAFE = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
# A block as ``to_headers`` writes it, with nothing escaped. Whatever looks otherwise is read header by header.
_OURS = re.compile(
    r"NATS/1\.0\r\nce-specversion: 1\.0\r\nce-id: ([^%\r]*)\r\nce-type: ([^\r]*)\r\nce-source: ([^%\r]*)\r\n"
    r"ce-time: ([^\r]*)\r\nce-datacontenttype: application/protobuf\r\n(?:ce-tenant: ([^\r]*)\r\n)?"
    r"(?:ce-correlationid: ([^%\r]*)\r\n)?(?:ce-causationid: ([^%\r]*)\r\n)?(?:traceparent: ([^\r]*)\r\n)?"
    r"(?:Nats-Msg-Id: [^\r]*\r\n)?(?:Nats-Expected-Last-Subject-Sequence: [^\r]*\r\n)?\r\n"
).fullmatch


def rfc3339(time_us: int) -> str:
    """Microseconds since the epoch as RFC 3339 in UTC, without loss."""
    return (
        (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def from_rfc3339(text: str) -> int:
    """Microseconds since the epoch; 0 for what is no time."""
    try:
        since = datetime.fromisoformat(text) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    except (ValueError, TypeError):
        return 0


def _escape(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe=_SAFE)


def to_headers(envelope: Envelope, *, stored: bool) -> dict[str, str]:
    """Headers of a message; ``stored`` adds the id by which the server drops repetitions."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": _escape(envelope.id),
        "ce-type": envelope.type,
        "ce-source": _escape(envelope.source),
        "ce-time": rfc3339(envelope.time_us),
        "ce-datacontenttype": "application/protobuf",
    }
    if envelope.tenant:
        headers["ce-tenant"] = envelope.tenant
    if envelope.correlation_id:
        headers["ce-correlationid"] = _escape(envelope.correlation_id)
    if envelope.causation_id:
        headers["ce-causationid"] = _escape(envelope.causation_id)
    if envelope.note:
        headers["ce-note"] = _escape(envelope.note)
    if envelope.traceparent:
        headers[TRACEPARENT] = envelope.traceparent
    if envelope.letter is not None:
        headers |= _letter_headers(envelope.letter)
    if stored:
        headers[MSG_ID] = headers["ce-id"]
    return headers


def _letter_headers(letter: Letter) -> dict[str, str]:
    return {
        "ce-deadconsumer": letter.consumer,
        "ce-deadreason": letter.reason,
        "ce-deaderror": _escape(letter.error),
        "ce-deadsubject": letter.subject,
        "ce-deadstream": letter.stream,
        "ce-deadsequence": str(letter.stream_seq),
        "ce-deadid": _escape(letter.id),
        "ce-deadsource": _escape(letter.source),
        "ce-deadtime": rfc3339(letter.time_us),
        "ce-deadcausationid": _escape(letter.causation_id),
        "ce-deaddeliveries": str(letter.deliveries),
        "ce-deadtimes": str(letter.times),
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def from_headers(
    headers: Mapping[str, str] | None,
    *,
    subject: str,
    data: bytes,
    stream: str = "",
    stream_seq: int = 0,
    deliveries: int = 1,
) -> Envelope:
    """The envelope of a message. What a foreign sender left out is empty: decoding will refuse it by its type."""
    given = {name.lower(): value for name, value in headers.items()} if headers else {}

    def plain(name: str) -> str:
        value = given.get(name, "")
        return unquote(value) if "%" in value else value

    letter = None
    if "ce-deadconsumer" in given:
        letter = Letter(
            consumer=given["ce-deadconsumer"],
            reason=given.get("ce-deadreason", ""),
            error=plain("ce-deaderror"),
            subject=given.get("ce-deadsubject", ""),
            stream=given.get("ce-deadstream", ""),
            stream_seq=_number(given.get("ce-deadsequence", "")),
            id=plain("ce-deadid"),
            source=plain("ce-deadsource"),
            time_us=from_rfc3339(given.get("ce-deadtime", "")),
            causation_id=plain("ce-deadcausationid"),
            deliveries=_number(given.get("ce-deaddeliveries", "")),
            times=_number(given.get("ce-deadtimes", "")),
        )
    return Envelope(
        id=plain("ce-id"),
        type=given.get("ce-type", ""),
        time_us=from_rfc3339(given.get("ce-time", "")),
        source=plain("ce-source"),
        tenant=given.get("ce-tenant", "") or subjects.tenant_of(subject),
        correlation_id=plain("ce-correlationid"),
        causation_id=plain("ce-causationid"),
        subject=subject,
        stream_seq=stream_seq,
        data=data,
        stream=stream,
        deliveries=deliveries,
        note=plain("ce-note"),
        letter=letter,
        traceparent=given.get(TRACEPARENT, ""),
    )


def stored_envelope(block: bytes, subject: bytes, data: bytes, place: Place) -> Envelope:
    """The envelope of a message that a consumer was given, out of its header block: ``from_headers`` of ``parse_block``, at a fifth
    of the price for what the bus itself has sent."""
    named = subject.decode()
    try:
        found = _OURS(block.decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None:
        return from_headers(
            parse_block(block),
            subject=named,
            data=data,
            stream=place.stream,
            stream_seq=place.stream_seq,
            deliveries=place.deliveries,
        )
    id_, kind, source, time, tenant, correlation, causation, trace = found.groups("")
    return Envelope(
        id_,
        kind,
        from_rfc3339(time),
        source,
        tenant or subjects.tenant_of(named),
        correlation,
        causation,
        named,
        place.stream_seq,
        data,
        place.stream,
        place.deliveries,
        "",
        None,
        trace,
    )


def parse_block(block: bytes) -> dict[str, str]:
    """Headers as the server stores them (``NATS/1.0`` and lines). Lines without a colon are left out."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.decode("utf-8", "replace").strip()] = value.decode("utf-8", "replace").strip()
    return headers
