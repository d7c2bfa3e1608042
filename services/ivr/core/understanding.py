"""What the caller says: listening begins with the prompt (or after it), and what was understood is taken when the prompt is over.

Somebody else listens (``HearCaller``) and says twice what happened: that the caller has begun to speak, which ends the prompt, and what
was understood, which may take a moment. A key is as good an answer at any time, and the faster one counts: leaving the node ends the
listening, and what comes afterwards carries an old number. Nobody who could listen is no reason to wait: the node is a menu then.
"""

from __future__ import annotations

from services.ivr.core.asking import Asking
from services.ivr.core.model import HearCaller, SpeechBegan, SpeechMissed, SpeechUnderstood
from services.ivr.core.nodes import Listen


class Understanding(Asking):
    """The part of a step that deals with speech of the caller."""

    def hear(self, node: Listen) -> None:
        s = self.state
        phrases = node.phrases.get(s.languages[0], {}) if s.languages else {}
        if not phrases:
            return
        s.hearings += 1
        s.hears, s.speaks, s.said = True, False, None
        self.out.append(HearCaller(s.hearings, s.languages[0], phrases, node.most_ms))

    def await_answer(self, node: Listen) -> None:
        s = self.state
        if s.said is not None:
            said, s.said = s.said, None
            self._take(node, said)
            return
        if not s.hears:
            self.hear(node)
        self._arm_answer(node)

    def speech_began(self, event: SpeechBegan) -> None:
        s, node = self.state, self.node
        if not (s.hears and event.hearing == s.hearings and isinstance(node, Listen)):
            return
        s.speaks = True
        if s.mode == "playing":
            self.stop_speech()
        elif s.mode == "listening":
            self._arm_answer(node)

    def speech_over(self, event: SpeechUnderstood | SpeechMissed) -> None:
        s, node = self.state, self.node
        if not (s.hears and event.hearing == s.hearings and isinstance(node, Listen)):
            return
        s.hears = s.speaks = False
        if s.mode == "listening":
            self._take(node, event)
        elif s.mode == "playing":
            s.said = event
            if isinstance(event, SpeechUnderstood):
                self.stop_speech()

    def _arm_answer(self, node: Listen) -> None:
        most_ms = node.most_ms + self.limits.understand_ms
        self.arm(most_ms if self.state.speaks else node.timeout_ms)

    def _take(self, node: Listen, said: SpeechUnderstood | SpeechMissed) -> None:
        if isinstance(said, SpeechUnderstood):
            self.leave(f"said:{said.to}", said.phrase)
            self.next = said.to
        elif said.heard:
            self.missed(node, "not_understood")
        else:
            self.arm(node.timeout_ms)
