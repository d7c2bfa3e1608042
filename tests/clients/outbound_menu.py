"""The menu of ``greenswitch_menu`` on our own outbound socket, command for command: ``outbound_menu PORT``. Runs until it is ended."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from services.common.esl import OutboundServer, OutboundSession, multiset

EVENTS = ("DTMF",)
HANDED = {"cc_queue": "sales", "cc_priority": "0", "cc_language": "en", "cc_state": "handover"}


async def menu(session: OutboundSession) -> None:
    """One call."""
    for level in ("one", "two", "three"):
        asked = f"1 1 3 5000 # /sounds/menu-{level}.wav /sounds/invalid.wav choice [1-3] 2000"
        await session.execute("play_and_get_digits", asked)
    await session.execute("multiset", multiset(HANDED))


async def main() -> None:
    """Serve."""
    server = OutboundServer("127.0.0.1", int(sys.argv[1]), menu, max_sessions=500, events=EVENTS)
    await server.start()
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
