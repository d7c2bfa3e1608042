"""A transfer in the middle of ``uuid_bridge`` on the simulated switch: as on a real one (tests/races/bridging.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.simswitch import bridge
from tests.fidelity.player import Lab
from tests.fidelity.simulated import simulated
from tests.races.bridging import the_agents_leg_is_sent_somewhere, the_caller_is_sent_somewhere


@pytest.mark.parametrize(
    "story",
    [the_caller_is_sent_somewhere, the_agents_leg_is_sent_somewhere],
    ids=lambda story: story.__name__,
)
async def test_transfer_while_a_bridge_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[Lab], Awaitable[None]]
) -> None:
    monkeypatch.setattr(bridge, "_LOOKS", 50)  # a second instead of 20
    async with simulated(tmp_path) as lab:
        await story(lab)
