"""Scheduled reports over HTTP: when each is due, and whether it was sent."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.common.clock import Clock
from services.reporting.api import Reader, Reports
from services.reporting.core import schedules as core
from services.reporting.schedules import Ledger, Scheduler, told


def build_router(reports: Reports, scheduler: Scheduler, ledger: Ledger, clock: Clock) -> APIRouter:
    """``GET /v1/reports/schedules``."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/schedules", summary="Scheduled reports: when each is due, and what became of the last one")
    async def schedules(who: Reader) -> dict[str, list[dict[str, Any]]]:
        now_us = clock.now_us()
        found = []
        for schedule in scheduler.schedules(who.tenant):
            occurrence = core.latest(schedule, now_us)
            attempts = await ledger.attempts(schedule, occurrence)
            found.append(told(schedule, occurrence, attempts, now_us))
        return {"schedules": found}

    return router
