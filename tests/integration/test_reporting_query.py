"""Questions to the catalogue over HTTP, on a real ClickHouse."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import zipfile
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import arro3.io
import httpx
import pytest

from services.common import auth, ids
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.http import Readiness, make_app
from services.reporting import contacts_api, query_api
from services.reporting.api import Reports
from services.reporting.asking import Defaults
from services.reporting.core.kpi.cost import Tariffs
from tests.reporting_records import Records

pytestmark = pytest.mark.clickhouse

SECRET = "a secret of thirty-two characters and more"
TEHRAN = dt.timezone(dt.timedelta(hours=3, minutes=30))
NINE = round(dt.datetime(2026, 11, 22, 9, 0, tzinfo=TEHRAN).timestamp()) * 1_000_000  # 1405-09-01, a Sunday
MINUTE_US = 60_000_000
HOUR_US, DAY_US = 60 * MINUTE_US, 1440 * MINUTE_US


class Site:
    """The routes, and rows behind them."""

    def __init__(self, client: httpx.AsyncClient, records: Records) -> None:
        self._client = client
        self._records = records
        self._tenant = f"t-{ids.new_id()}"
        self.told = 0

    async def add(self, table: str, *rows: dict[str, Any], tenant: str = "") -> None:
        await self._records.add(table, *rows, tenant=tenant or self._tenant)

    async def logged_in(self, agent: str, *times_us: int) -> None:
        await self._records.logged_in(self._tenant, agent, *times_us)

    async def get(self, address: str, **params: Any) -> httpx.Response:
        token = auth.issue(SECRET, tenant=self._tenant, role="analyst", subject="me", ttl_s=60)
        answer = await self._client.get(
            address, params=params or None, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 200, answer.text
        return answer

    async def ask(self, measures: str, **params: Any) -> dict[str, Any]:
        params = {"from": "1405-09-01", "to": "1405-09-02", "measures": measures} | params
        body: dict[str, Any] = (await self.get("/v1/reports/query", **params)).json()
        return body

    async def file(self, measures: str, format_: str, **params: Any) -> bytes:
        params = {"from": "1405-09-01", "to": "1405-09-02", "measures": measures, "format": format_} | params
        return (await self.get("/v1/reports/query", **params)).content

    async def contacts(self, address: str, **params: Any) -> list[str]:
        if params:
            address = f"{address}{'&' if '?' in address else '?'}{urlencode(params)}"
        return [item["contact_id"] for item in (await self.get(address)).json()["items"]]

    async def stays(self, queue: str, *waits: tuple[str, int], at_us: int = NINE, **contact: Any) -> None:
        """Contacts that were in a queue for so long and left it so, each with its only stay."""
        stays, contacts = [], []
        for outcome, wait_ms in waits:
            self.told += 1
            row = {
                "contact_id": f"c{self.told}",
                "queue": queue,
                "outcome": outcome,
                "wait_ms": wait_ms,
                "started_at": at_us,
            }
            stays.append(row)
            contacts.append(row | contact)
        await self.add("segments", *stays)
        await self.add("contact_records", *contacts)
        await self._records.summed()


@pytest.fixture
async def site(shared_url: StoreUrl) -> AsyncIterator[Site]:
    store = ServerStore(shared_url)
    app = make_app("reporting", "test", Readiness(), auth_secret=SECRET)
    clock = ManualClock(NINE + 10 * DAY_US)
    reports = Reports(store, clock, lambda: None)
    reports.open()
    prices = Tariffs(
        currency="IRR", user_month=3_000_000_000, line_month=600_000_000, lines=10, minute=350_000,
        contact={"chat": 1_500_000},
    )  # fmt: skip
    defaults = Defaults(zone="Asia/Tehran", months="jalali", week_start="sat", tariffs=prices)
    app.include_router(query_api.build_router(reports, clock, lambda tenant: defaults))
    app.include_router(contacts_api.build_router(reports, clock, lambda tenant: defaults))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reporting") as client:
        yield Site(client, Records(store, shared_url))
    await store.stop()


ICMI = [("answered", 10_000)] * 85 + [("answered", 20_000)] + [("answered", 30_000)] * 14
ICMI += [("abandoned", 4_999), ("abandoned", 5_000)] + [("abandoned", 40_000)] * 4


async def test_the_six_service_levels_of_one_day(site: Site) -> None:
    """ICMI's example, a tenth of it: 86 of 100 answered in 20 s, of 6 abandons 2 in 20 s, of these 1 in 5 s."""
    await site.stays("sales", *ICMI)
    body = await site.ask(
        "service_level," + ",".join(f"service_level_f{n}" for n in range(1, 6)) + ",abandon_rate"
    )
    row = body["totals"]
    assert row["service_level_f1"] == pytest.approx(88 / 106)
    assert row["service_level_f2"] == pytest.approx(86 / 100)
    assert row["service_level_f3"] == pytest.approx(86 / 106)
    assert row["service_level_f4"] == pytest.approx(86 / 104)
    assert row["service_level_f5"] == pytest.approx(87 / 106)
    assert row["service_level"] == pytest.approx(86 / 105)
    assert row["abandon_rate"] == pytest.approx(5 / 105)
    shown = {
        name: row[name] for name in ("offered", "answered", "answered_within", "abandoned", "abandoned_short")
    }
    assert shown == {
        "offered": 106,
        "answered": 100,
        "answered_within": 86,
        "abandoned": 6,
        "abandoned_short": 1,
    }


async def test_other_targets_can_be_asked_for(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000), ("answered", 30_000), ("abandoned", 7_000))
    totals = (await site.ask("service_level", target_s=30, short_s=10))["totals"]
    assert (totals["answered_within"], totals["abandoned_short"], totals["service_level"]) == (2, 1, 1.0)


async def test_hours_are_those_of_the_zone_and_totals_come_from_counts(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000), at_us=NINE + 59 * MINUTE_US)
    await site.stays(
        "sales", ("answered", 40_000), ("abandoned", 30_000), ("answered", 50_000), at_us=NINE + HOUR_US
    )
    body = await site.ask("asa,service_level", by="hour")
    assert [(row["hour"], row["asa"], row["answered"]) for row in body["rows"]] == [
        (9, 10.0, 1),
        (10, 45.0, 2),
    ]
    assert body["totals"]["asa"] == pytest.approx(100 / 3)
    assert body["totals"]["service_level"] == pytest.approx(1 / 4)
    await site.stays("sales", ("answered", 1000), at_us=NINE + 5 * DAY_US)
    week = await site.ask("offered", by="weekday", **{"from": "1405-08-30", "to": "1405-09-07"})
    assert [row["weekday"] for row in week["rows"]] == ["sun", "fri"]
    assert [
        r["weekday"]
        for r in (await site.ask("offered", by="weekday", week_start="mon", to="1405-09-07"))["rows"]
    ] == ["fri", "sun"]
    weekday = await site.ask("offered", by="weekday", **{"filter.hour": 10})
    assert [(row["weekday"], row["offered"]) for row in weekday["rows"]] == [("sun", 3)]


async def test_intervals_without_anything_are_there_and_named_in_the_calendar(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000), at_us=NINE + 2 * DAY_US)
    body = await site.ask("offered,service_level", interval="day", to="1405-09-05")
    assert [(row["interval"], row["offered"], row["service_level"]) for row in body["rows"]] == [
        ("1405-09-01", 0, None), ("1405-09-02", 0, None), ("1405-09-03", 1, 1.0), ("1405-09-04", 0, None),
    ]  # fmt: skip
    assert body["rows"][2]["from"] == "2026-11-24T00:00:00+03:30"
    assert [column["id"] for column in body["columns"]][:5] == [
        "interval",
        "from",
        "to",
        "offered",
        "service_level",
    ]
    assert (body["calendar"], body["tz"], body["compare"], body["next"]) == (
        "jalali",
        "Asia/Tehran",
        None,
        None,
    )


async def test_dimensions_of_the_contact_go_with_stays_in_queues(site: Site) -> None:
    await site.stays(
        "sales", ("answered", 10_000), ("abandoned", 30_000), entry_point="1000", skills=["fa:3", "billing:1"]
    )
    await site.stays("support", ("answered", 10_000), entry_point="2000", skills=["fa:1"])
    by = await site.ask("offered", by="entry_point,queue")
    assert [(r["entry_point"], r["queue"], r["offered"]) for r in by["rows"]] == [
        ("1000", "sales", 2),
        ("2000", "support", 1),
    ]
    skills = await site.ask("offered", by="skill")
    assert {row["skill"]: row["offered"] for row in skills["rows"]} == {"billing": 2, "fa": 3}
    assert skills["totals"]["offered"] == 3  # each once
    only = await site.ask("offered", by="skill", **{"filter.skill": "billing"})
    assert [(row["skill"], row["offered"]) for row in only["rows"]] == [("billing", 2)]
    assert only["totals"]["offered"] == 2


async def test_filters_take_any_of_several_values(site: Site) -> None:
    for queue in ("sales", "support", "billing"):
        await site.stays(queue, ("answered", 10_000))
    body = await site.ask("offered", by="queue", **{"filter.queue": ["sales", "billing"]})
    assert [row["queue"] for row in body["rows"]] == ["billing", "sales"]
    assert body["totals"]["offered"] == 2


async def test_an_earlier_span_stands_beside(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000), at_us=NINE)
    await site.stays("sales", ("answered", 10_000), ("abandoned", 9_000), at_us=NINE - DAY_US)
    body = await site.ask("offered", interval="hour", compare="previous")
    other = body["compare"]
    assert (other["from"], other["to"]) == ("2026-11-21T00:00:00+03:30", "2026-11-22T00:00:00+03:30")
    assert (body["totals"]["offered"], other["totals"]["offered"]) == (1, 2)
    assert [row["interval_no"] for row in body["rows"] if row["offered"]] == [9]
    assert [row["interval_no"] for row in other["rows"] if row["offered"]] == [9]
    year = await site.ask("offered", compare="year")
    assert year["compare"]["from"] == "2025-11-22T00:00:00+03:30"
    named = await site.ask("offered", compare="1405-08-30")
    assert named["compare"]["totals"]["offered"] == 2


async def test_first_contact_resolution_waits_for_its_window(site: Site) -> None:
    def contact(number: int, day: int, **more: Any) -> dict[str, Any]:
        at_us = NINE + day * DAY_US
        return {
            "contact_id": f"c{number}",
            "ani": "+98912",
            "outcome": "answered",
            "started_at": at_us,
        } | more

    await site.add(
        "contact_records",
        contact(1, 0),
        contact(2, 3, outcome="abandoned"),  # again within seven days, whatever became of it
        contact(3, 0, ani="+98935"),
        contact(4, 8, ani="+98935"),  # later than that, and its own window is not over
        contact(5, 1, ani="+98935", customer="c-77"),  # the customer is who counts
        contact(6, 2, ani="", customer=""),  # nobody knows who
        contact(7, 2, ani="+98935", customer="", start="outbound"),  # we called
    )
    span = {"from": "1405-09-01", "to": "1405-09-11"}
    totals = (await site.ask("fcr", **span))["totals"]
    assert (totals["first_contacts"], totals["resolved_at_first"], totals["fcr"]) == (
        3,
        2,
        pytest.approx(2 / 3),
    )
    short = (await site.ask("fcr", **span, fcr_days=2))["totals"]
    assert (short["first_contacts"], short["resolved_at_first"]) == (4, 4)


async def test_costs_add_up_and_fixed_prices_go_by_the_share_of_the_month(site: Site) -> None:
    """Azar 1405 has 30 days. Two agents were there, one of them on two days; prices are 3000, 10 x 600, 0.35 and 1.5."""
    calls = {"started_at": NINE, "outcome": "answered", "billed_ms": 150_000}
    await site.add(
        "contact_records",
        calls | {"contact_id": "a"},
        calls | {"contact_id": "b", "start": "outbound"},
        calls | {"contact_id": "c", "outcome": "abandoned"},
        {"contact_id": "d", "started_at": NINE, "outcome": "answered", "start": "chat", "channel": "chat"},
    )
    await site.logged_in("sara", NINE, NINE + 3 * DAY_US)
    await site.logged_in("omid", NINE + 20 * DAY_US)
    names = "cost_users,cost_lines,cost_minutes,cost_contacts,cost_total,cost_per_contact"
    body = await site.ask(names, interval="day", to="1405-09-04")
    first = body["rows"][0]
    assert body["currency"] == "IRR"
    assert (first["cost_users"], first["cost_lines"]) == (pytest.approx(6000 / 30), pytest.approx(6000 / 30))
    assert (first["cost_minutes"], first["cost_contacts"]) == (pytest.approx(7.5 * 0.35), 1.5)
    assert first["cost_total"] == pytest.approx(200 + 200 + 2.625 + 1.5)
    assert first["cost_per_contact"] == pytest.approx(404.125 / 3)
    assert body["rows"][1]["cost_total"] == pytest.approx(400)
    assert body["rows"][1]["cost_per_contact"] is None
    assert body["totals"]["cost_total"] == pytest.approx(1204.125)
    assert (body["totals"]["user_months"], body["totals"]["months"]) == (
        pytest.approx(0.2),
        pytest.approx(0.1),
    )
    month = await site.ask("cost_users", to="1405-10-01")
    assert month["totals"]["cost_users"] == 6000.0
    by = await site.ask("variable_cost_per_contact", by="channel")
    assert {row["channel"]: row["variable_cost_per_contact"] for row in by["rows"]} == {
        "chat": 1.5,
        "voice": pytest.approx(7.5 * 0.35 / 2),
    }


async def test_evaluations_by_agent_and_by_what_the_contact_was(site: Site) -> None:
    await site.add("contact_records", {"contact_id": "c", "started_at": NINE - DAY_US, "disposition": "2"})
    given = {"contact_id": "c", "agent_id": "sara", "form": "calls", "at": NINE}
    await site.add(
        "evaluations",
        given | {"evaluation_id": "e", "question": "greeting", "score": 4, "most": 5},
        given | {"evaluation_id": "e", "question": "solution", "score": 3, "most": 10},
        given
        | {
            "evaluation_id": "f",
            "question": "greeting",
            "score": 5,
            "most": 5,
            "agent_id": "omid",
            "contact_id": "d",
        },
    )
    by_agent = await site.ask("evaluation,evaluated", by="agent")
    assert [(r["agent"], r["evaluation"], r["evaluated"]) for r in by_agent["rows"]] == [
        ("omid", 1.0, 1), ("sara", pytest.approx(7 / 15), 2),
    ]  # fmt: skip
    assert by_agent["totals"]["evaluation"] == pytest.approx(12 / 20)
    by_disposition = await site.ask("evaluation", by="disposition,question")
    assert {(r["disposition"], r["question"]): r["evaluation"] for r in by_disposition["rows"]} == {
        ("2", "greeting"): 0.8, ("2", "solution"): 0.3, ("", "greeting"): 1.0,
    }  # fmt: skip


async def test_pages_and_order(site: Site) -> None:
    for queue, stays in (("a", 1), ("b", 3), ("c", 2)):
        await site.stays(queue, *[("answered", 1000)] * stays)
    first = await site.ask("offered", by="queue", order="-offered", limit=2)
    assert ([row["queue"] for row in first["rows"]], first["next"], first["row_count"]) == (["b", "c"], 2, 3)
    second = await site.ask("offered", by="queue", order="-offered", limit=2, page=2)
    assert ([row["queue"] for row in second["rows"]], second["next"]) == (["a"], None)
    assert second["totals"]["offered"] == 6


async def test_another_tenants_rows_are_in_no_figure(site: Site) -> None:
    row = {"contact_id": "x", "queue": "sales", "outcome": "answered", "started_at": NINE}
    await site.add("segments", row, tenant="other")
    assert (await site.ask("offered"))["totals"]["offered"] == 0


async def test_from_a_figure_to_its_contacts(site: Site) -> None:
    await site.stays(
        "sales", ("answered", 10_000), ("abandoned", 30_000), ("abandoned", 1_000), entry_point="1000"
    )
    await site.stays("sales", ("abandoned", 30_000), at_us=NINE + HOUR_US, entry_point="1000")
    await site.stays("support", ("abandoned", 30_000), entry_point="2000")
    body = await site.ask("abandoned,abandon_rate", by="queue,hour", **{"filter.entry_point": "1000"})
    assert [(row["queue"], row["hour"], row["abandoned"]) for row in body["rows"]] == [
        ("sales", 9, 2),
        ("sales", 10, 1),
    ]
    for row in body["rows"]:
        for count in ("abandoned", "abandoned_short", "offered"):
            assert len(await site.contacts(row["contacts"], count=count)) == row[count]
    assert await site.contacts(body["rows"][0]["contacts"], count="abandoned") == ["c3", "c2"]
    first = (await site.get(body["rows"][0]["contacts"] + "&limit=2")).json()
    assert [item["contact_id"] for item in first["items"]] == ["c3", "c2"]
    assert await site.contacts(body["rows"][0]["contacts"], limit=2, before=first["next"]) == ["c1"]


async def test_a_contact_that_went_on_is_behind_the_figure_of_each_of_its_queues(site: Site) -> None:
    stay = {"contact_id": "w", "started_at": NINE}
    await site.add(
        "segments",
        stay | {"queue": "sales", "outcome": "overflowed", "segment_no": 1},
        stay | {"queue": "support", "outcome": "answered", "segment_no": 2},
    )
    await site.add("contact_records", stay | {"queue": "support", "outcome": "answered"})
    span = {"from": "1405-09-01", "to": "1405-09-02", "filter.queue": "sales"}
    assert await site.contacts("/v1/contacts", source="queue_segments", **span) == ["w"]
    assert await site.contacts("/v1/contacts", count="overflowed", **span) == ["w"]
    assert await site.contacts("/v1/contacts", count="answered", **span) == []
    assert await site.contacts("/v1/contacts", **span) == []  # its last queue was another


async def test_csv_is_harmless_and_whole(site: Site) -> None:
    await site.stays("sales", ("answered", 10_500), customer='=HYPERLINK("http://x";"y")', ani="+98912")
    await site.stays("sales", ("abandoned", 30_000), customer='Said "no", twice', ani="-1+2")
    text = (await site.file("asa,abandoned", "csv", by="customer,number")).decode()
    assert text.startswith("customer,number,asa,abandoned,wait_answered_ms,answered\r\n")
    rows = list(csv.reader(io.StringIO(text), strict=True))[1:]
    assert rows == [
        ['\'=HYPERLINK("http://x";"y")', "+98912", "10.5", "0", "10500", "1"],
        ['Said "no", twice', "'-1+2", "", "1", "0", "0"],
    ]
    persian = await site.file("asa", "csv", by="queue", lang="fa")
    lines = persian.decode("utf-8-sig").splitlines()
    assert persian.startswith(b"\xef\xbb\xbf")
    assert (lines[0].split(",")[:2], lines[-1].split(",")[:2]) == (
        ["صف", "میانگین زمان پاسخ"],
        ["جمع", "10.5"],
    )


def sheet(content: bytes, number: int = 1) -> tuple[ElementTree.Element, list[str]]:
    """A sheet of a workbook, and its shared strings."""
    book = zipfile.ZipFile(io.BytesIO(content))
    strings = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
    texts = ["".join(item.itertext()) for item in strings]
    return ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml")), texts


def grid(content: bytes, number: int = 1) -> list[list[Any]]:
    """Its cells: texts as texts, numbers as numbers."""
    root, texts = sheet(content, number)
    space = root.tag.removesuffix("worksheet")
    found: list[list[Any]] = []
    for row in root.iter(f"{space}row"):
        cells: list[Any] = []
        for cell in row.iter(f"{space}c"):
            assert cell.find(f"{space}f") is None
            value = cell.find(f"{space}v")
            assert value is not None
            assert value.text is not None
            cells.append(texts[int(value.text)] if cell.get("t") == "s" else float(value.text))
        found.append(cells)
    return found


async def test_a_workbook_has_numbers_as_numbers_and_runs_from_right_to_left_in_persian(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000), ("abandoned", 30_000), customer="=1+1")
    rows = grid(await site.file("service_level", "xlsx", by="customer"))
    assert rows[0][:3] == ["Customer", "Service level", "Offered"]
    assert rows[1] == ["=1+1", 0.5, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert rows[2][:3] == ["Total", 0.5, 2.0]
    persian = await site.file("service_level", "xlsx", interval="day", lang="fa")
    assert grid(persian)[0][:4] == ["بازه", "از", "تا", "سطح خدمت"]
    assert grid(persian)[1][0] == "1405-09-01"
    assert grid(persian)[1][1] == 46348.0  # 2026-11-22 as Excel counts days: the report's wall clock
    assert grid(persian, 2)[1][0] == "سطح خدمت"
    for number in (1, 2):
        root, _ = sheet(persian, number)
        view = next(root.iter(f"{root.tag.removesuffix('worksheet')}sheetView"))
        assert view.get("rightToLeft") == "1"


async def test_parquet_has_types(site: Site) -> None:
    await site.stays("sales", ("answered", 10_500))
    await site.stays("support", ("abandoned", 10_500))
    content = await site.file("asa", "parquet", by="queue", interval="day")
    table = arro3.io.read_parquet(io.BytesIO(content)).read_all()
    kinds = {field.name: str(field.type) for field in table.schema}
    assert re.search("Timestamp.*UTC", kinds["from"])
    assert [kinds[name].rpartition("<")[2].rstrip(">\n") for name in ("interval", "queue", "asa", "answered")] == [
        "Utf8", "Utf8", "Float64", "Int64",
    ]  # fmt: skip
    assert table["queue"].to_pylist() == ["sales", "support"]
    assert table["asa"].to_pylist() == [10.5, None]
    assert table["answered"].to_pylist() == [1, 0]
    assert table["from"].to_pylist()[0] == dt.datetime(2026, 11, 21, 20, 30, tzinfo=dt.UTC)


async def test_files_have_the_earlier_span_beside(site: Site) -> None:
    await site.stays("sales", ("answered", 10_000))
    await site.stays("sales", ("abandoned", 9_000), ("abandoned", 9_000), at_us=NINE - DAY_US)
    text = (await site.file("offered", "csv", by="queue", compare="previous")).decode()
    assert text.splitlines() == ["queue,offered,offered_before", "sales,1,2"]


@pytest.mark.parametrize(
    "value", ["a'b", 'a"b', "a\\b", "a\\'b", "a\nb", "\t", "\x00", "[]", "{x:String}", "فروش", "😀"]
)
async def test_filters_take_any_text(site: Site, value: str) -> None:
    await site.stays("sales", ("answered", 1000), customer=value)
    await site.stays("sales", ("answered", 1000), customer="other")
    body = await site.ask("offered", by="customer", **{"filter.customer": value})
    assert [(row["customer"], row["offered"]) for row in body["rows"]] == [(value, 1)]
    assert len(await site.contacts(body["rows"][0]["contacts"])) == 1
