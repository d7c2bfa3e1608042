-- en: Which callers gave up and did not get through within a day after?
-- fa: کدام تماس‌گیرندگان رها کردند و تا یک روز بعد هم موفق نشدند؟
SELECT lost.ani AS ani, lost.contact_id AS contact_id, lost.queue AS queue
FROM v_contacts AS lost
LEFT JOIN
(
    SELECT ani, groupArray(started_at) AS answered_at
    FROM v_contacts
    WHERE outcome = 'answered'
    GROUP BY ani
) AS later ON later.ani = lost.ani
WHERE lost.outcome = 'abandoned' AND lost.ani != ''
    AND lost.started_at >= {from:DateTime} AND lost.started_at < {to:DateTime}
    AND NOT arrayExists(t -> t > lost.started_at AND t <= lost.started_at + INTERVAL 1 DAY, later.answered_at)
ORDER BY lost.started_at
