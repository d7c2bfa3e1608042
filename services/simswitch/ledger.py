"""The books of what really happened: one JSON line for every leg and every call, written by the simulated switch alone.

A *call* is an inbound leg in the context of the carrier; its line comes when its leg has ended. What a service says takes
no part, with one exception that is marked: ``claimed_contact`` is the variable that a client put on an agent's leg, and
it only names the call that a leg rang for which never was bridged. Times are microseconds of the machine's clock, not of
the media clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import orjson

from services.common.clock import Clock
from services.simswitch.channel import Channel
from services.simswitch.ports import Observer

PUBLIC = "public"
MOVE = "move-"
"""How the numbers begin to which callers are sent from a node that is being emptied."""
# Lines that questions are answered from: all that a test can look at; beside a file the last minutes, since a line takes
# kilobytes and a call has three of them.
_KEEP = 20_000
_KEEP_BESIDE_FILE = 2_000


@dataclass(slots=True)
class _Bridge:
    agent_leg: str
    agent_extension: str
    at_us: int
    until_us: int = 0


@dataclass(slots=True)
class _Book:
    created_us: int
    answered_us: int = 0
    hung_up_us: int = 0
    controller_us: int = 0
    menus: int = 0
    digits: list[dict[str, Any]] = field(default_factory=list)
    waiting_us: int = 0
    told: bool = False
    bridges: list[_Bridge] = field(default_factory=list)
    first_bridge_us: int = 0
    recordings: list[dict[str, Any]] = field(default_factory=list)

    def and_then(self, later: _Book) -> _Book:
        """The same call, which went on on another leg."""
        return _Book(
            created_us=self.created_us,
            answered_us=self.answered_us or later.answered_us,
            controller_us=self.controller_us or later.controller_us,
            menus=self.menus + later.menus,
            digits=self.digits + later.digits,
            waiting_us=self.waiting_us or later.waiting_us,
            bridges=self.bridges + later.bridges,
            first_bridge_us=self.first_bridge_us or later.first_bridge_us,
            recordings=self.recordings + later.recordings,
        )


def _dialled(leg: Channel) -> str:
    """What was called at first; a transfer of the leg makes another destination."""
    return (leg.old_profiles[0] if leg.old_profiles else leg.profile).destination


class Ledger(Observer):
    """Writes the lines and answers questions about them. ``path`` None keeps them in memory only."""

    def __init__(
        self, clock: Clock, node: str, path: Path | None, asking: frozenset[str] = frozenset()
    ) -> None:
        """``asking``: names of the prompts that are menus."""
        self._asking = asking
        self._clock = clock
        self._node = node
        self._books: dict[str, _Book] = {}
        self._live: dict[str, Channel] = {}
        self._lines: deque[dict[str, Any]] = deque(maxlen=_KEEP if path is None else _KEEP_BESIDE_FILE)
        self._file: TextIO | None = None
        self._origin: dict[str, str] = {}
        """Of a leg that the carrier brought to another node: the call that it belongs to."""
        self._moved: dict[str, tuple[_Book, str]] = {}
        """Of a call whose first leg has ended: its book so far, and the number that was called."""
        self._away: set[str] = set()
        """Legs whose caller is on another one."""
        self.counts: dict[str, int] = dict.fromkeys(
            ("calls", "ended", "bridged_calls", "menu", "waiting", "ringing", "talking", "legs", "refused"), 0
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def of(self, node: str) -> Ledger:
        """The same books, for another node of the same process to write in."""
        other = copy(self)
        other._node = node
        return other

    async def stop(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def lines(self, kind: str = "", call_id: str = "") -> list[dict[str, Any]]:
        """The last lines, oldest first, of one kind (``call``, ``leg``) or of one call."""
        return [
            line
            for line in self._lines
            if (not kind or line["kind"] == kind) and (not call_id or line.get("call_id") == call_id)
        ]

    def live_calls(self) -> list[dict[str, Any]]:
        """Calls that go on, with where their callers are."""
        return [
            {
                "call_id": leg.uuid,
                "node": leg.switch.name,
                "entry": leg.profile.destination,
                "phase": self.phase(leg),
            }
            for leg in self._live.values()
            if self._is_call(leg)
        ]

    def phase(self, leg: Channel) -> str:
        """Where a caller is: ``menu``, ``waiting``, ``ringing`` (an agent's phone rings for the call), ``talking`` or
        ``after`` (talked before, alone now)."""
        book = self._books[leg.uuid]
        if book.bridges and not book.bridges[-1].until_us:
            return "talking"
        for other in self._live.values():
            if (
                other.direction == "outbound"
                and not other.down
                and other.var("cc_contact") == self._call_of(leg)
            ):
                return "ringing"
        if book.bridges:
            return "after"
        return "waiting" if book.waiting_us else "menu"

    # -- what the switch reports

    def leg_created(self, leg: Channel) -> None:
        self._books[leg.uuid] = _Book(self._clock.now_us())
        self._live[leg.uuid] = leg
        self.counts["legs"] += 1
        if self._is_call(leg) and not leg.profile.destination.startswith(MOVE):
            self.counts["calls"] += 1

    def leg_answered(self, leg: Channel) -> None:
        self._books[leg.uuid].answered_us = self._clock.now_us()

    def controller_took(self, leg: Channel) -> None:
        book = self._books[leg.uuid]
        book.controller_us = book.controller_us or self._clock.now_us()

    def app_started(self, leg: Channel, app: str, data: str) -> None:
        book = self._books[leg.uuid]
        if app == "play_and_get_digits" or (app == "playback" and PurePosixPath(data).stem in self._asking):
            book.menus += 1
        elif app == "event" and "Event-Subclass=peyvand::waiting" in data and not book.waiting_us:
            book.waiting_us = self._clock.now_us()
        elif app == "playback" and leg.direction == "outbound" and not book.bridges:
            book.told = True

    def digit(self, leg: Channel, digit: str) -> None:
        self._books[leg.uuid].digits.append({"digit": digit, "at_us": self._clock.now_us()})

    def bridged(self, a: Channel, b: Channel) -> None:
        now = self._clock.now_us()
        for leg, other in ((a, b), (b, a)):
            book = self._books[leg.uuid]
            book.first_bridge_us = book.first_bridge_us or now
            book.bridges.append(_Bridge(other.uuid, _dialled(other), now))

    def unbridged(self, a: Channel, b: Channel) -> None:
        now = self._clock.now_us()
        for leg, other in ((a, b), (b, a)):
            book = self._books.get(leg.uuid)
            for bridge in book.bridges if book is not None else ():
                if bridge.agent_leg == other.uuid and not bridge.until_us:
                    bridge.until_us = now

    def recorded(self, leg: Channel, path: str, ms: int, samples: int) -> None:
        self._books[leg.uuid].recordings.append({"path": path, "ms": ms, "samples": samples})

    def leg_moved(self, leg: Channel, to: Channel) -> None:
        """The caller goes on on another leg; it is one call."""
        self._origin[to.uuid] = self._call_of(leg)
        self._away.add(leg.uuid)

    def _call_of(self, leg: Channel) -> str:
        return self._origin.get(leg.uuid, leg.uuid)

    def leg_hung_up(self, leg: Channel) -> None:
        """Note when, and where the caller was at that moment, before the other legs react. A leg that is in the books already may
        still go down with its switch."""
        book = self._books.get(leg.uuid)
        if book is None or book.hung_up_us:
            return
        book.hung_up_us = self._clock.now_us()
        if self._is_call(leg):
            leg.phase_at_end = self.phase(leg)

    def leg_ended(self, leg: Channel) -> None:
        book = self._books.pop(leg.uuid, None)
        if book is None:
            return
        self._live.pop(leg.uuid, None)
        now = self._clock.now_us()
        for bridge in book.bridges:
            bridge.until_us = bridge.until_us or now
        is_call = self._is_call(leg)
        if is_call and not book.answered_us and leg.ended_by == "dialplan":
            # The node takes no calls now; the carrier tries another one.
            is_call = False
            self.counts["calls"] -= 1
            self.call_refused(leg.profile.destination, leg.profile.orig_cid_number, leg.hangup_cause)
        self._write(
            {
                "kind": "leg",
                "leg": leg.uuid,
                "node": self._node,
                "direction": leg.direction,
                "context": leg.profile.context,
                "destination": _dialled(leg),
                "number": leg.profile.orig_cid_number,
                "call_id": self._call_of(leg) if is_call else self._joined(book),
                "claimed_contact": leg.var("cc_contact") if leg.direction == "outbound" else "",
                "created_us": book.created_us,
                "answered_us": book.answered_us,
                "first_bridge_us": book.first_bridge_us,
                "told_before_bridge": book.told,
                "digits": book.digits,
                "recordings": book.recordings,
                "hung_up_us": book.hung_up_us,
                "ended_us": now,
                "ended_by": leg.ended_by,
                "cause": leg.hangup_cause,
            }
        )
        if not is_call:
            return
        call_id = self._call_of(leg)
        entry = _dialled(leg)
        if call_id in self._moved:
            first, entry = self._moved.pop(call_id)
            book = first.and_then(book)
        self._origin.pop(leg.uuid, None)
        if leg.uuid in self._away:
            self._away.discard(leg.uuid)
            self._moved[call_id] = (book, entry)
            return
        phase = leg.phase_at_end or "menu"
        self.counts["ended"] += 1
        self.counts["bridged_calls"] += bool(book.bridges)
        if phase in self.counts and leg.ended_by == "caller":
            self.counts[phase] += 1
        self._write(
            {
                "kind": "call",
                "call_id": call_id,
                "node": self._node,
                "entry": entry,
                "caller_number": leg.profile.orig_cid_number,
                "caller_name": leg.profile.orig_cid_name,
                "started_us": book.created_us,
                "answered_us": book.answered_us,
                "controller_us": book.controller_us,
                "menus": book.menus,
                "digits": book.digits,
                "waiting_us": book.waiting_us,
                "bridges": [
                    {
                        "agent_leg": b.agent_leg,
                        "agent_extension": b.agent_extension,
                        "bridged_us": b.at_us,
                        "unbridged_us": b.until_us,
                    }
                    for b in book.bridges
                ],
                "recordings": book.recordings,
                "ended_us": now,
                "ended_by": leg.ended_by,
                "ended_in": phase,
                "cause": leg.hangup_cause,
            }
        )

    def call_refused(self, destination: str, number: str, reason: str) -> None:
        """An INVITE that was answered 503: there is neither a leg nor a call."""
        self.counts["refused"] += 1
        self._write(
            {
                "kind": "refused",
                "node": self._node,
                "entry": destination,
                "caller_number": number,
                "reason": reason,
                "at_us": self._clock.now_us(),
            }
        )

    def fault(self, what: str, number: int, fault: Mapping[str, Any]) -> None:
        """A fault began or ended."""
        self._write(
            {
                "kind": "fault",
                "node": self._node,
                "what": what,
                "number": number,
                "at_us": self._clock.now_us(),
                "fault": dict(fault),
            }
        )

    def _joined(self, book: _Book) -> str:
        return book.bridges[0].agent_leg if book.bridges else ""

    def _is_call(self, leg: Channel) -> bool:
        if leg.uuid in self._origin:
            return True  # Of a line that this node has taken over, whoever called whom.
        first = leg.old_profiles[0] if leg.old_profiles else leg.profile
        return leg.direction == "inbound" and first.context == PUBLIC

    def _write(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        if self._file is not None:
            self._file.write(orjson.dumps(line).decode() + "\n")
