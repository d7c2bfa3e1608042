-- en: What is the Net Promoter Score of each queue?
-- fa: شاخص خالص مروجان (NPS) هر صف چند است؟
SELECT queue, count(nps) AS answers, round(100 * avg(nps)) AS score
FROM v_contacts
WHERE nps IS NOT NULL AND started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY queue
ORDER BY queue
