-- en: What was the service level of each queue (answered within its target; short abandons left out)?
-- fa: سطح خدمت هر صف چند درصد بود (پاسخ در زمان هدف؛ رهاشده‌های کوتاه کنار گذاشته می‌شوند)؟
SELECT
    queue,
    countIf(outcome = 'answered') AS answered,
    countIf(outcome = 'abandoned') AS abandoned,
    countIf(outcome = 'abandoned' AND wait_ms < short_ms) AS short,
    countIf(outcome = 'answered' AND wait_ms <= target_ms) AS in_time,
    round(100 * in_time / nullIf(answered + abandoned - short, 0), 1) AS service_level
FROM v_segments
WHERE kind = 'queue' AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY queue
ORDER BY queue
