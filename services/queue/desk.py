"""Supervisors' wishes about a node's calls: asked over the bus, answered by the engine when they have their effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.clock import Clock
from services.common.errors import BusUnavailable, DecodeError, Refused
from services.common.ids import derived_id
from services.contracts.peyvand.queue.v1 import supervision_rpc_pb2
from services.queue.core import supervision_messages as sm
from services.queue.core.listening import SupervisionAnswered

PATIENCE_S = 8.0  # A phone that has not even rung by then is not heard of.
VERB = "supervise"


class SupervisionDesk:
    """Serves ``cc.v1.rpc.<tenant>.queue.<node>.supervise`` for whoever owns the node."""

    def __init__(self, node: str, bus: Bus, clock: Clock, feed: Callable[[sm.SuperviseWished], None]) -> None:
        self._node = node
        self._bus = bus
        self._clock = clock
        self._feed = feed
        self._asked: dict[str, asyncio.Future[SupervisionAnswered]] = {}

    async def open(self) -> Subscription:
        """Serve from now on."""
        subject = subjects.any_rpc(service="queue", entity=self._node, what=VERB)
        return await self._bus.serve(subject, self._ask, queue=f"queue-{self._node}")

    def close(self) -> None:
        """The node is another's: whoever still waits for an answer asks there."""
        for asked in self._asked.values():
            asked.cancel()
        self._asked.clear()

    def settle(self, answer: SupervisionAnswered) -> None:
        """Pass on what the engine says."""
        asked = self._asked.pop(answer.request, None)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    async def _ask(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, supervision_rpc_pb2.Supervise):
            raise DecodeError(
                f"{envelope.subject}: expected peyvand.queue.v1.Supervise, found {envelope.type}"
            )
        asked: asyncio.Future[SupervisionAnswered] = asyncio.get_running_loop().create_future()
        self._asked[envelope.id] = asked
        self._feed(
            sm.SuperviseWished(
                at_us=self._clock.now_us(),
                request=envelope.id,
                tenant=subjects.tenant_of(envelope.subject),
                contact=wish.contact_id,
                mode=wish.mode,
                supervisor=wish.supervisor,
                everybody=wish.everybody,
                extension=wish.extension,
                leg=wish.leg_id or derived_id("supervision", envelope.id),
            )
        )
        try:
            answer = await asyncio.wait_for(asked, PATIENCE_S)
        except TimeoutError:
            raise Refused(
                "no-answer", f"the switch did not say in {PATIENCE_S:.0f} s what came of it", status=504
            ) from None
        except asyncio.CancelledError:
            if not asked.cancelled():
                raise
            raise BusUnavailable(f"node {self._node} changes hands; ask again") from None
        finally:
            self._asked.pop(envelope.id, None)
        if answer.slug:
            raise Refused(answer.slug, answer.reason, status=answer.status)
        return supervision_rpc_pb2.SupervisionState(
            supervision_id=answer.supervision,
            contact_id=answer.contact,
            supervisor=answer.supervisor,
            agent_id=answer.agent,
            mode=answer.mode,
            state=answer.state,
        )
