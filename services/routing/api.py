"""HTTP routes of routing. Wishes and questions go over the bus, so that every copy answers for whoever owns the tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field

from services.center import Center, CenterSet
from services.center.teams import may_supervise, may_supervise_queue
from services.common.auth import Principal
from services.common.bus import Bus, Sendable, codec, subjects
from services.common.errors import Refused
from services.common.http import require
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.routing.core import views

T = TypeVar("T", bound=msgspec.Struct)

_TIMEOUT_S = 5.0
_Person = Annotated[Principal, Depends(require("agent", "supervisor", "service"))]
_Reader = Annotated[Principal, Depends(require("agent", "supervisor", "analyst", "service"))]


class AtHand(BaseModel):
    """A contact of another channel than calls that an agent is offered or has."""

    contact_id: str
    channel: str
    queue: str
    state: str = Field(description="offered or handled.")
    offer_id: str
    since_ms: int


class Agent(BaseModel):
    """One agent now: presence is what the person says, activity what the system sees."""

    agent_id: str
    name: dict[str, str]
    extension: str
    presence: str
    reason: str
    activity: str
    contact_id: str
    queue: str
    presence_ms: int
    activity_ms: int
    queues: list[str]
    at_hand: list[AtHand] = Field(
        description="Contacts of other channels; the activity tells of calls, and handling that there are only such."
    )
    draining: bool = Field(
        description="Gone from the document: finishes the contact and is offered no other."
    )
    node: str = Field(
        description="FreeSWITCH node that the phone is registered with; empty when that is not known."
    )


class ChannelCount(BaseModel):
    """Contacts of one channel in a queue."""

    channel: str
    waiting: int
    handled: int = Field(description="Agents have them.")


class Queue(BaseModel):
    """One queue now. Numbers are of calls."""

    queue: str
    name: dict[str, str]
    waiting: int
    longest_wait_ms: int
    talking: int
    idle_agents: int
    agents: int = Field(description="Logged in and not on a break.")
    serving: int = Field(
        description="Those of them whose phone can be reached: they take a contact now or soon."
    )
    draining: bool = Field(description="Gone from the document: takes nobody new, serves who is in it.")
    others: list[ChannelCount] = Field(description="Of other channels; the numbers above are of calls.")


class Contact(BaseModel):
    """One open contact now."""

    contact_id: str
    queue: str
    state: str
    priority: int
    skills: list[str]
    node: str
    entry_point: str
    ani: str
    waited_ms: int
    agent_id: str
    offers: int
    position: int
    service_class: str
    channel: str = Field(description="call, or a channel of the center.")


class Callback(BaseModel):
    """One callback: waiting (in line), paused (not before a time), calling, or cancelled. Times in µs since the epoch."""

    callback_id: str
    contact_id: str
    queue: str
    number: str
    state: str
    waited_ms: int
    position: int = Field(
        description="Among all who wait in the queue, from 1 on; 0 when it is not in line now."
    )
    attempts: int
    not_before_us: int
    expires_us: int
    language: str
    customer: str


class RescheduleWish(BaseModel):
    """When and where to call instead. The place in the queue stays; the callback comes up again after that time."""

    not_before: AwareDatetime | None = Field(
        None, description="Not before this time; none: as soon as it is its turn."
    )
    number: str = Field("", description="Another number; empty: as it was.", pattern=r"^(\+?[0-9]{3,24})?$")


class Named(BaseModel):
    """A code with its name by language."""

    code: str
    name: dict[str, str]


class CenterSummary(BaseModel):
    """What an agent's screen needs of the running center."""

    tenant: str
    revision: str
    name: dict[str, str]
    languages: list[str]
    queues: dict[str, dict[str, str]]
    dispositions: list[Named]
    break_reasons: list[Named]


class PresenceWish(BaseModel):
    """What the agent wants to be."""

    presence: Literal["available", "break", "offline", "toggle"]
    reason: str = Field("", description="Code of a break reason.", max_length=63)


class SeatWish(BaseModel):
    """At which phone the agent is; logging out ends it."""

    extension: str = Field(description="An agent's phone or a desk of the center.", pattern=r"^[0-9]{2,10}$")
    force: bool = Field(
        False, description="Log out who is there, unless that agent has a contact; for supervisors."
    )


class DispositionWish(BaseModel):
    """The result of the contact in wrap-up; it ends the wrap-up."""

    code: str = Field(min_length=1, max_length=63)


class WrapUpWish(BaseModel):
    """Another wrap-up than the one that runs or would follow."""

    action: Literal["request", "extend", "end"] = Field(
        description="request: wrap up after this conversation; extend: more time; end: without a result."
    )


class CallWish(BaseModel):
    """Whom to call."""

    number: str = Field(pattern=r"^\+?[0-9]{2,24}$", description="As people dial it; the trunk rewrites it.")
    queue: str = Field(
        "", max_length=63, description="Whose wrap-up, recording and number hold; empty: the agent's first."
    )


class PriorityWish(BaseModel):
    """The new priority of a waiting contact; higher is sooner."""

    priority: int = Field(ge=-100, le=100)


def router(bus: Bus, centers: Callable[[], CenterSet]) -> APIRouter:
    """Return the routes; ``centers`` gives the running documents."""
    routes = APIRouter(prefix="/v1", tags=["routing"])

    def center_of(principal: Principal) -> Center:
        center = centers().tenant(principal.tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {principal.tenant}", status=404)
        return center

    async def ask(tenant: str, entity: str, what: str, question: Sendable, kind: type[T]) -> T:
        subject = subjects.rpc(tenant, "routing", entity, what)
        return codec.read(await bus.request(subject, question, timeout_s=_TIMEOUT_S), kind)

    def own_agent(agent_id: str, principal: Principal) -> Center:
        """An agent speaks for itself only; a supervisor for own teams."""
        if principal.role == "agent" and principal.subject != agent_id:
            raise Refused("not-your-agent", f"{principal.subject} may not change {agent_id}", status=403)
        center = center_of(principal)
        if not may_supervise(center, principal.role, principal.subject, agent_id):
            reason = f"{principal.subject} supervises no team of {agent_id}"
            raise Refused("not-your-team", reason, status=403)
        return center

    def seen(center: Center, state: views.ContactState, principal: Principal) -> bool:
        if state.agent_id:
            return may_supervise(center, principal.role, principal.subject, state.agent_id)
        return may_supervise_queue(center, principal.role, principal.subject, state.queue)

    def shown(center: Center, state: views.AgentState) -> Agent:
        known = center.agents.get(state.agent_id)
        return Agent(name=dict(known.name) if known else {}, **msgspec.to_builtins(state))

    @routes.get("/agents", summary="All agents and what they do")
    async def agents(principal: _Reader) -> list[Agent]:
        center = center_of(principal)
        found = await ask(center.tenant, "agent", "list", rpc_pb2.ListAgents(), views.AgentList)
        return [
            shown(center, state)
            for state in found.agents
            if may_supervise(center, principal.role, principal.subject, state.agent_id)
        ]

    @routes.post("/agents/{agent_id}/presence", summary="Log an agent in or out, or send it on a break")
    async def presence(agent_id: str, wish: PresenceWish, principal: _Person) -> Agent:
        center = own_agent(agent_id, principal)
        question = rpc_pb2.SetAgentPresence(
            agent_id=agent_id,
            presence=wish.presence,
            reason=wish.reason,
            actor="agent" if principal.subject == agent_id else "supervisor",
        )
        return shown(center, await ask(center.tenant, "agent", "set-presence", question, views.AgentState))

    @routes.post("/agents/{agent_id}/seat", summary="Log an agent in at another phone")
    async def seat(agent_id: str, wish: SeatWish, principal: _Person) -> Agent:
        center = own_agent(agent_id, principal)
        own = principal.subject == agent_id
        if wish.force and own:
            raise Refused("not-allowed", "only a supervisor logs somebody out for it", status=403)
        question = rpc_pb2.SeatAgent(
            agent_id=agent_id,
            extension=wish.extension,
            force=wish.force,
            actor="agent" if own else "supervisor",
        )
        return shown(center, await ask(center.tenant, "agent", "seat", question, views.AgentState))

    @routes.post(
        "/agents/{agent_id}/disposition", summary="Name the result of the contact in wrap-up, and end it"
    )
    async def disposition(agent_id: str, wish: DispositionWish, principal: _Person) -> Agent:
        center = own_agent(agent_id, principal)
        question = rpc_pb2.SetDisposition(agent_id=agent_id, code=wish.code, by="http")
        return shown(center, await ask(center.tenant, "agent", "dispose", question, views.AgentState))

    @routes.post(
        "/agents/{agent_id}/wrap-up", summary="Ask for a wrap-up, extend it, or end it without a result"
    )
    async def wrap_up(agent_id: str, wish: WrapUpWish, principal: _Person) -> Agent:
        center = own_agent(agent_id, principal)
        question = rpc_pb2.SetWrapUp(agent_id=agent_id, action=wish.action, by="http")
        return shown(center, await ask(center.tenant, "agent", "wrap-up", question, views.AgentState))

    @routes.post(
        "/agents/{agent_id}/calls",
        summary="Call a number: the agent's phone rings first. Refused with number-forbidden, limit-reached, outside-hours",
    )
    async def place_call(agent_id: str, wish: CallWish, principal: _Person) -> Agent:
        center = own_agent(agent_id, principal)
        question = rpc_pb2.PlaceCall(
            agent_id=agent_id,
            number=wish.number,
            queue=wish.queue,
            actor="agent" if principal.subject == agent_id else principal.role,
        )
        return shown(center, await ask(center.tenant, "agent", "place-call", question, views.AgentState))

    @routes.post(
        "/contacts/{contact_id}/priority", summary="Give a waiting contact another priority, at once"
    )
    async def prioritise(
        contact_id: str,
        wish: PriorityWish,
        principal: Annotated[Principal, Depends(require("supervisor", "service"))],
    ) -> Contact:
        center = center_of(principal)
        tenant = center.tenant
        if principal.role == "supervisor" and center.teams:
            known = await ask(tenant, "contact", "list", rpc_pb2.ListContacts(), views.ContactList)
            if not any(c.contact_id == contact_id and seen(center, c, principal) for c in known.contacts):
                unknown = f"there is no open contact {contact_id!r} of a team of {principal.subject}"
                raise Refused("unknown-contact", unknown, status=404)
        question = rpc_pb2.SetContactPriority(
            contact_id=contact_id, priority=wish.priority, actor=principal.role
        )
        state = await ask(tenant, "contact", "set-priority", question, views.ContactState)
        return Contact(**msgspec.to_builtins(state))

    @routes.get("/queues", summary="All queues and who waits in them")
    async def queues(principal: _Reader) -> list[Queue]:
        center = center_of(principal)
        found = await ask(center.tenant, "queue", "list", rpc_pb2.ListQueues(), views.QueueList)
        names = {name: dict(gone.queue.name) for name, gone in center.retired.items()}
        names |= {name: dict(queue.name) for name, queue in center.queues.items()}
        return [
            Queue(name=names.get(state.queue, {}), **msgspec.to_builtins(state)) for state in found.queues
        ]

    @routes.get("/contacts", summary="All open contacts, who waits longest first")
    async def contacts(
        principal: Annotated[Principal, Depends(require("supervisor", "service"))],
    ) -> list[Contact]:
        center = center_of(principal)
        found = await ask(center.tenant, "contact", "list", rpc_pb2.ListContacts(), views.ContactList)
        return [
            Contact(**msgspec.to_builtins(state))
            for state in found.contacts
            if seen(center, state, principal)
        ]

    @routes.get("/callbacks", summary="Customers who are to be called back, who asked first first")
    async def callbacks(
        principal: Annotated[Principal, Depends(require("supervisor", "service"))],
    ) -> list[Callback]:
        return [Callback(**msgspec.to_builtins(state)) for state in await own_callbacks(principal)]

    async def own_callbacks(principal: Principal) -> list[views.CallbackState]:
        """A supervisor sees those of queues that somebody of the own teams serves."""
        center = center_of(principal)
        found = await ask(center.tenant, "callback", "list", rpc_pb2.ListCallbacks(), views.CallbackList)
        return [
            state
            for state in found.callbacks
            if may_supervise_queue(center, principal.role, principal.subject, state.queue)
        ]

    async def change(principal: Principal, question: rpc_pb2.ChangeCallback) -> Callback:
        center = center_of(principal)
        if principal.role == "supervisor" and center.teams:
            own = await own_callbacks(principal)
            if not any(question.callback_id == state.callback_id for state in own):
                unknown = (
                    f"there is no open callback {question.callback_id!r} of a team of {principal.subject}"
                )
                raise Refused("unknown-callback", unknown, status=404)
        state = await ask(center.tenant, "callback", "change", question, views.CallbackState)
        return Callback(**msgspec.to_builtins(state))

    @routes.post("/callbacks/{callback_id}/cancel", summary="Call this customer no more")
    async def cancel_callback(
        callback_id: str, principal: Annotated[Principal, Depends(require("supervisor", "service"))]
    ) -> Callback:
        question = rpc_pb2.ChangeCallback(callback_id=callback_id, action="cancel", actor=principal.role)
        return await change(principal, question)

    @routes.post("/callbacks/{callback_id}/reschedule", summary="Call at another time or another number")
    async def reschedule_callback(
        callback_id: str,
        wish: RescheduleWish,
        principal: Annotated[Principal, Depends(require("supervisor", "service"))],
    ) -> Callback:
        not_before_us = round(wish.not_before.timestamp() * 1e6) if wish.not_before else 0
        question = rpc_pb2.ChangeCallback(
            callback_id=callback_id,
            action="reschedule",
            not_before_us=not_before_us,
            number=wish.number,
            actor=principal.role,
        )
        return await change(principal, question)

    @routes.get("/center", summary="Queues, dispositions and break reasons of the running center")
    async def center(principal: _Reader) -> CenterSummary:
        running = center_of(principal)
        return CenterSummary(
            tenant=running.tenant,
            revision=running.revision,
            name=dict(running.name),
            languages=list(running.languages),
            queues={name: dict(queue.name) for name, queue in running.queues.items()},
            dispositions=[Named(code=d.code, name=dict(d.name)) for d in running.dispositions],
            break_reasons=[Named(code=r.code, name=dict(r.name)) for r in running.break_reasons],
        )

    return routes
