"""What an installation costs while it runs: CPU seconds by kind of process, over all that were killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import psutil

from deploy.dev.chaos.stack import ChaosStack
from services.common.errors import NotReady

_EVERY_S: Final = 1.0
"""What a process used in its last second before a kill is not seen."""


def of_stack(stack: ChaosStack) -> list[tuple[str, int]]:
    """The running processes: kind and process id. The runner itself, with its injector and its reading, is ``runner``."""
    found = [("runner", psutil.Process().pid)]
    found += [(p.name.partition("-")[0], p.pid) for p in stack.processes.values() if p.alive]
    for server in stack.cluster.nodes:
        with contextlib.suppress(NotReady):
            found.append(("nats", server.pid))
    return found


class Usage:
    """Adds up. ``run`` samples until it is cancelled; ``cpu_s`` counts from its first sample on."""

    def __init__(self, processes: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._processes = processes
        self._handles: dict[int, psutil.Process] = {}
        self._first: dict[tuple[str, psutil.Process], float] = {}
        self._last: dict[tuple[str, psutil.Process], float] = {}
        self._began_s = 0.0

    async def run(self) -> None:
        """Sample every second."""
        self._began_s = time.monotonic()
        self.take(initial=True)
        while True:
            await asyncio.sleep(_EVERY_S)
            self.take()

    def take(self, *, initial: bool = False) -> None:
        """One sample. What a process had used before the first one does not count; one that comes later counts whole."""
        for kind, pid in self._processes():
            with contextlib.suppress(psutil.Error):
                handle = self._handles.get(pid)
                if handle is None or not handle.is_running():
                    handle = self._handles[pid] = psutil.Process(pid)
                times = handle.cpu_times()
                used_s = times.user + times.system
                self._last[kind, handle] = used_s
                if initial:
                    self._first[kind, handle] = used_s

    @property
    def lasted_s(self) -> float:
        """Since the first sample."""
        return time.monotonic() - self._began_s

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by kind, the largest first."""
        sums: dict[str, float] = defaultdict(float)
        for (kind, handle), used_s in self._last.items():
            sums[kind] += used_s - self._first.get((kind, handle), 0.0)
        return {kind: round(s, 1) for kind, s in sorted(sums.items(), key=lambda item: -item[1])}
