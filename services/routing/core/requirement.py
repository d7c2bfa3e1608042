"""What an agent must be able to do to take a contact, as a value that is compared, cached and evaluated.

The same form as ``services.center.skills`` parses: ``("level", skill, low, high)``, ``("and", part ...)``, ``("or", part ...)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Requirement = tuple[Any, ...]

ANYBODY: Requirement = ("and",)
HIGHEST = 99
"""As the upper bound of a level: none."""


def satisfied(levels: Mapping[str, int], requirement: Requirement) -> bool:
    """Whether somebody with these levels may take what asks for this; a skill that is not there has level 0."""
    kind = requirement[0]
    if kind == "level":
        return bool(requirement[2] <= levels.get(requirement[1], 0) <= requirement[3])
    if kind == "and":
        return all(satisfied(levels, part) for part in requirement[1:])
    return any(satisfied(levels, part) for part in requirement[1:])


def of_levels(levels: Mapping[str, int]) -> Requirement:
    """The requirement of all these skills at these levels or above."""
    return all_of(*(("level", name, low, HIGHEST) for name, low in levels.items()))


def all_of(*parts: Requirement) -> Requirement:
    """The requirement that needs all of these; of two lower bounds of a skill the higher one stays."""
    lows: dict[str, int] = {}
    others: set[Requirement] = set()
    for part in parts:
        for one in part[1:] if part[0] == "and" else (part,):
            if one[0] == "level" and one[3] == HIGHEST:
                lows[one[1]] = max(one[2], lows.get(one[1], 0))
            else:
                others.add(one)
    flat = [*(("level", name, low, HIGHEST) for name, low in lows.items()), *others]
    return flat[0] if len(flat) == 1 else ("and", *sorted(flat, key=repr))


def parse_levels(texts: Iterable[str]) -> dict[str, int]:
    """Read ``name:level`` texts of a channel. No level, or none that is a number, asks for the skill at any level."""
    wanted: dict[str, int] = {}
    for text in texts:
        name, _, level = text.partition(":")
        if name:
            wanted[name] = max(wanted.get(name, 1), int(level) if level.isascii() and level.isdigit() else 1)
    return wanted


def in_words(requirement: Requirement) -> str:
    """The requirement as people write it; empty for anybody."""
    if requirement[0] == "level":
        _, name, low, high = requirement
        if high == HIGHEST:
            return name if low == 1 else f"{name}>={low}"
        return f"{name}<={high}" if low == 0 else f"{name}={low}" if low == high else f"{low}<={name}<={high}"
    words = (
        f"({in_words(part)})" if part[0] in ("and", "or") else in_words(part) for part in requirement[1:]
    )
    return f" {requirement[0]} ".join(words)
