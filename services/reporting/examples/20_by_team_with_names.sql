-- en: How many conversations had each agent, with name and the team of that time?
-- fa: هر کارشناس، با نام و گروه آن زمان، چند گفتگو داشت؟
SELECT s.team AS team, a.name['fa'] AS name, count() AS conversations
FROM v_segments AS s
ASOF LEFT JOIN v_center_agents AS a ON a.tenant = s.tenant AND a.agent_id = s.agent_id AND s.started_at >= a.valid_from
WHERE s.kind = 'agent' AND s.started_at >= {from:DateTime} AND s.started_at < {to:DateTime}
GROUP BY team, name
ORDER BY team, name
