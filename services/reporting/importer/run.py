"""An import from the first file to the summary."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import structlog

from services.common.errors import ConfigError, StoreUnavailable
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.records import History
from services.reporting.importer.files import File
from services.reporting.importer.progress import Shown
from services.reporting.importer.sink import BATCH, Sink, Written
from services.reporting.importer.sources import Rejected, Source

log = structlog.get_logger()

MOST_WAIT_S: Final = 30.0


class Summary(msgspec.Struct):
    """What a run did."""

    lines: int = 0
    rejected: int = 0
    written: Written = msgspec.field(default_factory=Written)
    notes: list[str] = []


class Rejects:
    """The reject file: a JSON object a line, with file, line, reason and text. It is made when there is something to say."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._out: IO[str] | None = None

    def add(self, file: str, line: int, reason: str, text: str) -> None:
        """Say why something was not taken. Raises OSError when it cannot be written."""
        if self._out is None:
            self._out = self.path.open("w", encoding="utf-8")
        self.count += 1
        entry = {"file": file, "line": line, "reason": reason, "text": text[:4096]}
        self._out.write(json.dumps(entry, ensure_ascii=True) + "\n")

    def close(self) -> None:
        """Nothing follows."""
        if self._out is not None:
            self._out.close()


def names_of(path: Path | None) -> Names:
    """The mapping file, YAML or JSON. Raises ConfigError with the place of what is wrong."""
    if path is None:
        return Names()
    try:
        found = msgspec.yaml.decode(path.read_bytes() or b"{}", type=Names)
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: {e}") from None
    return found


async def run(source: Source, files: Sequence[File], sink: Sink, rejects: Rejects, shown: Shown) -> Summary:
    """Import everything. Raises StoreUnavailable after ``MOST_WAIT_S`` without ClickHouse, StoreRefused, OSError."""
    total = sum(file.size for file in files)
    items = source.read()
    batch = await asyncio.to_thread(_next, items)
    while batch:
        histories = []
        for item in batch:
            if isinstance(item, Rejected):
                rejects.add(item.file, item.line, item.reason, item.text)
            else:
                histories.append(item)
        writing = asyncio.ensure_future(_written(sink, histories))
        try:
            batch = await asyncio.to_thread(_next, items)
        finally:
            for history, reason in await writing:
                rejects.add("", 0, reason, repr(history))
        done = sum(file.done for file in files)
        shown.show(done, total, source.lines, sink.written.contacts, rejects.count)
    shown.show(total, total, source.lines, sink.written.contacts, rejects.count)
    return Summary(source.lines, rejects.count, sink.written, source.notes)


def _next(items: Iterator[Any]) -> list[Any]:
    return list(islice(items, BATCH))


async def _written(sink: Sink, histories: Sequence[History]) -> Iterable[tuple[History, str]]:
    waited_s, pause_s = 0.0, 0.5
    while True:
        try:
            return await sink.write(histories)
        except StoreUnavailable as e:
            if waited_s >= MOST_WAIT_S:
                raise
            log.warning("import_waits_for_clickhouse", reason=str(e))
            await asyncio.sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(pause_s * 2, 8.0)
