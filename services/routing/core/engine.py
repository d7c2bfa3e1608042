"""The engine: one tenant's routing as a pure function of its inputs.

Theory of operation
-------------------
``handle(input)`` goes through four steps, always in this order:

1. *Recognise.* An input whose id the log already has is dropped: bus deliveries repeat, decisions must not.
2. *Decide.* One handler looks at the state and emits facts. ``_emit`` applies a fact to the state at once, so the next
   decision of the same input sees it. The state is a fold of the facts (``state.State``); nothing else changes it.
3. *Match.* Only what the facts touched is placed anew in the index and, if it waits or is free now, matched. Before
   the input no free agent could take any waiting contact (``check`` says so), therefore a new pair has to contain a
   contact or an agent that was touched: no scan is needed.
4. *Derive timers.* The wanted time of every timer follows from the state, the configuration and the input's time
   (``_wanted``). What differs from what is armed becomes ``ArmTimer`` or ``CancelTimer``. A timer that fires late, twice
   or for something that is over finds that it is not wanted (now) and does nothing.

All facts of one input become one entry of the log. The caller appends it before anything else that ``handle`` returned
is done; when the append is refused the engine is thrown away, because its state is ahead of the log, and built again.

Rules worth knowing:

* An offer has exactly one end, and whoever's report is appended first decides which. Later reports about it are
  ignored, with one exception: ``AgentBridged`` says that two people talk, and no bookkeeping may cut a conversation.
  The contact is then joined to that agent; another offer that it may have got meanwhile is withdrawn.
* The axes of an agent are independent. Someone who goes on a break or logs out while the phone rings or during a talk
  finishes that; there is just no next offer.
* While the connection to a node is down its contacts keep their places, are offered to nobody and run into no limit;
  its open offers stay reserved and get the grace anew when it is back.
* Several agents may be offered the same contact at once (ring_all): each offer is one of its own, with its own end. The
  first to answer has the contact and the others are withdrawn; the contact waits again when none of them is left.
* Contacts of other channels than calls are taken up, given back and completed by wishes (``channels``). An agent has several at once
  (``capacity``); the activity tells of calls, ``handling`` that there is something else at hand.
* A waiting time starts when the leg was parked and is never started again: not by a failed offer, an overflow to
  another queue, or a new owner. Only the limit of the longest wait counts from the entry into the present queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.routing.core import inputs as i
from services.routing.core import results
from services.routing.core.audit import problems
from services.routing.core.capacity import ABLE
from services.routing.core.center import CALL, Center, Policy
from services.routing.core.explain import explain
from services.routing.core.places import Head, contact_key
from services.routing.core.records import CLOSING, Contact, Offer
from services.routing.core.seats import Seats
from services.routing.core.state import State

Timer = tuple[str, str]
"""Kind (offer, limit, hold, widen, wrap_up, closing, delay) and the id of the offer, contact or agent."""


_OF_CONTACTS = ("limit", "hold", "widen")
_OF_AGENTS = ("wrap_up", CLOSING, "delay")


class Engine(Seats):
    """Routing of one tenant. Not thread-safe; ``handle`` is the only method that changes anything."""

    def __init__(self, center: Center, policy: Policy, state: State | None = None) -> None:
        self.timers: dict[Timer, int] = {}
        """Armed timers and their times."""
        super().__init__(center, policy, state or State(policy))

    def handle(self, inp: i.AnyInput) -> list[i.Output]:
        """Take one input in and return what is to be done, in order; see the top of this file."""
        if inp.input_id and self.state.has_seen(inp.input_id):
            return self._repeated(inp)
        self._now_us = max(inp.at_us, self.state.at_us, self._now_us)
        self._facts, self._notes, self._answer = [], [], None
        if isinstance(inp, i.Observation) and self._is_no_call(inp):
            self._ignore("contact is no call", contact_id=getattr(inp, "contact_id", ""))
        else:
            _HANDLERS[type(inp)](self, inp)
        timers = self._match()
        outputs: list[i.Output] = []
        if self._facts:
            self.state.end(inp.input_id, inp.input_seq)
            outputs.append(i.Decide(tuple(self._facts)))
        outputs += timers
        if self._answer:
            outputs.append(self._answered(*self._answer))
        return outputs + self._notes

    def _is_no_call(self, inp: i.AnyInput) -> bool:
        contact = self.state.contacts.get(getattr(inp, "contact_id", ""))
        return contact is not None and contact.channel != CALL

    def check(self) -> list[str]:
        """Every broken invariant, in words; an empty list is what should be. For tests, simulations and staging."""
        return problems(self.state, self.index, self._now_us) + self._timer_problems()

    # -- timers

    def _wanted(self, timer: Timer) -> int | None:
        """When the timer has to fire, None when it has not."""
        kind, entity_id = timer
        if kind == "offer":
            return self._offer_expires_us(self.state.offers.get(entity_id))
        if kind in ("limit", "hold", "widen"):
            contact = self.state.contacts.get(entity_id)
            if contact is None or contact.status != "waiting":
                return None
            if kind == "hold":
                return contact.hold_until_us if contact.hold_until_us > self._now_us else None
            if kind == "widen":
                return self.index.widens_us(entity_id) or None
            limit = self._limit(contact)
            return limit[0] if limit else None
        agent = self.state.agent(entity_id)
        if kind == "delay":
            free = agent.activity in ABLE and agent.delay_until_us > self._now_us
            return agent.delay_until_us if free and entity_id in self.center.agents else None
        if agent.activity != kind:
            return None
        if kind == CLOSING:
            return agent.activity_since_us + agent.limit_ms * 1000
        rules = self.center.queues.get(agent.queue)
        limit_ms = agent.limit_ms or (rules.wrap_up_ms if rules else 0)
        return agent.activity_since_us + limit_ms * 1000

    def _offer_expires_us(self, offer: Offer | None) -> int | None:
        if offer is None:
            return None
        if offer.channel != CALL:
            return offer.made_at_us + offer.ring_ms * 1000  # Taken up here: there is no report to wait for.
        if not self.state.node_up(offer.node):
            return None
        grace_us = self.policy.offer_grace_ms * 1000
        node = self.state.nodes.get(offer.node)
        again_us = node.since_us + grace_us if node else 0
        open_ms = offer.ring_ms + offer.dial_ms + offer.connect_ms
        return max(offer.made_at_us + open_ms * 1000 + grace_us, again_us)

    def _timer_fired(self, inp: i.TimerFired) -> None:
        kind, entity_id = inp.timer
        self.timers.pop(inp.timer, None)
        due_us = self._wanted(inp.timer)
        if kind == "offer":
            self.state.touched_offers[entity_id] = None
        elif kind in ("limit", "hold", "widen"):
            self.state.touched_contacts[entity_id] = None
        else:
            self.state.touched_agents[entity_id] = None
        if due_us is None or due_us > self._now_us:
            return  # over, or not yet: placing the entity anew arms what is still wanted
        if kind == "offer":
            offer = self.state.offers[entity_id]
            rang_ms = self._ms_since(offer.made_at_us)
            if offer.channel == CALL:
                self._end_offer(offer, "expired", "nobody_reported", rang_ms)
            else:
                self._end_offer(offer, "no_answer", "", rang_ms)
        elif kind == "limit":
            limit = self._limit(self.state.contacts[entity_id])
            assert limit is not None
            if limit[1] == "expired":
                self._close(
                    self.state.contacts[entity_id],
                    "callback",
                    result=results.CALLBACK_EXPIRED,
                    ended_by="system",
                    cause="expired",
                )
            else:
                self._overflow(entity_id, limit[1])
        elif kind == "wrap_up":
            self._end_wrap_up(entity_id, self.state.agent(entity_id).disposition or "timeout", "timeout")
        elif kind == CLOSING:
            self._set_free(entity_id)

    def _sync(self, kinds: tuple[str, ...], entity_id: str, outputs: list[i.Output]) -> None:
        for kind in kinds:
            timer = (kind, entity_id)
            wanted, armed = self._wanted(timer), self.timers.get(timer)
            if wanted == armed:
                continue
            if wanted is None:
                del self.timers[timer]
                outputs.append(i.CancelTimer(timer))
            else:
                self.timers[timer] = wanted
                outputs.append(i.ArmTimer(timer, wanted))

    def _cancel(self, kinds: tuple[str, ...], entity_id: str, outputs: list[i.Output]) -> None:
        """As ``_sync`` where none of these is wanted, which is most of the time."""
        for kind in kinds:
            timer = (kind, entity_id)
            if timer in self.timers:
                del self.timers[timer]
                outputs.append(i.CancelTimer(timer))

    def _timer_problems(self) -> list[str]:
        everything = (
            [("offer", o) for o in self.state.offers]
            + [(kind, c) for c in self.state.contacts for kind in ("limit", "hold", "widen")]
            + [(kind, a) for a in self.state.agents for kind in _OF_AGENTS]
        )
        found = []
        for timer in {*everything, *self.timers}:
            wanted, armed = self._wanted(timer), self.timers.get(timer)
            overdue = armed is not None and armed <= self._now_us and timer[0] in ("hold", "widen", "delay")
            if wanted != armed and not overdue:
                found.append(f"timer {timer} is armed for {armed}, should be for {wanted}")
        return found

    # -- matching

    def _match(self) -> list[i.Output]:
        """Place what was touched, offer what can be offered, and return the changes of the timers."""
        state, index, now_us = self.state, self.index, self._now_us
        timers: list[i.Output] = []
        while state.touched_contacts or state.touched_agents or state.touched_offers:
            contact_ids, agent_ids = list(state.touched_contacts), list(state.touched_agents)
            offer_ids = list(state.touched_offers)
            state.touched_contacts.clear()
            state.touched_agents.clear()
            state.touched_offers.clear()
            free = [a for a in agent_ids if index.place_agent(a, now_us)]
            if len(free) > 1:
                free.sort(key=lambda a: (state.agent(a).idle_since_us, a))
            contacts = [state.contacts[c] for c in contact_ids if index.place_contact(c, now_us)]
            if len(contacts) > 1:
                contacts.sort(key=lambda c: contact_key(c, self.center))
            for contact in contacts:
                if index.can_be_offered(contact.contact_id):
                    self._offer_contact(contact)
            for agent_id in free:
                self._offer_to_agent(agent_id)
            for offer_id in offer_ids:
                self._sync(("offer",), offer_id, timers)
            for contact_id in contact_ids:
                now = state.contacts.get(contact_id)
                if now is not None and now.status == "waiting":
                    self._sync(_OF_CONTACTS, contact_id, timers)
                else:
                    self._cancel(_OF_CONTACTS, contact_id, timers)
            for agent_id in agent_ids:
                agent = state.agents.get(agent_id)
                if agent is not None and (
                    agent.activity in ("wrap_up", CLOSING) or agent.delay_until_us > now_us
                ):
                    self._sync(_OF_AGENTS, agent_id, timers)
                else:
                    self._cancel(_OF_AGENTS, agent_id, timers)
        return timers

    def _offer_contact(self, contact: Contact) -> None:
        """Offer a contact to the best free agent, or to as many as ring at once."""
        rules = self.center.queues[contact.queue]
        best = self.index.best_agent(contact)
        if best is None:
            return
        agent_ids = [best]
        pool = self.index.pool_of(contact)
        if rules.ring_at_once > 1 and pool is not None and not contact.no_leg:
            enough = rules.ring_at_once + len(contact.tried)
            free = [a for a in pool.some(self.index.choice(contact), enough) if a != best]
            # Who has let it ring comes after those who have not, as in the choice of one.
            free.sort(key=lambda a: a in contact.tried)
            agent_ids += free[: rules.ring_at_once - 1]
        self._offer_now(contact, agent_ids, "arrived")

    def _offer_to_agent(self, agent_id: str) -> None:
        """Offer the contact that comes first for a free agent."""
        heads = self.index.heads(agent_id)
        if heads:
            first = min(heads)
            self._offer_now(self.state.contacts[first.key[1]], [agent_id], _contact_rule(first, heads))

    def _offer_now(self, contact: Contact, agent_ids: list[str], contact_rule: str) -> None:
        whys = [
            explain(self.index, self.center, contact, agent_id, contact_rule, self._now_us)
            for agent_id in agent_ids
        ]
        for agent_id, why in zip(agent_ids, whys, strict=True):
            self._make_offer(contact, agent_id, why, len(agent_ids))
            self.index.place_agent(agent_id, self._now_us)
        self.index.place_contact(contact.contact_id, self._now_us)


def _contact_rule(first: Head, heads: list[Head]) -> str:
    """Why an agent gets this contact and no other of those that wait."""
    if first.channel < max(heads).channel:
        return "channel"
    oldest = min(heads, key=lambda head: head.key)
    if oldest.key == first.key:
        return "score"
    return "own_order" if first.priority < oldest.priority else "share"


_HANDLERS: dict[type[i.Input], Callable[[Engine, Any], None]] = {
    i.TakenOver: Engine._taken_over,
    i.ContactWaiting: Engine._contact_waiting,
    i.OfferRinging: Engine._offer_ringing,
    i.OfferFailed: Engine._offer_failed,
    i.AgentReleased: Engine._agent_released,
    i.OfferAnswered: Engine._offer_answered,
    i.AgentBridged: Engine._agent_bridged,
    i.ConversationEnded: Engine._conversation_ended,
    i.ContactGone: Engine._contact_gone,
    i.KeyPressed: Engine._key_pressed,
    i.CallbackAccepted: Engine._callback_accepted,
    i.CallbackAttempted: Engine._callback_attempted,
    i.DispositionKeyed: Engine._disposition_keyed,
    i.SetAgentPresence: Engine._presence_wished,
    i.SeatAgent: Engine._seat_wished,
    i.SetDisposition: Engine._disposition_wished,
    i.SetWrapUp: Engine._wrap_up_wished,
    i.SetContactPriority: Engine._priority_wished,
    i.ChangeCallback: Engine._callback_wished,
    i.EnqueueContact: Engine._enqueue_wished,
    i.LeaveContact: Engine._leave_wished,
    i.HandleContact: Engine._handle_wished,
    i.PlaceCall: Engine._call_wished,
    i.OutboundFailed: Engine._outbound_failed,
    i.OwnCallChanged: Engine._own_call_changed,
    i.OwnCallsListed: Engine._own_calls_listed,
    i.ContactHeld: Engine._contact_held,
    i.ContactResumed: Engine._contact_resumed,
    i.TransferRequested: Engine._transfer_requested,
    i.ConsultStarted: Engine._consult_started,
    i.ConsultEnded: Engine._consult_ended,
    i.PhoneChanged: Engine._phone_changed,
    i.PhonesListed: Engine._phones_listed,
    i.NodeSeen: Engine._node_seen,
    i.NodeDrainChanged: Engine._node_drain_changed,
    i.HoursChanged: Engine._hours_changed,
    i.CenterRevised: Engine._center_revised,
    i.TimerFired: Engine._timer_fired,
}
