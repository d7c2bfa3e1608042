"""What is the same and what differs between a recorded conversation and one that was just held.

Compared: the replies in their order; for each leg, and for the events of no leg, the events in their order (between legs:
`tests.fidelity.order`); for each pair of events the names of the headers, and their values. What cannot be the same twice is replaced before: identifiers by the leg they stand for, and what `NOISE` names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

from tests.fidelity.conversation import Frame

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_STAMP: Final = re.compile(r"^[-\d]{10} [:.\d]{15} \d+\.\d+% ")
_HOST: Final = re.compile(r"127\.0\.0\.1(:\d+)?")
_UNIT: Final = re.compile(r"\b(year|day|hour|minute|second|millisecond|microsecond)s?\b")
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")

NOISE: Final[tuple[tuple[str, str], ...]] = (
    (
        r"Event-Date-.*|Task-Runtime|Event-Sequence|Core-UUID|FreeSWITCH-.*",
        "the machine, the time, the count",
    ),
    (r".*-Time|.*-(Last-Hold|Hold-Accum)|.*(stamp|epoch|uepoch)", "times"),
    (
        r"variable_.*(sec|seconds|msec|usec|_ms|duration|samples|_file_size|_offset_pos)|variable_hold_events",
        "durations",
    ),
    (
        r"variable_(session_id|.*_tag|.*_cseq|sip_call_id|.*ssrc|.*_via|.*_branch|sip_full_(from|to))",
        "identifiers",
    ),
    (r".*_(port|rport)|.*_sdp(_str)?|.*_(uri|url|contact)", "ports, and addresses with ports"),
    (r"variable_rtp_audio_.*|variable_rtcp_.*", "counters of the media"),
    (
        r"variable_(write|read)_.*rate_.*|Idle-CPU|Up-Time|Uptime-msec|Session-.*|Max-Sessions",
        "load of the machine",
    ),
    (r"variable_transfer_(source|history)|.*-Transfer-Source", "times and identifiers"),
    (r".*-Codec-Bit-Rate|Media-Bug-Target|Record-File-Path|variable_sound_prefix", "files of the run"),
    (r"Content-Length", "follows from the rest"),
)
"""Names of headers whose values are not compared (their presence is), and why."""

_NOISE: Final = re.compile("|".join(f"(?:{pattern})" for pattern, _ in NOISE))


@dataclass(frozen=True, order=True)
class Difference:
    """One difference. ``kind`` is ``reply``, ``missing_event``, ``extra_event``, ``order``, ``order_between_legs``, ``missing_header``,
    ``extra_header``, ``value``, ``missing_log`` or ``extra_log``; ``event`` is the event's label, for a reply the command."""

    scenario: str
    kind: str
    event: str
    header: str = ""
    was: str = field(default="", compare=False)
    """In the recording."""
    found: str = field(default="", compare=False)


@dataclass
class Result:
    """What was compared."""

    differences: Counter[Difference] = field(default_factory=Counter)
    replies: int = 0
    events: int = 0
    headers: int = 0
    pairs: int = 0
    """Pairs of events of two legs whose order was compared."""
    found: list[Frame] = field(default_factory=list)
    """What came this time."""

    def add(self, other: Result) -> None:
        self.differences.update(other.differences)
        self.replies += other.replies
        self.events += other.events
        self.headers += other.headers
        self.pairs += other.pairs


CLOCK: Final = ("HEARTBEAT", "RE_SCHEDULE")
"""Events that come when their time has come, whatever else goes on."""


@dataclass(frozen=True)
class View:
    """What of a conversation takes part in the comparison."""

    phones: re.Pattern[str]
    """Direction, channel name and name (`Legs`) of the legs that do not: the phones', where the lab switch called itself."""
    clock: bool = False
    """Whether the events of the clock do."""


RECORDINGS: Final = "/srv/freeswitch01/recordings"
"""Where the recorded switch wrote its files."""


class Legs:
    """The legs of one side, named after their channel (``echo``, the second ``echo#2``); the phones' have no name."""

    def __init__(self, frames: Iterable[Frame], view: View, folder: str = RECORDINGS) -> None:
        self._folder = folder
        self.roles: dict[str, str] = {}
        self._view = view
        for frame in frames:
            self.see(frame)

    def see(self, frame: Frame) -> None:
        """Note the leg of an event."""
        leg = frame.leg
        if leg and leg not in self.roles:
            event = frame.event or {}
            name = str(event.get("Channel-Name", ""))
            user = name.rpartition("/")[2].partition("@")[0]
            nth = 1 + sum(1 for role in self.roles.values() if role.partition("#")[0] == user)
            role = user if nth == 1 else f"{user}#{nth}"
            self.roles[leg] = (
                "" if self._view.phones.match(f"{event.get('Call-Direction', '')} {name} {role}") else role
            )

    def counts(self, frame: Frame) -> bool:
        """Whether an event takes part: neither a phone's, nor of the clock, nor of the command that made a phone call."""
        if frame.leg:
            return self.roles.get(frame.leg, "") != ""
        event = frame.event or {}
        made = f"{event.get('API-Command-Argument', '')}{event.get('Job-Command-Arg', '')}"
        return (self._view.clock or frame.name not in CLOCK) and "sofia/internal/async" not in made

    def normal(self, text: str) -> str:
        """Identifiers replaced by the leg they stand for."""
        return _UUID.sub(
            lambda m: f"<{self.roles.get(m[0]) or 'id'}>", text.replace(self._folder, "<folder>")
        )

    def found(self, role: str) -> str:
        """The identifier of the leg with this name; empty when there is none."""
        return next((leg for leg, name in self.roles.items() if name == role), "")


def compare(
    scenario: str,
    recorded: list[Frame],
    found: list[Frame],
    commands: list[str],
    view: View,
    folder: str = RECORDINGS,
) -> Result:
    """Compare two runs of one connection."""
    result = Result()
    was, now = Legs(recorded, view), Legs(found, view, folder)
    result.differences.update(_replies(scenario, recorded, found, commands, was, now, result))
    result.differences.update(_events(scenario, recorded, found, was, now, result))
    result.differences.update(_log_lines(scenario, recorded, found, was, now, result))
    return result


def _replies(
    scenario: str,
    recorded: list[Frame],
    found: list[Frame],
    commands: list[str],
    was: Legs,
    now: Legs,
    result: Result,
) -> Iterator[Difference]:
    left = [f for f in recorded if f.answers]
    right = [f for f in found if f.answers]
    names = _named(left, commands)
    for i in range(max(len(left), len(right))):
        a = _text(left[i], was) if i < len(left) else ""
        b = _text(right[i], now) if i < len(right) else ""
        result.replies += i < len(left)
        if i < len(left) and i < len(right) and (x := left[i].dumped) and (y := right[i].dumped):
            yield from _headers(scenario, x, y, was, now, result)
        elif a != b:
            yield Difference(scenario, "reply", names[i] if i < len(names) else "(no command)", "", a, b)
        elif left[i].event and right[i].event:
            yield from _headers(scenario, left[i], right[i], was, now, result)


def _log_lines(
    scenario: str, recorded: list[Frame], found: list[Frame], was: Legs, now: Legs, result: Result
) -> Iterator[Difference]:
    """Lines of the switch's log, in any order: the threads of the legs write them. Not their time, load and numbers."""

    def lines(frames: list[Frame], legs: Legs) -> Counter[str]:
        return Counter(
            _NUMBER.sub("#", _STAMP.sub("", legs.normal(f.body)).strip())
            for f in frames
            if f.kind == "log/data"
        )

    left, right = lines(recorded, was), lines(found, now)
    result.events += left.total()
    for text in (left - right).elements():
        yield Difference(scenario, "missing_log", text)
    for text in (right - left).elements():
        yield Difference(scenario, "extra_log", text)


def _named(replies: list[Frame], commands: list[str]) -> list[str]:
    names, asked = [], iter(commands)
    for reply in replies:
        if reply.kind in ("command/reply", "api/response"):
            names.append(next(asked, "(no command)"))
        else:
            names.append(reply.kind)
    return names


def _text(frame: Frame, legs: Legs) -> str:
    text = _told(legs.normal(frame.reply))
    extra = sorted(set(frame.headers) - {"Content-Length", "Content-Type", "Reply-Text", "Job-UUID"})
    more = "".join(f"\n{name}: {_HOST.sub('<host>', legs.normal(frame.headers[name]))}" for name in extra)
    return f"{frame.kind} {text}{more}".strip()


def _events(
    scenario: str, recorded: list[Frame], found: list[Frame], was: Legs, now: Legs, result: Result
) -> Iterator[Difference]:
    left, right = _streams(recorded, was), _streams(found, now)
    for role in dict.fromkeys((*left, *right)):
        a, b = left.get(role, []), right.get(role, [])
        result.events += len(a)
        missing: list[str] = []
        extra: list[str] = []
        matcher = SequenceMatcher(None, [f.label for f in a], [f.label for f in b], autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                for x, y in zip(a[i1:i2], b[j1:j2], strict=True):
                    yield from _headers(scenario, x, y, was, now, result)
                continue
            missing += [was.normal(f.label) for f in a[i1:i2]]
            extra += [now.normal(f.label) for f in b[j1:j2]]
        moved = Counter(missing) & Counter(extra)
        for label in moved.elements():
            yield Difference(scenario, "order", label)
        for label in (Counter(missing) - moved).elements():
            yield Difference(scenario, "missing_event", label, "", role)
        for label in (Counter(extra) - moved).elements():
            yield Difference(scenario, "extra_event", label, "", "", role)


def _streams(frames: list[Frame], legs: Legs) -> dict[str, list[Frame]]:
    out: dict[str, list[Frame]] = {}
    for frame in frames:
        if frame.event is not None and frame.name != "connect" and legs.counts(frame):
            out.setdefault(legs.roles.get(frame.leg, ""), []).append(frame)
    return out


def _headers(
    scenario: str, recorded: Frame, found: Frame, was: Legs, now: Legs, result: Result
) -> Iterator[Difference]:
    assert recorded.event is not None
    assert found.event is not None
    label = was.normal(recorded.label)
    result.headers += len(recorded.event)
    for name in recorded.event:
        if name not in found.event:
            yield Difference(scenario, "missing_header", label, name, _value(name, recorded.event[name], was))
    for name, value in found.event.items():
        if name not in recorded.event:
            yield Difference(scenario, "extra_header", label, name, "", _value(name, value, now))
            continue
        a, b = _value(name, recorded.event[name], was), _value(name, value, now)
        if a != b:
            yield Difference(scenario, "value", label, name, a, b)


def _told(text: str) -> str:
    return (
        _NUMBER.sub("#", _UNIT.sub(r"\1", text)) if text.startswith(("UP ", "FreeSWITCH Version")) else text
    )


def _value(name: str, value: Any, legs: Legs) -> str:
    text = value if isinstance(value, str) else "|:".join(map(str, value))
    if _NOISE.fullmatch(name):
        return "(noise)"
    return _HOST.sub("<host>", _told(legs.normal(text)))
