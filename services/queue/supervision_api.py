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
from services.queue.adapters.contacts import all_agents, open_contact

WISH_S = 12.0  # Longer than the desk of the node waits: its answer says more than ours.


class SuperviseWish(BaseModel):
    """What the supervisor wants."""

    mode: Literal["listen", "whisper", "barge", "off"] = Field(
        description="listen: heard by nobody; whisper: the agent hears you; barge: both do; off: leave."
    )
    extension: str = Field(
        "",
        pattern=r"^[0-9]{0,20}$",
        description="The phone to ring, of an agent or a desk; empty: the one at which you are, as an agent. Nobody is rung at a number outside.",
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

    async def phone(who: Principal, wish: SuperviseWish) -> tuple[str, str]:
        """The extension to ring, and the node that has its registration, as routing knows it (empty: not known)."""
        center = centers().tenant(who.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {who.tenant}", status=404)
        if wish.mode == "off":
            return "", ""
        agents = await all_agents(bus, who.tenant)
        if not wish.extension and who.subject in agents:
            at = agents[who.subject]
            if at.outside:
                raise Refused(
                    "works-outside",
                    f"{who.subject} works at a number outside, and nobody is at {at.extension}: name the phone to ring by extension, "
                    f"or log in at one",
                )
            return at.extension, at.node
        if wish.extension in center.desks or any(
            a.extension == wish.extension for a in center.agents.values()
        ):
            at_it = [agent for agent in agents.values() if agent.extension == wish.extension]
            # Whoever has logged in there comes before whose own phone it is: of that one's phone nothing is heard any more.
            at_it.sort(
                key=lambda a: (
                    a.agent_id in center.agents and center.agents[a.agent_id].extension == a.extension
                )
            )
            return wish.extension, at_it[0].node if at_it else ""
        raise Refused(
            "no-phone",
            f"expected extension to be the phone of an agent or a desk; found {wish.extension!r}, "
            f"and {who.subject!r} is no agent",
            status=422,
        )

    @router.post(
        "/contacts/{contact_id}/supervise",
        summary="Listen to a contact, whisper to its agent, speak to both, or leave",
    )
    async def supervise(
        contact_id: str, wish: SuperviseWish, who: Annotated[Principal, Depends(require("supervisor"))]
    ) -> SupervisionView:
        extension, phone_node = await phone(who, wish)
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
                    phone_node=phone_node,
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
