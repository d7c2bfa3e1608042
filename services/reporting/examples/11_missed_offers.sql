-- en: Which agents let offers pass, and why?
-- fa: کدام کارشناسان به پیشنهادها پاسخ ندادند و چرا؟
SELECT agent_id, outcome, count() AS offers
FROM v_offers
WHERE outcome NOT IN ('', 'accepted', 'withdrawn') AND made_at >= {from:DateTime} AND made_at < {to:DateTime}
GROUP BY agent_id, outcome
ORDER BY offers DESC, agent_id, outcome
