"""Lines of callers that go from one node to another: offered to the owner of the other node over the bus, and taken for the owner of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.common.bus import Bus, Envelope, Sendable, Subscription, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.common.ids import new_id
from services.contracts.peyvand.queue.v1 import lines_rpc_pb2
from services.queue.core import inputs, outputs
from services.queue.core.legs import Line
from services.queue.core.line_moves import cseq_of

log = structlog.get_logger()

VERB = "take-line"
TAKE_S = 8.0  # More than the re-INVITE may take.
ASK_S = 10.0
_UNKNOWN = "not-known"  # Neither yes nor no: it is asked for again.


class LineDesk:
    """Serves ``cc.v1.rpc.<tenant>.queue.<node>.take-line``, and asks it of other nodes' owners."""

    def __init__(
        self, node: str, bus: Bus, feed: Callable[[inputs.Input], None], now_us: Callable[[], int]
    ) -> None:
        self._node = node
        self._bus = bus
        self._feed = feed
        self._now_us = now_us
        self._asked: dict[str, asyncio.Future[outputs.LineAnswered]] = {}

    async def open(self) -> list[Subscription]:
        """Serve from now on."""
        subject = subjects.any_rpc(service="queue", entity=self._node, what=VERB)
        return [await self._bus.serve(subject, self._take, queue=f"queue-{self._node}")]

    def close(self) -> None:
        """The node is another's: whoever waits should ask again."""
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Refused(_UNKNOWN, f"node {self._node} changes hands", status=503))
                asked.exception()
        self._asked.clear()

    def answered(self, answer: outputs.LineAnswered) -> None:
        """The engine's answer."""
        if (asked := self._asked.pop(answer.request_id, None)) is not None and not asked.done():
            asked.set_result(answer)

    async def send(self, command: outputs.SendLine, line: Line | None) -> None:
        """Offer a line; what comes of it goes to the engine."""
        taken, reason = await self._offer(command, line)
        self._feed(inputs.LineSent(at_us=self._now_us(), contact=command.contact, taken=taken, reason=reason))

    async def _offer(self, command: outputs.SendLine, line: Line | None) -> tuple[bool | None, str]:
        if line is None:
            return False, "NO_DIALOG"
        question = lines_rpc_pb2.TakeLine(
            contact_id=command.contact,
            leg_id=f"{command.contact[:40]}-m{command.move:x}",
            call_id=line.call_id,
            ours=line.ours,
            theirs=line.theirs,
            target=line.target,
            route=line.route,
            proxy=line.proxy,
            profile=line.profile,
            cseq=cseq_of(command.move, line.cseq),
            number=line.number,
        )
        try:
            subject = subjects.rpc(command.tenant, "queue", command.node, VERB)
            await self._bus.request(subject, question, timeout_s=ASK_S)
        except Refused as e:
            return (None if e.slug == _UNKNOWN else False), e.slug
        except (NotReady, ContractError) as e:
            log.info(
                "line_not_answered", node=self._node, contact=command.contact, to=command.node, reason=str(e)
            )
            return None, "NO_ANSWER"
        return True, ""

    async def _take(self, envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        if not isinstance(wish, lines_rpc_pb2.TakeLine):
            raise ContractError(
                f"{envelope.subject}: expected peyvand.queue.v1.TakeLine, found {envelope.type}"
            )
        request_id = new_id()
        asked: asyncio.Future[outputs.LineAnswered] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = asked
        try:
            self._feed(
                inputs.LineOffered(
                    at_us=self._now_us(),
                    request_id=request_id,
                    tenant=subjects.tenant_of(envelope.subject),
                    contact=wish.contact_id,
                    leg=wish.leg_id,
                    cseq=wish.cseq,
                    line=Line(
                        call_id=wish.call_id,
                        ours=wish.ours,
                        theirs=wish.theirs,
                        target=wish.target,
                        route=wish.route,
                        proxy=wish.proxy,
                        profile=wish.profile,
                        number=wish.number,
                    ),
                )
            )
            answer = await asyncio.wait_for(asked, TAKE_S)
        except TimeoutError:
            raise Refused(
                _UNKNOWN, f"node {self._node} does not know yet whether it has the line", status=503
            ) from None
        finally:
            self._asked.pop(request_id, None)
        if not answer.known:
            raise Refused(_UNKNOWN, f"node {self._node} does not know whether it has the line", status=503)
        if answer.slug:
            raise Refused(answer.slug, answer.reason)
        return lines_rpc_pb2.LineTaken(contact_id=wish.contact_id)
