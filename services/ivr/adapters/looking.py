"""How queues and agents are, asked of ``routing`` over the bus; many calls that look at the same moment ask once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from services.common.bus import Bus, Sendable, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.routing.v1.rpc_pb2 import (
    AgentList,
    AgentState,
    ListAgents,
    ListQueues,
    QueueList,
)

log = structlog.get_logger()

_TIMEOUT_S = 1.5
_FRESH_S = 1.0
"""An answer about queues serves the calls of the next second: a flow decides on fives and tens of callers, not on one."""
_AGENT_FRESH_S = 0.1
"""About agents: whoever has just taken a call is busy for the next caller, who would wait for nobody else."""


@dataclass(frozen=True)
class QueueNow:
    """A queue at this moment."""

    waiting: int
    longest_ms: int
    ready: int


_Answer = TypeVar("_Answer")


class _Asking(Generic[_Answer]):
    """One question to routing about a tenant, asked once for all who ask before it is answered, or while it is fresh."""

    def __init__(self, ask: Callable[[str], Awaitable[_Answer | None]], fresh_s: float) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._asked: dict[str, tuple[float, asyncio.Future[_Answer | None]]] = {}

    async def answer(self, tenant: str) -> _Answer | None:
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(tenant)
        if asked is None or (asked[1].done() and now - asked[0] > self._fresh_s):
            asked = (now, asyncio.ensure_future(self._ask(tenant)))
            self._asked[tenant] = asked
        # Shielded: a caller who hangs up must not take the answer from the others.
        return await asyncio.shield(asked[1])


async def _told(bus: Bus, tenant: str, entity: str, question: Sendable) -> object:
    """What routing says; None when it does not say it in time."""
    subject = subjects.rpc(tenant, "routing", entity, "list")
    try:
        return codec.decode(await bus.request(subject, question, timeout_s=_TIMEOUT_S))
    except (Refused, NotReady, ContractError) as e:
        log.warning("routing_not_seen", tenant=tenant, what=entity, reason=str(e))
        return None


class Queues:
    """What routing says of the queues, by tenant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asking = _Asking(self._ask, _FRESH_S)

    async def look(self, tenant: str, queue: str) -> QueueNow | None:
        """The state of a queue; None when routing does not say it in time, or does not know the queue."""
        queues = await self._asking.answer(tenant)
        return queues.get(queue) if queues is not None else None

    async def _ask(self, tenant: str) -> dict[str, QueueNow] | None:
        answer = await _told(self._bus, tenant, "queue", ListQueues())
        if not isinstance(answer, QueueList):
            return None
        return {q.queue: QueueNow(q.waiting, q.longest_wait_ms, q.serving) for q in answer.queues}


class Agents:
    """What routing says of the agents, by tenant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asking = _Asking(self._ask, _AGENT_FRESH_S)

    async def look(self, tenant: str, agent: str) -> str:
        """``ready``, ``busy`` or ``away``; ``unseen`` when routing does not say it in time."""
        agents = await self._asking.answer(tenant)
        return "unseen" if agents is None else agents.get(agent, "away")

    async def _ask(self, tenant: str) -> dict[str, str] | None:
        answer = await _told(self._bus, tenant, "agent", ListAgents())
        if not isinstance(answer, AgentList):
            return None
        return {a.agent_id: _how(a) for a in answer.agents}


def _how(agent: AgentState) -> str:
    if agent.presence != "available" or agent.activity == "unreachable" or agent.draining:
        return "away"
    return "ready" if agent.activity == "idle" else "busy"
