-- What callers keyed in a flow, in which version of it, and where they left; and the revisions of the center document.

ALTER TABLE ${database}.ivr_steps ${on_cluster} ADD COLUMN IF NOT EXISTS flow_version UInt32 COMMENT 'Version of the flow, as its author counts' CODEC(ZSTD(1));

ALTER TABLE ${database}.ivr_steps ${on_cluster} ADD COLUMN IF NOT EXISTS entered_at DateTime64(6, 'UTC') DEFAULT at - toIntervalMillisecond(spent_ms) COMMENT 'When the step began' CODEC(ZSTD(1));

ALTER TABLE ${database}.ivr_steps ${on_cluster} ADD COLUMN IF NOT EXISTS input String COMMENT 'What the caller keyed; (secret) for what the flow calls secret' CODEC(ZSTD(1));

CREATE OR REPLACE VIEW ${database}.v_ivr_steps ${on_cluster} AS
SELECT
    tenant,
    contact_id,
    id,
    at,
    step_no,
    flow,
    flow_version,
    flow_node,
    kind,
    entered_at,
    input,
    result,
    spent_ms,
    result = 'hung_up' AS left_here
FROM ${database}.ivr_steps FINAL;

-- A row a day (UTC) and node: how many came, and how many hung up there.
CREATE OR REPLACE VIEW ${database}.v_flow_nodes ${on_cluster} AS
SELECT
    tenant,
    toDate(at) AS day,
    flow,
    flow_version,
    flow_node,
    any(kind) AS kind,
    count() AS visits,
    uniqExact(contact_id) AS contacts,
    countIf(left_here) AS left_count,
    countIf(result IN ('timeout', 'invalid')) AS unanswered_count,
    sum(spent_ms) AS total_ms,
    sumIf(spent_ms, left_here) AS left_after_ms
FROM ${database}.v_ivr_steps
GROUP BY tenant, day, flow, flow_version, flow_node;

CREATE TABLE IF NOT EXISTS ${database}.center_revisions ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    number UInt64 COMMENT 'Counts the revisions of the tenant, from 1 on' CODEC(ZSTD(1)),
    revision String COMMENT 'First 12 hexadecimal digits of the SHA-256 of the document; contacts name the one they began with' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it came into force' CODEC(ZSTD(1)),
    based_on String COMMENT 'Revision that was changed; empty for the first' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'seeded, file, replaced, edited, rolled_back' CODEC(ZSTD(1)),
    actor String COMMENT 'role:subject of the token, or file:<name>' CODEC(ZSTD(1)),
    reason String COMMENT 'In the words of whoever changed it' CODEC(ZSTD(1)),
    changes Array(Tuple(path String, before String, after String)) COMMENT 'What is different, values as JSON; PINs are left out' CODEC(ZSTD(3)),
    changes_left_out UInt32 COMMENT 'So many more changes than are listed' CODEC(ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, number, id)
SETTINGS ${dedup_window};

CREATE OR REPLACE VIEW ${database}.v_center_revisions ${on_cluster} AS
SELECT * FROM ${database}.center_revisions FINAL;
