"""Counts in slots of time, with a bounded number of slots."""

from __future__ import annotations

from typing import Final

MINUTE_US: Final = 60_000_000
QUARTER_US: Final = 15 * MINUTE_US


class Counts:
    """How contacts ended: numbers of contacts; ``wait_ms`` is the sum over the answered ones."""

    __slots__ = (
        "abandoned",
        "abandoned_short",
        "answered",
        "answered_in_time",
        "left_menu",
        "moved",
        "other",
        "wait_ms",
    )

    def __init__(self) -> None:
        self.answered = 0
        self.answered_in_time = 0
        self.wait_ms = 0
        self.abandoned = 0
        self.abandoned_short = 0
        self.left_menu = 0
        self.moved = 0
        self.other = 0

    def add(self, more: Counts) -> None:
        """Add another slot's counts."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(more, name))

    @property
    def offered(self) -> int:
        """Contacts whose fate in the queue is known; with ``moved`` for one queue, without for the whole center."""
        return self.answered + self.abandoned + self.other

    @property
    def service_level_pct(self) -> float | None:
        """Answered in time / (answered + abandoned), short abandons left out (F3S, as reports have it); None without contacts."""
        n = self.answered + self.abandoned - self.abandoned_short
        return 100.0 * self.answered_in_time / n if n else None


class Slots:
    """Counts by slot of time and queue. The oldest slot goes when there are more than ``keep``."""

    def __init__(self, width_us: int, keep: int) -> None:
        self.width_us = width_us
        self._keep = keep
        self._slots: dict[int, dict[str, Counts]] = {}

    def at(self, at_us: int, queue: str) -> Counts:
        """The counts to add to; a time older than all that is kept gets counts that nobody will read."""
        number = at_us // self.width_us
        slot = self._slots.get(number)
        if slot is None:
            if len(self._slots) >= self._keep:
                oldest = min(self._slots)
                if number < oldest:
                    return Counts()
                del self._slots[oldest]
            slot = self._slots[number] = {}
        counts = slot.get(queue)
        if counts is None:
            counts = slot[queue] = Counts()
        return counts

    def sums(self, from_us: int, to_us: int) -> dict[str, Counts]:
        """Sums by queue over the slots that begin in [from_us, to_us)."""
        first, end = -(-from_us // self.width_us), -(-to_us // self.width_us)
        sums: dict[str, Counts] = {}
        for number, slot in self._slots.items():
            if first <= number < end:
                for queue, counts in slot.items():
                    if queue not in sums:
                        sums[queue] = Counts()
                    sums[queue].add(counts)
        return sums

    def __len__(self) -> int:
        return len(self._slots)


def total(sums: dict[str, Counts]) -> Counts:
    """The sum over all queues."""
    result = Counts()
    for counts in sums.values():
        result.add(counts)
    return result


class Peaks:
    """The largest number at once in each slot of time, carried over slots in which nothing changed."""

    def __init__(self, width_us: int, keep: int) -> None:
        self._width_us = width_us
        self._keep = keep
        self._peaks: dict[int, int] = {}
        self._last: int | None = None
        self._now = 0

    def set(self, at_us: int, number: int) -> None:
        """From ``at_us`` on there are ``number``. A time before the last one counts as the last one (clock steps)."""
        slot = at_us // self._width_us
        if self._last is not None:
            slot = max(slot, self._last)
            for between in range(max(self._last + 1, slot - self._keep + 1), slot + 1):
                self._peaks[between] = self._now
        self._last, self._now = slot, number
        self._peaks[slot] = max(self._peaks.get(slot, 0), number)
        for old in [s for s in self._peaks if s <= slot - self._keep]:
            del self._peaks[old]

    def series(self, now_us: int, slots: int) -> tuple[int, ...]:
        """The peaks of the last ``slots`` slots, oldest first; the last one is still open."""
        end = now_us // self._width_us
        if self._last is None:
            return (0,) * slots
        last, now = self._last, self._now
        return tuple(now if s > last else self._peaks.get(s, 0) for s in range(end - slots + 1, end + 1))
