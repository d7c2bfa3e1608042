"""A process's place among the others: for itself, and for its session's group where it is alone in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.common.priority import take_place


@pytest.fixture
def niced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was asked of the kernel; the test itself keeps its place."""
    asked: list[int] = []

    def nice(by: int) -> int:
        asked.append(by)
        return by

    monkeypatch.setattr(os, "nice", nice)
    return asked


@pytest.mark.parametrize(("leads", "group"), [(True, "-10"), (False, "0")])
def test_a_process_that_leads_its_session_moves_the_group(
    niced: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, leads: bool, group: str
) -> None:
    """A niceness that the kernel counts within the group alone changed nothing: 3.0 ms late in one of ten before and after."""
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid() if leads else 1)
    autogroup = tmp_path / "autogroup"
    autogroup.write_text("0")
    take_place(-10, autogroup)
    assert niced == [-10]
    assert autogroup.read_text() == group


def test_a_kernel_without_groups_is_content_with_the_niceness(
    niced: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    take_place(5, tmp_path / "autogroup")
    assert niced == [5]
    assert not (tmp_path / "autogroup").exists()


def test_who_has_no_wish_keeps_the_place_that_it_was_given(niced: list[int], tmp_path: Path) -> None:
    take_place(0, tmp_path / "autogroup")
    assert niced == []


def test_a_kernel_that_is_busy_with_changes_is_asked_again(
    niced: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    monkeypatch.setattr("services.common.priority._PAUSE_S", 0)
    autogroup = tmp_path / "autogroup"
    autogroup.write_text("0")
    write, refusals = Path.write_text, [BlockingIOError(), BlockingIOError()]

    def busy(path: Path, text: str) -> int:
        if refusals:
            raise refusals.pop()
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", busy)
    take_place(5, autogroup)
    assert autogroup.read_text() == "5"
