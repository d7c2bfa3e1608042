"""What queue reports of the calls that agents place: mirrors of ``peyvand.queue.v1``. Times in µs since the epoch, spans in ms."""

from __future__ import annotations

from msgspec import Struct


class OutboundDialled(Struct, frozen=True, kw_only=True):
    """The number of a call that an agent places is being called, by this trunk and with this number shown."""

    contact_id: str
    offer_id: str
    agent_id: str
    number: str
    trunk: str = ""
    caller_id: str = ""
    at_us: int


class OutboundAnswered(Struct, frozen=True, kw_only=True):
    """Somebody answered there; agent and party are being joined."""

    contact_id: str
    offer_id: str
    agent_id: str
    number: str
    ring_ms: int = 0
    at_us: int


class OutboundFailed(Struct, frozen=True, kw_only=True):
    """Nobody was reached: no_answer, busy, declined, unreachable, no_line, agent_left or failed."""

    contact_id: str
    offer_id: str
    agent_id: str
    number: str
    outcome: str
    cause: str = ""
    ring_ms: int = 0
    at_us: int
    kept_offer_id: str = ""
