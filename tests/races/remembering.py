"""What a switch remembers of a bridge that is over, told once for both switches (``tests/fidelity``'s lab).

A new owner of a node has nothing else to know by that a conversation was, when the one before it ended between ``uuid_bridge`` and its own mark
(services/adr/0035): ``last_bridge_to`` and ``Caller-Channel-Bridged-Time`` of a leg, as queue's adapter reads them.
"""

from __future__ import annotations

import asyncio

from services.common.ids import derived_id, new_id
from services.queue.adapters import switch
from services.queue.core.legs import AgentLeg, CallerLeg
from tests.fidelity.lab import PASSWORD
from tests.fidelity.player import Lab
from tests.freeswitch.switch import Watch, watching

OFFER = "o-7"
POKE_S = 0.002
LIMIT_S = 40.0


async def a_bridge_is_remembered(lab: Lab) -> None:
    """Not before it stands, with whom while it does, and still when the agent has put down and the caller is parked."""
    caller, agent = new_id(), derived_id("leg", OFFER)
    to = f"@127.0.0.1:{lab.sip_port}"
    ours = f"cc_tenant=demo,cc_offer={OFFER},cc_agent=sara"
    async with (
        watching(lab.port, PASSWORD) as asks,
        watching(lab.port, PASSWORD, "CHANNEL_BRIDGE", "CHANNEL_PARK") as hears,
    ):
        poking = asyncio.create_task(hears.poke(POKE_S))
        try:
            legs = (
                f"api originate {{origination_uuid={caller},park_after_bridge=true,cc_state=talking,{ours}}}sofia/internal/talker{to} "
                "&playback(silence_stream://-1)",
                f"api originate {{origination_uuid={agent},cc_role=agent,cc_contact={caller},{ours}}}sofia/internal/echo{to} &park()",
            )
            assert all(answer.startswith("+OK") for answer in await asks.ask(*legs))
            await _heard(hears, "CHANNEL_PARK", agent)
            before, waiting = await _caller(asks, caller), await _agent(asks, agent)
            assert (before.met, before.met_ago_ms, waiting.met) == ("", 0, False)

            assert (await asks.api(f"uuid_bridge {agent} {caller}")).startswith("+OK")
            await _heard(hears, "CHANNEL_BRIDGE", agent)
            talking = await _agent(asks, agent)
            assert (talking.met, talking.bridged_ms) == (True, 0)

            assert (await asks.api(f"uuid_kill {agent}")).startswith("+OK")
            await _heard(hears, "CHANNEL_PARK", caller)
            after = await _caller(asks, caller)
            assert (after.met, after.bridged, after.silent) == (agent, False, True)
            assert 0 < after.met_ago_ms < LIMIT_S * 1000

            await asks.api(f"uuid_setvar {caller} cc_offer o-8")  # What is offered next is another matter.
            assert (await _caller(asks, caller)).met == ""
        finally:
            poking.cancel()
            await asks.api(f"uuid_kill {caller}")


async def _heard(hears: Watch, name: str, leg: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            event = await hears.event()
            if (event["Event-Name"], event.get("Unique-ID")) == (name, leg):
                return


async def _caller(asks: Watch, leg: str) -> CallerLeg:
    event = switch.dumped(await asks.api(f"uuid_dump {leg} json"))
    assert event is not None
    return switch.caller_leg(event)


async def _agent(asks: Watch, leg: str) -> AgentLeg:
    event = switch.dumped(await asks.api(f"uuid_dump {leg} json"))
    found = switch.agent_leg(event) if event is not None else None
    assert found is not None
    return found
