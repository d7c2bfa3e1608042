"""What keeps records right over years: retention by setting, records of what was there before, agents and queues over time, quarters of an hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.center import Center, CenterSet, load
from services.common import ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.reporting import migrate, retention
from services.reporting.adapters.dimensions import Dimensions
from services.reporting.adapters.settler import Settler
from services.reporting.adapters.writer import Writer
from services.reporting.analysts import Access
from services.reporting.core import facts as f
from services.reporting.core.rows import rows_of
from services.reporting.retention import Keep
from tests.clickhouse_fixtures import settle
from tests.reporting_stories import Rolled, Story, Teller, tell

pytestmark = pytest.mark.clickhouse

HOUR_US = 3_600_000_000


async def ttl(store: ServerStore, database: str) -> dict[str, bool]:
    rows = await store.query(
        "SELECT name, position(engine_full, ' TTL ') > 0 AS has FROM system.tables WHERE database = {d:String}"
        " AND engine LIKE '%MergeTree'",
        {"d": database},
    )
    return {row["name"]: bool(row["has"]) for row in rows}


async def test_tables_keep_rows_for_as_long_as_the_settings_say(
    store: ServerStore, store_url: StoreUrl
) -> None:
    database = store_url.database
    keep = Keep(facts_days=90, records_days=0, states_days=1000)
    changed = await retention.apply(store, keep, database=database)
    found = await ttl(store, database)
    assert set(changed) == {name for name, has in found.items() if has}
    assert {"facts", "contacts", "legs", "queue_15m", "agent_15m"} <= set(changed)
    assert not found["contact_records"]
    assert not found["touched"]
    assert await retention.apply(store, keep, database=database) == []
    # A contact of long ago is gone when its part is looked at; one of today stays.
    for at, contact in (("2020-01-01", "old"), ("2100-01-01", "new")):
        row = ("t", at, contact)
        await store.command(
            "INSERT INTO contacts (tenant, day, contact_id) VALUES ('{}', '{}', '{}')".format(*row)
        )
    await store.command("OPTIMIZE TABLE contacts FINAL")
    rows = await store.query("SELECT contact_id FROM contacts")
    assert [row["contact_id"] for row in rows] == ["new"]
    assert await retention.apply(store, Keep(facts_days=30), database=database) != []
    assert set(await retention.apply(store, Keep(), database=database)) == {
        name for name in changed if not name.endswith("_15m")
    }
    assert not any((await ttl(store, database)).values())


async def write(store: ServerStore, store_url: StoreUrl, stories: list[Story]) -> None:
    writer = Writer(store, store_url.database)
    await writer.write(row for story in stories for placed in story.placed for row in rows_of(placed))


async def test_what_was_there_before_there_were_records_gets_them(
    store: ServerStore, store_url: StoreUrl
) -> None:
    tenant = f"t{ids.new_id()}"
    teller = Teller(tenant)
    stories = [tell(teller, Rolled(seed)) for seed in range(6)]
    await write(store, store_url, stories)
    # As a database of the former version is: no list of work, no records.
    await store.command("TRUNCATE TABLE touched SYNC")
    settler = Settler(store, ManualClock(teller.later(1000)))
    await settler.drain()
    assert await store.query("SELECT * FROM v_contacts") == []
    await settler.seed()
    await settler.seed()
    await settler.drain(ahead_ms=3_600_000)
    rows = await store.query("SELECT contact_id, outcome FROM v_contacts ORDER BY contact_id")
    expected = {story.contact_id: story.expected["outcome"] for story in stories if not story.legs}
    found = {row["contact_id"]: row["outcome"] for row in rows}
    assert {name: found.get(name) for name in expected} == expected
    assert (await store.query("SELECT count() AS n FROM v_agent_intervals"))[0]["n"] > 0
    await settler.seed()
    assert (await store.query("SELECT count() AS n FROM touched FINAL WHERE kind = 'day'"))[0]["n"] == 0


def with_target(center: Center, seconds: int) -> Center:
    name, queue = next(iter(center.queues.items()))
    queues = center.queues | {name: queue.model_copy(update={"service_level_s": seconds})}
    return center.model_copy(update={"queues": queues, "revision": f"r{seconds}"})


async def test_a_contact_goes_by_the_targets_and_teams_of_its_time(
    store: ServerStore, store_url: StoreUrl
) -> None:
    (center,) = load(Path("deploy/centers/demo.yaml")).centers
    tenant, queue = center.tenant, next(iter(center.queues))
    agent = next(iter(center.agents))
    center = center.model_copy(
        update={"agents": center.agents | {agent: center.agents[agent].model_copy(update={"team": "night"})}}
    )
    teller = Teller(tenant)

    def contact() -> Story:
        story = Story(f"c{teller.told}")
        teller.told += 1
        party: dict[str, Any] = {"contact_id": story.contact_id, "queue": queue}
        since = teller.later(1000)
        teller.decided(story, f.ContactQueued(**party, waiting_since_us=since, started_at_us=since))
        at = teller.later(7000)
        teller.decided(story, f.ContactConnected(**party, agent_id=agent, offer_id="o", connected_at_us=at))
        return story

    running = [with_target(center, 5)]
    clock = ManualClock(teller.now_us)
    dimensions = Dimensions(store, clock, lambda: CenterSet(tuple(running)))
    assert await dimensions.write() == len(center.agents) + len(center.queues)
    assert await dimensions.write() == 0
    early = contact()
    await write(store, store_url, [early])
    await settle(store, teller.now_us)
    # The new document was in force before the second contact; reporting hears of it after it has settled that one.
    clock.advance_ms((teller.later(1000) - clock.now_us()) // 1000)
    late = contact()
    await write(store, store_url, [late])
    await settle(store, teller.now_us)
    running[0] = with_target(center, 30)
    assert await dimensions.write() == 1
    await settle(store, teller.now_us)
    rows = await store.query(
        "SELECT contact_id, target_ms, team FROM v_contacts WHERE tenant = {t:String} ORDER BY contact_id",
        {"t": tenant},
    )
    assert [tuple(row.values()) for row in rows] == [
        (early.contact_id, 5000, "night"),
        (late.contact_id, 30_000, "night"),
    ]
    rows = await store.query(
        "SELECT sum(answered) AS answered, sum(answered_within) AS within FROM v_queue_15m WHERE tenant = {t:String}",
        {"t": tenant},
    )
    assert rows == [{"answered": 2, "within": 1}]


async def test_who_stays_logged_in_fills_the_quarters_of_an_hour_and_the_next_day(
    store: ServerStore, store_url: StoreUrl
) -> None:
    tenant = f"t{ids.new_id()}"
    # 23:20 of a day
    teller = Teller(
        tenant, 1_790_000_000_000_000 // (24 * HOUR_US) * 24 * HOUR_US + 23 * HOUR_US + HOUR_US // 3
    )
    story = Story("")
    came = f.AgentPresenceChanged(agent_id="sara", presence="available", previous="offline")
    teller.decided(story, came)
    await write(store, store_url, [story])
    clock = ManualClock(teller.now_us)
    settler = Settler(store, clock)
    await settler.next_slot()
    await settler.drain(ahead_ms=3_600_000)

    async def there() -> list[int]:
        rows = await store.query(
            "SELECT logged_in_ms FROM v_agent_15m WHERE tenant = {t:String} AND logged_in_ms > 0 ORDER BY at",
            {"t": tenant},
        )
        return [row["logged_in_ms"] for row in rows]

    assert await there() == []
    clock.advance_ms(3_600_000)  # 00:20 of the next day
    for _ in range(2):  # what goes on in the next day is found first, and its quarters are computed then
        await settler.next_slot()
        await settler.drain(ahead_ms=3_600_000)
    assert await there() == [600_000, 900_000, 900_000, 900_000, 300_000]
    rows = await store.query(
        "SELECT continued, ms FROM v_agent_intervals WHERE tenant = {t:String} ORDER BY started_at",
        {"t": tenant},
    )
    assert [tuple(row.values()) for row in rows] == [(False, 2_400_000), (True, 0)]


async def test_over_the_shards_of_a_cluster_everything_has_the_same_names(
    store: ServerStore, store_url: StoreUrl, admin_store: ServerStore
) -> None:
    """On the one shard that the embedded engine knows as a cluster; what spreads a statement to other servers needs a Keeper."""
    database, cluster = store_url.database, "embedded"
    over = migrate.serving(database, cluster)
    applied = [migration.name for migration in migrate.read()]
    spread = ServerStore(store_url, threads=2, database=over)
    await Access(
        admin_store, database=database
    ).analysts()  # its list belongs to no tenant and so to no shard
    try:
        for names in (applied, [], applied):  # made, found, and made anew after an update
            await migrate.spread(
                admin_store, database=database, cluster=cluster, applied=names, on_cluster=False
            )
        rows = await store.query(
            "SELECT engine, groupArray(name) AS names FROM system.tables WHERE database = {d:String} GROUP BY engine",
            {"d": over},
        )
        found = {row["engine"]: set(row["names"]) for row in rows}
        assert {"facts", "legs", "contact_records", "queue_15m", "touched"} <= found["Distributed"]
        assert set(found) == {"Distributed", "View"}
        tenant = f"t{ids.new_id()}"
        teller = Teller(tenant)
        stories = [tell(teller, Rolled(seed)) for seed in range(4)]
        writer = Writer(spread, over)
        for _ in range(2):
            await writer.write(row for story in stories for placed in story.placed for row in rows_of(placed))
        await settle(store, teller.later(1000))
        told = {placed.id for story in stories for placed in story.placed}
        assert (await store.query("SELECT count() AS n FROM facts"))[0]["n"] == len(told)
        for view in ("v_contacts", "v_segments", "v_agent_15m", "v_agent_day", "v_facts"):
            theirs = await store.query(f"SELECT count() AS n, uniqExact(tenant) AS tenants FROM {view}")
            assert (
                await spread.query(f"SELECT count() AS n, uniqExact(tenant) AS tenants FROM {view}") == theirs
            )
            assert theirs[0]["tenants"] == 1
    finally:
        await spread.stop()
        await admin_store.command(f"DROP DATABASE IF EXISTS {over} SYNC")
