"""How late the events of a node come."""

from __future__ import annotations

from typing import Final

from services.common.esl import Event

WINDOW_US: Final = 30_000_000
LEAST_MS: Final = 100  # FreeSWITCH's times have steps of 20 ms, and an event loop its own delays.
MOST_MS: Final = 15_000  # A process that hung for longer is not the owner any more; more than that is a clock that was set.


class Lag:
    """Tells events that are on time from those that lay in a buffer while this process hung, or had too much to do.

    The clock of FreeSWITCH's machine and ours may differ, so the time in an event says nothing by itself. But the quickest events of
    the last minute were on time: by how much more one differs from our clock than they did, so late it is.
    """

    def __init__(self) -> None:
        self._since_us = 0
        self._least_us: int | None = None
        self._least_before_us: int | None = None

    def ms(self, event: Event, at_us: int) -> int:
        """By how much an event that is taken up at ``at_us`` is late; 0 for one that is not."""
        try:
            behind_us = at_us - int(event.get("Event-Date-Timestamp"))
        except ValueError:
            return 0
        if at_us - self._since_us >= WINDOW_US:
            self._least_before_us = self._least_us if at_us - self._since_us < 2 * WINDOW_US else None
            self._least_us, self._since_us = None, at_us
        known = [least for least in (self._least_us, self._least_before_us) if least is not None]
        late_ms = (behind_us - min(known)) // 1000 if known else 0
        if late_ms > MOST_MS:
            self._least_us, self._least_before_us = behind_us, None
            return 0
        self._least_us = behind_us if self._least_us is None else min(self._least_us, behind_us)
        return late_ms if late_ms >= LEAST_MS else 0
