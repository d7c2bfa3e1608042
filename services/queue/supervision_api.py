"""HTTP routes of supervision: asked of the contact's node over the bus, so that every copy of the service answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.center import CenterSet
from services.common.auth import Principal
from services.common.bus import Bus, codec, subjects
from services.common.errors import DecodeError, Refused
from services.common.http import require
from services.contracts.peyvand.queue.v1 import supervision_rpc_pb2
from services.queue.adapters.contacts import open_contact

WISH_S = 12.0  # Longer than the desk of the node waits: its answer says more than ours.


class SuperviseWish(BaseModel):
    """What the supervisor wants."""

    mode: Literal["listen", "whisper", "barge", "off"] = Field(
        description="listen: heard by nobody; whisper: the agent hears you; barge: both do; off: leave."
    )
    extension: str = Field(
        "", pattern=r"^[0-9]{0,20}$", description="The agent's phone to ring; empty: your own, as an agent."
    )


class SupervisionView(BaseModel):
    """A supervision after the wish."""

    supervision_id: str
    contact_id: str
    supervisor: str
    agent_id: str
    mode: str
    state: str = Field(description="ringing (your phone), listening, ended")


def build_supervision_router(bus: Bus, centers: Callable[[], CenterSet]) -> APIRouter:
    """Return the route; ``centers`` gives the running documents."""
    router = APIRouter(prefix="/v1", tags=["queue"])

    def phone(who: Principal, wish: SuperviseWish) -> str:
        center = centers().tenant(who.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {who.tenant}", status=404)
        agents = center.agents
        if not wish.extension and who.subject in agents:
            return agents[who.subject].extension
        if any(agent.extension == wish.extension for agent in agents.values()):
            return wish.extension
        if wish.mode == "off":
            return ""
        raise Refused(
            "no-phone",
            f"expected extension to be an agent's phone; found {wish.extension!r}, and {who.subject!r} is no agent",
            status=422,
        )

    @router.post(
        "/contacts/{contact_id}/supervise",
        summary="Listen to a contact, whisper to its agent, speak to both, or leave",
    )
    async def supervise(
        contact_id: str, wish: SuperviseWish, who: Annotated[Principal, Depends(require("supervisor"))]
    ) -> SupervisionView:
        extension = phone(who, wish)
        node = (await open_contact(bus, who.tenant, contact_id)).node
        answer = codec.decode(
            await bus.request(
                subjects.rpc(who.tenant, "queue", node, "supervise"),
                supervision_rpc_pb2.Supervise(
                    contact_id=contact_id,
                    mode=wish.mode,
                    supervisor=who.subject,
                    everybody=who.role == "admin",
                    extension=extension,
                ),
                timeout_s=WISH_S,
            )
        )
        if not isinstance(answer, supervision_rpc_pb2.SupervisionState):
            raise DecodeError(f"expected SupervisionState, found {type(answer).__name__}")
        return SupervisionView(
            supervision_id=answer.supervision_id,
            contact_id=answer.contact_id,
            supervisor=answer.supervisor,
            agent_id=answer.agent_id,
            mode=answer.mode,
            state=answer.state,
        )

    return router
