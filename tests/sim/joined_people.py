"""Callers, customers and agents of the joined day: what they do is done to the switch, and routing hears of it as it does in life."""

from __future__ import annotations

from services.queue.core import inputs, outputs
from services.routing.core import facts as f
from services.routing.core import inputs as i
from tests.sim.center import LINES
from tests.sim.center_day import CenterDay
from tests.sim.center_world import NODES, Caller
from tests.sim.joined_node import SimNode
from tests.unit.queue.mini_switch import Leg

TENANT = "demo"
SENT = "sent"
"""Outcome of a caller who was told goodbye, or sent on, by a decision."""
SENT_AWAY = ("farewell", "message", "out")


class JoinedPeople(CenterDay):
    """Who is on the line, by the legs of the nodes."""

    nodes: dict[str, SimNode]

    def _begin_people(self) -> None:
        self._planned: set[tuple[str, str]] = set()
        """Pairs of legs whose talk is planned."""
        self._wishes = 0
        self._wished: dict[str, int] = {}
        """When something was last wished about a contact."""
        self._on_phone: dict[str, set[str]] = {}
        """Legs of each agent's phone."""
        self._own_calls: set[str] = set()
        self._put_down: set[str] = set()
        """Legs whose people have put down."""
        self.collisions = 0
        """Calls of ours that met a phone with a call of ours."""
        self.refused_wishes: dict[str, int] = {}

    # -- callers

    def _arrive(self, queue: str) -> None:
        chance, line = self.random, LINES[queue]
        node = self.nodes[NODES[chance.random() < 0.4]]
        contact_id = f"c{len(self.callers):06}"
        caller = self.callers[contact_id] = Caller(contact_id, queue, node.name, self.now_us)
        skills = chance.choices([s for s, _ in line.asks], [share for _, share in line.asks])[0]
        variables = {
            "cc_tenant": TENANT,
            "cc_queue": queue,
            "cc_state": "waiting",
            "cc_entry": "tehran" if chance.random() < 0.5 else "other",
            "cc_language": "fa",
            "cc_skills": " ".join(skills),
            "cc_priority": "1" if chance.random() < 0.05 else "",
            "cc_class": "gold" if chance.random() < 0.04 else "",
            "cc_preferred_agent": f"a{chance.randrange(300):03}" if chance.random() < 0.05 else "",
            "ani": f"0912{contact_id[1:]}",
        }
        node.park(contact_id, variables, by_ivr=chance.random() < 0.7)
        mean_s = 4.0 if chance.random() < self.rates.hasty else line.patience_s
        self.after(chance.expovariate(1 / mean_s), self._lose_patience, caller)
        if line.asks_callback and chance.random() < line.asks_callback:
            ask_s = chance.uniform(0.2, 3)
            self.after(ask_s, self._press, caller, "1")
            self.after(ask_s + 3, self._press, caller, "1")  # The number is the right one.

    def _leg(self, caller: Caller) -> Leg | None:
        return self.nodes[caller.node].legs.get(caller.contact_id)

    def _press(self, caller: Caller, digit: str) -> None:
        self.nodes[caller.node].key(caller.contact_id, digit)

    def _lose_patience(self, caller: Caller) -> None:
        if not caller.answered_us:
            self._puts_down(caller)

    def _give_up(self, caller: Caller, moved: int) -> None:
        """Somebody who was passed on has waited long enough."""
        leg = self._leg(caller)
        if leg is not None and leg.mode != "bridged" and caller.moved == moved:
            self._puts_down(caller)

    def _puts_down(self, caller: Caller) -> None:
        if (leg := self._leg(caller)) is not None:
            if leg.mode not in SENT_AWAY:
                caller.outcome = caller.outcome or "abandoned"
            self._put_down.add(caller.contact_id)
            self.nodes[caller.node].hang(caller.contact_id)

    def leg_over(self, node: SimNode, leg: Leg) -> None:
        """A leg has ended: by whom it was, decides what the caller lived through."""
        if leg.mode == "bridged" and leg.uuid not in self._put_down:
            self.wrong(f"{leg} was cut off in its talk")
        if not leg.caller:
            self._on_phone.get(leg.vars["cc_agent"], set()).discard(leg.uuid)
            return
        caller = self.callers[leg.uuid]
        caller.gone, caller.talking_to, caller.left_us = True, "", self.now_us
        if caller.answered_us:
            caller.outcome = "answered"
        elif caller.callback_id:
            caller.outcome = "callback_missed"
        elif not caller.outcome:
            caller.outcome = SENT
            if leg.mode not in SENT_AWAY:
                self.wrong(f"{leg} was dropped while it waited")

    # -- phones

    def dials(self, node: SimNode, order: outputs.Originate | outputs.CallCustomer) -> None:
        if isinstance(order, outputs.CallCustomer):
            self._customer_called(node, order)
            return
        chance, rates, ring_s = self.random, self.rates, order.ring_ms / 1000
        legs = self._on_phone.setdefault(order.agent, set())
        cause, after_s = "", min(0.4 + chance.gammavariate(2.0, 1.2), ring_s)
        draw = chance.random()
        for end, share, end_s in (
            ("NO_ANSWER", rates.no_answer, ring_s),
            ("CALL_REJECTED", rates.declined, 2.0),
            ("USER_BUSY", rates.busy, 0.15),
            ("USER_NOT_REGISTERED", rates.unreachable, 0.02),
        ):
            if draw < share:
                cause, after_s = end, end_s
                break
            draw -= share
        if order.agent not in self._phones:
            cause, after_s = "USER_NOT_REGISTERED", 0.02
        elif legs or order.agent in self._own_calls:
            self.collisions += bool(legs)
            cause, after_s = "USER_BUSY", 0.15
        if cause == "USER_NOT_REGISTERED":
            self.after(after_s, node.phone, "fail", order.leg, cause)
            return
        legs.add(order.leg)
        self.after(0.03, node.phone, "create", order.leg)
        self.after(0.2, node.phone, "ring", order.leg)
        if cause:
            self.after(after_s, node.phone, "fail", order.leg, cause)
        else:
            self.after(after_s, node.phone, "answer", order.leg)

    def _customer_called(self, node: SimNode, order: outputs.CallCustomer) -> None:
        """65 % answer, of whom one in ten is a machine; the others are busy or let it ring."""
        chance, given = self.random, dict(order.variables)
        caller = self.callers.get(order.leg)
        if caller is None:
            since_us = int(given["cc_waiting_ms"]) * 1000
            caller = self.callers[order.leg] = Caller(
                order.leg, given["cc_queue"], node.name, since_us, callback_id=given["cc_callback"]
            )
        self.after(0.05, node.phone, "create", order.leg)
        draw = chance.random()
        if draw < 0.65:
            answer_s = chance.uniform(3, 18)
            self.after(answer_s, node.phone, "answer", order.leg)
            if chance.random() < 0.9:
                self.after(answer_s + 4.0, self._press, caller, "1")
            self.after(answer_s + 5 + chance.expovariate(1 / 90), self._lose_patience, caller)
        elif draw < 0.85:
            self.after(order.ring_ms / 1000, node.phone, "fail", order.leg, "NO_ANSWER")
        else:
            self.after(2.0, node.phone, "fail", order.leg, "USER_BUSY")

    def _own_leg(self, rules: object, leg_id: str, node: str, began: bool) -> None:
        agent_id = self._extensions[rules.extension]  # type: ignore[attr-defined]
        (self._own_calls.add if began else self._own_calls.discard)(agent_id)
        super()._own_leg(rules, leg_id, node, began)  # type: ignore[arg-type]

    # -- talks

    def bridged(self, node: SimNode, leg: Leg, other: Leg) -> None:
        """Two legs hear each other; the first time it is said how this goes on."""
        pair = (leg.uuid, other.uuid)
        if not other.caller:
            if pair not in self._planned:
                self._planned.add(pair)
                self._consulting(node, leg, other)
            return
        caller = self.callers[other.uuid]
        caller.answered_us = caller.answered_us or self.now_us
        caller.talking_to = leg.vars["cc_agent"]
        if pair in self._planned:
            return
        self._planned.add(pair)
        chance, rates, agent = self.random, self.rates, leg.vars["cc_agent"]
        talk_s = LINES[caller.queue].talk_s * chance.lognormvariate(-0.446, 0.944)
        if chance.random() < rates.held:
            self.after(talk_s * 0.5, self._wish_of, caller, agent, "hold")
            self.after(talk_s * 0.8, self._wish_of, caller, agent, "resume")
        passes_on = chance.random() if caller.moved < 2 else 1.0
        if passes_on < rates.transferred:
            self.after(talk_s, self._send_on_by_wish, caller, agent)
            talk_s += 20
        elif passes_on < rates.transferred + rates.consulted:
            self.after(talk_s, self._wish_of, caller, agent, "consult", "agent", self._somebody())
            talk_s += chance.uniform(20, 60)
        self.after(talk_s, self._talk_over, node, leg.uuid, caller)

    def _talk_over(self, node: SimNode, agent_leg: str, caller: Caller) -> None:
        """One of the two puts down; who is on hold, or is being passed on, does not."""
        leg, own = node.legs.get(agent_leg), self._leg(caller)
        if leg is None or own is None:
            return
        if leg.mode == "bridged" and leg.partner == own.uuid:
            first = own.uuid if self.random.random() < 0.7 else agent_leg
            self._put_down.add(first)
            node.hang(first)
        else:
            self._wish_of(caller, leg.vars["cc_agent"], "resume")  # Perhaps the first one met nobody.
            self.after(10.0, self._talk_over, node, agent_leg, caller)

    def _wish_of(self, caller: Caller, agent: str, verb: str, kind: str = "", target: str = "") -> None:
        """An agent's wish by HTTP, to the node that has the contact."""
        node = self.nodes[caller.node]
        if caller.talking_to != agent or not (node.owned and node.linked):
            return
        self._wishes += 1
        self._wished[caller.contact_id] = self.now_us
        node.feed(
            inputs.CallWished(
                at_us=self.now_us,
                request_id=f"w{self._wishes}",
                contact=caller.contact_id,
                tenant=TENANT,
                verb=verb,
                agent=agent,
                target_kind=kind,
                target=target,
            )
        )

    def _send_on_by_wish(self, caller: Caller, agent: str) -> None:
        caller.moved += 1
        kind = self.random.choices(("agent", "queue", "number"), (6, 3, 1))[0]
        target = {"queue": self.random.choice(list(LINES)), "number": "+98212345"}.get(
            kind
        ) or self._somebody()
        self._wish_of(caller, agent, "transfer", kind, target)
        self.after(self.random.expovariate(1 / 300) + 60, self._give_up, caller, caller.moved)

    def _consulting(self, node: SimNode, asked: Leg, asks: Leg) -> None:
        """Two agents talk; 60 % of those who are asked take the caller over."""
        caller = self.callers[asks.vars["cc_contact"]]
        verb = "complete" if self.random.random() < 0.6 else "cancel"
        self.after(self.random.uniform(3, 30), self._consulted, caller, asks.vars["cc_agent"], verb)

    def _consulted(self, caller: Caller, agent: str, verb: str) -> None:
        """Whoever wishes it while nobody owns the node wishes it again."""
        node = self.nodes[caller.node]
        if node.owned and node.linked:
            self._wish_of(caller, agent, verb)
        else:
            self.after(5.0, self._consulted, caller, agent, verb)

    def granted(self, answer: outputs.WishAnswered) -> None:
        if answer.slug:
            self.refused_wishes[answer.slug] = self.refused_wishes.get(answer.slug, 0) + 1

    def taken_apart(self, node: SimNode, leg: Leg) -> None:
        """Only somebody's wish, or routing's word on one, takes a pair apart."""
        contact_id = leg.uuid if leg.caller else leg.vars["cc_contact"]
        if contact_id not in self._wished:
            self.wrong(f"{leg} was taken out of its talk by nobody's wish")

    def _dispose(self, agent_id: str, contact_id: str) -> None:
        """The result: a key on the phone while the leg is there, else by HTTP."""
        code = self.random.choice("123")
        for node in self.nodes.values():
            for uuid in self._on_phone.get(agent_id, ()):
                if uuid in node.legs and node.legs[uuid].vars["cc_contact"] == contact_id:
                    node.key(uuid, code)
                    return
        self.tell(i.SetDisposition, request_id="r", agent_id=agent_id, code=code)

    def _connected(self, fact: f.ContactConnected) -> None:
        caller = self.callers[fact.contact_id]
        caller.talking_to = fact.agent_id if not caller.gone else ""
