"""HTTP routes for what people do with a call: each is a wish to whoever owns the call's node, over the bus, so that every copy answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.center import CenterSet
from services.center.teams import may_supervise
from services.common.auth import Principal
from services.common.bus import Bus, Envelope, codec, subjects
from services.common.errors import ContractError, Refused
from services.common.http import require
from services.contracts.peyvand.queue.v1 import rpc_pb2
from services.contracts.peyvand.routing.v1 import rpc_pb2 as routing_pb2
from services.queue.adapters.contacts import open_contact

_WISH_S = 12.0  # Longer than the engine waits for an effect: its answer says more than ours.
_Who = Annotated[Principal, Depends(require("agent", "supervisor"))]


class ContactCall(BaseModel):
    """The call after the wish."""

    contact_id: str
    state: str = Field(
        description="waiting, offered, talking, held, dialling, consulting, conference, leaving or gone."
    )
    agent_id: str = Field(description="Who has the contact now.")
    second_agent_id: str = Field(description="Who is asked, or the third in the conference.")


class TransferWish(BaseModel):
    """To whom the contact goes."""

    kind: Literal["agent", "queue", "number"]
    target: str = Field(
        min_length=1, max_length=63, description="Agent id or extension, queue id, or number."
    )


class ConsultWish(BaseModel):
    """Who is asked first."""

    agent: str = Field(min_length=1, max_length=63, description="Agent id or extension.")


class DropWish(BaseModel):
    """Who leaves the conference."""

    agent: str = Field(min_length=1, max_length=63, description="Agent id.")


def router(bus: Bus, centers: Callable[[], CenterSet]) -> APIRouter:
    """Return the routes. An agent steers the own conversation only, a supervisor those of own teams; ``centers`` are the documents."""
    routes = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["queue"])

    async def find(who: Principal, contact_id: str) -> routing_pb2.ContactState:
        center = centers().tenant(who.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {who.tenant}", status=404)
        contact = await open_contact(bus, who.tenant, contact_id)
        if not may_supervise(center, who.role, who.subject, contact.agent_id):
            reason = f"{who.subject} supervises no team of {contact.agent_id}"
            raise Refused("not-your-team", reason, status=403)
        return contact

    async def wish(
        who: Principal, contact_id: str, verb: str, target_kind: str = "", target: str = ""
    ) -> ContactCall:
        node = (await find(who, contact_id)).node
        question = rpc_pb2.CallWish(
            contact_id=contact_id,
            agent_id=who.subject if who.role == "agent" else "",
            target_kind=target_kind,
            target=target,
        )
        subject = subjects.rpc(who.tenant, "queue", node, verb)
        return shown(await bus.request(subject, question, timeout_s=_WISH_S))

    def shown(answer: Envelope) -> ContactCall:
        done = codec.decode(answer)
        if not isinstance(done, rpc_pb2.CallDone):
            raise ContractError(f"expected a CallDone, found {type(done).__name__}")
        return ContactCall(
            contact_id=done.contact_id,
            state=done.state,
            agent_id=done.agent_id,
            second_agent_id=done.second_agent_id,
        )

    @routes.post("/hold", summary="The caller hears music, the agent stays on the line")
    async def hold(contact_id: str, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "hold")

    @routes.post("/resume", summary="Talk to a held caller again")
    async def resume(contact_id: str, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "resume")

    @routes.post("/transfer", summary="Give the contact to a colleague, a queue or a number, unasked")
    async def transfer(contact_id: str, to: TransferWish, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "transfer", to.kind, to.target)

    @routes.post("/consult", summary="Ring a colleague and talk first; the caller hears music")
    async def consult(contact_id: str, whom: ConsultWish, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "consult", "agent", whom.agent)

    @routes.post("/complete", summary="Give the contact to the colleague one talks with")
    async def complete(contact_id: str, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "complete")

    @routes.post("/cancel", summary="Back to the caller; the colleague is let go")
    async def cancel(contact_id: str, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "cancel")

    @routes.post("/conference", summary="Bring caller, agent and colleague together")
    async def conference(contact_id: str, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "conference")

    @routes.post("/drop", summary="Let one agent leave the conference")
    async def drop(contact_id: str, whom: DropWish, who: _Who) -> ContactCall:
        return await wish(who, contact_id, "drop", "agent", whom.agent)

    return routes
