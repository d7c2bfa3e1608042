"""Every key figure computed a second time, in plain Python from the facts and legs themselves.

Nothing of the product's reckoning is used here: no cards, no records, no SQL, no catalogue of formulas, no calendar. Facts are read once,
in the order of their streams, into contacts, stays, conversations, offers and agents' times; figures are sums over these lists. Where the
product would be right and this wrong, or the other way round, the test that compares them fails.

What is exact: everything. Quantiles are those of the values themselves (the element at the place level x number), which is what rows
are read for; sketches of 15 minutes are not compared to the last unit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from persiantools.jdatetime import JalaliDate

from services.reporting.core import facts as f
from services.reporting.core.legs import Leg

SLOT_MS = 900_000
DAY_US = 86_400_000_000
NOBODY = "–"


@dataclass
class Contact:
    """A contact, as facts and legs tell of it."""

    id: str
    at_us: int = 0
    start: str = ""
    entry_point: str = ""
    ani: str = ""
    customer: str = ""
    language: str = ""
    skills: tuple[str, ...] = ()
    queue: str = ""
    agent: str = ""
    outcome: str = "open"
    transfers: int = 0
    hold_ms: int = 0
    ended_us: int = 0
    billed_ms: int = 0
    voice: tuple[int, int, int] = (0, 0, 0)
    """Score in thousandths, jitter in microseconds, loss in a million; no score: not measured."""

    @property
    def channel(self) -> str:
        return "voice" if self.start in ("ivr", "queue", "outbound", "callback") else self.start


@dataclass
class Stay:
    """A stretch of a contact in a queue."""

    contact: Contact
    queue: str
    at_us: int
    outcome: str = "open"
    wait_ms: int = 0


@dataclass
class Talk:
    """A conversation of an agent with a contact."""

    contact: Contact
    queue: str
    agent: str
    offer: str
    at_us: int
    outcome: str = "open"
    talk_ms: int = 0
    hold_ms: int = 0
    acw_ms: int = 0
    voice: tuple[int, int, int] = (0, 0, 0)


@dataclass
class Offer:
    contact: Contact
    queue: str
    agent: str
    at_us: int
    outcome: str = ""


@dataclass
class Score:
    contact: Contact
    queue: str
    agent: str
    at_us: int
    score: int
    least: int
    most: int


@dataclass
class Spell:
    """Time of an agent in a presence or activity, cut at quarters of an hour."""

    agent: str
    at_us: int
    state: str
    ms: int
    kind: str
    """presence or activity; empty for what is made of both."""
    reason: str = ""

    @property
    def state_reason(self) -> str:
        return self.reason


@dataclass
class Books:
    """What happened."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    offers: dict[str, Offer] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    spells: list[Spell] = field(default_factory=list)


def read(placed: Iterable[f.Placed], legs: Iterable[Leg], now_us: int) -> Books:
    """Read all facts, each once whatever its repetitions, and legs."""
    books = Books()
    unique = {one.id: one for one in placed}
    ordered = sorted(unique.values(), key=lambda one: (one.seq, one.idx))
    # What queue and ivr saw, before what routing says of it.
    for stream in ("CC_EVENTS", "CC_ROUTING"):
        for one in ordered:
            if one.stream == stream:
                _contact_fact(books, one)
    _stretches(books, [one for one in ordered if one.stream == "CC_ROUTING"], unique.values())
    for leg in legs:
        contact = books.contacts.setdefault(leg.contact_id, Contact(leg.contact_id))
        contact.billed_ms += leg.billed_ms
        voice = (leg.mos_milli, leg.jitter_us, leg.packet_loss_ppm)
        if leg.role == "caller":
            contact.voice = voice
        for talk in books.talks:
            if leg.offer_id and talk.offer == leg.offer_id:
                talk.voice = voice
        if leg.role == "caller":
            contact.ended_us = contact.ended_us or leg.ended_at_us
    _agents(books, ordered, now_us)
    return books


def _contact_fact(books: Books, one: f.Placed) -> None:
    fact = one.fact
    contact = (
        books.contacts.setdefault(one.contact_id, Contact(one.contact_id)) if one.contact_id else Contact("")
    )
    match fact:
        case f.ContactStarted():
            contact.at_us, contact.start = fact.started_at_us, "ivr"
            contact.entry_point, contact.ani = fact.entry_point, fact.ani
            contact.language = fact.language
        case f.ContactHandedOver():
            contact.customer, contact.queue = fact.customer, fact.queue
        case f.IvrEnded():
            contact.outcome, contact.ended_us = fact.outcome, fact.at_us
        case f.ContactGone():
            contact.ended_us = fact.at_us
        case f.ContactQueued() if not fact.requeued:
            contact.start = contact.start or fact.channel or fact.kind or "queue"
            contact.at_us = contact.at_us or fact.started_at_us
            contact.entry_point = contact.entry_point or fact.entry_point
            contact.ani, contact.skills = contact.ani or fact.ani, fact.skills
            contact.queue = fact.queue
        case f.ContactQueued():
            contact.queue = fact.queue
        case f.ContactConnected():
            contact.outcome, contact.agent = "answered", fact.agent_id
        case f.ContactClosed():
            contact.transfers = fact.transfers
            contact.hold_ms = fact.hold_ms or contact.hold_ms
            contact.ended_us = contact.ended_us or one.at_us
            if contact.outcome != "answered":
                contact.outcome = fact.outcome
        case f.OfferMade():
            books.offers[fact.offer_id] = Offer(contact, fact.queue, fact.agent_id, one.at_us)
        case f.OfferEnded():
            books.offers[fact.offer_id].outcome = fact.outcome
        case f.SurveyAnswered() if fact.kind == "score":
            score = Score(contact, fact.queue, fact.agent_id, fact.at_us, fact.score, fact.least, fact.most)
            books.scores.append(score)


def _stretches(books: Books, log: list[f.Placed], everything: Iterable[f.Placed]) -> None:
    """Stays and conversations out of routing's log, with the lengths that queue measured."""
    over = {one.fact.offer_id: one.fact for one in everything if isinstance(one.fact, f.ConversationEnded)}
    stay: dict[str, Stay] = {}
    talk: dict[str, Talk] = {}
    last: dict[tuple[str, str], Talk] = {}

    def leave(contact: str, outcome: str, at_us: int) -> None:
        found = stay.pop(contact, None)
        if found is not None:
            found.outcome, found.wait_ms = outcome, max(0, at_us - found.at_us) // 1000

    for one in log:
        fact, key = one.fact, one.contact_id
        match fact:
            case f.ContactQueued():
                contact = books.contacts[key]
                began = one.at_us if fact.requeued else fact.waiting_since_us
                found = Stay(contact, fact.queue, began)
                # Whom an agent calls waits for nobody; passed on to a queue, it does.
                if fact.kind != "outbound":
                    stay[key] = found
                    books.stays.append(found)
            case f.ContactOverflowed():
                leave(key, "overflowed", one.at_us)
            case f.ContactConnected():
                leave(key, "answered", fact.connected_at_us)
                ended = over.get(fact.offer_id)
                spoken = Talk(
                    books.contacts[key], fact.queue, fact.agent_id, fact.offer_id, fact.connected_at_us
                )
                if ended is not None:
                    spoken.talk_ms, spoken.hold_ms = ended.talk_ms, ended.hold_ms
                books.talks.append(spoken)
                talk[key] = last[(key, fact.agent_id)] = spoken
            case f.ContactTransferred():
                talk.pop(key).outcome = "transferred"
            case f.ContactClosed():
                gone = fact.outcome == "abandoned"
                leave(key, fact.outcome, books.contacts[key].ended_us if gone else one.at_us)
                if key in talk:
                    talk.pop(key).outcome = "completed"
            case f.WrapUpEnded():
                last[(key, fact.agent_id)].acw_ms += fact.wrap_up_ms


def _agents(books: Books, ordered: list[f.Placed], now_us: int) -> None:
    changes: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for one in ordered:
        match one.fact:
            case f.AgentPresenceChanged(agent_id=agent, presence=state, reason=why):
                changes.setdefault((agent, "presence"), []).append((one.at_us, state, why))
            case f.AgentActivityChanged(agent_id=agent, activity=state):
                changes.setdefault((agent, "activity"), []).append((one.at_us, state, ""))
    spans = {key: _spans(found, now_us) for key, found in changes.items()}
    for (agent, kind), found in spans.items():
        there = [
            (b, e) for b, e, state, _ in spans.get((agent, "presence"), []) if state in ("available", "break")
        ]
        for begin, end, state, why in found:
            if kind == "presence":
                _spell(books, agent, state, begin, end, kind, why)
                if state in ("available", "break"):
                    _spell(books, agent, "logged_in", begin, end)
            elif state in ("idle", "unreachable"):
                for b, e in there:
                    _spell(books, agent, state, max(b, begin), min(e, end))
            else:
                _spell(books, agent, state, begin, end, kind)


def _spans(changes: list[tuple[int, str, str]], now_us: int) -> list[tuple[int, int, str, str]]:
    ends = [at for at, _, _ in changes[1:]] + [max(now_us, changes[-1][0])]
    return [(at, end, state, why) for (at, state, why), end in zip(changes, ends, strict=True)]


def _spell(
    books: Books, agent: str, state: str, begin_us: int, end_us: int, kind: str = "", why: str = ""
) -> None:
    begin, end = begin_us // 1000, end_us // 1000
    while begin < end:
        stop = min(end, (begin // SLOT_MS + 1) * SLOT_MS)
        books.spells.append(Spell(agent, begin * 1000, state, stop - begin, kind, why))
        begin = stop


# ------------------------------------------------------------------------------------------------------------------ figures
@dataclass(frozen=True)
class Asked:
    """How figures are told apart: the question, in the oracle's own words."""

    zone: str
    jalali: bool
    week_start: int
    """0 is Monday."""
    from_us: int
    to_us: int
    targets_ms: Mapping[str, tuple[int, int]]
    """T and S by queue."""
    fcr_days: int
    now_us: int
    teams: Mapping[str, str]

    def local(self, at_us: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(at_us // 1_000_000, ZoneInfo(self.zone))

    def interval(self, unit: str, at_us: int) -> str:
        """What people call the interval of a moment."""
        local = self.local(at_us)
        day = local.date()
        if unit == "week":
            day -= dt.timedelta(days=(day.weekday() - self.week_start) % 7)
        year, month, in_month = day.year, day.month, day.day
        if self.jalali:
            other = JalaliDate(day)
            year, month, in_month = other.year, other.month, other.day
        minute = local.minute // 15 * 15 if unit == "15m" else 0
        return {
            "year": f"{year:04}", "quarter": f"{year:04}-Q{(month - 1) // 3 + 1}", "month": f"{year:04}-{month:02}",
        }.get(unit) or f"{year:04}-{month:02}-{in_month:02}" + (
            f" {local.hour:02}:{minute:02}" if unit in ("hour", "15m") else ""
        )  # fmt: skip


def rows_of(books: Books, asked: Asked) -> dict[str, list[Any]]:
    """What figures are made from, of the span, by kind."""

    def inside(rows: Iterable[Any]) -> list[Any]:
        return [row for row in rows if asked.from_us <= row.at_us < asked.to_us]

    counted = [c for c in books.contacts.values() if c.start]
    return {
        "contacts": inside(counted),
        "first": inside(_first(counted, asked)),
        "stays": inside(books.stays),
        "talks": inside(books.talks),
        "offers": inside(books.offers.values()),
        "scores": inside(books.scores),
        "spells": inside(books.spells),
        "pieces": inside(s for s in books.spells if s.kind and s.state != "offline"),
    }


def _first(contacts: list[Contact], asked: Asked) -> list[Contact]:
    window = asked.fcr_days * DAY_US
    by_person: dict[str, list[Contact]] = {}
    for contact in sorted(contacts, key=lambda c: (c.at_us, c.id)):
        who = f"customer {contact.customer}" if contact.customer else f"number {contact.ani}"
        if (contact.customer or contact.ani) and contact.start not in ("callback", "outbound"):
            by_person.setdefault(who, []).append(contact)
    found = []
    for visits in by_person.values():
        for place, contact in enumerate(visits):
            fresh = place == 0 or contact.at_us - visits[place - 1].at_us > window
            if fresh and contact.outcome == "answered" and contact.at_us + window <= asked.now_us:
                found.append(contact)
    return found


def came_again(contacts: Iterable[Contact], contact: Contact, asked: Asked) -> bool:
    """Whether the same person came again in the window."""
    window = asked.fcr_days * DAY_US

    def who(c: Contact) -> tuple[str, str]:
        return (c.customer, "") if c.customer else ("", c.ani)

    return any(
        c is not contact
        and c.start not in ("", "callback", "outbound")
        and who(c) == who(contact)
        and (c.at_us, c.id) > (contact.at_us, contact.id)
        and c.at_us - contact.at_us <= window
        for c in contacts
    )


def dimension(name: str, row: Any, asked: Asked) -> list[Any]:
    """The values of a dimension that a row counts under."""
    contact = row if isinstance(row, Contact) else getattr(row, "contact", None)
    match name:
        case "hour":
            return [asked.local(row.at_us).hour]
        case "weekday":
            return [("mon", "tue", "wed", "thu", "fri", "sat", "sun")[asked.local(row.at_us).weekday()]]
        case "queue" | "agent" | "state" | "state_reason":
            return [getattr(row, name)]
        case "team":
            return [asked.teams.get(row.agent, "")]
    assert contact is not None
    if name == "skill":
        return [skill.partition(":")[0] for skill in contact.skills] or [""]
    return [getattr(contact, {"number": "ani"}.get(name, name))]


def quantile(level: float, values: Iterable[int]) -> float | None:
    """The element at the place level x number."""
    found = sorted(values)
    return found[min(int(level * len(found)), len(found) - 1)] / 1000 if found else None


def over(top: float, bottom: float) -> float | None:
    """A ratio; None where there is nothing to divide by."""
    return top / bottom if bottom > 0 else None


def figures(rows: Mapping[str, list[Any]], books: Books, asked: Asked) -> dict[str, float | int | None]:
    """Every measure of some rows."""

    def n(kind: str, test: Callable[[Any], bool] = lambda row: True) -> int:
        return sum(1 for row in rows[kind] if test(row))

    def s(kind: str, part: Callable[[Any], int], test: Callable[[Any], bool] = lambda row: True) -> int:
        return sum(part(row) for row in rows[kind] if test(row))

    def t(stay: Stay) -> int:
        return asked.targets_ms[stay.queue][0]

    menu = ("hung_up", "closed", "transferred", "finished", "failed")
    called = lambda c: c.start not in ("callback", "outbound")  # noqa: E731
    offered, answered = n("stays"), n("stays", lambda x: x.outcome == "answered")
    within = n("stays", lambda x: x.outcome == "answered" and x.wait_ms <= t(x))
    left = n("stays", lambda x: x.outcome == "abandoned")
    left_within = n("stays", lambda x: x.outcome == "abandoned" and x.wait_ms <= t(x))
    short = n("stays", lambda x: x.outcome == "abandoned" and x.wait_ms < asked.targets_ms[x.queue][1])
    overflowed = n("stays", lambda x: x.outcome == "overflowed")
    waited = s("stays", lambda x: x.wait_ms, lambda x: x.outcome == "answered")
    waited_in_vain = s("stays", lambda x: x.wait_ms, lambda x: x.outcome == "abandoned")
    handled, talked = n("talks"), s("talks", lambda x: x.talk_ms)
    held, after = s("talks", lambda x: x.hold_ms), s("talks", lambda x: x.acw_ms)
    state = {
        name: s("spells", lambda x: x.ms, lambda x, name=name: x.state == name)  # type: ignore[misc]
        for name in ("logged_in", "available", "break", "idle", "offered", "talking", "held", "wrap_up", "handling", "closing", "own_call", "unreachable")
    }  # fmt: skip
    busy = state["talking"] + state["held"] + state["wrap_up"] + state["handling"]
    offers = n("offers")
    missed = n("offers", lambda x: x.outcome not in ("", "accepted", "withdrawn"))
    csat = [x for x in rows["scores"] if (x.least, x.most) == (1, 5)]
    nps = [x for x in rows["scores"] if (x.least, x.most) == (0, 10)]
    promoters, detractors = sum(x.score >= 9 for x in nps), sum(x.score <= 6 for x in nps)
    contacts_answered = n("contacts", lambda c: c.outcome == "answered")
    done = [c for c in rows["contacts"] if called(c) and c.outcome != "open"]
    caller_legs = [c.voice for c in rows["contacts"] if c.voice[0]]
    agent_legs = [x.voice for x in rows["talks"] if x.voice[0]]
    resolved = n("first", lambda c: not came_again(books.contacts.values(), c, asked))
    waits = [x.wait_ms for x in rows["stays"] if x.outcome == "answered"]
    talks = [x.talk_ms for x in rows["talks"]]
    seconds = {
        "talk_time": talked, "hold_time": held, "acw_time": after, "talk_without_hold_time": talked - held,
        "logged_in_time": state["logged_in"], "available_time": state["available"], "break_time": state["break"],
        "idle_time": state["idle"], "offered_time": state["offered"], "talking_time": state["talking"], "held_time": state["held"],
        "after_time": state["wrap_up"], "handling_time": state["handling"], "closing_time": state["closing"],
        "own_call_time": state["own_call"], "unreachable_time": state["unreachable"],
        "presence_time": s("pieces", lambda x: x.ms, lambda x: x.kind == "presence"),
        "busy_time": s("pieces", lambda x: x.ms, lambda x: x.kind == "activity"),
        "longest_wait": max((x.wait_ms for x in rows["stays"]), default=0),
        "billed_time": s("contacts", lambda c: c.billed_ms),
    }  # fmt: skip
    found: dict[str, float | int | None] = {name: ms * 0.001 for name, ms in seconds.items()}
    found |= {
        "received": n("contacts", called),
        "contacts_answered": n("contacts", lambda c: called(c) and c.outcome == "answered"),
        "contacts_abandoned": n("contacts", lambda c: called(c) and c.outcome == "abandoned"),
        "hung_up_in_menu": n("contacts", lambda c: called(c) and c.outcome == "hung_up"),
        "served_by_menu": n("contacts", lambda c: called(c) and c.outcome in menu[1:]),
        "contacts_other": n("contacts", lambda c: called(c) and c.outcome not in (*menu, "answered", "abandoned", "open")),
        "contacts_open": n("contacts", lambda c: called(c) and c.outcome == "open"),
        "callbacks": n("contacts", lambda c: c.start == "callback"),
        "callbacks_answered": n("contacts", lambda c: c.start == "callback" and c.outcome == "answered"),
        "outbound": n("contacts", lambda c: c.start == "outbound"),
        "outbound_answered": n("contacts", lambda c: c.start == "outbound" and c.outcome == "answered"),
        "contacts_handled": contacts_answered,
        "contacts_passed_on": n("contacts", lambda c: c.outcome == "answered" and c.transfers > 0),
        "contacts_held": n("contacts", lambda c: c.outcome == "answered" and c.hold_ms > 0),
        "contact_transfer_rate": over(n("contacts", lambda c: c.outcome == "answered" and c.transfers > 0), contacts_answered),
        "average_contact": _scaled(over(sum((c.ended_us - c.at_us) // 1000 for c in done), len(done)), 0.001),
        "fcr": over(resolved, n("first")),
        "offered": offered,
        "answered": answered,
        "answered_within": within,
        "abandoned": left,
        "abandoned_within": left_within,
        "abandoned_short": short,
        "overflowed": overflowed,
        "transferred_out": 0,
        "other_ended": 0,
        "still_open": n("stays", lambda x: x.outcome == "open"),
        "service_level": over(within, answered + left - short),
        "service_level_f1": over(within + left_within, answered + left),
        "service_level_f2": over(within, answered),
        "service_level_f3": over(within, answered + left),
        "service_level_f4": over(within, answered + left - left_within),
        "service_level_f5": over(within + short, answered + left),
        "abandon_rate": over(left - short, offered - short),
        "abandon_rate_all": over(left, offered),
        "answer_rate": over(answered, offered),
        "overflow_rate": over(overflowed, offered),
        "asa": _scaled(over(waited, answered), 0.001),
        "abandon_time": _scaled(over(waited_in_vain, left), 0.001),
        "handled": handled,
        "transferred": n("talks", lambda x: x.outcome == "transferred"),
        "aht": _scaled(over(talked + after, handled), 0.001),
        "att": _scaled(over(talked - held, handled), 0.001),
        "average_hold": _scaled(over(held, handled), 0.001),
        "acw": _scaled(over(after, handled), 0.001),
        "hold_share": over(n("talks", lambda x: x.hold_ms > 0), handled),
        "transfer_rate": over(n("talks", lambda x: x.outcome == "transferred"), handled),
        "offers": offers,
        "offers_accepted": n("offers", lambda x: x.outcome == "accepted"),
        "offers_missed": missed,
        "occupancy": over(busy, state["available"]),
        "utilisation": over(busy + state["own_call"], state["logged_in"]),
        "ready_share": over(state["available"], state["logged_in"]),
        "non_response": over(missed, offers),
        "csat_answers": len(csat),
        "nps_answers": len(nps),
        "csat": over(sum(x.score >= 4 for x in csat), len(csat)),
        "nps": _scaled(over(promoters - detractors, len(nps)), 100),
        **_voice("caller", caller_legs),
        **_voice("agent", agent_legs),
    }  # fmt: skip
    for level in (0.5, 0.9, 0.95):
        found[f"wait_p{level * 100:.0f}"] = quantile(level, waits)
        found[f"talk_p{level * 100:.0f}"] = quantile(level, talks)
    return found


def _voice(of: str, legs: list[tuple[int, int, int]]) -> dict[str, float | None]:
    parts = (("mos", 0.001), ("jitter", 0.001), ("loss", 1e-6))
    return {
        f"{name}_{of}": _scaled(over(sum(leg[place] for leg in legs), len(legs)), factor)
        for place, (name, factor) in enumerate(parts)
    }


def _scaled(ratio: float | None, factor: float) -> float | None:
    return None if ratio is None else ratio * factor


def groups(
    rows: Mapping[str, list[Any]], kind: str, asked: Asked, by: tuple[str, ...], unit: str | None
) -> dict[tuple[Any, ...], dict[str, list[Any]]]:
    """The rows of one kind by interval and dimensions, each under all its keys."""
    found: dict[tuple[Any, ...], dict[str, list[Any]]] = {}
    for row in rows[kind]:
        keys: list[tuple[Any, ...]] = [(asked.interval(unit, row.at_us),) if unit else ()]
        for name in by:
            keys = [(*key, value) for key in keys for value in dimension(name, row, asked)]
        for key in keys:
            found.setdefault(key, {other: [] for other in rows})[kind].append(row)
    return found
