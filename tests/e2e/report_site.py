"""reporting's history pages with a real ClickHouse behind them that holds two made-up weeks of the demo's center."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from services.center import load
from services.common import ids, pages
from services.common.auth import Role, issue
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.http import Readiness, make_app, problem
from services.reporting import contacts_api, migrate, page_api, query_api
from services.reporting.adapters.writer import Writer
from services.reporting.api import Reports
from services.reporting.asking import Defaults
from services.reporting.core import facts as f
from services.reporting.core.rows import rows_of
from services.reporting.live_api import PAGES
from tests.e2e.served import Served
from tests.reporting_records import Records
from tests.reporting_stories import Story, Teller

SECRET = "not-a-secret-only-for-these-tests-000"
ZONE = ZoneInfo("Asia/Tehran")
DAY = dt.date(2026, 11, 21)
"""A Saturday, 30 Aban 1405: the last of the two weeks' days."""
DEMO = Path("deploy/centers/demo.yaml")
QUEUES = {"sales": 5, "support": 4, "billing": 2}
"""Calls in the quietest hour."""
CURVE = (0, 0, 0, 0, 0, 0, 0, 1, 3, 6, 7, 7, 5, 4, 6, 6, 4, 2, 1, 0, 0, 0, 0, 0)
STORY = "c-told"


def at(day: dt.date, hour: int, minute: int = 0) -> int:
    """Microseconds of a wall clock of the center."""
    return round(dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE).timestamp()) * 1_000_000


class Weeks:
    """Contacts with their stays and conversations, the same ones for a seed."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self.contacts: list[dict[str, Any]] = []
        self.segments: list[dict[str, Any]] = []
        self._agents = {
            queue: [
                name for name, agent in load(DEMO).centers[0].agents.items() if queue in agent.queue_names
            ][:6]
            for queue in QUEUES
        }
        for back in range(14):
            self._day(DAY - dt.timedelta(days=back), 1.0 if back < 7 else 0.8)

    def _day(self, day: dt.date, busy: float) -> None:
        for hour, weight in enumerate(CURVE):
            for queue, calls in QUEUES.items():
                for _ in range(round(calls * weight * busy * self._random.uniform(0.8, 1.2) / 2)):
                    self._contact(queue, at(day, hour) + self._random.randrange(3_600_000_000), weight)

    def _contact(self, queue: str, started_at: int, load: int) -> None:
        contact_id = f"c-{len(self.contacts)}"
        wait_ms = round(self._random.expovariate(1 / (1500.0 * max(load, 1))))
        common = {"contact_id": contact_id, "queue": queue, "started_at": started_at, "wait_ms": wait_ms}
        ani = f"+9891{self._random.randrange(10**8):08d}"
        if wait_ms > self._random.uniform(15_000, 60_000):
            self.segments.append(common | {"outcome": "abandoned"})
            self.contacts.append(common | {"ani": ani, "outcome": "abandoned", "queued": True})
            return
        talk_ms = round(self._random.gammavariate(3, 60_000))
        agent = self._random.choice(self._agents[queue])
        spent = {"agent_id": agent, "talk_ms": talk_ms, "wrap_up_ms": self._random.randrange(5_000, 40_000)}
        self.segments.append(common | {"outcome": "answered"})
        self.segments.append(
            common
            | spent
            | {
                "segment_no": 2,
                "kind": "agent",
                "outcome": "completed",
                "started_at": started_at + wait_ms * 1000,
            }
        )
        self.contacts.append(common | spent | {"ani": ani, "outcome": "answered", "queued": True})


def told() -> Story:
    """A contact that one agent did not answer and another one did, as routing tells it."""
    teller = Teller("demo", at(DAY, 10, 12))
    story = Story(STORY)
    common = {"contact_id": STORY, "queue": "sales"}
    begin = teller.now_us
    teller.decided(
        story,
        f.ContactQueued(
            **common, waiting_since_us=begin, started_at_us=begin, entry_point="1000", ani="+989121234567"
        ),
        f.OfferMade(**common, offer_id="o-1", agent_id="reza", extension="1002", node="fs1", ring_ms=15_000),
    )
    teller.later(15_000)
    teller.decided(
        story,
        f.OfferEnded(
            contact_id=STORY,
            offer_id="o-1",
            agent_id="reza",
            outcome="no_answer",
            cause="NO_ANSWER",
            ring_ms=15_000,
        ),
        f.OfferMade(**common, offer_id="o-2", agent_id="sara", extension="1001", node="fs1", ring_ms=15_000),
    )
    connected = teller.later(4_000)
    accepted = {"offer_id": "o-2", "agent_id": "sara"}
    teller.decided(
        story,
        f.OfferEnded(contact_id=STORY, **accepted, outcome="accepted", ring_ms=4_000),
        f.ContactConnected(**common, **accepted, wait_ms=19_000, connected_at_us=connected),
    )
    teller.later(95_000)
    teller.decided(story, f.ContactClosed(**common, outcome="completed", wait_ms=19_000, talk_ms=95_000))
    return story


class ReportSite(Served):
    """The routes that the history pages ask."""

    def __init__(self, server: EmbeddedClickHouse) -> None:
        super().__init__()
        self.broken = False
        self.settled_until_us: int | None = None
        self._server = server
        self._url = replace(server.url, database=f"t_{ids.new_id().replace('-', '')}")

    def url(self, role: Role = "supervisor", page: str = "reports", **fragment: str) -> str:
        token = issue(SECRET, tenant="demo", role=role, subject="somebody", ttl_s=600)
        return f"http://127.0.0.1:{self.port}/{page}#{urlencode({'token': token, 'lang': 'en', 'theme': 'light', **fragment})}"

    async def build(self) -> FastAPI:
        admin = ServerStore(self._server.url, threads=1, database="default")
        await migrate.apply(admin, database=self._url.database)
        await admin.stop()
        self.store = ServerStore(self._url)
        await self._fill()
        center = load(DEMO).centers[0]
        reports = Reports(self.store, (clock := ManualClock(at(DAY, 20))), lambda: self.settled_until_us)
        reports.open()
        app = make_app("reporting", "0", Readiness(), auth_secret=SECRET)

        def defaults(tenant: str) -> Defaults:
            return Defaults(zone=center.timezone)

        app.include_router(query_api.build_router(reports, clock, defaults))
        app.include_router(contacts_api.build_router(reports, clock, defaults))
        app.include_router(page_api.build_router({"demo": center}.get))
        app.include_router(pages.build_router(PAGES))

        @app.middleware("http")
        async def out_of_order(request: Request, call_next: RequestResponseEndpoint) -> Response:
            if self.broken and request.url.path.startswith("/v1/"):
                return problem("out-of-order", "out of order for this test", 503)
            return await call_next(request)

        return app

    async def close(self) -> None:
        await self.store.stop()

    async def _fill(self) -> None:
        weeks, records = Weeks(), Records(self.store, self._url)
        story = {"contact_id": STORY, "queue": "sales", "started_at": at(DAY, 10, 12), "wait_ms": 19_000}
        weeks.contacts.append(
            story
            | {
                "ani": "+989121234567",
                "agent_id": "sara",
                "outcome": "answered",
                "talk_ms": 95_000,
                "queued": True,
            }
        )
        weeks.segments.append(story | {"outcome": "answered"})
        await records.add("contact_records", *weeks.contacts)
        await records.add("segments", *weeks.segments)
        await records.summed()
        await self.store.command(
            f"INSERT INTO {self._url.database}.agent_15m (tenant, at, day, agent_id, team, version, deleted, logged_in_ms, available_ms,"
            " break_ms, talking_ms, wrap_up_ms, handled, talk_ms, acw_ms, offers, offers_accepted, offers_missed)"
            " SELECT tenant, toStartOfFifteenMinutes(started_at) AS slot, toDate(slot), agent_id, '', 1, 0, 900000, 840000, 60000,"
            " least(sum(talk_ms), 700000), sum(wrap_up_ms), count(), sum(talk_ms), sum(wrap_up_ms), count() + 1, count(), 1"
            f" FROM {self._url.database}.v_segments WHERE kind = 'agent' GROUP BY tenant, slot, agent_id"
        )
        await Writer(self.store, self._url.database).write(
            row for placed in told().placed for row in rows_of(placed)
        )
