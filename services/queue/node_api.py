"""HTTP routes for the nodes: each asks whoever owns the node over the bus, so that every copy answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from services.common.auth import Principal
from services.common.bus import Bus, codec, subjects
from services.common.errors import BusUnavailable, ContractError, Refused
from services.common.http import require
from services.contracts.peyvand.queue.v1 import rpc_pb2

ASK_S = 3.0
_Admin = Annotated[Principal, Depends(require("admin"))]


class Node(BaseModel):
    """A FreeSWITCH node. Times in µs since the epoch; 0 when it has not happened."""

    node: str
    state: str = Field(
        description="in_service, draining (no new calls, who waits moves on), drained (and no leg is left), "
        "unknown (nobody owns it now, or its owner does not reach it)"
    )
    draining_since_us: int = 0
    contacts: int = Field(0, description="On the node, of all tenants.")
    waiting: int = 0
    legs: int = Field(0, description="At the last look; also calls in menus and of agents' phones.")


class NodeListing(BaseModel):
    """All nodes."""

    nodes: list[Node]


def router(bus: Bus, nodes: Sequence[str], operators: Collection[str] = ()) -> APIRouter:
    """Return the routes over these nodes, for administrators of the tenants ``operators`` (empty: of every tenant).

    A node carries the calls of all tenants; whoever empties it does so for all of them.
    """
    routes = APIRouter(prefix="/v1/nodes", tags=["nodes"])

    async def ask(who: Principal, node: str, verb: str) -> Node:
        if operators and who.tenant not in operators:
            raise Refused(
                "nodes-not-yours",
                f"the nodes are not in the hands of tenant {who.tenant!r} (PEYVAND_QUEUE_OPERATORS)",
                status=404,
            )
        if node not in nodes:
            raise Refused("unknown-node", f"no node {node!r}; there are {', '.join(nodes)}", status=404)
        subject = subjects.rpc(who.tenant, "queue", node, verb)
        answer = codec.decode(
            await bus.request(subject, rpc_pb2.NodeWish(actor=who.subject), timeout_s=ASK_S)
        )
        if not isinstance(answer, rpc_pb2.NodeStatus):
            raise ContractError(f"{subject}: expected a NodeStatus, found {type(answer).__name__}")
        state = "drained" if answer.drained else "draining" if answer.draining else "in_service"
        return Node(
            node=answer.node,
            state=state if answer.connected else "unknown",
            draining_since_us=answer.draining_since_us,
            contacts=answer.contacts,
            waiting=answer.waiting,
            legs=answer.legs,
        )

    async def seen(who: Principal, node: str) -> Node:
        try:
            return await ask(who, node, "show")
        except BusUnavailable:
            return Node(node=node, state="unknown")

    @routes.get("", summary="The FreeSWITCH nodes and whether they are being emptied")
    async def listing(who: _Admin) -> NodeListing:
        return NodeListing(nodes=list(await asyncio.gather(*(seen(who, node) for node in nodes))))

    @routes.post(
        "/{node}/drain", summary="Empty a node: no new calls, who waits moves on, who talks talks on"
    )
    async def drain(node: str, who: _Admin) -> Node:
        return await ask(who, node, "drain")

    @routes.post("/{node}/undrain", summary="Put a node back into service")
    async def undrain(node: str, who: _Admin) -> Node:
        return await ask(who, node, "undrain")

    return routes
