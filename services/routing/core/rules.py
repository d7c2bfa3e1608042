"""What each input means: the handlers of the engine and the tools they share. See ``engine`` for how it is used.

A handler reads the state, emits facts, and notes what was ignored or refused. It never touches the index or a timer:
both follow from the facts afterwards.
"""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import SYSTEM_REASONS, Center, Overflow, Policy
from services.routing.core.index import Index, contact_key
from services.routing.core.state import Agent, Contact, Offer, State

PRESENCES = ("available", "break", "offline")
FAILURES = ("no_answer", "busy", "declined", "unreachable", "withdrawn", "failed")


class Rules:
    """State, configuration and the handlers of one tenant."""

    def __init__(self, center: Center, policy: Policy, state: State) -> None:
        self.policy = policy
        self.state = state
        self._now_us = state.at_us
        self._facts: list[f.Fact] = []
        self._notes: list[i.Output] = []
        self._answer: tuple[str, str] | None = None
        self._use(center)

    def _use(self, center: Center) -> None:
        self.center = center
        self.index = Index(center, self.state)
        self._by_extension = {rules.extension: agent_id for agent_id, rules in center.agents.items()}
        self.state.touched_contacts.update(dict.fromkeys(self.state.contacts))
        self.state.touched_agents.update(dict.fromkeys([*self.state.agents, *center.agents]))
        self.state.touched_offers.update(dict.fromkeys(self.state.offers))

    # -- tools

    def _emit(self, fact: f.Fact) -> None:
        if not self._facts:
            self.state.begin(self._now_us)
        self.state.apply(fact)
        self._facts.append(fact)

    def _ignore(self, reason: str, *, contact_id: str = "", agent_id: str = "", offer_id: str = "") -> None:
        self._notes.append(i.Ignored(reason, contact_id, agent_id, offer_id))

    def _refuse(self, request_id: str, slug: str, reason: str, status: int = 409) -> None:
        self._notes.append(i.Refuse(request_id, slug, reason, status))

    def _answered(self, request_id: str, agent_id: str) -> i.Answer:
        return i.Answer(request_id, views.agent_state(self.state, self.center, agent_id, self._now_us))

    def _repeated(self, inp: i.AnyInput) -> list[i.Output]:
        if isinstance(inp, i.SetAgentPresence | i.SetDisposition) and (agent_id := self._named(inp)):
            return [self._answered(inp.request_id, agent_id)]
        return [i.Ignored("input was decided on before")]

    def _ms_since(self, since_us: int) -> int:
        return max(0, self._now_us - since_us) // 1000

    # -- agents

    def _named(self, wish: i.SetAgentPresence | i.SetDisposition) -> str | None:
        if wish.agent_id:
            return wish.agent_id if wish.agent_id in self.center.agents else None
        return self._by_extension.get(wish.extension)

    def _set_presence(self, agent_id: str, presence: str, reason: str, actor: str) -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.presence_since_us) if agent.presence_since_us else 0
        self._emit(f.AgentPresenceChanged(agent_id, presence, reason, actor, agent.presence, ms))

    def _set_activity(self, agent_id: str, activity: str, contact_id: str = "", queue: str = "") -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.activity_since_us) if agent.activity_since_us else 0
        self._emit(f.AgentActivityChanged(agent_id, activity, contact_id, queue, agent.activity, ms))

    def _set_free(self, agent_id: str) -> None:
        self._set_activity(agent_id, self._free_activity(self.state.agent(agent_id)))

    def _free_activity(self, agent: Agent) -> str:
        return "idle" if agent.registered and self.state.node_up(agent.node) else "unreachable"

    def _settle_phone(self, agent: Agent) -> None:
        """Make an agent without a contact idle or unreachable, as the phone and its node are."""
        if agent.activity in ("idle", "unreachable") and agent.activity != self._free_activity(agent):
            self._set_free(agent.agent_id)

    def _end_talk(self, contact: Contact) -> None:
        """Send the agent of a conversation that is over to the after-call work."""
        agent = self.state.agent(contact.agent_id)
        if agent.activity != "talking" or agent.contact_id != contact.contact_id:
            return
        rules = self.center.queues.get(contact.queue)
        if rules and rules.wrap_up_ms:
            self._set_activity(agent.agent_id, "wrap_up", contact.contact_id, contact.queue)
        else:
            self._set_free(agent.agent_id)

    def _end_wrap_up(self, agent_id: str, disposition: str, by: str) -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.activity_since_us)
        self._emit(f.WrapUpEnded(agent_id, agent.contact_id, disposition, by, ms, agent.queue))
        self._set_free(agent_id)

    # -- contacts and offers

    def _queued(self, contact: Contact, queue: str) -> f.ContactQueued:
        return f.ContactQueued(
            contact_id=contact.contact_id,
            queue=queue,
            waiting_since_us=contact.waiting_since_us,
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
        )

    def _close(
        self,
        contact: Contact,
        outcome: str,
        *,
        talk_ms: int = 0,
        hold_ms: int = 0,
        ended_by: str = "",
        cause: str = "",
    ) -> None:
        talked = contact.status == "talking"
        self._emit(
            f.ContactClosed(
                contact_id=contact.contact_id,
                queue=contact.queue,
                outcome=outcome,
                agent_id=contact.agent_id if talked else "",
                offer_id=contact.offer_id if talked else "",
                wait_ms=contact.wait_ms if talked else self._ms_since(contact.waiting_since_us),
                talk_ms=talk_ms,
                hold_ms=hold_ms,
                ended_by=ended_by,
                cause=cause,
                entry_point=contact.entry_point,
                ani=contact.ani,
                waiting_since_us=contact.waiting_since_us,
                offers=contact.offers,
            )
        )
        if talked:
            self._end_talk(contact)

    def _way_out(self, contact: Contact) -> Overflow | None:
        """Where the contact goes when it cannot stay in its queue; None when there is nowhere and it waits on."""
        rules = self.center.queues.get(contact.queue)
        if rules is None:
            target = self.center.fallback.get(contact.entry_point, self.center.default_fallback)
            way = Overflow("queue", target)
        else:
            way = rules.overflow
        return None if way.action == "queue" and way.target not in self.center.queues else way

    def _overflow(self, contact_id: str, reason: str) -> None:
        """Give the contact away; through further queues when those are full, but into none for the second time."""
        passed: set[str] = set()
        while True:
            contact = self.state.contacts[contact_id]
            way = self._way_out(contact)
            if way is None or (way.action == "queue" and way.target in passed):
                return None
            passed.add(contact.queue)
            wait_ms = self._ms_since(contact.waiting_since_us)
            self._emit(
                f.ContactOverflowed(contact_id, contact.queue, reason, way.action, way.target, wait_ms)
            )
            if way.action != "queue":
                return self._close(contact, "overflowed", ended_by="system", cause=reason)
            full = self._is_full(way.target)
            self._emit(self._queued(contact, way.target))
            if not full:
                return None
            reason = "max_length"

    def _is_full(self, queue: str) -> bool:
        limit = self.center.queues[queue].max_length
        return bool(limit) and self.index.waiting(queue) >= limit

    def _end_offer(self, offer: Offer, outcome: str, cause: str = "", ring_ms: int = 0) -> None:
        """End an offer without a conversation and say what follows for the agent and the contact."""
        agent_id = offer.agent_id
        self._emit(f.OfferEnded(offer.offer_id, offer.contact_id, agent_id, outcome, cause, ring_ms))
        if self.state.agent(agent_id).activity == "offered":
            self._set_free(agent_id)
        agent = self.state.agent(agent_id)
        missed = outcome == "no_answer" and agent.missed >= self.policy.max_no_answer
        if agent.presence == "available" and (missed or outcome == "unreachable"):
            self._set_presence(agent_id, "break", outcome, "system")
        contact = self.state.contacts.get(offer.contact_id)
        if contact is not None and contact.queue not in self.center.queues:
            self._overflow(contact.contact_id, "queue_removed")

    def _withdraw(self, offer: Offer, cause: str) -> None:
        """End the offer of a contact that needs no other: it is leaving, or talks with somebody else."""
        self._emit(f.OfferEnded(offer.offer_id, offer.contact_id, offer.agent_id, "withdrawn", cause))
        self._set_free(offer.agent_id)

    def _make_offer(self, contact: Contact, agent_id: str) -> None:
        rules = self.center.agents[agent_id]
        why = self.index.explain(contact, agent_id, self._now_us)
        self._emit(
            f.OfferMade(
                offer_id=f"{contact.contact_id}-{self.state.offer_count + 1}",
                contact_id=contact.contact_id,
                agent_id=agent_id,
                extension=rules.extension,
                queue=contact.queue,
                node=contact.node,
                ring_ms=self.center.queues[contact.queue].ring_ms,
                waited_ms=self._ms_since(contact.waiting_since_us),
                attempt=contact.offers + 1,
                why=why,
            )
        )
        self._set_activity(agent_id, "offered", contact.contact_id, contact.queue)

    # -- handlers: the owner, the configuration, the switch

    def _taken_over(self, inp: i.TakenOver) -> None:
        self._emit(f.OwnerChanged(inp.owner, inp.epoch))
        self._reconcile()

    def _center_revised(self, inp: i.CenterRevised) -> None:
        self._use(inp.center)
        self._reconcile()

    def _reconcile(self) -> None:
        """Mend what the configuration in force no longer allows: agents and queues that are gone from it."""
        for agent_id in sorted(self.state.agents.keys() - self.center.agents.keys()):
            if self.state.agents[agent_id].presence != "offline":
                self._set_presence(agent_id, "offline", "removed", "system")
        stranded = [
            c
            for c in self.state.contacts.values()
            if c.status == "waiting" and c.queue not in self.center.queues
        ]
        for contact in sorted(stranded, key=contact_key):
            self._overflow(contact.contact_id, "queue_removed")

    def _phone_changed(self, inp: i.PhoneChanged) -> None:
        agent_id = self._by_extension.get(inp.extension)
        if agent_id is not None:  # else a phone of somebody who is no agent
            self._set_phone(agent_id, inp.registered, inp.node)

    def _set_phone(self, agent_id: str, registered: bool, node: str) -> None:
        agent = self.state.agent(agent_id)
        if not registered and agent.node not in ("", node):
            return self._ignore("phone is registered with another node", agent_id=agent_id)
        if (agent.registered, agent.node) != (registered, node):
            self._emit(f.AgentPhoneChanged(agent_id, registered, node))
            self._settle_phone(self.state.agent(agent_id))
        return None

    def _phones_listed(self, inp: i.PhonesListed) -> None:
        """Agents who were never seen registering stay reachable: an offer will tell."""
        for extension, agent_id in sorted(self._by_extension.items()):
            agent = self.state.agent(agent_id)
            listed = extension in inp.extensions
            if listed or (agent.registered and agent.node == inp.node):
                self._set_phone(agent_id, listed, inp.node)

    def _node_seen(self, inp: i.NodeSeen) -> None:
        if self.state.node_up(inp.node) == inp.up:
            return
        self._emit(f.NodeChanged(inp.node, inp.up))
        for agent in [a for a in self.state.agents.values() if a.node == inp.node]:
            self._settle_phone(agent)

    # -- handlers: observations

    def _contact_waiting(self, inp: i.ContactWaiting) -> None:
        known = self.state.contacts.get(inp.contact_id)
        if known is not None:
            if not (inp.recovered and known.status == "talking"):
                return self._ignore("contact waits already", contact_id=inp.contact_id)
            # The agent's leg vanished unseen and queue found the caller parked: back to the former place.
            self._emit(self._queued(known, known.queue))
            return self._end_talk(known)
        if inp.contact_id in self.state.closed and not inp.recovered:
            return self._ignore("contact is closed", contact_id=inp.contact_id)
        # Recovered though closed: its end was a mistake, for FreeSWITCH has the caller. It is a contact again.
        rules = self.center.queues.get(inp.queue)
        full = rules is not None and not inp.recovered and self._is_full(inp.queue)
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
            )
        )
        if rules is None or full:
            self._overflow(inp.contact_id, "max_length" if full else "queue_removed")
        return None

    def _open_offer(self, inp: i.OfferRinging | i.OfferAnswered | i.OfferFailed) -> Offer | None:
        offer = self.state.offers.get(inp.offer_id)
        if offer is None or (offer.contact_id, offer.agent_id) != (inp.contact_id, inp.agent_id):
            self._ignore(
                "offer is over", contact_id=inp.contact_id, agent_id=inp.agent_id, offer_id=inp.offer_id
            )
            return None
        return offer

    def _offer_reported(self, inp: i.OfferRinging | i.OfferAnswered) -> None:
        self._open_offer(inp)

    def _offer_failed(self, inp: i.OfferFailed) -> None:
        if offer := self._open_offer(inp):
            outcome = inp.outcome if inp.outcome in FAILURES else "failed"
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
        if contact.status == "talking":
            self._end_talk(contact)
        elif offer := self.state.offers.get(contact.offer_id):
            if offer.offer_id == offer_id:
                self._emit(f.OfferEnded(offer_id, contact_id, agent_id, "accepted"))
            else:
                self._withdraw(offer, "answered_by_other")
        self._release(agent_id)
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

    def _release(self, agent_id: str) -> None:
        """End whatever the agent was doing, because FreeSWITCH says that a conversation has begun."""
        agent = self.state.agent(agent_id)
        if other := self.state.offers.get(agent.offer_id):
            self._end_offer(other, "withdrawn", "agent_bridged_elsewhere")
        elif agent.activity == "wrap_up":
            self._end_wrap_up(agent_id, "", "bridged")
        elif agent.activity == "talking" and (former := self.state.contacts.get(agent.contact_id)):
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
        if contact is not None and contact.status == "offered" and contact.offer_id == inp.offer_id:
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

    def _contact_gone(self, inp: i.ContactGone) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None:
            return self._ignore("contact is closed", contact_id=inp.contact_id)
        if contact.status == "talking":
            # ConversationEnded comes before or after; a contact without a leg cannot be left open to wait for it.
            outcome = "ended_unseen" if inp.unseen else "completed"
            talk_ms = self._ms_since(contact.connected_at_us)
            return self._close(contact, outcome, talk_ms=talk_ms, ended_by="caller", cause=inp.cause)
        if offer := self.state.offers.get(contact.offer_id):
            self._withdraw(offer, inp.cause)
        outcome = "ended_unseen" if inp.unseen else "abandoned"
        return self._close(contact, outcome, ended_by="caller", cause=inp.cause)

    def _disposition_keyed(self, inp: i.DispositionKeyed) -> None:
        agent = self.state.agent(inp.agent_id)
        if agent.activity != "wrap_up" or agent.contact_id != inp.contact_id:
            return self._ignore("wrap-up is over", contact_id=inp.contact_id, agent_id=inp.agent_id)
        if inp.code not in self.center.dispositions:
            return self._ignore("unknown disposition", contact_id=inp.contact_id, agent_id=inp.agent_id)
        return self._end_wrap_up(inp.agent_id, inp.code, "key")

    # -- handlers: wishes

    def _presence_wished(self, inp: i.SetAgentPresence) -> None:
        agent_id = self._named(inp)
        if agent_id is None:
            return self._refuse_unknown(inp)
        agent = self.state.agent(agent_id)
        presence = inp.presence
        if presence == "toggle":
            presence = "available" if agent.presence == "offline" else "offline"
        if presence not in PRESENCES:
            expected = f"expected one of {', '.join(PRESENCES)}, toggle; found {inp.presence!r}"
            return self._refuse(inp.request_id, "unknown-presence", expected, 422)
        reason = inp.reason if presence == "break" else ""
        if reason and (reason in SYSTEM_REASONS or reason not in self.center.break_reasons):
            expected = (
                f"expected one of {', '.join(sorted(self.center.break_reasons)) or 'none'}; found {reason!r}"
            )
            return self._refuse(inp.request_id, "unknown-reason", expected, 422)
        if (agent.presence, agent.reason) != (presence, reason):
            self._set_presence(agent_id, presence, reason, inp.actor or "agent")
        self._answer = (inp.request_id, agent_id)
        return None

    def _disposition_wished(self, inp: i.SetDisposition) -> None:
        agent_id = self._named(inp)
        if agent_id is None:
            return self._refuse_unknown(inp)
        if self.state.agent(agent_id).activity != "wrap_up":
            return self._refuse(inp.request_id, "not-in-wrap-up", f"agent {agent_id} is not in wrap-up")
        if inp.code not in self.center.dispositions:
            expected = (
                f"expected one of {', '.join(sorted(self.center.dispositions)) or 'none'}; found {inp.code!r}"
            )
            return self._refuse(inp.request_id, "unknown-disposition", expected, 422)
        self._end_wrap_up(agent_id, inp.code, inp.by or "http")
        self._answer = (inp.request_id, agent_id)
        return None

    def _refuse_unknown(self, inp: i.SetAgentPresence | i.SetDisposition) -> None:
        who = f"id {inp.agent_id!r}" if inp.agent_id else f"extension {inp.extension!r}"
        self._refuse(inp.request_id, "unknown-agent", f"there is no agent with {who}", 404)
