"""Prompt audio: form of the files, what is made again and what is left alone."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from services.center import audio, load, load_files, prompts
from services.center.__main__ import main
from tests.unit.center.test_center_faults import GOOD

# Speaks a 22 050 Hz tone with silence around it, and a length in the header that is wrong, as espeak-ng does on a pipe.
SPEAKER = """#!{python}
import math, struct, sys
assert sys.argv[1:3] == ["-v", "en-us"] and sys.argv[-2] == "--", sys.argv
wave = [int(9000 * math.sin(2 * math.pi * 440 * i / 22050)) for i in range(11025)]
samples = [0] * 5000 + wave + [0] * 5000
head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0x7FFFF024, b"WAVE", b"fmt ", 16, 1, 1, 22050, 44100, 2, 16,
                   b"data", 0x7FFFF000)
sys.stdout.buffer.write(head + struct.pack(f"<{{len(samples)}}h", *samples))
"""


@pytest.fixture
def center_file(tmp_path: Path) -> Path:
    file = tmp_path / "acme.yaml"
    file.write_text(GOOD)
    return file


def read(file: Path) -> np.ndarray:
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 1, 2)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64)


def test_tones_fill_every_declared_prompt_and_are_made_once(center_file: Path, tmp_path: Path) -> None:
    centers = load(center_file)
    out = tmp_path / "sounds"
    first = prompts.make(centers, out, espeak="")
    assert first.engine == "tones"
    assert first.made == len(list(prompts.texts(centers.centers[0])))
    load_files([center_file], sounds_dir=out)  # raises when a file is missing
    hello, menu = read(out / "prompts/en/hello.wav"), read(out / "prompts/en/menu.wav")
    assert 15_000 < np.max(np.abs(hello)) < 25_000
    assert hello.tobytes() != menu.tobytes()
    again = prompts.make(centers, out, espeak="")
    assert (again.made, again.current) == (0, first.made)


def test_changed_texts_are_made_again_and_recorded_prompts_left_alone(
    center_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sounds"
    recorded = out / "prompts/en/hello.wav"
    recorded.parent.mkdir(parents=True)
    recorded.write_bytes(b"recorded by a person")
    prompts.make(load(center_file), out, espeak="")
    center_file.write_text(GOOD.replace("{en: Press one}", "{en: Press one for a very long explanation}"))
    before = len(read(out / "prompts/en/menu.wav"))
    made = prompts.make(load(center_file), out, espeak="")
    assert (made.made, made.recorded) == (1, 1)
    assert recorded.read_bytes() == b"recorded by a person"
    assert len(read(out / "prompts/en/menu.wav")) > before


def test_a_run_that_was_broken_off_is_finished_by_the_next(
    center_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sounds"
    real = audio.tones

    def broken(name: str, text: str) -> audio.Samples:
        if name.endswith("menu"):
            raise OSError("disk full")
        return real(name, text)

    monkeypatch.setattr(audio, "tones", broken)
    with pytest.raises(OSError, match="disk full"):
        prompts.make(load(center_file), out, espeak="")
    monkeypatch.setattr(audio, "tones", real)
    assert prompts.make(load(center_file), out, espeak="").recorded == 0
    load_files([center_file], sounds_dir=out)


def test_speech_is_resampled_trimmed_and_levelled(tmp_path: Path) -> None:
    speaker = tmp_path / "speak"
    speaker.write_text(SPEAKER.format(python=sys.executable))
    speaker.chmod(0o755)
    samples = audio.speech("Hello", "en", str(speaker))
    assert len(samples) == pytest.approx(0.5 * 8000 + 2 * 0.03 * 8000, abs=40)
    assert np.max(np.abs(samples)) == pytest.approx(0.6)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * 8000 / len(samples) == pytest.approx(440, abs=3)


def test_resampling_keeps_the_band_and_removes_what_would_alias() -> None:
    at = np.arange(22_050) / 22_050
    kept = audio.resample(np.sin(2 * np.pi * 1000 * at), 22_050, 8000)
    removed = audio.resample(np.sin(2 * np.pi * 6000 * at), 22_050, 8000)
    assert len(kept) == 8000
    assert np.std(kept[200:-200]) == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert np.std(removed[200:-200]) < 0.01
    assert audio.resample(kept, 8000, 8000) is kept


def test_prompts_command_says_what_it_did(
    center_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["prompts", "--out", str(tmp_path / "sounds"), str(center_file)]) == 0
    assert "made by tones" in capsys.readouterr().out
    center_file.write_text("tenant: x")
    assert main(["prompts", "--out", str(tmp_path / "sounds"), str(center_file)]) == 1


def test_music_is_made_once_and_never_beside_music_of_others(center_file: Path, tmp_path: Path) -> None:
    centers = load(center_file)
    prompts.make(centers, tmp_path / "a", espeak="")
    music = read(tmp_path / "a" / prompts.MUSIC)
    assert len(music) > 30 * 8000
    assert np.abs(music).max() > 3000
    own = tmp_path / "b" / "music" / "own.wav"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"RIFF")
    prompts.make(centers, tmp_path / "b", espeak="")
    assert [f.name for f in own.parent.iterdir()] == ["own.wav"]
