"""What of a caller's sound is speech: not the line's own noise that follows a silence, and still a soft voice in it."""

from __future__ import annotations

import numpy as np
import pytest

from services.center.audio import RATE, Samples
from services.ivr.adapters.voicing import FRAME_BYTES, Voicing
from services.ivr.core.endpoints import Edge, Endpoints
from tests.unit.ivr.utterances import needs_espeak, pcm, utterance


def noise(seconds: float, loudness: float, seed: int = 1) -> Samples:
    """A line at rest; ``loudness`` of 32,767, root mean square."""
    return np.random.default_rng(seed).normal(0, loudness / 32767, int(RATE * seconds))


def constant(seconds: float, value: int) -> Samples:
    return np.full(int(RATE * seconds), value / 32767)


def edges(*parts: Samples) -> list[tuple[float, Edge]]:
    """When speech begins and ends, in seconds."""
    sound, voicing, endpoints = pcm(np.concatenate(parts)).tobytes(), Voicing(), Endpoints(8_000)
    found: list[tuple[float, Edge]] = []
    for at in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        edge = endpoints.take(voicing.is_voiced(sound[at : at + FRAME_BYTES]))
        if edge is not None:
            found.append((at / 2 / RATE, edge))
        if edge is Edge.ENDED:
            break
    return found


@pytest.mark.parametrize("loudness", [9, 20, 40, 100, 200])
@pytest.mark.parametrize(
    "before",
    [constant(0.04, -1), constant(1, -1), constant(1, 8), constant(1, 0), noise(1, 9)],
    ids=["two packets late", "no packet", "the silence of A-law", "nothing", "another noise"],
)
def test_the_noise_of_a_line_that_comes_late_is_no_speech(before: Samples, loudness: float) -> None:
    assert edges(before, noise(3, loudness)) == []


@pytest.mark.parametrize("loudness", [40, 200])
def test_the_line_that_was_away_for_a_moment_is_no_speech(loudness: float) -> None:
    assert edges(noise(1, loudness), constant(0.5, -1), noise(3, loudness, seed=2)) == []


@needs_espeak
@pytest.mark.parametrize("dbov", [-26, -40])
@pytest.mark.parametrize("loudness", [9, 28, 36])
def test_a_soft_voice_is_speech_from_its_first_half_second_on(dbov: int, loudness: float) -> None:
    said = utterance("speak to somebody", band=False)
    said = said * 10 ** (dbov / 20) / np.sqrt(np.mean(said**2))
    spoken_s = len(said) / RATE
    line = noise(spoken_s + 3, loudness)
    line[2 * RATE : 2 * RATE + len(said)] += said
    (began, first), (ended, last) = edges(constant(0.3, -1), line)
    assert (first, last) == (Edge.BEGAN, Edge.ENDED)
    assert 2.3 <= began <= 2.8
    assert 2.3 + spoken_s <= ended <= 2.3 + spoken_s + 0.8
