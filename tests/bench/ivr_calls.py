"""What a call through a menu of three levels costs: CPU time of ivr a call, beside the same menu driven by plain greenswitch in the same run.

The simulated switch carries the same callers to both: each presses 1 a moment after a prompt of a menu has begun, three times, and
hangs up when the dialplan has the call again. ivr does all that it does in production: the check of its flows, facts of every step to a real
NATS, prompts that are looked for in the caller's language. greenswitch plays by ``play_and_get_digits``, with plain events, and tells nobody.
``ivr_socket`` is the part of it that both sides do: a menu on our outbound socket that sends the same commands as greenswitch's and tells nobody, either.
CPU time is user and system of the whole process, to the nanosecond, after a warm-up, and includes what it does besides (metrics, watches,
pings). Both processes stand all the while and take their calls in turns; the cheapest round of each counts, because a
machine that is busy otherwise makes the same work dearer. ``goal`` is what ``ratio`` is meant to reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.clock import SystemClock
from services.simswitch.channel import Channel
from services.simswitch.node import build
from services.simswitch.party import Party
from services.simswitch.switch import Switch
from tests.integration.simswitch_kit import DIALPLAN, ROOT, free_port

ROUNDS = 3
CALLS = 100
WARM_UP = 30
RATE = 30.0
GOAL = 3.0
PRESS_AFTER_S = 0.15
PROMPT_MS = 1_000
LEVELS = ("one", "two", "three")


def center() -> str:
    """A center whose only flow is the menu."""
    nodes: dict[str, object] = {"wait": {"queue": "sales"}}
    for level, then in zip(LEVELS, (*LEVELS[1:], "wait"), strict=True):
        digits = {"1": then, "2": "wait", "3": "wait"}
        nodes[level] = {"menu": f"menu-{level}", "invalid": "invalid", "digits": digits, "otherwise": "wait"}
    return json.dumps(
        {
            "tenant": "bench",
            "name": {"en": "Bench"},
            "timezone": "UTC",
            "languages": ["en"],
            "default_entry_point": "1000",
            "prompts": {name: {"en": name} for name in (*(f"menu-{level}" for level in LEVELS), "invalid")},
            "queues": {"sales": {"name": {"en": "Sales"}}},
            "entry_points": {"1000": {"name": {"en": "Sales"}, "flow": "main", "fallback_queue": "sales"}},
            "flows": {"main": {"language": "en", "start": LEVELS[0], "nodes": nodes}},
        }
    )


class Caller(Party):
    """Presses 1 at every menu, and hangs up when the dialplan goes on."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.menus = 0

    def on_app(self, leg: Channel, app: str, data: str) -> None:
        if app in ("playback", "play_and_get_digits") and "/menu-" in data:
            self.menus += 1
            asyncio.get_running_loop().call_later(PRESS_AFTER_S, leg.press, "1")
        elif app == "event" and "peyvand::waiting" in data:
            asyncio.get_running_loop().call_soon(lambda: leg.end("NORMAL_CLEARING", by="caller"))

    def on_ended(self, leg: Channel) -> None:
        self.over.set()


async def calls(switch: Switch, count: int) -> None:
    """Place calls at the rate, and wait until all are over and have seen every menu."""
    callers = []
    for _ in range(count):
        caller = Caller()
        callers.append(caller)
        switch.place_call(
            context="public", destination="1000", caller_number="0912", caller_name="Cust", party=caller
        )
        await asyncio.sleep(1 / RATE)
    async with asyncio.timeout(60):
        for caller in callers:
            await caller.over.wait()
    assert all(caller.menus == len(LEVELS) for caller in callers), "a caller did not see every menu"


def cpu_ms(pid: int) -> float:
    """User and system time of a process so far, by its CPU-time clock (clock_getcpuclockid(3) of Linux)."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e6


@contextlib.asynccontextmanager
async def switch_to(folder: Path, port: int, prompt_ms: int = PROMPT_MS) -> AsyncIterator[Switch]:
    """A switch whose calls go to the process that listens on a port, warmed up."""
    switch = build(
        name="fs1",
        clock=SystemClock(),
        dialplan_file=DIALPLAN,
        overrides={"cc_ivr": f"127.0.0.1:{port}", "sounds_dir": str(folder), "domain": "bench"},
        cdr_spool=folder / "cdr",
        recordings=folder / "rec",
        missing_file_ms=prompt_ms,
    )
    try:
        await calls(switch, WARM_UP)
        yield switch
    finally:
        await switch.stop()


async def measured(switch: Switch, pid: int) -> float:
    """CPU milliseconds that a process took for each of a round's calls."""
    before = cpu_ms(pid)
    await calls(switch, CALLS)
    return (cpu_ms(pid) - before) / CALLS


@contextlib.asynccontextmanager
async def ivr(folder: Path, nats_url: str) -> AsyncIterator[tuple[int, int]]:
    """Run ivr; give its port and process."""
    (folder / "center.yaml").write_text(center())
    esl, http = free_port(), free_port()
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PEYVAND_AUTH_SECRET": "the bench's own secret, 32 bytes",
        "PEYVAND_NATS_URL": nats_url,
        "PEYVAND_CENTERS": str(folder / "center.yaml"),
        "PEYVAND_IVR_ESL_PORT": str(esl),
        "PEYVAND_IVR_SOUNDS_DIR": "/sounds",
        "PEYVAND_HTTP_PORT": str(http),
        "PEYVAND_LOG_FORMAT": "json",
    }
    with (folder / "ivr.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ivr", cwd=ROOT, env=env, stderr=log
        )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{http}/readyz")).status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.2)
        yield esl, child.pid
    finally:
        child.terminate()
        await child.wait()


@contextlib.asynccontextmanager
async def client(name: str, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Run a menu of ``tests/clients``; give its port and process."""
    port = free_port()
    script = ROOT / "tests" / "clients" / f"{name}.py"
    with (folder / f"{name}.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(port),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            while (line := await child.stdout.readline()) != b"listening\n":
                assert line, f"{name} did not start"
        yield port, child.pid
    finally:
        child.kill()
        await child.wait()


async def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nats = EmbeddedNats(folder / "nats")
        url = await asyncio.to_thread(nats.start)
        try:
            await migrate(url, replicas=1)
            async with (
                client("greenswitch_menu", folder) as (plain_port, plain_pid),
                client("outbound_menu", folder) as (socket_port, socket_pid),
                ivr(folder, url) as (ivr_port, ivr_pid),
                switch_to(folder, plain_port) as plain_switch,
                switch_to(folder, socket_port) as socket_switch,
                switch_to(folder, ivr_port) as ivr_switch,
            ):
                rounds = [
                    (
                        await measured(plain_switch, plain_pid),
                        await measured(socket_switch, socket_pid),
                        await measured(ivr_switch, ivr_pid),
                    )
                    for _ in range(ROUNDS)
                ]
        finally:
            await asyncio.to_thread(nats.stop)
    plain, socket, ours = (min(costs) for costs in zip(*rounds, strict=True))
    for name, cost in (("ivr_calls", ours), ("ivr_socket", socket)):
        line = {
            "name": name,
            "calls": ROUNDS * CALLS,
            "cpu_ms_per_call": round(cost, 2),
            "greenswitch_cpu_ms_per_call": round(plain, 2),
            "ratio": round(plain / cost, 2),
            "goal": GOAL,
        }
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
