"""`make soak` for some seconds: every process is sampled, the curves are there, the books balance."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from pathlib import Path

import pytest

from deploy.dev.stack import ROOT, table


@pytest.mark.nats
@pytest.mark.clickhouse
@pytest.mark.slow
async def test_soak_of_some_seconds_samples_every_process_and_balances(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.dev.soak", "--minutes", "0.08", "--rate", "2", "--every", "1"),
        *("--dir", str(tmp_path), "--shift", "33000"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    line = json.loads(out)
    assert line["name"] == "soak"
    assert line["balanced"]
    assert (line["verdict"], line["dead_letters"]) == ("too short to judge memory", 0)

    expected = {"nats", "clickhouse", "simswitch"} | {row.name for row in table()}
    with (tmp_path / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["process"] for row in rows} == expected
    assert all(float(row["rss_mib"]) > 5 and int(row["fds"]) > 3 for row in rows)
    assert {row["process"] for row in rows if row["tasks"]} == expected - {"nats", "clickhouse"}
    # The server's own memory counts, not only that of the runner that started it.
    nats_threads = {int(row["threads"]) for row in rows if row["process"] == "nats"}
    assert min(nats_threads) > 1
    assert line["storage_mib"]["CC_EVENTS"] > 0
    assert "CC_ROUTING" in (tmp_path / "soak.svg").read_text()
