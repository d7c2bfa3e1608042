"""The facts of recording: what became of the files."""

from __future__ import annotations

import msgspec


class RecordingStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A recording began."""

    recording_id: str = ""
    contact_id: str = ""
    node: str = ""
    path: str = ""
    at_us: int = 0


class RecordingStored(msgspec.Struct, frozen=True, kw_only=True):
    """A recording is complete and readable."""

    recording_id: str = ""
    contact_id: str = ""
    node: str = ""
    path: str = ""
    bytes: int = 0
    duration_ms: int = 0
    channels: int = 0
    sample_rate: int = 0
    sha256: str = ""
    rms: tuple[float, ...] = ()
    repaired: bool = False
    agent_id: str = ""
    queue: str = ""
    started_at_us: int = 0
    at_us: int = 0
    kind: str = ""
    caller: str = ""


class RecordingFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A recording is missing or unreadable."""

    recording_id: str = ""
    contact_id: str = ""
    path: str = ""
    reason: str = ""
    at_us: int = 0


RecordingFact = RecordingStarted | RecordingStored | RecordingFailed
