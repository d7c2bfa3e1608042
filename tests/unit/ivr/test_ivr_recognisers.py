"""Recognisers: the embedded one understands utterances of espeak-ng as telephones bring them; workers refuse, fail and end as they should."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from services.common.errors import ConfigError
from services.ivr.adapters import understanding
from services.ivr.adapters.understanding import CannotUnderstand, Recognisers
from services.ivr.recognisers import engine
from tests.unit.ivr.utterances import needs_espeak, pcm, silence, utterance

PHRASES = [
    "where is my order", "order status", "my order", "send it back", "return something", "i have a question", "an agent",
    "speak to somebody", "how long does delivery take", "no thank you",
]  # fmt: skip
OTHERS = [
    "my hovercraft is full of eels", "hello", "the quick brown fox jumps over the lazy dog", "seventy five",
    "what is the weather like today",
]  # fmt: skip


def heard(text: str, *, noise: float = 0.0005) -> bytes:
    around = silence(0.3, noise=noise), silence(0.5, noise=noise)
    return pcm(np.concatenate([around[0], utterance(text, band=False), around[1]])).tobytes()


@pytest.fixture(scope="module")
def sphinx() -> engine.Engine:
    return engine.load("pocketsphinx", "en")


@needs_espeak
@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0005, 0.0], ids=["a line", "nothing but zeros around"])
def test_phrases_are_understood_and_hardly_ever_mistaken(sphinx: engine.Engine, noise: float) -> None:
    found = {phrase: sphinx.understand(heard(phrase, noise=noise), PHRASES) for phrase in PHRASES}
    right = [phrase for phrase, text in found.items() if text == phrase]
    wrong = {phrase: text for phrase, text in found.items() if text not in ("", phrase)}
    assert len(right) >= 8, found
    assert len(wrong) <= 1, found
    mistaken = [text for text in OTHERS if sphinx.understand(heard(text, noise=noise), PHRASES)]
    assert len(mistaken) <= 1, mistaken


def test_silence_and_noise_are_no_phrase(sphinx: engine.Engine) -> None:
    assert sphinx.understand(pcm(silence(2)).tobytes(), PHRASES) == ""
    assert sphinx.understand(pcm(silence(2, noise=0.05)).tobytes(), PHRASES) == ""
    assert sphinx.understand(b"", PHRASES) == ""


def test_a_phrase_with_a_word_of_no_dictionary_is_left_out(sphinx: engine.Engine) -> None:
    assert sphinx.understand(pcm(silence(1)).tobytes(), ["qwertzuiop", "کارشناس"]) == ""


@pytest.mark.parametrize(
    ("recogniser", "language", "why"),
    [
        ("pocketsphinx", "fa", 'no model of "fa"'),
        ("pocketsphinx:/no/such/folder", "fa", "no model in /no/such/folder"),
        ("vosk", "fa", "expected the folder of a model"),
        ("vosk:/no/such/folder", "fa", "expected the folder of a model"),
        ("whisper:/no/such/folder", "fa", "expected the folder of a model"),
        ("siri", "en", "expected one of pocketsphinx, vosk, whisper"),
    ],
)
def test_a_recogniser_that_is_not_there_says_what_is_missing(
    recogniser: str, language: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        engine.load(recogniser, language)


@pytest.mark.parametrize(("name", "package"), [("vosk", "vosk"), ("whisper", "faster-whisper")])
def test_a_package_that_is_not_installed_is_named(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(ConfigError, match=f"the package {package} is not installed"):
        engine.load(f"{name}:{tmp_path}", "fa")


def test_vosk_is_asked_with_a_grammar_of_words_in_both_spellings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class KaldiRecognizer:
        def __init__(self, model: object, rate: float, grammar: str) -> None:
            asked.append((rate, json.loads(grammar)))

        def AcceptWaveform(self, sound: bytes) -> None:
            asked.append(sound)

        def FinalResult(self) -> str:
            return '{"text": "[unk] پس بدهم"}'

    package = types.SimpleNamespace(
        SetLogLevel=lambda _: None, Model=lambda _: "model", KaldiRecognizer=KaldiRecognizer
    )
    monkeypatch.setitem(sys.modules, "vosk", package)  # type: ignore[arg-type]
    found = engine.load(f"vosk:{tmp_path}", "fa").understand(b"\0\0", ["پس بدهم", "می‌خواهم"])
    assert found == "پس بدهم"
    (rate, grammar), sound = asked
    assert (rate, sound) == (8000.0, b"\0\0")
    assert {"پس", "بدهم", "می", "خواهم", "می‌خواهم", "[unk]"} <= set(grammar)


def test_whisper_hears_sixteen_thousand_samples_a_second_in_the_callers_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are those of faster-whisper 1.2.1, which was tried with a model of random weights."""
    asked: list[Any] = []

    class WhisperModel:
        def __init__(
            self,
            model_size_or_path: str,
            *,
            device: str,
            compute_type: str,
            cpu_threads: int,
            local_files_only: bool,
        ) -> None:
            assert local_files_only, "nothing is fetched while a caller waits"
            asked.append((model_size_or_path, device, cpu_threads))

        def transcribe(
            self, audio: np.ndarray[Any, Any], *, language: str, beam_size: int, without_timestamps: bool,
            condition_on_previous_text: bool, initial_prompt: str,
        ) -> tuple[list[Any], object]:  # fmt: skip
            asked.append((audio.dtype, len(audio), language, initial_prompt))
            return [types.SimpleNamespace(text=" پس "), types.SimpleNamespace(text=" بدهم ")], None

    monkeypatch.setitem(sys.modules, "faster_whisper", types.SimpleNamespace(WhisperModel=WhisperModel))  # type: ignore[arg-type]
    recogniser = engine.load(f"whisper:{tmp_path}", "fa")
    assert recogniser.understand(pcm(silence(1)).tobytes(), ["پس بدهم", "کارشناس"]) == "پس بدهم"
    assert asked == [(str(tmp_path), "cpu", 1), (np.float32, 16_000, "fa", "پس بدهم, کارشناس")]


@pytest.mark.parametrize(
    ("name", "package", "what"), [("vosk", "vosk", "Model"), ("whisper", "faster_whisper", "WhisperModel")]
)
def test_a_folder_without_a_model_is_named(
    name: str, package: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vosk 0.3.45 and faster-whisper 1.2.1 throw for an empty folder."""
    thrown = Exception("Failed to create a model") if name == "vosk" else RuntimeError("Unable to open file")

    def refuse(*_: object, **__: object) -> None:
        raise thrown

    module = types.SimpleNamespace(SetLogLevel=lambda _: None, **{what: refuse})
    monkeypatch.setitem(sys.modules, package, module)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f'recogniser "{name}:{tmp_path}": no model of .* [(]{thrown}[)]'):
        engine.load(f"{name}:{tmp_path}", "fa")


# -- workers


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python and its model may take half a minute to be there on a busy machine."""
    monkeypatch.setattr(understanding, "_START_S", 100.0)
    monkeypatch.setattr(understanding, "_ANSWER_S", 100.0)


async def test_an_answer_that_comes_before_its_worker_was_begun_begins_it(patient: None) -> None:
    recognisers = Recognisers({"fa": "vosk:/no/such/folder"}, 1)
    with capture_logs() as logs:
        assert recognisers.knows("fa")
        (warming,) = recognisers._warming
        with pytest.raises(CannotUnderstand, match="/no/such/folder"):
            await recognisers.understand("fa", b"", ["x"])
        await warming
    assert [entry["event"] for entry in logs] == ["recogniser_missing"], "it is begun once"
    await recognisers.stop()


async def test_a_language_whose_model_is_missing_is_given_up_at_once(patient: None) -> None:
    recognisers = Recognisers({"fa": "vosk:/no/such/folder"}, 1)
    assert recognisers.knows("fa")
    assert not recognisers.knows("de")
    with pytest.raises(CannotUnderstand, match="/no/such/folder"):
        await recognisers.understand("fa", b"", ["x"])
    assert not recognisers.knows("fa")
    await recognisers.stop()


@needs_espeak
@pytest.mark.slow
async def test_a_worker_understands_is_begun_again_and_refuses_what_is_too_much(
    patient: None,
) -> None:
    recognisers = Recognisers({"en": "pocketsphinx"}, 1)
    assert recognisers.knows("en")
    said = heard("where is my order")
    assert await recognisers.understand("en", said, PHRASES) == "where is my order"
    (process,) = recognisers._languages["en"].running
    process.kill()
    await process.wait()
    with pytest.raises(CannotUnderstand, match="ended"):
        await recognisers.understand("en", said, PHRASES)
    answers = await asyncio.gather(
        *(recognisers.understand("en", said, PHRASES) for _ in range(4)), return_exceptions=True
    )
    assert answers[:3] == ["where is my order"] * 3
    assert isinstance(answers[3], CannotUnderstand), "three at once is what one worker may have"
    (process,) = recognisers._languages["en"].running
    await recognisers.stop()
    assert process.returncode is not None
