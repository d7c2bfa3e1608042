-- How a contact ended in routing's words, which are finer than the outcome and as disjoint (services/routing/core/results.py), and how often it was
-- passed on. Who looks in the moment between a leg's record and routing's word about it sees an open contact.

ALTER TABLE ${database}.contacts ${on_cluster} ADD COLUMN IF NOT EXISTS result SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Result in routing\'s words: answered, short_abandon, abandoned, overflowed, timed_out, full, no_agent, closed, callback_taken ...' CODEC(ZSTD(1));

ALTER TABLE ${database}.contacts ${on_cluster} ADD COLUMN IF NOT EXISTS transfers SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'How often an agent passed it on' CODEC(ZSTD(1));

CREATE OR REPLACE VIEW ${database}.v_contacts_between ${on_cluster} AS
WITH
    -- The leg's own record comes as a file or event beside the facts and may overtake them: for ten seconds they have the word.
    c_leg_ended_at_us.2 > 0 AND c_leg_ended_at_us.2 + 10000000 < toUnixTimestamp64Micro(now64(6, 'UTC')) AS leg_over
SELECT
    tenant,
    contact_id,
    fromUnixTimestamp64Micro(if(c_started_at_us.2 > 0, c_started_at_us.2, if(c_first_seen_us.2 > 0, c_first_seen_us.2, c_leg_ended_at_us.2)), 'UTC') AS started_at,
    c_start.2 != '' AS counted,
    c_start.2 AS start,
    c_entry_point.2 AS entry_point,
    c_node.2 AS node,
    c_ani.2 AS ani,
    c_caller_name.2 AS caller_name,
    c_language.2 AS language,
    c_customer.2 AS customer,
    c_flow.2 AS flow,
    c_revision.2 AS revision,
    c_steps.2 AS steps,
    c_ivr_node.2 AS ivr_node,
    c_ivr_ms.2 AS ivr_ms,
    if(c_handed_over_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_handed_over_at_us.2, 'UTC')) AS handed_over_at,
    c_first_queue.2 AS first_queue,
    c_queue.2 AS queue,
    c_priority.2 AS priority,
    c_waiting_since_us.2 > 0 AS queued,
    if(c_waiting_since_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_waiting_since_us.2, 'UTC')) AS waiting_since,
    multiIf(
        c_connected_at_us.2 > 0 OR c_routing_state.2 = 'completed', 'answered',
        c_routing_state.2 = 'ended_unseen' AND c_leg_state.2 IN ('handover', 'waiting'), 'abandoned',
        c_routing_state.2 IN ('abandoned', 'overflowed', 'ended_unseen', 'callback'), c_routing_state.2,
        c_ivr_outcome.2 != '', c_ivr_outcome.2,
        leg_over = 0, 'open',
        c_leg_state.2 = 'ivr', 'hung_up',
        c_leg_state.2 IN ('handover', 'waiting'), 'abandoned',
        'ended_unseen') AS outcome,
    if(c_result.2 NOT IN ('', 'ended_unseen'), c_result.2, outcome) AS result,
    c_transfers.2 AS transfers,
    multiIf(
        c_routing_state.2 IN ('completed', 'abandoned', 'overflowed', 'ended_unseen', 'callback'), 'closed',
        c_ivr_outcome.2 != '' AND c_routing_state.2 = '', 'closed',
        leg_over, 'closed',
        c_routing_state.2 != '', c_routing_state.2,
        c_handed_over_at_us.2 > 0 OR c_waiting_since_us.2 > 0, 'waiting',
        'ivr') AS state,
    if(c_connected_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_connected_at_us.2, 'UTC')) AS connected_at,
    if(c_connected_at_us.2 > 0, c_answer_wait_ms.2, c_closed_wait_ms.2) AS wait_ms,
    c_talk_ms.2 AS talk_ms,
    c_hold_ms.2 AS hold_ms,
    c_wrap_up_ms.2 AS wrap_up_ms,
    if(greatest(c_ended_at_us.2, c_leg_ended_at_us.2) = 0, NULL, fromUnixTimestamp64Micro(if(c_ended_at_us.2 > 0, c_ended_at_us.2, c_leg_ended_at_us.2), 'UTC')) AS ended_at,
    if(ended_at IS NULL, 0, greatest(dateDiff('millisecond', started_at, assumeNotNull(ended_at)), 0)) AS total_ms,
    c_agent_id.2 AS agent_id,
    c_offer_id.2 AS offer_id,
    c_offers.2 AS offers,
    c_overflow_reason.2 AS overflow_reason,
    c_overflow_action.2 AS overflow_action,
    c_overflow_target.2 AS overflow_target,
    c_ended_by.2 AS ended_by,
    if(c_cause.2 NOT IN ('', 'UNSEEN'), c_cause.2, if(c_leg_cause.2 != '', c_leg_cause.2, c_cause.2)) AS cause,
    c_disposition.2 AS disposition,
    c_disposition_by.2 AS disposition_by,
    c_recording_path.2 AS recording_path
FROM (
    SELECT
        tenant,
        contact_id,
        max(start) AS c_start,
        max(first_seen_us) AS c_first_seen_us,
        max(started_at_us) AS c_started_at_us,
        max(node) AS c_node,
        max(entry_point) AS c_entry_point,
        max(ani) AS c_ani,
        max(caller_name) AS c_caller_name,
        max(language) AS c_language,
        max(customer) AS c_customer,
        max(flow) AS c_flow,
        max(revision) AS c_revision,
        max(steps) AS c_steps,
        max(handed_over_at_us) AS c_handed_over_at_us,
        max(ivr_outcome) AS c_ivr_outcome,
        max(ivr_node) AS c_ivr_node,
        max(ivr_ms) AS c_ivr_ms,
        max(first_queue) AS c_first_queue,
        max(queue) AS c_queue,
        max(priority) AS c_priority,
        max(waiting_since_us) AS c_waiting_since_us,
        max(routing_state) AS c_routing_state,
        max(result) AS c_result,
        max(transfers) AS c_transfers,
        max(connected_at_us) AS c_connected_at_us,
        max(answer_wait_ms) AS c_answer_wait_ms,
        max(closed_wait_ms) AS c_closed_wait_ms,
        max(agent_id) AS c_agent_id,
        max(offer_id) AS c_offer_id,
        max(offers) AS c_offers,
        max(overflow_reason) AS c_overflow_reason,
        max(overflow_action) AS c_overflow_action,
        max(overflow_target) AS c_overflow_target,
        max(talk_ms) AS c_talk_ms,
        max(hold_ms) AS c_hold_ms,
        max(ended_at_us) AS c_ended_at_us,
        max(ended_by) AS c_ended_by,
        max(cause) AS c_cause,
        max(wrap_up_ms) AS c_wrap_up_ms,
        max(disposition) AS c_disposition,
        max(disposition_by) AS c_disposition_by,
        max(recording_path) AS c_recording_path,
        max(leg_ended_at_us) AS c_leg_ended_at_us,
        max(leg_cause) AS c_leg_cause,
        max(leg_state) AS c_leg_state
    FROM ${database}.contacts
    WHERE day BETWEEN {from_day:Date} AND {to_day:Date}
    GROUP BY tenant, contact_id
);

CREATE OR REPLACE VIEW ${database}.v_contacts ${on_cluster} AS
SELECT * FROM ${database}.v_contacts_between(from_day = '1970-01-01', to_day = '2149-06-06');
