"""Simulated days: the core under load keeps its invariants."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core.center import AgentRules, Center, Overflow, QueueRules
from tests.sim.routing_day import Day, World, kpis, replayed


def one_queue(agents: int) -> Center:
    return Center(
        "r1",
        {"main": QueueRules(ring_ms=15_000)},
        {f"a{n}": AgentRules(str(n), ("main",)) for n in range(agents)},
    )


def busy_center() -> Center:
    """Three queues with skills, limits and overflow; agents of several kinds."""
    queues = {
        "sales": QueueRules({"sales": 1}, 15_000, 20_000, 60_000, 0, Overflow("queue", "help")),
        "help": QueueRules({}, 20_000, 10_000, 90_000, 8, Overflow("transfer", "+98211")),
        "vip": QueueRules({"sales": 2}, 10_000, 0, 0, 5, Overflow("queue", "sales")),
    }
    kinds = [
        (("sales", "vip"), {"sales": 3, "fa": 2}),
        (("sales", "help"), {"sales": 1, "en": 2}),
        (("help",), {"fa": 1}),
    ]
    agents = {f"a{n:02}": AgentRules(str(1000 + n), *kinds[n % 3]) for n in range(24)}
    return Center("r1", queues, agents, frozenset(), frozenset(), {}, "help")


BUSY = World(
    arrivals_per_h=560,
    talk_s=150,
    patience_s=240,
    answer_s=4,
    no_answer=0.03,
    declined=0.03,
    break_every_s=5_400,
    queues=("sales", "help", "vip"),
    skills=((), ("fa:1",), ("en",)),
)


def test_busy_day_keeps_its_invariants_and_loses_nobody() -> None:
    day = Day(busy_center(), BUSY, hours=6, seed=11, check_every=50).run()
    found = kpis(day)
    assert found.offered > 2_000
    assert found.offered == found.answered + found.abandoned + found.overflowed
    assert min(found.answered, found.abandoned, found.overflowed) > 20
    assert day.engine.state.contacts == {}
    assert day.engine.state.offers == {}
    assert replayed(day).dump() == day.engine.state.dump()


def test_longest_idle_spreads_the_work_evenly() -> None:
    day = Day(one_queue(20), World(arrivals_per_h=300, talk_s=180), hours=12, seed=3).run()
    calls: dict[str, int] = {}
    for connected in day.facts(f.ContactConnected):
        calls[connected.agent_id] = calls.get(connected.agent_id, 0) + 1
    assert len(calls) == 20
    assert max(calls.values()) < 1.5 * min(calls.values())
