"""The commands for those who write flows.

FILE is a center document, or one flow in a file of its own that bears its name; then ``--center`` says to which center it belongs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from services.center.flow import Flow
from services.center.flow_file import is_flow, read_flow
from services.center.loader import CenterError, load
from services.center.model import Center, CenterDocument
from services.ivr.tools.picture import draw
from services.ivr.tools.tables import rehearse

COMMANDS = ("check", "draw", "try", "schema")


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "schema":
        _say(json.dumps(schema(flow=options.flow), indent=2, ensure_ascii=False))
        return 0
    try:
        match options.command:
            case "check":
                return _check(options.files, options.center)
            case "draw":
                return _draw(options)
        return _try(options)
    except CenterError as e:
        print(e, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.ivr", description="Flows: check, draw, try")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="print every fault as file:line: path: message")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    picture = commands.add_parser("draw", help="an SVG picture of each flow")
    picture.add_argument("file", type=Path, metavar="FILE")
    picture.add_argument("--flow", help="only this one")
    picture.add_argument("--language", help="of words and prompts (default: the center's first)")
    picture.add_argument("--out", type=Path, default=Path(), help="folder for <flow>.svg (default: here)")
    trial = commands.add_parser("try", help="go through the calls of a table")
    trial.add_argument("file", type=Path, metavar="FILE")
    trial.add_argument("tables", nargs="+", type=Path, metavar="TABLE")
    for command in (check, picture, trial):
        command.add_argument("--center", type=Path, help="the center document that a flow's file belongs to")
    described = commands.add_parser(
        "schema", help="JSON Schema for editors: the flows of a center document, and what they name"
    )
    described.add_argument("--flow", action="store_true", help="of one flow in a file of its own")
    return parser


_WRITTEN_HERE = ("prompts", "calendars", "entry_points", "flows", "speech")
"""The parts of a center document that a writer of flows edits."""


def schema(*, flow: bool = False) -> dict[str, Any]:
    """The JSON Schema of one flow, or of the parts of a center document that a writer of flows edits; the others may be anything."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if flow:
        return {**head, **Flow.model_json_schema(by_alias=True), "title": "A flow of Peyvand"}
    found = CenterDocument.model_json_schema(by_alias=True)
    parts: dict[str, Any] = {name: found["properties"][name] for name in _WRITTEN_HERE}
    return {
        **head,
        "title": "A center document of Peyvand",
        "type": "object",
        "properties": parts,
        "required": [name for name in found["required"] if name in parts],
        "$defs": _named(found["$defs"], parts),
    }


def _named(definitions: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The definitions that the parts name, and those that these name."""
    wanted: dict[str, Any] = {}
    todo = [parts]
    while todo:
        for name in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(todo.pop())):
            if name not in wanted:
                wanted[name] = definitions[name]
                todo.append(definitions[name])
    return {name: part for name, part in definitions.items() if name in wanted}


def _read(file: Path, center: Path | None) -> tuple[Center, list[str]]:
    """The center, and the flows that the file is about."""
    if is_flow(file):
        if center is None:
            raise CenterError.of(
                file, "this is one flow; --center names the center document that it belongs to"
            )
        around, name = read_flow(file, center)
        return around, [name]
    found = load(file).centers[0]
    return found, list(found.flows)


def _check(files: list[Path], center: Path | None) -> int:
    wrong = False
    for file in files:
        try:
            found, names = _read(file, center)
        except CenterError as e:
            print(e, file=sys.stderr)
            wrong = True
            continue
        for name in names:
            flow = found.flows[name]
            _say(f"{file}: flow {name}, version {flow.version}, {len(flow.nodes)} nodes: right")
    return int(wrong)


def _draw(options: argparse.Namespace) -> int:
    center, names = _read(options.file, options.center)
    if options.flow is not None:
        if options.flow not in names:
            raise CenterError.of(
                options.file, f'unknown flow "{options.flow}"; expected one of {", ".join(names)}'
            )
        names = [options.flow]
    options.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        target = options.out / f"{name}.svg"
        target.write_text(draw(center, name, options.language or center.languages[0]), encoding="utf-8")
        _say(str(target))
    return 0


def _try(options: argparse.Namespace) -> int:
    center, _ = _read(options.file, options.center)
    wrong = 0
    for table in options.tables:
        result = rehearse(center, table)
        for row in result.tried:
            for message in row.wrong:
                print(f"{table}:{row.line}: {row.name}: {message}", file=sys.stderr)
            if row.wrong:
                print(f"    went {' '.join(row.heard.path)}", file=sys.stderr)
                wrong += 1
        _say(
            f"{table}: {len(result.tried) - sum(bool(r.wrong) for r in result.tried)} of {len(result.tried)} calls are right"
        )
        for name, nodes in result.unvisited.items():
            _say(f"    no call went through {name}: {', '.join(nodes)}")
    return int(bool(wrong))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
