"""Who is called back, and what comes by chat and e-mail: beside the callers, for the same agents.

A caller who waits may ask to be called back, or is asked when the longest wait is over. Queue's part is small here: it calls the
customer when the log has reserved an agent, and says what came of it. A chat service and a mail service bring contacts by wishes and read
the log; agents take up, decline, overlook, release and complete.
"""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.whatif.driver import START_US
from tests.sim.center import ARRIVALS, DESK
from tests.sim.center_callers import CLOSED_H, OPEN_H, Callers
from tests.sim.center_world import HOUR_US, NODES, Caller


class Desk(Callers):
    """Callbacks and other channels."""

    # -- callbacks

    def _sent_away(self, fact: f.ContactOverflowed) -> None:
        if fact.action != "callback":
            return super()._sent_away(fact)
        caller = self.callers[fact.contact_id]
        caller.leaving = fact.reason
        return self.after(self.random.uniform(4, 15), self._answer_the_offer, caller)

    def _answer_the_offer(self, caller: Caller) -> None:
        """Whoever the limit sends away is asked whether to be called back."""
        if not caller.gone and caller.leaving:
            if self.random.random() < 0.6:
                self._ask_for_callback(caller)
            else:
                self._hang_up(caller, caller.leaving)

    def _ask_for_callback(self, caller: Caller) -> None:
        if not caller.gone and not caller.talking_to:
            number = f"0912{caller.contact_id[-6:]}"
            self.tell(i.CallbackAccepted, contact_id=caller.contact_id, number=number)

    def _closed_by_log(self, fact: f.ContactClosed) -> None:
        """The ends that nobody here decides: the place is kept, the callback is given up."""
        caller = self.callers[fact.contact_id]
        if fact.outcome == "callback" and not caller.gone:
            self._leave(caller, fact.result if fact.kind else "callback_taken")

    def _queued(self, fact: f.ContactQueued) -> None:
        if fact.no_leg and fact.contact_id not in self.callers:
            self.callers[fact.contact_id] = Caller(
                fact.contact_id, fact.queue, fact.node, fact.waiting_since_us, callback_id=fact.callback_id
            )

    def _offered(self, offer: f.OfferMade) -> None:
        if offer.channel:
            self._offered_at_desk(offer)
        elif offer.kind == "callback":
            self._offers[offer.offer_id] = offer
            self.after(self.random.uniform(3, 20), self._customer_called, offer)
        else:
            super()._offered(offer)

    def _customer_called(self, offer: f.OfferMade) -> None:
        """65 % answer, and the agent is rung; some agents put down meanwhile."""
        if offer.offer_id not in self._offers:
            return
        caller, draw = self.callers[offer.contact_id], self.random.random()
        about = {"contact_id": offer.contact_id, "callback_id": caller.callback_id}
        if draw < 0.65:
            self.tell(
                i.ContactWaiting,
                node=caller.node,
                queue=caller.queue,
                waiting_since_us=caller.arrived_us,
                **about,
            )
            self.after(self.random.expovariate(1 / 90), self._lose_patience, caller)
            self.after(0.5, self._pick_up, offer)
        elif draw < 0.95:
            caller.outcome = "callback_missed"
            self.tell(i.CallbackAttempted, outcome="busy" if draw < 0.75 else "no_answer", **about)
        else:
            caller.outcome = "callback_missed"
            self.tell(i.CallbackAttempted, outcome="agent_left", agent_outcome="declined", **about)

    def _connected(self, fact: f.ContactConnected) -> None:
        if fact.channel:
            self._taken_up(fact)

    # -- other channels

    def _letters(self, number: int) -> None:
        """Chats while the house is open, e-mails until the evening."""
        chance = self.random
        for channel, (share, _, _, queues) in DESK.items():
            last_h = CLOSED_H - 1 if channel == "chat" else CLOSED_H - 5
            hours = [h for h in range(24) if OPEN_H <= h < last_h]
            for hour in chance.choices(hours, [ARRIVALS[h] for h in hours], k=round(number * share)):
                at_us = START_US + round((hour + chance.random()) * HOUR_US)
                self.after((at_us - START_US) / 1e6, self._bring, channel, chance.choice(queues))

    def _bring(self, channel: str, queue: str) -> None:
        caller = Caller(f"m{len(self.callers):06}", queue, NODES[0], self.now_us, channel=channel)
        self.callers[caller.contact_id] = caller
        self.tell(
            i.EnqueueContact,
            request_id="r",
            contact_id=caller.contact_id,
            channel=channel,
            queue=queue,
            reporter=f"{channel}-service",
        )
        self.after(self.random.expovariate(1 / DESK[channel].patience_s), self._close_window, caller)

    def _close_window(self, caller: Caller) -> None:
        if not caller.gone and not caller.talking_to:
            self._leave(caller, "abandoned")
            self.tell(i.LeaveContact, request_id="r", contact_id=caller.contact_id)

    def _offered_at_desk(self, offer: f.OfferMade) -> None:
        self._offers[offer.offer_id] = offer
        draw = self.random.random()
        if draw < 0.96:  # The others do not see it in time.
            action = "decline" if draw < 0.02 else "accept"
            self.after(self.random.gammavariate(2.0, 2.0), self._answer_at_desk, offer, action)

    def _answer_at_desk(self, offer: f.OfferMade, action: str) -> None:
        if offer.offer_id in self._offers:
            self._handle(offer.agent_id, offer.contact_id, action)

    def _handle(self, agent_id: str, contact_id: str, action: str, code: str = "") -> None:
        self.tell(
            i.HandleContact,
            request_id="r",
            agent_id=agent_id,
            contact_id=contact_id,
            action=action,
            code=code,
        )

    def _taken_up(self, fact: f.ContactConnected) -> None:
        caller, chance = self.callers[fact.contact_id], self.random
        caller.talking_to = fact.agent_id
        caller.answered_us = caller.answered_us or self.now_us
        self.most_at_hand = max(self.most_at_hand, len(self.ledger.people[fact.agent_id].at_hand))
        work_s = DESK[caller.channel].work_s * chance.lognormvariate(-0.446, 0.944)
        self.after(work_s, self._finish, caller, fact.agent_id)

    def _finish(self, caller: Caller, agent_id: str) -> None:
        if caller.gone or caller.talking_to != agent_id:
            return
        if caller.moved < 2 and self.random.random() < 0.04:
            caller.moved += 1
            caller.talking_to = ""
            self._handle(agent_id, caller.contact_id, "release")
            self.after(
                self.random.expovariate(1 / DESK[caller.channel].patience_s), self._close_window, caller
            )
        else:
            self._leave(caller, "answered")
            self._handle(agent_id, caller.contact_id, "complete", self.random.choice("123"))
