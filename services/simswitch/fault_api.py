"""HTTP routes of the faults: what happens at once, what lasts for a while, what goes on, and its early end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from services.common.errors import Refused
from services.common.http import require
from services.simswitch.core.faults import LONGEST_S, LOST_AT, Fault, Kind
from services.simswitch.core.scenario import RingAct
from services.simswitch.node import EventSocket
from services.simswitch.people import Agent, People, press
from services.simswitch.switch import Switch

_ADMIN = Depends(require("service", "supervisor"))


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Moment(_Body):
    """Something happens at once, or is set right again."""

    node: str = Field("", description="The node that it happens to; empty: the first.")
    kind: Literal[
        "drop_listeners",
        "refuse_originates",
        "unregister",
        "expire",
        "register",
        "ring",
        "hangup",
        "press",
        "dial",
    ]
    extension: str = Field("", description="unregister, expire, register, ring, dial: the agent's phone.")
    cause: str = Field(
        "",
        description="refuse_originates: every originate fails with it, empty ends that. hangup: the cause.",
    )
    outcome: Literal["answer", "no_answer", "decline", "busy"] = Field(
        "answer", description="ring: what the agent does."
    )
    after_s: float = Field(0.5, ge=0, description="ring: how long it rings before that.")
    for_s: float = Field(
        0.0,
        ge=0,
        le=LONGEST_S,
        description="refuse_originates: until then; 0 until it is ended by an empty cause.",
    )
    count: int = Field(1, ge=1, le=1000, description="ring: for so many offers.")
    leg: str = Field("", description="hangup, press: the leg whose person does it.")
    digits: str = Field("", description="press: the keys; dial: the number.")


class Lasting(_Body):
    """Something goes wrong for a while and ends by itself; see services.simswitch.core.faults for every field."""

    node: str = Field("", description="The node that it happens to; empty: the first.")
    kind: Kind
    for_s: float = Field(0.0, description="How long it lasts; restart: how long the switch is down.")
    at_s: float = Field(0.0, description="Seconds from now.")
    reply_ms: int = Field(0, description="slow: before each reply.")
    event_ms: int = Field(0, description="slow: before events are written.")
    job_ms: int = Field(0, description="slow: before a bgapi job begins.")
    after: int = Field(0, description="lossy, half_frame: events that still get through on each connection.")
    lose: int = Field(
        LOST_AT + 1, description="lossy: events lost then; beyond 500 in a row the listener is killed."
    )
    max_sessions: int | None = Field(None, description="full: legs at most.")
    sps: int | None = Field(None, description="full: new legs a second at most.")
    heal: Literal["resume", "reset"] = Field("resume", description="partition: how it ends.")
    how: Literal["acl", "password", "port"] = Field(
        "acl", description="refuse: rude rejection, -ERR invalid, or nobody listens."
    )
    graceful: bool = Field(
        False, description="restart: legs are hung up and recorded first; otherwise a crash."
    )
    registrations: Literal["kept", "lost"] = Field(
        "kept", description="restart: whether the phones must register anew."
    )


def routes(people: People, sockets: Mapping[str, EventSocket]) -> APIRouter:
    """The router of the simulated nodes. What names no node is about the first, what names a leg or a phone about theirs."""
    router = APIRouter(prefix="/v1", dependencies=[_ADMIN], tags=["faults"])

    @router.get("/faults", summary="The faults that go on")
    async def faults(node: str = "") -> dict[str, Any]:
        return {"faults": people.node(node).faults.active()}

    @router.delete("/faults/{number}", summary="End a fault before its time")
    async def end(number: int, node: str = "") -> dict[str, Any]:
        await people.node(node).faults.end(number)
        return {"number": number}

    @router.post("/faults", summary="Let something go wrong")
    async def fault(
        request: Annotated[Moment | Lasting, Field(discriminator="kind")],
    ) -> dict[str, Any]:
        switch = people.node(request.node)
        if isinstance(request, Lasting):
            return {"number": switch.faults.begin(Fault(**request.model_dump(exclude={"node"})))}
        if request.kind == "drop_listeners":
            return {"dropped": sockets[switch.name].drop_clients()}
        if request.kind == "refuse_originates":
            switch.refuse_originates = request.cause
            if request.for_s:
                asyncio.get_running_loop().call_later(
                    request.for_s, _accept_originates, switch, request.cause
                )
            return {"cause": request.cause}
        if request.kind in ("hangup", "press"):
            leg = people.find(request.leg)
            if leg is None or leg.down:
                raise Refused("unknown-leg", f"there is no leg {request.leg!r}", status=404)
            if request.kind == "press":
                for digit in request.digits:
                    press(leg, digit)
            else:
                person = "caller" if leg.direction == "inbound" else "agent"
                leg.end(request.cause or "NORMAL_CLEARING", by=person)
            return {"leg": leg.uuid}
        agent = _agent(people, request.extension)
        if request.kind == "register":
            agent.switch.register(agent.extension, agent)
        elif request.kind == "dial":
            agent.dial(request.digits)
        elif request.kind == "ring":
            agent.forced.extend([RingAct(request.after_s, request.outcome)] * request.count)
        else:
            agent.switch.unregister(agent.extension, expired=request.kind == "expire")
        return {"extension": agent.extension}

    return router


def _accept_originates(switch: Switch, cause: str) -> None:
    if switch.refuse_originates == cause:
        switch.refuse_originates = ""


def _agent(people: People, extension: str) -> Agent:
    agent = people.agents.get(extension)
    if agent is None:
        known = ", ".join(people.agents)
        raise Refused("unknown-agent", f"no phone {extension!r}; there are {known}", status=404)
    return agent
