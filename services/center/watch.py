"""Follow the center documents: a changed file becomes the running revision if it is right, else the old one stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from services.center.draining import with_retired
from services.center.loader import CenterError, CenterSet, Fault, load, told
from services.common.clock import Clock, SystemClock
from services.common.errors import ConfigError

log = structlog.get_logger()

_Stamp = tuple[tuple[str, int, int], ...]
Ready = Callable[[str, bool, str], None]
"""Told of a part of the process, whether it is there, and details."""


class CenterWatch:
    """The running centers and their newest refusal.

    ``on_change`` is called in the event loop with each new set (not with the first one: that is ``current``); ``ready`` hears
    of the part ``centers``, with the running revision and why a newer one does not run. Polling,
    because the documents may come by a mounted volume or a Git checkout, where change notices do not arrive reliably.
    """

    def __init__(
        self,
        path: Path | str,
        on_change: Callable[[CenterSet], None] | None = None,
        *,
        every_s: float = 2.0,
        ready: Ready | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read the documents now. Raises ConfigError: a process must not start with wrong centers, or without any."""
        self._path = Path(path)
        if not self._path.exists():
            raise ConfigError(
                f"{self._path}: there is no such file or folder of center documents (PEYVAND_CENTERS)"
            )
        self._on_change = on_change
        self._every_s = every_s
        self._stamp = _stamp(self._path)
        self.current: CenterSet = load(self._path)
        self.refused: tuple[Fault, ...] = ()
        """Faults of the newest documents, when they were refused and ``current`` is older than the files."""
        self._ready = ready
        self._clock: Clock = clock or SystemClock()
        self._tell()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow changes from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="center-watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> bool:
        """Look once; return whether a new set was taken."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            centers = await asyncio.to_thread(load, self._path, new=True)
        except CenterError as e:
            self.refused = e.faults
            log.error(
                "center_refused", running=self.current.revision, faults=[str(fault) for fault in e.faults]
            )
            self._tell()
            return False
        self.refused = ()
        if centers.revision == self.current.revision:
            self._tell()
            return False
        log.info("center_changed", revision=centers.revision, before=self.current.revision)
        self.current = self._draining(centers)
        self._tell()
        if self._on_change is not None:
            self._on_change(self.current)
        return True

    def _draining(self, centers: CenterSet) -> CenterSet:
        """The new documents, with the queues of the running ones that they no longer have."""
        now_us = self._clock.now_us()
        return CenterSet(
            tuple(with_retired(c, self.current.tenant(c.tenant), now_us) for c in centers.centers),
            centers.report_faults,
        )

    def _tell(self) -> None:
        """Say which revision runs, and that a newer one does not. Old documents serve as well as new ones: ready."""
        if self._ready is not None:
            refused = told(self.refused, "the files are refused")
            reports = told(self.current.report_faults, "a scheduled report cannot be made")
            self._ready("centers", True, f"revision {self.current.revision}{refused}{reports}")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.refresh()
            except Exception:  # a consumer's fault must not end the watch: the next revision may mend it
                log.exception("center_change_failed", revision=self.current.revision)


def _stamp(path: Path) -> _Stamp:
    """What tells one state of the files from another; a file that vanishes meanwhile counts as absent."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return ()
    stamp = []
    for file in files:
        if file.suffix in (".yaml", ".yml") or file == path:
            try:
                stat = file.stat()
            except OSError:
                continue
            stamp.append((file.name, stat.st_mtime_ns, stat.st_size))
    return tuple(stamp)
