"""Calls to numbers outside on a real switch: by click and by dialling, with sound both ways; trunks that are full or broken; what is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.sipp import Sipp
from tests.freeswitch.steps import (
    books,
    counted,
    hang_up,
    is_idle,
    loudness,
    middle,
    no_legs,
    on_duty,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
    until,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def desk(rig: Rig, *agents: str) -> AsyncIterator[None]:
    """These agents have registered phones and are available."""
    await no_legs(rig)
    for agent, extension in (("fin", "1050"), ("gus", "1051")):
        if agent in agents:
            await on_duty(rig, agent, extension)
    try:
        yield
    finally:
        for call in (await rig.get("queue", "/v1/calls"))["calls"]:
            await hang_up(rig, call["contact_id"])
        await no_legs(rig)
        for agent in agents:
            await rig.post("routing", f"/v1/agents/{agent}/presence", presence="offline")


async def clicks(rig: Rig, agent: str, number: str) -> str:
    """The agent calls a number by HTTP; returns the contact."""
    state: dict[str, Any] = await rig.post("routing", f"/v1/agents/{agent}/calls", number=number)
    assert state["activity"] in ("offered", "ringing")
    return str(state["contact_id"])


async def placed(rig: Rig, contact: str) -> dict[str, Any]:
    """Until the books have the call, closed."""

    async with books(rig) as kept:

        async def seen() -> Any:
            items = await kept.contacts(start="outbound")
            return next((c for c in items if c["contact_id"] == contact and c["state"] == "closed"), None)

        found: dict[str, Any] = await until(f"the call {contact} is in the books", seen)
    return found


async def does(rig: Rig, agent: str, activity: str) -> bool:
    """Whether routing shows the agent in this activity."""
    return bool((await rig.agent(agent))["activity"] == activity)


def invited(carrier: Sipp) -> list[str]:
    """The numbers that the carrier was asked for, once for each call."""
    text = (carrier.folder / "messages.log").read_text(errors="replace")
    return list(dict.fromkeys(re.findall(r"^INVITE sip:(\d+)@", text, re.MULTILINE)))


async def heard_both_ways(rig: Rig, contact: str, party_hz: float, agent_hz: float) -> None:
    samples, rate = await sound_of(rig, (await recording_of(rig, contact))["recording_id"])
    for channel, hz in ((0, party_hz), (1, agent_hz)):
        heard = middle(samples)[:, channel]
        assert loudness(heard) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(heard, rate) - hz) < 15


async def test_a_click_rings_the_agent_then_the_number_and_they_hear_each_other(rig: Rig) -> None:
    async with desk(rig, "fin"):
        phone = await rig.lab.agent("1050", ring_ms=300, hz=700)
        party = await rig.lab.customer(talk_ms=4000, hz=440)
        contact = await clicks(rig, "fin", "2155570001")
        assert (await talks(rig, "outward"))[0]["contact_id"] == contact
        await until("fin talks", lambda: does(rig, "fin", "talking"))
        assert (await party.done(40)).successful == 1, party.errors()
        assert (await phone.done(20)).successful == 1, phone.errors()
        book = await placed(rig, contact)
        assert (book["outcome"], book["agent_id"], book["ani"]) == ("answered", "fin", "2155570001")
        await counted(rig, "outward", received=0, outbound=1, outbound_answered=1)
        invite = (party.folder / "messages.log").read_text()
        assert "2166" in invite.split("From:", 1)[1].split("\n", 1)[0], "the center's number is not shown"
        await heard_both_ways(rig, contact, 440, 700)
        await is_idle(rig, "fin")


async def test_a_number_dialled_on_the_phone(rig: Rig) -> None:
    async with desk(rig, "gus"):
        party = await rig.lab.customer(talk_ms=4000, hz=440)
        phone = await rig.lab.dials("1051", "2155570002", hz=1100)
        contact = (await talks(rig, "outward"))[0]["contact_id"]
        await until("gus talks", lambda: does(rig, "gus", "talking"))
        assert (await party.done(40)).successful == 1, party.errors()
        assert (await phone.done(20)).successful == 1, phone.errors()
        book = await placed(rig, contact)
        assert (book["outcome"], book["agent_id"]) == ("answered", "gus")
        await heard_both_ways(rig, contact, 440, 1100)
        await is_idle(rig, "gus")


async def test_what_is_not_allowed_is_refused(rig: Rig) -> None:
    async with desk(rig, "fin", "gus"):
        for number in ("0049301234567", "2912"):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                await clicks(rig, "fin", number)
            assert (
                refused.value.response.status_code,
                "number-forbidden" in refused.value.response.text,
            ) == (
                409,
                True,
            )
        # The phone hears so and is hung up.
        assert (await (await rig.lab.dials("1051", "0049301234567")).done(30)).successful == 1
        await is_idle(rig, "gus")


async def test_a_full_trunk_diverts_to_the_next(rig: Rig) -> None:
    async with desk(rig, "fin", "gus"):
        carrier = await rig.lab.agent("", talk_ms=60_000, hz=440, calls=2, port=rig.switch.carrier_port)
        for agent, extension, number, count in (("fin", "1050", "77001", 1), ("gus", "1051", "77002", 2)):
            await rig.lab.agent(extension, ring_ms=200)
            await clicks(rig, agent, number)
            await talks(rig, "outward", count)
        assert invited(carrier) == ["77001", "9977002"]
        await carrier.stop()


async def test_a_gateway_that_is_not_there_is_passed_over(rig: Rig) -> None:
    async with desk(rig, "fin"):
        await rig.lab.agent("1050", ring_ms=200)
        carrier = await rig.lab.customer(talk_ms=1500, hz=440)
        contact = await clicks(rig, "fin", "78001")
        assert (await carrier.done(40)).successful == 1, carrier.errors()
        assert (await placed(rig, contact))["outcome"] == "answered"


async def test_a_busy_number_frees_the_agent_and_is_not_tried_by_another_trunk(rig: Rig) -> None:
    async with desk(rig, "fin"):
        phone = await rig.lab.agent("1050", ring_ms=200)
        carrier = await rig.lab.run(
            "agent_refuses", {"status": "486 Busy Here"}, port=rig.switch.carrier_port, calls=2
        )
        contact = await clicks(rig, "fin", "77003")
        assert (await phone.done(30)).successful == 1, phone.errors()
        book = await placed(rig, contact)
        assert (book["outcome"], book["cause"]) == ("not_reached", "busy")
        await is_idle(rig, "fin")
        assert invited(carrier) == ["77003"]
        await carrier.stop()


@pytest.mark.parametrize(
    ("status", "numbers"), [("486 Busy Here", ["77004"]), ("503 No", ["77004", "9977004"])]
)
async def test_a_caller_sent_to_a_number_in_vain_waits_again(
    rig: Rig, status: str, numbers: list[str]
) -> None:
    await no_legs(rig)
    await on_duty(rig, "giver", "1034")
    await rig.lab.agent("1034", hz=700)
    caller = await rig.lab.callers("2071", hz=440)
    contact = (await talks(rig, "passed"))[0]["contact_id"]
    carrier = await rig.lab.run(
        "agent_refuses", {"status": status}, port=rig.switch.carrier_port, calls=len(numbers)
    )
    await rig.post("queue", f"/v1/contacts/{contact}/transfer", kind="number", target="77004")
    await carrier.done(30)
    assert invited(carrier) == numbers

    async def waits_again() -> bool:
        calls = (await rig.get("queue", "/v1/calls"))["calls"]
        return [c["state"] for c in calls if c["contact_id"] == contact] in (["waiting"], ["offered"])

    await until("the caller waits again", waits_again)
    await hang_up(rig, contact)
    await no_legs(rig)
    await caller.stop()
    await rig.post("routing", "/v1/agents/giver/presence", presence="offline")
