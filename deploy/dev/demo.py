"""`make demo`: the whole contact center on this machine, with callers and agents played by the simulated FreeSWITCH.

With a duration it offers calls for that long, lets them end, compares the services' books with the switch's ledger call by
call, prints one line of JSON on standard output, and exits 0 only if they agree. Without one it runs until Ctrl-C.
"""

from __future__ import annotations

import signal

# Until the event loop has taken it over, Ctrl-C ends this without a traceback, also while the imports below are read.
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import json
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.dev import accounts
from deploy.dev.balance import Balance, balance
from deploy.dev.process import ProcessFailed
from deploy.dev.stack import CENTERS, ROOT, Stack, describe, find_shift, table
from deploy.dev.terminal import Picture, Terminal
from services import center
from services.common import log
from services.common.bus.nats import NatsBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.reporting.books import Books

TENANT = "demo"
SCENARIO = Path(__file__).with_name("demo_scenario.yaml")
_DRAIN_S = 90.0
_SETTLE_S = 30.0
_KILL = re.compile(r"(?P<name>[a-z]+)@(?P<at>\d+(\.\d+)?)(\+(?P<down>\d+(\.\d+)?))?")


@dataclass(frozen=True)
class Kill:
    """A process is killed (SIGKILL) so long after the first call, and started again after ``down_s``."""

    name: str
    at_s: float
    down_s: float = 1.0


def kills(text: str) -> tuple[Kill, ...]:
    """Read ``routing@10,clickhouse@10+5`` (the second is down for 5 s). Raises ArgumentTypeError."""
    # Not the simulated switch: its ledger is what the books are compared with.
    known = {"nats", "clickhouse", *(row.name for row in table())}
    read = []
    for part in filter(None, text.split(",")):
        found = _KILL.fullmatch(part)
        if not found or found["name"] not in known:
            raise argparse.ArgumentTypeError(
                f"{part!r}: expected NAME@SECONDS or NAME@SECONDS+DOWN, NAME one of {', '.join(sorted(known))}"
            )
        read.append(Kill(found["name"], float(found["at"]), float(found["down"] or 1)))
    return tuple(read)


class Demo:
    """One run: start, offer calls, drain, compare, stop."""

    def __init__(self, stack: Stack, terminal: Terminal) -> None:
        self.stack = stack
        self.terminal = terminal
        self.agents = {
            agent.extension: agent_id
            for document in center.load(CENTERS / "demo.yaml").centers
            for agent_id, agent in document.agents.items()
        }
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=5,
            headers={"Authorization": f"Bearer {stack.token(TENANT, 'supervisor')}"},
        )
        self._sim = {"Authorization": f"Bearer {stack.token(TENANT, 'service')}"}
        self._began = time.monotonic()
        self.began_us = time.time_ns() // 1000

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(self, service: str, path: str, **params: Any) -> Any:
        response = await self._client.get(self.stack.http(service) + path, params=params)
        return response.raise_for_status().json()

    async def simulator(self, method: str, path: str) -> Any:
        """A request to the simulated switch's own control API."""
        response = await self._client.request(method, self.stack.http("simswitch") + path, headers=self._sim)
        return response.raise_for_status().json()

    async def start_calls(self) -> None:
        self._began = time.monotonic()
        await self.simulator("POST", "/v1/scenario/start")

    async def picture(self, note: str) -> Picture:
        """What the terminal shows, asked of the services as any client would."""
        state, agents, queues = await asyncio.gather(
            self.simulator("GET", "/v1/state"),
            self._get("routing", "/v1/agents"),
            self._get("routing", "/v1/queues"),
        )
        counts = state["counts"]
        activity = Counter(
            a["activity"] if a["presence"] != "break" else "break"
            for a in agents
            if a["presence"] != "offline"
        )
        return Picture(
            elapsed_s=time.monotonic() - self._began,
            note=note,
            calls={
                "offered": counts["calls"],
                "answered": counts["bridged_calls"],
                "left in menu": counts["menu"],
                "left waiting": counts["waiting"] + counts["ringing"],
                "in progress": counts["calls"] - counts["ended"],
            },
            queues=[
                (q["queue"], q["waiting"], q["longest_wait_ms"] / 1000, q["talking"], q["idle_agents"])
                for q in queues
            ],
            agents=dict(sorted(activity.items())),
        )

    async def watch(self, until: asyncio.Event, note: str, seconds: float | None) -> None:
        """Show what happens until told to stop or the time is over; start again what ends by itself."""
        end = time.monotonic() + seconds if seconds is not None else None
        while not until.is_set() and (end is None or time.monotonic() < end):
            try:
                self.terminal.show(await self.picture(note))
            except httpx.HTTPError as e:
                self.terminal.warn(f"no answer from a service: {e!r}")
            for name in await self.stack.revive():
                self.terminal.warn(
                    f"{name} ended by itself and was started again; see {self.stack.log_dir / name}.log"
                )
            try:
                left = 1.0 if end is None else min(1.0, max(0.0, end - time.monotonic()))
                await asyncio.wait_for(until.wait(), left)
            except TimeoutError:
                continue

    async def carry_out(self, kill: Kill) -> None:
        """Kill a process at its time and start it again."""
        process = self.stack.processes[kill.name]
        await asyncio.sleep(self._began + kill.at_s - time.monotonic())
        self.terminal.warn(f"killing {kill.name}; it comes back in {kill.down_s:g} s")
        await process.kill()
        await asyncio.sleep(kill.down_s)
        await process.start()

    async def drain(self, enough: asyncio.Event) -> None:
        """No new calls; wait until the last one is over, or somebody has seen enough."""
        await self.simulator("POST", "/v1/scenario/stop")
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end and not enough.is_set():
            try:
                picture = await self.picture("letting the calls end; Ctrl-C does not wait for them")
            except httpx.HTTPError as e:
                self.terminal.warn(f"no answer from a service: {e!r}")
                await asyncio.sleep(1)
                continue
            self.terminal.show(picture)
            if not picture.calls["in progress"] and not (await self.simulator("GET", "/v1/state"))["legs"]:
                return
            await asyncio.sleep(0.5)
        if not enough.is_set():
            self.terminal.warn(f"calls were still in progress after {_DRAIN_S:.0f} s")

    async def compare(self) -> Balance:
        """Compare the accounts, again until they agree or the time to settle is over."""
        bus = NatsBus(self.stack.nats_url, source="/demo/balance", clock=SystemClock())
        bus.start()
        store = ServerStore(StoreUrl.parse(self.stack.clickhouse_url))
        try:
            end = time.monotonic() + _SETTLE_S
            while True:
                now_us = time.time_ns() // 1000 + 60_000_000
                result = balance(
                    accounts.read_ledger(self.stack.ledger, self.agents),
                    await accounts.read_books(Books(store, TENANT, self.began_us - 60_000_000, now_us)),
                    await accounts.read_stream_facts(bus, TENANT),
                )
                if result.balanced or time.monotonic() > end:
                    return result
                await asyncio.sleep(0.5)
        finally:
            await store.stop()
            await bus.stop()


async def run(args: argparse.Namespace) -> int:
    log.setup("demo", "1", level="error")
    terminal = Terminal()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder: Path = args.dir
    began = time.monotonic()
    try:
        fresh(folder)
        stack = Stack(
            folder,
            nodes=args.nodes,
            shift=find_shift(nodes=args.nodes),
            sounds=ROOT / ".dev" / "sounds",
            simswitch_env={
                "PEYVAND_SIMSWITCH_SCENARIO": str(SCENARIO),
                "PEYVAND_SIMSWITCH_RATE": str(args.rate),
                "PEYVAND_SIMSWITCH_SEED": str(args.seed),
                "PEYVAND_SIMSWITCH_AUTOSTART": "false",
            },
        )
    except ProcessFailed as e:
        terminal.warn(str(e))
        return 1
    demo = Demo(stack, terminal)
    terminal.step(
        f"starting NATS, ClickHouse, the services and the simulated FreeSWITCH; logs in {stack.log_dir}"
    )
    killing: list[asyncio.Task[None]] = []
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return 130
        starting.result()
        terminal.step(f"ready after {time.monotonic() - began:.1f} s")
        terminal.addresses(describe(stack))
        await demo.start_calls()
        killing = [asyncio.create_task(demo.carry_out(kill)) for kill in args.kill]
        note = f"{args.rate:g} calls a second" + (
            f" for {args.duration:g} s" if args.duration else "; Ctrl-C ends it"
        )
        await demo.watch(stop, note, args.duration)
        if not stop.is_set():
            await asyncio.gather(*killing)
        stop.clear()  # a Ctrl-C from here on is another one
        await demo.drain(stop)
        terminal.stop()
        if stop.is_set():
            terminal.warn("stopped with calls in progress: the books were not compared")
            return 130
        terminal.step("comparing the books with the switch's ledger")
        result = await demo.compare()
        report(result, terminal)
        restarts = {p.name: p.restarts for p in stack.processes.values() if p.restarts}
        if restarts:
            terminal.warn(f"processes that ended by themselves: {restarts}")
        return 0 if result.balanced and not restarts else 1
    except (ProcessFailed, httpx.HTTPError) as e:
        terminal.stop()
        terminal.warn(str(e) or repr(e))
        return 1
    finally:
        terminal.stop()
        tasks = [starting, stopping, *killing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await demo.close()
        await stack.stop()
        stack.close()
        terminal.step("stopped")


def fresh(folder: Path) -> None:
    """Remove the state of the last run, unless a runner still works there."""
    if folder.exists():
        Stack(folder).close()  # raises ProcessFailed while another runner holds the folder
        shutil.rmtree(folder)


def report(result: Balance, terminal: Terminal) -> None:
    for line in result.findings[:20]:
        terminal.warn(line)
    if len(result.findings) > 20:
        terminal.warn(f"… and {len(result.findings) - 20} more")
    values = asdict(result)
    del values["findings"]
    print(json.dumps({"name": "demo", **values}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.demo", description=__doc__)
    parser.add_argument("--duration", type=float, help="seconds to offer calls for; without it, until Ctrl-C")
    parser.add_argument("--rate", type=float, default=5.0, help="calls a second (default 5)")
    parser.add_argument(
        "--nodes", type=int, choices=range(1, 6), default=1, help="simulated FreeSWITCH nodes (default 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the scenario (default 1)")
    parser.add_argument(
        "--kill",
        type=kills,
        default=(),
        metavar="NAME@SECONDS[+DOWN],...",
        help="kill a service, nats or clickhouse so long after the first call; it comes back after DOWN seconds (default 1)",
    )
    parser.add_argument(
        "--dir", type=Path, default=ROOT / ".dev" / "demo", help="folder of the run's state and logs"
    )
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
