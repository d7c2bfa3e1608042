"""How far it is: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Final, Protocol

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

EVERY_S: Final = 5.0


class Shown(Protocol):
    """Somebody who is told how far it is."""

    def show(self, done: int, total: int, lines: int, imported: int, rejected: int) -> None:
        """Bytes of all files that were read, of how many; lines, contacts, rejected lines."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


class Bar:
    """A bar that stays on its line."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("importing", total=None)
        self._progress.start()

    def show(self, done: int, total: int, lines: int, imported: int, rejected: int) -> None:
        self._progress.update(
            self._task,
            completed=done,
            total=total,
            description=f"{lines:,} lines, {imported:,} contacts, {rejected:,} rejected",
        )

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._next_at = time.monotonic() + EVERY_S

    def show(self, done: int, total: int, lines: int, imported: int, rejected: int) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            share = 100 * done // max(total, 1)
            sys.stderr.write(f"{share:3} %  {lines:,} lines, {imported:,} contacts, {rejected:,} rejected\n")

    def close(self) -> None:
        sys.stderr.flush()


def shown() -> Shown:
    """A bar where it can be seen."""
    return Bar() if sys.stderr.isatty() else Lines()
