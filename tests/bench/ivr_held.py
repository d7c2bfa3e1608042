"""What thousands of calls in menus cost one ivr process: memory a call, CPU while nothing happens, and the end of its room.

The simulated switch carries ``CALLS`` callers, each in a menu whose prompt is long, to one process with its default limit (2,000). They come
as fast as the two take them, with at most ``COMING`` who are neither in the menu nor turned away: on a busy machine it takes
longer, and nobody is turned away for that. Then fifty more come: each must be in the dialplan's next action. Then all press a
key and are handed over. Whoever is lost on the way fails the run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.simswitch.channel import Channel
from services.simswitch.core.limits import Limits
from services.simswitch.party import Party
from services.simswitch.switch import Switch
from tests.bench.ivr_calls import cpu_ms, ivr, switch_to

CALLS = 2_000
TOO_MANY = 50
COMING = 20
HELD_S = 10.0
PROMPT_MS = 1_800_000
PATIENCE_S = 400.0


class Caller(Party):
    """Listens to the menu until ``press`` is called, and hangs up when the dialplan goes on."""

    def __init__(self) -> None:
        self.leg: Channel | None = None
        self.in_menu = False
        self.waits = False
        self.settled = asyncio.Event()
        """In the menu, or beyond it, or gone."""
        self.over = asyncio.Event()
        self.hurried = False

    def on_app(self, leg: Channel, app: str, data: str) -> None:
        self.leg = leg
        if app == "playback" and "/menu-" in data:
            self.in_menu = True
            self.settled.set()
            if self.hurried:
                asyncio.get_running_loop().call_soon(leg.press, "1")
        elif app == "event" and "peyvand::waiting" in data:
            self.waits = True
            self.settled.set()
            asyncio.get_running_loop().call_soon(lambda: leg.end("NORMAL_CLEARING", by="caller"))

    def press(self) -> None:
        """Choose 1, here and in every menu that follows."""
        self.hurried = True
        assert self.leg is not None
        self.leg.press("1")

    def on_ended(self, leg: Channel) -> None:
        self.settled.set()
        self.over.set()


def rss_kib(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def place(switch: Switch, count: int) -> list[Caller]:
    """Have so many call, and return them when every one is in the menu, or beyond it, or gone."""
    callers: list[Caller] = []
    room = asyncio.Semaphore(COMING)

    async def come() -> None:
        async with room:
            caller = Caller()
            callers.append(caller)
            switch.place_call(
                context="public", destination="1000", caller_number="0912", caller_name="Cust", party=caller
            )
            await caller.settled.wait()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(come())
    return callers


async def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nats = EmbeddedNats(folder / "nats")
        url = await asyncio.to_thread(nats.start)
        try:
            await migrate(url, replicas=1)
            async with ivr(folder, url) as (port, pid), switch_to(folder, port, PROMPT_MS) as switch:
                switch.limits = Limits(max_sessions=2 * CALLS, sps=10 * CALLS)
                before = rss_kib(pid)
                began = cpu_ms(pid)
                callers = await place(switch, CALLS)
                lost = sum(not caller.in_menu for caller in callers)
                arrived = cpu_ms(pid)
                held = rss_kib(pid)
                await asyncio.sleep(HELD_S)
                idle = cpu_ms(pid)
                late = await place(switch, TOO_MANY)
                refused = sum(caller.waits and not caller.in_menu for caller in late)
                pressed = cpu_ms(pid)
                for caller in callers:
                    caller.press()
                async with asyncio.timeout(PATIENCE_S):
                    for caller in (*callers, *late):
                        await caller.over.wait()
                lost += sum(not caller.waits for caller in callers)
                served = cpu_ms(pid)
        finally:
            await asyncio.to_thread(nats.stop)
    line = {
        "name": "ivr_held",
        "calls": CALLS,
        "kib_per_call": round((held - before) / CALLS, 1),
        "arrival_cpu_ms_per_call": round((arrived - began) / CALLS, 2),
        "held_cpu_percent": round((idle - arrived) / HELD_S / 10, 2),
        "key_to_hand_over_cpu_ms_per_call": round((served - pressed) / CALLS, 2),
        "lost": lost,
        "turned_away": refused,
        "turned_away_of": TOO_MANY,
    }
    print(json.dumps(line), flush=True)
    return 0 if refused == TOO_MANY and not lost else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
