"""Teams: which agents a supervisor sees and steers. Without teams in the document every supervisor sees everybody."""

from __future__ import annotations

from services.center.model import CenterDocument


def supervisors_of_agent(center: CenterDocument, agent_id: str) -> frozenset[str]:
    """Who may supervise an agent; nobody for an agent of no team (administrators may all the same)."""
    agent = center.agents.get(agent_id)
    team = center.teams.get(agent.team or "") if agent is not None else None
    return frozenset(team.supervisors) if team is not None else frozenset()


def supervisors_of_queue(center: CenterDocument, queue: str) -> frozenset[str]:
    """Who supervises an agent of the queue."""
    found: set[str] = set()
    for agent_id, agent in center.agents.items():
        if queue in agent.queue_names:
            found |= supervisors_of_agent(center, agent_id)
    return frozenset(found)


def may_supervise(center: CenterDocument, role: str, subject: str, agent_id: str) -> bool:
    """Whether somebody with this role may see and steer an agent: administrators all, supervisors those of their teams."""
    if role != "supervisor" or not center.teams:
        return True
    return subject in supervisors_of_agent(center, agent_id)


def may_supervise_queue(center: CenterDocument, role: str, subject: str, queue: str) -> bool:
    """Whether somebody with this role may see and steer what waits in a queue, which no agent has yet."""
    if role != "supervisor" or not center.teams:
        return True
    return subject in supervisors_of_queue(center, queue)
