"""Where a contact and an agent stand: what a contact wants, its place among all who wait, and what an agent is free for."""

from __future__ import annotations

from typing import NamedTuple

from services.routing.core.capacity import ABLE, WHOLE, load, open_channels
from services.routing.core.center import CALL, Center
from services.routing.core.facts import Term
from services.routing.core.pools import Standing
from services.routing.core.records import Agent, Contact

ContactKey = tuple[int, str]
"""Waiting since, less the head start, then the id: the highest score is first."""


class Want(NamedTuple):
    """What decides which agents can take a contact. ``requirement`` is a number; ``Index.in_words`` says it."""

    queue: str
    requirement: int
    reach_ms: int
    """Agents who come in after this wait or sooner may take it."""
    only: str = ""
    """The preferred agent, as long as nobody else is asked."""
    channel: str = CALL
    inside: bool = False
    """Nobody at a number outside, for the contact's node has no line free (``State.no_lines``)."""


class ContactClass(NamedTuple):
    """Contacts that are equal but for their order."""

    want: Want
    node: str


class AgentPlace(NamedTuple):
    """What an agent does, what the strategies look at, and the channels for which the agent is free."""

    status: str
    standing: Standing
    open: tuple[str, ...]
    outside: bool = False
    """At a number outside, to which a line is needed."""


class Head(NamedTuple):
    """The first contact of a class, as one agent sees it: lower is sooner."""

    channel: int
    priority: int
    turn: int
    key: ContactKey


_NOWHERE = Standing("", 0, 0, 0, 0, 0, 0)
"""Of agents who are not free for anything: nobody looks at it."""


def score_terms(contact: Contact, center: Center) -> tuple[Term, ...]:
    """The head starts of a contact, in ms; those that are 0 are left out."""
    terms = (
        Term("priority", contact.priority * center.priority_ms),
        Term("class", center.class_ms.get(contact.service_class, 0)),
        Term("entry_point", center.entry_ms.get(contact.entry_point, 0)),
        Term("returned", contact.returned_ms),
    )
    return tuple(term for term in terms if term.ms)


def contact_key(contact: Contact, center: Center) -> ContactKey:
    """The place among all who wait. The score is age plus head starts; ages grow alike, so the order never changes."""
    head_start_ms = (
        contact.priority * center.priority_ms
        + center.class_ms.get(contact.service_class, 0)
        + center.entry_ms.get(contact.entry_point, 0)
        + contact.returned_ms
    )
    return (contact.waiting_since_us - head_start_ms * 1000, contact.contact_id)


def agent_place(
    agent: Agent, center: Center, rank: int, serves: tuple[str, ...], now_us: int
) -> AgentPlace | None:
    """Where the agent stands at ``now_us``, None when the document does not have it. ``serves``: as ``channels_of`` has it."""
    rules = center.agents.get(agent.agent_id)
    if rules is None:
        return None
    if agent.presence != "available":
        status = agent.presence
    elif agent.activity not in ABLE:
        status = agent.activity
    else:
        status = "delayed" if agent.delay_until_us > now_us else agent.activity
    outside = bool(rules.number) and not agent.seat
    if status not in ABLE:
        return AgentPlace(status, _NOWHERE, (), outside)
    at_hand = min(load(agent), WHOLE) if agent.at_hand else 0
    return AgentPlace(
        status,
        Standing(
            agent.agent_id,
            rank,
            agent.idle_since_us,
            agent.contacts,
            agent.work_us - at_hand * agent.counted_us // WHOLE if at_hand else agent.work_us,
            agent.shift_since_us,
            rules.weight,
            at_hand,
        ),
        open_channels(agent, center, rules) if agent.at_hand else serves,
        outside,
    )
