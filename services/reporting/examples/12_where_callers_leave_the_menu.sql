-- en: In which node of a flow do callers hang up?
-- fa: تماس‌گیرندگان در کدام گام سناریو قطع می‌کنند؟
SELECT flow, flow_node, sum(visits) AS visits_in_all, sum(left_count) AS hung_up, round(100 * hung_up / visits_in_all, 1) AS share
FROM v_flow_nodes
WHERE day >= toDate({from:DateTime}) AND day < toDate({to:DateTime})
GROUP BY flow, flow_node
HAVING hung_up > 0
ORDER BY hung_up DESC, flow_node
