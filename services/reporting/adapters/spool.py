"""mod_json_cdr's spool: one JSON file a leg, read, stored, deleted.

FreeSWITCH writes a file in place, so a file may be seen before it is whole: what cannot be parsed is left alone until it
has not changed for a while and then set aside under ``bad/``, where people find it. Files are deleted only after
ClickHouse confirmed their rows; one that is read twice leaves one row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson
import structlog
from prometheus_client import Counter, Gauge

from services.common.errors import NotReady
from services.reporting.core.legs import Leg, Profile, leg_of, whole

log = structlog.get_logger()

BATCH: Final = 500
POLL_S: Final = 1.0
UNFINISHED_S: Final = 30.0
SUFFIX: Final = ".cdr.json"

# Leg files read. It follows hangups; a gap to the event socket's count is a spool that is not ours.
SPOOL_FILES = Counter("peyvand_reporting_spool_files_total", "CDR files read and stored")
# Files set aside because they are no CDR. Above zero: look at <spool>/bad.
SPOOL_BAD = Counter("peyvand_reporting_spool_bad_total", "CDR files set aside as unreadable")
# Files that wait. Growing: ClickHouse is away or slower than the calls.
SPOOL_BACKLOG = Gauge("peyvand_reporting_spool_backlog", "CDR files that wait to be stored")

# Returns the legs that ClickHouse will never take.
Store = Callable[[Sequence[Leg]], Awaitable[Collection[Leg]]]
ReadyHook = Callable[[bool, str], None]


def parse(data: bytes) -> Leg:
    """A leg of a mod_json_cdr file. Raises ValueError when it is none or not whole."""
    return leg_of("spool", *read_cdr(data))


def read_cdr(data: bytes) -> tuple[Profile, dict[str, str]]:
    """Profile and channel variables of a mod_json_cdr file. Raises ValueError when it is none or not whole.

    FreeSWITCH copies the bytes of phones unchecked, so invalid UTF-8 must not refuse the file.
    """
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = orjson.loads(data.decode("utf-8", "replace"))
    if not isinstance(document, dict) or not isinstance(document.get("variables"), dict):
        raise ValueError("no CDR: expected an object with variables")
    variables = {str(k): _text(v) for k, v in document["variables"].items()}
    # With encode-values="true" every variable is URL-encoded; a date with its blank tells the two forms apart.
    if "%20" in variables.get("start_stamp", ""):
        variables = {k: unquote(v, errors="replace") for k, v in variables.items()}
    # The newest profile stands first; where the leg began is in the oldest.
    flows = [f for f in document.get("callflow") or () if isinstance(f, dict)]
    newest, oldest = (flows[0], flows[-1]) if flows else ({}, {})
    caller = _part(oldest, "caller_profile")
    times = _part(newest, "times")
    leg_id = variables.get("uuid", "") or _text(caller.get("uuid", ""))
    if not leg_id:
        raise ValueError("no CDR: it names no channel")
    profile = Profile(
        leg_id=leg_id,
        direction=_text(_part(document, "channel_data").get("direction", "")),
        ani=_text(caller.get("caller_id_number", "")),
        caller_name=_text(caller.get("caller_id_name", "")),
        destination=_text(caller.get("destination_number", "")),
        switch=_text(document.get("switchname", "")),
        created_at_us=_number(times.get("created_time")),
        answered_at_us=_number(times.get("answered_time")),
        bridged_at_us=_number(times.get("bridged_time")),
        hung_up_at_us=_number(times.get("hangup_time")),
    )
    return profile, variables


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    return value if isinstance(value, str) else "" if value is None else str(value)


def _number(value: Any) -> int:
    return whole(_text(value))


class Spool:
    """Empties one folder for as long as it runs."""

    def __init__(self, folder: Path, store: Store, ready: ReadyHook, *, poll_s: float = POLL_S) -> None:
        self._folder = folder
        self._store = store
        self._ready = ready
        self._poll_s = poll_s

    async def run(self) -> None:
        """Read, store, delete; forever. An unreachable ClickHouse leaves the files where they are."""
        while True:
            try:
                stored = await self.empty()
                self._ready(True, str(self._folder))
            except (NotReady, OSError) as e:
                stored = 0
                self._ready(False, str(e))
            if stored < BATCH:
                await asyncio.sleep(self._poll_s)

    async def empty(self) -> int:
        """Store one batch and delete its files; returns how many files that were.

        Raises StoreUnavailable (nothing was deleted) and OSError (the folder cannot be read).
        """
        legs, files, waiting = await asyncio.to_thread(self._read)
        SPOOL_BACKLOG.set(waiting)
        if not files:
            return 0
        refused = await self._store(legs)
        for leg, file in zip(legs, files, strict=True):
            if leg in refused:
                await asyncio.to_thread(self._put_away, file, "ClickHouse refused its values")
        await asyncio.to_thread(_delete, files)
        SPOOL_FILES.inc(len(files))
        return len(files)

    def _read(self) -> tuple[list[Leg], list[Path], int]:
        self._folder.mkdir(parents=True, exist_ok=True)
        names = sorted(p for p in self._folder.iterdir() if p.name.endswith(SUFFIX))
        legs, files = [], []
        for path in names[:BATCH]:
            try:
                legs.append(parse(path.read_bytes()))
            except FileNotFoundError:  # another copy of reporting was faster
                continue
            except ValueError as e:
                self._set_aside(path, str(e))
            else:
                files.append(path)
        return legs, files, len(names)

    def _set_aside(self, path: Path, reason: str) -> None:
        try:
            if time.time() - path.stat().st_mtime < UNFINISHED_S:
                return
        except FileNotFoundError:
            return
        self._put_away(path, reason)

    def _put_away(self, path: Path, reason: str) -> None:
        bad = self._folder / "bad"
        bad.mkdir(exist_ok=True)
        try:
            path.rename(bad / path.name)
        except FileNotFoundError:  # another copy of reporting was faster
            return
        SPOOL_BAD.inc()
        log.warning("cdr_file_set_aside", file=path.name, reason=reason)


def _delete(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
