"""A whole day of a center through routing's real core: 100,000 callers, 300 agents, and everything that goes wrong on a day.

The world plays callers, phones, agents, FreeSWITCH and the queue service. It knows only what those know: it acts on the facts of
the log and on its own people, never on the engine's state. What happens beside calls that go well:

* callers lose patience while they wait and while a phone rings, some at once; they ask for skills, come with priorities,
  classes, entry points and preferred agents;
* phones ring into the void, decline, are busy or gone; agents pause, go on breaks with a reason, place own calls, hold callers,
  send them on to a colleague or back into a queue, ask for more wrap-up, come and go on shifts; phones unregister;
* reports arrive twice; a FreeSWITCH node is out of reach for a while; the document is changed during the day; queues close;
* the process is killed again and again: another one begins with the last snapshot and the log since, is sent what the dead one had not
  acknowledged, and must have the very same state.

``Ledger`` follows the log with a model of its own and says what is wrong; the world compares it with what its callers lived through.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center
from services.routing.core.state import State
from tests.sim.center import ARRIVALS, LINES, SHIFT_H, SHIFTS, center
from tests.sim.driver import START_US, Driver
from tests.sim.ledger import Ledger

HOUR_US = 3_600_000_000
NODES = ("fs1", "fs2")
OPEN_H, CLOSED_H = 7.0, 22.0
ACKNOWLEDGED_LATE = 64
"""How many inputs a new owner is sent again."""


class Caller(msgspec.Struct):
    """One person on the line. ``outcome`` is what happened in the end, as the person would tell it."""

    contact_id: str
    queue: str
    node: str
    arrived_us: int
    talking_to: str = ""
    answered_us: int = 0
    moved: int = 0
    gone: bool = False
    outcome: str = ""


class Rates(msgspec.Struct, frozen=True):
    """What goes how wrong: shares of offers, of talks and of agent hours."""

    no_answer: float = 0.02
    declined: float = 0.01
    busy: float = 0.004
    unreachable: float = 0.002
    hasty: float = 0.03
    """Callers who are gone within seconds."""
    held: float = 0.06
    transferred: float = 0.03
    dropped: float = 0.005
    """Talks in which the agent's leg is lost."""
    consulted: float = 0.02
    repeated: float = 0.01
    unregisters_per_h: float = 0.05
    own_calls_per_h: float = 0.3
    short_breaks_per_h: float = 0.5


class CenterDay(Driver):
    """One day. ``ledger.broken`` names everything that was wrong; ``takeovers`` counts the kills."""

    def __init__(self, *, calls: int, seed: int, kills: int = 12, check_every: int = 25_000) -> None:
        super().__init__(center(), seed=seed)
        self.rates = Rates()
        self.ledger = Ledger(self.center)
        self.calls = calls
        self.kills, self.check_every = kills, check_every
        self.takeovers = self.checks = self.repeats = 0
        self.callers: dict[str, Caller] = {}
        self.outcomes: dict[str, int] = {}
        self._extensions: dict[str, str] = {r.extension: a for a, r in self.center.agents.items()}
        self._off_duty: set[str] = set(self.center.agents)
        self._phones: dict[str, str] = {}
        """Agents at a working phone and its node."""
        self._offers: dict[str, f.OfferMade] = {}
        self._activity: dict[str, str] = {}
        self._presence: dict[str, str] = {}
        self._closed: frozenset[str] = frozenset()
        self._snapshot = self.engine.state.dump()
        self._tail: list[f.Decided] = []
        self._delivered: list[i.AnyInput] = []

    def run(self) -> CenterDay:
        """Play from midnight to the last caller after the next one."""
        self.take_over()
        self._hours(at_night=True)
        self.after(OPEN_H * 3600, self._hours, False)
        self.after(CLOSED_H * 3600, self._hours, True)
        self._shifts()
        for at_us, queue in self._arrivals():
            self.after((at_us - START_US) / 1e6, self._arrive, queue)
        for n in range(self.kills):
            self.after(self.random.uniform(0.5, 23.5) * 3600, self._kill, f"process-{n}")
        self.after(self.random.uniform(9, 17) * 3600, self._lose_node, "fs2")
        self.after(11 * 3600, self._revise, "midday", self._midday())
        self.after(15 * 3600, self._revise, "evening", center())
        self.play()
        self._fail_over("the last")
        self.ledger.finish()
        self._compare()
        return self

    # -- what the driver asks for

    def decided(self, entry: f.Decided) -> None:
        self._tail.append(entry)
        self.ledger.take(entry)
        for fact in entry.facts:
            react = _REACTIONS.get(type(fact))
            if react is not None:
                react(self, fact)

    def feed(self, inp: i.AnyInput) -> None:
        super().feed(inp)
        if inp.input_id:
            self._delivered.append(inp)
            if len(self._delivered) > 2 * ACKNOWLEDGED_LATE:
                del self._delivered[:ACKNOWLEDGED_LATE]
            if self.random.random() < self.rates.repeated:
                self._again(inp)
        if self.inputs % self.check_every == 0:
            self._check()

    def _again(self, inp: i.AnyInput) -> None:
        """Deliver an input for the second time: nothing may be decided anew. A wish is answered with the present state."""
        self.repeats += 1
        for output in self.engine.handle(inp):
            if isinstance(output, (i.Decide, i.ArmTimer, i.CancelTimer)):
                self.ledger.wrong(f"{inp} came twice and led to {output}")

    def _check(self) -> None:
        self.checks += 1
        for problem in self.engine.check():
            self.ledger.wrong(f"input {self.inputs}: {problem}")

    # -- callers

    def _arrivals(self) -> list[tuple[int, str]]:
        """A Poisson process with the rate of each hour, given that exactly ``calls`` came: then their times are independent."""
        chance = self.random
        hours = chance.choices(range(24), ARRIVALS, k=self.calls)
        times = sorted(START_US + round((hour + chance.random()) * HOUR_US) for hour in hours)
        by_day, by_night = list(LINES), [q for q, line in LINES.items() if line.around_the_clock]
        day = list(accumulate(LINES[q].share for q in by_day))
        night = list(accumulate(LINES[q].share for q in by_night))
        found = []
        for at_us in times:
            opened = OPEN_H <= (at_us - START_US) / HOUR_US < CLOSED_H
            if opened or chance.random() < 0.05:
                found.append((at_us, chance.choices(by_day, cum_weights=day)[0]))
            else:
                found.append((at_us, chance.choices(by_night, cum_weights=night)[0]))
        return found

    def _arrive(self, queue: str) -> None:
        chance, line = self.random, LINES[queue]
        caller = Caller(f"c{len(self.callers):06}", queue, NODES[chance.random() < 0.4], self.now_us)
        self.callers[caller.contact_id] = caller
        skills = line.asks[0][0]
        if len(line.asks) > 1:
            skills = chance.choices([s for s, _ in line.asks], [share for _, share in line.asks])[0]
        self.tell(
            i.ContactWaiting,
            contact_id=caller.contact_id,
            node=caller.node,
            queue=queue,
            skills=skills,
            priority=1 if chance.random() < 0.05 else 0,
            service_class="gold" if chance.random() < 0.04 else "",
            entry_point="tehran" if chance.random() < 0.5 else "other",
            preferred_agent=f"a{chance.randrange(300):03}" if chance.random() < 0.05 else "",
            waiting_since_us=self.now_us,
        )
        if not caller.gone:
            mean_s = 4.0 if chance.random() < self.rates.hasty else line.patience_s
            self.after(chance.expovariate(1 / mean_s), self._lose_patience, caller)

    def _lose_patience(self, caller: Caller) -> None:
        if not caller.gone and not caller.talking_to and not caller.answered_us:
            self._hang_up(caller, "abandoned")

    def _hang_up(self, caller: Caller, outcome: str) -> None:
        self._leave(caller, outcome)
        self.tell(i.ContactGone, contact_id=caller.contact_id, cause="NORMAL_CLEARING")

    def _leave(self, caller: Caller, outcome: str) -> None:
        caller.gone, caller.outcome = True, "answered" if caller.answered_us else outcome
        caller.talking_to = ""

    def _sent_away(self, fact: f.ContactOverflowed) -> None:
        if fact.action != "queue":
            outcome = "overflowed" if fact.action == "transfer" else fact.reason
            self._leave(self.callers[fact.contact_id], outcome)
            self.after(3.0, self._farewell_over, fact.contact_id)

    def _farewell_over(self, contact_id: str) -> None:
        self.tell(i.ContactGone, contact_id=contact_id, cause="NORMAL_CLEARING")

    # -- phones

    def _offered(self, offer: f.OfferMade) -> None:
        """Ring: 0.2 s to the first ringing, then whatever this phone does."""
        chance, rates = self.random, self.rates
        self._offers[offer.offer_id] = offer
        draw = chance.random()
        for outcome, share, after_s in (
            ("no_answer", rates.no_answer, offer.ring_ms / 1000),
            ("declined", rates.declined, 2.0),
            ("busy", rates.busy, 0.15),
            ("unreachable", rates.unreachable, 0.1),
        ):
            if draw < share:
                self.after(after_s, self._fail, offer, outcome)
                break
            draw -= share
        else:
            answer_s = min(0.4 + chance.gammavariate(2.0, 1.2), offer.ring_ms / 1000)
            self.after(answer_s, self._pick_up, offer)
        self.after(0.2, self._ringing, offer)

    def _about(self, offer: f.OfferMade) -> dict[str, Any]:
        return {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}

    def _ringing(self, offer: f.OfferMade) -> None:
        if offer.offer_id in self._offers:
            self.tell(i.OfferRinging, **self._about(offer))

    def _fail(self, offer: f.OfferMade, outcome: str) -> None:
        if offer.offer_id in self._offers:
            self.tell(i.OfferFailed, outcome=outcome, cause=outcome.upper(), **self._about(offer))

    def _pick_up(self, offer: f.OfferMade) -> None:
        if offer.offer_id in self._offers:
            self.tell(i.OfferAnswered, **self._about(offer))
            self.after(0.06, self._bridge, offer)

    def _bridge(self, offer: f.OfferMade) -> None:
        caller = self.callers[offer.contact_id]
        if offer.offer_id not in self._offers or caller.gone:
            return None
        if offer.kind == "consult":
            return self._ask(offer)
        caller.answered_us = caller.answered_us or self.now_us
        return self._talk(caller, offer.agent_id, offer.offer_id)

    def _talk(self, caller: Caller, agent_id: str, offer_id: str) -> None:
        chance, rates = self.random, self.rates
        caller.talking_to = agent_id
        self.tell(
            i.AgentBridged,
            offer_id=offer_id,
            contact_id=caller.contact_id,
            agent_id=agent_id,
            node=caller.node,
        )
        # Log-normal with a coefficient of variation of 1.2, as talks are.
        talk_s = LINES[caller.queue].talk_s * chance.lognormvariate(-0.446, 0.944)
        about = (caller, agent_id, offer_id, self.now_us)
        if chance.random() < rates.held:
            self.after(talk_s * 0.5, self._hold, i.ContactHeld, caller, agent_id)
            self.after(talk_s * 0.8, self._hold, i.ContactResumed, caller, agent_id)
        passes_on = chance.random() if caller.moved < 2 else 1.0
        for act, share in (
            (self._send_on, rates.transferred),
            (self._send_back, rates.dropped),
            (self._consult, rates.consulted),
        ):
            if passes_on < share:
                self.after(talk_s, act, *about)
                break
            passes_on -= share
        else:
            self.after(talk_s, self._end_talk, *about)

    def _hold(self, kind: type[Any], caller: Caller, agent_id: str) -> None:
        if caller.talking_to == agent_id:
            self.tell(kind, agent_id=agent_id, contact_id=caller.contact_id)

    def _end_talk(self, caller: Caller, agent_id: str, offer_id: str, since_us: int) -> None:
        if caller.talking_to != agent_id:
            return
        ended_by = "caller" if self.random.random() < 0.7 else "agent"
        self._leave(caller, "answered")
        self.tell(
            i.ConversationEnded,
            offer_id=offer_id,
            contact_id=caller.contact_id,
            agent_id=agent_id,
            ended_by=ended_by,
            talk_ms=(self.now_us - since_us) // 1000,
        )
        self.tell(i.ContactGone, contact_id=caller.contact_id, cause="NORMAL_CLEARING")

    def _somebody(self) -> str:
        """A colleague; mostly one who seems to be idle."""
        if self.random.random() < 0.1:
            return self.random.choice(list(self.center.agents))
        idle = [a for a in self._phones if self._activity.get(a) == "idle"]
        return self.random.choice(idle or list(self.center.agents))

    def _send_on(self, caller: Caller, agent_id: str, offer_id: str, since_us: int) -> None:
        """A blind transfer to a colleague, a queue or a number outside; what is refused goes on and ends soon."""
        if caller.talking_to != agent_id:
            return
        caller.moved += 1
        kind = self.random.choices(("agent", "queue", "number"), (6, 3, 1))[0]
        target = {"queue": self.random.choice(list(LINES)), "number": "+98212345"}.get(
            kind
        ) or self._somebody()
        about = {"offer_id": offer_id, "contact_id": caller.contact_id, "agent_id": agent_id}
        self.tell(i.TransferRequested, request_id=f"t{self.inputs}", target_kind=kind, target=target, **about)
        if caller.talking_to == agent_id:
            self.after(5.0, self._end_talk, caller, agent_id, offer_id, since_us)

    def _sent_on(self, fact: f.ContactTransferred) -> None:
        caller = self.callers[fact.contact_id]
        caller.talking_to = ""
        if fact.target_kind == "number":
            return self._leave(caller, "answered")
        return self.after(self.random.expovariate(1 / 300), self._give_up, caller, caller.moved)

    def _send_back(self, caller: Caller, agent_id: str, offer_id: str, since_us: int) -> None:
        """The agent's leg is lost and the caller's is not: the caller waits again, at the old place."""
        if caller.talking_to != agent_id:
            return
        caller.moved += 1
        caller.talking_to = ""
        self.tell(
            i.ContactWaiting,
            contact_id=caller.contact_id,
            node=caller.node,
            queue=caller.queue,
            waiting_since_us=caller.arrived_us,
            recovered=True,
        )
        self.after(self.random.expovariate(1 / 300), self._give_up, caller, caller.moved)

    def _give_up(self, caller: Caller, moved: int) -> None:
        if not caller.gone and not caller.talking_to and caller.moved == moved:
            self._hang_up(caller, "answered")

    def _consult(self, caller: Caller, agent_id: str, offer_id: str, since_us: int) -> None:
        """Ask a colleague, who is rung; the caller may leave at any moment."""
        if caller.talking_to != agent_id:
            return
        caller.moved += 1
        about = {"offer_id": offer_id, "contact_id": caller.contact_id, "agent_id": agent_id}
        self.tell(
            i.TransferRequested,
            request_id=f"t{self.inputs}",
            target_kind="agent",
            target=self._somebody(),
            consult=True,
            **about,
        )
        self.after(self.random.uniform(8, 60), self._end_talk, caller, agent_id, offer_id, since_us)

    def _ask(self, offer: f.OfferMade) -> None:
        """The colleague has picked up; 60 % take the caller over, the others just answer."""
        caller = self.callers[offer.contact_id]
        about = self._about(offer)
        self.tell(i.ConsultStarted, from_agent_id=caller.talking_to, **about)
        takes = self.random.random() < 0.6
        self.after(self.random.uniform(3, 30), self._answer_consult, offer, caller.talking_to, takes)

    def _answer_consult(self, offer: f.OfferMade, by: str, takes: bool) -> None:
        caller = self.callers[offer.contact_id]
        if caller.gone or caller.talking_to != by:
            return
        outcome = "completed" if takes else "cancelled"
        self.tell(i.ConsultEnded, outcome=outcome, **self._about(offer))
        if takes:
            self._talk(caller, offer.agent_id, offer.offer_id)

    def _offer_over(self, fact: f.OfferEnded) -> None:
        self._offers.pop(fact.offer_id, None)

    # -- agents

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

    # -- the house

    def _hours(self, at_night: bool) -> None:
        self._closed = frozenset(q for q, line in LINES.items() if at_night and not line.around_the_clock)
        self.tell(i.HoursChanged, closed=self._closed)

    def _lose_node(self, node: str) -> None:
        """The connection is gone for two minutes: talks go on, nobody there is offered, nobody loses the place."""
        self.tell(i.NodeSeen, node=node, up=False)
        self.after(120, self._regain_node, node)

    def _regain_node(self, node: str) -> None:
        self.tell(i.NodeSeen, node=node, up=True)

    def _midday(self) -> Center:
        """Another document: a queue is gone, ten agents serve other queues, two have left the house."""
        now = center()
        queues = {q: rules for q, rules in now.queues.items() if q != "returns"}
        agents = {}
        for n, (agent_id, rules) in enumerate(now.agents.items()):
            served = tuple(q for q in rules.queues if q != "returns")
            if n % 30 == 0:
                served = (*dict.fromkeys((*served, "orders")),)
            if n not in (77, 177):
                agents[agent_id] = msgspec.structs.replace(rules, queues=served)
        return msgspec.structs.replace(
            now, revision="midday", queues=queues, agents=agents, between_queues="share"
        )

    def _revise(self, revision: str, revised: Center) -> None:
        self.center = msgspec.structs.replace(revised, revision=revision)
        self.ledger.center = self.center
        self.tell(i.CenterRevised, center=self.center)

    def _kill(self, owner: str) -> None:
        self._fail_over(owner)
        self.takeovers += 1

    def _fail_over(self, owner: str) -> None:
        """The snapshot and the log since must give the very state that the dead process had; then that one goes on."""
        state = State.load(self._snapshot, self.policy)
        assert state is not None
        for entry in self._tail:
            state.replay(entry)
        if state.dump() != self.engine.state.dump():
            self.ledger.wrong(f"{owner}: snapshot and log give another state than the process had")
        self._tail.clear()
        self.resume(state)
        self.take_over(owner)
        self.tell(i.HoursChanged, closed=self._closed)
        for inp in self._delivered[-ACKNOWLEDGED_LATE:]:
            if isinstance(inp, _ON_THE_BUS):
                self._again(inp)
        self._snapshot = self.engine.state.dump()
        self._tail.clear()
        self._check()

    def _compare(self) -> None:
        """Call by call: what the log says of a caller is what that caller lived through."""
        for caller in self.callers.values():
            self.outcomes[caller.outcome] = self.outcomes.get(caller.outcome, 0) + 1
            said = self.ledger.closed.get(caller.contact_id)
            if said is None or not caller.gone:
                self.ledger.wrong(f"{caller} and {said}: not over")
                continue
            if said.result not in _IN_THE_LOG[caller.outcome]:
                self.ledger.wrong(f"{caller} ended as {said}")
            if caller.answered_us:
                waited_ms = (caller.answered_us - caller.arrived_us) // 1000
                if said.wait_ms != waited_ms:
                    self.ledger.wrong(f"{caller} waited {waited_ms} ms, the log says {said}")


_IN_THE_LOG = {
    "answered": ("answered",),
    "abandoned": ("abandoned", "short_abandon"),
    "overflowed": ("overflowed",),
    "max_wait": ("timed_out",),
    "max_length": ("full",),
    "no_agent": ("no_agent",),
    "closed": ("closed",),
    "queue_removed": ("closed",),
}

_ON_THE_BUS = (
    i.ContactWaiting,
    i.OfferRinging,
    i.OfferFailed,
    i.OfferAnswered,
    i.AgentBridged,
    i.ConversationEnded,
    i.ContactGone,
    i.DispositionKeyed,
    i.ContactHeld,
    i.ContactResumed,
    i.TransferRequested,
    i.ConsultStarted,
    i.ConsultEnded,
)
"""Reports of the queue service: a stream that is read on from the last report that the log names."""

_REACTIONS: dict[type[Any], Any] = {
    f.OfferMade: CenterDay._offered,
    f.OfferEnded: CenterDay._offer_over,
    f.ContactOverflowed: CenterDay._sent_away,
    f.ContactTransferred: CenterDay._sent_on,
    f.AgentPresenceChanged: CenterDay._presence_is,
    f.AgentActivityChanged: CenterDay._activity_is,
}
