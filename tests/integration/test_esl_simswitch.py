"""Client and server together with the simulated switch: a call taken, treated, handed over, commanded, and ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.common.errors import CallGone
from services.common.esl import (
    Event,
    GeventHub,
    OutboundServer,
    OutboundSession,
    SwitchAddress,
    SwitchClient,
    channel_vars,
    multiset,
    setvar_multi,
)
from tests.integration.simswitch_kit import Phone, lab


async def test_a_call_goes_from_the_outbound_socket_to_the_client_of_the_node(tmp_path: Path) -> None:
    hub = GeventHub()
    hub.start()
    sessions: asyncio.Queue[OutboundSession] = asyncio.Queue()
    completed: asyncio.Queue[Event] = asyncio.Queue()
    events: asyncio.Queue[Event] = asyncio.Queue()
    up = asyncio.Event()

    async def on_session(session: OutboundSession) -> None:
        sessions.put_nowait(session)
        completed.put_nowait(await session.execute("playback", "silence_stream://50"))
        session.leave(("multiset", multiset({"cc_state": "handover", "cc_queue": "sales"})))

    async def on_up() -> None:
        up.set()

    server = OutboundServer("127.0.0.1", 0, on_session, max_sessions=10, events=("DTMF",))
    port = await server.start()
    async with lab(tmp_path, cc_ivr=f"127.0.0.1:{port}") as sw:
        address = SwitchAddress("fs1", "127.0.0.1", sw.socket.port, "ClueCon")
        client = SwitchClient(
            hub,
            address,
            events=["CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_HANGUP_COMPLETE"],
            subclasses=["peyvand::waiting"],
            on_event=events.put_nowait,
            on_up=on_up,
            on_down=lambda reason: None,
        )

        async def expect(name: str, unique_id: str) -> Event:
            async with asyncio.timeout(10):
                while True:
                    event = await events.get()
                    if (event.name, event.unique_id) == (name, unique_id):
                        return event

        await client.start()
        await asyncio.wait_for(up.wait(), 10)
        sw.switch.register("1001", Phone(after_s=0.02))
        caller = sw.caller(uuid="C")

        session = await asyncio.wait_for(sessions.get(), 10)
        assert session.unique_id == "C"
        assert session.channel.variable("cc_entry") == "1000"
        assert (await asyncio.wait_for(completed.get(), 10)).get("Application-Response") == "FILE PLAYED"
        waiting = await expect("CUSTOM", "C")
        assert (waiting.subclass, waiting.variable("cc_queue"), waiting.variable("cc_state")) == (
            "peyvand::waiting",
            "sales",
            "waiting",
        )
        assert not session.hung_up

        assert (
            await client.api("uuid_setvar_multi C " + setvar_multi({"cc_offer": "o-1", "note": "it's, so"}))
            == "+OK\n"
        )
        assert await client.api("uuid_getvar C note") == "it's, so"
        variables = channel_vars(
            {"origination_uuid": "A", "cc_agent": "سارا, \\ 'S'", "originate_timeout": "5"}
        )
        assert (await client.bgapi(f"originate {variables}user/1001@peyvand.local &park()")).startswith(
            "+OK A"
        )
        await expect("CHANNEL_ANSWER", "A")
        assert await client.api("uuid_getvar A cc_agent") == "سارا, \\ 'S'"
        assert (await client.api("uuid_bridge A C")).startswith("+OK")
        await expect("CHANNEL_BRIDGE", "A")
        done = await client.execute("A", "set", "seen=yes", wait=True)
        assert done is not None
        assert done.get("Application") == "set"
        caller.end("NORMAL_CLEARING", by="caller")
        assert (await expect("CHANNEL_HANGUP_COMPLETE", "C")).get("Hangup-Cause") == "NORMAL_CLEARING"
        with pytest.raises(CallGone):
            await client.execute("C", "set", "a=b", wait=True)
        assert (
            await client.bgapi("originate user/9999@peyvand.local &park()")
        ).strip() == "-ERR SUBSCRIBER_ABSENT"
        await client.stop()
    await server.stop(1)
    hub.stop()
