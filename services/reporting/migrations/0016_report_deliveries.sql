-- Scheduled reports: every attempt to send one, written down before it is made and again when it has ended.

CREATE TABLE IF NOT EXISTS ${database}.report_deliveries ${on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    schedule LowCardinality(String) COMMENT 'Name of the scheduled report in the center document',
    due_at DateTime64(6, 'UTC') COMMENT 'When it was due' CODEC(ZSTD(1)),
    target String COMMENT 'email:ADDRESS or folder:NAME' CODEC(ZSTD(1)),
    attempt UInt32 COMMENT 'From 1 on',
    state LowCardinality(String) COMMENT 'began, sent, failed',
    repeated Bool COMMENT 'How an earlier attempt ended is not known: it may have arrived, and this one says so',
    error String COMMENT 'Why it failed' CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') COMMENT 'When this was written down' CODEC(ZSTD(1)),
    version UInt8 COMMENT '1: began, 2: sent or failed; the greatest is the truth'
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(due_at)
ORDER BY (tenant, schedule, due_at, target, attempt)
SETTINGS ${dedup_window};

CREATE OR REPLACE VIEW ${database}.v_report_deliveries ${on_cluster} AS
SELECT * EXCEPT (version) FROM ${database}.report_deliveries FINAL;
