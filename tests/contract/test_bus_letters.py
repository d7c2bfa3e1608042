"""Dead letters on both buses: what they say, and how they go back to the one consumer that could not handle them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.common import ids
from services.common.bus import Bus, Envelope, Outgoing, Reject, codec, subjects
from services.common.bus.base import BaseBus
from services.common.errors import ContractError
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone

MakeBus = Callable[[str], Awaitable[Bus]]
CAUSE = "cause-1"


def gone(tenant: str, contact: str) -> Outgoing:
    message = ContactGone(contact_id=contact, state="waiting", at_us=1)
    subject = subjects.fact(tenant, "queue", "contact", "gone")
    return Outgoing(subject, message, f"{tenant}:{contact}", tenant, contact, CAUSE, 1_700_000_000_123_456)


class Broken:
    """A consumer that cannot handle what is on its list, until it is mended."""

    def __init__(self, *bad: str, error: Exception) -> None:
        self.bad = set(bad)
        self.error = error
        self.got: list[Envelope] = []
        self._more = asyncio.Event()

    async def __call__(self, batch: list[Envelope]) -> None:
        if any(e.correlation_id in self.bad for e in batch):
            raise self.error
        self.got += batch
        self._more.set()

    async def has(self, *contacts: str) -> None:
        async with asyncio.timeout(30):
            while [e.correlation_id for e in self.got] != list(contacts):
                self._more.clear()
                await self._more.wait()


async def letter_about(bus: Bus, durable: str, reason: str, *, times: int = 1) -> Envelope:
    """The newest letter, waited for."""
    async with asyncio.timeout(30):
        while True:
            found = await bus.last(subjects.dead_letter(durable.partition("-")[0], reason))
            if found and found.letter and (found.letter.consumer, found.letter.times) == (durable, times):
                return found
            await asyncio.sleep(0.02)


def base(bus: Bus) -> BaseBus:
    assert isinstance(bus, BaseBus)
    return bus


@pytest.fixture
def durable() -> str:
    return f"t{ids.new_id().replace('-', '')}-events"


async def test_bus_letter_says_everything_about_its_message(bus: Bus, tenant: str, durable: str) -> None:
    handler = Broken("bad", error=Reject("no such queue: فروش\r\n100 %"))
    fact = gone(tenant, "bad")
    stored = await bus.append(fact)
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler)
    dead = await letter_about(bus, durable, "rejected")
    assert dead.letter is not None
    assert dead.letter.error == "no such queue: فروش\r\n100 %"
    assert (dead.letter.subject, dead.letter.stream, dead.letter.stream_seq) == (
        fact.subject,
        "CC_EVENTS",
        stored.seq,
    )
    assert (dead.letter.id, dead.letter.source, dead.letter.time_us) == (fact.id, "/test/1", fact.time_us)
    assert (dead.letter.causation_id, dead.letter.deliveries, dead.letter.times) == (CAUSE, 1, 1)
    assert (dead.causation_id, dead.correlation_id, dead.tenant) == (fact.id, "bad", tenant)
    assert codec.decode(dead) == fact.message


async def test_bus_letter_names_the_exception_and_its_line(bus: Bus, tenant: str, durable: str) -> None:
    await bus.append(gone(tenant, "bad"))
    handler = Broken("bad", error=ZeroDivisionError("division by zero"))
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler, max_deliver=1)
    dead = await letter_about(bus, durable, "too-many-deliveries")
    assert dead.letter is not None
    assert "ZeroDivisionError('division by zero') (test_bus_letters.py:" in dead.letter.error
    assert "in __call__)" in dead.letter.error


async def test_bus_letter_is_replayed_to_its_consumer_alone_as_it_was(
    make_bus: MakeBus, tenant: str, durable: str
) -> None:
    bus, other_bus = base(await make_bus("/a/1")), await make_bus("/b/1")
    handler, bystander = Broken("bad", error=Reject("not yet")), Broken(error=Reject(""))
    pattern = [subjects.any_fact(tenant, "queue")]
    followed: list[str] = []

    async def follow(envelope: Envelope) -> None:
        followed.append(envelope.id)

    for contact in ("c-1", "bad", "c-2"):
        await bus.append(gone(tenant, contact))
    await bus.consume(durable, pattern, handler)
    await other_bus.consume(f"{durable}2", pattern, bystander)
    await other_bus.follow(pattern, follow, after_seq=0)
    await bystander.has("c-1", "bad", "c-2")
    dead = await letter_about(bus, durable, "rejected")
    handler.bad.clear()
    await bus.replay(dead)
    await handler.has("c-1", "c-2", "bad")
    again, first = handler.got[-1], bystander.got[1]
    assert (again.id, again.subject, again.stream, again.stream_seq) == (
        first.id,
        first.subject,
        first.stream,
        first.stream_seq,
    )
    assert (again.type, again.data, again.time_us, again.source) == (
        first.type,
        first.data,
        first.time_us,
        first.source,
    )
    assert (again.tenant, again.correlation_id, again.causation_id) == (tenant, "bad", CAUSE)
    assert (again.letter, again.note) == (None, "")
    await bus.append(gone(tenant, "c-3"))
    await bystander.has("c-1", "bad", "c-2", "c-3")
    assert len(followed) == 4, "a replay reached somebody else"


async def test_bus_letter_replayed_twice_is_handled_once(bus: Bus, tenant: str, durable: str) -> None:
    handler = Broken("bad", error=Reject("not yet"))
    await bus.append(gone(tenant, "bad"))
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler)
    dead = await letter_about(bus, durable, "rejected")
    handler.bad.clear()
    sent = [await base(bus).replay(dead) for _ in range(3)]
    assert [s.duplicate for s in sent] == [False, True, True]
    await bus.append(gone(tenant, "c-1"))
    async with asyncio.timeout(20):
        while len(handler.got) < 2:
            await asyncio.sleep(0.01)
    assert sorted(e.correlation_id for e in handler.got) == ["bad", "c-1"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Reject("still not"), "rejected"), (ZeroDivisionError(), "too-many-deliveries")],
    ids=["rejected", "failing"],
)
async def test_bus_letter_that_fails_again_comes_back_with_its_count(
    bus: Bus, tenant: str, durable: str, error: Exception, reason: str
) -> None:
    handler = Broken("bad", error=error)
    fact = gone(tenant, "bad")
    await bus.append(fact)
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler, max_deliver=1)
    for times in (1, 2, 3):
        dead = await letter_about(bus, durable, reason, times=times)
        assert dead.letter is not None
        assert (dead.letter.id, dead.letter.subject, dead.letter.stream) == (
            fact.id,
            fact.subject,
            "CC_EVENTS",
        )
        assert codec.decode(dead) == fact.message
        await base(bus).replay(dead)
    dead = await letter_about(bus, durable, reason, times=4)
    handler.bad.clear()
    await base(bus).replay(dead)
    await handler.has("bad")
    assert handler.got[0].id == fact.id


async def test_bus_replay_does_not_run_beside_the_live_handler(bus: Bus, tenant: str, durable: str) -> None:
    """Handlers were written for one call at a time."""
    running, most = 0, 0
    bad = {"bad"}
    handled: list[str] = []

    async def handler(batch: list[Envelope]) -> None:
        nonlocal running, most
        if batch[0].correlation_id in bad:
            raise Reject("not yet")
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        handled.append(batch[0].correlation_id)

    await bus.append(gone(tenant, "bad"))
    await bus.consume(durable, [subjects.any_fact(tenant, "queue")], handler)
    dead = await letter_about(bus, durable, "rejected")
    bad.clear()
    for n in range(20):
        await bus.append(gone(tenant, f"c-{n}"))
    await base(bus).replay(dead)
    async with asyncio.timeout(20):
        while len(handled) < 21:
            await asyncio.sleep(0.01)
    assert most == 1


async def test_bus_replays_nothing_but_letters(bus: Bus, tenant: str) -> None:
    await bus.append(gone(tenant, "c-1"))
    fact = await bus.last(subjects.fact(tenant, "queue", "contact", "gone"))
    assert fact is not None
    with pytest.raises(ContractError, match="which consumer"):
        await base(bus).replay(fact)
