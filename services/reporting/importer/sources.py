"""The formats: files in, histories and refusals out."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Final, Protocol

import msgspec

from services.common import ids
from services.common.errors import ConfigError
from services.reporting.adapters.spool import read_cdr
from services.reporting.core.imports import callcenter, cdr, cdr_csv, queue_log
from services.reporting.core.imports.clock import epoch_us, stamp_us
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.queue_log_calls import Line, line_of
from services.reporting.core.imports.records import BadLine, History
from services.reporting.core.legs import leg_of
from services.reporting.importer.files import File, text

JSON_SUFFIXES: Final = (".json",)
CSV_SUFFIXES: Final = (".csv",)


class Rejected(msgspec.Struct, frozen=True):
    """A line that could not be taken."""

    file: str
    line: int
    reason: str
    text: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said about the files. ``source`` names the system they are from."""

    tenant: str
    source: str
    zone: tzinfo
    names: Names
    template: str = ""


class Source(Protocol):
    """A format."""

    lines: int
    notes: list[str]
    """What a person should know at the end."""

    def read(self) -> Iterator[History | Rejected]:
        """Everything of all files, once."""
        ...


class _Source:
    def __init__(self, terms: Terms, files: Sequence[File]) -> None:
        self.terms, self.files = terms, files
        self.lines = 0
        self.notes: list[str] = []

    def _numbered(self, file: File) -> Iterator[tuple[int, str | Rejected]]:
        """The lines that are not empty, with their numbers. A file that breaks off is said once, as a refusal."""
        number = 0
        try:
            for line in file.lines():
                number += 1
                self.lines += 1
                if line is None:
                    yield number, Rejected(str(file.path), number, "the line is longer than a mebibyte", "")
                elif line.strip():
                    yield number, text(line)
        except (OSError, EOFError) as e:
            yield number + 1, Rejected(str(file.path), number + 1, f"the file cannot be read on: {e}", "")


class JsonCdr(_Source):
    """mod_json_cdr: a file a leg."""

    def read(self) -> Iterator[History | Rejected]:
        """Everything of all files, once."""
        for file in self.files:
            self.lines += 1
            try:
                profile, variables = read_cdr(file.whole())
                leg = leg_of("spool", profile, variables)
                yield cdr.history_of(leg, variables, self.terms.names, self.terms.tenant, ids.derived_id)
            except (ValueError, OSError, EOFError) as e:
                yield Rejected(str(file.path), 1, str(e), "")


class CdrCsv(_Source):
    """mod_cdr_csv, or any export with a header line."""

    def read(self) -> Iterator[History | Rejected]:
        """Everything of all files, once. Raises ConfigError when a file is of no known form."""
        doubtful = 0
        for file in self.files:
            form: cdr_csv.Template | cdr_csv.Header | None = None
            if self.terms.template:
                form = cdr_csv.Template.of(
                    cdr_csv.TEMPLATES.get(self.terms.template, self.terms.template), "given"
                )
            clock = cdr_csv.Clock(self.terms.zone)
            for number, line in self._numbered(file):
                if isinstance(line, Rejected):
                    yield line
                    continue
                try:
                    if form is None:
                        form = self._form(file, line)
                        if isinstance(form, cdr_csv.Header):
                            continue
                    variables = clock.complete(form.read(line))
                    leg = cdr_csv.leg_of_values(variables)
                    yield cdr.history_of(leg, variables, self.terms.names, self.terms.tenant, ids.derived_id)
                except BadLine as e:
                    yield Rejected(str(file.path), number, str(e), line)
            doubtful += clock.doubtful
        if doubtful:
            self.notes.append(
                f"{doubtful} lines have times of the hour that came twice when clocks were set back; "
                "each was read by its duration and its place in the file"
            )

    def _form(self, file: File, line: str) -> cdr_csv.Template | cdr_csv.Header:
        try:
            return cdr_csv.form_of(line)
        except BadLine as e:
            raise ConfigError(f"{file.path.name}: {e}") from None


class QueueLog(_Source):
    """Asterisk's queue_log: the file, or an export of its table as CSV with a header."""

    def read(self) -> Iterator[History | Rejected]:
        """Everything of all files as one log, the file that begins first before the others."""
        log = queue_log.QueueLog(self.terms.tenant, self.terms.source, self.terms.names, ids.derived_id)
        for file in sorted(self.files, key=self._begins):
            columns: tuple[list[str], str] | None = None
            for number, line in self._numbered(file):
                if isinstance(line, Rejected):
                    yield line
                    continue
                try:
                    if number == 1 and (columns := _columns(line)) is not None:
                        continue
                    yield from log.take(self._event(line, columns, log.now_us))
                except BadLine as e:
                    yield Rejected(str(file.path), number, str(e), line)
        yield from log.finish()
        if log.unfinished:
            self.notes.append(
                f"calls that were going on where the log ends are left out ({log.unfinished}): import the log that follows together with this one"
            )

    def _begins(self, file: File) -> tuple[int, str]:
        lines = iter(file.lines())
        with contextlib.suppress(OSError, EOFError, BadLine, StopIteration):
            first = text(next(lines) or b"")
            if (columns := _columns(first)) is not None:
                return self._event(text(next(lines) or b""), columns, 0).at_us, str(file.path)
            return self._event(first, None, 0).at_us, str(file.path)
        return 1 << 62, str(file.path)

    def _event(self, line: str, columns: tuple[list[str], str] | None, now_us: int) -> Line:
        if columns is None:
            at, _, rest = line.partition("|")
            return line_of(epoch_us(at.strip()), rest.split("|"))
        names, delimiter = columns
        try:
            row = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error as e:
            raise BadLine(f"no CSV: {e}") from None
        if len(row) != len(names):
            raise BadLine(f"expected {len(names)} columns as in the header, found {len(row)}")
        found = dict(zip(names, row, strict=True))
        at = found["time"].strip()
        at_us = (
            epoch_us(at)
            if at.replace(".", "", 1).isdigit()
            else stamp_us(at, self.terms.zone, now_us - 60_000_000)
        )
        data = [found.get(f"data{n}", "") for n in range(1, 6)]
        if not any(data) and found.get("data"):
            data = found["data"].split("|")
        while data and not data[-1]:
            data.pop()
        named = [found.get(name, "") for name in ("callid", "queuename", "agent", "event")]
        return line_of(at_us, named + data)


def _columns(line: str) -> tuple[list[str], str] | None:
    """The columns of an export's header and what stands between them; None for a line of the log."""
    for delimiter in (",", ";", "\t", "|"):
        names = [name.strip().strip('"').lower() for name in line.split(delimiter)]
        if {"time", "callid", "queuename", "agent", "event"} <= set(names):
            return names, delimiter
    return None


class CallCenter(_Source):
    """mod_callcenter: its events as JSON lines (agents' presence), and the lists of ``callcenter_config``."""

    def __init__(self, terms: Terms, files: Sequence[File]) -> None:
        super().__init__(terms, files)
        self.lists = callcenter.Lists(terms.names)

    def read(self) -> Iterator[History | Rejected]:
        """Everything of all files, once."""
        events = callcenter.Events(self.terms.tenant, self.terms.names)
        for file in self.files:
            header: list[str] | None = None
            for number, line in self._numbered(file):
                if isinstance(line, Rejected):
                    yield line
                    continue
                try:
                    if line.startswith("{"):
                        yield from events.take(line)
                    elif header is None:
                        header = self.lists.header(line)
                    elif line != "+OK":
                        self.lists.take(header, line)
                except BadLine as e:
                    yield Rejected(str(file.path), number, str(e), line)
        yield from events.finish()


FORMATS: Final[dict[str, tuple[type[JsonCdr | CdrCsv | QueueLog | CallCenter], tuple[str, ...]]]] = {
    "json_cdr": (JsonCdr, JSON_SUFFIXES),
    "cdr_csv": (CdrCsv, CSV_SUFFIXES),
    "queue_log": (QueueLog, ("queue_log", ".log", ".csv", *(f"queue_log.{n}" for n in range(100)))),
    "callcenter": (CallCenter, (".txt", ".json", ".jsonl")),
}
"""By name: the reader, and how the names of files in a folder end."""
