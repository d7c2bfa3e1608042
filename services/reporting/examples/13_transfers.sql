-- en: From which queue and agent are contacts passed on, and where to?
-- fa: تماس‌ها از کدام صف و کارشناس و به کجا منتقل می‌شوند؟
SELECT s.queue AS queue, s.agent_id AS agent_id, next.queue AS to_queue, next.agent_id AS to_agent, count() AS times
FROM v_segments AS s
INNER JOIN v_segments AS next ON next.segment_id = s.next_segment_id
WHERE s.kind = 'agent' AND s.outcome = 'transferred' AND s.started_at >= {from:DateTime} AND s.started_at < {to:DateTime}
GROUP BY queue, agent_id, to_queue, to_agent
ORDER BY times DESC, queue, agent_id
