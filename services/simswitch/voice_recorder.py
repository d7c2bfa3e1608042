"""Recordings of what one leg says, and nothing else (``RECORD_READ_ONLY``): 8 kHz, 16 bit, mono WAV.

A leg that says nothing is silent here, unlike in ordinary recordings, where its tone tells it from others: whoever listens to a caller must
be able to hear that nobody speaks.
"""

from __future__ import annotations

import numpy as np

from services.simswitch.channel import Channel
from services.simswitch.recorder import RATE, Recorder, header

_FRAME_BYTES = 2


class VoiceRecorder(Recorder):
    """One growing file with the voice of a leg. Raises OSError from the constructor when it cannot be created."""

    def __init__(self, path: str, started_us: int, leg: Channel) -> None:
        self._leg = leg
        super().__init__(path, started_us, 0, 0)

    @property
    def frame_bytes(self) -> int:
        return _FRAME_BYTES

    def write_until(self, now_us: int) -> None:
        want = (now_us - self.started_us) * RATE // 1_000_000
        if want <= self.samples:
            return
        sound = np.zeros(want - self.samples, dtype="<i2")
        if self._leg.voice is not None and not self.masked:
            began_us, voice = self._leg.voice
            shift = self.samples + (self.started_us - began_us) * RATE // 1_000_000
            first, last = max(0, -shift), min(len(sound), len(voice) - shift)
            if first < last:
                sound[first:last] = voice[first + shift : last + shift]
        self._file.write(sound.tobytes())
        self._file.flush()
        self.samples = want

    def _header(self, data_bytes: int) -> bytes:
        return header(data_bytes, channels=1)
