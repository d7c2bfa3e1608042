"""Callbacks on a real switch: asked for by key, called through the carrier, joined with the agent, told in the books."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import (
    asks,
    books,
    comes_on,
    counted,
    is_idle,
    loudness,
    middle,
    no_legs,
    recording_of,
    sound_of,
    strongest_hz,
    talks,
    until,
)

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def called(rig: Rig, queue: str, outcomes: list[str]) -> list[dict[str, Any]]:
    """Until the attempts to call have ended so; in the order of their start."""

    async with books(rig) as kept:

        async def seen() -> Any:
            found = await kept.contacts(queue=queue, start="callback")
            items = [c for c in found[::-1] if c["state"] == "closed"]
            return items if [c["outcome"] for c in items] == outcomes else None

        items: list[dict[str, Any]] = await until(f"the calls back from {queue} ended {outcomes}", seen)
    return items


async def test_customer_first_keeps_the_place_and_the_two_hear_each_other(rig: Rig) -> None:
    callback = await asks(rig, "2061", "back", "2155561001")
    customer = await rig.lab.customer(talk_ms=7000, hz=440, keys=((2500, "1"),))
    await rig.lab.register("1045")
    phone = await rig.lab.agent("1045", ring_ms=300)
    await comes_on(rig, "cal")
    talk = (await talks(rig, "back"))[0]
    assert talk["contact_id"] == f"{callback}-cb1"
    assert (await customer.done(40)).successful == 1, customer.errors()
    assert (await phone.done(20)).successful == 1, phone.errors()

    (contact,) = await called(rig, "back", ["answered"])
    assert (contact["agent_id"], contact["ani"]) == ("cal", "2155561001")
    origin = (await rig.get("reporting", f"/v1/contacts/{callback}"))["contact"]
    assert origin["outcome"] == "callback"
    # The leg carries the place in milliseconds, routing's log in microseconds.
    place = dt.datetime.fromisoformat(origin["waiting_since"])
    assert abs(contact["waiting_since"] - place) < dt.timedelta(milliseconds=1), "the place was not kept"
    await counted(
        rig, "back", received=1, contacts_answered=0, contacts_abandoned=0, contacts_other=1, callbacks=1,
        callbacks_answered=1,
    )  # fmt: skip

    recording = await recording_of(rig, contact["contact_id"])
    samples, rate = await sound_of(rig, recording["recording_id"])
    # The agent's phone echoes what it hears: the customer's tone went there and came back.
    for channel in (0, 1):
        heard = middle(samples)[:, channel]
        assert loudness(heard) > 500, f"channel {channel} is silent"
        assert abs(strongest_hz(heard, rate) - 440) < 10
    await is_idle(rig, "cal")


async def test_agent_first_no_answer_and_the_second_attempt(rig: Rig) -> None:
    callback = await asks(rig, "2062", "back-agent", "2155561002")
    absent = await rig.lab.absent_customer()
    await rig.lab.register("1046")
    phone = await rig.lab.agent("1046", ring_ms=300, calls=2)
    await comes_on(rig, "dot")
    assert (await absent.done(30)).successful == 1, "the customer's phone was not told to stop ringing"
    customer = await rig.lab.customer(talk_ms=3000, hz=440, keys=((2000, "1"),))
    talk = (await talks(rig, "back-agent", timeout_s=40))[0]
    assert talk["contact_id"] == f"{callback}-cb2"
    assert (await customer.done(40)).successful == 1, customer.errors()
    assert (await phone.done(20)).successful == 2, phone.errors()
    missed, answered = await called(rig, "back-agent", ["callback", "answered"])
    assert missed["cause"] == "no_answer"
    assert answered["agent_id"] == "dot"
    invite = (customer.folder / "messages.log").read_text()
    assert "2188" in invite.split("From:", 1)[1].split("\n", 1)[0], "the center's number is not shown"
    await no_legs(rig)
