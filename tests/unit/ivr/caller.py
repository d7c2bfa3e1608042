"""A caller and a switch for the interpreter, in simulated time: who presses what when, and what is heard until the end."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC

from services.ivr.core import model as m
from services.ivr.core.hours import Calendar
from services.ivr.core.interpreter import Interpreter, State

START_US = 1_790_000_000_000_000
PLAY_MS = 2_000
BREAK_MS = 30


@dataclass
class Switch:
    """What the simulated switch does with outputs."""

    missing: frozenset[tuple[str, str]] = frozenset()
    """(language, prompt) without audio; prompt "digits" for what is read out."""
    transfer: tuple[str, int] = ("SUCCESS", 30_000)
    """How a transfer ends, and after how many milliseconds; a success connects after 3 s."""


@dataclass
class Heard:
    """Everything that came of one call."""

    prompts: list[str] = field(default_factory=list)
    steps: list[m.StepTaken] = field(default_factory=list)
    missing: list[m.PromptMissing] = field(default_factory=list)
    ended: list[m.Ended] = field(default_factory=list)
    handed: list[m.HandOver] = field(default_factory=list)
    outputs: list[m.Output] = field(default_factory=list)
    duration_ms: int = 0

    @property
    def outcome(self) -> str:
        return self.ended[0].outcome

    @property
    def path(self) -> list[str]:
        return [f"{step.node}={step.result}" for step in self.steps]


def call(
    flow: m.Flow,
    does: Iterable[tuple[int, str]] = (),
    *,
    limits: m.Limits | None = None,
    switch: Switch | None = None,
    languages: tuple[str, ...] = ("fa", "en"),
    caller: str = "09121234567",
) -> Heard:
    """Run a call to its end. ``does`` is (milliseconds after the start, key or "hangup", "lost", "broken")."""
    return _Run(Interpreter(flow, limits or m.Limits()), switch or Switch()).run(does, languages, caller)


class _Run:
    def __init__(self, interpreter: Interpreter, switch: Switch) -> None:
        self.interpreter = interpreter
        self.switch = switch
        self.now_us = START_US
        self.queue: list[tuple[int, int, m.Event]] = []
        self.order = 0
        self.playing = 0
        self.heard = Heard()

    def at(self, event: m.Event) -> None:
        self.order += 1
        heapq.heappush(self.queue, (event.at_us, self.order, event))

    def run(self, does: Iterable[tuple[int, str]], languages: tuple[str, ...], caller: str) -> Heard:
        self.at(m.Begun(START_US, languages, caller, "500"))
        for after_ms, what in does:
            at_us = START_US + after_ms * 1000
            event: m.Event = m.KeyPressed(at_us, what)
            if what == "hangup":
                event = m.HungUp(at_us, "NORMAL_CLEARING")
            elif what == "lost":
                event = m.Lost(at_us)
            elif what == "broken":
                event = m.Broken(at_us, "a test")
            self.at(event)
        state = State()
        while self.queue:
            self.now_us, _, event = heapq.heappop(self.queue)
            if isinstance(event, m.PlayEnded):
                if event.play != self.playing:
                    continue  # this playback was broken off, and its end reported then
                self.playing = 0
            before = str(state)
            after, outputs = self.interpreter.step(state, event)
            assert str(state) == before, "step must not change its argument"
            state = after
            for output in outputs:
                self.heard.outputs.append(output)
                self.take(output)
            if self.heard.ended:
                break
        self.heard.duration_ms = (self.now_us - START_US) // 1000
        return self.heard

    def take(self, output: m.Output) -> None:
        now, heard = self.now_us, self.heard
        assert not heard.ended, "nothing comes after Ended"
        match output:
            case m.PlayPrompt() | m.SayText():
                assert not self.playing, "one playback at a time"
                what = output.prompt if isinstance(output, m.PlayPrompt) else output.text
                kind = output.prompt if isinstance(output, m.PlayPrompt) else "digits"
                is_there = (output.language, kind) not in self.switch.missing
                if is_there:
                    heard.prompts.append(f"{output.language}/{what}")
                self.playing = output.play
                self.at(m.PlayEnded(now + (PLAY_MS if is_there else 10) * 1000, output.play, is_there))
            case m.StopPlaying():
                assert self.playing, "only what plays can be stopped"
                self.at(m.PlayEnded(now + BREAK_MS * 1000, self.playing, True))
            case m.ArmTimer():
                self.at(m.TimerFired(now + output.after_ms * 1000, output.timer))
            case m.Transfer():
                cause, after_ms = self.switch.transfer
                if cause == "SUCCESS":
                    self.at(m.TransferConnected(now + 3_000_000))
                self.at(m.TransferEnded(now + after_ms * 1000, cause))
            case m.HandOver():
                heard.handed.append(output)
                self.at(m.HandedOver(now + 20_000))
            case m.StepTaken():
                heard.steps.append(output)
            case m.PromptMissing():
                heard.missing.append(output)
            case m.Ended():
                heard.ended.append(output)


def flow(start: str, fallback: str = "fallback", **nodes: m.Node) -> m.Flow:
    """A flow of these nodes; ``_`` in a name stands for ``-``."""
    return m.Flow(
        "test", start, {name.replace("_", "-"): node for name, node in nodes.items()}, m.ToQueue(fallback, 0)
    )


def calendar(*periods: tuple[int, int]) -> Calendar:
    """A calendar in UTC with the same periods every day."""
    return Calendar(UTC, dict.fromkeys(range(7), tuple(periods)))
