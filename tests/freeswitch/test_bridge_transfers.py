"""A transfer in the middle of ``uuid_bridge`` on a real switch, at every moment of it (tests/races/bridging.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fidelity.player import Lab
from tests.fidelity.real import real
from tests.freeswitch.switch import find_binary
from tests.races.bridging import the_agents_leg_is_sent_somewhere, the_caller_is_sent_somewhere

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(
    "story",
    [the_caller_is_sent_somewhere, the_agents_leg_is_sent_somewhere],
    ids=lambda story: story.__name__,
)
async def test_transfer_while_a_bridge_is_made(
    tmp_path: Path, story: Callable[[Lab], Awaitable[None]]
) -> None:
    if find_binary() is None:
        pytest.skip("no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN")
    async with real(tmp_path) as lab:
        await story(lab)
