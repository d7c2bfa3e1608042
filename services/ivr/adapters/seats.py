"""``*23``, an agent's number and a PIN: ask routing to have the agent at the phone that dialled.

Whether the PIN is right is found out here, where it was keyed; how many wrong ones are taken is routing's to say. A number that is no
agent's, and an agent who has no PIN, sound like a wrong one: a phone tells nobody who works here.
"""

from __future__ import annotations

import asyncio

import structlog

from services.center import pins
from services.center.model import Center
from services.common.bus import Bus, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.routing.v1.rpc_pb2 import SeatAgent
from services.ivr.adapters import channel
from services.ivr.core import codes

log = structlog.get_logger()

_TIMEOUT_S = 3.0


async def sit_down(bus: Bus, center: Center, leg: channel.Leg, number: str, pin: str) -> str:
    """Log the agent with this number in at the phone of ``leg``; return the prompt that answers."""
    found = next(((name, a) for name, a in center.agents.items() if a.extension == number), None)
    if found is None or found[1].pin is None:
        log.warning("no_pin_for_number", tenant=center.tenant, extension=leg.agent_extension)
        return codes.WRONG_PIN
    agent_id = found[0]
    verified = await asyncio.to_thread(pins.matches, pin, found[1].pin)
    try:
        await bus.request(
            subjects.rpc(center.tenant, "routing", "agent", "seat"),
            SeatAgent(
                agent_id=agent_id,
                extension=leg.agent_extension,
                node=leg.node,
                by_pin=True,
                verified=verified,
                force=True,
                actor="code",
            ),
            timeout_s=_TIMEOUT_S,
        )
    except Refused as e:
        log.warning(
            "seat_refused", tenant=center.tenant, agent=agent_id, extension=leg.agent_extension, slug=e.slug
        )
        return codes.WRONG_PIN if e.slug == "wrong-pin" else codes.NOT_POSSIBLE
    except (NotReady, ContractError) as e:
        log.warning("seat_not_answered", tenant=center.tenant, agent=agent_id, reason=str(e))
        return codes.NOT_POSSIBLE
    return codes.LOGGED_IN
