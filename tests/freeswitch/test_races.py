"""Every race of a call on a real switch, at moments swept over the bridge: ``tests/races/races.py`` tells which, and what must hold after."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.freeswitch.conftest import Rig
from tests.freeswitch.pool import RealWorld, opened
from tests.races.races import RACES, Race

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(rig: Rig) -> AsyncIterator[RealWorld]:
    async with opened(rig, RealWorld(rig)) as made:
        yield made


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_race(pool: RealWorld, race: Race) -> None:
    async with pool.race():
        try:
            await race(pool)
            await pool.at_rest()
        except BaseException:
            with contextlib.suppress(OSError):
                await pool.api("hupall")  # the next race begins on an empty floor
            raise
