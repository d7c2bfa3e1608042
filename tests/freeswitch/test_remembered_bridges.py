"""What a real switch remembers of a bridge that is over (tests/races/remembering.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fidelity.real import real
from tests.freeswitch.switch import find_binary
from tests.races.remembering import a_bridge_is_remembered

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_a_bridge_is_remembered(tmp_path: Path) -> None:
    if find_binary() is None:
        pytest.skip("no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN")
    async with real(tmp_path) as lab:
        await a_bridge_is_remembered(lab)
