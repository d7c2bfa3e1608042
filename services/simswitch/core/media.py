"""How long things play. Pure; whoever calls says how long a file is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

ENDLESS: Final = -1
MISSING: Final = -2

_TONE: Final = re.compile(r"%\(\s*(\d+)\s*,\s*(\d+)")
_LOOPS: Final = re.compile(r"loops=(-?\d+)", re.IGNORECASE)

_SAY_MS_A_WORD: Final = 550


def duration_ms(path: str, file_ms: Callable[[str], int]) -> int:
    """Milliseconds that ``path`` plays; ENDLESS, or MISSING when FreeSWITCH would say FILE NOT FOUND.

    ``file_ms`` gives the length of a plain file, or MISSING.
    """
    path = path.strip()
    if path.startswith("{"):
        _, closed, rest = path.partition("}")
        if closed:
            path = rest
    path = path.split("@@", 1)[0]
    scheme, separator, rest = path.partition("://")
    if not separator:
        return file_ms(path) if path else MISSING
    if scheme == "local_stream":
        return ENDLESS
    if scheme == "silence_stream":
        number = rest.split(",", 1)[0]
        try:
            ms = int(number)
        except ValueError:
            return MISSING
        return ENDLESS if ms < 0 else ms
    if scheme == "tone_stream":
        return _tone_ms(rest)
    if scheme == "file_string":
        total = 0
        found = False
        for part in rest.split("!"):
            ms = duration_ms(part, file_ms)
            if ms == ENDLESS:
                return ENDLESS
            if ms != MISSING:
                found = True
                total += ms
        return total if found else MISSING
    return file_ms(path)


def _tone_ms(rest: str) -> int:
    once = sum(int(on) + int(off) for on, off in _TONE.findall(rest))
    if not once:
        return MISSING
    loops = _LOOPS.search(rest)
    count = int(loops[1]) if loops else 1
    return ENDLESS if count < 0 else once * max(count, 1)


def say_ms(text: str) -> int:
    """About how long ``say`` takes: half a second a digit or word."""
    return _SAY_MS_A_WORD * max(1, len(re.findall(r"\d|[^\W\d]+", text)))
