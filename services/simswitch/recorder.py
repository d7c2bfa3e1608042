"""Recordings with sound in both channels: 8 kHz, 16 bit, stereo WAV; left is the leg's own tone, right what it hears.

The file grows in blocks about once a second and its header says length 0 until it is closed, as that of the real
switch: a recording whose switch was killed is found with sound in it and an unusable header.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 8000
FRAME_BYTES = 4
_AMPLITUDE = 6000


# 16 KB a tone, and every caller has another: what calls in progress need is kept whole by _second.
@functools.lru_cache(maxsize=64)
def _tone(hz: int) -> npt.NDArray[np.int16]:
    """One second of a tone (whole hertz, so that seconds join without a click); 0 Hz is silence."""
    t = np.arange(RATE, dtype=np.float64) / RATE
    return (np.sin(2 * np.pi * hz * t) * _AMPLITUDE).astype("<i2")


@functools.lru_cache(maxsize=64)
def _second(left_hz: int, right_hz: int) -> bytes:
    """One second of both tones."""
    return np.stack((_tone(left_hz), _tone(right_hz)), axis=1).tobytes()


def header(data_bytes: int, channels: int = 2) -> bytes:
    """The plain 44 byte header."""
    riff = 8 if data_bytes == 0 else 36 + data_bytes
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff,
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        RATE,
        RATE * 2 * channels,
        2 * channels,
        16,
        b"data",
        data_bytes,
    )


class Recorder:
    """One growing file. Raises OSError from the constructor when it cannot be created."""

    def __init__(
        self, path: str, started_us: int, left_hz: int, right_hz: int, *, time_scale: float = 1.0
    ) -> None:
        self.path = path
        self.started_us = started_us
        self.samples = 0
        self.masked = False
        self._left_hz = left_hz
        self._right_hz = right_hz
        self._scale = time_scale
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = target.open("wb")
        self._file.write(self._header(0))
        self._file.flush()

    @property
    def frame_bytes(self) -> int:
        """Of one moment, all channels together."""
        return FRAME_BYTES

    def _header(self, data_bytes: int) -> bytes:
        return header(data_bytes)

    def hears(self, right_hz: int, now_us: int) -> None:
        """From now on the leg hears another tone."""
        self.write_until(now_us)
        self._right_hz = right_hz

    def mask(self, on: bool, now_us: int) -> None:
        """From now on (no) silence instead of sound; the length goes on."""
        self.write_until(now_us)
        self.masked = on

    def write_until(self, now_us: int) -> None:
        """Write what was heard until now."""
        want = int((now_us - self.started_us) * self._scale) * RATE // 1_000_000
        block = _second(0, 0) if self.masked else _second(self._left_hz, self._right_hz)
        while self.samples < want:
            offset = self.samples % RATE
            count = min(want - self.samples, RATE - offset)
            self._file.write(block[offset * FRAME_BYTES : (offset + count) * FRAME_BYTES])
            self.samples += count
        self._file.flush()

    def close(self, now_us: int) -> int:
        """Write the rest and the real header; return the size of the file in bytes."""
        self.write_until(now_us)
        size = self.samples * self.frame_bytes
        self._file.seek(0)
        self._file.write(self._header(size))
        self._file.close()
        return size + 44

    def abandon(self) -> None:
        """The switch died: what was written stays, under a header that says nothing."""
        self._file.close()

    @property
    def ms(self) -> int:
        """Length so far."""
        return self.samples * 1000 // RATE
