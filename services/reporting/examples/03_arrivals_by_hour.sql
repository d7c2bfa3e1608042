-- en: At which hours of the day do callers come, on an average day?
-- fa: در یک روز معمول، تماس‌ها در چه ساعت‌هایی می‌آیند؟
SELECT
    toHour(started_at, {zone:String}) AS hour,
    count() / uniqExact(toDate(started_at, {zone:String})) AS contacts_a_day_with_any
FROM v_contacts
WHERE counted AND start IN ('ivr', 'queue') AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY hour
ORDER BY hour
