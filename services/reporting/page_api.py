"""What the history pages need of the center document: names, and the time zone in which its days begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.center import Center
from services.common.errors import Refused
from services.reporting.api import Reader


class Named(BaseModel):
    """An id or code of the document with its names by language."""

    id: str
    names: dict[str, str]


class CenterNames(BaseModel):
    """The center document as reports name its parts. What was deleted from it since is named by its id in reports."""

    tenant: str
    names: dict[str, str]
    time_zone: str = Field(description="IANA name: days of reports begin at its midnight")
    languages: list[str] = Field(description="of the center, the first one by default")
    queues: list[Named] = Field(description="in the order of the document")
    agents: list[Named]
    dispositions: list[Named]


def _named(names: Mapping[str, Mapping[str, str]]) -> list[Named]:
    return [Named(id=key, names=dict(name)) for key, name in names.items()]


def build_router(center_of: Callable[[str], Center | None]) -> APIRouter:
    """The route ``/v1/reports/center``. ``center_of`` gives a tenant's document, None where there is none."""
    router = APIRouter(prefix="/v1/reports", tags=["reports"])

    @router.get("/center", summary="Names of queues, agents and codes, and the time zone of reports")
    async def center(who: Reader) -> CenterNames:
        found = center_of(who.tenant)
        if found is None:
            raise Refused(
                "unknown-tenant", f"no center of the tenant {who.tenant!r} is loaded here", status=404
            )
        return CenterNames(
            tenant=found.tenant,
            names=dict(found.name),
            time_zone=found.timezone,
            languages=list(found.languages),
            queues=_named({key: queue.name for key, queue in found.queues.items()}),
            agents=_named({key: agent.name for key, agent in found.agents.items()}),
            dispositions=_named({one.code: one.name for one in found.dispositions}),
        )

    return router
