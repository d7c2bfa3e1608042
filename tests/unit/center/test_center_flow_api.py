"""Flows by HTTP: put with a counted version, dry run, history, difference, and back to an earlier one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.center.live import StoreWatch
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from tests.unit.center.test_center_api import Admin, application
from tests.unit.center.test_center_faults import GOOD

DOCUMENT = GOOD.replace("tenant: acme", "tenant: demo").replace(
    "  main:\n", "  main:   # the front door\n    version: 5\n"
)
NIGHT = {"start": "bye", "nodes": {"bye": {"hangup": True}}}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    (tmp_path / "demo.yaml").write_text(DOCUMENT)
    bus = MemoryBus(MemoryBroker(), source="/routing/1")
    watch = StoreWatch(tmp_path / "demo.yaml", bus, SystemClock(), takes_files=True)
    await watch.open(None)
    watch.start()
    async with application(watch, bus, "store") as http:
        yield Admin(http)
    await watch.stop()
    await bus.stop()


async def version(admin: Admin, name: str = "main") -> int:
    found = (await admin.http.get(f"/v1/center/flows/{name}")).json()
    return int(found.get("version", 1))


async def test_a_flow_is_put_counted_and_its_comments_stay(admin: Admin) -> None:
    main = (await admin.http.get("/v1/center/flows/main")).json()
    main["nodes"]["menu"]["timeout_s"] = 9
    tried = await admin.edit("PUT", "flows/main", json=main, params={"dry_run": "true"})
    assert tried.status_code == 200, tried.text
    assert await version(admin) == 5, "a dry run changes nothing"
    made = await admin.edit("PUT", "flows/main", json=main, params={"reason": "slower"})
    assert {c["path"] for c in made.json()["changes"]} == {
        "flows.main.version",
        "flows.main.nodes.menu.timeout_s",
    }
    assert await version(admin) == 6
    assert "main:   # the front door" in await admin.text()
    again = await admin.edit("PUT", "flows/main", json=main)
    assert (again.json()["number"], await version(admin)) == (0, 6), "the same flow is no new version"
    main["version"] = 20
    main["nodes"]["menu"]["timeout_s"] = 8
    await admin.edit("PUT", "flows/main", json=main)
    assert await version(admin) == 20, "authors may count themselves"
    patched = await admin.edit("PATCH", "flows/main", json={"nodes": {"menu": {"timeout_s": None}}})
    assert (patched.status_code, await version(admin)) == (200, 21)


async def test_a_flow_that_fails_a_check_is_not_taken(admin: Admin) -> None:
    before = await admin.text()
    main = (await admin.http.get("/v1/center/flows/main")).json()
    main["nodes"]["menu"]["otherwise"] = "menu"
    refused = await admin.edit("PUT", "flows/main", json=main)
    assert refused.status_code == 422
    assert [(e["path"], e["line"] > 1) for e in refused.json()["errors"]] == [
        ("flows.main.nodes.menu.otherwise", True)
    ]
    shapeless = await admin.edit("PUT", "flows/main", json={"start": "x", "nodes": {"x": {"sing": "y"}}})
    assert shapeless.status_code == 422
    assert "expected exactly one of play, say" in shapeless.text
    assert await admin.text() == before
    await admin.edit("PUT", "flows/night", json=NIGHT)
    used = await admin.edit("DELETE", "flows/main")
    assert [e["path"] for e in used.json()["errors"]] == ["entry_points.500.flow"]


async def test_history_difference_and_back(admin: Admin) -> None:
    main = (await admin.http.get("/v1/center/flows/main")).json()
    for seconds in (7, 8):
        main["nodes"]["menu"]["timeout_s"] = seconds
        await admin.edit("PUT", "flows/main", json=main, params={"reason": f"{seconds} seconds"})
    await admin.edit("PATCH", "queues/two", json={"ring_s": 30})
    await admin.edit("PUT", "flows/night", json=NIGHT)

    versions = (await admin.http.get("/v1/center/flows/main/versions")).json()
    assert [(v["version"], v["number"], v["reason"], v["actor"]) for v in versions] == [
        (7, 3, "8 seconds", "admin:maryam"),
        (6, 2, "7 seconds", "admin:maryam"),
        (5, 1, "", "file:demo.yaml"),
    ]
    found = (await admin.http.get("/v1/center/flows/main/diff", params={"before": 5, "after": 7})).json()
    assert {(c["path"], c["before"], c["after"]) for c in found["changes"]} == {
        ("version", "5", "7"),
        ("nodes.menu.timeout_s", "", "8"),
    }
    assert "+version: 7" in found["text"]

    back = await admin.edit("POST", "flows/main/rollback", json={"version": 5}, params={"reason": "too slow"})
    assert back.status_code == 200, back.text
    main = (await admin.http.get("/v1/center/flows/main")).json()
    assert (main["version"], "timeout_s" in main["nodes"]["menu"]) == (8, False)
    assert (await admin.http.get("/v1/center/queues/two")).json()["ring_s"] == 30, "only the flow goes back"
    unknown = await admin.edit("POST", "flows/main/rollback", json={"version": 77})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "unknown-version")
    nobody = await admin.http.get("/v1/center/flows/nowhere/versions")
    assert (nobody.status_code, nobody.json()["type"]) == (404, "unknown-flow")


async def test_a_removed_flow_can_be_brought_back(admin: Admin) -> None:
    await admin.edit("PUT", "flows/night", json=NIGHT)
    assert (await admin.edit("DELETE", "flows/night")).status_code == 200
    assert (await admin.http.get("/v1/center/flows/night")).status_code == 404
    back = await admin.edit("POST", "flows/night/rollback", json={"version": 1})
    assert back.status_code == 200, back.text
    assert (await admin.http.get("/v1/center/flows/night")).json() == NIGHT
