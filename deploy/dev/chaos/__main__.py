"""`make chaos`: a whole installation under calls, and at seeded moments parts of it are killed, stopped or cut off.

    python -m deploy.dev.chaos [--minutes 10] [--rate 4] [--faults 60] [--seed 1] [--agents 200] [--dir .dev/chaos]

At the end everything is held against the ledgers of the simulated switches, call by call. Every finding has a story (ledger, facts, log
lines, faults, in the order of time) in ``<dir>/stories``. The last line of standard output is JSON; exit 0 only if it has no finding.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import httpx

from deploy.dev import accounts
from deploy.dev.chaos.audit import Finding, Span, Verdict, judge
from deploy.dev.chaos.evidence import Streams, read_ledger, read_streams, still_busy
from deploy.dev.chaos.faults import CRASH, SERVICES, Injector, plan
from deploy.dev.chaos.sight import blind_spans, idle_spans, reads
from deploy.dev.chaos.stack import NODES, TENANT, ChaosStack, find_shift
from deploy.dev.chaos.story import story
from deploy.dev.chaos.usage import Usage, of_stack
from deploy.dev.demo import fresh
from deploy.dev.process import ProcessFailed
from deploy.dev.stack import ROOT
from services import center
from services.common import log
from services.common.bus.nats import NatsBus
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import SystemClock
from services.common.errors import PeyvandError
from services.reporting.books import Books

KINDS = ("lost", "dropped_talking", "double_offers", "stuck", "mismatched")
_LOGIN_S = 60.0
_DRAIN_S = 150.0
_SETTLE_S = 60.0
_SHOWN = 12


class Chaos:
    """One run."""

    def __init__(self, stack: ChaosStack, args: argparse.Namespace) -> None:
        self.stack = stack
        self.args = args
        self.bus = NatsBus(stack.nats_url, source="/chaos/1", clock=SystemClock())
        self.client = httpx.AsyncClient(trust_env=False, timeout=5)
        self.injector = Injector(stack, self.bus, self.client, Random(args.seed), self.say)
        self.ended: list[str] = []
        self.usage = Usage(lambda: of_stack(stack))
        self.cpu_s: dict[str, float] = {}
        self.cores = 0.0
        self.began_us = time.time_ns() // 1000
        self._began_s = time.monotonic()
        self._agents = {
            agent.extension: agent_id
            for document in center.load(stack.centers).centers
            for agent_id, agent in document.agents.items()
        }

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began_s:7.1f} s  {text}", file=sys.stderr, flush=True)

    async def simulator(self, method: str, path: str) -> Any:
        """A request to the simulated switches."""
        headers = {"Authorization": f"Bearer {self.stack.token(TENANT, 'service')}"}
        answer = await self.client.request(method, self.stack.http("simswitch") + path, headers=headers)
        return answer.raise_for_status().json()

    async def routing(self, path: str) -> Any:
        """A question to routing."""
        headers = {"Authorization": f"Bearer {self.stack.token(TENANT, 'admin')}"}
        answer = await self.client.get(self.stack.http("routing") + path, headers=headers)
        return answer.raise_for_status().json()

    async def run(self) -> Verdict:
        """Everything from the first call to the verdict."""
        self.bus.start()
        self._began_s = time.monotonic()
        await self.simulator("POST", "/v1/scenario/start")
        await self._logged_in()
        planned = plan(
            self.args.seed,
            self.args.minutes * 60,
            self.args.faults,
            without=self._absent(),
            longest_s=self.args.longest,
        )
        faults = asyncio.create_task(self.injector.run(planned, time.monotonic()))
        watching = asyncio.create_task(self._watch())
        measuring = asyncio.create_task(self.usage.run())
        try:
            await asyncio.gather(faults, asyncio.sleep(self.args.minutes * 60))
        finally:
            watching.cancel()
            measuring.cancel()
            await asyncio.gather(watching, measuring, return_exceptions=True)
            self.cpu_s = self.usage.cpu_s()
            self.cores = sum(self.cpu_s.values()) / self.usage.lasted_s
        await self._revive()
        await self.simulator("POST", "/v1/scenario/stop")
        return await self._verdict(await self._drained())

    def _absent(self) -> frozenset[str]:
        """What does not run, and cannot fail."""
        names = (*SERVICES, "clickhouse")
        return frozenset({name for name in names if not self.stack.copies(name)} | set(self.args.without))

    async def _logged_in(self) -> None:
        end = time.monotonic() + _LOGIN_S
        while time.monotonic() < end:
            with contextlib.suppress(httpx.HTTPError):
                ready = sum(a["presence"] == "available" for a in await self.routing("/v1/agents"))
                if ready >= 0.9 * self.args.agents:
                    self.say(f"{ready} agents are there")
                    return
            await asyncio.sleep(1)
        self.say("not all agents logged in")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(15)
            await self._revive()
            with contextlib.suppress(httpx.HTTPError):
                state = await self.simulator("GET", "/v1/state")
                phases = [call["phase"] for call in state["calls"]]
                calls = state["counts"]["calls"]
                shown = {phase: phases.count(phase) for phase in sorted(set(phases))}
                self.say(f"{calls} calls so far; now {shown}; load {os.getloadavg()[0]:.1f}")

    async def _revive(self) -> None:
        for name in await self.stack.revive():
            self.ended.append(name)
            self.say(f"{name} ended by itself and was started again")

    async def _drained(self) -> list[Finding]:
        """Wait until everybody is through; what is still busy after that."""
        self.say("no new calls; waiting until everybody is through")
        busy: list[Finding] = []
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end:
            await asyncio.sleep(1)
            with contextlib.suppress(httpx.HTTPError):
                busy = await still_busy(self.stack, self.client)
                if not busy:
                    break
        return busy

    async def _verdict(self, busy: list[Finding]) -> Verdict:
        """Compare, again until everything agrees or the time to settle is over."""
        self.say("comparing")
        store = ServerStore(StoreUrl.parse(self.stack.clickhouse_url))
        day_us = 86_400_000_000
        books = Books(store, TENANT, self.began_us - 60_000_000, self.began_us + day_us)
        has_books = bool(self.stack.copies("clickhouse"))
        end = time.monotonic() + _SETTLE_S
        switches = [
            (fault.how, Span(fault.what.removeprefix("switch "), fault.began_us, fault.until_us))
            for fault in self.injector.done
            if fault.what.startswith("switch ")
        ]
        away = [span for _, span in switches]
        crashes = [span for how, span in switches if how == CRASH]
        read = reads(self.stack.logs())
        blind = blind_spans(self.injector.done, read, NODES)
        idle = idle_spans(self.injector.done, read, NODES)
        try:
            while True:
                try:
                    streams = await read_streams(self.bus)
                    found = await accounts.read_books(books) if has_books else None
                except PeyvandError as e:
                    if time.monotonic() > end:
                        raise ProcessFailed(f"the books could not be read: {e}") from e
                    await asyncio.sleep(1)
                    continue
                ledgers = read_ledger(self.stack.ledger)
                verdict = judge(
                    ledgers, streams.log, self._agents, found, streams.ids, away, busy, blind, idle, crashes
                )
                if not verdict.findings or time.monotonic() > end:
                    self._stories(verdict, streams)
                    return verdict
                await asyncio.sleep(3)
        finally:
            await store.stop()

    def _stories(self, verdict: Verdict, streams: Streams) -> None:
        folder = self.args.dir / "stories"
        folder.mkdir(parents=True, exist_ok=True)
        ledgers = read_ledger(self.stack.ledger)
        lines = [f"{f.kind}: {f.contact}: {f.text}" for f in verdict.findings]
        (folder / "findings.txt").write_text("\n".join(lines) + "\n")
        for contact in list(dict.fromkeys(f.contact for f in verdict.findings if f.contact))[:200]:
            told = [line for line in lines if contact in line]
            told += story(contact, ledgers, streams.log, streams.facts, self.injector.done, self.stack.logs())
            (folder / f"{contact}.txt").write_text("\n".join(told) + "\n")
        for line in lines[:_SHOWN]:
            print(f"! {line}", file=sys.stderr)
        if lines:
            print(f"! {len(lines)} findings; stories in {folder}", file=sys.stderr)

    async def close(self) -> None:
        await self.client.aclose()
        await self.bus.stop()


async def run(args: argparse.Namespace) -> int:
    log.setup("chaos", "1", level="error")
    try:
        fresh(args.dir / "run")
        shutil.rmtree(args.dir / "stories", ignore_errors=True)
        stack = ChaosStack(
            args.dir / "run",
            shift=find_shift(args.shift),
            sounds=ROOT / ".dev" / "sounds",
            rate=args.rate,
            seed=args.seed,
            agents=args.agents,
            time_scale=args.time_scale,
            only=args.only,
        )
    except ProcessFailed as e:
        print(f"! {e}", file=sys.stderr)
        return 1
    chaos = Chaos(stack, args)
    chaos.say(
        f"starting NATS on three servers, every service twice, two FreeSWITCH nodes; logs in {stack.log_dir}"
    )
    try:
        await stack.start()
        chaos.say("ready")
        verdict = await chaos.run()
    except (ProcessFailed, httpx.HTTPError) as e:
        print(f"! {e!r}", file=sys.stderr)
        return 1
    finally:
        await chaos.close()
        await stack.stop()
        stack.close()
    counts = {kind: verdict.count(kind) for kind in KINDS}
    line = {
        "name": "chaos",
        "faults": len(chaos.injector.done),
        **counts,
        "both_at_once": sum(len(fault.names) > 1 for fault in chaos.injector.done),
        "calls": verdict.calls,
        "answered": verdict.answered,
        "abandoned": verdict.abandoned,
        "with_their_switch": verdict.crashed,
        "ended_unseen": verdict.unseen,
        "offers": verdict.offers,
        "facts": verdict.facts,
        "longest_wait_s": verdict.longest_wait_s,
        "cpu_cores": round(chaos.cores, 2),
        "cpu_ms_per_call": {kind: round(1000 * s / max(verdict.calls, 1)) for kind, s in chaos.cpu_s.items()},
        "calls_per_s": args.rate,
        "agents": args.agents,
        "seed": args.seed,
        "ended_by_themselves": chaos.ended,
    }
    print(json.dumps(line), flush=True)
    return 1 if any(counts.values()) else 0


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long calls come (default 10)")
    parser.add_argument("--rate", type=float, default=4.0, help="calls a second on both nodes (default 4)")
    parser.add_argument("--faults", type=int, default=60, help="how many (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of callers and faults (default 1)")
    parser.add_argument("--agents", type=int, default=200, help="how many (default 200)")
    parser.add_argument(
        "--time-scale", type=float, default=5.0, help="how much faster than life people act (default 5)"
    )
    parser.add_argument(
        "--longest", type=float, default=float("inf"), metavar="SECONDS", help="no fault lasts longer"
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=frozenset(),
        metavar="NAME,...",
        help="services to run (default all); without reporting there is no ClickHouse, and its books are not compared",
    )
    parser.add_argument(
        "--without",
        type=_names,
        default=frozenset(),
        metavar="NAME,...",
        help="what is left alone: nats, switch ...",
    )
    parser.add_argument("--shift", type=int, default=0, help="first shift of the ports to try (default 0)")
    parser.add_argument("--dir", type=Path, default=ROOT / ".dev" / "chaos", help="folder of the run")
    return asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
