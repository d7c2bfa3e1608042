"""A day through routing's real core.

Theory of operation
-------------------
The callers of the day come when they came, with the skills, class and priority that they had. Who left on the day has exactly that much patience;
of all others it is known that theirs was longer than their wait, so it is drawn from the survival curve beyond it, anew for each seed. A
conversation has the length that it had; whoever was not answered on the day and is answered now gets that of another caller of the queue. Agents
come, go and take breaks when they did; how long phones ring and how often an offer comes to nothing is drawn from the day's offers. What
the system does to people (breaks after missed calls) it does again; they come back as they did on the day.

Everything between, and only that, is decided by the engine that runs in production: who is offered whom, when a queue overflows, when wrap-up
ends. What is measured is what its facts say.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import SYSTEM_REASONS, Center, Policy
from services.whatif.core.change import Change, busier, staffed
from services.whatif.core.day import (
    Arrival,
    Day,
    Handled,
    Outcomes,
    Stay,
    Talk,
    patience_of,
    talks_of,
)
from services.whatif.driver import Driver

NODE = "fs1"
BRIDGE_MS = 60
"""From the agent's answer to the bridge."""

COUNTED = {
    "talking": "talking_ms",
    "held": "held_ms",
    "wrap_up": "after_ms",
    "handling": "handling_ms",
    "own_call": "own_call_ms",
}


class _Caller(msgspec.Struct):
    arrival: Arrival
    patience_us: int
    talks: list[Talk]
    turn: int = 0
    talking_to: str = ""
    gone: bool = False
    stay: tuple[str, int] | None = None
    """The queue in which the caller waits, and since when."""
    talk: tuple[str, str, int, str] | None = None
    """Queue, agent, begin, offer."""


class Replay(Driver):
    """One run. ``outcomes`` is what came of it."""

    def __init__(self, day: Day, center: Center, change: Change, *, seed: int) -> None:
        self.day, self.change = day, change
        chance = random.Random(seed)
        arrivals = busier(day.arrivals, change, (chance.random() for _ in range(2 * len(day.arrivals))))
        people, shifts = staffed(center, day, change.staff)
        first_us = min([day.from_us, *(one.at_us for one in arrivals)])
        super().__init__(people, seed=seed, policy=Policy(nodes=(NODE,)), start_us=first_us)
        self.outcomes = Outcomes(times_ms={})
        self._arrivals, self._shifts = arrivals, shifts
        self._patience, self._pool = patience_of(day), talks_of(day)
        self._callers: dict[str, _Caller] = {}
        self._offers: dict[str, f.OfferMade] = {}
        self._presence: dict[str, tuple[str, int]] = {}
        self._activity: dict[str, tuple[str, int, str]] = {}
        self._wanted: dict[str, str] = {}
        self._handled: dict[tuple[str, str], int] = {}
        self._counted_until: dict[str, int] = {}
        self._begins: dict[str, list[int]] = {}
        for shift in shifts:
            self._begins.setdefault(shift.agent_id, []).append(shift.from_us)

    def run(self) -> Replay:
        """Play the day, and on until the last caller has gone."""
        self.take_over()
        self._at(self.now_us, self._node)
        for shift in self._shifts:
            if shift.agent_id in self.center.agents and not self._by_system(shift.presence, shift.reason):
                self._at(
                    max(shift.from_us, self.now_us), self._come, shift.agent_id, shift.presence, shift.reason
                )
                if shift.to_us < self.day.to_us:
                    self._at(shift.to_us, self._over, shift.agent_id, shift.to_us)
        for n, away in enumerate(self.day.aways):
            if away.agent_id in self.center.agents:
                self._at(away.from_us, self._away, away.agent_id, f"away-{n}", True)
                self._at(away.to_us, self._away, away.agent_id, f"away-{n}", False)
        for arrival in self._arrivals:
            self._at(arrival.at_us, self._arrive, arrival)
        self.play(until_us=self.day.to_us)
        self.now_us = self.day.to_us
        for agent_id in self.center.agents:
            self._spent(agent_id)
        self.play(until_us=self.day.to_us + 4 * 3_600_000_000)
        for caller in self._callers.values():
            self._left_queue(caller, "open")
        return self

    def _at(self, at_us: int, act: Callable[..., None], *args: Any) -> None:
        self.after(max(at_us - self.now_us, 0) / 1e6, act, *args)

    def _node(self) -> None:
        self.tell(i.NodeSeen, node=NODE, up=True)

    # -- agents

    def _by_system(self, presence: str, reason: str) -> bool:
        """A break into which the system had put the agent: the engine decides about those again."""
        return presence == "break" and reason in SYSTEM_REASONS

    def _come(self, agent_id: str, presence: str, reason: str) -> None:
        self._wanted[agent_id] = presence
        self._wish(agent_id, presence, reason)

    def _wish(self, agent_id: str, presence: str, reason: str = "") -> None:
        known = reason if presence == "break" and reason in self.center.break_reasons else ""
        self.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence=presence, reason=known)

    def _over(self, agent_id: str, at_us: int) -> None:
        """An interval is over: what follows at once, or was the system's doing, goes on; otherwise the agent is gone."""
        if not any(abs(begin_us - at_us) < 1_000_000 for begin_us in self._begins[agent_id]):
            self._come(agent_id, "offline", "")

    def _away(self, agent_id: str, leg_id: str, began: bool) -> None:
        extension = self.center.agents[agent_id].extension
        self.tell(
            i.OwnCallChanged, extension=extension, leg_id=leg_id, node=NODE, began=began, direction="inbound"
        )

    def _presence_is(self, fact: f.AgentPresenceChanged) -> None:
        self._spent(fact.agent_id)
        self._presence[fact.agent_id] = (fact.presence, self.now_us)
        if (
            fact.actor == "system"
            and fact.presence == "break"
            and self._wanted.get(fact.agent_id) == "available"
        ):
            ms = self.random.choice(self.day.breaks_ms) if self.day.breaks_ms else 60_000
            self.after(ms / 1000, self._back, fact.agent_id)

    def _back(self, agent_id: str) -> None:
        if self._wanted.get(agent_id) == "available" and self._presence[agent_id][0] == "break":
            self._wish(agent_id, "available")

    def _activity_is(self, fact: f.AgentActivityChanged) -> None:
        self._spent(fact.agent_id)
        before = self._activity.get(fact.agent_id, ("", 0, ""))
        if before[0] == "wrap_up" and before[2]:
            self._wrapped(fact.agent_id, before[2], self.now_us - before[1])
        self._activity[fact.agent_id] = (fact.activity, self.now_us, fact.contact_id)
        if fact.activity == "wrap_up" and (caller := self._callers.get(fact.contact_id)) is not None:
            talk = caller.talks[max(caller.turn - 1, 0)]
            factor = self.change.factor(self.change.wrap_up, fact.queue)
            self.after(talk.wrap_up_ms * factor / 1000, self._wrap_up_done, fact.agent_id, fact.contact_id)

    def _wrap_up_done(self, agent_id: str, contact_id: str) -> None:
        activity, _, of = self._activity.get(agent_id, ("", 0, ""))
        if activity != "wrap_up" or of != contact_id:
            return
        codes = sorted(self.center.dispositions)
        if codes:
            self.tell(i.DispositionKeyed, agent_id=agent_id, contact_id=contact_id, code=codes[0])
        if self._activity[agent_id][0] == "wrap_up":
            self.tell(i.SetWrapUp, request_id="r", agent_id=agent_id, action="end")

    def _wrapped(self, agent_id: str, contact_id: str, us: int) -> None:
        place = self._handled.get((agent_id, contact_id))
        if place is not None:
            one = self.outcomes.handled[place]
            self.outcomes.handled[place] = msgspec.structs.replace(
                one, wrap_up_ms=one.wrap_up_ms + us // 1000
            )

    def _spent(self, agent_id: str) -> None:
        """Add up what the agent did since the last change, inside the day."""
        now_us = min(self.now_us, self.day.to_us)
        times = self.outcomes.times_ms
        presence, _ = self._presence.get(agent_id, ("offline", 0))
        activity, _, _ = self._activity.get(agent_id, ("", 0, ""))
        counted_us = max(self.day.from_us, self._counted_until.get(agent_id, 0))
        if (ms := (now_us - counted_us) // 1000) > 0:
            names = []
            if presence in ("available", "break"):
                names += ["logged_in_ms", f"{presence}_ms"]
            if activity in COUNTED:
                names.append(COUNTED[activity])
            for name in names:
                times[name] = times.get(name, 0) + ms
        self._counted_until[agent_id] = max(self._counted_until.get(agent_id, 0), now_us)

    # -- callers

    def _arrive(self, arrival: Arrival) -> None:
        talks = list(arrival.talks)
        if arrival.left:
            patience_ms = arrival.wait_ms
        else:
            survival = self._patience.get(arrival.queue, self._patience[""])
            patience_ms = survival.patience_ms(self.random.random(), arrival.wait_ms)
        caller = _Caller(arrival, self.now_us + patience_ms * 1000, talks)
        self._callers[arrival.contact_id] = caller
        self.tell(
            i.ContactWaiting,
            contact_id=arrival.contact_id,
            node=NODE,
            queue=arrival.queue,
            skills=arrival.skills,
            priority=arrival.priority,
            service_class=arrival.service_class,
            entry_point=arrival.entry_point,
            language=arrival.language,
            ani=arrival.ani,
            waiting_since_us=self.now_us,
        )
        self._at(caller.patience_us, self._lose_patience, caller)

    def _lose_patience(self, caller: _Caller) -> None:
        if not caller.gone and not caller.talking_to:
            self._go(caller)

    def _go(self, caller: _Caller) -> None:
        caller.gone, caller.talking_to = True, ""
        self.tell(i.ContactGone, contact_id=caller.arrival.contact_id, cause="NORMAL_CLEARING")

    def _queued(self, fact: f.ContactQueued) -> None:
        caller = self._callers.get(fact.contact_id)
        if caller is None or (caller.stay is not None and caller.stay[0] == fact.queue):
            return
        self._left_queue(caller, "transferred")
        caller.stay = (fact.queue, self.now_us)

    def _left_queue(self, caller: _Caller, outcome: str) -> None:
        if caller.stay is None:
            return
        queue, began_us = caller.stay
        caller.stay = None
        if self.day.from_us <= began_us < self.day.to_us:
            self.outcomes.stays.append(
                Stay(caller.arrival.contact_id, queue, began_us, (self.now_us - began_us) // 1000, outcome)
            )

    def _offered(self, offer: f.OfferMade) -> None:
        self._offers[offer.offer_id] = offer
        draw = self.random.random()
        for outcome, (share, rings_ms) in self.day.misses.items():
            if draw < share:
                ms = min(self.random.choice(rings_ms) if rings_ms else offer.ring_ms, offer.ring_ms)
                return self.after(ms / 1000, self._miss, offer, outcome, ms)
            draw -= share
        ms = min(self.random.choice(self.day.rings_ms) if self.day.rings_ms else 3_000, offer.ring_ms)
        return self.after(ms / 1000, self._answer, offer, ms)

    def _miss(self, offer: f.OfferMade, outcome: str, ring_ms: int) -> None:
        if offer.offer_id in self._offers:
            self.tell(i.OfferFailed, outcome=outcome, cause=outcome.upper(), ring_ms=ring_ms, **_about(offer))

    def _answer(self, offer: f.OfferMade, ring_ms: int) -> None:
        if offer.offer_id in self._offers:
            self.tell(i.OfferAnswered, ring_ms=ring_ms, **_about(offer))
            self.after(BRIDGE_MS / 1000, self._bridge, offer)

    def _bridge(self, offer: f.OfferMade) -> None:
        caller = self._callers.get(offer.contact_id)
        if (
            offer.offer_id in self._offers
            and caller is not None
            and not caller.gone
            and not caller.talking_to
        ):
            caller.talking_to = offer.agent_id
            self.tell(i.AgentBridged, node=NODE, **_about(offer))

    def _connected(self, fact: f.ContactConnected) -> None:
        caller = self._callers.get(fact.contact_id)
        if caller is None:
            return
        self._left_queue(caller, "answered")
        if caller.turn >= len(caller.talks):
            pool = self._pool.get(fact.queue) or self._pool[""] or (Talk(60_000, 0),)
            caller.talks.append(msgspec.structs.replace(self.random.choice(pool), then=""))
        talk = caller.talks[caller.turn]
        caller.turn += 1
        caller.talk = (fact.queue, fact.agent_id, self.now_us, fact.offer_id)
        ms = talk.talk_ms * self.change.factor(self.change.talk, fact.queue)
        self.after(ms / 1000, self._end_talk, caller, talk, fact)

    def _end_talk(self, caller: _Caller, talk: Talk, fact: f.ContactConnected) -> None:
        if caller.gone or caller.talk is None:
            return
        queue, agent_id, began_us, offer_id = caller.talk
        caller.talk, caller.talking_to = None, ""
        talk_ms = (self.now_us - began_us) // 1000
        if self.day.from_us <= began_us < self.day.to_us:
            self._handled[agent_id, fact.contact_id] = len(self.outcomes.handled)
            self.outcomes.handled.append(Handled(fact.contact_id, queue, agent_id, began_us, talk_ms, 0))
        about = {"offer_id": offer_id, "contact_id": fact.contact_id, "agent_id": agent_id}
        if talk.then in self.center.queues:
            # From now on the caller waits for whatever patience the next queue's callers have.
            survival = self._patience.get(talk.then, self._patience[""])
            self._at(
                self.now_us + survival.patience_ms(self.random.random()) * 1000, self._lose_patience, caller
            )
            self.tell(
                i.TransferRequested, request_id=offer_id, target_kind="queue", target=talk.then, **about
            )
            return
        caller.gone = True
        self.tell(i.ConversationEnded, ended_by="caller", talk_ms=talk_ms, **about)
        self.tell(i.ContactGone, contact_id=fact.contact_id, cause="NORMAL_CLEARING")

    def _sent_away(self, fact: f.ContactOverflowed) -> None:
        caller = self._callers.get(fact.contact_id)
        if caller is None or fact.action == "callback":
            return
        self._left_queue(caller, "overflowed")
        if fact.action != "queue":
            caller.gone = True
            self.after(3.0, self._farewell_over, fact.contact_id)

    def _farewell_over(self, contact_id: str) -> None:
        self.tell(i.ContactGone, contact_id=contact_id, cause="NORMAL_CLEARING")

    def _closed(self, fact: f.ContactClosed) -> None:
        caller = self._callers.get(fact.contact_id)
        if caller is not None:
            self._left_queue(caller, fact.outcome)
            caller.gone = True

    def _offer_over(self, fact: f.OfferEnded) -> None:
        self._offers.pop(fact.offer_id, None)

    def decided(self, entry: f.Decided) -> None:
        for fact in entry.facts:
            act = _REACTIONS.get(type(fact))
            if act is not None:
                act(self, fact)


def _about(offer: f.OfferMade) -> dict[str, str]:
    return {"offer_id": offer.offer_id, "contact_id": offer.contact_id, "agent_id": offer.agent_id}


_REACTIONS: Mapping[type, Callable[[Replay, Any], None]] = {
    f.ContactQueued: Replay._queued,
    f.ContactConnected: Replay._connected,
    f.ContactOverflowed: Replay._sent_away,
    f.ContactClosed: Replay._closed,
    f.OfferMade: Replay._offered,
    f.OfferEnded: Replay._offer_over,
    f.AgentPresenceChanged: Replay._presence_is,
    f.AgentActivityChanged: Replay._activity_is,
}
