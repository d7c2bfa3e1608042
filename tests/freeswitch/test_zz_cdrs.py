"""What SIPp counted in all tests before against what ClickHouse has. After it, by their names, only tests that kill the switch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import until

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


async def test_cdrs_are_as_many_as_sipps_calls(rig: Rig) -> None:
    """One CDR for each call that any SIPp process made or took, and none besides."""
    wanted = sum(p.counts().successful for p in rig.lab.running if not p.name.endswith("register"))
    assert all(p.counts().failed == 0 for p in rig.lab.running), [
        p.name for p in rig.lab.running if p.counts().failed
    ]

    rows: list[dict[str, Any]] = []

    async def stored() -> bool:
        rows[:] = (await rig.get("reporting", "/v1/reports/legs", limit="500"))["items"]
        return len(rows) >= wanted

    try:
        await until(f"{wanted} legs are stored", stored)
    finally:
        print(f"SIPp counted {wanted} calls, the books have {len(rows)} legs")
    assert len(rows) == wanted
    assert len({r["leg_id"] for r in rows}) == wanted

    async def spool_is_empty() -> bool:
        return not list(rig.switch.cdr_spool.glob("*.cdr.json"))

    await until("the spool is empty", spool_is_empty)
