"""How long callers are ready to wait, from waits that mostly ended before they lost patience.

Of an answered caller one knows only that the patience was longer than the wait. The product-limit estimator (Kaplan and Meier 1958) takes that
into account: S(t) is the product of (1 - d/n) over the times up to t at which d of the n callers still waiting left.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

import msgspec

ENDLESS_MS = 86_400_000
"""Nobody waits longer than a day."""


class Survival(msgspec.Struct, frozen=True):
    """S at the times at which somebody left, and the rate (per ms) at which callers leave after the last of them."""

    times_ms: tuple[int, ...]
    shares: tuple[float, ...]
    rate: float

    def at(self, wait_ms: float) -> float:
        """The share of callers whose patience is longer."""
        n = bisect_right(self.times_ms, wait_ms)
        share = self.shares[n - 1] if n else 1.0
        last = self.times_ms[-1] if self.times_ms else 0
        return share * math.exp(-self.rate * max(wait_ms - last, 0)) if wait_ms > last else share

    def patience_ms(self, draw: float, waited_ms: int = 0) -> int:
        """The patience of a caller who has waited so long already: the time at which S has fallen to ``draw`` (0 to 1) of S now."""
        wanted = self.at(waited_ms) * draw
        for at_ms, share in zip(self.times_ms, self.shares, strict=True):
            if at_ms > waited_ms and share <= wanted:
                return at_ms
        if self.rate <= 0 or wanted <= 0:
            return ENDLESS_MS
        begin = max(self.times_ms[-1] if self.times_ms else 0, waited_ms)
        further_ms = math.log(max(self.at(begin) / wanted, 1.0)) / self.rate
        return round(begin + min(further_ms, max(ENDLESS_MS - begin, 0)))


def estimate(waits: Iterable[tuple[int, bool]]) -> Survival:
    """From waits in milliseconds, each with whether the caller left (or was answered or sent away, which says less).

    After the last one who left the curve goes on falling at the mean rate of leaving: leavers ÷ time waited by all.
    """
    ordered = sorted(waits, key=lambda one: (one[0], not one[1]))
    times: list[int] = []
    shares: list[float] = []
    share, waiting, left = 1.0, len(ordered), 0
    for wait_ms, leaves in ordered:
        if leaves:
            left += 1
            share *= 1 - 1 / waiting
            if times and times[-1] == wait_ms:
                shares[-1] = share
            else:
                times.append(wait_ms)
                shares.append(share)
        waiting -= 1
    total_ms = sum(wait_ms for wait_ms, _ in ordered)
    return Survival(tuple(times), tuple(shares), left / total_ms if total_ms else 0.0)
