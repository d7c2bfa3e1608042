"""What is kept beside a finished recording."""

from __future__ import annotations

from msgspec import Struct


class Sidecar(Struct, frozen=True, kw_only=True):
    """What is known of a finished recording. ``problem`` is empty for one that can be heard."""

    id: str
    tenant: str
    contact: str
    path: str
    problem: str = ""
    node: str = ""
    agent: str = ""
    queue: str = ""
    bytes: int = 0
    duration_ms: int = 0
    channels: int = 0
    sample_rate: int = 0
    sha256: str = ""
    rms: tuple[float, ...] = ()
    repaired: bool = False
    started_at_us: int = 0
    finished_at_us: int = 0
    kind: str = "conversation"  # Or message: a caller left it for the queue; comment: said in a survey.
    caller: str = ""  # The number of whoever left a message.
    handled_by: str = ""  # Who dealt with a message; empty while it is open.
    handled_at_us: int = 0
