"""The recorded conversations, held again with a real FreeSWITCH: what the scenarios say happened did happen so, and what the
comparison with the simulated switch (tests/integration/test_simswitch_fidelity.py) calls noise is noise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.fidelity.compare import Difference
from tests.fidelity.known import REAL, judge, load
from tests.fidelity.player import play
from tests.fidelity.real import real
from tests.fidelity.scenarios import SCENARIOS
from tests.freeswitch.switch import find_binary

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


MAX_TURNED = 4
"""Of some 200 pairs of events of two legs (tests/fidelity/order.py); 5 turned on a machine with 17 times more to do than it can."""


async def test_a_real_switch_says_what_was_recorded(tmp_path: Path) -> None:
    if find_binary() is None:
        pytest.skip("no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN")
    found: Counter[Difference] = Counter()
    async with real(tmp_path) as lab:
        for scenario in SCENARIOS:
            for result in (await play(scenario, lab)).values():
                found.update(result.differences)
    # What went the same way in all the runs that were learned from may still have been chance, now and then.
    turned = [difference for difference in found if difference.kind == "order_between_legs"]
    assert len(turned) <= MAX_TURNED
    unlisted, stale, _ = judge((d for d in found if d not in turned), load(REAL)[0])
    assert not unlisted
    assert not [entry.why for entry in stale]
