"""What is reported of supervisions: mirrors of ``peyvand.queue.v1`` by field name. Times in µs since the epoch, spans in ms."""

from __future__ import annotations

from msgspec import Struct


class SupervisionStarted(Struct, frozen=True, kw_only=True):
    """A supervisor listens in; ``mode`` is listen, whisper or barge."""

    supervision_id: str
    contact_id: str
    supervisor: str
    agent_id: str = ""
    mode: str
    at_us: int


class SupervisionChanged(Struct, frozen=True, kw_only=True):
    """Who hears the supervisor has changed; ``by`` is http, key or system."""

    supervision_id: str
    contact_id: str
    supervisor: str
    agent_id: str = ""
    mode: str
    former_mode: str = ""
    by: str
    at_us: int


class SupervisionEnded(Struct, frozen=True, kw_only=True):
    """Nobody listens any more; ``reason`` is supervisor, contact, wish, failed or unseen."""

    supervision_id: str
    contact_id: str
    supervisor: str = ""
    reason: str
    cause: str = ""
    listened_ms: int = 0
    at_us: int
