"""A service that does not keep up, as a process of its own: ``python -m tests.freeswitch.slow_consumer HOW ADDRESS``.

``handler``: every event costs its handler 5 ms of the event loop's time. ``hub``: a line on standard input blocks the thread of
the event socket for a minute. Says what happens to it as lines of JSON. Ends when standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from services.common.log import setup
from services.common.parts import end_when_stuck

SUBCLASS = "peyvand::flood"
MAX_BACKLOG = 1000


def say(what: str, **more: object) -> None:
    print(json.dumps({"what": what, **more}), flush=True)


async def main(how: str, address: SwitchAddress) -> None:
    hub = GeventHub()
    hub.start()
    handled = 0

    def on_event(event: Event) -> None:
        nonlocal handled
        handled += 1
        if event.get("Flood-Number") == "marker":
            say("marker", handled=handled)
        elif how == "handler":
            time.sleep(0.005)

    async def on_up() -> None:
        say("up", core_uuid=client.core_uuid, channels=await client.api("show channels count"))

    client = SwitchClient(
        hub,
        address,
        events=(),
        subclasses=(SUBCLASS,),
        on_event=on_event,
        on_up=on_up,
        on_down=lambda reason: say("down", reason=reason, handled=handled),
        max_backlog=MAX_BACKLOG,
    )
    await client.start()
    watch = asyncio.create_task(end_when_stuck(hub, look_s=1.0))
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "block":
            hub.post(time.sleep, 60)
            say("blocked")
    watch.cancel()
    await client.stop()
    hub.stop()


if __name__ == "__main__":
    setup("slow-consumer", "1", fmt="json", level="error")
    asyncio.run(main(sys.argv[1], SwitchAddress.parse(sys.argv[2])))
