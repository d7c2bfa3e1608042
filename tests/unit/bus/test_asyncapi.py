"""proto/asyncapi.yaml: current, valid by AsyncAPI's own schema, and true: examples and real headers fit what it says."""

from __future__ import annotations

import copy
import json
import lzma
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from google.protobuf import json_format

from deploy.dev import asyncapi
from deploy.dev.protoc import PROTO
from services.common.bus import Outgoing, subjects
from services.common.bus.headers import to_headers
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.bus.streams import stream_of
from services.contracts.registry import TYPES

SCHEMA = Path(__file__).parents[2] / "vectors" / "asyncapi" / "asyncapi-3.0.0.schema.json.xz"
STORED = sorted(
    name.removesuffix(".json")
    for name in yaml.safe_load(asyncapi.OUT.read_text())["components"]["schemas"]
    if name.endswith(".json")
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(asyncapi.OUT.read_text())
    return loaded


def resolver(document: dict[str, Any], fragment: dict[str, Any]) -> jsonschema.Draft7Validator:
    """A validator of a schema inside the document, with the document's own references."""
    return jsonschema.Draft7Validator({**fragment, "components": document["components"]})


def schema_of(document: dict[str, Any], name: str) -> jsonschema.Draft7Validator:
    return resolver(document, {"$ref": f"#/components/schemas/{name}.json"})


def test_asyncapi_is_current() -> None:
    assert asyncapi.main(["--check"]) == 0


def test_asyncapi_check_notices_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "asyncapi.yaml"
    stale.write_text(asyncapi.OUT.read_text().replace("wait", "weight", 1))
    monkeypatch.setattr(asyncapi, "OUT", stale)
    assert asyncapi.main(["--check"]) == 1
    assert "make proto" in capsys.readouterr().err


def test_asyncapi_is_valid_by_its_own_schema(document: dict[str, Any]) -> None:
    official = jsonschema.Draft7Validator(json.loads(lzma.decompress(SCHEMA.read_bytes())))
    official.validate(document)
    broken = copy.deepcopy(document)
    broken["operations"]["tell-queue-contact-gone"]["action"] = "shout"
    assert not official.is_valid(broken)


def test_asyncapi_references_lead_somewhere(document: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found: Any = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(document)


def test_asyncapi_has_a_channel_for_every_topic_on_the_stream_that_stores_it(
    document: dict[str, Any],
) -> None:
    topics = {p.stem for p in (PROTO / "topics").glob("*.yaml")}
    addresses = {c["address"].replace("{tenant}", "demo"): c for c in document["channels"].values()}
    assert {".".join(a.split(".")[4:]) for a in addresses} == topics
    streams = {s["name"]: s for s in document["x-streams"]}
    for address, channel in addresses.items():
        spec = stream_of(address)
        assert channel["x-stream"] == spec.name
        assert streams[spec.name]["subjects"] == list(spec.subjects)
        assert streams[spec.name]["kept_days"] * 86_400 == spec.max_age_s


@pytest.mark.parametrize("name", STORED)
def test_asyncapi_json_schema_takes_the_golden_example(document: dict[str, Any], name: str) -> None:
    example = json.loads((PROTO / "examples" / f"{name}.json").read_text())
    schema = schema_of(document, name)
    schema.validate(example)
    # What protobuf's own mapping writes fits as well, and what is wrong does not.
    schema.validate(json_format.MessageToDict(json_format.ParseDict(example, TYPES[name]())))
    known = document["components"]["schemas"][f"{name}.json"]
    assert set(known["properties"]) == {f.json_name for f in TYPES[name].DESCRIPTOR.fields}
    for required in known.get("required", []):
        assert not schema.is_valid({k: v for k, v in example.items() if k != required})
    assert not schema.is_valid({**example, next(iter(known["properties"])): [{}]})


async def test_asyncapi_headers_are_those_of_a_stored_fact(document: dict[str, Any]) -> None:
    broker = MemoryBroker()
    bus = MemoryBus(broker, source="/queue/1")
    gone = TYPES["peyvand.queue.v1.ContactGone"]
    message = json_format.Parse(
        (PROTO / "examples" / "peyvand.queue.v1.ContactGone.json").read_text(), gone()
    )
    subject = subjects.fact("demo", "queue", "contact", "gone")
    await bus.append(Outgoing(subject, message, "c:gone:0", "demo", correlation_id="c", causation_id="x"))
    stored = await bus.last(subject)
    await bus.stop()
    assert stored is not None
    headers = to_headers(stored, stored=True)
    fragment = document["components"]["messageTraits"]["cloudevent"]["headers"]
    resolver(document, fragment).validate(headers)
    assert set(headers) == set(fragment["properties"])
    for kind in document["components"]["messages"].values():
        resolver(document, fragment).validate(kind["examples"][0]["headers"])
