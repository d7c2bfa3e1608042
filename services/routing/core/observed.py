"""What the engine makes of what was seen: phones, nodes and calls."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results
from services.routing.core.callbacks import KIND, Callbacks
from services.routing.core.center import QueueRules, way_of
from services.routing.core.records import CLOSING, IN_TALK, OUTBOUND, Contact, Offer, left_key

FAILURES = ("no_answer", "busy", "declined", "unreachable", "withdrawn", "failed", f.NO_LINE)


class Observed(Callbacks):
    """Handlers of observations."""

    # -- the switch

    def _phone_changed(self, inp: i.PhoneChanged) -> None:
        agent_id = self._agent_at(inp.extension)
        if agent_id is not None:  # else a phone of somebody who is no agent
            self._set_phone(agent_id, inp.registered, inp.node)

    def _set_phone(self, agent_id: str, registered: bool, node: str, *, is_new: bool = True) -> None:
        """A node gained or lost a registration of the phone, which may have others: it has moved, or knows two nodes.

        The last one counts. ``is_new`` is False for one that was found in a list: it may be what is left of a former place.
        """
        agent = self.state.agent(agent_id)
        had = [*agent.also, agent.node] if agent.registered and agent.node else []
        has = [n for n in had if n != node]
        if registered and node in had and not is_new:
            return None
        if registered:
            first = not is_new and bool(had) and self.state.node_up(had[-1])
            has.insert(0 if first else len(has), node)
        elif has and node not in had:
            return self._ignore("phone is registered with another node", agent_id=agent_id)
        now, also = (has[-1], tuple(has[:-1])) if has else (node, ())
        if (agent.registered, agent.node, agent.also) != (bool(has), now, also):
            self._emit(f.AgentPhoneChanged(agent_id, bool(has), now, also))
            self._settle_phone(agent_id)
        return None

    def _phones_listed(self, inp: i.PhonesListed) -> None:
        """Agents who were never seen registering stay reachable: an offer will tell."""
        for agent_id in sorted(self.center.agents):
            agent, extension = self.state.agent(agent_id), self._phone_of(agent_id)
            if self._agent_at(extension) != agent_id:
                continue
            listed = extension in inp.extensions
            if listed or (agent.registered and inp.node in (agent.node, *agent.also)):
                self._set_phone(agent_id, listed, inp.node, is_new=False)

    def _node_seen(self, inp: i.NodeSeen) -> None:
        if self.state.node_up(inp.node) == inp.up:
            return
        self._emit(f.NodeChanged(inp.node, inp.up))
        for agent in [a for a in self.state.agents.values() if inp.node in (a.node, *a.also)]:
            self._settle_phone(agent.agent_id)

    def _node_drain_changed(self, inp: i.NodeDrainChanged) -> None:
        """Callbacks in line have no leg that could stay: they are called from another node from now on."""
        if (inp.node in self.state.draining) != inp.draining:
            self._emit(f.NodeDraining(inp.node, inp.draining, inp.since_us, inp.actor))
        if inp.draining:
            for contact_id in sorted(self.state.callbacks.values()):
                contact = self.state.contacts[contact_id]
                other = self._node_for(contact.node)
                if contact.status == "waiting" and other != contact.node:
                    self._emit(f.ContactMoved(contact_id, contact.node, other, "drain"))

    def _own_call_changed(self, inp: i.OwnCallChanged) -> None:
        agent_id = self._agent_at(inp.extension)
        if agent_id is None:
            return
        if (inp.leg_id in self.state.agent(agent_id).own_legs) != inp.began:
            self._emit(f.AgentOwnCallChanged(agent_id, inp.leg_id, inp.began, inp.direction, inp.node))
            self._settle_phone(agent_id)

    def _own_calls_listed(self, inp: i.OwnCallsListed) -> None:
        """The node's own list: calls that nobody saw begin or end."""
        for agent_id, agent in sorted(self.state.agents.items()):
            for leg_id, node in sorted(agent.own_legs.items()):
                if node == inp.node and leg_id not in inp.legs:
                    self._emit(f.AgentOwnCallChanged(agent_id, leg_id, node=node))
        for leg_id, extension in sorted(inp.legs.items()):
            agent_id = self._agent_at(extension) or ""
            if agent_id and leg_id not in self.state.agent(agent_id).own_legs:
                self._emit(f.AgentOwnCallChanged(agent_id, leg_id, began=True, node=inp.node))
        for agent_id in [a for a in self.state.touched_agents if a in self.state.agents]:
            self._settle_phone(agent_id)

    # -- contacts

    def _contact_waiting(self, inp: i.ContactWaiting) -> None:
        known = self.state.contacts.get(inp.contact_id)
        if known is not None and known.no_leg:
            return self._customer_answered(known)
        if known is not None and known.leaving and inp.recovered:
            # The process that asked the caller is gone: the next one asks again.
            wait_ms = self._ms_since(known.waiting_since_us)
            return self._emit(
                f.ContactOverflowed(known.contact_id, known.queue, known.leaving, KIND, wait_ms=wait_ms)
            )
        if known is not None:
            if inp.node not in ("", known.node) and known.status != "talking":
                return self._moved(known, inp.node)
            if not (inp.recovered and known.status == "talking" and inp.node in ("", known.node)):
                return self._ignore("contact waits already", contact_id=inp.contact_id)
            # The agent's leg vanished and queue has the caller again: back to the former place.
            self._free_consulted(known)
            self._emit(self._queued(known, known.queue))
            return self._end_talk(known)
        outcome = self.state.closed.get(inp.contact_id, "")
        if outcome == KIND or (outcome and not inp.recovered):
            # Of a callback queue has heard, or will: who asked for one is thanked, who was reached too late is not kept.
            return self._ignore("contact is closed", contact_id=inp.contact_id)
        # Recovered though closed: its end was a mistake, for FreeSWITCH has the caller. It is a contact again.
        self._number_over(inp.contact_id)
        rules = self.center.queues.get(inp.queue)
        gone = not self.center.takes(inp.queue) and not (inp.recovered and rules is not None)
        full = not gone and not inp.recovered and self._is_full(inp.queue)
        self._emit(
            f.ContactQueued(
                contact_id=inp.contact_id,
                queue=inp.queue,
                waiting_since_us=inp.waiting_since_us,
                node=inp.node,
                priority=inp.priority,
                skills=inp.skills,
                language=inp.language,
                ani=inp.ani,
                caller_name=inp.caller_name,
                entry_point=inp.entry_point,
                customer=inp.customer,
                started_at_us=inp.started_at_us,
                service_class=inp.service_class,
                preferred_agent=inp.preferred_agent,
                preferred_ms=inp.preferred_ms,
                no_answer=self._no_answer(inp),
                returned_ms=self._returned_ms(inp, rules),
                kind=KIND if inp.callback_id else "",
                callback_id=inp.callback_id,
            )
        )
        if gone or full:
            self._overflow(inp.contact_id, "max_length" if full else "queue_removed")
        return None

    def _no_answer(self, inp: i.ContactWaiting) -> str:
        """Where to go without the preferred agent; empty when the others of the queue may be asked."""
        valid = way_of(inp.no_answer) is not None and not inp.callback_id
        return inp.no_answer if valid and inp.preferred_agent else ""

    def _moved(self, contact: Contact, node: str) -> None:
        """The caller arrived on another node: the same contact, at the same place. Whoever rings on the former one rings in vain."""
        self._withdraw_all(contact, "contact_moved")
        self._emit(f.ContactMoved(contact.contact_id, contact.node, node, "drain"))

    def _returned_ms(self, inp: i.ContactWaiting, rules: QueueRules | None) -> int:
        """How much sooner the place is of a caller who waited in this queue, hung up, and is back in time."""
        left = self.state.left.get(left_key(inp.queue, inp.ani)) if inp.ani and not inp.recovered else None
        if left is None or rules is None or not 0 <= self._now_us - left.at_us <= rules.return_ms * 1000:
            return 0
        return max(0, inp.waiting_since_us - left.waiting_since_us) // 1000

    def _key_pressed(self, inp: i.KeyPressed) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or contact.status == "talking" or contact.queue != inp.queue:
            return self._ignore("contact does not wait there", contact_id=inp.contact_id)
        rules = self.center.queues.get(contact.queue)
        way = rules.keys.get(inp.key) if rules else None
        if way is None or (way.action == "queue" and not self.center.takes(way.target)):
            return self._ignore("the key leads nowhere", contact_id=inp.contact_id)
        self._withdraw_all(contact, "caller_key")
        return self._overflow(contact.contact_id, "key", way)

    def _contact_gone(self, inp: i.ContactGone) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        self._number_over(inp.contact_id)
        if contact is None:
            return self._ignore("contact is closed", contact_id=inp.contact_id)
        if contact.status == "talking":
            # ConversationEnded comes before or after; a contact without a leg cannot be left open to wait for it.
            outcome = "ended_unseen" if inp.unseen else "completed"
            talk_ms = self._ms_since(contact.connected_at_us)
            return self._close(contact, outcome, talk_ms=talk_ms, ended_by="caller", cause=inp.cause)
        self._withdraw_all(contact, inp.cause, kept=inp.kept_offer_id)
        if contact.kind == OUTBOUND and not contact.answered_by:
            return self._not_reached(contact, "declined")
        if contact.no_leg:
            return self._attempt_failed(contact, "failed")
        if contact.leaving:
            return self._close(
                contact,
                "overflowed",
                result=results.of_limit(contact.leaving, "hangup"),
                ended_by="caller",
                cause=contact.leaving,
            )
        if inp.unseen:
            return self._close(
                contact, "ended_unseen", result=results.ENDED_UNSEEN, ended_by="caller", cause=inp.cause
            )
        return self._close(contact, "abandoned", ended_by="caller", cause=inp.cause)

    # -- offers and conversations

    def _open_offer(self, inp: i.OfferRinging | i.OfferAnswered | i.OfferFailed) -> Offer | None:
        offer = self.state.offers.get(inp.offer_id)
        if offer is None or (offer.contact_id, offer.agent_id) != (inp.contact_id, inp.agent_id):
            self._ignore(
                "offer is over", contact_id=inp.contact_id, agent_id=inp.agent_id, offer_id=inp.offer_id
            )
            return None
        return offer

    def _offer_ringing(self, inp: i.OfferRinging) -> None:
        offer = self._open_offer(inp)
        if offer and self.state.agent(offer.agent_id).activity == "offered":
            self._set_activity(offer.agent_id, "ringing", offer.contact_id, offer.queue)

    def _offer_answered(self, inp: i.OfferAnswered) -> None:
        """The first to answer has the contact; whoever else it rings at is free at once."""
        if offer := self._open_offer(inp):
            contact = self.state.contacts[offer.contact_id]
            self._withdraw_all(contact, "answered_by_other", but=offer.offer_id)

    def _agent_released(self, inp: i.AgentReleased) -> None:
        agent = self.state.agent(inp.agent_id)
        if (agent.activity, agent.contact_id) != (CLOSING, inp.contact_id):
            return self._ignore(
                "agent is free already",
                contact_id=inp.contact_id,
                agent_id=inp.agent_id,
                offer_id=inp.offer_id,
            )
        return self._set_free(inp.agent_id)

    def _offer_failed(self, inp: i.OfferFailed) -> None:
        if offer := self._open_offer(inp):
            outcome = inp.outcome if inp.outcome in FAILURES else "failed"
            if offer.kind == OUTBOUND:
                # The agent's own wish: no miss, no delay, and nobody else is asked.
                self._withdraw(offer, outcome)
                self._not_reached(self.state.contacts[offer.contact_id], f"agent_{outcome}")
                return
            self._end_offer(offer, outcome, inp.cause, inp.ring_ms)

    def _agent_bridged(self, inp: i.AgentBridged) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None:
            if inp.contact_id in self.state.closed:
                return self._ignore("contact is closed", contact_id=inp.contact_id, agent_id=inp.agent_id)
            # Bridged by a queue process whose ContactWaiting never arrived, or longer ago than the log reaches.
            since_us = self._now_us - inp.wait_ms * 1000
            queue = inp.queue or self.center.default_fallback
            self._emit(f.ContactQueued(inp.contact_id, queue, since_us, node=inp.node))
            contact = self.state.contacts[inp.contact_id]
        if contact.status == "talking" and contact.agent_id == inp.agent_id:
            return self._ignore("contact talks already", contact_id=inp.contact_id, agent_id=inp.agent_id)
        return self._connect(
            contact, inp.offer_id, inp.agent_id, wait_ms=inp.wait_ms, recording_path=inp.recording_path
        )

    def _connect(
        self, contact: Contact, offer_id: str, agent_id: str, *, wait_ms: int, recording_path: str
    ) -> None:
        contact_id = contact.contact_id
        if contact.consult_offer and contact.consult_offer == offer_id:
            self._emit(f.OfferEnded(offer_id, contact_id, agent_id, "accepted"))
        if contact.no_leg:
            self._customer_answered(contact)  # They talk, so the customer is there.
        if contact.status == "talking":
            self._end_talk(contact)
        elif contact.rings:
            self._withdraw_all(contact, "answered_by_other", but=offer_id)
            if offer_id in self.state.offers:
                self._emit(f.OfferEnded(offer_id, contact_id, agent_id, "accepted"))
        self._release(agent_id, contact_id)
        if contact.consult_offer or contact.consult_agent not in ("", agent_id):
            self._free_consulted(contact)  # Asked in vain: the contact talks with somebody else.
        self._emit(
            f.ContactConnected(
                contact_id=contact_id,
                offer_id=offer_id,
                agent_id=agent_id,
                queue=contact.queue,
                wait_ms=wait_ms or self._ms_since(contact.waiting_since_us),
                connected_at_us=self._now_us,
                recording_path=recording_path,
            )
        )
        self._set_activity(agent_id, "talking", contact_id, contact.queue)
        if self.state.callbacks:
            self._served_otherwise(contact.ani)

    def _release(self, agent_id: str, contact_id: str) -> None:
        """End whatever the agent was doing, because FreeSWITCH says that a conversation has begun."""
        agent = self.state.agent(agent_id)
        if agent.activity in IN_TALK and agent.contact_id == contact_id:
            return  # Was asked about this very contact.
        if other := self.state.offers.get(agent.offer_id):
            self._end_offer(other, "withdrawn", "agent_bridged_elsewhere")
        elif agent.activity == "wrap_up":
            self._end_wrap_up(agent_id, "", "bridged")
        elif agent.activity in IN_TALK and (former := self.state.contacts.get(agent.contact_id)):
            if former.consult_agent == agent_id:
                self._set_free(agent_id)
            else:
                self._emit_unseen_end(former)

    def _emit_unseen_end(self, contact: Contact) -> None:
        talk_ms = self._ms_since(contact.connected_at_us)
        self._close(
            contact, "ended_unseen", talk_ms=talk_ms, ended_by="system", cause="agent_bridged_elsewhere"
        )
        agent = self.state.agent(contact.agent_id)
        if agent.activity == "wrap_up":
            self._end_wrap_up(agent.agent_id, "", "bridged")

    def _conversation_ended(self, inp: i.ConversationEnded) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is not None and contact.status == "offered" and inp.offer_id in contact.rings:
            # The report of the bridge went to the dead letters; the talk took place all the same.
            self._connect(contact, inp.offer_id, inp.agent_id, wait_ms=0, recording_path="")
        if contact is None or contact.status != "talking" or contact.agent_id != inp.agent_id:
            return self._ignore("no such conversation", contact_id=inp.contact_id, agent_id=inp.agent_id)
        return self._close(
            contact,
            "completed",
            talk_ms=inp.talk_ms,
            hold_ms=inp.hold_ms,
            ended_by=inp.ended_by,
            cause=inp.cause,
        )

    def _disposition_keyed(self, inp: i.DispositionKeyed) -> None:
        agent = self.state.agent(inp.agent_id)
        if agent.activity != "wrap_up" or agent.contact_id != inp.contact_id:
            return self._ignore("wrap-up is over", contact_id=inp.contact_id, agent_id=inp.agent_id)
        if inp.code not in self._dispositions(agent.queue):
            return self._ignore("unknown disposition", contact_id=inp.contact_id, agent_id=inp.agent_id)
        return self._dispose(inp.agent_id, inp.code, "key")
