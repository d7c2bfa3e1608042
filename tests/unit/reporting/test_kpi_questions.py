"""What is asked wrongly is refused before anything is read, and the catalogue is whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from services.common import auth
from services.common.clickhouse import Row
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.http import Readiness, make_app
from services.reporting import contacts_api, query_api
from services.reporting.api import Reports
from services.reporting.asking import Defaults
from services.reporting.core.kpi import persian
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.sources import DIMENSIONS

SECRET = "a secret of thirty-two characters and more"


class NeverAsked(ServerStore):
    """A store that nobody may ask."""

    def __init__(self) -> None:
        pass

    async def query(
        self, sql: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> list[Row]:
        raise AssertionError(f"was asked: {sql}")


class Site:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, *, as_role: auth.Role = "analyst", **params: Any) -> httpx.Response:
        token = auth.issue(SECRET, tenant="demo", role=as_role, subject="me", ttl_s=60)
        return await self._client.get(
            f"/v1/{path}", params=params, headers={"Authorization": f"Bearer {token}"}
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    app = make_app("reporting", "test", Readiness(), auth_secret=SECRET)
    clock = ManualClock(1_795_000_000_000_000)
    reports = Reports(NeverAsked(), clock, lambda: None)
    reports.open()
    defaults = Defaults(zone="Asia/Tehran", months="jalali", week_start="sat")
    app.include_router(query_api.build_router(reports, clock, lambda tenant: defaults))
    app.include_router(contacts_api.build_router(reports, clock, lambda tenant: defaults))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reporting") as client:
        yield Site(client)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"measures": "nonsense"}, "'nonsense'"),
        ({"measures": ""}, "measures: expected at least one"),
        ({"measures": "offered,offered"}, "named twice"),
        ({"by": "colour"}, "'colour'"),
        ({"by": "agent"}, "by: agent does not go with the measure offered"),
        ({"filter.agent": "sara"}, "filter.agent: agent does not go with the measure offered"),
        ({"filter.colour": "red"}, "filter.colour"),
        ({"filter.hour": "24"}, "filter.hour"),
        ({"filter.weekday": "funday"}, "filter.weekday"),
        ({"filter.queue": "x" * 201}, "filter.queue"),
        ({"interval": "fortnight"}, "interval"),
        ({"interval": "15m", "from": "2020-01-01"}, "interval"),
        ({"from": "2026-02-30"}, "from='2026-02-30'"),
        ({"from": "1405-13-01"}, "from='1405-13-01'"),
        ({"from": "yesterday"}, "from='yesterday'"),
        ({"from": "2026-11-23", "to": "2026-11-22"}, "from: must be before to"),
        ({"from": "2010-01-01"}, "from: expected"),
        ({"to": "2026-11-22T08:00:00"}, "to="),
        ({"tz": "Mars/Olympus"}, "tz='Mars/Olympus'"),
        ({"calendar": "lunar"}, "calendar"),
        ({"week_start": "fri"}, "week_start"),
        ({"compare": "never"}, "compare='never'"),
        ({"compare": "year", "from": "1970-05-01", "to": "1970-05-02"}, "between 1970 and 2100"),
        ({"compare": "2099-12-31", "from": "2026-01-01", "to": "2026-11-22"}, "between 1970 and 2100"),
        ({"order": "queue"}, "order: 'queue'"),
        ({"target_s": "0"}, "target_s"),
        ({"short_s": "-1"}, "short_s"),
        ({"fcr_days": "31"}, "fcr_days"),
        ({"limit": "10001"}, "limit"),
        ({"page": "0"}, "page"),
        ({"format": "pdf"}, "format"),
        ({"measures": "cost_total"}, "cost_total: the center document has no tariffs"),
        ({"measures": "cost_total", "by": "queue"}, "by: queue does not go with the measure cost_total"),
        ({"measures": "cost_total", "by": "hour"}, "by: hour does not go with the measure cost_total"),
        ({"lang": "de"}, "lang"),
        ({"mesures": "offered"}, "mesures: there is no such parameter"),
        ({"measures": "occupancy", "from": "2026-11-22T08:07:00Z"}, "full quarters of an hour"),
        ({"by": "queue,channel,hour,weekday,reason"}, "4 at most"),
    ],
)
async def test_what_cannot_be_answered_is_named(site: Site, params: dict[str, str], said: str) -> None:
    whole = {"measures": "offered", "from": "2026-11-22", "to": "2026-11-23"} | params
    answer = await site.get("reports/query", **whole)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"source": "agent_states"}, "source: 'agent_states'"),
        ({"count": "idle_ms"}, "count: 'idle_ms'"),
        ({"count": "offered", "source": "offers"}, "offered is a count of queue_segments"),
        ({"count": "offered", "filter.agent": "sara"}, "filter.agent: does not go with queue_segments"),
        ({"filter.colour": "red"}, "filter.colour: there is no such dimension"),
        ({"from": "2026-11-23", "to": "2026-11-22"}, "from: must be before to"),
        ({"limit": "501"}, "limit"),
        ({"before": "x"}, "before: expected the 'next'"),
        ({"queue": "sales"}, "queue: there is no such parameter"),
        ({"tz": "Nowhere"}, "tz='Nowhere'"),
    ],
)
async def test_contacts_that_cannot_be_listed_are_named(
    site: Site, params: dict[str, str], said: str
) -> None:
    answer = await site.get("contacts", **params)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


async def test_agents_may_not_ask(site: Site) -> None:
    assert (await site.get("reports/query", as_role="agent", measures="offered")).status_code == 403


async def test_the_catalogue_is_told_in_both_languages(site: Site) -> None:
    body = (await site.get("reports/measures")).json()
    by_id = {measure["id"]: measure for measure in body["measures"]}
    level = by_id["service_level"]
    assert level["words"] == {
        "en": "answered within T / (answered + abandoned), abandons before S left out of both",
        "fa": "پاسخ‌داده تا T ÷ (پاسخ‌داده + رهاشده)؛ رهاشده‌های پیش از S در هیچ‌کدام نیستند",
    }
    assert level["sql"] == (
        "countIf(outcome = 'answered' AND wait_ms <= target_ms) / nullIf(countIf(outcome = 'answered')"
        " + countIf(outcome = 'abandoned') - countIf(outcome = 'abandoned' AND wait_ms < short_ms), 0)"
    )
    assert {"queue", "entry_point", "hour"} <= set(level["dimensions"])
    assert "agent" not in level["dimensions"]
    for entry in (*body["measures"], *body["dimensions"], *body["counts"]):
        assert entry["name"]["en"]
        assert any("؀" <= c <= "ۿ" for c in entry["name"]["fa"])
        assert entry["words"]["en"]
        # Letters of Persian, not their Arabic likes.
        assert re.search("[؀-ۿ]", entry["words"]["fa"]), entry["id"]
        assert not re.search("[يك٠-٩]", entry["words"]["fa"] + entry["name"]["fa"]), entry["id"]


def test_nothing_is_put_into_persian_that_the_catalogue_does_not_have() -> None:
    assert persian.COUNTS.keys() == COUNTS.keys()
    assert persian.MEASURES.keys() <= MEASURES.keys()
    assert persian.DIMENSIONS.keys() == DIMENSIONS.keys()
