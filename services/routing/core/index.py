"""Who is free and who waits, ordered, so that one event costs what it can affect and no scan of the floor.

Contacts that want the same (queue, skills, node) form a *class*; agents with the same skills form a *profile*. Within
a class the first contact stands for all others, within a profile the agent that is idle longest. So a free agent looks
at the heads of the classes of its queues, a new contact at the heads of the profiles of its queue: the number of
classes and profiles is small (it comes from the configuration), the number of callers and agents does not matter beyond
a binary search.

Everything in here is derived from the state, the center document and the time: ``place_*`` computes where an entity
belongs now and moves it there. A contact on hold and an agent in a delay are not in the order; the engine's timers
bring them back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import NamedTuple

from services.routing.core.center import Center
from services.routing.core.facts import Excluded, Explanation
from services.routing.core.state import Agent, Contact, State

Skills = tuple[tuple[str, int], ...]
"""Name and level, sorted by name."""
ContactKey = tuple[int, int, str]
"""Higher priority first, then who waits longest, then the id."""
AgentKey = tuple[int, str]
"""Who is idle longest, then the id."""


class ContactClass(NamedTuple):
    """What decides which agents can take a contact."""

    queue: str
    skills: Skills
    node: str


class AgentPlace(NamedTuple):
    """Where an agent stands: the queues, why it is not free (or ``idle``), and the order among the free."""

    queues: tuple[str, ...]
    status: str
    profile: Skills
    key: AgentKey


def parse_skills(texts: Iterable[str]) -> dict[str, int]:
    """Read ``name:level`` texts. No level, or none that is a number, asks for the skill at any level."""
    wanted: dict[str, int] = {}
    for text in texts:
        name, _, level = text.partition(":")
        if name:
            wanted[name] = max(wanted.get(name, 1), int(level) if level.isascii() and level.isdigit() else 1)
    return wanted


def contact_key(contact: Contact) -> ContactKey:
    """The place in the queue."""
    return (-contact.priority, contact.waiting_since_us, contact.contact_id)


def contact_class(contact: Contact, center: Center) -> ContactClass:
    """The class of a contact whose queue exists: the queue's skills and its own, the higher level of both."""
    wanted = dict(center.queues[contact.queue].skills)
    for name, level in parse_skills(contact.skills).items():
        wanted[name] = max(wanted.get(name, 0), level)
    return ContactClass(contact.queue, tuple(sorted(wanted.items())), contact.node)


def contact_place(contact: Contact | None, center: Center, now_us: int) -> ContactClass | None:
    """The class in which the contact waits for an offer at ``now_us``, None when it does not."""
    if contact is None or contact.status != "waiting" or contact.hold_until_us > now_us:
        return None
    return contact_class(contact, center) if contact.queue in center.queues else None


def agent_place(agent: Agent, center: Center, now_us: int) -> AgentPlace | None:
    """Where the agent stands at ``now_us``, None when the document does not have it."""
    rules = center.agents.get(agent.agent_id)
    if rules is None:
        return None
    if agent.presence != "available":
        status = agent.presence
    elif agent.activity != "idle":
        status = agent.activity
    else:
        status = "delayed" if agent.delay_until_us > now_us else "idle"
    return AgentPlace(
        rules.queues, status, tuple(sorted(rules.skills.items())), (agent.idle_since_us, agent.agent_id)
    )


def covers(profile: Mapping[str, int], wanted: Skills) -> bool:
    """Whether somebody with these skills can take what is wanted."""
    return all(profile.get(name, 0) >= level for name, level in wanted)


class Index:
    """The order of the waiting and of the free, for one revision of the center document."""

    def __init__(self, center: Center, state: State) -> None:
        self.center = center
        self._state = state
        self._waiting: dict[str, dict[ContactClass, list[ContactKey]]] = {}
        self._contact_at: dict[str, tuple[ContactClass, ContactKey]] = {}
        self._idle: dict[str, dict[Skills, list[AgentKey]]] = {}
        self._agent_at: dict[str, AgentPlace] = {}
        self._status_counts: dict[str, dict[str, int]] = {}
        self._skills: dict[Skills, dict[str, int]] = {}

    # -- keeping

    def place_contact(self, contact_id: str, now_us: int) -> bool:
        """Put the contact where it belongs now; returns whether it waits for an offer."""
        contact = self._state.contacts.get(contact_id)
        place = contact_place(contact, self.center, now_us)
        target = (place, contact_key(contact)) if place is not None and contact is not None else None
        current = self._contact_at.get(contact_id)
        if current == target:
            return target is not None
        if current is not None:
            del self._contact_at[contact_id]
            classes = self._waiting[current[0].queue]
            keys = classes[current[0]]
            del keys[bisect_left(keys, current[1])]
            if not keys:
                del classes[current[0]]
        if target is None:
            return False
        self._contact_at[contact_id] = target
        insort(self._waiting.setdefault(target[0].queue, {}).setdefault(target[0], []), target[1])
        return True

    def place_agent(self, agent_id: str, now_us: int) -> bool:
        """Put the agent where it belongs now; returns whether it is free."""
        place = agent_place(self._state.agent(agent_id), self.center, now_us)
        current = self._agent_at.get(agent_id)
        if current != place:
            if current is not None:
                self._remove_agent(agent_id, current)
            if place is not None:
                self._insert_agent(agent_id, place)
        return place is not None and place.status == "idle"

    def _remove_agent(self, agent_id: str, place: AgentPlace) -> None:
        del self._agent_at[agent_id]
        for queue in place.queues:
            self._status_counts[queue][place.status] -= 1
            if place.status == "idle":
                profiles = self._idle[queue]
                keys = profiles[place.profile]
                del keys[bisect_left(keys, place.key)]
                if not keys:
                    del profiles[place.profile]

    def _insert_agent(self, agent_id: str, place: AgentPlace) -> None:
        self._agent_at[agent_id] = place
        self._skills.setdefault(place.profile, dict(place.profile))
        for queue in place.queues:
            counts = self._status_counts.setdefault(queue, {})
            counts[place.status] = counts.get(place.status, 0) + 1
            if place.status == "idle":
                insort(self._idle.setdefault(queue, {}).setdefault(place.profile, []), place.key)

    # -- asking

    def waits(self, contact_id: str) -> bool:
        """Whether the contact is in the order of its queue."""
        return contact_id in self._contact_at

    def is_free(self, agent_id: str) -> bool:
        """Whether the agent can be offered a contact."""
        place = self._agent_at.get(agent_id)
        return place is not None and place.status == "idle"

    def waiting(self, queue: str) -> int:
        """How many contacts are in the order of the queue."""
        return sum(len(keys) for keys in self._waiting.get(queue, {}).values())

    def ahead(self, contact: Contact) -> int:
        """How many waiting contacts of its queue come before the contact."""
        key = contact_key(contact)
        return sum(bisect_left(keys, key) for keys in self._waiting.get(contact.queue, {}).values())

    def count(self, queue: str, status: str) -> int:
        """How many agents of the queue stand so (see ``agent_place``)."""
        return self._status_counts.get(queue, {}).get(status, 0)

    def logged_in(self, queue: str) -> int:
        """How many agents of the queue are available, whatever they do."""
        counts = self._status_counts.get(queue, {})
        return sum(number for status, number in counts.items() if status not in ("offline", "break"))

    def best_agent(self, contact: Contact) -> str | None:
        """The free agent who should take the contact: idle longest among those who have not let it ring before.

        Only when every free agent has let it ring is one of them asked again.
        """
        free = list(self._candidates(contact))
        untried = (self._first_untried(keys, contact.tried) for keys in free)
        best = min((key for key in untried if key is not None), default=None)
        if best is None:
            best = min((keys[0] for keys in free), default=None)
        return best[1] if best else None

    def best_contact(self, agent_id: str) -> str | None:
        """The contact that a free agent should take: first by priority and waiting time over all queues of the agent."""
        place = self._agent_at[agent_id]
        skills = self._skills[place.profile]
        heads = [
            keys[0]
            for queue in place.queues
            for wanted, keys in self._waiting.get(queue, {}).items()
            if self._state.node_up(wanted.node) and covers(skills, wanted.skills)
        ]
        return min(heads)[2] if heads else None

    def can_be_offered(self, contact_id: str) -> bool:
        """Whether the contact waits and its node answers."""
        at = self._contact_at.get(contact_id)
        return at is not None and self._state.node_up(at[0].node)

    def explain(self, contact: Contact, agent_id: str, now_us: int) -> Explanation:
        """Why this agent gets this contact, before the offer is made."""
        free = list(self._candidates(contact))
        candidates = sum(len(keys) for keys in free)
        first = islice(
            (key[1] for key in merge(*(islice(keys, 6) for keys in free)) if key[1] != agent_id), 5
        )
        excluded = {
            status: number
            for status, number in self._status_counts.get(contact.queue, {}).items()
            if status != "idle" and number
        }
        if other := self.count(contact.queue, "idle") - candidates:
            excluded["skills"] = other
        idle_since_us = self._agent_at[agent_id].key[0]
        return Explanation(
            rule="tried_before" if agent_id in contact.tried else "longest_idle",
            idle_ms=max(0, now_us - idle_since_us) // 1000,
            candidates=candidates,
            next_best=tuple(first),
            excluded=tuple(Excluded(reason, number) for reason, number in sorted(excluded.items())),
            waiting_ahead=self.ahead(contact),
        )

    def _candidates(self, contact: Contact) -> Iterator[list[AgentKey]]:
        at = self._contact_at.get(contact.contact_id)
        if at is None:
            return
        for profile, keys in self._idle.get(contact.queue, {}).items():
            if covers(self._skills[profile], at[0].skills):
                yield keys

    @staticmethod
    def _first_untried(keys: list[AgentKey], tried: Collection[str]) -> AgentKey | None:
        return next((key for key in keys if key[1] not in tried), None) if tried else keys[0]

    # -- checking

    def problems(self, now_us: int) -> list[str]:
        """What is not where a new index would have it; entities whose hold or delay has just passed may be either way."""
        found = []
        for contact_id, contact in self._state.contacts.items():
            want = contact_place(contact, self.center, now_us)
            has = self._contact_at.get(contact_id)
            if (has[0] if has else None) != want and not (
                has is None and 0 < contact.hold_until_us <= now_us
            ):
                found.append(f"contact {contact_id} is at {has}, should be at {want}")
        closed = self._contact_at.keys() - self._state.contacts.keys()
        found += [f"contact {contact_id} is indexed and not open" for contact_id in closed]
        for agent_id in self.center.agents:
            agent = self._state.agent(agent_id)
            place, is_at = agent_place(agent, self.center, now_us), self._agent_at.get(agent_id)
            if place != is_at and not (
                is_at and is_at.status == "delayed" and agent.delay_until_us <= now_us
            ):
                found.append(f"agent {agent_id} is at {is_at}, should be at {place}")
        if len(self._contact_at) != sum(len(k) for c in self._waiting.values() for k in c.values()):
            found.append("orders of the waiting and their places differ in number")
        return found
