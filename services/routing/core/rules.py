"""What all handlers of the engine share: the ends of offers, of conversations and of waits. See ``engine`` for how it is used.

A handler reads the state, emits facts, and notes what was ignored or refused. It never touches the index or a timer:
both follow from the facts afterwards.
"""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import results, toll
from services.routing.core.capacity import ABLE, capacity, has_room
from services.routing.core.center import (
    CALL,
    CAUSES,
    CallbackRules,
    Miss,
    Overflow,
    QueueRules,
    way_of,
)
from services.routing.core.people import People, WayTo
from services.routing.core.places import contact_key
from services.routing.core.records import (
    CLOSING,
    CLOSING_MS,
    IN_TALK,
    OFFERED,
    OUTBOUND,
    Contact,
    Offer,
)

NO_ANSWER = "no_answer"
"""Why a caller leaves a queue who waited for one agent alone, and whom that agent has not taken."""


class Rules(People):
    """What follows from an end: for the contact, its offers, and whoever waits behind it."""

    def _queued(self, contact: Contact, queue: str, since_us: int = 0) -> f.ContactQueued:
        return f.ContactQueued(
            contact_id=contact.contact_id,
            queue=queue,
            waiting_since_us=since_us or contact.waiting_since_us,
            node=contact.node,
            priority=contact.priority,
            skills=contact.skills,
            language=contact.language,
            ani=contact.ani,
            caller_name=contact.caller_name,
            entry_point=contact.entry_point,
            customer=contact.customer,
            started_at_us=contact.started_at_us,
            requeued=True,
            service_class=contact.service_class,
            # Who said where to go without this agent does not want to wait for the same one again.
            preferred_agent="" if contact.no_answer else contact.preferred_agent,
            preferred_ms=0 if contact.no_answer else contact.preferred_ms,
            returned_ms=contact.returned_ms,
            kind=contact.kind,
            callback_id=contact.callback_id,
            number=contact.number,
            no_leg=contact.no_leg,
            attempts=contact.attempts,
            serial=contact.serial,
            not_before_us=contact.hold_until_us if contact.no_leg else 0,
            expires_us=contact.expires_us,
            channel=_told(contact.channel),
        )

    def _close(
        self,
        contact: Contact,
        outcome: str,
        *,
        result: str = "",
        talk_ms: int = 0,
        hold_ms: int = 0,
        ended_by: str = "",
        cause: str = "",
    ) -> None:
        talks = contact.status == "talking"
        talked = talks or bool(contact.answered_by)
        wait_ms = contact.wait_ms if talked else self._ms_since(contact.waiting_since_us)
        if talks:
            # The hold in which it ends is told by whoever holds; here it has to be in the sum before the contact is gone.
            self._free_consulted(contact, told=True)
            holder = self.state.agent(contact.agent_id)
            if holder.activity == "held" and holder.contact_id == contact.contact_id:
                self._set_activity(contact.agent_id, "talking", contact.contact_id, contact.queue)
        if talked:
            result = results.ANSWERED
        elif outcome == "abandoned":
            rules = self.center.queues.get(contact.queue)
            result = results.of_hangup(cause, wait_ms, rules.short_abandon_ms if rules else 0)
        self._emit(
            f.ContactClosed(
                contact_id=contact.contact_id,
                queue=contact.queue,
                outcome=outcome,
                agent_id=contact.agent_id if talks else contact.answered_by,
                offer_id=contact.offer_id if talks else contact.answered_offer,
                wait_ms=wait_ms,
                talk_ms=contact.talked_ms + talk_ms,
                hold_ms=max(contact.held_ms, hold_ms),
                ended_by=ended_by,
                cause=cause,
                entry_point=contact.entry_point,
                ani=contact.ani,
                waiting_since_us=contact.waiting_since_us,
                offers=contact.offers,
                result=result or results.ENDED_UNSEEN,
                transfers=contact.transfers,
                kind=contact.kind,
                callback_id=contact.callback_id,
                channel=_told(contact.channel),
            )
        )
        if talks and contact.channel == CALL:
            self._end_talk(contact)
        elif talks:
            self._settle_phone(contact.agent_id)

    def _free_consulted(self, contact: Contact, *, told: bool = False) -> None:
        """Whoever was to be asked about the contact, or is being asked, is free; when the contact is over (``told``), a colleague who
        was asked hears that first, and is free when the leg is: ``AgentReleased`` (services/adr/0047)."""
        if offer := self.state.offers.get(contact.consult_offer):
            self._withdraw(offer, "consult_over")
        asked = self.state.agent(contact.consult_agent) if contact.consult_agent else None
        if asked is not None and asked.activity in IN_TALK and asked.contact_id == contact.contact_id:
            if told:
                self._set_activity(asked.agent_id, CLOSING, contact.contact_id, contact.queue, CLOSING_MS)
            else:
                self._set_free(asked.agent_id)

    def _way_out(self, contact: Contact, reason: str) -> Overflow | None:
        """Where the contact goes when it cannot stay in its queue; None when there is nowhere and it waits on."""
        rules = self.center.queues.get(contact.queue)
        target = self.center.fallback.get(contact.entry_point, self.center.default_fallback)
        fallback = way = Overflow("queue", target)
        draining = contact.queue in self.center.draining
        unserved = draining and reason == "no_agent" and rules is not None and rules.no_agent is None
        if reason == NO_ANSWER:
            return self._without_the_agent(contact, fallback)
        if rules is not None and reason != "queue_removed" and not unserved:
            own = {"max_length": rules.full, "no_agent": rules.no_agent, "closed": rules.closed}.get(reason)
            way = own or rules.overflow
        if way.action == "callback" and contact.kind == "callback":
            return None  # Who was called back is not sent away to be called back.
        if contact.channel != CALL and way.action != "queue":
            return None  # There is no line on which to say farewell: the contact waits on.
        if way.action == "queue" and not self.center.takes(way.target):
            return fallback if draining and self.center.takes(target) else None
        return way

    def _without_the_agent(self, contact: Contact, fallback: Overflow) -> Overflow:
        """Where a caller goes whom the one agent has not taken. Always somewhere: nobody else is asked for as long as it stays."""
        way = way_of(contact.no_answer) or fallback
        if way.action != "queue" or self.center.takes(way.target):
            return way
        return fallback if self.center.takes(fallback.target) else Overflow("queue", contact.queue)

    def _overflow(self, contact_id: str, reason: str, chosen: Overflow | None = None) -> None:
        """Give the contact away; through further queues when those are full, but into none for the second time."""
        passed: set[str] = set()
        while True:
            contact = self.state.contacts[contact_id]
            way, chosen = chosen or self._way_out(contact, reason), None
            if way is None or (way.action == "queue" and way.target in passed):
                return None
            passed.add(contact.queue)
            if contact.no_leg and way.action != "queue":
                return self._close(
                    contact, "callback", result=results.CALLBACK_CANCELLED, ended_by="system", cause=reason
                )
            wait_ms = self._ms_since(contact.waiting_since_us)
            self._emit(
                f.ContactOverflowed(contact_id, contact.queue, reason, way.action, way.target, wait_ms)
            )
            if way.action == "callback":
                return None  # The caller is asked; ContactGone or CallbackAccepted says how it ends.
            if way.action != "queue":
                result = results.of_limit(reason, way.action)
                return self._close(contact, "overflowed", result=result, ended_by="system", cause=reason)
            full = contact.channel == CALL and self._is_full(way.target)
            self._emit(self._queued(contact, way.target))
            if not full:
                return None
            reason = "max_length"

    def _is_full(self, queue: str) -> bool:
        limit = self.center.queues[queue].max_length
        return bool(limit) and self.index.waiting(queue) - self._callbacks_in(queue) >= limit

    def _callbacks_in(self, queue: str) -> int:
        """How many in the order of the queue are on no line of the switch: they do not fill it."""
        found = (self.state.contacts[c] for c in self.state.callbacks.values())
        return sum(c.queue == queue and self.index.waits(c.contact_id) for c in found)

    def _limit(self, contact: Contact) -> tuple[int, str] | None:
        """When and why a waiting contact has to leave its queue next; None when it need not."""
        if contact.no_leg:
            return contact.expires_us, "expired"
        rules = self.center.queues.get(contact.queue)
        calls = contact.channel == CALL
        if rules is None or contact.leaving or (calls and not self.state.node_up(contact.node)):
            return None
        since_us = contact.answered_at_us or contact.queued_at_us
        limits = []
        if contact.no_answer and not contact.rings:
            limits.append((self.index.given_up_us(contact), NO_ANSWER))
        if rules.max_wait_ms and self._way_out(contact, "max_wait"):
            limits.append((since_us + rules.max_wait_ms * 1000, "max_wait"))
        # Nobody comes to a queue that is gone: whoever no agent is left for goes on.
        leaves = rules.no_agent is not None or contact.queue in self.center.draining
        if leaves and not self.index.serving(contact.queue, contact.channel):
            way = self._way_out(contact, "no_agent")
            # A queue that nobody serves either would send the caller on, perhaps back: then the caller waits here.
            if way and (way.action != "queue" or self.index.serving(way.target, contact.channel)):
                unserved_us = max(since_us, self.index.unserved_since_us(contact.queue, contact.channel))
                limits.append((unserved_us + rules.no_agent_after_ms * 1000, "no_agent"))
        if rules.closed is not None and contact.queue in self._closed and contact.kind != "callback":
            way = self._way_out(contact, "closed")
            if way and (way.action != "queue" or way.target not in self._closed):
                limits.append((contact.queued_at_us, "closed"))
        return min(limits, default=None)

    def _node_for(self, node: str) -> str:
        """The node that a callback of ``node`` is called from: that one, or while it is being emptied the one with the fewest contacts."""
        return self._calm_node(node) if node in self.state.draining else node

    def _calm_node(self, node: str) -> str:
        """The node with the fewest contacts, of those that can be worked with; ``node`` when there is none."""
        others = [n for n in self.policy.nodes if n not in self.state.draining and self.state.node_up(n)]
        load = {n: sum(c.node == n for c in self.state.contacts.values()) for n in others}
        return min(others, key=lambda n: load[n], default=node)

    # -- offers

    def _after_failure(self, outcome: str) -> Miss:
        if outcome in CAUSES:
            return self.policy.miss(self.center, outcome)
        return Miss(self.policy.agent_delay_ms)

    def _end_offer(self, offer: Offer, outcome: str, cause: str = "", ring_ms: int = 0) -> None:
        """End an offer without a conversation and say what follows for the agent and the contact."""
        agent_id = offer.agent_id
        rule = self._after_failure(outcome)
        delay_ms = 0 if outcome in ("withdrawn", f.NO_LINE) else rule.delay_ms or -1
        self._emit(
            f.OfferEnded(offer.offer_id, offer.contact_id, agent_id, outcome, cause, ring_ms, delay_ms)
        )
        self._transfer_failed(offer)
        if offer.channel == CALL and self.state.agent(agent_id).activity in OFFERED:
            self._set_free(agent_id)
        agent = self.state.agent(agent_id)
        missed = agent.missed if outcome == "no_answer" else agent.misses.get(outcome, 0)
        if agent.presence == "available" and rule.most and missed >= rule.most:
            self._set_presence(agent_id, "break", outcome, "system")
        contact = self.state.contacts.get(offer.contact_id)
        if offer.kind == OUTBOUND and contact is not None and contact.status == "waiting":
            self._not_reached(contact, f"agent_{outcome}")
        elif contact is not None and contact.status == "waiting" and contact.queue not in self.center.queues:
            self._overflow(contact.contact_id, "queue_removed")

    def _transfer_failed(self, offer: Offer) -> None:
        """Nobody took a transfer: back to who gave the contact away, when the center has it so and the agent is there."""
        contact = self.state.contacts.get(offer.contact_id)
        giver = self.state.agent(offer.by_agent)
        if (
            offer.kind != "transfer"
            or self.center.transfer_failed != "agent"
            or contact is None
            or contact.status != "waiting"
            or offer.by_agent not in self.center.agents
            or giver.activity not in ("wrap_up", *ABLE)
            or giver.presence == "offline"
        ):
            return
        if giver.activity == "wrap_up":
            self._end_wrap_up(offer.by_agent, "", "bridged")
        if self._can_be_called(offer.by_agent):
            self._send_to(contact, offer.by_agent, "return", offer.by_agent)

    def _can_be_called(self, agent_id: str) -> bool:
        """Whether an agent of the document can take a call by somebody's wish, whatever the queue's order is."""
        agent, rules = self.state.agent(agent_id), self.center.agents[agent_id]
        return agent.activity in ABLE and has_room(agent, self.center, rules, CALL)

    def _send_to(self, contact: Contact, agent_id: str, kind: str, by_agent: str) -> None:
        """Offer a contact to one agent by somebody's wish, whatever the queue's order is."""
        queue = self.center.queues.get(contact.queue)
        way = self._way_to(agent_id, queue.connect_ms if queue and kind != "consult" else 0)
        self._emit(
            f.OfferMade(
                offer_id=f"{contact.contact_id}-{self.state.offer_count + 1}",
                contact_id=contact.contact_id,
                agent_id=agent_id,
                extension=self._phone_of(agent_id),
                queue=contact.queue,
                node=contact.node,
                ring_ms=queue.ring_ms if queue else QueueRules().ring_ms,
                waited_ms=self._ms_since(contact.waiting_since_us),
                attempt=contact.offers + (kind != "consult"),
                why=f.Explanation(rule=kind),
                kind=kind,
                by_agent=by_agent,
                agent_node=way.node,
                connect_ms=way.connect_ms,
                agent_number=way.number,
                confirm=way.confirm,
            )
        )
        self._set_activity(agent_id, "offered", contact.contact_id, contact.queue)

    def _withdraw(self, offer: Offer, cause: str, kept: str = "") -> None:
        """End the offer of a contact that needs no other: it is leaving, or talks with somebody else.

        ``kept``: the offer whose agent is on the line still. Idle, that agent could be offered a contact of another node, whose call
        would meet a busy phone: only the node of the former leg can end it in time.
        """
        self._emit(f.OfferEnded(offer.offer_id, offer.contact_id, offer.agent_id, "withdrawn", cause))
        if offer.channel != CALL or self.state.agent(offer.agent_id).activity not in OFFERED:
            return
        if offer.offer_id == kept:
            self._set_activity(offer.agent_id, CLOSING, offer.contact_id, offer.queue, CLOSING_MS)
        else:
            self._set_free(offer.agent_id)

    def _withdraw_all(self, contact: Contact, cause: str, *, but: str = "", kept: str = "") -> None:
        """Withdraw every open offer of the contact except one."""
        for offer_id in contact.rings:
            if offer_id != but:
                self._withdraw(self.state.offers[offer_id], cause, kept)

    def _make_offer(self, contact: Contact, agent_id: str, why: f.Explanation, at_once: int) -> None:
        queue = self.center.queues[contact.queue]
        calls = (queue.callback or CallbackRules()) if contact.no_leg else None
        way = self._way_to(agent_id, queue.connect_ms) if contact.channel == CALL else WayTo("", 0)
        self._emit(
            f.OfferMade(
                offer_id=f"{contact.contact_id}-{self.state.offer_count + 1}",
                contact_id=contact.contact_id,
                agent_id=agent_id,
                extension=self._phone_of(agent_id),
                queue=contact.queue,
                node=contact.node,
                ring_ms=queue.ring_ms,
                waited_ms=self._ms_since(contact.waiting_since_us),
                attempt=contact.offers + 1,
                why=why,
                at_once=at_once,
                kind=contact.kind if calls else "",
                number=contact.number if calls else "",
                first=calls.first if calls else "",
                dial_ms=calls.dial_ms if calls else 0,
                callback_id=contact.callback_id if calls else "",
                language=contact.language if calls else "",
                entry_point=contact.entry_point if calls else "",
                waiting_since_us=contact.waiting_since_us if calls else 0,
                agent_node=way.node,
                connect_ms=way.connect_ms,
                agent_number=way.number,
                confirm=way.confirm,
                channel=_told(contact.channel),
                share_of=0
                if contact.channel == CALL
                else capacity(self.center, self.center.agents[agent_id], contact.channel),
            )
        )
        if contact.channel == CALL:
            self._set_activity(agent_id, "offered", contact.contact_id, contact.queue)

    # -- numbers outside

    def _may_not_dial(
        self,
        number: str,
        purpose: str,
        *,
        agent_id: str = "",
        contact_id: str = "",
        request_id: str = "",
        actor: str = "agent",
        anything: bool = False,
    ) -> toll.Refusal | None:
        """Why an agent (or nobody: a callback) may not call a number outside now, which is told in the log; None when it may."""
        levels = self.center.payers(agent_id)
        tolls = self.state.tolls
        found = toll.refusal(number, levels, tolls, self._closed, self._now_us, anything=anything)
        if found is not None:
            self._emit(
                f.CallRefused(
                    agent_id=agent_id,
                    number=number,
                    purpose=purpose,
                    reason=found.slug,
                    payer=found.payer,
                    detail=found.detail,
                    contact_id=contact_id,
                    request_id=request_id,
                    actor=actor,
                )
            )
        return found

    def _dialled(
        self, contact_id: str, number: str, purpose: str, agent_id: str = "", request_id: str = ""
    ) -> None:
        """A number is called: it counts."""
        agent = self.center.agents.get(agent_id)
        team = agent.team if agent is not None else ""
        self._emit(f.NumberDialled(contact_id, number, purpose, agent_id, team, request_id))

    def _number_over(self, contact_id: str) -> None:
        """A contact that was sent to a number is gone, or back."""
        if contact_id in self.state.tolls.going:
            self._emit(f.NumberEnded(contact_id))

    def _not_reached(self, contact: Contact, cause: str) -> None:
        """A call that an agent placed has come to nothing."""
        self._close(contact, results.NOT_REACHED, result=results.NOT_REACHED, ended_by="system", cause=cause)

    # -- the owner and the configuration

    def _taken_over(self, inp: i.TakenOver) -> None:
        self._emit(f.OwnerChanged(inp.owner, inp.epoch))
        self._reconcile()

    def _center_revised(self, inp: i.CenterRevised) -> None:
        self._use(inp.center)
        self._reconcile()

    def _hours_changed(self, inp: i.HoursChanged) -> None:
        concerned = self._closed ^ inp.closed
        self._closed = self.index.closed = inp.closed
        if concerned:
            # A queue that closed or opened, or to which another one leads: rare enough to look at everybody who waits.
            self.state.touched_contacts.update(dict.fromkeys(self.state.contacts))

    def _reconcile(self) -> None:
        """Mend what the configuration in force no longer allows: agents and queues that are gone from it."""
        for agent_id in sorted(self.state.agents.keys() - self.center.agents.keys()):
            if self.state.agents[agent_id].presence != "offline":
                self._set_presence(agent_id, "offline", "removed", "system")
        for extension, agent_id in sorted(self.state.seats.items()):
            gone = extension not in self._own_phone and extension not in self.center.desks
            if gone and self.state.agents[agent_id].presence != "offline":
                self._set_presence(agent_id, "offline", "removed", "system")
        stranded = [
            c
            for c in self.state.contacts.values()
            if c.status == "waiting" and c.queue not in self.center.queues
        ]
        for contact in sorted(stranded, key=lambda c: contact_key(c, self.center)):
            self._overflow(contact.contact_id, "queue_removed")
        for agent_id in sorted(self.state.agents.keys() & self.center.agents.keys()):
            self._settle_phone(agent_id)  # The number outside has come, gone or changed.
        self._give_up_channels()
        self._forbid_calls()

    def _give_up_channels(self) -> None:
        """Close what waits of channels that are gone: ``channels`` says how."""

    def _forbid_calls(self) -> None:
        """Cancel what may not be called any more: ``callbacks`` says how."""


def _told(channel: str) -> str:
    """The channel as facts have it."""
    return "" if channel == CALL else channel
