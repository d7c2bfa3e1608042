-- en: How many came each day, and how many were answered or left while waiting?
-- fa: هر روز چند تماس آمد، به چند تا پاسخ داده شد و چند نفر در انتظار رها کردند؟
SELECT
    toDate(started_at, {zone:String}) AS date,
    count() AS contacts,
    countIf(outcome = 'answered') AS answered,
    countIf(outcome = 'abandoned') AS abandoned
FROM v_contacts
WHERE counted AND start IN ('ivr', 'queue') AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY date
ORDER BY date
