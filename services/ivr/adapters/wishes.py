"""Agents' wishes, asked of ``routing`` over the bus."""

from __future__ import annotations

import structlog

from services.center.model import Center
from services.common.bus import Bus, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.routing.v1.rpc_pb2 import AgentState, SetAgentPresence, SetDisposition
from services.ivr.core import codes

log = structlog.get_logger()

_TIMEOUT_S = 3.0


async def grant(bus: Bus, center: Center, extension: str, wish: codes.SetPresence | codes.Dispose) -> str:
    """Ask for the wish of the agent at a phone; return the prompt that answers them.

    A refusal, and a routing that does not answer in time, are both "not possible now" to the person on the phone.
    """
    tenant = center.tenant
    reason = ""
    if isinstance(wish, codes.SetPresence) and wish.key:
        reason = next((r.code for r in center.break_reasons if r.key == wish.key), "")
        if not reason:
            log.warning("break_reason_unknown", tenant=tenant, extension=extension, key=wish.key)
            return codes.NOT_POSSIBLE
    try:
        if isinstance(wish, codes.Dispose):
            asked = SetDisposition(extension=extension, code=wish.code, by="code")
            await bus.request(
                subjects.rpc(tenant, "routing", "agent", "dispose"), asked, timeout_s=_TIMEOUT_S
            )
            return codes.SAVED
        answer = await bus.request(
            subjects.rpc(tenant, "routing", "agent", "set-presence"),
            SetAgentPresence(extension=extension, presence=wish.presence, reason=reason, actor="agent"),
            timeout_s=_TIMEOUT_S,
        )
        state = codec.decode(answer)
        now = state.presence if isinstance(state, AgentState) else ""
        return codes.presence_prompt(wish, now)
    except (Refused, NotReady, ContractError) as e:
        log.warning("wish_not_granted", tenant=tenant, extension=extension, wish=repr(wish), reason=str(e))
        return codes.NOT_POSSIBLE
