"""Whisper by faster-whisper: the package and the model are the installation's own (``whisper:<folder>``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from services.center import audio
from services.common.errors import ConfigError
from services.ivr.recognisers.engine import RATE

_RATE = 16_000
"""Whisper hears nothing else."""


class Whisper:
    """A model in one language."""

    def __init__(self, model: Any, language: str) -> None:
        self._model = model
        self._language = language

    def understand(self, sound: bytes, phrases: Sequence[str]) -> str:
        samples = np.frombuffer(sound, dtype="<i2").astype(np.float64) / 32768
        heard = audio.resample(samples, RATE, _RATE).astype(np.float32)
        segments, _ = self._model.transcribe(
            heard,
            language=self._language,
            beam_size=1,
            without_timestamps=True,
            condition_on_previous_text=False,
            initial_prompt=", ".join(phrases),
        )
        return " ".join(str(segment.text).strip() for segment in segments)


def load(model: str, language: str) -> Whisper:
    """Load the model in the folder ``model``, computing on this machine's processor. Raises ConfigError."""
    if not model or not Path(model).is_dir():
        raise ConfigError(f'recogniser "whisper:{model}" of {language}: expected the folder of a model')
    try:
        package = import_module("faster_whisper")
    except ImportError as e:
        raise ConfigError(
            f'recogniser "whisper:{model}": the package faster-whisper is not installed ({e})'
        ) from None
    try:
        loaded = package.WhisperModel(
            model, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
        )
    except (RuntimeError, ValueError, OSError) as e:
        raise ConfigError(f'recogniser "whisper:{model}": no model of faster-whisper ({e})') from None
    return Whisper(loaded, language)
