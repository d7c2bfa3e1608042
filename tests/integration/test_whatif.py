"""A day that the simulation made, told to reporting by its facts, read back and replayed: the figures are those of the day; with more people waits are shorter."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError
from services.reporting.core.imports.records import (
    Contact,
    History,
    Interval,
    Offer,
    Stretch,
    cut_at_midnight,
    linked,
)
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.importer.sink import Sink
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, Overflow, QueueRules
from services.whatif.core.change import Change
from services.whatif.core.day import Arrival, Away, Day, Outcomes, Shift, Talk
from services.whatif.core.figures import SHOWN, Targets, counts_of, figures_of, off_by, spread_of
from services.whatif.driver import START_US
from services.whatif.reading import day_of
from services.whatif.replay import Replay

pytestmark = pytest.mark.clickhouse

HOUR_US = 3_600_000_000
FROM_US, TO_US = START_US, START_US + 24 * HOUR_US
TENANT = "demo"
CENTER = Center(
    "r1",
    {
        "sales": QueueRules(wrap_up_ms=60_000, max_wait_ms=120_000, overflow=Overflow("queue", "support")),
        "support": QueueRules(strategy="round_robin", wrap_up_ms=60_000),
    },
    {
        f"a{n:02}": AgentRules(str(1000 + n), ("sales", "support") if n % 3 else ("support",), {"fa": 3})
        for n in range(15)
    },
    break_reasons=frozenset({"lunch"}),
    default_fallback="support",
)


def real_day(seed: int) -> Day:
    """A day whose every caller's patience is known: what the replay may not know."""
    chance = random.Random(seed)
    arrivals = []
    at_us = FROM_US + 8 * HOUR_US
    while (at_us := at_us + round(chance.expovariate(230 / HOUR_US))) < FROM_US + 11 * HOUR_US:
        queue = chance.choices(("sales", "support"), (2, 3))[0]
        talks = tuple(
            Talk(round(170_000 * chance.lognormvariate(-0.3, 0.8)), round(chance.uniform(5_000, 40_000)))
            for _ in range(2)
        )
        talks = (
            msgspec.structs.replace(talks[0], then="support" if chance.random() < 0.05 else ""),
            talks[1],
        )
        patience_ms = round(1000 * chance.expovariate(1 / (3 if chance.random() < 0.03 else 150)))
        arrivals.append(
            Arrival(
                contact_id=f"c{len(arrivals):05}",
                at_us=at_us,
                queue=queue,
                wait_ms=patience_ms,
                left=True,
                talks=talks,
            )
        )
    shifts = []
    for agent_id in CENTER.agents:
        come, lunch, go = (
            FROM_US + round(h * HOUR_US) for h in (chance.uniform(7.5, 8), chance.uniform(9, 10.4), 12)
        )
        shifts += [
            Shift(agent_id, "available", "", come, lunch),
            Shift(agent_id, "break", "lunch", lunch, lunch + HOUR_US // 2),
            Shift(agent_id, "available", "", lunch + HOUR_US // 2, go),
        ]
    return Day(
        tenant=TENANT,
        from_us=FROM_US,
        to_us=TO_US,
        arrivals=tuple(arrivals),
        shifts=tuple(shifts),
        aways=(Away("a00", FROM_US + 9 * HOUR_US, FROM_US + 9 * HOUR_US + HOUR_US // 4),),
        rings_ms=tuple(round(1000 * chance.uniform(1, 8)) for _ in range(500)),
        misses={"no_answer": (0.02, (20_000,)), "declined": (0.01, (2_000, 4_000))},
        breaks_ms=(30_000, 60_000, 90_000),
        real=Outcomes(),
        left_out={},
    )


class Recorded(Replay):
    """A replay that keeps what reporting would keep of it."""

    def __init__(self, day: Day, *, seed: int) -> None:
        self.offers: dict[str, list[Offer]] = {}
        self.intervals: list[Interval] = []
        self._since: dict[tuple[str, str], Interval] = {}
        self._rang: dict[str, int] = {}
        super().__init__(day, CENTER, Change(), seed=seed)

    def tell(self, kind: type[Any], **fields: Any) -> None:
        if kind is i.OfferAnswered:
            self._rang[fields["offer_id"]] = fields["ring_ms"]
        super().tell(kind, **fields)

    def decided(self, entry: f.Decided) -> None:
        for fact in entry.facts:
            if isinstance(fact, f.AgentPresenceChanged):
                self._changed(fact.agent_id, "presence", fact.presence, fact.reason, "")
            elif isinstance(fact, f.AgentActivityChanged):
                self._changed(fact.agent_id, "activity", fact.activity, "", fact.contact_id)
            elif isinstance(fact, f.OfferEnded):
                self.offers.setdefault(fact.contact_id, []).append(
                    Offer(
                        tenant=TENANT,
                        offer_id=fact.offer_id,
                        contact_id=fact.contact_id,
                        agent_id=fact.agent_id,
                        queue="sales",
                        made_at_us=self.now_us,
                        ended_at_us=self.now_us,
                        outcome=fact.outcome,
                        ring_ms=self._rang.get(fact.offer_id, fact.ring_ms),
                    )
                )
        super().decided(entry)

    def _changed(self, agent_id: str, kind: str, value: str, reason: str, contact_id: str) -> None:
        before = self._since.get((agent_id, kind))
        if before is not None and before.started_at < self.now_us:
            self.intervals += cut_at_midnight(msgspec.structs.replace(before, ended_at=self.now_us))
        self._since[agent_id, kind] = Interval(
            tenant=TENANT,
            agent_id=agent_id,
            kind=kind,
            value=value,
            reason=reason,
            contact_id=contact_id,
            started_at=self.now_us,
        )

    def histories(self) -> list[History]:
        """Everything, as records."""
        stretches: dict[str, list[Stretch]] = {}
        for stay in self.outcomes.stays:
            stretches.setdefault(stay.contact_id, []).append(
                Stretch(
                    kind="queue",
                    queue=stay.queue,
                    started_at=stay.began_us,
                    ended_at=stay.began_us + stay.wait_ms * 1000,
                    outcome=stay.outcome,
                    wait_ms=stay.wait_ms,
                )
            )
        sent_on = {one.contact_id for one in self.day.arrivals if one.talks[0].then}
        for talk in sorted(self.outcomes.handled, key=lambda one: one.began_us):
            first = all(one.kind == "queue" for one in stretches[talk.contact_id])
            stretches[talk.contact_id].append(
                Stretch(
                    kind="agent",
                    queue=talk.queue,
                    agent_id=talk.agent_id,
                    started_at=talk.began_us,
                    ended_at=talk.began_us + talk.talk_ms * 1000,
                    outcome="transferred" if first and talk.contact_id in sent_on else "completed",
                    talk_ms=talk.talk_ms,
                    wrap_up_ms=talk.wrap_up_ms,
                )
            )
        found = []
        for arrival in self.day.arrivals:
            segments = linked(TENANT, arrival.contact_id, stretches[arrival.contact_id], 1)
            talks = [one for one in segments if one.kind == "agent"]
            waited_us = (talks[0].started_at if talks else segments[-1].ended_at) - arrival.at_us
            contact = Contact(
                tenant=TENANT,
                contact_id=arrival.contact_id,
                started_at=arrival.at_us,
                first_queue=arrival.queue,
                queued=True,
                waiting_since=arrival.at_us,
                outcome="answered" if talks else segments[-1].outcome,
                wait_ms=waited_us // 1000,
            )
            offers = tuple(self.offers.get(arrival.contact_id, ()))
            found.append(History(contact=contact, segments=segments, offers=offers))
        return [*found, History(intervals=tuple(self.intervals))]


async def test_a_day_read_back_and_replayed_is_that_day_and_with_two_more_agents_callers_wait_less(
    store: ServerStore, store_url: StoreUrl
) -> None:
    made = Recorded(real_day(11), seed=1).run()
    assert await Sink(store, store_url.database, TENANT).write(made.histories()) == []

    day, targets = await day_of(store, TENANT, FROM_US, TO_US)
    # What was read is what was played, callers and figures.
    assert len(day.arrivals) == len(made.day.arrivals)
    played = figures_of(made.outcomes, targets)
    real = figures_of(day.real, targets)
    for name in ("offered", "answered", "abandoned", "overflowed"):
        assert real[name] == played[name], name
    for name in ("acw", "service_level", "asa", "aht", "occupancy", "abandon_rate"):
        assert real[name] == pytest.approx(played[name], rel=0.01), name
    assert 0.3 < (real["service_level"] or 0) < 0.95
    assert (real["abandoned"] or 0) > 20
    assert set(day.misses) == {"no_answer", "declined"}
    assert len(day.aways) == 1

    unchanged = spread_of(
        figures_of(Replay(day, CENTER, Change(), seed=n).run().outcomes, targets) for n in (1, 2, 3)
    )
    assert off_by(real, unchanged) == []
    more = spread_of(
        figures_of(Replay(day, CENTER, Change(staff={"sales": 2}), seed=n).run().outcomes, targets)
        for n in (1, 2, 3)
    )
    for name, better in (("asa", -1), ("service_level", 1), ("abandon_rate", -1)):
        before, after = unchanged[name], more[name]
        assert before is not None
        assert after is not None
        assert (after.mean - before.mean) * better > 0, name
    shorter = Replay(day, CENTER, Change(talk={"": 0.8}), seed=1).run().outcomes
    assert (figures_of(shorter, targets)["aht"] or 0) < 0.9 * (real["aht"] or 0)
    await the_counts_are_those_of_the_catalogue(store, day, targets)
    with pytest.raises(ConfigError, match="has no callers in queues on that day"):
        await day_of(store, TENANT, TO_US, TO_US + 24 * HOUR_US)


async def the_counts_are_those_of_the_catalogue(store: ServerStore, day: Day, targets: Targets) -> None:
    """Ours of the day's rows, and reporting's own of the same day."""
    ours = counts_of(day.real.stays, day.real.handled, targets)
    of_queues = {
        name: count.sql for name, count in COUNTS.items() if count.source == "queue_segments" and name in ours
    }
    of_agents = {
        name: count.sql for name, count in COUNTS.items() if count.source == "agent_segments" and name in ours
    }
    for kind, counts in (("queue", of_queues), ("agent", of_agents)):
        columns = ", ".join(f"{sql} AS {name}" for name, sql in counts.items())
        (row,) = await store.query(
            f"SELECT {columns} FROM v_segments WHERE tenant = '{TENANT}' AND kind = '{kind}'"
        )
        assert row == {name: ours[name] for name in counts}
    assert set(of_queues) | set(of_agents) == set(ours) - {"wait_p90"}


def test_measures_of_the_table_are_of_the_catalogue() -> None:
    assert set(SHOWN) <= set(MEASURES)
