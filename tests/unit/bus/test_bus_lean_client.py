"""Where our NATS client differs from nats-py's on purpose."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from services.common.bus.client import LeanClient


def given_up_and_waiting(client: Client) -> tuple[asyncio.Future[bool], asyncio.Future[bool]]:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    first.cancel()
    client._pongs = [first, second]
    return first, second


async def test_answer_to_a_flush_that_was_given_up_ends_nothing() -> None:
    client = LeanClient()
    first, second = given_up_and_waiting(client)
    await client._process_pong()
    assert (first.cancelled(), second.done()) == (True, False)
    await client._process_pong()
    assert second.result() is True
    await client._process_pong()  # nobody asked


async def test_nats_py_still_needs_that() -> None:
    """Its loop that reads ends by what is raised here, and the connection is deaf until its pings fail."""
    client = Client()
    given_up_and_waiting(client)
    with pytest.raises(asyncio.InvalidStateError):
        await client._process_pong()
