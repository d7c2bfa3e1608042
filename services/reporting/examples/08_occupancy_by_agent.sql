-- en: How much of the time that agents were available did they spend on contacts?
-- fa: کارشناسان چه سهمی از زمان آمادگی را صرف تماس‌ها کردند؟
SELECT
    agent_id,
    round(sum(logged_in_ms) / 3600000, 2) AS logged_in_h,
    round(100 * sum(talking_ms + held_ms + wrap_up_ms + handling_ms)
        / nullIf(sum(talking_ms + held_ms + wrap_up_ms + handling_ms + idle_ms), 0), 1) AS occupancy
FROM v_agent_day
WHERE day >= toDate({from:DateTime}) AND day < toDate({to:DateTime})
GROUP BY agent_id
ORDER BY agent_id
