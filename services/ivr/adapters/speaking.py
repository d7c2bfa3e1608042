"""Texts as files that FreeSWITCH can play, each made once: for a while they are kept by what is in them.

Theory of operation. A file's name is a digest of engine, voice, language and text, so a file that is there is the right one, whoever made it:
several processes may share the folder, and nothing is remembered but what the folder says. Files are written aside and renamed; playing one
sets its time. Calls that want the same text at the same moment wait for one making. So many texts may be made or wait for it; one more is
refused at once, because a caller who hears nothing for long hangs up. Now and then the folder is swept: when its files take more room than
they may, those go that were not played for longest, but none of the last minute: FreeSWITCH may be about to open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

import structlog
from prometheus_client import Counter, Histogram

from services.center import audio
from services.common.clock import Clock
from services.ivr.adapters.voices import CannotSpeak, Voice

log = structlog.get_logger()

# Texts that were to be spoken. `failed` or `busy` above zero: callers go another way, see cannot_speak in the log.
SPOKEN = Counter("peyvand_ivr_spoken_total", "Texts that were to be spoken", ["how"])
# Seconds that callers wait in silence for a text that was not made yet.
MAKE_S = Histogram(
    "peyvand_ivr_voice_seconds", "Making of a text", buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
)

_KEPT_S = 60
_ABANDONED_S = 3600
"""A part of a file that is so old will never be whole."""
_SWEEP_EVERY = 20
"""Texts that are made between two looks at the room they take."""
_WAITING = 4
"""So many times those that are made may wait."""


class Speaker:
    """The voice of this process, with what it has said."""

    def __init__(
        self, voice: Voice, folder: Path, clock: Clock, *, most_bytes: int, timeout_s: float, at_a_time: int
    ) -> None:
        self._voice = voice
        self._folder = folder
        self._clock = clock
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s
        self._at_a_time = asyncio.Semaphore(at_a_time)
        self._most_wishes = at_a_time * (1 + _WAITING)
        self._making: dict[Path, asyncio.Task[Path]] = {}
        self._until_sweep = 0

    async def file(self, text: str, language: str, voice: str) -> Path:
        """Return a file with the text spoken. Raises CannotSpeak."""
        path = self._path(text, language, voice)
        if path not in self._making and await asyncio.to_thread(_play, path, self._clock.now_us()):
            SPOKEN.labels("kept").inc()
            return path
        making = self._making.get(path)
        if making is None:
            if len(self._making) >= self._most_wishes:
                SPOKEN.labels("busy").inc()
                raise CannotSpeak(f"{len(self._making)} texts are being made already")
            making = asyncio.ensure_future(self._make(path, text, language, voice))
            self._making[path] = making
            making.add_done_callback(lambda done: self._made(path, done))
        # Shielded: a caller who hangs up must not take the sound from the others.
        return await asyncio.shield(making)

    async def stop(self) -> None:
        """End what is being made."""
        for making in list(self._making.values()):
            making.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        await self._voice.stop()

    def _path(self, text: str, language: str, voice: str) -> Path:
        of = "\0".join((self._voice.name, voice, language, text))
        digest = hashlib.sha256(of.encode()).hexdigest()[:40]
        return self._folder / digest[:2] / f"{digest}.wav"

    def _made(self, path: Path, done: asyncio.Task[Path]) -> None:
        self._making.pop(path, None)
        if not done.cancelled():
            done.exception()  # Told to those who wait; nobody may be left.

    async def _make(self, path: Path, text: str, language: str, voice: str) -> Path:
        try:
            with MAKE_S.time():
                async with asyncio.timeout(self._timeout_s), self._at_a_time:
                    samples = await self._voice.make(text, language, voice, self._timeout_s)
                await asyncio.to_thread(audio.write, path, samples)
        except (CannotSpeak, TimeoutError, OSError) as e:
            SPOKEN.labels("failed").inc()
            log.warning(
                "cannot_speak", engine=self._voice.name, language=language, reason=str(e) or "too late"
            )
            raise CannotSpeak(str(e) or f"not made in {self._timeout_s} s") from None
        SPOKEN.labels("made").inc()
        self._until_sweep -= 1
        if self._until_sweep < 0:
            self._until_sweep = _SWEEP_EVERY
            gone = await asyncio.to_thread(
                sweep, self._folder, self._most_bytes, self._clock.now_us() // 1_000_000
            )
            if gone:
                log.info("spoken_texts_dropped", files=gone)
        return path


def _play(path: Path, now_us: int) -> bool:
    """Whether the file is there, and has now as the time when it was played last."""
    try:
        os.utime(path, ns=(now_us * 1000, now_us * 1000))
    except FileNotFoundError:
        return False
    return True


def sweep(folder: Path, most_bytes: int, now_s: float) -> int:
    """Drop what was not played for longest until the rest takes no more than ``most_bytes``; return how many files went."""
    found: list[tuple[float, int, Path]] = []
    gone = 0
    for path in folder.glob("??/*"):
        with contextlib.suppress(FileNotFoundError):  # Another process sweeps too.
            stat = path.stat()
            if path.suffix != ".part":
                found.append((stat.st_mtime, stat.st_size, path))
            elif now_s - stat.st_mtime > _ABANDONED_S:
                path.unlink()
    total = sum(size for _, size, _ in found)
    for played_s, size, path in sorted(found):
        if total <= most_bytes or now_s - played_s < _KEPT_S:
            break
        path.unlink(missing_ok=True)
        total -= size
        gone += 1
    return gone
