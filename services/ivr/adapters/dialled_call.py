"""A call that an agent dialled: to a number of the house the dialplan goes on by itself, to one outside routing is asked."""

from __future__ import annotations

import structlog

from services.center import CenterSet
from services.center.model import Center
from services.common.bus import Bus, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.common.esl import multiset
from services.contracts.peyvand.routing.v1.rpc_pb2 import PlaceCall
from services.ivr.adapters import channel, code_call
from services.ivr.adapters.call import Session
from services.ivr.core import codes

log = structlog.get_logger()

_ASK_S = 3.0


async def serve(session: Session, leg: channel.Leg, centers: CenterSet, bus: Bus, sounds_dir: str) -> None:
    """Decide where the call goes; returns when the leg may be let go, or is over.

    The dialplan takes a leg that is let go to ``cc_goto``: the entry points, unless something else stands there. A granted call outside is
    taken by queue from under us, and held until it is over: letting go of a leg that is elsewhere would stop its media.
    Raises CallGone when the agent hangs up.
    """
    center = centers.of_phone(leg.agent_extension) if leg.agent_extension else None
    if center is None or any(leg.entry in each.entry_points for each in centers.centers):
        return
    if centers.of_phone(leg.entry) is not None:
        await session.execute("multiset", multiset({"cc_goto": f"{leg.entry} XML house"}))
        return
    prompt = await _place(bus, center, leg, session.unique_id)
    if prompt:
        await code_call.say_and_end(session, center, prompt, sounds_dir)
    else:
        await code_call.drain(session)


async def _place(bus: Bus, center: Center, leg: channel.Leg, leg_id: str) -> str:
    """Ask for the call; return what to tell the agent when it cannot be."""
    question = PlaceCall(
        extension=leg.agent_extension, number=leg.entry, leg_id=leg_id, node=leg.node, actor="agent"
    )
    try:
        await bus.request(
            subjects.rpc(center.tenant, "routing", "agent", "place-call"), question, timeout_s=_ASK_S
        )
    except (Refused, NotReady, ContractError) as e:
        log.warning(
            "call_not_granted",
            tenant=center.tenant,
            extension=leg.agent_extension,
            number=leg.entry,
            reason=str(e),
        )
        known = isinstance(e, Refused) and e.slug in codes.NOT_ALLOWED
        return codes.FORBIDDEN if known and codes.FORBIDDEN in center.prompts else codes.NOT_POSSIBLE
    return ""
