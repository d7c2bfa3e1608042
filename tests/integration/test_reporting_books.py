"""From facts to the views of a real ClickHouse: order, repetition and failures leave no trace in the books."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import StoreUnavailable
from services.reporting.adapters.writer import Writer
from services.reporting.books import Books
from services.reporting.core import facts as f
from services.reporting.core.cards import rows_of_batch
from services.reporting.core.legs import Leg, rows_of_leg
from tests.reporting_stories import EPOCH_US, Rolled, Story, Teller, stories, tell

pytestmark = pytest.mark.clickhouse

HOUR_US = 3_600_000_000
FAR_US = EPOCH_US + 1000 * HOUR_US


Unit = f.Placed | Leg


def units_of(told: Sequence[Story]) -> list[Unit]:
    """Each message or leg: what is redelivered together."""
    return [p for story in told for p in story.placed] + [leg for story in told for leg in story.legs]


async def write(writer: Writer, units: Sequence[Unit]) -> None:
    """As reporting does: facts that come together are joined; legs come by another way."""
    placed = [unit for unit in units if isinstance(unit, f.Placed)]
    if placed:
        await writer.write_groups(rows_of_batch(placed))
    await writer.write(row for unit in units if isinstance(unit, Leg) for row in rows_of_leg(unit))


def compare(row: dict[str, Any], story: Story) -> None:
    for name, expected in story.expected.items():
        if name.endswith("_us"):
            at = row[name.removesuffix("_us")]
            assert at is not None, (name, story)
            found: Any = round(at.timestamp() * 1_000_000)
        else:
            found = row[name]
        assert found == expected, (name, row, story)


async def check_books(store: ServerStore, tenant: str, told: Sequence[Story]) -> None:
    books = Books(store, tenant, EPOCH_US, FAR_US)
    rows = await books.contacts()
    by_id = {row["contact_id"]: row for row in rows}
    assert len(rows) == len(by_id) == len(told)
    for story in told:
        compare(by_id[story.contact_id], story)
    wanted = sorted(placed.id for story in told for placed in story.placed)
    assert sorted(await books.fact_ids()) == wanted
    assert sorted(leg["leg_id"] for leg in await books.legs()) == sorted(s.contact_id for s in told if s.legs)
    balance = await books.balance()
    outcomes = [story.expected["outcome"] for story in told]
    assert balance.offered == len(told)
    assert balance.answered == outcomes.count("answered")
    assert balance.abandoned_in_queue == outcomes.count("abandoned")
    assert balance.abandoned_in_menu == outcomes.count("hung_up")
    assert balance.open == 0
    assert sum(balance.other.values()) == balance.offered - balance.answered - balance.abandoned


@given(data=st.data())
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_the_views_tell_each_story_whatever_the_order(data: st.DataObject, store_url: StoreUrl) -> None:
    tenant = f"t{ids.new_id()}"
    told = data.draw(stories(tenant=tenant))
    units = units_of(told)
    again = data.draw(st.lists(st.sampled_from(units), max_size=len(units)))
    order = data.draw(st.permutations(units + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    store = ServerStore(store_url, threads=2)
    try:
        writer = Writer(store, store_url.database)
        for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            await write(writer, order[begin:end])
        await check_books(store, tenant, told)
    finally:
        await store.stop()


async def test_the_record_of_a_leg_waits_ten_seconds_for_the_word_of_routing(
    store: ServerStore, store_url: StoreUrl
) -> None:
    """It comes by another way and may be first; a caller who is being closed was shown as one who vanished."""
    writer = Writer(store, store_url.database)
    now_us = time.time_ns() // 1000
    for contact, ended_us in (("just-now", now_us), ("long-ago", now_us - 60_000_000)):
        story = Story(contact)
        teller = Teller("t", ended_us - 5_000_000)
        teller.event(story, f.ContactStarted(contact_id=contact, started_at_us=teller.now_us), "ivr")
        story.legs.append(
            Leg(leg_id=contact, source="socket", tenant="t", contact_id=contact, role="caller", state="talking",
                started_at_us=teller.now_us, ended_at_us=ended_us)
        )  # fmt: skip
        await write(writer, units_of([story]))
    seen = await store.query(
        "SELECT contact_id, outcome, state, result"
        " FROM v_contacts_between(from_day = '1970-01-01', to_day = '2149-06-06') ORDER BY contact_id",
        {},
    )
    assert [tuple(row.values()) for row in seen] == [
        ("just-now", "open", "ivr", "open"),
        ("long-ago", "ended_unseen", "closed", "ended_unseen"),
    ]


async def test_a_caller_who_hung_up_while_ivr_had_lost_the_switch_has_left_the_menu_or_the_queue(
    store: ServerStore, store_url: StoreUrl
) -> None:
    writer = Writer(store, store_url.database)
    ended_us = time.time_ns() // 1000 - 60_000_000
    for contact, cause, state in (
        ("in-menu", "connection_lost", "ivr"),
        ("in-queue", "connection_lost", "waiting"),
        ("of-itself", "flow_broken", "ivr"),
    ):
        story = Story(contact)
        teller = Teller("t", ended_us - 5_000_000)
        teller.event(story, f.ContactStarted(contact_id=contact, started_at_us=teller.now_us), "ivr")
        teller.event(story, f.IvrEnded(contact_id=contact, outcome="failed", cause=cause), "ivr")
        story.legs.append(
            Leg(leg_id=contact, source="spool", tenant="t", contact_id=contact, role="caller", state=state,
                started_at_us=teller.now_us, ended_at_us=ended_us, hangup_cause="NORMAL_CLEARING")
        )  # fmt: skip
        await write(writer, units_of([story]))
    seen = await store.query(
        "SELECT contact_id, outcome FROM v_contacts_between(from_day = '1970-01-01', to_day = '2149-06-06') ORDER BY contact_id",
        {},
    )
    assert [tuple(row.values()) for row in seen] == [
        ("in-menu", "hung_up"),
        ("in-queue", "abandoned"),
        ("of-itself", "failed"),
    ]


class Unreliable:
    """A store that fails before or after it has done an insert, as a crash or a lost connection would look."""

    def __init__(self, store: ServerStore, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.failures = 0

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, token: str
    ) -> None:
        fate = self._chance.random()
        if fate < 0.06:
            self.failures += 1
            raise StoreUnavailable("before")
        await self._store.insert(table, columns, rows, token=token)
        if fate < 0.12:
            self.failures += 1
            raise StoreUnavailable("after")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_crash_between_any_two_inserts_loses_and_doubles_nothing(
    store: ServerStore, store_url: StoreUrl
) -> None:
    chance = random.Random(7)
    teller = Teller("crash")
    told = [tell(teller, Rolled(i)) for i in range(40)]
    waiting = units_of(told)
    chance.shuffle(waiting)
    faulty = Unreliable(store, chance)
    while waiting:
        # After a failure everything that was not acknowledged comes again, in other groups.
        size = chance.randint(1, 30)
        batch = waiting[:size]
        try:
            await write(Writer(faulty, store_url.database), batch)
        except StoreUnavailable:
            chance.shuffle(waiting)
            continue
        waiting = waiting[size:]
    assert faulty.failures > 10
    await check_books(store, "crash", told)


async def test_the_same_batch_sent_again_is_stored_once(store: ServerStore, store_url: StoreUrl) -> None:
    teller = Teller("again")
    told = [tell(teller, Rolled(i)) for i in range(10)]
    units = units_of(told)
    writer = Writer(store, store_url.database)
    await write(writer, units)
    count = "SELECT (SELECT count() FROM facts) AS facts, (SELECT count() FROM contacts) AS contacts"
    before = await store.query(count)
    await write(writer, units)
    assert await store.query(count) == before


async def test_agents_intervals_end_where_the_next_begins(store: ServerStore, store_url: StoreUrl) -> None:
    teller = Teller("agents")
    story = Story("")
    for presence, reason, ms in (
        ("available", "", 60_000),
        ("break", "lunch", 30_000),
        ("available", "", 5_000),
    ):
        fact = f.AgentPresenceChanged(agent_id="sara", presence=presence, reason=reason, actor="agent")
        teller.decided(story, fact)
        teller.later(ms)
    await write(Writer(store, store_url.database), story.placed)
    rows = await store.query("SELECT * FROM v_agent_activity WHERE tenant = 'agents' ORDER BY started_at")
    assert [(row["value"], row["reason"], row["duration_ms"]) for row in rows] == [
        ("available", "", 60_000),
        ("break", "lunch", 30_000),
        ("available", "", 0),
    ]
    ends = [row["ended_at"] for row in rows]
    assert ends == [*(row["started_at"] for row in rows[1:]), None]
