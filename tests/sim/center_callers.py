"""The callers of the simulated day and what happens on phones: patience, ringing, talks, holds, transfers, consultations."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.whatif.driver import START_US
from tests.sim.center import ARRIVALS, LINES
from tests.sim.center_people import People
from tests.sim.center_world import HOUR_US, NODES, Caller

OPEN_H, CLOSED_H = 7.0, 22.0


class Callers(People):
    """People on the line."""

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
            if line.asks_callback and chance.random() < line.asks_callback:
                self.after(chance.uniform(0.5, 30), self._ask_for_callback, caller)

    def _ask_for_callback(self, caller: Caller) -> None:
        raise NotImplementedError

    def _lose_patience(self, caller: Caller) -> None:
        if not caller.gone and not caller.talking_to and not caller.answered_us:
            self._hang_up(caller, "abandoned")

    def _hang_up(self, caller: Caller, outcome: str) -> None:
        self._leave(caller, caller.leaving or outcome)
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
