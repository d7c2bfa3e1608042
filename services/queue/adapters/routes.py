"""Which trunks a call of ivr may take: asked of whoever owns the node, who counts them."""

from __future__ import annotations

from collections.abc import Callable

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.errors import ContractError, Refused
from services.common.ids import new_id
from services.contracts.peyvand.queue.v1 import trunks_rpc_pb2
from services.queue.core import inputs, outputs

VERB = "choose-trunk"


class RouteDesk:
    """Serves ``cc.v1.rpc.<tenant>.queue.<node>.choose-trunk``. The engine answers within the same input, so nothing waits."""

    def __init__(self, node: str, feed: Callable[[inputs.Input], None], now_us: Callable[[], int]) -> None:
        self._node = node
        self._feed = feed
        self._now_us = now_us
        self._chosen: dict[str, outputs.RouteChosen] = {}

    async def open(self, bus: Bus) -> list[Subscription]:
        """Serve from now on."""
        subject = subjects.any_rpc(service="queue", entity=self._node, what=VERB)
        return [await bus.serve(subject, self._answer, queue=f"queue-{self._node}")]

    def close(self) -> None:
        """The node is another's."""
        self._chosen.clear()

    def chosen(self, answer: outputs.RouteChosen) -> None:
        """The engine's answer."""
        self._chosen[answer.request_id] = answer

    async def _answer(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, trunks_rpc_pb2.ChooseTrunk):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.ChooseTrunk, found {envelope.type}"
            )
        request_id = new_id()
        self._feed(
            inputs.RouteWished(
                at_us=self._now_us(),
                request_id=request_id,
                tenant=subjects.tenant_of(envelope.subject),
                contact=wish.contact_id,
                number=wish.number,
            )
        )
        answer = self._chosen.pop(request_id, None)
        if answer is None:
            raise Refused("not-ready", f"node {self._node} changes hands; ask again", status=503)
        if answer.refusal:
            raise Refused(answer.refusal, f"no trunk can carry a call to {wish.number!r} now")
        return trunks_rpc_pb2.TrunksChosen(
            ways=[
                trunks_rpc_pb2.TrunkWay(
                    leg_id=way.leg,
                    trunk=way.trunk,
                    gateway=way.gateway,
                    number=way.number,
                    caller_id=way.caller_id,
                )
                for way in answer.ways
            ]
        )
