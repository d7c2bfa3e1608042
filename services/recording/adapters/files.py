"""The recordings folder: ``<tenant>/<yyyy>/<mm>/<dd>/<contact>.wav``, each with a sidecar ``<contact>.json`` once it is finished.

Messages that callers left are ``<contact>.message.<queue>.wav`` with a sidecar beside them, and what they said in a survey
``<contact>.comment.<question>.wav``.

The sidecars are the index. Paths are only ever made from names that were found in the folder or match its form, so nothing
outside of it can be reached.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from services.common.ids import derived_id, is_token
from services.recording.core.facts import RecordingFailed, RecordingStored
from services.recording.core.lifecycle import Recording
from services.recording.core.sidecar import Sidecar

_PATH = re.compile(
    r"([a-z0-9-]{1,63})/(\d{4})/(\d{2})/(\d{2})/([A-Za-z0-9_-]{1,64})(?:\.(message|comment)\.([a-z0-9-]{1,63}))?\.wav"
)
_ID_LIMIT = 100_000


def sidecar_of(tenant: str, fact: RecordingStored | RecordingFailed) -> Sidecar:
    """The sidecar that says what the fact says."""
    if isinstance(fact, RecordingFailed):
        return Sidecar(
            id=fact.recording_id,
            tenant=tenant,
            contact=fact.contact_id,
            path=fact.path,
            problem=fact.reason,
            finished_at_us=fact.at_us,
        )
    return Sidecar(
        id=fact.recording_id,
        tenant=tenant,
        contact=fact.contact_id,
        path=fact.path,
        node=fact.node,
        agent=fact.agent_id,
        queue=fact.queue,
        bytes=fact.bytes,
        duration_ms=fact.duration_ms,
        channels=fact.channels,
        sample_rate=fact.sample_rate,
        sha256=fact.sha256,
        rms=fact.rms,
        repaired=fact.repaired,
        started_at_us=fact.started_at_us,
        finished_at_us=fact.at_us,
        kind=fact.kind,
        caller=fact.caller,
    )


class Folder:
    """The recordings folder. Methods block: call them in a thread."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._by_id: dict[str, str] = {}

    def recording(self, path: str) -> Recording | None:
        """The recording of an absolute or relative path; None for what is not ours."""
        prefix = f"{self.root}/"
        relative = path.removeprefix(prefix)
        match = _PATH.fullmatch(relative)
        if match is None or not is_token(match[1]):
            return None
        return Recording(
            recording_id=derived_id("recording", match[5], relative),
            tenant=match[1],
            contact=match[5],
            path=relative,
            message_for=match[7] if match[6] == "message" else "",
            is_comment=match[6] == "comment",
        )

    def file(self, path: str) -> Path:
        """Where a recording is. Raises ValueError for a path that is none of ours."""
        if self.recording(path) is None:
            raise ValueError(f"not a recording's path: {path[:120]!r}")
        return self.root / path

    def unfinished(self, now_us: int) -> list[tuple[Recording, int]]:
        """Recordings without a sidecar, with the ms for which they have not grown."""
        found = []
        for directory, _, names in os.walk(self.root):
            have = set(names)
            for name in sorted(have):
                if not name.endswith(".wav") or f"{name[:-4]}.json" in have:
                    continue
                file = Path(directory, name)
                recording = self.recording(file.relative_to(self.root).as_posix())
                if recording is None:
                    continue
                try:
                    rested_us = now_us - file.stat().st_mtime_ns // 1000
                except OSError:
                    continue
                found.append((recording, max(0, rested_us // 1000)))
        return found

    def write(self, sidecar: Sidecar) -> None:
        """Write a sidecar, whole or not at all."""
        target = self.file(sidecar.path).with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as f:
                f.write(msgspec.json.encode(sidecar))
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def find(self, tenant: str, from_us: int, to_us: int) -> Iterator[Sidecar]:
        """Recordings of a tenant that started in [from, to), newest day first."""
        if not is_token(tenant):
            return
        for day in self._days(tenant, from_us, to_us):
            batch = [s for file in day.glob("*.json") if (s := self._read(file)) is not None]
            for sidecar in sorted(
                batch, key=lambda s: (s.started_at_us or s.finished_at_us, s.id), reverse=True
            ):
                if from_us <= (sidecar.started_at_us or sidecar.finished_at_us) < to_us:
                    yield sidecar

    def by_id(self, tenant: str, recording_id: str) -> Sidecar | None:
        """The recording of that id, if it is the tenant's."""
        if not is_token(tenant):
            return None
        if (path := self._by_id.get(recording_id)) is None:
            if len(self._by_id) > _ID_LIMIT:
                self._by_id.clear()
            for file in (self.root / tenant).glob("*/*/*/*.json"):
                recording = self.recording(file.with_suffix(".wav").relative_to(self.root).as_posix())
                if recording is not None:
                    self._by_id[recording.recording_id] = recording.path
            path = self._by_id.get(recording_id)
        if path is None or not path.startswith(f"{tenant}/"):
            return None
        return self._read(self.file(path).with_suffix(".json"))

    def _days(self, tenant: str, from_us: int, to_us: int) -> Iterator[Path]:
        # The folder's day is that of the bridge; the recording starts at most some seconds later.
        first = _day(from_us) - timedelta(days=1)
        last = _day(to_us)
        for day in sorted((self.root / tenant).glob("*/*/*"), reverse=True):
            try:
                when = datetime(int(day.parts[-3]), int(day.parts[-2]), int(day.parts[-1]), tzinfo=UTC)
            except ValueError:
                continue
            if first <= when <= last:
                yield day

    def _read(self, file: Path) -> Sidecar | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Sidecar)
        except (OSError, msgspec.DecodeError):
            return None


def _day(at_us: int) -> datetime:
    bounded = min(max(at_us, 86_400_000_000), 253_370_764_800_000_000)
    return datetime.fromtimestamp(bounded / 1e6, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
