"""Two simulated nodes that call each other: what SIP carries from one to the other, and what the death of one looks like.

The causes and times are those of two real nodes with the configuration of this repository (tests/freeswitch/test_two_nodes.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.clock import SystemClock
from services.simswitch.channel import Channel
from services.simswitch.hold import phone_holds, phone_resumes
from services.simswitch.ledger import Ledger
from services.simswitch.node import build
from services.simswitch.originate import originate
from services.simswitch.relay import FIRST_PORT, connect
from services.simswitch.switch import Switch
from tests.integration.simswitch_kit import DIALPLAN, WAIT_S, Phone

FAR = f"127.0.0.1:{FIRST_PORT + 1}"


class Nodes:
    def __init__(self, near: Switch, far: Switch, ledger: Ledger) -> None:
        self.near, self.far, self.ledger = near, far, ledger

    def ring(self, phone: Phone | None, *variables: str, leg: str = "leg-1") -> asyncio.Task[str]:
        """Call 1001, which is registered with the far node, from the near one."""
        if phone is not None:
            self.far.register("1001", phone)
        given = (
            f"origination_uuid={leg}", "ignore_early_media=true", "originate_timeout=5", f"sip_h_X-CC-Leg={leg}",
            "sip_h_X-CC-Offer=o-1", "sip_h_X-CC-Contact=c-1", "sip_h_X-CC-Tenant=demo", *variables,
        )  # fmt: skip
        return asyncio.ensure_future(
            originate(self.near, f"{{{','.join(given)}}}sofia/nodes/1001@{FAR} &park()")
        )

    async def until_over(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while self.near.channels or self.far.channels:
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    ledger = Ledger(SystemClock(), "fs1", None)
    switches = [
        build(
            name=name,
            clock=SystemClock(),
            dialplan_file=DIALPLAN,
            overrides={"domain": "peyvand.local", "cc_domain": "peyvand.local"},
            observer=ledger.of(name),
        )
        for name in ("fs1", "fs2")
    ]
    connect(switches)
    for switch in switches:
        switch.phones["1001"] = Phone()
    yield Nodes(switches[0], switches[1], ledger)
    for switch in switches:
        await switch.stop()


async def answered(phone: Phone) -> Channel:
    async with asyncio.timeout(WAIT_S):
        while not (phone.legs and phone.legs[0].partner):
            await asyncio.sleep(0.005)
    return phone.legs[0]


async def test_a_phone_rings_no_longer_than_it_may_for_a_node_that_is_gone(nodes: Nodes) -> None:
    """No CANCEL comes from there; without the limit the phone would be busy for the 60 s of FreeSWITCH's own."""
    phone = Phone("ring")
    ringing = nodes.ring(phone, "sip_h_X-CC-Ring=1")
    async with asyncio.timeout(WAIT_S):
        while not phone.legs:
            await asyncio.sleep(0.005)
        await nodes.near.vanish()
        while not phone.legs[0].down:
            await asyncio.sleep(0.005)
    assert phone.legs[0].hangup_cause == "NO_ANSWER"
    ringing.cancel()
    await asyncio.gather(ringing, return_exceptions=True)


async def test_a_phone_of_the_other_node_rings_and_answers(nodes: Nodes) -> None:
    phone = Phone()
    assert await nodes.ring(phone) == "+OK leg-1\n"
    leg = await answered(phone)
    incoming = leg.partner
    assert incoming is not None
    assert (leg.switch.name, incoming.profile.context) == ("fs2", "nodes")
    # Nobody takes the legs for a call of the agent's own, or for a caller.
    for each in (leg, incoming):
        assert {each.var("cc_offer"), each.var("cc_contact"), each.var("cc_role")} == {"o-1", "c-1", "relay"}
        assert each.var("presence_data") == "r/demo/c-1"
    near = nodes.near.find("leg-1")
    assert near is not None
    assert near.profile.times.progress <= near.profile.times.answered
    near.end("NORMAL_CLEARING", by="command")
    await nodes.until_over()
    assert {line["node"] for line in nodes.ledger.lines("leg")} == {"fs1", "fs2"}


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("busy", "USER_BUSY"),
        ("decline", "CALL_REJECTED"),
        ("480", "NO_USER_RESPONSE"),
        ("488", "INCOMPATIBLE_DESTINATION"),
        ("503", "SUBSCRIBER_ABSENT"),
        ("408", "SUBSCRIBER_ABSENT"),
        ("ring", "NO_ANSWER"),
    ],
)
async def test_how_it_ended_there_is_told_here(nodes: Nodes, does: str, cause: str) -> None:
    assert await nodes.ring(Phone(does), "originate_timeout=2") == f"-ERR {cause}\n"
    await nodes.until_over()


async def test_a_phone_that_is_not_registered_there_is_not_the_nodes_failure(nodes: Nodes) -> None:
    assert await nodes.ring(None) == "-ERR SUBSCRIBER_ABSENT\n"


async def test_a_cancel_stops_the_ringing_at_the_other_node(nodes: Nodes) -> None:
    phone = Phone("ring")
    job = nodes.ring(phone)
    async with asyncio.timeout(WAIT_S):
        while not phone.legs:
            await asyncio.sleep(0.005)
    near = nodes.near.find("leg-1")
    assert near is not None
    near.end("LOSE_RACE", by="command")
    assert await job == "-ERR LOSE_RACE\n"
    await nodes.until_over()
    assert not phone.legs[0].answered


async def test_keys_and_hold_of_the_phone_reach_the_callers_node(nodes: Nodes) -> None:
    phone = Phone()
    await nodes.ring(phone)
    leg, near = await answered(phone), nodes.near.find("leg-1")
    assert near is not None
    pressed: list[str] = []
    near.press = lambda digit, source="RTP": pressed.append(digit)  # type: ignore[method-assign]
    leg.press("7")
    assert pressed == ["7"]
    phone_holds(leg)
    assert near.held
    phone_resumes(leg)
    async with asyncio.timeout(WAIT_S):
        while near.held:
            await asyncio.sleep(0.005)


async def test_a_node_that_dies_leaves_silence_and_then_the_other_ends_the_leg(nodes: Nodes) -> None:
    phone = Phone()
    await nodes.ring(phone, "media_timeout=100")
    await answered(phone)
    await nodes.far.vanish()
    near = nodes.near.find("leg-1")
    assert near is not None
    assert not near.down, "a dead node says no BYE"
    await nodes.until_over()
    assert near.hangup_cause == "MEDIA_TIMEOUT"
    assert await nodes.ring(None, leg="leg-2") == "-ERR NORMAL_TEMPORARY_FAILURE\n"


async def test_only_known_addresses_are_nodes(nodes: Nodes) -> None:
    nodes.far.register("1001", Phone())
    assert await originate(nodes.near, "sofia/nodes/1001@127.0.0.1:1 &park()") == (
        "-ERR NORMAL_TEMPORARY_FAILURE\n"
    )
