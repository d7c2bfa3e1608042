"""What must hold in routing's log after whatever race: exactly one end an offer and a contact, and nobody in two places at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.routing.core import facts as f


def ends(log: Sequence[Any], contact: str) -> list[f.ContactClosed]:
    """How a contact ended, as often as it did."""
    return [fact for fact in log if isinstance(fact, f.ContactClosed) and fact.contact_id == contact]


def outcomes(log: Sequence[Any], contact: str) -> list[str]:
    """The ends of a contact's offers."""
    return [fact.outcome for fact in log if isinstance(fact, f.OfferEnded) and fact.contact_id == contact]


def complaints(log: Sequence[Any], contacts: Sequence[str]) -> list[str]:
    """What is wrong with the books of these contacts, all of which are over."""
    found: list[str] = []
    made = {x.offer_id: x for x in log if isinstance(x, f.OfferMade) and x.contact_id in contacts}
    ended = Counter(x.offer_id for x in log if isinstance(x, f.OfferEnded) and x.contact_id in contacts)
    found += [f"offer {o} of {made[o].agent_id} has {ended[o]} ends" for o in made if ended[o] != 1]
    found += [f"offer {o} ended and was never made" for o in ended if o not in made]
    for contact in contacts:
        if len(closed := ends(log, contact)) != 1:
            found.append(f"contact {contact} has {len(closed)} ends")
        met = any(isinstance(x, f.ContactConnected) and x.contact_id == contact for x in log)
        if closed and (closed[0].result == "answered") is not met:
            found.append(f"contact {contact} is {closed[0].result}; connected: {met}")
    return found + _double(log)


def _double(log: Sequence[Any]) -> list[str]:
    """Agents who had two offers, or an offer and a conversation, at the same time."""
    busy: dict[str, str] = {}
    of_offer: dict[str, str] = {}
    talks: dict[str, str] = {}  # Agent by the contact that is with them.
    found = []
    for fact in log:
        match fact:
            case f.OfferMade():
                if (other := busy.get(fact.agent_id)) and other != fact.contact_id:
                    found.append(f"{fact.agent_id} has {other} and is offered {fact.contact_id}")
                busy[fact.agent_id] = fact.contact_id
                of_offer[fact.offer_id] = fact.agent_id
            case f.OfferEnded():
                agent = of_offer.pop(fact.offer_id, fact.agent_id)
                if fact.outcome != "accepted" and talks.get(fact.contact_id) != agent:
                    busy.pop(agent, None)
            case f.ContactConnected():
                talks[fact.contact_id] = fact.agent_id
            case f.AgentActivityChanged(activity="idle" | "wrap_up"):
                busy.pop(fact.agent_id, None)
    return found
