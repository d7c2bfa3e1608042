"""The ledger keeps every line in its file, and only the last ones in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.clock import SystemClock
from services.simswitch.ledger import Ledger


@pytest.mark.parametrize(("beside_file", "kept"), [(True, 2_000), (False, 2_500)])
async def test_simswitch_ledger_does_not_grow_with_the_calls(
    tmp_path: Path, beside_file: bool, kept: int
) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(SystemClock(), "fs1", path if beside_file else None)
    for number in range(2_500):
        ledger._write({"kind": "leg", "leg": f"l-{number}"})
    await ledger.stop()
    assert [line["leg"] for line in ledger.lines()] == [f"l-{n}" for n in range(2_500 - kept, 2_500)]
    if beside_file:
        assert len(path.read_text().splitlines()) == 2_500
