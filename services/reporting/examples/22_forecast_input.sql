-- en: How many contacts came in each quarter of an hour of each weekday, for a forecast?
-- fa: در هر ربع ساعت از هر روز هفته چند تماس آمد (برای پیش‌بینی)؟
SELECT
    queue,
    toDayOfWeek(at, 0, {zone:String}) AS weekday,
    formatDateTime(at, '%H:%i', {zone:String}) AS slot,
    sum(offered) AS contacts,
    round(sum(talk_ms + wrap_up_ms) / nullIf(sum(handled), 0) / 1000) AS aht_s
FROM v_queue_15m
WHERE at >= {from:DateTime} AND at < {to:DateTime}
GROUP BY queue, weekday, slot
ORDER BY queue, weekday, slot
