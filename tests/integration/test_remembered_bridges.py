"""What the simulated switch remembers of a bridge that is over: as a real one (tests/races/remembering.py)."""

from __future__ import annotations

from pathlib import Path

from tests.fidelity.simulated import simulated
from tests.races.remembering import a_bridge_is_remembered


async def test_a_bridge_is_remembered(tmp_path: Path) -> None:
    async with simulated(tmp_path) as lab:
        await a_bridge_is_remembered(lab)
