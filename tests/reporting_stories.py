"""Lives of contacts: all facts that the services append about one, and what the books must say in the end.

The expectation is written down while the story is made, from what happened in it, and never from the facts: it is the
oracle for everything between the facts and the views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from hypothesis import strategies as st

from services.reporting.core import facts as f
from services.reporting.core.legs import Leg

EPOCH_US = 1_790_000_000_000_000
QUEUES = ("sales", "support")
AGENTS = ("sara", "omid", "lena")
IVR_ENDS = ("hung_up", "closed", "transferred", "finished", "failed")
FAILURES = ("no_answer", "busy", "declined", "unreachable", "failed")

EVENTS, ROUTING = "CC_EVENTS", "CC_ROUTING"


class Chance(Protocol):
    """Where a story's turns come from."""

    def coin(self) -> bool: ...

    def pick(self, options: Sequence[str]) -> str: ...

    def number(self, low: int, high: int) -> int: ...


class Drawn:
    """Hypothesis decides, and can shrink."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def coin(self) -> bool:
        return bool(self._draw(st.booleans()))

    def pick(self, options: Sequence[str]) -> str:
        return str(self._draw(st.sampled_from(options)))

    def number(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))


class Rolled:
    """A seeded generator decides."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def coin(self) -> bool:
        return self._random.random() < 0.5

    def pick(self, options: Sequence[str]) -> str:
        return self._random.choice(options)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


@dataclass
class Story:
    """One contact."""

    contact_id: str
    placed: list[f.Placed] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)


class Teller:
    """Tells stories with a common numbering of both streams and a clock that only goes forward."""

    def __init__(self, tenant: str, start_us: int = EPOCH_US) -> None:
        self.tenant = tenant
        self.now_us = start_us
        self.seq = {EVENTS: 0, ROUTING: 0}
        self.told = 0

    def later(self, ms: int) -> int:
        self.now_us += ms * 1000
        return self.now_us

    def event(self, story: Story, fact: Any, service: str) -> None:
        """A message of ivr, queue or recording."""
        self.seq[EVENTS] += 1
        kind = type(fact).__name__
        story.placed.append(
            f.Placed(
                id=f"{story.contact_id}:{kind}:{self.seq[EVENTS]}",
                stream=EVENTS,
                seq=self.seq[EVENTS],
                idx=0,
                type=f"peyvand.{service}.v1.{kind}",
                tenant=self.tenant,
                contact_id=story.contact_id,
                at_us=getattr(fact, "at_us", 0) or getattr(fact, "started_at_us", 0) or self.now_us,
                fact=fact,
            )
        )

    def decided(self, story: Story, *facts: Any) -> None:
        """One entry of the routing log."""
        self.seq[ROUTING] += 1
        for idx, fact in enumerate(facts):
            story.placed.append(
                f.Placed(
                    id=f"entry-{self.seq[ROUTING]}.{idx}",
                    stream=ROUTING,
                    seq=self.seq[ROUTING],
                    idx=idx,
                    type=f"peyvand.routing.v1.{type(fact).__name__}",
                    tenant=self.tenant,
                    contact_id=getattr(fact, "contact_id", ""),
                    at_us=self.now_us,
                    fact=fact,
                )
            )


def tell(teller: Teller, chance: Chance) -> Story:
    """One whole life."""
    teller.told += 1
    story = Story(f"contact-{teller.tenant}-{teller.told}")
    by_ivr = chance.coin()
    ani, entry = chance.pick(["", "+989121234567", "2125550100"]), chance.pick(["1000", "2121234567"])
    began = teller.later(chance.number(0, 50_000))
    story.expected |= {"started_at_us": began, "entry_point": entry, "ani": ani, "counted": 1}
    queue = chance.pick(QUEUES)
    if by_ivr:
        started = f.ContactStarted(
            contact_id=story.contact_id, node="fs1", entry_point=entry, ani=ani, language="fa", flow="main",
            revision="abc", started_at_us=began,
        )  # fmt: skip
        teller.event(story, started, "ivr")
        for step in range(chance.number(0, 3)):
            taken = f.IvrStepTaken(
                contact_id=story.contact_id, step_no=step + 1, flow="main", flow_node=f"n{step}", kind="play",
                result="done", spent_ms=10, at_us=teller.later(10),
            )  # fmt: skip
            teller.event(story, taken, "ivr")
        if chance.coin():
            _ends_in_ivr(teller, chance, story, began)
            return story
        over = f.ContactHandedOver(
            contact_id=story.contact_id, queue=queue, language="en", at_us=teller.later(5)
        )
        teller.event(story, over, "ivr")
        story.expected["language"] = "en"
        if chance.number(0, 5) == 0:
            _vanishes(teller, story, queue)
            return story
    _waits(teller, chance, story, queue, began, ani, entry)
    return story


def _ends_in_ivr(teller: Teller, chance: Chance, story: Story, began: int) -> None:
    outcome = chance.pick(IVR_ENDS)
    ended = teller.later(chance.number(0, 5000))
    fact = f.IvrEnded(
        contact_id=story.contact_id, outcome=outcome, flow_node="bye", cause="NORMAL_CLEARING",
        duration_ms=(ended - began) // 1000, at_us=ended,
    )  # fmt: skip
    teller.event(story, fact, "ivr")
    story.expected |= {"outcome": outcome, "state": "closed", "queue": "", "talk_ms": 0, "ended_at_us": ended}
    story.expected["result"] = outcome


def _vanishes(teller: Teller, story: Story, queue: str) -> None:
    """The caller hangs up between ivr's letting go and queue's adoption: only the leg's own record tells."""
    ended = teller.later(3)
    story.legs.append(
        Leg(
            leg_id=story.contact_id,
            source="spool",
            tenant=teller.tenant,
            contact_id=story.contact_id,
            role="caller",
            state="handover",
            started_at_us=story.expected["started_at_us"],
            ended_at_us=ended,
            hangup_cause="NORMAL_CLEARING",
        )
    )
    story.expected |= {
        "outcome": "abandoned",
        "result": "abandoned",
        "state": "closed",
        "queue": queue,
        "ended_at_us": ended,
        "talk_ms": 0,
    }


def _waits(
    teller: Teller, chance: Chance, story: Story, queue: str, began: int, ani: str, entry: str
) -> None:
    contact = story.contact_id
    parked = teller.later(1)
    common = {
        "contact_id": contact,
        "queue": queue,
        "ani": ani,
        "entry_point": entry,
        "waiting_since_us": parked,
    }
    teller.event(story, f.ContactWaiting(**common, node="fs1", started_at_us=began), "queue")
    if chance.coin():  # queue was restarted and found the leg again
        teller.event(
            story, f.ContactWaiting(**common, node="fs1", started_at_us=began, recovered=True), "queue"
        )
    teller.decided(story, f.ContactQueued(**common, node="fs1", started_at_us=began))
    story.expected |= {"first_queue": queue, "queue": queue, "queued": 1, "waiting_since_us": parked}
    if chance.coin():
        other = QUEUES[1 - QUEUES.index(queue)]
        teller.later(1000)
        moved = f.ContactOverflowed(
            contact_id=contact, queue=queue, reason="max_wait", action="queue", target=other
        )
        again = f.ContactQueued(
            contact_id=contact,
            queue=other,
            ani=ani,
            entry_point=entry,
            waiting_since_us=parked,
            requeued=True,
        )
        teller.decided(story, moved, again)
        queue = other
        story.expected["queue"] = other
    offers = chance.number(0, 2)
    for attempt in range(1, offers + 1):
        _fails(teller, chance, story, queue, attempt)
    end = chance.pick(["answered", "answered", "abandoned", "overflowed", "ended_unseen"])
    if end == "answered":
        _talks(teller, chance, story, queue, parked, offers + 1)
        return
    ended = teller.later(chance.number(1, 30_000))
    waited = (ended - parked) // 1000
    if end in ("abandoned", "ended_unseen"):
        gone = f.ContactGone(
            contact_id=contact, state="waiting", cause="ORIGINATOR_CANCEL", wait_ms=waited,
            unseen=end == "ended_unseen", at_us=ended,
        )  # fmt: skip
        teller.event(story, gone, "queue")
    else:
        out = f.ContactOverflowed(
            contact_id=contact,
            queue=queue,
            reason="max_wait",
            action="transfer",
            target="+98211",
            wait_ms=waited,
        )
        teller.decided(story, out)
    result = "short_abandon" if end == "abandoned" and waited < 5_000 else end
    closed = f.ContactClosed(
        contact_id=contact, queue=queue, outcome=end, wait_ms=waited, offers=offers, ani=ani, result=result
    )
    teller.decided(story, closed)
    story.expected |= {"result": result, "transfers": 0}
    story.expected |= {"outcome": end, "state": "closed", "wait_ms": waited, "talk_ms": 0, "offers": offers}
    story.expected |= {"ended_at_us": ended, "agent_id": ""}


def _offer(teller: Teller, chance: Chance, story: Story, queue: str, attempt: int) -> tuple[str, str]:
    agent = chance.pick(AGENTS)
    offer = f"{story.contact_id}/{attempt}"
    why = f.Explanation(
        rule="longest_idle", idle_ms=5, candidates=2, excluded=(f.Excluded(reason="busy", count=1),)
    )
    made = f.OfferMade(
        offer_id=offer, contact_id=story.contact_id, agent_id=agent, extension="1001", queue=queue, node="fs1",
        ring_ms=15000, attempt=attempt, why=why,
    )  # fmt: skip
    activity = f.AgentActivityChanged(
        agent_id=agent, activity="offered", contact_id=story.contact_id, previous="idle"
    )
    teller.decided(story, made, activity)
    return offer, agent


def _fails(teller: Teller, chance: Chance, story: Story, queue: str, attempt: int) -> None:
    offer, agent = _offer(teller, chance, story, queue, attempt)
    outcome = chance.pick(FAILURES)
    common = {"offer_id": offer, "contact_id": story.contact_id, "agent_id": agent, "outcome": outcome}
    teller.event(
        story, f.OfferFailed(**common, cause="NO_ANSWER", ring_ms=100, at_us=teller.later(100)), "queue"
    )
    teller.decided(story, f.OfferEnded(**common, cause="NO_ANSWER", ring_ms=100))


def _talks(teller: Teller, chance: Chance, story: Story, queue: str, parked: int, attempt: int) -> None:
    contact = story.contact_id
    offer, agent = _offer(teller, chance, story, queue, attempt)
    party = {"offer_id": offer, "contact_id": contact, "agent_id": agent}
    teller.event(story, f.OfferAnswered(**party, ring_ms=50, at_us=teller.later(50)), "queue")
    bridged = teller.later(20)
    waited = (bridged - parked) // 1000
    path = f"{teller.tenant}/{contact}.wav" if chance.coin() else ""
    teller.event(
        story,
        f.AgentBridged(
            **party, agent_leg_id="leg", queue=queue, wait_ms=waited, at_us=bridged, recording_path=path
        ),
        "queue",
    )
    connected = f.ContactConnected(
        **party, queue=queue, wait_ms=waited, connected_at_us=bridged, recording_path=path
    )
    teller.decided(story, f.OfferEnded(**party, outcome="accepted", ring_ms=50), connected)
    story.expected |= {
        "outcome": "answered", "wait_ms": waited, "agent_id": agent, "offer_id": offer, "offers": attempt,
        "recording_path": path,
    }  # fmt: skip
    if chance.number(0, 4) == 0:  # they still talk
        story.expected |= {"state": "talking", "talk_ms": 0}
        return
    ended = teller.later(chance.number(1, 60_000))
    talked = (ended - bridged) // 1000
    over = f.ConversationEnded(**party, ended_by="caller", talk_ms=talked, at_us=ended)
    teller.event(story, over, "queue")
    closed = f.ContactClosed(
        contact_id=contact, queue=queue, outcome="completed", agent_id=agent, offer_id=offer, wait_ms=waited,
        talk_ms=talked, ended_by="caller", offers=attempt, result="answered", transfers=attempt % 2,
    )  # fmt: skip
    teller.decided(story, closed)
    story.expected |= {"result": "answered", "transfers": attempt % 2}
    story.expected |= {"state": "closed", "talk_ms": talked, "ended_by": "caller"}
    by = chance.pick(["key", "timeout"])
    if by == "key":
        keyed = f.DispositionKeyed(**party, code="1", at_us=teller.later(2000))
        teller.event(story, keyed, "queue")
    wrapped = f.WrapUpEnded(
        agent_id=agent,
        contact_id=contact,
        disposition="1" if by == "key" else "timeout",
        by=by,
        wrap_up_ms=2000,
    )
    teller.decided(story, wrapped)
    story.expected |= {"disposition": "1" if by == "key" else "timeout", "wrap_up_ms": 2000}


@st.composite
def stories(draw: Any, tenant: str = "t", most: int = 6) -> list[Story]:
    """Lives of several contacts on the same two streams, one after the other."""
    teller = Teller(tenant)
    return [tell(teller, Drawn(draw)) for _ in range(draw(st.integers(1, most)))]
