-- en: On which nodes do callers hear badly (mean opinion score under 3.5)?
-- fa: صدای تماس‌گیرندگان در کدام سرورها بد است (امتیاز زیر ۳٫۵)؟
SELECT
    node,
    countIf(mos_milli > 0) AS measured,
    countIf(mos_milli BETWEEN 1 AND 3499) AS bad,
    round(avgIf(mos_milli, mos_milli > 0) / 1000, 2) AS mean_mos
FROM v_contacts
WHERE started_at >= {from:DateTime} AND started_at < {to:DateTime}
GROUP BY node
HAVING measured > 0
ORDER BY bad DESC, node
