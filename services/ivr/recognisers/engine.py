"""What every recogniser is, and which ones there are.

A recogniser is written ``<engine>`` or ``<engine>:<model>``: ``pocketsphinx``, ``vosk:/models/vosk-model-small-fa-0.5``, ``whisper:/models/whisper-fa``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from services.common.errors import ConfigError

RATE: Final = 8000


class Engine(Protocol):
    """A recogniser with its model loaded."""

    def understand(self, sound: bytes, phrases: Sequence[str]) -> str:
        """Return what was said in ``sound`` (16 bit, ``RATE``, mono), in words; empty when nothing was understood.

        The engine may use ``phrases``, what can be said now, or not: whoever asked compares.
        """
        ...


_ENGINES: Final = {
    "pocketsphinx": "services.ivr.recognisers.sphinx",
    "vosk": "services.ivr.recognisers.vosk",
    "whisper": "services.ivr.recognisers.whisper",
}


def named(recogniser: str) -> tuple[str, str]:
    """The engine and the model of a recogniser as it is written. Raises ConfigError for an engine that there is not."""
    engine, _, model = recogniser.partition(":")
    if engine not in _ENGINES:
        raise ConfigError(f'unknown recogniser "{engine}"; expected one of {", ".join(_ENGINES)}')
    return engine, model


def load(recogniser: str, language: str) -> Engine:
    """Load an engine with its model. Raises ConfigError when the package or the model is not there."""
    engine, model = named(recogniser)
    module = import_module(_ENGINES[engine])
    loads = cast("Callable[[str, str], Engine]", module.load)
    return loads(model, language)
