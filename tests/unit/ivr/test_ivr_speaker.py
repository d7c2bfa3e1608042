"""Texts as files: each made once, kept by content within its room, refused in time; voices that fail say who and why."""

from __future__ import annotations

import asyncio
import io
import os
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from services.center import audio
from services.common.clock import SystemClock
from services.ivr.adapters.speaking import Speaker, sweep
from services.ivr.adapters.voices import CannotSpeak, Espeak, HttpVoice
from tests.unit.ivr.utterances import needs_espeak

SOUND = np.sin(np.arange(8000) / 4) * 0.3


class Voice:
    """Makes one second of tone, when it may."""

    name = "test"

    def __init__(self, *, fails: bool = False) -> None:
        self.made: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.fails = fails

    async def make(self, text: str, language: str, voice: str, timeout_s: float) -> audio.Samples:
        self.made.append(text)
        await self.may.wait()
        if self.fails:
            raise CannotSpeak("it cannot")
        return SOUND

    async def stop(self) -> None:
        pass


def speaker(voice: Voice, folder: Path, *, timeout_s: float = 5, at_a_time: int = 2) -> Speaker:
    return Speaker(voice, folder, SystemClock(), most_bytes=10**6, timeout_s=timeout_s, at_a_time=at_a_time)


async def test_a_text_is_made_once_for_all_who_want_it_and_kept(tmp_path: Path) -> None:
    voice = Voice()
    voice.may.clear()
    of = speaker(voice, tmp_path)
    wishes = [asyncio.ensure_future(of.file("Hello", "en", "")) for _ in range(5)]
    while not voice.made:
        await asyncio.sleep(0)
    wishes[0].cancel()
    voice.may.set()
    paths = {await wish for wish in wishes[1:]}
    paths.add(await of.file("Hello", "en", ""))
    paths.add(await speaker(Voice(fails=True), tmp_path).file("Hello", "en", ""))  # another process
    assert len(paths) == 1
    assert voice.made == ["Hello"]
    others = [
        await of.file(*wish) for wish in (("Hello", "fa", ""), ("Hello", "en", "x"), ("hello", "en", ""))
    ]
    assert len({*others, *paths}) == 4


async def test_a_voice_that_fails_or_hangs_is_told_in_time_and_asked_again(tmp_path: Path) -> None:
    voice = Voice(fails=True)
    with pytest.raises(CannotSpeak, match="it cannot"):
        await speaker(voice, tmp_path).file("a", "en", "")
    voice = Voice()
    voice.may.clear()
    of = speaker(voice, tmp_path, timeout_s=0.05)
    with pytest.raises(CannotSpeak, match=r"0\.05"):
        await of.file("a", "en", "")
    voice.may.set()
    assert (await of.file("a", "en", "")).is_file()


async def test_more_texts_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    voice = Voice()
    voice.may.clear()
    of = speaker(voice, tmp_path, at_a_time=1)
    wishes = [asyncio.ensure_future(of.file(f"text {i}", "en", "")) for i in range(5)]
    for _ in range(200):
        await asyncio.sleep(0.001)
        if len(of._making) == 5:
            break
    with pytest.raises(CannotSpeak, match="5 texts"):
        await of.file("one more", "en", "")
    assert voice.made == ["text 0"], "one at a time"
    voice.may.set()
    assert all(path.is_file() for path in await asyncio.gather(*wishes))


def test_what_was_not_played_for_longest_goes_first(tmp_path: Path) -> None:
    now = 1_000_000
    for i in range(6):
        file = tmp_path / "ab" / f"{i}.wav"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * 100)
        os.utime(file, (now - 1_000 + i, now - 1_000 + i))
    part = tmp_path / "ab" / ".x.part"
    part.write_bytes(b"x")
    os.utime(part, (now - 5_000, now - 5_000))
    os.utime(tmp_path / "ab" / "0.wav", (now - 5, now - 5))
    assert sweep(tmp_path, 250, now) == 4
    assert {file.name for file in tmp_path.rglob("*.wav")} == {"0.wav", "5.wav"}
    assert not part.exists()
    assert sweep(tmp_path, 50, now) == 1, "what was played in the last minute stays"
    assert {file.name for file in tmp_path.rglob("*.wav")} == {"0.wav"}


@needs_espeak
async def test_espeak_speaks_and_says_what_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Espeak(1)
    samples = await voice.make("Order 4711", "en", "", 10)
    assert 0.5 < len(samples) / audio.RATE < 5
    assert np.abs(samples).max() > 0.3
    with pytest.raises(CannotSpeak, match="timed out"):
        await voice.make("x" * 1_000, "en", "", 0.001)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotSpeak, match="not installed"):
        await voice.make("x", "en", "", 10)
    await voice.stop()


def wav(rate: int = 16_000, channels: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        tone = (np.sin(np.arange(rate) * 2 * np.pi * 440 / rate) * 9000).astype("<i2")
        file.writeframes(np.repeat(tone, channels).tobytes())
    return out.getvalue()


Answers = Callable[[bytes], bytes]


@pytest.fixture
async def service() -> AsyncIterator[tuple[str, list[bytes], list[Answers]]]:
    """A web service that keeps what it is asked; its last answer may be changed."""
    asked: list[bytes] = []
    answers: list[Answers] = [lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(wav()) + wav()]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")
        )
        asked.append(head + await reader.readexactly(length))
        answer = answers[-1](head)
        writer.write(answer)
        if not answer:
            await reader.read()  # Until whoever asks gives up.
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/speak", asked, answers
    server.close()


async def test_a_service_is_asked_with_its_token_and_its_sound_is_taken(
    service: tuple[str, list[bytes], list[Answers]],
) -> None:
    url, asked, _ = service
    voice = HttpVoice(url, "secret-token")
    samples = await voice.make("سلام", "fa", "dilara", 5)
    await voice.stop()
    assert abs(len(samples) / audio.RATE - 1) < 0.1
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert b"authorization: bearer secret-token" in head.lower()
    assert body.decode("unicode-escape").startswith('{"text": "سلام", "language": "fa", "voice": "dilara"')


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nugh!", "no WAV"),
        (b"garbage\r\n\r\n", "speak"),
        (b"", "no answer in time"),
    ],
    ids=["refuses", "no sound", "garbage", "hangs"],
)
async def test_a_service_that_fails_is_named(
    service: tuple[str, list[bytes], list[Answers]], answer: bytes, why: str
) -> None:
    url, _, answers = service
    answers.append(lambda _: answer)
    voice = HttpVoice(url)
    with pytest.raises(CannotSpeak, match=why):
        await voice.make("x", "en", "", 0.5)
    await voice.stop()
