"""A service that is started before, or without, what it needs: it says what is missing, once, and goes on when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from services.common import ids
from services.common.bus.embedded import EmbeddedNats
from services.common.clickhouse import StoreUrl
from services.simswitch.node import EventSocket
from tests.integration.bad_days import ROOT, Service, errors_of, eventually, gates, port_of, running
from tests.integration.simswitch_kit import Lab, lab

pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path / "switch") as made:
        yield made


NO_STORE = StoreUrl.parse("clickhouse://peyvand@127.0.0.1/unused")


@pytest.mark.parametrize("name", ["ivr", "routing", "queue", "recording"])
async def test_it_waits_for_what_is_missing_and_says_what(
    name: str, nats_server: EmbeddedNats, switch: Lab, tmp_path: Path
) -> None:
    await wait_and_say(name, nats_server, switch, NO_STORE, tmp_path)


@pytest.mark.clickhouse
async def test_reporting_waits_for_clickhouse_too(
    nats_server: EmbeddedNats, switch: Lab, store_url: StoreUrl, tmp_path: Path
) -> None:
    await wait_and_say("reporting", nats_server, switch, store_url, tmp_path)


async def wait_and_say(
    name: str, nats_server: EmbeddedNats, switch: Lab, store: StoreUrl, folder: Path
) -> None:
    node = f"n{ids.new_id()[-8:]}"
    async with gates(3) as (nats, clickhouse, esl):
        env = {
            "PEYVAND_NATS_URL": f"nats://127.0.0.1:{nats.port}",
            "PEYVAND_SWITCHES": f"{node}=esl://:ClueCon@127.0.0.1:{esl.port}",
            "PEYVAND_CLICKHOUSE_URL": f"clickhouse://{store.user}:{quote(store.password, safe='')}@127.0.0.1:{clickhouse.port}/{store.database}",
        }
        async with running(name, folder, **env) as service:
            await service.until(
                lambda parts: "does not answer" in parts.get("nats", {}).get("detail", ""), "NATS"
            )
            healthy, ready = await service.get("/healthz"), await service.get("/readyz")
            assert healthy is not None
            assert ready is not None
            assert (healthy.status_code, ready.status_code) == (200, 503)
            detail = ready.json()["parts"]["nats"]["detail"]
            assert f"127.0.0.1:{nats.port}" in detail
            assert "PEYVAND_NATS_URL" in detail
            missing = [nats]
            if name == "reporting":  # it does not wait for one before it tries the others
                await service.until(
                    lambda parts: f":{clickhouse.port}" in parts["clickhouse"]["detail"], "ClickHouse"
                )
                await service.until(
                    lambda parts: parts[f"switch:{node}"]["detail"].startswith("closed"), "switch"
                )
                missing += [clickhouse, esl]

            async def tried_again() -> bool:
                return all(gate.turned_away >= 4 for gate in missing)

            await eventually(tried_again, "it does not try again")
            assert service.repeated() == {}, "once for a state, not once for a try"
            assert [entry for entry in service.log() if "exception" in entry] == []

            clickhouse.open(store.port)
            nats.open(port_of(nats_server.url))
            if name != "ivr":  # FreeSWITCH comes to ivr, not the other way round
                await service.until(
                    lambda parts: not parts.get(f"switch:{node}", {"ok": True})["ok"], "switch"
                )
                wrong = EventSocket(switch.switch, "another password")
                await wrong.start("127.0.0.1", 0)
                try:
                    esl.open(wrong.port)
                    await service.until(
                        lambda parts: parts[f"switch:{node}"]["detail"].startswith("denied"), "denied"
                    )
                    unready = await service.get("/readyz")
                    assert unready is not None
                    assert unready.status_code == 503
                finally:
                    esl.open(switch.socket.port)
                    await wrong.stop()
            await service.until_ready()
            assert service.repeated() == {}
            assert list(errors_of(service)) == []


WITH_CENTERS = ("ivr", "routing", "queue", "reporting")


async def ended(service: Service) -> int:
    await service.process.start()

    async def over() -> bool:
        return not service.process.alive

    await eventually(over, f"{service.name} goes on")
    return await service.stop()


async def test_nobody_starts_with_a_wrong_center_or_without_one(tmp_path: Path) -> None:
    """Exit code 78, which a supervisor need not try again, and every fault with its place."""
    wrong = tmp_path / "wrong.yaml"
    text = (ROOT / "deploy" / "centers" / "demo.yaml").read_text()
    line = next(n for n, words in enumerate(text.splitlines(), 1) if words.startswith("default_entry_point:"))
    wrong.write_text(text.replace("default_entry_point:", "default_entry_point: nobody #", 1))
    env = {"PEYVAND_SWITCHES": "fs1=esl://:x@127.0.0.1:1", "PEYVAND_NATS_URL": "nats://127.0.0.1:1"}
    for centers in (wrong, tmp_path / "nowhere"):
        made = [Service(name, tmp_path, {**env, "PEYVAND_CENTERS": str(centers)}) for name in WITH_CENTERS]
        assert await asyncio.gather(*(ended(service) for service in made)) == [78] * len(made)
        for service in made:
            (said,) = [entry["reason"] for entry in errors_of(service)]
            if centers == wrong:
                assert f"{wrong}:{line}: default_entry_point: " in said
            else:
                assert str(centers) in said
                assert "PEYVAND_CENTERS" in said
            service.process.log_path.unlink()


@pytest.mark.slow
async def test_a_wrong_revision_is_refused_by_all_and_the_running_one_stays(
    nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    document = tmp_path / "center.yaml"
    right = (
        (ROOT / "deploy" / "centers" / "demo.yaml")
        .read_text()
        .replace("tenant: demo", f"tenant: t{ids.new_id()}")
    )
    document.write_text(right)
    env = {
        "PEYVAND_NATS_URL": nats_server.url,
        "PEYVAND_SWITCHES": "gone=esl://:x@127.0.0.1:1",
        "PEYVAND_CENTERS": str(document),
    }

    async def live_through(name: str) -> None:
        async with running(name, tmp_path, **env) as service:
            await service.until(
                lambda parts: "revision" in parts.get("centers", {}).get("detail", ""), "started"
            )
            first = (await service.parts())["centers"]["detail"]
            arrived[name].set()
            await spoiled.wait()
            await service.until(lambda parts: parts["centers"]["detail"] != first, "refused")
            part = (await service.parts())["centers"]
            assert part["ok"]
            assert part["detail"].startswith(f"{first}; the files are refused: {document}:")
            refused[name].set()
            await mended.wait()
            await service.until(lambda parts: "refused" not in parts["centers"]["detail"], "mended")
            assert (await service.parts())["centers"]["detail"] != first
            (said,) = [entry for entry in service.log() if entry["event"] == "center_refused"]
            assert any("default_entry_point" in fault for fault in said["faults"])

    arrived = {name: asyncio.Event() for name in WITH_CENTERS}
    refused = {name: asyncio.Event() for name in WITH_CENTERS}
    spoiled, mended = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name in WITH_CENTERS:
            group.create_task(live_through(name))
        await asyncio.gather(*(event.wait() for event in arrived.values()))
        document.write_text(right.replace("default_entry_point:", "default_entry_point: nobody #", 1))
        spoiled.set()
        await asyncio.gather(*(event.wait() for event in refused.values()))
        document.write_text(right + "# mended\n")
        mended.set()
