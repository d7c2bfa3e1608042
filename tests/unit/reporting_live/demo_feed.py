"""A made-up day of a center, as the facts that ivr and routing would have appended: material for looking at the wallboard.

Deterministic for a seed. Agents take the longest waiting contact of their queues; callers give up; agents take breaks.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message

from services.center import Center, load
from services.center.check import FEATURE_PROMPTS
from services.common.bus import Bus, Outgoing, subjects
from services.contracts.peyvand.ivr.v1 import events_pb2 as ivr
from services.contracts.peyvand.routing.v1 import log_pb2 as routing

S = 1_000_000

_QUEUES = {
    "sales": ("Sales", "فروش", 20),
    "renewals": ("Renewals", "تمدید", 20),
    "billing": ("Billing", "مالی", 20),
    "support": ("Technical support", "پشتیبانی فنی", 20),
    "vip": ("VIP", "ویژه", 20),
    "complaints": ("Complaints", "شکایت", 20),
    "delivery": ("Delivery", "ارسال", 20),
    "returns": ("Returns", "مرجوعی", 20),
}
_FIRST = [
    "Sara سارا",
    "Reza رضا",
    "Mina مینا",
    "Ali علی",
    "Neda ندا",
    "Omid امید",
    "Leila لیلا",
    "Hamid حمید",
]
_LAST = ["Ahmadi احمدی", "Karimi کریمی", "Rezaei رضایی", "Nouri نوری", "Hosseini حسینی", "Jafari جعفری"]


def big_center(folder: Path) -> Center:
    """A center of eight queues and 48 agents."""
    names = [
        (f"{f.split()[0]} {g.split()[0]}", f"{f.split()[1]} {g.split()[1]}") for f in _FIRST for g in _LAST
    ]
    queue_ids = list(_QUEUES)
    lines = [
        "tenant: demo",
        "name: {en: Customer care, fa: ارتباط با مشتری}",
        "timezone: Asia/Tehran",
        "languages: [en, fa]",
        'default_entry_point: "1000"',
        "break_reasons: [{code: lunch, name: {en: Lunch, fa: ناهار}, limit_s: 1800}, {code: rest, name: {en: Rest, fa: استراحت}}]",
        "prompts:",
        *(f"  {p}: {{en: {p}, fa: {p}}}" for p in FEATURE_PROMPTS),
        "queues:",
        *(
            f"  {q}: {{name: {{en: {en}, fa: {fa}}}, service_level_s: {t}}}"
            for q, (en, fa, t) in _QUEUES.items()
        ),
        "agents:",
        *(
            f'  agent{n}: {{name: {{en: {en}, fa: {fa}}}, extension: "{2000 + n}", '
            f"queues: [{queue_ids[n % 8]}, {queue_ids[(n + 1 + n // 8) % 8]}]}}"
            for n, (en, fa) in enumerate(names)
            if n % 8 != 2 or n < 16  # billing is short of people
        ),
        "entry_points:",
        '  "1000": {name: {en: Main, fa: اصلی}, flow: main, language: en, fallback_queue: sales}',
        "flows:",
        "  main: {start: go, nodes: {go: {queue: sales}}}",
    ]
    file = folder / "big.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return load(file).centers[0]


class DemoDay:
    """Facts of some hours before ``now_us``, in the order in which they happened."""

    def __init__(
        self, center: Center, *, now_us: int, hours: float, calls_per_minute: float, seed: int = 7
    ) -> None:
        self._center = center
        self._now_us = now_us
        self._start_us = now_us - int(hours * 3600 * S)
        self._rate = calls_per_minute / 60
        self._chance = random.Random(seed)
        self._todo: list[tuple[int, int, str, tuple[str, ...]]] = []
        self._serial = 0
        self._waiting: dict[str, list[tuple[int, str]]] = {q: [] for q in center.queues}
        self._idle: dict[str, int] = {}
        self._busy: set[str] = set()
        self._log: list[routing.Fact] = []

    def facts(self) -> Iterator[tuple[int, str, Message]]:
        """(when, contact or empty, ``ivr.v1`` fact or ``Decided``)."""
        for n, agent in enumerate(self._center.agents):
            self._at(self._start_us + n * S, "login", agent)
        at = self._start_us + 60 * S
        while at < self._now_us:
            self._at(at, "call", f"c-{at}")
            at += int(self._chance.expovariate(self._rate) * S)
        while self._todo and self._todo[0][0] <= self._now_us:
            at, _, what, args = heapq.heappop(self._todo)
            for contact, message in getattr(self, f"_{what}")(at, *args):
                yield at, contact, message
            if self._log:
                yield at, "", routing.Decided(epoch=1, at_us=at, facts=self._log)
                self._log = []

    def _at(self, at_us: int, what: str, *args: str) -> None:
        self._serial += 1
        heapq.heappush(self._todo, (at_us, self._serial, what, args))

    def _say(self, **fact: Message) -> None:
        self._log.append(routing.Fact(**fact))

    def _presence(self, agent: str, presence: str, reason: str = "") -> None:
        self._say(
            agent_presence_changed=routing.AgentPresenceChanged(
                agent_id=agent, presence=presence, reason=reason
            )
        )

    def _activity(self, agent: str, activity: str, contact: str = "", queue: str = "") -> None:
        self._say(
            agent_activity_changed=routing.AgentActivityChanged(
                agent_id=agent, activity=activity, contact_id=contact, queue=queue
            )
        )

    def _login(self, at: int, agent: str) -> list[tuple[str, Message]]:
        self._presence(agent, "available")
        self._activity(agent, "idle")
        self._idle[agent] = at
        self._at(at + int(self._chance.uniform(600, 5000) * S), "pause", agent)
        self._match(at)
        return []

    def _pause(self, at: int, agent: str) -> list[tuple[str, Message]]:
        if agent not in self._idle:
            self._at(at + 30 * S, "pause", agent)
            return []
        del self._idle[agent]
        draw = self._chance.random()
        if draw < 0.3:
            self._at(at + int(self._chance.uniform(60, 400) * S), "pause", agent)
            self._place(at, agent, direct=draw < 0.1)
            return []
        missed = self._chance.random() < 0.08
        reason = "no_answer" if missed else self._chance.choice([r.code for r in self._center.break_reasons])
        self._presence(agent, "break", reason)
        self._at(at + int(self._chance.uniform(180, 1300) * S), "login", agent)
        return []

    def _place(self, at: int, agent: str, *, direct: bool) -> None:
        """The agent calls a customer, or is called on the phone directly."""
        queue, contact = self._center.agents[agent].queue_names[0], f"out-{at}"
        self._at(
            at + int(self._chance.uniform(30, 400) * S), "hang_up", agent, "" if direct else contact, queue
        )
        if direct:
            self._activity(agent, "own_call")
            return
        self._say(
            contact_queued=routing.ContactQueued(
                contact_id=contact, queue=queue, node="fs1", waiting_since_us=at, kind="outbound"
            )
        )
        self._activity(agent, "offered", contact, queue)

    def _hang_up(self, at: int, agent: str, contact: str, queue: str) -> list[tuple[str, Message]]:
        if contact:
            self._close(contact, queue, "completed", 0)
        return self._free(at, agent)

    def _call(self, at: int, contact: str) -> list[tuple[str, Message]]:
        started = ivr.ContactStarted(
            contact_id=contact, node="fs1", entry_point="1000", ani="+982100000", started_at_us=at
        )
        self._at(at + int(self._chance.uniform(4, 25) * S), "choice", contact)
        return [(contact, started)]

    def _choice(self, at: int, contact: str) -> list[tuple[str, Message]]:
        if self._chance.random() < 0.04:
            return [(contact, ivr.IvrEnded(contact_id=contact, outcome="hung_up", at_us=at))]
        if self._chance.random() < 0.01:
            return [(contact, ivr.IvrEnded(contact_id=contact, outcome="closed", at_us=at))]
        queues = list(self._center.queues)
        weights = [9 - n if n < 5 else 3 for n in range(len(queues))]
        queue = self._chance.choices(queues, weights)[0]
        self._say(
            contact_queued=routing.ContactQueued(
                contact_id=contact, queue=queue, node="fs1", waiting_since_us=at
            )
        )
        self._waiting[queue].append((at, contact))
        self._at(at + int((3 + self._chance.expovariate(1 / 150)) * S), "give_up", contact, queue, str(at))
        self._match(at)
        return [(contact, ivr.ContactHandedOver(contact_id=contact, queue=queue, at_us=at))]

    def _give_up(self, at: int, contact: str, queue: str, since: str) -> list[tuple[str, Message]]:
        entry = (int(since), contact)
        if entry in self._waiting[queue]:
            self._waiting[queue].remove(entry)
            self._close(contact, queue, "abandoned", (at - int(since)) // 1000)
        return []

    def _close(self, contact: str, queue: str, outcome: str, wait_ms: int) -> None:
        self._say(
            contact_closed=routing.ContactClosed(
                contact_id=contact, queue=queue, outcome=outcome, wait_ms=wait_ms
            )
        )

    def _match(self, at: int) -> None:
        for agent, _ in sorted(self._idle.items(), key=lambda item: item[1]):
            mine = [w[0] + (q,) for q in self._center.agents[agent].queue_names if (w := self._waiting[q])]
            if not mine:
                continue
            since, contact, queue = min(mine)
            self._waiting[queue].remove((since, contact))
            del self._idle[agent]
            self._activity(agent, "offered", contact, queue)
            self._at(at + int(self._chance.uniform(2, 7) * S), "answer", agent, contact, queue, str(since))

    def _answer(self, at: int, agent: str, contact: str, queue: str, since: str) -> list[tuple[str, Message]]:
        wait_ms = (at - int(since)) // 1000
        self._say(
            contact_connected=routing.ContactConnected(
                contact_id=contact, offer_id=f"o-{contact}", agent_id=agent, queue=queue, wait_ms=wait_ms
            )
        )
        self._activity(agent, "talking", contact, queue)
        talk_s = self._chance.lognormvariate(5.1, 0.5)
        self._at(at + int(talk_s * S), "end", agent, contact, queue, str(wait_ms))
        return []

    def _end(self, at: int, agent: str, contact: str, queue: str, wait_ms: str) -> list[tuple[str, Message]]:
        self._close(contact, queue, "completed", int(wait_ms))
        self._activity(agent, "wrap_up", contact, queue)
        self._at(at + int(self._chance.uniform(8, 45) * S), "free", agent)
        return []

    def _free(self, at: int, agent: str) -> list[tuple[str, Message]]:
        self._activity(agent, "idle")
        self._idle[agent] = at
        self._match(at)
        return []


async def append_all(bus: Bus, tenant: str, day: DemoDay) -> int:
    """Append the day to the bus; returns the number of messages."""
    count = 0
    for at_us, contact, message in day.facts():
        count += 1
        if isinstance(message, routing.Decided):
            subject = subjects.log(tenant)
        else:
            what = {"ContactStarted": "started", "ContactHandedOver": "handed-over", "IvrEnded": "ended"}
            subject = subjects.fact(tenant, "ivr", "contact", what[message.DESCRIPTOR.name])
        await bus.append(Outgoing(subject, message, f"{tenant}-{count}", tenant, contact, time_us=at_us))
    return count
