"""Everything about one contact, read from facts, cards and records."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from pydantic import BaseModel, Field

from services.common.errors import Refused
from services.reporting.core import sql
from services.reporting.core.steps import recorded, steps, why_failed
from services.reporting.questions import Ask

_DAY_US: Final = 86_400_000_000


class Story(BaseModel):
    """Everything about one contact."""

    contact: dict[str, Any]
    steps: list[dict[str, Any]] = Field(
        description="what happened, in the order of time: at, what, text by language, agent_id, queue, offer_id; of an offer"
        " that failed, why"
    )
    timeline: list[dict[str, Any]] = Field(
        description="facts and legs in the order of time, as they were told"
    )
    segments: list[dict[str, Any]] = Field(
        description="stays in queues and conversations, each with those before and after"
    )
    offers: list[dict[str, Any]] = Field(
        description="with why_failed by language, null when it led to a conversation"
    )
    legs: list[dict[str, Any]]
    recordings: list[dict[str, Any]]
    answers: list[dict[str, Any]] = Field(description="answers to surveys")
    evaluations: list[dict[str, Any]]
    related: list[str] = Field(description="contacts that this one follows from or that follow from it")


async def story(ask: Ask, tenant: str, contact_id: str) -> Story:
    """Raises Refused (404) for a contact that the tenant does not have, and StoreUnavailable."""
    found = await ask(sql.contact(tenant, contact_id)) or await ask(sql.contact_record(tenant, contact_id))
    if not found:
        raise Refused("unknown-contact", f"no contact {contact_id!r}", status=404)
    contact = found[0]
    around = sql.Span(tenant, contact["started_at_us"], contact["started_at_us"] + _DAY_US)
    facts, offers, legs, recordings, segments, answers, evaluations, related = await asyncio.gather(
        ask(sql.facts_of(tenant, contact_id)),
        ask(sql.parts_of("v_offers", "made_at, offer_id", around, contact_id)),
        ask(sql.parts_of("v_legs", "started_at, leg_id", around, contact_id)),
        ask(sql.parts_of("v_recordings", "path", around, contact_id)),
        ask(sql.records_of("v_segments", "segment_no", tenant, contact_id)),
        ask(sql.records_of("v_survey_answers", "at, id", tenant, contact_id)),
        ask(sql.records_of("v_evaluations", "at, evaluation_id, question", tenant, contact_id)),
        ask(sql.related_to(tenant, contact_id)),
    )
    told = [fact | {"payload": orjson.loads(fact["payload"])} for fact in facts]
    timeline = list(told)
    for leg in legs:
        timeline += [
            {"at": leg[f"{moment}_at"], "type": f"leg.{moment}", "leg_id": leg["leg_id"], "role": leg["role"]}
            for moment in ("started", "answered", "bridged", "ended")
            if leg[f"{moment}_at"] is not None
        ]
    timeline.sort(key=lambda entry: entry["at"])
    return Story(
        contact=contact,
        steps=steps(told or recorded(contact, segments, offers)),
        timeline=timeline,
        segments=segments,
        offers=[
            offer | {"why_failed": why_failed(offer["outcome"] or offer["observed_outcome"])}
            for offer in offers
        ],
        legs=legs,
        recordings=recordings,
        answers=answers,
        evaluations=evaluations,
        related=[row["contact_id"] for row in related],
    )
