"""Documents, messages and phone lists on their way to the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.center import load
from services.common.bus import Envelope, codec
from services.common.errors import NotReady
from services.contracts.peyvand.queue.v1 import events_pb2 as queue_pb2
from services.contracts.peyvand.routing.v1 import log_pb2, rpc_pb2
from services.routing.adapters import messages
from services.routing.adapters.centers import SHARDS, center_of, shard_of
from services.routing.adapters.phones import listed
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Overflow

ROOT = Path(__file__).resolve().parents[3]


def envelope(message: Any, seq: int = 7) -> Envelope:
    return Envelope(
        "id-1",
        message.DESCRIPTOR.full_name,
        1,
        "/queue/1",
        "demo",
        "c1",
        "",
        "cc.v1.evt.demo.queue.contact.x",
        seq,
        message.SerializeToString(),
    )


def test_demo_center_becomes_rules() -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    center = center_of(document)
    assert center.revision == document.revision
    assert set(center.queues) == set(document.queues)
    assert center.agents["sara"].extension == "1001"
    assert center.default_fallback in center.queues
    for name, queue in document.queues.items():
        rules = center.queues[name]
        assert (rules.ring_ms, rules.wrap_up_ms) == (queue.ring_s * 1000, queue.wrap_up_s * 1000)
        assert rules.max_wait_ms == (queue.max_wait.after_s * 1000 if queue.max_wait else 0)
        assert rules.overflow.action != "queue" or rules.overflow.target in center.queues


def test_queue_without_a_limit_hangs_up_on_who_comes_when_it_is_full() -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    name, queue = next(iter(document.queues.items()))
    changed = document.model_copy(update={"queues": {name: queue.model_copy(update={"max_wait": None})}})
    assert center_of(changed).queues[name].overflow == Overflow("hangup")


def test_every_tenant_has_one_shard() -> None:
    assert shard_of("demo") == shard_of("demo")
    assert {shard_of(f"tenant-{n}") for n in range(500)} == set(range(SHARDS))


def test_observation_carries_the_fields_the_owner_s_time_and_its_place() -> None:
    waiting = queue_pb2.ContactWaiting(
        contact_id="c1",
        node="fs1",
        queue="sales",
        priority=3,
        skills=["fa:1"],
        ani="0912",
        waiting_since_us=5,
        recovered=True,
    )
    assert messages.observation(envelope(waiting), 99) == i.ContactWaiting(
        at_us=99,
        input_id="id-1",
        input_seq=7,
        contact_id="c1",
        node="fs1",
        queue="sales",
        priority=3,
        skills=("fa:1",),
        ani="0912",
        waiting_since_us=5,
        recovered=True,
    )


@pytest.mark.parametrize(
    "message",
    [
        queue_pb2.OfferRinging(offer_id="o", contact_id="c", agent_id="a", at_us=1),
        queue_pb2.OfferFailed(offer_id="o", contact_id="c", agent_id="a", outcome="busy", ring_ms=2, at_us=1),
        queue_pb2.OfferAnswered(offer_id="o", contact_id="c", agent_id="a", at_us=1),
        queue_pb2.AgentBridged(offer_id="o", contact_id="c", agent_id="a", agent_leg_id="l", at_us=1),
        queue_pb2.ConversationEnded(offer_id="o", contact_id="c", agent_id="a", ended_by="agent", at_us=1),
        queue_pb2.ContactGone(contact_id="c", state="waiting", unseen=True, at_us=1),
        queue_pb2.DispositionKeyed(offer_id="o", contact_id="c", agent_id="a", code="1", at_us=1),
    ],
    ids=lambda m: type(m).__name__,
)
def test_every_observation_is_read_with_our_time(message: Any) -> None:
    read = messages.observation(envelope(message), 99)
    assert read is not None
    assert type(read).__name__ == type(message).__name__
    assert (read.at_us, read.input_seq) == (99, 7)
    for name in messages._FIELDS[type(read)]:
        assert getattr(read, name) == getattr(message, name)


def test_what_decides_nothing_is_passed_over() -> None:
    assert (
        messages.observation(envelope(queue_pb2.TreatmentPlayed(contact_id="c", what="welcome")), 1) is None
    )


def test_wishes_are_named_by_their_request() -> None:
    wish = messages.wish(
        i.SetAgentPresence, envelope(rpc_pb2.SetAgentPresence(extension="1001", presence="toggle")), 4
    )
    assert (wish.request_id, wish.input_id, wish.extension, wish.presence) == (
        "id-1",
        "id-1",
        "1001",
        "toggle",
    )
    assert wish.input_seq == 0
    disposition = messages.wish(
        i.SetDisposition, envelope(rpc_pb2.SetDisposition(agent_id="sara", code="1", by="http")), 4
    )
    assert (disposition.agent_id, disposition.code, disposition.by) == ("sara", "1", "http")


def test_every_fact_survives_the_log() -> None:
    why = f.Explanation(
        "longest_idle",
        5,
        2,
        ("b",),
        (f.Excluded("break", 1),),
        3,
        strategy="longest_idle",
        value=5,
        next_values=(4,),
        score_ms=70,
        score=(f.Term("age", 10), f.Term("priority", 60)),
        contact_rule="score",
        requirement="fa>=3",
    )
    facts = (
        f.OwnerChanged("o", 2),
        f.ContactQueued(
            "c", "q", 9, skills=("fa:1",), requeued=True, service_class="vip", preferred_agent="a"
        ),
        f.OfferMade("c-1", "c", "a", "1001", "q", "fs1", 15_000, 10, 1, why, 2),
        f.OfferEnded("c-1", "c", "a", "no_answer", "NO_ANSWER", 15_000, -1),
        f.ContactConnected("c", "c-1", "a", "q", 1, 2, "x.wav"),
        f.ContactOverflowed("c", "q", "max_wait", "transfer", "+98", 3),
        f.ContactClosed(
            "c",
            "q",
            "completed",
            "a",
            "c-1",
            1,
            2,
            3,
            "caller",
            "NORMAL_CLEARING",
            "1000",
            "0912",
            9,
            1,
            "answered",
        ),
        f.AgentPresenceChanged("a", "break", "lunch", "agent", "available", 5),
        f.AgentActivityChanged("a", "talking", "c", "q", "offered", 5),
        f.WrapUpEnded("a", "c", "1", "key", 5, "q"),
        f.AgentPhoneChanged("a", False, "fs1"),
        f.NodeChanged("fs1", False),
        f.NodeDraining("fs1", True, 9, "root"),
        f.ContactMoved("c", "fs1", "fs2", "drain"),
        f.ContactPriorityChanged("c", 5, 1, "supervisor"),
        f.AgentOwnCallChanged("a", "leg", True, "inbound", "fs1"),
        f.WrapUpChanged("a", "c", "extended", 9, "1", "http"),
        f.ContactTransferred("c", "a", "queue", "q2", 9, "w", "c-1"),
        f.TransferRefused("c", "a", "agent", "b", "agent-not-available", "b is idle", "w"),
        f.ContactQueued(
            "c-cb2",
            "q",
            9,
            kind="callback",
            callback_id="c",
            number="0912",
            no_leg=True,
            attempts=1,
            serial=2,
            not_before_us=10,
            expires_us=11,
        ),
        f.OfferMade(
            "c-cb2-1",
            "c-cb2",
            "a",
            "1001",
            "q",
            "fs1",
            15_000,
            10,
            1,
            why,
            kind="callback",
            number="0912",
            first="agent",
            dial_ms=9,
            callback_id="c",
            language="fa",
            entry_point="1000",
            waiting_since_us=9,
        ),
        f.CallbackAnswered("c-cb2", "c"),
        f.CallbackChanged("c-cb2", "c", 9, "0913", "supervisor", "0912", 8),
        f.NumberDialled("c", "0912", "transfer", "a", "t", "w"),
        f.NumberEnded("c"),
        f.CallRefused("a", "0049", "transfer", "limit-reached", "team:t", "why", "c", "w", "agent"),
        f.AgentSeatChanged("a", "1090", "1001", "fs1", "code"),
        f.AgentLoginRefused("a", "1090", 3, 900_000, "fs1"),
    )
    assert {type(fact).__name__ for fact in facts} == {
        field.message_type.name for field in log_pb2.Fact.DESCRIPTOR.fields
    }
    entry = f.Decided(3, "o", 77, facts, "in-1", "r1", 12)
    assert codec.from_proto(codec.to_proto(entry, log_pb2.Decided), log_pb2.Decided, f.Decided) == entry


def test_list_of_registrations() -> None:
    rows = '{"row_count":2,"rows":[{"reg_user":"1001","realm":"x"},{"reg_user":"1002"}]}'
    assert listed(rows) == {"1001", "1002"}
    assert listed('{"row_count":0}') == frozenset()
    with pytest.raises(NotReady):
        listed("-ERR no such command")
