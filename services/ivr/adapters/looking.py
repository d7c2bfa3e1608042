"""How full a queue is, asked of ``routing`` over the bus; many calls that look at the same moment ask once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from services.common.bus import Bus, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.routing.v1.rpc_pb2 import ListQueues, QueueList

log = structlog.get_logger()

_TIMEOUT_S = 1.5
_FRESH_S = 1.0
"""An answer serves the calls of the next second: a flow decides on fives and tens of callers, not on one."""


@dataclass(frozen=True)
class QueueNow:
    """A queue at this moment."""

    waiting: int
    longest_ms: int
    ready: int


class Queues:
    """What routing says of the queues, by tenant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asked: dict[str, tuple[float, asyncio.Future[dict[str, QueueNow] | None]]] = {}

    async def look(self, tenant: str, queue: str) -> QueueNow | None:
        """The state of a queue; None when routing does not say it in time, or does not know the queue."""
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(tenant)
        if asked is None or now - asked[0] > _FRESH_S:
            asked = (now, asyncio.ensure_future(self._ask(tenant)))
            self._asked[tenant] = asked
        # Shielded: a caller who hangs up must not take the answer from the others.
        queues = await asyncio.shield(asked[1])
        return queues.get(queue) if queues is not None else None

    async def _ask(self, tenant: str) -> dict[str, QueueNow] | None:
        try:
            answer = codec.decode(
                await self._bus.request(
                    subjects.rpc(tenant, "routing", "queue", "list"), ListQueues(), timeout_s=_TIMEOUT_S
                )
            )
        except (Refused, NotReady, ContractError) as e:
            log.warning("queues_not_seen", tenant=tenant, reason=str(e))
            return None
        if not isinstance(answer, QueueList):
            return None
        return {q.queue: QueueNow(q.waiting, q.longest_wait_ms, q.serving) for q in answer.queues}
