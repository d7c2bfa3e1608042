"""The bus port: how services append facts, keep fenced logs, follow, consume and ask each other.

``MemoryBus`` (memory.py) and ``NatsBus`` (nats.py) implement it and pass the same contract tests. Subjects come from
subjects.py only; streams are declared in streams.py; messages are protobuf, made and read by codec.py.

What may be relied on
- ``append``: stored at least and at most once under its id (within the stream's window of ten minutes).
- ``append_log``: stored only directly after ``expected_seq``; two writers never both succeed.
- ``follow`` and ``read_log``: each stream in order, without a gap, without a double. Order holds within a stream only.
- ``consume``: at least once; what a handler does must bear to be done twice.
- ``request``, ``publish_live``: at most once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec
from google.protobuf.message import Message

# A frozen struct of a core, or the protobuf message itself. A struct is sent as the message that has its class's name in
# the package of the subject's service: ``peyvand.<service>.v1.<ClassName>``.
Sendable: TypeAlias = msgspec.Struct | Message


class Outgoing(msgspec.Struct, frozen=True, kw_only=False):
    """A fact on its way to the bus.

    ``id`` names the fact for ever: appending the same id again stores nothing. ``correlation_id`` is the contact,
    ``causation_id`` the id of the input that led to it. ``time_us`` is when it happened (microseconds since the epoch,
    UTC); 0 lets the bus stamp it.
    """

    subject: str
    message: Sendable
    id: str
    tenant: str
    correlation_id: str = ""
    causation_id: str = ""
    time_us: int = 0


class Letter(msgspec.Struct, frozen=True):
    """What is known of a dead letter beside its data: where it stood, for whom, and what went wrong.

    ``error`` is the text of the failure. ``deliveries`` says how often the consumer was given the message the last time, ``times`` how
    often it has become a letter: 2 and more after replays that failed. The rest is the message's own.
    """

    consumer: str
    reason: str
    error: str
    subject: str
    stream: str
    stream_seq: int
    id: str
    source: str
    time_us: int
    causation_id: str = ""
    deliveries: int = 1
    times: int = 1


class Envelope(msgspec.Struct, frozen=True):
    """A message from the bus. ``data`` is protobuf of the type named ``type``: read it with ``codec.read``.

    ``stream`` and ``stream_seq`` say where it is stored (empty and 0 for what is not stored); ``deliveries`` counts from
    1 how often a consumer was given it. ``note`` says in one line why it is a dead letter, ``letter`` in parts; empty for
    all others. ``traceparent`` (W3C Trace Context) is the trace that it belongs to, or empty.
    """

    id: str
    type: str
    time_us: int
    source: str
    tenant: str
    correlation_id: str
    causation_id: str
    subject: str
    stream_seq: int
    data: bytes
    stream: str = ""
    deliveries: int = 1
    note: str = ""
    letter: Letter | None = None
    traceparent: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a durable consumer is in its stream, whose messages are those from ``first_seq`` to ``last_seq`` (as far as they are
    still there). Up to ``floor_seq`` everything that the consumer reads is done; ``in_hand`` messages are with some process,
    ``waiting`` with none yet.
    """

    stream: str
    first_seq: int
    last_seq: int
    floor_seq: int
    in_hand: int
    waiting: int


class Appended(msgspec.Struct, frozen=True):
    """Where a fact is stored; ``duplicate`` when it had been there before under the same id."""

    seq: int
    duplicate: bool


class Retry(Exception):
    """A handler's wish to be given the same messages again after ``after_s`` seconds.

    They are kept meanwhile and what comes after them waits, so order holds and no delivery is used up, however long it
    lasts. Errors of the tree ``NotReady`` mean the same with one second.
    """

    def __init__(self, after_s: float = 1.0) -> None:
        super().__init__(f"again in {after_s} s")
        self.after_s = after_s


class Reject(Exception):
    """A handler's verdict that a message can never be handled: it becomes a dead letter with this reason."""


class Subscription(Protocol):
    """Something that goes on until it is stopped."""

    async def stop(self) -> None:
        """End it; returns when no handler of it runs any more."""
        ...

    async def wait(self) -> None:
        """Return when it was stopped; raise what made it fail, when a handler's error ended it."""
        ...


Handler: TypeAlias = Callable[[Envelope], Awaitable[None]]
BatchHandler: TypeAlias = Callable[[list[Envelope]], Awaitable[None]]
RequestHandler: TypeAlias = Callable[[Envelope], Awaitable[Sendable]]
# A part of the process (for example ``nats`` or ``consumer:reporting``), whether it is there, and what is wrong.
ReadyHook: TypeAlias = Callable[[str, bool, str], None]


class Bus(Protocol):
    """What a service may do with the bus."""

    async def append(self, fact: Outgoing, *, timeout_s: float = 30.0) -> Appended:
        """Store a fact. Repeated under its id, with backoff, until it is confirmed.

        Raises BusUnavailable after ``timeout_s`` (it may be stored or not; appending again is safe) and ContractError
        for a message that must not be sent.
        """
        ...

    async def append_log(
        self, subject: str, fact: Outgoing, *, expected_seq: int, timeout_s: float = 30.0
    ) -> int:
        """Store the entry that follows ``expected_seq`` (0: the first) on ``subject``; return its sequence.

        An attempt with an unknown outcome is settled by reading back by id. Raises WrongSequence when another entry is
        there, BusUnavailable when after ``timeout_s`` it is unknown whether it was stored: read the log again then.
        """
        ...

    def read_log(self, subject: str, *, after_seq: int) -> AsyncIterator[Envelope]:
        """Entries of ``subject`` (wildcards allowed) after ``after_seq`` in order, up to the end as it was at the first one.

        Raises BusUnavailable when no progress is made for 30 s.
        """
        ...

    async def follow(
        self, subjects: Sequence[str], handler: Handler, *, after_seq: int | None, since_us: int | None = None
    ) -> Subscription:
        """Hand every message of ``subjects`` to ``handler``, in order and without a gap, now and from now on.

        ``after_seq``: 0 begins with the oldest, None with the next new one; a sequence needs subjects of one stream.
        ``since_us`` (with ``after_seq=None``) begins with the first that was stored at that time or later. A handler's
        error ends the subscription, makes the part not ready, and comes out of ``Subscription.wait``.
        """
        ...

    async def consume(
        self,
        durable: str,
        subjects: Sequence[str],
        handler: BatchHandler,
        *,
        batch: int = 1,
        linger_s: float = 0.0,
        max_deliver: int = 5,
        exclusive: bool = False,
        begins_ago_s: float | None = None,
    ) -> Subscription:
        """Share the messages of ``subjects`` (of one stream) among all who use the same ``durable`` name.

        The handler gets 1 to ``batch`` messages: what is there, or what comes within ``linger_s`` of the first. It
        returns: they are acknowledged. It raises Retry or a NotReady: see there. It raises Reject: dead letter. Anything
        else: given again later, and dead letters after ``max_deliver`` deliveries. A batch that fails is tried
        message by message, so that one bad message does not take others with it. A dead letter that a person replays comes
        to this handler alone, as it was, outside of the order (letters.py).

        A process that dies keeps its messages from the others for five seconds. ``exclusive`` is for the owner of a shard,
        who knows that the reader before is gone: what that one had in hand comes at once (and again, if it is not gone).

        A name that was never used before begins with the stream's oldest message, or with those of the last ``begins_ago_s``.
        """
        ...

    async def progress(
        self, durable: str, subjects: Sequence[str], *, timeout_s: float = 5.0
    ) -> Progress | None:
        """How far a durable consumer of ``subjects`` is, whichever processes share it; None while nobody has made it.

        Raises BusUnavailable after ``timeout_s``.
        """
        ...

    async def next_stored(
        self, subjects: Sequence[str], after_seq: int, *, timeout_s: float = 5.0
    ) -> Envelope | None:
        """The first message of ``subjects`` (of one stream) after a sequence, read from the stream's leader.

        Raises BusUnavailable after ``timeout_s``.
        """
        ...

    async def request(self, subject: str, message: Sendable, *, timeout_s: float) -> Envelope:
        """Ask whoever serves ``subject``. Repeated while nobody does, never once somebody got it.

        Raises Refused with the server's slug, BusUnavailable when nobody answered within ``timeout_s``.
        """
        ...

    async def serve(self, subject: str, handler: RequestHandler, *, queue: str) -> Subscription:
        """Answer requests on ``subject``; each goes to one of those with the same ``queue`` name.

        Up to 64 at a time; what the handler raises reaches the asker as a Problem without any inner detail.
        """
        ...

    async def publish_live(self, subject: str, message: Sendable) -> None:
        """Tell whoever listens now. Lost when there is no connection."""
        ...

    async def subscribe_live(self, subjects: Sequence[str], handler: Handler) -> Subscription:
        """Listen; messages are handled one after the other, and lost when the handler is slower than they come."""
        ...

    async def last(self, subject: str, *, timeout_s: float = 30.0) -> Envelope | None:
        """The newest stored message of ``subject``, read from the stream's leader.

        Raises BusUnavailable after ``timeout_s``.
        """
        ...

    async def announce(self, name: str) -> Subscription:
        """Let ``is_present(name)`` be true for as long as this process is connected."""
        ...

    async def is_present(self, name: str, *, timeout_s: float = 0.3) -> bool | None:
        """Whether a process announces ``name``: False when surely none is connected, None when that is not known."""
        ...

    async def stop(self) -> None:
        """Stop all subscriptions and let go of the server."""
        ...


__all__ = [
    "Appended",
    "BatchHandler",
    "Bus",
    "Envelope",
    "Handler",
    "Letter",
    "Outgoing",
    "Progress",
    "ReadyHook",
    "Reject",
    "RequestHandler",
    "Retry",
    "Sendable",
    "Subscription",
]
