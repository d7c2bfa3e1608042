"""Who hears whom on a real switch: every party sends a tone of its own, and each leg is recorded with both of its directions."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import Samples, until

RATE = 8000
_takes = itertools.count()


def bytes_of(path: Path) -> int:
    """How long a file is by now."""
    return path.stat().st_size if path.exists() else 0


def voices(samples: Samples, rate: int, tones: Mapping[str, float]) -> set[str]:
    """Who is heard in one channel: tones within 30 dB of full scale's tenth, in the middle of it."""
    part = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)))) / (len(part) / 4)
    at = np.fft.rfftfreq(len(part), 1 / rate)
    return {who for who, hz in tones.items() if spectrum[np.abs(at - hz) < 8].max() > 400}


async def heard(rig: Rig, leg: str, tones: Mapping[str, float]) -> tuple[set[str], set[str]]:
    """Who speaks on a leg and who is heard on it, in a second of it recorded now."""
    path: Path = rig.switch.recordings.parent / f"{leg}-{next(_takes)}.wav"

    async def long_enough() -> bool:
        return bytes_of(path) > RATE * 4

    async with rig.switch.watch("RECORD_STOP") as watch:
        await watch.ask(
            f"api uuid_setvar_multi {leg} RECORD_STEREO=true;enable_file_write_buffering=false",
            f"api uuid_record {leg} start {path}",
        )
        await until(f"{leg} is recorded", long_enough)
        await watch.ask(f"api uuid_record {leg} stop {path}")
        await watch.next(Event_Name="RECORD_STOP", Unique_ID=leg)
    with wave.open(str(path), "rb") as wav:
        both = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2).astype(float)
        return voices(both[:, 0], wav.getframerate(), tones), voices(both[:, 1], wav.getframerate(), tones)
