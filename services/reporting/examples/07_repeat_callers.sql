-- en: Which numbers called more than once?
-- fa: کدام شماره‌ها بیش از یک بار تماس گرفتند؟
SELECT ani, count() AS contacts, arrayMap(c -> c.2, arraySort(groupArray((started_at, outcome)))) AS outcomes
FROM v_contacts
WHERE counted AND ani != '' AND start IN ('ivr', 'queue') AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY ani
HAVING contacts > 1
ORDER BY contacts DESC, ani
