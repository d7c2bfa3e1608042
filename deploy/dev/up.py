"""`make dev`: every service on embedded NATS and ClickHouse, for the FreeSWITCH of PEYVAND_SWITCHES, or for the simulated one
(silent: no scenario) where none is given. State stays in .dev/dev; Ctrl-C ends everything."""

from __future__ import annotations

import signal

# Until the event loop has taken it over, Ctrl-C ends this without a traceback, also while the imports below are read.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import asyncio
import os
import sys
import time

from deploy.dev.process import ProcessFailed
from deploy.dev.stack import CENTERS, ROOT, Stack, describe, find_shift, switch_environment
from deploy.dev.terminal import Terminal


async def main() -> int:
    terminal = Terminal()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    switches = os.environ.get("PEYVAND_SWITCHES", "")
    try:
        stack = Stack(
            ROOT / ".dev" / "dev",
            centers=CENTERS,
            switches=switches,
            shift=find_shift(real_switch=bool(switches)),
            simswitch_env={"PEYVAND_SIMSWITCH_AUTOSTART": "false"},
        )
    except ProcessFailed as e:
        terminal.warn(str(e))
        return 1
    began = time.monotonic()
    terminal.step(
        f"starting on {'your FreeSWITCH' if switches else 'the simulated FreeSWITCH'}; logs in {stack.log_dir}"
    )
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            terminal.step(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C stops everything")
            terminal.addresses(describe(stack))
            if switches:
                terminal.step(f"your FreeSWITCH is to run with: {switch_environment(stack)}")
            while not stop.is_set():
                for name in await stack.revive():
                    terminal.warn(
                        f"{name} ended by itself and was started again; see {stack.log_dir / name}.log"
                    )
                try:
                    await asyncio.wait_for(stop.wait(), 1)
                except TimeoutError:
                    continue
        return 0
    except ProcessFailed as e:
        terminal.warn(str(e))
        return 1
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await stack.stop()
        stack.close()
        terminal.step("stopped")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
