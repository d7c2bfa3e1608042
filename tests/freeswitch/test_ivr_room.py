"""ivr's end of the outbound socket on a real switch: what reaches a call, and where callers go whom it does not take.

The switch has no other service beside it; the dialplan alone decides what becomes of a call that is turned away.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from services.common.esl import OutboundServer, OutboundSession
from services.ivr.app import EVENTS
from tests.freeswitch.sipp import Lab
from tests.freeswitch.steps import until
from tests.freeswitch.switch import FreeSwitch, Watch, find_binary, free_port

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Desk:
    """A server with room for one call, which it holds until it is told to let go."""

    switch: FreeSwitch
    lab: Lab
    server: OutboundServer
    taken: asyncio.Queue[OutboundSession] = field(default_factory=asyncio.Queue)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, session: OutboundSession) -> None:
        self.taken.put_nowait(session)
        await self.release.wait()

    async def session(self) -> OutboundSession:
        return await asyncio.wait_for(self.taken.get(), 20)

    async def waits(self, watch: Watch, leg: str = "") -> str:
        """Until the dialplan says that a caller waits; its leg, on which music plays."""
        wanted = {"Unique_ID": leg} if leg else {}
        told = await watch.next(Event_Subclass="peyvand::waiting", **wanted)
        await watch.next(
            Event_Name="CHANNEL_EXECUTE",
            Application="playback",
            Application_Data="local_stream://moh",
            Unique_ID=told["Unique-ID"],
        )
        assert told["variable_cc_state"] == "waiting"
        return told["Unique-ID"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    if find_binary() is None or shutil.which("sipp") is None:
        pytest.skip("no FreeSWITCH, or no SIPp")
    folder = tmp_path_factory.mktemp("ivr-room")
    desks: list[Desk] = []
    port = free_port()
    server = OutboundServer(
        "127.0.0.1", port, lambda session: desks[0].serve(session), max_sessions=1, events=EVENTS
    )
    switch = FreeSwitch(folder / "switch", port)
    desks.append(Desk(switch, Lab(switch, folder / "sipp"), server))
    await server.start()
    try:
        await switch.start()
        yield desks[0]
    finally:
        await desks[0].lab.close()
        await server.stop(0)
        await switch.stop()


WATCHED = ("CHANNEL_EXECUTE", "CUSTOM", "peyvand::waiting")


async def test_a_call_hears_of_its_keys_and_its_end_and_of_nothing_else(desk: Desk) -> None:
    caller = await desk.lab.callers("1000", hz=0)
    session = await desk.session()
    leg = session.unique_id
    session.set_variables({"cc_tenant": "lab", "presence_data": f"c/lab/{leg}"})
    playing = asyncio.ensure_future(session.execute("playback", "silence_stream://60000"))
    await desk.switch.api(f"uuid_recv_dtmf {leg} 42")
    keys: list[str] = []
    others: list[str] = []
    while len(keys) < 2:
        event = await session.next_event(10)
        assert event is not None
        if event.name == "DTMF":
            keys.append(event.get("DTMF-Digit"))
        else:
            others.append(event.name + event.get("Application"))
    assert keys == ["4", "2"]
    # What FreeSWITCH had queued between two commands of the greeting; of what runs from then on nothing is told.
    assert "CHANNEL_EXECUTEplayback" not in others, others

    async def shown() -> bool:
        return f"c/lab/{leg}" in await desk.switch.api("show channels")

    await until("the next application has brought it into show channels", shown)
    session.break_off()
    assert (await asyncio.wait_for(playing, 10)).get("Application-Response") == "FILE PLAYED"
    await desk.switch.api(f"uuid_kill {leg}")
    assert [event.name async for event in session.events] == ["CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"]
    desk.release.set()
    await caller.done(20)


async def test_who_finds_no_place_waits_with_music_and_so_does_who_is_let_go(desk: Desk) -> None:
    desk.release.clear()
    async with desk.switch.watch(*WATCHED) as watch:
        first = await desk.lab.callers("1000", hz=0)
        held = await desk.session()
        second = await desk.lab.callers("1000", hz=0)
        turned_away = await desk.waits(watch)
        assert turned_away != held.unique_id
        desk.release.set()
        await desk.waits(watch, held.unique_id)
        for leg in (turned_away, held.unique_id):
            await watch.api(f"uuid_kill {leg}")
    await first.done(20)
    await second.done(20)
    assert desk.taken.empty()


async def test_a_call_that_nobody_takes_because_the_event_loop_stands_still_waits_with_music(
    desk: Desk,
) -> None:
    async with desk.switch.watch(*WATCHED) as watch:
        caller = await desk.lab.callers("1000", hz=0)
        time.sleep(5)  # noqa: ASYNC251 - nothing else of this process runs meanwhile, the guard excepted
        await watch.api(f"uuid_kill {await desk.waits(watch)}")
    await caller.done(20)
    assert desk.taken.empty()


async def test_without_ivr_callers_wait_with_music(desk: Desk) -> None:
    await desk.server.stop(0)
    async with desk.switch.watch(*WATCHED) as watch:
        caller = await desk.lab.callers("1000", hz=0)
        await watch.api(f"uuid_kill {await desk.waits(watch)}")
    await caller.done(20)
