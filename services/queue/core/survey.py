"""The survey after a conversation: the caller's leg goes back to ivr, which asks; for routing the contact is over, and the agent writes up.

The flow that asks stands on the leg (``cc_survey``) together with ``cc_state=survey`` before the leg is sent, so a later owner finds a parked leg that is
still to be sent, or one that is with ivr. The dialplan's context ``survey`` ends the call whenever ivr lets go of it, or dies.
"""

from __future__ import annotations

import hashlib

from services.queue.core.legs import OUTBOUND
from services.queue.core.node import Node
from services.queue.core.outputs import RunSurvey, StopRecording
from services.queue.core.records import Caller, Stage
from services.queue.core.treatment import FAREWELL_LIMIT_MS, farewell, leave, stop_announcement

SURVEY = "survey"
UNWANTED = "-"  # cc_survey of a caller who does not want to be asked.


def part(node: Node, caller: Caller) -> None:
    """The conversation is over and the leg is parked: ask what is to be asked, or thank; then the end."""
    flow = flow_for(caller, node.at_us)
    if caller.stage is Stage.LEAVING or not flow:
        farewell(node, caller, "goodbye")
        return
    if caller.recording or caller.queue.recording:
        node.emit(StopRecording(contact=caller.contact, leg=caller.contact))
    stop_announcement(node, caller)
    leave(node, caller, SURVEY, cc_survey=flow)
    node.line("survey_begins", contact=caller.contact, tenant=caller.tenant, flow=flow)
    _send(node, caller)


def resume(node: Node, caller: Caller, *, silent: bool) -> None:
    """Another owner began it. A leg that is parked (``silent``) was never sent."""
    caller.stage = Stage.LEAVING
    if silent:
        _send(node, caller)
    else:
        _bound(node, caller)


def _send(node: Node, caller: Caller) -> None:
    caller.ended_by_us = True
    node.emit(RunSurvey(contact=caller.contact, leg=caller.contact))
    _bound(node, caller)


def _bound(node: Node, caller: Caller) -> None:
    # ivr keeps the time of the survey itself; a leg that outlives it is killed.
    node.timer(f"farewell:{caller.contact}", caller.center.survey_most_ms + FAREWELL_LIMIT_MS)


def flow_for(caller: Caller, at_us: int) -> str:
    """The flow that asks this caller; empty: none does. What was said before the queue comes first, then the queue's own."""
    if caller.leg.kind == OUTBOUND or caller.leg.survey == UNWANTED:
        return ""
    if caller.leg.survey:
        return caller.leg.survey if caller.leg.survey in caller.center.flows else ""
    plan = caller.queue.survey
    if plan is None or at_us - caller.bridged_at_us < plan.least_talk_ms * 1000:
        return ""
    return plan.flow if _draw(caller.contact) < plan.share else ""


def _draw(contact: str) -> int:
    """A number from 0 to 99, the same one for the same contact: another owner must not draw again."""
    return int.from_bytes(hashlib.blake2b(contact.encode(), digest_size=8).digest(), "big") % 100
