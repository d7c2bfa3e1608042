-- en: How long were agents on a break, by reason?
-- fa: کارشناسان هر نوع استراحت چقدر بودند؟
SELECT agent_id, if(reason = '', '(none)', reason) AS why, count() AS times, round(sum(ms) / 60000, 1) AS minutes
FROM v_agent_intervals
WHERE kind = 'presence' AND value = 'break' AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY agent_id, why
ORDER BY agent_id, why
