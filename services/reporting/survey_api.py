"""The report of surveys over HTTP."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.reporting.api import FromText, Interval, Name, Reader, Reports, ToText, interval_of
from services.reporting.core import satisfaction, sql


class QuestionReport(BaseModel):
    """What a question came to."""

    question: str
    least: int
    most: int
    answers: int
    mean: float
    nps: float | None = Field(
        description="Net Promoter Score, -100 to 100; of questions answered by 0 to 10 only"
    )
    satisfied: float | None = Field(
        description="share of the two highest scores, 0 to 1; of questions answered by 1 to 5 only"
    )


class SurveyReport(BaseModel):
    """One survey in an interval. Answers count when they were given, surveys when they ended."""

    survey: str
    begun: int
    answered: int = Field(description="with at least one answer")
    by_outcome: dict[str, int] = Field(description="finished, closed, hung_up, failed")
    questions: list[QuestionReport]
    by_agent: dict[str, list[QuestionReport]]
    by_queue: dict[str, list[QuestionReport]]


class Surveys(BaseModel):
    interval: Interval
    surveys: list[SurveyReport]


def _questions(rows: list[dict[str, object]]) -> list[QuestionReport]:
    return [
        QuestionReport(
            question=score.question,
            least=score.least,
            most=score.most,
            answers=score.answers,
            mean=score.mean,
            nps=score.nps,
            satisfied=score.satisfied,
        )
        for score in satisfaction.scores(rows)
    ]


def _by(rows: list[dict[str, object]], column: str) -> dict[str, list[QuestionReport]]:
    parts: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        if row[column]:
            parts[str(row[column])].append(row)
    return {name: _questions(part) for name, part in sorted(parts.items())}


def build_router(reports: Reports) -> APIRouter:
    """The route ``/v1/reports/surveys``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/surveys", summary="Surveys: how many answered, and what the scores come to")
    async def surveys(
        who: Reader,
        from_: FromText = None,
        to: ToText = None,
        queue: Name | None = None,
        agent: Name | None = None,
        survey: Name | None = None,
    ) -> Surveys:
        span = reports.span(who, from_, to)
        wanted = {"queue": queue, "agent_id": agent, "survey": survey}
        filters = {column: value for column, value in wanted.items() if value is not None}
        scores, ended = await asyncio.gather(
            reports.ask(sql.survey_scores(span, filters)), reports.ask(sql.surveys_ended(span, filters))
        )
        names = sorted({row["survey"] for row in (*scores, *ended)})
        found = []
        for name in names:
            outcomes = {row["outcome"]: row for row in ended if row["survey"] == name}
            rows = [row for row in scores if row["survey"] == name]
            found.append(
                SurveyReport(
                    survey=name,
                    begun=sum(row["surveys"] for row in outcomes.values()),
                    answered=sum(row["answered"] for row in outcomes.values()),
                    by_outcome={outcome: row["surveys"] for outcome, row in outcomes.items()},
                    questions=_questions(rows),
                    by_agent=_by(rows, "agent_id"),
                    by_queue=_by(rows, "queue"),
                )
            )
        return Surveys(interval=interval_of(span), surveys=found)

    return router
