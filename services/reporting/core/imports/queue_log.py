"""Asterisk's queue_log to contacts, segments, offers and agents' times.

Theory of operation
-------------------
A line is ``time|call|queue|agent|event|data...`` (docs.asterisk.org, Operation/Logging/Queue-Logs). The lines of a call are spread among
those of all others, so each call is a small state machine: stays in queues, talks, offers that came to nothing. A call may go from queue to
queue and from agent to agent, and the log does not say when it is over. It counts as over when nothing has been heard of it for
``SETTLED_US`` after its last stay or talk ended; one that never ended is closed as unseen after ``LOST_US`` or when Asterisk started
anew. So memory holds the calls of the last hours, however long the log is.

Lines may be missing: rotation cuts calls in two. COMPLETE*, CONNECT, ABANDON and the EXIT* events say how long the caller had waited
and talked, and what is missing before them is put back from that. Of two imports of one call the one with more lines wins (its
version is greater); the start is the second in Asterisk's own id of the call (``1700000000.123``), which both halves know.

What the log does not know stays empty: time on hold, after-call work, quality. An agent's presence comes from the events of members
(logged in to at least one queue; on break when paused in all of them) and the activity between them from calls. Static members of
queues.conf never log in: of them only what they did is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from services.reporting.core.imports.names import Names
from services.reporting.core.imports.queue_log_agents import PRESENCE, Agents
from services.reporting.core.imports.queue_log_calls import (
    EXITS,
    LOST_US,
    REFUSED,
    Call,
    Line,
    Miss,
    Stay,
    Talk,
    Told,
)
from services.reporting.core.imports.records import Derive, History

SETTLED_US: Final = 2 * 3600 * 1_000_000

_Act = Callable[["QueueLog", Call, Line], Iterator[History]]
"""What an event does to a call."""


class QueueLog:
    """Takes lines in the order of the log and gives what they tell, as soon as it is told.

    ``source`` names the Asterisk: two of them may give two calls the same id.
    """

    def __init__(self, tenant: str, source: str, names: Names, derive: Derive) -> None:
        self._told = Told(tenant, source, names, derive)
        self.now_us = self._settled_us = 0
        self.unfinished = 0
        """Calls that were going on where the log ended; set by ``finish``."""
        self._open: OrderedDict[str, Call] = OrderedDict()
        self._over: OrderedDict[str, Call] = OrderedDict()
        self._agents = Agents(self._told)

    @property
    def held(self) -> int:
        """Calls in memory."""
        return len(self._open) + len(self._over)

    def take(self, line: Line) -> Iterator[History]:
        """What is known for certain with this line."""
        self.now_us = max(self.now_us, line.at_us)
        act = _CALLS.get(line.event)
        if act is not None:
            if line.call_id and line.call_id not in ("NONE", "REALTIME", "MANAGER"):
                yield from self._of_call(line, act)
        elif line.event in PRESENCE:
            yield from self._agents.take(line)
        elif line.event == "QUEUESTART":
            yield from self._closed_at(self._open, line.at_us)
        if self.now_us > self._settled_us:
            self._settled_us = self.now_us
            yield from self._settle()

    def finish(self) -> Iterator[History]:
        """What is left at the end of the log. Calls that go on are left out: the log that follows knows more of them."""
        self.unfinished = sum(self.now_us - call.last_us < LOST_US for call in self._open.values())
        for call in list(self._over.values()):
            yield self._told.history(call)
        self._over.clear()
        yield from self._closed_at(
            OrderedDict((k, c) for k, c in self._open.items() if self.now_us - c.last_us >= LOST_US),
            self.now_us,
        )
        self._open.clear()
        yield from self._agents.finish(self.now_us)

    # -- calls

    def _of_call(self, line: Line, act: _Act) -> Iterator[History]:
        call = self._open.pop(line.call_id, None) or self._over.pop(line.call_id, None)
        if call is None:
            call = Call(line.call_id, line.at_us, self._told.contact_id(line.call_id))
        call.lines += 1
        call.last_us = max(call.last_us, line.at_us)
        yield from act(self, call, line)
        known = call.stays or call.talks
        (self._over if known and call.stay is None and call.talk is None else self._open)[line.call_id] = call

    def _settle(self) -> Iterator[History]:
        for calls, after_us in ((self._over, SETTLED_US), (self._open, LOST_US)):
            while calls:
                call = next(iter(calls.values()))
                if self.now_us - call.last_us <= after_us:
                    break
                yield from self._closed_at(calls, call.last_us, only=call.call_id)

    def _closed_at(self, calls: OrderedDict[str, Call], at_us: int, only: str = "") -> Iterator[History]:
        for call_id in [only] if only else list(calls):
            call = calls.pop(call_id)
            end_us = max(call.last_us, min(at_us, call.last_us + LOST_US))
            if (talk := call.talk) is not None:
                talk.ended_us, talk.outcome = end_us, "ended_unseen"
                yield from self._agents.talked(call, talk)
            if (stay := call.stay) is not None:
                stay.ended_us, stay.outcome = end_us, "ended_unseen"
            if call.stays or call.talks:
                yield self._told.history(call)

    def _enter(self, call: Call, line: Line) -> Iterator[History]:
        if (stay := call.stay) is not None:
            stay.ended_us, stay.outcome = max(line.at_us, stay.entered_us), "transferred"
        call.ani = call.ani or line.text(1)
        call.stays.append(Stay(line.queue, line.at_us, self._reason(call)))
        return iter(())

    def _reason(self, call: Call) -> str:
        if not call.stays and not call.talks:
            return "arrived"
        if call.talks and call.talks[-1].ended_us >= (call.stays[-1].ended_us if call.stays else 0):
            return "transfer" if call.talks[-1].outcome == "transferred" else "return"
        return "overflow"

    def _stay_of(self, call: Call, line: Line, waited_s: int) -> Stay:
        """The stay that ends with this line; put back where the log does not have its beginning."""
        stay = call.stay
        if stay is None:
            stay = Stay(line.queue, line.at_us - waited_s * 1_000_000, self._reason(call))
            call.stays.append(stay)
        return stay

    def _connect(self, call: Call, line: Line) -> Iterator[History]:
        ring_ms = line.number(2) * 1000
        if (before := call.talk) is not None:
            before.ended_us, before.outcome = max(line.at_us, before.started_us), "ended_unseen"
            yield from self._agents.talked(call, before)
        stay = self._stay_of(call, line, line.number(0))
        stay.ended_us, stay.outcome = max(line.at_us, stay.entered_us), "answered"
        talk = Talk(line.queue, line.agent, line.at_us, ring_ms, line.text(1))
        call.talks.append(talk)
        yield from self._agents.rang(call, line.agent, line.queue, line.at_us, ring_ms)

    def _end_talk(
        self, call: Call, line: Line, hold_s: int, talk_s: int, outcome: str, ended_by: str
    ) -> Iterator[History]:
        talk = call.talk
        if talk is None:
            if call.talks and call.talks[-1].agent == line.agent:
                return  # said twice: COMPLETE after TRANSFER
            began_us = line.at_us - talk_s * 1_000_000
            stay = self._stay_of(call, line, hold_s + talk_s)
            stay.ended_us, stay.outcome = max(began_us, stay.entered_us), "answered"
            talk = Talk(line.queue, line.agent, began_us, 0, "")
            call.talks.append(talk)
        talk.ended_us = max(line.at_us, talk.started_us)
        talk.outcome, talk.ended_by = outcome, ended_by
        yield from self._agents.talked(call, talk)

    def _complete(self, call: Call, line: Line) -> Iterator[History]:
        by = "agent" if line.event == "COMPLETEAGENT" else "caller"
        return self._end_talk(call, line, line.number(0), line.number(1), "completed", by)

    def _transfer(self, call: Call, line: Line) -> Iterator[History]:
        call.transfers += 1
        if (
            line.event == "ATTENDEDTRANSFER"
        ):  # kind and where to, which may have bars of its own, then hold, talk, place
            hold_s, talk_s = line.number(-3), line.number(-2)
        else:  # extension, context, hold, talk, place
            hold_s, talk_s = line.number(2), line.number(3)
        return self._end_talk(call, line, hold_s, talk_s, "transferred", "agent")

    def _abandon(self, call: Call, line: Line) -> Iterator[History]:
        stay = self._stay_of(call, line, line.number(2))
        stay.ended_us, stay.outcome, stay.ended_by = max(line.at_us, stay.entered_us), "abandoned", "caller"
        return iter(())

    def _exit(self, call: Call, line: Line) -> Iterator[History]:
        if line.event in REFUSED:
            if (before := call.stay) is not None:
                before.ended_us, before.outcome = max(line.at_us, before.entered_us), "transferred"
            call.stays.append(Stay(line.queue, line.at_us, self._reason(call)))
        stay = self._stay_of(call, line, line.number(EXITS[line.event][2]))
        stay.ended_us, stay.outcome, stay.exit = max(line.at_us, stay.entered_us), "overflowed", line.event
        return iter(())

    def _failed(self, call: Call, line: Line) -> Iterator[History]:
        """SYSCOMPAT: answered, and the two legs had no sound in common."""
        stay = self._stay_of(call, line, 0)
        stay.ended_us, stay.outcome = max(line.at_us, stay.entered_us), "ended_unseen"
        return iter(())

    def _missed(self, call: Call, line: Line) -> Iterator[History]:
        outcome = {"RINGCANCELED": "withdrawn", "AGENTDUMP": "declined"}.get(line.event, "no_answer")
        # Milliseconds, unlike everything else (app_queue.c, rna()).
        ring_ms = line.number(0)
        call.misses.append(Miss(line.queue, line.agent, line.at_us, ring_ms, outcome))
        yield from self._agents.rang(call, line.agent, line.queue, line.at_us, ring_ms)

    def _did(self, call: Call, line: Line) -> Iterator[History]:
        """DID of FreePBX and QueueMetrics: the number that was called."""
        call.number = line.text(0) or call.number
        return iter(())

    def _withdrawn(self, call: Call, line: Line) -> Iterator[History]:
        stay = self._stay_of(call, line, 0)
        stay.ended_us, stay.outcome = max(line.at_us, stay.entered_us), "transferred"
        return iter(())


_CALLS: Final[dict[str, _Act]] = {
    "ENTERQUEUE": QueueLog._enter,
    "CONNECT": QueueLog._connect,
    "COMPLETEAGENT": QueueLog._complete,
    "COMPLETECALLER": QueueLog._complete,
    "TRANSFER": QueueLog._transfer,
    "BLINDTRANSFER": QueueLog._transfer,
    "ATTENDEDTRANSFER": QueueLog._transfer,
    "ABANDON": QueueLog._abandon,
    **dict.fromkeys(EXITS, QueueLog._exit),
    "RINGNOANSWER": QueueLog._missed,
    "RINGCANCELED": QueueLog._missed,
    "AGENTDUMP": QueueLog._missed,
    "SYSCOMPAT": QueueLog._failed,
    "WITHDRAW": QueueLog._withdrawn,
    "DID": QueueLog._did,
}
EVENTS: Final = frozenset(_CALLS) | PRESENCE | {"QUEUESTART"}
"""Events that mean something here. All others are read and left."""
