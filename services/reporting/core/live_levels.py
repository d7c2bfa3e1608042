"""Levels: when a number on the board is on target, to be watched, or to be acted on.

A level rises as soon as its bound is reached and falls only below 90 % of that bound, so that a number that swings round
its bound does not make the screen blink. For a number where less is worse (service level) the same rule holds for what
is missing to 100 %: with a target of 80 % the level rises below 80 % and falls again over 82 %.
"""

from __future__ import annotations

from typing import Final, Literal

Level = Literal["none", "ok", "warn", "crit"]

CLEAR_SHARE: Final = 0.9
"""The share of a bound below which a raised level falls."""

_RANK: Final[dict[Level, int]] = {"none": 0, "ok": 1, "warn": 2, "crit": 3}


def worst(*levels: Level) -> Level:
    """The most urgent of the levels; ``none`` (no data) when there are none."""
    return max(levels, key=_RANK.__getitem__, default="none")


def rank(level: Level) -> int:
    """0 (no data) to 3 (act now), for sorting."""
    return _RANK[level]


def rise(value: float, *, warn: float, crit: float, before: Level) -> Level:
    """Level of ``value`` where more is worse, given the level ``before``."""
    if value >= crit or (before == "crit" and value >= crit * CLEAR_SHARE):
        return "crit"
    if value >= warn or (before in ("warn", "crit") and value >= warn * CLEAR_SHARE):
        return "warn"
    return "ok"


def shortfall(value_pct: float, *, warn_pct: float, crit_pct: float, before: Level) -> Level:
    """Level of a percentage where less is worse, given the level ``before``.

    Being exactly on target is on target: the bound is raised by less than one part in a million of a percent, which no
    ratio of call counts comes near.
    """
    missing, nudge = 100.0 - value_pct, 1e-9
    return rise(
        missing,
        warn=max(100.0 - warn_pct, 0.0) + nudge,
        crit=max(100.0 - crit_pct, 0.0) + nudge,
        before=before,
    )


class Levels:
    """The levels as they were shown last, one for each (subject, measure)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Level] = {}
        self._seen: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """Start a round; what is not asked for in it is forgotten at its end."""
        self._seen.clear()

    def end(self) -> None:
        """Forget subjects that are no more (a queue that was removed)."""
        for key in self._last.keys() - self._seen:
            del self._last[key]

    def above(self, subject: str, measure: str, value: float, *, warn: float, crit: float) -> Level:
        """Level where more is worse."""
        key = (subject, measure)
        return self._keep(key, rise(value, warn=warn, crit=crit, before=self._last.get(key, "ok")))

    def below(
        self, subject: str, measure: str, value_pct: float, *, warn_pct: float, crit_pct: float
    ) -> Level:
        """Level of a percentage where less is worse."""
        key = (subject, measure)
        before = self._last.get(key, "ok")
        return self._keep(key, shortfall(value_pct, warn_pct=warn_pct, crit_pct=crit_pct, before=before))

    def _keep(self, key: tuple[str, str], level: Level) -> Level:
        self._seen.add(key)
        self._last[key] = level
        return level
