"""The examples of proto/consumers as others would run them: generated classes, locked packages, a NATS user that may do only
what proto/asyncapi.yaml says, and deaths in the middle. Each fact counts once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from grpc_tools import protoc

from deploy.dev.protoc import PROTO
from services.common.bus import Outgoing, subjects
from services.common.bus.embedded import find_binary
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.contracts.peyvand.queue.v1.events_pb2 import AgentBridged

pytestmark = pytest.mark.nats

CONSUMERS = PROTO / "consumers"
WAIT_S = 30.0

_CONFIG = """
listen: "127.0.0.1:-1"
ports_file_dir: {folder}
jetstream {{ store_dir: {folder} }}
authorization {{ users = [
  {{ user: inside, password: inside }}
  {{ user: outside, password: outside, permissions: {permissions} }}
] }}
"""


class Server:
    """A nats-server with two users: one who may do everything, one who may do what the AsyncAPI document lists."""

    def __init__(self, folder: Path, durable: str) -> None:
        rights = yaml.safe_load((PROTO / "asyncapi.yaml").read_text())["x-permissions"]
        permissions = {
            verb: [subject.replace("NAME", durable) for subject in rights[verb]]
            for verb in ("publish", "subscribe")
        }
        config = folder / "nats.conf"
        config.write_text(_CONFIG.format(folder=json.dumps(str(folder)), permissions=json.dumps(permissions)))
        self._process = subprocess.Popen(
            [find_binary(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.address = self._wait(folder)

    def _wait(self, folder: Path) -> str:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and self._process.poll() is None:
            for file in folder.glob("*.ports"):
                try:
                    return str(json.loads(file.read_text())["nats"][0]).removeprefix("nats://")
                except (ValueError, LookupError):
                    break  # it is being written
            time.sleep(0.02)
        raise AssertionError("nats-server did not start")

    def url(self, user: str) -> str:
        return f"nats://{user}:{user}@{self.address}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Example:
    """One of the programs: how it is started, and what it has in its books."""

    def __init__(
        self, command: list[str], env: dict[str, str], book: Path, read: Callable[[Path], list[str]]
    ) -> None:
        self._command = command
        self._env = env
        self._book = book
        self._read = read
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, url: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            url,
            str(self._book),
            env={**os.environ, **self._env},
            stdout=asyncio.subprocess.PIPE,
        )

    async def printed(self, count: int) -> list[str]:
        """The next lines that it prints."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            return [(await self.process.stdout.readline()).decode() for _ in range(count)]

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.communicate()

    @property
    def ids(self) -> list[str]:
        return self._read(self._book)


def _rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [str(row[0]) for row in db.execute("select id from answered order by rowid")]


def _lines(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def _python(folder: Path) -> Example:
    code = protoc.main(
        ["", f"-I{PROTO}", f"--python_out={folder}", str(PROTO / "peyvand/queue/v1/events.proto")]
    )
    assert code == 0
    command = [sys.executable, str(CONSUMERS / "answered.py")]
    return Example(command, {"PYTHONPATH": str(folder)}, folder / "answered.db", _rows)


def _javascript(folder: Path) -> Example:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    there = folder / "consumers"
    shutil.copytree(CONSUMERS, there, ignore=shutil.ignore_patterns("node_modules", "*.py"))
    shutil.copytree(PROTO / "peyvand", folder / "peyvand")
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=there,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Example([node, str(there / "answered.mjs")], {}, folder / "answered.jsonl", _lines)


@pytest.fixture(params=["py", "js"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def example(language: str, tmp_path: Path) -> Example:
    return {"py": _python, "js": _javascript}[language](tmp_path)


@pytest.fixture
def server(language: str, example: Example, tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "nats"
    folder.mkdir()
    started = Server(folder, f"example-answered-{language}")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
async def bus(server: Server) -> AsyncIterator[NatsBus]:
    await migrate(server.url("inside"), replicas=1)
    made = NatsBus(server.url("inside"), source="/queue/1", clock=SystemClock())
    made.start()
    await made.connected(10)
    yield made
    await made.stop()


def bridged(number: int) -> Outgoing:
    message = AgentBridged()
    json_format.Parse((PROTO / "examples" / "peyvand.queue.v1.AgentBridged.json").read_text(), message)
    message.contact_id = f"c-{number}"
    subject = subjects.fact("demo", "queue", "contact", "bridged")
    return Outgoing(subject, message, f"c-{number}:bridged:0", "demo", correlation_id=message.contact_id)


async def test_outside_consumer_counts_every_answered_contact_once(
    example: Example, server: Server, bus: NatsBus
) -> None:
    wanted = [f"c-{n}:bridged:0" for n in range(6)]
    try:
        for number in range(3):
            await bus.append(bridged(number))
        await example.start(server.url("outside"))
        first = await example.printed(3)
        assert all(f"c-{n}" in line and "sara" in line and "21400" in line for n, line in enumerate(first))
        await example.kill()

        await bus.append(bridged(3))
        await example.start(server.url("outside"))  # it goes on where it was
        assert "c-3" in (await example.printed(1))[0]
        await example.kill()

        # Everything is delivered once more: as after deaths between the effect and the acknowledgement.
        [durable] = await consumers(bus)
        await bus.connection.request(f"$JS.API.CONSUMER.DELETE.CC_EVENTS.{durable}", b"", None, 5)
        for number in (4, 5):
            await bus.append(bridged(number))
        await example.start(server.url("outside"))
        assert ["c-4" in line or "c-5" in line for line in await example.printed(2)] == [True, True]
        assert example.ids == wanted
    finally:
        await example.kill()


async def consumers(bus: NatsBus) -> list[str]:
    answer = await bus.connection.request("$JS.API.CONSUMER.NAMES.CC_EVENTS", b"{}", None, 5)
    return list(json.loads(answer.data)["consumers"])
