"""A short chaos: routing, queue and ivr twice, two FreeSWITCH nodes, NATS on three servers; ten faults, nobody is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from deploy.dev.process import module
from deploy.dev.stack import ROOT

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(300)]


async def test_chaos_of_a_quarter_of_a_minute_loses_nobody(tmp_path: Path) -> None:
    options = {
        "minutes": "0.27",
        "rate": "2.5",
        "faults": "10",  # one of them hits both copies of a service
        "agents": "30",
        "seed": "5",
        "only": "ivr,routing,queue",
        "without": "nats",  # An election takes up to eleven seconds; `make chaos` has them.
        "time-scale": "15",
        "longest": "4",
        "shift": "14000",
        "dir": str(tmp_path),
    }
    argv = module(
        "deploy.dev.chaos", *(part for name, value in options.items() for part in (f"--{name}", value))
    )
    child = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, told = await child.communicate()
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()
    assert child.returncode == 0, told.decode()
    line = json.loads(said.decode().splitlines()[-1])
    assert {name: line[name] for name in ("lost", "dropped_talking", "double_offers", "stuck", "mismatched")} == {
        "lost": 0, "dropped_talking": 0, "double_offers": 0, "stuck": 0, "mismatched": 0
    }  # fmt: skip
    assert line["faults"] >= 8  # Some may find the process down already.
    assert line["answered"] > 15
