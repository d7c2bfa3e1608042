"""What people do with flows at a desk: check, draw, try; and the schemas that their editors read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from services.center import load
from services.center.source import parse
from services.ivr.tools import cli
from services.ivr.tools.picture import draw
from services.ivr.tools.tables import rehearse
from tests.unit.center.test_center_flows import DOCUMENT

ROOT = Path(__file__).parents[3]
CENTERS = ROOT / "deploy" / "centers"
DEMO = CENTERS / "demo.yaml"
TABLES = sorted((CENTERS / "tables").glob("*.yaml"))
DOCUMENTS = {file.stem: file for file in CENTERS.rglob("*.yaml") if file.parent.name != "tables"}


@pytest.mark.parametrize("table", TABLES, ids=lambda file: str(file.stem))
def test_the_examples_do_what_their_tables_say(table: Path) -> None:
    result = rehearse(load(DOCUMENTS[table.stem]).centers[0], table)
    assert [(row.name, row.wrong) for row in result.tried if row.wrong] == []


def test_every_example_has_a_table() -> None:
    assert {table.stem for table in TABLES} == set(DOCUMENTS)


FLOW = """\
version: 4
start: hello
nodes:
  hello: {play: welcome, then: menu}
  menu: {menu: main-menu, digits: {"1": to-sales}, otherwise: bye}
  to-sales: {queue: sales}
  bye: {hangup: true}
"""


def test_check_tells_faults_of_one_flow_with_its_own_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "news.yaml"
    file.write_text(FLOW)
    assert cli.main(["check", str(file), "--center", str(DEMO)]) == 0
    assert capsys.readouterr().out == f"{file}: flow news, version 4, 4 nodes: right\n"
    file.write_text(FLOW.replace("queue: sales", "queue: sails").replace("play: welcome", "play: welcom"))
    assert cli.main(["check", str(file), "--center", str(DEMO)]) == 1
    told = capsys.readouterr().err
    assert f'{file}:4: nodes.hello.play: unknown prompt "welcom"' in told
    assert f'{file}:6: nodes.to-sales.queue: unknown queue "sails"' in told
    assert cli.main(["check", str(file)]) == 1
    assert "--center names the center document" in capsys.readouterr().err
    file.write_text(FLOW + "nodes: {}\n")
    assert cli.main(["check", str(file), "--center", str(DEMO)]) == 1
    assert f"{file}:8: nodes: duplicate key; first on line 3" in capsys.readouterr().err


def test_check_tells_all_faults_of_a_center(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(DOCUMENT.replace("then: hours", "then: houses", 1))
    assert cli.main(["check", str(file), str(DEMO)]) == 1
    told = capsys.readouterr()
    assert "flows.main.nodes.choose.then: unknown node" in told.err
    assert "flow main, version 2" in told.out, "the other file is checked all the same"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ends: queue sales", "ends: queue support", "3: One: ends: queue sales; expected queue support"),
        (
            "hears: [welcome, main-menu]",
            "hears: [welcome]",
            "3: One: hears fa/welcome, fa/main-menu; expected welcome",
        ),
        ("hears: [welcome, main-menu]", "hears: [en/welcome, main-menu]", "3: One: hears fa/welcome"),
        (
            'does: ["1"]',
            'does: ["1", "2"]',
            "3: One: the last 1 of what the caller does was never waited for",
        ),
        ('does: ["1"]', "does: [dance]", "4: calls.0.does.0"),
        (
            "ends: queue sales",
            "ends: queue sales\n    language: en",
            "3: One: language is 'fa'; expected 'en'",
        ),
        (
            "ends: queue sales",
            "ends: queue sales\n    entry: '77'",
            '3: calls.0.entry: unknown entry point "77"',
        ),
        ("ends: queue sales", "ends: queue sales\n    drawn: {menu: x}", "3: One: menu never led to x"),
        ("ends: queue sales", "ends: queue sales\n    colour: red", "7: calls.0.colour: Extra inputs"),
    ],
)
def test_a_table_that_is_wrong_fails_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    table = tmp_path / "t.yaml"
    right = 'entry: "1000"\ncalls:\n  - name: One\n    does: ["1"]\n    hears: [welcome, main-menu]\n    ends: queue sales\n'
    table.write_text(right)
    assert cli.main(["try", str(DEMO), str(table)]) == 0
    assert "1 of 1 calls are right" in capsys.readouterr().out
    table.write_text(right.replace(old, new))
    assert cli.main(["try", str(DEMO), str(table)]) == 1
    assert f"{table}:{told}" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["en", "fa"])
def test_a_picture_has_every_node_and_its_words(tmp_path: Path, language: str) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(DOCUMENT)
    center = load(file).centers[0]
    root = ET.fromstring(draw(center, "main", language))
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(center.flows["main"].nodes) <= set(texts)
    assert ("در غیر این صورت" if language == "fa" else "otherwise") in texts
    assert "= 4711, 4000-4100" in texts or "= 4711، 4000-4100" in texts
    assert root.attrib["lang"] == language
    paths = [p for p in root.iter("{http://www.w3.org/2000/svg}path") if "marker-end" in p.attrib]
    assert sum("stroke-dasharray" in p.attrib for p in paths) == 1, "the way back to the number"


def test_draw_writes_a_file_a_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["draw", str(DEMO), "--out", str(tmp_path / "pictures")]) == 0
    names = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert names == {f"{name}.svg" for name in load(DEMO).centers[0].flows}
    assert cli.main(["draw", str(DEMO), "--flow", "mane", "--out", str(tmp_path)]) == 1
    assert 'unknown flow "mane"; expected one of' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["center", "flow"])
def test_the_schemas_are_current(name: str) -> None:
    written = json.loads((ROOT / "deploy" / "schemas" / f"{name}.json").read_text())
    made = cli.schema(flow=name == "flow")
    assert written == made, (
        f"python -m services.ivr schema{' --flow' if name == 'flow' else ''} > deploy/schemas/{name}.json"
    )
    jsonschema.Draft202012Validator.check_schema(made)


def test_an_editor_takes_what_the_loader_takes_and_marks_what_it_refuses() -> None:
    schema = jsonschema.Draft202012Validator(cli.schema())
    for text in (DEMO.read_text(), DOCUMENT):
        assert [e.message for e in schema.iter_errors(parse(text).value)] == []
    for old, new in (
        ("then: hours", "than: hours"),
        ('"1": en', '"1": english'),
        ("luhn: true", "luhn: maybe"),
        ("hangup: true", "hangup: loud"),
    ):
        assert old in DOCUMENT
        assert list(schema.iter_errors(parse(DOCUMENT.replace(old, new)).value))
