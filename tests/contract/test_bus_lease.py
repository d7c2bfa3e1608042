"""Leases and fenced logs on both buses: who gets a shard, and who may still write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.common import ids
from services.common.bus import Bus, Envelope, codec, subjects
from services.common.bus.lease import Lease, LeaseKeeper, Presence, Timing
from services.common.bus.log import CHUNK_BYTES, FencedLog, Snapshot, load_snapshot, save_snapshot
from services.common.bus.memory import Fault, MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import Conflict, Fenced
from services.contracts.peyvand.routing.v1.log_pb2 import Decided

MakeBus = Callable[[str], Awaitable[Bus]]

QUICK = Timing(lease_s=0.6, poll_s=0.05)


class Worker:
    """Work that records its beginnings and ends and waits in between."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.ended = 0
        self.began = asyncio.Event()

    async def __call__(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def keeper(
    bus: Bus, service: str, instance: str, work: Callable[[Lease], Awaitable[None]], **more: int
) -> LeaseKeeper:
    return LeaseKeeper(
        bus, SystemClock(), service=service, instance=instance, shards=["0"], work=work, timing=QUICK, **more
    )


def a_service() -> str:
    return f"s-{ids.new_id()}"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def wait_for(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 20)


async def test_bus_lease_has_one_owner_and_is_handed_over(make_bus: MakeBus) -> None:
    service = a_service()
    one, other = Worker(), Worker()
    first = keeper(await make_bus("/a/1"), service, "1", one)
    second = keeper(await make_bus("/a/2"), service, "2", other)
    await first.start()
    await wait_for(one.began)
    await second.start()
    await asyncio.sleep(QUICK.lease_s * 2)  # renewals keep it for longer than it lasts
    assert (first.owned, second.owned) == ({"0"}, set())
    assert one.leases[0].valid()
    await first.stop()
    assert one.ended == 1
    assert not one.leases[0].valid()
    await wait_for(other.began)
    assert other.leases[0].epoch > one.leases[0].epoch
    await second.stop()


async def test_bus_lease_of_a_dead_process_is_taken(make_bus: MakeBus) -> None:
    service = a_service()
    dying_bus, other_bus = await make_bus("/a/1"), await make_bus("/a/2")
    lease = Lease(dying_bus, SystemClock(), service, "0", "owner-1", Timing(lease_s=60.0))
    await dying_bus.announce("owner-1")
    await lease.acquire()
    other = Worker()
    second = keeper(other_bus, service, "2", other)
    await second.start()
    await asyncio.sleep(0.3)
    assert not other.began.is_set()
    await dying_bus.stop()  # the connection is gone, nothing was given back; the lease would last a minute
    await wait_for(other.began)
    await second.stop()


async def test_bus_lease_that_is_taken_by_force_is_lost(make_bus: MakeBus) -> None:
    service = a_service()
    one = Worker()
    bus, other_bus = await make_bus("/a/1"), await make_bus("/a/2")
    first = keeper(bus, service, "1", one)
    await first.start()
    await wait_for(one.began)
    thief = Lease(other_bus, SystemClock(), service, "0", "thief", QUICK)
    seen = await other_bus.last(subjects.lease(service, "0"))
    assert seen is not None
    while not await thief._take(seen.stream_seq):
        seen = await other_bus.last(subjects.lease(service, "0"))
        assert seen is not None
    await wait_for(one.leases[0].lost)
    assert not one.leases[0].valid()
    await first.stop()
    assert one.ended == 1
    await thief.release()


async def test_bus_lease_is_contended_for_again_after_the_work_failed(bus: Bus) -> None:
    runs = 0
    again = asyncio.Event()

    async def work(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise Fenced("somebody else wrote")
        if runs == 2:
            raise ZeroDivisionError
        again.set()
        await asyncio.Event().wait()

    only = keeper(bus, a_service(), "1", work)
    await only.start()
    await wait_for(again)
    await only.stop()
    assert runs == 3


async def test_bus_lease_keeper_with_its_share_lets_others_go_first(make_bus: MakeBus) -> None:
    service = a_service()
    keepers = [
        LeaseKeeper(
            await make_bus(f"/a/{n}"),
            SystemClock(),
            service=service,
            instance=str(n),
            shards=[str(shard) for shard in range(6)],
            work=Worker(),
            share=3,
            timing=QUICK,
        )
        for n in (1, 2)
    ]
    for k in keepers:
        await k.start()
    async with asyncio.timeout(20):
        while sum(len(k.owned) for k in keepers) < 6:
            await asyncio.sleep(0.02)
    assert keepers[0].owned | keepers[1].owned == {str(n) for n in range(6)}
    assert not keepers[0].owned & keepers[1].owned
    for k in keepers:
        await k.stop()


async def test_bus_lease_is_not_valid_after_its_time_without_a_renewal() -> None:
    broker = MemoryBroker()
    bus = MemoryBus(broker)
    lease = Lease(bus, SystemClock(), "s", "0", "me", QUICK)
    await lease.acquire()
    assert lease.valid()
    broker.set_up(False)
    async with asyncio.timeout(20):
        while lease.valid():
            await asyncio.sleep(0.02)
    assert not lease.lost.is_set()  # nobody else can have it: it goes on when the bus is back
    broker.set_up(True)
    async with asyncio.timeout(20):
        while not lease.valid():
            await asyncio.sleep(0.02)
    await lease.release()
    await bus.stop()


async def test_bus_lease_survives_renewals_that_nobody_confirms() -> None:
    broker = MemoryBroker()
    bus, other_bus = MemoryBus(broker, source="/a/1"), MemoryBus(broker, source="/a/2")
    turn = 0

    def fault(envelope: Envelope) -> Fault:
        nonlocal turn
        turn += 1
        return [Fault.NONE, Fault.UNCONFIRMED, Fault.LATE, Fault.LOST][turn % 4]

    one, other = Worker(), Worker()
    first, second = keeper(bus, "s", "1", one), keeper(other_bus, "s", "2", other)
    await first.start()
    await wait_for(one.began)
    await second.start()
    broker.fault = fault
    for _ in range(20):
        await asyncio.sleep(QUICK.renew_s / 2)
        broker.deliver_late()
    assert first.owned == {"0"}
    assert not other.began.is_set()
    broker.fault = lambda envelope: Fault.NONE
    await first.stop()
    await second.stop()
    await bus.stop()
    await other_bus.stop()


# ------------------------------------------------------------------------------------------------------------ fenced logs
def epoch_of(envelope: Envelope) -> int:
    message = codec.decode(envelope)
    assert isinstance(message, Decided)
    return message.epoch


def entry(epoch: int, input_id: str = "") -> Decided:
    return Decided(epoch=epoch, at_us=1, input_id=input_id)


async def opened(bus: Bus, tenant: str, epoch: int) -> tuple[FencedLog, list[str]]:
    log = FencedLog(bus, SystemClock(), tenant, epoch=epoch, epoch_of=epoch_of)
    seen: list[str] = []
    await log.open(
        lambda e: seen.append(Decided.FromString(e.data).input_id), lambda: entry(epoch, f"open-{epoch}")
    )
    return log, seen


async def test_bus_fenced_log_stops_the_owner_before(make_bus: MakeBus, tenant: str) -> None:
    old, seen = await opened(await make_bus("/a/1"), tenant, 1)
    assert seen == []
    await old.append(entry(1, "a"), causation_id="in-1")
    new, seen = await opened(await make_bus("/a/2"), tenant, 2)
    assert seen == ["open-1", "a"]
    with pytest.raises(Fenced):
        await old.append(entry(1, "late"))
    with pytest.raises(Conflict, match="not open"):
        await old.append(entry(1, "later"))
    await new.append(entry(2, "b"))
    _, seen = await opened(await make_bus("/a/3"), tenant, 3)
    assert seen == ["open-1", "a", "open-2", "b"]


async def test_bus_fenced_log_does_not_open_for_an_owner_before(bus: Bus, tenant: str) -> None:
    await opened(bus, tenant, 5)
    with pytest.raises(Fenced, match="epoch 5, ours is 4"):
        await opened(bus, tenant, 4)


async def test_bus_fenced_log_opens_while_the_owner_before_writes(make_bus: MakeBus, tenant: str) -> None:
    """The owner before never pauses: whoever has to replay first is always too late for the log's end."""
    old, _ = await opened(await make_bus("/a/1"), tenant, 1)
    written: list[str] = []

    async def write_on() -> None:
        for n in range(20_000):
            await old.append(entry(1, f"w-{n}"))
            written.append(f"w-{n}")
            for _ in range(3):  # in memory an append takes one turn of the loop, and reading the end one more
                await asyncio.sleep(0)

    writing = asyncio.create_task(write_on())
    while not written:
        await asyncio.sleep(0)
    new = FencedLog(await make_bus("/a/2"), SystemClock(), tenant, epoch=2, epoch_of=epoch_of)
    seen: list[str] = []
    openings = 0

    def opening() -> Decided:
        nonlocal openings
        openings += 1
        return entry(2, f"open-{openings}")

    def apply(envelope: Envelope) -> None:
        seen.append(Decided.FromString(envelope.data).input_id)

    async with asyncio.timeout(30):
        await new.open(apply, opening, lambda: entry(2, "claim"))
    with pytest.raises(Fenced):
        await writing
    assert openings <= 2, "the log went on after it was claimed"
    assert [name for name in seen if name != "claim"] == ["open-1", *written]


async def test_bus_snapshot_in_chunks_shortens_the_replay(bus: Bus, tenant: str) -> None:
    log, _ = await opened(bus, tenant, 1)
    await log.append(entry(1, "a"))
    state = bytes(range(256)) * (CHUNK_BYTES // 128)
    await log.snapshot(state)
    await log.append(entry(1, "b"))
    after = FencedLog(bus, SystemClock(), tenant, epoch=2, epoch_of=epoch_of)
    snapshot = await after.load()
    assert snapshot is not None
    assert snapshot.data == state
    seen: list[str] = []
    await after.open(lambda e: seen.append(Decided.FromString(e.data).input_id), lambda: entry(2, "open-2"))
    assert seen == ["b"]


async def test_bus_snapshot_that_is_not_whole_is_left_aside(bus: Bus, tenant: str) -> None:
    clock = SystemClock()
    assert await load_snapshot(bus, tenant, "routing") is None
    for seq in (1, 2, 3):
        await save_snapshot(bus, clock, tenant, "routing", Snapshot(seq, b"state %d" % seq))
        assert await load_snapshot(bus, tenant, "routing") == Snapshot(seq, b"state %d" % seq)
    with pytest.raises(Conflict, match="newer"):
        await save_snapshot(bus, clock, tenant, "routing", Snapshot(2, b"old"))
    newest = await bus.last(subjects.snapshot(tenant, "routing", "log", "current"))
    assert newest is not None
    other = await bus.last(subjects.snapshot(tenant, "routing", "log", "b-0"))
    assert other is not None
    # Another snapshot's chunk in the slot that is named: as after a writer that was overtaken.
    from services.common.bus import Outgoing
    from services.contracts.peyvand.common.v1.state_pb2 import SnapshotChunk, SnapshotTaken

    taken = SnapshotTaken.FromString(newest.data)
    subject = subjects.snapshot(tenant, "routing", "log", f"{taken.slot}-0")
    await bus.append(Outgoing(subject, SnapshotChunk(snapshot_id="else", data=b"x"), ids.new_id(), tenant))
    assert await load_snapshot(bus, tenant, "routing") is None


async def test_bus_lease_of_a_dead_owner_of_many_shards_costs_one_probe_a_look(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby of sixteen shards asks whether their owner lives as often as one of a single shard, and takes them all at once."""
    service, shards = a_service(), [str(n) for n in range(16)]
    owner_bus, other_bus = await make_bus("/a/1"), await make_bus("/a/2")
    one, other = Worker(), Worker()
    first = LeaseKeeper(
        owner_bus,
        SystemClock(),
        service=service,
        instance="1",
        shards=shards,
        work=one,
        timing=Timing(60.0, 0.2),
    )
    await first.start()
    await until(lambda: len(first.owned) == 16)
    asked: list[str] = []
    look = other_bus.is_present

    async def counted(name: str, *, timeout_s: float = 0.3) -> bool | None:
        asked.append(name)
        return await look(name, timeout_s=timeout_s)

    monkeypatch.setattr(other_bus, "is_present", counted)
    second = LeaseKeeper(
        other_bus,
        SystemClock(),
        service=service,
        instance="2",
        shards=shards,
        work=other,
        timing=Timing(60.0, 0.2),
    )
    await second.start()
    await until(lambda: len(asked) > 2)
    await owner_bus.stop()
    await until(lambda: len(second.owned) == 16)
    assert len(asked) < 32  # three looks of sixteen shards would be 48
    await second.stop()


async def test_bus_lease_is_watched_no_less_closely_when_its_owner_does_not_answer(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner that hangs lets every probe run into its timeout."""
    answered = asyncio.Event()

    async def hangs(name: str, *, timeout_s: float = 0.3) -> bool | None:
        await answered.wait()
        return True

    monkeypatch.setattr(bus, "is_present", hangs)
    presence = Presence(bus, SystemClock(), 60.0)
    assert await presence.of("owner", within_s=0.05) is None
    answered.set()
    assert await presence.of("owner", within_s=10) is True


async def test_bus_lease_keeper_contends_for_shards_that_come_later(bus: Bus) -> None:
    work = Worker()
    only = LeaseKeeper(
        bus, SystemClock(), service=a_service(), instance="1", shards=["1"], work=work, timing=QUICK
    )
    only.contend_for(["2"])
    await only.start()
    await until(lambda: only.owned == {"1", "2"})
    only.contend_for(["2", "3", "3"])
    await until(lambda: only.owned == {"1", "2", "3"})
    await only.stop()
    assert sorted(lease.shard for lease in work.leases) == ["1", "2", "3"]
    assert work.ended == 3
