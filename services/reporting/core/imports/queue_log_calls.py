"""The parts of ``queue_log``: its lines, and what is known of a call, which makes its history."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from services.reporting.core.imports.clock import MOST_S
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.records import (
    MOST_VERSION,
    BadLine,
    Contact,
    Derive,
    History,
    Offer,
    Stretch,
    linked,
    result_of,
)

LOST_US: Final = 24 * 3600 * 1_000_000
"""A call of which nothing was heard for so long has ended unseen."""
CLOSED: Final = 1 << 24
"""Added to the version of a call whose end is known."""

CALL_START: Final = re.compile(r"(?:.*-)?(\d{9,10})\.\d+")
EVENT: Final = re.compile(r"[A-Z][A-Z0-9_]*")

EXITS: Final = {
    # event: reason, result, where the wait stands in the data
    "EXITWITHTIMEOUT": ("max_wait", "timed_out", 2),
    "EXITEMPTY": ("no_agent", "no_agent", 2),
    "EXITWITHKEY": ("key", "overflowed", 3),
    "JOINEMPTY": ("no_agent", "no_agent", 9),
    "FULL": ("max_length", "full", 9),
    "CLOSED": ("closed", "closed", 9),
}
"""Ways out of a queue. The last three are of Wazo's log: the caller did not come in."""
REFUSED: Final = frozenset({"JOINEMPTY", "FULL", "CLOSED"})


class Line(msgspec.Struct, frozen=True):
    """One event of the log."""

    at_us: int
    call_id: str
    queue: str
    agent: str
    event: str
    data: tuple[str, ...] = ()

    def number(self, place: int) -> int:
        """A whole number of the data, 0 where there is none; negative places count from the end."""
        try:
            found = int(self.data[place])
        except (IndexError, ValueError):
            return 0
        return min(max(found, 0), MOST_S)

    def text(self, place: int) -> str:
        return self.data[place] if place < len(self.data) else ""


def line_of(at_us: int, fields: list[str]) -> Line:
    """A line of its fields after the time. Raises BadLine."""
    if len(fields) < 4:
        raise BadLine(f"expected time, call, queue, agent and event, found {len(fields) + 1} fields")
    call_id, queue, agent, event, *data = (field.strip() for field in fields)
    if not EVENT.fullmatch(event):
        raise BadLine(f"expected the name of an event, found {event[:40]!r}")
    return Line(at_us, call_id, queue, agent, event, tuple(data))


class Talk(msgspec.Struct):
    queue: str
    agent: str
    started_us: int
    ring_ms: int
    leg_id: str
    ended_us: int = 0
    outcome: str = ""
    ended_by: str = ""


class Stay(msgspec.Struct):
    queue: str
    entered_us: int
    reason: str
    ended_us: int = 0
    outcome: str = ""
    ended_by: str = ""
    exit: str = ""


class Miss(msgspec.Struct):
    queue: str
    agent: str
    ended_us: int
    ring_ms: int
    outcome: str


class Call(msgspec.Struct):
    call_id: str
    last_us: int
    contact_id: str
    lines: int = 0
    ani: str = ""
    name: str = ""
    number: str = ""
    stays: list[Stay] = []
    talks: list[Talk] = []
    misses: list[Miss] = []
    transfers: int = 0

    @property
    def stay(self) -> Stay | None:
        """Where it waits now."""
        return self.stays[-1] if self.stays and not self.stays[-1].ended_us else None

    @property
    def talk(self) -> Talk | None:
        """Whom it talks to now."""
        return self.talks[-1] if self.talks and not self.talks[-1].ended_us else None


class Told(msgspec.Struct, frozen=True):
    """Whose log it is, and what things are called: what makes a history of a call."""

    tenant: str
    source: str
    names: Names
    derive: Derive

    def contact_id(self, call_id: str) -> str:
        """The contact of a call."""
        return self.derive("import", self.source, call_id)

    def history(self, call: Call) -> History:
        """All that is known of a call that has a stay or a talk."""
        contact_id = call.contact_id
        agents = {talk.agent: self.names.agent(talk.agent) for talk in call.talks}
        queues = {stay.queue: self.names.queue(stay.queue) for stay in call.stays}
        first = min([s.entered_us for s in call.stays] + [t.started_us for t in call.talks])
        started = min(_begun(call.call_id, first), first)
        ended = max([s.ended_us for s in call.stays] + [t.ended_us for t in call.talks])
        unseen = any(s.outcome == "ended_unseen" for s in call.stays) or any(
            t.outcome == "ended_unseen" for t in call.talks
        )
        known = min(call.lines + (0 if unseen else CLOSED), MOST_VERSION)
        stretches, offers = [], []
        for stay in call.stays:
            rules = queues[stay.queue]
            stretches.append(
                Stretch(
                    kind="queue",
                    queue=rules.queue,
                    reason=stay.reason,
                    started_at=stay.entered_us,
                    ended_at=stay.ended_us,
                    wait_ms=(stay.ended_us - stay.entered_us) // 1000,
                    outcome=stay.outcome,
                    ended_by=stay.ended_by,
                    target_ms=rules.service_level_s * 1000,
                    short_ms=rules.short_abandon_s * 1000,
                )
            )
        for talk in call.talks:
            agent, rules = agents[talk.agent], self.names.queue(talk.queue)
            offer_id = self.derive("import", self.source, call.call_id, talk.agent, str(talk.started_us))
            ring_us = talk.ring_ms * 1000
            stretches.append(
                Stretch(
                    kind="agent",
                    queue=rules.queue,
                    agent_id=agent.agent,
                    team=agent.team,
                    offer_id=offer_id,
                    agent_leg_id=talk.leg_id,
                    started_at=talk.started_us,
                    ended_at=talk.ended_us,
                    ring_ms=talk.ring_ms,
                    talk_ms=(talk.ended_us - talk.started_us) // 1000,
                    outcome=talk.outcome,
                    ended_by=talk.ended_by,
                    target_ms=rules.service_level_s * 1000,
                    short_ms=rules.short_abandon_s * 1000,
                )
            )
            offers.append(
                Offer(
                    tenant=self.tenant,
                    offer_id=offer_id,
                    contact_id=contact_id,
                    agent_id=agent.agent,
                    queue=rules.queue,
                    made_at_us=talk.started_us - ring_us,
                    answered_at_us=talk.started_us,
                    bridged_at_us=talk.started_us,
                    ended_at_us=talk.started_us,
                    outcome="accepted",
                    ring_ms=talk.ring_ms,
                    agent_leg_id=talk.leg_id,
                    talk_ms=(talk.ended_us - talk.started_us) // 1000,
                )
            )
        offers.extend(self._missed(call, contact_id, miss) for miss in call.misses)
        return History(
            contact=self._contact(call, contact_id, started, ended, known, offers),
            segments=linked(self.tenant, contact_id, stretches, known),
            offers=tuple(offers),
        )

    def _missed(self, call: Call, contact_id: str, miss: Miss) -> Offer:
        parts = (call.call_id, miss.agent, str(miss.ended_us), miss.outcome)
        return Offer(
            tenant=self.tenant,
            offer_id=self.derive("import", self.source, *parts),
            contact_id=contact_id,
            agent_id=self.names.agent(miss.agent).agent,
            queue=self.names.queue(miss.queue).queue,
            made_at_us=miss.ended_us - miss.ring_ms * 1000,
            ended_at_us=miss.ended_us,
            outcome=miss.outcome,
            ring_ms=miss.ring_ms,
        )

    def _contact(
        self, call: Call, contact_id: str, started: int, ended: int, known: int, offers: list[Offer]
    ) -> Contact:
        last, talk = call.stays[-1] if call.stays else None, call.talks[-1] if call.talks else None
        rules = self.names.queue(last.queue if last else call.talks[-1].queue)
        waiting_since = call.stays[0].entered_us if call.stays else call.talks[0].started_us
        connected = call.talks[0].started_us if call.talks else 0
        outcome = "answered" if talk else last.outcome if last else "ended_unseen"
        wait_ms = max((connected or (last.ended_us if last else ended)) - waiting_since, 0) // 1000
        way = EXITS.get(last.exit) if last is not None else None
        passed_on = any(stay.exit for stay in call.stays[:-1])
        agent = self.names.agent(talk.agent if talk else "")
        return Contact(
            tenant=self.tenant,
            contact_id=contact_id,
            started_at=started,
            entry_point=self.names.number(call.number) if call.number else "",
            node=self.source,
            ani=call.ani,
            first_queue=self.names.queue(call.stays[0].queue).queue if call.stays else rules.queue,
            queue=rules.queue,
            queued=True,
            waiting_since=waiting_since,
            connected_at=connected,
            ended_at=ended,
            outcome=outcome,
            result=way[1] if way and not talk else result_of(outcome, wait_ms, rules.short_abandon_s * 1000),
            wait_ms=wait_ms,
            talk_ms=sum(one.ended_us - one.started_us for one in call.talks) // 1000,
            total_ms=max(ended - started, 0) // 1000,
            offers=len(offers),
            offers_missed=sum(offer.outcome not in ("accepted", "withdrawn") for offer in offers),
            transfers=call.transfers,
            agent_id=agent.agent,
            team=agent.team,
            offer_id=next(
                (
                    o.offer_id
                    for o in offers
                    if talk and o.bridged_at_us == talk.started_us and o.agent_id == agent.agent
                ),
                "",
            ),
            overflow_reason=way[0] if way else "max_wait" if passed_on else "",
            overflow_action="queue" if passed_on and not way else "",
            overflow_target=rules.queue if passed_on and not way else "",
            ended_by=talk.ended_by if talk else last.ended_by if last else "",
            target_ms=rules.service_level_s * 1000,
            short_ms=rules.short_abandon_s * 1000,
            version=known,
        )


def _begun(call_id: str, first_us: int) -> int:
    """When Asterisk made the call's channel, as its id says; the first line's time where the id says nothing credible."""
    found = CALL_START.fullmatch(call_id)
    begun_us = int(found[1]) * 1_000_000 if found else first_us
    return begun_us if first_us - LOST_US < begun_us <= first_us else first_us
