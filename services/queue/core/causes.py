"""From FreeSWITCH's causes to the outcome of an offer.

Measured on 1.10.12 with a scripted phone: 486 gives USER_BUSY, 603 and 403 CALL_REJECTED, 480 NO_USER_RESPONSE, no answer and
"100 Trying, then silence" both NO_ANSWER, an unregistered user SUBSCRIBER_ABSENT or USER_NOT_REGISTERED without any
channel. A local network failure (ICMP, closed port) looks like a remote 503: NORMAL_TEMPORARY_FAILURE.
"""

from __future__ import annotations

_OUTCOMES = {
    "NO_ANSWER": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "USER_BUSY": "busy",
    "CALL_REJECTED": "declined",
    "NORMAL_CLEARING": "declined",
    "SUBSCRIBER_ABSENT": "unreachable",
    "USER_NOT_REGISTERED": "unreachable",
    "UNALLOCATED_NUMBER": "unreachable",
    "RECOVERY_ON_TIMER_EXPIRE": "unreachable",
    "NORMAL_TEMPORARY_FAILURE": "unreachable",
    "NO_ROUTE_DESTINATION": "unreachable",
    "NETWORK_OUT_OF_ORDER": "unreachable",
    "GATEWAY_DOWN": "unreachable",
    "NOT_CONFIRMED": "no_answer",
    "ORIGINATOR_CANCEL": "withdrawn",
    "LOSE_RACE": "withdrawn",
}


NODE_LOST = frozenset({"MEDIA_TIMEOUT", "RECOVERY_ON_TIMER_EXPIRE", "NORMAL_TEMPORARY_FAILURE"})
"""What a leg through another node ends with when that node is gone: silence, no answer to the INVITE or to the session timer's
refresh, a closed port. What is the phone's fault has another cause there (dialplan ``nodes``)."""


def outcome_of(cause: str, *, elsewhere: bool = False) -> str:
    """Return the offer's outcome for a hangup or originate cause; ``failed`` for whatever is not known.

    ``elsewhere``: the leg went through another node, whose failure is none of the agent's.
    """
    if elsewhere and cause in NODE_LOST:
        return "failed"
    return _OUTCOMES.get(cause, "failed")


def cause_of(job_text: str) -> str:
    """Return the cause in the body of an originate's BACKGROUND_JOB (``-ERR USER_BUSY``), empty when there is none."""
    words = job_text.split()
    return words[1] if len(words) > 1 and words[0] == "-ERR" else ""
