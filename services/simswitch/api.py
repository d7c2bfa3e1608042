"""HTTP routes: the scenario, the ledger, the state and single calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from services.common.errors import Refused
from services.common.http import require
from services.simswitch.core.scenario import CallerPlan, MenuAct
from services.simswitch.ledger import Ledger
from services.simswitch.node import EventSocket
from services.simswitch.people import People
from services.simswitch.switch import Switch

_ADMIN = Depends(require("service", "supervisor"))
_NEVER_S = 1e9


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CallRequest(_Body):
    """One call with a caller who does exactly this."""

    entry: str = Field(description="The called number.")
    number: str = "09120000000"
    name: str = "Test caller"
    digits: list[str] = Field(
        default=[], description="What is pressed at the first, second ... menu; empty is silence."
    )
    digit_after_s: float = Field(0.5, ge=0, description="From the start of a menu to its key.")
    hangup_in_menu_after_s: float | None = Field(
        None, ge=0, description="Hang up so long into the menu after the last one that digits names."
    )
    patience_s: float | None = Field(None, ge=0, description="Longest wait in the queue; none is for ever.")
    talk_s: float = Field(2.0, ge=0)
    ends_call: bool = Field(True, description="Whether the caller, not the agent, ends the conversation.")


def routes(
    people: People, sockets: Mapping[str, EventSocket], ledger: Ledger, begin: Callable[[], None]
) -> APIRouter:
    """The router of the simulated nodes. Times in requests are seconds of the simulated people."""
    router = APIRouter(prefix="/v1", dependencies=[_ADMIN], tags=["simswitch"])

    def node(switch: Switch) -> dict[str, Any]:
        return {
            "node": switch.name,
            "core_uuid": switch.core_uuid,
            "esl_port": sockets[switch.name].port,
            "down": switch.down,
            "faults": switch.faults.active(),
            "legs": len(switch.channels),
        }

    @router.post("/scenario/start", summary="Agents log in and calls begin, where they do not by themselves")
    async def start() -> dict[str, Any]:
        if people.started:
            raise Refused("already-started", "the scenario goes on already")
        begin()
        return {"agents": len(people.agents), "rate": people.scenario.rate}

    @router.post("/scenario/stop", summary="No new calls; those that go on end by themselves")
    async def stop() -> dict[str, Any]:
        people.stop()
        return {"live_calls": len(ledger.live_calls())}

    @router.get("/ledger", summary="The last lines of the books")
    async def get_ledger(
        kind: Annotated[str, Query(pattern="^(|call|leg)$")] = "",
        call_id: str = "",
        limit: Annotated[int, Query(ge=1, le=20_000)] = 1000,
    ) -> dict[str, Any]:
        return {"counts": ledger.counts, "lines": ledger.lines(kind, call_id)[-limit:]}

    @router.get("/state", summary="What goes on now")
    async def state() -> dict[str, Any]:
        return {
            **node(people.switch),
            "nodes": [node(switch) for switch in people.nodes],
            "draining": people.draining,
            "legs": sum(len(switch.channels) for switch in people.nodes),
            "calls": ledger.live_calls(),
            "agents": people.state(),
            "counts": ledger.counts,
        }

    @router.post("/calls", status_code=201, summary="Place one call")
    async def call(request: CallRequest) -> dict[str, str]:
        plan = CallerPlan(
            entry=request.entry,
            number=request.number,
            name=request.name,
            patience_s=_NEVER_S if request.patience_s is None else request.patience_s,
            talk_s=request.talk_s,
            ends_call=request.ends_call,
        )
        acts = [MenuAct(request.digit_after_s, digit=d) for d in request.digits]
        if request.hangup_in_menu_after_s is not None:
            acts.append(MenuAct(request.hangup_in_menu_after_s, hangup=True))
        return {"call_id": people.call(plan, acts).uuid}

    return router
