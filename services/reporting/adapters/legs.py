"""CHANNEL_HANGUP_COMPLETE to legs, and the small buffer in front of ClickHouse.

The event socket is the fast way of a leg's record and may lose some (a restart of ours, a full buffer); mod_json_cdr's
spool is the sure way. Both end in one row.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from services.common.errors import NotReady
from services.common.esl import Event
from services.reporting.core.legs import Leg, Profile, leg_of, whole

log = structlog.get_logger()

HANGUP: Final = "CHANNEL_HANGUP_COMPLETE"
BATCH: Final = 1000
CAPACITY: Final = 50_000

# Legs dropped from the buffer while ClickHouse was away. Above zero: they come by the spool; without a spool they are lost.
DROPPED = Counter(
    "peyvand_reporting_legs_dropped_total", "Legs of the event socket dropped because ClickHouse was away"
)


def leg_of_event(event: Event, node: str) -> Leg | None:
    """The leg of a CHANNEL_HANGUP_COMPLETE, or None for another event. ``node`` is our name of the switch."""
    if event.name != HANGUP or not event.unique_id:
        return None
    headers = event.headers
    prefix = "variable_"
    variables = {
        name[len(prefix) :]: value if isinstance(value, str) else (value[0] if value else "")
        for name, value in headers.items()
        if name.startswith(prefix)
    }
    variables.setdefault("cc_node", node)

    def time_us(name: str) -> int:
        return whole(event.get(f"Caller-Channel-{name}-Time"))

    profile = Profile(
        leg_id=event.unique_id,
        direction=event.get("Call-Direction"),
        ani=event.get("Caller-Caller-ID-Number"),
        caller_name=event.get("Caller-Caller-ID-Name"),
        destination=event.get("Caller-Destination-Number"),
        switch=node,
        created_at_us=time_us("Created"),
        answered_at_us=time_us("Answered"),
        bridged_at_us=time_us("Bridged"),
        hung_up_at_us=time_us("Hangup"),
        hangup_cause=event.get("Hangup-Cause"),
    )
    return leg_of("socket", profile, variables)


class LegBuffer:
    """Legs on their way to ClickHouse, written in batches at most a second after they came."""

    def __init__(
        self,
        store: Callable[[Sequence[Leg]], Awaitable[object]],
        *,
        linger_s: float = 1.0,
        capacity: int = CAPACITY,
    ) -> None:
        self._store = store
        self._linger_s = linger_s
        self._legs: deque[Leg] = deque()
        self._capacity = capacity
        self._some = asyncio.Event()

    def add(self, leg: Leg) -> None:
        """Take a leg; the oldest is dropped when the buffer is full."""
        if len(self._legs) >= self._capacity:
            self._legs.popleft()
            DROPPED.inc()
        self._legs.append(leg)
        self._some.set()

    def __len__(self) -> int:
        return len(self._legs)

    async def run(self) -> None:
        """Write what comes; forever."""
        waiting = False
        while True:
            await self._some.wait()
            await asyncio.sleep(self._linger_s)
            try:
                await self.flush()
            except NotReady as e:
                if not waiting:
                    waiting = True
                    log.warning("legs_wait_for_clickhouse", legs=len(self._legs), reason=str(e))
            else:
                waiting = False

    async def flush(self) -> None:
        """Write everything that is there. Raises StoreUnavailable; what was not confirmed stays."""
        while self._legs:
            batch = list(self._legs)[:BATCH]
            await self._store(batch)
            written = {id(leg) for leg in batch}
            while (
                self._legs and id(self._legs[0]) in written
            ):  # a full buffer may have dropped some of them meanwhile
                self._legs.popleft()
        self._some.clear()
