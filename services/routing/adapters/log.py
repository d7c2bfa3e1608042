"""A tenant's log on the bus: one subject, one writer at a time."""

from __future__ import annotations

from services.common import ids
from services.common.bus import Bus, Outgoing, codec, subjects
from services.routing.core.center import Policy
from services.routing.core.facts import Decided
from services.routing.core.state import State


class TenantLog:
    """Reads the log as a state and appends to its end; ``seq`` is the last entry that this object has seen."""

    def __init__(self, bus: Bus, tenant: str) -> None:
        self._bus = bus
        self._tenant = tenant
        self._subject = subjects.log(tenant)
        self.seq = 0

    async def replay(self, policy: Policy) -> State:
        """The state that the log gives. Raises BusUnavailable, and DecodeError for an entry of a newer program."""
        state = State(policy)
        async for envelope in self._bus.read_log(self._subject, after_seq=self.seq):
            state.replay(codec.read(envelope, Decided))
            self.seq = envelope.stream_seq
        return state

    async def append(self, entry: Decided) -> None:
        """Write the next entry. Raises WrongSequence when somebody else did, BusUnavailable when nobody knows."""
        fact = Outgoing(
            subject=self._subject,
            message=entry,
            # An id of its own for each attempt to decide: what another owner, or this one before, failed to append here
            # must not be taken for this entry.
            id=ids.new_id(),
            tenant=self._tenant,
            causation_id=entry.input_id,
            time_us=entry.at_us,
        )
        self.seq = await self._bus.append_log(self._subject, fact, expected_seq=self.seq)
