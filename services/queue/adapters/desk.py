"""Wishes about the calls of one node, from the bus: asked of whoever owns the node, answered when the engine has.

One subscription a verb for all tenants; the tenant is the subject's, never the message's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.errors import BusUnavailable, ContractError, Refused
from services.common.ids import new_id
from services.contracts.peyvand.queue.v1 import rpc_pb2
from services.queue.core import messages as m
from services.queue.core.engine import CallState
from services.queue.core.wishes import VERBS


class WishTaker(Protocol):
    """What is needed of a node's runner."""

    def feed(self, event: m.Input) -> None: ...
    def call(self, contact: str) -> CallState | None: ...


class WishDesk:
    """Hands wishes to the engine and its answers back."""

    def __init__(self, node: str, taker: WishTaker, now_us: Callable[[], int]) -> None:
        self._node = node
        self._taker = taker
        self._now_us = now_us
        self._waiting: dict[str, asyncio.Future[m.WishAnswered]] = {}

    async def open(self, bus: Bus) -> list[Subscription]:
        """Serve the node's subjects until the subscriptions are stopped."""
        return [
            await bus.serve(
                subjects.any_rpc(service="queue", entity=self._node, what=verb),
                self._answer,
                queue=f"queue-{self._node}",
            )
            for verb in VERBS
        ]

    def close(self) -> None:
        """The node changes hands: whoever waits should ask again."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BusUnavailable("the node changes hands; ask again"))
                waiting.exception()
        self._waiting.clear()

    def answered(self, answer: m.WishAnswered) -> None:
        """The engine's answer."""
        if (waiting := self._waiting.pop(answer.request_id, None)) is not None and not waiting.done():
            waiting.set_result(answer)

    async def _answer(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, rpc_pb2.CallWish):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.CallWish, found {envelope.type}"
            )
        about = subjects.parse(envelope.subject)
        request_id = new_id()  # Not the envelope's: whoever asks again under the same id wants it once more.
        waiting: asyncio.Future[m.WishAnswered] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = waiting
        self._taker.feed(
            m.CallWished(
                at_us=self._now_us(),
                request_id=request_id,
                contact=wish.contact_id,
                tenant=about.tenant,
                verb=about.what,
                agent=wish.agent_id,
                target_kind=wish.target_kind,
                target=wish.target,
            )
        )
        try:
            answer = await waiting
        finally:
            self._waiting.pop(request_id, None)
        if answer.slug:
            raise Refused(answer.slug, answer.reason, status=answer.status)
        call = self._taker.call(wish.contact_id)
        if call is None:
            return rpc_pb2.CallDone(contact_id=wish.contact_id, state="gone")
        return rpc_pb2.CallDone(
            contact_id=wish.contact_id,
            state=call.state,
            agent_id=call.agent,
            second_agent_id=call.second,
        )
