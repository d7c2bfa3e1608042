"""A bus inside one process, for tests and simulations: the same rules, and faults on request.

A ``MemoryBroker`` stands for the server; every ``MemoryBus`` on it stands for one process that is connected to it.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

import msgspec

from services.common import ids
from services.common.bus import (
    Appended,
    Envelope,
    Handler,
    Progress,
    ReadyHook,
    RequestHandler,
    Sendable,
    Subscription,
    subjects,
)
from services.common.bus.base import (
    MAX_CONCURRENT_REQUESTS,
    BaseBus,
    Nobody,
    Unconfirmed,
    Unstored,
    ignore_ready,
)
from services.common.bus.delivery import Courier, Delivered
from services.common.bus.streams import STREAMS, stream_of
from services.common.clock import Clock, SystemClock
from services.common.errors import ContractError, WrongSequence


class Fault(enum.Enum):
    """What may happen to one attempt to store."""

    NONE = "none"
    REFUSED = "refused"  # surely not stored, as in an election
    LOST = "lost"  # not stored, and nobody says so
    UNCONFIRMED = "unconfirmed"  # stored, but the confirmation is lost
    FORGOTTEN = "forgotten"  # as UNCONFIRMED, and the window in which the server knows the id is over
    LATE = "late"  # on its way: stored when the test calls deliver_late


class _Stream:
    def __init__(self, name: str, max_msgs_per_subject: int) -> None:
        self.name = name
        self.one_per_subject = max_msgs_per_subject == 1
        self.entries: dict[int, Envelope] = {}
        self.stored_us: dict[int, int] = {}
        self.last_seq = 0
        self.last_of: dict[str, int] = {}
        self.by_id: dict[str, int] = {}
        self.listeners: set[asyncio.Event] = set()

    def store(self, envelope: Envelope, expected_seq: int | None, now_us: int) -> Appended:
        if envelope.id in self.by_id:
            return Appended(self.by_id[envelope.id], True)
        last = self.last_of.get(envelope.subject, 0)
        if expected_seq is not None and last != expected_seq:
            raise WrongSequence(f"{envelope.subject} ends at {last}, not at {expected_seq}", last)
        self.last_seq += 1
        seq = self.last_seq
        if self.one_per_subject:
            self.entries.pop(last, None)
        self.entries[seq] = msgspec.structs.replace(envelope, stream_seq=seq, stream=self.name)
        self.stored_us[seq] = now_us
        self.last_of[envelope.subject] = seq
        self.by_id[envelope.id] = seq
        self.wake()
        return Appended(seq, False)

    def seq_before(self, at_us: int) -> int:
        """The last sequence that was stored before a time."""
        return max((seq for seq, stored_us in self.stored_us.items() if stored_us < at_us), default=0)

    def wake(self) -> None:
        for event in self.listeners:
            event.set()

    def matching(self, patterns: Iterable[str], after_seq: int) -> Iterable[Envelope]:
        patterns = list(patterns)
        for seq in range(after_seq + 1, self.last_seq + 1):
            entry = self.entries.get(seq)
            if entry is not None and any(subjects.matches(p, entry.subject) for p in patterns):
                yield entry


class _Durable:
    """What the server knows of a durable consumer: the same for all processes that share it."""

    def __init__(self, stream: _Stream, patterns: Sequence[str]) -> None:
        self.stream = stream
        self.patterns = list(patterns)
        self.cursor = 0
        self.deliveries: dict[int, int] = defaultdict(int)
        self.due: list[tuple[float, int]] = []
        self.changed = asyncio.Event()
        stream.listeners.add(self.changed)

    def take(self, most: int, now: float) -> list[Envelope]:
        taken: list[Envelope] = []
        while self.due and len(taken) < most and self.due[0][0] <= now:
            taken.append(self._deliver(heapq.heappop(self.due)[1]))
        if len(taken) < most:
            for entry in self.stream.matching(self.patterns, self.cursor):
                self.cursor = entry.stream_seq
                taken.append(self._deliver(entry.stream_seq))
                if len(taken) == most:
                    break
            else:
                self.cursor = self.stream.last_seq
        return taken

    def _deliver(self, seq: int) -> Envelope:
        self.deliveries[seq] += 1
        return msgspec.structs.replace(self.stream.entries[seq], deliveries=self.deliveries[seq])

    def give_back(self, seq: int, at: float) -> None:
        if seq in self.deliveries:
            heapq.heappush(self.due, (at, seq))
            self.changed.set()

    def done(self, seq: int) -> None:
        self.deliveries.pop(seq, None)

    def progress(self) -> Progress:
        unread = sum(1 for _ in self.stream.matching(self.patterns, self.cursor))
        return Progress(
            stream=self.stream.name,
            first_seq=min(self.stream.entries, default=self.stream.last_seq + 1),
            last_seq=self.stream.last_seq,
            floor_seq=min(self.deliveries, default=self.cursor + 1) - 1,
            in_hand=len(self.deliveries),
            waiting=unread,
        )

    def reset(self) -> None:
        """Give everything that is not acknowledged again, in order."""
        self.due = [(0.0, seq) for seq in sorted(self.deliveries)]


class _Given(Delivered):
    def __init__(self, bus: MemoryBus, durable: _Durable, envelope: Envelope) -> None:
        self._bus = bus
        self._durable = durable
        self._envelope = envelope

    @property
    def envelope(self) -> Envelope:
        return self._envelope

    async def ack(self) -> None:
        self._durable.done(self._envelope.stream_seq)

    async def nak(self, delay_s: float) -> None:
        if not self._bus.dead:
            self._durable.give_back(self._envelope.stream_seq, asyncio.get_running_loop().time() + delay_s)

    async def term(self, reason: str) -> None:
        self._durable.done(self._envelope.stream_seq)


_Server = Callable[[Envelope], "asyncio.Future[Envelope]"]


class MemoryBroker:
    """The server that several MemoryBus share.

    ``fault`` is asked for every attempt to store and decides what becomes of it; ``set_up(False)`` is an outage.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.fault: Callable[[Envelope], Fault] = lambda envelope: Fault.NONE
        self._streams = {spec.name: _Stream(spec.name, spec.max_msgs_per_subject) for spec in STREAMS}
        self._durables: dict[tuple[str, str], _Durable] = {}
        self._late: list[tuple[Envelope, int | None]] = []
        self._up = True
        self.listeners: list[tuple[str, Callable[[Envelope], None]]] = []
        self.servers: list[tuple[str, str, _Server]] = []
        self.alive: list[str] = []
        self._turn = 0

    @property
    def up(self) -> bool:
        """Whether the server answers."""
        return self._up

    def set_up(self, up: bool) -> None:
        """Begin or end an outage."""
        self._up = up
        for stream in self._streams.values():
            stream.wake()

    def stream(self, name: str) -> _Stream:
        return self._streams[name]

    def entries(self, pattern: str) -> list[Envelope]:
        """Everything stored on a subject or pattern, in order: what a test compares with."""
        return list(self._streams[stream_of(pattern).name].matching([pattern], 0))

    def durable(
        self, stream: str, name: str, patterns: Sequence[str], begins_ago_s: float | None = None
    ) -> _Durable:
        key = (stream, name)
        if key not in self._durables:
            made = self._durables[key] = _Durable(self._streams[stream], patterns)
            if begins_ago_s is not None:
                made.cursor = self._streams[stream].seq_before(self.clock.now_us() - int(begins_ago_s * 1e6))
        self._durables[key].patterns = list(patterns)
        return self._durables[key]

    def progress(self, stream: str, name: str) -> Progress | None:
        found = self._durables.get((stream, name))
        return found.progress() if found is not None else None

    def put(self, envelope: Envelope, expected_seq: int | None) -> Appended:
        if not self._up:
            raise Unstored("the broker is down")
        stream = self._streams[stream_of(envelope.subject).name]
        fault = self.fault(envelope)
        if fault is Fault.REFUSED:
            raise Unstored("refused")
        if fault is Fault.LOST:
            raise Unconfirmed("lost")
        if fault is Fault.LATE:
            self._late.append((envelope, expected_seq))
            raise Unconfirmed("late")
        appended = stream.store(envelope, expected_seq, self.clock.now_us())
        if fault is Fault.FORGOTTEN:
            stream.by_id.pop(envelope.id, None)
        if fault in (Fault.UNCONFIRMED, Fault.FORGOTTEN):
            raise Unconfirmed("confirmation lost")
        self.tell(msgspec.structs.replace(envelope, stream_seq=appended.seq, stream=stream.name))
        return appended

    def deliver_late(self) -> None:
        """Let attempts that were on their way arrive, in their order."""
        late, self._late = self._late, []
        for envelope, expected_seq in late:
            try:
                self._streams[stream_of(envelope.subject).name].store(
                    envelope, expected_seq, self.clock.now_us()
                )
            except WrongSequence:
                continue  # refused by the server, and there is nobody left to be told

    def tell(self, envelope: Envelope) -> None:
        for pattern, listener in list(self.listeners):
            if subjects.matches(pattern, envelope.subject):
                listener(envelope)

    def pick(self, subject: str) -> _Server | None:
        serving = [server for pattern, _, server in self.servers if subjects.matches(pattern, subject)]
        self._turn += 1
        return serving[self._turn % len(serving)] if serving else None


class _Withdraw:
    """A subscription without a task: ending it takes something off a list."""

    def __init__(self, off: Callable[[], None], task: asyncio.Task[None] | None = None) -> None:
        self._off = off
        self._task = task
        self._ended = asyncio.Event()

    async def stop(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._off()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self) -> None:
        await self._ended.wait()


class MemoryBus(BaseBus):
    """One process's connection to a MemoryBroker."""

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        *,
        source: str = "/memory/1",
        clock: Clock | None = None,
        on_ready: ReadyHook = ignore_ready,
        first_pause_s: float = 0.002,
    ) -> None:
        self.broker = broker or MemoryBroker(clock)
        super().__init__(
            source=source, clock=clock or self.broker.clock, on_ready=on_ready, first_pause_s=first_pause_s
        )
        self.dead = False
        self._withdraws: list[_Withdraw] = []
        self._answering: set[asyncio.Task[Envelope]] = set()

    async def _put(self, envelope: Envelope, *, expected_seq: int | None, timeout_s: float) -> Appended:
        await asyncio.sleep(0)  # as over a network, others get their turn
        if self.dead:
            raise Unstored("the process was killed")
        return self.broker.put(envelope, expected_seq)

    def _check_up(self) -> None:
        if not self.broker.up:
            raise Unstored("the broker is down")

    async def _next_of(self, subject: str, after_seq: int, timeout_s: float) -> Envelope | None:
        await asyncio.sleep(0)
        self._check_up()
        return next(iter(self.broker.stream(stream_of(subject).name).matching([subject], after_seq)), None)

    async def _last_of(self, subject: str, timeout_s: float) -> Envelope | None:
        await asyncio.sleep(0)
        self._check_up()
        stream = self.broker.stream(stream_of(subject).name)
        if "*" not in subject and ">" not in subject:
            return stream.entries.get(stream.last_of.get(subject, 0))
        found = list(stream.matching([subject], 0))
        return found[-1] if found else None

    async def _end_of(self, stream: str, timeout_s: float) -> int:
        await asyncio.sleep(0)
        self._check_up()
        return self.broker.stream(stream).last_seq

    async def _progress_of(self, durable: str, stream: str, timeout_s: float) -> Progress | None:
        await asyncio.sleep(0)
        self._check_up()
        return self.broker.progress(stream, durable)

    async def _messages(
        self, stream: str, patterns: Sequence[str], *, after_seq: int, since_us: int | None
    ) -> AsyncGenerator[Envelope | None, None]:
        source = self.broker.stream(stream)
        changed = asyncio.Event()
        source.listeners.add(changed)
        cursor = after_seq
        try:
            while True:
                changed.clear()
                if self.broker.up:
                    for entry in list(source.matching(patterns, cursor)):
                        cursor = entry.stream_seq
                        if since_us is None or source.stored_us[cursor] >= since_us:
                            yield entry
                    yield None
                await changed.wait()
        finally:
            source.listeners.discard(changed)

    async def _consume(
        self,
        durable: str,
        stream: str,
        patterns: Sequence[str],
        courier: Courier,
        *,
        batch: int,
        linger_s: float,
        exclusive: bool,
        begins_ago_s: float | None,
    ) -> None:
        shared = self.broker.durable(stream, durable, patterns, begins_ago_s)
        if exclusive:
            shared.reset()
        loop = asyncio.get_running_loop()
        while True:
            await courier.rest()
            taken = await self._wait_for(shared, batch)
            until = loop.time() + linger_s
            while len(taken) < batch and loop.time() < until:
                await asyncio.sleep(min(0.01, linger_s))
                taken += shared.take(batch - len(taken), loop.time())
            await courier.deliver([_Given(self, shared, envelope) for envelope in taken])

    async def _wait_for(self, shared: _Durable, most: int) -> list[Envelope]:
        loop = asyncio.get_running_loop()
        while True:
            shared.changed.clear()
            if self.broker.up and (taken := shared.take(most, loop.time())):
                return taken
            pause = shared.due[0][0] - loop.time() if shared.due and self.broker.up else None
            try:
                async with asyncio.timeout(pause):
                    await shared.changed.wait()
            except TimeoutError:
                continue

    async def _ask(self, envelope: Envelope, timeout_s: float) -> Envelope:
        self._check_up()
        server = self.broker.pick(envelope.subject)
        if server is None:
            raise Nobody(envelope.subject)
        answering = server(envelope)
        await asyncio.wait({answering}, timeout=timeout_s)
        if not answering.done() or answering.cancelled():
            raise Unconfirmed("no answer")
        return answering.result()

    async def serve(self, subject: str, handler: RequestHandler, *, queue: str) -> Subscription:
        def start(asked: Envelope) -> asyncio.Future[Envelope]:
            loop = asyncio.get_running_loop()
            if len(self._answering) >= MAX_CONCURRENT_REQUESTS:
                refused: asyncio.Future[Envelope] = loop.create_future()
                refused.set_result(self._overloaded(asked))
                return refused
            task = loop.create_task(self._answer(handler, asked))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return task

        row = (subject, queue, start)
        self.broker.servers.append(row)
        return self._withdrawing(lambda: self.broker.servers.remove(row))

    async def publish_live(self, subject: str, message: Sendable) -> None:
        if self.broker.up:
            self.broker.tell(self._passing(subject, message))

    async def subscribe_live(self, subjects: Sequence[str], handler: Handler) -> Subscription:
        inbox: asyncio.Queue[Envelope] = asyncio.Queue()
        rows = [(pattern, inbox.put_nowait) for pattern in subjects]

        async def listen() -> None:
            while True:
                await self._listen(handler, await inbox.get())

        self.broker.listeners.extend(rows)

        def off() -> None:
            for row in rows:
                self.broker.listeners.remove(row)

        return self._withdrawing(off, asyncio.get_running_loop().create_task(listen()))

    async def announce(self, name: str) -> Subscription:
        self.broker.alive.append(_process(name))
        return self._withdrawing(lambda: self.broker.alive.remove(name))

    async def is_present(self, name: str, *, timeout_s: float = 0.3) -> bool | None:
        await asyncio.sleep(0)
        return name in self.broker.alive if self.broker.up else None

    def _withdrawing(self, off: Callable[[], None], task: asyncio.Task[None] | None = None) -> _Withdraw:
        subscription = _Withdraw(off, task)
        self._withdraws.append(subscription)
        return subscription

    async def kill(self) -> None:
        """End as a process does that is killed: nothing in hand is given back, and nothing is sent any more."""
        self.dead = True
        await self.stop()

    async def stop(self) -> None:
        await super().stop()
        withdraws, self._withdraws = self._withdraws, []
        for subscription in withdraws:
            await subscription.stop()
        for task in list(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)


def _process(name: str) -> str:
    if not ids.is_token(name):
        raise ContractError(f"{name!r} cannot name a process: expected a token such as 'routing-1'")
    return name
