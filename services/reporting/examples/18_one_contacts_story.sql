-- en: What happened to one contact, stretch by stretch?
-- fa: بر یک تماس گام به گام چه گذشت؟
SELECT
    segment_no,
    kind,
    queue,
    agent_id,
    reason,
    round(if(kind = 'queue', wait_ms, talk_ms) / 1000) AS seconds,
    outcome
FROM v_segments
WHERE contact_id = {contact:String}
ORDER BY segment_no
