"""Generate ``proto/asyncapi.yaml``: the stored facts as an AsyncAPI 3.0 document, for those who consume them from outside.

    python -m deploy.dev.asyncapi            write proto/asyncapi.yaml
    python -m deploy.dev.asyncapi --check    exit 1 when what is committed differs

Everything comes from what the services themselves run on: subjects, owners and meanings from proto/topics, messages and
their comments from the .proto files, limits from services/common/bus/streams.py, examples from proto/examples. A message is
given twice: as protobuf, which is on the wire, and as the JSON that protobuf's own mapping makes of it (``x-json``).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from grpc_tools import protoc as compiler  # type: ignore[import-untyped]

from deploy.dev.protoc import PROTO, messages_of
from services.common.bus.streams import CENTER, EVENTS, ROUTING, StreamSpec

OUT = PROTO / "asyncapi.yaml"
PROTOBUF = "application/vnd.google.protobuf;version=3"
_FIELD = 2  # of descriptor.proto: the path of a field's comment is (... message, 2, index)

_F = FieldDescriptorProto
_INT64 = {_F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_SINT64, _F.TYPE_FIXED64, _F.TYPE_SFIXED64}
_INT32 = {_F.TYPE_INT32, _F.TYPE_UINT32, _F.TYPE_SINT32, _F.TYPE_FIXED32, _F.TYPE_SFIXED32}

_HEADERS: dict[str, tuple[str, str]] = {
    "ce-specversion": ("1.0", "CloudEvents, binary mode"),
    "ce-id": ("", "Names the fact for ever. Whoever keeps the ids it has handled handles every fact once."),
    "ce-type": ("", "Full name of the message; selects the decoder."),
    "ce-source": ("", "Who said it: /service/instance."),
    "ce-time": ("", "When it happened, RFC 3339 in UTC with microseconds."),
    "ce-datacontenttype": ("application/protobuf", ""),
    "ce-tenant": ("", "The tenant."),
    "ce-correlationid": ("", "The contact: one customer's one attempt, from the first leg to the last."),
    "ce-causationid": ("", "Id of the input that led to it."),
    "Nats-Msg-Id": ("", "Equal to ce-id; the server drops what is stored a second time under it."),
}
_ALWAYS = ("ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-datacontenttype", "Nats-Msg-Id")


@dataclass(frozen=True)
class Documented:
    """A message with its comments."""

    message: DescriptorProto
    comment: str
    fields: Mapping[str, str] = field(default_factory=dict)


def described() -> dict[str, Documented]:
    """Every message of proto/ by full name. Raises RuntimeError when protoc refuses a file; it has printed why."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "all.binpb"
        sources = sorted(str(p.relative_to(PROTO)) for p in PROTO.rglob("*.proto"))
        arguments = ["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", "--include_source_info", *sources]
        if code := compiler.main(arguments):
            raise RuntimeError(f"protoc failed with exit code {code}")
        files = FileDescriptorSet.FromString(out.read_bytes())
    found: dict[str, Documented] = {}
    for file in files.file:
        comments = {
            tuple(place.path): " ".join((place.leading_comments or place.trailing_comments).split())
            for place in file.source_code_info.location
        }
        for path, name, message in messages_of(file):
            fields = {f.name: comments.get((*path, _FIELD, i), "") for i, f in enumerate(message.field)}
            found[name] = Documented(message, comments.get(path, ""), fields)
    return found


def document() -> dict[str, Any]:
    """The whole AsyncAPI document."""
    known = described()
    topics = [yaml.safe_load(path.read_text()) for path in sorted((PROTO / "topics").glob("*.yaml"))]
    names = _with_parts([topic["message"] for topic in topics], known)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Peyvand: facts of a contact center",
            "version": "1.0.0",
            "description": (
                "What happened in the contact center, as Peyvand stores it in NATS JetStream. Read it with a durable pull consumer "
                "of your own on the stream named at each channel: it keeps your place, and gives again what you have not "
                "acknowledged. Delivery is at least once, in the order of the stream; keep the `ce-id` with what you make of a fact and "
                "you handle each exactly once. Order holds within a stream only. An unknown `ce-type`, field or kind is of a newer "
                "version: pass it over. Never publish on these subjects, and never subscribe to `cc.v1.rpc.>` or "
                "`cc.alive.>`: askers rely on the server's word that nobody listens there. Examples of consumers: "
                "proto/consumers."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/protobuf",
        "servers": _servers(),
        "channels": {_key(topic): _channel(topic) for topic in topics},
        "operations": {f"tell-{_key(topic)}": _operation(topic) for topic in topics},
        "components": {
            "messages": {topic["message"]: _message(topic, known) for topic in topics},
            "messageTraits": {"cloudevent": {"headers": _headers()}},
            "schemas": {
                **{
                    package: {
                        "schemaFormat": PROTOBUF,
                        "schema": (PROTO / _file_of(package, topics)).read_text(),
                    }
                    for package in sorted({_package(topic["message"]) for topic in topics})
                },
                **{f"{name}.json": _json_schema(known[name], known) for name in names},
            },
            "parameters": {
                "tenant": {"description": "The organisation; `*` in a consumer's filter takes all of them."}
            },
            "securitySchemes": {
                "password": {"type": "userPassword", "description": "A NATS user of your installation."},
                "certificate": {
                    "type": "X509",
                    "description": "A client certificate, where TLS asks for one.",
                },
            },
        },
        "x-streams": [_stream(spec) for spec in (EVENTS, ROUTING, CENTER)],
        "x-permissions": {
            "description": (
                "What a NATS user needs to consume one stream with a durable consumer NAME and an inbox prefix of its own: with "
                "the common one it could read the answers that others get. Nothing else should be allowed."
            ),
            "publish": [
                "$JS.API.STREAM.INFO.CC_EVENTS",
                "$JS.API.CONSUMER.CREATE.CC_EVENTS.NAME",
                "$JS.API.CONSUMER.CREATE.CC_EVENTS.NAME.>",
                "$JS.API.CONSUMER.INFO.CC_EVENTS.NAME",
                "$JS.API.CONSUMER.MSG.NEXT.CC_EVENTS.NAME",
                "$JS.ACK.CC_EVENTS.NAME.>",
            ],
            "subscribe": ["_INBOX_NAME.>"],
        },
    }


def _servers() -> dict[str, Any]:
    return {
        "development": {
            "host": "127.0.0.1:4222",
            "protocol": "nats",
            "description": "The embedded server of `make demo` and `make dev`: on loopback, without users.",
        },
        "production": {
            "host": "{host}:4222",
            "protocol": "nats",
            "description": "The installation's cluster. A user who may do what x-permissions lists is enough.",
            "variables": {"host": {"description": "Any node of the cluster", "default": "nats"}},
            "security": [
                {"$ref": "#/components/securitySchemes/password"},
                {"$ref": "#/components/securitySchemes/certificate"},
            ],
        },
    }


def _key(topic: Mapping[str, Any]) -> str:
    return "-".join(topic["subject"].split(".")[4:])


def _package(message: str) -> str:
    return message.rpartition(".")[0]


def _file_of(package: str, topics: list[dict[str, Any]]) -> str:
    declares = [
        topic["message"].rpartition(".")[2] for topic in topics if _package(topic["message"]) == package
    ]
    for path in sorted((PROTO / package.replace(".", "/")).glob("*.proto")):
        if re.search(rf"^message {declares[0]}\b", path.read_text(), re.MULTILINE):
            return str(path.relative_to(PROTO))
    raise RuntimeError(f"no file in proto/ declares {package}.{declares[0]}")


def _channel(topic: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "address": topic["subject"].replace("<", "{").replace(">", "}"),
        "description": topic["meaning"].strip(),
        "messages": {
            topic["message"].rpartition(".")[2]: {"$ref": f"#/components/messages/{topic['message']}"}
        },
        "parameters": {"tenant": {"$ref": "#/components/parameters/tenant"}},
        "tags": [{"name": topic["owner"]}],
        "x-stream": topic["stream"],
        "x-owner": topic["owner"],
        "x-consumers": topic["consumers"],
    }
    if "facts" in topic:
        made["x-facts"] = topic["facts"]
    return made


def _operation(topic: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_key(topic)}"},
        "summary": f"{topic['owner']} tells {topic['message'].rpartition('.')[2]}",
        "messages": [{"$ref": f"#/channels/{_key(topic)}/messages/{topic['message'].rpartition('.')[2]}"}],
    }


def _message(topic: Mapping[str, Any], known: Mapping[str, Documented]) -> dict[str, Any]:
    name = topic["message"]
    short = name.rpartition(".")[2]
    example = json.loads((PROTO / "examples" / f"{name}.json").read_text())
    return {
        "name": name,
        "title": short,
        "summary": known[name].comment or topic["meaning"].strip(),
        "contentType": "application/protobuf",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "correlationId": {"location": "$message.header#/ce-correlationid", "description": "The contact"},
        "payload": {"$ref": f"#/components/schemas/{_package(name)}"},
        "examples": [
            {
                "name": short,
                "summary": "In protobuf's JSON form; on the wire it is binary.",
                "headers": {
                    "ce-specversion": "1.0",
                    "ce-id": "3f2a9c1e-7b64-4d0a-9a53-0c6f5d2e8b11:1",
                    "ce-type": name,
                    "ce-source": f"/{topic['owner']}/1",
                    "ce-time": "2026-11-21T12:00:00.123456Z",
                    "ce-datacontenttype": "application/protobuf",
                    "ce-tenant": "demo",
                    "ce-correlationid": "3f2a9c1e-7b64-4d0a-9a53-0c6f5d2e8b11",
                    "Nats-Msg-Id": "3f2a9c1e-7b64-4d0a-9a53-0c6f5d2e8b11:1",
                },
                "payload": example,
            }
        ],
        "x-json": {"$ref": f"#/components/schemas/{name}.json"},
    }


def _headers() -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, (value, meaning) in _HEADERS.items():
        properties[name] = {"type": "string"}
        if value:
            properties[name]["const"] = value
        if meaning:
            properties[name]["description"] = meaning
    return {"type": "object", "required": list(_ALWAYS), "properties": properties}


def _stream(spec: StreamSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "subjects": list(spec.subjects),
        "kept_days": spec.max_age_s // 86_400,
        "kept_mib": spec.max_bytes >> 20,
        "when_full": f"discard {spec.discard.value}",
        "duplicate_window_s": spec.duplicate_window_s,
    }


# --------------------------------------------------------------------------------------------------------------- JSON schema
def _with_parts(names: list[str], known: Mapping[str, Documented]) -> list[str]:
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [f.type_name.lstrip(".") for f in known[name].message.field if f.type_name]
    return sorted(found)


def _json_schema(documented: Documented, known: Mapping[str, Documented]) -> dict[str, Any]:
    """The message in protobuf's JSON mapping: camel-case names, 64-bit numbers as text, bytes as base64."""
    properties: dict[str, Any] = {}
    required = []
    for f in documented.message.field:
        comment = documented.fields[f.name]
        if comment.startswith("required"):
            required.append(f.json_name)
            comment = comment.removeprefix("required").lstrip(". ")
        kind = _json_type(f)
        if comment and "$ref" not in kind:
            kind["description"] = comment
        properties[f.json_name] = kind
    made: dict[str, Any] = {"type": "object", "properties": properties}
    if documented.comment:
        made["description"] = documented.comment
    if required:
        made["required"] = required
    if documented.message.oneof_decl:
        made |= {"minProperties": 1, "maxProperties": 1}
    return made


def _json_type(f: FieldDescriptorProto) -> dict[str, Any]:
    one: dict[str, Any]
    if f.type == _F.TYPE_MESSAGE:
        one = {"$ref": f"#/components/schemas/{f.type_name.lstrip('.')}.json"}
    elif f.type in _INT64:
        one = {"type": ["string", "integer"], "format": "int64", "pattern": "^-?[0-9]+$"}
    elif f.type in _INT32:
        one = {"type": "integer", "format": "int32"}
    elif f.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        one = {"type": "number"}
    elif f.type == _F.TYPE_BOOL:
        one = {"type": "boolean"}
    elif f.type == _F.TYPE_BYTES:
        one = {"type": "string", "contentEncoding": "base64"}
    else:
        one = {"type": "string"}
    return {"type": "array", "items": one} if f.label == _F.LABEL_REPEATED else one


# -------------------------------------------------------------------------------------------------------------------- output
class _Dumper(yaml.SafeDumper):
    """Texts of several lines stay readable; nothing becomes an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rendered() -> str:
    """The file's text."""
    head = "# Generated by deploy/dev/asyncapi.py from proto/; do not edit.\n"
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dev.asyncapi", description="Generate proto/asyncapi.yaml."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when it is not current")
    args = parser.parse_args(argv)
    text = rendered()
    if not args.check:
        OUT.write_text(text)
    elif not OUT.exists() or OUT.read_text() != text:
        sys.stderr.write("proto/asyncapi.yaml is not current; run `make proto`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
