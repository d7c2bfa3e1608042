-- en: After how long do callers give up?
-- fa: تماس‌گیرندگان پس از چه مدت رها می‌کنند؟
SELECT
    multiIf(wait_ms < 5000, 'under 5 s', wait_ms < 20000, '5 to 20 s', wait_ms < 60000, '20 to 60 s', 'a minute or more') AS wait,
    countIf(outcome = 'abandoned') AS gave_up,
    countIf(outcome = 'answered') AS answered
FROM v_segments
WHERE kind = 'queue' AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY wait
ORDER BY min(wait_ms)
