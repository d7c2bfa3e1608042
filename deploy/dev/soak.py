"""`make soak`: the whole contact center under steady calls, with the memory of every process as a curve.

    python -m deploy.dev.soak [--minutes 20] [--rate 2] [--every 5] [--dir .dev/soak]

Writes ``samples.csv``, ``storage.csv`` and ``soak.svg`` into the folder, a summary to the terminal and one line of JSON to
standard output; exits 0 only if no process grew more than it may, nothing ended by itself, nothing became a dead letter, and
the books balance. How growth is judged: soak_trend.py.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import contextlib
import csv
import json
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families

from deploy.dev import soak_chart
from deploy.dev.demo import SCENARIO, Demo, fresh
from deploy.dev.process import Process, ProcessFailed
from deploy.dev.soak_trend import CEILINGS_MIB, Sample, findings, is_judged, trends
from deploy.dev.stack import ROOT, Stack, find_shift
from deploy.dev.terminal import Terminal
from services.common import log
from services.common.bus.base import Nobody, Unconfirmed, Unstored
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock

_MIB = 1 << 20
_TASKS = "peyvand_asyncio_tasks"
# An event loop under load answers a scrape late; a sample without it is still a sample.
_SCRAPE_S = 2.0


class Sampler:
    """Looks at every process of a stack (with its children) and at the bus's streams, again and again."""

    def __init__(self, stack: Stack) -> None:
        self.samples: list[Sample] = []
        self.storage: dict[str, list[tuple[float, float]]] = {}
        self.consumers: list[tuple[float, float]] = []
        self.dead_letters = 0
        self._stack = stack
        self._began = time.monotonic()
        self._seen: dict[int, psutil.Process] = {}
        self._client = httpx.AsyncClient(trust_env=False, timeout=_SCRAPE_S)
        self._bus = NatsBus(stack.nats_url, source="/soak/1", clock=SystemClock())

    async def run(self, every_s: float) -> None:
        """Sample until cancelled."""
        self._bus.start()
        self._began = next_s = time.monotonic()
        while True:
            await self.take()
            next_s += every_s
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def close(self) -> None:
        await self._client.aclose()
        await self._bus.stop()

    async def take(self) -> None:
        """One sample of everything."""
        at_s = round(time.monotonic() - self._began, 2)
        processes = list(self._stack.processes.values())
        tasks = await asyncio.gather(*(self._tasks(p) for p in processes))
        for process, count in zip(processes, tasks, strict=True):
            with contextlib.suppress(psutil.Error, AssertionError):  # it ended, or is being started again
                self.samples.append(self._measure(at_s, process, count))
        await self._streams(at_s)

    def _measure(self, at_s: float, process: Process, tasks: int | None) -> Sample:
        rss = cpu = fds = threads = 0.0
        parent = self._handle(process.pid)
        for handle in (parent, *(self._handle(c.pid) for c in parent.children(recursive=True))):
            with handle.oneshot():
                rss += handle.memory_info().rss
                cpu += handle.cpu_percent()  # since the last time; 0 the first time
                fds += handle.num_fds()
                threads += handle.num_threads()
        return Sample(at_s, process.name, round(rss / _MIB, 2), round(cpu, 1), int(fds), int(threads), tasks)

    def _handle(self, pid: int) -> psutil.Process:
        known = self._seen.get(pid)
        if known is None or not known.is_running():
            known = self._seen[pid] = psutil.Process(pid)
        return known

    async def _tasks(self, process: Process) -> int | None:
        if not process.ready_url:
            return None
        with contextlib.suppress(httpx.HTTPError, ValueError):
            text = (await self._client.get(process.ready_url.replace("/readyz", "/metrics"))).text
            for family in text_string_to_metric_families(text):
                if family.name == _TASKS:
                    return int(family.samples[0].value)
        return None

    async def _streams(self, at_s: float) -> None:
        with contextlib.suppress(Nobody, Unconfirmed, Unstored, msgspec.DecodeError, KeyError):
            answer = await self._bus.connection.request("$JS.API.STREAM.LIST", b"{}", None, _SCRAPE_S)
            streams = msgspec.json.decode(answer.data)["streams"]
            self.consumers.append((at_s, float(sum(s["state"]["consumer_count"] for s in streams))))
            for stream in streams:
                name, state = stream["config"]["name"], stream["state"]
                self.storage.setdefault(name, []).append((at_s, round(state["bytes"] / _MIB, 3)))
                if name == "CC_DLQ":
                    self.dead_letters = int(state["messages"])


def write(folder: Path, sampler: Sampler, title: str, subtitle: str, calls_per_s: float) -> list[str]:
    """Write the curves and return the terminal's table."""
    with (folder / "samples.csv").open("w", newline="") as out:
        rows = csv.DictWriter(out, [f.name for f in fields(Sample)])
        rows.writeheader()
        rows.writerows(asdict(s) for s in sampler.samples)
    with (folder / "storage.csv").open("w", newline="") as out:
        plain = csv.writer(out)
        plain.writerow(["at_s", "stream", "mib"])
        plain.writerows((at, name, mib) for name, points in sampler.storage.items() for at, mib in points)
    found = trends(sampler.samples, calls_per_s=calls_per_s)
    picture = soak_chart.svg(
        sampler.samples,
        found,
        sampler.storage,
        title=title,
        subtitle=subtitle,
        judged=is_judged(sampler.samples),
    )
    (folder / "soak.svg").write_text(picture)
    return soak_chart.table(sampler.samples, found)


async def run(args: argparse.Namespace) -> int:
    log.setup("soak", "1", level="error")
    terminal = Terminal()
    folder: Path = args.dir
    try:
        fresh(folder / "run")
        stack = Stack(
            folder / "run",
            shift=find_shift(args.shift),
            sounds=ROOT / ".dev" / "sounds",
            simswitch_env={
                "PEYVAND_SIMSWITCH_SCENARIO": str(SCENARIO),
                "PEYVAND_SIMSWITCH_RATE": str(args.rate),
                "PEYVAND_SIMSWITCH_SEED": "1",
                "PEYVAND_SIMSWITCH_AUTOSTART": "false",
            },
        )
    except ProcessFailed as e:
        terminal.warn(str(e))
        return 1
    demo = Demo(stack, terminal)
    sampler = Sampler(stack)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    terminal.step(f"{args.minutes:g} minutes at {args.rate:g} calls a second; curves and logs in {folder}")
    sampling: asyncio.Task[None] | None = None
    try:
        await stack.start()
        await demo.start_calls()
        sampling = asyncio.create_task(sampler.run(args.every))
        await demo.watch(stop, "soak", args.minutes * 60)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        if stop.is_set():
            terminal.stop()
            terminal.warn("stopped: the curves are of an unfinished run, the books were not compared")
            for line in write(folder, sampler, "Peyvand soak (unfinished)", "", args.rate):
                terminal.warn(line)
            return 130
        await demo.drain(stop)
        terminal.stop()
        return await _judge(args, demo, sampler, stack, terminal)
    except (ProcessFailed, httpx.HTTPError) as e:
        terminal.stop()
        terminal.warn(str(e) or repr(e))
        return 1
    finally:
        terminal.stop()
        if sampling is not None:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        await sampler.close()
        await demo.close()
        await stack.stop()
        stack.close()


async def _judge(
    args: argparse.Namespace, demo: Demo, sampler: Sampler, stack: Stack, terminal: Terminal
) -> int:
    terminal.step("comparing the books with the switch's ledger")
    result = await demo.compare()
    found = trends(sampler.samples, calls_per_s=args.rate)
    judged = is_judged(sampler.samples)
    against = findings(
        found,
        judged=judged,
        books=result.findings if not result.balanced else (),
        restarts={p.name: p.restarts for p in stack.processes.values()},
        dead_letters=sampler.dead_letters,
        consumers=sampler.consumers,
    )
    verdict = ("bounded" if judged else "too short to judge memory") if not against else "failed"
    subtitle = (
        f"{args.minutes:g} min, {args.rate:g} calls/s, {result.calls_offered} calls; "
        f"resident memory (MiB), dashed: Theil-Sen trend of the second half; verdict: {verdict}"
    )
    for line in write(args.dir, sampler, "Peyvand soak", subtitle, args.rate):
        sys.stderr.write(line + "\n")
    terminal.step(f"curves: {args.dir / 'soak.svg'}")
    for line in against[:20]:
        terminal.warn(line)
    line_of: dict[str, Any] = {
        "name": "soak",
        "minutes": args.minutes,
        "calls_per_s": args.rate,
        "calls": result.calls_offered,
        "balanced": result.balanced,
        "judged": judged,
        "verdict": verdict,
        "dead_letters": sampler.dead_letters,
        "samples": len({s.at_s for s in sampler.samples}),
        "growth_mib": {t.process: t.growth_mib for t in found},
        "bound_mib": {t.process: t.bound_mib for t in found if t.process not in CEILINGS_MIB},
        "ceiling_mib": CEILINGS_MIB,
        "rss_mib": {t.process: t.last_mib for t in found},
        "kib_per_call": {t.process: t.kib_per_call for t in found},
        "consumers": sampler.consumers[-1][1] if sampler.consumers else 0,
        "storage_mib": {name: points[-1][1] for name, points in sampler.storage.items() if points},
    }
    print(json.dumps(line_of), flush=True)
    return 1 if against else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dev.soak", description="Memory under steady calls."
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="how long calls come (default 20)")
    parser.add_argument("--rate", type=float, default=2.0, help="calls a second (default 2)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")
    parser.add_argument("--shift", type=int, default=0, help="first shift of the ports to try (default 0)")
    parser.add_argument(
        "--dir",
        type=Path,
        default=ROOT / ".dev" / "soak",
        help="folder of the curves, and of the run's state",
    )
    return asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
