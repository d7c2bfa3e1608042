"""Files: what is in them, mending, sidecars, finding, and that nothing outside the folder can be reached."""

from __future__ import annotations

import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

from services.recording.adapters.files import Folder
from services.recording.adapters.wave import BadRecording, examine
from services.recording.core.sidecar import Sidecar

DAY_US = 86_400_000_000
NOON_US = 20_778 * DAY_US + DAY_US // 2  # 2026-11-21


def make_wav(file: Path, seconds: float = 1.0, left: float = 0.5, right: float = 0.0) -> Path:
    """A stereo file whose channels are square waves of these levels."""
    n = int(8000 * seconds)
    signs = np.where(np.arange(n) % 16 < 8, 1, -1)
    sound = np.stack([signs * left, signs * right], axis=1) * 32768
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as w:
        w.setnchannels(2)
        w.setsampwidth(2)
        w.setframerate(8000)
        w.writeframes(sound.astype("<i2").tobytes())
    return file


def test_sound_is_measured_on_each_channel(tmp_path: Path) -> None:
    found = examine(make_wav(tmp_path / "a.wav", 1.5), may_repair=False)
    assert (found.duration_ms, found.channels, found.sample_rate, found.repaired) == (1500, 2, 8000, False)
    assert found.rms == (0.5, 0.0)
    assert found.bytes == 44 + 1.5 * 32_000
    assert len(found.sha256) == 64


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    file = make_wav(tmp_path / "long.wav", seconds=300.0)
    tracemalloc.start()
    try:
        assert examine(file, may_repair=False).duration_ms == 300_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.stat().st_size > 9_000_000
    assert peak < 1_000_000


def test_a_header_without_lengths_is_mended_so_that_players_take_it(tmp_path: Path) -> None:
    file = make_wav(tmp_path / "a.wav", 2.0)
    whole = file.read_bytes()
    broken = bytearray(whole)
    struct.pack_into("<I", broken, 4, 8)
    struct.pack_into("<I", broken, 40, 0)
    file.write_bytes(broken)
    with pytest.raises(BadRecording) as caught:
        examine(file, may_repair=False)
    assert caught.value.problem == "unreadable"
    assert file.read_bytes() == bytes(broken)
    found = examine(file, may_repair=True)
    assert (found.repaired, found.duration_ms) == (True, 2000)
    assert file.read_bytes() == whole
    with wave.open(str(file)) as w:
        assert w.getnframes() == 16_000
    assert examine(file, may_repair=True).repaired is False


def test_a_file_cut_in_the_middle_of_a_frame_is_mended_to_whole_frames(tmp_path: Path) -> None:
    file = make_wav(tmp_path / "a.wav", 1.0)
    data = bytearray(file.read_bytes()[:-3])
    struct.pack_into("<I", data, 40, 0)
    file.write_bytes(data)
    assert examine(file, may_repair=True).duration_ms == 1000
    with wave.open(str(file)) as w:
        assert w.getnframes() == 7_999


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "missing"), (b"", "empty"), (b"RIFF" + b"\0" * 40, "empty"), (b"ID3" + b"x" * 100, "unreadable")],
)
def test_what_cannot_be_heard_says_why(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "a.wav"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadRecording) as caught:
        examine(file, may_repair=True)
    assert caught.value.problem == problem


def test_only_paths_of_the_right_form_are_recordings(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    found = folder.recording(str(tmp_path / "demo/2026/11/21/c-1.wav"))
    assert found is not None
    assert (found.tenant, found.contact, found.path) == ("demo", "c-1", "demo/2026/11/21/c-1.wav")
    assert found.recording_id == (folder.recording("demo/2026/11/21/c-1.wav") or found).recording_id
    for path in (
        "demo/2026/11/21/../../x.wav", "../demo/2026/11/21/c.wav", "/etc/passwd", "demo/2026/11/21/c.mp3",
        "demo/2026/11/c.wav", "Demo/2026/11/21/c.wav", "demo/2026/11/21/c.wav\n", "demo/2026/11/21/.wav",
    ):  # fmt: skip
        assert folder.recording(path) is None
        with pytest.raises(ValueError, match="not a recording"):
            folder.file(path)


def test_files_without_sidecar_are_unfinished(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    file = make_wav(tmp_path / "demo/2026/11/21/c1.wav")
    make_wav(tmp_path / "stray.wav")
    mtime_us = file.stat().st_mtime_ns // 1000
    ((recording, resting_ms),) = folder.unfinished(mtime_us + 5_000_000)
    assert (recording.contact, resting_ms) == ("c1", 5_000)
    folder.write(Sidecar(id=recording.recording_id, tenant="demo", contact="c1", path=recording.path))
    assert folder.unfinished(mtime_us) == []
    assert sorted(p.name for p in file.parent.iterdir()) == ["c1.json", "c1.wav"]


def test_recordings_are_found_by_time_and_by_id_within_the_tenant(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for tenant, contact, at in (
        ("demo", "c1", NOON_US),
        ("demo", "c2", NOON_US + 60_000_000),
        ("other", "c3", NOON_US),
    ):
        path = f"{tenant}/2026/11/21/{contact}.wav"
        recording = folder.recording(path)
        assert recording is not None
        folder.write(
            Sidecar(id=recording.recording_id, tenant=tenant, contact=contact, path=path, started_at_us=at)
        )
    assert [s.contact for s in folder.find("demo", 0, NOON_US * 2)] == ["c2", "c1"]
    assert [s.contact for s in folder.find("demo", NOON_US, NOON_US + 1)] == ["c1"]
    assert list(folder.find("demo", 0, NOON_US)) == []
    assert list(folder.find("../demo", 0, NOON_US * 2)) == []
    first = next(iter(folder.find("other", 0, NOON_US * 2)))
    assert folder.by_id("other", first.id) == first
    assert folder.by_id("demo", first.id) is None
    assert folder.by_id("demo", "nothing") is None
