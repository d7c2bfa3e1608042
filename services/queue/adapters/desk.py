"""Wishes about the calls of one node, from the bus: asked of whoever owns the node, answered when the engine has.

One subscription a verb for all tenants; the tenant is the subject's, never the message's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.errors import BusUnavailable, ContractError, Refused
from services.common.ids import derived_id, new_id
from services.contracts.peyvand.queue.v1 import rpc_pb2, supervision_rpc_pb2
from services.queue.core import inputs, outputs
from services.queue.core import supervision_messages as sm
from services.queue.core.engine import CallState
from services.queue.core.listening import SupervisionAnswered
from services.queue.core.wishes import VERBS

SUPERVISE = "supervise"
PATIENCE_S = 9.0  # More than the engine takes to say that a wish had no effect; a phone that rings nowhere by then is not heard of.

Answer = outputs.WishAnswered | SupervisionAnswered


class WishTaker(Protocol):
    """What is needed of a node's runner."""

    def feed(self, event: inputs.Input) -> None: ...
    def call(self, contact: str) -> CallState | None: ...


class WishDesk:
    """Hands wishes to the engine and its answers back."""

    def __init__(self, node: str, taker: WishTaker, now_us: Callable[[], int]) -> None:
        self._node = node
        self._taker = taker
        self._now_us = now_us
        self._asked: dict[str, asyncio.Future[Answer]] = {}

    async def open(self, bus: Bus) -> list[Subscription]:
        """Serve the node's subjects until the subscriptions are stopped."""
        handlers = dict.fromkeys(VERBS, self._wish) | {SUPERVISE: self._supervise}
        return [
            await bus.serve(
                subjects.any_rpc(service="queue", entity=self._node, what=verb),
                handler,
                queue=f"queue-{self._node}",
            )
            for verb, handler in handlers.items()
        ]

    def close(self) -> None:
        """The node changes hands: whoever waits should ask again."""
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(BusUnavailable(f"node {self._node} changes hands; ask again"))
                asked.exception()
        self._asked.clear()

    def answered(self, request_id: str, answer: Answer) -> None:
        """The engine's answer."""
        if (asked := self._asked.pop(request_id, None)) is not None and not asked.done():
            asked.set_result(answer)

    async def _wish(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, rpc_pb2.CallWish):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.CallWish, found {envelope.type}"
            )
        about = subjects.parse(envelope.subject)
        request_id = new_id()  # Not the envelope's: whoever asks again under the same id wants it once more.
        await self._ask(
            request_id,
            inputs.CallWished(
                at_us=self._now_us(),
                request_id=request_id,
                contact=wish.contact_id,
                tenant=about.tenant,
                verb=about.what,
                agent=wish.agent_id,
                target_kind=wish.target_kind,
                target=wish.target,
            ),
        )
        call = self._taker.call(wish.contact_id)
        if call is None:
            return rpc_pb2.CallDone(contact_id=wish.contact_id, state="gone")
        return rpc_pb2.CallDone(
            contact_id=wish.contact_id,
            state=call.state,
            agent_id=call.agent,
            second_agent_id=call.second,
        )

    async def _supervise(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, supervision_rpc_pb2.Supervise):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.Supervise, found {envelope.type}"
            )
        answer = await self._ask(
            envelope.id,
            sm.SuperviseWished(
                at_us=self._now_us(),
                request=envelope.id,
                tenant=subjects.tenant_of(envelope.subject),
                contact=wish.contact_id,
                mode=wish.mode,
                supervisor=wish.supervisor,
                everybody=wish.everybody,
                extension=wish.extension,
                phone_node=wish.phone_node,
                leg=wish.leg_id or derived_id("supervision", envelope.id),
            ),
        )
        assert isinstance(answer, SupervisionAnswered)
        return supervision_rpc_pb2.SupervisionState(
            supervision_id=answer.supervision,
            contact_id=answer.contact,
            supervisor=answer.supervisor,
            agent_id=answer.agent,
            mode=answer.mode,
            state=answer.state,
        )

    async def _ask(self, request_id: str, wish: inputs.Input) -> Answer:
        """Give the engine a wish and wait for what comes of it. Raises Refused, and BusUnavailable when the node changes hands."""
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = asked
        try:
            self._taker.feed(wish)
            answer = await asyncio.wait_for(asked, PATIENCE_S)
        except TimeoutError:
            reason = f"the switch did not say in {PATIENCE_S:.0f} s what came of it"
            raise Refused("no-answer", reason, status=504) from None
        finally:
            self._asked.pop(request_id, None)
        if answer.slug:
            raise Refused(answer.slug, answer.reason, status=answer.status)
        return answer
