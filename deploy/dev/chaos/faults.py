"""Which faults, when, and how they are brought about.

``plan`` is pure: a seed makes the same list. What it names is a kind of process; which copy is hit is drawn there too, as *owner* (whoever
has the shard at that moment), *any*, or *both*: then nobody is left, and whoever waits or talks must still be there when they are back.
``Injector`` carries a plan out and writes down what it really did: one copy alone is hit when the other one
is there to take over, and of the three servers of NATS never two are away at once, because with two of three away nobody could write.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import httpx

from deploy.dev.chaos.stack import NODES, TENANT, ChaosStack
from deploy.dev.process import Process
from services.common.bus import codec, subjects
from services.common.bus.base import Unconfirmed, Unstored
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.jetstream import ApiError, JetStream
from services.common.bus.nats import NatsBus
from services.common.errors import BusUnavailable, ConfigError
from services.contracts.peyvand.common.v1.state_pb2 import LeaseHeld
from services.routing.adapters.centers import shard_of

KILL, HANG, CRASH, PARTITION = "kill", "hang", "crash", "partition"
SERVICES: Final = ("ivr", "routing", "queue", "recording", "reporting")
_BOTH: Final = ("ivr", "routing", "queue")
_QUIET_S: Final = 5.0
"""No fault in the first and the last seconds of a run; of a short one in its first and last eighth."""
_COVERED_S: Final = 30.0
_NATS_APART_S: Final = 25.0
_WEIGHTS: Final = {
    ("queue", KILL): 5, ("queue", HANG): 4, ("routing", KILL): 5, ("routing", HANG): 4, ("ivr", KILL): 4, ("ivr", HANG): 2,
    ("recording", KILL): 2, ("recording", HANG): 1, ("reporting", KILL): 2, ("reporting", HANG): 1,
    ("nats", KILL): 3, ("nats", HANG): 2, ("clickhouse", KILL): 1, ("clickhouse", HANG): 1,
    ("switch", CRASH): 1, ("switch", PARTITION): 2,
}  # fmt: skip
_DOWN_S: Final = {KILL: (0.3, 3.0), HANG: (0.5, 8.0), CRASH: (1.0, 4.0), PARTITION: (2.0, 12.0)}


@dataclass(frozen=True)
class Planned:
    """One fault to be. ``which``: owner, any or both; ``for_s``: how long it is down, stopped or cut off."""

    at_s: float
    target: str
    how: str
    which: str
    for_s: float
    heal: str = "resume"


@dataclass
class Fault:
    """What was done, to one or several at once (``what``: their names). Times in µs since the epoch; ``until_us`` is 0 while it lasts."""

    what: str
    how: str
    began_us: int
    until_us: int = 0

    @property
    def names(self) -> frozenset[str]:
        """Who was hit."""
        return frozenset(self.what.split(", "))

    def __str__(self) -> str:
        lasted = f"{(self.until_us - self.began_us) / 1e6:.1f} s" if self.until_us else "to the end"
        return f"{self.how} {self.what} ({lasted})"


def plan(
    seed: int,
    seconds: float,
    count: int,
    *,
    without: frozenset[str] = frozenset(),
    longest_s: float = float("inf"),
) -> list[Planned]:
    """``count`` faults within ``seconds``, each kind at least once where there are enough, none longer than ``longest_s``; a tenth of them
    hit both copies of a service at once. ``without`` leaves targets out."""
    chance = Random(seed)
    kinds = {kind: weight for kind, weight in _WEIGHTS.items() if kind[0] not in without}
    wanted = sorted(kinds)
    chance.shuffle(wanted)
    while len(wanted) < count:
        wanted.append(chance.choices(list(kinds), list(kinds.values()))[0])
    wanted = wanted[:count]
    chance.shuffle(wanted)
    quiet_s = min(_QUIET_S, seconds / 8)
    pace_s = (seconds - 2 * quiet_s) / max(count, 1)
    planned, last_nats_s = [], -_NATS_APART_S
    for n, (target, how) in enumerate(wanted):
        at_s = quiet_s + (n + chance.random()) * pace_s
        if target == "nats" and at_s - last_nats_s < _NATS_APART_S and pace_s * count > _NATS_APART_S:
            target, how = "routing", KILL
        if target == "nats":
            last_nats_s = at_s
        which = "owner" if chance.random() < 0.7 else "any"
        for_s = min(longest_s, round(chance.uniform(*_DOWN_S[how]), 1))
        planned.append(Planned(round(at_s, 2), target, how, which, for_s, chance.choice(["resume", "reset"])))
    twice = [n for n, p in enumerate(planned) if p.target in _BOTH]
    for n in chance.sample(twice, min(len(twice), count // 10)):
        planned[n] = replace(planned[n], which="both")
    return sorted(planned, key=lambda p: p.at_s)


def now_us() -> int:
    """Microseconds since the epoch, by the clock that the ledger is written with."""
    return time.time_ns() // 1000


class Injector:
    """Brings faults about and mends them. ``say`` tells a person."""

    def __init__(
        self,
        stack: ChaosStack,
        bus: NatsBus,
        client: httpx.AsyncClient,
        chance: Random,
        say: Callable[[str], None],
    ) -> None:
        self.done: list[Fault] = []
        self._stack = stack
        self._bus = bus
        self._client = client
        self._chance = chance
        self._say = say
        self._away: set[str] = set()
        self._nats_busy = asyncio.Lock()

    async def run(self, planned: list[Planned], began_s: float) -> None:
        """Carry a plan out; returns when the last fault is mended."""
        tasks = [asyncio.create_task(self._at(p, began_s)) for p in planned]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _at(self, planned: Planned, began_s: float) -> None:
        await asyncio.sleep(max(0.0, began_s + planned.at_s - time.monotonic()))
        await self.carry_out(planned)

    async def carry_out(self, planned: Planned) -> None:
        """One fault, from its beginning until it is mended."""
        if planned.target == "nats":
            async with self._nats_busy:
                await self._nats(planned)
        elif planned.target == "switch":
            await self._switch(planned)
        else:
            await self._process(planned)

    # ---------------------------------------------------------------- processes

    async def owner(self, service: str, shard: str) -> Process | None:
        """The process that has a lease now; None when nobody has or NATS does not answer."""
        try:
            newest = await self._bus.last(subjects.lease(service, shard), timeout_s=1.0)
        except BusUnavailable:
            return None
        held = codec.decode(newest) if newest is not None else None
        return self._stack.copy_of(held.owner) if isinstance(held, LeaseHeld) and held.owner else None

    async def _covered(self, service: str) -> bool:
        """Wait until every copy of a service that has several is ready. What is promised is promised for one process at a time."""
        copies = self._stack.copies(service)
        end = time.monotonic() + _COVERED_S
        while len(copies) > 1:
            there = [p for p in copies if p.name not in self._away and p.alive]
            if len(there) == len(copies) and all([await self._is_ready(p) for p in there]):
                return True
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.2)
        return True

    async def _is_ready(self, process: Process) -> bool:
        try:
            return (await self._client.get(process.ready_url)).status_code == 200
        except httpx.HTTPError:
            return False

    async def _pick(self, planned: Planned) -> list[Process]:
        copies = [p for p in self._stack.copies(planned.target) if p.name not in self._away and p.alive]
        if not copies or planned.which == "both":
            return copies
        found = None
        if planned.which == "owner" and planned.target in ("routing", "queue", "recording"):
            shard = str(shard_of(TENANT)) if planned.target == "routing" else self._chance.choice(NODES)
            found = await self.owner(planned.target, shard)
        return [found] if found in copies else [self._chance.choice(copies)]

    async def _process(self, planned: Planned) -> None:
        if not await self._covered(planned.target):
            self._say(f"no second copy of {planned.target} is ready: left alone")
            return
        hit = await self._pick(planned)
        if not hit:
            return
        names = {process.name for process in hit}
        self._away |= names
        fault = self._begin(", ".join(sorted(names)), planned.how)
        bring_about = self.kill if planned.how == KILL else self.hang
        try:
            await asyncio.gather(*(bring_about(process, planned.for_s) for process in hit))
        finally:
            self._away -= names
            self._end(fault)

    @staticmethod
    async def kill(process: Process, down_s: float) -> None:
        """SIGKILL, and a new process after a while."""
        await process.kill()
        await asyncio.sleep(down_s)
        await process.start()

    @staticmethod
    async def hang(process: Process, for_s: float) -> None:
        """Stopped in its tracks, and then let go on from there."""
        pid = process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)

    # ---------------------------------------------------------------- NATS

    async def _nats(self, planned: Planned) -> None:
        server = await self._server(planned)
        fault = self._begin(f"nats {server.name}", planned.how)
        try:
            if planned.how == KILL:
                server.stop(kill=True)
                await asyncio.sleep(planned.for_s)
                server.launch()
            else:
                server.freeze()
                try:
                    await asyncio.sleep(planned.for_s)
                finally:
                    server.thaw()
        finally:
            self._end(fault)
        try:
            await self._stack.caught_up([server])
        except ConfigError as e:
            self._say(f"nats {server.name}: {e}")

    async def _server(self, planned: Planned) -> EmbeddedNats:
        if planned.which == "owner":
            stream = self._chance.choice(["CC_ROUTING", "CC_EVENTS", "CC_LEASE"])
            try:
                info = await JetStream(self._bus.connection).api(f"STREAM.INFO.{stream}", {}, 1.0)
                return self._stack.cluster.node(str(info["cluster"]["leader"]))
            except (ApiError, Unconfirmed, Unstored, KeyError):
                pass  # an election goes on, or the answer was lost: any server will do
        return self._chance.choice(self._stack.cluster.nodes)

    # ---------------------------------------------------------------- FreeSWITCH

    async def _switch(self, planned: Planned) -> None:
        node = self._chance.choice(NODES)
        if f"switch {node}" in self._away:
            return
        self._away.add(f"switch {node}")
        fault = self._begin(f"switch {node}", planned.how)
        body = (
            {
                "kind": "restart",
                "for_s": planned.for_s,
                "graceful": False,
                "registrations": self._chance.choice(["kept", "lost"]),
            }
            if planned.how == CRASH
            else {"kind": "partition", "for_s": planned.for_s, "heal": planned.heal}
        )
        try:
            token = self._stack.token(TENANT, "service")
            answer = await self._client.post(
                f"{self._stack.http('simswitch')}/v1/faults",
                json={**body, "node": node},
                headers={"Authorization": f"Bearer {token}"},
            )
            answer.raise_for_status()
            await asyncio.sleep(planned.for_s)
        finally:
            self._away.discard(f"switch {node}")
            self._end(fault)

    # ---------------------------------------------------------------- the record

    def _begin(self, what: str, how: str) -> Fault:
        fault = Fault(what, how, now_us())
        self.done.append(fault)
        self._say(f"{how} {what}")
        return fault

    def _end(self, fault: Fault) -> None:
        fault.until_us = now_us()
