"""The files of an import: found, opened, read line by line in constant memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from services.common.errors import ConfigError

LONGEST: Final = 1 << 20
"""Bytes of a line or a CDR file; a longer one is refused and not kept in memory."""


class File:
    """One file, plain or .gz. ``done`` is how many bytes of it were read, as they lie on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.done = 0

    def whole(self) -> bytes:
        """Everything. Raises OSError, and EOFError for a .gz that was cut off; ValueError when it is too long."""
        with self._open() as stream:
            data = stream.read(LONGEST + 1)
        self.done = self.size
        if len(data) > LONGEST:
            raise ValueError(f"expected one record of at most {LONGEST} bytes")
        return data

    def lines(self) -> Iterator[bytes | None]:
        """The lines without their ends; None for one that is too long. Raises OSError and EOFError as ``whole``."""
        with self.path.open("rb") as disk, self._unpacked(disk) as stream:
            while line := stream.readline(LONGEST):
                self.done = disk.tell()
                if len(line) == LONGEST and not line.endswith(b"\n"):
                    while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                        pass
                    yield None
                    continue
                yield line.rstrip(b"\r\n")
        self.done = self.size

    def first_line(self) -> str:
        """The first line, empty when there is none that can be read."""
        try:
            return next((text(line) for line in self.lines() if line), "")
        except (OSError, EOFError):
            return ""
        finally:
            self.done = 0

    def _open(self) -> BinaryIO | gzip.GzipFile:
        return gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb")

    def _unpacked(self, disk: BinaryIO) -> io.BufferedReader | BinaryIO:
        return io.BufferedReader(gzip.GzipFile(fileobj=disk), 1 << 18) if self.path.suffix == ".gz" else disk


def text(line: bytes) -> str:
    """A line as text. Phones and PBXs write any bytes; what is no UTF-8 becomes a mark, and a line may begin with a byte order mark."""
    return line.decode("utf-8", "replace").removeprefix("\ufeff")


def find(paths: Iterable[Path], suffixes: tuple[str, ...]) -> list[File]:
    """The files named, and of folders all below them whose names end so (or so and .gz), by name.

    Raises ConfigError for what does not exist, and when there is nothing.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file())
            for one in sorted(p for p in inside if p.name.removesuffix(".gz").endswith(suffixes)):
                found[one] = None
        elif path.is_file():
            found[path] = None
        else:
            raise ConfigError(f"{path}: expected a file or a folder")
    if not found:
        raise ConfigError(f"{', '.join(map(str, paths))}: no file that ends in {' or '.join(suffixes)}")
    return [File(path) for path in found]
