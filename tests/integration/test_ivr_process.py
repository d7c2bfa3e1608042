"""ivr as its own process, without any NATS: callers are served, readiness tells the truth, the end is orderly."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx

from tests.integration.ivr_switch import UUID, FakeCall

ROOT = Path(__file__).parents[2]


def nobody_listens() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_callers_are_served_without_a_bus_and_handed_over_when_the_process_stops() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ivr",
        cwd=ROOT,
        env={
            **os.environ,
            "PEYVAND_AUTH_SECRET": "s" * 40,
            "PEYVAND_NATS_URL": f"nats://127.0.0.1:{nobody_listens()}",
            "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
            "PEYVAND_IVR_ESL_PORT": "0",
            "PEYVAND_IVR_SOUNDS_DIR": "/sounds",
            "PEYVAND_IVR_STOP_GRACE_S": "0",
            "PEYVAND_LOG_FORMAT": "json",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None
    calls: list[FakeCall] = []
    try:
        text, ports = "", {}
        while len(ports) < 2:
            text += (await asyncio.wait_for(child.stderr.readline(), 30)).decode()
            for event in ("http_listening", "outbound_socket_listens"):
                for line in text.splitlines():
                    if f'"{event}"' in line and (found := re.search(r'"port":(\d+)', line)):
                        ports[event] = int(found[1])

        for key in ("1", ""):
            call = FakeCall({"cc_entry": "1000", "cc_contact": UUID, "cc_node": "fs1"})
            calls.append(call)
            await call.connect(ports["outbound_socket_listens"])
            await call.playing("/sounds/prompts/fa/welcome.wav")
            if key:
                await call.press(key)
                await call.end_playback()
                await asyncio.wait_for(call.let_go.wait(), 10)
        assert calls[0].variables["cc_queue"] == "sales"

        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{ports['http_listening']}/readyz")
        assert answer.status_code == 503
        parts = answer.json()["parts"]
        assert parts["esl"]["ok"]
        assert parts["centers"]["ok"]
        assert not parts["bus"]["ok"]

        child.send_signal(signal.SIGTERM)
        await asyncio.wait_for(calls[1].let_go.wait(), 10)
        assert calls[1].variables["cc_queue"] == "support", (
            "the one still in the menu went to the fallback queue"
        )
        _, err = await asyncio.wait_for(child.communicate(), 20)
        assert child.returncode == 0, err.decode()
        assert b"facts_lost_at_stop" in err, "what the bus never took is said, not hidden"
    finally:
        for call in calls:
            await call.close()
        if child.returncode is None:
            child.kill()
            await child.wait()
