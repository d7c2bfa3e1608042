"""What the scores of surveys come to: mean, Net Promoter Score, share of the satisfied. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NPS_SCALE = (0, 10)
CSAT_SCALE = (1, 5)


@dataclass(frozen=True)
class Score:
    """A question's scores. ``nps`` is -100 to 100, of a scale from 0 to 10; ``satisfied`` 0 to 1, of one from 1 to 5."""

    question: str
    least: int
    most: int
    answers: int
    mean: float
    nps: float | None
    satisfied: float | None


def scores(rows: Iterable[Mapping[str, Any]]) -> list[Score]:
    """One score a question and scale, out of rows as ``sql.survey_scores`` has them (of any queues and agents)."""
    sums: dict[tuple[str, int, int], list[int]] = {}
    for row in rows:
        found = sums.setdefault((row["question"], row["least"], row["most"]), [0, 0, 0, 0])
        for i, name in enumerate(("answers", "total", "highest", "detractors")):
            found[i] += row[name]
    return [_score(*key, *found) for key, found in sorted(sums.items())]


def _score(
    question: str, least: int, most: int, answers: int, total: int, highest: int, detractors: int
) -> Score:
    scale = (least, most)
    return Score(
        question=question,
        least=least,
        most=most,
        answers=answers,
        mean=total / answers,
        nps=100 * (highest - detractors) / answers if scale == NPS_SCALE else None,
        satisfied=highest / answers if scale == CSAT_SCALE else None,
    )
