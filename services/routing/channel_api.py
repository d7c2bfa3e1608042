"""HTTP routes for contacts of other channels than calls: services bring them, agents take them up and finish them.

Every route is a wish over the bus to whoever owns the tenant, as in ``api``; ``core/channels.py`` says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field

from services.center import Center, CenterSet
from services.center.teams import may_supervise
from services.common.auth import Principal
from services.common.bus import Bus, Sendable, codec, subjects
from services.common.errors import Refused
from services.common.http import require
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing.core import views

_TIMEOUT_S = 5.0
_Service = Annotated[Principal, Depends(require("service"))]
_Person = Annotated[Principal, Depends(require("agent", "supervisor"))]


class ChannelContact(BaseModel):
    """One contact of another channel than calls."""

    contact_id: str
    channel: str
    queue: str
    state: str = Field(description="waiting, offered, talking (an agent has it) or closed.")
    agent_id: str = Field(description="Offered to, or handled by.")
    offers: int = Field(description="To how many agents it was offered.")
    position: int = Field(
        description="Among the waiting of its queue and channel, from 1 on; 0: with an agent."
    )
    waited_ms: int


class EnqueueWish(BaseModel):
    """A contact that wants an agent."""

    contact_id: str = Field(
        min_length=1, max_length=128, description="Chosen by the service, unique for ever."
    )
    channel: str = Field(min_length=1, max_length=63, description="One of the center's channels.")
    queue: str = Field(min_length=1, max_length=63)
    reporter: str = Field(min_length=1, max_length=63, description="The service: a token such as chat.")
    waiting_since: AwareDatetime | None = Field(None, description="The place; from now on when not given.")
    priority: int = Field(0, ge=-100, le=100)
    skills: list[str] = Field(default=[], max_length=16, description="billing:3")
    language: str = Field("", max_length=8)
    address: str = Field("", max_length=320, description="Of the customer: an e-mail address, a handle.")
    name: str = Field("", max_length=200)
    customer: str = Field("", max_length=128)
    service_class: str = Field("", max_length=63)
    preferred_agent: str = Field("", max_length=63)
    entry_point: str = Field("", max_length=63)


class LeaveWish(BaseModel):
    """The customer is gone."""

    cause: str = Field("", max_length=63)


class CompleteWish(BaseModel):
    """The contact is done."""

    code: str = Field("", max_length=63, description="The result; required where the queue asks for one.")


def router(bus: Bus, centers: Callable[[], CenterSet]) -> APIRouter:
    """Return the routes; ``centers`` gives the running documents."""
    routes = APIRouter(prefix="/v1", tags=["routing"])

    def center_of(who: Principal) -> Center:
        center = centers().tenant(who.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {who.tenant}", status=404)
        return center

    async def wish(who: Principal, what: str, question: Sendable) -> ChannelContact:
        subject = subjects.rpc(center_of(who).tenant, "routing", "contact", what)
        answer = await bus.request(subject, question, timeout_s=_TIMEOUT_S)
        state = msgspec.to_builtins(codec.read(answer, views.ContactState))
        return ChannelContact(**{name: state[name] for name in ChannelContact.model_fields})

    async def handle(
        who: Principal, agent_id: str, contact_id: str, action: str, code: str = ""
    ) -> ChannelContact:
        """Of that agent, or of a supervisor of the team."""
        own = who.role == "agent" and who.subject == agent_id
        supervises = who.role != "agent" and may_supervise(center_of(who), who.role, who.subject, agent_id)
        if not own and not supervises:
            raise Refused("not-your-agent", f"{who.subject} may not act for {agent_id}", status=403)
        question = rpc_pb2.HandleContact(
            agent_id=agent_id,
            contact_id=contact_id,
            action=action,
            code=code,
            by="agent" if own else "supervisor",
        )
        return await wish(who, "handle", question)

    @routes.post("/contacts", summary="Bring a contact of a channel of your own; it waits for an agent")
    async def enqueue(wished: EnqueueWish, principal: _Service) -> ChannelContact:
        since = wished.waiting_since
        question = rpc_pb2.EnqueueContact(
            **wished.model_dump(exclude={"waiting_since"}),
            waiting_since_us=round(since.timestamp() * 1e6) if since else 0,
        )
        return await wish(principal, "enqueue", question)

    @routes.post("/contacts/{contact_id}/leave", summary="Say that the customer of such a contact is gone")
    async def leave(contact_id: str, wished: LeaveWish, principal: _Service) -> ChannelContact:
        question = rpc_pb2.LeaveContact(contact_id=contact_id, cause=wished.cause)
        return await wish(principal, "leave", question)

    of_agent = "/agents/{agent_id}/contacts/{contact_id}"

    @routes.post(of_agent + "/accept", summary="Take up a contact that is offered")
    async def accept(agent_id: str, contact_id: str, principal: _Person) -> ChannelContact:
        return await handle(principal, agent_id, contact_id, "accept")

    @routes.post(of_agent + "/decline", summary="Leave a contact that is offered to somebody else")
    async def decline(agent_id: str, contact_id: str, principal: _Person) -> ChannelContact:
        return await handle(principal, agent_id, contact_id, "decline")

    @routes.post(of_agent + "/release", summary="Give a contact back: it waits again, at its place")
    async def release(agent_id: str, contact_id: str, principal: _Person) -> ChannelContact:
        return await handle(principal, agent_id, contact_id, "release")

    @routes.post(of_agent + "/complete", summary="Finish a contact, with its result")
    async def complete(
        agent_id: str, contact_id: str, wished: CompleteWish, principal: _Person
    ) -> ChannelContact:
        return await handle(principal, agent_id, contact_id, "complete", wished.code)

    return routes
