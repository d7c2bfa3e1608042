"""Settling against a model: lives of contacts and days of agents, told late, twice and in any order, with crashes in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import ids
from services.common.clickhouse import Row, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.errors import StoreUnavailable
from services.reporting.adapters.settler import Settler
from services.reporting.adapters.writer import Writer
from services.reporting.core import facts as f
from services.reporting.core.rows import rows_of
from tests.reporting_stories import AGENTS, QUEUES, Chance, Drawn, Story, Teller
from tests.settled_model import Model

pytestmark = pytest.mark.clickhouse

ALL_DAYS = "from_day = '1970-01-01', to_day = '2149-06-06'"
STEPS_MS = ("3", "900", "61000", "1900000", "90000000")
ACTIVITIES = ("idle", "offered", "talking", "held", "wrap_up", "unreachable", "own_call")


class Faulty:
    """A store that fails once, before or after a statement was done: what a crash between any two statements leaves behind."""

    def __init__(self, store: ServerStore, after: int, done: bool) -> None:
        self._store, self._left, self._done = store, after, done

    def _fails(self) -> bool:
        self._left -= 1
        return self._left == 0

    async def ping(self) -> str:
        return await self._store.ping()

    async def stop(self) -> None:
        await self._store.stop()

    async def query(
        self, sql: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> list[Row]:
        return await self._store.query(sql, params, timeout_s=timeout_s)

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, token: str
    ) -> None:
        fails = self._fails()
        if not fails or self._done:
            await self._store.insert(table, columns, rows, token=token)
        if fails:
            raise StoreUnavailable("the process was killed")

    async def command(
        self, sql: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> None:
        fails = self._fails()
        if not fails or self._done:
            await self._store.command(sql, params, timeout_s=timeout_s)
        if fails:
            raise StoreUnavailable("the process was killed")


def wait(teller: Teller, chance: Chance) -> int:
    return teller.later(int(chance.pick(STEPS_MS)))


def live(teller: Teller, chance: Chance) -> Story:
    """A contact's life in routing's log: queues, offers, conversations, transfers, consultations, returns, callbacks; perhaps not its end."""
    teller.told += 1
    story = Story(f"c{teller.told}-{teller.tenant}")
    contact = story.contact_id
    since = wait(teller, chance)
    queue = chance.pick(QUEUES)
    kind = chance.pick(["", "", "", "callback"])
    callback = "asker" if kind else ""
    common = {"contact_id": contact, "kind": kind, "callback_id": callback, "entry_point": "1000"}
    teller.decided(story, f.ContactQueued(**common, queue=queue, waiting_since_us=since, started_at_us=since))
    talking, offers = "", 0
    for _ in range(chance.number(0, 5)):
        at = wait(teller, chance)
        again = f.ContactQueued(**common, queue=queue, waiting_since_us=since, requeued=True)
        if not talking:
            turn = chance.pick(["offer", "offer", "overflow", "again", "asked"])
            if turn == "overflow":
                queue = QUEUES[1 - QUEUES.index(queue)]
                out = f.ContactOverflowed(contact_id=contact, reason="max_wait", action="queue", target=queue)
                again = f.ContactQueued(**common, queue=queue, waiting_since_us=since, requeued=True)
                teller.decided(story, out, again)
            elif turn == "again":
                teller.decided(story, again)
            elif turn == "asked":
                asked = f.ContactOverflowed(contact_id=contact, queue=queue, reason="key", action="callback")
                teller.decided(story, asked)
            else:
                offers += 1
                agent, offer = chance.pick(AGENTS), f"{contact}/{offers}"
                made = f.OfferMade(
                    offer_id=offer, contact_id=contact, agent_id=agent, queue=queue, attempt=offers
                )
                teller.decided(story, made)
                party = {"offer_id": offer, "contact_id": contact, "agent_id": agent}
                at = wait(teller, chance)
                if chance.coin():
                    outcome = chance.pick(["no_answer", "withdrawn"])
                    teller.decided(story, f.OfferEnded(**party, outcome=outcome, ring_ms=7))
                else:
                    ended = f.OfferEnded(**party, outcome="accepted", ring_ms=5)
                    connected = f.ContactConnected(
                        **party, queue=queue, wait_ms=(at - since) // 1000, connected_at_us=at
                    )
                    teller.decided(story, ended, connected)
                    talking = agent
            continue
        turn = chance.pick(["queue", "agent", "consult", "lost", "wrap"])
        offer = f"{contact}/{offers}"
        if turn in ("queue", "agent"):
            if chance.coin():
                over = f.ConversationEnded(
                    contact_id=contact, offer_id=offer, agent_id=talking, talk_ms=1234, hold_ms=34, at_us=at
                )
                teller.event(story, over, "queue")
            queue = chance.pick(QUEUES) if turn == "queue" else queue
            given_away = f.ContactTransferred(
                contact_id=contact, from_agent=talking, target_kind=turn, target=queue, offer_id=offer
            )
            again = f.ContactQueued(**common, queue=queue, waiting_since_us=since, requeued=True)
            teller.decided(story, given_away, again)
            talking = ""
        elif turn == "consult":
            offers += 1
            talking = chance.pick([agent for agent in AGENTS if agent != talking])
            party = {"offer_id": f"{contact}/{offers}", "contact_id": contact, "agent_id": talking}
            teller.decided(story, f.ContactConnected(**party, queue=queue, connected_at_us=at))
        elif turn == "lost":
            teller.decided(story, again)
            talking = ""
        else:
            wrapped = f.WrapUpEnded(
                contact_id=contact, agent_id=talking, wrap_up_ms=500, by="key", disposition="1"
            )
            teller.decided(story, wrapped)
    if chance.coin():
        at = wait(teller, chance)
        outcome = "completed" if talking else chance.pick(["abandoned", "overflowed", "callback"])
        waited = 0 if talking else (at - since) // 1000 - 2
        teller.decided(
            story,
            f.ContactClosed(
                contact_id=contact,
                queue=queue,
                outcome=outcome,
                wait_ms=max(waited, 0),
                # Of the whole contact: other conversations are in it, whose ends may have been told or not.
                offer_id=f"{contact}/{offers}" if talking else "",
                talk_ms=1500 if talking else 0,
                hold_ms=40 if talking else 0,
            ),
        )
    return story


def work(teller: Teller, chance: Chance) -> Story:
    """What agents and their phones do for a while."""
    story = Story("")
    for _ in range(chance.number(0, 6)):
        wait(teller, chance)
        agent = chance.pick(AGENTS)
        if chance.coin():
            presence = chance.pick(["available", "break", "offline"])
            teller.decided(
                story, f.AgentPresenceChanged(agent_id=agent, presence=presence, previous="offline")
            )
        else:
            teller.decided(story, f.AgentActivityChanged(agent_id=agent, activity=chance.pick(ACTIVITIES)))
    return story


async def compare(store: ServerStore, tenant: str, model: Model, now_us: int) -> None:
    of = {"t": tenant}
    us = "toUnixTimestamp64Micro"
    rows = await store.query(
        "SELECT contact_id, segment_no, kind, queue, agent_id, offer_id, reason,"
        f" {us}(started_at) AS b, if(ended_at IS NULL, 0, {us}(assumeNotNull(ended_at))) AS e, wait_ms, ring_ms, talk_ms,"
        " hold_ms, wrap_up_ms, outcome FROM v_segments WHERE tenant = {t:String} ORDER BY contact_id, segment_no",
        of,
    )
    expected = [
        segment.row(n + 1) for _, life in sorted(model.segments().items()) for n, segment in enumerate(life)
    ]
    assert [tuple(row.values()) for row in rows] == expected
    rows = await store.query(
        f"SELECT agent_id, kind, value, {us}(started_at) AS b,"
        f" if(ended_at IS NULL, 0, {us}(assumeNotNull(ended_at))) AS e FROM v_agent_intervals"
        " WHERE tenant = {t:String} ORDER BY agent_id, kind, value, b, e",
        of,
    )
    assert [tuple(row.values()) for row in rows] == model.intervals(now_us)
    for view, key, states in (
        ("v_queue_15m", "queue", model.queue_15m()),
        ("v_agent_15m", "agent_id", model.agent_15m(now_us)),
    ):
        columns = "* EXCEPT (wait_state, talk_state, channel)" if key == "queue" else "* EXCEPT team"
        found = {}
        for row in await store.query(f"SELECT {columns} FROM {view} WHERE tenant = {{t:String}}", of):
            at = int(row.pop("at").timestamp())
            numbers = {k: v for k, v in row.items() if k not in ("tenant", "day", key) and v}
            if numbers:
                found[at, row[key]] = numbers
        assert found == states, view
    # Records say of a contact what its card says, and each contact once.
    cards = await store.query(
        f"SELECT * FROM v_contacts_between({ALL_DAYS}) WHERE tenant = {{t:String}} ORDER BY contact_id", of
    )
    records = await store.query("SELECT * FROM v_contacts WHERE tenant = {t:String} ORDER BY contact_id", of)
    assert [{name: row[name] for name in cards[0]} for row in records] == cards


@given(data=st.data())
@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_records_and_states_are_what_the_facts_say_whatever_came_when(
    data: st.DataObject, store_url: StoreUrl
) -> None:
    tenant = f"t{ids.new_id()}"
    teller, chance = Teller(tenant), Drawn(data.draw)
    stories = [live(teller, chance) if chance.coin() else work(teller, chance) for _ in range(6)]
    told = [placed for story in stories for placed in story.placed]
    again = data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []
    order = data.draw(st.permutations(told + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=2)))
    now_us = teller.later(3_700_000)
    store = ServerStore(store_url, threads=2)
    try:
        writer, model = Writer(store, store_url.database), Model()
        clock = ManualClock(now_us)
        for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            part = order[begin:end]
            await writer.write(row for placed in part for row in rows_of(placed))
            model.learn(part)
            killed = Faulty(store, data.draw(st.integers(1, 25)), data.draw(st.booleans()))
            try:
                await Settler(killed, clock).drain(ahead_ms=3_600_000)
            except StoreUnavailable:
                await Settler(store, clock).drain(ahead_ms=3_600_000)
        if model.placed:
            await compare(store, tenant, model, now_us)
    finally:
        await store.stop()


@pytest.mark.parametrize("end_known", [True, False])
async def test_the_talk_of_a_contact_is_not_counted_again_for_its_last_conversation(
    end_known: bool, store_url: StoreUrl
) -> None:
    """Routing tells the sum of all conversations at the end, and the end of the last one may be known from there alone."""
    teller = Teller(f"t{ids.new_id()}")
    alone, passed_on = Story("alone"), Story("passed-on")
    for story, talks in ((alone, (7_000,)), (passed_on, (10_000, 25_000))):
        contact = {"contact_id": story.contact_id, "queue": "sales"}
        teller.decided(story, f.ContactQueued(**contact, waiting_since_us=teller.now_us))
        for no, talk_ms in enumerate(talks, start=1):
            party = {
                "contact_id": story.contact_id,
                "offer_id": f"{story.contact_id}/{no}",
                "agent_id": AGENTS[no - 1],
            }
            teller.decided(
                story, f.ContactConnected(**party, queue="sales", connected_at_us=teller.later(1_000))
            )
            ended_us, last = teller.later(talk_ms), no == len(talks)
            over = f.ConversationEnded(
                **party, ended_by="agent", talk_ms=talk_ms, hold_ms=no * 100, at_us=ended_us
            )
            if not last:
                again = f.ContactQueued(**contact, requeued=True)
                teller.decided(
                    story, f.ContactTransferred(contact_id=story.contact_id, target_kind="queue"), again
                )
            if not last or end_known:
                teller.event(story, over, "queue")
        teller.decided(
            story,
            f.ContactClosed(
                **contact, outcome="completed", agent_id=party["agent_id"], offer_id=party["offer_id"],
                talk_ms=sum(talks), hold_ms=len(talks) * 100,
            ),
        )  # fmt: skip
    store = ServerStore(store_url, threads=2)
    try:
        told = [placed for story in (alone, passed_on) for placed in story.placed]
        await Writer(store, store_url.database).write(row for placed in told for row in rows_of(placed))
        await Settler(store, ManualClock(teller.now_us)).drain(ahead_ms=3_600_000)
        rows = await store.query(
            "SELECT contact_id, talk_ms, hold_ms FROM v_segments WHERE kind = 'agent' ORDER BY contact_id, segment_no"
        )
        assert [tuple(row.values()) for row in rows] == [
            ("alone", 7_000, 100),
            ("passed-on", 10_000, 100),
            ("passed-on", 25_000, 200 if end_known else 0),
        ]
        (sums,) = await store.query(
            "SELECT sum(talk_ms) AS talk_ms, (SELECT sum(talk_ms) FROM v_contacts) AS of_contacts FROM v_queue_15m"
        )
        assert sums["talk_ms"] == sums["of_contacts"] == 42_000
    finally:
        await store.stop()
