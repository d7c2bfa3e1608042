"""The commands on the store: what they print, and that a change names the revision it is based on."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.center import CenterError, cli
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import Refused
from tests.unit.center.test_center_faults import GOOD


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    made = MemoryBus(MemoryBroker(), source="/cli/1")
    yield made
    await made.stop()


async def test_put_show_history_diff_rollback_get(
    bus: MemoryBus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    cli.add(parser.add_subparsers(dest="command"))

    async def run(*words: str) -> str:
        await cli.carry_out(parser.parse_args(words), bus, SystemClock())
        return capsys.readouterr().out

    async def revision() -> str:
        return (await run("show", "acme")).split()[1]

    file = tmp_path / "acme.yaml"
    file.write_text(GOOD)
    with pytest.raises(Refused, match="no document of tenant acme"):
        await run("show", "acme")
    await run("put", "acme", str(file), "--based-on", "none")
    first = await revision()
    file.write_text(GOOD.replace("en: Acme", "en: Acme Two"))
    dry = await run("put", "acme", str(file), "--based-on", first, "--dry-run")
    assert dry == 'name.en: "Acme" -> "Acme Two"\nright; nothing was changed (dry run)\n'
    assert await revision() == first
    await run("put", "acme", str(file), "--based-on", first, "--reason", "a better name")
    with pytest.raises(Refused, match="revision-outdated"):
        await run("put", "acme", str(file), "--based-on", first)
    assert "-name: {en: Acme}\n+name: {en: Acme Two}\n" in await run("diff", "acme", "1", "2")
    await run("rollback", "acme", "1", "--based-on", await revision())
    assert await run("get", "acme") == GOOD
    assert "Acme Two" in await run("get", "acme", "2")
    lines = (await run("history", "acme")).splitlines()
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "replaced by cli:" in lines[1]
    assert lines[1].endswith("1 changes: a better name")
    file.write_text(GOOD.replace("then: hours", "then: nowhere"))
    with pytest.raises(CenterError, match=r"acme\.yaml:39"):
        await run("put", "acme", str(file), "--based-on", await revision())
