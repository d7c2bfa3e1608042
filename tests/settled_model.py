"""What segments, agents' intervals and 15-minute states have to be, told by walking through the facts one by one.

The oracle of ``services/reporting/core/settling_sql`` and ``states_sql``: plain loops over whole lives, without versions, batches or windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from services.reporting.core import facts as f

DAY_US: Final = 86_400_000_000
SLOT_US: Final = 900_000_000
BUSY: Final = {
    "offered": "offered_ms", "ringing": "offered_ms", "talking": "talking_ms", "held": "held_ms", "wrap_up": "wrap_up_ms",
    "handling": "handling_ms", "closing": "closing_ms", "own_call": "own_call_ms",
}  # fmt: skip


@dataclass
class Segment:
    """One stretch of a contact, in the columns of ``v_segments`` that the facts decide."""

    contact_id: str
    kind: str
    queue: str
    reason: str
    began_us: int
    agent_id: str = ""
    offer_id: str = ""
    ended_us: int = 0
    outcome: str = "open"
    talk_ms: int = 0
    hold_ms: int = 0
    ring_ms: int = 0
    wrap_up_ms: int = 0
    place_us: int = 0
    seq: tuple[int, int] = (0, 0)

    @property
    def wait_ms(self) -> int:
        return (self.ended_us - self.began_us) // 1000 if self.kind != "agent" and self.ended_us else 0

    def row(self, no: int) -> tuple[Any, ...]:
        return (
            self.contact_id, no, self.kind, self.queue, self.agent_id, self.offer_id, self.reason, self.began_us, self.ended_us,
            self.wait_ms, self.ring_ms, self.talk_ms, self.hold_ms, self.wrap_up_ms, self.outcome,
        )  # fmt: skip


@dataclass
class Talk:
    """What queue saw of one conversation."""

    ended: bool = False
    talk_ms: int = 0
    hold_ms: int = 0
    ring_ms: int = 0


@dataclass
class Model:
    """All facts of one tenant, whatever came when."""

    placed: dict[str, f.Placed] = field(default_factory=dict)

    def learn(self, facts: Iterable[f.Placed]) -> None:
        for fact in facts:
            self.placed[fact.id] = fact

    def _routing(self) -> list[f.Placed]:
        found = [p for p in self.placed.values() if p.type.startswith("peyvand.routing.")]
        return sorted(found, key=lambda p: (p.seq, p.idx))

    def segments(self) -> dict[str, list[Segment]]:
        """By contact, in order."""
        talks: dict[str, Talk] = defaultdict(Talk)
        for placed in sorted(self.placed.values(), key=lambda p: (p.seq, p.idx)):
            if isinstance(placed.fact, f.ConversationEnded):
                talks[placed.fact.offer_id].talk_ms = placed.fact.talk_ms
                talks[placed.fact.offer_id].hold_ms = placed.fact.hold_ms
            elif isinstance(placed.fact, f.OfferEnded):
                talks[placed.fact.offer_id].ring_ms = placed.fact.ring_ms
        lives: dict[str, list[f.Placed]] = defaultdict(list)
        for placed in self._routing():
            if placed.contact_id:
                lives[placed.contact_id].append(placed)
        return {contact: _walk(contact, life, talks) for contact, life in lives.items()}

    def intervals(self, now_us: int) -> list[tuple[Any, ...]]:
        """(agent, kind, value, began, ended or 0), cut at midnight."""
        changes: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for placed in self._routing():
            if isinstance(placed.fact, f.AgentPresenceChanged):
                changes[placed.fact.agent_id, "presence"].append((placed.at_us, placed.fact.presence))
            elif isinstance(placed.fact, f.AgentActivityChanged):
                changes[placed.fact.agent_id, "activity"].append((placed.at_us, placed.fact.activity))
        found = []
        for (agent, kind), told in changes.items():
            for n, (at_us, value) in enumerate(told):
                closed = n + 1 < len(told)
                end_us = max(told[n + 1][0] if closed else now_us, at_us)
                begin_us = at_us
                first = at_us // DAY_US
                while value != "offline" and begin_us // DAY_US < end_us // DAY_US:
                    if not closed and begin_us // DAY_US - first > 31:
                        break
                    midnight_us = (begin_us // DAY_US + 1) * DAY_US
                    found.append((agent, kind, value, begin_us, midnight_us))
                    begin_us = midnight_us
                going_on = not closed and (value == "offline" or begin_us // DAY_US == end_us // DAY_US)
                if (closed and (begin_us == at_us or end_us > begin_us)) or going_on:
                    found.append((agent, kind, value, begin_us, end_us if closed else 0))
        return sorted(found)

    def queue_15m(self) -> dict[tuple[int, str], dict[str, int]]:
        """By start of the 15 minutes (seconds) and queue; counts that are not 0."""
        states: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for life in self.segments().values():
            for s in life:
                if s.kind == "direct":
                    continue
                row = states[s.began_us // SLOT_US * 900, s.queue]
                if s.kind == "agent":
                    row["handled"] += 1
                    row["talk_ms"] += s.talk_ms
                    row["hold_ms"] += s.hold_ms
                    row["wrap_up_ms"] += s.wrap_up_ms
                    continue
                row["offered"] += 1
                row["wait_max_ms"] = max(row["wait_max_ms"], s.wait_ms)
                within = s.wait_ms <= 20_000
                if s.outcome == "answered":
                    row["answered"] += 1
                    row["answered_within"] += within
                    row["wait_answered_ms"] += s.wait_ms
                elif s.outcome == "abandoned":
                    row["abandoned"] += 1
                    row["abandoned_within"] += within
                    row["abandoned_short"] += s.wait_ms < 5_000
                    row["wait_abandoned_ms"] += s.wait_ms
                else:
                    name = {
                        "overflowed": "overflowed",
                        "transferred": "transferred_out",
                        "open": "still_open",
                    }
                    row[name.get(s.outcome, "other_ended")] += 1
        return _without_zeros(states)

    def agent_15m(self, now_us: int) -> dict[tuple[int, str], dict[str, int]]:
        """By start of the 15 minutes (seconds) and agent; numbers that are not 0."""
        states: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        pieces: dict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)
        for agent, kind, value, begin_us, end_us in self.intervals(now_us):
            if value == "offline":
                continue
            over_us = end_us or max(now_us, begin_us)
            slot_us = begin_us // SLOT_US * SLOT_US
            while slot_us < over_us:
                a, b = max(begin_us, slot_us), min(over_us, slot_us + SLOT_US)
                pieces[agent, kind].append((value, a, b))
                if kind == "presence" and value in ("available", "break"):
                    _add(states[slot_us // 1_000_000, agent], ("logged_in_ms", f"{value}_ms"), a, b)
                elif value in BUSY:
                    _add(states[slot_us // 1_000_000, agent], (BUSY[value],), a, b)
                slot_us += SLOT_US
        for (agent, kind), told in pieces.items():
            if kind != "activity":
                continue
            for value, a, b in told:
                if value not in ("idle", "unreachable"):
                    continue
                for presence, c, d in pieces.get((agent, "presence"), ()):
                    begin_us, end_us = max(a, c), min(b, d)
                    if presence in ("available", "break") and begin_us < end_us:
                        slot = states[begin_us // SLOT_US * 900, agent]
                        _add(slot, (f"{value}_ms",), begin_us, end_us)
        for life in self.segments().values():
            for s in life:
                if s.kind == "agent":
                    row = states[s.began_us // SLOT_US * 900, s.agent_id]
                    row["handled"] += 1
                    row["talk_ms"] += s.talk_ms
                    row["hold_ms"] += s.hold_ms
                    row["acw_ms"] += s.wrap_up_ms
                    row["transfers"] += s.outcome in ("transferred", "consulted")
        ends = {p.fact.offer_id: p.fact.outcome for p in self._routing() if isinstance(p.fact, f.OfferEnded)}
        for placed in self._routing():
            if isinstance(placed.fact, f.OfferMade):
                row = states[placed.at_us // SLOT_US * 900, placed.fact.agent_id]
                outcome = ends.get(placed.fact.offer_id, "")
                row["offers"] += 1
                row["offers_accepted"] += outcome == "accepted"
                row["offers_missed"] += outcome not in ("", "accepted", "withdrawn")
        return _without_zeros(states)


def _add(row: dict[str, int], names: Iterable[str], begin_us: int, end_us: int) -> None:
    for name in names:
        row[name] += end_us // 1000 - begin_us // 1000


def _without_zeros(states: dict[tuple[int, str], dict[str, int]]) -> dict[tuple[int, str], dict[str, int]]:
    kept = {key: {name: n for name, n in row.items() if n} for key, row in states.items()}
    return {key: row for key, row in kept.items() if row}


def _walk(contact: str, life: list[f.Placed], talks: dict[str, Talk]) -> list[Segment]:
    found: list[Segment] = []
    open_now: Segment | None = None
    came_by = "arrived"
    given_to = ""
    for placed in life:
        fact, at_us = placed.fact, placed.at_us
        if isinstance(fact, f.ContactQueued):
            if open_now is not None and open_now.kind != "agent" and open_now.queue == fact.queue:
                continue
            if open_now is not None:
                _end(open_now, at_us, "returned" if open_now.kind == "agent" else "transferred", talks)
                came_by = "return" if open_now.kind == "agent" else came_by
            reason = "callback" if fact.callback_id and not found else came_by
            reason = "outbound" if fact.kind == "outbound" else reason
            direct = bool(fact.kind or fact.callback_id or given_to == "agent")
            began_us = at_us if fact.requeued or fact.callback_id else fact.waiting_since_us
            open_now = Segment(contact, "direct" if direct else "queue", fact.queue, reason, began_us)
            open_now.place_us = fact.waiting_since_us
            found.append(open_now)
            given_to = ""
        elif isinstance(fact, f.ContactConnected):
            reason = open_now.reason if open_now is not None and open_now.kind != "agent" else "consult"
            if open_now is not None:
                outcome = "consulted" if open_now.kind == "agent" else "answered"
                _end(open_now, fact.connected_at_us, outcome, talks)
            open_now = Segment(
                contact, "agent", fact.queue, reason, fact.connected_at_us, fact.agent_id, fact.offer_id
            )
            open_now.ring_ms = talks[fact.offer_id].ring_ms
            open_now.hold_ms = talks[fact.offer_id].hold_ms
            if talks[fact.offer_id].talk_ms:
                open_now.talk_ms = talks[fact.offer_id].talk_ms
                open_now.ended_us = fact.connected_at_us + open_now.talk_ms * 1000
            open_now.seq = (placed.seq, placed.idx)
            found.append(open_now)
        elif isinstance(fact, f.ContactOverflowed) and fact.action != "callback":
            if open_now is not None:
                _end(open_now, at_us, "overflowed" if open_now.kind != "agent" else "returned", talks)
            open_now, came_by = None, "overflow"
        elif isinstance(fact, f.ContactTransferred):
            if open_now is not None:
                _end(open_now, at_us, "transferred", talks)
            open_now, came_by, given_to = None, "transfer", fact.target_kind
        elif isinstance(fact, f.ContactClosed):
            if open_now is not None and open_now.kind == "agent":
                outcome = "ended_unseen" if fact.outcome == "ended_unseen" else "completed"
                alone = sum(s.kind == "agent" for s in found) == 1 and fact.offer_id == open_now.offer_id
                if alone and not talks[open_now.offer_id].talk_ms:
                    open_now.hold_ms = fact.hold_ms or open_now.hold_ms
                over_us = open_now.began_us + fact.talk_ms * 1000 if alone and fact.talk_ms else at_us
                _end(open_now, over_us, outcome, talks)
            elif open_now is not None:
                waited_us = min(open_now.place_us + fact.wait_ms * 1000, at_us) if fact.wait_ms else at_us
                _end(open_now, waited_us, fact.outcome, talks)
            open_now = None
        elif isinstance(fact, f.WrapUpEnded):
            theirs = [s for s in found if s.kind == "agent" and s.agent_id == fact.agent_id]
            if theirs:
                theirs[-1].wrap_up_ms += fact.wrap_up_ms
    return found


def _end(segment: Segment, at_us: int, outcome: str, talks: dict[str, Talk]) -> None:
    segment.outcome = outcome
    if segment.kind == "agent" and talks[segment.offer_id].talk_ms:
        return
    segment.ended_us = max(at_us, segment.began_us)
    if segment.kind == "agent":
        segment.talk_ms = (segment.ended_us - segment.began_us) // 1000
