"""What every bus must do: the same tests on the one in memory and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from services.common import ids
from services.common.bus import Bus, Envelope, Outgoing, Reject, Retry, codec, subjects
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable, ContractError, NotReady, Refused, WrongSequence
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.log_pb2 import Decided
from services.contracts.peyvand.routing.v1.rpc_pb2 import AskPosition, Position

MakeBus = Callable[[str], Awaitable[Bus]]


def gone(tenant: str, contact: str, *, fact_id: str = "") -> Outgoing:
    return Outgoing(
        subject=subjects.fact(tenant, "queue", "contact", "gone"),
        message=ContactGone(contact_id=contact, state="waiting", at_us=1),
        id=fact_id or f"{tenant}:{contact}:gone",
        tenant=tenant,
        correlation_id=contact,
        causation_id="cause-1",
        time_us=1_700_000_000_123_456,
    )


def decided(tenant: str, epoch: int, entry_id: str = "") -> Outgoing:
    return Outgoing(subjects.log(tenant), Decided(epoch=epoch, at_us=1), entry_id or ids.new_id(), tenant)


class Inbox:
    """Collects what a handler gets, and lets a test wait for it."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.batches: list[int] = []
        self._more = asyncio.Event()

    async def one(self, envelope: Envelope) -> None:
        self.got.append(envelope)
        self._more.set()

    async def many(self, batch: list[Envelope]) -> None:
        self.batches.append(len(batch))
        self.got += batch
        self._more.set()

    async def wait(self, count: int, timeout_s: float = 20.0) -> list[str]:
        async with asyncio.timeout(timeout_s):
            while len(self.got) < count:
                self._more.clear()
                await self._more.wait()
        return self.contacts

    @property
    def contacts(self) -> list[str]:
        return [e.correlation_id for e in self.got]


# ----------------------------------------------------------------------------------------------------------------- append
async def test_bus_append_keeps_every_part_of_the_envelope(bus: Bus, tenant: str) -> None:
    appended = await bus.append(gone(tenant, "c-1"))
    found = await bus.last(subjects.fact(tenant, "queue", "contact", "gone"))
    assert found is not None
    assert found.id == f"{tenant}:c-1:gone"
    assert found.type == "peyvand.queue.v1.ContactGone"
    assert found.time_us == 1_700_000_000_123_456
    assert (found.source, found.tenant, found.correlation_id, found.causation_id) == (
        "/test/1",
        tenant,
        "c-1",
        "cause-1",
    )
    assert (found.stream, found.stream_seq) == ("CC_EVENTS", appended.seq)
    assert codec.decode(found) == ContactGone(contact_id="c-1", state="waiting", at_us=1)


async def test_bus_append_of_the_same_id_stores_nothing(bus: Bus, tenant: str) -> None:
    first = await bus.append(gone(tenant, "c-1"))
    again = await bus.append(gone(tenant, "c-1"))
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.seq == first.seq


async def test_bus_append_carries_what_is_not_ascii(bus: Bus, tenant: str) -> None:
    fact = msgspec.structs.replace(gone(tenant, "تماس 100%"), id=f'{tenant}:فارسی "x"')
    await bus.append(fact)
    found = await bus.last(fact.subject)
    assert found is not None
    assert (found.id, found.correlation_id) == (fact.id, "تماس 100%")


async def test_bus_append_stamps_a_fact_without_time(bus: Bus, tenant: str) -> None:
    await bus.append(msgspec.structs.replace(gone(tenant, "c-1"), time_us=0))
    found = await bus.last(gone(tenant, "c-1").subject)
    assert found is not None
    assert found.time_us > 1_700_000_000_000_000


class ContactWaiting(msgspec.Struct, frozen=True):
    contact_id: str
    node: str
    queue: str
    waiting_since_us: int
    skills: tuple[str, ...] = ()


async def test_bus_append_takes_a_struct_of_a_core(bus: Bus, tenant: str) -> None:
    value = ContactWaiting("c-1", "fs1", "sales", 5, ("billing:3", "fa:1"))
    subject = subjects.fact(tenant, "queue", "contact", "waiting")
    await bus.append(Outgoing(subject, value, f"{tenant}:c-1:waiting:1", tenant))
    found = await bus.last(subject)
    assert found is not None
    assert codec.read(found, ContactWaiting) == value


@pytest.mark.parametrize(
    "broken",
    [
        lambda t: msgspec.structs.replace(gone(t, "c"), message=ContactGone(contact_id="c", state="waiting")),
        lambda t: msgspec.structs.replace(gone(t, "c"), subject=f"cc.v1.evt.{t}.nobody.contact.gone"),
        lambda t: msgspec.structs.replace(gone(t, "c"), id=""),
    ],
    ids=["required field is empty", "no stream stores the subject", "no id"],
)
async def test_bus_append_refuses_what_must_not_be_stored(
    bus: Bus, tenant: str, broken: Callable[[str], Outgoing]
) -> None:
    with pytest.raises(ContractError):
        await bus.append(broken(tenant))


async def test_bus_last_of_an_unused_subject_is_none(bus: Bus, tenant: str) -> None:
    assert await bus.last(subjects.log(tenant)) is None


# ------------------------------------------------------------------------------------------------------------ fenced logs
async def test_bus_log_takes_entries_one_after_the_other(bus: Bus, tenant: str) -> None:
    log = subjects.log(tenant)
    tail = 0
    for epoch in (1, 2, 3):
        tail = await bus.append_log(log, decided(tenant, epoch), expected_seq=tail)
    entries = [e async for e in bus.read_log(log, after_seq=0)]
    assert [Decided.FromString(e.data).epoch for e in entries] == [1, 2, 3]
    assert entries[-1].stream_seq == tail
    assert [e async for e in bus.read_log(log, after_seq=entries[1].stream_seq)] == entries[2:]
    assert [e async for e in bus.read_log(log, after_seq=tail)] == []


async def test_bus_log_refuses_a_writer_that_is_behind(bus: Bus, tenant: str) -> None:
    log = subjects.log(tenant)
    first = await bus.append_log(log, decided(tenant, 1), expected_seq=0)
    await bus.append_log(log, decided(tenant, 2), expected_seq=first)
    for stale in (0, first):
        with pytest.raises(WrongSequence, match="expected the log to end at"):
            await bus.append_log(log, decided(tenant, 9), expected_seq=stale)
    assert len([e async for e in bus.read_log(log, after_seq=0)]) == 2


async def test_bus_log_entry_that_is_there_already_is_a_success(bus: Bus, tenant: str) -> None:
    log = subjects.log(tenant)
    first = await bus.append_log(log, decided(tenant, 1, f"{tenant}:e1"), expected_seq=0)
    assert await bus.append_log(log, decided(tenant, 1, f"{tenant}:e1"), expected_seq=0) == first


async def test_bus_log_lets_one_of_two_writers_win(make_bus: MakeBus, tenant: str) -> None:
    log = subjects.log(tenant)
    one, other = await make_bus("/a/1"), await make_bus("/a/2")
    outcomes = await asyncio.gather(
        one.append_log(log, decided(tenant, 1), expected_seq=0),
        other.append_log(log, decided(tenant, 2), expected_seq=0),
        return_exceptions=True,
    )
    assert sorted(type(o).__name__ for o in outcomes) == ["WrongSequence", "int"]


async def test_bus_reads_a_long_log_in_order(bus: Bus, tenant: str) -> None:
    subject = subjects.fact(tenant, "queue", "contact", "gone")
    await asyncio.gather(*(bus.append(gone(tenant, f"c-{n}")) for n in range(1200)))
    entries = [e async for e in bus.read_log(subject, after_seq=0)]
    assert len({e.correlation_id for e in entries}) == len(entries) == 1200
    assert [e.stream_seq for e in entries] == sorted(e.stream_seq for e in entries)


# ----------------------------------------------------------------------------------------------------------------- follow
async def test_bus_follow_from_the_start_then_live(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    await bus.append(gone(tenant, "c-1"))
    subscription = await bus.follow([subjects.any_fact(tenant, "queue")], inbox.one, after_seq=0)
    await inbox.wait(1)
    await bus.append(gone(tenant, "c-2"))
    assert await inbox.wait(2) == ["c-1", "c-2"]
    await subscription.stop()
    await bus.append(gone(tenant, "c-3"))
    assert inbox.contacts == ["c-1", "c-2"]


async def test_bus_follow_only_what_is_new(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    await bus.append(gone(tenant, "c-1"))
    await bus.follow([subjects.any_fact(tenant, "queue")], inbox.one, after_seq=None)
    await bus.append(gone(tenant, "c-2"))
    assert await inbox.wait(1) == ["c-2"]


async def test_bus_follow_from_a_sequence(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    first = await bus.append(gone(tenant, "c-1"))
    await bus.append(gone(tenant, "c-2"))
    await bus.follow([subjects.any_fact(tenant, "queue")], inbox.one, after_seq=first.seq)
    assert await inbox.wait(1) == ["c-2"]


async def test_bus_follow_from_a_time(bus: Bus, tenant: str) -> None:
    everything, later = Inbox(), Inbox()
    patterns = [subjects.any_fact(tenant)]
    began_us = SystemClock().now_us()
    await bus.append(gone(tenant, "c-1"))
    await asyncio.sleep(0.005)  # the server's clock is this machine's; it must have moved on
    between_us = SystemClock().now_us()
    await bus.append(gone(tenant, "c-2"))
    await bus.follow(patterns, everything.one, after_seq=None, since_us=began_us)
    await bus.follow(patterns, later.one, after_seq=None, since_us=between_us)
    await bus.append(gone(tenant, "c-3"))
    assert await everything.wait(3) == ["c-1", "c-2", "c-3"]
    assert await later.wait(2) == ["c-2", "c-3"]


async def test_bus_follow_several_streams(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    await bus.follow(
        [subjects.any_fact(tenant, "queue"), subjects.any_fact(tenant, "routing")], inbox.one, after_seq=0
    )
    await bus.append(gone(tenant, "c-1"))
    await bus.append_log(subjects.log(tenant), decided(tenant, 1), expected_seq=0)
    await inbox.wait(2)
    assert {e.stream for e in inbox.got} == {"CC_EVENTS", "CC_ROUTING"}
    with pytest.raises(ContractError):
        await bus.follow([subjects.any_fact(tenant, "queue"), subjects.log(tenant)], inbox.one, after_seq=7)


async def test_bus_follow_ends_with_the_handlers_error(bus: Bus, tenant: str) -> None:
    async def fail(envelope: Envelope) -> None:
        raise ZeroDivisionError(envelope.id)

    subscription = await bus.follow([subjects.any_fact(tenant, "queue")], fail, after_seq=0)
    await bus.append(gone(tenant, "c-1"))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(subscription.wait(), 20)


# ---------------------------------------------------------------------------------------------------------------- consume
async def test_bus_consume_gives_each_message_to_one_process(make_bus: MakeBus, tenant: str) -> None:
    one, other = Inbox(), Inbox()
    subject = [subjects.any_fact(tenant, "queue")]
    first, second = await make_bus("/a/1"), await make_bus("/a/2")
    for n in range(20):
        await first.append(gone(tenant, f"c-{n}"))
    await first.consume(tenant, subject, one.many)
    await second.consume(tenant, subject, other.many)
    async with asyncio.timeout(20):
        while len(one.got) + len(other.got) < 20:
            await asyncio.sleep(0.01)
    assert sorted(one.contacts + other.contacts) == sorted(f"c-{n}" for n in range(20))
    assert one.batches == [1] * len(one.got)


async def test_bus_consume_goes_on_after_a_restart(make_bus: MakeBus, tenant: str) -> None:
    subject = [subjects.any_fact(tenant, "queue")]
    first = await make_bus("/a/1")
    await first.append(gone(tenant, "c-1"))
    inbox = Inbox()
    subscription = await first.consume(tenant, subject, inbox.many)
    await inbox.wait(1)
    await subscription.stop()
    await first.append(gone(tenant, "c-2"))
    again = Inbox()
    second = await make_bus("/a/2")
    await second.consume(tenant, subject, again.many)
    assert await again.wait(1) == ["c-2"]


async def test_bus_consume_of_a_new_name_need_not_begin_with_the_oldest_message(
    make_bus: MakeBus, tenant: str
) -> None:
    """What is older than it asks for is not given; and what it once began with is no matter for whoever goes on under its name."""
    first, second = await make_bus("/a/1"), await make_bus("/a/2")
    subject = [subjects.any_fact(tenant, "queue")]
    for n in range(3):
        await first.append(gone(tenant, f"old-{n}"))
    await asyncio.sleep(1.0)  # The server's clock decides, by the time of storing.
    await first.append(gone(tenant, "new-0"))
    inbox, again = Inbox(), Inbox()
    subscription = await first.consume(tenant, subject, inbox.many, begins_ago_s=0.5)
    assert await inbox.wait(1) == ["new-0"]
    await subscription.stop()
    await first.append(gone(tenant, "new-1"))
    await second.consume(tenant, subject, again.many, begins_ago_s=600.0)
    assert await again.wait(1) == ["new-1"]


async def test_bus_consume_in_batches(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    for n in range(25):
        await bus.append(gone(tenant, f"c-{n}"))
    await bus.consume(tenant, [subjects.any_fact(tenant, "queue")], inbox.many, batch=10, linger_s=0.3)
    assert await inbox.wait(25) == [f"c-{n}" for n in range(25)]
    assert inbox.batches == [10, 10, 5]


async def test_bus_consume_stopped_in_the_middle_gives_the_message_back(
    make_bus: MakeBus, tenant: str
) -> None:
    subject = [subjects.any_fact(tenant, "queue")]
    first, second = await make_bus("/a/1"), await make_bus("/a/2")
    began = asyncio.Event()

    async def stuck(batch: list[Envelope]) -> None:
        began.set()
        await asyncio.Event().wait()

    await first.append(gone(tenant, "c-1"))
    subscription = await first.consume(tenant, subject, stuck)
    await asyncio.wait_for(began.wait(), 20)
    await subscription.stop()
    inbox = Inbox()
    await second.consume(tenant, subject, inbox.many)
    assert await inbox.wait(1) == ["c-1"]
    assert inbox.got[0].deliveries == 2


async def test_bus_consume_exclusively_takes_what_another_has_in_hand(make_bus: MakeBus, tenant: str) -> None:
    subject = [subjects.any_fact(tenant, "queue")]
    first, second = await make_bus("/a/1"), await make_bus("/a/2")
    began = asyncio.Event()

    async def stuck(batch: list[Envelope]) -> None:
        began.set()
        await asyncio.Event().wait()

    await first.append(gone(tenant, "c-1"))
    await first.append(gone(tenant, "c-2"))
    await first.consume(tenant, subject, stuck)
    await asyncio.wait_for(began.wait(), 20)
    inbox = Inbox()
    await second.consume(tenant, subject, inbox.many, exclusive=True)
    assert await inbox.wait(2) == ["c-1", "c-2"]


@pytest.mark.parametrize("error", [Retry(0.01), NotReady("the store is away")], ids=["Retry", "NotReady"])
async def test_bus_consume_waits_in_place_for_a_dependency(bus: Bus, tenant: str, error: Exception) -> None:
    inbox = Inbox()
    tries = 0

    async def handler(batch: list[Envelope]) -> None:
        nonlocal tries
        tries += 1
        if tries <= (8 if isinstance(error, Retry) else 1):
            raise error
        await inbox.many(batch)

    await bus.append(gone(tenant, "c-1"))
    await bus.append(gone(tenant, "c-2"))
    await bus.consume(tenant, [subjects.any_fact(tenant, "queue")], handler, max_deliver=2)
    assert await inbox.wait(2) == ["c-1", "c-2"]
    assert [e.deliveries for e in inbox.got] == [1, 1]


async def test_bus_consume_puts_a_rejected_message_aside(bus: Bus, tenant: str) -> None:
    inbox = Inbox()

    async def handler(batch: list[Envelope]) -> None:
        if any(e.correlation_id == "bad" for e in batch):
            raise Reject("no such queue: فروش")
        await inbox.many(batch)

    durable = f"dead-{ids.new_id()}"
    for contact in ("c-1", "bad", "c-2"):
        await bus.append(gone(tenant, contact))
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler, batch=3, linger_s=0.2)
    assert await inbox.wait(2) == ["c-1", "c-2"]
    letter = await bus.last(subjects.dead_letter("dead", "rejected"))
    assert letter is not None
    assert letter.causation_id == f"{tenant}:bad:gone"
    assert letter.correlation_id == "bad"
    assert "no such queue: فروش" in letter.note
    assert codec.decode(letter) == ContactGone(contact_id="bad", state="waiting", at_us=1)


async def test_bus_consume_gives_up_after_max_deliver(bus: Bus, tenant: str) -> None:
    inbox = Inbox()
    seen: list[int] = []

    async def handler(batch: list[Envelope]) -> None:
        if batch[0].correlation_id == "bad":
            seen.append(batch[0].deliveries)
            raise ZeroDivisionError
        await inbox.many(batch)

    durable = f"tired-{ids.new_id()}"
    await bus.append(gone(tenant, "bad"))
    await bus.append(gone(tenant, "c-1"))
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler, max_deliver=2)
    assert await inbox.wait(1) == ["c-1"]  # one bad message does not hold up what comes after it
    async with asyncio.timeout(20):
        while (letter := await bus.last(subjects.dead_letter("tired", "too-many-deliveries"))) is None:
            await asyncio.sleep(0.05)
    assert letter.causation_id == f"{tenant}:bad:gone"
    assert seen == [1, 2]


async def test_bus_consume_reads_one_stream(bus: Bus, tenant: str) -> None:
    with pytest.raises(ContractError):
        await bus.consume("x", [subjects.log(tenant), subjects.any_fact(tenant, "queue")], Inbox().many)
    with pytest.raises(ContractError):
        await bus.consume("no token", [subjects.log(tenant)], Inbox().many)


# ---------------------------------------------------------------------------------------------------------------- request
def ask(tenant: str) -> str:
    return subjects.rpc(tenant, "routing", "contact", "position")


async def test_bus_request_is_answered_by_one_of_the_queue(make_bus: MakeBus, tenant: str) -> None:
    asker, one, other = await make_bus("/a/1"), await make_bus("/b/1"), await make_bus("/b/2")
    answered: list[str] = []

    def by(name: str) -> Callable[[Envelope], Awaitable[Any]]:
        async def handler(request: Envelope) -> Position:
            answered.append(name)
            assert request.tenant == tenant
            question = AskPosition.FromString(request.data)
            return Position(contact_id=question.contact_id, position=3)

        return handler

    await one.serve(ask(tenant), by("one"), queue="routing")
    await other.serve(ask(tenant), by("other"), queue="routing")
    reply = await asker.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=10)
    assert codec.decode(reply) == Position(contact_id="c-1", position=3)
    assert len(answered) == 1


@pytest.mark.parametrize(
    ("error", "slug", "status"),
    [
        (Refused("unknown-agent", "nobody called x", status=404), "unknown-agent", 404),
        (ContractError("bad"), "malformed-request", 400),
        (BusUnavailable("inner detail"), "not-ready", 503),
        (ZeroDivisionError("inner detail"), "internal-error", 500),
    ],
    ids=["Refused", "ContractError", "NotReady", "bug"],
)
async def test_bus_request_gets_the_handlers_error_without_inner_detail(
    bus: Bus, tenant: str, error: Exception, slug: str, status: int
) -> None:
    async def handler(request: Envelope) -> Position:
        raise error

    await bus.serve(ask(tenant), handler, queue="routing")
    with pytest.raises(Refused) as caught:
        await bus.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=10)
    assert (caught.value.slug, caught.value.status) == (slug, status)
    assert "inner detail" not in caught.value.reason


async def test_bus_request_waits_for_a_server_to_appear(make_bus: MakeBus, tenant: str) -> None:
    asker, server = await make_bus("/a/1"), await make_bus("/b/1")
    waiting = asyncio.create_task(asker.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=20))
    await asyncio.sleep(0)

    async def handler(request: Envelope) -> Position:
        return Position(contact_id="c-1", position=1)

    await server.serve(ask(tenant), handler, queue="routing")
    assert codec.decode(await waiting) == Position(contact_id="c-1", position=1)


async def test_bus_request_that_nobody_serves_fails(bus: Bus, tenant: str) -> None:
    with pytest.raises(BusUnavailable, match="nobody serves"):
        await bus.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=0.3)


async def test_bus_request_without_an_answer_is_unknown_and_not_repeated(bus: Bus, tenant: str) -> None:
    asked = 0

    async def handler(request: Envelope) -> Position:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    await bus.serve(ask(tenant), handler, queue="routing")
    with pytest.raises(BusUnavailable, match="whether it was done is unknown"):
        await bus.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=0.5)
    assert asked == 1


async def test_bus_serves_requests_side_by_side_up_to_a_limit(bus: Bus, tenant: str) -> None:
    release = asyncio.Event()

    async def handler(request: Envelope) -> Position:
        await release.wait()
        return Position(contact_id="c-1", position=1)

    await bus.serve(ask(tenant), handler, queue="routing")
    requests = [
        asyncio.create_task(bus.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=20))
        for _ in range(70)
    ]
    await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    release.set()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert sum(isinstance(o, Envelope) for o in outcomes) == 64
    assert {o.slug for o in outcomes if isinstance(o, Refused)} == {"overloaded"}


async def test_bus_server_that_stopped_is_not_asked(bus: Bus, tenant: str) -> None:
    async def handler(request: Envelope) -> Position:
        return Position(contact_id="c-1", position=1)

    subscription = await bus.serve(ask(tenant), handler, queue="routing")
    await subscription.stop()
    with pytest.raises(BusUnavailable):
        await bus.request(ask(tenant), AskPosition(contact_id="c-1"), timeout_s=0.3)


# ------------------------------------------------------------------------------------------------------ live and presence
async def test_bus_live_news_reach_who_listens(make_bus: MakeBus, tenant: str) -> None:
    teller, listener = await make_bus("/a/1"), await make_bus("/b/1")
    inbox = Inbox()
    subject = subjects.live(tenant, "queue", "stats", "sales")
    message = ContactGone(contact_id="c-1", state="waiting", at_us=1)
    await teller.publish_live(subject, message)
    subscription = await listener.subscribe_live([subjects.any_live(tenant)], inbox.one)
    await teller.publish_live(subject, message)
    await inbox.wait(1)
    assert len(inbox.got) == 1
    assert codec.decode(inbox.got[0]) == message
    await subscription.stop()


async def test_bus_knows_who_is_present(make_bus: MakeBus) -> None:
    watcher, process = await make_bus("/a/1"), await make_bus("/b/1")
    name = f"p-{ids.new_id()}"
    assert await watcher.is_present(name, timeout_s=5) is False
    await process.announce(name)
    assert await watcher.is_present(name, timeout_s=5) is True
    await process.stop()
    async with asyncio.timeout(20):
        while await watcher.is_present(name, timeout_s=5) is not False:
            await asyncio.sleep(0.01)


# --------------------------------------------------------------------------------------------------------------- progress
async def test_bus_says_how_far_a_consumer_is(bus: Bus, tenant: str) -> None:
    patterns = [subjects.any_fact(tenant=tenant, service="queue")]
    durable = f"p-{tenant}"
    assert await bus.progress(durable, patterns) is None
    first = (await bus.append(gone(tenant, "c-1"))).seq
    held, hold = asyncio.Event(), asyncio.Event()

    async def handle(batch: list[Envelope]) -> None:
        if batch[0].correlation_id == "c-2":
            held.set()
            await hold.wait()

    consuming = await bus.consume(durable, patterns, handle)
    async with asyncio.timeout(20):
        while (now := await bus.progress(durable, patterns)) is None or now.floor_seq < first:
            await asyncio.sleep(0.01)
        assert (now.stream, now.in_hand, now.waiting) == ("CC_EVENTS", 0, 0)
        assert now.first_seq <= first <= now.last_seq
        last = [await bus.append(gone(tenant, f"c-{n}")) for n in (2, 3)][-1].seq
        await held.wait()
        while (now := await bus.progress(durable, patterns)) is None or now.last_seq < last:
            await asyncio.sleep(0.01)
        assert first <= now.floor_seq < last
        assert now.in_hand + now.waiting == 2
        hold.set()
        while (now := await bus.progress(durable, patterns)) is None or now.floor_seq < last:
            await asyncio.sleep(0.01)
        assert (now.in_hand, now.waiting) == (0, 0)
    await consuming.stop()


async def test_bus_reads_the_next_message_of_several_subjects(bus: Bus, tenant: str) -> None:
    patterns = [subjects.any_fact(tenant=tenant, service=s) for s in ("ivr", "queue")]
    assert await bus.next_stored(patterns, 0) is None
    seqs = [(await bus.append(gone(tenant, f"c-{n}"))).seq for n in range(2)]
    found = await bus.next_stored(patterns, 0)
    assert found is not None
    assert (found.stream_seq, found.stream, found.correlation_id) == (seqs[0], "CC_EVENTS", "c-0")
    second = await bus.next_stored(patterns, seqs[0])
    assert second is not None
    assert second.correlation_id == "c-1"
    assert await bus.next_stored(patterns, seqs[1]) is None
