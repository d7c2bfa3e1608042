"""vosk: offline models of many languages, Persian among them. The package and the model are the installation's own (``vosk:<folder>``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from services.center.phrases import words
from services.common.errors import ConfigError
from services.ivr.recognisers.engine import RATE

_UNKNOWN = "[unk]"
"""What vosk says for words that are none of its grammar's."""


class Vosk:
    """A model; each answer has a grammar of its own."""

    def __init__(self, package: Any, model: Any) -> None:
        self._package = package
        self._model = model

    def understand(self, sound: bytes, phrases: Sequence[str]) -> str:
        # A grammar is of single words, so that people may say more around a phrase than we expect.
        known = sorted({word for phrase in phrases for word in (*phrase.split(), *words(phrase))})
        grammar = json.dumps([*known, _UNKNOWN], ensure_ascii=False)
        recogniser = self._package.KaldiRecognizer(self._model, float(RATE), grammar)
        recogniser.AcceptWaveform(sound)
        text = str(json.loads(recogniser.FinalResult()).get("text", ""))
        return " ".join(word for word in text.split() if word != _UNKNOWN)


def load(model: str, language: str) -> Vosk:
    """Load the model in the folder ``model``. Raises ConfigError."""
    if not model or not Path(model).is_dir():
        raise ConfigError(f'recogniser "vosk:{model}" of {language}: expected the folder of a model')
    try:
        package = import_module("vosk")
    except ImportError as e:
        raise ConfigError(f'recogniser "vosk:{model}": the package vosk is not installed ({e})') from None
    package.SetLogLevel(-1)
    try:
        return Vosk(package, package.Model(model))
    except Exception as e:  # vosk throws a bare Exception
        raise ConfigError(f'recogniser "vosk:{model}": no model of vosk ({e})') from None
