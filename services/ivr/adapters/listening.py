"""``*33`` and an agent's extension: ask the node of that agent's call to send the leg that dialled to it."""

from __future__ import annotations

import structlog

from services.center.model import Center
from services.common.bus import Bus, codec, subjects
from services.common.errors import ContractError, NotReady, Refused
from services.contracts.peyvand.queue.v1.supervision_rpc_pb2 import Supervise
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.ivr.adapters import channel

log = structlog.get_logger()

_ASK_S = 3.0
_JOIN_S = 10.0


async def listen(bus: Bus, center: Center, leg: channel.Leg, leg_id: str, extension: str) -> bool:
    """Let the leg ``leg_id`` hear the conversation of the agent at ``extension``. Return whether it does.

    A call on another node than the leg cannot be heard so; by HTTP the supervisor's phone is rung from the call's node.
    """
    try:
        supervisor = await _supervisor_at(bus, center, leg.agent_extension)
        contact, node = await _conversation(bus, center, extension)
        if not (supervisor and contact and node == leg.node):
            return False
        await bus.request(
            subjects.rpc(center.tenant, "queue", node, "supervise"),
            Supervise(
                contact_id=contact,
                mode="listen",
                supervisor=supervisor,
                leg_id=leg_id,
            ),
            timeout_s=_JOIN_S,
        )
    except (Refused, NotReady, ContractError) as e:
        log.warning(
            "supervision_not_granted",
            tenant=center.tenant,
            extension=leg.agent_extension,
            heard=extension,
            reason=str(e),
        )
        return False
    return True


async def _supervisor_at(bus: Bus, center: Center, extension: str) -> str:
    """Who is at the phone, if that agent supervises a team: without teams nobody is known to."""
    found = codec.decode(
        await bus.request(
            subjects.rpc(center.tenant, "routing", "agent", "list"), rpc_pb2.ListAgents(), timeout_s=_ASK_S
        )
    )
    agents = found.agents if isinstance(found, rpc_pb2.AgentList) else ()
    at = [a.agent_id for a in agents if a.extension == extension]
    # Somebody who has logged in there comes before whose own phone it is: that agent is logged out.
    seated = [name for name in at if name in center.agents and center.agents[name].extension != extension]
    who = (seated or at or [""])[0]
    return who if any(who in team.supervisors for team in center.teams.values()) else ""


async def _conversation(bus: Bus, center: Center, extension: str) -> tuple[str, str]:
    """The contact of the agent at an extension and its node; empty when there is none."""
    agent_id = next((name for name, agent in center.agents.items() if agent.extension == extension), "")
    if not agent_id:
        return "", ""
    found = codec.decode(
        await bus.request(
            subjects.rpc(center.tenant, "routing", "contact", "list"),
            rpc_pb2.ListContacts(),
            timeout_s=_ASK_S,
        )
    )
    if isinstance(found, rpc_pb2.ContactList):
        for contact in found.contacts:
            if contact.agent_id == agent_id and contact.state == "talking":
                return contact.contact_id, contact.node
    return "", ""
