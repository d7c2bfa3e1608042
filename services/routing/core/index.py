"""Who is free and who waits, ordered, so that one event costs what it can affect and no scan of the floor.

What a waiting contact asks for is a *want* (``places``): its queue and channel, a requirement of skills, and how long it has waited as far as
agents who come in later care (``QueueOrder.delay_ms``). Contacts with the same want on the same node form a *class*, ordered by score;
within a class the first stands for all others. For each want there is a *pool* of the free agents who fit (``pools``).

* An agent is free by channel (``capacity``): one who chats may be free for another chat and not for a call.
* An agent who becomes free is put into the pools that fit and looks at the heads of the classes that fit: k binary searches,
  k being the distinct wants of the agent's queues. Which ones fit is remembered for each profile (skills and queues).
* A contact that comes or is to be offered again looks at the front of one pool.
* A want that nobody had before costs one pass over the free agents of its queue, once; the last ``POOLS`` of a queue are kept.

What a contact asks for changes while it waits: skills are relaxed step by step, the preferred agent's time runs out, later
agents come in. All of these are times counted from the entry into the queue, so ``widens_us`` says when to look again.

Everything in here is derived from the state, the center document and the time: ``place_*`` computes where an entity
belongs now and moves it there. A contact on hold and an agent in a delay are not in the order; the engine's timers
bring them back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping

from services.routing.core.capacity import channels_of
from services.routing.core.center import CALL, Center, QueueOrder
from services.routing.core.places import (
    AgentPlace,
    ContactClass,
    ContactKey,
    Head,
    Want,
    agent_place,
    contact_key,
)
from services.routing.core.pools import Choice, Key, KeyOf, OrderedPool, Pool, key_maker, new_pool
from services.routing.core.records import Contact
from services.routing.core.requirement import (
    ANYBODY,
    Requirement,
    all_of,
    in_words,
    of_levels,
    parse_levels,
    satisfied,
)
from services.routing.core.state import State

POOLS = 64
"""Wants of one queue whose pools are kept."""
NOT_SERVING = frozenset({"break", "offline", "unreachable"})
"""Agents who stand so will not take a contact soon."""

_PLAIN = QueueOrder()


class Home:
    """What an agent of one group is put into for one queue while free for some channels."""

    __slots__ = ("channels", "free", "known", "orders", "others", "outside", "seen")

    def __init__(
        self,
        channels: tuple[str, ...],
        outside: bool,
        known: list[tuple[Want, Pool]],
        free: tuple[tuple[dict[str, None], dict[int, int], int], ...],
    ) -> None:
        self.channels, self.outside = channels, outside
        self.known = known
        """All pools of the queue, the oldest first."""
        self.seen = 0
        """How many of them were looked at."""
        self.orders: list[list[Key]] = []
        """Of the pools that fit, as far as they are sorted keys; those of one queue are all made in the same way."""
        self.others: list[Pool] = []
        self.free = free
        """By channel: who is free, how many by delay, and the agent's delay."""


class Index:
    """The order of the waiting and of the free, for one revision of the center document."""

    def __init__(self, center: Center, state: State) -> None:
        self.center = center
        self.closed: frozenset[str] = frozenset()
        """As in ``HoursChanged``: where nobody is called back now."""
        self._state = state
        self._waiting: dict[tuple[str, str], dict[ContactClass, list[ContactKey]]] = {}
        """By queue and channel."""
        self._held_for: dict[str, dict[ContactClass, list[ContactKey]]] = {}
        """Contacts that wait for their preferred agent, by agent; the order of queue and channel has them in ``_held_in``."""
        self._held_in: dict[str, dict[str, list[ContactKey]]] = {}
        self._contact_at: dict[str, tuple[ContactClass, ContactKey]] = {}
        self._widens: dict[str, int] = {}
        self._prefer: dict[str, dict[str, None]] = {}
        """Contacts that name a preferred agent, by agent: they wait differently when it comes or goes."""
        self._preferred: dict[str, str] = {}
        self._apart: dict[str, dict[str, None]] = {}
        """Contacts that wait and are in no order now (a pause after an offer in vain), by queue: its limits are theirs all the same."""
        self._apart_of: dict[str, str] = {}
        self._agent_at: dict[str, AgentPlace] = {}
        self._free: dict[tuple[str, str], dict[str, None]] = {}
        """Who is free, by queue and channel."""
        self._free_by_delay: dict[tuple[str, str], dict[int, int]] = {}
        self._status_counts: dict[str, dict[str, int]] = {}
        self._serving: dict[tuple[str, str], int] = {}
        self._serving_kinds: dict[tuple[str, ...], int] = {}
        self._pools: dict[str, OrderedDict[Want, Pool]] = {}
        self._requirements: list[Requirement] = [ANYBODY]
        self._in_words: list[str] = []
        self._requirement_ids: dict[Requirement, int] = {ANYBODY: 0}
        self._needs: dict[tuple[str, tuple[str, ...], int], int] = {}
        self._fits: list[dict[int, bool]] = []
        """By profile: which requirements it meets, as far as anybody has asked."""
        self._rank = {agent_id: n for n, agent_id in enumerate(center.agents)}
        self._channel_rank = {channel: n for n, channel in enumerate((CALL, *center.channels))}
        self._serves = {agent_id: channels_of(center, rules) for agent_id, rules in center.agents.items()}
        profiles: dict[tuple[object, ...], int] = {}
        groups: dict[tuple[object, ...], int] = {}
        self._profile: dict[str, int] = {}
        self._group: dict[str, int] = {}
        self._served: dict[str, tuple[tuple[str, int, int], ...]] = {}
        """Queues of each agent, with the delay after which the agent comes in, and the agent's own priority."""
        self._counts_of: dict[str, tuple[dict[str, int], ...]] = {}
        """The entries of ``_status_counts`` in which each agent is counted."""
        delays: dict[str, set[int]] = {queue: {0} for queue in center.queues}
        for agent_id, rules in center.agents.items():
            profile = profiles.setdefault(tuple(sorted(rules.skills.items())), len(profiles))
            own = [(queue, self.order(agent_id, queue)) for queue in rules.queues]
            orders = tuple((queue, order.delay_ms, order.priority) for queue, order in own)
            self._profile[agent_id] = profile
            self._served[agent_id] = orders
            self._counts_of[agent_id] = tuple(self._status_counts.setdefault(q, {}) for q in rules.queues)
            self._group[agent_id] = groups.setdefault((profile, orders), len(groups))
            for queue, delay_ms, _ in orders:
                delays.setdefault(queue, {0}).add(delay_ms)
        self._fits.extend({} for _ in profiles)
        self._delays = {queue: tuple(sorted(found)) for queue, found in delays.items()}
        self._homes: dict[tuple[int, bool, tuple[str, ...]], list[tuple[KeyOf, Home]]] = {}
        self._known_pools: dict[str, list[tuple[Want, Pool]]] = {}
        """The values of ``_pools`` in the order in which they were made."""
        self._concerned: dict[str, list[str]] = {}
        """Queues whose limit ``no_agent`` depends on whether a queue is served: the queue itself, and those that lead there."""
        for queue, queue_rules in center.queues.items():
            draining = queue in center.draining
            if queue_rules.no_agent is not None or draining:
                leads = {*center.fallback.values(), center.default_fallback} if draining else set()
                if queue_rules.no_agent is not None and queue_rules.no_agent.action == "queue":
                    leads.add(queue_rules.no_agent.target)
                for concerned in (queue, *sorted(leads - {queue})):
                    self._concerned.setdefault(concerned, []).append(queue)

    # -- what a contact asks for

    def order(self, agent_id: str, queue: str) -> QueueOrder:
        """The agent's own view of a queue."""
        return self.center.agents[agent_id].orders.get(queue, _PLAIN)

    def in_words(self, number: int) -> str:
        """The requirement of a want as people write it."""
        while len(self._in_words) <= number:
            self._in_words.append(in_words(self._requirements[len(self._in_words)]))
        return self._in_words[number]

    def demand(self, contact: Contact, now_us: int) -> tuple[Want, int]:
        """What a contact whose queue exists asks for now, and when that changes next (0: never)."""
        rules = self.center.queues[contact.queue]
        waited_us = now_us - contact.queued_at_us
        changes: list[int] = []
        lines_us = self._state.no_lines.get(contact.node, 0) if contact.channel == CALL else 0
        if inside := lines_us > now_us:
            changes.append(lines_us - contact.queued_at_us)
        preferred_ms = contact.preferred_ms or rules.preferred_ms
        if contact.preferred_agent and preferred_ms:
            until_us = preferred_ms * 1000
            if contact.no_answer or (waited_us < until_us and self._is_there(contact)):
                reach_ms = self._delays[contact.queue][-1]
                want = Want(contact.queue, 0, reach_ms, contact.preferred_agent, contact.channel, inside)
                if not contact.no_answer:
                    changes.append(until_us)
                return want, (contact.queued_at_us + min(changes) if changes else 0)
        step, until_us = 0, 0
        for step, rule in enumerate(rules.steps):  # noqa: B007
            until_us += rule.for_ms * 1000
            if waited_us < until_us:
                changes.append(until_us)
                break
        else:
            step = len(rules.steps)
        insist = not rules.skills_for_ms or waited_us < rules.skills_for_ms * 1000
        if insist and rules.skills_for_ms and contact.skills:
            changes.append(rules.skills_for_ms * 1000)
        reach_ms = 0
        for delay_ms in self._delays[contact.queue]:
            if delay_ms * 1000 > waited_us:
                changes.append(delay_ms * 1000)
                break
            reach_ms = delay_ms
        need = self._need(contact.queue, contact.skills if insist else (), step)
        want = Want(contact.queue, need, reach_ms, "", contact.channel, inside)
        return want, (contact.queued_at_us + min(changes) if changes else 0)

    def given_up_us(self, contact: Contact) -> int:
        """Until when the preferred agent is waited for by a contact that waits for nobody else."""
        if not self._is_there(contact):
            return contact.queued_at_us
        preferred_ms = contact.preferred_ms or self.center.queues[contact.queue].preferred_ms
        return contact.queued_at_us + preferred_ms * 1000

    def _is_there(self, contact: Contact) -> bool:
        """Whether waiting for the preferred agent makes sense; one who has let this contact ring is waited for no longer."""
        agent_id = contact.preferred_agent
        rules = self.center.agents.get(agent_id)
        if rules is None or contact.queue not in rules.queues or agent_id in contact.tried:
            return False
        if contact.channel not in self._serves[agent_id]:
            return False
        agent = self._state.agent(agent_id)
        return agent.presence == "available" and agent.activity != "unreachable"

    def _need(self, queue: str, skills: tuple[str, ...], step: int) -> int:
        known = self._needs.get((queue, skills, step))
        if known is None:
            rules = self.center.queues[queue]
            parts = [of_levels(rules.skills), of_levels(parse_levels(skills))]
            if step < len(rules.steps):
                parts.append(rules.steps[step].requirement)
            requirement = all_of(*parts)
            known = self._requirement_ids.setdefault(requirement, len(self._requirements))
            if known == len(self._requirements):
                self._requirements.append(requirement)
            self._needs[(queue, skills, step)] = known
        return known

    def _suits(self, agent_id: str, want: Want, *, outside: bool) -> bool:
        if want.inside and outside:
            return False
        if want.only:
            return want.only == agent_id
        return self.order(agent_id, want.queue).delay_ms <= want.reach_ms and self._can(agent_id, want)

    def _can(self, agent_id: str, want: Want) -> bool:
        fits = self._fits[self._profile[agent_id]]
        known = fits.get(want.requirement)
        if known is None:
            known = satisfied(self.center.agents[agent_id].skills, self._requirements[want.requirement])
            fits[want.requirement] = known
        return known

    # -- keeping

    def contact_place(self, contact: Contact | None, now_us: int) -> tuple[ContactClass, int] | None:
        """The class in which the contact waits for an offer now and when that changes; None when it does not wait."""
        if contact is None or contact.status != "waiting" or contact.hold_until_us > now_us:
            return None
        if contact.leaving or (contact.no_leg and f"callback:{contact.queue}" in self.closed):
            return None
        if contact.queue not in self.center.queues:
            return None
        want, changes_us = self.demand(contact, now_us)
        return ContactClass(want, contact.node if contact.channel == CALL else ""), changes_us

    def place_contact(self, contact_id: str, now_us: int) -> bool:
        """Put the contact where it belongs now; returns whether it waits for an offer."""
        contact = self._state.contacts.get(contact_id)
        place = self.contact_place(contact, now_us)
        target = (place[0], contact_key(contact, self.center)) if place and contact else None
        current = self._contact_at.get(contact_id)
        if current != target:
            if current is not None:
                self._remove_contact(contact_id, *current)
            if target is not None:
                self._insert_contact(contact_id, *target)
        if contact is None:
            if preferred := self._preferred.pop(contact_id, ""):
                del self._prefer[preferred][contact_id]
        elif contact.preferred_agent and contact_id not in self._preferred:
            self._preferred[contact_id] = contact.preferred_agent
            self._prefer.setdefault(contact.preferred_agent, {})[contact_id] = None
        waits = contact is not None and contact.status == "waiting"
        self._set_apart(contact_id, contact.queue if contact is not None and waits and place is None else "")
        if place is None:
            self._widens.pop(contact_id, None)
            return False
        self._widens[contact_id] = place[1]
        return True

    def _set_apart(self, contact_id: str, queue: str) -> None:
        if (was := self._apart_of.pop(contact_id, "")) != queue and was:
            del self._apart[was][contact_id]
        if queue:
            self._apart_of[contact_id] = queue
            self._apart.setdefault(queue, {})[contact_id] = None

    def _classes(self, want: Want) -> dict[ContactClass, list[ContactKey]]:
        if want.only:
            return self._held_for.setdefault(want.only, {})
        return self._waiting.setdefault((want.queue, want.channel), {})

    def _insert_contact(self, contact_id: str, at: ContactClass, key: ContactKey) -> None:
        self._contact_at[contact_id] = (at, key)
        insort(self._classes(at.want).setdefault(at, []), key)
        if at.want.only:
            held = self._held_in.setdefault(at.want.queue, {})
            insort(held.setdefault(at.want.channel, []), key)

    def _remove_contact(self, contact_id: str, at: ContactClass, key: ContactKey) -> None:
        del self._contact_at[contact_id]
        classes = self._classes(at.want)
        keys = classes[at]
        del keys[bisect_left(keys, key)]
        if not keys:
            del classes[at]
        if at.want.only:
            held = self._held_in[at.want.queue][at.want.channel]
            del held[bisect_left(held, key)]

    def place_agent(self, agent_id: str, now_us: int) -> bool:
        """Put the agent where it belongs now; returns whether it is free for anything.

        Touches the contacts of the state that wait differently for it: those that prefer the agent when it comes or goes, and
        those of a queue that is served by somebody again, or by nobody any more.
        """
        rank, serves = self._rank.get(agent_id, 0), self._serves.get(agent_id, ())
        place = agent_place(self._state.agent(agent_id), self.center, rank, serves, now_us)
        current = self._agent_at.get(agent_id)
        if current != place:
            if current is not None and current.open:
                self._leave_pools(agent_id, current)
            if place is not None:
                self._agent_at[agent_id] = place
                if place.open:
                    self._join_pools(agent_id, place)
                self._count(agent_id, current.status if current else "", place.status)
        return place is not None and bool(place.open)

    def _leave_pools(self, agent_id: str, place: AgentPlace) -> None:
        standing = place.standing
        for key_of, home in self._homes_of(agent_id, place):
            if home.seen < len(home.known):
                self._look_at_new_pools(agent_id, home)
            if home.orders:
                key = key_of(standing)
                for keys in home.orders:
                    del keys[bisect_left(keys, key)]
            for pool in home.others:
                pool.remove(standing)
            for free, by_delay, delay_ms in home.free:
                del free[agent_id]
                by_delay[delay_ms] -= 1

    def _join_pools(self, agent_id: str, place: AgentPlace) -> None:
        standing = place.standing
        for key_of, home in self._homes_of(agent_id, place):
            if home.seen < len(home.known):
                self._look_at_new_pools(agent_id, home)
            if home.orders:
                key = key_of(standing)
                for keys in home.orders:
                    insort(keys, key)
            for pool in home.others:
                pool.add(standing)
            for free, by_delay, delay_ms in home.free:
                free[agent_id] = None
                by_delay[delay_ms] += 1

    def _homes_of(self, agent_id: str, place: AgentPlace) -> list[tuple[KeyOf, Home]]:
        at, channels = (self._group[agent_id], place.outside, place.open), place.open
        found = self._homes.get(at)
        if found is None:
            found = self._homes[at] = []
            for queue, delay_ms, _ in self._served[agent_id]:
                free = []
                for channel in channels:
                    by_delay = self._free_by_delay.setdefault((queue, channel), {})
                    by_delay.setdefault(delay_ms, 0)
                    free.append((self._free.setdefault((queue, channel), {}), by_delay, delay_ms))
                rules = self.center.queues.get(queue)  # A queue that is gone has no pools.
                home = Home(channels, place.outside, self._known_pools.setdefault(queue, []), tuple(free))
                found.append((key_maker(rules.strategy if rules else ""), home))
        return found

    def _look_at_new_pools(self, agent_id: str, home: Home) -> None:
        for want, pool in home.known[home.seen :]:
            if want.channel in home.channels and self._suits(agent_id, want, outside=home.outside):
                if isinstance(pool, OrderedPool):
                    home.orders.append(pool.keys)
                else:
                    home.others.append(pool)
        home.seen = len(home.known)

    def _pool(self, want: Want) -> Pool:
        pools = self._pools.setdefault(want.queue, OrderedDict())
        pool = pools.get(want)
        if pool is not None:
            pools.move_to_end(want)
            return pool
        pool = pools[want] = new_pool(self.center.queues[want.queue].strategy, len(self._rank))
        for agent_id in self._free.get((want.queue, want.channel), ()):
            place = self._agent_at[agent_id]
            if self._suits(agent_id, want, outside=place.outside):
                pool.add(place.standing)
        known = self._known_pools.setdefault(want.queue, [])
        known.append((want, pool))
        if len(pools) > POOLS:
            pools.popitem(last=False)
            known[:] = pools.items()
            self._homes.clear()
        return pool

    def _count(self, agent_id: str, before: str, after: str) -> None:
        if before == after:
            return
        for counts in self._counts_of[agent_id]:
            if before:
                counts[before] -= 1
            counts[after] = counts.get(after, 0) + 1
        queues = self.center.agents[agent_id].queues
        serves = after not in NOT_SERVING
        if serves == (bool(before) and before not in NOT_SERVING):
            return
        change = 1 if serves else -1
        channels = self._serves[agent_id]
        if CALL in channels:
            self._serving_kinds[queues] = self._serving_kinds.get(queues, 0) + change
        touched = self._state.touched_contacts
        for queue in queues:
            for channel in channels:
                served = self._serving.get((queue, channel), 0)
                self._serving[queue, channel] = served + change
                if bool(served) != bool(served + change):
                    for concerned in self._concerned.get(queue, ()):
                        touched.update(dict.fromkeys(self.contacts_in(concerned)))
                        touched.update(self._apart.get(concerned, {}))
        touched.update(dict.fromkeys(self._prefer.get(agent_id, ())))

    # -- asking

    def waits(self, contact_id: str) -> bool:
        """Whether the contact is in the order of its queue."""
        return contact_id in self._contact_at

    def widens_us(self, contact_id: str) -> int:
        """When the contact has to be placed anew because more agents may take it; 0 when never."""
        return self._widens.get(contact_id, 0)

    def is_free(self, agent_id: str, channel: str = CALL) -> bool:
        """Whether the agent can be offered a contact of the channel."""
        place = self._agent_at.get(agent_id)
        return place is not None and channel in place.open

    def place_of(self, agent_id: str) -> AgentPlace:
        """Where an agent of the document stands."""
        return self._agent_at[agent_id]

    def suits(self, agent_id: str, contact_id: str) -> bool:
        """Whether the agent may take the waiting contact, if it were free."""
        at = self._contact_at.get(contact_id)
        return (
            at is not None
            and at[0].want.queue in self.center.agents[agent_id].queues
            and self._suits(agent_id, at[0].want, outside=self._agent_at[agent_id].outside)
        )

    def want_of(self, contact_id: str) -> Want | None:
        """What a waiting contact asks for."""
        at = self._contact_at.get(contact_id)
        return at[0].want if at else None

    def contacts_in(self, queue: str) -> Iterator[str]:
        """All contacts in the order of the queue, class by class."""
        waiting = [keys for (of, _), found in self._waiting.items() if of == queue for keys in found.values()]
        for keys in (*waiting, *self._held_in.get(queue, {}).values()):
            for _, contact_id in keys:
                yield contact_id

    def waiting(self, queue: str, channel: str = CALL) -> int:
        """How many contacts of the channel are in the order of the queue."""
        waiting = sum(len(keys) for keys in self._waiting.get((queue, channel), {}).values())
        return waiting + len(self._held_in.get(queue, {}).get(channel, ()))

    def ahead(self, contact: Contact) -> int:
        """How many waiting contacts of its queue and channel come before the contact."""
        key = contact_key(contact, self.center)
        waiting = self._waiting.get((contact.queue, contact.channel), {})
        ahead = sum(bisect_left(keys, key) for keys in waiting.values())
        return ahead + bisect_left(self._held_in.get(contact.queue, {}).get(contact.channel, ()), key)

    def count(self, queue: str, status: str) -> int:
        """How many agents of the queue stand so (see ``agent_place``)."""
        return self._status_counts.get(queue, {}).get(status, 0)

    def counts(self, queue: str) -> dict[str, int]:
        """How many agents of the queue stand how."""
        return self._status_counts.get(queue, {})

    def logged_in(self, queue: str) -> int:
        """How many agents of the queue are available, whatever they do."""
        counts = self._status_counts.get(queue, {})
        return sum(number for status, number in counts.items() if status not in ("offline", "break"))

    def serving(self, queue: str, channel: str = CALL) -> int:
        """How many agents of the queue take a contact of the channel now or soon: available, with a phone that can be reached."""
        return self._serving.get((queue, channel), 0)

    def unserved_since_us(self, queue: str, channel: str = CALL) -> int:
        """When the last agent who served the queue's contacts of the channel stopped; 0 when none ever did. A pass over the queue's agents: rare."""
        agents = (
            self._state.agent(a)
            for a, rules in self.center.agents.items()
            if queue in rules.queues and channel in self._serves[a]
        )
        return max((agent.served_until_us for agent in agents), default=0)

    def serving_kinds(self) -> Mapping[tuple[str, ...], int]:
        """How many agents serve their queues now, by the queues that they have."""
        return self._serving_kinds

    def pool_of(self, contact: Contact) -> Pool | None:
        """The free agents who may take the waiting contact; None when it waits for its preferred agent only."""
        at = self._contact_at.get(contact.contact_id)
        return None if at is None or at[0].want.only else self._pool(at[0].want)

    def free(self, want: Want) -> int:
        """How many agents of the queue are free for the channel, whatever they can do."""
        return len(self._free.get((want.queue, want.channel), ()))

    def free_without_line(self, want: Want) -> int:
        """How many free agents fit who are at a number outside that no line is free to. A pass over the free, while there is none."""
        if not want.inside:
            return 0
        anywhere = want._replace(inside=False)
        free = self._free.get((want.queue, want.channel), ())
        return sum(self._agent_at[a].outside and self._suits(a, anywhere, outside=True) for a in free)

    def free_later(self, want: Want) -> int:
        """How many free agents of the queue come in only after a longer wait."""
        by_delay = self._free_by_delay.get((want.queue, want.channel), {})
        return sum(number for delay_ms, number in by_delay.items() if delay_ms > want.reach_ms)

    def choice(self, contact: Contact) -> Choice:
        """What choosing an agent for the contact depends on beside the pool."""
        last = self._rank.get(self._state.turns.get(contact.queue, ""), -1)
        return Choice(contact.contact_id, contact.offers + 1, contact.tried, last)

    def best_agent(self, contact: Contact) -> str | None:
        """The free agent who should take the contact, by the strategy of its queue.

        Who has let it ring before is asked again only when everybody who is free has.
        """
        at = self._contact_at.get(contact.contact_id)
        if at is None:
            return None
        if only := at[0].want.only:
            lined = not (at[0].want.inside and self._agent_at[only].outside)
            return only if lined and self.is_free(only, contact.channel) else None
        return self._pool(at[0].want).best(self.choice(contact))

    def heads(self, agent_id: str) -> list[Head]:
        """The first contact of every class that the agent may take, each with its order for this agent."""
        shares = self.center.between_queues == "share"
        place, rank = self._agent_at[agent_id], self._channel_rank
        channels, outside = place.open, place.outside
        fits, down = self._fits[self._profile[agent_id]], self._state.nodes_down()
        found = []
        for queue, delay_ms, priority in self._served[agent_id]:
            for channel in channels:
                classes = self._waiting.get((queue, channel))
                if not classes:
                    continue
                turn = self._state.turn_of(queue) if shares else 0
                for (want, node), keys in classes.items():
                    if delay_ms > want.reach_ms or node in down or (want.inside and outside):
                        continue
                    can = fits.get(want.requirement)
                    if self._can(agent_id, want) if can is None else can:
                        found.append(Head(rank[channel], priority, turn, keys[0]))
        for at, keys in self._held_for.get(agent_id, {}).items():
            lined = not (at.want.inside and outside)
            if at.want.channel in channels and lined and self._state.node_up(at.node):
                queue = at.want.queue
                turn = self._state.turn_of(queue) if shares else 0
                priority = self.order(agent_id, queue).priority
                found.append(Head(rank[at.want.channel], priority, turn, keys[0]))
        return found

    def can_be_offered(self, contact_id: str) -> bool:
        """Whether the contact waits and its node answers."""
        at = self._contact_at.get(contact_id)
        return at is not None and self._state.node_up(at[0].node)

    # -- checking

    def problems(self, now_us: int) -> list[str]:
        """What is not where a new index would have it; entities whose time has just passed may be either way."""
        found = []
        for contact_id, contact in self._state.contacts.items():
            place = self.contact_place(contact, now_us)
            want = (place[0], contact_key(contact, self.center)) if place else None
            has = self._contact_at.get(contact_id)
            held = has is None and 0 < contact.hold_until_us <= now_us
            if has != want and not held and not 0 < self.widens_us(contact_id) <= now_us:
                found.append(f"contact {contact_id} is at {has}, should be at {want}")
        closed = self._contact_at.keys() - self._state.contacts.keys()
        found += [f"contact {contact_id} is indexed and not open" for contact_id in closed]
        for agent_id in self.center.agents:
            agent = self._state.agent(agent_id)
            stands = agent_place(agent, self.center, self._rank[agent_id], self._serves[agent_id], now_us)
            is_at = self._agent_at.get(agent_id)
            late = is_at is not None and is_at.status == "delayed" and agent.delay_until_us <= now_us
            if stands != is_at and not late:
                found.append(f"agent {agent_id} is at {is_at}, should be at {stands}")
        serving = [a for a, at in self._agent_at.items() if at.status not in NOT_SERVING]
        kinds = Counter(self.center.agents[a].queues for a in serving if CALL in self._serves[a])
        if kinds != Counter(self._serving_kinds):
            found.append(f"agents serve as {self._serving_kinds}, should as {dict(kinds)}")
        classes = [*self._waiting.values(), *self._held_for.values()]
        if len(self._contact_at) != sum(len(k) for c in classes for k in c.values()):
            found.append("orders of the waiting and their places differ in number")
        for pools in self._pools.values():
            for wanted, pool in pools.items():
                free = [
                    a
                    for a in self._free.get((wanted.queue, wanted.channel), ())
                    if self._suits(a, wanted, outside=self._agent_at[a].outside)
                ]
                if len(pool) != len(free):
                    found.append(f"pool of {wanted} has {len(pool)} agents, should have {sorted(free)}")
        return found
