"""Arbitrary damage to a center document never gets past the loader as anything but a list of faults with lines."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.center import CenterError, CenterSet, load, numbers
from services.center.flow_edges import ways
from services.center.sentences import position_files
from services.center.source import parse

GOOD = (Path(__file__).parents[2] / "deploy" / "centers" / "demo.yaml").read_text("utf-8")
LINES = GOOD.splitlines()
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["sales", "menu", "welcome", "bye", "08:00-09:00", "1000", "fa", "+98", "2026-01-01"]),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def try_load(file: Path, text: str) -> CenterSet | None:
    file.write_text(text, encoding="utf-8", newline="")
    lines = text.count("\n") + 1
    try:
        return load(file)
    except CenterError as e:
        faults = e.faults
    assert faults
    for fault in faults:
        assert fault.file == str(file)
        # YAML also breaks lines at CR, NEL, LS and PS, so a line number may be larger than the LF count.
        assert 1 <= fault.line <= lines + sum(text.count(c) for c in "\r\x85\u2028\u2029")
        assert fault.message
    return None


def assert_silent_callers_end(centers: CenterSet) -> None:
    """What the loader lets through keeps its main promise, found here by walking instead of by searching for cycles."""
    for center in centers.centers:
        for flow in center.flows.values():
            at = {flow.start}
            for _ in range(len(flow.nodes) + 1):
                at = {to for name in at for _, to, keyed in ways(flow.nodes[name]) if not keyed}
            assert not at


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("centers")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, part in value.items():
            found += places(part, (*path, key))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            found += places(part, (*path, i))
    return found


TREE = parse(GOOD).value
PLACES = places(TREE)


@settings(max_examples=60)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(PLACES), st.one_of(st.just("delete"), JUNK)), min_size=1, max_size=3
    )
)
def test_damaged_values_give_faults_or_a_sound_center(
    folder: Path, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    tree = copy.deepcopy(TREE)
    for path, junk in changes:
        at = tree
        try:
            for part in path[:-1]:
                at = at[part]
            if junk == "delete":
                del at[path[-1]]
            else:
                at[path[-1]] = junk
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    centers = try_load(folder / "x.yaml", yaml.safe_dump(tree, allow_unicode=True))
    if centers is not None:
        assert_silent_callers_end(centers)


@settings(max_examples=60)
@given(
    line=st.integers(0, len(LINES) - 1),
    column=st.integers(0, 120),
    cut=st.integers(0, 20),
    put=st.text(max_size=6).filter(lambda text: max(text, default="a") < "\ud800" or max(text) > "\udfff"),
)
def test_damaged_text_gives_faults_or_a_sound_center(
    folder: Path, line: int, column: int, cut: int, put: str
) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:column] + put + lines[line][column + cut :]
    centers = try_load(folder / "y.yaml", "\n".join(lines))
    if centers is not None:
        assert_silent_callers_end(centers)


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 10**30), language=st.sampled_from(numbers.LANGUAGES))
def test_numbers_of_any_size_use_known_prompts_only(n: int, language: str) -> None:
    known = set(numbers.number_prompts(language)) | {"position-before", "position-after"}
    assert set(position_files(n, language)) <= known
    assert set(numbers.cardinal(n, language)) <= known
