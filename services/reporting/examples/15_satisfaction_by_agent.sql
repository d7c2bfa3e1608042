-- en: How satisfied are the customers of each agent?
-- fa: مشتریان هر کارشناس چقدر راضی‌اند؟
SELECT agent_id, count(csat) AS asked, round(100 * avg(csat), 1) AS satisfied
FROM v_contacts
WHERE csat IS NOT NULL AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY agent_id
ORDER BY agent_id
