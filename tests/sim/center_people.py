"""The agents of the simulated day: shifts, breaks, phones that get lost, own calls, the work after a talk."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules
from tests.sim.center import SHIFT_H, SHIFTS
from tests.sim.center_world import NODES, World


class People(World):
    """Agents and their phones."""

    def _shifts(self) -> None:
        """Spread the shifts over all departments; agents of a shift come within ten minutes."""
        waiting = list(self.center.agents)
        self.random.shuffle(waiting)
        for hour, number in SHIFTS:
            for agent_id in waiting[:number]:
                self.after((hour + self.random.random() / 6) * 3600, self._come, agent_id)
            del waiting[:number]

    def _come(self, agent_id: str) -> None:
        self._off_duty.discard(agent_id)
        self._phone(agent_id, True)
        self._wish(agent_id, "available")
        chance = self.random
        self.after(SHIFT_H * 3600, self._go, agent_id)
        self.after(chance.uniform(3, 5) * 3600, self._pause, agent_id, "lunch", 1_800.0)
        for act, per_h in (
            (self._short_break, self.rates.short_breaks_per_h),
            (self._unregister, self.rates.unregisters_per_h),
            (self._own_call, self.rates.own_calls_per_h),
        ):
            self.after(chance.expovariate(per_h / 3600), act, agent_id)

    def _go(self, agent_id: str) -> None:
        self._off_duty.add(agent_id)
        self._wish(agent_id, "offline")

    def _wish(self, agent_id: str, presence: str, reason: str = "") -> None:
        self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence=presence, reason=reason)

    def _pause(self, agent_id: str, reason: str, seconds: float) -> None:
        if agent_id not in self._off_duty and self._presence.get(agent_id) == "available":
            self._wish(agent_id, "break", reason)
            self.after(seconds, self._return, agent_id)

    def _return(self, agent_id: str) -> None:
        if agent_id not in self._off_duty and self._presence.get(agent_id) == "break":
            self._wish(agent_id, "available")

    def _short_break(self, agent_id: str) -> None:
        if agent_id not in self._off_duty:
            self._pause(agent_id, "short", self.random.uniform(240, 600))
            self.after(
                self.random.expovariate(self.rates.short_breaks_per_h / 3600), self._short_break, agent_id
            )

    def _phone(self, agent_id: str, registered: bool) -> None:
        rules = self.center.agents.get(agent_id)
        if rules is None:
            return
        node = self._phones.get(agent_id) or NODES[int(rules.extension) % 2]
        if registered:
            self._phones[agent_id] = node
        else:
            self._phones.pop(agent_id, None)
        self.tell(i.PhoneChanged, extension=rules.extension, registered=registered, node=node)

    def _unregister(self, agent_id: str) -> None:
        if agent_id not in self._off_duty:
            self._phone(agent_id, False)
            self.after(self.random.uniform(20, 180), self._phone, agent_id, True)
            self.after(
                self.random.expovariate(self.rates.unregisters_per_h / 3600), self._unregister, agent_id
            )

    def _own_call(self, agent_id: str) -> None:
        rules = self.center.agents.get(agent_id)
        if agent_id in self._off_duty or rules is None:
            return
        node, leg_id = NODES[int(rules.extension) % 2], f"own-{self._serial}"
        if self._activity.get(agent_id) == "idle":
            self._own_leg(rules, leg_id, node, True)
            self.after(self.random.uniform(10, 120), self._own_leg, rules, leg_id, node, False)
        self.after(self.random.expovariate(self.rates.own_calls_per_h / 3600), self._own_call, agent_id)

    def _own_leg(self, rules: AgentRules, leg_id: str, node: str, began: bool) -> None:
        self.tell(
            i.OwnCallChanged,
            extension=rules.extension,
            leg_id=leg_id,
            node=node,
            began=began,
            direction="inbound",
        )

    def _presence_is(self, fact: f.AgentPresenceChanged) -> None:
        self._presence[fact.agent_id] = fact.presence
        if fact.actor == "system" and fact.presence == "break":
            self.after(self.random.uniform(20, 120), self._return, fact.agent_id)

    def _activity_is(self, fact: f.AgentActivityChanged) -> None:
        self._activity[fact.agent_id] = fact.activity
        if fact.activity == "wrap_up":
            rules = self.center.queues.get(fact.queue)
            draw = self.random.random()
            if draw < 0.4 or (rules is not None and rules.wrap_up_mode == "mandatory"):
                self.after(self.random.uniform(2, 12), self._dispose, fact.agent_id, fact.contact_id)
            elif draw < 0.45:
                self.after(1.0, self._more_wrap_up, fact.agent_id, fact.contact_id)
        elif fact.activity == "talking" and fact.queue == "retention":
            self.after(1.0, self._ask_wrap_up, fact.agent_id, fact.contact_id)

    def _dispose(self, agent_id: str, contact_id: str) -> None:
        self.tell(
            i.DispositionKeyed, agent_id=agent_id, contact_id=contact_id, code=self.random.choice("123")
        )

    def _more_wrap_up(self, agent_id: str, contact_id: str) -> None:
        self.tell(i.SetWrapUp, request_id="r", agent_id=agent_id, action="extend")

    def _ask_wrap_up(self, agent_id: str, contact_id: str) -> None:
        self.tell(i.SetWrapUp, request_id="r", agent_id=agent_id, action="request")
