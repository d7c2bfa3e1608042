"""Where a contact is, and where agents are, as routing knows it."""

from __future__ import annotations

from services.common.bus import Bus, codec, subjects
from services.common.errors import ContractError, Refused
from services.contracts.peyvand.routing.v1 import rpc_pb2

FIND_S = 5.0


async def open_contact(bus: Bus, tenant: str, contact_id: str) -> rpc_pb2.ContactState:
    """A contact that has a leg on a FreeSWITCH node, named by ``node``. Raises Refused when there is none."""
    subject = subjects.rpc(tenant, "routing", "contact", "list")
    found = codec.decode(await bus.request(subject, rpc_pb2.ListContacts(), timeout_s=FIND_S))
    if not isinstance(found, rpc_pb2.ContactList):
        raise ContractError(f"{subject}: expected a ContactList, found {type(found).__name__}")
    for contact in found.contacts:
        if contact.contact_id == contact_id and contact.node:
            return contact
    raise Refused("unknown-contact", f"there is no open contact {contact_id!r}", status=404)


async def all_agents(bus: Bus, tenant: str) -> dict[str, rpc_pb2.AgentState]:
    """The agents of a tenant by their id: at which phone each is, and which node has it."""
    subject = subjects.rpc(tenant, "routing", "agent", "list")
    found = codec.decode(await bus.request(subject, rpc_pb2.ListAgents(), timeout_s=FIND_S))
    if not isinstance(found, rpc_pb2.AgentList):
        raise ContractError(f"{subject}: expected an AgentList, found {type(found).__name__}")
    return {agent.agent_id: agent for agent in found.agents}
