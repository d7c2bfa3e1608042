"""Wishes about a node from the bus: drain, undrain, show; answered when the switch has been told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.errors import ContractError, Refused
from services.contracts.peyvand.queue.v1 import rpc_pb2
from services.queue.core import inputs
from services.queue.core.engine import NodeStatus

VERBS = ("drain", "undrain", "show")


class NodeTaker(Protocol):
    """What is needed of a node's runner."""

    def feed(self, event: inputs.Input) -> None: ...
    def status(self) -> NodeStatus | None: ...


class NodeDesk:
    """Serves ``cc.v1.rpc.<tenant>.queue.<node>.<verb>`` for whoever owns the node."""

    def __init__(
        self, node: str, taker: NodeTaker, now_us: Callable[[], int], told: Callable[[], Awaitable[None]]
    ) -> None:
        """``told``: waits until what the engine wants of the switch itself has been sent."""
        self._node = node
        self._taker = taker
        self._now_us = now_us
        self._told = told

    async def open(self, bus: Bus) -> list[Subscription]:
        """Serve until the subscriptions are stopped."""
        return [
            await bus.serve(
                subjects.any_rpc(service="queue", entity=self._node, what=verb),
                self._answer,
                queue=f"queue-{self._node}",
            )
            for verb in VERBS
        ]

    async def _answer(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, rpc_pb2.NodeWish):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.NodeWish, found {envelope.type}"
            )
        verb = subjects.parse(envelope.subject).what
        if verb != "show":
            self._taker.feed(
                inputs.DrainWished(at_us=self._now_us(), draining=verb == "drain", actor=wish.actor)
            )
            await self._told()
        status = self._taker.status()
        if status is None:
            raise Refused("not-ready", f"node {self._node} changes hands; ask again", status=503)
        return rpc_pb2.NodeStatus(
            node=status.node,
            connected=status.connected,
            draining=bool(status.draining_since_us),
            draining_since_us=status.draining_since_us,
            drained=status.drained,
            contacts=status.contacts,
            waiting=status.waiting,
            legs=status.legs,
        )
