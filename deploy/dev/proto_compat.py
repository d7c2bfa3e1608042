"""Refuse changes of the contracts that an older or newer process could not read.

    python -m deploy.dev.proto_compat [BASE]      BASE: a git revision (default HEAD) or a descriptor set's file

Compares services/contracts/contracts.binpb as it is now with the one of BASE. Two versions run side by side during
an upgrade, so the bytes of one must mean the same to the other: no field may change its number, type or name, none may go
without its number and name being reserved, and none may become required.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = "services/contracts/contracts.binpb"
REQUIRED = "services/contracts/required.py"

Required = Mapping[str, tuple[str, ...]]


def _messages(files: FileDescriptorSet) -> dict[str, DescriptorProto]:
    found: dict[str, DescriptorProto] = {}

    def walk(prefix: str, message: DescriptorProto) -> None:
        name = f"{prefix}.{message.name}"
        found[name] = message
        for nested in message.nested_type:
            walk(name, nested)

    for file in files.file:
        for message in file.message_type:
            walk(file.package, message)
    return found


def _enums(files: FileDescriptorSet) -> dict[str, dict[int, str]]:
    return {
        f"{f.package}.{e.name}": {v.number: v.name for v in e.value} for f in files.file for e in f.enum_type
    }


def _shape(field: FieldDescriptorProto) -> str:
    label = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    kind = (
        field.type_name.lstrip(".")
        or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    )
    oneof = f" in oneof {field.oneof_index}" if field.HasField("oneof_index") else ""
    return f"{label}{kind} {field.name}{oneof}"


def _is_reserved(message: DescriptorProto, number: int, name: str) -> bool:
    return name in message.reserved_name and any(r.start <= number < r.end for r in message.reserved_range)


def breaking(
    old: FileDescriptorSet, new: FileDescriptorSet, required_old: Required, required_new: Required
) -> Iterator[str]:
    """One line for each change that breaks reading."""
    now = _messages(new)
    for name, message in _messages(old).items():
        if name.split(".")[2].endswith("alpha"):
            continue  # not released
        if name not in now:
            yield f"{name}: removed; processes of the version before still send it"
            continue
        fields = {f.number: f for f in now[name].field}
        for field in message.field:
            after = fields.get(field.number)
            if after is None:
                if not _is_reserved(now[name], field.number, field.name):
                    yield f'{name}.{field.name}: removed without `reserved {field.number}; reserved "{field.name}";`'
            elif _shape(after) != _shape(field):
                yield f"{name}: field {field.number} was `{_shape(field)}`, is `{_shape(after)}`"
        for field_name in sorted(set(required_new.get(name, ())) - set(required_old.get(name, ()))):
            yield f"{name}.{field_name}: became required; processes of the version before may leave it empty"
    enums = _enums(new)
    for name, values in _enums(old).items():
        for number, value in values.items():
            if enums.get(name, {}).get(number) != value:
                yield f"{name}: value {number} was {value}, is {enums.get(name, {}).get(number, 'removed')}"


def _required(text: str) -> Required:
    for node in ast.parse(text).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "REQUIRED"
            and node.value
        ):
            found: Required = ast.literal_eval(node.value)
            return found
    return {}


def _of_revision(revision: str, path: str) -> bytes | None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "show", f"{revision}:{path}"], capture_output=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dev.proto_compat", description="Find wire-breaking changes."
    )
    parser.add_argument("base", nargs="?", default="HEAD", help="git revision, or file with a descriptor set")
    args = parser.parse_args(argv)
    now = FileDescriptorSet.FromString((ROOT / CONTRACTS).read_bytes())
    required_now = _required((ROOT / REQUIRED).read_text())
    if Path(args.base).is_file():
        before, required_before = Path(args.base).read_bytes(), required_now
    else:
        found = _of_revision(args.base, CONTRACTS)
        if found is None:
            print(f"{args.base} has no {CONTRACTS}: nothing to compare with")
            return 0
        before = found
        required_before = _required((_of_revision(args.base, REQUIRED) or b"").decode())
    problems = list(breaking(FileDescriptorSet.FromString(before), now, required_before, required_now))
    print("\n".join(problems) if problems else "contracts are compatible")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
