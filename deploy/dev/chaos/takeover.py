"""`make takeover`: how long callers wait for the next offer when the owner of a shard is killed, or hangs.

    python -m deploy.dev.chaos.takeover [--kills 200] [--minutes 60] [--seed 1] [--history 60000] [--dir .dev/takeover]

One after the other the owner of the tenant's shard (routing) and of a FreeSWITCH node (queue) is killed or stopped. From that moment on
callers are parked every tenth of a second, and the gap is the time from the kill to the first INVITE to an agent, by the ledger of the
simulated switch. What is killed comes back only after that, so that the start of a process is not measured too. ``--history`` fills
routing's log beforehand, because a new owner reads it. At the end no call may be lost or dropped (see audit.py).

``--minutes`` ends it sooner. Every gap stands in ``<dir>/gaps.jsonl``, so that several runs can be looked at as one.
Prints a line of JSON for each kind and one for all; exit 0 only if nobody was lost and the goals (95 % under 1 s when killed, under 4 s
when stopped) are met.
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
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from deploy.dev.balance import percentile
from deploy.dev.chaos.audit import Ledgers, agents_legs, dropped, offers_ends, waits
from deploy.dev.chaos.evidence import read_ledger, read_streams
from deploy.dev.chaos.faults import HANG, KILL, Injector, now_us
from deploy.dev.chaos.stack import DIRECT, NODES, TENANT, ChaosStack, find_shift
from deploy.dev.demo import fresh
from deploy.dev.process import Process, ProcessFailed
from deploy.dev.stack import ROOT
from services.common import ids, log
from services.common.bus import Outgoing, subjects
from services.common.bus.log import Snapshot, save_snapshot
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.contracts.peyvand.routing.v1 import log_pb2
from services.routing.adapters.centers import shard_of
from services.routing.core.center import Policy
from services.routing.core.state import State

GOALS_S: Final = {KILL: 1.0, HANG: 4.0}
_COPIES: Final = 3
_EVERY_S: Final = 0.1
_OFTEN_S: Final = 1.5
_GIVE_UP_S: Final = 20.0
_READY_S: Final = 60.0
_READ_S: Final = 180.0
_AT_ONCE: Final = 50
_SNAPSHOT_BEHIND: Final = 500  # Routing makes one every so many entries.


@dataclass(frozen=True)
class Kill:
    """What was done, and for the callers of which node; empty for all."""

    service: str
    how: str
    node: str
    at_us: int


class Takeover:
    """One run."""

    def __init__(self, stack: ChaosStack, args: argparse.Namespace) -> None:
        self.stack = stack
        self.args = args
        self.kills: list[Kill] = []
        self.bus = NatsBus(stack.nats_url, source="/takeover/1", clock=SystemClock())
        self.client = httpx.AsyncClient(trust_env=False, timeout=5)
        self._chance = Random(args.seed)
        self._injector = Injector(stack, self.bus, self.client, self._chance, lambda _: None)
        self._coming: set[asyncio.Task[None]] = set()
        self._service = {"Authorization": f"Bearer {stack.token(TENANT, 'service')}"}

    async def simulator(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request to the simulated switches."""
        url = self.stack.http("simswitch") + path
        answer = await self.client.request(method, url, headers=self._service, json=body)
        return answer.raise_for_status().json()

    async def fill(self) -> None:
        """Write a history into the log, as days of calls leave one, with the snapshot that its owner would have made some time ago.
        Nobody owns the tenant yet.
        """
        subject, at_us = subjects.log(TENANT), now_us()
        for first in range(0, self.args.history // 2, _AT_ONCE):
            entries = []
            for n in range(first, first + _AT_ONCE):
                contact = ids.new_id()
                queued = log_pb2.ContactQueued(
                    contact_id=contact, queue="support", waiting_since_us=at_us, node=NODES[n % 2]
                )
                closed = log_pb2.ContactClosed(contact_id=contact, queue="support", outcome="abandoned")
                for fact in (log_pb2.Fact(contact_queued=queued), log_pb2.Fact(contact_closed=closed)):
                    entry = log_pb2.Decided(epoch=1, owner="history", at_us=at_us, facts=[fact])
                    entries.append(Outgoing(subject, entry, ids.new_id(), TENANT))
            await asyncio.gather(*map(self.bus.append, entries))
        if newest := await self.bus.last(subject):
            snapshot = Snapshot(max(1, newest.stream_seq - _SNAPSHOT_BEHIND), State(Policy()).dump())
            await save_snapshot(self.bus, SystemClock(), TENANT, "routing", snapshot)

    async def run(self) -> None:
        """All kills."""
        await self.simulator("POST", "/v1/scenario/start")
        await self._agents_there()
        for node in NODES:
            # queue reads the history first, which is younger here than in life: a caller is served when it has.
            await self._until_talking(node, give_up_s=_READ_S)
        cases = [(s, h) for s in ("routing", "queue") for h in (KILL, HANG)]
        end = time.monotonic() + 60 * self.args.minutes
        for n in range(self.args.kills):
            if time.monotonic() > end:
                print(f"{self.args.minutes:g} minutes are over", file=sys.stderr, flush=True)
                break
            service, how = cases[n % len(cases)]
            await self._one(service, how, NODES[n // len(cases) % 2])
            if (n + 1) % 20 == 0:
                print(f"{n + 1} of {self.args.kills}", file=sys.stderr, flush=True)
        await asyncio.gather(*self._coming)
        await self._quiet()

    async def _agents_there(self) -> None:
        async with asyncio.timeout(_READY_S):
            headers = {"Authorization": f"Bearer {self.stack.token(TENANT, 'admin')}"}
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await self.client.get(self.stack.http("routing") + "/v1/agents", headers=headers)
                    agents = answer.raise_for_status().json()
                    if sum(a["presence"] == "available" for a in agents) >= 0.9 * self.args.agents:
                        return
                await asyncio.sleep(0.5)

    async def _one(self, service: str, how: str, node: str) -> None:
        shard = str(shard_of(TENANT)) if service == "routing" else node
        owner = await self._settled(service, shard)
        await self._quiet()
        node = node if service == "queue" else ""
        kill = Kill(service, how, node, now_us())
        if how == KILL:
            await owner.kill()
        else:
            os.kill(owner.pid, signal.SIGSTOP)
        try:
            await self._until_talking(node)
        finally:
            if how == HANG:
                os.kill(owner.pid, signal.SIGCONT)
        self.kills.append(kill)
        if how == KILL:
            self._coming.add(task := asyncio.create_task(self._come_back(owner)))
            task.add_done_callback(self._coming.discard)

    async def _come_back(self, process: Process) -> None:
        await process.start()
        await process.wait_ready(_READY_S)

    async def _settled(self, service: str, shard: str) -> Process:
        """The owner, when there is another copy that is ready to follow. Raises ProcessFailed."""
        end = time.monotonic() + _READY_S
        while True:
            ready = [p for p in self.stack.copies(service) if p.alive and await self._is_ready(p)]
            owner = await self._injector.owner(service, shard)
            if owner in ready and len(ready) > 1:
                return owner
            if time.monotonic() > end:
                raise ProcessFailed(
                    f"{service} is not in order {_READY_S:g} s after kill {len(self.kills)}: {shard} is owned by "
                    f"{owner.name if owner else 'nobody'}, ready are {[p.name for p in ready]}"
                )
            await asyncio.sleep(0.1)

    async def _is_ready(self, process: Process) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return (await self.client.get(process.ready_url)).status_code == 200
        return False

    async def _until_talking(self, node: str, *, give_up_s: float = _GIVE_UP_S) -> None:
        """Park callers on every node until one on ``node`` talks; any node will do when it is empty."""
        began = time.monotonic()
        body = {"entry": DIRECT, "talk_s": 0.3 * self.stack.time_scale}
        while (waited_s := time.monotonic() - began) < give_up_s:
            for _ in NODES:  # the carrier calls them in turn
                await self.simulator("POST", "/v1/calls", body)
            await asyncio.sleep(
                _EVERY_S if waited_s < _OFTEN_S else 3 * _EVERY_S if waited_s < _GIVE_UP_S else 5.0
            )
            state = await self.simulator("GET", "/v1/state")
            if any(c["phase"] in ("talking", "after") and node in ("", c["node"]) for c in state["calls"]):
                return
        print(f"nobody talked on {node or 'any node'} for {give_up_s:g} s", file=sys.stderr)

    async def _quiet(self) -> None:
        """Wait until no call goes on: what is offered next is offered after the next kill. Raises ProcessFailed."""
        end = time.monotonic() + _READY_S
        while (state := await self.simulator("GET", "/v1/state"))["legs"]:
            if time.monotonic() > end:
                raise ProcessFailed(
                    f"{state['legs']} legs are still there {_READY_S:g} s after kill {len(self.kills)}: {state['calls']}"
                )
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.client.aclose()
        await self.bus.stop()


def gaps_s(kills: list[Kill], ledgers: Ledgers) -> dict[tuple[str, str], list[float]]:
    """From each kill to the first INVITE to an agent for a caller of its node, in seconds, by what was done."""
    nodes = {call["call_id"]: call["node"] for call in ledgers.calls}
    offered = sorted(
        (leg["created_us"], leg["node"])
        for leg in ledgers.legs.values()
        # Of a call across nodes the leg that the caller's node makes; the phone's own comes after it.
        if leg["direction"] == "outbound" and nodes.get(leg["claimed_contact"]) == leg["node"]
    )
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kill in kills:
        first_us = next(
            (at_us for at_us, node in offered if at_us > kill.at_us and kill.node in ("", node)), 0
        )
        found[kill.service, kill.how].append((first_us - kill.at_us) / 1e6 if first_us else float("inf"))
    return found


async def run(args: argparse.Namespace) -> int:
    log.setup("takeover", "1", level="error")
    try:
        fresh(args.dir)
        stack = ChaosStack(
            args.dir,
            shift=find_shift(args.shift, copies=_COPIES),
            sounds=ROOT / ".dev" / "sounds",
            rate=0,
            agents=args.agents,
            copies_of_each=_COPIES,
            only=frozenset({"ivr", "routing", "queue"}),
        )
    except ProcessFailed as e:
        print(f"! {e}", file=sys.stderr)
        return 1
    takeover = Takeover(stack, args)
    stack.before_services = takeover.fill
    try:
        takeover.bus.start()
        await stack.start()
        await takeover.run()
        streams = await read_streams(takeover.bus)
    except (ProcessFailed, httpx.HTTPError, TimeoutError) as e:
        print(f"! {e!r}", file=sys.stderr)
        return 1
    finally:
        await takeover.close()
        await stack.stop()
        stack.close()
    ledgers = read_ledger(stack.ledger)
    findings = [*dropped(ledgers), *waits(ledgers, ()), *agents_legs(ledgers), *offers_ends(streams.log)]
    for finding in findings[:12]:
        print(f"! {finding.kind}: {finding.contact}: {finding.text}", file=sys.stderr)
    found = gaps_s(takeover.kills, ledgers)
    (args.dir / "gaps.jsonl").write_text(
        "".join(
            json.dumps({"service": service, "how": how, "gap_s": gap}) + "\n"
            for (service, how), gaps in found.items()
            for gap in gaps
        )
    )
    met = True
    for (service, how), gaps in sorted(found.items()):
        p95 = percentile(gaps, 0.95)
        met = met and p95 is not None and p95 < GOALS_S[how]
        line = {
            "name": f"takeover_{service}_{how}",
            "kills": len(gaps),
            "p50_s": percentile(gaps, 0.5),
            "p95_s": p95,
            "max_s": max(gaps),
            "goal_p95_s": GOALS_S[how],
        }
        print(json.dumps(line), flush=True)
    total = {
        "name": "takeover",
        "kills": len(takeover.kills),
        "calls": len(ledgers.calls),
        "log_entries_before": args.history,
        "findings": len(findings),
        "goals_met": met,
    }
    print(json.dumps(total), flush=True)
    return 0 if met and not findings else 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.chaos.takeover", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed (default 1)")
    parser.add_argument(
        "--history", type=int, default=60_000, help="entries in routing's log before (default 60000)"
    )
    parser.add_argument("--agents", type=int, default=60, help="how many (default 60)")
    parser.add_argument("--shift", type=int, default=0, help="first shift of the ports to try (default 0)")
    parser.add_argument("--dir", type=Path, default=ROOT / ".dev" / "takeover", help="folder of the run")
    return asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
