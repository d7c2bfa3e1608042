"""The floor of most complaints: one queue, some agents, everybody logged in."""

from __future__ import annotations

from services.routing.core.center import AgentRules, Center, QueueRules
from tests.unit.routing.floor import Floor


def one_queue(agents: int = 2, **rules: object) -> Floor:
    queue = QueueRules(**rules)  # type: ignore[arg-type]
    people = {f"a{n}": AgentRules(f"10{n:02}", ("q",)) for n in range(agents)}
    floor = Floor(Center("r1", {"q": queue}, people, frozenset("12"), frozenset({"lunch"}), {}, "q"))
    floor.available(*people)
    return floor


def activity(floor: Floor, agent_id: str) -> str:
    return floor.engine.state.agent(agent_id).activity
