"""The invariants of a tenant's state, for tests, simulations and staging. Slow on purpose: it recounts everything."""

from __future__ import annotations

from services.routing.core.index import Index
from services.routing.core.records import ENGAGED, IN_TALK, OFFERED
from services.routing.core.state import State


def problems(state: State, index: Index, now_us: int) -> list[str]:
    """Every broken invariant, in words."""
    return [
        *_offers(state),
        *_contacts(state),
        *_agents(state),
        *index.problems(now_us),
        *_idle_pairs(state, index),
    ]


def _offers(state: State) -> list[str]:
    found = []
    for offer in state.offers.values():
        contact, agent = state.contacts.get(offer.contact_id), state.agent(offer.agent_id)
        if contact is not None and offer.kind == "consult":
            if contact.status != "talking" or contact.consult_offer != offer.offer_id:
                found.append(f"offer {offer.offer_id} asks about a contact that is {contact}")
        elif contact is None or contact.status != "offered" or offer.offer_id not in contact.rings:
            found.append(f"offer {offer.offer_id} is open, its contact is {contact}")
        if agent.activity not in OFFERED or (agent.offer_id, agent.contact_id) != (
            offer.offer_id,
            offer.contact_id,
        ):
            found.append(f"offer {offer.offer_id} is open, its agent is {agent}")
    return found


def _contacts(state: State) -> list[str]:
    found = []
    talking: dict[str, str] = {}
    for contact in state.contacts.values():
        if contact.contact_id in state.closed:
            found.append(f"contact {contact.contact_id} is open and closed")
        if (contact.status == "offered") != bool(contact.rings):
            found.append(f"contact {contact.contact_id} is {contact.status} with offers {contact.rings}")
        if contact.status == "offered" and contact.offer_id not in contact.rings:
            found.append(
                f"contact {contact.contact_id} is offered by {contact.offer_id}, not {contact.rings}"
            )
        found += [
            f"contact {contact.contact_id} has the closed offer {o}"
            for o in contact.rings
            if o not in state.offers
        ]
        if contact.status == "waiting" and (contact.offer_id or contact.agent_id):
            found.append(f"contact {contact.contact_id} waits and has {contact.offer_id} {contact.agent_id}")
        if contact.status != "talking" and (contact.consult_offer or contact.consult_agent):
            found.append(f"contact {contact.contact_id} is {contact.status} and asked about")
        if contact.consult_offer and contact.consult_offer not in state.offers:
            found.append(f"contact {contact.contact_id} has the closed offer {contact.consult_offer}")
        if contact.status == "talking":
            if other := talking.get(contact.agent_id):
                found.append(f"agent {contact.agent_id} talks with {other} and {contact.contact_id}")
            talking[contact.agent_id] = contact.contact_id
            agent = state.agent(contact.agent_id)
            if agent.activity not in IN_TALK or agent.contact_id != contact.contact_id:
                found.append(f"contact {contact.contact_id} talks, its agent is {agent}")
    return found


def _agents(state: State) -> list[str]:
    found = []
    for agent in state.agents.values():
        if (agent.activity in OFFERED) != bool(agent.offer_id):
            found.append(f"agent {agent.agent_id} is {agent.activity} with offer {agent.offer_id!r}")
        if agent.offer_id and agent.offer_id not in state.offers:
            found.append(f"agent {agent.agent_id} has the closed offer {agent.offer_id}")
        if agent.activity in IN_TALK and agent.contact_id not in state.contacts:
            found.append(f"agent {agent.agent_id} talks with nobody")
        contact = state.contacts.get(agent.contact_id) if agent.activity in IN_TALK else None
        if contact is not None and agent.agent_id not in (contact.agent_id, contact.consult_agent):
            found.append(f"agent {agent.agent_id} talks about {contact.contact_id}, which has others")
        if agent.activity == "idle" and (
            not agent.registered or (agent.node and not state.phone_node(agent))
        ):
            found.append(f"agent {agent.agent_id} is idle without a phone")
        if agent.activity == "idle" and agent.own_legs:
            found.append(f"agent {agent.agent_id} is idle in the own call {agent.own_legs}")
        if agent.activity not in ENGAGED and agent.contact_id:
            found.append(f"agent {agent.agent_id} is {agent.activity} with contact {agent.contact_id}")
    return found


def _idle_pairs(state: State, index: Index) -> list[str]:
    """No free agent while a contact waits that the agent could take."""
    free = [a for a in index.center.agents if index.is_free(a)]
    waiting = [c for c in state.contacts if index.can_be_offered(c)]
    return [
        f"agent {agent_id} is free while {contact_id} waits"
        for agent_id in free
        for contact_id in waiting
        if index.suits(agent_id, contact_id)
    ]
