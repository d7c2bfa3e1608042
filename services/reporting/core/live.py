"""The live projection: facts in, the board of one tenant out.

Theory of operation
-------------------
Two streams feed it, ivr's facts and routing's log. Each is read in order and may be repeated from an earlier place after
a reconnection; between the two there is no order. So:

* A repetition is recognised by position: a fact at or before the last position of its stream was counted already.
* What both streams tell about is kept so that either may be ahead: a contact that routing knows, or has closed less
  than an hour ago, is no longer in the menu, whatever ivr's older facts say.
* A contact is counted once, when its fate is known: answered at the first conversation, else abandoned (in the queue or
  in the menu) or other. Nothing is counted when it begins. That keeps the sums equal to what the books have to balance,
  without a memory of all contacts of the day.

Counts live in slots of a minute (for the rolling window) and of a quarter hour (for today and the bars); a bounded number
of either is kept, so that days of running need no more memory than one day. Time zones move midnight by multiples of a
quarter hour, so today is a sum of whole quarter hours.

``handle`` never looks at levels; ``snapshot`` does, and remembers them, because a level that is raised falls later than it
rose (``live_levels``).
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Final

from services.reporting.core.live_agents import Floor
from services.reporting.core.live_board import Alarm, Board, Books, Quarter, StateCount, Tiles
from services.reporting.core.live_counts import MINUTE_US, QUARTER_US, Counts, Peaks, Slots, total
from services.reporting.core.live_facts import (
    AgentActivityChanged,
    AgentPresenceChanged,
    CenterInfo,
    ContactClosed,
    ContactConnected,
    ContactHandedOver,
    ContactOverflowed,
    ContactQueued,
    ContactStarted,
    IvrEnded,
    LiveFact,
    NodeChanged,
    Position,
    QueueInfo,
    Source,
)
from services.reporting.core.live_levels import Levels, rank
from services.reporting.core.live_tiles import (
    EVERYWHERE,
    Load,
    abandoned_tile,
    answer_tile,
    idle_tile,
    longest_tile,
    queue_alarms,
    queue_row,
    service_level_tile,
    waiting_tile,
)

WINDOW_MINUTES: Final = 30
TREND_QUARTERS: Final = 8
BAR_QUARTERS: Final = 12
MAX_ALARMS: Final = 20
MENU_MAX_US: Final = 3600 * 1_000_000
"""A contact in the menu for longer lost its ivr; its end never came."""
CLOSED_KEPT_US: Final = 3600 * 1_000_000
_CLOSED_MAX: Final = 50_000
_MINUTES_BACK: Final = 15
_MINUTES_KEPT: Final = 2 * WINDOW_MINUTES + 5
_QUARTERS_KEPT: Final = 27 * 4  # the longest day has 25 hours
_SECOND_US: Final = 1_000_000


class _Contact:
    """A contact in routing's care."""

    __slots__ = ("counted", "placed_by", "queue", "since_us", "state")

    def __init__(self) -> None:
        self.queue = ""
        self.state = "new"  # waiting, talking, leaving, outbound, callback
        self.since_us = 0
        self.counted = False
        self.placed_by = ""  # The agent who called it.


class LiveProjection:
    """State of one tenant. Not thread-safe; feed and read it from one task."""

    def __init__(self, center: CenterInfo) -> None:
        self._center = center
        self._queues = {q.id: q for q in center.queues}
        self._floor = Floor(center)
        self._marks: dict[Source, Position] = {}
        self._contacts: dict[str, _Contact] = {}
        self._other_channels: set[str] = set()
        """Open contacts that are no calls: the agents show them, the numbers of the queues do not."""
        self._closed: OrderedDict[str, int] = OrderedDict()
        self._in_menu: OrderedDict[str, int] = OrderedDict()
        self._minutes = Slots(MINUTE_US, _MINUTES_KEPT)
        self._quarters = Slots(QUARTER_US, _QUARTERS_KEPT)
        self._waiting_by_queue: dict[str, int] = {}
        self._trends: dict[str, Peaks] = {}
        self._waiting_by_minute = Peaks(MINUTE_US, _MINUTES_BACK + 1)
        self._nodes_down: dict[str, int] = {}
        self._levels = Levels()

    def reconfigure(self, center: CenterInfo) -> None:
        """Use a new revision of the center from now on; what was counted stays as it was counted."""
        self._center = center
        self._queues = {q.id: q for q in center.queues}
        self._floor.reconfigure(center)

    # Facts

    def handle(self, source: Source, position: Position, fact: LiveFact, at_us: int) -> None:
        """Take one fact that happened at ``at_us``; a repetition changes nothing."""
        mark = self._marks.get(source)
        if mark is not None and position <= mark:
            return
        self._marks[source] = position
        match fact:
            case ContactStarted():
                self._started(fact)
            case ContactHandedOver():
                self._in_menu.pop(fact.contact_id, None)
            case IvrEnded():
                self._in_menu.pop(fact.contact_id, None)
                if fact.outcome == "hung_up":
                    self._count(EVERYWHERE, at_us, "left_menu")
                else:
                    self._count(EVERYWHERE, at_us, "other")
            case ContactQueued(channel=channel) | ContactConnected(channel=channel) if channel:
                self._other_channels.add(fact.contact_id)
            case ContactOverflowed() if fact.contact_id in self._other_channels:
                pass
            case ContactClosed(channel=channel) if channel:
                self._other_channels.discard(fact.contact_id)
            case ContactQueued():
                self._queued(fact, at_us)
            case ContactConnected():
                self._connected(fact, at_us)
            case ContactOverflowed():
                self._overflowed(fact, at_us)
            case ContactClosed():
                self._contact_closed(fact, at_us)
            case AgentPresenceChanged():
                self._floor.presence_changed(fact, at_us)
            case AgentActivityChanged():
                self._floor.activity_changed(fact, at_us, placed=self._placed(fact))
            case NodeChanged():
                self._nodes_down.pop(fact.node, None)
                if not fact.up:
                    self._nodes_down[fact.node] = at_us

    def _started(self, fact: ContactStarted) -> None:
        if fact.contact_id in self._contacts or fact.contact_id in self._closed:
            return
        self._in_menu[fact.contact_id] = fact.started_at_us
        while self._in_menu and next(iter(self._in_menu.values())) < fact.started_at_us - MENU_MAX_US:
            self._in_menu.popitem(last=False)

    def _queued(self, fact: ContactQueued, at_us: int) -> None:
        self._in_menu.pop(fact.contact_id, None)
        contact = self._contacts.setdefault(fact.contact_id, _Contact())
        if fact.kind == "outbound" and not fact.requeued:
            # An agent calls: nobody came to the queue, and what comes of it is in no count of it.
            contact.queue, contact.state, contact.counted = fact.queue, "outbound", True
            return
        if fact.kind == "callback":
            # Nobody is on the line: neither offered nor waiting. Who asked for it was counted when that call was closed.
            contact.queue, contact.state, contact.counted = fact.queue, "callback", True
            return
        if self._closed.pop(fact.contact_id, None) is not None:
            # Given up as gone and found alive: its one outcome is in the counts already.
            contact.counted = True
        self._leave(contact, at_us)
        contact.queue, contact.state, contact.since_us = fact.queue, "waiting", fact.waiting_since_us
        self._set_waiting(fact.queue, +1, at_us)

    def _placed(self, fact: AgentActivityChanged) -> bool:
        """Whether the agent has placed the call that the fact is about: the first one who is busy with it has."""
        contact = self._contacts.get(fact.contact_id)
        if contact is None or contact.state != "outbound":
            return False
        contact.placed_by = contact.placed_by or fact.agent_id
        return contact.placed_by == fact.agent_id

    def _connected(self, fact: ContactConnected, at_us: int) -> None:
        contact = self._contacts.setdefault(fact.contact_id, _Contact())
        if contact.state == "outbound":
            return  # The agents show it; the queue's number of talks is of those who came to it.
        self._leave(contact, at_us)
        contact.queue, contact.state, contact.since_us = fact.queue, "talking", at_us
        if contact.counted:
            return
        contact.counted = True
        in_time = fact.wait_ms <= self._queue(fact.queue).targets.service_level_s * 1000
        for slots in (self._minutes, self._quarters):
            counts = slots.at(at_us, fact.queue)
            counts.answered += 1
            counts.answered_in_time += in_time
            counts.wait_ms += max(fact.wait_ms, 0)

    def _overflowed(self, fact: ContactOverflowed, at_us: int) -> None:
        contact = self._contacts.setdefault(fact.contact_id, _Contact())
        self._leave(contact, at_us)
        contact.queue, contact.state = fact.queue, "leaving"
        if fact.action == "queue":
            self._count(fact.queue, at_us, "moved")

    def _contact_closed(self, fact: ContactClosed, at_us: int) -> None:
        self._in_menu.pop(fact.contact_id, None)
        contact = self._contacts.pop(fact.contact_id, None)
        if contact is not None:
            self._leave(contact, at_us)
        self._closed[fact.contact_id] = at_us
        while self._closed and (
            len(self._closed) > _CLOSED_MAX or next(iter(self._closed.values())) < at_us - CLOSED_KEPT_US
        ):
            self._closed.popitem(last=False)
        if (contact is not None and contact.counted) or fact.outcome == "completed":
            return
        if fact.outcome != "abandoned":
            self._count(fact.queue, at_us, "other")
            return
        self._count(fact.queue, at_us, "abandoned")
        if fact.wait_ms < self._queue(fact.queue).targets.short_abandon_s * 1000:
            self._count(fact.queue, at_us, "abandoned_short")

    def _leave(self, contact: _Contact, at_us: int) -> None:
        if contact.state == "waiting":
            self._set_waiting(contact.queue, -1, at_us)
        contact.state = "left"

    def _set_waiting(self, queue: str, change: int, at_us: int) -> None:
        count = self._waiting_by_queue.get(queue, 0) + change
        if count:
            self._waiting_by_queue[queue] = count
        else:
            del self._waiting_by_queue[queue]
        self._trends.setdefault(queue, Peaks(QUARTER_US, TREND_QUARTERS + 1)).set(at_us, count)
        self._waiting_by_minute.set(at_us, sum(self._waiting_by_queue.values()))

    def _count(self, queue: str, at_us: int, name: str) -> None:
        for slots in (self._minutes, self._quarters):
            counts = slots.at(at_us, queue)
            setattr(counts, name, getattr(counts, name) + 1)

    def _queue(self, queue: str) -> QueueInfo:
        return self._queues.get(queue) or QueueInfo(id=queue, names={})

    # The board

    def snapshot(self, now_us: int) -> Board:
        """The board at ``now_us``."""
        center = self._center
        self._levels.begin()
        agents = self._floor.views()
        window_us = WINDOW_MINUTES * MINUTE_US
        window_end = (now_us // MINUTE_US + 1) * MINUTE_US
        window = self._minutes.sums(window_end - window_us, window_end)
        before = self._minutes.sums(window_end - 2 * window_us, window_end - window_us)
        day_start_us = day_start(now_us, center)
        today = self._quarters.sums(day_start_us, now_us + 1)
        held: dict[str, list[_Contact]] = {}
        for contact in self._contacts.values():
            held.setdefault(contact.queue, []).append(contact)
        rows = tuple(
            queue_row(
                q, self._load(q.id, held, now_us), window.get(q.id, Counts()), agents, self._levels, now_us
            )
            for q in self._shown_queues(held)
        )
        in_menu = sum(started_us > now_us - MENU_MAX_US for started_us in self._in_menu.values())
        alarms = [Alarm("node_down", "crit", n, {}, at, 0.0, 0.0) for n, at in self._nodes_down.items()]
        alarms += queue_alarms(center, rows, agents, self._levels, now_us)
        alarms += self._floor.alarms(agents, now_us)
        alarms.sort(key=lambda a: (-rank(a.level), a.since_us or now_us, a.code, a.subject))
        board = Board(
            v=1,
            tenant=center.tenant,
            names=center.names,
            languages=center.languages,
            time_zone=center.zone_name,
            revision=center.revision,
            now_us=now_us,
            day_start_us=day_start_us,
            window_s=WINDOW_MINUTES * 60,
            tiles=Tiles(
                service_level=service_level_tile(center, window, before, self._levels),
                waiting=waiting_tile(
                    center,
                    rows,
                    before=self._waiting_by_minute.series(now_us, _MINUTES_BACK + 1)[0],
                    in_menu=in_menu,
                ),
                longest=longest_tile(center, rows),
                idle=idle_tile(rows, agents),
                abandoned=abandoned_tile(center, today, self._levels),
                answer=answer_tile(center, window, self._levels),
            ),
            queues=rows,
            agents=self._floor.rows(agents, now_us),
            agent_states=tuple(StateCount(s, n) for s, n in self._floor.counts(agents).items()),
            alarms=tuple(alarms[:MAX_ALARMS]),
            alarms_total=len(alarms),
            quarters=self._bars(now_us),
            books=self._books(total(today), in_menu),
        )
        self._levels.end()
        return board

    def _shown_queues(self, held: dict[str, list[_Contact]]) -> list[QueueInfo]:
        """The center's queues, then others that still hold contacts (removed from the document meanwhile)."""
        removed = sorted(held.keys() - self._queues.keys())
        return [*self._center.queues, *(self._queue(q) for q in removed)]

    def _load(self, queue: str, held: dict[str, list[_Contact]], now_us: int) -> Load:
        mine = held.get(queue, [])
        trend = self._trends.get(queue)
        return Load(
            waiting_since_us=tuple(c.since_us for c in mine if c.state == "waiting"),
            talking=sum(c.state == "talking" for c in mine),
            trend=trend.series(now_us, TREND_QUARTERS) if trend else (0,) * TREND_QUARTERS,
        )

    def _bars(self, now_us: int) -> tuple[Quarter, ...]:
        current = now_us // QUARTER_US
        bars = []
        for number in range(current - BAR_QUARTERS + 1, current + 1):
            start_us = number * QUARTER_US
            counts = total(self._quarters.sums(start_us, start_us + QUARTER_US))
            bars.append(Quarter(start_us, counts.answered, counts.abandoned + counts.left_menu))
        return tuple(bars)

    def _books(self, today: Counts, in_menu: int) -> Books:
        waiting = sum(not c.counted for c in self._contacts.values())
        done = today.answered + today.abandoned + today.left_menu + today.other
        return Books(
            offered=done + waiting + in_menu,
            answered=today.answered,
            abandoned_queue=today.abandoned,
            abandoned_menu=today.left_menu,
            other=today.other,
            open=waiting + in_menu,
        )


def day_start(now_us: int, center: CenterInfo) -> int:
    """Midnight of the center's time zone before ``now_us``, in microseconds since the epoch."""
    local = datetime.fromtimestamp(now_us // _SECOND_US, center.zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int(midnight.timestamp()) * _SECOND_US
