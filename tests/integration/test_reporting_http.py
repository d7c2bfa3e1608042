"""The reports over HTTP, on a real ClickHouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from services.common import auth
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.http import Readiness, make_app
from services.reporting import contacts_api, flow_api, query_api, survey_api
from services.reporting.adapters.settler import Settler
from services.reporting.adapters.writer import Writer
from services.reporting.api import Reports, build_router
from services.reporting.asking import Defaults
from services.reporting.core import facts as f
from services.reporting.core.legs import Leg, rows_of_leg
from services.reporting.core.rows import rows_of
from tests.reporting_stories import EPOCH_US, Rolled, Story, Teller, tell

pytestmark = pytest.mark.clickhouse

SECRET = "a secret of thirty-two characters and more"
NOW_US = EPOCH_US + 600_000_000


class Site:
    """The routes with some contacts behind them."""

    def __init__(self, client: httpx.AsyncClient, writer: Writer, reports: Reports, settler: Settler) -> None:
        self._client = client
        self._writer = writer
        self.reports = reports
        self._settler = settler

    async def write(self, *told: Story) -> None:
        await self._writer.write(row for story in told for placed in story.placed for row in rows_of(placed))
        await self._writer.write(row for story in told for leg in story.legs for row in rows_of_leg(leg))

    async def settle(self) -> None:
        """As reporting does every second or so."""
        await self._settler.drain()
        await self._settler.measure()

    async def get(
        self,
        path: str,
        *,
        as_role: auth.Role = "supervisor",
        tenant: str = "demo",
        signed: bool = True,
        **params: Any,
    ) -> httpx.Response:
        token = auth.issue(SECRET, tenant=tenant, role=as_role, subject="me", ttl_s=60)
        headers = {"Authorization": f"Bearer {token}"} if signed else {}
        address = path if path.startswith("/") else f"/v1/reports/{path}"
        return await self._client.get(address, params=params, headers=headers)


@pytest.fixture
async def site(store: ServerStore, store_url: StoreUrl) -> AsyncIterator[Site]:
    app = make_app("reporting", "test", Readiness(), auth_secret=SECRET)
    clock = ManualClock(NOW_US)
    settler = Settler(store, clock)
    reports = Reports(store, clock, lambda: settler.settled_until_us)
    reports.open()
    app.include_router(query_api.build_router(reports, clock, lambda tenant: Defaults()))
    app.include_router(contacts_api.build_router(reports, clock, lambda tenant: Defaults()))
    app.include_router(build_router(reports))
    app.include_router(survey_api.build_router(reports))
    app.include_router(flow_api.build_router(reports))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reporting") as client:
        yield Site(client, Writer(store, store_url.database), reports, settler)


def waited(teller: Teller, queue: str, wait_ms: int, outcome: str) -> Story:
    """A contact that waited so long in a queue and was answered by sara for a minute, or abandoned."""
    teller.told += 1
    story = Story(f"w{teller.told}")
    parked = teller.later(1000)
    common = {"contact_id": story.contact_id, "queue": queue}
    teller.decided(
        story, f.ContactQueued(**common, waiting_since_us=parked, started_at_us=parked, entry_point="1000")
    )
    at = teller.later(wait_ms)
    if outcome == "answered":
        party = {"offer_id": f"o-{story.contact_id}", "agent_id": "sara"}
        made = f.OfferMade(**common, **party, extension="1001", node="fs1", ring_ms=1)
        teller.decided(
            story,
            made,
            f.OfferEnded(contact_id=story.contact_id, **party, outcome="accepted", ring_ms=5),
            f.ContactConnected(**common, **party, wait_ms=wait_ms, connected_at_us=at),
        )
        teller.later(60_000)
        closed = f.ContactClosed(**common, outcome="completed", wait_ms=wait_ms, talk_ms=60_000)
    else:
        closed = f.ContactClosed(**common, outcome="abandoned", wait_ms=wait_ms)
    teller.decided(story, closed)
    return story


FIGURES = "received,contacts_answered,contacts_abandoned,hung_up_in_menu,served_by_menu,contacts_other,contacts_open"


async def test_a_call_is_told_at_once_and_counted_when_it_is_settled(site: Site) -> None:
    teller = Teller("demo")
    story = waited(teller, "sales", 2_000, "answered")
    await site.write(story)
    page = (await site.get("/v1/contacts")).json()
    assert (page["items"], page["settled_until"]) == ([], None)
    assert (await site.get(f"/v1/contacts/{story.contact_id}")).json()["contact"]["agent_id"] == "sara"
    await site.settle()
    page = (await site.get("/v1/contacts")).json()
    assert [item["contact_id"] for item in page["items"]] == [story.contact_id]
    assert datetime.fromisoformat(page["settled_until"]).timestamp() * 1e6 == NOW_US
    body = (await site.get("query", measures=FIGURES)).json()
    assert (body["totals"]["received"], body["settled_until"]) == (1, page["settled_until"])


async def test_random_books_balance(site: Site) -> None:
    teller = Teller("demo")
    told = [tell(teller, Rolled(n)) for n in range(60)]
    await site.write(*told)
    await site.settle()
    span = {"from": EPOCH_US // 1_000_000 - 1, "to": teller.now_us // 1_000_000 + 1}
    totals = (await site.get("query", measures=FIGURES, **span)).json()["totals"]
    assert totals["received"] == 60 == sum(totals.values()) - totals["received"]
    outcomes = [story.expected["outcome"] for story in told]
    assert totals["hung_up_in_menu"] == outcomes.count("hung_up")
    assert totals["contacts_answered"] == outcomes.count("answered")
    by_outcome = (await site.get("query", measures="received", by="outcome", **span)).json()["rows"]
    assert {row["outcome"]: row["received"] for row in by_outcome} == dict(Counter(outcomes))


async def test_pages_go_through_all_contacts_once(site: Site) -> None:
    teller = Teller("demo")
    told = [waited(teller, "sales", 100, "abandoned") for _ in range(7)]
    await site.write(*told)
    await site.settle()
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = (await site.get("/v1/contacts", **params)).json()
        seen += [item["contact_id"] for item in page["items"]]
        if page["next"] is None:
            break
        params["before"] = page["next"]
    assert seen == [story.contact_id for story in reversed(told)]
    one = (await site.get("/v1/contacts", **{"filter.outcome": "answered"})).json()
    assert one["items"] == []


async def test_the_story_of_a_contact_in_the_order_of_time(site: Site) -> None:
    teller = Teller("demo")
    story = waited(teller, "sales", 2_000, "answered")
    began = EPOCH_US + 1_000_000
    story.legs.append(
        Leg(
            leg_id=story.contact_id, source="spool", tenant="demo", contact_id=story.contact_id, role="caller",
            started_at_us=began - 5, ended_at_us=teller.now_us + 5, hangup_cause="NORMAL_CLEARING",
        )
    )  # fmt: skip
    await site.write(story)
    body = (await site.get(f"/v1/contacts/{story.contact_id}")).json()
    assert body["contact"]["agent_id"] == "sara"
    types = [entry["type"].rpartition(".")[2] for entry in body["timeline"]]
    assert types == [
        "started", "ContactQueued", "OfferMade", "OfferEnded", "ContactConnected", "ContactClosed", "ended",
    ]  # fmt: skip
    times = [datetime.fromisoformat(entry["at"]) for entry in body["timeline"]]
    assert times == sorted(times)
    assert body["timeline"][1]["payload"]["queue"] == "sales"
    assert [offer["outcome"] for offer in body["offers"]] == ["accepted"]
    assert [leg["role"] for leg in body["legs"]] == ["caller"]
    assert [step["what"] for step in body["steps"]] == ["queued", "offered", "connected", "closed"]
    assert body["offers"][0]["why_failed"] is None
    assert (body["segments"], body["answers"], body["evaluations"], body["related"]) == ([], [], [], [])


async def test_one_tenant_never_sees_another(site: Site) -> None:
    teller = Teller("demo")
    story = waited(teller, "sales", 2_000, "answered")
    await site.write(story)
    await site.settle()
    assert len((await site.get("/v1/contacts")).json()["items"]) == 1
    assert (await site.get("/v1/contacts", tenant="other")).json()["items"] == []
    answer = await site.get(f"/v1/contacts/{story.contact_id}", tenant="other")
    assert (answer.status_code, answer.json()["type"]) == (404, "unknown-contact")


@pytest.mark.parametrize(
    ("path", "params", "slug"),
    [
        ("legs", {"from": "yesterday"}, "time-invalid"),
        ("legs", {"to": "2026-11-21T08:00:00"}, "time-invalid"),
        ("legs", {"from": 10, "to": 10}, "interval-invalid"),
        ("legs", {"from": 0, "to": 4e8}, "interval-too-long"),
        ("/v1/contacts", {"limit": 0}, "request-invalid"),
        ("/v1/contacts", {"before": "x"}, "cursor-invalid"),
        ("legs", {"role": "boss"}, "request-invalid"),
    ],
)
async def test_wrong_questions_are_answered_with_what_was_expected(
    site: Site, path: str, params: dict[str, Any], slug: str
) -> None:
    answer = await site.get(path, **params)
    assert (answer.status_code, answer.json()["type"]) == (422, slug)
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["query", "/v1/contacts", "/v1/contacts/x", "legs", "measures"])
async def test_agents_and_boards_may_not_read_reports(site: Site, path: str) -> None:
    for role in ("agent", "display", "service"):
        assert (await site.get(path, as_role=role)).status_code == 403  # type: ignore[arg-type]
    assert (await site.get(path, signed=False)).status_code == 401


async def test_before_the_tables_are_there_the_answer_is_not_ready(site: Site) -> None:
    site.reports._open = False
    answer = await site.get("legs")
    assert (answer.status_code, answer.json()["type"]) == (503, "not-ready")


async def test_surveys_by_question_agent_and_queue(site: Site) -> None:
    teller = Teller("demo")
    story = Story("s1")

    def said(contact: str, agent: str, question: str, score: int, least: int, most: int) -> None:
        teller.event(
            story,
            f.SurveyAnswered(
                contact_id=contact, survey="after-call", question=question, kind="score", score=score, least=least, most=most,
                queue="sales", agent_id=agent, at_us=teller.later(1_000),
            ),
            "ivr",
        )  # fmt: skip

    for n, score in enumerate([10, 9, 8, 6, 0]):
        said(f"c{n}", "sara" if n < 3 else "reza", "nps", score, 0, 10)
    for n, score in enumerate([5, 4, 3]):
        said(f"c{n}", "sara", "csat", score, 1, 5)
    why = f.SurveyAnswered(
        contact_id="c0", survey="after-call", question="why", kind="comment", at_us=teller.later(1)
    )
    teller.event(story, why, "ivr")
    for n, outcome in enumerate(["finished", "finished", "hung_up"]):
        ended = f.SurveyEnded(
            contact_id=f"c{n}", survey="after-call", outcome=outcome, answers=2 - n, queue="sales", agent_id="sara", at_us=teller.later(9),
        )  # fmt: skip
        teller.event(story, ended, "ivr")
    await site.write(story, story)  # told twice is told once

    (survey,) = (await site.get("surveys")).json()["surveys"]
    assert (survey["survey"], survey["begun"], survey["answered"]) == ("after-call", 3, 2)
    assert survey["by_outcome"] == {"finished": 2, "hung_up": 1}
    csat, nps = survey["questions"]
    assert (csat["question"], csat["answers"], csat["mean"], csat["nps"]) == ("csat", 3, 4.0, None)
    assert csat["satisfied"] == pytest.approx(2 / 3)
    # Two promoters and two detractors of five.
    assert (nps["answers"], nps["mean"], nps["nps"], nps["satisfied"]) == (5, 6.6, 0.0, None)
    assert [q["nps"] for q in survey["by_agent"]["reza"]] == [-100.0]
    assert set(survey["by_queue"]) == {"sales"}
    (of_reza,) = (await site.get("surveys", agent="reza")).json()["surveys"]
    assert (of_reza["begun"], [q["answers"] for q in of_reza["questions"]]) == (0, [2])
    assert (await site.get("surveys", tenant="other")).json()["surveys"] == []
    assert (await site.get("surveys", as_role="agent")).status_code == 403
    await site.settle()
    assert (await site.get("/v1/contacts")).json()["items"] == [], "an answer makes no contact"


def walked(teller: Teller, *steps: tuple[str, str, int, str], version: int = 3) -> Story:
    """A call through these nodes: what was keyed, the milliseconds, the way out."""
    teller.told += 1
    story = Story(f"f{teller.told}")
    for number, (node, keyed, spent_ms, result) in enumerate(steps, start=1):
        at = teller.later(spent_ms)
        step = f.IvrStepTaken(
            contact_id=story.contact_id, step_no=number, flow="main", flow_version=version, flow_node=node,
            kind="menu", result=result, spent_ms=spent_ms, at_us=at, entered_at_us=at - spent_ms * 1000, input=keyed,
        )  # fmt: skip
        teller.event(story, step, "ivr")
    return story


async def test_flows_show_where_callers_leave(site: Site) -> None:
    teller = Teller("demo")
    await site.write(
        walked(teller, ("hello", "", 2_000, "played"), ("menu", "1", 4_000, "digit:1")),
        walked(teller, ("hello", "", 2_000, "played"), ("menu", "", 9_000, "hung_up")),
        walked(teller, ("hello", "", 1_000, "hung_up")),
        walked(teller, ("hello", "", 2_000, "played"), ("menu", "", 5_000, "hung_up"), version=2),
    )
    await site.write(walked(Teller("other"), ("hello", "", 1_000, "hung_up")))
    body = (await site.get("flows")).json()
    told = [(n["flow"], n["version"], n["node"], n["visits"], n["left"], n["results"]) for n in body["nodes"]]
    assert told == [
        ("main", 3, "hello", 3, 1, {"played": 2, "hung_up": 1}),
        ("main", 3, "menu", 2, 1, {"digit:1": 1, "hung_up": 1}),
        ("main", 2, "hello", 1, 0, {"played": 1}),
        ("main", 2, "menu", 1, 1, {"hung_up": 1}),
    ]
    menu = body["nodes"][1]
    assert (menu["left_share"], menu["spent_avg_s"], menu["left_after_p50_s"]) == (0.5, 6.5, 9.0)
    assert body["nodes"][2]["left_after_p50_s"] is None
    older = (await site.get("flows", version=2, node="menu")).json()["nodes"]
    assert [(n["version"], n["node"]) for n in older] == [(2, "menu")]
    assert (await site.get("flows", flow="nobody")).json()["nodes"] == []
    assert (await site.get("flows", as_role="agent")).status_code == 403


async def test_the_view_of_flows_agrees_with_the_report(site: Site, store: ServerStore) -> None:
    teller = Teller("demo")
    await site.write(
        walked(teller, ("hello", "", 2_000, "played"), ("menu", "", 9_000, "timeout")),
        walked(teller, ("hello", "", 1_000, "hung_up")),
    )
    rows = await store.query("SELECT * FROM v_flow_nodes WHERE tenant = 'demo' ORDER BY flow_node")
    assert [
        (
            r["flow_node"],
            r["visits"],
            r["left_count"],
            r["unanswered_count"],
            r["total_ms"],
            r["left_after_ms"],
        )
        for r in rows
    ] == [("hello", 2, 1, 0, 3_000, 1_000), ("menu", 1, 0, 1, 9_000, 0)]


async def test_revisions_of_the_center_are_told_newest_first(site: Site) -> None:
    story = Story("r")
    for number, reason in ((1, "first"), (2, "Sara has finished her training")):
        revised = f.CenterRevised(
            number=number, revision=f"{number:012x}", kind="edited", actor="admin:maryam", reason=reason,
            changes=(f.CenterChange(path="agents.sara.skills.sales", before="3", after="5"),),
            at_us=EPOCH_US + number,
        )  # fmt: skip
        story.placed.append(
            f.Placed(
                id=f"r{number}",
                stream="CC_CENTER",
                seq=number,
                idx=0,
                type="peyvand.center.v1.CenterRevised",
                tenant="demo",
                contact_id="",
                at_us=revised.at_us,
                revision=revised.revision,
                fact=revised,
            )
        )
    await site.write(story)
    found = (await site.get("center-revisions")).json()["revisions"]
    assert [(r["number"], r["reason"]) for r in found] == [
        (2, "Sara has finished her training"),
        (1, "first"),
    ]
    assert found[0]["changes"] == [{"path": "agents.sara.skills.sales", "before": "3", "after": "5"}]
