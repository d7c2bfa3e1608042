"""A second opinion on the log: what every fact must look like, given only the facts before it and the document.

It knows nothing of the engine's state, its index or its timers. For each fact it asks what an auditor with the log in hand would ask:
is this offer for somebody who waits, to somebody who is free, with the queue, the skills and the phone that were asked for; does every
offer end once, every contact close once; do the milliseconds that a fact states agree with the time between facts; is nobody in
two talks. And it counts, for the key figures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import results
from services.routing.core.center import Center, QueueRules
from services.routing.core.requirement import parse_levels, satisfied

WRONG_AT_MOST = 50
"""How many findings are kept in words."""
WORK = ("offered", "ringing", "talking", "held", "wrap_up", "handling")
_FREE = frozenset({"idle", "handling", "unreachable", "own_call"})
FOLLOWS: dict[str, frozenset[str]] = {
    "idle": frozenset({"offered", "talking"}) | _FREE - {"idle"},
    "handling": frozenset({"offered", "talking"}) | _FREE - {"handling"},
    "offered": frozenset({"ringing", "talking", "closing"}) | _FREE,
    "ringing": frozenset({"talking", "closing"}) | _FREE,
    "closing": frozenset({"offered", "talking"}) | _FREE,
    # closing: a consulted colleague, who hears that the caller left (adr/0047).
    "talking": frozenset({"held", "wrap_up", "talking", "closing"}) | _FREE,
    "held": frozenset({"talking", "wrap_up"}) | _FREE,
    "wrap_up": frozenset({"talking"}) | _FREE,
    "unreachable": frozenset({"talking"}) | _FREE - {"unreachable"},
    "own_call": frozenset({"talking"}) | _FREE - {"own_call"},
}
"""What an agent may do next. Whatever FreeSWITCH reports as a talk is one."""


class Waiting(msgspec.Struct):
    """A contact as the log has it."""

    queue: str
    node: str
    skills: tuple[str, ...]
    preferred: str
    arrived_us: int
    since_us: int
    queued_us: int
    status: str = "waiting"
    offers: int = 0
    agent_id: str = ""
    answered: bool = False
    """By whomever, whatever happened afterwards."""
    consult: str = ""
    """The open offer to somebody who shall be asked."""
    channel: str = ""


class Person(msgspec.Struct):
    """An agent as the log has it."""

    presence: str = "offline"
    since_us: int = 0
    activity: str = "idle"
    activity_us: int = 0
    offer_id: str = ""
    contact_id: str = ""
    contacts: int = 0
    at_hand: dict[str, tuple[str, Fraction]] = {}
    """Contacts of other channels that the agent is offered or has: channel and share."""
    paid_us: int = 0
    spent_us: dict[str, int] = {}
    """Time by activity while not offline."""


class Figures(msgspec.Struct):
    """What is counted of a queue or an hour."""

    offered: int = 0
    results: Counter[str] = msgspec.field(default_factory=Counter)
    waits_ms: list[int] = []
    """Of those who were answered."""
    wait_ms: int = 0
    """Of all."""
    talk_ms: int = 0
    in_time: int = 0
    """Answered within 20 s."""
    most_waiting: int = 0


class Ledger:
    """Takes in the entries of a log one by one."""

    def __init__(self, center: Center) -> None:
        self.center = center
        self.broken: list[str] = []
        self.findings = 0
        self.facts: Counter[str] = Counter()
        self.offer_ends: Counter[str] = Counter()
        self.open: dict[str, Waiting] = {}
        self.offers: dict[str, f.OfferMade] = {}
        self.people: dict[str, Person] = {a: Person() for a in center.agents}
        self.down: set[str] = set()
        self.closed: dict[str, f.ContactClosed] = {}
        self.queues: defaultdict[str, Figures] = defaultdict(Figures)
        self.hours: defaultdict[int, Figures] = defaultdict(Figures)
        self._waiting_in: Counter[str] = Counter()
        self._began_us = self._now_us = 0
        self.slack_ms = 0
        """By how much a wait that queue has measured may differ from one that routing's clock gives."""

    def wrong(self, finding: str) -> None:
        """Note something that must not be."""
        self.findings += 1
        if len(self.broken) < WRONG_AT_MOST:
            self.broken.append(finding)

    def take(self, entry: f.Decided) -> None:
        """Take in one entry."""
        if entry.at_us < self._now_us:
            self.wrong(f"the log goes back from {self._now_us} to {entry.at_us}")
        self._began_us = self._began_us or entry.at_us
        self._now_us = entry.at_us
        for fact in entry.facts:
            kind = type(fact)
            self.facts[kind.__name__] += 1
            check = _CHECKS.get(kind)
            if check is not None:
                check(self, fact)

    def finish(self) -> None:
        """Say what must not be left over, and whether the books add up."""
        for contact_id, contact in self.open.items():
            self.wrong(f"{contact_id} is open for ever: {contact}")
        for offer in self.offers.values():
            self.wrong(f"{offer.offer_id} has no end")
        for agent_id, person in self.people.items():
            self._spend(person)
            if person.activity in WORK or person.at_hand:
                self.wrong(f"{agent_id} is stuck: {person}")
        queued, ends = sum(q.offered for q in self.queues.values()), Counter[str]()
        for figures in self.queues.values():
            ends.update(figures.results)
        if queued != ends.total() or queued != len(self.closed):
            self.wrong(f"{queued} contacts came, {len(self.closed)} closed, results: {ends}")
        if unknown := ends.keys() - set(results.RESULTS):
            self.wrong(f"results that nobody has defined: {unknown}")
        if self.facts["OfferMade"] != self.offer_ends.total():
            self.wrong(f"{self.facts['OfferMade']} offers have {self.offer_ends.total()} ends")

    def _figures(self, contact: Waiting, queue: str) -> tuple[Figures, Figures]:
        hour = (contact.arrived_us - self._began_us) // 3_600_000_000
        return self.queues[queue], self.hours[hour]

    def _count(self, contact: Waiting, by: int) -> None:
        self._waiting_in[contact.queue] += by
        figures = self.queues[contact.queue]
        if self._waiting_in[contact.queue] > figures.most_waiting:
            figures.most_waiting = self._waiting_in[contact.queue]

    # -- contacts

    def _queued(self, fact: f.ContactQueued) -> None:
        contact = self.open.get(fact.contact_id)
        queued_us = self._now_us if fact.requeued else fact.waiting_since_us
        if contact is None:
            if fact.requeued or fact.contact_id in self.closed:
                self.wrong(f"{fact} came out of nowhere")
            contact = self.open[fact.contact_id] = Waiting(
                fact.queue,
                fact.node,
                fact.skills,
                fact.preferred_agent,
                fact.waiting_since_us,
                fact.waiting_since_us,
                queued_us,
                channel=fact.channel,
            )
            if fact.no_leg and fact.waiting_since_us != self.closed[fact.callback_id].waiting_since_us:
                self.wrong(f"{fact} lost the place of {fact.callback_id}")
            for figures in self._figures(contact, fact.queue):
                figures.offered += 1
            return self._count(contact, +1)
        if not fact.requeued or fact.waiting_since_us != contact.since_us:
            self.wrong(f"{fact} lost the place that it had since {contact.since_us}")
        if contact.status == "waiting":
            self._count(contact, -1)
        elif contact.status == "offered":
            self.wrong(f"{fact} is offered")
        elif contact.channel:
            self._put_down(fact.contact_id, contact.agent_id)
        contact.status, contact.agent_id = "waiting", ""
        if fact.queue != contact.queue:
            old, new = self.queues[contact.queue], self.queues[fact.queue]
            old.offered -= 1
            new.offered += 1
        contact.queue, contact.queued_us = fact.queue, queued_us
        return self._count(contact, +1)

    def _transferred(self, fact: f.ContactTransferred) -> None:
        contact = self.open.get(fact.contact_id)
        if contact is None or contact.status != "talking" or contact.agent_id != fact.from_agent:
            self.wrong(f"{fact} of {contact}")
        elif fact.target_kind != "number":
            contact.since_us = fact.kept_waiting_since_us

    def _connected(self, fact: f.ContactConnected) -> None:
        contact, person = self.open.get(fact.contact_id), self.people[fact.agent_id]
        if contact is None:
            return self.wrong(f"{fact}: nobody waits")
        if contact.channel != fact.channel or (fact.channel and fact.contact_id not in person.at_hand):
            self.wrong(f"{fact}: {person} does not have {contact}")
        if not fact.channel and person.contact_id and person.contact_id != fact.contact_id:
            self.wrong(f"{fact}: the agent talks with {person.contact_id}")
        if contact.status == "waiting":
            self._count(contact, -1)
        elif contact.status == "offered":
            self.wrong(f"{fact}: an offer is still open")
        wait_ms = (self._now_us - contact.since_us) // 1000
        if abs(fact.wait_ms - wait_ms) > self.slack_ms:
            self.wrong(f"{fact}: waited {wait_ms} ms")
        contact.status, contact.agent_id, contact.answered = "talking", fact.agent_id, True
        person.contact_id = person.contact_id if fact.channel else fact.contact_id
        person.contacts += 1
        return None

    def _put_down(self, contact_id: str, agent_id: str) -> None:
        if self.people[agent_id].at_hand.pop(contact_id, None) is None:
            self.wrong(f"{agent_id} puts {contact_id} down and does not have it")

    def _closed(self, fact: f.ContactClosed) -> None:
        contact = self.open.pop(fact.contact_id, None)
        if contact is None or fact.contact_id in self.closed:
            return self.wrong(f"{fact} closes what is not open")
        self.closed[fact.contact_id] = fact
        if contact.status == "waiting":
            self._count(contact, -1)
        elif contact.status == "offered":
            self.wrong(f"{fact}: an offer is still open")
        elif contact.channel:
            self._put_down(fact.contact_id, contact.agent_id)
        talked = contact.answered
        if talked != (fact.result == results.ANSWERED) or fact.queue != contact.queue:
            self.wrong(f"{fact} closes {contact}")
        if not talked and fact.wait_ms != (self._now_us - contact.since_us) // 1000:
            self.wrong(f"{fact} waited since {contact.since_us}")
        for figures in self._figures(contact, fact.queue):
            figures.results[fact.result] += 1
            figures.wait_ms += fact.wait_ms
            figures.talk_ms += fact.talk_ms
            if talked:
                figures.waits_ms.append(fact.wait_ms)
                figures.in_time += fact.wait_ms <= 20_000
        return None

    # -- offers

    def _offered(self, fact: f.OfferMade) -> None:
        contact, person = self.open.get(fact.contact_id), self.people[fact.agent_id]
        rules = self.center.queues.get(fact.queue)
        if contact is None or (contact.status == "talking") != (fact.kind == "consult") or rules is None:
            return self.wrong(f"{fact}: not waiting: {contact}")
        if person.activity not in ("idle", "handling") or person.offer_id or person.presence == "offline":
            self.wrong(f"{fact} to {person}")
        if not self._has_room(fact, person):
            self.wrong(f"{fact} to {person}, who has no room")
        if fact.channel:
            person.at_hand = person.at_hand | {fact.contact_id: (fact.channel, Fraction(1, fact.share_of))}
        else:
            person.offer_id = fact.offer_id
        self.offers[fact.offer_id] = fact
        if fact.node in self.down and not fact.kind:
            self.wrong(f"{fact} on a node that is out of reach")
        if fact.extension != self.center.agents[fact.agent_id].extension:
            self.wrong(f"{fact}: another phone")
        if fact.kind == "consult":
            contact.consult = fact.offer_id
            return None
        again = fact.at_once > 1 and contact.status == "offered"
        if not (contact.status == "waiting" or again):
            self.wrong(f"{fact}: offered already")
        if contact.status == "waiting":
            self._count(contact, -1)
        contact.status = "offered"
        contact.offers += 1
        waited_ms = (self._now_us - contact.since_us) // 1000
        if (fact.queue, fact.node, fact.attempt, fact.waited_ms) != (
            contact.queue,
            contact.node,
            contact.offers,
            waited_ms,
        ):
            self.wrong(f"{fact} is for {contact}, waited {waited_ms}")
        if not fact.kind:
            agent = self.center.agents[fact.agent_id]
            if person.presence != "available" or fact.queue not in agent.queues:
                self.wrong(f"{fact} to {agent}, {person}")
            elif not self._may_take(fact.agent_id, contact, rules):
                self.wrong(f"{fact}: {agent} may not take {contact}")
        return None

    def _has_room(self, fact: f.OfferMade, person: Person) -> bool:
        channel, channels = fact.channel or "call", self.center.channels
        own = self.center.agents[fact.agent_id].capacity
        most = own.get(channel, 1 if channel == "call" else channels[channel].capacity)
        if most < 1 or (fact.channel and most != fact.share_of):
            return False
        counted = [
            share
            for known, share in person.at_hand.values()
            if known not in channels or channel not in channels[known].interrupted_by
        ]
        return not counted or sum(counted, Fraction(1, most)) <= 1

    def _may_take(self, agent_id: str, contact: Waiting, rules: QueueRules) -> bool:
        """Skills of the queue always, the contact's own for their time, the steps until they are over, and the agent's own delay."""
        agent = self.center.agents[agent_id]
        waited_ms = (self._now_us - contact.queued_us) / 1000
        preferred = self.people.get(contact.preferred)
        if (
            waited_ms < rules.preferred_ms
            and contact.preferred == agent_id
            and preferred is not None
            and preferred.presence == "available"
        ):
            return True
        wanted = dict(rules.skills)
        if not rules.skills_for_ms or waited_ms < rules.skills_for_ms:
            for skill, level in parse_levels(contact.skills).items():
                wanted[skill] = max(level, wanted.get(skill, 0))
        if any(agent.skills.get(skill, 0) < level for skill, level in wanted.items()):
            return False
        until_ms = 0
        for step in rules.steps:
            until_ms += step.for_ms
            if waited_ms < until_ms:
                if not satisfied(agent.skills, step.requirement):
                    return False
                break
        order = agent.orders.get(contact.queue)
        return order is None or waited_ms >= order.delay_ms

    def _offer_ended(self, fact: f.OfferEnded) -> None:
        offer = self.offers.pop(fact.offer_id, None)
        if offer is None or (offer.contact_id, offer.agent_id) != (fact.contact_id, fact.agent_id):
            return self.wrong(f"{fact} ends {offer}")
        if fact.outcome not in f.OUTCOMES:
            self.wrong(f"{fact}: nobody has defined the outcome")
        self.offer_ends[fact.outcome] += 1
        person = self.people[fact.agent_id]
        if not offer.channel:
            person.offer_id = ""
        elif fact.outcome != "accepted":
            self._put_down(fact.contact_id, fact.agent_id)
        contact = self.open[fact.contact_id]
        if contact.consult == fact.offer_id:
            contact.consult = ""
            if fact.outcome == "accepted":
                person.contact_id = fact.contact_id
            return None
        if not any(o.contact_id == fact.contact_id for o in map(self.offers.get, self._rings(offer)) if o):
            contact.status = "waiting"
            self._count(contact, +1)
        return None

    def _rings(self, offer: f.OfferMade) -> list[str]:
        """Other offers that may still be open for the contact: those made together have ids that follow each other."""
        if offer.at_once == 1:
            return []
        stem, _, number = offer.offer_id.rpartition("-")
        return [f"{stem}-{int(number) + k}" for k in range(1 - offer.at_once, offer.at_once)]

    # -- agents

    def _spend(self, person: Person) -> None:
        if person.presence == "offline" and person.activity not in WORK:
            person.activity_us = self._now_us
            return
        spent_us = self._now_us - person.activity_us
        axis = person.activity
        if axis not in WORK and person.presence == "break":
            axis = "break"
        person.spent_us[axis] = person.spent_us.get(axis, 0) + spent_us
        person.paid_us += spent_us
        person.activity_us = self._now_us

    def _presence(self, fact: f.AgentPresenceChanged) -> None:
        person = self.people[fact.agent_id]
        if person.presence != fact.previous:
            self.wrong(f"{fact} of {person}")
        if person.since_us and fact.previous_ms != (self._now_us - person.since_us) // 1000:
            self.wrong(f"{fact}: since {person.since_us}")
        self._spend(person)
        person.presence, person.since_us = fact.presence, self._now_us

    def _activity(self, fact: f.AgentActivityChanged) -> None:
        person = self.people[fact.agent_id]
        if fact.previous != person.activity or fact.activity not in FOLLOWS[person.activity]:
            self.wrong(f"{fact} follows {person.activity}")
        if fact.activity in ("offered", "ringing") and not person.offer_id:
            self.wrong(f"{fact} without an offer")
        if (fact.activity == "handling") and not person.at_hand:
            self.wrong(f"{fact} has nothing at hand")
        if fact.activity in ("talking", "held") and person.contact_id != fact.contact_id:
            self.wrong(f"{fact}, talks with {person.contact_id}")
        self._spend(person)
        person.activity = fact.activity
        if fact.activity not in ("talking", "held"):
            person.contact_id = ""

    def _wrap_up_ended(self, fact: f.WrapUpEnded) -> None:
        person = self.people[fact.agent_id]
        if person.activity != "wrap_up" and fact.by != "completed":
            self.wrong(f"{fact} of {person}")

    def _node(self, fact: f.NodeChanged) -> None:
        (self.down.discard if fact.up else self.down.add)(fact.node)


_CHECKS: dict[type[Any], Callable[[Ledger, Any], None]] = {
    f.ContactQueued: Ledger._queued,
    f.ContactConnected: Ledger._connected,
    f.ContactTransferred: Ledger._transferred,
    f.ContactClosed: Ledger._closed,
    f.OfferMade: Ledger._offered,
    f.OfferEnded: Ledger._offer_ended,
    f.AgentPresenceChanged: Ledger._presence,
    f.AgentActivityChanged: Ledger._activity,
    f.WrapUpEnded: Ledger._wrap_up_ended,
    f.NodeChanged: Ledger._node,
}
