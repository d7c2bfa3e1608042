"""Reading a FreeSWITCH node: every channel there is, and the details of those that the engine does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from services.queue.adapters import supervisor, switch
from services.queue.adapters.names import LegNames
from services.queue.core import inputs, legs
from services.queue.core.engine import Engine
from services.queue.core.listening import SupervisorLeg

DUMPS_AT_ONCE = 50


class Asked(Protocol):
    """What is needed of ``SwitchClient``."""

    async def api(self, command_line: str, *, timeout_s: float = 5) -> str: ...
    async def pipeline(self, commands: Sequence[str], *, timeout_s: float = 5) -> list[str]: ...


async def read_channels(
    client: Asked, engine: Engine, names: LegNames, now_us: Callable[[], int]
) -> inputs.ChannelsListed:
    """``show channels``, and ``uuid_dump`` of each leg of ours that is new to the engine. Raises PeyvandError."""
    rows = switch.channel_rows(await client.api("show channels as json"))
    for row in rows:
        names.know_row(str(row["uuid"]), str(row.get("presence_data") or ""))
    ours = [
        str(row["uuid"])
        for row in rows
        if (kind := str(row.get("presence_data") or "")[:2]) in ("c/", "a/", "s/", "o/")
        and not (engine.counts if kind == "o/" else engine.knows)(str(row["uuid"]))
    ]
    callers: list[legs.CallerLeg] = []
    agents: list[legs.AgentLeg] = []
    supervisors: list[SupervisorLeg] = []
    trunks: list[legs.TrunkLeg] = []
    for start in range(0, len(ours), DUMPS_AT_ONCE):
        texts = await client.pipeline(
            [f"uuid_dump {leg} json" for leg in ours[start : start + DUMPS_AT_ONCE]]
        )
        for event in filter(None, map(switch.dumped, texts)):
            if (trunk := switch.trunk_leg(event)) is not None:
                trunks.append(trunk)
            if event.variable("cc_role") == "trunk":
                continue
            if event.variable("cc_role") == "agent":
                if (agent := switch.agent_leg(event)) is not None:
                    agents.append(names.named(agent))
            elif event.variable("cc_role") == "supervisor":
                if (found := supervisor.supervisor_leg(event)) is not None:
                    supervisors.append(found)
            else:
                callers.append(names.named(switch.caller_leg(event)))
    return inputs.ChannelsListed(
        at_us=now_us(),
        present=frozenset(names.name(str(row["uuid"])) for row in rows),
        callers=tuple(callers),
        agents=tuple(agents),
        supervisors=tuple(supervisors),
        trunks=tuple(trunks),
    )
