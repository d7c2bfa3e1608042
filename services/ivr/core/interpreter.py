"""The flow interpreter: ``step(state, event) -> (state, outputs)``.

Theory of operation
-------------------
A call is in one *mode*: playing (a playback runs, or was told to stop), listening (for keys, with a timer), transfer,
handing (the hand-over is being written on the channel), ended. Every event either fits the mode or is ignored, so late
completions, old timers and keys at odd moments need no care of their own.

*Keys typed early count.* Every key goes to ``typed`` first and is consumed only while a menu or an ask node listens. In
such a node a key breaks the running prompt off; announcements of play and say nodes run to their end. Keys are not looked
at before the playback's end is reported: until then FreeSWITCH would apply a "break" meant for this playback to the next.
A menu that begins with keys waiting plays no prompt. A wrong choice throws the rest of the typed keys away, because
they were meant for something else.

*Languages.* A prompt that cannot be played is tried in the next language of the caller's order, then skipped: a missing
file costs an announcement, never the call.

*A call always ends, and never by our fault.* Steps and time are bounded; the time limit, a broken flow and an internal
error all hand the caller over to the entry point's fallback queue. A caller who does nothing reaches an end anyway
(services/center/check.py refuses other flows); the limits are for callers who keep pressing keys.

Timer ids: 1 is the call's time limit, every other id is used once, and only the newest counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ivr.core.hours import is_open
from services.ivr.core.model import (
    KIND,
    ArmTimer,
    Ask,
    Begun,
    Broken,
    Ended,
    Event,
    Flow,
    HandedOver,
    HandOver,
    Hangup,
    Hours,
    HungUp,
    KeyPressed,
    Limits,
    Lost,
    Menu,
    Output,
    Play,
    PlayEnded,
    PlayPrompt,
    PromptMissing,
    Say,
    SayText,
    StepTaken,
    StopPlaying,
    TimerFired,
    ToNumber,
    ToQueue,
    Transfer,
    TransferConnected,
    TransferEnded,
)

TIME_LIMIT = 1
"""Id of the timer that bounds the call's time in the flow."""

_MOST_TYPED = 64
_KEYS = frozenset("0123456789*#")


class State(msgspec.Struct):
    """Everything about one call. Treat as a value: ``step`` returns a new one and leaves its argument alone."""

    mode: str = "new"
    node: str = ""
    step_no: int = 0
    started_us: int = 0
    entered_us: int = 0
    languages: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    typed: str = ""
    collected: str = ""
    tries_left: int = 0
    drop_pound: bool = False
    playback: PlayPrompt | SayText | None = None
    plays: int = 0
    languages_left: tuple[str, ...] = ()
    stopping: bool = False
    after: str = ""
    timer: int = TIME_LIMIT
    was_closed: bool = False
    bridged: bool = False
    reported: bool = True
    """Whether the way out of the present node was reported."""


class Interpreter:
    """One flow with its limits; holds no state of calls."""

    def __init__(self, flow: Flow, limits: Limits) -> None:
        self._flow = flow
        self._limits = limits

    def step(self, state: State, event: Event) -> tuple[State, list[Output]]:
        """Return the state after ``event`` and what is to be done, in order."""
        run = _Step(self._flow, self._limits, msgspec.structs.replace(state), event.at_us)
        if state.mode != "ended":
            run.handle(event)
            run.settle()
        return run.state, run.out


class _Step:
    """The work of one step on a private copy of the state."""

    def __init__(self, flow: Flow, limits: Limits, state: State, at_us: int) -> None:
        self.flow = flow
        self.limits = limits
        self.state = state
        self.at_us = at_us
        self.out: list[Output] = []
        self.next: str | None = None

    def handle(self, event: Event) -> None:
        s = self.state
        match event:
            case Begun() if s.mode == "new":
                self.begin(event)
            case HungUp():
                self.leave("hung_up")
                self.end("transferred" if s.bridged else "hung_up", event.cause, hang_up=False)
            case Lost():
                self.leave("lost")
                self.end("failed", "connection_lost", hang_up=False)
            case Broken() if s.mode == "handing":
                # What the channel has is unknown; the dialplan takes the caller to waiting either way.
                self.end("handed_over", "unconfirmed", hang_up=False)
            case Broken():
                self.fall_back("error")
            case KeyPressed():
                self.key(event.key)
            case PlayEnded() if s.mode == "playing" and s.playback and event.play == s.playback.play:
                self.play_ended(event.heard)
            case TimerFired() if event.timer == TIME_LIMIT:
                if s.mode in ("playing", "listening"):
                    self.fall_back("limit")
            case TimerFired() if s.mode == "listening" and event.timer == s.timer:
                self.timed_out()
            case TransferConnected() if s.mode == "transfer":
                s.bridged = True
            case TransferEnded() if s.mode == "transfer":
                self.transfer_ended(event.cause)
            case HandedOver() if s.mode == "handing":
                self.end("handed_over", "", hang_up=False)

    def settle(self) -> None:
        """Enter node after node until one has to wait. A loop, so that no flow can exhaust the stack."""
        while self.next is not None:
            name, self.next = self.next, None
            self.enter(name)

    # -- the course of the flow ------------------------------------------------------------------------------------

    def begin(self, event: Begun) -> None:
        s = self.state
        s.started_us = s.entered_us = event.at_us
        s.languages = event.languages
        s.variables = {"caller": event.caller, "entry": event.entry}
        self.out.append(ArmTimer(TIME_LIMIT, self.limits.max_time_ms))
        self.next = self.flow.start

    def enter(self, name: str) -> None:
        s = self.state
        node = self.flow.nodes.get(name)
        s.step_no += 1
        s.node = name
        s.reported = False
        s.entered_us = self.at_us
        if node is None:
            self.fall_back("error")
        elif s.step_no > self.limits.max_steps or self.at_us - s.started_us >= self.limits.max_time_ms * 1000:
            self.fall_back("limit")
        else:
            self.perform(node)

    def perform(self, node: object) -> None:
        s = self.state
        match node:
            case Play():
                self.play(node.prompt, after="then")
            case Say():
                self.say(node)
            case Menu() | Ask():
                s.tries_left = node.tries
                self.begin_round(node)
            case Hours():
                is_now = is_open(node.calendar, self.at_us)
                s.was_closed = not is_now
                self.leave("open" if is_now else "closed")
                self.next = node.open if is_now else node.closed
            case ToQueue():
                self.leave(f"queue:{node.queue}")
                self.hand_over(node)
            case ToNumber():
                s.mode = "transfer"
                self.out.append(Transfer(node.number))
            case Hangup():
                self.leave("done")
                self.end("closed" if s.was_closed else "finished", "NORMAL_CLEARING", hang_up=True)

    def leave(self, result: str) -> None:
        """Report the present node, once."""
        s = self.state
        if not s.reported:
            s.reported = True
            node = self.flow.nodes.get(s.node)
            kind = KIND[type(node)] if node is not None else "missing"
            spent_ms = max(0, (self.at_us - s.entered_us) // 1000)
            self.out.append(StepTaken(s.step_no, s.node, kind, result, spent_ms, self.at_us))

    def fall_back(self, result: str) -> None:
        if self.state.playback is not None and not self.state.stopping:
            self.out.append(StopPlaying())
        self.leave(result)
        self.hand_over(self.flow.fallback)

    def hand_over(self, to: ToQueue) -> None:
        s = self.state
        s.mode = "handing"
        customer = s.variables.get("customer", "")
        language = s.languages[0] if s.languages else ""
        self.out.append(
            HandOver(
                to.queue,
                to.priority,
                to.skills,
                language,
                customer,
                to.service_class,
                to.preferred_agent,
            )
        )

    def end(self, outcome: str, cause: str, *, hang_up: bool) -> None:
        self.state.mode = "ended"
        self.out.append(Ended(outcome, self.state.node, cause, hang_up, self.at_us))

    def transfer_ended(self, cause: str) -> None:
        node = self.flow.nodes[self.state.node]
        if self.state.bridged:
            self.leave("connected")
            self.end("transferred", cause, hang_up=True)
        elif isinstance(node, ToNumber) and node.otherwise is not None:
            self.leave(f"failed:{cause}")
            self.next = node.otherwise
        else:
            self.leave(f"failed:{cause}")
            self.hand_over(self.flow.fallback)

    # -- playing ---------------------------------------------------------------------------------------------------

    def play(self, prompt: str, *, after: str) -> None:
        s = self.state
        s.plays += 1
        self.start_playing(PlayPrompt(s.plays, prompt, s.languages[0]), after)

    def say(self, node: Say) -> None:
        s = self.state
        text = s.variables.get(node.what, node.what if node.what.isdigit() else "")
        if not any(key in _KEYS for key in text):
            self.leave("empty")
            self.next = node.then
            return
        as_number = node.as_number and text.isascii() and text.isdigit() and len(text) <= 18
        s.plays += 1
        self.start_playing(SayText(s.plays, text, as_number, s.languages[0]), "then")

    def start_playing(self, playback: PlayPrompt | SayText, after: str) -> None:
        s = self.state
        s.mode = "playing"
        s.playback = playback
        s.languages_left = s.languages[1:]
        s.stopping = False
        s.after = after
        self.out.append(playback)

    def play_ended(self, heard: bool) -> None:
        s = self.state
        assert s.playback is not None
        if not heard and not s.stopping:
            what = s.playback.prompt if isinstance(s.playback, PlayPrompt) else "digits"
            self.out.append(PromptMissing(what, s.playback.language, given_up=not s.languages_left))
            if s.languages_left:
                s.plays += 1
                s.playback = msgspec.structs.replace(s.playback, play=s.plays, language=s.languages_left[0])
                s.languages_left = s.languages_left[1:]
                self.out.append(s.playback)
                return
        s.playback = None
        node = self.flow.nodes[s.node]
        if isinstance(node, Menu | Ask):
            if s.after == "listen":
                self.listen(node)
            else:
                self.begin_round(node)
        elif isinstance(node, Play | Say):
            self.leave("played" if heard else "missing")
            self.next = node.then

    # -- keys ------------------------------------------------------------------------------------------------------

    def key(self, key: str) -> None:
        s = self.state
        if key not in _KEYS or s.mode not in ("playing", "listening"):
            return
        if s.drop_pound:
            # The pound that ends an input which was complete without it.
            s.drop_pound = False
            if key == "#":
                return
        s.typed = (s.typed + key)[:_MOST_TYPED]
        node = self.flow.nodes[s.node]
        if isinstance(node, Menu | Ask):
            if s.mode == "listening":
                self.consume(node)
            elif not s.stopping:
                s.stopping = True
                self.out.append(StopPlaying())

    def begin_round(self, node: Menu | Ask) -> None:
        if self.state.typed:
            self.listen(node)
        else:
            self.play(node.prompt, after="listen")

    def listen(self, node: Menu | Ask) -> None:
        s = self.state
        s.mode = "listening"
        s.collected = ""
        s.drop_pound = False
        if s.typed:
            self.consume(node)
        else:
            self.arm(node.timeout_ms)

    def consume(self, node: Menu | Ask) -> None:
        s = self.state
        while s.typed and s.mode == "listening" and self.next is None:
            key, s.typed = s.typed[0], s.typed[1:]
            if isinstance(node, Menu):
                self.menu_key(node, key)
            else:
                self.ask_key(node, key)

    def menu_key(self, node: Menu, key: str) -> None:
        s = self.state
        s.collected += key
        longer = any(choice != s.collected and choice.startswith(s.collected) for choice in node.digits)
        if s.collected in node.digits and not longer:
            self.choose(node)
        elif longer:
            self.arm(self.limits.key_gap_ms if s.collected in node.digits else node.timeout_ms)
        else:
            self.missed(node, "invalid")

    def ask_key(self, node: Ask, key: str) -> None:
        s = self.state
        if key == "*":
            s.collected = ""
            self.arm(node.timeout_ms)
        elif key == "#":
            if len(s.collected) >= node.min_digits:
                self.accept(node)
            else:
                self.missed(node, "invalid")
        else:
            s.collected += key
            if len(s.collected) == node.max_digits:
                self.accept(node)
                s.drop_pound = not s.typed
                s.typed = s.typed.removeprefix("#")
            else:
                self.arm(node.timeout_ms)

    def timed_out(self) -> None:
        s = self.state
        node = self.flow.nodes[s.node]
        if isinstance(node, Menu) and s.collected in node.digits:
            self.choose(node)
        elif isinstance(node, Ask) and len(s.collected) >= node.min_digits:
            self.accept(node)
        elif isinstance(node, Menu | Ask):
            self.missed(node, "invalid" if s.collected else "timeout")

    def choose(self, node: Menu) -> None:
        self.leave(f"digit:{self.state.collected}")
        self.next = node.digits[self.state.collected]

    def accept(self, node: Ask) -> None:
        # The digits stay out of the report: they may be a card number.
        s = self.state
        s.variables = {**s.variables, node.into: s.collected}
        self.leave("entered")
        self.next = node.then

    def missed(self, node: Menu | Ask, result: str) -> None:
        s = self.state
        s.tries_left -= 1
        s.typed = ""
        if s.tries_left <= 0:
            self.leave(result)
            self.next = node.otherwise
        elif result == "invalid" and isinstance(node, Menu) and node.invalid is not None:
            self.play(node.invalid, after="round")
        else:
            self.begin_round(node)

    def arm(self, after_ms: int) -> None:
        self.state.timer += 1
        self.out.append(ArmTimer(self.state.timer, after_ms))
