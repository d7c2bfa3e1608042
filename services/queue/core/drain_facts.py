"""What is reported of a node that is being emptied: mirrors of ``peyvand.queue.v1``. Times in µs since the epoch, spans in ms."""

from __future__ import annotations

from msgspec import Struct


class NodeDrainChanged(Struct, frozen=True, kw_only=True):
    """The node is to be emptied, or is back in service."""

    node: str
    draining: bool = False
    since_us: int = 0
    actor: str = ""
    at_us: int

    @property
    def contact_id(self) -> str:
        """About no contact."""
        return ""


class NodeDrained(Struct, frozen=True, kw_only=True):
    """The last leg has left."""

    node: str
    drain_ms: int = 0
    at_us: int

    @property
    def contact_id(self) -> str:
        """About no contact."""
        return ""
