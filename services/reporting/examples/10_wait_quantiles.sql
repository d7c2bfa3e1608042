-- en: What did half, nine of ten and 95 of 100 answered callers wait at most (from the 15-minute states)?
-- fa: نیمی، نه‌دهم و ۹۵ درصد تماس‌های پاسخ‌داده حداکثر چقدر منتظر ماندند (از خلاصه‌های ۱۵ دقیقه‌ای)؟
SELECT
    queue,
    sum(answered) AS answered_callers,
    arrayMap(ms -> round(ms / 1000), quantilesTDigestMerge(0.5, 0.9, 0.95)(wait_state)) AS wait_s
FROM v_queue_15m
WHERE at >= {from:DateTime} AND at < {to:DateTime}
GROUP BY queue
HAVING answered_callers > 0
ORDER BY queue
