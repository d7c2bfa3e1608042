"""The whole installation under calls while its processes are killed: calls go on, and in the end the books balance."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import pytest

from deploy.dev.demo import Kill, kills
from tests.integration.bad_days import ROOT

KILLED = "reporting@2,routing@5,clickhouse@7+10,recording@12,nats@13+3,ivr@19,routing@20+2"


@pytest.mark.slow
@pytest.mark.nats
@pytest.mark.clickhouse
@pytest.mark.timeout(300)
async def test_the_books_balance_whatever_is_killed(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.dev.demo", "--duration", "22", "--rate", "3", "--dir", str(tmp_path / "run"), "--kill", KILLED,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    said = err.decode()
    result = json.loads(out.decode().splitlines()[-1])
    for kill in kills(KILLED):
        assert f"killing {kill.name};" in said
    assert (result["lost"], result["duplicated"], result["mismatched"]) == (0, 0, 0), said
    assert result["calls_offered"] > 40
    assert result["answered"] > 0.8 * result["calls_offered"]
    assert result["recordings"] == result["answered"]
    assert result["cdr_rows"] == result["legs"]
    assert child.returncode == 0, said


def test_kills_are_read_as_they_are_written() -> None:
    assert kills("") == ()
    assert kills("routing@10,clickhouse@12.5+5") == (Kill("routing", 10), Kill("clickhouse", 12.5, 5))
    for wrong in ("routing", "routing@", "routing@x", "simswitch@3", "nobody@3", "routing@3+", "routing@-1"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected NAME@SECONDS"):
            kills(wrong)
