-- en: How long do conversations take, by agent: talk, hold and after-call work?
-- fa: گفتگوهای هر کارشناس چقدر طول می‌کشد: گفتگو، نگه‌داری و کار پس از تماس؟
SELECT
    agent_id,
    count() AS handled,
    round(avg(talk_ms - hold_ms) / 1000, 1) AS talk_s,
    round(avg(hold_ms) / 1000, 1) AS hold_s,
    round(avg(wrap_up_ms) / 1000, 1) AS after_s,
    round(avg(talk_ms + wrap_up_ms) / 1000, 1) AS aht_s
FROM v_segments
WHERE kind = 'agent' AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY agent_id
ORDER BY agent_id
