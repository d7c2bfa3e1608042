"""Who should write for a shard: leases with an observer's clock and a probe of presence.

Theory of operation
  A lease is the last message of ``cc.lease.<service>.<shard>``, changed only by compare-and-set. Its owner renews it every
  third of ``lease_s``. Nobody compares clocks: a candidate takes over when *it* has seen the same revision for
  ``lease_s`` (and a tenth, for clocks that run differently) on its own monotonic clock. When it could not read in between,
  its watch begins anew, so that an outage of NATS, which stops the renewals too, does not cost the owner its shard.
  An owner announces itself under its own name. Two probes in a row for which the server says that nobody listens mean that
  the process is gone: its shards are taken at once, in a third of a second instead of three. One probe serves all the shards of an
  owner that a process watches, and none of them waits for it for longer than it would have waited anyway: an owner that hangs does not
  answer, and must not be watched the less closely for it.
  The owner counts from the *sending* of its last confirmed renewal and is not valid for longer than ``lease_s``, so it stops
  before a candidate starts, unless it was cut off from NATS: then a probe may find it absent while it is still valid.
  That is why a lease is only about who *should* write: who *may* is decided by the log, which refuses an old owner's entry.
  ``epoch`` is the sequence of the write that took the lease: it only grows, from owner to owner.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import structlog

from services.common import ids, metrics
from services.common.bus import Bus, Envelope, Outgoing, Subscription, codec, subjects
from services.common.bus.base import end
from services.common.clock import Clock
from services.common.errors import BusUnavailable, Conflict, DecodeError, WrongSequence
from services.contracts.peyvand.common.v1.state_pb2 import LeaseHeld

logger = structlog.get_logger()

_PROBES = 2
_DRIFT = 1.1


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a lease lasts without renewal, and how often a candidate looks at it."""

    lease_s: float = 3.0
    poll_s: float = 0.2

    @property
    def renew_s(self) -> float:
        return self.lease_s / 3

    @property
    def fresh_s(self) -> float:
        """So old an answer may be: less than the time between two looks at a lease, which are to be two probes."""
        return self.poll_s / 2


class Verdict(Enum):
    """What a candidate may do now."""

    HELD = "held"
    FREE = "free"  # nobody ever had it, or it was given back
    EXPIRED = "expired"  # not renewed for too long
    ABSENT = "absent"  # its owner is not connected any more


@dataclass(slots=True)
class Observer:
    """A candidate's view of one lease, without any I/O: feed it what was read and probed, with the time."""

    me: str
    timing: Timing
    _revision: int = -1
    _since_s: float = 0.0
    _missed: int = field(default=0)

    def unread(self) -> None:
        """The lease could not be read: nothing is known about the time since."""
        self._revision = -1
        self._missed = 0

    def read(self, revision: int, owner: str, lease_s: float, now_s: float) -> Verdict:
        """The lease was read. ``owner`` is empty when nobody holds it; ``lease_s`` is what its owner promised."""
        if revision != self._revision:
            self._revision, self._since_s, self._missed = revision, now_s, 0
        if not owner:
            return Verdict.FREE
        # My own name on it: an attempt of mine that nobody confirmed.
        if owner == self.me:
            return Verdict.FREE
        if now_s - self._since_s > max(lease_s, self.timing.lease_s) * _DRIFT:
            return Verdict.EXPIRED
        return Verdict.ABSENT if self._missed >= _PROBES else Verdict.HELD

    def probed(self, present: bool | None) -> bool:
        """The owner was looked for: there, surely not there, or unknown. Return whether it is absent, which needs no further look."""
        self._missed = self._missed + 1 if present is False else 0
        return self._missed >= _PROBES


class Presence:
    """Looks for owners, once for everybody who asks within ``fresh_s``."""

    def __init__(self, bus: Bus, clock: Clock, fresh_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._fresh_s = fresh_s
        self._asked: dict[str, tuple[float, asyncio.Task[bool | None]]] = {}

    async def of(self, owner: str, *, within_s: float) -> bool | None:
        """Whether it is connected; None when that is not known, or not in time."""
        now_s = self._clock.monotonic_s()
        asked = self._asked.get(owner)
        if asked is None or now_s - asked[0] > self._fresh_s:
            self._asked = {name: one for name, one in self._asked.items() if now_s - one[0] <= self._fresh_s}
            probe = asyncio.get_running_loop().create_task(self._bus.is_present(owner), name=f"probe:{owner}")
            asked = self._asked[owner] = (now_s, probe)
        done, _ = await asyncio.wait({asked[1]}, timeout=within_s)
        return asked[1].result() if done and not asked[1].cancelled() else None


class Lease:
    """One shard's lease in one process. ``acquire`` waits until it is ours; then it is renewed until it is lost or given back."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        service: str,
        shard: str,
        owner: str,
        timing: Timing | None = None,
        presence: Presence | None = None,
    ) -> None:
        """``owner`` names this process among all others, and must not be used again by a later one. ``presence`` may be shared."""
        self.shard = shard
        self.owner = owner
        self.epoch = 0
        self.lost = asyncio.Event()
        self._bus = bus
        self._clock = clock
        self._subject = subjects.lease(service, shard)
        self._timing = timing or Timing()
        self._presence = presence or Presence(bus, clock, self._timing.fresh_s)
        self._revision = 0
        self._beat = 0
        self._confirmed_s = float("-inf")
        self._renewing: asyncio.Task[None] | None = None

    def valid(self) -> bool:
        """Whether this process may act for the shard now, by its own clock."""
        return not self.lost.is_set() and self._clock.monotonic_s() - self._confirmed_s < self._timing.lease_s

    async def acquire(self) -> None:
        """Wait until the lease is ours. Raises nothing but what cancels it: without NATS it waits on."""
        observer = Observer(self.owner, self._timing)
        while True:
            found = await self._look()
            if found is None:
                observer.unread()
                await self._pause()
                continue
            revision, held = found
            verdict = observer.read(revision, held.owner, held.lease_ms / 1000, self._clock.monotonic_s())
            if verdict is Verdict.HELD:
                pause_s = self._pause_s()
                began_s = self._clock.monotonic_s()
                if not observer.probed(await self._presence.of(held.owner, within_s=pause_s)):
                    await asyncio.sleep(max(0.0, pause_s - (self._clock.monotonic_s() - began_s)))
                    continue
                verdict = Verdict.ABSENT
            if await self._take(revision):
                logger.info(
                    "lease_taken", lease=self._subject, why=verdict.value, epoch=self.epoch, before=held.owner
                )
                self._renewing = asyncio.get_running_loop().create_task(
                    self._keep(), name=f"lease:{self._subject}"
                )
                return
            await self._pause()

    async def _look(self) -> tuple[int, LeaseHeld] | None:
        try:
            newest = await self._bus.last(self._subject, timeout_s=1.0)
        except BusUnavailable:
            return None
        if newest is None:
            return 0, LeaseHeld()
        return newest.stream_seq, _held(newest)

    async def _take(self, revision: int) -> bool:
        began_s = self._clock.monotonic_s()
        try:
            self._revision = await self._write(revision, self.owner, timeout_s=1.0)
        except (Conflict, BusUnavailable):
            return False  # somebody was quicker, or nobody knows: the next look tells
        self._confirmed_s = began_s
        self.epoch = self._revision
        self.lost.clear()
        return True

    async def _write(self, revision: int, owner: str, *, timeout_s: float) -> int:
        self._beat += 1
        held = LeaseHeld(owner=owner, lease_ms=int(self._timing.lease_s * 1000), beat=self._beat)
        fact = Outgoing(self._subject, held, ids.new_id(), "")
        return await self._bus.append_log(self._subject, fact, expected_seq=revision, timeout_s=timeout_s)

    async def _keep(self) -> None:
        pause_s = self._timing.renew_s
        failing = False
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._timing.renew_s
            began_s = self._clock.monotonic_s()
            try:
                self._revision = await self._write(self._revision, self.owner, timeout_s=self._timing.renew_s)
                self._confirmed_s = began_s
                failing = False
            except WrongSequence:
                # A renewal that nobody confirmed may have been stored after the one that we know of.
                found = await self._look()
                if found is None:
                    continue
                if found[1].owner != self.owner:
                    logger.warning("lease_lost", lease=self._subject, to=found[1].owner)
                    self.lost.set()
                    return
                self._revision, pause_s = found[0], 0.0
            except BusUnavailable as e:
                # Nobody else can take it while nobody can write; valid() ends by itself.
                if not failing:
                    failing = True
                    logger.warning("lease_not_renewed", lease=self._subject, reason=str(e))

    def _pause_s(self) -> float:
        return self._timing.poll_s * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s())

    async def release(self) -> None:
        """Stop renewing and, if it is still ours, give it back, so that the next owner need not wait."""
        if self._renewing is not None:
            await end([self._renewing])
            self._renewing = None
        if self.epoch and not self.lost.is_set():
            self.lost.set()
            try:
                await self._write(self._revision, "", timeout_s=1.0)
            except (Conflict, BusUnavailable) as e:
                logger.info("lease_not_given_back", lease=self._subject, reason=str(e))


def _held(envelope: Envelope) -> LeaseHeld:
    """The lease in a message. One that cannot be read was written by nobody of ours: nobody holds it."""
    try:
        message = codec.decode(envelope)
    except DecodeError as e:
        message, reason = None, str(e)
    else:
        reason = f"expected a LeaseHeld, found {envelope.type}"
    if isinstance(message, LeaseHeld):
        return message
    logger.error("lease_unreadable", lease=envelope.subject, stream_seq=envelope.stream_seq, reason=reason)
    return LeaseHeld()


# What to do for a shard while its lease is held; cancelled when the lease is lost.
Work = Callable[[Lease], Awaitable[None]]


class LeaseKeeper:
    """Contends for shards and works for those that it gets.

    ``work`` runs once for every time a lease is gained and is cancelled when it is lost. When it returns or fails by a
    Conflict or a missing dependency, the lease is given back and contended for again; another error is logged as a defect,
    and treated the same after a pause, so that a copy with a working machine may be quicker.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        service: str,
        instance: str,
        shards: Sequence[str],
        work: Work,
        share: int = 0,
        timing: Timing | None = None,
    ) -> None:
        """``share``: with that many shards in hand others are let go first for the next ones (0: take what is free)."""
        self._bus = bus
        self._clock = clock
        self._service = service
        self._shards = list(dict.fromkeys(shards))
        self._work = work
        self._share = share
        self._timing = timing or Timing()
        self._presence = Presence(bus, clock, self._timing.fresh_s)
        # A name that no later process has: a restarted copy must not take its predecessor's lease for its own.
        self.owner = f"{service}-{instance}-{ids.new_id()[-12:]}"
        self._announced: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._owned: set[str] = set()

    @property
    def owned(self) -> frozenset[str]:
        """Shards that this process works for now."""
        return frozenset(self._owned)

    async def start(self) -> None:
        """Begin to contend for all shards."""
        self._announced = await self._bus.announce(self.owner)
        self._tasks = [self._begin(shard) for shard in self._shards]

    def contend_for(self, shards: Iterable[str]) -> None:
        """Contend for these shards, too, from now on. One that nobody works for any more is kept: it costs a renewal a second."""
        new = [shard for shard in dict.fromkeys(shards) if shard not in self._shards]
        self._shards += new
        if self._announced is not None:
            self._tasks += [self._begin(shard) for shard in new]

    def _begin(self, shard: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(
            self._contend(shard), name=f"shard:{self._service}.{shard}"
        )

    async def _contend(self, shard: str) -> None:
        while True:
            if self._share and len(self._owned) >= self._share:
                await asyncio.sleep(self._timing.lease_s * 2)
            lease = Lease(
                self._bus, self._clock, self._service, shard, self.owner, self._timing, self._presence
            )
            try:
                await lease.acquire()
                self._count(shard, owned=True)
                await self._hold(lease)
            finally:
                await lease.release()
                self._count(shard, owned=False)
            await asyncio.sleep(self._timing.poll_s * 2)

    async def _hold(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        working = loop.create_task(_run(self._work, lease), name=f"work:{self._service}.{lease.shard}")
        losing = loop.create_task(lease.lost.wait())
        try:
            await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end([working, losing])
        error = None if working.cancelled() else working.exception()
        if isinstance(error, (Conflict, BusUnavailable)):
            logger.warning("shard_given_up", service=self._service, shard=lease.shard, reason=str(error))
        elif error is not None:
            logger.error("shard_failed", service=self._service, shard=lease.shard, exc_info=error)
            await asyncio.sleep(self._timing.renew_s)

    def _count(self, shard: str, *, owned: bool) -> None:
        (self._owned.add if owned else self._owned.discard)(shard)
        metrics.SHARDS_OWNED.labels(self._service).set(len(self._owned))

    async def stop(self) -> None:
        """End all work, give all leases back."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        # Each ends its work and writes its lease; a second cancellation would take that away from it.
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        await end(tasks)
        if self._announced is not None:
            await self._announced.stop()


async def _run(work: Work, lease: Lease) -> None:
    await work(lease)
