"""What this service reports: mirrors of ``peyvand.recording.v1`` by field name."""

from __future__ import annotations

from msgspec import Struct

CONVERSATION, MESSAGE, COMMENT = "conversation", "message", "comment"


class RecordingStarted(Struct, frozen=True, kw_only=True):
    """FreeSWITCH began to write. ``path`` is relative to the recordings folder."""

    recording_id: str
    contact_id: str
    node: str = ""
    path: str
    at_us: int


class RecordingStored(Struct, frozen=True, kw_only=True):
    """The file is whole. ``rms`` of each channel from 0 (silence) to 1."""

    recording_id: str
    contact_id: str
    node: str = ""
    path: str
    bytes: int
    duration_ms: int
    channels: int
    sample_rate: int
    sha256: str
    rms: tuple[float, ...]
    repaired: bool = False
    agent_id: str = ""
    queue: str = ""
    started_at_us: int = 0
    at_us: int
    kind: str = CONVERSATION
    caller: str = ""


class RecordingFailed(Struct, frozen=True, kw_only=True):
    """There is nothing to hear: ``missing``, ``unreadable`` or ``empty``."""

    recording_id: str
    contact_id: str
    path: str
    reason: str
    at_us: int


Fact = RecordingStarted | RecordingStored | RecordingFailed
