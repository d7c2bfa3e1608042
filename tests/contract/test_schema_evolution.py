"""Two adjacent versions read each other: the one before by its kept bytes and descriptors, the next by descriptors made here.

The next version has a field more of each sort in every message, new values where text is a kind, a new alternative in the log's
``oneof``, and types that this version has never heard of. What each service does with them:

- reporting counts what it knows, and keeps the rest whole as a fact of the kind ``Unread`` in its place;
- the wallboard, recording and routing (reading observations) leave out what they do not know;
- queue carries out the orders that it knows, and passes over the rest, also within one entry, without a dead letter;
- routing does not take a log over that holds a kind of fact which it does not know: the tenant stays with the newer program.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message

from deploy.dev import proto_compat
from deploy.dev.protoc import OUT, PROTO
from deploy.dev.wire_vectors import ENVELOPE
from services.common.bus import Envelope, codec, streams, subjects
from services.common.bus.headers import from_headers, to_headers
from services.common.bus.lease import Lease, Timing
from services.common.bus.log import Snapshot, load_snapshot, save_snapshot
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import ContractError, DecodeError, NewerMessage
from services.contracts.registry import TYPES
from services.contracts.required import REQUIRED
from services.queue.adapters import log as queue_log
from services.queue.core import inputs
from services.reporting import live_api
from services.reporting.adapters.bus import placed_facts
from services.reporting.core.facts import Unread
from services.reporting.core.rows import rows_of
from services.routing.adapters import messages as routing_messages
from services.routing.core.facts import Decided as RoutingDecided

KEPT = Path(__file__).parent / "vectors" / "previous"
BEFORE: dict[str, Any] = json.loads((KEPT / "wire.json").read_text())
EVENTS = ("peyvand.ivr.", "peyvand.queue.", "peyvand.recording.", "peyvand.reporting.")
F = FieldDescriptorProto


# ---------------------------------------------------------------------------------------------------------- other versions
def classes(files: FileDescriptorSet) -> dict[str, type[Message]]:
    """Message classes of a descriptor set, beside those of this version."""
    pool = descriptor_pool.DescriptorPool()
    todo = list(files.file)
    while todo:  # a file after those that it imports
        ready = next(f for f in todo if not set(f.dependency) & {o.name for o in todo})
        pool.Add(ready)  # type: ignore[no-untyped-call]
        todo.remove(ready)
    return {
        f"{file.package}.{m.name}": message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{file.package}.{m.name}")
        )
        for file in files.file
        for m in file.message_type
    }


def next_version() -> FileDescriptorSet:
    """This version's contracts with everything added that a compatible change may add."""
    files = FileDescriptorSet.FromString((OUT / "contracts.binpb").read_bytes())
    for file in files.file:
        for message in file.message_type:
            if not message.oneof_decl:
                for number, (kind, label) in enumerate(
                    [(F.TYPE_STRING, F.LABEL_OPTIONAL), (F.TYPE_INT64, F.LABEL_OPTIONAL), (F.TYPE_DOUBLE, F.LABEL_REPEATED),
                     (F.TYPE_BYTES, F.LABEL_OPTIONAL), (F.TYPE_STRING, F.LABEL_REPEATED)], 901,
                ):  # fmt: skip
                    message.field.add(name=f"added_{number}", number=number, type=kind, label=label)
        _strange(file)
    log = next(f for f in files.file if f.name.endswith("routing/v1/log.proto"))
    fact = next(m for m in log.message_type if m.name == "Fact")
    fact.field.add(
        name="contact_parked",
        number=90,
        type=F.TYPE_MESSAGE,
        type_name=".peyvand.routing.v1.Strange",
        label=F.LABEL_OPTIONAL,
        oneof_index=0,
    )
    return files


def _strange(file: FileDescriptorProto) -> None:
    if file.package in _HAS_STRANGE and _HAS_STRANGE[file.package] != file.name:
        return
    _HAS_STRANGE[file.package] = file.name
    new: DescriptorProto = file.message_type.add(name="Strange")
    new.field.add(name="contact_id", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)


_HAS_STRANGE: dict[str, str] = {}
NEXT = classes(next_version())
PREVIOUS = classes(FileDescriptorSet.FromString((KEPT / "contracts.binpb").read_bytes()))
ADDED = {
    "added_901": "neu",
    "added_902": 2**60,
    "added_903": [1.5],
    "added_904": b"\xff",
    "added_905": ["a", "b"],
}


def example(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((PROTO / "examples" / f"{name}.json").read_text())
    return said


def add(message: Any) -> None:
    """Fill the new fields, here and in every message inside."""
    for field, value in list(message.ListFields()):
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                add(inner)
    for name, value in ADDED.items():
        if name in message.DESCRIPTOR.fields_by_name:
            getattr(message, name).extend(value) if isinstance(value, list) else setattr(message, name, value)


def newer(name: str) -> bytes:
    """This version's golden example as the next version sends it."""
    message = json_format.ParseDict(example(name), NEXT[name]())
    add(message)
    return message.SerializeToString()


def bare(name: str) -> bytes:
    """Only what must be there: as a version sends it that knows none of the other fields."""
    whole = TYPES[name]()
    json_format.ParseDict(example(name), whole)
    return _bare(whole).SerializeToString()


def _bare(whole: Any) -> Any:
    kept = type(whole)()
    for field, value in whole.ListFields():
        if field.message_type is not None and (field.is_repeated or whole.DESCRIPTOR.oneofs):
            if field.is_repeated:
                getattr(kept, field.name).extend(_bare(v) for v in value)
            else:
                getattr(kept, field.name).CopyFrom(_bare(value))
        elif field.name in REQUIRED.get(whole.DESCRIPTOR.full_name, ()):
            setattr(kept, field.name, value)
    return kept


def on_the_bus(name: str, data: bytes, kind: str = "") -> Envelope:
    service = name.split(".")[1]
    subject = subjects.log("demo") if service == "routing" else subjects.fact("demo", service, "contact", "x")
    stream = "CC_ROUTING" if service == "routing" else "CC_EVENTS"
    return Envelope("id-1", kind or name, 1, f"/{service}/9", "demo", "c-1", "", subject, 7, data, stream)


VERSIONS = ("previous", "bare", "next")


def in_version(version: str, name: str) -> bytes:
    if version == "previous":
        return bytes.fromhex(BEFORE["messages"][name]["bytes"])
    return newer(name) if version == "next" else bare(name)


# ------------------------------------------------------------------------------------------------------------- the promise
def test_evolution_nothing_breaks_the_version_before() -> None:
    before = FileDescriptorSet.FromString((KEPT / "contracts.binpb").read_bytes())
    now = FileDescriptorSet.FromString((OUT / "contracts.binpb").read_bytes())
    required = {name: tuple(fields) for name, fields in BEFORE["required"].items()}
    assert list(proto_compat.breaking(before, now, required, REQUIRED)) == []
    assert list(proto_compat.breaking(now, next_version(), REQUIRED, REQUIRED)) == [], (
        "the next version here is none"
    )


@pytest.mark.parametrize("name", sorted(BEFORE["messages"]))
def test_evolution_kept_bytes_of_the_version_before_say_what_they_said(name: str) -> None:
    message = codec.decode(on_the_bus(name, in_version("previous", name)))
    said = json_format.MessageToDict(message, preserving_proto_field_name=True)
    expected = json_format.MessageToDict(
        json_format.ParseDict(BEFORE["messages"][name]["says"], PREVIOUS[name]()),
        preserving_proto_field_name=True,
    )
    assert said == expected


@pytest.mark.parametrize("name", sorted(BEFORE["messages"]))
def test_evolution_the_version_before_reads_what_this_one_sends(name: str) -> None:
    sent = json_format.ParseDict(example(name), TYPES[name]()).SerializeToString()
    read = PREVIOUS[name].FromString(sent)
    for field in BEFORE["required"].get(name, ()):
        assert getattr(read, field), f"{name}.{field} is empty to the version before, which refuses it"
    known = json_format.MessageToDict(read, preserving_proto_field_name=True)
    assert known == json_format.MessageToDict(
        json_format.ParseDict(example(name), PREVIOUS[name](), ignore_unknown_fields=True),
        preserving_proto_field_name=True,
    )


def test_evolution_headers_of_the_version_before_are_understood() -> None:
    place = {"subject": ENVELOPE.subject, "data": b""}
    assert from_headers(BEFORE["headers"], **place) == ENVELOPE  # type: ignore[arg-type]
    more = BEFORE["headers"] | {"ce-added": "x", "Added": "y"}
    assert from_headers(more, **place) == ENVELOPE  # type: ignore[arg-type]
    # and those that the version before reads are still there, spelt as they were
    now = to_headers(ENVELOPE, stored=True)
    assert {name: now.get(name) for name in BEFORE["headers"]} == BEFORE["headers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(BEFORE["messages"]))
def test_evolution_every_message_of_every_version_is_read(name: str, version: str) -> None:
    message = codec.decode(on_the_bus(name, in_version(version, name)))
    for field in REQUIRED.get(name, ()):
        assert getattr(message, field)


def test_evolution_a_new_type_is_told_from_a_broken_one() -> None:
    for name in (
        "peyvand.routing.v1.Strange",
        "peyvand.queue.v2.ContactGone",
        "peyvand.billing.v1alpha.Charged",
    ):
        with pytest.raises(NewerMessage):
            codec.message_type(name)
    for name in (
        "",
        "peyvand",
        "acme.queue.v1.ContactGone",
        "peyvand.queue.v1.\x1b[31m",
        "peyvand.queue.ContactGone",
    ):
        with pytest.raises(DecodeError) as caught:
            codec.message_type(name)
        assert not isinstance(caught.value, NewerMessage), name


def test_evolution_a_major_version_has_subjects_of_its_own() -> None:
    """``v2`` is published beside ``v1`` on its own subjects: no reader of ``v1`` ever sees it, and nobody sends it by mistake."""
    mine = [p for patterns in streams.by_stream([subjects.any_fact()]).values() for p in patterns]
    for subject in ("cc.v2.evt.demo.queue.contact.gone", "cc.v2.evt.demo.routing.log.decided"):
        assert not any(subjects.matches(pattern, subject) for pattern in mine)
        assert subjects.parse(subject).version == "v2"
        with pytest.raises(ContractError, match="in no stream"):
            streams.stream_of(subject)


# -------------------------------------------------------------------------------------------------- what each service does
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(n for n in BEFORE["messages"] if n.startswith(EVENTS)))
def test_evolution_observations_reach_every_service(name: str, version: str) -> None:
    envelope = on_the_bus(name, in_version(version, name))
    *_, placed = placed_facts(envelope)
    assert not isinstance(placed.fact, Unread)
    assert list(rows_of(placed))
    if name.startswith("peyvand.queue."):
        seen = routing_messages.observation(envelope, 1)
        assert seen is None if name.endswith("TreatmentPlayed") else seen is not None
    if name.startswith("peyvand.ivr."):
        live_api.read_ivr(envelope)


def entry(version: str) -> bytes:
    """The golden entry of the log, which has every kind of fact, with a new kind in the middle if the version has it."""
    if version != "next":
        return in_version(version, "peyvand.routing.v1.Decided")
    message: Any = NEXT["peyvand.routing.v1.Decided"].FromString(newer("peyvand.routing.v1.Decided"))
    facts = [NEXT["peyvand.routing.v1.Fact"].FromString(f.SerializeToString()) for f in message.facts]
    strange: Any = NEXT["peyvand.routing.v1.Fact"]()
    strange.contact_parked.contact_id = "c-9"
    del message.facts[:]
    message.facts.extend([*facts[:1], strange, *facts[1:]])
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("version", VERSIONS)
def test_evolution_log_entries_are_kept_by_reporting(version: str) -> None:
    placed = placed_facts(on_the_bus("peyvand.routing.v1.Decided", entry(version)))
    unread = [p.idx for p in placed if isinstance(p.fact, Unread)]
    assert unread == ([1] if version == "next" else [])
    assert [p.idx for p in placed] == list(range(len(placed)))
    if unread:
        assert bytes.fromhex(placed[1].fact.data_hex) == entry(version)  # type: ignore[union-attr]
    assert all(list(rows_of(p)) for p in placed)


@pytest.mark.parametrize("version", VERSIONS)
def test_evolution_log_entries_are_orders_to_queue(version: str) -> None:
    before = queue_log.NEWER._value.get()
    envelope = on_the_bus("peyvand.routing.v1.Decided", entry(version))
    node = next(
        f.offer_made.node for f in codec.decode(envelope).facts if f.WhichOneof("fact") == "offer_made"
    )  # type: ignore[attr-defined]
    strange = on_the_bus("peyvand.routing.v1.Strange", b"\x0a\x03c-9")
    given = queue_log.inputs_of([strange, envelope, strange], node, 10)
    kinds = {type(event).__name__ for event in given}
    assert kinds == {
        "OfferMade",
        "OfferEnded",
        "ContactOverflowed",
        "ContactClosed",
        "WrapUpEnded",
        "PeerSeen",
    }
    assert queue_log.NEWER._value.get() - before == (3 if version == "next" else 2)
    # What makes no sense in any version is a dead letter all the same.
    with pytest.raises(DecodeError):
        queue_log.inputs_of([on_the_bus("peyvand.routing.v1.Decided", b"\xff\xff")], node, 10)


@pytest.mark.parametrize("version", VERSIONS)
def test_evolution_log_entries_are_shown_by_the_wallboard(version: str) -> None:
    at_us, facts = live_api.read_routing(on_the_bus("peyvand.routing.v1.Decided", entry(version)))
    assert at_us
    shift = 1 if version == "next" else 0
    now = live_api.read_routing(on_the_bus("peyvand.routing.v1.Decided", entry("previous")))[1]
    assert [index for index, _ in facts] == [index + shift if index else 0 for index, _ in now]


@pytest.mark.parametrize("version", VERSIONS)
def test_evolution_routing_takes_over_what_it_understands_and_nothing_else(version: str) -> None:
    envelope = on_the_bus("peyvand.routing.v1.Decided", entry(version))
    if version == "next":
        with pytest.raises(DecodeError, match="alternative"):
            codec.read(envelope, RoutingDecided)
    else:
        assert codec.read(envelope, RoutingDecided).facts


@pytest.mark.parametrize(
    "field", ["outcome", "cause", "state", "kind", "result", "what", "ended_by", "reason"]
)
def test_evolution_new_values_pass(field: str) -> None:
    """Kinds are text: a value that this version has never heard of is kept as it is."""
    tried = 0
    facts = (n for n in TYPES if n.startswith(EVENTS) and "rpc.proto" not in TYPES[n].DESCRIPTOR.file.name)
    for name in sorted(facts):
        message: Any = json_format.ParseDict(example(name), TYPES[name]())
        if field not in message.DESCRIPTOR.fields_by_name:
            continue
        tried += 1
        setattr(message, field, "brand_new")
        envelope = on_the_bus(name, message.SerializeToString())
        *_, placed = placed_facts(envelope)
        assert getattr(placed.fact, field) == "brand_new"
        assert list(rows_of(placed))
        if name.startswith("peyvand.queue."):
            routing_messages.observation(envelope, 1)
    assert tried


@pytest.mark.parametrize("value", ["brand_new", ""])
def test_evolution_new_values_in_the_log_are_the_other_case(value: str) -> None:
    entry_now: Any = json_format.ParseDict(
        example("peyvand.routing.v1.Decided"), TYPES["peyvand.routing.v1.Decided"]()
    )
    for fact in entry_now.facts:
        match fact.WhichOneof("fact"):
            case "offer_ended":
                fact.offer_ended.outcome = value or fact.offer_ended.outcome
            case "contact_closed":
                fact.contact_closed.outcome = value or fact.contact_closed.outcome
            case "agent_presence_changed":
                fact.agent_presence_changed.reason = value
    envelope = on_the_bus("peyvand.routing.v1.Decided", entry_now.SerializeToString())
    assert all(not isinstance(p.fact, Unread) and list(rows_of(p)) for p in placed_facts(envelope))
    live_api.read_routing(envelope)
    ended = [e for e in queue_log.inputs_of([envelope], "fs1", 1) if isinstance(e, inputs.OfferEnded)]
    assert [e.outcome for e in ended] == ([value] if value else [e.outcome for e in ended])


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(MemoryBroker(SystemClock()))


def _sends(bus: MemoryBus, version: str) -> None:
    """From now on the bus stores what that version would have stored."""
    truth = bus.broker.put

    def put(envelope: Envelope, expected_seq: int | None) -> Any:
        message: Any = (
            NEXT[envelope.type].FromString(envelope.data)
            if version == "next"
            else TYPES[envelope.type].FromString(envelope.data)
        )
        if version == "next":
            add(message)
        return truth(msgspec.structs.replace(envelope, data=message.SerializeToString()), expected_seq)

    bus.broker.put = put  # type: ignore[method-assign]


@pytest.mark.parametrize("version", ["previous", "next"])
async def test_evolution_leases_and_snapshots_of_other_versions_are_respected(
    bus: MemoryBus, version: str
) -> None:
    _sends(bus, version)
    timing = Timing(lease_s=30.0, poll_s=0.01)
    held = Lease(bus, SystemClock(), "routing", "0", "other-version", timing)
    await held.acquire()
    mine = Lease(bus, SystemClock(), "routing", "0", "me", timing)
    found = await mine._look()
    assert found is not None
    assert (found[1].owner, found[1].lease_ms) == ("other-version", 30_000)
    await held.release()
    await save_snapshot(bus, SystemClock(), "demo", "routing", Snapshot(5, b"state"))
    assert await load_snapshot(bus, "demo", "routing") == Snapshot(5, b"state")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    queue_log._told[:] = ["told already"]
    yield
    queue_log._told.clear()
