"""Three servers that replicate, and one after the other killed, frozen, or sent home while everything goes on.

What is claimed is checked by reading the streams back whole, message by message, not through the code under test: every
append that was confirmed is there once, where it was said to be, in its writer's order; every consumer has seen everything; no writer
gave up before its thirty seconds; of the log's owners only one could write at a time.

PEYVAND_TEST_CLUSTER_FAULTS=200 goes on with faults by chance, up to that many.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.common import ids
from services.common.bus import Envelope, Outgoing, codec, subjects
from services.common.bus.embedded import EmbeddedCluster, EmbeddedNats
from services.common.bus.headers import parse_block
from services.common.bus.jetstream import JetStream
from services.common.bus.lease import Lease, LeaseKeeper, Timing
from services.common.bus.log import FencedLog
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable, Conflict, NotReady
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.log_pb2 import Decided
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition, Position

FAULTS = int(os.environ.get("PEYVAND_TEST_CLUSTER_FAULTS", "0"))
pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(240 + 20 * FAULTS)]

FROZEN_S = 5.0
DOWN_S = 1.0
RECOVERY_S = 60.0
PACE_S = 0.02
TIMING = Timing(lease_s=3.0, poll_s=0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """Three servers with all streams on three replicas."""
    three = EmbeddedCluster(tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(migrate(three.start(), replicas=3))
        yield three
    finally:
        three.stop()


Join = Callable[[str], Awaitable[NatsBus]]


@pytest.fixture
async def join(cluster: EmbeddedCluster) -> AsyncIterator[Join]:
    """Makes buses on the cluster: each stands for a process."""
    made: list[NatsBus] = []

    async def make(source: str) -> NatsBus:
        bus = NatsBus(cluster.url, source=source, clock=SystemClock())
        bus.start()
        made.append(bus)
        await bus.connected(20)
        return bus

    yield make
    for bus in made:
        await bus.stop()


def gone(tenant: str, fact_id: str) -> Outgoing:
    message = ContactGone(contact_id=fact_id, state="waiting", at_us=1)
    return Outgoing(subjects.fact(tenant, "queue", "contact", "gone"), message, fact_id, tenant, fact_id)


def epoch_of(envelope: Envelope) -> int:
    entry = codec.decode(envelope)
    assert isinstance(entry, Decided)
    return entry.epoch


@dataclass
class Writer:
    """Appends facts one after the other and writes down what was confirmed."""

    bus: NatsBus
    tenant: str
    name: str
    confirmed: list[tuple[int, str]] = field(default_factory=list)
    longest_s: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            began = time.monotonic()
            fact_id = f"{self.name}-{number:06}"
            appended = await self.bus.append(gone(self.tenant, fact_id))  # BusUnavailable fails the test
            self.confirmed.append((appended.seq, fact_id))
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            number += 1
            await asyncio.sleep(PACE_S)


@dataclass
class Owners:
    """Processes that contend for one log; whoever has the lease appends to it."""

    tenant: str
    confirmed: list[tuple[int, str]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    logs: list[FencedLog] = field(default_factory=list)
    replayed: list[list[str]] = field(default_factory=list)
    longest_s: float = 0.0

    def keeper(self, bus: NatsBus, instance: str) -> LeaseKeeper:
        async def work(lease: Lease) -> None:
            await self._own(bus, lease)

        return LeaseKeeper(
            bus, SystemClock(), service=self.tenant, instance=instance, shards=["0"], work=work, timing=TIMING
        )

    async def _own(self, bus: NatsBus, lease: Lease) -> None:
        log = FencedLog(bus, SystemClock(), self.tenant, epoch=lease.epoch, epoch_of=epoch_of)
        seen: list[str] = []
        made: list[str] = []

        def entry() -> Decided:
            made.append(f"{lease.epoch}:{len(made)}")
            self.unknown.add(made[-1])
            return Decided(epoch=lease.epoch, owner=lease.owner, at_us=1, input_id=made[-1])

        await log.open(lambda e: seen.append(_entry(e).input_id), entry)
        self.replayed.append(seen)
        self.logs.append(log)
        self._confirm(log.seq, made[-1])
        while lease.valid():
            began = time.monotonic()
            decided = entry()
            self._confirm(await log.append(decided), decided.input_id)
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            await asyncio.sleep(PACE_S)

    def _confirm(self, seq: int, name: str) -> None:
        self.confirmed.append((seq, name))
        self.unknown.discard(name)


def _entry(envelope: Envelope) -> Decided:
    entry = codec.decode(envelope)
    assert isinstance(entry, Decided)
    return entry


@dataclass
class Reader:
    """Effects of a durable consumer, each once by id, whatever is delivered twice."""

    effects: dict[str, int] = field(default_factory=dict)
    deliveries: Counter[str] = field(default_factory=Counter)

    async def handle(self, batch: list[Envelope]) -> None:
        for envelope in batch:
            self.deliveries[envelope.id] += 1
            self.effects.setdefault(envelope.id, envelope.stream_seq)


@dataclass
class Follower:
    """Everything in the order in which it came."""

    got: list[tuple[int, str]] = field(default_factory=list)

    async def handle(self, envelope: Envelope) -> None:
        self.got.append((envelope.stream_seq, envelope.id))


class Questions:
    """A server and an asker: what was asked is done at most once."""

    def __init__(self, tenant: str) -> None:
        self.subject = subjects.rpc(tenant, "routing", "contact", "position")
        self.done: Counter[str] = Counter()
        self.answered = 0
        self.failed = 0

    async def serve(self, bus: NatsBus) -> None:
        async def answer(asked: Envelope) -> Position:
            self.done[asked.id] += 1
            return Position(contact_id="c", position=1)

        await bus.serve(self.subject, answer, queue="routing")

    async def ask(self, bus: NatsBus, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await bus.request(self.subject, AskPosition(contact_id="c"), timeout_s=2.0)
                self.answered += 1
            except BusUnavailable:
                self.failed += 1
            await asyncio.sleep(PACE_S)


# ------------------------------------------------------------------------------------------------------------------ faults
class Faults:
    """What is done to the servers, and what it hit."""

    def __init__(self, cluster: EmbeddedCluster, watcher: NatsBus, writers: list[Writer]) -> None:
        self._cluster = cluster
        self._jetstream = JetStream(watcher.connection)
        self._writers = writers
        self.hits: set[tuple[str, str]] = set()
        self.log: list[str] = []

    async def leader(self, stream: str) -> str:
        async with asyncio.timeout(RECOVERY_S):
            while True:
                with contextlib.suppress(Exception):
                    info = await self._jetstream.api(f"STREAM.INFO.{stream}", {}, 2.0)
                    if leader := info["cluster"].get("leader"):
                        return str(leader)
                await asyncio.sleep(0.1)

    async def connected(self) -> str:
        """The server to which the first writer is connected."""
        client = await self._writers[0].bus.connection.connected(RECOVERY_S)
        assert client.connected_url is not None
        port = client.connected_url.port
        return next(n.name for n in self._cluster.nodes if n.url.endswith(f":{port}"))

    async def target(self, wanted: str) -> EmbeddedNats:
        if wanted == "connected":
            return self._cluster.node(await self.connected())
        if wanted.startswith("CC_"):
            return self._cluster.node(await self.leader(wanted))
        return self._cluster.node(wanted)

    async def inflict(self, what: str, wanted: str) -> None:
        """One fault, from a healthy cluster to a healthy cluster with writers that write."""
        node = await self.target(wanted)
        roles = {s for s in ("CC_EVENTS", "CC_ROUTING", "CC_LEASE") if await self.leader(s) == node.name}
        if await self.connected() == node.name:
            roles.add("connected")
        self.hits |= {(what, role) for role in (*roles, node.name)}
        began = time.monotonic()
        if what == "kill":
            node.stop(kill=True)
            await asyncio.sleep(DOWN_S)
            node.launch()
        elif what == "freeze":
            node.freeze()
            await asyncio.sleep(FROZEN_S)
            node.thaw()
        else:
            node.retire()
            assert await asyncio.to_thread(node.wait) == 0
            node.stop()
            node.launch()
        await asyncio.to_thread(node.wait_ready)
        await self._writers_write()
        self.log.append(f"{what} {node.name} ({', '.join(sorted(roles))}): {time.monotonic() - began:.1f} s")

    async def _writers_write(self) -> None:
        before = [len(w.confirmed) for w in self._writers]
        async with asyncio.timeout(RECOVERY_S):
            while any(len(w.confirmed) < n + 2 for w, n in zip(self._writers, before, strict=True)):
                await asyncio.sleep(0.02)


PLAN = [
    ("retire", "n1"), ("freeze", "n1"), ("kill", "n1"),
    ("retire", "n2"), ("freeze", "n2"), ("kill", "n2"),
    ("retire", "n3"), ("freeze", "n3"), ("kill", "n3"),
    ("kill", "CC_EVENTS"), ("freeze", "CC_ROUTING"), ("kill", "connected"),
]  # fmt: skip
MUST_HIT = {("kill", "CC_EVENTS"), ("freeze", "CC_ROUTING"), ("kill", "connected")}


async def read_whole(jetstream: JetStream, stream: str) -> list[tuple[int, str, str, bytes]]:
    """Sequence, subject, id and data of everything in a stream, got one by one by sequence."""
    state = (await jetstream.api(f"STREAM.INFO.{stream}", {}, 5.0))["state"]

    async def get(seq: int) -> tuple[int, str, str, bytes] | None:
        try:
            found: dict[str, Any] = await jetstream.api(f"STREAM.MSG.GET.{stream}", {"seq": seq}, 10.0)
        except Exception as e:
            if "10037" in str(e):  # no message: deleted
                return None
            raise
        message = found["message"]
        headers = parse_block(base64.b64decode(message.get("hdrs", "")))
        data = base64.b64decode(message.get("data", ""))
        return seq, message["subject"], headers["ce-id"], data

    everything: list[tuple[int, str, str, bytes]] = []
    for first in range(state["first_seq"], state["last_seq"] + 1, 64):
        part = range(first, min(first + 64, state["last_seq"] + 1))
        everything += [m for m in await asyncio.gather(*map(get, part)) if m is not None]
    return everything


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(RECOVERY_S):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {RECOVERY_S} s: {what}") from None


# -------------------------------------------------------------------------------------------------------------------- test
async def test_bus_cluster_loses_and_doubles_nothing_whatever_happens_to_a_node(
    cluster: EmbeddedCluster, join: Join, tenant: str
) -> None:
    stop = asyncio.Event()
    writers = [Writer(await join(f"/writer/{n}"), tenant, f"w{n}") for n in range(3)]
    reader, followers = Reader(), [Follower(), Follower()]
    pattern = [subjects.any_fact(tenant, "queue")]
    for n in range(2):
        await (await join(f"/reader/{n}")).consume(tenant, pattern, reader.handle, batch=16)
        await (await join(f"/follower/{n}")).follow(pattern, followers[n].handle, after_seq=0)
    log_follower = Follower()
    watcher = await join("/watcher/1")
    await watcher.follow([subjects.log(tenant)], log_follower.handle, after_seq=0)
    owners = Owners(tenant)
    keepers = [owners.keeper(await join(f"/owner/{n}"), str(n)) for n in range(3)]
    every = list(keepers)
    for keeper in keepers:
        await keeper.start()
    questions = Questions(tenant)
    await questions.serve(await join("/server/1"))
    asker = await join("/asker/1")
    faults = Faults(cluster, watcher, writers)

    working = [asyncio.create_task(w.run(stop)) for w in writers]
    working.append(asyncio.create_task(questions.ask(asker, stop)))
    try:
        await until(lambda: bool(owners.logs), "an owner of the log")
        chance = random.Random(FAULTS)
        more = [
            (chance.choice(["kill", "freeze", "retire"]), chance.choice(["n1", "n2", "n3", "connected"]))
            for _ in range(max(0, FAULTS - len(PLAN)))
        ]
        for number, (what, wanted) in enumerate([*PLAN, *more]):
            fault = asyncio.create_task(faults.inflict(what, wanted))
            if number % 4 == 1:  # in the middle of it the owner of the log goes, too
                await _give_back(owners, keepers)
            if number % 4 == 3:
                every.append(await _cut_off(owners, keepers, await join(f"/owner/{len(every)}")))
                keepers.append(every[-1])
            await fault
            for task in working:
                assert not task.done(), task.exception()
    finally:
        stop.set()
        await asyncio.gather(*working, return_exceptions=True)
        print("\n".join(faults.log))
    for task in working:
        task.result()
    await asyncio.gather(*(keeper.stop() for keeper in every))

    jetstream = JetStream(watcher.connection)
    mine = f".{tenant}."
    events = [m for m in await read_whole(jetstream, "CC_EVENTS") if mine in m[1]]
    entries = [m for m in await read_whole(jetstream, "CC_ROUTING") if mine in m[1]]
    print(
        json.dumps(
            {
                "facts": len(events),
                "entries": len(entries),
                "owners": len(owners.logs),
                "unknown": len(owners.unknown),
                "longest_append_s": round(max(w.longest_s for w in writers), 2),
                "longest_log_append_s": round(owners.longest_s, 2),
                "redelivered": sum(n - 1 for n in reader.deliveries.values()),
                "answered": questions.answered,
                "unanswered": questions.failed,
            }
        )
    )
    assert faults.hits >= MUST_HIT

    # Facts: what was confirmed is there once, where it was said to be, in each writer's order, and nothing else is.
    confirmed = [pair for w in writers for pair in w.confirmed]
    assert sorted((seq, fact_id) for seq, _, fact_id, _ in events) == sorted(confirmed)
    for writer in writers:
        written = [fact_id for _, _, fact_id, _ in events if fact_id.startswith(f"{writer.name}-")]
        assert written == [fact_id for _, fact_id in writer.confirmed]

    # Readers: all of it, followers in order and once.
    stored = [(seq, fact_id) for seq, _, fact_id, _ in events]
    await until(lambda: len(reader.effects) >= len(stored), "the durable consumer has everything")
    assert sorted((seq, fact_id) for fact_id, seq in reader.effects.items()) == stored
    for follower in followers:
        await until(lambda f=follower: len(f.got) >= len(stored), "a follower has everything")  # type: ignore[misc]
        assert follower.got == stored
    assert [(e.stream_seq, e.id) async for e in watcher.read_log(pattern[0], after_seq=0)] == stored

    # The log: one writer at a time, what was confirmed is where it was said to be, the rest was unknown to its owner.
    decided = [(seq, Decided.FromString(data)) for seq, _, _, data in entries]
    names = [entry.input_id for _, entry in decided]
    assert len(set(names)) == len(names)
    epochs = [entry.epoch for _, entry in decided]
    assert epochs == sorted(epochs), "an owner wrote after a newer one"
    at = {seq: entry.input_id for seq, entry in decided}
    assert {seq: name for seq, name in owners.confirmed if at.get(seq) != name} == {}
    assert set(names) - {name for _, name in owners.confirmed} <= owners.unknown
    assert len({entry.owner for _, entry in decided}) > 2, "the log never changed hands"
    for seen in owners.replayed:
        assert seen == names[: len(seen)], "an owner replayed something else than the log"
    await until(lambda: len(log_follower.got) >= len(entries), "the log's follower has everything")
    assert [seq for seq, _ in log_follower.got] == [seq for seq, _, _, _ in entries]

    assert max(questions.done.values()) == 1, "a request was carried out twice"
    assert questions.answered > 0


async def _owner(owners: Owners, keepers: list[LeaseKeeper]) -> tuple[LeaseKeeper, int, FencedLog]:
    await until(lambda: any(k.owned for k in keepers), "somebody holds the lease")
    return next(k for k in keepers if k.owned), len(owners.logs), owners.logs[-1]


async def _closed_to_the_old(owners: Owners, before: int, log: FencedLog) -> None:
    await until(lambda: len(owners.logs) > before, "another owner has opened the log")
    with pytest.raises((Conflict, NotReady)):
        await log.append(Decided(epoch=1, at_us=1, input_id=f"zombie-{ids.new_id()}"))


async def _give_back(owners: Owners, keepers: list[LeaseKeeper]) -> None:
    """The owner of the log is stopped in good order; the next one goes on, and the old one's log is closed to it."""
    old, before, log = await _owner(owners, keepers)
    await old.stop()
    await _closed_to_the_old(owners, before, log)
    await old.start()


async def _cut_off(owners: Owners, keepers: list[LeaseKeeper], spare: NatsBus) -> LeaseKeeper:
    """The owner of the log loses its connection for good, without a word, and goes on believing; a new process comes."""
    old, before, log = await _owner(owners, keepers)
    fresh = owners.keeper(spare, str(len(keepers)))
    await fresh.start()
    keepers.remove(old)
    bus = old._bus
    assert isinstance(bus, NatsBus)
    await bus.connection.stop()
    await _closed_to_the_old(owners, before, log)
    return fresh
