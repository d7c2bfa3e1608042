"""A call without a switch, in simulated time: what a caller does, what is heard, where it ends. Pure.

Tables of flows and property tests run on it. A caller either does things at given times, or *acts*: each act is done when the flow waits
for the caller (a menu, a question, a message), one after the other; who has no act left is silent.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.center.phrases import match
from services.ivr.core import model as m
from services.ivr.core.interpreter import Interpreter
from services.ivr.core.nodes import Limits, Plan
from services.ivr.core.state import State

PLAY_MS = 2_000
"""How long every prompt plays."""
MISSING_MS = 10
BREAK_MS = 30
THINK_MS = 500
"""How long a caller thinks before the first key of an act."""
BETWEEN_KEYS_MS = 200
CONNECT_MS = 3_000
REPLY_MS = 80
VOICE_MS = 300
"""Until a text is made into sound, or it is clear that it will not be."""
SPEAK_MS = 1_500
"""How long everything takes that a caller says to a recogniser."""
UNDERSTAND_MS = 400


class QueueNow(msgspec.Struct, frozen=True):
    """A queue as a look sees it."""

    waiting: int = 0
    longest_ms: int = 0
    ready: int = 1


class Reply(msgspec.Struct, frozen=True):
    """What a web service answers; ``failure`` instead of an answer when it is not empty."""

    values: Mapping[str, str] = {}
    status: int = 200
    failure: str = ""


@dataclass
class Switch:
    """What the simulated switch, and whoever else answers, do with outputs."""

    missing: frozenset[tuple[str, str]] = frozenset()
    """(language, prompt) without audio; of what is read out, the form (``digits``); of voices, ``speech``."""
    transfer: tuple[str, int] = ("SUCCESS", 30_000)
    """How a transfer ends, and after how many milliseconds; a success connects after 3 s."""
    message_ms: int = 5_000
    """How long the caller speaks when a message is taken."""
    queues: dict[str, QueueNow] = field(default_factory=dict)
    """Queues that are not here cannot be seen."""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    """By the node that asks; to others nobody answers in time."""
    deaf: frozenset[str] = frozenset()
    """Languages without a recogniser."""
    agents: Mapping[str, str] = field(default_factory=dict)
    """How agents are who are not ready: ``busy``, ``away``, ``unseen``."""
    mute: frozenset[str] = frozenset()
    """Outputs whose answers never come, by the name of their type."""


class Act(msgspec.Struct, frozen=True):
    """One thing that a caller does: press keys, say something to a recogniser, say nothing, hang up.

    ``during`` names a prompt: then it is done while that prompt is played, instead of when the flow waits.
    """

    keys: str = ""
    says: str = ""
    hangs_up: bool = False
    during: str = ""


@dataclass
class Heard:
    """Everything that came of one call."""

    prompts: list[str] = field(default_factory=list)
    """``fa/welcome``; what was read out: ``fa/4711 as digits``; what a voice said: ``en/Order 7 is ready. as speech``; a message: ``beep``."""
    steps: list[m.StepTaken] = field(default_factory=list)
    missing: list[m.PromptMissing] = field(default_factory=list)
    ended: list[m.Ended] = field(default_factory=list)
    handed: list[m.HandOver] = field(default_factory=list)
    outputs: list[m.Output] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    """The queues for which a message was recorded."""
    dialled: list[str] = field(default_factory=list)
    asked: list[m.SendRequest] = field(default_factory=list)
    rated: list[m.Rated] = field(default_factory=list)
    duration_ms: int = 0
    acts_left: int = 0

    @property
    def outcome(self) -> str:
        return self.ended[0].outcome if self.ended else ""

    @property
    def path(self) -> list[str]:
        return [f"{step.node}={step.result}" for step in self.steps]


class Rehearsal:
    """One call through a plan."""

    def __init__(
        self,
        plan: Plan,
        begun: m.Begun,
        *,
        limits: Limits | None = None,
        switch: Switch | None = None,
        interpreter: type[Interpreter] = Interpreter,
    ) -> None:
        self._interpreter = interpreter(plan, limits or Limits())
        self._switch = switch or Switch()
        self._begun = begun
        self._now_us = begun.at_us
        self._queue: list[tuple[int, int, m.Event]] = []
        self._order = 0
        self._runs: m.PlayPrompt | m.SayText | m.SpeakText | m.RecordMessage | m.RecordAnswer | None = None
        self._node = ""
        self._hears: m.HearCaller | None = None
        self._acts: list[Act] = []
        self._asked: tuple[int, int] = (0, 0)
        self.heard = Heard()

    def run(self, events: Iterable[m.Event] = (), acts: Sequence[Act] = ()) -> Heard:
        """Go through the call until it ended, or nothing can happen any more."""
        self._acts = list(acts)
        for event in (self._begun, *events):
            self._at(event)
        state = State()
        while self._queue and not self.heard.ended:
            self._now_us, _, event = heapq.heappop(self._queue)
            if isinstance(event, m.PlayEnded | m.Recorded):
                if not self._is_running(event):
                    continue  # it was broken off, and its end reported then
                self._runs = None
            state, outputs = self._interpreter.step(state, event)
            self._node = state.node
            for output in outputs:
                self.heard.outputs.append(output)
                self._take(output)
            self._act(state)
        self.heard.duration_ms = (self._now_us - self._begun.at_us) // 1000
        self.heard.acts_left = len(self._acts)
        return self.heard

    def _at(self, event: m.Event) -> None:
        self._order += 1
        heapq.heappush(self._queue, (event.at_us, self._order, event))

    def _is_running(self, event: m.PlayEnded | m.Recorded) -> bool:
        match self._runs:
            case m.RecordMessage(recording=number) | m.RecordAnswer(recording=number):
                return isinstance(event, m.Recorded) and event.recording == number
            case m.PlayPrompt(play=number) | m.SayText(play=number) | m.SpeakText(play=number):
                return isinstance(event, m.PlayEnded) and event.play == number
        return False

    # -- the caller

    def _act(self, state: State) -> None:
        """Do the next act when the flow has begun to wait for one."""
        waits = state.mode == "listening" and not (state.collected or state.typed or state.speaks)
        asked = (state.step_no, state.tries_left)
        if not waits or asked == self._asked or not self._acts or self._acts[0].during:
            return
        self._asked = asked
        self._do(self._acts.pop(0))

    def _do(self, act: Act) -> None:
        at_us = self._now_us + THINK_MS * 1000
        for key in act.keys:
            self._at(m.KeyPressed(at_us, key))
            at_us += BETWEEN_KEYS_MS * 1000
        if act.says:
            self._say(act.says)
        if act.hangs_up:
            self._at(m.HungUp(at_us, "NORMAL_CLEARING"))

    def _say(self, said: str) -> None:
        """Words for whoever listens; nobody may."""
        hears = self._hears
        if hears is None or type(hears).__name__ in self._switch.mute:
            return
        begun_us = self._now_us + THINK_MS * 1000
        self._at(m.SpeechBegan(begun_us, hears.hearing))
        over_us = begun_us + (SPEAK_MS + UNDERSTAND_MS) * 1000
        found = match(said, hears.phrases)
        self._at(
            m.SpeechMissed(over_us, hears.hearing, heard=True)
            if found is None
            else m.SpeechUnderstood(over_us, hears.hearing, *found)
        )

    # -- the switch

    def _after(self, ms: int) -> int:
        return self._now_us + ms * 1000

    def _take(self, output: m.Output) -> None:
        heard, switch = self.heard, self._switch
        assert not heard.ended, "nothing comes after Ended"
        is_mute = type(output).__name__ in switch.mute
        match output:
            case m.PlayPrompt() | m.SayText() | m.SpeakText():
                self._play(output, is_mute)
            case m.RecordMessage() | m.RecordAnswer():
                assert self._runs is None, "nothing is recorded while something plays"
                heard.prompts.append("beep")
                self._runs = output
                if not is_mute:
                    spoken_ms = min(switch.message_ms, output.most_s * 1000)
                    self._at(m.Recorded(self._after(spoken_ms), output.recording, spoken_ms))
                if switch.message_ms and isinstance(output, m.RecordMessage):
                    heard.messages.append(output.queue)
            case m.StopPlaying():
                self._stop()
            case m.HearCaller():
                self._hears = None if output.language in switch.deaf else output
                if self._hears is None and not is_mute:
                    self._at(m.SpeechMissed(self._after(0), output.hearing, heard=False))
            case m.StopHearing():
                self._hears = None
            case m.ArmTimer():
                self._at(m.TimerFired(self._after(output.after_ms), output.timer))
            case m.LookAtQueue() if not is_mute:
                seen = switch.queues.get(output.queue)
                self._at(
                    m.QueueUnseen(self._after(5), output.look)
                    if seen is None
                    else m.QueueSeen(self._after(5), output.look, seen.waiting, seen.longest_ms, seen.ready)
                )
            case m.LookAtAgent() if not is_mute:
                self._at(m.AgentSeen(self._after(5), output.look, switch.agents.get(output.agent, "ready")))
            case m.SendRequest():
                heard.asked.append(output)
                if not is_mute:
                    self._reply(output)
            case m.Transfer():
                heard.dialled.append(output.number)
                cause, after_ms = switch.transfer
                if cause == "SUCCESS" and not is_mute:
                    self._at(m.TransferConnected(self._after(CONNECT_MS)))
                if not is_mute:
                    self._at(m.TransferEnded(self._after(after_ms), cause))
            case m.HandOver():
                heard.handed.append(output)
                if not is_mute:
                    self._at(m.HandedOver(self._after(20)))
            case m.StepTaken():
                heard.steps.append(output)
            case m.Rated():
                heard.rated.append(output)
            case m.PromptMissing():
                heard.missing.append(output)
            case m.Ended():
                heard.ended.append(output)

    def _reply(self, asked: m.SendRequest) -> None:
        reply = self._switch.replies.get(self._node)
        if reply is None:
            reply = Reply(failure="timeout")
        at_us = self._after(asked.timeout_ms * asked.tries if reply.failure == "timeout" else REPLY_MS)
        if reply.failure:
            self._at(m.WebFailed(at_us, asked.request, reply.failure))
        else:
            self._at(m.WebAnswered(at_us, asked.request, reply.status, reply.values))

    def _play(self, output: m.PlayPrompt | m.SayText | m.SpeakText, is_mute: bool) -> None:
        assert self._runs is None, "one playback at a time"
        match output:
            case m.PlayPrompt():
                name = kind = output.prompt
            case m.SayText():
                name, kind = f"{output.text} as {output.form}", output.form
            case m.SpeakText(instead=m.PlayPrompt(prompt=of)) | m.SpeakText(instead=m.SayText(text=of)):
                name, kind = f"{of} as speech", "speech"
            case m.SpeakText():
                name, kind = f"{output.text} as speech", "speech"
        is_there = (output.language, kind) not in self._switch.missing
        if is_there:
            self.heard.prompts.append(f"{output.language}/{name}")
        self._runs = output
        if not is_mute:
            ms = PLAY_MS if is_there else MISSING_MS
            ms += VOICE_MS if kind == "speech" else 0
            self._at(m.PlayEnded(self._after(ms), output.play, is_there))
        if is_there and self._acts and self._acts[0].during == name:
            self._do(self._acts.pop(0))

    def _stop(self) -> None:
        assert self._runs is not None, "only what runs can be stopped"
        if isinstance(self._runs, m.RecordMessage | m.RecordAnswer):
            self._at(m.Recorded(self._after(BREAK_MS), self._runs.recording, BREAK_MS))
        else:
            self._at(m.PlayEnded(self._after(BREAK_MS), self._runs.play, True))
