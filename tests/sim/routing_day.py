"""A simulated day of a contact center through routing's real core: seeded, event by event, as fast as the core is.

The world around the engine is small: callers arrive and lose patience, phones are answered after a while or not at
all, talks last, agents come, take breaks and go. It does what the queue service would: reports what happened about
each offer it reads from the log.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Center, Policy
from services.routing.core.engine import Engine
from services.routing.core.state import State

START_US = 1_767_225_600_000_000


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


class Day:
    """One run. ``kpis`` and ``digest`` are its result."""

    def __init__(
        self, center: Center, world: World, *, hours: float, seed: int, check_every: int = 0
    ) -> None:
        self.center, self.world = center, world
        self.random = random.Random(seed)
        self.engine = Engine(center, Policy())
        self.log: list[f.Decided] = []
        self.inputs = 0
        self.check_every = check_every
        self.now_us = START_US
        self.end_us = START_US + round(hours * 3_600_000_000)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._timers: dict[tuple[str, str], int] = {}
        self._calls = 0
        self._hash = hashlib.sha256()

    def run(self) -> Day:
        """Play the day and the evening until the last caller has left."""
        self._do(i.TakenOver(at_us=self.now_us, owner="sim", epoch=1))
        for agent_id in self.center.agents:
            self._log_in(agent_id)
        self._at(self._exp(3600 / self.world.arrivals_per_h), self._arrive)
        while self._heap:
            self.now_us, _, action = heapq.heappop(self._heap)
            action()
        return self

    @property
    def digest(self) -> str:
        """Hash over every decision in order."""
        return self._hash.hexdigest()

    def facts(self, kind: type[Any]) -> list[Any]:
        return [fact for entry in self.log for fact in entry.facts if isinstance(fact, kind)]

    # -- the world

    def _exp(self, mean_s: float) -> float:
        return self.random.expovariate(1 / mean_s)

    def _at(self, after_s: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (self.now_us + round(after_s * 1e6), self._serial, action))

    def _do(self, inp: i.AnyInput) -> None:
        self.inputs += 1
        for output in self.engine.handle(inp):
            if isinstance(output, i.Decide):
                entry = f.Decided(1, "sim", self.engine.state.at_us, output.facts, inp.input_id)
                self.log.append(entry)
                self._hash.update(msgspec.msgpack.encode(entry))
                for fact in output.facts:
                    if isinstance(fact, f.OfferMade):
                        self._ring(fact)
            elif isinstance(output, i.ArmTimer):
                self._arm(output.timer, output.at_us)
            elif isinstance(output, i.CancelTimer):
                self._timers.pop(output.timer, None)
        if self.check_every and self.inputs % self.check_every == 0:
            assert self.engine.check() == []

    def _send(self, kind: type[Any], **fields: Any) -> None:
        self._do(kind(at_us=self.now_us, input_id=f"s{self.inputs}", **fields))

    def _arm(self, timer: tuple[str, str], at_us: int) -> None:
        self._timers[timer] = at_us

        def fire() -> None:
            if self._timers.get(timer) == at_us:
                del self._timers[timer]
                self._do(i.TimerFired(at_us=self.now_us, timer=timer))

        self._at(max(0, at_us - self.now_us) / 1e6, fire)

    def _log_in(self, agent_id: str) -> None:
        self._send(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")
        if self.world.break_every_s and self.now_us < self.end_us:
            self._at(self._exp(self.world.break_every_s), lambda: self._take_break(agent_id))

    def _take_break(self, agent_id: str) -> None:
        self._send(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="break")
        self._at(self._exp(self.world.break_s), lambda: self._log_in(agent_id))

    def _arrive(self) -> None:
        self._calls += 1
        contact_id = f"c{self._calls}"
        self._send(
            i.ContactWaiting,
            contact_id=contact_id,
            node="fs1",
            queue=self.random.choice(self.world.queues),
            skills=self.random.choice(self.world.skills),
            waiting_since_us=self.now_us,
        )
        if self.world.patience_s:
            self._at(self._exp(self.world.patience_s), lambda: self._lose_patience(contact_id))
        next_s = self._exp(3600 / self.world.arrivals_per_h)
        if self.now_us + next_s * 1e6 < self.end_us:
            self._at(next_s, self._arrive)

    def _lose_patience(self, contact_id: str) -> None:
        contact = self.engine.state.contacts.get(contact_id)
        if contact is not None and contact.status != "talking":
            self._send(i.ContactGone, contact_id=contact_id, cause="ORIGINATOR_CANCEL")

    def _ring(self, offer: f.OfferMade) -> None:
        about = {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}
        chance = self.random.random()
        if chance < self.world.no_answer:
            self._at(offer.ring_ms / 1000, lambda: self._send(i.OfferFailed, outcome="no_answer", **about))
            self._at(offer.ring_ms / 1000 + 30, lambda: self._come_back(offer.agent_id))
        elif chance < self.world.no_answer + self.world.declined:
            self._at(1.0, lambda: self._send(i.OfferFailed, outcome="declined", **about))
        else:
            answer_s = (
                min(self._exp(self.world.answer_s), offer.ring_ms / 1000) if self.world.answer_s else 0.0
            )
            self._at(answer_s, lambda: self._answer(about))

    def _come_back(self, agent_id: str) -> None:
        if self.engine.state.agent(agent_id).reason == "no_answer":
            self._send(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")

    def _answer(self, about: dict[str, str]) -> None:
        if about["offer_id"] not in self.engine.state.offers:
            return
        self._send(i.OfferAnswered, **about)
        self._send(i.AgentBridged, **about)
        self._at(
            self._exp(self.world.talk_s), lambda: self._send(i.ConversationEnded, ended_by="caller", **about)
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
