-- The views that people, reports and dashboards read; their names and columns stay. Each exists twice: as it is named, over
-- everything, and with _between(from_day, to_day), which reads only the days that are named (UTC, both included).
-- A contact's facts may lie a day before or after its start, so readers ask for a margin and filter by the exact time.

CREATE VIEW IF NOT EXISTS ${database}.v_contacts_between ${on_cluster} AS
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
        c_routing_state.2 IN ('abandoned', 'overflowed', 'ended_unseen'), c_routing_state.2,
        c_ivr_outcome.2 != '', c_ivr_outcome.2,
        c_leg_ended_at_us.2 = 0, 'open',
        c_leg_state.2 = 'ivr', 'hung_up',
        c_leg_state.2 IN ('handover', 'waiting'), 'abandoned',
        'ended_unseen') AS outcome,
    multiIf(
        c_routing_state.2 IN ('completed', 'abandoned', 'overflowed', 'ended_unseen'), 'closed',
        c_ivr_outcome.2 != '' AND c_routing_state.2 = '', 'closed',
        c_leg_ended_at_us.2 > 0, 'closed',
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
    if(c_cause.2 != '', c_cause.2, c_leg_cause.2) AS cause,
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

CREATE VIEW IF NOT EXISTS ${database}.v_contacts ${on_cluster} AS
SELECT * FROM ${database}.v_contacts_between(from_day = '1970-01-01', to_day = '2149-06-06');

CREATE VIEW IF NOT EXISTS ${database}.v_offers_between ${on_cluster} AS
SELECT
    tenant,
    offer_id,
    c_contact_id.2 AS contact_id,
    c_agent_id.2 AS agent_id,
    c_queue.2 AS queue,
    c_node.2 AS node,
    c_extension.2 AS extension,
    c_attempt.2 AS attempt,
    c_rule.2 AS rule,
    c_candidates.2 AS candidates,
    c_idle_ms.2 AS idle_ms,
    c_waited_ms.2 AS waited_ms,
    c_ring_limit_ms.2 AS ring_limit_ms,
    if(c_made_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_made_at_us.2, 'UTC')) AS made_at,
    if(c_rang_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_rang_at_us.2, 'UTC')) AS rang_at,
    if(c_answered_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_answered_at_us.2, 'UTC')) AS answered_at,
    if(c_bridged_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_bridged_at_us.2, 'UTC')) AS bridged_at,
    if(c_ended_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_ended_at_us.2, 'UTC')) AS ended_at,
    c_outcome.2 AS outcome,
    c_observed_outcome.2 AS observed_outcome,
    c_cause.2 AS cause,
    c_ring_ms.2 AS ring_ms,
    c_answer_latency_ms.2 AS answer_latency_ms,
    c_agent_leg_id.2 AS agent_leg_id,
    c_talk_ms.2 AS talk_ms,
    c_hold_ms.2 AS hold_ms,
    c_ended_by.2 AS ended_by,
    c_disposition.2 AS disposition
FROM (
    SELECT
        tenant,
        offer_id,
        max(contact_id) AS c_contact_id,
        max(agent_id) AS c_agent_id,
        max(queue) AS c_queue,
        max(node) AS c_node,
        max(extension) AS c_extension,
        max(attempt) AS c_attempt,
        max(rule) AS c_rule,
        max(candidates) AS c_candidates,
        max(idle_ms) AS c_idle_ms,
        max(waited_ms) AS c_waited_ms,
        max(ring_limit_ms) AS c_ring_limit_ms,
        max(made_at_us) AS c_made_at_us,
        max(rang_at_us) AS c_rang_at_us,
        max(answered_at_us) AS c_answered_at_us,
        max(bridged_at_us) AS c_bridged_at_us,
        max(ended_at_us) AS c_ended_at_us,
        max(outcome) AS c_outcome,
        max(observed_outcome) AS c_observed_outcome,
        max(cause) AS c_cause,
        max(ring_ms) AS c_ring_ms,
        max(answer_latency_ms) AS c_answer_latency_ms,
        max(agent_leg_id) AS c_agent_leg_id,
        max(talk_ms) AS c_talk_ms,
        max(hold_ms) AS c_hold_ms,
        max(ended_by) AS c_ended_by,
        max(disposition) AS c_disposition
    FROM ${database}.offers
    WHERE day BETWEEN {from_day:Date} AND {to_day:Date}
    GROUP BY tenant, offer_id
);

CREATE VIEW IF NOT EXISTS ${database}.v_offers ${on_cluster} AS
SELECT * FROM ${database}.v_offers_between(from_day = '1970-01-01', to_day = '2149-06-06');

CREATE VIEW IF NOT EXISTS ${database}.v_legs_between ${on_cluster} AS
SELECT
    tenant,
    leg_id,
    c_from_socket.2 AS from_socket,
    c_from_spool.2 AS from_spool,
    c_contact_id.2 AS contact_id,
    c_offer_id.2 AS offer_id,
    c_agent_id.2 AS agent_id,
    c_role.2 AS role,
    c_queue.2 AS queue,
    c_entry_point.2 AS entry_point,
    c_state.2 AS state,
    c_node.2 AS node,
    c_direction.2 AS direction,
    c_ani.2 AS ani,
    c_caller_name.2 AS caller_name,
    c_destination.2 AS destination,
    if(c_started_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_started_at_us.2, 'UTC')) AS started_at,
    if(c_answered_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_answered_at_us.2, 'UTC')) AS answered_at,
    if(c_bridged_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_bridged_at_us.2, 'UTC')) AS bridged_at,
    if(c_ended_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_ended_at_us.2, 'UTC')) AS ended_at,
    c_duration_ms.2 AS duration_ms,
    c_billed_ms.2 AS billed_ms,
    c_hold_ms.2 AS hold_ms,
    c_hangup_cause.2 AS hangup_cause,
    c_cause_q850.2 AS cause_q850,
    c_sip_status.2 AS sip_status,
    c_sip_disposition.2 AS sip_disposition,
    c_codec.2 AS codec,
    c_remote_ip.2 AS remote_ip,
    c_user_agent.2 AS user_agent,
    c_mos_milli.2 AS mos_milli,
    c_packets_in.2 AS packets_in,
    c_packets_out.2 AS packets_out,
    c_packets_skipped.2 AS packets_skipped
FROM (
    SELECT
        tenant,
        leg_id,
        max(from_socket) AS c_from_socket,
        max(from_spool) AS c_from_spool,
        max(contact_id) AS c_contact_id,
        max(offer_id) AS c_offer_id,
        max(agent_id) AS c_agent_id,
        max(role) AS c_role,
        max(queue) AS c_queue,
        max(entry_point) AS c_entry_point,
        max(state) AS c_state,
        max(node) AS c_node,
        max(direction) AS c_direction,
        max(ani) AS c_ani,
        max(caller_name) AS c_caller_name,
        max(destination) AS c_destination,
        max(started_at_us) AS c_started_at_us,
        max(answered_at_us) AS c_answered_at_us,
        max(bridged_at_us) AS c_bridged_at_us,
        max(ended_at_us) AS c_ended_at_us,
        max(duration_ms) AS c_duration_ms,
        max(billed_ms) AS c_billed_ms,
        max(hold_ms) AS c_hold_ms,
        max(hangup_cause) AS c_hangup_cause,
        max(cause_q850) AS c_cause_q850,
        max(sip_status) AS c_sip_status,
        max(sip_disposition) AS c_sip_disposition,
        max(codec) AS c_codec,
        max(remote_ip) AS c_remote_ip,
        max(user_agent) AS c_user_agent,
        max(mos_milli) AS c_mos_milli,
        max(packets_in) AS c_packets_in,
        max(packets_out) AS c_packets_out,
        max(packets_skipped) AS c_packets_skipped
    FROM ${database}.legs
    WHERE day BETWEEN {from_day:Date} AND {to_day:Date}
    GROUP BY tenant, leg_id
);

CREATE VIEW IF NOT EXISTS ${database}.v_legs ${on_cluster} AS
SELECT * FROM ${database}.v_legs_between(from_day = '1970-01-01', to_day = '2149-06-06');

CREATE VIEW IF NOT EXISTS ${database}.v_recordings_between ${on_cluster} AS
SELECT
    tenant,
    recording_id,
    c_contact_id.2 AS contact_id,
    c_node.2 AS node,
    c_path.2 AS path,
    c_status.2 AS status,
    if(c_started_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_started_at_us.2, 'UTC')) AS started_at,
    if(c_stored_at_us.2 = 0, NULL, fromUnixTimestamp64Micro(c_stored_at_us.2, 'UTC')) AS stored_at,
    c_bytes.2 AS bytes,
    c_duration_ms.2 AS duration_ms,
    c_channels.2 AS channels,
    c_sample_rate.2 AS sample_rate,
    c_sha256.2 AS sha256,
    c_rms.2 AS rms,
    c_repaired.2 AS repaired,
    c_agent_id.2 AS agent_id,
    c_queue.2 AS queue,
    c_failure.2 AS failure
FROM (
    SELECT
        tenant,
        recording_id,
        max(contact_id) AS c_contact_id,
        max(node) AS c_node,
        max(path) AS c_path,
        max(status) AS c_status,
        max(started_at_us) AS c_started_at_us,
        max(stored_at_us) AS c_stored_at_us,
        max(bytes) AS c_bytes,
        max(duration_ms) AS c_duration_ms,
        max(channels) AS c_channels,
        max(sample_rate) AS c_sample_rate,
        max(sha256) AS c_sha256,
        max(rms) AS c_rms,
        max(repaired) AS c_repaired,
        max(agent_id) AS c_agent_id,
        max(queue) AS c_queue,
        max(failure) AS c_failure
    FROM ${database}.recordings
    WHERE day BETWEEN {from_day:Date} AND {to_day:Date}
    GROUP BY tenant, recording_id
);

CREATE VIEW IF NOT EXISTS ${database}.v_recordings ${on_cluster} AS
SELECT * FROM ${database}.v_recordings_between(from_day = '1970-01-01', to_day = '2149-06-06');

CREATE VIEW IF NOT EXISTS ${database}.v_facts ${on_cluster} AS
SELECT * FROM ${database}.facts FINAL;

CREATE VIEW IF NOT EXISTS ${database}.v_ivr_steps ${on_cluster} AS
SELECT * FROM ${database}.ivr_steps FINAL;

-- Intervals of presence and of activity. The last one of each agent is open: ended_at is NULL.
CREATE VIEW IF NOT EXISTS ${database}.v_agent_activity ${on_cluster} AS
SELECT
    tenant,
    agent_id,
    kind,
    id,
    value,
    reason,
    actor,
    contact_id,
    queue,
    at AS started_at,
    if(next_id = '', NULL, next_at) AS ended_at,
    if(next_id = '', 0, greatest(dateDiff('millisecond', at, next_at), 0)) AS duration_ms
FROM
(
    SELECT
        *,
        leadInFrame(at) OVER later AS next_at,
        leadInFrame(id) OVER later AS next_id
    FROM ${database}.agent_changes FINAL
    WINDOW later AS (
        PARTITION BY tenant, agent_id, kind ORDER BY seq, idx ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
);
