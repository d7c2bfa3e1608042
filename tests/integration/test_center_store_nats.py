"""Revisions of center documents on a real NATS: seeded, edited, followed, refused to the slower of two, there after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.center import CenterSet
from services.center.live import StoreWatch
from services.center.store import Author, CenterStore
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import WrongSequence
from tests.unit.center.test_center_faults import GOOD

pytestmark = pytest.mark.nats


async def test_revisions_on_a_real_server(own_nats: EmbeddedNats, tmp_path: Path) -> None:
    own_nats.start()
    await migrate(own_nats.url, replicas=1)
    (tmp_path / "acme.yaml").write_text(GOOD)
    clock = SystemClock()
    buses = [NatsBus(own_nats.url, source=f"/{name}/1", clock=clock) for name in ("routing", "ivr", "later")]
    for bus in buses:
        bus.start()
        await bus.connected(10)
    changes: asyncio.Queue[CenterSet] = asyncio.Queue()
    routing = StoreWatch(tmp_path, buses[0], clock, takes_files=True)
    ivr = StoreWatch(tmp_path, buses[1], clock, changes.put_nowait)
    later = StoreWatch(tmp_path, buses[2], clock)
    store = CenterStore(buses[0], clock)
    try:
        await ivr.open(None)
        await routing.open(None)
        ivr.start()
        head = await store.head("acme")
        assert head.revised is not None
        assert head.revised.kind == "seeded"
        text = GOOD.replace("en: Acme", "en: Acme Two").encode()
        read = store.check("acme", text, [])
        edit = store.next_after("acme", head, read, text, Author("admin:sara", "replaced"))
        await store.put("acme", head, edit)
        with pytest.raises(WrongSequence):
            await store.put("acme", head, edit)
        async with asyncio.timeout(20):
            while ivr.current.centers[0].revision != edit.revision:
                await changes.get()
        await later.open(None)
        assert later.current.centers[0].revision == edit.revision
        assert [r.number for r in await store.history("acme")] == [1, 2]
    finally:
        for watch in (routing, ivr, later):
            await watch.stop()
        for bus in buses:
            await bus.stop()
