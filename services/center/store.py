"""The revisions of the center documents: one subject a tenant on the stream CC_CENTER.

Theory of operation. A message is a revision: the whole document, who made it and what it changed. It is stored only directly after the
one it is based on (the subject's last sequence), so of two people who edit the same revision one is refused and nobody overwrites what
they have not seen. There is no owner and no lease: whoever may edit appends, and the server decides. Everybody else
follows the stream (``services.center.live``).

A document is checked before it is stored, by itself and beside the newest ones of the other tenants, so what is stored was right for the
program that stored it. A program that reads it may be older, and two tenants may have taken the same extension in the same instant; so
readers check again, and go on with what they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.center import draining, source
from services.center.changes import MOST, CenterChange, changes
from services.center.loader import Read, assemble, read_document, revision_of
from services.center.model import Center
from services.common import ids
from services.common.bus import Bus, Envelope, Outgoing, codec, subjects
from services.common.clock import Clock
from services.common.errors import BusUnavailable, DecodeError, Refused, WrongSequence

ALL = subjects.any_fact(service="center", entity="document", what="revised")
"""Every tenant's revisions."""

MOST_BYTES = 8 << 20
"""Of a document's text."""
_MOST_PACKED = 700_000  # the server takes messages of 1 MiB; changes and retired queues need room too
_MOST_RETIRED = 150_000
_ATTEMPTS = 5


class CenterRevised(msgspec.Struct, frozen=True):
    """A stored revision; fields as in ``center/v1/events.proto``."""

    number: int
    revision: str
    kind: str
    actor: str
    document: bytes
    at_us: int
    based_on: str = ""
    reason: str = ""
    changes: tuple[CenterChange, ...] = ()
    changes_left_out: int = 0
    retired: bytes = b""
    file_revision: str = ""

    def text(self) -> bytes:
        """The document's bytes. Raises DecodeError."""
        unpack = zlib.decompressobj()
        try:
            data = unpack.decompress(self.document, MOST_BYTES)
        except zlib.error as e:
            raise DecodeError(f"CenterRevised.document of revision {self.revision}: {e}") from None
        if not unpack.eof or revision_of(data) != self.revision:
            raise DecodeError(f"CenterRevised.document is not the text of revision {self.revision}")
        return data


class Stored(msgspec.Struct, frozen=True):
    """A revision and its place in the stream; ``seq`` 0 is before the first."""

    seq: int
    revised: CenterRevised | None = None

    @property
    def revision(self) -> str:
        """The revision, empty before the first."""
        return self.revised.revision if self.revised is not None else ""


class Author(msgspec.Struct, frozen=True):
    """Who makes a revision, how and why."""

    actor: str
    kind: str
    reason: str = ""


def subject_of(tenant: str) -> str:
    """Where a tenant's revisions are."""
    return subjects.fact(tenant, "center", "document", "revised")


def name_of(tenant: str) -> Path:
    """What faults call a tenant's stored document."""
    return Path(f"{tenant}.yaml")


def stored_of(envelope: Envelope) -> Stored:
    """The revision in a message. Raises DecodeError."""
    return Stored(envelope.stream_seq, codec.read(envelope, CenterRevised))


def read_revision(tenant: str, revised: CenterRevised) -> Read:
    """Check a stored document by itself; its queues that drain come with it. Raises DecodeError for one that is damaged."""
    read = read_document(name_of(tenant), revised.text())
    if read.center is None:
        return read
    with contextlib.suppress(
        DecodeError
    ):  # of a newer program: without them callers go to their fallback queue
        center = read.center.model_copy(update={"retired": draining.load(revised.retired)})
        return Read(read.source, center, read.faults, read.report_faults)
    return read


class CenterStore:
    """Reads and makes revisions. Every method raises BusUnavailable when NATS does not answer in time."""

    def __init__(self, bus: Bus, clock: Clock, *, timeout_s: float = 5.0) -> None:
        self._bus = bus
        self._clock = clock
        self._timeout_s = timeout_s

    async def head(self, tenant: str) -> Stored:
        """The newest revision."""
        envelope = await self._bus.last(subject_of(tenant), timeout_s=self._timeout_s)
        return stored_of(envelope) if envelope is not None else Stored(0)

    async def history(self, tenant: str) -> list[CenterRevised]:
        """What is kept of the revisions, the oldest first."""
        found = []
        async for envelope in self._bus.read_log(subject_of(tenant), after_seq=0):
            with contextlib.suppress(DecodeError):  # a newer program's: it is no use to this one
                found.append(codec.read(envelope, CenterRevised))
        return found

    async def others(self, tenant: str) -> list[Center]:
        """The newest documents of all other tenants, as far as they can be read: what a new one must not collide with."""
        newest: dict[str, Envelope] = {}
        async for envelope in self._bus.read_log(ALL, after_seq=0):
            newest[subjects.tenant_of(envelope.subject)] = envelope
        found = []
        for other, envelope in newest.items():
            with contextlib.suppress(DecodeError):
                center = read_revision(other, codec.read(envelope, CenterRevised)).center
                if center is not None and other != tenant:
                    found.append(center)
        return found

    async def numbered(self, tenant: str, number: int) -> CenterRevised:
        """One revision. Raises Refused when it is not kept (any more)."""
        for revised in await self.history(tenant):
            if revised.number == number:
                return revised
        raise Refused(
            "unknown-revision",
            f"tenant {tenant} has no revision number {number} (a hundred are kept)",
            status=404,
        )

    def check(self, tenant: str, text: bytes, others: Sequence[Center]) -> Read:
        """Read a document as the tenant's next one. Raises CenterError with every fault, Refused for what is none of his."""
        if len(text) > MOST_BYTES:
            raise Refused("center-too-large", f"a document has at most {MOST_BYTES} bytes", status=413)
        read = read_document(name_of(tenant), text)
        if read.center is not None and read.center.tenant != tenant:
            raise Refused(
                "not-your-tenant",
                f"the document is of tenant {read.center.tenant}, expected tenant: {tenant}",
                status=422,
            )
        beside = [Read(source.Source(), c, ()) for c in others if c.tenant != tenant]
        assemble([*beside, read], new=True)
        return read

    def next_after(
        self, tenant: str, before: Stored, read: Read, text: bytes, author: Author, *, file_revision: str = ""
    ) -> CenterRevised:
        """The revision that a checked document makes after ``before``. Raises Refused when it is too large to be stored."""
        assert read.center is not None
        now_us = self._clock.now_us()
        old = before.revised
        was = read_revision(tenant, old) if old is not None else None
        center = draining.with_retired(read.center, was.center if was is not None else None, now_us)
        found = changes(was.source.value, read.source.value) if was is not None else []
        packed = zlib.compress(text, 9)
        if len(packed) > _MOST_PACKED:
            raise Refused(
                "center-too-large",
                f"compressed it has {len(packed)} bytes, at most {_MOST_PACKED}",
                status=413,
            )
        retired = draining.dump(center.retired)
        return CenterRevised(
            number=old.number + 1 if old is not None else 1,
            revision=read.center.revision,
            kind=author.kind,
            actor=author.actor,
            document=packed,
            at_us=now_us,
            based_on=before.revision,
            reason=author.reason,
            changes=tuple(found[:MOST]),
            changes_left_out=max(0, len(found) - MOST),
            retired=retired if len(retired) <= _MOST_RETIRED else b"",
            file_revision=file_revision or (old.file_revision if old is not None else ""),
        )

    async def put(self, tenant: str, before: Stored, revised: CenterRevised) -> Stored:
        """Store a revision directly after ``before``. Raises WrongSequence when another is there."""
        subject = subject_of(tenant)
        fact = Outgoing(subject, revised, ids.new_id(), tenant, time_us=revised.at_us)
        seq = await self._bus.append_log(subject, fact, expected_seq=before.seq, timeout_s=self._timeout_s)
        return Stored(seq, revised)

    async def take_file(
        self, center: Center, text: bytes, others: Sequence[Center], *, always: bool
    ) -> Stored | None:
        """Make the tenant's first revision of a file; with ``always`` also a later one, of a file that was not taken before.

        Returns None when there is nothing to do. Raises CenterError, Refused.
        """
        revision = center.revision
        for _ in range(_ATTEMPTS):
            head = await self.head(center.tenant)
            if head.revised is not None and (
                not always or revision in (head.revision, head.revised.file_revision)
            ):
                return None
            read = await asyncio.to_thread(self.check, center.tenant, text, others)
            kind = "file" if head.revised is not None else "seeded"
            author = Author(f"file:{center.path.name}", kind)
            revised = await asyncio.to_thread(
                self.next_after, center.tenant, head, read, text, author, file_revision=revision
            )
            with contextlib.suppress(
                WrongSequence
            ):  # another copy of this service took it, or somebody edited
                return await self.put(center.tenant, head, revised)
        raise BusUnavailable(f"center document of {center.tenant}: others revise it all the time")
