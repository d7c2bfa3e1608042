"""FreeSWITCH's own records of legs (mod_json_cdr, mod_cdr_csv), with mod_callcenter's variables, to legs and contacts.

A leg's record is a row of ``legs``. It is also a contact when it is the caller's leg of a queue (``cc_side`` is ``member``), or came in
from outside to a number of the mapping file (FusionPBX's ``call_direction`` says ``inbound`` without one). mod_callcenter writes
the times of a caller's stay on that leg in whole seconds; a bridge to the agent is on it to the microsecond, and wins where the two
agree. An agent's leg is an offer: accepted when it was bridged, else by its cause of hangup.

A caller who went through several queues shows the last one only: mod_callcenter overwrites its variables. Its records say nothing of
after-call work, and of agents' times only the ringing and the talks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from services.reporting.core.imports.clock import MOST_S
from services.reporting.core.imports.names import AgentName, Names, QueueName
from services.reporting.core.imports.records import (
    BadLine,
    Contact,
    Derive,
    History,
    Interval,
    Offer,
    Stretch,
    cut_at_midnight,
    linked,
    result_of,
)
from services.reporting.core.legs import Leg, whole

_KNOWN: Final = 1 << 24
"""The version of what a leg's own record tells: there is only one."""

_REASONS: Final = {
    # mod_callcenter's cc_cancel_reason: outcome, result, reason of the way out
    "TIMEOUT": ("overflowed", "timed_out", "max_wait"),
    "NO_AGENT_TIMEOUT": ("overflowed", "no_agent", "no_agent"),
    "EXIT_WITH_KEY": ("overflowed", "overflowed", "key"),
}
"""BREAK_OUT and NONE are callers who hung up, and whoever was transferred out: the module does not tell them apart."""

_MISSED: Final = {
    "USER_BUSY": "busy",
    "CALL_REJECTED": "declined",
    "ORIGINATOR_CANCEL": "withdrawn",
    "LOSE_RACE": "withdrawn",
    "PICKED_OFF": "withdrawn",
    "NO_ANSWER": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "USER_NOT_REGISTERED": "unreachable",
    "SUBSCRIBER_ABSENT": "unreachable",
    "DESTINATION_OUT_OF_ORDER": "unreachable",
    "RECOVERY_ON_TIMER_EXPIRE": "unreachable",
}


def history_of(leg: Leg, variables: Mapping[str, str], names: Names, tenant: str, derive: Derive) -> History:
    """Everything that one leg's record tells. ``leg`` is what ``leg_of`` made of the same variables.

    Raises BadLine for a leg without a credible start.
    """
    if not 0 < leg.started_at_us < MOST_S * 1_000_000 or leg.ended_at_us >= MOST_S * 1_000_000:
        raise BadLine("expected a start and an end between 1970 and 2100")
    side = variables.get("cc_side", "")
    queue = names.queue(variables.get("cc_queue", "")) if variables.get("cc_queue") else QueueName("")
    agent = names.agent(variables.get("cc_agent", ""))
    leg = msgspec.structs.replace(leg, tenant=tenant, queue=queue.queue, agent_id=agent.agent)
    if side == "agent":
        member = variables.get("cc_member_session_uuid", "")
        leg = msgspec.structs.replace(leg, role="agent", contact_id=member)
        return _agent_leg(leg, variables, queue, agent, derive)
    if side == "member" or _from_outside(leg, variables, names):
        entry = names.number(leg.destination)
        leg = msgspec.structs.replace(leg, role="caller", contact_id=leg.leg_id, entry_point=entry)
        return _member_leg(leg, variables, queue, agent)
    return History(legs=(leg,))


def _from_outside(leg: Leg, variables: Mapping[str, str], names: Names) -> bool:
    return leg.destination in names.numbers or variables.get("call_direction", "") == "inbound"


def _seconds(variables: Mapping[str, str], name: str) -> int:
    return min(whole(variables.get(name, "")), MOST_S) * 1_000_000


def _agent_leg(
    leg: Leg, variables: Mapping[str, str], queue: QueueName, agent: AgentName, derive: Derive
) -> History:
    accepted = variables.get("cc_agent_bridged", "") == "true" or leg.bridged_at_us > 0
    outcome = "accepted" if accepted else _MISSED.get(leg.hangup_cause, "failed")
    rang_until = leg.answered_at_us or leg.ended_at_us
    talk_from = leg.bridged_at_us or leg.answered_at_us
    offer = Offer(
        tenant=leg.tenant,
        offer_id=derive("import", "leg", leg.leg_id),
        contact_id=leg.contact_id,
        agent_id=agent.agent,
        queue=queue.queue,
        made_at_us=leg.started_at_us,
        answered_at_us=leg.answered_at_us,
        bridged_at_us=talk_from if accepted else 0,
        ended_at_us=talk_from if accepted else leg.ended_at_us,
        outcome=outcome,
        cause="" if accepted else leg.hangup_cause,
        ring_ms=max(rang_until - leg.started_at_us, 0) // 1000,
        agent_leg_id=leg.leg_id,
        talk_ms=max(leg.ended_at_us - talk_from, 0) // 1000 if accepted else 0,
    )
    times = [("ringing", leg.started_at_us, rang_until)]
    if accepted:
        times.append(("talking", talk_from, leg.ended_at_us))
    intervals = tuple(
        part
        for value, from_us, to_us in times
        if to_us > from_us > 0 and agent.agent
        for part in cut_at_midnight(
            Interval(
                tenant=leg.tenant,
                agent_id=agent.agent,
                team=agent.team,
                kind="activity",
                value=value,
                contact_id=leg.contact_id,
                queue=queue.queue,
                started_at=from_us,
                ended_at=to_us,
            )
        )
    )
    return History(
        legs=(msgspec.structs.replace(leg, offer_id=offer.offer_id),), offers=(offer,), intervals=intervals
    )


def _member_leg(leg: Leg, variables: Mapping[str, str], queue: QueueName, agent: AgentName) -> History:
    started = leg.started_at_us or leg.answered_at_us or leg.ended_at_us
    ended = max(leg.ended_at_us, started)
    joined = _seconds(variables, "cc_queue_joined_epoch")
    queued = joined > 0 or bool(queue.queue)
    # Whole seconds, cut off: the caller joined within the second, and not before the leg began.
    joined = min(max(joined, started), ended) if queued else 0
    answered = _seconds(variables, "cc_queue_answered_epoch")
    connected = 0
    if answered:
        bridged = leg.bridged_at_us
        connected = bridged if -1_000_000 <= bridged - answered <= 2_000_000 else answered
        connected = min(max(connected, joined), ended)
    talk_ms = (_terminated(variables, ended, connected) - connected) // 1000 if connected else 0
    left = min(max(_seconds(variables, "cc_queue_canceled_epoch") or ended, joined), ended)
    if connected:
        outcome, result, reason = "answered", "answered", ""
    elif queued:
        outcome, result, reason = _REASONS.get(variables.get("cc_cancel_reason", ""), ("abandoned", "", ""))
    else:
        outcome, result, reason = ("transferred" if leg.bridged_at_us else "hung_up"), "", ""
    wait_ms = ((connected or left) - joined) // 1000 if queued else 0
    target_ms, short_ms = queue.service_level_s * 1000, queue.short_abandon_s * 1000
    stretches = []
    if queued:
        stretches.append(
            Stretch(
                kind="queue",
                queue=queue.queue,
                started_at=joined,
                ended_at=connected or left,
                wait_ms=wait_ms,
                outcome=outcome,
                ended_by="caller" if outcome == "abandoned" else "",
                target_ms=target_ms,
                short_ms=short_ms,
            )
        )
    ended_by = _ended_by(leg) if connected else "caller" if outcome == "abandoned" else ""
    if connected:
        stretches.append(
            Stretch(
                kind="agent",
                queue=queue.queue,
                agent_id=agent.agent,
                team=agent.team,
                agent_leg_id=variables.get("cc_agent_uuid", ""),
                started_at=connected,
                ended_at=connected + talk_ms * 1000,
                talk_ms=talk_ms,
                outcome="completed",
                ended_by=ended_by,
                target_ms=target_ms,
                short_ms=short_ms,
            )
        )
    contact = Contact(
        tenant=leg.tenant,
        contact_id=leg.leg_id,
        started_at=started,
        start="queue" if queued else "ivr",
        entry_point=leg.entry_point,
        node=leg.node,
        ani=leg.ani,
        caller_name=leg.caller_name,
        first_queue=queue.queue,
        queue=queue.queue,
        queued=queued,
        waiting_since=joined,
        connected_at=connected,
        ended_at=ended,
        outcome=outcome,
        result=result or (result_of(outcome, wait_ms, short_ms) if queued else ""),
        wait_ms=wait_ms,
        talk_ms=talk_ms,
        hold_ms=leg.hold_ms,
        total_ms=(ended - started) // 1000,
        offers=1 if connected else 0,
        agent_id=agent.agent if connected else "",
        team=agent.team if connected else "",
        overflow_reason=reason,
        ended_by=ended_by,
        cause=leg.hangup_cause,
        recording_path=variables.get("cc_record_filename", ""),
        target_ms=target_ms,
        short_ms=short_ms,
        mos_milli=leg.mos_milli,
        billed_ms=leg.billed_ms,
        version=_KNOWN,
    )
    segments = linked(leg.tenant, leg.leg_id, stretches, _KNOWN)
    return History(contact=contact, segments=segments, legs=(leg,))


def _terminated(variables: Mapping[str, str], ended: int, connected: int) -> int:
    """The end of the talk: the module's own time when it is earlier than the leg's end (the caller was sent on)."""
    said = _seconds(variables, "cc_queue_terminated_epoch")
    return max(said if 0 < said < ended - 1_000_000 else ended, connected)


def _ended_by(leg: Leg) -> str:
    """Who hung up a caller's leg, by its SIP disposition: a BYE that came was the caller's."""
    if leg.sip_disposition.startswith("recv_"):
        return "caller"
    return "agent" if leg.sip_disposition.startswith("send_") else ""
