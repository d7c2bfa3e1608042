"""A rush hour's messages as reporting reads them: what the two simulated cores appended, with what ivr and recording add to it.

Routing's entries and queue's observations are those of ``tests.sim.joined_day``; of each caller ivr tells the start and, with
three steps, the handing over, and recording the file's beginning and its measured end. Ids are as long as real ones.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from services.common.bus import Envelope, codec, subjects
from services.contracts.peyvand.ivr.v1 import events_pb2 as ivr
from services.contracts.peyvand.recording.v1 import events_pb2 as recording
from services.contracts.registry import TYPES
from services.routing.core import facts as routing
from tests.sim.joined_day import JoinedDay

_CONTACT = re.compile(r"\bc\d{6}\b")
_NAMESPACE = uuid.UUID("8b2f7a52-3f0c-4c57-9d2a-5f5a3c0f8a11")
STEPS = (("greet", "play", "done"), ("menu", "menu", "digit:2"), ("queue", "queue", "sales"))


class Recorded(JoinedDay):
    """The hour, with everything that was appended in its order."""

    def __init__(self, *, calls: int, seed: int, rush_s: float) -> None:
        super().__init__(calls=calls, seed=seed, kills=0, rush_s=rush_s)
        self.appended: list[Envelope] = []

    def _observe(self, envelope: Envelope) -> None:
        self.appended.append(envelope)
        super()._observe(envelope)

    def decided(self, entry: routing.Decided) -> None:
        self.appended.append(self._envelope(subjects.log("demo"), entry, f"log-{len(self.appended)}"))
        super().decided(entry)


def _long(text: str) -> str:
    """Contacts' ids are UUIDs of legs."""
    return _CONTACT.sub(lambda found: str(uuid.uuid5(_NAMESPACE, found[0])), text)


def _lengthened(message: Any) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if field.is_repeated else (value,):
                _lengthened(item)
        elif isinstance(value, str):
            setattr(message, field.name, _long(value))


def _told(envelope: Envelope, service: str, what: str, message: Any) -> Envelope:
    name, data = codec.encode(f"cc.v1.evt.demo.{service}.contact.{what}", message)
    contact = message.contact_id
    return msgspec.structs.replace(
        envelope,
        id=f"{envelope.id}:{service}:{what}",
        type=name,
        data=data,
        subject=subjects.fact("demo", service, "contact", what),
        correlation_id=contact,
    )


def _beside(envelope: Envelope, message: Any) -> Iterator[Envelope]:
    """What ivr and recording say about the same moment."""
    kind, at_us = type(message).__name__, envelope.time_us
    contact = getattr(message, "contact_id", "")
    if kind == "ContactWaiting":
        yield _told(
            envelope,
            "ivr",
            "started",
            ivr.ContactStarted(
                contact_id=contact, node="fs1", entry_point="1000", ani="+989121234567", language="fa", flow="main",
                revision="0f3a9c1e7b64", started_at_us=at_us - 9_000_000,
            ),
        )  # fmt: skip
        steps = [
            ivr.IvrStepTaken(
                contact_id=contact, step_no=n + 1, flow="main", flow_version=3, flow_node=node, kind=what, result=result,
                entered_at_us=at_us - 9_000_000 + n * 3_000_000, spent_ms=3_000,
                at_us=at_us - 6_000_000 + n * 3_000_000,
            )
            for n, (node, what, result) in enumerate(STEPS)
        ]  # fmt: skip
        over = ivr.ContactHandedOver(
            contact_id=contact, queue=message.queue, language="fa", at_us=at_us, steps=steps
        )
        yield _told(envelope, "ivr", "handed-over", over)
    elif kind in ("AgentBridged", "ConversationEnded"):
        path = f"demo/2026-11-22/{contact}.wav"
        file = {"recording_id": str(uuid.uuid5(_NAMESPACE, path)), "contact_id": contact, "path": path}
        if kind == "AgentBridged":
            yield _told(
                envelope,
                "recording",
                "started",
                recording.RecordingStarted(**file, node="fs1", at_us=at_us),
            )
        else:
            yield _told(
                envelope,
                "recording",
                "stored",
                recording.RecordingStored(
                    **file, node="fs1", at_us=at_us, started_at_us=at_us - 60_000_000, bytes=960_044, channels=2,
                    duration_ms=60_000, sample_rate=8_000, sha256="9f" * 32, rms=(812, 765), agent_id=message.agent_id,
                ),
            )  # fmt: skip


def messages(*, calls: int, seed: int, rush_s: float) -> list[Envelope]:
    """The hour's messages of the tenant ``demo``, in order, without a stream."""
    day = Recorded(calls=calls, seed=seed, rush_s=rush_s).run()
    out = []
    for envelope in day.appended:
        message = TYPES[envelope.type].FromString(envelope.data)
        _lengthened(message)
        contact = getattr(message, "contact_id", "")
        named = msgspec.structs.replace(
            envelope,
            id=_long(envelope.id),
            data=message.SerializeToString(),
            correlation_id=contact,
            source="/queue/fs1-1" if contact else "/routing/1",
        )
        out += [named, *_beside(named, message)]
    assert len({envelope.id for envelope in out}) == len(out)
    return out


def of_tenant(envelope: Envelope, tenant: str) -> Envelope:
    """The same message in another tenant's books."""
    return msgspec.structs.replace(
        envelope,
        id=f"{tenant}:{envelope.id}",
        tenant=tenant,
        subject=envelope.subject.replace(".demo.", f".{tenant}.", 1),
    )
