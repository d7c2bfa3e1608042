"""Audio for prompts that nobody has recorded yet: speech by espeak-ng where it is installed, else tones.

All output is 8 kHz, 16 bit, mono: what a G.711 call carries, so FreeSWITCH plays it without resampling.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import threading
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 8000
_VOICES = {"en": "en-us", "fa": "fa"}
_PEAK = 0.6  # of full scale: leaves room for a-law's and mu-law's loud steps
_PAD_S = 0.03
_HALF_LOBES = 8  # of the interpolating sinc on each side
# A pentatonic scale from 440 Hz: any order of its notes is bearable, and all pass the telephone band.
_NOTES_HZ = (440.0, 495.0, 550.0, 660.0, 742.5, 880.0)
_NOTE_S = 0.12
_CHARACTERS_A_SECOND = 14.0

Samples = npt.NDArray[np.float64]
"""Mono audio, between -1 and 1."""


def speech(text: str, language: str, espeak: str, *, voice: str = "", timeout_s: float = 60) -> Samples:
    """Return ``text`` spoken by the program ``espeak``, at ``RATE``; ``voice`` is one of its own, empty the usual one of the language.

    Raises OSError or subprocess.SubprocessError: no such program or voice, or not in time.
    """
    done = subprocess.run(  # noqa: S603  a fixed program; the text is no option because of "--"
        [espeak, "-v", voice or _VOICES.get(language, language), "-s", "145", "--stdout", "--", text],
        check=True,
        capture_output=True,
        timeout=timeout_s,
    )
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate = file.getframerate()
        raw = done.stdout[44:]  # espeak writes to a pipe, so the length in its header is wrong
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2").astype(np.float64) / 32768
    return level(trim(resample(samples, rate, RATE)))


def decoded(data: bytes) -> Samples:
    """Return the sound of a WAV file (16 bit, any rate, any channels), at ``RATE``. Raises ValueError for anything else."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as e:
        raise ValueError(f"no WAV file: {e}") from None
    if width != 2 or not raw:
        raise ValueError(f"a WAV file of {len(raw)} bytes with {8 * width} bits a sample; expected 16")
    frames = np.frombuffer(raw[: len(raw) // (2 * channels) * 2 * channels], dtype="<i2")
    samples = frames.reshape(-1, channels).mean(axis=1) / 32768
    return level(trim(resample(samples, rate, RATE)))


def tones(name: str, text: str) -> Samples:
    """Return a melody that is the same for the same name, and about as long as the text would be spoken."""
    count = max(3, round(len(text) / _CHARACTERS_A_SECOND / _NOTE_S))
    digest = hashlib.sha256(name.encode()).digest()
    at = np.arange(round(RATE * _NOTE_S)) / RATE
    envelope = np.minimum(1.0, np.minimum(at, at[::-1]) / 0.01)
    notes = [
        envelope * np.sin(2 * np.pi * _NOTES_HZ[digest[i % len(digest)] % len(_NOTES_HZ)] * at)
        for i in range(count)
    ]
    return level(np.concatenate(notes))


# Four chords of a quiet progression (C, Am, F, G), as frequencies that pass the telephone band.
_CHORDS_HZ = ((523.3, 659.3, 784.0), (440.0, 523.3, 659.3), (349.2, 440.0, 523.3), (392.0, 493.9, 587.3))
_CHORD_S = 2.4
_MUSIC_LEVEL = 0.25  # music at half the loudness of speech does not tire, and announcements stand out


def music() -> Samples:
    """Return about 40 s of plucked chords that begin and end in silence, so that they repeat without a click."""
    at = np.arange(round(RATE * _CHORD_S)) / RATE
    bars = []
    for bar in range(16):
        sound = np.zeros(len(at))
        for voice, hz in enumerate(_CHORDS_HZ[bar % len(_CHORDS_HZ)]):
            since = np.maximum(at - 0.3 * ((voice + bar // 4) % 3), 0.0)
            pluck = np.minimum(since / 0.02, 1.0) * np.exp(-since / 0.9)
            sound += pluck * (np.sin(2 * np.pi * hz * since) + 0.3 * np.sin(4 * np.pi * hz * since))
        sound *= np.minimum(1.0, (at[-1] - at) / 0.05)
        bars.append(sound)
    return level(np.concatenate(bars)) * (_MUSIC_LEVEL / _PEAK)


def resample(samples: Samples, rate: int, to: int) -> Samples:
    """Return ``samples`` at another rate: windowed-sinc interpolation, band limited to the lower of the two rates."""
    if rate == to or not len(samples):
        return samples
    cutoff = min(1.0, to / rate)
    half = int(np.ceil(_HALF_LOBES / cutoff))
    centres = np.arange(int(len(samples) * to / rate)) * (rate / to)
    first = np.floor(centres).astype(np.int64) - half + 1
    padded = np.concatenate([np.zeros(half), samples, np.zeros(half + 1)])
    out = np.zeros(len(centres))
    for tap in range(2 * half):
        distance = centres - (first + tap)
        window = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance / half, -1, 1))
        out += padded[first + tap + half] * cutoff * np.sinc(cutoff * distance) * window
    return out


def trim(samples: Samples) -> Samples:
    """Cut silence from both ends down to a short pad, so that numbers made of several files run on."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    if not len(loud):
        return samples
    pad = np.zeros(round(RATE * _PAD_S))
    return np.concatenate([pad, samples[loud[0] : loud[-1] + 1], pad])


def level(samples: Samples) -> Samples:
    """Bring the loudest sample to the common peak."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return samples if peak == 0 else samples * (_PEAK / peak)


def write(file: Path, samples: Samples) -> None:
    """Write a WAV file; a reader sees the old file or the whole new one, whoever else writes it too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    with wave.open(str(part), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    part.replace(file)
