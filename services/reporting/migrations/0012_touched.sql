-- What has to be settled again: contacts, agents and 15 minutes about which something new is known (services/reporting/core/settling.py).
--
-- A row with the sign 1 is work, and the same row with -1 says that it was done: merged, they are gone. The views stand behind every table
-- that settling reads, and ClickHouse stores a table's rows before those of its views: whoever finds work finds what it is about.

CREATE TABLE IF NOT EXISTS ${database}.touched ${on_cluster}
(
    kind LowCardinality(String) COMMENT 'contact, presence or activity (of an agent), minutes (15 of them)',
    tenant LowCardinality(String) COMMENT 'Organisation',
    id String COMMENT 'Contact, agent, or start of the 15 minutes in seconds since the epoch' CODEC(ZSTD(1)),
    since DateTime64(6, 'UTC') COMMENT 'Earliest time that something new is known about' CODEC(ZSTD(1)),
    due DateTime64(6, 'UTC') COMMENT 'Not before this time' CODEC(ZSTD(1)),
    touch UInt64 COMMENT 'Tells this work from any other about the same thing' CODEC(ZSTD(1)),
    sign Int8 COMMENT '1: to be done; -1: done'
)
ENGINE = ${replicated}CollapsingMergeTree(sign)
ORDER BY (kind, tenant, id, since, due, touch)
SETTINGS ${dedup_window};

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_facts ${on_cluster} TO ${database}.touched AS
SELECT 'contact' AS kind, tenant, contact_id AS id, min(at) AS since, now64(6, 'UTC') AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM ${database}.facts
WHERE contact_id != ''
GROUP BY tenant, contact_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_contacts ${on_cluster} TO ${database}.touched AS
SELECT 'contact' AS kind, tenant, contact_id AS id, toDateTime64(min(day), 6, 'UTC') AS since, now64(6, 'UTC') AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM ${database}.contacts
GROUP BY tenant, contact_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_offers ${on_cluster} TO ${database}.touched AS
SELECT 'contact' AS kind, tenant, of_contact AS id, toDateTime64(min(day), 6, 'UTC') AS since, now64(6, 'UTC') AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM (SELECT tenant, day, contact_id.2 AS of_contact FROM ${database}.offers)
WHERE of_contact != ''
GROUP BY tenant, of_contact;

-- A leg's end counts as seen ten seconds later (v_contacts_between): its contact is settled then once more.
CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_legs ${on_cluster} TO ${database}.touched AS
SELECT 'contact' AS kind, tenant, of_contact AS id, toDateTime64(min(day), 6, 'UTC') AS since, when AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM
(
    SELECT
        tenant,
        day,
        contact_id.2 AS of_contact,
        arrayJoin(arrayDistinct([now64(6, 'UTC'), greatest(now64(6, 'UTC'), fromUnixTimestamp64Micro(ended_at_us.2, 'UTC') + toIntervalSecond(11))])) AS when
    FROM ${database}.legs
)
WHERE of_contact != ''
GROUP BY tenant, of_contact, when;

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_answers ${on_cluster} TO ${database}.touched AS
SELECT 'contact' AS kind, tenant, contact_id AS id, min(at) AS since, now64(6, 'UTC') AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM ${database}.survey_answers
WHERE contact_id != ''
GROUP BY tenant, contact_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS ${database}.touched_by_changes ${on_cluster} TO ${database}.touched AS
SELECT kind, tenant, agent_id AS id, min(at) AS since, now64(6, 'UTC') AS due, rand64(cityHash64(id)) AS touch, 1 AS sign
FROM ${database}.agent_changes
WHERE agent_id != ''
GROUP BY tenant, kind, agent_id;

-- An interval that passes midnight (UTC) is cut there: the rows of a day are all that is to be known of the day.
ALTER TABLE ${database}.agent_intervals ${on_cluster} ADD COLUMN IF NOT EXISTS continued Bool COMMENT 'It goes on from the day before: the same interval, not another one' AFTER place;

CREATE OR REPLACE VIEW ${database}.v_agent_intervals ${on_cluster} AS
SELECT * EXCEPT (version, deleted) FROM ${database}.agent_intervals FINAL;

ALTER TABLE ${database}.contact_records ${on_cluster} MODIFY COLUMN IF EXISTS wrap_up_ms COMMENT 'After-call work of the agent who ended it last; that of each agent is in the segments';

ALTER TABLE ${database}.segments ${on_cluster} MODIFY COLUMN IF EXISTS kind COMMENT 'queue: a stay in one; direct: a wait that is no stay (for one agent, of a callback, of a call that an agent places); agent: with one';
