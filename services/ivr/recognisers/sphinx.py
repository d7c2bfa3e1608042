"""pocketsphinx, the embedded default: English, offline, with its model in the package. Theory of operation.

Each question has a grammar of its phrases. A grammar always has a nearest phrase, so a cough must not be one: the search keeps only ways that
come close to the best one at each moment, and what is none of the phrases leaves no way that ends where a phrase does. Only a whole phrase
counts as understood. (Free sounds beside the phrases, the textbook's answer, took 13 s of CPU for 2 s of speech; this takes 0.1 s.)

The model hears 16 kHz; a telephone has half of that. Its upper filters would hear silence where speech has hiss, so hiss is put there: noise
as loud as what is heard just below. And nothing but zeros, which is what a gateway with silence suppression sends, is
further from any sound than all sounds are from each other: of 42 answers 17 were understood before, and 39 with the noise of a quiet line added to all of
it. Measured with utterances of espeak-ng: tests/unit/ivr/test_ivr_recognisers.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog
from pocketsphinx import Decoder, get_model_path, set_loglevel

from services.center import audio
from services.common.errors import ConfigError
from services.ivr.recognisers.engine import RATE

log = structlog.get_logger()

_RATE = 16_000
_LEAST_BYTES = RATE // 10 * 2
"""A tenth of a second: shorter is no word."""
_BELOW_HZ = (2_000, 3_900)
_ABOVE_HZ = 3_400
_LINE_NOISE = 16
"""Of 32,767: 66 dB below the loudest sound."""
_WINDOW = 320
"""Samples over which loudness is taken: 20 ms."""
_QUIET = 0.1
"""Of the loudest 20 ms: what is below is not counted as speech."""
_LETTER_S, _LONGEST_S = 0.11, 0.5
"""The longest that a letter of a phrase takes a slow speaker (usual is 0.07), and what any phrase may take more."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_MOST_GRAMMARS = 64
"""Kept ready; one of a flow takes a few milliseconds to make and some memory to keep."""


class Sphinx:
    """A model with its dictionary."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._grammars: dict[str, None] = {}

    def understand(self, sound: bytes, phrases: Sequence[str]) -> str:
        possible = sorted(filter(None, (self._words(phrase) for phrase in phrases)))
        if not possible or len(sound) < _LEAST_BYTES:
            return ""
        self._decoder.activate_search(self._grammar(possible))
        samples = widened(np.frombuffer(sound, dtype="<i2").astype(np.float64))
        self._decoder.start_utt()
        self._decoder.process_raw(
            np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes(), full_utt=True
        )
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        text = str(heard.hypstr) if heard is not None else ""
        return text if text in possible and _may_be(text, samples) else ""

    def _words(self, phrase: str) -> str:
        """The phrase in words of the dictionary, empty when one is not in it."""
        words = _WORD.findall(phrase.casefold().replace("’", "'"))
        for word in words:
            if self._decoder.lookup_word(word) is None:
                log.error("phrase_not_in_dictionary", phrase=phrase, word=word)
                return ""
        return " ".join(words)

    def _grammar(self, phrases: Sequence[str]) -> str:
        text = "\n".join(phrases)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        if name not in self._grammars:
            if len(self._grammars) >= _MOST_GRAMMARS:
                oldest = next(iter(self._grammars))
                del self._grammars[oldest]
                self._decoder.remove_search(oldest)
            self._decoder.add_jsgf_string(name, grammar(phrases))
            self._grammars[name] = None
        return name


def grammar(phrases: Sequence[str]) -> str:
    """The JSGF of phrases."""
    return f"#JSGF V1.0;\ngrammar answer;\npublic <answer> = {' | '.join(phrases)};\n"


def widened(samples: audio.Samples) -> audio.Samples:
    """Telephone sound at the model's rate, with hiss above its band as loud as what is heard just below."""
    random = np.random.default_rng(0)
    low = audio.resample(samples + random.normal(scale=_LINE_NOISE, size=len(samples)), RATE, _RATE)
    count = len(low)
    hz = np.fft.rfftfreq(count, 1 / _RATE)
    below = np.fft.rfft(low)
    below[(hz < _BELOW_HZ[0]) | (hz > _BELOW_HZ[1])] = 0
    loudness = np.sqrt(np.convolve(np.fft.irfft(below, count) ** 2, np.ones(_WINDOW) / _WINDOW, "same"))
    hiss = np.fft.rfft(random.normal(size=count))
    hiss[hz < _ABOVE_HZ] = 0
    return low + np.fft.irfft(hiss, count) * loudness


def _may_be(phrase: str, samples: audio.Samples) -> bool:
    """Whether so much speech may be this phrase: a sentence of which a part sounds like one is longer."""
    frames = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    loud = np.flatnonzero(loudness > _QUIET * loudness.max())
    spoken_s = (loud[-1] - loud[0] + 1) * _WINDOW / _RATE
    return bool(spoken_s <= _LONGEST_S + len(phrase.replace(" ", "")) * _LETTER_S)


def load(model: str, language: str) -> Sphinx:
    """Load the package's English model, or the one in the folder ``model`` (``hmm/`` and ``words.dict``). Raises ConfigError."""
    set_loglevel("FATAL")
    if model:
        hmm, words = Path(model) / "hmm", Path(model) / "words.dict"
    else:
        if language != "en":
            raise ConfigError(
                f'pocketsphinx has no model of "{language}" with it: expected pocketsphinx:<folder>'
            )
        hmm, words = Path(get_model_path("en-us/en-us")), Path(get_model_path("en-us/cmudict-en-us.dict"))
    try:
        decoder = Decoder(hmm=str(hmm), dict=str(words), lm=None, samprate=_RATE, logfn=None)
    except (OSError, RuntimeError, ValueError) as e:
        raise ConfigError(
            f'recogniser "pocketsphinx:{model}": no model in {hmm} with {words} ({e})'
        ) from None
    return Sphinx(decoder)
