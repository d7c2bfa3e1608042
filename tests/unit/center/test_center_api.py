"""Editing center documents by HTTP: based on a revision, checked as a whole, told who and why, and comments stay."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.center import load
from services.center.api import router
from services.center.editor import Editor
from services.center.live import StoreWatch
from services.center.store import CenterStore
from services.center.watch import CenterWatch
from services.common import auth
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.http import Readiness, make_app

ROOT = Path(__file__).resolve().parents[3]
DEMO = "".join(  # with a dozen of its agents: every edit reads it whole
    line
    for line in (ROOT / "deploy" / "centers" / "demo.yaml").read_text().splitlines(keepends=True)
    if not re.search(r'extension: "10(1[3-9]|[2-9][0-9])"', line)
)
SECRET = "not-a-secret-only-a-test-0123456789"


def bearer(role: auth.Role, tenant: str = "demo") -> dict[str, str]:
    token = auth.issue(SECRET, tenant=tenant, role=role, subject="maryam", ttl_s=60)
    return {"Authorization": f"Bearer {token}"}


class Admin:
    """Somebody who edits, always based on the newest revision unless told otherwise."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def revision(self) -> str:
        answer = await self.http.get("/v1/center/document")
        return str(answer.headers["etag"])

    async def edit(self, method: str, path: str, *, based_on: str = "", **more: Any) -> httpx.Response:
        headers = {"If-Match": based_on or await self.revision(), **more.pop("headers", {})}
        return await self.http.request(method, f"/v1/center/{path}", headers=headers, **more)

    async def text(self) -> str:
        return (await self.http.get("/v1/center/document")).text


def application(watch: Any, bus: MemoryBus, rule: str) -> httpx.AsyncClient:
    readiness = Readiness()
    app = make_app("routing", "1", readiness, auth_secret=SECRET)
    app.include_router(router(Editor(lambda: watch, CenterStore(bus, SystemClock()), rule)))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://routing", headers=bearer("admin")
    )


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    file = tmp_path / "demo.yaml"
    file.write_text(DEMO)
    return file


@pytest.fixture
async def admin(demo: Path) -> AsyncIterator[Admin]:
    bus = MemoryBus(MemoryBroker(), source="/routing/1")
    watch = StoreWatch(demo, bus, SystemClock(), takes_files=True)
    await watch.open(None)
    watch.start()
    async with application(watch, bus, "store") as http:
        yield Admin(http)
    await watch.stop()
    await bus.stop()


async def test_the_document_comes_as_yaml_with_its_comments_or_as_json(admin: Admin, demo: Path) -> None:
    assert await admin.text() == DEMO
    answer = await admin.http.get("/v1/center/document", headers={"Accept": "application/json"})
    assert answer.json()["agents"]["sara"]["extension"] == "1001"
    assert answer.headers["etag"] == f'"{load(demo).centers[0].revision}"'


async def test_an_agent_is_made_changed_and_removed_and_nothing_else_of_the_text_changes(
    admin: Admin,
) -> None:
    zoe = {"name": {"en": "Zoe"}, "extension": "1999", "skills": {"sales": 2}, "queues": ["sales"]}
    made = await admin.edit("PUT", "agents/zoe", json=zoe, params={"reason": "hired"})
    assert made.status_code == 200, made.text
    assert made.json()["number"] == 2
    assert [c["path"] for c in made.json()["changes"]] == ["agents.zoe"]
    assert (await admin.http.get("/v1/center/agents/zoe")).json() == zoe

    changed = await admin.edit("PATCH", "agents/zoe", json={"skills": {"sales": None, "fa": 4}})
    assert [(c["path"], c["before"], c["after"]) for c in changed.json()["changes"]] == [
        ("agents.zoe.skills.sales", "2", ""),
        ("agents.zoe.skills.fa", "", "4"),
    ]
    text = (await admin.text()).splitlines()
    assert [line for line in text if line not in DEMO.splitlines()] == [
        "  zoe:",
        "    name: {en: Zoe}",
        '    extension: "1999"',
        "    skills: {fa: 4}",
        "    queues: [sales]",
    ]
    gone = await admin.edit("DELETE", "agents/zoe")
    assert gone.json()["drains"] == ["zoe"]
    assert await admin.text() == DEMO
    assert (await admin.http.get("/v1/center/agents/zoe")).status_code == 404


async def test_of_two_people_the_one_who_has_not_seen_the_other_ones_edit_is_told_so(admin: Admin) -> None:
    seen = await admin.revision()
    first = await admin.edit("PATCH", "queues/sales", json={"ring_s": 30}, based_on=seen)
    assert first.status_code == 200
    second = await admin.edit("PATCH", "queues/sales", json={"ring_s": 40}, based_on=seen)
    assert second.status_code == 412
    assert second.json()["type"] == "revision-outdated"
    assert (await admin.http.get("/v1/center/queues/sales")).json()["ring_s"] == 30
    blind = await admin.http.patch("/v1/center/queues/sales", json={"ring_s": 50})
    assert blind.status_code == 428
    anything = await admin.edit("PATCH", "queues/sales", json={"ring_s": 50}, based_on="*")
    assert anything.status_code == 428


BREAKS: list[tuple[str, str, Any, str]] = [
    ("PATCH", "agents/sara", {"queues": ["sales", "nowhere"]}, "agents.sara.queues.1"),
    ("PATCH", "agents/sara", {"extension": "1002"}, "agents.reza.extension"),
    ("PATCH", "queues/sales", {"colour": "red"}, "queues.sales.colour"),
    ("PATCH", "queues/sales", {"welcome": "no-such-prompt"}, "queues.sales.welcome"),
    ("DELETE", "queues/support", None, "agents.neda.queues"),
    ("DELETE", "queues/billing", None, "agents.parisa.queues"),
    ("DELETE", "skills/billing", None, "queues.billing.skills.billing"),
    ("DELETE", "calendars/office", None, "flows.office-hours.nodes.hours.hours"),
    ("DELETE", "tiers/reza/sales", None, "agents.reza.queues"),
]


async def test_an_edit_that_breaks_the_document_changes_nothing_and_says_where(admin: Admin) -> None:
    for method, path, body, fault_at in BREAKS:
        answer = await admin.edit(method, path, **({"json": body} if body is not None else {}))
        assert answer.status_code == 422, path
        assert answer.json()["type"] == "center-invalid"
        errors = {e["path"]: e for e in answer.json()["errors"]}
        assert fault_at in errors, (path, sorted(errors))
        assert errors[fault_at]["line"] > 1
    assert await admin.text() == DEMO


async def test_a_queue_that_goes_is_served_by_nobody_and_named_as_draining(admin: Admin) -> None:
    made = await admin.edit("PUT", "queues/vip", json={"name": {"en": "VIP"}})
    assert made.status_code == 200
    tier = await admin.edit("PUT", "tiers/sara/vip", json={"priority": 2, "after_s": 30})
    assert tier.status_code == 200
    assert {"agent_id": "sara", "queue": "vip", "priority": 2, "after_s": 30} in (
        await admin.http.get("/v1/center/tiers", params={"queue": "vip"})
    ).json()
    await admin.edit("PUT", "tiers/sara/vip", json={})
    assert (await admin.http.get("/v1/center/agents/sara")).json()["queues"] == ["sales", "support", "vip"]
    gone = await admin.edit("DELETE", "queues/vip")
    assert gone.json()["drains"] == ["vip"]
    assert (await admin.http.get("/v1/center/agents/sara")).json()["queues"] == ["sales", "support"]
    again = await admin.edit("DELETE", "tiers/sara/vip")
    assert (again.status_code, again.json()["type"]) == (404, "unknown-tier")


async def test_codes_skills_and_calendars(admin: Admin) -> None:
    seven = await admin.edit("PUT", "dispositions/7", json={"code": "7", "name": {"en": "Seven"}})
    assert seven.status_code == 200, seven.text
    other = await admin.edit("PUT", "dispositions/7", json={"code": "8", "name": {"en": "Eight"}})
    assert (other.status_code, other.json()["type"]) == (422, "request-invalid")
    rest = await admin.edit("PATCH", "break-reasons/rest", json={"limit_s": 600})
    assert [c["path"] for c in rest.json()["changes"]] == ["break_reasons.rest.limit_s"]
    team = await admin.edit("PUT", "teams/night", json={"name": {"en": "Night"}, "supervisors": ["sara"]})
    assert team.status_code == 200, team.text
    assert (await admin.edit("PATCH", "agents/reza", json={"team": "night"})).status_code == 200
    assert (await admin.edit("DELETE", "teams/night")).status_code == 422, "reza is in it"
    assert (await admin.edit("PATCH", "agents/reza", json={"team": None})).status_code == 200
    assert (await admin.edit("DELETE", "teams/night")).status_code == 200
    assert (await admin.edit("PUT", "skills/vip")).status_code == 200
    assert (await admin.http.get("/v1/center/skills")).json()[-1] == "vip"
    assert (await admin.edit("DELETE", "skills/vip")).status_code == 200
    closed = await admin.edit("PATCH", "calendars/office", json={"closed_on": ["2027-05-01"]})
    assert closed.status_code == 200
    assert "closed_on: [" in await admin.text()
    assert [d["code"] for d in (await admin.http.get("/v1/center/dispositions")).json().values()][-1] == "7"


async def test_the_whole_document_by_yaml_and_by_json(admin: Admin) -> None:
    yaml = DEMO.replace("ring_s: 15", "ring_s: 16   # a little longer")
    put = await admin.edit("PUT", "document", content=yaml, headers={"Content-Type": "application/yaml"})
    assert put.status_code == 200, put.text
    assert await admin.text() == yaml
    value = (await admin.http.get("/v1/center/document", headers={"Accept": "application/json"})).json()
    value["queues"]["sales"]["ring_s"] = 17
    put = await admin.edit("PUT", "document", json=value)
    assert [c["path"] for c in put.json()["changes"]] == ["queues.sales.ring_s"]
    assert await admin.text() == yaml.replace("ring_s: 16   #", "ring_s: 17   #")
    same = await admin.edit("PUT", "document", json=value)
    assert (same.json()["number"], same.json()["changes"]) == (0, [])
    broken = await admin.edit(
        "PUT", "document", content="tenant: [", headers={"Content-Type": "application/yaml"}
    )
    assert broken.status_code == 422
    assert "not YAML" in broken.json()["errors"][0]["message"]
    foreign = await admin.edit(
        "PUT",
        "document",
        content=DEMO.replace("tenant: demo", "tenant: acme"),
        headers={"Content-Type": "text/yaml"},
    )
    assert foreign.json()["type"] == "not-your-tenant"


async def test_history_difference_dry_run_and_rollback(admin: Admin) -> None:
    dry = await admin.edit("PATCH", "queues/sales", json={"ring_s": 30}, params={"dry_run": "true"})
    assert (dry.json()["number"], dry.json()["changes"][0]["after"]) == (0, "30")
    assert await admin.text() == DEMO
    await admin.edit("PATCH", "queues/sales", json={"ring_s": 30}, params={"reason": "phones ring too short"})
    await admin.edit("PATCH", "queues/sales", json={"ring_s": 60})
    history = (await admin.http.get("/v1/center/revisions")).json()
    assert [(r["number"], r["kind"], r["actor"], r["reason"]) for r in history] == [
        (3, "edited", "admin:maryam", ""),
        (2, "edited", "admin:maryam", "phones ring too short"),
        (1, "seeded", "file:demo.yaml", ""),
    ]
    assert [r["based_on"] for r in history] == [history[1]["revision"], history[2]["revision"], ""]
    difference = (await admin.http.get("/v1/center/diff", params={"before": 1, "after": 3})).json()
    assert [(c["path"], c["before"], c["after"]) for c in difference["changes"]] == [
        ("queues.sales.ring_s", "15", "60")
    ]
    assert "-    ring_s: 15\n+    ring_s: 60\n" in difference["text"]
    back = await admin.edit("POST", "rollback", json={"number": 1}, params={"reason": "as it was"})
    assert (back.json()["number"], back.json()["revision"]) == (4, history[2]["revision"])
    assert await admin.text() == DEMO
    assert (await admin.http.get("/v1/center/revisions/3")).text.count("ring_s: 60") == 1
    assert (await admin.http.get("/v1/center/revisions/9")).status_code == 404


async def test_only_admins_edit(admin: Admin) -> None:
    based_on = await admin.revision()
    roles: tuple[auth.Role, ...] = ("agent", "supervisor", "analyst", "service", "display")
    for role in roles:
        admin.http.headers.update(bearer(role))
        answer = await admin.edit("PATCH", "queues/sales", json={"ring_s": 30}, based_on=based_on)
        assert (answer.status_code, answer.json()["type"]) == (403, "role-not-allowed")
        read = await admin.http.get("/v1/center/queues")
        assert read.status_code == (200 if role == "supervisor" else 403)


async def test_another_tenants_admin_sees_nothing_of_it_and_makes_a_first_document(admin: Admin) -> None:
    admin.http.headers.update(bearer("admin", "other"))
    assert (await admin.http.get("/v1/center/agents")).status_code == 404
    mine = DEMO.replace("tenant: demo", "tenant: other").replace(
        "prompts_dir: prompts ", "prompts_dir: other "
    )
    refused = await admin.http.put(
        "/v1/center/document",
        content=mine,
        headers={"If-None-Match": "*", "Content-Type": "application/yaml"},
    )
    assert refused.status_code == 422, "its numbers are the other tenant's"
    mine = (
        mine.replace('"1000"', '"7900"')
        .replace(': "10', ': "70')
        .replace('desks: ["10', 'desks: ["70')
        .replace('"2000":', '"7901":')
        .replace('"3000":', '"7902":')
    )
    made = await admin.http.put(
        "/v1/center/document",
        content=mine,
        headers={"If-None-Match": "*", "Content-Type": "application/yaml"},
    )
    assert made.status_code == 200, made.text
    again = await admin.http.put(
        "/v1/center/document",
        content=mine,
        headers={"If-None-Match": "*", "Content-Type": "application/yaml"},
    )
    assert again.status_code == 412


async def test_where_files_rule_an_edit_is_refused_with_the_reason_and_a_dry_run_is_not(demo: Path) -> None:
    bus = MemoryBus(MemoryBroker(), source="/routing/1")
    async with application(CenterWatch(demo), bus, "files") as http:
        admin = Admin(http)
        assert await admin.text() == DEMO
        refused = await admin.edit("PATCH", "queues/sales", json={"ring_s": 30})
        assert (refused.status_code, refused.json()["type"]) == (409, "center-managed-by-files")
        assert "PEYVAND_CENTERS_RULE" in refused.json()["detail"]
        dry = await admin.edit("PATCH", "queues/sales", json={"ring_s": 30}, params={"dry_run": "true"})
        assert dry.status_code == 200
        assert [c["after"] for c in dry.json()["changes"]] == ["30"]
        assert (await http.get("/v1/center/revisions")).json() == []
    await bus.stop()


async def test_openapi_has_models_and_examples_of_every_part(admin: Admin) -> None:
    described = (await admin.http.get("/openapi.json")).json()
    for kind in ("agents", "queues", "teams", "calendars", "dispositions", "break-reasons"):
        routes = described["paths"][f"/v1/center/{kind}/{{name}}"]
        assert set(routes) == {"get", "put", "patch", "delete"}
        schema = routes["put"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["examples"][0], kind
        name = schema.get("$ref", schema.get("allOf", [{}])[0].get("$ref", "")).rpartition("/")[2]
        assert described["components"]["schemas"][name]["properties"]


async def test_customers_one_by_one_and_as_a_table(admin: Admin) -> None:
    put = await admin.edit("PUT", "customers/+989121234567", json={"name": "Sara", "language": "fa"})
    assert put.status_code == 200, put.text
    table = "number,name,language\n+989350000001,Ali,fa\n09350000002,,en\n"
    put = await admin.edit("PUT", "customers", content=table, headers={"Content-Type": "text/csv"})
    assert put.status_code == 200, put.text
    found = (await admin.http.get("/v1/center/customers")).json()
    assert found == {"+989350000001": {"name": "Ali", "language": "fa"}, "09350000002": {"language": "en"}}
    wrong = await admin.edit("PUT", "customers", content="number,colour\n1,red\n")
    assert (wrong.status_code, wrong.json()["type"]) == (422, "table-invalid")
    unknown = await admin.edit("PUT", "customers", content="number,class\n0935,none\n")
    assert unknown.status_code == 422
    assert [e["path"] for e in unknown.json()["errors"]] == ["customers.0935.class"]
    reader = await admin.http.put("/v1/center/customers", content=table, headers=bearer("supervisor"))
    assert reader.status_code == 403
