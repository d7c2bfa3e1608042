"""A simulated day of a contact center through routing's real core: seeded, event by event, as fast as the core is.

The world around the engine is small: callers arrive and lose patience, phones are answered after a while or not at
all, talks last, agents come, take breaks and go. It does what the queue service would: reports what happened about
each offer it reads from the log.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Center, Policy
from services.routing.core.state import State
from services.whatif.driver import START_US, Driver


class World(msgspec.Struct, frozen=True):
    """How callers and agents behave. Times in seconds; ``patience_s`` 0 is endless."""

    arrivals_per_h: float
    talk_s: float
    patience_s: float = 0.0
    answer_s: float = 0.0
    no_answer: float = 0.0
    declined: float = 0.0
    break_every_s: float = 0.0
    break_s: float = 600.0
    queues: tuple[str, ...] = ("main",)
    skills: tuple[tuple[str, ...], ...] = ((),)


class Day(Driver):
    """One run. ``kpis`` and ``digest`` are its result."""

    def __init__(
        self, center: Center, world: World, *, hours: float, seed: int, check_every: int = 0
    ) -> None:
        super().__init__(center, seed=seed)
        self.world = world
        self.log: list[f.Decided] = []
        self.check_every = check_every
        self.end_us = START_US + round(hours * 3_600_000_000)
        self._calls = 0

    def run(self) -> Day:
        """Play the day and the evening until the last caller has left."""
        self.take_over()
        for agent_id in self.center.agents:
            self._log_in(agent_id)
        self.after(self._exp(3600 / self.world.arrivals_per_h), self._arrive)
        self.play()
        return self

    def decided(self, entry: f.Decided) -> None:
        self.log.append(entry)
        for fact in entry.facts:
            if isinstance(fact, f.OfferMade):
                self._ring(fact)

    def feed(self, inp: i.AnyInput) -> None:
        super().feed(inp)
        if self.check_every and self.inputs % self.check_every == 0:
            assert self.engine.check() == []

    def facts(self, kind: type[Any]) -> list[Any]:
        """All facts of a kind, in order."""
        return [fact for entry in self.log for fact in entry.facts if isinstance(fact, kind)]

    # -- the world

    def _exp(self, mean_s: float) -> float:
        return self.random.expovariate(1 / mean_s)

    def _log_in(self, agent_id: str) -> None:
        self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")
        if self.world.break_every_s and self.now_us < self.end_us:
            self.after(self._exp(self.world.break_every_s), self._take_break, agent_id)

    def _take_break(self, agent_id: str) -> None:
        self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="break")
        self.after(self._exp(self.world.break_s), self._log_in, agent_id)

    def _arrive(self) -> None:
        self._calls += 1
        contact_id = f"c{self._calls}"
        self.tell(
            i.ContactWaiting,
            contact_id=contact_id,
            node="fs1",
            queue=self.random.choice(self.world.queues),
            skills=self.random.choice(self.world.skills),
            waiting_since_us=self.now_us,
        )
        if self.world.patience_s:
            self.after(self._exp(self.world.patience_s), self._lose_patience, contact_id)
        next_s = self._exp(3600 / self.world.arrivals_per_h)
        if self.now_us + next_s * 1e6 < self.end_us:
            self.after(next_s, self._arrive)

    def _lose_patience(self, contact_id: str) -> None:
        contact = self.engine.state.contacts.get(contact_id)
        if contact is not None and contact.status != "talking":
            self.tell(i.ContactGone, contact_id=contact_id, cause="ORIGINATOR_CANCEL")

    def _ring(self, offer: f.OfferMade) -> None:
        about = {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}
        chance = self.random.random()
        if chance < self.world.no_answer:
            self.after(offer.ring_ms / 1000, lambda: self.tell(i.OfferFailed, outcome="no_answer", **about))
            self.after(offer.ring_ms / 1000 + 30, self._come_back, offer.agent_id)
        elif chance < self.world.no_answer + self.world.declined:
            self.after(1.0, lambda: self.tell(i.OfferFailed, outcome="declined", **about))
        else:
            answer_s = (
                min(self._exp(self.world.answer_s), offer.ring_ms / 1000) if self.world.answer_s else 0.0
            )
            self.after(answer_s, self._answer, about)

    def _come_back(self, agent_id: str) -> None:
        if self.engine.state.agent(agent_id).reason == "no_answer":
            self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")

    def _answer(self, about: dict[str, str]) -> None:
        if about["offer_id"] not in self.engine.state.offers:
            return
        self.tell(i.OfferAnswered, **about)
        self.tell(i.AgentBridged, **about)
        self.after(
            self._exp(self.world.talk_s), lambda: self.tell(i.ConversationEnded, ended_by="caller", **about)
        )


class Kpis(msgspec.Struct, frozen=True):
    """What a day came to."""

    offered: int
    answered: int
    abandoned: int
    overflowed: int
    mean_wait_s: float
    waited_share: float


def kpis(day: Day) -> Kpis:
    """Count a day from its log alone."""
    closed: list[f.ContactClosed] = day.facts(f.ContactClosed)
    offered = [q for q in day.facts(f.ContactQueued) if not q.requeued]
    return Kpis(
        len(offered),
        sum(c.outcome == "completed" for c in closed),
        sum(c.outcome == "abandoned" for c in closed),
        sum(c.outcome == "overflowed" for c in closed),
        sum(c.wait_ms for c in closed) / len(closed) / 1000,
        sum(c.wait_ms > 0 for c in closed) / len(closed),
    )


def replayed(day: Day) -> State:
    """The state that the day's log gives."""
    state = State(Policy())
    for entry in day.log:
        state.replay(entry)
    return state
