-- The tables of reporting. What their columns mean and why they merge as they do: services/reporting/core/tables.py.
--
-- Places that the migrator fills: {database}, {on_cluster}, {replicated} and {dedup_window} (see migrate.py).
-- Every statement may run twice, also at the same moment from two processes.
-- Cards hold cells, pairs (version, value): the pair with the greatest version is the truth. Read them through the views.

CREATE TABLE IF NOT EXISTS ${database}.contacts ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the contact belongs to',
    day Date COMMENT 'UTC day on which the fact of this row happened',
    contact_id String COMMENT 'UUID of the first leg' CODEC(ZSTD(1)),
    start SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Who knew of the start: ivr, or queue when ivr was dead' CODEC(ZSTD(1)),
    first_seen_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Earliest time of any fact, microseconds since the epoch' CODEC(ZSTD(1)),
    started_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Start of the contact, microseconds since the epoch' CODEC(ZSTD(1)),
    node SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH node of the first leg' CODEC(ZSTD(1)),
    entry_point SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Called number' CODEC(ZSTD(1)),
    ani SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Calling number, empty when withheld' CODEC(ZSTD(1)),
    caller_name SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Name that came with the call' CODEC(ZSTD(1)),
    language SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Language that the caller chose or the entry point has' CODEC(ZSTD(1)),
    customer SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Customer\'s reference given by the flow' CODEC(ZSTD(1)),
    flow SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Flow of the entry point' CODEC(ZSTD(1)),
    revision SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Revision of the center document that the contact keeps' CODEC(ZSTD(1)),
    steps SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Greatest step number of the flow' CODEC(ZSTD(1)),
    handed_over_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'ivr let go' CODEC(ZSTD(1)),
    ivr_outcome SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'hung_up, closed, transferred, finished, failed; empty when it went on to a queue' CODEC(ZSTD(1)),
    ivr_node SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Node of the flow where it ended' CODEC(ZSTD(1)),
    ivr_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time inside ivr of a call that ended there' CODEC(ZSTD(1)),
    first_queue SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue that it entered first' CODEC(ZSTD(1)),
    queue SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue that it was in last' CODEC(ZSTD(1)),
    priority SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Higher is served sooner' CODEC(ZSTD(1)),
    waiting_since_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Parked for the first time, microseconds since the epoch' CODEC(ZSTD(1)),
    routing_state SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Last of routing\'s words: waiting, talking, completed, abandoned, overflowed, ended_unseen' CODEC(ZSTD(1)),
    connected_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'First conversation began' CODEC(ZSTD(1)),
    answer_wait_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Wait up to the first conversation' CODEC(ZSTD(1)),
    closed_wait_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Wait up to the end or overflow' CODEC(ZSTD(1)),
    agent_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Agent of the last conversation' CODEC(ZSTD(1)),
    offer_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Offer that led to it' CODEC(ZSTD(1)),
    offers SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'How many agents it was offered to' CODEC(ZSTD(1)),
    overflow_reason SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'max_wait, max_length' CODEC(ZSTD(1)),
    overflow_action SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'queue, transfer, hangup' CODEC(ZSTD(1)),
    overflow_target SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue, number or prompt' CODEC(ZSTD(1)),
    talk_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time in conversation' CODEC(ZSTD(1)),
    hold_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time on hold' CODEC(ZSTD(1)),
    ended_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'End of the contact, microseconds since the epoch' CODEC(ZSTD(1)),
    ended_by SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'caller, agent, system' CODEC(ZSTD(1)),
    cause SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH\'s cause' CODEC(ZSTD(1)),
    wrap_up_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'After-call work' CODEC(ZSTD(1)),
    disposition SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Code that the agent gave' CODEC(ZSTD(1)),
    disposition_by SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'key, http, code, timeout' CODEC(ZSTD(1)),
    recording_path SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Below the recordings folder' CODEC(ZSTD(1)),
    leg_ended_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'End of the caller\'s leg by its own record' CODEC(ZSTD(1)),
    leg_cause SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Its hangup cause' CODEC(ZSTD(1)),
    leg_state SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Its cc_state: ivr, handover, waiting, talking, survey' CODEC(ZSTD(1)),
    INDEX by_id contact_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, contact_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.offers ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day on which the fact of this row happened',
    offer_id String COMMENT 'Offer: one contact to one agent, with one end' CODEC(ZSTD(1)),
    contact_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Contact' CODEC(ZSTD(1)),
    agent_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Agent' CODEC(ZSTD(1)),
    queue SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue' CODEC(ZSTD(1)),
    node SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Node of the caller\'s leg' CODEC(ZSTD(1)),
    extension SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'What was dialled' CODEC(ZSTD(1)),
    attempt SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Which offer of the contact, from 1 on' CODEC(ZSTD(1)),
    rule SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Rule that chose the agent' CODEC(ZSTD(1)),
    candidates SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Agents that could have taken it' CODEC(ZSTD(1)),
    idle_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'How long the agent had been idle' CODEC(ZSTD(1)),
    waited_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'How long the contact had waited' CODEC(ZSTD(1)),
    ring_limit_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Longest ringing' CODEC(ZSTD(1)),
    made_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Decided' CODEC(ZSTD(1)),
    rang_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'The phone rang' CODEC(ZSTD(1)),
    answered_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'The phone was answered' CODEC(ZSTD(1)),
    bridged_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Caller and agent were bridged' CODEC(ZSTD(1)),
    ended_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'End of the offer; a taken one ends when it is accepted' CODEC(ZSTD(1)),
    outcome SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Routing\'s verdict: accepted, declined, no_answer, busy, unreachable, withdrawn, expired, failed' CODEC(ZSTD(1)),
    observed_outcome SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'What the switch reported' CODEC(ZSTD(1)),
    cause SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH\'s cause' CODEC(ZSTD(1)),
    ring_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time of ringing' CODEC(ZSTD(1)),
    answer_latency_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'From the agent\'s answer to the bridge' CODEC(ZSTD(1)),
    agent_leg_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'UUID of the agent\'s leg' CODEC(ZSTD(1)),
    talk_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time in conversation' CODEC(ZSTD(1)),
    hold_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time on hold' CODEC(ZSTD(1)),
    ended_by SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Who ended the conversation: caller, agent, system' CODEC(ZSTD(1)),
    disposition SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Code keyed on the phone' CODEC(ZSTD(1)),
    INDEX by_id offer_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, offer_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.legs ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation; \'-\' when nobody claimed the leg',
    day Date COMMENT 'UTC day of the start',
    leg_id String COMMENT 'UUID of the channel' CODEC(ZSTD(1)),
    from_socket SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT '1 when the event socket reported it' CODEC(ZSTD(1)),
    from_spool SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT '1 when its file was read from the spool' CODEC(ZSTD(1)),
    contact_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Contact' CODEC(ZSTD(1)),
    offer_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Offer, on the agent\'s leg' CODEC(ZSTD(1)),
    agent_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Agent' CODEC(ZSTD(1)),
    role SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'caller, agent, other' CODEC(ZSTD(1)),
    queue SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue' CODEC(ZSTD(1)),
    entry_point SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Called number or feature code' CODEC(ZSTD(1)),
    state SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Last cc_state' CODEC(ZSTD(1)),
    node SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH node' CODEC(ZSTD(1)),
    direction SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'inbound, outbound (as the switch sees it)' CODEC(ZSTD(1)),
    ani SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Calling number' CODEC(ZSTD(1)),
    caller_name SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Calling name' CODEC(ZSTD(1)),
    destination SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Dialled number' CODEC(ZSTD(1)),
    started_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Channel created, microseconds since the epoch' CODEC(ZSTD(1)),
    answered_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Answered, 0 when never' CODEC(ZSTD(1)),
    bridged_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Bridged, 0 when never' CODEC(ZSTD(1)),
    ended_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Hung up' CODEC(ZSTD(1)),
    duration_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'From start to end' CODEC(ZSTD(1)),
    billed_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'From answer to end' CODEC(ZSTD(1)),
    hold_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Time on hold' CODEC(ZSTD(1)),
    hangup_cause SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH\'s cause' CODEC(ZSTD(1)),
    cause_q850 SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'The same as number of Q.850' CODEC(ZSTD(1)),
    sip_status SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Final SIP status, where there is one' CODEC(ZSTD(1)),
    sip_disposition SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Who hung up: recv_bye, send_bye, recv_refuse ...' CODEC(ZSTD(1)),
    codec SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Read codec' CODEC(ZSTD(1)),
    remote_ip SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Address of the other side' CODEC(ZSTD(1)),
    user_agent SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Its name for itself' CODEC(ZSTD(1)),
    mos_milli SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Mean opinion score of what we received, in thousandths' CODEC(ZSTD(1)),
    packets_in SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'RTP packets received' CODEC(ZSTD(1)),
    packets_out SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'RTP packets sent' CODEC(ZSTD(1)),
    packets_skipped SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'RTP packets that were missing' CODEC(ZSTD(1)),
    INDEX by_id leg_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, leg_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.recordings ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    day Date COMMENT 'UTC day on which the fact of this row happened',
    recording_id String COMMENT 'Derived from contact and path' CODEC(ZSTD(1)),
    contact_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Contact' CODEC(ZSTD(1)),
    node SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'FreeSWITCH node that wrote it' CODEC(ZSTD(1)),
    path SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Below the recordings folder' CODEC(ZSTD(1)),
    status SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'started, failed, stored' CODEC(ZSTD(1)),
    started_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'First sample, microseconds since the epoch' CODEC(ZSTD(1)),
    stored_at_us SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Complete and measured' CODEC(ZSTD(1)),
    bytes SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Size of the file' CODEC(ZSTD(1)),
    duration_ms SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Length' CODEC(ZSTD(1)),
    channels SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT '1 or 2 (left caller, right agent)' CODEC(ZSTD(1)),
    sample_rate SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT 'Samples a second' CODEC(ZSTD(1)),
    sha256 SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Digest of the file' CODEC(ZSTD(1)),
    rms SimpleAggregateFunction(max, Tuple(UInt64, Array(Float64))) COMMENT 'Loudness of each channel, 0 to 1; 0 is silence' CODEC(ZSTD(1)),
    repaired SimpleAggregateFunction(max, Tuple(UInt64, Int64)) COMMENT '1 when the header had no length and was mended' CODEC(ZSTD(1)),
    agent_id SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Agent' CODEC(ZSTD(1)),
    queue SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'Queue' CODEC(ZSTD(1)),
    failure SimpleAggregateFunction(max, Tuple(UInt64, String)) COMMENT 'missing, unreadable, empty' CODEC(ZSTD(1)),
    INDEX by_id recording_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, recording_id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.facts ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    contact_id String COMMENT 'Contact; empty for facts about agents and nodes' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it happened, as its owner saw it' CODEC(ZSTD(1)),
    stream LowCardinality(String) COMMENT 'Stream that holds it' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Sequence of its message in the stream' CODEC(ZSTD(1)),
    idx UInt32 COMMENT 'Index inside the message' CODEC(ZSTD(1)),
    type LowCardinality(String) COMMENT 'Full name of the message' CODEC(ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent, where it names one' CODEC(ZSTD(1)),
    queue LowCardinality(String) COMMENT 'Queue, where it names one' CODEC(ZSTD(1)),
    causation_id String COMMENT 'Input that led to it' CODEC(ZSTD(1)),
    revision LowCardinality(String) COMMENT 'Revision of the center document in force' CODEC(ZSTD(1)),
    payload String COMMENT 'The whole fact as JSON' CODEC(ZSTD(3)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, contact_id, id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.ivr_steps ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    contact_id String COMMENT 'Contact' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When the step ended' CODEC(ZSTD(1)),
    step_no UInt32 COMMENT 'From 1 on' CODEC(ZSTD(1)),
    flow LowCardinality(String) COMMENT 'Flow' CODEC(ZSTD(1)),
    flow_node LowCardinality(String) COMMENT 'Node of the flow' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'play, menu, hours, queue, transfer, hangup ...' CODEC(ZSTD(1)),
    result LowCardinality(String) COMMENT 'Which way out was taken: digit:1, timeout, invalid, open, hung_up ...' CODEC(ZSTD(1)),
    spent_ms UInt64 COMMENT 'Time in the node' CODEC(ZSTD(1)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, contact_id, id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.agent_changes ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'presence (what the person says) or activity (what the system sees)' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it changed' CODEC(ZSTD(1)),
    seq UInt64 COMMENT 'Sequence in the routing log' CODEC(ZSTD(1)),
    idx UInt32 COMMENT 'Index inside the entry' CODEC(ZSTD(1)),
    value LowCardinality(String) COMMENT 'The new presence or activity' CODEC(ZSTD(1)),
    reason LowCardinality(String) COMMENT 'Break reason, or no_answer, unreachable' CODEC(ZSTD(1)),
    actor LowCardinality(String) COMMENT 'agent, supervisor, system' CODEC(ZSTD(1)),
    contact_id String COMMENT 'Contact, where there is one' CODEC(ZSTD(1)),
    queue LowCardinality(String) COMMENT 'Queue, where there is one' CODEC(ZSTD(1)),
    previous LowCardinality(String) COMMENT 'The presence or activity before' CODEC(ZSTD(1)),
    previous_ms UInt64 COMMENT 'How long that one lasted' CODEC(ZSTD(1)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, agent_id, kind, id)
SETTINGS ${dedup_window};
