"""What supervisors think of a conversation: a form with points, given to a contact, corrected by giving it again under its id.

It is given when its fact ``EvaluationGiven`` is on the bus. Its rows are made of that fact: at once, so that who gave it reads it, and again
when the fact comes in with all others, which changes nothing; so neither a crash nor ClickHouse being away in between loses it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, model_validator

from services.common import ids
from services.common.auth import Principal
from services.common.bus import Bus, Outgoing, subjects
from services.common.clickhouse import Store
from services.common.clock import Clock
from services.common.errors import Refused, StoreUnavailable
from services.common.http import require
from services.reporting.api import Reader, Reports
from services.reporting.core import facts
from services.reporting.core.facts import EvaluationGiven
from services.reporting.core.rows import evaluation_rows
from services.reporting.core.sql import Statement
from services.reporting.core.tables import EVALUATIONS

log = structlog.get_logger()

_CONTACT: Final = (
    "SELECT agent_id FROM v_contacts WHERE tenant = {tenant:String} AND contact_id = {contact_id:String}"
)
_SEGMENT: Final = (
    "SELECT agent_id FROM v_segments WHERE tenant = {tenant:String} AND contact_id = {contact_id:String}"
    " AND segment_id = {segment_id:String} AND kind = 'agent'"
)
_GIVEN: Final = (
    "SELECT evaluation_id, question, segment_id, agent_id, form, score, most, comment, evaluator, at FROM v_evaluations"
    " WHERE tenant = {tenant:String} AND contact_id = {contact_id:String} ORDER BY at, evaluation_id, question"
)
_BEFORE: Final = (
    "SELECT question, contact_id, toUnixTimestamp64Micro(at) AS at_us, max(version) AS newest, argMax(deleted, version) AS gone"
    " FROM evaluations WHERE tenant = {tenant:String} AND evaluation_id = {evaluation_id:String} GROUP BY question, contact_id, at"
)

ContactId = Annotated[str, Path(min_length=1, max_length=200)]
Supervisor = Annotated[Principal, Depends(require("supervisor", "admin"))]


class Mark(BaseModel):
    """The points for one question."""

    question: str = Field(min_length=1, max_length=100)
    score: int = Field(ge=0, le=1000)
    most: int = Field(ge=1, le=1000, description="points that can be had")
    comment: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _not_more_than_there_is(self) -> Mark:
        if self.score > self.most:
            raise ValueError(f"score {self.score}: expected at most {self.most}")
        return self


class Evaluation(BaseModel):
    """A form, filled in."""

    evaluation_id: str = Field(
        "",
        max_length=64,
        pattern="^[A-Za-z0-9_-]*$",
        description="of an earlier one to correct it, or one of the caller's own; default: a new one",
    )
    segment_id: str = Field("", max_length=200, description="the conversation; default: the whole contact")
    form: str = Field(min_length=1, max_length=100)
    marks: list[Mark] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _each_question_once(self) -> Evaluation:
        if len({mark.question for mark in self.marks}) != len(self.marks):
            raise ValueError("marks: a question is there twice")
        return self


class Given(BaseModel):
    """An evaluation as it is stored."""

    evaluation_id: str
    contact_id: str
    segment_id: str
    agent_id: str
    form: str
    evaluator: str
    at: datetime
    marks: list[Mark]


class Evaluations:
    """Evaluations, appended to the bus before they are answered. Methods raise StoreUnavailable, BusUnavailable and Refused."""

    def __init__(self, reports: Reports, store: Store, bus: Bus, clock: Clock) -> None:
        self._reports = reports
        self._store = store
        self._bus = bus
        self._clock = clock

    async def give(self, who: Principal, contact_id: str, told: Evaluation) -> Given:
        """Store it, whole; the same said again changes nothing, something else under the same id replaces it."""
        of: dict[str, Any] = {"tenant": who.tenant, "contact_id": contact_id}
        asked = Statement(_CONTACT, of)
        if told.segment_id:
            asked = Statement(_SEGMENT, of | {"segment_id": told.segment_id})
        found = await self._reports.ask(asked)
        if not found:
            what = f"conversation {told.segment_id!r} of contact" if told.segment_id else "contact"
            raise Refused("contact-unknown", f"there is no {what} {contact_id!r}", status=404)
        evaluation_id = told.evaluation_id or ids.new_id()
        before = await self._reports.ask(
            Statement(_BEFORE, {"tenant": who.tenant, "evaluation_id": evaluation_id})
        )
        if any(row["contact_id"] != contact_id for row in before):
            raise Refused(
                "evaluation-exists", f"evaluation {evaluation_id} is about another contact", status=409
            )
        # Of two under one id the later is the truth, whatever the clocks of two processes say; it stays where it was counted first.
        at_us = max([self._clock.now_us(), *(row["newest"] + 1 for row in before)])
        asked_before = {row["question"] for row in before if not row["gone"]}
        given = EvaluationGiven(
            evaluation_id=evaluation_id,
            contact_id=contact_id,
            segment_id=told.segment_id,
            agent_id=found[0]["agent_id"],
            form=told.form,
            evaluator=f"{who.role}:{who.subject}",
            marks=tuple(facts.Mark(**mark.model_dump()) for mark in told.marks),
            withdrawn=tuple(sorted(asked_before - {mark.question for mark in told.marks})),
            first_at_us=min((row["at_us"] for row in before), default=at_us),
            at_us=at_us,
        )
        subject = subjects.fact(who.tenant, "reporting", "evaluation", "given")
        await self._bus.append(
            Outgoing(subject, given, ids.new_id(), who.tenant, correlation_id=contact_id, time_us=at_us)
        )
        rows = [row.values for row in evaluation_rows(who.tenant, given)]
        try:
            await self._store.insert(EVALUATIONS.name, EVALUATIONS.columns, rows, token=ids.new_id())
        except StoreUnavailable as e:
            log.warning("evaluation_rows_follow", evaluation=evaluation_id, reason=str(e))
        return Given(
            evaluation_id=evaluation_id,
            contact_id=contact_id,
            segment_id=given.segment_id,
            agent_id=given.agent_id,
            form=given.form,
            evaluator=given.evaluator,
            at=datetime.fromtimestamp(given.first_at_us / 1e6, UTC),
            marks=told.marks,
        )

    async def of(self, tenant: str, contact_id: str) -> list[Given]:
        """All that were given to a contact."""
        rows = await self._reports.ask(Statement(_GIVEN, {"tenant": tenant, "contact_id": contact_id}))
        found: dict[str, Given] = {}
        for row in rows:
            mark = Mark(
                question=row["question"], score=row["score"], most=row["most"], comment=row["comment"]
            )
            if row["evaluation_id"] not in found:
                found[row["evaluation_id"]] = Given(contact_id=contact_id, marks=[], **row)
            found[row["evaluation_id"]].marks.append(mark)
        return list(found.values())


def build_router(evaluations: Evaluations) -> APIRouter:
    """The routes below ``/v1/contacts/{contact_id}/evaluations``."""
    router = APIRouter(prefix="/v1/contacts/{contact_id}/evaluations", tags=["contacts"])

    @router.post(
        "",
        status_code=201,
        summary="Judge a contact or one of its conversations",
        description="Points for the questions of a form. Given again under the same evaluation_id it replaces what was there.",
    )
    async def give(contact_id: ContactId, told: Evaluation, who: Supervisor) -> Given:
        return await evaluations.give(who, contact_id, told)

    @router.get("", summary="What supervisors thought of a contact, the oldest first")
    async def given(contact_id: ContactId, who: Reader) -> list[Given]:
        return await evaluations.of(who.tenant, contact_id)

    return router
