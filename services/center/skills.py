"""The language in which a queue says what an agent must be able to do: ``billing>=3 and (lang.fa or lang.en>=2)``.

Grammar, loosest first: ``or``, ``and``, ``not``, then a skill with an optional comparison (``>= > <= < = !=`` and a
whole number), or something in parentheses. A skill alone means level 1 or more; who does not have a skill has level 0.

An expression is parsed once, when the document is read. What comes out has no ``not`` and no comparison any more, only
bounds: ``not (a>=3 and b)`` is ``a<=2 or b<=0``. So there is one way to evaluate it and equal requirements are equal values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Requirement = tuple[Any, ...]
"""``("level", skill, low, high)``, ``("and", part ...)`` or ``("or", part ...)``; parts sorted and without repetition."""

ANYBODY: Requirement = ("and",)
MAX_LEVEL = 99
"""Above any level that a document may give."""
MAX_LENGTH = 300
MAX_DEPTH = 16

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<word>[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)*)|(?P<sign>>=|<=|!=|>|<|=)|(?P<paren>[()])",
    re.ASCII,
)
_WORDS = ("and", "or", "not")


class BadExpression(ValueError):
    """The expression cannot be read; ``column`` counts from 1."""

    def __init__(self, column: int, reason: str) -> None:
        self.column = column
        super().__init__(f"column {column}: {reason}")


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(text: str) -> Requirement:
    """Read an expression. Raises BadExpression."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(MAX_LENGTH + 1, f"longer than {MAX_LENGTH} characters")
    reader = _Reader([*_tokens(text), _Token("end", "", len(text) + 1)])
    found = reader.alternatives(False, 0)
    if reader.here.kind != "end":
        raise BadExpression(reader.here.column, f'expected and, or or the end; found "{reader.here.text}"')
    return found


def level(skill: str, at_least: int) -> Requirement:
    """The requirement of one skill."""
    return ("level", skill, at_least, MAX_LEVEL)


def all_of(*parts: Requirement) -> Requirement:
    """The requirement that needs all of these."""
    return _join("and", parts)


def skills_in(requirement: Requirement) -> Iterator[str]:
    """Every skill that the requirement names."""
    if requirement[0] == "level":
        yield requirement[1]
    else:
        for part in requirement[1:]:
            yield from skills_in(part)


def _join(kind: str, parts: tuple[Requirement, ...]) -> Requirement:
    flat: set[Requirement] = set()
    for part in parts:
        flat.update(part[1:] if part[0] == kind else (part,))
    return next(iter(flat)) if len(flat) == 1 else (kind, *sorted(flat, key=repr))


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadExpression(at + 1, f'"{text[at]}" means nothing here')
        kind = found.lastgroup or ""
        if kind != "space":
            yield _Token("word" if kind == "word" else found[0], found[0], at + 1)
        at = found.end()


class _Reader:
    """Recursive descent; ``negated`` pushes a ``not`` down to the bounds (De Morgan)."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def here(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, text: str) -> bool:
        if self.here.text != text:
            return False
        self._at += 1
        return True

    def alternatives(self, negated: bool, depth: int) -> Requirement:
        parts = [self._conjunction(negated, depth)]
        while self._take("or"):
            parts.append(self._conjunction(negated, depth))
        return _join("and" if negated else "or", tuple(parts))

    def _conjunction(self, negated: bool, depth: int) -> Requirement:
        parts = [self._factor(negated, depth)]
        while self._take("and"):
            parts.append(self._factor(negated, depth))
        return _join("or" if negated else "and", tuple(parts))

    def _factor(self, negated: bool, depth: int) -> Requirement:
        start = self.here
        if depth > MAX_DEPTH:
            raise BadExpression(start.column, f"nested deeper than {MAX_DEPTH}")
        if self._take("not"):
            return self._factor(not negated, depth + 1)
        if self._take("("):
            inside = self.alternatives(negated, depth + 1)
            if not self._take(")"):
                raise BadExpression(
                    self.here.column, f'expected ")" for the one opened in column {start.column}'
                )
            return inside
        if start.kind != "word" or start.text in _WORDS or start.text.isdigit():
            found = f'found "{start.text}"' if start.text else "found the end"
            raise BadExpression(start.column, f"expected a skill; {found}")
        self._at += 1
        return self._bounds(start, negated)

    def _bounds(self, skill: _Token, negated: bool) -> Requirement:
        low, high, outside = 1, MAX_LEVEL, False
        sign = self.here
        if sign.text in (">=", "<=", "!=", ">", "<", "="):
            self._at += 1
            number = self.here
            if not number.text.isdigit() or int(number.text) > 10:
                raise BadExpression(number.column, f'expected a level from 0 to 10 after "{sign.text}"')
            self._at += 1
            n = int(number.text)
            low, high, outside = {
                ">=": (n, MAX_LEVEL, False),
                ">": (n + 1, MAX_LEVEL, False),
                "<=": (0, n, False),
                "<": (0, n - 1, False),
                "=": (n, n, False),
                "!=": (n, n, True),
            }[sign.text]
            if low > high:
                raise BadExpression(number.column, "no level is below 0")
        if outside == negated:
            return ("level", skill.text, low, high)
        sides: list[Requirement] = []
        if low > 0:
            sides.append(("level", skill.text, 0, low - 1))
        if high < MAX_LEVEL:
            sides.append(("level", skill.text, high + 1, MAX_LEVEL))
        return _join("or", tuple(sides)) if sides else ("or",)
