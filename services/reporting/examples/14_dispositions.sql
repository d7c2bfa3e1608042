-- en: With which result do conversations end, by queue?
-- fa: گفتگوهای هر صف با چه نتیجه‌ای پایان می‌یابند؟
SELECT queue, if(disposition = '', '(none)', disposition) AS code, count() AS contacts
FROM v_contacts
WHERE outcome = 'answered' AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY queue, code
ORDER BY queue, contacts DESC, code
