"""What a soak's samples say: the trend of each process, and whether it may go on like this. Pure; soak.py measures.

Theory of operation
  A leak is memory that a call leaves behind, so it grows with calls and never stops. What grows and stops is none: caches
  fill, allocators take pages in steps, and the longest thing that anything here remembers on purpose is the ten minutes of
  the bus's duplicate window. Hence the first half of a run is left aside, and a half must last at least as long as that
  window for memory to be judged at all; a shorter run only compares the books.

  The trend of the second half is Theil-Sen's: the median of the slopes between all pairs of samples. Up to 29 % of the
  samples may be anything (a garbage collection, a merge in ClickHouse, a snapshot being made) without moving it, where least
  squares would follow every spike. Growth is that slope times the half's duration.

  The bound of a process is an allowance for steps plus one for each call. Steps: glibc and CPython take and return
  memory in arenas of 1 MiB and more, so a process that leaks nothing may end a few steps higher. Calls: 1 KiB a call at a
  call a second is 2.5 GiB in a month, the age at which the routing log ends and the longest that a process should have to
  live; whoever keeps a call's objects keeps more than that.
  NATS and ClickHouse are not ours: they fill caches of data that grows, up to what their settings allow, and give back late
  (Go lets its heap double first). They are held against those settings. What we could leak in NATS is consumers: counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.common.bus.embedded import MEMORY_MIB
from services.common.bus.streams import DUPLICATE_WINDOW_S

STEPS_MIB = 3.0
CALL_KIB = 1.0
# Handles are not kept by caches: what is a few more at the end is the calls that happen to be in progress.
HANDLES = 10.0
JUDGED_FROM_S = DUPLICATE_WINDOW_S

# What a store may have at most: its own limit, and the process that starts it (or, in ClickHouse's, its program code).
CEILINGS_MIB: Mapping[str, float] = {"nats": MEMORY_MIB + 64.0, "clickhouse": 1024.0 + 256.0}
# ClickHouse reads three files of /proc for each thread that ever worked on a query and keeps them open; its pools are bounded,
# so they are as well: 477 descriptors with 167 threads after 20 minutes.
STORE_FDS_A_THREAD = 4.0


@dataclass(frozen=True)
class Sample:
    """One process at one moment. ``tasks`` is None for a process that does not expose them."""

    at_s: float
    process: str
    rss_mib: float
    cpu_percent: float
    fds: int
    threads: int
    tasks: int | None = None


@dataclass(frozen=True)
class Trend:
    """How one process's memory and handles went over the second half of a run."""

    process: str
    first_mib: float
    half_mib: float
    last_mib: float
    slope_mib_per_min: float
    growth_mib: float
    bound_mib: float
    most_mib: float
    kib_per_call: float
    cpu_percent: float
    fds_growth: float
    threads_growth: float
    tasks_growth: float
    fds: int
    threads: int

    @property
    def excess(self) -> list[str]:
        """What grew more than it may, one line each."""
        found = []
        ceiling = CEILINGS_MIB.get(self.process)
        if ceiling is not None and self.most_mib > ceiling:
            found.append(
                f"{self.process}: {self.most_mib:.0f} MiB of memory at most, its settings allow {ceiling:.0f} MiB"
            )
        if ceiling is None and self.growth_mib > self.bound_mib:
            found.append(
                f"{self.process}: memory grew by {self.growth_mib:.1f} MiB over the second half, "
                f"the bound is {self.bound_mib:.1f} MiB ({self.kib_per_call:.1f} KiB a call)"
            )
        if ceiling is not None and self.fds > STORE_FDS_A_THREAD * (self.threads + HANDLES):
            found.append(f"{self.process}: {self.fds} file descriptors with {self.threads} threads")
        for what, growth in (
            ("file descriptors", self.fds_growth if ceiling is None else 0.0),
            ("threads", self.threads_growth),
            ("tasks", self.tasks_growth),
        ):
            if growth > HANDLES:
                found.append(
                    f"{self.process}: {growth:.0f} more {what} over the second half, the bound is {HANDLES:.0f}"
                )
        return found


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """Median of the slopes between all pairs; 0 for fewer than two moments."""
    t, v = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    i, j = np.triu_indices(len(t), k=1)
    apart = t[j] - t[i]
    there = apart > 0
    if not there.any():
        return 0.0
    return float(np.median((v[j] - v[i])[there] / apart[there]))


def bound_mib(calls: float) -> float:
    """How much a process of ours may grow while this many calls come."""
    return STEPS_MIB + calls * CALL_KIB / 1024


def trends(samples: Sequence[Sample], *, calls_per_s: float) -> list[Trend]:
    """The trend of every process over the second half of the samples, in the order in which they first appear."""
    by_process: dict[str, list[Sample]] = {}
    for sample in samples:
        by_process.setdefault(sample.process, []).append(sample)
    end_s = max((s.at_s for s in samples), default=0.0)
    return [_trend(name, mine, end_s, calls_per_s) for name, mine in by_process.items()]


def _trend(name: str, mine: Sequence[Sample], end_s: float, calls_per_s: float) -> Trend:
    half = [s for s in mine if s.at_s >= end_s / 2] or list(mine[-1:])
    times = [s.at_s for s in half]
    lasted_s = times[-1] - times[0]
    calls = calls_per_s * lasted_s

    def growth(values: Sequence[float]) -> float:
        return theil_sen(times, values) * lasted_s

    memory = growth([s.rss_mib for s in half])
    return Trend(
        process=name,
        first_mib=round(mine[0].rss_mib, 1),
        half_mib=round(half[0].rss_mib, 1),
        last_mib=round(half[-1].rss_mib, 1),
        slope_mib_per_min=round(memory / lasted_s * 60, 3) if lasted_s else 0.0,
        growth_mib=round(memory, 2),
        bound_mib=round(bound_mib(calls), 2),
        most_mib=max(s.rss_mib for s in mine),
        kib_per_call=round(memory * 1024 / calls, 2) if calls else 0.0,
        cpu_percent=round(float(np.mean([s.cpu_percent for s in half])), 1),
        fds_growth=round(growth([s.fds for s in half]), 1),
        threads_growth=round(growth([s.threads for s in half]), 1),
        tasks_growth=round(growth([s.tasks or 0 for s in half]), 1),
        fds=half[-1].fds,
        threads=half[-1].threads,
    )


def is_judged(samples: Sequence[Sample]) -> bool:
    """Whether the run was long enough for its second half to say something about memory."""
    # A run of exactly twice the window ends up to one sample short of it.
    return max((s.at_s for s in samples), default=0.0) / 2 >= 0.95 * JUDGED_FROM_S


def findings(
    found: Sequence[Trend],
    *,
    judged: bool,
    books: Sequence[str],
    restarts: Mapping[str, int],
    dead_letters: int,
    consumers: Sequence[tuple[float, float]] = (),
) -> list[str]:
    """Everything that speaks against the run, one line each; none when it was good."""
    against = [line for trend in found for line in trend.excess] if judged else []
    half = consumers[len(consumers) // 2 :]
    if half and (more := half[-1][1] - half[0][1]) > HANDLES:
        against.append(f"nats: {more:.0f} more consumers over the second half, the bound is {HANDLES:.0f}")
    against += books
    against += [f"{name} ended by itself {times} times" for name, times in restarts.items() if times]
    if dead_letters:
        against.append(
            f"{dead_letters} messages became dead letters: make tail ARGS='--kind dead --since 1h'"
        )
    return against
