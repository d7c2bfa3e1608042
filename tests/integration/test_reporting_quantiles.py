"""How far the quantiles of long spans, merged from 15-minute t-digests, are from the exact ones."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable

import pytest

from services.common import ids
from services.common.clickhouse import Row, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.reporting.core import states_sql
from services.reporting.core.kpi import answer
from services.reporting.core.kpi.calendars import Calendar, Span
from services.reporting.core.kpi.model import DIGEST_RANK_ERROR
from services.reporting.core.kpi.question import EXACT_QUANTILES_DAYS, Question
from services.reporting.core.sql import Statement
from services.reporting.questions import answered
from tests.reporting_records import Records

pytestmark = pytest.mark.clickhouse

SEED = 20261122
FIRST = dt.date(2026, 9, 1)
DAYS, SLOTS_A_DAY, CONTACTS = EXACT_QUANTILES_DAYS + 9, 40, 3
SLOT_S = 900
LEVELS = {"wait_p50": 0.5, "wait_p90": 0.9, "wait_p95": 0.95}

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "usual waits": lambda chance: chance.lognormvariate(9.5, 1.1),
    "exponential": lambda chance: chance.expovariate(1 / 20_000),
    "long tail": lambda chance: 1000 * chance.paretovariate(1.1),
    "two peaks": lambda chance: chance.gauss(5_000, 500) if chance.random() < 0.6 else chance.gauss(120_000, 9_000),
    "uniform": lambda chance: chance.uniform(0, 600_000),
    "whole seconds": lambda chance: 1000 * int(chance.expovariate(1 / 8)),
    "nearly all at once": lambda chance: 0 if chance.random() < 0.93 else chance.uniform(1_000, 60_000),
    "always the same": lambda chance: 7_000,
}  # fmt: skip


async def test_quantiles_of_long_spans_are_as_near_as_the_dictionary_says(shared_url: StoreUrl) -> None:
    chance, tenant = random.Random(SEED), f"t-{ids.new_id()}"
    slots = [
        int(dt.datetime.combine(FIRST + dt.timedelta(days=day), dt.time(6), dt.UTC).timestamp()) + slot * SLOT_S
        for day in range(DAYS)
        for slot in range(SLOTS_A_DAY)
    ]  # fmt: skip
    waits = {
        name: [max(0, round(shape(chance))) for _ in range(CONTACTS * len(slots))]
        for name, shape in SHAPES.items()
    }
    store = ServerStore(shared_url)
    try:
        for name, values in waits.items():
            await Records(store, shared_url).add(
                "segments",
                *(
                    {"contact_id": f"{name}-{no}", "queue": name, "outcome": "answered", "wait_ms": value}
                    | {"started_at": slots[no // CONTACTS] * 1_000_000}
                    for no, value in enumerate(values)
                ),
                tenant=tenant,
            )
        await store.command(
            states_sql.QUEUE_15M,
            {"tenants": [tenant], "slots": slots, "from_day": FIRST, "to_day": FIRST + dt.timedelta(days=DAYS), "version": 1},
        )  # fmt: skip
        calendar = Calendar("UTC")
        span = Span(calendar.start_of(FIRST), calendar.start_of(FIRST + dt.timedelta(days=DAYS)))
        asked = Question(
            tenant=tenant,
            measures=tuple(LEVELS),
            span=span,
            calendar=calendar,
            now_us=span.to_us,
            by=("queue",),
        )
        assert [c.id for c in answer.columns(asked) if c.estimate] == list(LEVELS)

        async def ask(one: Statement) -> list[Row]:
            return await store.query(one.sql, one.params)

        found = {line.dimensions["queue"]: line.figures for line in (await answered(ask, asked)).lines}
    finally:
        await store.stop()
    assert set(found) == set(waits)
    for name, values in waits.items():
        ordered = sorted(values)
        for measure, level in LEVELS.items():
            least, most = (
                ordered[min(len(ordered) - 1, round((level + error) * len(ordered)))] / 1000
                for error in (-DIGEST_RANK_ERROR, DIGEST_RANK_ERROR)
            )
            # A digest keeps single precision: seven places.
            assert least * (1 - 1e-6) <= found[name][measure] <= most * (1 + 1e-6), (name, measure)
