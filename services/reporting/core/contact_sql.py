"""A contact's card made legible: one row a contact out of its cells. The text of the view ``v_contacts_between``, and of settling.

ClickHouse writes a named term out wherever the name is used and understands the query of a view anew where it is read (adr/0066). So each term
is a column of a query below the one that uses it, and settling, which reads the cards every second or so, has the text without the view.
A test holds the two equal.
"""

from __future__ import annotations

from typing import Final

CONTACTS: Final = """\
SELECT
    tenant,
    contact_id,
    fromUnixTimestamp64Micro(began_us, 'UTC') AS started_at,
    start != '' AS counted,
    start,
    entry_point,
    node,
    ani,
    caller_name,
    language,
    customer,
    flow,
    revision,
    steps,
    ivr_node,
    ivr_ms,
    if(c_handed_over_at_us = 0, NULL, fromUnixTimestamp64Micro(c_handed_over_at_us, 'UTC')) AS handed_over_at,
    first_queue,
    queue,
    priority,
    c_waiting_since_us > 0 AS queued,
    if(c_waiting_since_us = 0, NULL, fromUnixTimestamp64Micro(c_waiting_since_us, 'UTC')) AS waiting_since,
    outcome,
    if(c_result NOT IN ('', 'ended_unseen'), c_result, outcome) AS result,
    transfers,
    state,
    if(c_connected_at_us = 0, NULL, fromUnixTimestamp64Micro(c_connected_at_us, 'UTC')) AS connected_at,
    if(c_connected_at_us > 0, c_answer_wait_ms, c_closed_wait_ms) AS wait_ms,
    talk_ms,
    hold_ms,
    wrap_up_ms,
    if(over_us = 0, NULL, fromUnixTimestamp64Micro(over_us, 'UTC')) AS ended_at,
    if(over_us = 0, 0, greatest(intDiv(over_us, 1000) - intDiv(began_us, 1000), 0)) AS total_ms,
    agent_id,
    offer_id,
    offers,
    overflow_reason,
    overflow_action,
    overflow_target,
    ended_by,
    if(c_cause NOT IN ('', 'UNSEEN'), c_cause, if(c_leg_cause != '', c_leg_cause, c_cause)) AS cause,
    disposition,
    disposition_by,
    recording_path
FROM (
    SELECT
        tenant,
        contact_id,
        start,
        entry_point,
        node,
        ani,
        caller_name,
        language,
        customer,
        flow,
        revision,
        steps,
        ivr_node,
        ivr_ms,
        first_queue,
        queue,
        priority,
        transfers,
        talk_ms,
        hold_ms,
        wrap_up_ms,
        agent_id,
        offer_id,
        offers,
        overflow_reason,
        overflow_action,
        overflow_target,
        ended_by,
        disposition,
        disposition_by,
        recording_path,
        c_handed_over_at_us,
        c_waiting_since_us,
        c_connected_at_us,
        c_result,
        c_answer_wait_ms,
        c_closed_wait_ms,
        c_cause,
        c_leg_cause,
        began_us,
        over_us,
        multiIf(
            c_connected_at_us > 0 OR c_routing_state = 'completed', 'answered',
            c_routing_state = 'ended_unseen' AND c_leg_state IN ('handover', 'waiting'), 'abandoned',
            c_routing_state IN ('abandoned', 'overflowed', 'ended_unseen', 'callback', 'not_reached'), c_routing_state,
            -- ivr saw only that the connection to the switch was gone; the leg's own record says where the caller was when they hung up.
            c_ivr_outcome = 'failed' AND c_cause = 'connection_lost' AND leg_over AND c_leg_state = 'ivr', 'hung_up',
            c_ivr_outcome = 'failed' AND c_cause = 'connection_lost' AND leg_over AND c_leg_state IN ('handover', 'waiting'), 'abandoned',
            c_ivr_outcome != '', c_ivr_outcome,
            leg_over = 0, 'open',
            c_leg_state = 'ivr', 'hung_up',
            c_leg_state IN ('handover', 'waiting'), 'abandoned',
            'ended_unseen') AS outcome,
        multiIf(
            c_routing_state IN ('completed', 'abandoned', 'overflowed', 'ended_unseen', 'callback', 'not_reached'), 'closed',
            c_ivr_outcome != '' AND c_routing_state = '', 'closed',
            leg_over, 'closed',
            c_routing_state != '', c_routing_state,
            c_handed_over_at_us > 0 OR c_waiting_since_us > 0, 'waiting',
            'ivr') AS state
    FROM (
        SELECT
            *,
            -- The leg's own record comes as a file or event beside the facts and may overtake them: for ten seconds they have the word.
            c_leg_ended_at_us > 0 AND c_leg_ended_at_us + 10000000 < toUnixTimestamp64Micro(now64(6, 'UTC')) AS leg_over,
            if(c_started_at_us > 0, c_started_at_us, if(c_first_seen_us > 0, c_first_seen_us, c_leg_ended_at_us)) AS began_us,
            if(c_ended_at_us > 0, c_ended_at_us, c_leg_ended_at_us) AS over_us
        FROM (
            SELECT
                tenant,
                contact_id,
                max(c.start).2 AS start,
                max(c.first_seen_us).2 AS c_first_seen_us,
                max(c.started_at_us).2 AS c_started_at_us,
                max(c.node).2 AS node,
                max(c.entry_point).2 AS entry_point,
                max(c.ani).2 AS ani,
                max(c.caller_name).2 AS caller_name,
                max(c.language).2 AS language,
                max(c.customer).2 AS customer,
                max(c.flow).2 AS flow,
                max(c.revision).2 AS revision,
                max(c.steps).2 AS steps,
                max(c.handed_over_at_us).2 AS c_handed_over_at_us,
                max(c.ivr_outcome).2 AS c_ivr_outcome,
                max(c.ivr_node).2 AS ivr_node,
                max(c.ivr_ms).2 AS ivr_ms,
                max(c.first_queue).2 AS first_queue,
                max(c.queue).2 AS queue,
                max(c.priority).2 AS priority,
                max(c.waiting_since_us).2 AS c_waiting_since_us,
                max(c.routing_state).2 AS c_routing_state,
                max(c.result).2 AS c_result,
                max(c.transfers).2 AS transfers,
                max(c.connected_at_us).2 AS c_connected_at_us,
                max(c.answer_wait_ms).2 AS c_answer_wait_ms,
                max(c.closed_wait_ms).2 AS c_closed_wait_ms,
                max(c.agent_id).2 AS agent_id,
                max(c.offer_id).2 AS offer_id,
                max(c.offers).2 AS offers,
                max(c.overflow_reason).2 AS overflow_reason,
                max(c.overflow_action).2 AS overflow_action,
                max(c.overflow_target).2 AS overflow_target,
                max(c.talk_ms).2 AS talk_ms,
                max(c.hold_ms).2 AS hold_ms,
                max(c.ended_at_us).2 AS c_ended_at_us,
                max(c.ended_by).2 AS ended_by,
                max(c.cause).2 AS c_cause,
                max(c.wrap_up_ms).2 AS wrap_up_ms,
                max(c.disposition).2 AS disposition,
                max(c.disposition_by).2 AS disposition_by,
                max(c.recording_path).2 AS recording_path,
                max(c.leg_ended_at_us).2 AS c_leg_ended_at_us,
                max(c.leg_cause).2 AS c_leg_cause,
                max(c.leg_state).2 AS c_leg_state
            FROM contacts AS c
            WHERE {where}
            GROUP BY tenant, contact_id
        )
    )
)
"""
"""``contacts`` where ``{where}`` holds; the columns of ``v_contacts_between``."""


def contacts(where: str) -> str:
    """The statement for contacts whose cells are found so."""
    return CONTACTS.format(where=where)
