"""Flows that ask outside, on a real switch: a customer who is found, a service that answers, and services that hang, fail and talk nonsense."""

from __future__ import annotations

import dataclasses

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.test_flows import path_of, played

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_web_service_is_asked_and_each_failure_has_its_way(rig: Rig) -> None:
    front = dataclasses.replace(rig, tenant="front")
    async with front.switch.watch("PLAYBACK_START") as watch:
        caller = await front.lab.callers("3006", ani="2155512345")
        assert await played(watch, 2) == ["en/right", "en/closed"]
    assert (await caller.done(30)).successful == 1
    assert await path_of(front, "3006") == [
        ("who", "answered"),
        ("check", "answered"),
        ("which", "is:gold"),
        ("right", "played"),
        ("slow", "failed:timeout"),
        ("garbage", "failed:not_json"),
        ("failed", "status:500"),
        ("closed", "played"),
        ("bye", "told"),
    ]
    asked = [head.split(" ")[1] for head in front.web.requests]
    assert asked[:2] == ["/ok?number=2155512345", "/ok?customer=4711"]


async def test_who_is_only_told_that_it_is_closed_is_not_billed(rig: Rig) -> None:
    front = dataclasses.replace(rig, tenant="front")
    async with front.switch.watch("PLAYBACK_START", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_ANSWER") as watch:
        caller = await front.lab.callers("3008")
        assert await played(watch, 1) == ["en/closed"]
        over = await watch.next(Event_Name="CHANNEL_HANGUP_COMPLETE", Caller_Destination_Number="3008")
    assert (over["Answer-State"], over["variable_billsec"]) == ("hangup", "0")
    assert over["variable_endpoint_disposition"] == "EARLY MEDIA"
    assert (await caller.done(30)).successful == 0, "it was refused in the end, which is what costs nothing"
    assert await path_of(front, "3008") == [("told", "played"), ("bye", "done")]


async def test_the_flow_answers_and_goes_on(rig: Rig) -> None:
    front = dataclasses.replace(rig, tenant="front")
    async with front.switch.watch("PLAYBACK_START", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE") as watch:
        caller = await front.lab.callers("3009", ani="2155512345")
        assert await played(watch, 1) == ["en/hello"]
        await watch.next(Event_Name="CHANNEL_ANSWER", Caller_Destination_Number="3009")
        assert await played(watch, 1) == ["en/thanks"]
    assert (await caller.done(30)).successful == 1
    assert await path_of(front, "3009") == [
        ("told", "played"),
        ("ours", "begins:215"),
        ("answer", "answered"),
        ("thanks", "played"),
        ("bye", "done"),
    ]
