"""Days of a center as facts: agents come, talk, pass on and leave, callers come again, wait, give up and judge.

Wider and shorter than ``reporting_stories``: what key figures are made from, over days, with the clock moving on between contacts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.reporting.core import facts as f
from services.reporting.core.legs import Leg
from tests.reporting_stories import AGENTS, FAILURES, IVR_ENDS, QUEUES, Chance, Story, Teller

CALLERS = ("+989121234567", "2125550100", "+4930123", "")
CUSTOMERS = ("", "", "c-7")
ENTRIES = ("1000", "2121234567")
BREAKS = ("lunch", "prayer")
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass
class Shift:
    """All facts and legs of some days."""

    teller: Teller
    chance: Chance
    story: Story = field(default_factory=lambda: Story(""))
    contacts: int = 0

    def decided(self, *facts: Any) -> None:
        self.teller.decided(self.story, *facts)

    def event(self, fact: Any, contact_id: str) -> None:
        self.story.contact_id = contact_id
        service = "ivr" if type(fact).__module__.endswith(".ivr") else "queue"
        self.teller.event(self.story, fact, service)

    def activity(self, agent: str, activity: str, contact: str = "") -> f.AgentActivityChanged:
        return f.AgentActivityChanged(agent_id=agent, activity=activity, contact_id=contact)


def tell(teller: Teller, chance: Chance, contacts: int, burst: int = 2) -> Shift:
    """So many contacts, hours between bursts of them, agents' changes in between.

    Settling looks at each 15 minutes with changes of agents by itself: a test of many of them would take minutes.
    """
    shift = Shift(teller, chance)
    for agent in AGENTS:
        teller.later(chance.number(0, 90_000))
        shift.decided(
            f.AgentPresenceChanged(agent_id=agent, presence="available"), shift.activity(agent, "idle")
        )
    for number in range(contacts):
        _pause(shift, 9 * HOUR_MS if number and not number % burst else MINUTE_MS)
        shift.contacts += 1
        _contact(shift, f"{teller.tenant}-{shift.contacts}")
    return shift


def _pause(shift: Shift, most_ms: int) -> None:
    chance = shift.chance
    shift.teller.later(chance.number(0, most_ms))
    agent = chance.pick(AGENTS)
    match chance.pick(["work", "work", "break", "offline", "own"]):
        case "break":
            change = f.AgentPresenceChanged(agent_id=agent, presence="break", reason=chance.pick(BREAKS))
            shift.decided(change)
            shift.teller.later(chance.number(1, most_ms))
            shift.decided(f.AgentPresenceChanged(agent_id=agent, presence="available"))
        case "offline":
            shift.decided(f.AgentPresenceChanged(agent_id=agent, presence="offline"))
            shift.teller.later(chance.number(1, most_ms))
            shift.decided(f.AgentPresenceChanged(agent_id=agent, presence="available"))
        case "own":
            shift.decided(
                shift.activity(agent, chance.pick(["own_call", "unreachable", "handling", "closing"]))
            )
            shift.teller.later(chance.number(1, most_ms))
            shift.decided(shift.activity(agent, "idle"))


def _contact(shift: Shift, contact: str) -> None:
    teller, chance = shift.teller, shift.chance
    ani, entry = chance.pick(CALLERS), chance.pick(ENTRIES)
    kind = chance.pick(["call", "call", "call", "call", "outbound", "chat"])
    began = teller.now_us
    if kind == "call":
        shift.event(
            f.ContactStarted(
                contact_id=contact, node="fs1", entry_point=entry, ani=ani, language=chance.pick(["fa", "en"]), flow="main",
                started_at_us=began,
            ),
            contact,
        )  # fmt: skip
        teller.later(chance.number(0, 20_000))
        if chance.number(0, 4) == 0:
            outcome = chance.pick(IVR_ENDS)
            lasted = (teller.now_us - began) // 1000
            ended = f.IvrEnded(
                contact_id=contact,
                outcome=outcome,
                cause="NORMAL_CLEARING",
                duration_ms=lasted,
                at_us=teller.now_us,
            )
            shift.event(ended, contact)
            _leg(shift, contact, began, "caller")
            return
    queue = chance.pick(QUEUES)
    skills = ("fa:3", "sales:1") if chance.coin() else ()
    if kind == "call":
        shift.event(
            f.ContactHandedOver(
                contact_id=contact, queue=queue, customer=chance.pick(CUSTOMERS), at_us=teller.now_us
            ),
            contact,
        )
    parked = teller.later(1)
    shift.decided(
        f.ContactQueued(
            contact_id=contact, queue=queue, ani=ani, entry_point=entry, node="fs1", waiting_since_us=parked, started_at_us=began,
            skills=skills, kind="outbound" if kind == "outbound" else "", channel="chat" if kind == "chat" else "",
        )
    )  # fmt: skip
    if kind != "outbound" and chance.number(0, 3) == 0:
        teller.later(chance.number(1, 60_000))
        other = QUEUES[1 - QUEUES.index(queue)]
        shift.decided(
            f.ContactOverflowed(
                contact_id=contact, queue=queue, reason="max_wait", action="queue", target=other
            ),
            f.ContactQueued(
                contact_id=contact,
                queue=other,
                ani=ani,
                entry_point=entry,
                waiting_since_us=parked,
                requeued=True,
            ),
        )
        queue = other
    _served(shift, contact, queue, parked)
    _leg(shift, contact, began, "caller")
    if chance.number(0, 2) == 0:
        _judged(shift, contact, queue)


def _served(shift: Shift, contact: str, queue: str, parked: int) -> None:
    teller, chance = shift.teller, shift.chance
    offers = 0
    while chance.coin() and offers < 2:
        offers += 1
        agent = chance.pick(AGENTS)
        party = {"offer_id": f"{contact}/{offers}", "contact_id": contact, "agent_id": agent}
        made = f.OfferMade(**party, queue=queue, extension="1001", node="fs1", ring_ms=15_000, attempt=offers)
        shift.decided(made, shift.activity(agent, "offered", contact))
        ring = chance.number(1, 15_000)
        teller.later(ring)
        failed = f.OfferEnded(
            **party, outcome=chance.pick([*FAILURES, "withdrawn"]), cause="NO_ANSWER", ring_ms=ring
        )
        shift.decided(failed, shift.activity(agent, "idle"))
    end = chance.pick(["answered", "answered", "answered", "abandoned", "overflowed"])
    if end == "answered":
        _talk(shift, contact, queue, parked, offers + 1, None)
        return
    ended = teller.later(chance.number(1, 45_000))
    waited = (ended - parked) // 1000
    if end == "abandoned":
        gone = f.ContactGone(
            contact_id=contact, state="waiting", cause="ORIGINATOR_CANCEL", wait_ms=waited, at_us=ended
        )
        shift.event(gone, contact)
    else:
        shift.decided(
            f.ContactOverflowed(
                contact_id=contact,
                queue=queue,
                reason="max_wait",
                action="transfer",
                target="+98211",
                wait_ms=waited,
            )
        )
    shift.decided(
        f.ContactClosed(
            contact_id=contact, queue=queue, outcome=end, wait_ms=waited, offers=offers, result=end
        )
    )


def _talk(
    shift: Shift, contact: str, queue: str, parked: int, attempt: int, before: tuple[int, int] | None
) -> None:
    """A conversation; ``before`` is talk and hold of the one before it, when the contact was passed on."""
    teller, chance = shift.teller, shift.chance
    agent = chance.pick(AGENTS)
    offer = f"{contact}/{attempt}"
    party = {"offer_id": offer, "contact_id": contact, "agent_id": agent}
    made = f.OfferMade(**party, queue=queue, extension="1001", node="fs1", ring_ms=15_000, attempt=attempt)
    shift.decided(made, shift.activity(agent, "offered", contact))
    bridged = teller.later(chance.number(1, 25_000))
    waited = (bridged - parked) // 1000
    shift.event(
        f.AgentBridged(**party, agent_leg_id=f"{offer}-leg", queue=queue, wait_ms=waited, at_us=bridged),
        contact,
    )
    shift.decided(
        f.OfferEnded(**party, outcome="accepted", ring_ms=50),
        f.ContactConnected(**party, queue=queue, wait_ms=waited, connected_at_us=bridged),
        shift.activity(agent, "talking", contact),
    )
    held = 0
    teller.later(chance.number(1, 200_000))
    if chance.number(0, 2) == 0:
        shift.decided(shift.activity(agent, "held", contact))
        held = chance.number(1, 60_000)
        teller.later(held)
        shift.decided(shift.activity(agent, "talking", contact))
        teller.later(chance.number(0, 10_000))
    talked = (teller.now_us - bridged) // 1000
    by = chance.pick(["caller", "agent"])
    shift.event(
        f.ConversationEnded(**party, ended_by=by, talk_ms=talked, hold_ms=held, at_us=teller.now_us), contact
    )
    if chance.coin():
        _leg(shift, f"{offer}-leg", bridged, "agent", contact=contact, offer=offer)
    talk_before, hold_before = before or (0, 0)
    passed = before is None and chance.number(0, 3) == 0
    if passed:
        target = QUEUES[1 - QUEUES.index(queue)]
        shift.decided(
            f.ContactTransferred(
                contact_id=contact, from_agent=agent, target_kind="queue", target=target, offer_id=offer
            ),
            f.ContactQueued(contact_id=contact, queue=target, requeued=True, waiting_since_us=parked),
            shift.activity(agent, "wrap_up", contact),
        )
    else:
        shift.decided(
            f.ContactClosed(
                contact_id=contact, queue=queue, outcome="completed", agent_id=agent, offer_id=offer, wait_ms=waited,
                talk_ms=talk_before + talked, hold_ms=hold_before + held, ended_by=by, offers=attempt, result="answered", transfers=0 if before is None else 1,
            ),
            shift.activity(agent, "wrap_up", contact),
        )  # fmt: skip
    wrap = chance.number(0, 30_000)
    teller.later(wrap)
    shift.decided(
        f.WrapUpEnded(
            agent_id=agent,
            contact_id=contact,
            disposition=chance.pick(["1", "2"]),
            by="http",
            wrap_up_ms=wrap,
        ),
        shift.activity(agent, "idle"),
    )
    if passed:
        _talk(shift, contact, target, parked, attempt + 1, (talked, held))


def _leg(shift: Shift, leg: str, began: int, role: str, *, contact: str = "", offer: str = "") -> None:
    chance = shift.chance
    measured = chance.coin()
    ended = shift.teller.now_us
    billed = max(0, (ended - began) // 1000 - chance.number(0, 500))
    story = shift.story
    story.legs.append(
        Leg(
            leg_id=leg, source="spool", tenant=shift.teller.tenant, contact_id=contact or leg, offer_id=offer, role=role,
            started_at_us=began, ended_at_us=ended, duration_ms=(ended - began) // 1000, billed_ms=billed,
            mos_milli=chance.number(1000, 4500) if measured else 0, jitter_us=chance.number(0, 9000) if measured else 0,
            packet_loss_ppm=chance.number(0, 50_000) if measured else 0, hangup_cause="NORMAL_CLEARING",
        )
    )  # fmt: skip


def _judged(shift: Shift, contact: str, queue: str) -> None:
    least, most = (1, 5) if shift.chance.coin() else (0, 10)
    score = shift.chance.number(least, most)
    said = f.SurveyAnswered(
        contact_id=contact, survey="after", question="q", kind="score", score=score, least=least, most=most, queue=queue,
        agent_id=shift.chance.pick(AGENTS), at_us=shift.teller.later(1000),
    )  # fmt: skip
    shift.event(said, contact)
