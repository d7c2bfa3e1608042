"""What a node's owner asks of routing that the log does not tell in time: who has arrived, what is open, and which nodes are being emptied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from services.common.bus import Bus, codec, subjects
from services.common.errors import PeyvandError
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.queue.adapters import log as routing_log
from services.queue.core import inputs, legs, outputs

log = structlog.get_logger()

ASK_S = 1.5
AGAIN_S = 2.0
OPEN_S = 2.0


class Inquiries:
    """The questions of one node's owner; answers go to the engine."""

    def __init__(
        self, node: str, bus: Bus, now_us: Callable[[], int], feed: Callable[[inputs.Input], None]
    ) -> None:
        self._node = node
        self._bus = bus
        self._now_us = now_us
        self._feed = feed

    async def contact(self, question: outputs.AskContact) -> None:
        """Ask who a caller is. No answer: the engine asks again."""
        try:
            answer = codec.decode(
                await self._bus.request(
                    subjects.rpc(question.tenant, "routing", "contact", "details"),
                    rpc_pb2.AskContact(contact_id=question.contact),
                    timeout_s=ASK_S,
                )
            )
        except PeyvandError as e:
            log.debug("contact_unknown", node=self._node, contact=question.contact, reason=str(e))
            return
        if not isinstance(answer, rpc_pb2.ContactDetails):
            return
        self._feed(
            inputs.ContactKnown(
                at_us=self._now_us(),
                contact=question.contact,
                caller=_caller(question.tenant, answer) if answer.queue else None,
                node=answer.node,
            )
        )

    async def nodes(self, tenants: Iterable[str]) -> None:
        """Learn which nodes are being emptied, this one too; each tenant's log says so. Asked until one answers."""
        tenants = tuple(tenants)
        while tenants:
            for tenant in tenants:
                try:
                    answer = codec.decode(
                        await self._bus.request(
                            subjects.rpc(tenant, "routing", "node", "list"),
                            rpc_pb2.ListNodes(),
                            timeout_s=ASK_S,
                        )
                    )
                except PeyvandError as e:
                    log.debug("nodes_unknown", node=self._node, tenant=tenant, reason=str(e))
                    continue
                if isinstance(answer, rpc_pb2.NodeList):
                    self._tell(answer)
                    return
            await asyncio.sleep(AGAIN_S)

    async def open_contacts(self, tenant: str) -> tuple[legs.OpenContact, ...]:
        """The contacts of this node that a tenant's routing has open. Raises PeyvandError."""
        found: list[legs.OpenContact] = []
        after = ""
        while True:
            answer = await self._bus.request(
                subjects.rpc(tenant, "routing", "contact", "open"),
                rpc_pb2.AskOpenContacts(node=self._node, after=after),
                timeout_s=OPEN_S,
            )
            contacts, more = routing_log.open_contacts(answer, tenant)
            found += contacts
            if not more or not contacts:
                return tuple(found)
            after = contacts[-1].contact

    def _tell(self, answer: rpc_pb2.NodeList) -> None:
        for node in answer.nodes:
            now_us = self._now_us()
            if node.node != self._node:
                self._feed(inputs.PeerSeen(at_us=now_us, node=node.node, up=node.up, draining=node.draining))
            elif node.draining:
                said = str(node.draining_since_us // 1000)
                self._feed(inputs.DrainFound(at_us=now_us, said=said, by_switch=False))


def _caller(tenant: str, found: rpc_pb2.ContactDetails) -> legs.CallerLeg:
    return legs.CallerLeg(
        leg=found.contact_id,
        tenant=tenant,
        queue=found.queue,
        priority=found.priority,
        skills=tuple(found.skills),
        language=found.language,
        customer=found.customer,
        ani=found.ani,
        caller_name=found.caller_name,
        entry_point=found.entry_point,
        service_class=found.service_class,
        preferred_agent=found.preferred_agent,
        started_ms=found.started_at_us // 1000,
        waiting_ms=found.waiting_since_us // 1000,
    )
