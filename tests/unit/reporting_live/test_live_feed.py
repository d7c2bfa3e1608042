"""The feed and its routes over the in-memory bus and a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from services.center import Center, load
from services.common.auth import Role, issue
from services.common.bus import Outgoing, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import ManualClock
from services.common.errors import Refused
from services.common.http import Readiness, make_app
from services.contracts.peyvand.ivr.v1 import events_pb2 as ivr
from services.contracts.peyvand.routing.v1 import log_pb2 as routing
from services.reporting import live_api
from services.reporting.live_api import LiveFeed, build_router, center_info

SECRET = "not-a-secret-only-for-these-tests-000"
NOW_US = 1_795_258_329_000_000


@pytest.fixture
def center() -> Center:
    return load(Path(__file__).parents[3] / "deploy" / "centers" / "demo.yaml").centers[0]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
async def bus(clock: ManualClock) -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(MemoryBroker(clock), clock=clock)
    yield bus
    await bus.stop()


@pytest.fixture
async def feed(clock: ManualClock) -> AsyncIterator[LiveFeed]:
    feed = LiveFeed(clock, frame_s=0.01)
    yield feed
    await feed.stop()


async def decide(bus: MemoryBus, fact_id: str, at_us: int, **fact: Any) -> None:
    entry = routing.Decided(epoch=1, at_us=at_us, facts=[routing.Fact(**fact)])
    await bus.append(Outgoing(subjects.log("demo"), entry, fact_id, "demo", time_us=at_us))


def queued(contact: str, queue: str = "sales") -> routing.ContactQueued:
    return routing.ContactQueued(contact_id=contact, queue=queue, waiting_since_us=NOW_US)


async def first(feed: LiveFeed) -> dict[str, Any]:
    viewer = feed.open("demo")
    try:
        frame = await viewer.take(5)
    finally:
        feed.close(viewer)
    assert frame is not None
    return data_of(frame.decode())


def data_of(text: str) -> dict[str, Any]:
    (line,) = [x for x in text.splitlines() if x.startswith("data: ")]
    return dict(json.loads(line[6:]))


async def test_the_board_has_what_was_decided_before_the_start_and_after(
    bus: MemoryBus, feed: LiveFeed, center: Center
) -> None:
    presence = routing.AgentPresenceChanged(agent_id="sara", presence="available")
    days_ago_us = NOW_US - 5 * 86_400 * 1_000_000
    await decide(bus, "1", days_ago_us, agent_presence_changed=presence)
    await decide(bus, "2", NOW_US, contact_queued=queued("a"))
    await feed.start(bus, [center])
    board = await first(feed)
    assert [a["id"] for a in board["agents"]] == ["sara"]
    assert board["tiles"]["waiting"]["value"] == 1
    await decide(bus, "3", NOW_US, contact_queued=queued("b"))
    for _ in range(100):
        board = await first(feed)
        if board["tiles"]["waiting"]["value"] == 2:
            break
    assert board["queues"][0]["names"] == {"fa": "فروش", "en": "Sales"}
    assert board["tiles"]["waiting"]["value"] == 2


async def test_ivr_facts_are_counted_at_the_time_they_happened(
    bus: MemoryBus, feed: LiveFeed, center: Center
) -> None:
    ended = ivr.IvrEnded(contact_id="c", outcome="hung_up", at_us=NOW_US)
    subject = subjects.fact("demo", "ivr", "contact", "ended")
    await bus.append(Outgoing(subject, ended, "x", "demo", "c", time_us=NOW_US))
    await feed.start(bus, [center])
    for _ in range(100):
        board = await first(feed)
        if board["books"]["abandoned_menu"]:
            break
    assert board["books"]["abandoned_menu"] == 1


async def test_a_time_ahead_of_our_clock_counts_as_now(
    bus: MemoryBus, feed: LiveFeed, center: Center, clock: ManualClock
) -> None:
    closed = routing.ContactClosed(contact_id="c", queue="sales", outcome="abandoned", wait_ms=9000)
    await decide(bus, "1", NOW_US + 7200 * 1_000_000, contact_closed=closed)
    await feed.start(bus, [center])
    assert (await first(feed))["books"]["abandoned_queue"] == 1


async def test_other_tenants_facts_stay_with_them(bus: MemoryBus, feed: LiveFeed, center: Center) -> None:
    other = routing.Decided(epoch=1, at_us=NOW_US, facts=[routing.Fact(contact_queued=queued("x"))])
    await bus.append(Outgoing(subjects.log("other"), other, "1", "other", time_us=NOW_US))
    await feed.start(bus, [center])
    assert (await first(feed))["tiles"]["waiting"]["value"] == 0
    with pytest.raises(Refused, match="unknown-tenant"):
        feed.admit("other")


async def test_a_slow_viewer_finds_the_newest_frame_and_one_encoding_serves_all(
    bus: MemoryBus, center: Center, clock: ManualClock
) -> None:
    feed = LiveFeed(clock, frame_s=3600)
    await feed.start(bus, [center])
    quick, slow = feed.open("demo"), feed.open("demo")
    frame = None
    while frame is None:
        feed.send_frames()
        frame = await quick.take(0.01)
    for _ in range(5):
        feed.send_frames()
    newest = await quick.take(1)
    assert newest is not None
    assert newest is await slow.take(1)
    assert await slow.take(0.001) is None
    await feed.stop()
    assert quick.closed
    assert slow.closed


async def test_no_frame_while_the_bus_is_gone(bus: MemoryBus, center: Center, clock: ManualClock) -> None:
    connected = True
    feed = LiveFeed(clock, source_ok=lambda: connected, frame_s=3600)
    await feed.start(bus, [center])
    viewer = feed.open("demo")
    while await viewer.take(0.01) is None:
        feed.send_frames()
    connected = False
    feed.send_frames()
    assert await viewer.take(0.001) is None
    connected = True
    feed.send_frames()
    assert await viewer.take(1) is not None
    await feed.stop()


async def test_too_many_viewers_are_refused(
    bus: MemoryBus, feed: LiveFeed, center: Center, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_api, "MAX_VIEWERS", 2)
    await feed.start(bus, [center])
    feed.open("demo")
    last = feed.open("demo")
    with pytest.raises(Refused, match="too-many-viewers"):
        feed.admit("demo")
    feed.close(last)
    feed.admit("demo")


def test_targets_come_from_the_center_document(center: Center) -> None:
    info = center_info(center)
    sales, _, billing = info.queues
    assert (sales.targets.service_level_s, sales.targets.longest_warn_s, sales.targets.longest_crit_s) == (
        20,
        60,
        120,
    )
    assert billing.targets.longest_crit_s == 360
    assert info.agents[0].queues == ("sales", "support")
    assert {r.code: r.limit_s for r in info.break_reasons}["lunch"] == 900


@pytest.fixture
async def site(bus: MemoryBus, feed: LiveFeed, center: Center) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app("reporting", "0", Readiness(), auth_secret=SECRET)
    app.include_router(build_router(feed))
    await feed.start(bus, [center])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, ws="none")
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
        yield client
    await feed.stop()
    server.should_exit = True
    await task
    listener.close()


def bearer(role: Role = "display", tenant: str = "demo", ttl_s: int = 60) -> dict[str, str]:
    token = issue(SECRET, tenant=tenant, role=role, subject="wall", ttl_s=ttl_s)
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("role", ["display", "supervisor", "analyst", "admin"])
async def test_the_stream_is_server_sent_events_with_numbers(site: httpx.AsyncClient, role: Role) -> None:
    async with site.stream("GET", "/v1/live", headers=bearer(role)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        numbers: list[int] = []
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                numbers.append(int(line[4:]))
            if line.startswith("data: "):
                assert json.loads(line[6:])["tenant"] == "demo"
            if len(numbers) == 3:
                break
    assert numbers == sorted(set(numbers))


# Tokens are made inside the test: one made while tests are collected may be too old when its test comes.
@pytest.mark.parametrize(
    ("make_headers", "status", "slug"),
    [
        (dict, 401, "token-missing"),
        (lambda: {"Authorization": "Bearer nonsense"}, 401, "token-invalid"),
        (lambda: bearer(ttl_s=-10), 401, "token-expired"),
        (lambda: bearer("agent"), 403, "role-not-allowed"),
        (lambda: bearer(tenant="other"), 404, "unknown-tenant"),
    ],
    ids=["no token", "nonsense", "expired", "an agent", "another tenant"],
)
async def test_who_may_not_look(
    site: httpx.AsyncClient, make_headers: Callable[[], dict[str, str]], status: int, slug: str
) -> None:
    answer = await site.get("/v1/live", headers=make_headers())
    assert (answer.status_code, answer.json()["type"]) == (status, slug)


async def test_the_stream_ends_with_its_token(
    site: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_api, "TOKEN_CHECK_S", 0.01)
    headers = bearer()
    asked_about: list[str] = []
    expired = False

    def still_valid(secret: str, token: str) -> bool:
        asked_about.append(token)
        return not expired

    monkeypatch.setattr(live_api, "_still_valid", still_valid)
    async with site.stream("GET", "/v1/live", headers=headers) as answer:
        async for line in answer.aiter_lines():  # ends, or the client's timeout fails it
            expired = expired or line.startswith("data: ")
    assert expired
    assert {f"Bearer {token}" for token in asked_about} == {headers["Authorization"]}


def test_a_token_is_valid_until_it_expires() -> None:
    assert live_api._still_valid(SECRET, bearer()["Authorization"].removeprefix("Bearer "))
    assert not live_api._still_valid(SECRET, bearer(ttl_s=-10)["Authorization"].removeprefix("Bearer "))


async def test_a_comment_keeps_a_silent_stream_open(
    bus: MemoryBus, center: Center, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_api, "COMMENT_S", 0.01)
    feed = LiveFeed(clock, frame_s=3600)
    await feed.start(bus, [center])
    stream = live_api._stream(feed, "demo", lambda: True)
    assert (await anext(stream)).startswith(b"retry:")
    assert await anext(stream) == b": no news\n\n"
    await feed.stop()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_viewer_that_leaves_is_forgotten(site: httpx.AsyncClient, feed: LiveFeed) -> None:
    async with site.stream("GET", "/v1/live", headers=bearer()) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                break
        assert feed.viewers == 1
    async with asyncio.timeout(5):
        while feed.viewers:
            await asyncio.sleep(0.01)


async def test_a_failure_of_the_follower_begins_anew(
    bus: MemoryBus, center: Center, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_api, "_RETRY_S", 0.01)
    await decide(bus, "1", NOW_US, contact_queued=queued("a"))
    feed = LiveFeed(clock, frame_s=0.01)
    failures = iter([True])
    original = LiveFeed._routing

    def break_once(self: LiveFeed, *args: Any) -> None:
        if next(failures, False):
            raise RuntimeError("broken on purpose")
        original(self, *args)

    monkeypatch.setattr(LiveFeed, "_routing", break_once)
    await feed.start(bus, [center])
    assert (await first(feed))["tiles"]["waiting"]["value"] == 1
    await feed.stop()
