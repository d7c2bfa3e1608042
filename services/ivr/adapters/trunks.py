"""By which trunks a flow calls a number outside: asked of the owner of the call's node, who counts them."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from services.center.model import Center
from services.center.outside import Way, bridge_string
from services.center.trunks import outside_of
from services.common.bus import Bus, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.queue.v1.trunks_rpc_pb2 import ChooseTrunk, TrunksChosen
from services.ivr.adapters.channel import Leg

log = structlog.get_logger()

_ASK_S = 2.0


@dataclass(frozen=True)
class Trunks:
    """Asks, and writes the argument of the application ``bridge``."""

    bus: Bus
    dial: str
    """Dial string with ``{number}``, for centers without trunks."""
    ring_s: int

    async def bridge_argument(self, center: Center, leg: Leg, number: str) -> str:
        """The argument that calls a number for this leg; empty when no trunk can carry it now.

        When nobody answers (NATS elects a leader, the node changes hands) the trunks are tried in their order without a count: a caller
        is not sent away because the books cannot be kept. The legs say which trunk they are on, and are counted when they appear.
        """
        ways: tuple[Way, ...] = (Way(number=number),)
        if center.trunks:
            try:
                ways = await self._chosen(center, leg, number)
            except Refused as e:
                log.warning("no_trunk", tenant=center.tenant, contact=leg.contact_id, reason=str(e))
                return ""
            except (NotReady, ContractError) as e:
                log.warning("trunks_not_asked", tenant=center.tenant, contact=leg.contact_id, reason=str(e))
                ways = tuple(
                    Way(
                        trunk=trunk.name,
                        gateway=trunk.gateway,
                        number=trunk.dialled(number),
                        caller_id=trunk.shown(leg.caller, ours=False),
                    )
                    for trunk in outside_of(center.trunks, center.routes).carrying(number)
                )
        return bridge_string(ways, self.dial, center.tenant, leg.contact_id, self.ring_s) if ways else ""

    async def _chosen(self, center: Center, leg: Leg, number: str) -> tuple[Way, ...]:
        subject = subjects.rpc(center.tenant, "queue", leg.node, "choose-trunk")
        question = ChooseTrunk(contact_id=leg.contact_id, number=number)
        answer = codec.decode(await self.bus.request(subject, question, timeout_s=_ASK_S))
        if not isinstance(answer, TrunksChosen):
            raise ContractError(f"{subject}: expected TrunksChosen, found {type(answer).__name__}")
        return tuple(
            Way(
                leg=way.leg_id,
                trunk=way.trunk,
                gateway=way.gateway,
                number=way.number,
                caller_id=way.caller_id or trunk_shown(center, way.trunk, leg.caller),
            )
            for way in answer.ways
        )


def trunk_shown(center: Center, trunk: str, caller: str) -> str:
    """The number that a trunk shows for a caller, whom the node's owner does not know yet; empty: the caller's own."""
    settings = center.trunks.get(trunk)
    return "" if settings is None or (caller and settings.shows_callers) else settings.caller_id or ""
