-- en: Who changed the center, when and why?
-- fa: چه کسی، چه زمانی و چرا تنظیمات مرکز را تغییر داد؟
SELECT number, at, actor, reason, length(changes) + changes_left_out AS changed
FROM v_center_revisions
WHERE at >= {from:DateTime} AND at < {to:DateTime}
ORDER BY number
