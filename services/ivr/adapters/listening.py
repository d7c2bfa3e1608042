"""``*33`` and an agent's extension: ask the node of that agent's call to send the leg that dialled to it, or to ring its phone."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Found:
    """Whom somebody who dialled ``*33`` may listen to."""

    supervisor: str
    contact: str
    node: str


async def find(bus: Bus, center: Center, leg: channel.Leg, extension: str) -> Found | None:
    """The conversation of the agent at ``extension``, for who is at the phone of ``leg``; None when there is none, or for nobody who supervises."""
    try:
        supervisor = await _supervisor_at(bus, center, leg.agent_extension)
        contact, node = await _conversation(bus, center, extension)
    except (Refused, NotReady, ContractError) as e:
        _refused(center, leg, extension, e)
        return None
    return Found(supervisor, contact, node) if supervisor and contact and node else None


async def listen(bus: Bus, center: Center, leg: channel.Leg, leg_id: str, found: Found) -> bool:
    """Let the leg ``leg_id`` hear a conversation of its own node. Return whether it does."""
    wish = Supervise(contact_id=found.contact, mode="listen", supervisor=found.supervisor, leg_id=leg_id)
    return await _ask(bus, center, leg, found, wish)


async def ring_back(bus: Bus, center: Center, leg: channel.Leg, found: Found) -> bool:
    """Ring the phone of ``leg``, which has been put down, from the node that has the conversation: no leg can hear a call of another node."""
    wish = Supervise(
        contact_id=found.contact,
        mode="listen",
        supervisor=found.supervisor,
        extension=leg.agent_extension,
        phone_node=leg.node,
    )
    return await _ask(bus, center, leg, found, wish)


async def _ask(bus: Bus, center: Center, leg: channel.Leg, found: Found, wish: Supervise) -> bool:
    subject = subjects.rpc(center.tenant, "queue", found.node, "supervise")
    try:
        await bus.request(subject, wish, timeout_s=_JOIN_S)
    except (Refused, NotReady, ContractError) as e:
        _refused(center, leg, found.contact, e)
        return False
    return True


def _refused(center: Center, leg: channel.Leg, heard: str, why: Exception) -> None:
    log.warning(
        "supervision_not_granted",
        tenant=center.tenant,
        extension=leg.agent_extension,
        heard=heard,
        reason=str(why),
    )


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
