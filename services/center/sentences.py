"""What a waiting caller is told, as lists of prompts: the place in the queue and the expected wait. Pure.

The frame of a sentence is the center's own (``position-before``, ``wait-after`` ...), so it can be worded and recorded freely; the
number between is composed here, because it is where the languages differ:

=========  ============================================  ===========================================================
           place 3                                       about 5 minutes
=========  ============================================  ===========================================================
English    "You are number" *three* "in the queue"       "The expected wait is about" *five* "minutes"
           or as ordinal: "You are" *third* ...
Persian    «شما نفرِ» *سوم* «در صف هستید»: always the      «زمان انتظار حدودِ» *پنج* «دقیقه است»: the noun after a
           ordinal, joined to its noun by an ezafe        number stays singular
=========  ============================================  ===========================================================

A wait is said in minutes, rounded up, coarser the longer it is, because nobody keeps a promise to the minute half an hour ahead. There is
no "one minute": up to a minute is "less than a minute" (``wait-short``).
"""

from __future__ import annotations

from services.center.numbers import cardinal, ordinal

LEAST_WAIT_MS = 15_000
"""A shorter wait is over before it is said."""
_STEPS = ((10, 1), (30, 5), (90, 10))
"""Up to so many minutes, a wait is rounded up to a multiple of so many."""
MOST_MINUTES = _STEPS[-1][0]
"""Longer waits are not said in numbers at all."""


WAITED_S = (*range(10, 60, 10), *range(60, 601, 60), *range(900, 1801, 300), *range(2400, 5401, 600))
"""Waits, in seconds, that an agent is told of: finer the shorter they are. A wait is said as the longest of them that is over."""
WHISPER_WAIT_PROMPTS = ("whisper-waited", "whisper-seconds", "whisper-minute", "whisper-minutes")
"""waited: "has waited"; seconds, minutes: the unit after a number; minute: "one minute", in one word with its number."""


def waited_files(seconds: int, language: str) -> list[str]:
    """Return the prompts of "has waited n seconds" (below a minute) or "n minutes". Raises ValueError for an unknown language.

    A number keeps its unit in the singular in Persian and in the plural in English: a matter of how the unit is worded, but for one.
    """
    if seconds < 60:
        return ["whisper-waited", *cardinal(seconds, language), "whisper-seconds"]
    if seconds < 120:
        return ["whisper-waited", "whisper-minute"]
    return ["whisper-waited", *cardinal(seconds // 60, language), "whisper-minutes"]


def position_files(n: int, language: str, prompt: str = "position", *, as_ordinal: bool = False) -> list[str]:
    """Return the prompts of "you are number n in the queue".

    ``<prompt>-before`` and ``<prompt>-after`` are prompts of the center. Persian always says the ordinal.
    Raises ValueError for n below 1 or an unknown language.
    """
    if n < 1:
        raise ValueError(f"places in a queue start with 1, found {n}")
    number = ordinal(n, language) if as_ordinal or language == "fa" else cardinal(n, language)
    return [f"{prompt}-before", *number, f"{prompt}-after"]


def spoken_minutes(wait_ms: int) -> int | None:
    """Return the minutes that stand for an expected wait: 1 for anything up to a minute; None for what is better not said."""
    if wait_ms < LEAST_WAIT_MS:
        return None
    minutes = -(-wait_ms // 60_000)
    for most, step in _STEPS:
        if minutes <= most:
            return -(-minutes // step) * step
    return None


def wait_files(minutes: int, language: str, prompt: str = "wait") -> list[str]:
    """Return the prompts of "the expected wait is about n minutes"; 1 is ``<prompt>-short``.

    ``<prompt>-before``, ``<prompt>-after`` and ``<prompt>-short`` are prompts of the center. Raises ValueError for less than 1 or an
    unknown language.
    """
    if minutes < 1:
        raise ValueError(f"an expected wait is at least 1 minute, found {minutes}")
    number = cardinal(minutes, language)
    return [f"{prompt}-short"] if minutes == 1 else [f"{prompt}-before", *number, f"{prompt}-after"]
