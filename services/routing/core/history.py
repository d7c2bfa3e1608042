"""What a queue's past tells about its near future: how long an agent is busy with a contact, how long callers stay, how long they waited.

Part of the state, so it follows from the log, survives in snapshots, and is the same after a replay. Every number is a decayed sum: each
further contact lessens the weight of the former ones, so that a new morning, campaign or fault is noticed within about ``MEMORY`` contacts.
"""

from __future__ import annotations

import math

import msgspec

MEMORY = 64
"""Conversations after which an old one weighs 1/e."""
PATIENCE_MEMORY = 256
"""The same for ends of waits; abandons are rarer, so more are needed."""
LOAD_MEMORY_US = 3_600_000_000
"""The same for the work that queues give, in time: it compares queues with each other, busy ones and quiet ones."""
SERVED = 3
"""Last waits that are kept."""

_KEEP = math.exp(-1 / MEMORY)
_KEEP_WAITS = math.exp(-1 / PATIENCE_MEMORY)


class History(msgspec.Struct):
    """One queue. Sums are decayed; what they are divided by is in the same measure."""

    conversations: float = 0.0
    handling_ms: float = 0.0
    """Talk and wrap-up of these conversations."""
    left: float = 0.0
    """Callers who lost patience."""
    waited_ms: float = 0.0
    """All waits, of those who left and of those who were answered."""
    served_waits_ms: tuple[int, ...] = ()
    """Waits of the callers who were answered last, newest last."""
    served_at_us: int = 0
    load_ms: float = 0.0
    load_at_us: int = 0

    def answered(self, wait_ms: int, at_us: int) -> None:
        """A caller was connected."""
        self._wait_ended(wait_ms, 0)
        self.served_waits_ms = (*self.served_waits_ms, wait_ms)[-SERVED:]
        self.served_at_us = at_us

    def abandoned(self, wait_ms: int) -> None:
        """A caller lost patience."""
        self._wait_ended(wait_ms, 1)

    def talked(self, talk_ms: int, at_us: int) -> None:
        """A conversation is over."""
        self.conversations = self.conversations * _KEEP + 1
        self.handling_ms = self.handling_ms * _KEEP + talk_ms
        self._load(talk_ms, at_us)

    def wrapped_up(self, ms: int, at_us: int) -> None:
        """The work after a conversation is over."""
        self.handling_ms += ms
        self._load(ms, at_us)

    def load_now(self, at_us: int) -> float:
        """The work that the queue gave lately, in decayed ms."""
        return self.load_ms * math.exp(-max(0, at_us - self.load_at_us) / LOAD_MEMORY_US)

    def _wait_ended(self, wait_ms: int, left: int) -> None:
        self.left = self.left * _KEEP_WAITS + left
        self.waited_ms = self.waited_ms * _KEEP_WAITS + wait_ms

    def _load(self, ms: int, at_us: int) -> None:
        self.load_ms = self.load_now(at_us) + ms
        self.load_at_us = at_us
