"""Where time comes from. Cores get it inside their inputs; shells read it here."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for facts, monotonic time for durations and leases."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that tests move by hand; both times advance together."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us
        self._start_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def monotonic_s(self) -> float:
        return (self._now_us - self._start_us) / 1e6

    def advance_ms(self, ms: int) -> None:
        self._now_us += ms * 1000
