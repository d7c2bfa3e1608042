from typing import Annotated

import httpx
import pytest
import structlog
from fastapi import Body, Depends
from prometheus_client import REGISTRY

from services.common import auth
from services.common.errors import BusUnavailable, Refused
from services.common.http import Readiness, make_app, require

SECRET = "s" * 40


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def client(readiness: Readiness) -> httpx.AsyncClient:
    app = make_app("test", "1", readiness, auth_secret=SECRET)

    @app.get("/v1/who")
    async def who(principal: Annotated[auth.Principal, Depends(require("supervisor"))]) -> dict[str, str]:
        return {"tenant": principal.tenant}

    @app.get("/v1/open")
    async def forgot_to_ask() -> None:
        return None

    @app.post("/v1/body")
    async def body(
        _: Annotated[auth.Principal, Depends(require("agent"))], wish: Annotated[dict[str, int], Body()]
    ) -> None:
        return None

    @app.get("/v1/number")
    async def number(n: int) -> int:
        return n

    @app.get("/v1/refused")
    async def refused() -> None:
        raise Refused("unknown-agent", "there is no agent 'x'", status=404)

    @app.get("/v1/absent")
    async def absent() -> None:
        raise BusUnavailable("NATS did not answer in 2 s")

    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


def bearer(role: auth.Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {auth.issue(SECRET, tenant='demo', role=role, subject='x', ttl_s=60)}"}


async def test_ready_only_when_every_part_is(client: httpx.AsyncClient, readiness: Readiness) -> None:
    assert (await client.get("/readyz")).status_code == 503
    readiness.set("nats", True)
    readiness.set("clickhouse", False, "connection refused")
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["clickhouse"] == {"ok": False, "detail": "connection refused"}
    readiness.set("clickhouse", True)
    assert (await client.get("/readyz")).status_code == 200


async def test_health_and_metrics_want_no_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert "process_start_time_seconds" in (await client.get("/metrics")).text


async def test_no_token_wrong_token_and_wrong_role(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/who")
    assert (missing.status_code, missing.json()["type"]) == (401, "token-missing")
    assert missing.headers["www-authenticate"] == "Bearer"
    wrong = await client.get("/v1/who", headers={"Authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.json()["type"]) == (401, "token-invalid")
    agent = await client.get("/v1/who", headers=bearer("agent"))
    assert (agent.status_code, agent.json()["type"]) == (403, "role-not-allowed")


async def test_a_stranger_gets_no_further_than_the_door(client: httpx.AsyncClient) -> None:
    """Neither to a body, which FastAPI reads before it asks who is there, nor to routes that forgot to ask, nor to 404."""
    for method, path in (("POST", "/v1/body"), ("GET", "/v1/open"), ("GET", "/v1/nothing-here")):
        answer = await client.request(method, path, content=b"no JSON")
        assert (answer.status_code, answer.json()["type"]) == (401, "token-missing"), path
    known = await client.post("/v1/body", content=b"no JSON", headers=bearer("agent"))
    assert (known.status_code, known.json()["type"]) == (422, "request-invalid")


async def test_strangers_are_counted_and_logged_once(client: httpx.AsyncClient) -> None:
    def denied(slug: str) -> float:
        return REGISTRY.get_sample_value("peyvand_http_denied_total", {"slug": slug}) or 0.0

    before = denied("token-invalid"), denied("role-not-allowed")
    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            await client.get("/v1/who", headers={"Authorization": "Bearer nonsense"})
            await client.get("/v1/who", headers=bearer("agent"))
    assert (denied("token-invalid") - before[0], denied("role-not-allowed") - before[1]) == (5, 5)
    entries = [entry for entry in logged if entry["event"] == "request_denied"]
    assert sorted(entry["slug"] for entry in entries) == ["role-not-allowed", "token-invalid"]
    assert {entry["path"] for entry in entries} == {"/v1/who"}


@pytest.mark.parametrize("role", ["supervisor", "admin"])
async def test_the_right_role_passes(client: httpx.AsyncClient, role: auth.Role) -> None:
    assert (await client.get("/v1/who", headers=bearer(role))).json() == {"tenant": "demo"}


async def test_errors_are_problems(client: httpx.AsyncClient) -> None:
    refused = await client.get("/v1/refused", headers=bearer("agent"))
    assert (refused.status_code, refused.json()["type"]) == (404, "unknown-agent")
    absent = await client.get("/v1/absent", headers=bearer("agent"))
    assert (absent.status_code, absent.json()["detail"]) == (503, "NATS did not answer in 2 s")
    invalid = await client.get("/v1/number", params={"n": "x"}, headers=bearer("agent"))
    assert invalid.status_code == 422
    assert invalid.json()["errors"][0]["field"] == "query.n"
    nowhere = await client.get("/v1/nowhere", headers=bearer("agent"))
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "not-found")
    assert nowhere.headers["content-type"] == "application/problem+json"


async def test_the_documentation_page_needs_no_other_host(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "https://" not in page
    script = page.split('<script src="')[1].split('"')[0]
    assert (await client.get(script)).status_code == 200
