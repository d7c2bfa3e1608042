"""The simulated switch in the place of the lab switch of the recordings: its dialplan and its phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

from services.common.clock import SystemClock
from services.simswitch.channel import Channel
from services.simswitch.core.codecs import OPUS, PCMA, PCMU
from services.simswitch.node import EventSocket, build
from services.simswitch.originate import ringing
from tests.fidelity.lab import PASSWORD, write_lab
from tests.fidelity.player import Lab, Peer

_REFUSALS = {"busy": 486, "unalloc": 404, "reject": 603}


class Phone:
    """Answers at once, rings for ever, or refuses, as the extension of its name did in the lab."""

    def __init__(self, name: str) -> None:
        self.name = name

    def invite(self, leg: Channel) -> None:
        loop = asyncio.get_running_loop()
        if status := _REFUSALS.get(self.name):
            loop.call_soon(leg.refuse, status)
        elif self.name == "agent":
            ringing(leg)
            loop.call_later(0.3, leg.mark_answered)
        elif self.name == "noanswer":
            ringing(leg)
        else:
            loop.call_later(0.005, leg.mark_answered)


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[Lab]:
    """Run a simulated lab switch."""
    controllers: asyncio.Queue[Peer] = asyncio.Queue()

    def controller() -> Peer:
        peer = Peer()
        controllers.put_nowait(peer)
        return peer

    server = await asyncio.get_running_loop().create_server(controller, "127.0.0.1", 0)
    switch = build(
        name="lab",
        clock=SystemClock(),
        dialplan_file=write_lab(folder / "conf"),
        overrides={
            "controller": str(server.sockets[0].getsockname()[1]),
            "hold_music": "tone_stream://%(200,800,440);loops=-1",
            "domain": "127.0.0.1",
            "sounds_dir": str(folder),
        },
    )
    switch.heartbeat_s = 1.0
    switch.codecs = (OPUS, PCMU, PCMA)
    switch.sofia_profiles = {"internal", "external"}
    for name in ("talker", "echo", "noanswer", "agent", *_REFUSALS):
        switch.phones[name] = Phone(name)
    socket = EventSocket(switch, PASSWORD, networks=(IPv4Network("127.0.0.1/32"),))
    await socket.start("127.0.0.1", 0)
    housekeeping = asyncio.get_running_loop().create_task(switch.run_housekeeping())

    async def call(number: str, caller: str, name: str) -> None:
        switch.place_call(
            context="esl",
            destination=number,
            caller_number=caller,
            caller_name=name,
            sofia_profile="external",
        )

    try:
        yield Lab(socket.port, folder, call, controllers)
    finally:
        server.close()
        housekeeping.cancel()
        await socket.stop()
        await switch.stop()
