"""The state of one tenant: a fold of the facts in its log.

``State.apply`` is the only thing that changes it, in the running engine as in a replay, so both arrive at the same
state. Nothing in here depends on the configuration in force: a replay under a newer center document must not rewrite
what happened under an older one. What the entities mean for matching (indexes, timers) is derived elsewhere.

Three axes describe an agent, each with its own facts: presence (what the person says), activity (what the system
sees), and the contact at hand. The phone's registration is kept beside them, because it may be lost during a talk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.routing.core import facts as f
from services.routing.core.capacity import ABLE, WHOLE, load
from services.routing.core.center import CALL, CAUSES
from services.routing.core.history import History
from services.routing.core.memory import Memory
from services.routing.core.records import (
    IN_TALK,
    OFFERED,
    OUTBOUND,
    WORKING,
    Agent,
    AtHand,
    Contact,
    Left,
    Node,
    Offer,
    left_key,
)
from services.routing.core.toll import payers_of

# Late reports about closed contacts follow within seconds; a busy tenant closes a few contacts a second.
CLOSED_REMEMBERED = 2048
# Callers who hung up and may call again within minutes.
LEFT_REMEMBERED = 4096
# Thirty channels with calls of three minutes have a free one every six seconds: then one try in vain, or two, for each of them.
NO_LINE_MS = 3_000
# Who logs in again within this time goes on with the same shift: counts of the day survive a crash of the browser.
SHIFT_GAP_US = 3_600_000_000


class State(Memory):
    """A tenant's memory, and how each fact changes it."""

    def replay(self, entry: f.Decided) -> None:
        """Take in one entry of the log."""
        self.begin(entry.at_us)
        for fact in entry.facts:
            self.apply(fact)
        self.end(entry.input_id, entry.input_seq)
        self.touched_contacts.clear()
        self.touched_agents.clear()
        self.touched_offers.clear()

    def apply(self, fact: f.Fact) -> None:
        """Take in one fact at the time given to ``begin``."""
        _APPLY[type(fact)](self, fact)

    def _agent(self, agent_id: str) -> Agent:
        self.touched_agents[agent_id] = None
        agent = self.agents.get(agent_id)
        if agent is None:
            agent = self.agents[agent_id] = Agent(
                agent_id, presence_since_us=self.at_us, activity_since_us=self.at_us
            )
        return agent

    def _owner_changed(self, fact: f.OwnerChanged) -> None:
        self.owner, self.epoch = fact.owner, fact.epoch

    def _contact_queued(self, fact: f.ContactQueued) -> None:
        old = self.contacts.get(fact.contact_id)
        self.closed.pop(fact.contact_id, None)
        self.touched_contacts[fact.contact_id] = None
        self.contacts[fact.contact_id] = Contact(
            contact_id=fact.contact_id,
            queue=fact.queue,
            node=fact.node,
            priority=fact.priority,
            skills=fact.skills,
            language=fact.language,
            ani=fact.ani,
            caller_name=fact.caller_name,
            entry_point=fact.entry_point,
            customer=fact.customer,
            waiting_since_us=fact.waiting_since_us,
            started_at_us=fact.started_at_us,
            queued_at_us=self.at_us if fact.requeued else fact.waiting_since_us,
            offers=old.offers if old else 0,
            tried=old.tried if old and old.queue == fact.queue else (),
            service_class=fact.service_class,
            preferred_agent=fact.preferred_agent,
            preferred_ms=fact.preferred_ms,
            no_answer=fact.no_answer,
            returned_ms=fact.returned_ms,
            hold_until_us=fact.not_before_us,
            kind=fact.kind,
            callback_id=fact.callback_id,
            number=fact.number,
            no_leg=fact.no_leg,
            attempts=fact.attempts,
            serial=fact.serial,
            expires_us=fact.expires_us,
            answered_at_us=old.answered_at_us if old else 0,
            channel=fact.channel or CALL,
        )
        if fact.no_leg and fact.callback_id:
            self.callbacks[fact.callback_id] = fact.contact_id
        if old is not None:
            self._remember_talks(old, self.contacts[fact.contact_id])
        if fact.returned_ms:
            self.left.pop(left_key(fact.queue, fact.ani), None)

    def _callback_answered(self, fact: f.CallbackAnswered) -> None:
        self.touched_contacts[fact.contact_id] = None
        contact = self.contacts[fact.contact_id]
        contact.no_leg, contact.answered_at_us = False, self.at_us
        for offer_id in contact.rings:  # from here on it is an offer as any other, with its whole ring time
            self.offers[offer_id].made_at_us, self.offers[offer_id].dial_ms = self.at_us, 0
            self.touched_offers[offer_id] = None
        self.callbacks.pop(fact.callback_id, None)

    def _callback_changed(self, fact: f.CallbackChanged) -> None:
        self.touched_contacts[fact.contact_id] = None
        contact = self.contacts[fact.contact_id]
        contact.hold_until_us, contact.number = fact.not_before_us, fact.number

    def _contact_overflowed(self, fact: f.ContactOverflowed) -> None:
        if fact.action == "callback":
            self.touched_contacts[fact.contact_id] = None
            self.contacts[fact.contact_id].leaving = fact.reason

    def _remember_talks(self, old: Contact, new: Contact) -> None:
        """A contact that waits again keeps what it talked, and the wait that ended with the first answer."""
        new.wait_ms, new.transfers, new.held_ms = old.wait_ms, old.transfers, old.held_ms
        new.talked_ms, new.answered_by, new.answered_offer = (
            old.talked_ms,
            old.answered_by,
            old.answered_offer,
        )
        if old.status == "talking":
            new.talked_ms += self._talk_ended(old)
            new.answered_by, new.answered_offer = old.agent_id, old.offer_id
            if old.channel != CALL:  # Who gave it back has seen it: others come first.
                new.tried = tuple(dict.fromkeys((*new.tried, old.agent_id)))
                self._let_go(old)

    def _offer_made(self, fact: f.OfferMade) -> None:
        self.offer_count += 1
        self.touched_offers[fact.offer_id] = None
        self.touched_contacts[fact.contact_id] = None
        self.offers[fact.offer_id] = Offer(
            fact.offer_id,
            fact.contact_id,
            fact.agent_id,
            fact.queue,
            fact.node,
            fact.ring_ms,
            self.at_us,
            fact.kind,
            fact.by_agent,
            fact.dial_ms,
            fact.connect_ms,
            fact.channel or CALL,
        )
        contact = self.contacts[fact.contact_id]
        if fact.kind == "consult":
            # Its conversation goes on; the order takes nobody's turn.
            contact.consult_offer = fact.offer_id
            self._agent(fact.agent_id).offer_id = fact.offer_id
            return
        contact.status, contact.offer_id, contact.agent_id = "offered", fact.offer_id, fact.agent_id
        contact.rings = (*contact.rings, fact.offer_id)
        contact.offers = fact.attempt
        if fact.channel:
            one = AtHand(fact.channel, fact.queue, fact.share_of or 1, self.at_us, fact.offer_id)
            self._hand(fact.agent_id, fact.contact_id, one)
        else:
            self._agent(fact.agent_id).offer_id = fact.offer_id
        if fact.kind not in ("", "callback"):
            return  # Somebody's wish, and no turn of the queue's.
        self.turns[fact.queue] = fact.agent_id
        if fact.attempt == 1:
            self.share_now = self.turn_of(fact.queue)
            self.shares[fact.queue] = self.share_now + 1

    def _offer_ended(self, fact: f.OfferEnded) -> None:
        self.touched_offers[fact.offer_id] = None
        offer = self.offers.pop(fact.offer_id, None)
        agent = self._agent(fact.agent_id)
        if offer is None or offer.channel == CALL:
            agent.offer_id = ""
        elif fact.outcome != "accepted":
            self._hand(fact.agent_id, fact.contact_id, None)
        if fact.outcome == "accepted":
            agent.missed, agent.misses = 0, {}
        elif fact.outcome == "no_answer":
            agent.missed += 1
        elif fact.outcome in CAUSES:
            agent.misses = {**agent.misses, fact.outcome: agent.misses.get(fact.outcome, 0) + 1}
        if fact.outcome == f.NO_LINE:
            if offer is not None:
                self._without_lines(offer.node)
        elif fact.outcome not in ("accepted", "withdrawn"):
            # Entries from before delays were configured say nothing about it: 0 is the delay of then, -1 is none.
            delay_ms = fact.delay_ms or self.policy.agent_delay_ms
            agent.delay_until_us = self.at_us + max(0, delay_ms) * 1000
        contact = self.contacts.get(fact.contact_id)
        if contact is not None and contact.consult_offer == fact.offer_id:
            contact.consult_offer = ""
            if fact.outcome == "accepted":
                contact.consult_agent = fact.agent_id
            return
        if contact is None or fact.offer_id not in contact.rings:
            return
        self.touched_contacts[fact.contact_id] = None
        contact.rings = tuple(o for o in contact.rings if o != fact.offer_id)
        if fact.outcome not in ("accepted", "withdrawn") and fact.agent_id not in contact.tried:
            contact.tried = (*contact.tried, fact.agent_id)
        if contact.rings:
            if contact.offer_id == fact.offer_id:
                other = self.offers[contact.rings[-1]]
                contact.offer_id, contact.agent_id = other.offer_id, other.agent_id
            return
        contact.status, contact.offer_id, contact.agent_id = "waiting", "", ""
        if fact.outcome == "withdrawn":
            # queue gave it up because the caller seems to leave: ContactGone follows, or else the caller is still there.
            contact.hold_until_us = self.at_us + self.policy.contact_delay_ms * 1000

    def _without_lines(self, node: str) -> None:
        """The trunks of a node are full. That is no agent's doing: those at phones go on, the others are not tried one by one."""
        self.no_lines[node] = self.at_us + NO_LINE_MS * 1000
        waiting = (c.contact_id for c in self.contacts.values() if c.node == node and c.channel == CALL)
        self.touched_contacts.update(dict.fromkeys(waiting))

    def _contact_connected(self, fact: f.ContactConnected) -> None:
        self.touched_contacts[fact.contact_id] = None
        contact = self.contacts[fact.contact_id]
        if contact.status == "talking":
            contact.talked_ms += self._talk_ended(contact)
            contact.transfers += contact.consult_agent == fact.agent_id
            contact.answered_by, contact.answered_offer = contact.agent_id, contact.offer_id
        elif not contact.answered_by:
            contact.wait_ms = fact.wait_ms
        if contact.status != "talking" and contact.channel == CALL and contact.kind != OUTBOUND:
            self._history(fact.queue).answered(fact.wait_ms, self.at_us)
        contact.status, contact.offer_id, contact.agent_id = "talking", fact.offer_id, fact.agent_id
        contact.consult_agent, contact.connected_at_us = "", self.at_us
        agent = self._agent(fact.agent_id)
        agent.contacts += 1
        if (one := agent.at_hand.get(fact.contact_id)) is not None:
            # As with calls, whoever has just got something comes after those who have not.
            agent.idle_since_us = self.at_us
            taken = AtHand(one.channel, one.queue, one.share_of, self.at_us)
            self._hand(fact.agent_id, fact.contact_id, taken)
        else:
            agent.placed = contact.kind == OUTBOUND

    def _contact_transferred(self, fact: f.ContactTransferred) -> None:
        self.contacts[fact.contact_id].transfers += 1

    def _priority_changed(self, fact: f.ContactPriorityChanged) -> None:
        self.touched_contacts[fact.contact_id] = None
        self.contacts[fact.contact_id].priority = fact.priority

    def _contact_closed(self, fact: f.ContactClosed) -> None:
        self.touched_contacts[fact.contact_id] = None
        contact = self.contacts.pop(fact.contact_id, None)
        if contact is not None and contact.status == "talking":
            self._talk_ended(contact)
            self._let_go(contact)
        elif (
            contact is not None
            and fact.outcome == "abandoned"
            and not contact.answered_by
            and contact.channel == CALL
        ):
            self._history(fact.queue).abandoned(fact.wait_ms)
            if contact.ani and not contact.returned_ms:
                key = left_key(fact.queue, contact.ani)
                self.left.pop(key, None)
                self.left[key] = Left(contact.waiting_since_us, self.at_us)
                if len(self.left) > LEFT_REMEMBERED:
                    del self.left[next(iter(self.left))]
        if contact is not None and contact.no_leg:
            self.callbacks.pop(contact.callback_id, None)
        self.tolls.ended(fact.contact_id)
        self.closed[fact.contact_id] = fact.outcome
        if len(self.closed) > CLOSED_REMEMBERED:
            del self.closed[next(iter(self.closed))]

    def _presence_changed(self, fact: f.AgentPresenceChanged) -> None:
        agent = self._agent(fact.agent_id)
        if agent.presence == "offline" and fact.presence != "offline":
            gone_us = self.at_us - agent.offline_since_us
            if not agent.shift_since_us or gone_us > SHIFT_GAP_US:
                agent.shift_since_us, agent.contacts, agent.work_us = self.at_us, 0, 0
                agent.counted_us = self.at_us
        elif fact.presence == "offline":
            agent.offline_since_us = self.at_us
        leaves = agent.presence == "available" and fact.presence != "available"
        if leaves and agent.activity != "unreachable":
            agent.served_until_us = self.at_us
        agent.presence, agent.reason, agent.presence_since_us = fact.presence, fact.reason, self.at_us
        if fact.presence == "available":
            agent.missed, agent.misses = 0, {}
            agent.idle_since_us = self.at_us

    def _activity_changed(self, fact: f.AgentActivityChanged) -> None:
        agent = self._agent(fact.agent_id)
        if fact.activity in ABLE and agent.activity not in OFFERED:
            agent.idle_since_us = self.at_us
        if agent.activity in WORKING:
            agent.work_us += max(0, self.at_us - agent.activity_since_us)
        elif agent.at_hand:
            self._count_shares(agent)
        if contact := self.contacts.get(agent.contact_id):
            if agent.activity == "held":
                contact.held_ms += max(0, self.at_us - agent.activity_since_us) // 1000
            if contact.consult_agent == fact.agent_id and fact.activity not in IN_TALK:
                contact.consult_agent = ""
        loses_phone = agent.activity != "unreachable" and fact.activity == "unreachable"
        if loses_phone and agent.presence == "available":
            agent.served_until_us = self.at_us
        agent.activity, agent.activity_since_us = fact.activity, self.at_us
        agent.contact_id, agent.queue = fact.contact_id, fact.queue
        agent.limit_ms = fact.limit_ms
        if fact.activity not in WORKING:
            agent.wants_wrap_up = False
        agent.disposition = ""

    def _hand(self, agent_id: str, contact_id: str, one: AtHand | None) -> None:
        """Put a contact of another channel into the agent's hands, or take it away."""
        agent = self._agent(agent_id)
        if agent.activity not in WORKING:  # Who talks works as a whole already.
            self._count_shares(agent)
        at_hand = agent.at_hand | ({} if one is None else {contact_id: one})
        if one is None:
            at_hand.pop(contact_id, None)
        agent.at_hand = at_hand

    def _let_go(self, contact: Contact) -> None:
        if contact.channel != CALL:
            self._hand(contact.agent_id, contact.contact_id, None)

    def _count_shares(self, agent: Agent) -> None:
        if agent.at_hand:
            since_us = max(agent.activity_since_us, agent.counted_us)
            agent.work_us += max(0, self.at_us - since_us) * min(load(agent), WHOLE) // WHOLE
        agent.counted_us = self.at_us

    def _own_call_changed(self, fact: f.AgentOwnCallChanged) -> None:
        agent = self._agent(fact.agent_id)
        legs = {leg: node for leg, node in agent.own_legs.items() if leg != fact.leg_id}
        agent.own_legs = legs | {fact.leg_id: fact.node} if fact.began else legs

    def _wrap_up_changed(self, fact: f.WrapUpChanged) -> None:
        agent = self._agent(fact.agent_id)
        if fact.action == "requested":
            agent.wants_wrap_up = True
        elif fact.action == "extended":
            agent.limit_ms = fact.limit_ms
        elif fact.action == "disposed":
            agent.disposition = fact.disposition

    def _phone_changed(self, fact: f.AgentPhoneChanged) -> None:
        agent = self._agent(fact.agent_id)
        agent.registered, agent.node, agent.also = fact.registered, fact.node, fact.also

    def _seat_changed(self, fact: f.AgentSeatChanged) -> None:
        agent = self._agent(fact.agent_id)
        if self.seats.get(agent.seat) == fact.agent_id:
            del self.seats[agent.seat]
        agent.seat = fact.extension
        if fact.extension:
            self.seats[fact.extension] = fact.agent_id
        # What was known of the former phone says nothing of this one.
        agent.registered, agent.node, agent.also, agent.own_legs = True, fact.node, (), {}
        agent.pin_failures = agent.locked_until_us = 0

    def _login_refused(self, fact: f.AgentLoginRefused) -> None:
        agent = self._agent(fact.agent_id)
        agent.pin_failures = 0 if fact.locked_ms else fact.attempts
        agent.locked_until_us = self.at_us + fact.locked_ms * 1000 if fact.locked_ms else 0

    def _node_changed(self, fact: f.NodeChanged) -> None:
        self.nodes[fact.node] = Node(fact.up, self.at_us)
        # Rare, and everything on the node is affected: a scan is right here.
        self.touched_contacts.update(
            (c.contact_id, None) for c in self.contacts.values() if c.node == fact.node
        )
        self.touched_offers.update((o.offer_id, None) for o in self.offers.values() if o.node == fact.node)
        self.touched_agents.update(
            (a.agent_id, None) for a in self.agents.values() if fact.node in (a.node, *a.also)
        )

    def _node_draining(self, fact: f.NodeDraining) -> None:
        self.draining.pop(fact.node, None)
        if fact.draining:
            self.draining[fact.node] = fact.since_us

    def _contact_moved(self, fact: f.ContactMoved) -> None:
        self.touched_contacts[fact.contact_id] = None
        self.contacts[fact.contact_id].node = fact.node

    def _wrap_up_ended(self, fact: f.WrapUpEnded) -> None:
        if fact.queue and fact.by != "completed" and not self.agent(fact.agent_id).placed:
            self._history(fact.queue).wrapped_up(fact.wrap_up_ms, self.at_us)

    def _talk_ended(self, contact: Contact) -> int:
        """Note a conversation that is over and return its ms: by our own clock, for some ends nobody sees."""
        ms = max(0, self.at_us - contact.connected_at_us) // 1000
        if contact.channel == CALL and contact.kind != OUTBOUND:
            self._history(contact.queue).talked(ms, self.at_us)
        return ms

    def _history(self, queue: str) -> History:
        return self.history.setdefault(queue, History())

    def _number_dialled(self, fact: f.NumberDialled) -> None:
        goes_on = fact.purpose != "callback"
        self.tolls.dialled(fact.contact_id, payers_of(fact.agent_id, fact.team), self.at_us, goes_on=goes_on)

    def _number_ended(self, fact: f.NumberEnded) -> None:
        self.tolls.ended(fact.contact_id)

    def _nothing(self, fact: f.Fact) -> None:
        """The fact's consequences are facts of their own in the same entry."""


_APPLY: dict[type[f.Fact], Callable[[State, Any], None]] = {
    f.OwnerChanged: State._owner_changed,
    f.ContactQueued: State._contact_queued,
    f.OfferMade: State._offer_made,
    f.OfferEnded: State._offer_ended,
    f.ContactConnected: State._contact_connected,
    f.ContactOverflowed: State._contact_overflowed,
    f.ContactClosed: State._contact_closed,
    f.AgentPresenceChanged: State._presence_changed,
    f.AgentActivityChanged: State._activity_changed,
    f.WrapUpEnded: State._wrap_up_ended,
    f.AgentPhoneChanged: State._phone_changed,
    f.AgentSeatChanged: State._seat_changed,
    f.AgentLoginRefused: State._login_refused,
    f.NodeChanged: State._node_changed,
    f.ContactPriorityChanged: State._priority_changed,
    f.AgentOwnCallChanged: State._own_call_changed,
    f.WrapUpChanged: State._wrap_up_changed,
    f.ContactTransferred: State._contact_transferred,
    f.TransferRefused: State._nothing,
    f.CallbackAnswered: State._callback_answered,
    f.CallbackChanged: State._callback_changed,
    f.NumberDialled: State._number_dialled,
    f.NumberEnded: State._number_ended,
    f.CallRefused: State._nothing,
    f.NodeDraining: State._node_draining,
    f.ContactMoved: State._contact_moved,
}
