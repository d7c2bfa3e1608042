"""The contracts' own order: generated code is current, every event has a topic, every message an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.dev import proto_compat, protoc
from services.common.bus import codec, streams, subjects
from services.contracts.peyvand.routing.v1.log_pb2 import Fact
from services.contracts.registry import TYPES
from services.contracts.required import REQUIRED

PROTO = Path(protoc.PROTO)
TOPICS = sorted((PROTO / "topics").glob("*.yaml"))
EXAMPLES = PROTO / "examples"
# Messages that live inside others or travel as questions, answers, leases and snapshots: no stored event of their own.
EVENT_FILES = ("ivr", "queue", "recording", "reporting")
PARTS = {"peyvand.reporting.v1.Mark"}


def topic(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def test_contracts_are_current(tmp_path: Path) -> None:
    fresh = tmp_path / "contracts"
    protoc.generate(fresh)
    assert protoc.differences(fresh) == []


@pytest.mark.parametrize("path", TOPICS, ids=lambda p: p.stem)
def test_contracts_topic_names_a_message_a_stream_and_its_owner(path: Path) -> None:
    found = topic(path)
    subject = found["subject"].replace("<tenant>", "demo")
    parsed = subjects.parse(subject)
    assert path.stem == f"{parsed.service}.{parsed.entity}.{parsed.what}"
    assert found["owner"] == parsed.service
    assert found["message"] in TYPES
    assert found["message"].startswith(subjects.package_of(subject) + ".")
    assert streams.stream_of(subject).name == found["stream"]
    assert found["consumers"]
    assert len(found["meaning"]) > 20


def test_contracts_every_event_has_one_topic() -> None:
    told = [topic(path)["message"] for path in TOPICS]
    files = {n: kind.DESCRIPTOR.file.name for n, kind in TYPES.items()}
    events = [
        n
        for n, file in files.items()
        if n.split(".")[1] in EVENT_FILES and "rpc.proto" not in file and n not in PARTS
    ]
    events += ["peyvand.routing.v1.Decided", "peyvand.center.v1.CenterRevised"]
    assert sorted(told) == sorted(events)


def test_contracts_topic_of_the_log_explains_every_fact() -> None:
    explained = topic(PROTO / "topics" / "routing.log.decided.yaml")["facts"]
    assert list(explained) == [f.message_type.name for f in Fact.DESCRIPTOR.fields]


@pytest.mark.parametrize("name", sorted(TYPES))
def test_contracts_example_is_read_with_every_field(name: str) -> None:
    text = (EXAMPLES / f"{name}.json").read_text()
    message = json_format.Parse(text, TYPES[name]())
    codec.check(message)
    assert TYPES[name].FromString(message.SerializeToString()) == message
    is_choice = bool(message.DESCRIPTOR.oneofs)
    unset = {f.name for f in message.DESCRIPTOR.fields} - {f.name for f, _ in message.ListFields()}
    assert is_choice or unset <= {"index"}, f"the example leaves out {unset}"


def test_contracts_examples_are_of_known_messages() -> None:
    assert {p.stem for p in EXAMPLES.glob("*.json")} == set(TYPES)


def test_contracts_required_fields_exist() -> None:
    for name, fields in REQUIRED.items():
        assert set(fields) <= {f.name for f in TYPES[name].DESCRIPTOR.fields}
    assert REQUIRED["peyvand.queue.v1.ContactGone"] == ("contact_id", "state", "at_us")


def _described() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((protoc.OUT / "contracts.binpb").read_bytes())


def _gone(files: FileDescriptorSet) -> Any:
    file = next(f for f in files.file if f.package == "peyvand.queue.v1")
    return next(m for m in file.message_type if m.name == "ContactGone")


def _remove(message: Any, number: int) -> None:
    kept = [f for f in message.field if f.number != number]
    del message.field[:]
    message.field.extend(kept)


def test_contracts_compatible_changes_pass() -> None:
    new = _described()
    added = _gone(new).field.add()
    added.name, added.number, added.type, added.label = "note", 99, 9, 1
    _remove(_gone(new), 3)
    _gone(new).reserved_range.add(start=3, end=4)
    _gone(new).reserved_name.append("cause")
    assert list(proto_compat.breaking(_described(), new, REQUIRED, REQUIRED)) == []


def test_contracts_breaking_changes_are_named() -> None:
    new = _described()
    _remove(_gone(new), 3)
    by_number = {f.number: f for f in _gone(new).field}
    by_number[4].type = 9
    by_number[5].name = "not_seen"
    del next(f for f in new.file if f.package == "peyvand.ivr.v1").message_type[0]
    stricter = {**REQUIRED, "peyvand.queue.v1.ContactGone": ("contact_id", "state", "at_us", "wait_ms")}
    found = "\n".join(proto_compat.breaking(_described(), new, REQUIRED, stricter))
    assert "ContactGone.cause: removed without `reserved 3" in found
    assert "field 4 was `int64 wait_ms`, is `string wait_ms`" in found
    assert "field 5 was `bool unseen`, is `bool not_seen`" in found
    assert "peyvand.ivr.v1.ContactStarted: removed" in found
    assert "ContactGone.wait_ms: became required" in found
    assert len(found.splitlines()) == 5
