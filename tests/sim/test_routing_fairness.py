"""What the setting ``between_queues`` does to waits: the same simulated rush under ``strict`` and under ``share``.

Two queues with equal traffic share the same agents, 12 % more work than they can do; the callers of one come by an entry point with
a head start of ten minutes. Measured over ten seeds that were fixed beforehand, an hour each (seconds of waiting, of all callers):

=========  ==========================  ==============  ==========
           queue with the head start   queue without   everybody
=========  ==========================  ==============  ==========
strict     17                          136             75
share      73                          77              75
=========  ==========================  ==============  ==========

Who takes turns decides who waits, not how long all wait together. The test repeats five of the seeds.
"""

from __future__ import annotations

import statistics

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core.center import AgentRules, Center, QueueRules
from tests.sim.routing_day import Day, World

SEEDS = range(100, 105)
WORLD = World(arrivals_per_h=450, talk_s=180, patience_s=600, queues=("vip", "rest"))


def center(between: str) -> Center:
    agents = {f"a{n}": AgentRules(str(n), ("vip", "rest")) for n in range(20)}
    return Center(
        "r1",
        {"vip": QueueRules(), "rest": QueueRules()},
        agents,
        entry_ms={"vip": 600_000},
        between_queues=between,
        default_fallback="rest",
    )


class Rush(Day):
    """A day in which callers of the queue vip come by an entry point with a head start."""

    def tell(self, kind: type, **fields: object) -> None:
        if fields.get("queue") == "vip":
            fields["entry_point"] = "vip"
        super().tell(kind, **fields)


def waits(between: str) -> tuple[float, float, float]:
    """Mean wait in the queues vip and rest and of all callers, in seconds, over all seeds."""
    by_queue: dict[str, list[float]] = {"vip": [], "rest": []}
    everybody = []
    for seed in SEEDS:
        day = Rush(center(between), WORLD, hours=1, seed=seed).run()
        closed: list[f.ContactClosed] = day.facts(f.ContactClosed)
        for queue, means in by_queue.items():
            means.append(statistics.fmean(c.wait_ms / 1000 for c in closed if c.queue == queue))
        everybody.append(statistics.fmean(c.wait_ms / 1000 for c in closed))
    return (
        statistics.fmean(by_queue["vip"]),
        statistics.fmean(by_queue["rest"]),
        statistics.fmean(everybody),
    )


class Measured(msgspec.Struct, frozen=True):
    strict: tuple[float, float, float]
    share: tuple[float, float, float]


@pytest.fixture(scope="module")
def measured() -> Measured:
    found = Measured(waits("strict"), waits("share"))
    print(found)
    return found


def test_strict_serves_the_queue_with_the_head_start_first(measured: Measured) -> None:
    vip_s, rest_s, _ = measured.strict
    assert rest_s > 5 * vip_s


def test_share_makes_both_wait_alike(measured: Measured) -> None:
    vip_s, rest_s, _ = measured.share
    assert vip_s == pytest.approx(rest_s, rel=0.25)
    assert vip_s > 2 * measured.strict[0]
    assert rest_s < measured.strict[1] / 1.3


def test_all_callers_together_wait_as_long_under_both(measured: Measured) -> None:
    assert measured.share[2] == pytest.approx(measured.strict[2], rel=0.15)
