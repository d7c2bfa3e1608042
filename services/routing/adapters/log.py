"""A tenant's log on the bus as the engine's state: replay from the newest snapshot, append, take snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import Counter

from services.common.bus import Bus, Envelope, Sendable, codec
from services.common.bus.log import FencedLog
from services.common.clock import Clock
from services.common.errors import BusUnavailable, Conflict, DecodeError
from services.contracts.peyvand.routing.v1.log_pb2 import Decided as DecidedMessage
from services.routing.core.center import Policy
from services.routing.core.engine import Engine
from services.routing.core.facts import Decided
from services.routing.core.inputs import Output
from services.routing.core.state import State

log = structlog.get_logger()

# Messages in a tenant's log that no owner wrote. Above zero: somebody else may write to NATS; look at the log line's source.
FOREIGN = Counter(
    "peyvand_routing_foreign_entries_total", "Messages in the log that are no entries of it", ["tenant"]
)

# A new owner reads an entry in a fifth of a millisecond of its CPU; of a snapshot that much is written for each so many bytes. A center of ten
# thousand agents, with megabytes to write, does so less often.
BYTES_AN_ENTRY = 4_096
_ENTRY = DecidedMessage.DESCRIPTOR.full_name

TakeOver = Callable[[State], tuple[Engine, list[Output], Decided]]
"""Builds the engine on a state: what it wants done, and the entry with which it opens its part of the log."""


class TenantLog:
    """One owner's view of a tenant's log. ``close`` it when it is not the owner any more."""

    def __init__(
        self, bus: Bus, clock: Clock, tenant: str, *, owner: str, epoch: int, snapshot_every: int
    ) -> None:
        self._tenant = tenant
        self._clock = clock
        self._owner = owner
        self._epoch = epoch
        self._log = FencedLog(bus, clock, tenant, epoch=epoch, epoch_of=_epoch_of)
        self._snapshot_every = snapshot_every
        self._since_snapshot = 0
        self._snapshot_bytes = 0
        self._storing: asyncio.Task[None] | None = None

    @property
    def seq(self) -> int:
        """The last entry that this owner has seen."""
        return self._log.seq

    async def open(self, policy: Policy, take_over: TakeOver) -> tuple[Engine, Sequence[Output]]:
        """Replay, then append the opening entry of ``take_over``.

        Raises Fenced when a newer owner has been here, BusUnavailable, and DecodeError for an entry of a newer program:
        deciding on half of what happened would be worse than leaving the tenant to that program. What is no entry at all
        was written by no owner, decides nothing, and is passed over.
        """
        state = await self._load(policy)
        taken: list[tuple[Engine, Sequence[Output]]] = []

        def apply(envelope: Envelope) -> None:
            self._since_snapshot += 1
            try:
                entry = codec.read(envelope, Decided) if envelope.type == _ENTRY else None
            except DecodeError:
                if _problem_of(envelope) is None:
                    raise
                entry = None
            if entry is not None:
                state.replay(entry)
                return
            FOREIGN.labels(self._tenant).inc()
            log.error(
                "log_entry_foreign",
                tenant=self._tenant,
                stream_seq=envelope.stream_seq,
                source=envelope.source,
                reason=_problem_of(envelope),
            )

        def opening() -> Sendable:
            # Called again when the owner before wrote once more: the replayed state must not have been changed by us.
            copy = State.load(state.dump(), policy)
            assert copy is not None
            engine, outputs, entry = take_over(copy)
            taken[:] = [(engine, outputs)]
            return entry

        def claim() -> Sendable:
            return Decided(self._epoch, self._owner, self._clock.now_us(), ())

        await self._log.open(apply, opening, claim)
        return taken[0]

    async def _load(self, policy: Policy) -> State:
        snapshot = await self._log.load()
        if snapshot is not None:
            if (state := State.load(snapshot.data, policy)) is not None:
                self._snapshot_bytes = len(snapshot.data)
                return state
            log.warning("snapshot_of_other_version", tenant=self._tenant, consequence="the whole log is read")
            self._log.seq = 0
        return State(policy)

    async def append(self, entry: Decided, state: State) -> None:
        """Write the next entry, after which the state is ``state``. Raises Fenced, BusUnavailable.

        A snapshot that is due is stored while decisions go on: it may be megabytes, and no caller waits for it.
        """
        await self._log.append(entry, causation_id=entry.input_id, correlation_id=_contact_of(entry))
        self._since_snapshot += 1
        due = self._since_snapshot >= max(self._snapshot_every, self._snapshot_bytes // BYTES_AN_ENTRY)
        if due and (self._storing is None or self._storing.done()):
            self._since_snapshot = 0
            data = state.dump()
            self._snapshot_bytes = len(data)
            self._storing = asyncio.get_running_loop().create_task(self._store(data, self._log.seq))

    async def close(self) -> None:
        """Store nothing more. Half a snapshot is in nobody's way: it went where the last but one was."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)

    async def _store(self, data: bytes, seq: int) -> None:
        try:
            await self._log.snapshot(data, seq=seq)
        except (BusUnavailable, Conflict) as e:
            log.warning("snapshot_not_stored", tenant=self._tenant, reason=str(e))
        except Exception:
            log.exception("snapshot_failed", tenant=self._tenant)


def _problem_of(envelope: Envelope) -> str | None:
    """Why a message in the log is no entry of it; None for an entry."""
    try:
        entry = codec.decode(envelope)
    except DecodeError as e:
        return str(e)
    return None if isinstance(entry, DecidedMessage) else f"found {envelope.type}"


def _epoch_of(envelope: Envelope) -> int:
    try:
        entry = codec.decode(envelope)
    except DecodeError:
        return 0
    return entry.epoch if isinstance(entry, DecidedMessage) else 0


def _contact_of(entry: Decided) -> str:
    return next((c for fact in entry.facts if (c := getattr(fact, "contact_id", ""))), "")
