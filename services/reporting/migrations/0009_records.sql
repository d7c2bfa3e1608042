-- Records and 15-minute states: what reports over days to years read. Plain columns, a row a thing, derived from the facts and cards by
-- services/reporting/core/settling and replaced whole: never added up, so nothing is counted twice.
--
-- ReplacingMergeTree(version, deleted): the row with the greatest version is the truth, and one that says deleted is gone. Read the views.

CREATE TABLE IF NOT EXISTS ${database}.contact_records ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day of started_at',
    contact_id String COMMENT 'UUID of the first leg, or the id that its channel gave it' CODEC(ZSTD(1)),
    started_at DateTime64(6, 'UTC') COMMENT 'Start of the contact' CODEC(ZSTD(1)),
    counted Bool COMMENT 'False while only legs or recordings of it are known',
    start LowCardinality(String) COMMENT 'Where it came from: ivr, queue (ivr was dead), callback, outbound, or its channel (chat, email ...)',
    channel LowCardinality(String) COMMENT 'voice, chat, email or what the center document names',
    entry_point LowCardinality(String) COMMENT 'Called number',
    node LowCardinality(String) COMMENT 'FreeSWITCH node of the first leg',
    ani String COMMENT 'Calling number or address, empty when withheld' CODEC(ZSTD(1)),
    caller_name String COMMENT 'Name that came with it' CODEC(ZSTD(1)),
    language LowCardinality(String) COMMENT 'Language that the caller chose or the entry point has',
    customer String COMMENT 'Customer\'s reference given by the flow' CODEC(ZSTD(1)),
    flow LowCardinality(String) COMMENT 'Flow of the entry point',
    revision LowCardinality(String) COMMENT 'Revision of the center document that the contact keeps',
    steps UInt32 COMMENT 'Steps that it took in flows' CODEC(T64, ZSTD(1)),
    ivr_node LowCardinality(String) COMMENT 'Node of the flow where it ended, when it ended there',
    ivr_ms Int64 COMMENT 'Time inside ivr of a call that ended there' CODEC(T64, ZSTD(1)),
    handed_over_at Nullable(DateTime64(6, 'UTC')) COMMENT 'ivr let go of it' CODEC(ZSTD(1)),
    first_queue LowCardinality(String) COMMENT 'Queue that it entered first',
    queue LowCardinality(String) COMMENT 'Queue that it was in last',
    queued Bool COMMENT 'It has waited in a queue',
    priority Int32 COMMENT 'Higher is served sooner' CODEC(T64, ZSTD(1)),
    skills Array(LowCardinality(String)) COMMENT 'Skills that its first queueing asked for, as name:level' CODEC(ZSTD(1)),
    service_class LowCardinality(String) COMMENT 'Class of the customer; gives a head start',
    waiting_since Nullable(DateTime64(6, 'UTC')) COMMENT 'Parked for the first time' CODEC(ZSTD(1)),
    connected_at Nullable(DateTime64(6, 'UTC')) COMMENT 'First conversation began' CODEC(ZSTD(1)),
    ended_at Nullable(DateTime64(6, 'UTC')) COMMENT 'End of the contact' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'answered, abandoned, overflowed, callback, not_reached, ended_unseen; of the menu: hung_up, closed, transferred, finished, failed; open',
    result LowCardinality(String) COMMENT 'The finer word, as routing says it: short_abandon, timed_out, full, no_agent, callback_taken ...',
    state LowCardinality(String) COMMENT 'ivr, waiting, talking, closed',
    wait_ms Int64 COMMENT 'Wait up to the first conversation, or up to the end' CODEC(T64, ZSTD(1)),
    talk_ms Int64 COMMENT 'Time in conversation, holds included' CODEC(T64, ZSTD(1)),
    hold_ms Int64 COMMENT 'Time on hold' CODEC(T64, ZSTD(1)),
    wrap_up_ms Int64 COMMENT 'After-call work for it, of all its agents' CODEC(T64, ZSTD(1)),
    total_ms Int64 COMMENT 'From start to end; 0 while it goes on' CODEC(T64, ZSTD(1)),
    offers UInt32 COMMENT 'How many agents it was offered to' CODEC(T64, ZSTD(1)),
    offers_missed UInt32 COMMENT 'Its offers that ended otherwise than accepted or withdrawn' CODEC(T64, ZSTD(1)),
    transfers UInt32 COMMENT 'How often an agent passed it on' CODEC(T64, ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent of the last conversation',
    team LowCardinality(String) COMMENT 'The agent\'s team at that time',
    offer_id String COMMENT 'Offer that led to the last conversation' CODEC(ZSTD(1)),
    overflow_reason LowCardinality(String) COMMENT 'max_wait, max_length, no_agent, closed, queue_removed, key',
    overflow_action LowCardinality(String) COMMENT 'queue, transfer, voicemail, hangup, callback',
    overflow_target LowCardinality(String) COMMENT 'Queue, number or prompt',
    ended_by LowCardinality(String) COMMENT 'caller, agent, system',
    cause LowCardinality(String) COMMENT 'FreeSWITCH\'s cause',
    disposition LowCardinality(String) COMMENT 'Code that the agent gave',
    disposition_by LowCardinality(String) COMMENT 'key, http, code, timeout',
    recording_path String COMMENT 'Below the recordings folder' CODEC(ZSTD(1)),
    target_ms UInt32 COMMENT 'Service level target T of its queue in the center document in force at waiting_since' CODEC(T64, ZSTD(1)),
    short_ms UInt32 COMMENT 'Short abandon S of its queue, likewise' CODEC(T64, ZSTD(1)),
    mos_milli UInt32 COMMENT 'Mean opinion score of what FreeSWITCH received of the caller\'s leg, in thousandths; 0: not measured' CODEC(T64, ZSTD(1)),
    jitter_us UInt32 COMMENT 'Jitter of what FreeSWITCH received of the caller\'s leg: standard deviation of the packets\' spacing, microseconds; 0: not measured' CODEC(T64, ZSTD(1)),
    packet_loss_ppm UInt32 COMMENT 'Packets of the caller\'s leg that were missing, in a million expected ones' CODEC(T64, ZSTD(1)),
    billed_ms Int64 COMMENT 'Sum of its legs\' time from answer to end' CODEC(T64, ZSTD(1)),
    csat Nullable(Float32) COMMENT 'Share of its scores of a scale that ends at 5 which were one of the two highest, 0 to 1; NULL without any' CODEC(ZSTD(1)),
    nps Nullable(Int8) COMMENT '1 promoter (9 or 10 of ten), 0 passive, -1 detractor (0 to 6); NULL when not asked' CODEC(ZSTD(1)),
    related_contact_id String COMMENT 'Contact that it follows from: the one that asked for this callback; empty otherwise' CODEC(ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)',
    INDEX by_id contact_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_ani ani TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, contact_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.segments ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day of started_at',
    contact_id String COMMENT 'Contact' CODEC(ZSTD(1)),
    segment_no UInt16 COMMENT 'From 1 on, in the order of routing\'s log' CODEC(T64, ZSTD(1)),
    segment_id String COMMENT 'contact_id-segment_no' CODEC(ZSTD(1)),
    initial_segment_id String COMMENT 'First segment of the contact' CODEC(ZSTD(1)),
    previous_segment_id String COMMENT 'The one before; empty for the first' CODEC(ZSTD(1)),
    next_segment_id String COMMENT 'The one after; empty for the last' CODEC(ZSTD(1)),
    related_contact_id String COMMENT 'Contact that it follows from: the one that asked for this callback; empty otherwise' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'queue (a stay in one) or agent (with one)',
    queue LowCardinality(String) COMMENT 'Queue',
    agent_id LowCardinality(String) COMMENT 'Agent, of a segment of the kind agent',
    team LowCardinality(String) COMMENT 'The agent\'s team at that time',
    offer_id String COMMENT 'Offer that led to the agent' CODEC(ZSTD(1)),
    agent_leg_id String COMMENT 'UUID of the agent\'s leg' CODEC(ZSTD(1)),
    channel LowCardinality(String) COMMENT 'voice, chat, email or what the center document names',
    reason LowCardinality(String) COMMENT 'Why it began: arrived, overflow, transfer, consult, callback, return, outbound',
    started_at DateTime64(6, 'UTC') COMMENT 'Entered the queue, or was connected with the agent' CODEC(ZSTD(1)),
    ended_at Nullable(DateTime64(6, 'UTC')) COMMENT 'NULL: goes on' CODEC(ZSTD(1)),
    wait_ms Int64 COMMENT 'Of a stay in a queue: its length' CODEC(T64, ZSTD(1)),
    ring_ms Int64 COMMENT 'Ringing of the offer that led to the agent' CODEC(T64, ZSTD(1)),
    talk_ms Int64 COMMENT 'Time in conversation, holds included' CODEC(T64, ZSTD(1)),
    hold_ms Int64 COMMENT 'Time on hold' CODEC(T64, ZSTD(1)),
    wrap_up_ms Int64 COMMENT 'After-call work' CODEC(T64, ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'queue: answered, abandoned, overflowed, transferred, callback, not_reached, ended_unseen; agent: completed, transferred, consulted, returned, ended_unseen; open',
    ended_by LowCardinality(String) COMMENT 'caller, agent, system',
    target_ms UInt32 COMMENT 'Service level target T of the queue in force when it began' CODEC(T64, ZSTD(1)),
    short_ms UInt32 COMMENT 'Short abandon S of the queue, likewise' CODEC(T64, ZSTD(1)),
    disposition LowCardinality(String) COMMENT 'Code that the agent gave',
    mos_milli UInt32 COMMENT 'Mean opinion score of what FreeSWITCH received of the agent\'s leg, in thousandths; 0: not measured' CODEC(T64, ZSTD(1)),
    jitter_us UInt32 COMMENT 'Jitter of what FreeSWITCH received of the agent\'s leg: standard deviation of the packets\' spacing, microseconds; 0: not measured' CODEC(T64, ZSTD(1)),
    packet_loss_ppm UInt32 COMMENT 'Packets of the agent\'s leg that were missing, in a million expected ones' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)',
    INDEX by_id contact_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, contact_id, segment_no)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.agent_intervals ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day of started_at',
    agent_id LowCardinality(String) COMMENT 'Agent',
    kind LowCardinality(String) COMMENT 'presence (what the person says) or activity (what the system sees)',
    started_at DateTime64(6, 'UTC') COMMENT 'When it began' CODEC(Delta, ZSTD(1)),
    place UInt64 COMMENT 'Of the change in routing\'s log; tells apart what began in the same microsecond' CODEC(T64, ZSTD(1)),
    team LowCardinality(String) COMMENT 'The agent\'s team when it began',
    value LowCardinality(String) COMMENT 'presence: available, break, offline; activity: idle, offered, ringing, talking, held, wrap_up, closing, own_call, unreachable, handling',
    reason LowCardinality(String) COMMENT 'Break reason, or no_answer, declined, busy, unreachable, removed',
    contact_id String COMMENT 'Contact, where there is one' CODEC(ZSTD(1)),
    queue LowCardinality(String) COMMENT 'Queue, where there is one',
    ended_at Nullable(DateTime64(6, 'UTC')) COMMENT 'NULL: goes on' CODEC(Delta, ZSTD(1)),
    ms Int64 COMMENT 'Its length; 0 while it goes on' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)'
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, agent_id, kind, started_at, place)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.center_agents ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    agent_id LowCardinality(String) COMMENT 'Agent',
    valid_from DateTime64(6, 'UTC') COMMENT 'From here on it was so, up to the next row of the agent',
    name Map(LowCardinality(String), String) COMMENT 'Name by language',
    team LowCardinality(String) COMMENT 'Team, empty for none',
    skills Array(LowCardinality(String)) COMMENT 'Skills as name:level',
    queues Array(LowCardinality(String)) COMMENT 'Queues that the agent works for',
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)'
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
ORDER BY (tenant, agent_id, valid_from)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.center_queues ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    queue LowCardinality(String) COMMENT 'Queue',
    valid_from DateTime64(6, 'UTC') COMMENT 'From here on it was so, up to the next row of the queue',
    name Map(LowCardinality(String), String) COMMENT 'Name by language',
    target_ms UInt32 COMMENT 'Service level target T' CODEC(T64, ZSTD(1)),
    short_ms UInt32 COMMENT 'Short abandon S' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)'
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
ORDER BY (tenant, queue, valid_from)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.queue_15m ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    at DateTime('UTC') COMMENT 'Start of the 15 minutes' CODEC(DoubleDelta, ZSTD(1)),
    day Date COMMENT 'UTC day of at',
    queue LowCardinality(String) COMMENT 'Queue',
    channel LowCardinality(String) COMMENT 'voice, chat, email or what the center document names',
    offered UInt64 COMMENT 'Stays in the queue that began in these 15 minutes' CODEC(T64, ZSTD(1)),
    answered UInt64 COMMENT 'Of them: ended with an agent' CODEC(T64, ZSTD(1)),
    answered_within UInt64 COMMENT 'Answered within the queue\'s target T' CODEC(T64, ZSTD(1)),
    abandoned UInt64 COMMENT 'Of them: the customer left while waiting' CODEC(T64, ZSTD(1)),
    abandoned_within UInt64 COMMENT 'Abandoned within T' CODEC(T64, ZSTD(1)),
    abandoned_short UInt64 COMMENT 'Abandoned before S; they are in abandoned, too' CODEC(T64, ZSTD(1)),
    overflowed UInt64 COMMENT 'Of them: a limit of the queue sent them elsewhere' CODEC(T64, ZSTD(1)),
    transferred_out UInt64 COMMENT 'Of them: somebody passed the contact on while it waited' CODEC(T64, ZSTD(1)),
    other_ended UInt64 COMMENT 'Of them: ended otherwise (callback taken, not reached, end unseen)' CODEC(T64, ZSTD(1)),
    still_open UInt64 COMMENT 'Of them: go on' CODEC(T64, ZSTD(1)),
    wait_answered_ms UInt64 COMMENT 'Waits of the answered' CODEC(T64, ZSTD(1)),
    wait_abandoned_ms UInt64 COMMENT 'Waits of the abandoned' CODEC(T64, ZSTD(1)),
    wait_max_ms UInt64 COMMENT 'Longest wait of all of them' CODEC(T64, ZSTD(1)),
    handled UInt64 COMMENT 'Conversations for the queue that began in these 15 minutes' CODEC(T64, ZSTD(1)),
    talk_ms UInt64 COMMENT 'Talk of the handled, holds included' CODEC(T64, ZSTD(1)),
    hold_ms UInt64 COMMENT 'Hold of the handled' CODEC(T64, ZSTD(1)),
    wrap_up_ms UInt64 COMMENT 'After-call work of the handled' CODEC(T64, ZSTD(1)),
    wait_state AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95), Int64) COMMENT 'Quantiles of the waits of the answered; quantilesTDigestMerge(0.5, 0.9, 0.95)' CODEC(ZSTD(1)),
    talk_state AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95), Int64) COMMENT 'Quantiles of the talks of the handled' CODEC(ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)'
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, at, queue, channel)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.agent_15m ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    at DateTime('UTC') COMMENT 'Start of the 15 minutes' CODEC(DoubleDelta, ZSTD(1)),
    day Date COMMENT 'UTC day of at',
    agent_id LowCardinality(String) COMMENT 'Agent',
    team LowCardinality(String) COMMENT 'Team, as it was when these 15 minutes began or the agent was first seen in them',
    logged_in_ms UInt64 COMMENT 'Presence available or break' CODEC(T64, ZSTD(1)),
    available_ms UInt64 COMMENT 'Presence available' CODEC(T64, ZSTD(1)),
    break_ms UInt64 COMMENT 'Presence break' CODEC(T64, ZSTD(1)),
    idle_ms UInt64 COMMENT 'Activity idle while logged in' CODEC(T64, ZSTD(1)),
    offered_ms UInt64 COMMENT 'Activity offered or ringing' CODEC(T64, ZSTD(1)),
    talking_ms UInt64 COMMENT 'Activity talking' CODEC(T64, ZSTD(1)),
    held_ms UInt64 COMMENT 'Activity held' CODEC(T64, ZSTD(1)),
    wrap_up_ms UInt64 COMMENT 'Activity wrap_up' CODEC(T64, ZSTD(1)),
    handling_ms UInt64 COMMENT 'Activity handling: contacts of other channels, no call' CODEC(T64, ZSTD(1)),
    closing_ms UInt64 COMMENT 'Activity closing: answered in vain, on the line still' CODEC(T64, ZSTD(1)),
    own_call_ms UInt64 COMMENT 'Activity own_call' CODEC(T64, ZSTD(1)),
    unreachable_ms UInt64 COMMENT 'Activity unreachable while logged in' CODEC(T64, ZSTD(1)),
    handled UInt64 COMMENT 'Conversations that began in these 15 minutes' CODEC(T64, ZSTD(1)),
    talk_ms UInt64 COMMENT 'Their talk, holds included' CODEC(T64, ZSTD(1)),
    hold_ms UInt64 COMMENT 'Their hold' CODEC(T64, ZSTD(1)),
    acw_ms UInt64 COMMENT 'Their after-call work' CODEC(T64, ZSTD(1)),
    transfers UInt64 COMMENT 'Of them: the agent passed the contact on' CODEC(T64, ZSTD(1)),
    offers UInt64 COMMENT 'Offers made to the agent in these 15 minutes' CODEC(T64, ZSTD(1)),
    offers_accepted UInt64 COMMENT 'Of them: accepted' CODEC(T64, ZSTD(1)),
    offers_missed UInt64 COMMENT 'Of them: ended otherwise than accepted or withdrawn' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)'
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, at, agent_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.evaluations ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day of at',
    evaluation_id String COMMENT 'Evaluation: one form filled in for one contact' CODEC(ZSTD(1)),
    question LowCardinality(String) COMMENT 'Question; a row each',
    contact_id String COMMENT 'Contact' CODEC(ZSTD(1)),
    segment_id String COMMENT 'Segment that was judged; empty for the whole contact' CODEC(ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent',
    form LowCardinality(String) COMMENT 'Form',
    score Int32 COMMENT 'Points given' CODEC(T64, ZSTD(1)),
    most Int32 COMMENT 'Points that can be had' CODEC(T64, ZSTD(1)),
    comment String COMMENT 'In the evaluator\'s words' CODEC(ZSTD(3)),
    evaluator LowCardinality(String) COMMENT 'role:subject of the token',
    at DateTime64(6, 'UTC') COMMENT 'When it was given' CODEC(ZSTD(1)),
    version UInt64 COMMENT 'How much was known when it was settled; the greatest is the truth' CODEC(T64, ZSTD(1)),
    deleted UInt8 COMMENT '1: there is no such row any more (what it told is in another one)',
    INDEX by_contact contact_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, evaluation_id, question)
SETTINGS ${dedup_window};

ALTER TABLE ${database}.legs ${on_cluster} ADD COLUMN IF NOT EXISTS jitter_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Jitter of what we received: standard deviation of the packets\' spacing, microseconds' CODEC(ZSTD(1));

ALTER TABLE ${database}.legs ${on_cluster} ADD COLUMN IF NOT EXISTS packet_loss_ppm SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Packets of the other side that were missing, in a million expected ones' CODEC(ZSTD(1));

CREATE OR REPLACE VIEW ${database}.v_legs_between ${on_cluster} AS
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
    c_packets_skipped.2 AS packets_skipped,
    c_jitter_us.2 AS jitter_us,
    c_packet_loss_ppm.2 AS packet_loss_ppm
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
        max(packets_skipped) AS c_packets_skipped,
        max(jitter_us) AS c_jitter_us,
        max(packet_loss_ppm) AS c_packet_loss_ppm
    FROM ${database}.legs
    WHERE day BETWEEN {from_day:Date} AND {to_day:Date}
    GROUP BY tenant, leg_id
);

CREATE OR REPLACE VIEW ${database}.v_legs ${on_cluster} AS
SELECT * FROM ${database}.v_legs_between(from_day = '1970-01-01', to_day = '2149-06-06');

CREATE OR REPLACE VIEW ${database}.v_contacts ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.contact_records FINAL;

CREATE OR REPLACE VIEW ${database}.v_segments ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.segments FINAL;

CREATE OR REPLACE VIEW ${database}.v_agent_intervals ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.agent_intervals FINAL;

CREATE OR REPLACE VIEW ${database}.v_center_agents ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.center_agents FINAL;

CREATE OR REPLACE VIEW ${database}.v_center_queues ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.center_queues FINAL;

CREATE OR REPLACE VIEW ${database}.v_queue_15m ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.queue_15m FINAL;

CREATE OR REPLACE VIEW ${database}.v_agent_15m ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.agent_15m FINAL;

CREATE OR REPLACE VIEW ${database}.v_evaluations ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.evaluations FINAL;

-- A row a day (UTC) and queue. Reports by a tenant's own days add the 15 minutes up.
CREATE OR REPLACE VIEW ${database}.v_queue_day ${on_cluster} AS
SELECT
    q.tenant AS tenant,
    q.day AS day,
    q.queue AS queue,
    q.channel AS channel,
    sum(q.offered) AS offered,
    sum(q.answered) AS answered,
    sum(q.answered_within) AS answered_within,
    sum(q.abandoned) AS abandoned,
    sum(q.abandoned_within) AS abandoned_within,
    sum(q.abandoned_short) AS abandoned_short,
    sum(q.overflowed) AS overflowed,
    sum(q.transferred_out) AS transferred_out,
    sum(q.other_ended) AS other_ended,
    sum(q.still_open) AS still_open,
    sum(q.wait_answered_ms) AS wait_answered_ms,
    sum(q.wait_abandoned_ms) AS wait_abandoned_ms,
    max(q.wait_max_ms) AS wait_max_ms,
    sum(q.handled) AS handled,
    sum(q.talk_ms) AS talk_ms,
    sum(q.hold_ms) AS hold_ms,
    sum(q.wrap_up_ms) AS wrap_up_ms,
    quantilesTDigestMerge(0.5, 0.9, 0.95)(q.wait_state) AS wait_quantiles_ms,
    quantilesTDigestMerge(0.5, 0.9, 0.95)(q.talk_state) AS talk_quantiles_ms
FROM ${database}.queue_15m AS q FINAL
GROUP BY tenant, day, queue, channel;

-- A row a day (UTC) and agent.
CREATE OR REPLACE VIEW ${database}.v_agent_day ${on_cluster} AS
SELECT
    a.tenant AS tenant,
    a.day AS day,
    a.agent_id AS agent_id,
    argMax(a.team, a.at) AS team,
    sum(a.logged_in_ms) AS logged_in_ms,
    sum(a.available_ms) AS available_ms,
    sum(a.break_ms) AS break_ms,
    sum(a.idle_ms) AS idle_ms,
    sum(a.offered_ms) AS offered_ms,
    sum(a.talking_ms) AS talking_ms,
    sum(a.held_ms) AS held_ms,
    sum(a.wrap_up_ms) AS wrap_up_ms,
    sum(a.handling_ms) AS handling_ms,
    sum(a.closing_ms) AS closing_ms,
    sum(a.own_call_ms) AS own_call_ms,
    sum(a.unreachable_ms) AS unreachable_ms,
    sum(a.handled) AS handled,
    sum(a.talk_ms) AS talk_ms,
    sum(a.hold_ms) AS hold_ms,
    sum(a.acw_ms) AS acw_ms,
    sum(a.transfers) AS transfers,
    sum(a.offers) AS offers,
    sum(a.offers_accepted) AS offers_accepted,
    sum(a.offers_missed) AS offers_missed
FROM ${database}.agent_15m AS a FINAL
GROUP BY tenant, day, agent_id;
