"""What all handlers of the engine share about agents: presence, activity, phone and seat, the end of a talk and of a wrap-up.

A handler reads the state, emits facts, and notes what was ignored or refused. It never touches the index or a timer:
both follow from the facts afterwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.capacity import ABLE
from services.routing.core.center import Center, Policy, QueueRules
from services.routing.core.index import Index
from services.routing.core.records import IN_TALK, Agent, Contact, Offer
from services.routing.core.state import State

FREE = frozenset({"idle", "handling", "unreachable", "own_call"})
"""Activities without a call of ours: they follow from the phone and from what is at hand of other channels."""


CONFIRM_MS = 15_000
"""So long whoever answers at an agent's number outside may take to press the key."""


class WayTo(NamedTuple):
    """How an agent is reached: over the node of the phone, or at a number outside."""

    node: str
    connect_ms: int
    number: str = ""
    confirm: bool = False


class People(ABC):
    """State, configuration and what follows from an end."""

    def __init__(self, center: Center, policy: Policy, state: State) -> None:
        self.policy = policy
        self.state = state
        self._now_us = state.at_us
        self._facts: list[f.Fact] = []
        self._notes: list[i.Output] = []
        self._answer: tuple[str, str, str] | None = None
        """Request, and the agent or the contact whose state answers it."""
        self._closed: frozenset[str] = frozenset()
        """Queues whose hours have ended. No part of the state: whoever owns the tenant is told by the clock."""
        self._use(center)

    def _use(self, center: Center) -> None:
        self.center = center
        self.index = Index(center, self.state)
        self.index.closed = self._closed
        self._own_phone = {rules.extension: agent_id for agent_id, rules in center.agents.items()}
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

    def _ms_since(self, since_us: int) -> int:
        return max(0, self._now_us - since_us) // 1000

    @abstractmethod
    def _withdraw(self, offer: Offer, cause: str) -> None:
        """End an offer that nobody has taken."""

    # -- agents

    def _phone_of(self, agent_id: str) -> str:
        """The phone at which the agent is: the own one, or the one of the present seat (``seats``)."""
        return self.state.agent(agent_id).seat or self.center.agents[agent_id].extension

    def _agent_at(self, extension: str) -> str | None:
        """Who is at the phone; None when nobody is known to be."""
        if seated := self.state.seats.get(extension):
            return seated if seated in self.center.agents else None
        own = self._own_phone.get(extension)
        return own if own is not None and not self.state.agent(own).seat else None

    def _sit(self, agent_id: str, extension: str, node: str, actor: str) -> None:
        """Have an agent at a phone. At the own one that is no seat, but of an agent whose calls go to a number it is: they come here then."""
        rules = self.center.agents.get(agent_id)
        own = rules.extension if rules is not None else ""
        previous = self.state.agent(agent_id).seat or own
        seat = "" if extension == own and not (rules is not None and rules.number) else extension
        self._emit(f.AgentSeatChanged(agent_id, seat, previous, node, actor))
        self._settle_phone(agent_id)

    def _leave_seat(self, agent_id: str) -> None:
        """A seat ends with the log-out, or with the contact in which that came."""
        agent = self.state.agent(agent_id)
        if agent.seat and agent.presence == "offline" and agent.activity in FREE:
            self._emit(f.AgentSeatChanged(agent_id, "", agent.seat, "", "system"))
            self._settle_phone(agent_id)

    def _set_presence(self, agent_id: str, presence: str, reason: str, actor: str) -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.presence_since_us) if agent.presence_since_us else 0
        self._emit(f.AgentPresenceChanged(agent_id, presence, reason, actor, agent.presence, ms))
        self._leave_seat(agent_id)

    def _set_activity(
        self, agent_id: str, activity: str, contact_id: str = "", queue: str = "", limit_ms: int = 0
    ) -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.activity_since_us) if agent.activity_since_us else 0
        self._emit(
            f.AgentActivityChanged(agent_id, activity, contact_id, queue, agent.activity, ms, limit_ms)
        )
        if agent.at_hand and activity not in ABLE:
            # Nobody takes up a chat or an e-mail while the phone rings: somebody else may.
            for one in [one for one in self.state.agent(agent_id).at_hand.values() if one.offer_id]:
                self._withdraw(self.state.offers[one.offer_id], activity)

    def _set_free(self, agent_id: str) -> None:
        self._set_activity(agent_id, self._free_activity(self.state.agent(agent_id)))
        self._leave_seat(agent_id)

    def _number_of(self, agent_id: str) -> str:
        """The number outside at which the agent is; empty: at a phone. Whether anybody is there the offer will tell."""
        rules = self.center.agents.get(agent_id)
        return rules.number if rules is not None and not self.state.agent(agent_id).seat else ""

    def _way_to(self, agent_id: str, connect_ms: int) -> WayTo:
        """What an offer of a call says of the way to the agent; ``connect_ms``: how long it stays open after the answer."""
        if number := self._number_of(agent_id):
            confirm = self.center.agents[agent_id].confirm
            return WayTo("", connect_ms + CONFIRM_MS * confirm, number, confirm)
        return WayTo(self.state.phone_node(self.state.agent(agent_id)), connect_ms)

    def _free_activity(self, agent: Agent) -> str:
        if self._number_of(agent.agent_id):
            return "handling" if agent.handles else "idle"
        if not agent.registered or (agent.node and not self.state.phone_node(agent)):
            return "unreachable"
        if agent.own_legs:
            return "own_call"
        return "handling" if agent.handles else "idle"

    def _settle_phone(self, agent_id: str) -> None:
        """Make an agent without a call idle, handling, unreachable or on an own call, as the phone, its node and the desk are."""
        agent = self.state.agent(agent_id)
        if agent.activity in FREE and agent.activity != self._free_activity(agent):
            self._set_free(agent_id)

    def _end_talk(self, contact: Contact) -> None:
        """Send the agent of a conversation that is over to the after-call work, as the queue's mode has it."""
        agent = self.state.agent(contact.agent_id)
        if agent.activity not in IN_TALK or agent.contact_id != contact.contact_id:
            return
        rules = self.center.queues.get(contact.queue)
        limit_ms = self._wrap_up_ms(rules, agent) if rules else 0
        if limit_ms:
            self._set_activity(agent.agent_id, "wrap_up", contact.contact_id, contact.queue, limit_ms)
        else:
            self._set_free(agent.agent_id)

    @staticmethod
    def _wrap_up_ms(rules: QueueRules, agent: Agent) -> int:
        """How long the wrap-up may last; 0 for none."""
        if rules.wrap_up_mode == "mandatory":
            return rules.wrap_up_max_ms
        if rules.wrap_up_mode == "optional" and not agent.wants_wrap_up:
            return 0
        return rules.wrap_up_ms or (rules.wrap_up_max_ms if agent.wants_wrap_up else 0)

    def _end_wrap_up(self, agent_id: str, disposition: str, by: str) -> None:
        agent = self.state.agent(agent_id)
        ms = self._ms_since(agent.activity_since_us)
        code = disposition or agent.disposition
        self._emit(f.WrapUpEnded(agent_id, agent.contact_id, code, by, ms, agent.queue))
        self._set_free(agent_id)

    def _dispose(self, agent_id: str, code: str, by: str) -> None:
        """Take the result of a contact: it ends the wrap-up, unless that lasts its whole time."""
        agent = self.state.agent(agent_id)
        rules = self.center.queues.get(agent.queue)
        if rules is not None and rules.wrap_up_mode == "timed_no_exit":
            self._emit(f.WrapUpChanged(agent_id, agent.contact_id, "disposed", agent.limit_ms, code, by))
        else:
            self._end_wrap_up(agent_id, code, by)

    def _dispositions(self, queue: str) -> frozenset[str]:
        """The codes that a contact of the queue may end with."""
        rules = self.center.queues.get(queue)
        return (rules.dispositions if rules else None) or self.center.dispositions
