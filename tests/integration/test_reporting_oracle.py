"""Every key figure by SQL is the one that plain Python computes from the same facts, to the last unit, from rows and from 15-minute states."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.reporting.adapters.writer import Writer
from services.reporting.core.cards import rows_of_batch
from services.reporting.core.kpi.calendars import Calendar, Span, Unit
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Cost
from services.reporting.core.kpi.question import Question, parts, sources_of
from services.reporting.core.legs import rows_of_leg
from services.reporting.questions import Answer, answered
from tests import reporting_oracle as oracle
from tests.clickhouse_fixtures import settle
from tests.reporting_shifts import Shift, tell
from tests.reporting_stories import AGENTS, QUEUES, Drawn, Rolled, Teller

pytestmark = [pytest.mark.clickhouse, pytest.mark.slow, pytest.mark.timeout(400)]

BEGIN_US = round(dt.datetime(2026, 3, 27, 21, 7, 11, tzinfo=dt.UTC).timestamp()) * 1_000_000
"""Two days before Berlin's clocks change, a week after Nowruz."""
TARGETS = {"sales": (10_000, 2_000), "support": (20_000, 5_000)}
TEAMS = {"sara": "red", "omid": "red", "lena": "blue"}
KIND_OF = {
    "contacts": "contacts", "first_contacts": "first", "queue_segments": "stays", "agent_segments": "talks", "agent_states": "spells", "agent_spells": "pieces",
    "offers": "offers", "answers": "scores",
}  # fmt: skip
NOT_TOLD = {"evaluation", "evaluated"}
"""The stories have no supervisor who judges."""

ASKED: dict[str, list[tuple[tuple[str, ...], Unit | None]]] = {
    "contacts": [((), "day"), (("queue", "hour"), None), (("skill",), None), (("channel", "outcome"), "week")],
    "first_contacts": [((), None), (("number",), None)],
    "queue_segments": [((), "15m"), (("queue",), "hour"), (("channel", "weekday"), None), (("entry_point", "language"), "day")],
    "agent_segments": [(("queue",), "day"), (("agent",), "hour"), (("team", "hour"), None), (("customer",), "month")],
    "agent_states": [((), "15m"), (("agent",), "day"), (("team", "hour"), None)],
    "agent_spells": [(("agent", "state", "state_reason"), "day"), (("team", "state"), "hour")],
    "offers": [((), "month"), (("agent",), "15m"), (("queue", "weekday"), None)],
    "answers": [(("agent",), "day"), (("queue",), None)],
}  # fmt: skip


class Desk:
    """A tenant with a shift behind it."""

    def __init__(self, store: ServerStore, url: StoreUrl) -> None:
        self._store = store
        self._url = url
        self.tenant = f"t-{ids.new_id()}"

    async def take(self, shift: Shift, *, seed: int, between: bool) -> None:
        """Store a shift in batches in any order, some twice, and settle; with ``between`` also when half is known."""
        await self._document()
        writer, chance = Writer(self._store, self._url.database), random.Random(seed)
        placed = list(shift.story.placed)
        chance.shuffle(placed)
        size = max(1, len(placed) // 3)
        batches = [placed[at : at + size] for at in range(0, len(placed), size)]
        for number, batch in enumerate([*batches, batches[0]]):
            await writer.write_groups(rows_of_batch(batch))
            if between and number == 1:
                await settle(self._store, shift.teller.now_us)
        await writer.write(row for leg in shift.story.legs for row in rows_of_leg(leg))
        await settle(self._store, shift.teller.now_us)

    async def _document(self) -> None:
        day = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        queues = [(self.tenant, name, day, *TARGETS[name], 1, 0) for name in QUEUES]
        agents = [(self.tenant, name, day, TEAMS[name], 1, 0) for name in AGENTS]
        for table, columns, rows in (
            (
                "center_queues",
                ("tenant", "queue", "valid_from", "target_ms", "short_ms", "version", "deleted"),
                queues,
            ),
            ("center_agents", ("tenant", "agent_id", "valid_from", "team", "version", "deleted"), agents),
        ):
            await self._store.insert(f"{self._url.database}.{table}", columns, rows, token=ids.new_id())

    async def ask(self, question: Question, *, rows_only: bool) -> Answer:
        async def run(statement: Any) -> list[dict[str, Any]]:
            return await self._store.query(statement.sql, statement.params)

        return await answered(run, question, rows_only=rows_only)


@pytest.fixture
async def desk(shared_url: StoreUrl) -> AsyncIterator[Desk]:
    store = ServerStore(shared_url)
    yield Desk(store, shared_url)
    await store.stop()


def measures_of(source: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, measure in MEASURES.items()
        if sources_of(measure) == (source,) and not isinstance(measure, Cost) and name not in NOT_TOLD
    )


def question_of(shift: Shift, tenant: str, calendar: Calendar) -> Question:
    slot = 900_000_000
    span = Span(BEGIN_US // slot * slot, -(-shift.teller.now_us // slot) * slot)
    return Question(
        tenant=tenant,
        measures=(),
        span=span,
        calendar=calendar,
        now_us=shift.teller.now_us,
        fcr_days=1,
    )


def asked_of(question: Question) -> oracle.Asked:
    return oracle.Asked(
        zone=question.calendar.zone,
        jalali=question.calendar.months == "jalali",
        week_start={"sat": 5, "sun": 6, "mon": 0}[question.calendar.week_start],
        from_us=question.span.from_us,
        to_us=question.span.to_us,
        targets_ms=TARGETS,
        fcr_days=question.fcr_days,
        now_us=question.now_us,
        teams=TEAMS,
    )


def compare(answer: Answer, books: oracle.Books, kind: str, note: str) -> int:
    """Hold an answer against the oracle's; returns how many figures were compared."""
    question, asked = answer.question, asked_of(answer.question)
    rows = oracle.rows_of(books, asked)
    found = {
        ((line.label,) if question.interval else ()) + tuple(line.dimensions.values()): line
        for line in answer.lines
    }
    expected = oracle.groups(rows, kind, asked, question.by, question.interval)
    empty = oracle.figures({name: [] for name in rows}, books, asked)
    wrong = []
    for key in found.keys() | expected.keys():
        wanted = oracle.figures(expected[key], books, asked) if key in expected else empty
        shown = found[key].figures if key in found else dict.fromkeys(question.measures)
        wrong += [(key, n, shown[n], wanted[n]) for n in question.measures if shown[n] != wanted[n]]
    wanted = oracle.figures({name: rows[name] if name == kind else [] for name in rows}, books, asked)
    wrong += [
        ("totals", n, answer.totals[n], wanted[n]) for n in question.measures if answer.totals[n] != wanted[n]
    ]
    assert not wrong, f"{note}: (key, measure, SQL, oracle) {wrong[:8]}"
    return (len(found) + 1) * len(question.measures)


async def check(desk: Desk, shift: Shift, calendar: Calendar, *, all_of_them: bool) -> int:
    books = oracle.read(shift.story.placed, shift.story.legs, shift.teller.now_us)
    base, compared = question_of(shift, desk.tenant, calendar), 0
    for source, questions in ASKED.items():
        for by, unit in questions if all_of_them else questions[:1]:
            names = measures_of(source)
            for first in range(0, len(names), 40):
                question = replace_(base, measures=names[first : first + 40], by=by, interval=unit)
                ways = {False, True} if any(part.state for part in parts(question)) else {True}
                for rows_only in ways:
                    answer = await desk.ask(question, rows_only=rows_only)
                    note = f"{source} by {by} each {unit}, {'rows' if rows_only else 'states'}"
                    compared += compare(answer, books, KIND_OF[source], note)
    return compared


def replace_(question: Question, **changes: Any) -> Question:
    return Question(**({name: getattr(question, name) for name in question.__struct_fields__} | changes))


async def test_days_of_a_center_agree_to_the_last_unit(desk: Desk) -> None:
    shift = tell(Teller(desk.tenant, BEGIN_US), Rolled(11), 40, burst=10)
    await desk.take(shift, seed=11, between=False)
    compared = await check(desk, shift, Calendar("Europe/Berlin", "gregorian", "sun"), all_of_them=True)
    assert compared > 5_000


async def test_every_measure_is_compared_with_the_oracle() -> None:
    compared = {name for source in ASKED for name in measures_of(source)}
    left = {name for name, measure in MEASURES.items() if not isinstance(measure, Cost)} - compared
    assert left == NOT_TOLD


@settings(max_examples=2)
@given(
    data=st.data(),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Tehran", "America/New_York"]),
    seed=st.integers(0, 9),
)
async def test_any_story_agrees_to_the_last_unit(
    shared_url: StoreUrl, data: st.DataObject, zone: str, seed: int
) -> None:
    store = ServerStore(shared_url)
    desk = Desk(store, shared_url)
    shift = tell(Teller(desk.tenant, BEGIN_US), Drawn(data.draw), data.draw(st.integers(1, 5)))
    await desk.take(shift, seed=seed, between=bool(seed % 2))
    await check(
        desk, shift, Calendar(zone, data.draw(st.sampled_from(["gregorian", "jalali"]))), all_of_them=False
    )
    await store.stop()
