"""HTTP routes of the queue service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.common.auth import Principal
from services.common.errors import Refused
from services.common.http import require
from services.queue.core.engine import CallState


class Calls(Protocol):
    """A node that is served by this process."""

    @property
    def owned(self) -> bool: ...
    def calls(self) -> list[CallState]: ...
    def tenant_of(self, contact: str) -> str: ...
    def may_see(self, contact: str, supervisor: str, *, everybody: bool) -> bool: ...
    def hang_up(self, contact: str) -> None: ...


class Call(BaseModel):
    """One contact on a node. Times in µs since the epoch; 0 when it has not happened."""

    contact_id: str
    node: str
    queue: str
    state: str
    waiting_since_us: int
    agent_id: str
    bridged_at_us: int
    second_agent_id: str = ""


class CallList(BaseModel):
    """Contacts of the nodes that this process serves now."""

    nodes: list[str]
    calls: list[Call]


class Accepted(BaseModel):
    """The wish was passed to FreeSWITCH; its hangup event is the confirmation."""

    contact_id: str


def build_router(nodes: Mapping[str, Calls]) -> APIRouter:
    """Return the routes over these nodes."""
    router = APIRouter(prefix="/v1", tags=["queue"])

    def may_see(node: Calls, contact: str, who: Principal) -> bool:
        return node.may_see(contact, who.subject, everybody=who.role == "admin")

    @router.get("/calls", summary="Contacts that wait, are offered or talk")
    async def calls(who: Annotated[Principal, Depends(require("supervisor"))]) -> CallList:
        return CallList(
            nodes=sorted(name for name, node in nodes.items() if node.owned),
            calls=[
                Call(
                    contact_id=call.contact,
                    node=name,
                    queue=call.queue,
                    state=call.state,
                    waiting_since_us=call.waiting_since_us,
                    agent_id=call.agent,
                    bridged_at_us=call.bridged_at_us,
                    second_agent_id=call.second,
                )
                for name, node in nodes.items()
                for call in node.calls()
                if call.tenant == who.tenant and may_see(node, call.contact, who)
            ],
        )

    @router.post("/calls/{contact_id}/hangup", status_code=202, summary="End a contact's call")
    async def hang_up(contact_id: str, who: Annotated[Principal, Depends(require("supervisor"))]) -> Accepted:
        for node in nodes.values():
            if node.owned and node.tenant_of(contact_id) == who.tenant and may_see(node, contact_id, who):
                node.hang_up(contact_id)
                return Accepted(contact_id=contact_id)
        raise Refused(
            "unknown-contact", f"no contact {contact_id!r} is on a node of this process", status=404
        )

    return router
