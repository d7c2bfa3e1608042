"""What the caller hears: one playback after the other, each tried in every language, broken off by a key where that is meant.

A prompt that cannot be played is tried in the next language of the caller's order. When no language has it, its text is spoken by a voice in
the caller's own language; when that fails too, the node's own edge for it is taken where it has one, else it is passed over: a missing file
costs an announcement, never the call.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.ivr.core.model import (
    ArmTimer,
    Output,
    PlayEnded,
    PlayPrompt,
    PromptMissing,
    SayText,
    SpeakText,
    StepTaken,
    StopHearing,
    StopPlaying,
)
from services.ivr.core.nodes import Flow, Limits, Node, Plan, kind_of
from services.ivr.core.state import State, Utterance


class Talking:
    """The work of one step on a private copy of the state: what every part of it needs, and speech."""

    def __init__(self, plan: Plan, limits: Limits, state: State, at_us: int) -> None:
        self.plan = plan
        self.limits = limits
        self.state = state
        self.at_us = at_us
        self.out: list[Output] = []
        self.next: str | None = None
        """The node to enter, of the present flow."""

    @property
    def flow(self) -> Flow | None:
        return self.plan.flows.get(self.state.flow)

    @property
    def node(self) -> Node | None:
        flow = self.flow
        return flow.nodes.get(self.state.node) if flow is not None else None

    def leave(self, result: str, keyed: str = "") -> None:
        """Report the present node, once."""
        s = self.state
        if s.reported:
            return
        s.reported = True
        self.stop_hearing()
        flow = self.flow
        self.out.append(
            StepTaken(
                step_no=s.step_no,
                flow=s.flow,
                version=flow.version if flow is not None else 0,
                node=s.node,
                kind=kind_of(self.node),
                result=result,
                entered_us=s.entered_us,
                spent_ms=max(0, (self.at_us - s.entered_us) // 1000),
                at_us=self.at_us,
                input=keyed,
            )
        )

    def arm(self, after_ms: int) -> None:
        self.state.timer += 1
        self.out.append(ArmTimer(self.state.timer, after_ms))

    def stop_hearing(self) -> None:
        """What the caller says does not matter any more."""
        s = self.state
        if s.hears:
            self.out.append(StopHearing())
        s.hears = s.speaks = False
        s.said = None

    # -- speech ----------------------------------------------------------------------------------------------------

    def prompt(self, name: str, language: str = "") -> Utterance:
        """A prompt in the caller's languages, or in one only."""
        languages = (language,) if language else self.state.languages
        return Utterance(PlayPrompt(0, name, ""), languages, voice=languages[0])

    def speak(self, speech: Sequence[Utterance], after: str) -> None:
        """Let the caller hear these; then ``after``."""
        s = self.state
        s.mode = "playing"
        s.after = after
        s.heard = s.stopping = False
        s.playing, s.speech = speech[0], tuple(speech[1:])
        self._start()

    def _start(self) -> None:
        s = self.state
        assert s.playing is not None
        s.plays += 1
        language, left = s.playing.languages[0], s.playing.languages[1:]
        what: PlayPrompt | SayText | SpeakText = msgspec.structs.replace(
            s.playing.what, play=s.plays, language=language
        )
        if isinstance(what, SpeakText) and what.instead is None:
            what = msgspec.structs.replace(what, text=s.playing.texts[language])
        s.playing = msgspec.structs.replace(s.playing, what=what, languages=left)
        self.out.append(what)

    def stop_speech(self) -> None:
        """Break off what is heard; its end is still awaited."""
        s = self.state
        s.speech = ()
        if not s.stopping:
            s.stopping = True
            self.out.append(StopPlaying())

    def play_ended(self, event: PlayEnded) -> bool:
        """Take the end of a playback. Return whether the whole speech is over."""
        s = self.state
        assert s.playing is not None
        s.heard = s.heard or (event.heard and event.said)
        if not event.heard and not s.stopping and self._another_way(s.playing):
            self._start()
            return False
        s.playing = None
        if s.speech and not s.stopping:
            s.playing, s.speech = s.speech[0], s.speech[1:]
            self._start()
            return False
        return True

    def _another_way(self, missing: Utterance) -> bool:
        """Report what could not be heard; return whether there is another way to hear it, which is then the present one."""
        s = self.state
        what, voice = missing.what, missing.voice
        by_voice = isinstance(what, SpeakText)
        of = what.instead or what if isinstance(what, SpeakText) else what
        match of:
            case PlayPrompt():
                name = of.prompt
            case SayText():
                name = of.form
            case _:
                name = "speech"
        given_up = not (missing.languages or voice)
        self.out.append(
            PromptMissing(
                s.flow, s.node, name, what.language, given_up=given_up, at_us=self.at_us, by_voice=by_voice
            )
        )
        if not missing.languages and voice:
            assert not isinstance(of, SpeakText)
            spoken = SpeakText(0, "", "", msgspec.structs.replace(of, language=voice))
            s.playing = Utterance(spoken, (voice,))
        return not given_up
