"""The watch takes a right revision, refuses a wrong one, and goes on after both."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.center import CenterError, CenterSet, CenterWatch
from tests.unit.center.test_center_faults import GOOD


def write(file: Path, text: str) -> None:
    """Write with a new modification time, whatever the file system's resolution."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def remove(*files: Path) -> None:
    for file in files:
        file.unlink()


@pytest.fixture
def center_file(tmp_path: Path) -> Path:
    file = tmp_path / "acme.yaml"
    write(file, GOOD)
    return file


async def test_new_revision_is_taken_and_wrong_one_refused(center_file: Path) -> None:
    seen: list[CenterSet] = []
    watch = CenterWatch(center_file.parent, seen.append)
    first = watch.current.revision
    assert not await watch.refresh()

    write(center_file, GOOD.replace("then: hours", "then: nowhere"))
    assert not await watch.refresh()
    assert watch.current.revision == first
    assert [f.line for f in watch.refused] == [39, 40, 41, 45, 46, 47, 48, 49]
    assert seen == []

    write(center_file, GOOD.replace("en: Acme", "en: Acme Ltd"))
    assert await watch.refresh()
    assert watch.current.revision != first
    assert watch.refused == ()
    assert seen == [watch.current]

    write(center_file, GOOD.replace("en: Acme", "en: Acme Ltd"))
    assert not await watch.refresh(), "the same text is the same revision"


async def test_a_second_document_and_a_vanished_one_are_noticed(center_file: Path) -> None:
    watch = CenterWatch(center_file.parent)
    other = GOOD.replace("tenant: acme", "tenant: other\nprompts_dir: other")
    for old, new in (("500", "700"), ("601", "701"), ("602", "702")):
        other = other.replace(old, new)
    write(center_file.parent / "other.yaml", other)
    assert await watch.refresh()
    assert [c.tenant for c in watch.current.centers] == ["acme", "other"]
    remove(center_file, center_file.parent / "other.yaml")
    assert not await watch.refresh()
    assert "no center document" in watch.refused[0].message
    assert len(watch.current.centers) == 2


async def test_the_watch_runs_by_itself_and_survives_a_failing_listener(center_file: Path) -> None:
    changes: asyncio.Queue[CenterSet] = asyncio.Queue()

    def listener(centers: CenterSet) -> None:
        changes.put_nowait(centers)
        raise RuntimeError("a consumer's fault")

    watch = CenterWatch(center_file, listener, every_s=0.01)
    watch.start()
    try:
        for name in ("Acme Two", "Acme Three"):
            write(center_file, GOOD.replace("en: Acme", f"en: {name}"))
            centers = await asyncio.wait_for(changes.get(), 10)
            assert centers.centers[0].name == {"en": name}
    finally:
        await watch.stop()


def test_a_process_does_not_start_with_a_wrong_document(center_file: Path) -> None:
    write(center_file, "tenant: x")
    with pytest.raises(CenterError):
        CenterWatch(center_file)
