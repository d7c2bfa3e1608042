"""The invariants of a tenant's state, for tests, simulations and staging. Slow on purpose: it recounts everything."""

from __future__ import annotations

from services.routing.core.capacity import ABLE
from services.routing.core.center import CALL
from services.routing.core.index import Index
from services.routing.core.records import ENGAGED, IN_TALK, OFFERED
from services.routing.core.state import State


def problems(state: State, index: Index, now_us: int) -> list[str]:
    """Every broken invariant, in words."""
    return [
        *_offers(state),
        *_contacts(state),
        *_agents(state, index),
        *_seats(state),
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
        if offer.channel != CALL:
            one = agent.at_hand.get(offer.contact_id)
            if one is None or one.offer_id != offer.offer_id or agent.activity not in ABLE:
                found.append(f"offer {offer.offer_id} is open, its agent is {agent}")
        elif agent.activity not in OFFERED or (agent.offer_id, agent.contact_id) != (
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
        if contact.status == "talking" and contact.channel != CALL:
            one = state.agent(contact.agent_id).at_hand.get(contact.contact_id)
            if one is None or one.offer_id:
                found.append(f"contact {contact.contact_id} is with {contact.agent_id}, who has {one}")
        elif contact.status == "talking":
            if other := talking.get(contact.agent_id):
                found.append(f"agent {contact.agent_id} talks with {other} and {contact.contact_id}")
            talking[contact.agent_id] = contact.contact_id
            agent = state.agent(contact.agent_id)
            if agent.activity not in IN_TALK or agent.contact_id != contact.contact_id:
                found.append(f"contact {contact.contact_id} talks, its agent is {agent}")
    return found


def _agents(state: State, index: Index) -> list[str]:
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
        rules = index.center.agents.get(agent.agent_id)
        # Of who is gone from the document, or is called outside, the phone is of no account.
        outside = rules is None or (bool(rules.number) and not agent.seat)
        lost = not agent.registered or (agent.node and not state.phone_node(agent))
        if agent.activity in ABLE and lost and not outside:
            found.append(f"agent {agent.agent_id} is {agent.activity} without a phone")
        if agent.activity in ABLE and agent.own_legs and not outside:
            found.append(f"agent {agent.agent_id} is {agent.activity} in the own call {agent.own_legs}")
        if agent.activity in ABLE and agent.handles != (agent.activity == "handling"):
            found.append(f"agent {agent.agent_id} is {agent.activity} with {agent.at_hand}")
        for contact_id, one in agent.at_hand.items():
            contact = state.contacts.get(contact_id)
            status = "offered" if one.offer_id else "talking"
            if contact is None or (contact.status, contact.channel) != (status, one.channel):
                found.append(f"agent {agent.agent_id} has {one} at hand, the contact is {contact}")
            if one.offer_id and agent.activity not in ABLE:
                found.append(f"agent {agent.agent_id} is {agent.activity} and offered {one}")
        if agent.activity not in ENGAGED and agent.contact_id:
            found.append(f"agent {agent.agent_id} is {agent.activity} with contact {agent.contact_id}")
    return found


def _idle_pairs(state: State, index: Index) -> list[str]:
    """No free agent while a contact waits that the agent could take."""
    waiting = [c for c in state.contacts.values() if index.can_be_offered(c.contact_id)]
    return [
        f"agent {agent_id} is free while {contact.contact_id} waits"
        for contact in waiting
        for agent_id in index.center.agents
        if index.is_free(agent_id, contact.channel) and index.suits(agent_id, contact.contact_id)
    ]


def _seats(state: State) -> list[str]:
    """One phone has one agent, and who is logged out sits nowhere."""
    seated = {a.seat: a.agent_id for a in state.agents.values() if a.seat}
    found = [] if seated == state.seats else [f"seats are {state.seats}, by the agents {seated}"]
    return found + [
        f"agent {a.agent_id} is logged out and sits at {a.seat}"
        for a in state.agents.values()
        if a.seat and a.presence == "offline" and a.activity not in ENGAGED
    ]
