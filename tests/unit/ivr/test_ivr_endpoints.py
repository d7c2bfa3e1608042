"""Where an answer begins and ends, from frames that are voiced or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ivr.core.endpoints import FRAME_MS, Edge, Endpoints


def edges(frames: list[bool], most_ms: int = 8_000) -> list[tuple[int, Edge]]:
    """Where something begins or ends; nothing is asked after the end."""
    endpoints = Endpoints(most_ms)
    found: list[tuple[int, Edge]] = []
    for i, voiced in enumerate(frames):
        edge = endpoints.take(voiced)
        if edge is not None:
            found.append((i, edge))
        if edge is Edge.ENDED:
            break
    return found


def test_an_answer_has_a_beginning_and_an_end() -> None:
    frames = [False] * 20 + [True] * 40 + [False] * 40
    (began, first), (ended, last) = edges(frames)
    assert (first, last) == (Edge.BEGAN, Edge.ENDED)
    assert began == 20 + 5, "six voiced frames: the caller's voice ends a prompt after 0.2 s"
    assert 60 + 15 <= ended <= 60 + 23, "a pause of less than half a second is none"


def test_a_click_is_no_speech_and_a_breath_is_no_end() -> None:
    assert edges([False] * 10 + [True] * 3 + [False] * 50) == []
    breath = [True] * 20 + [False] * 12
    assert [edge for _, edge in edges(breath * 2 + [False] * 40)] == [Edge.BEGAN, Edge.ENDED]
    assert edges(breath * 2 + [False] * 40)[1][0] > len(breath * 2)


def test_who_never_stops_is_cut_off() -> None:
    (_, _), (ended, edge) = edges([True] * 1_000, most_ms=3_000)
    assert edge is Edge.ENDED
    assert ended <= 3_000 // FRAME_MS + 8


@given(st.lists(st.booleans(), max_size=400), st.integers(1_000, 6_000))
def test_a_beginning_comes_once_before_the_end(frames: list[bool], most_ms: int) -> None:
    found = [edge for _, edge in edges(frames, most_ms)]
    assert found in ([], [Edge.BEGAN], [Edge.BEGAN, Edge.ENDED])
    endpoints = Endpoints(most_ms)
    for i, voiced in enumerate(frames):
        if endpoints.take(voiced) is Edge.BEGAN:
            assert endpoints.first is not None
            assert 0 <= endpoints.first <= i
            break
