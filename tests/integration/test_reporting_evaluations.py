"""Supervisors judge contacts over HTTP; what they gave is corrected, read back and counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.common import auth
from services.common.bus import Envelope, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.errors import BusUnavailable, StoreUnavailable
from services.common.http import Readiness, make_app
from services.reporting.adapters.writer import Writer
from services.reporting.api import Reports
from services.reporting.app import Ingest
from services.reporting.core.facts import EvaluationGiven
from services.reporting.core.legs import Directory
from services.reporting.evaluation_api import Evaluations, build_router
from tests.reporting_records import Records

pytestmark = pytest.mark.clickhouse

SECRET = "a secret of thirty-two characters and more"
AT_US = 1_790_000_000_000_000
FORM: dict[str, Any] = {
    "form": "quality",
    "marks": [
        {"question": "greeting", "score": 4, "most": 5, "comment": "سلام"},
        {"question": "help", "score": 9, "most": 10},
    ],
}


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(MemoryBroker(), source="/reporting/1")


async def facts(bus: MemoryBus) -> list[Envelope]:
    pattern = subjects.any_fact("demo", "reporting")
    return [envelope async for envelope in bus.read_log(pattern, after_seq=0)]


@pytest.fixture
async def client(store: ServerStore, store_url: StoreUrl, bus: MemoryBus) -> AsyncIterator[httpx.AsyncClient]:
    await Records(store, store_url).add(
        "contact_records", {"started_at": AT_US, "contact_id": "c1", "agent_id": "sara"}
    )
    clock = ManualClock(AT_US)
    reports = Reports(store, clock, lambda: None)
    reports.open()
    app = make_app("reporting", "test", Readiness(), auth_secret=SECRET)
    app.include_router(build_router(Evaluations(reports, store, bus, clock)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://reporting") as made:
        yield made


def token(role: auth.Role = "supervisor", tenant: str = "demo") -> dict[str, str]:
    return {
        "Authorization": f"Bearer {auth.issue(SECRET, tenant=tenant, role=role, subject='me', ttl_s=600)}"
    }


async def test_an_evaluation_is_given_corrected_and_read_back(
    client: httpx.AsyncClient, store: ServerStore
) -> None:
    given = await client.post("/v1/contacts/c1/evaluations", json=FORM, headers=token())
    assert given.status_code == 201, given.text
    told = given.json()
    assert (told["agent_id"], told["evaluator"]) == ("sara", "supervisor:me")
    again = {**FORM, "evaluation_id": told["evaluation_id"]}
    assert (await client.post("/v1/contacts/c1/evaluations", json=again, headers=token())).status_code == 201
    corrected = {**again, "marks": [{"question": "help", "score": 2, "most": 10}]}
    assert (
        await client.post("/v1/contacts/c1/evaluations", json=corrected, headers=token())
    ).status_code == 201
    read = (await client.get("/v1/contacts/c1/evaluations", headers=token("analyst"))).json()
    assert [(e["evaluation_id"], [(m["question"], m["score"]) for m in e["marks"]]) for e in read] == [
        (told["evaluation_id"], [("help", 2)])
    ]
    assert read[0]["at"] == told["at"]
    rows = await store.query("SELECT sum(score) AS score, sum(most) AS most FROM v_evaluations")
    assert rows == [{"score": 2, "most": 10}]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "says"),
    [
        ("c2", FORM, token(), 404, "there is no contact 'c2'"),
        ("c1", FORM, token(tenant="other"), 404, "there is no contact"),
        ("c1", {**FORM, "segment_id": "c1-7"}, token(), 404, "there is no conversation 'c1-7'"),
        ("c1", FORM, token("agent"), 403, "role"),
        ("c1", FORM, token("analyst"), 403, "role"),
        ("c1", {**FORM, "marks": []}, token(), 422, "marks"),
        ("c1", {**FORM, "marks": [{"question": "q", "score": 6, "most": 5}]}, token(), 422, "at most 5"),
        ("c1", {**FORM, "marks": FORM["marks"] * 2}, token(), 422, "there twice"),
    ],
)
async def test_what_cannot_be_judged_is_refused_by_name(
    client: httpx.AsyncClient,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
    status: int,
    says: str,
    store: ServerStore,
) -> None:
    answer = await client.post(f"/v1/contacts/{path}/evaluations", json=body, headers=headers)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    assert await store.query("SELECT * FROM v_evaluations") == []


async def test_other_services_are_told_of_it_and_its_rows_come_from_what_they_are_told(
    client: httpx.AsyncClient, store: ServerStore, store_url: StoreUrl, bus: MemoryBus
) -> None:
    told = (await client.post("/v1/contacts/c1/evaluations", json=FORM, headers=token())).json()
    corrected = {
        "form": "quality", "evaluation_id": told["evaluation_id"], "marks": [{"question": "help", "score": 2, "most": 10}]
    }  # fmt: skip
    await client.post("/v1/contacts/c1/evaluations", json=corrected, headers=token())
    envelopes = await facts(bus)
    given, again = (codec.read(envelope, EvaluationGiven) for envelope in envelopes)
    assert [envelope.correlation_id for envelope in envelopes] == ["c1", "c1"]
    assert (given.agent_id, given.evaluator, given.at_us, given.first_at_us) == (
        "sara",
        "supervisor:me",
        AT_US,
        AT_US,
    )
    assert [(mark.question, mark.score, mark.comment) for mark in given.marks] == [
        ("greeting", 4, "سلام"),
        ("help", 9, ""),
    ]
    assert (again.withdrawn, again.first_at_us, again.at_us) == (("greeting",), AT_US, AT_US + 1)

    rows = "SELECT * FROM v_evaluations ORDER BY question"
    as_given = await store.query(rows)
    ingest = Ingest(Writer(store, store_url.database), lambda: Directory({}, {}, "demo"))
    await ingest.facts(envelopes)
    assert await store.query(rows) == as_given, "what comes in again changes nothing"
    await store.command("TRUNCATE TABLE evaluations")
    for envelope in reversed(envelopes):
        await ingest.facts([envelope])
    assert await store.query(rows) == as_given
    assert len(as_given) == 1
    assert await store.query("SELECT count() AS n FROM v_facts WHERE contact_id = 'c1'") == [{"n": 2}]


async def test_an_evaluation_is_given_when_its_fact_is_there_though_clickhouse_is_not(
    client: httpx.AsyncClient,
    store: ServerStore,
    store_url: StoreUrl,
    bus: MemoryBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as outage:
        outage.setattr(store, "insert", away)
        answer = await client.post("/v1/contacts/c1/evaluations", json=FORM, headers=token())
    assert answer.status_code == 201
    ingest = Ingest(Writer(store, store_url.database), lambda: Directory({}, {}, "demo"))
    await ingest.facts(await facts(bus))
    read = (await client.get("/v1/contacts/c1/evaluations", headers=token("analyst"))).json()
    assert read == [answer.json()]


async def test_an_evaluation_that_the_bus_does_not_take_is_not_given(
    client: httpx.AsyncClient, store: ServerStore, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any, **__: Any) -> None:
        raise BusUnavailable("no answer")

    monkeypatch.setattr(bus, "append", down)
    answer = await client.post("/v1/contacts/c1/evaluations", json=FORM, headers=token())
    assert answer.status_code == 503
    assert await store.query("SELECT * FROM v_evaluations") == []
