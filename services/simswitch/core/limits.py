"""Which new legs the switch takes: sessions at most, sessions a second, pauses (``fsctl``). Pure; the second comes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["inbound", "outbound"]


@dataclass(slots=True)
class Limits:
    """The limits of one switch. A fault may squeeze them for a while, ``fsctl`` changes them for good."""

    max_sessions: int = 2000
    sps: int = 200
    paused: set[Direction] = field(default_factory=set)
    sps_last: int = 0
    sps_peak: int = 0
    _least_sessions: int | None = None
    _least_sps: int | None = None
    _second: int = 0
    _count: int = 0

    def squeeze(self, max_sessions: int | None, sps: int | None) -> None:
        """Until further notice no more than these; None lifts it."""
        self._least_sessions, self._least_sps = max_sessions, sps

    def refusal(self, direction: Direction, sessions: int, second: int) -> str:
        """Why a new leg is refused, as the switch's log says it; empty when it may come. Counts it if so."""
        if second != self._second:
            self.sps_last = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
        if direction in self.paused:
            return "The system cannot create any sessions at this time."
        most = (
            self.max_sessions
            if self._least_sessions is None
            else min(self.max_sessions, self._least_sessions)
        )
        if sessions >= most:
            return f"Over Session Limit! {most}"
        rate = self.sps if self._least_sps is None else min(self.sps, self._least_sps)
        if self._count >= rate:
            return f"Throttle Error! {self._count}"
        self._count += 1
        self.sps_peak = max(self.sps_peak, self._count)
        return ""
