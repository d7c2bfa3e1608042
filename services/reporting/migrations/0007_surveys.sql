-- Answers of surveys, a row each, and how each survey after a conversation ended.

CREATE TABLE IF NOT EXISTS ${database}.survey_answers ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    contact_id String COMMENT 'Contact' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it was answered' CODEC(ZSTD(1)),
    survey LowCardinality(String) COMMENT 'Flow that asks' CODEC(ZSTD(1)),
    flow_version Int32 COMMENT 'Its version, as its author counts' CODEC(ZSTD(1)),
    question LowCardinality(String) COMMENT 'Question' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'score, comment' CODEC(ZSTD(1)),
    score Int32 COMMENT 'Of a score' CODEC(ZSTD(1)),
    least Int32 COMMENT 'Lowest score that there is' CODEC(ZSTD(1)),
    most Int32 COMMENT 'Highest one; 0 to 10 makes a Net Promoter Score' CODEC(ZSTD(1)),
    said_ms Int64 COMMENT 'Length of a comment' CODEC(ZSTD(1)),
    recording_path String COMMENT 'Of a comment, relative to the recordings folder' CODEC(ZSTD(1)),
    queue LowCardinality(String) COMMENT 'Queue of the conversation, empty without one' CODEC(ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent who talked last' CODEC(ZSTD(1)),
    offer_id String COMMENT 'Offer that led to the conversation' CODEC(ZSTD(1)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, contact_id, id)
SETTINGS ${dedup_window};

CREATE TABLE IF NOT EXISTS ${database}.surveys ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation' CODEC(ZSTD(1)),
    contact_id String COMMENT 'Contact' CODEC(ZSTD(1)),
    id String COMMENT 'Names the fact for ever' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When it ended' CODEC(ZSTD(1)),
    survey LowCardinality(String) COMMENT 'Flow that asks' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'finished, closed, hung_up, failed' CODEC(ZSTD(1)),
    answers Int32 COMMENT 'Questions that were answered' CODEC(ZSTD(1)),
    duration_ms Int64 COMMENT 'Time in it' CODEC(ZSTD(1)),
    queue LowCardinality(String) COMMENT 'Queue of the conversation' CODEC(ZSTD(1)),
    agent_id LowCardinality(String) COMMENT 'Agent who talked last' CODEC(ZSTD(1)),
    offer_id String COMMENT 'Offer that led to the conversation' CODEC(ZSTD(1)),
    INDEX by_time at TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, contact_id, id)
SETTINGS ${dedup_window};

CREATE VIEW IF NOT EXISTS ${database}.v_survey_answers ${on_cluster} AS
SELECT * FROM ${database}.survey_answers FINAL;

CREATE VIEW IF NOT EXISTS ${database}.v_surveys ${on_cluster} AS
SELECT * FROM ${database}.surveys FINAL;
