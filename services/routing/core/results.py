"""Every way in which a contact can end, each defined here and nowhere else. They are disjoint: a contact has one.

==================  ===================================================================================================
answered            an agent and the caller were bridged (of another channel: an agent took it up), whatever happened afterwards
short_abandon       the caller left before anybody was bridged, within the queue's ``short_abandon_ms``
abandoned           the caller left before anybody was bridged, later than that
overflowed          a limit of the queue sent the caller to an outside number, or a key of the caller led to anything that is
                    no queue of the center: a number, a message, a farewell
timed_out           the longest wait was over, or the one agent for whom the caller waited did not take the call, and the caller was
                    told so or left a message
full                the queue was at its length, and the caller was told so or left a message
no_agent            nobody served the queue, and the caller was told so or left a message
closed              the queue was removed or its hours ended, and the caller was told so or left a message; or the channel was removed
callback_taken      the caller asked to be called back; the rest is told by the contacts of the callback
callback_missed     contact of a callback: the customer was called and not reached
callback_expired    contact of a callback: it had stood in line for longer than the queue's ``expires_ms``
callback_cancelled  contact of a callback: somebody cancelled it, the customer called again, or the number may not be called
ended_unseen        the leg vanished while nobody listened, and nothing tells how
not_reached         a call that an agent placed: the number or the agent was not reached
failed              the contact ended for a technical reason before anybody was bridged
==================  ===================================================================================================

A contact that a limit sends to another queue of the center has not ended: the last queue says how it ends.
"""

from __future__ import annotations

ANSWERED = "answered"
SHORT_ABANDON = "short_abandon"
ABANDONED = "abandoned"
OVERFLOWED = "overflowed"
TIMED_OUT = "timed_out"
FULL = "full"
NO_AGENT = "no_agent"
CLOSED = "closed"
CALLBACK_TAKEN = "callback_taken"
CALLBACK_MISSED = "callback_missed"
CALLBACK_EXPIRED = "callback_expired"
CALLBACK_CANCELLED = "callback_cancelled"
NOT_REACHED = "not_reached"
ENDED_UNSEEN = "ended_unseen"
FAILED = "failed"

RESULTS = (
    ANSWERED,
    SHORT_ABANDON,
    ABANDONED,
    OVERFLOWED,
    TIMED_OUT,
    FULL,
    NO_AGENT,
    CLOSED,
    CALLBACK_TAKEN,
    CALLBACK_MISSED,
    CALLBACK_EXPIRED,
    CALLBACK_CANCELLED,
    NOT_REACHED,
    ENDED_UNSEEN,
    FAILED,
)

_TECHNICAL = frozenset({"OUTAGE", "NETWORK_OUT_OF_ORDER", "MEDIA_TIMEOUT", "DESTINATION_OUT_OF_ORDER"})
"""Causes that no caller has: the bus was down for too long, or the media or the switch failed."""
_BY_LIMIT = {
    "max_wait": TIMED_OUT,
    "max_length": FULL,
    "no_agent": NO_AGENT,
    "no_answer": TIMED_OUT,
    "queue_removed": CLOSED,
    "closed": CLOSED,
    "key": OVERFLOWED,
}


def of_limit(reason: str, action: str) -> str:
    """How a contact ends that a limit sends out of the center."""
    return OVERFLOWED if action == "transfer" else _BY_LIMIT.get(reason, FAILED)


def of_hangup(cause: str, wait_ms: int, short_ms: int) -> str:
    """How a contact ends whose leg was over before anybody was bridged."""
    if cause in _TECHNICAL:
        return FAILED
    return SHORT_ABANDON if wait_ms < short_ms else ABANDONED
