"""ivr as its own process, with and without NATS: callers are served, readiness tells the truth, the end is orderly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common import ids
from services.common.bus import Envelope, codec, subjects
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.ports import free_port
from tests.integration.ivr_switch import UUID, FakeCall

ROOT = Path(__file__).parents[2]


class Process:
    """A running ivr."""

    def __init__(self, child: asyncio.subprocess.Process, http_port: int, esl_port: int) -> None:
        self.child, self.http_port, self.esl_port = child, http_port, esl_port
        self.calls: list[FakeCall] = []

    async def call(self, contact: str = UUID) -> FakeCall:
        call = FakeCall({"cc_entry": "1000", "cc_contact": contact, "cc_node": "fs1"})
        self.calls.append(call)
        await call.connect(self.esl_port)
        await call.playing("/sounds/prompts/fa/welcome.wav")
        return call

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.http_port}/readyz")
        return answer.status_code, answer.json()["parts"]

    async def end(self) -> list[dict[str, Any]]:
        """Tell it to stop; return the rest of its log."""
        self.child.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(self.child.communicate(), 20)
        assert self.child.returncode == 0, err.decode()
        return [json.loads(line) for line in err.decode().splitlines()]


@asynccontextmanager
async def launched(nats_url: str, **env: str) -> AsyncIterator[Process]:
    """``env``: more settings, or others than these."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ivr",
        cwd=ROOT,
        env={
            **os.environ,
            "PEYVAND_AUTH_SECRET": "s" * 40,
            "PEYVAND_NATS_URL": nats_url,
            "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
            "PEYVAND_IVR_ESL_PORT": "0",
            "PEYVAND_IVR_SOUNDS_DIR": "/sounds",
            "PEYVAND_IVR_STOP_GRACE_S": "0",
            "PEYVAND_LOG_FORMAT": "json",
            **env,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    process: Process | None = None
    try:
        assert child.stderr is not None
        ports: dict[str, int] = {}
        while not {"http_listening", "outbound_socket_listens"} <= set(ports):
            line = await asyncio.wait_for(child.stderr.readline(), 30)
            entry = json.loads(line)
            if "port" in entry:
                ports[entry["event"]] = entry["port"]
        process = Process(child, ports["http_listening"], ports["outbound_socket_listens"])
        yield process
    finally:
        for call in process.calls if process else ():
            await call.close()
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_callers_are_served_without_a_bus_and_handed_over_when_the_process_stops() -> None:
    async with launched(f"nats://127.0.0.1:{free_port()}") as ivr:
        chooser = await ivr.call()
        await chooser.press("1")
        await chooser.end_playback()
        await asyncio.wait_for(chooser.let_go.wait(), 10)
        assert chooser.variables["cc_queue"] == "sales"

        status, parts = await ivr.readiness()
        assert status == 503
        assert parts["esl"]["ok"]
        assert parts["centers"]["ok"]
        assert not parts["nats"]["ok"]

        undecided = await ivr.call()
        log = await ivr.end()
        await asyncio.wait_for(undecided.let_go.wait(), 10)
        assert undecided.variables["cc_queue"] == "support", "it went to the fallback queue"
        assert any(entry["event"] == "facts_lost_at_stop" for entry in log), "what the bus never took is said"


@pytest.mark.nats
async def test_facts_of_a_call_are_in_the_stream(nats_server: EmbeddedNats) -> None:
    bus = NatsBus(nats_server.url, source="/test/1", clock=SystemClock())
    bus.start()
    contact = ids.new_id()
    seen: list[tuple[str, str]] = []
    ended = asyncio.Event()

    async def collect(envelope: Envelope) -> None:
        if envelope.correlation_id == contact:
            seen.append((envelope.type, envelope.source))
            if envelope.type.endswith("IvrEnded"):
                message = codec.decode(envelope)
                assert message.outcome == "hung_up"
                assert [step.flow_node for step in message.steps] == ["hello"]
                ended.set()

    await bus.connected(10)
    following = await bus.follow([subjects.any_fact("demo", "ivr")], collect, after_seq=None)
    try:
        async with launched(nats_server.url) as ivr:
            while (await ivr.readiness())[0] != 200:
                await asyncio.sleep(0.05)
            call = await ivr.call(contact)
            await call.hang_up()
            await asyncio.wait_for(ended.wait(), 20)
            log = await ivr.end()
        assert [kind for kind, _ in seen] == ["peyvand.ivr.v1.ContactStarted", "peyvand.ivr.v1.IvrEnded"]
        assert {source for _, source in seen} == {"/ivr/1"}
        assert not any(entry["event"] == "facts_lost_at_stop" for entry in log)
        served = next(entry for entry in log if entry["event"] == "call_served")
        assert (served["contact"], served["outcome"], served["last_node"]) == (contact, "hung_up", "hello")
    finally:
        await following.stop()
        await bus.stop()
