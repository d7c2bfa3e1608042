"""What the engine needs of a center document, and the rules that are the same for all centers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Overflow(msgspec.Struct, frozen=True):
    """Where a contact goes that cannot stay: ``action`` queue, transfer or hangup; ``target`` a queue, number or prompt."""

    action: str
    target: str = ""


class QueueRules(msgspec.Struct, frozen=True):
    """One queue. ``max_wait_ms`` and ``max_length`` 0 are no limit."""

    skills: Mapping[str, int] = {}
    ring_ms: int = 20_000
    wrap_up_ms: int = 0
    max_wait_ms: int = 0
    max_length: int = 0
    overflow: Overflow = Overflow("hangup")


class AgentRules(msgspec.Struct, frozen=True):
    """One agent: what to dial, which queues, which skills at which level."""

    extension: str
    queues: tuple[str, ...]
    skills: Mapping[str, int] = {}


class Center(msgspec.Struct, frozen=True):
    """One revision of a tenant's configuration. ``fallback`` is the queue of an entry point for callers without one."""

    revision: str
    queues: Mapping[str, QueueRules]
    agents: Mapping[str, AgentRules]
    dispositions: frozenset[str] = frozenset()
    break_reasons: frozenset[str] = frozenset()
    fallback: Mapping[str, str] = {}
    default_fallback: str = ""


class Policy(msgspec.Struct, frozen=True):
    """Rules of the engine that no document changes.

    ``offer_grace_ms``: how long after the ring time somebody may still report before the offer expires. The ring time
    is enforced by FreeSWITCH's originate timeout; the grace covers the answer, the bridge (rescued after 500 ms) and
    two appends. ``max_no_answer``: unanswered offers in a row after which the agent is put on a break.
    """

    offer_grace_ms: int = 5_000
    max_no_answer: int = 1
    agent_delay_ms: int = 5_000
    contact_delay_ms: int = 1_000


SYSTEM_REASONS = frozenset({"no_answer", "unreachable", "removed"})
"""Break and offline reasons that only the system gives."""
