-- en: Who waited longest, and what became of them?
-- fa: چه کسانی بیش از همه منتظر ماندند و سرانجامشان چه شد؟
SELECT contact_id, queue, ani, round(wait_ms / 1000, 1) AS wait_s, outcome
FROM v_contacts
WHERE queued AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
ORDER BY wait_ms DESC, contact_id
LIMIT 3
