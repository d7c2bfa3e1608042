"""Speech of calls, both ways: what this process speaks with and who understands, and what one call has of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.center.check import composed_prompts
from services.center.model import Center
from services.center.sayings import say
from services.common.clock import Clock
from services.common.esl import multiset
from services.ivr.adapters.hearing import Ear, Session
from services.ivr.adapters.speaking import Speaker
from services.ivr.adapters.understanding import Recognisers
from services.ivr.adapters.voices import CannotSpeak, Espeak, HttpVoice, Voice
from services.ivr.config import IvrSettings
from services.ivr.core import model as core

log = structlog.get_logger()

_MOST_LETTERS = 2_000
"""Two minutes of speech."""
_OLD_S = 600
"""A file of a caller's words that was not written for so long belongs to nobody: whoever had it made was killed."""
_FORGET_EVERY_S = 60


@dataclass(frozen=True)
class Playable:
    """What the application playback is given, and the variables that it needs then."""

    argument: str
    variables: str = ""


class SpeechOfProcess:
    """What all calls of this process share."""

    def __init__(self, settings: IvrSettings, clock: Clock) -> None:
        self.folder = settings.ivr_speech_dir
        self.recognisers = Recognisers(settings.recognisers(), settings.ivr_recognising)
        self.module = settings.ivr_voice_module if settings.ivr_voice == "switch" else ""
        self.speaker: Speaker | None = None
        voice: Voice | None = None
        if settings.ivr_voice == "espeak-ng":
            voice = Espeak(settings.ivr_voice_at_a_time)
        elif settings.ivr_voice == "http":
            voice = HttpVoice(
                settings.ivr_voice_url, settings.ivr_voice_token.get_secret_value(), settings.ivr_web_ca
            )
        if voice is not None and self.folder is not None:
            self.speaker = Speaker(
                voice,
                self.folder / "spoken",
                clock,
                most_bytes=settings.ivr_voice_kept_mb * 1_000_000,
                timeout_s=settings.ivr_voice_timeout_s,
                at_a_time=settings.ivr_voice_at_a_time,
            )
        self._clock = clock
        if self.heard is not None:
            self.heard.mkdir(parents=True, exist_ok=True)
            _forget(self.heard, clock.now_us() / 1e6)

    @property
    def heard(self) -> Path | None:
        """Where what callers say is for a moment."""
        return self.folder / "heard" if self.folder is not None else None

    async def keep_forgetting(self) -> None:
        """Until cancelled, remove what callers said to processes that were killed, also to the one before this."""
        while self.heard is not None:
            await asyncio.sleep(_FORGET_EVERY_S)
            await asyncio.to_thread(_forget, self.heard, self._clock.now_us() / 1e6)

    async def stop(self) -> None:
        """End what runs beside the calls."""
        if self.speaker is not None:
            await self.speaker.stop()
        await self.recognisers.stop()


def _forget(folder: Path, now_s: float) -> None:
    for path in folder.glob("*.wav"):
        try:
            if now_s - path.stat().st_mtime > _OLD_S:
                path.unlink()
        except FileNotFoundError:
            pass  # another process was here first
        except OSError as e:
            log.error("words_not_removed", file=str(path), reason=str(e))


class SpeechOfCall:
    """The speech of one call."""

    def __init__(
        self,
        of: SpeechOfProcess,
        session: Session,
        center: Center,
        now_us: Callable[[], int],
        tell: Callable[[core.Event], None],
    ) -> None:
        self._of = of
        self._center = center
        self._ear = Ear(session, of.heard, of.recognisers, now_us, tell)
        self._hearing: asyncio.Task[None] | None = None

    async def playable(self, output: core.SpeakText) -> Playable | None:
        """What FreeSWITCH plays for a text; None when it cannot be spoken."""
        text = output.text if output.instead is None else self._text_of(output.instead)
        # A variable may hold what a web service answered: lines of it, and many.
        text = " ".join(text.split())[:_MOST_LETTERS]
        voice = self._center.speech.voices.get(output.language, "")
        if not text:
            return None
        if self._of.module:
            values = {"tts_engine": self._of.module, "tts_voice": voice or output.language}
            return Playable(f"say:{text}", multiset(values))
        if self._of.speaker is None:
            return None
        try:
            return Playable(str(await self._of.speaker.file(text, output.language, voice)))
        except CannotSpeak as e:
            log.warning(
                "text_not_spoken", tenant=self._center.tenant, language=output.language, reason=str(e)
            )
            return None

    def hear(self, begin: Callable[[], asyncio.Task[None]]) -> None:
        """Listen from now on, to nothing else: ``begin`` starts ``listen`` as a task of the call."""
        self.deafen()
        self._hearing = begin()

    async def listen(self, output: core.HearCaller) -> None:
        """Listen once. Raises CallGone."""
        await self._ear.hear(output)

    def deafen(self) -> None:
        """Do not listen any more."""
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None

    def _text_of(self, what: core.PlayPrompt | core.SayText) -> str:
        """The words of what was to be played."""
        if isinstance(what, core.PlayPrompt):
            return self._center.prompts.get(what.prompt, {}).get(what.language, "")
        detail = {"money": "currency", "date": "calendar"}.get(what.form)
        more = {detail: what.detail} if detail else {}
        words = composed_prompts(self._center, what.language)
        return " ".join(words.get(prompt, "") for prompt in say(what.text, what.form, what.language, **more))
