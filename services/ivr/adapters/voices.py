"""Engines that make sound of a text: espeak-ng beside us, or a service by HTTP. FreeSWITCH's own modules are no such engine: they play.

All run beside the calls, in a thread or on the event loop, and within a time that whoever asks sets.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from services.center import audio
from services.common.errors import NotReady, WebUnavailable
from services.common.webclient import Question, WebClient, networks

_MOST_BYTES = 20_000_000
"""Of an answer: twenty minutes of 8 kHz sound."""


class CannotSpeak(NotReady):
    """A text was not made into sound; the message says by whom, and why."""


class Voice(Protocol):
    """An engine."""

    name: str
    """What it is, and which one: sound that one engine made is not taken for another one's."""

    async def make(self, text: str, language: str, voice: str, timeout_s: float) -> audio.Samples:
        """Return the text spoken; ``voice`` is the engine's own name of one, empty: its usual one of the language.

        Raises CannotSpeak.
        """
        ...

    async def stop(self) -> None:
        """Let go of what the engine holds."""
        ...


class Espeak:
    """espeak-ng, a program that begins for each text; ``at_a_time`` of them at most."""

    name = "espeak-ng"

    def __init__(self, at_a_time: int) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="voice")

    async def make(self, text: str, language: str, voice: str, timeout_s: float) -> audio.Samples:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _espeak, text, language, voice, timeout_s
        )

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _espeak(text: str, language: str, voice: str, timeout_s: float) -> audio.Samples:
    program = shutil.which("espeak-ng")
    if program is None:
        raise CannotSpeak("espeak-ng is not installed")
    try:
        return audio.speech(text, language, program, voice=voice, timeout_s=timeout_s)
    except (OSError, subprocess.SubprocessError) as e:
        raise CannotSpeak(f"espeak-ng, language {language}, voice {voice or 'usual'}: {e}") from None


class HttpVoice:
    """A service that answers ``POST <url>`` with a WAV file.

    The request has the JSON object ``{"text", "language", "voice"}``, and the token as a bearer. Who set its address runs this process, so it may be
    anywhere.
    """

    def __init__(self, url: str, token: str = "", ca_file: Path | None = None) -> None:
        self.name = f"http {url}"
        self._url = url
        bearer = [("Authorization", f"Bearer {token}")] if token else []
        self._headers = [("Content-Type", "application/json"), *bearer]
        self._client = WebClient(networks(("0.0.0.0/0", "::/0")), ca_file)

    async def make(self, text: str, language: str, voice: str, timeout_s: float) -> audio.Samples:
        wish = json.dumps({"text": text, "language": language, "voice": voice}).encode()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.ask(
                    Question("POST", self._url, self._headers, wish, _MOST_BYTES), follow=lambda _: None
                )
            if answer.status != 200:
                raise CannotSpeak(f"{self._url} answered {answer.status}; expected 200")
            return await asyncio.to_thread(audio.decoded, answer.body)
        except (WebUnavailable, TimeoutError, ValueError) as e:
            raise CannotSpeak(f"{self._url}: {str(e) or 'no answer in time'}") from None

    async def stop(self) -> None:
        await self._client.stop()
