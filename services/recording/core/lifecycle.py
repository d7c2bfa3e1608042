"""The life of a recording on one FreeSWITCH node, from RECORD_START to a file that is known to be whole.

Theory of operation
-------------------
``Lifecycle.handle(input) -> [outputs]``. The queue service starts a recording, FreeSWITCH writes it and ends it with the caller's leg.
So in the ordinary case this service sees RECORD_START, RECORD_STOP, and looks at the file once. The rest is for what goes wrong:

* nobody listened when it stopped: a sweep finds the file without its sidecar;
* FreeSWITCH was killed: RECORD_STOP never comes, and the header of the file says length 0. The sound is there up to the last block; the
  header is mended, but only when the leg is gone and the file has not grown for a while, because somebody else's node may write it;
* which agent is heard is known from ``AgentBridged``, which comes over the bus and may come later than the stop: a file waits for it a
  few seconds, then it is stored without a name.

A message that a caller left instead of waiting is nobody's conversation: it is stored at once, for the queue that its name says.

A file is looked at once at a time, and is finished once: its sidecar is written after its fact is on the bus, so a crash in between
repeats the fact under the same id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from services.recording.core.facts import (
    COMMENT,
    CONVERSATION,
    MESSAGE,
    Fact,
    RecordingFailed,
    RecordingStarted,
    RecordingStored,
)

QUIET_MS = 30_000  # FreeSWITCH writes a stereo file every 2 s (64 KB blocks): one that rests so long is over.
AGENT_WAIT_MS = 5_000
REMEMBERED_AGENTS = 20_000


class Recording(Struct, frozen=True, kw_only=True):
    """Which recording: ``path`` is ``<tenant>/<yyyy>/<mm>/<dd>/<contact>.wav``, relative to the recordings folder.

    A message that a caller left for a queue is ``<contact>.message.<queue>.wav``, what was said in a survey ``<contact>.comment.<question>.wav``.
    """

    recording_id: str
    tenant: str
    contact: str
    path: str
    message_for: str = ""  # The queue; empty for a conversation.
    is_comment: bool = False  # Of the conversation that was before it.


class Examination(Struct, frozen=True, kw_only=True):
    """What is in a file."""

    bytes: int
    duration_ms: int
    channels: int
    sample_rate: int
    sha256: str
    rms: tuple[float, ...]
    repaired: bool


# --- inputs ----------------------------------------------------------------------------------------------------------


class Input(Struct, frozen=True, kw_only=True):
    """Base of all inputs; ``at_us`` is when the shell saw it."""

    at_us: int


class Began(Input, frozen=True, kw_only=True):
    """RECORD_START. ``caller`` is the number of whoever leaves a message."""

    recording: Recording
    caller: str = ""


class Stopped(Input, frozen=True, kw_only=True):
    """RECORD_STOP. Its completion cause is ``success-silence`` for ordinary recordings too, and not looked at."""

    recording: Recording


class Talking(Input, frozen=True, kw_only=True):
    """AgentBridged: whose voice is on the right channel. The first agent of a contact is the one it is filed under."""

    contact: str
    agent: str
    queue: str
    bridged_at_us: int


class Unfinished(Input, frozen=True, kw_only=True):
    """A sweep found a file without a sidecar. ``resting_ms``: how long it has not grown."""

    recording: Recording
    leg_alive: bool
    resting_ms: int


class Examined(Input, frozen=True, kw_only=True):
    """The file was looked at; ``problem`` is missing, unreadable, empty, or nothing."""

    recording: Recording
    found: Examination | None
    problem: str = ""


class Kept(Input, frozen=True, kw_only=True):
    """Fact and sidecar are written."""

    path: str


class TimerFired(Input, frozen=True, kw_only=True):
    """A timer set by :class:`SetTimer`."""

    path: str


# --- outputs ---------------------------------------------------------------------------------------------------------


class Report(Struct, frozen=True, kw_only=True):
    """Append a fact."""

    tenant: str
    fact_id: str
    fact: Fact


class Examine(Struct, frozen=True, kw_only=True):
    """Look at a file. ``may_repair``: its header may be mended, nobody writes it any more."""

    recording: Recording
    may_repair: bool


class Keep(Struct, frozen=True, kw_only=True):
    """Append the last fact of a recording, then write its sidecar, then say so by :class:`Kept`."""

    tenant: str
    fact_id: str
    fact: RecordingStored | RecordingFailed


class SetTimer(Struct, frozen=True, kw_only=True):
    """Come back with :class:`TimerFired`."""

    path: str
    after_ms: int


class SweepAgain(Struct, frozen=True, kw_only=True):
    """Look for unfinished files again then: one that was found is not old enough."""

    after_ms: int


Output = Report | Examine | Keep | SetTimer | SweepAgain


class _Open(Struct, kw_only=True):
    """What is remembered of a recording that is not finished."""

    recording: Recording
    started_at_us: int
    caller: str = ""
    phase: str = "recording"  # recording, examining, waiting, keeping
    found: Examination | None = None


class Lifecycle:
    """The recordings of one node."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._open: dict[str, _Open] = {}
        self._agents: OrderedDict[str, Talking] = OrderedDict()
        self._handlers: dict[type[Input], Callable[[Any], list[Output]]] = {
            Began: self._began,
            Stopped: self._stopped,
            Talking: self._talking,
            Unfinished: self._unfinished,
            Examined: self._examined,
            Kept: self._kept,
            TimerFired: self._timer,
        }

    def handle(self, event: Input) -> list[Output]:
        """Take one input and return what follows from it, in order."""
        return self._handlers[type(event)](event)

    def open_paths(self) -> frozenset[str]:
        """Recordings that are being written or finished."""
        return frozenset(self._open)

    def _began(self, event: Began) -> list[Output]:
        recording = event.recording
        known = self._open.get(recording.path)
        if known is not None and known.phase != "recording":
            return []  # An event from before a sweep that has found the file already.
        self._open[recording.path] = _Open(
            recording=recording, started_at_us=event.at_us, caller=event.caller
        )
        return [
            Report(
                tenant=recording.tenant,
                fact_id=f"{recording.contact}:recording-started:{recording.recording_id}",
                fact=RecordingStarted(
                    recording_id=recording.recording_id,
                    contact_id=recording.contact,
                    node=self._node,
                    path=recording.path,
                    at_us=event.at_us,
                ),
            )
        ]

    def _stopped(self, event: Stopped) -> list[Output]:
        # FreeSWITCH has closed the file: there is no header to mend, and nobody else's to touch.
        return self._look(event.recording, may_repair=False)

    def _unfinished(self, event: Unfinished) -> list[Output]:
        if event.leg_alive:
            return []
        if event.resting_ms < QUIET_MS:
            return [SweepAgain(after_ms=QUIET_MS - event.resting_ms)]
        return self._look(event.recording, may_repair=True)

    def _look(self, recording: Recording, *, may_repair: bool) -> list[Output]:
        known = self._open.setdefault(recording.path, _Open(recording=recording, started_at_us=0))
        if known.phase != "recording":
            return []
        known.phase = "examining"
        return [Examine(recording=recording, may_repair=may_repair)]

    def _examined(self, event: Examined) -> list[Output]:
        known = self._open.get(event.recording.path)
        if known is None or known.phase != "examining":
            return []
        if event.found is None:
            known.phase = "keeping"
            return [self._keep_failed(known.recording, event.problem or "unreadable", event.at_us)]
        known.found = event.found
        if known.recording.message_for or known.recording.contact in self._agents:
            return [self._keep_stored(known, event.at_us)]
        known.phase = "waiting"
        return [SetTimer(path=event.recording.path, after_ms=AGENT_WAIT_MS)]

    def _talking(self, event: Talking) -> list[Output]:
        if event.contact in self._agents:
            return []
        self._agents[event.contact] = event
        while len(self._agents) > REMEMBERED_AGENTS:
            self._agents.popitem(last=False)
        return [
            self._keep_stored(known, event.at_us)
            for known in self._open.values()
            if known.phase == "waiting" and known.recording.contact == event.contact
        ]

    def _timer(self, event: TimerFired) -> list[Output]:
        known = self._open.get(event.path)
        if known is None or known.phase != "waiting":
            return []
        return [self._keep_stored(known, event.at_us)]

    def _kept(self, event: Kept) -> list[Output]:
        self._open.pop(event.path, None)
        return []

    def _keep_stored(self, known: _Open, at_us: int) -> Keep:
        known.phase = "keeping"
        recording, found = known.recording, known.found
        assert found is not None
        talk = None if recording.message_for else self._agents.get(recording.contact)
        started = known.started_at_us or (talk.bridged_at_us if talk is not None else 0)
        return Keep(
            tenant=recording.tenant,
            fact_id=f"{recording.contact}:recording-stored:{recording.recording_id}",
            fact=RecordingStored(
                recording_id=recording.recording_id,
                contact_id=recording.contact,
                node=self._node,
                path=recording.path,
                bytes=found.bytes,
                duration_ms=found.duration_ms,
                channels=found.channels,
                sample_rate=found.sample_rate,
                sha256=found.sha256,
                rms=found.rms,
                repaired=found.repaired,
                agent_id=talk.agent if talk is not None else "",
                queue=talk.queue if talk is not None else recording.message_for,
                started_at_us=started or max(0, at_us - found.duration_ms * 1000),
                at_us=at_us,
                kind=_kind(recording),
                caller=known.caller,
            ),
        )

    def _keep_failed(self, recording: Recording, reason: str, at_us: int) -> Keep:
        return Keep(
            tenant=recording.tenant,
            fact_id=f"{recording.contact}:recording-failed:{recording.recording_id}",
            fact=RecordingFailed(
                recording_id=recording.recording_id,
                contact_id=recording.contact,
                path=recording.path,
                reason=reason,
                at_us=at_us,
            ),
        )


def _kind(recording: Recording) -> str:
    if recording.is_comment:
        return COMMENT
    return MESSAGE if recording.message_for else CONVERSATION
