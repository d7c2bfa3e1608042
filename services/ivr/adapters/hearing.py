"""Listening to one caller: FreeSWITCH records what they say into a file that grows, and we read along.

``uuid_record`` with RECORD_READ_ONLY writes only what comes from the caller, frame by frame while a prompt plays, so the caller's voice can end
it. A jitter buffer puts the packets of a bad line in order before that (services/adr/0065). Voiced frames are told in ``voicing``; where
speech begins and ends is decided in ``core.endpoints``. The file is outside of the recordings, and gone as soon as it was listened to. When we die, the dialplan ends it: the call says in ``cc_hearing`` which it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from services.center.phrases import match
from services.common.errors import CallGone
from services.ivr.adapters.understanding import CannotUnderstand, Recognisers
from services.ivr.adapters.voicing import FRAME_BYTES, Voicing
from services.ivr.core import model as core
from services.ivr.core.endpoints import Edge, Endpoints

log = structlog.get_logger()

_HEADER_BYTES = 44
_LOOK_S = 0.06
_MOST_S = 240
"""After so long FreeSWITCH stops recording, if nobody has told it before."""
_NO_FILE_S = 2.0
"""A recording that has begun has a file by then."""
_JITTER_MS = "60:200"
"""Without a buffer FreeSWITCH takes packets as they come, and writes silence where none has come yet."""
_AS_WE_NEED_IT = (
    "{RECORD_READ_ONLY=true,RECORD_STEREO=false,enable_file_write_buffering=false,record_sample_rate=8000}"
)


class Session(Protocol):
    """What listening needs of the call."""

    unique_id: str

    def set_variables(self, variables: Mapping[str, str]) -> None: ...
    async def api(self, command_line: str) -> str: ...


class Ear:
    """Listens to one call, once at a time."""

    def __init__(
        self,
        session: Session,
        folder: Path | None,
        recognisers: Recognisers,
        now_us: Callable[[], int],
        tell: Callable[[core.Event], None],
    ) -> None:
        self._session = session
        self._folder = folder
        self._recognisers = recognisers
        self._now_us = now_us
        self._tell = tell

    async def hear(self, wish: core.HearCaller) -> None:
        """Listen until something was said, or until cancelled. Raises CallGone."""
        if self._folder is None or not self._recognisers.knows(wish.language):
            self._tell(core.SpeechMissed(self._now_us(), wish.hearing, heard=False))
            return
        path = self._folder / f"{self._session.unique_id}.{wish.hearing}.wav"
        try:
            self._session.set_variables({"cc_hearing": str(path)})
            # It stays for the call: while two legs are bridged FreeSWITCH lets it rest. Where there is none, the caller is heard as before.
            await self._session.api(f"uuid_jitterbuffer {self._session.unique_id} {_JITTER_MS}")
            # In here already: who hangs up before the answer leaves a file, too.
            answer = await self._session.api(
                f"uuid_record {self._session.unique_id} start {path} {_MOST_S} {_AS_WE_NEED_IT}"
            )
            if not answer.startswith("+OK"):
                log.error("caller_not_heard", file=str(path), reason=answer.strip())
                self._tell(core.SpeechMissed(self._now_us(), wish.hearing, heard=False))
                return
            sound = await self._utterance(path, wish)
            await self._stop(path)
            text = await self._recognisers.understand(
                wish.language, sound, [phrase for phrases in wish.phrases.values() for phrase in phrases]
            )
        except CannotUnderstand as e:
            log.warning("caller_not_understood", language=wish.language, reason=str(e))
            self._tell(core.SpeechMissed(self._now_us(), wish.hearing, heard=False))
            return
        finally:
            try:
                await self._stop(path)
            finally:  # a call that ends cancels once more
                path.unlink(missing_ok=True)
        found = match(text, wish.phrases)
        now_us = self._now_us()
        if found is None:
            self._tell(core.SpeechMissed(now_us, wish.hearing, heard=True))
        else:
            self._tell(core.SpeechUnderstood(now_us, wish.hearing, *found))

    async def _stop(self, path: Path) -> None:
        """FreeSWITCH refuses to stop what it does not record any more, which is as good."""
        with contextlib.suppress(CallGone):
            await self._session.api(f"uuid_record {self._session.unique_id} stop {path}")

    async def _utterance(self, path: Path, wish: core.HearCaller) -> bytes:
        """Read along until the caller has spoken; return that part of the sound. Raises CannotUnderstand when there is no file."""
        endpoints = Endpoints(wish.most_ms)
        voicing = Voicing()
        sound = bytearray()
        frames = 0
        with await self._opened(path) as file:
            file.seek(_HEADER_BYTES)
            while True:
                for frame in _frames(file, sound, frames):
                    frames += 1
                    edge = endpoints.take(voicing.is_voiced(frame))
                    if edge is Edge.BEGAN:
                        self._tell(core.SpeechBegan(self._now_us(), wish.hearing))
                    elif edge is Edge.ENDED:
                        assert endpoints.first is not None
                        return bytes(sound[endpoints.first * FRAME_BYTES : frames * FRAME_BYTES])
                await asyncio.sleep(_LOOK_S)

    async def _opened(self, path: Path) -> BinaryIO:
        for _ in range(int(_NO_FILE_S / _LOOK_S)):
            with contextlib.suppress(FileNotFoundError):
                return path.open("rb")
            await asyncio.sleep(_LOOK_S)
        raise CannotUnderstand(
            f"no file {path}: does FreeSWITCH see the same folder (PEYVAND_IVR_SPEECH_DIR)?"
        )


def _frames(file: BinaryIO, sound: bytearray, frames: int) -> Iterator[bytes]:
    """Take what the file has more of now; yield the whole frames after the first so many."""
    sound += file.read()
    for at in range(frames * FRAME_BYTES, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        yield bytes(sound[at : at + FRAME_BYTES])
