"""Subjects, streams, the delivery limit, and the plan of a migration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.common.bus import Envelope, Outgoing, Reject, Retry, streams, subjects
from services.common.bus.delivery import DEAD_LETTERS_A_MINUTE, Courier, Delivered
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.bus.migrate import desired, plan
from services.common.clock import SystemClock
from services.common.errors import ConfigError, ContractError
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone


@pytest.mark.parametrize("tenant", ["", "Acme", "a.b", "a*", ">", "-a", "a" * 64, "a b", "دمو"])
def test_bus_subject_refuses_a_bad_token(tenant: str) -> None:
    with pytest.raises(ContractError, match="cannot be the tenant"):
        subjects.fact(tenant, "queue", "contact", "gone")


@pytest.mark.parametrize(
    "text",
    ["", "cc", "cc.v1.evt.demo.queue.contact", "cc.v1.xyz.demo.queue.contact.gone", "cc.v1.evt..a.b.c"],
)
def test_bus_subject_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ContractError):
        subjects.parse(text)


def test_bus_subjects_of_the_installation() -> None:
    assert subjects.lease("routing", "3") == "cc.lease.routing.3"
    assert subjects.dead_letter("reporting", "rejected") == "cc.dlq.reporting.rejected"
    assert subjects.alive("queue-1-ab") == "cc.alive.queue-1-ab"
    assert subjects.tenant_of("cc.lease.routing.3") == ""
    assert subjects.package_of(subjects.log("demo")) == "peyvand.routing.v1"
    assert subjects.package_of(subjects.snapshot("demo", "routing", "log", "current")) == "peyvand.common.v1"


def test_bus_streams_do_not_overlap() -> None:
    patterns = [(spec.name, p) for spec in streams.STREAMS for p in spec.subjects]
    for i, (_, one) in enumerate(patterns):
        for _, other in patterns[i + 1 :]:
            assert subjects.intersection(one, other) == ""


def test_bus_streams_share_a_pattern_among_them() -> None:
    found = streams.by_stream([subjects.any_fact("demo")])
    assert found == {
        "CC_EVENTS": [
            f"cc.v1.evt.demo.{service}.*.*" for service in ("ivr", "queue", "recording", "reporting")
        ],
        "CC_ROUTING": ["cc.v1.evt.demo.routing.*.*"],
        "CC_CENTER": ["cc.v1.evt.demo.center.*.*"],
    }
    with pytest.raises(ContractError, match="stored by no stream"):
        streams.by_stream([subjects.live("demo", "queue", "stats", "sales")])


# --------------------------------------------------------------------------------------------------------------- migration
def test_bus_migration_makes_what_is_missing_and_keeps_what_is_right() -> None:
    spec = streams.EVENTS
    assert plan(spec, 3, None) == "create"
    assert plan(spec, 3, desired(spec, 3)) == "keep"
    as_answered = {k: v for k, v in desired(spec, 3).items() if v not in (0, False)}
    assert plan(spec, 3, as_answered) == "keep"


@pytest.mark.parametrize(
    "change", [{"num_replicas": 1}, {"max_age": 1}, {"subjects": ["cc.v1.evt.*.ivr.>"]}, {"discard": "new"}]
)
def test_bus_migration_changes_in_place(change: dict[str, Any]) -> None:
    assert plan(streams.EVENTS, 3, desired(streams.EVENTS, 3) | change) == "update"


@pytest.mark.parametrize(
    "change",
    [{"storage": "memory"}, {"retention": "workqueue"}, {"subjects": [*streams.EVENTS.subjects, "mine.>"]}],
    ids=["storage", "retention", "a subject more"],
)
def test_bus_migration_refuses_what_would_lose_facts(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="CC_EVENTS"):
        plan(streams.EVENTS, 1, desired(streams.EVENTS, 1) | change)


# ---------------------------------------------------------------------------------------------------------------- delivery
def envelope(
    number: int = 1, *, data: bytes = b"", kind: str = "", subject: str = "", deliveries: int = 1
) -> Envelope:
    return Envelope(
        id=f"id-{number}",
        type=kind,
        time_us=1_700_000_000_000_000,
        source="/test/1",
        tenant="demo",
        correlation_id="c-1",
        causation_id="",
        subject=subject or subjects.fact("demo", "queue", "contact", "gone"),
        stream_seq=number,
        data=data,
        stream="CC_EVENTS",
        deliveries=deliveries,
    )


class Given:
    def __init__(self, message: Envelope) -> None:
        self.envelope = message
        self.verdict = ""

    async def ack(self) -> None:
        self.verdict = "ack"

    async def nak(self, delay_s: float) -> None:
        self.verdict = f"nak {delay_s:g}"

    async def term(self, reason: str) -> None:
        self.verdict = "term"


class Desk:
    """A courier with everything that it does outside written down."""

    def __init__(self, handler: Any, *, max_deliver: int = 3) -> None:
        self.aside: list[tuple[str, str]] = []
        self.ready: list[bool] = []
        self.courier = Courier(
            "reporting",
            handler,
            max_deliver=max_deliver,
            put_aside=self._put_aside,
            ack_all=self._ack_all,
            on_ready=lambda part, ok, detail: self.ready.append(ok),
        )

    async def _put_aside(self, durable: str, reason: str, message: Envelope, detail: str) -> None:
        self.aside.append((message.id, reason))

    async def _ack_all(self, messages: Sequence[Delivered]) -> None:
        for message in messages:
            await message.ack()


async def test_bus_delivery_puts_aside_what_kills_its_process() -> None:
    handled: list[str] = []

    async def handler(batch: list[Envelope]) -> None:
        handled.extend(e.id for e in batch)

    desk = Desk(handler)
    messages = [Given(envelope(1, deliveries=4)), Given(envelope(2, deliveries=3))]
    await desk.courier.deliver(messages)
    assert handled == ["id-2"]
    assert desk.aside == [("id-1", "too-many-deliveries")]
    assert [m.verdict for m in messages] == ["term", "ack"]


async def test_bus_delivery_of_a_failing_message_waits_longer_each_time() -> None:
    async def handler(batch: list[Envelope]) -> None:
        raise ZeroDivisionError

    desk = Desk(handler, max_deliver=6)
    messages = [Given(envelope(n, deliveries=n)) for n in range(1, 7)]
    for message in messages:
        await desk.courier.deliver([message])
    assert [m.verdict for m in messages] == ["nak 1", "nak 5", "nak 30", "nak 120", "nak 120", "term"]


async def test_bus_delivery_pauses_before_it_empties_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(batch: list[Envelope]) -> None:
        raise Reject("all wrong")

    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr("services.common.bus.delivery.asyncio.sleep", sleep)
    desk = Desk(handler)
    await desk.courier.rest()
    await desk.courier.deliver([Given(envelope(n)) for n in range(DEAD_LETTERS_A_MINUTE - 1)])
    await desk.courier.rest()
    assert (desk.ready, pauses) == ([], [])
    await desk.courier.deliver([Given(envelope(DEAD_LETTERS_A_MINUTE))])
    await desk.courier.rest()
    assert (desk.ready, pauses) == ([False, True], [60.0])
    await desk.courier.rest()
    assert (desk.ready, pauses) == ([False, True], [60.0])


async def test_bus_delivery_that_is_cancelled_gives_back_what_is_left() -> None:
    began = asyncio.Event()

    async def handler(batch: list[Envelope]) -> None:
        began.set()
        await asyncio.Event().wait()

    desk = Desk(handler)
    messages = [Given(envelope(1)), Given(envelope(2))]
    task = asyncio.create_task(desk.courier.deliver(messages))
    await asyncio.wait_for(began.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [m.verdict for m in messages] == ["nak 0", "nak 0"]


async def test_bus_consumer_that_is_stopped_while_it_waits_is_no_reason_to_be_unready() -> None:
    """A process that lost a node to another one said for ever that it waits: nobody takes that back later."""
    ready: dict[str, bool] = {}
    waits = asyncio.Event()

    def on_ready(part: str, ok: bool, detail: str) -> None:
        ready[part] = ok
        if not ok:
            waits.set()

    async def handler(batch: list[Envelope]) -> None:
        raise Retry(30.0)

    bus = MemoryBus(MemoryBroker(SystemClock()), clock=SystemClock(), on_ready=on_ready)
    gone = ContactGone(contact_id="c1", state="waiting", at_us=1)
    subscription = await bus.consume("queue-fs1", [subjects.any_fact("demo", "queue")], handler)
    await bus.append(Outgoing(subjects.fact("demo", "queue", "contact", "gone"), gone, "f1", "demo", "c1"))
    await asyncio.wait_for(waits.wait(), 20)
    assert ready["consumer:queue-fs1"] is False
    await subscription.stop()
    assert ready["consumer:queue-fs1"] is True
    await bus.stop()
