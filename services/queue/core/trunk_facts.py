"""What queue reports of calls out: mirrors of ``peyvand.queue.v1``. Times in µs since the epoch, spans in ms."""

from __future__ import annotations

from msgspec import Struct


class TrunkFull(Struct, frozen=True, kw_only=True):
    """A call out passed over a trunk that has as many calls as channels; ``diverted_to`` is the one it took, empty for none.

    ``purpose``: transfer, overflow, outage, callback, flow, outbound, agent.
    """

    contact_id: str
    node: str
    trunk: str
    channels: int = 0
    number: str = ""
    purpose: str = ""
    diverted_to: str = ""
    at_us: int


class TrunkFailed(Struct, frozen=True, kw_only=True):
    """A call out failed on the way, not at the called party; the gateway is tried last for ``rest_ms``."""

    contact_id: str
    node: str
    trunk: str
    gateway: str = ""
    cause: str = ""
    rest_ms: int = 0
    at_us: int


class DialRefused(Struct, frozen=True, kw_only=True):
    """No trunk can carry a call out: ``no-route`` or ``trunks-full``."""

    contact_id: str
    node: str
    number: str
    purpose: str = ""
    reason: str
    agent_id: str = ""
    at_us: int
