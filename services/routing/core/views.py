"""What can be asked of a tenant's routing: agents, queues, contacts, positions. Fields as in ``rpc.proto``."""

from __future__ import annotations

import msgspec

from services.routing.core.center import CALL, Center
from services.routing.core.index import Index
from services.routing.core.records import ENGAGED, OUTBOUND, Contact
from services.routing.core.state import State

OPEN_AT_ONCE = 2_000  # A fifth of a megabyte: an answer must fit into a message.


class AtHand(msgspec.Struct, frozen=True):
    """A contact of another channel than calls that an agent is offered or has; ``state`` offered or handled."""

    contact_id: str
    channel: str
    queue: str
    state: str
    offer_id: str = ""
    since_ms: int = 0


class AgentState(msgspec.Struct, frozen=True):
    """One agent now."""

    agent_id: str
    presence: str
    activity: str
    extension: str = ""
    reason: str = ""
    contact_id: str = ""
    queue: str = ""
    presence_ms: int = 0
    activity_ms: int = 0
    queues: tuple[str, ...] = ()
    draining: bool = False
    at_hand: tuple[AtHand, ...] = ()
    node: str = ""
    outside: bool = False
    """Works at a number outside, and not at the phone."""


class ChannelCount(msgspec.Struct, frozen=True):
    """Contacts of one channel in a queue: those that wait and those that agents have."""

    channel: str
    waiting: int = 0
    handled: int = 0


class QueueState(msgspec.Struct, frozen=True):
    """One queue now. Numbers are of calls; those of other channels stand by channel."""

    queue: str
    waiting: int = 0
    longest_wait_ms: int = 0
    talking: int = 0
    idle_agents: int = 0
    agents: int = 0
    serving: int = 0
    draining: bool = False
    others: tuple[ChannelCount, ...] = ()


class ContactState(msgspec.Struct, frozen=True):
    """One open contact now."""

    contact_id: str
    queue: str
    state: str
    priority: int = 0
    skills: tuple[str, ...] = ()
    node: str = ""
    entry_point: str = ""
    ani: str = ""
    waited_ms: int = 0
    agent_id: str = ""
    offers: int = 0
    position: int = 0
    service_class: str = ""
    channel: str = CALL


class OpenContact(msgspec.Struct, frozen=True):
    """A contact that a FreeSWITCH node should have."""

    contact_id: str
    queue: str
    waiting_since_us: int = 0
    entry_point: str = ""
    offer_id: str = ""
    agent_id: str = ""
    connected_at_us: int = 0


class OpenContacts(msgspec.Struct, frozen=True):
    """Some of them, and whether there are further ones."""

    contacts: tuple[OpenContact, ...]
    more: bool = False


class Position(msgspec.Struct, frozen=True):
    """The place of one contact: from 1 on, 0 when it does not wait."""

    contact_id: str
    position: int = 0
    waiting: int = 0
    agents_available: int = 0
    agents_serving: int = 0
    expected_wait_ms: int = 0


class ContactDetails(msgspec.Struct, frozen=True):
    """What a node's owner has to know of a caller who arrives from another node; without a queue: there is no such contact."""

    contact_id: str
    queue: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    language: str = ""
    ani: str = ""
    caller_name: str = ""
    entry_point: str = ""
    customer: str = ""
    waiting_since_us: int = 0
    started_at_us: int = 0
    service_class: str = ""
    preferred_agent: str = ""
    node: str = ""


class NodeState(msgspec.Struct, frozen=True):
    """A node that the log has spoken of."""

    node: str
    up: bool = True
    draining: bool = False
    draining_since_us: int = 0


class NodeList(msgspec.Struct, frozen=True):
    """Answer to ListNodes."""

    nodes: tuple[NodeState, ...]


class CallbackState(msgspec.Struct, frozen=True):
    """One callback now: waiting (in line), paused (not before a time), calling or cancelled."""

    callback_id: str
    contact_id: str
    queue: str
    number: str
    state: str
    waited_ms: int = 0
    position: int = 0
    attempts: int = 0
    not_before_us: int = 0
    expires_us: int = 0
    language: str = ""
    customer: str = ""


class CallbackList(msgspec.Struct, frozen=True):
    """Answer to ListCallbacks."""

    callbacks: tuple[CallbackState, ...]


class AgentList(msgspec.Struct, frozen=True):
    """Answer to ListAgents."""

    agents: tuple[AgentState, ...]


class QueueList(msgspec.Struct, frozen=True):
    """Answer to ListQueues."""

    queues: tuple[QueueState, ...]


class ContactList(msgspec.Struct, frozen=True):
    """Answer to ListContacts."""

    contacts: tuple[ContactState, ...]


def _since_ms(now_us: int, since_us: int) -> int:
    return max(0, now_us - since_us) // 1000 if since_us else 0


def contact_details(state: State, contact_id: str) -> ContactDetails:
    """What is known of one open contact."""
    contact = state.contacts.get(contact_id)
    if contact is None:
        return ContactDetails(contact_id)
    return ContactDetails(
        contact_id,
        contact.queue,
        contact.priority,
        contact.skills,
        contact.language,
        contact.ani,
        contact.caller_name,
        contact.entry_point,
        contact.customer,
        contact.waiting_since_us,
        contact.started_at_us,
        contact.service_class,
        contact.preferred_agent,
        contact.node,
    )


def nodes(state: State) -> list[NodeState]:
    """The nodes that the log has spoken of, by name."""
    return [
        NodeState(node, state.node_up(node), node in state.draining, state.draining.get(node, 0))
        for node in sorted({*state.nodes, *state.draining})
    ]


def agent_state(state: State, center: Center, agent_id: str, now_us: int) -> AgentState:
    """The state of one agent of the document, or of one that was in it."""
    agent = state.agent(agent_id)
    rules = center.agents.get(agent_id)
    return AgentState(
        agent_id,
        agent.presence,
        agent.activity,
        agent.seat or (rules.extension if rules else ""),
        agent.reason,
        agent.contact_id,
        agent.queue,
        _since_ms(now_us, agent.presence_since_us),
        _since_ms(now_us, agent.activity_since_us),
        rules.queues if rules else (),
        rules is None,
        tuple(
            AtHand(
                contact_id,
                one.channel,
                one.queue,
                "offered" if one.offer_id else "handled",
                one.offer_id,
                _since_ms(now_us, one.since_us),
            )
            for contact_id, one in agent.at_hand.items()
        ),
        state.phone_node(agent),
        bool(rules and rules.number and not agent.seat and agent.presence != "offline"),
    )


def agents(state: State, center: Center, now_us: int) -> list[AgentState]:
    """All agents of the document, by id, and those who are gone from it but have a contact still."""
    gone = state.agents.keys() - center.agents.keys()
    busy = {a for a in gone if state.agents[a].activity in ENGAGED or state.agents[a].at_hand}
    return [agent_state(state, center, agent_id, now_us) for agent_id in sorted({*center.agents, *busy})]


def queues(state: State, center: Center, index: Index, now_us: int) -> list[QueueState]:
    """All queues of the document, by id, and those that are gone from it but not empty. Contacts being offered still wait; callbacks are no callers."""
    waiting: dict[str, list[int]] = {}
    talking: dict[str, int] = {}
    others: dict[str, dict[str, list[int]]] = {}
    for contact in state.contacts.values():
        if contact.kind == OUTBOUND and not contact.transfers:
            continue  # Nobody of it came to the queue.
        if contact.channel != CALL:
            counts = others.setdefault(contact.queue, {}).setdefault(contact.channel, [0, 0])
            counts[contact.status == "talking"] += 1
        elif contact.status == "talking":
            talking[contact.queue] = talking.get(contact.queue, 0) + 1
        elif not contact.no_leg:
            waiting.setdefault(contact.queue, []).append(contact.waiting_since_us)
    return [
        QueueState(
            queue,
            len(waiting.get(queue, ())),
            _since_ms(now_us, min(waiting.get(queue, [now_us]))),
            talking.get(queue, 0),
            index.count(queue, "idle"),
            index.logged_in(queue),
            index.serving(queue),
            queue in center.draining,
            tuple(
                ChannelCount(channel, *counts) for channel, counts in sorted(others.get(queue, {}).items())
            ),
        )
        for queue in sorted(center.queues)
        if center.takes(queue) or queue in waiting or queue in talking or queue in others
    ]


def contact_state(state: State, index: Index, contact_id: str, now_us: int) -> ContactState:
    """The state of one open contact. Raises KeyError for one that is not open."""
    c = state.contacts[contact_id]
    return ContactState(
        c.contact_id,
        c.queue,
        c.status,
        c.priority,
        c.skills,
        c.node,
        c.entry_point,
        c.ani,
        c.wait_ms if c.status == "talking" else _since_ms(now_us, c.waiting_since_us),
        c.agent_id,
        c.offers,
        0 if c.status == "talking" else index.ahead(c) + 1,
        c.service_class,
        c.channel,
    )


def closed_contact(contact_id: str, contact: Contact | None = None) -> ContactState:
    """The answer to a wish that ended a contact; without the contact to a repeated one."""
    if contact is None:
        return ContactState(contact_id, "-", "closed", channel="-")
    return ContactState(
        contact_id,
        contact.queue,
        "closed",
        contact.priority,
        contact.skills,
        contact.node,
        contact.entry_point,
        contact.ani,
        contact.wait_ms,
        contact.agent_id,
        contact.offers,
        channel=contact.channel,
    )


def contacts(state: State, index: Index, now_us: int) -> list[ContactState]:
    """All open contacts, who waits longest first."""
    order = sorted(state.contacts.values(), key=lambda c: (c.waiting_since_us, c.contact_id))
    return [contact_state(state, index, c.contact_id, now_us) for c in order]


def open_contacts(state: State, node: str, after: str) -> OpenContacts:
    """The contacts with a leg on a node, in the order of their ids, from behind ``after`` on; at most OPEN_AT_ONCE."""
    found = sorted(
        c.contact_id
        for c in state.contacts.values()
        if c.node == node and c.contact_id > after and not c.no_leg and c.channel == CALL
    )
    return OpenContacts(
        tuple(
            OpenContact(
                c.contact_id,
                c.queue,
                c.waiting_since_us,
                c.entry_point,
                c.offer_id,
                c.agent_id,
                c.connected_at_us if c.status == "talking" else 0,
            )
            for c in (state.contacts[contact_id] for contact_id in found[:OPEN_AT_ONCE])
        ),
        more=len(found) > OPEN_AT_ONCE,
    )


def position(state: State, index: Index, contact_id: str, expected_wait_ms: int = 0) -> Position:
    """The place of a contact; a contact that rings at an agent keeps the place it came from."""
    contact = state.contacts.get(contact_id)
    if contact is None or contact.status == "talking":
        return Position(contact_id)
    waiting = index.waiting(contact.queue, contact.channel) + (0 if index.waits(contact_id) else 1)
    return Position(
        contact_id,
        index.ahead(contact) + 1,
        waiting,
        index.logged_in(contact.queue),
        index.serving(contact.queue, contact.channel),
        expected_wait_ms,
    )


def callback_state(state: State, index: Index, contact_id: str, now_us: int) -> CallbackState:
    """The state of a callback by its contact without a leg. Raises KeyError for one that is not open."""
    c = state.contacts[contact_id]
    in_line = index.waits(contact_id)
    return CallbackState(
        c.callback_id,
        c.contact_id,
        c.queue,
        c.number,
        "calling" if c.status != "waiting" else "waiting" if c.hold_until_us <= now_us else "paused",
        _since_ms(now_us, c.waiting_since_us),
        index.ahead(c) + 1 if in_line else 0,
        c.attempts,
        c.hold_until_us if c.hold_until_us > now_us else 0,
        c.expires_us,
        c.language,
        c.customer,
    )


def cancelled_callback(callback_id: str, contact: Contact | None = None) -> CallbackState:
    """The answer to a cancellation; without the contact to a repeated one."""
    if contact is None:
        return CallbackState(callback_id, callback_id, "-", "-", "cancelled")
    return CallbackState(
        callback_id, contact.contact_id, contact.queue, contact.number, "cancelled", attempts=contact.attempts
    )


def callbacks(state: State, index: Index, now_us: int) -> list[CallbackState]:
    """All callbacks that are not over, who asked first first."""
    order = sorted(state.callbacks.values(), key=lambda c: (state.contacts[c].waiting_since_us, c))
    return [callback_state(state, index, contact_id, now_us) for contact_id in order]
