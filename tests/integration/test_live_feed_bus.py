"""The live board fed from the bus, in memory and over a real NATS: an afternoon of calls, then more as it happens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from services.common.bus import Bus, Outgoing, subjects
from services.common.clock import SystemClock
from services.contracts.peyvand.routing.v1 import log_pb2 as routing
from services.reporting.core.live import LiveProjection
from services.reporting.core.live_facts import Position
from services.reporting.live_api import LiveFeed, center_info, read_ivr, read_routing
from tests.unit.reporting_live.demo_feed import DemoDay, append_all, big_center


async def board_where(feed: LiveFeed, tenant: str, wanted: str, value: Any) -> dict[str, Any]:
    """The first board on which a number of the books has a value."""
    viewer = feed.open(tenant)
    try:
        async with asyncio.timeout(30):
            while True:
                frame = await viewer.take(30)
                assert frame is not None
                board = json.loads(frame.partition(b"data: ")[2])
                if board["books"][wanted] == value:
                    return dict(board)
    finally:
        feed.close(viewer)


async def test_the_feed_counts_what_the_streams_hold_and_what_comes(
    bus: Bus, tenant: str, tmp_path: Path
) -> None:
    clock = SystemClock()
    now_us = clock.now_us()
    # In a zone where it is about noon, so that the afternoon of calls lies within one day whenever this runs.
    offset = now_us // 3_600_000_000 % 24 - 12
    center = big_center(tmp_path).model_copy(update={"tenant": tenant, "timezone": f"Etc/GMT{offset:+d}"})
    await append_all(bus, tenant, DemoDay(center, now_us=now_us, hours=0.4, calls_per_minute=6))

    expected = LiveProjection(center_info(center))
    async for entry in bus.read_log(subjects.log(tenant), after_seq=0):
        at_us, facts = read_routing(entry)
        for index, fact in facts:
            expected.handle("routing", Position(entry.stream_seq, index), fact, at_us)
    async for entry in bus.read_log(subjects.any_fact(tenant=tenant, service="ivr"), after_seq=0):
        seen = read_ivr(entry)
        assert seen is not None
        expected.handle("ivr", Position(entry.stream_seq), seen, entry.time_us)
    books = expected.snapshot(clock.now_us()).books
    assert books.answered > 20

    feed = LiveFeed(clock, frame_s=0.05)
    await feed.start(bus, [center])
    board = await board_where(feed, tenant, "offered", books.offered)
    assert board["books"]["answered"] == books.answered

    lost = routing.Fact(
        contact_closed=routing.ContactClosed(
            contact_id="late", queue="vip", outcome="abandoned", wait_ms=9000
        )
    )
    entry_now = routing.Decided(epoch=1, at_us=clock.now_us(), facts=[lost])
    await bus.append(Outgoing(subjects.log(tenant), entry_now, f"late-{tenant}", tenant))
    await board_where(feed, tenant, "abandoned_queue", books.abandoned_queue + 1)
    await feed.stop()
