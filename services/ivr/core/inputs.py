"""What the caller keys: menus, choices of a language, and the collecting of digits. Where words do as well: see ``understanding``.

*Keys typed early count.* Every key goes to ``typed`` first and is consumed only while a node listens. In such a node a key breaks the
running prompt off. Keys are not looked at before the playback's end is reported: until then FreeSWITCH would apply a "break" meant for
this playback to the next. A node that begins with keys waiting plays no prompt. A wrong choice throws the rest of the typed keys
away, because they were meant for something else.
"""

from __future__ import annotations

from services.ivr.core.model import HIDDEN, Rated
from services.ivr.core.nodes import Ask, ChooseLanguage, Listen, Listening, Menu, Play, Speak
from services.ivr.core.talking import Talking

_MOST_TYPED = 64
_KEYS = frozenset("0123456789*#")
_END_KEYS = "*#"


class Inputs(Talking):
    """The part of a step that deals with keys."""

    def key(self, key: str) -> None:
        s = self.state
        if key not in _KEYS or s.mode not in ("playing", "listening"):
            return
        if s.drop_key:
            dropped, s.drop_key = s.drop_key, ""
            if key == dropped:
                return
        s.typed = (s.typed + key)[:_MOST_TYPED]
        node = self.node
        if isinstance(node, Listening):
            if s.mode == "listening":
                self.consume(node)
            else:
                self.stop_speech()
        elif isinstance(node, Play | Speak) and node.skip:
            self.stop_speech()

    def begin_round(self, node: Listening) -> None:
        """Ask the question, or listen at once when the answer is typed already."""
        if self.state.typed:
            self.listen(node)
        elif isinstance(node, ChooseLanguage):
            spoken = dict.fromkeys(node.digits.values())
            self.speak([self.prompt(node.prompt, language) for language in spoken], "listen")
        else:
            if isinstance(node, Listen) and node.interrupt:
                self.hear(node)
            self.speak([self.prompt(node.prompt)], "listen")

    def hear(self, node: Listen) -> None:
        """Begin to listen to what the caller says."""
        raise NotImplementedError

    def await_answer(self, node: Listen) -> None:
        """Wait for words, or take those that were said already."""
        raise NotImplementedError

    def listen(self, node: Listening) -> None:
        s = self.state
        s.mode = "listening"
        s.collected = ""
        s.drop_key = ""
        if s.typed:
            self.consume(node)
        elif isinstance(node, Listen):
            self.await_answer(node)
        else:
            self.arm(node.timeout_ms)

    def consume(self, node: Listening) -> None:
        s = self.state
        while s.typed and s.mode == "listening" and self.next is None:
            key, s.typed = s.typed[0], s.typed[1:]
            match node:
                case Menu():
                    self._menu_key(node, key)
                case Listen() if key in node.digits:
                    self.leave(f"digit:{key}", key)
                    self.next = node.digits[key]
                case Listen():
                    self.missed(node, "invalid")
                case Ask():
                    self._ask_key(node, key)
                case ChooseLanguage():
                    if key in node.digits:
                        self._choose_language(node, key)
                    else:
                        self.missed(node, "invalid")

    def timed_out(self) -> None:
        """Nothing was pressed for as long as the node waits."""
        s = self.state
        node = self.node
        if isinstance(node, Menu) and s.collected in node.digits:
            self._choose(node)
        elif isinstance(node, Ask) and len(s.collected) >= node.min_digits:
            self._accept(node)
        elif isinstance(node, Listening):
            self.missed(node, "invalid" if s.collected else "not_understood" if s.speaks else "timeout")

    def missed(self, node: Listening, result: str) -> None:
        """A round without an answer: another one, or ``otherwise``."""
        s = self.state
        s.tries_left -= 1
        s.typed = ""
        self.stop_hearing()
        if result == "timeout" and isinstance(node, Listen) and node.silent is not None:
            self.leave(result)
            self.next = node.silent
        elif s.tries_left <= 0:
            self.leave(result)
            self.next = node.otherwise
        elif result != "timeout" and node.invalid is not None:
            self.speak([self.prompt(node.invalid)], "round")
        else:
            self.begin_round(node)

    # -- menus -----------------------------------------------------------------------------------------------------

    def _menu_key(self, node: Menu, key: str) -> None:
        s = self.state
        s.collected += key
        longer = any(choice != s.collected and choice.startswith(s.collected) for choice in node.digits)
        if s.collected in node.digits and not longer:
            self._choose(node)
        elif longer:
            self.arm(node.gap_ms if s.collected in node.digits else node.timeout_ms)
        else:
            self.missed(node, "invalid")

    def _choose(self, node: Menu) -> None:
        keyed = self.state.collected
        if node.question:
            self.rated(node.question, score=int(keyed), least=node.least, most=node.most)
        self.leave(node.answers.get(keyed, f"digit:{keyed}"), keyed)
        self.next = node.digits[keyed]

    def rated(
        self, question: str, *, score: int = 0, least: int = 0, most: int = 0, said_ms: int = 0
    ) -> None:
        """Tell an answer to a question of a survey."""
        s = self.state
        s.answered += 1
        self.out.append(Rated(s.step_no, s.flow, question, self.at_us, score, least, most, said_ms))

    def _choose_language(self, node: ChooseLanguage, key: str) -> None:
        self.speak_in(node.digits[key])
        self.leave(f"language:{node.digits[key]}", key)
        self.next = node.then

    def speak_in(self, language: str) -> None:
        """Let everything from now on be heard in this language first."""
        s = self.state
        s.languages = tuple(dict.fromkeys((language, *s.languages)))
        s.variables = {**s.variables, "language": language}

    # -- digits ----------------------------------------------------------------------------------------------------

    def _ask_key(self, node: Ask, key: str) -> None:
        s = self.state
        if key == node.ends_with:
            if len(s.collected) >= node.min_digits:
                self._accept(node)
            else:
                self.missed(node, "invalid")
        elif key in _END_KEYS:
            s.collected = ""
            self.arm(node.timeout_ms)
        else:
            s.collected += key
            if len(s.collected) < node.max_digits:
                self.arm(node.gap_ms or node.timeout_ms)
                return
            ends_too = node.ends_with and s.typed.startswith(node.ends_with)
            if ends_too:
                s.typed = s.typed[1:]
            waits_for = "" if ends_too or s.typed else node.ends_with
            self._accept(node)
            if self.next is not None:
                s.drop_key = waits_for

    def _accept(self, node: Ask) -> None:
        s = self.state
        if not is_accepted(node, s.collected):
            self.missed(node, "invalid")
            return
        s.variables = {**s.variables, node.into: s.collected}
        self.leave("entered", HIDDEN if node.secret else s.collected)
        self.next = node.then


def is_accepted(node: Ask, digits: str) -> bool:
    """Whether an input of the right length looks as it should."""
    if node.patterns and not any(
        len(pattern) == len(digits) and all(d in place for d, place in zip(digits, pattern, strict=True))
        for pattern in node.patterns
    ):
        return False
    return not node.luhn or _luhn(digits)


def _luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812: every second digit from the right counts twice, its own digits summed."""
    doubled = (int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0
