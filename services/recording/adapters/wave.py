"""What is in a recording, and the mending of a header that a killed FreeSWITCH left without its lengths."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from typing import IO

import numpy as np

from services.common.errors import ContractError
from services.recording.core.lifecycle import Examination

HEADER_BYTES = 44  # FreeSWITCH writes the plain form: RIFF, "fmt " of 16 bytes, "data".
# What a worker thread once allocated stays with the process (an arena a thread): with chunks of 1 MiB, 8 MiB of floats,
# the process grew by 5 MiB with each thread that the pool started.
_CHUNK = 1 << 16
_FULL_SCALE = 32768.0


class BadRecording(ContractError):
    """A file that cannot be heard; ``problem`` is missing, empty or unreadable."""

    def __init__(self, problem: str, text: str) -> None:
        super().__init__(text)
        self.problem = problem


def examine(file: Path, *, may_repair: bool) -> Examination:
    """Read a whole recording (16-bit PCM), mending its header first where that is needed and allowed.

    Raises BadRecording.
    """
    try:
        with file.open("r+b" if may_repair else "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if size <= HEADER_BYTES:
                raise BadRecording("empty", f"{file.name}: {size} bytes, expected sound after {HEADER_BYTES}")
            head = f.read(HEADER_BYTES)
            channels, rate, data_bytes = _header(file.name, head, size)
            repaired = data_bytes == 0
            if repaired:
                if not may_repair:
                    raise BadRecording("unreadable", f"{file.name}: the header has no length")
                data_bytes = (size - HEADER_BYTES) // (2 * channels) * (2 * channels)
                # Exactly the two lengths that FreeSWITCH writes when it closes a file.
                f.seek(4)
                f.write(struct.pack("<I", data_bytes + HEADER_BYTES - 8))
                f.seek(40)
                f.write(struct.pack("<I", data_bytes))
                f.flush()
                os.fsync(f.fileno())
            frames, rms = _rms(f, channels, data_bytes)
            digest = _sha256(f)
    except FileNotFoundError:
        raise BadRecording("missing", f"{file.name}: no such file") from None
    except OSError as e:
        raise BadRecording("unreadable", f"{file.name}: {e}") from None
    return Examination(
        bytes=size,
        duration_ms=round(frames * 1000 / rate),
        channels=channels,
        sample_rate=rate,
        sha256=digest,
        rms=rms,
        repaired=repaired,
    )


def _header(name: str, head: bytes, size: int) -> tuple[int, int, int]:
    """Return channels, frames a second and bytes of sound (0: the header has no length)."""
    riff, _, wave, fmt, fmt_bytes, kind, channels, rate = struct.unpack_from("<4sI4s4sIHHI", head)
    (bits,) = struct.unpack_from("<H", head, 34)
    data, data_bytes = struct.unpack_from("<4sI", head, 36)
    if (riff, wave, fmt, fmt_bytes, kind, bits, data) != (b"RIFF", b"WAVE", b"fmt ", 16, 1, 16, b"data"):
        raise BadRecording("unreadable", f"{name}: not a WAVE file of 16-bit PCM in FreeSWITCH's form")
    if not 1 <= channels <= 8 or not 1000 <= rate <= 192_000:
        raise BadRecording("unreadable", f"{name}: {channels} channels at {rate} Hz")
    return channels, rate, min(data_bytes, size - HEADER_BYTES)


def _sha256(f: IO[bytes]) -> str:
    digest = hashlib.sha256()
    f.seek(0)
    while block := f.read(_CHUNK):
        digest.update(block)
    return digest.hexdigest()


def _rms(f: IO[bytes], channels: int, data_bytes: int) -> tuple[int, tuple[float, ...]]:
    """Frames, and the root mean square of each channel from 0 to 1."""
    f.seek(HEADER_BYTES)
    total = np.zeros(channels)
    frames = 0
    left = data_bytes // (2 * channels) * (2 * channels)
    chunk = _CHUNK // (2 * channels) * (2 * channels)
    while left:
        block = f.read(min(chunk, left))
        block = block[: len(block) // (2 * channels) * (2 * channels)]
        if not block:
            break
        left -= len(block)
        sound = np.frombuffer(block, dtype="<i2").reshape(-1, channels).astype(np.float64)
        total += np.einsum("ij,ij->j", sound, sound)
        frames += len(sound)
    if not frames:
        return 0, (0.0,) * channels
    return frames, tuple(round(float(x), 6) for x in np.sqrt(total / frames) / _FULL_SCALE)
