"""Services as processes, in surroundings that a test takes away and gives back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.dev.process import Process, module
from services.common import config
from services.common.ports import free_port
from services.common.runtime import Runtime

ROOT = Path(__file__).parents[2]
SECRET = "a secret of thirty-two characters and more"
WAIT_S = 40.0


class Gate:
    """An address that services are told: shut (whoever comes is let in and thrown out), or open to a real server."""

    def __init__(self) -> None:
        self.port = 0
        self.turned_away = 0
        self._target: tuple[str, int] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def open(self, port: int) -> None:
        """Lead newcomers to this port."""
        self._target = ("127.0.0.1", port)

    def shut(self) -> None:
        """Throw everybody out."""
        self._target = None
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        self.shut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target is None:
            self.turned_away += 1
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            back, far = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far))
                group.create_task(_pump(back, writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # one end went away, or the gate was shut: both ends are closed
        finally:
            self._tasks.discard(task)
            writer.close()
            if far is not None:
                far.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


class Service:
    """``python -m services.<name>``, with what it says and what it writes to its log."""

    def __init__(self, name: str, folder: Path, env: dict[str, str]) -> None:
        port = free_port()
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "PEYVAND_AUTH_SECRET": SECRET,
            "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
            "PEYVAND_IVR_ESL_PORT": "0",
            "PEYVAND_RECORDING_DIR": str(folder / "recordings"),
            "PEYVAND_LOG_FORMAT": "json",
            **env,
            "PEYVAND_HTTP_PORT": str(port),
        }
        self.process = Process(name, module(f"services.{name}"), env=settings, log_dir=folder, cwd=ROOT)
        self._client = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=5)

    async def get(self, path: str) -> httpx.Response | None:
        """An answer, or None while nobody listens."""
        try:
            return await self._client.get(path)
        except httpx.TransportError:
            return None

    async def parts(self) -> dict[str, dict[str, Any]]:
        """What /readyz says of each part; empty while there is no answer."""
        answer = await self.get("/readyz")
        return answer.json()["parts"] if answer is not None else {}

    async def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> None:
        """Wait until /readyz says so."""
        parts: dict[str, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while not condition(parts := await self.parts()):
                    assert self.process.alive, f"{self.name} ended: {self.process.log_tail(40)}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(
                f"{self.name}: {what}; it says {parts}\n{self.process.log_tail(30)}"
            ) from None

    async def until_ready(self) -> None:
        await self.until(
            lambda parts: bool(parts) and all(part["ok"] for part in parts.values()), "not ready"
        )

    async def until_logged(self, event: str) -> dict[str, Any]:
        """The first log entry of this name, waited for."""
        async with asyncio.timeout(WAIT_S):
            while not (found := [entry for entry in self.log() if entry["event"] == event]):
                assert self.process.alive, f"{self.name} ended: {self.process.log_tail(40)}"
                await asyncio.sleep(0.05)
        return found[0]

    def log(self) -> list[dict[str, Any]]:
        """Every line of the log; a line that is no JSON fails the test."""
        text = self.process.log_path.read_text() if self.process.log_path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def repeated(self) -> dict[str, int]:
        """What was said more than once, without the times of day."""
        said = Counter(
            json.dumps({k: v for k, v in entry.items() if k != "timestamp"}, sort_keys=True)
            for entry in self.log()
        )
        return {text: count for text, count in said.items() if count > 1}

    async def metric(self, name: str) -> float:
        """The sum over all labels of a metric."""
        answer = await self.get("/metrics")
        assert answer is not None
        lines = [line for line in answer.text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def stop(self) -> int:
        await self._client.aclose()
        return await self.process.stop()


@contextlib.asynccontextmanager
async def running(name: str, folder: Path, **env: str) -> AsyncIterator[Service]:
    """A started process, which must end in order when it is told to."""
    service = Service(name, folder, env)
    await service.process.start()
    try:
        yield service
    finally:
        code = await service.stop()
    assert code == 0, service.process.log_tail(40)


@contextlib.asynccontextmanager
async def in_process(
    name: str, monkeypatch: pytest.MonkeyPatch, **settings: object
) -> AsyncIterator[Runtime]:
    """A service wired as its process does it, in the test's own loop; by default in surroundings where nothing else is."""
    values = {
        "AUTH_SECRET": SECRET,
        "NATS_URL": "nats://127.0.0.1:1",
        "CLICKHOUSE_URL": "clickhouse://peyvand@127.0.0.1:1/peyvand",
        "SWITCHES": "fs1=esl://:x@127.0.0.1:1",
        "CENTERS": ROOT / "deploy" / "centers",
        "IVR_ESL_PORT": 0,
        **settings,
    }
    with monkeypatch.context() as patch:
        for variable, value in values.items():
            patch.setenv(f"PEYVAND_{variable}", str(value))
        kinds = vars(importlib.import_module(f"services.{name}.config"))
        read = config.load(kinds[f"{name.capitalize()}Settings"])
    rt = Runtime(name, read)
    await importlib.import_module(f"services.{name}.app").start(read, rt)
    try:
        yield rt
    finally:
        rt.stop()
        assert await rt._wait() == 0


@contextlib.asynccontextmanager
async def gates(count: int) -> AsyncIterator[list[Gate]]:
    made = [Gate() for _ in range(count)]
    for gate in made:
        await gate.start()
    try:
        yield made
    finally:
        for gate in made:
            await gate.stop()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something that cannot be awaited."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(what) from None


def port_of(url: str) -> int:
    """The port of nats://host:port."""
    return int(url.rpartition(":")[2])


def errors_of(service: Service) -> Iterator[dict[str, Any]]:
    """What the log has at level error."""
    return (entry for entry in service.log() if entry["level"] == "error")
