"""Two owners, unknown outcomes, late arrivals: nothing that was confirmed is lost, doubled or out of order."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.bus import Envelope, subjects
from services.common.bus.log import FencedLog
from services.common.bus.memory import Fault, MemoryBroker, MemoryBus
from services.common.clock import ManualClock
from services.common.errors import BusUnavailable, Conflict
from services.contracts.peyvand.routing.v1.log_pb2 import Decided

FAULTS = st.sampled_from(
    [Fault.NONE, Fault.NONE, Fault.REFUSED, Fault.LOST, Fault.UNCONFIRMED, Fault.FORGOTTEN, Fault.LATE]
)
# Which owner acts, and what: append an entry, take over with a new epoch, or let late attempts arrive.
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from(["append", "append", "open", "late"])), max_size=25
)


def epoch_of(envelope: Envelope) -> int:
    return Decided.FromString(envelope.data).epoch


class Owner:
    """One process that believes to own the log: its entries, and what it was told about them."""

    def __init__(self, broker: MemoryBroker, number: int) -> None:
        # One attempt for every append: each fault then reaches the owner instead of being repeated away.
        self.bus = MemoryBus(broker, source=f"/routing/{number}", first_pause_s=0.0001)
        self.log: FencedLog | None = None
        self.epoch = 0
        self.replayed: list[str] = []
        self.confirmed: list[tuple[int, str]] = []
        self.unknown: set[str] = set()

    async def open(self, epoch: int) -> None:
        self.log, self.epoch = None, epoch
        log = FencedLog(self.bus, ManualClock(), "demo", epoch=epoch, epoch_of=epoch_of)
        seen: list[str] = []
        name = f"open-{epoch}"
        try:
            await log.open(
                lambda e: seen.append(Decided.FromString(e.data).input_id),
                lambda: Decided(epoch=epoch, at_us=1, input_id=name),
                lambda: Decided(epoch=epoch, at_us=1, input_id=f"claim-{epoch}"),
            )
        except BusUnavailable:
            self.unknown.add(name)
            return
        self.replayed = [*seen, name]
        self.confirmed.append((log.seq, name))
        self.log = log

    async def append(self, name: str) -> None:
        if self.log is None:
            return
        try:
            seq = await self.log.append(Decided(epoch=self.epoch, at_us=1, input_id=name))
        except BusUnavailable:
            self.unknown.add(name)
            self.log = None
        except Conflict:
            self.log = None  # fenced: surely not stored
        else:
            self.confirmed.append((seq, name))
            self.replayed.append(name)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, faults=st.lists(FAULTS, max_size=60), patient=st.booleans())
def test_bus_fenced_log_keeps_exactly_what_was_confirmed(
    steps: list[tuple[int, str]], faults: list[Fault], patient: bool
) -> None:
    asyncio.run(_run(steps, faults, patient))


async def _run(steps: list[tuple[int, str]], faults: list[Fault], patient: bool) -> None:
    broker = MemoryBroker(ManualClock())
    planned = list(faults)
    broker.fault = lambda envelope: planned.pop(0) if planned else Fault.NONE
    owners = [Owner(broker, 1), Owner(broker, 2)]
    if not patient:
        for owner in owners:
            _give_up_at_once(owner.bus)
    epoch = 0
    for number, (who, what) in enumerate([(0, "open"), *steps]):
        owner = owners[who]
        if what == "open":
            epoch += 1
            await owner.open(epoch)
        elif what == "append":
            await owner.append(f"{who}-{number}")
        else:
            broker.deliver_late()
    broker.deliver_late()

    stored = broker.entries(subjects.log("demo"))
    names = [Decided.FromString(e.data).input_id for e in stored]
    epochs = [epoch_of(e) for e in stored]
    by_seq = {e.stream_seq: Decided.FromString(e.data).input_id for e in stored}
    assert len(set(names)) == len(names), "an entry is there twice"
    assert epochs == sorted(epochs), "an owner wrote after a newer one"
    for owner in owners:
        for seq, name in owner.confirmed:
            assert by_seq.get(seq) == name, "a confirmed entry is not where it was said to be"
    confirmed = {name for owner in owners for _, name in owner.confirmed}
    unknown = {name for owner in owners for name in owner.unknown}
    assert set(names) - confirmed <= unknown, "an entry is there that its owner was told is not"
    for owner in owners:
        if owner.log is not None:  # what it holds in memory is what the log says, up to where it stands
            assert owner.replayed == [by_seq[s] for s in sorted(by_seq) if s <= owner.log.seq]
    fresh = Owner(broker, 3)
    broker.fault = lambda envelope: Fault.NONE
    await fresh.open(epoch + 1)
    assert fresh.replayed == [*names, f"open-{epoch + 1}"]


async def test_bus_log_recognises_its_own_entry_when_the_server_does_not() -> None:
    broker = MemoryBroker(ManualClock())
    owner = Owner(broker, 1)
    await owner.open(1)
    faults = [Fault.FORGOTTEN]
    broker.fault = lambda envelope: faults.pop() if faults else Fault.NONE
    await owner.append("a")
    await owner.append("b")
    assert [name for _, name in owner.confirmed] == ["open-1", "a", "b"]
    assert len(broker.entries(subjects.log("demo"))) == 3


def _give_up_at_once(bus: MemoryBus) -> None:
    patient = bus.append_log

    async def append_log(subject: str, fact: object, *, expected_seq: int, timeout_s: float = 0.0) -> int:
        return await patient(subject, fact, expected_seq=expected_seq, timeout_s=0.0)  # type: ignore[arg-type]

    bus.append_log = append_log  # type: ignore[method-assign]


async def test_bus_log_does_not_believe_a_leader_that_was_frozen() -> None:
    """Stored, unconfirmed, refused the second time, and then read from a server that does not have it yet."""
    broker = MemoryBroker(ManualClock())
    owner = Owner(broker, 1)
    await owner.open(1)
    faults = [Fault.FORGOTTEN]
    broker.fault = lambda envelope: faults.pop() if faults else Fault.NONE
    truth, lies = owner.bus._next_of, [None, None]

    async def next_of(subject: str, after_seq: int, timeout_s: float) -> Envelope | None:
        return lies.pop() if lies else await truth(subject, after_seq, timeout_s)

    owner.bus._next_of = next_of  # type: ignore[method-assign]
    await owner.append("a")
    assert [name for _, name in owner.confirmed] == ["open-1", "a"]
