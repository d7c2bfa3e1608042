"""Callbacks by HTTP: a supervisor sees and changes those of queues that somebody of the own teams serves, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.center import load
from services.common import auth
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.http import Readiness, make_app
from services.contracts.peyvand.queue.v1 import events_pb2
from services.routing import api
from services.routing.adapters.centers import center_of
from services.routing.core import facts as f
from tests.integration.routing_kit import Outside, owning

DEMO = Path(__file__).parents[2] / "deploy" / "centers" / "demo.yaml"
SECRET = "s" * 40


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """The HTTP side, and the id of a callback in the queue sales."""
    centers = load(DEMO)
    bus = MemoryBus(MemoryBroker(SystemClock()), clock=SystemClock())
    outside = Outside(bus, "demo")
    app = make_app("routing", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.router(bus, lambda: centers))
    async with owning(bus, "demo", rules=center_of(centers.centers[0])):
        await outside.waits("c1", "sales")
        await outside.observe(
            events_pb2.CallbackAccepted(contact_id="c1", number="09121234567", own_number=True),
            "c1:callback:1",
        )
        queued = await outside.until(f.ContactQueued, 2)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
            yield client, queued[1].callback_id
    await bus.stop()


def token(subject: str, role: auth.Role = "supervisor") -> dict[str, str]:
    text = auth.issue(SECRET, tenant="demo", role=role, subject=subject, ttl_s=60)
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("who", "role", "sees"),
    [
        ("mina", "supervisor", True),
        ("parisa", "supervisor", False),
        ("stranger", "supervisor", False),
        ("root", "admin", True),
        ("dialer", "service", True),
    ],
)
async def test_callbacks_are_seen_and_changed_by_who_supervises_somebody_of_the_queue(
    who: str, role: auth.Role, sees: bool
) -> None:
    async with desk() as (http, callback):
        listed = (await http.get("/v1/callbacks", headers=token(who, role))).json()
        assert [c["callback_id"] for c in listed] == [callback] * sees
        for action, body in (("reschedule", {"number": "09120000000"}), ("cancel", None)):
            answer = await http.post(
                f"/v1/callbacks/{callback}/{action}", headers=token(who, role), json=body
            )
            if sees:
                assert answer.status_code == 200, answer.text
            else:
                assert (answer.status_code, answer.json()["type"]) == (404, "unknown-callback")
        left = (await http.get("/v1/callbacks", headers=token("root", "admin"))).json()
        assert [(c["callback_id"], c["number"]) for c in left] == (
            [] if sees else [(callback, "09121234567")]
        )
