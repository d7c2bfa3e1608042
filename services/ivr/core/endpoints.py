"""Where speech begins and ends in a caller's sound, from frames that are voiced or not. Pure.

A click is not speech and a breath between two words is not its end: speech has begun when most frames of a quarter of a second are
voiced, and is over when nearly none of the last seven tenths are. What is kept begins a little earlier, because the first sound of a
word is often not voiced.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

FRAME_MS = 30
_BEGIN = 8
"""Frames that are looked at for the beginning."""
_BEGIN_VOICED = 6
_END = 23
"""Frames that are looked at for the end."""
_END_VOICED = 3
_BEFORE = 10
"""Frames before the beginning that belong to the speech."""


class Edge(Enum):
    """What a frame brought."""

    BEGAN = "began"
    ENDED = "ended"


class Endpoints:
    """One answer of a caller, at most ``most_ms`` long."""

    def __init__(self, most_ms: int) -> None:
        self._most = max(1, most_ms // FRAME_MS)
        self._recent: deque[bool] = deque(maxlen=_END)
        self._frames = 0
        self.first: int | None = None
        """The frame with which the speech begins, counted from 0; None before it has begun."""

    def take(self, is_voiced: bool) -> Edge | None:
        """The next frame."""
        self._recent.append(is_voiced)
        self._frames += 1
        if self.first is None:
            latest = list(self._recent)[-_BEGIN:]
            if sum(latest) < _BEGIN_VOICED:
                return None
            self.first = max(0, self._frames - _BEGIN - _BEFORE)
            return Edge.BEGAN
        is_over = len(self._recent) == _END and sum(self._recent) <= _END_VOICED
        return Edge.ENDED if is_over or self._frames - self.first >= self._most else None
