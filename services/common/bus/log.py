"""A log with one writer at a time, and snapshots that keep its replay short.

Theory of operation
  Every entry names the sequence it must follow, so of two writers that believe to be the owner only one can go on. An owner
  opens the log: it replays what is there and appends an opening entry with its epoch; from then on any append of the owner
  before it is refused, whatever that one believes. An entry whose epoch is newer than ours means that we are the one before.
  The owner before may still write while its successor replays, and the opening entry, which is decided on the replayed state,
  comes after the last of it. A successor that lost that race once therefore first claims the log with an entry that needs no
  state, right after the newest one; from then on the log stands still, however fast the other one writes.
  After an append whose outcome is unknown the owner's state and the log may differ by that entry: the log object closes
  itself, and the owner opens a new one, which replays.

  A snapshot is written in chunks below the server's payload limit, alternately to two slots, and then named by one small
  message: readers see the old one whole until the new one is whole. One that is overwritten while it is read, or
  damaged, fails its checksum and is left aside: replay from the beginning is always right, only longer.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

import msgspec
import structlog
from google.protobuf.message import Message

from services.common import ids
from services.common.bus import Bus, Envelope, Outgoing, Sendable, codec, subjects
from services.common.clock import Clock
from services.common.errors import Conflict, DecodeError, Fenced, WrongSequence
from services.contracts.peyvand.common.v1.state_pb2 import SnapshotChunk, SnapshotTaken

logger = structlog.get_logger()

# Well below the server's default of 1 MiB, headers included.
CHUNK_BYTES = 512 * 1024

Apply = Callable[[Envelope], None]
EpochOf = Callable[[Envelope], int]


class Snapshot(msgspec.Struct, frozen=True):
    """A state as it was after the entry ``log_seq``."""

    log_seq: int
    data: bytes


class FencedLog:
    """One owner's view of one log."""

    def __init__(
        self, bus: Bus, clock: Clock, tenant: str, *, epoch: int, epoch_of: EpochOf, service: str = "routing"
    ) -> None:
        """``epoch``: the lease's. ``epoch_of`` reads the epoch of an entry's owner out of the entry."""
        self.seq = 0
        self._bus = bus
        self._clock = clock
        self._tenant = tenant
        self._service = service
        self._subject = subjects.log(tenant, service)
        self._epoch = epoch
        self._epoch_of = epoch_of
        self._open = False

    async def load(self) -> Snapshot | None:
        """The newest whole snapshot; the log goes on after it. None when there is none. Raises BusUnavailable."""
        snapshot = await load_snapshot(self._bus, self._tenant, self._service)
        if snapshot is not None:
            self.seq = snapshot.log_seq
        return snapshot

    async def open(
        self, apply: Apply, opening: Callable[[], Sendable], claim: Callable[[], Sendable] | None = None
    ) -> None:
        """Replay what follows the snapshot (or everything) into ``apply``, then append ``opening()`` as our first entry.

        ``claim()`` is an entry of ours that changes nothing, to hold the owner before back with; without it an owner that
        never pauses may win every race until its lease is over.

        Raises Fenced when a newer owner has been here, BusUnavailable when NATS does not answer, and what ``apply`` raises.
        """
        while True:
            newest = await self._bus.last(self._subject)
            if newest is not None and newest.stream_seq > self.seq:
                await self._replay(apply)
            elif newest is not None and newest.stream_seq < self.seq:
                raise Conflict(
                    f"{self._subject} ends at {newest.stream_seq}, before the snapshot's {self.seq}: is it another log, "
                    "restored from a backup? Purge the snapshot to replay the log alone"
                )
            # Entries end by age; when all have, the server expects the log's first entry again.
            expected_seq = self.seq if newest is not None else 0
            try:
                self.seq = await self._put(opening(), expected_seq, "")
            except WrongSequence:
                # The owner before us wrote once more after we had read.
                if claim is not None:
                    await self._claim(claim)
                continue
            self._open = True
            return

    async def _claim(self, claim: Callable[[], Sendable]) -> None:
        """Append an entry of ours right after the newest, whatever stands before it."""
        while True:
            newest = await self._bus.last(self._subject)
            if newest is not None:
                self._refuse_newer(newest)
            with contextlib.suppress(WrongSequence):
                await self._put(claim(), newest.stream_seq if newest is not None else 0, "")
                return

    def _refuse_newer(self, entry: Envelope) -> None:
        if (epoch := self._epoch_of(entry)) > self._epoch:
            raise Fenced(
                f"{self._subject}: entry {entry.stream_seq} is of epoch {epoch}, ours is {self._epoch}"
            )

    async def _replay(self, apply: Apply) -> None:
        async for entry in self._bus.read_log(self._subject, after_seq=self.seq):
            self._refuse_newer(entry)
            apply(entry)
            self.seq = entry.stream_seq

    async def append(self, message: Sendable, *, causation_id: str = "", correlation_id: str = "") -> int:
        """Append the next entry and return its sequence.

        Raises Fenced when somebody else wrote, BusUnavailable when the outcome is unknown. After either, open a new log.
        """
        if not self._open:
            raise Conflict(f"{self._subject} is not open: replay it first")
        self._open = False
        try:
            self.seq = await self._put(message, self.seq, causation_id, correlation_id)
        except WrongSequence as e:
            raise Fenced(str(e)) from e
        self._open = True
        return self.seq

    async def _put(
        self, message: Sendable, expected_seq: int, causation_id: str, correlation_id: str = ""
    ) -> int:
        # An id of its own for every attempt to decide: with one made of epoch and sequence, an entry that another owner
        # wrote there would be taken for this one by the server's duplicate window.
        entry = Outgoing(self._subject, message, ids.new_id(), self._tenant, correlation_id, causation_id)
        return await self._bus.append_log(self._subject, entry, expected_seq=expected_seq)

    async def snapshot(self, data: bytes, *, seq: int | None = None) -> None:
        """Store the state as it is after the entry ``seq``, or the last that we appended. Raises BusUnavailable, Conflict."""
        after = self.seq if seq is None else seq
        await save_snapshot(self._bus, self._clock, self._tenant, self._service, Snapshot(after, data))


async def load_snapshot(bus: Bus, tenant: str, service: str) -> Snapshot | None:
    """The newest whole snapshot of a log's state, or None. Raises BusUnavailable."""
    for _ in range(2):  # the second look is for one that was replaced while it was read
        taken = await _taken(bus, tenant, service)
        if taken is None:
            return None
        parts: list[bytes] = []
        for index in range(taken.chunks):
            found = await bus.last(subjects.snapshot(tenant, service, "log", f"{taken.slot}-{index}"))
            chunk = _read(found, tenant, service) if found is not None else None
            if not isinstance(chunk, SnapshotChunk) or chunk.snapshot_id != taken.snapshot_id:
                break
            parts.append(chunk.data)
        data = b"".join(parts)
        if len(parts) == taken.chunks and hashlib.sha256(data).hexdigest() == taken.sha256:
            return Snapshot(taken.log_seq, data)
    logger.error(
        "snapshot_damaged", tenant=tenant, service=service, snapshot=taken.snapshot_id if taken else ""
    )
    return None


async def save_snapshot(bus: Bus, clock: Clock, tenant: str, service: str, snapshot: Snapshot) -> None:
    """Store a snapshot in place of the last but one. Raises BusUnavailable; Conflict when a newer one is there."""
    before = await _taken(bus, tenant, service)
    if before is not None and before.log_seq > snapshot.log_seq:
        raise Conflict(f"the snapshot of {tenant} is newer ({before.log_seq}) than ours ({snapshot.log_seq})")
    slot = "b" if before is not None and before.slot == "a" else "a"
    snapshot_id = ids.new_id()
    chunks = [snapshot.data[i : i + CHUNK_BYTES] for i in range(0, len(snapshot.data), CHUNK_BYTES)]
    for index, data in enumerate(chunks):
        chunk = SnapshotChunk(snapshot_id=snapshot_id, index=index, data=data)
        await _store(bus, tenant, subjects.snapshot(tenant, service, "log", f"{slot}-{index}"), chunk)
    taken = SnapshotTaken(
        snapshot_id=snapshot_id,
        log_seq=snapshot.log_seq,
        chunks=len(chunks),
        bytes=len(snapshot.data),
        sha256=hashlib.sha256(snapshot.data).hexdigest(),
        slot=slot,
        at_us=clock.now_us(),
    )
    await _store(bus, tenant, subjects.snapshot(tenant, service, "log", "current"), taken)


async def _taken(bus: Bus, tenant: str, service: str) -> SnapshotTaken | None:
    newest = await bus.last(subjects.snapshot(tenant, service, "log", "current"))
    message = _read(newest, tenant, service) if newest is not None else None
    return message if isinstance(message, SnapshotTaken) else None


def _read(envelope: Envelope, tenant: str, service: str) -> Message | None:
    try:
        return codec.decode(envelope)
    except DecodeError as e:
        logger.error("snapshot_damaged", tenant=tenant, service=service, reason=str(e))
        return None


async def _store(bus: Bus, tenant: str, subject: str, message: Sendable) -> None:
    await bus.append(Outgoing(subject, message, ids.new_id(), tenant))
