"""Callers' words, made by espeak-ng at test time, as a telephone brings them: 8 kHz, and where the line is old none of it above 3.4 kHz."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest

from services.center import audio

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None,
    reason="nobody speaks: no espeak-ng on PATH (apt-get install espeak-ng; make test does it)",
)
_BAND_HZ = (300, 3_400)


@cache
def utterance(text: str, language: str = "en", voice: str = "", *, band: bool = True) -> audio.Samples:
    """The words, between -1 and 1; ``band``: as a line brings them that has nothing beyond the telephone's band."""
    program = shutil.which("espeak-ng")
    assert program is not None
    samples = audio.speech(text, language, program, voice=voice)
    if not band:
        return samples
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / audio.RATE)
    spectrum[(hz < _BAND_HZ[0]) | (hz > _BAND_HZ[1])] = 0
    return np.fft.irfft(spectrum, len(samples))


def pcm(samples: audio.Samples) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """16 bit samples."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")


def silence(seconds: float, *, noise: float = 0.0005, seed: int = 1) -> audio.Samples:
    """A line on which nobody speaks."""
    return np.random.default_rng(seed).normal(0, noise, int(audio.RATE * seconds))
