"""One process of a service: settings, logs, HTTP, signals, and an orderly end.

    if __name__ == "__main__":
        runtime.run("queue", QueueSettings, start)

``start(settings, rt)`` wires the service and returns; what it adds with ``rt.add`` is closed in the reverse order on
SIGTERM or SIGINT. A task given to ``rt.spawn`` that ends with an error ends the process, because a service that goes on
with half of its parts is worse than one that is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog
import uvicorn
from fastapi import FastAPI

from services.common import config, log
from services.common.clock import Clock, SystemClock
from services.common.errors import ConfigError, PeyvandError
from services.common.http import Readiness, make_app
from services.common.priority import take_place

S = TypeVar("S", bound=config.Settings)

VERSION = "0.1.0"
_CLOSE_TIMEOUT_S = 10.0

logger = structlog.get_logger()


class Component(Protocol):
    """Something that is stopped when the process ends."""

    async def stop(self) -> None: ...


class Runtime:
    """What a service's ``start`` gets: clock, HTTP application, readiness, tasks and the order of closing."""

    def __init__(self, name: str, settings: config.Settings) -> None:
        self.name = name
        self.instance = settings.instance
        self.clock: Clock = SystemClock()
        self.readiness = Readiness()
        self.app: FastAPI = make_app(name, VERSION, self.readiness, auth_secret=settings.auth_secret)
        self.http_port = settings.http_port
        self._closers: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self._exit_code = 0

    def ready(self, part: str, ok: bool, detail: str = "") -> None:
        """Say whether a part is there; ``/readyz`` answers 503 until all are."""
        self.readiness.set(part, ok, detail)

    def add(self, component: Component, name: str = "") -> None:
        """Stop ``component`` when the process ends, after everything that was added later."""
        self._closers.append((name or type(component).__name__, component.stop))

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Run a task for the life of the process."""
        task = asyncio.get_running_loop().create_task(coro, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def fail(self, reason: str) -> None:
        """End the process with exit code 70: a part is lost for good and a restart is the cure."""
        self._end("process_failed", reason, 70)

    def refuse(self, reason: str) -> None:
        """End the process with exit code 78: a setting or file is wrong, and a restart would only say so again."""
        self._end("settings_wrong", reason, 78)

    def _end(self, event: str, reason: str, exit_code: int) -> None:
        if not self._stopping.is_set():
            logger.error(event, reason=reason)
        self._exit_code = exit_code
        self._stopping.set()

    def stop(self) -> None:
        """Begin the orderly end."""
        self._stopping.set()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task_failed", task=task.get_name(), exc_info=error)
            self.fail(f"task {task.get_name()} failed: {error!r}")

    async def _wait(self) -> int:
        await self._stopping.wait()
        logger.info("process_stopping")
        for name, close in reversed(self._closers):
            try:
                await asyncio.wait_for(close(), _CLOSE_TIMEOUT_S)
            except Exception as e:  # the others must still be closed
                logger.warning("close_failed", part=name, error=repr(e))
        for task in list(self._tasks):
            task.remove_done_callback(self._done)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._exit_code


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the runtime owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class _Http:
    def __init__(self, rt: Runtime, host: str, port: int) -> None:
        self._rt = rt
        self._config = uvicorn.Config(
            rt.app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(self._config)

    async def start(self) -> None:
        try:
            socket = self._config.bind_socket()
            # uvicorn listens later, in its own task: who reads the log line below may connect at once, and with
            # SO_REUSEADDR two processes can bind one port as long as neither listens.
            socket.listen(self._config.backlog)
        except (SystemExit, OSError):
            raise ConfigError(
                f"cannot listen on {self._config.host}:{self._config.port} (PEYVAND_HTTP_HOST, PEYVAND_HTTP_PORT): "
                "expected a free port of this machine"
            ) from None
        self._rt.http_port = socket.getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[socket]), name="http")
        logger.info("http_listening", host=self._config.host, port=self._rt.http_port)

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._task


async def _main(name: str, settings: S, start: Callable[[S, Runtime], Coroutine[Any, Any, None]]) -> int:
    rt = Runtime(name, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, rt.stop)
    http = _Http(rt, settings.http_host, settings.http_port)
    await http.start()
    rt.add(http, "http")
    logger.info("process_started", pid=os.getpid(), version=VERSION)
    starting = loop.create_task(start(settings, rt), name="start")
    stopping = loop.create_task(rt._stopping.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        error = starting.exception()
        if isinstance(error, ConfigError):
            rt.refuse(str(error))
        elif isinstance(error, PeyvandError):
            rt.fail(str(error))
        elif error is not None:
            logger.error("start_failed", exc_info=error)
            rt.fail(repr(error))
        else:
            _spare_the_collector()
    else:
        starting.cancel()
    return await rt._wait()


def _spare_the_collector() -> None:
    """Leave what the start has made out of every later collection: modules, settings, routes, the first center documents.

    A full collection stops everything and looks at all of it: 65 to 76 ms in ivr, queue and routing on an idle machine. Not
    collected before: of some 80,000 objects 20 were garbage, and a service that has just begun has better to do.
    """
    gc.freeze()


def _take_place(nice: int) -> None:
    """Go before or behind the other processes of the machine."""
    try:
        take_place(nice)
    except OSError as e:
        logger.warning(
            "niceness_refused",
            setting="PEYVAND_NICE",
            wanted=nice,
            rlimit_nice_needed=20 - nice,
            reason=str(e),
        )


def run(
    name: str,
    settings_type: type[S],
    start: Callable[[S, Runtime], Coroutine[Any, Any, None]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run a service until it is told to stop; never returns. ``loop_factory`` None is asyncio's own loop.

    Exit codes: 0 told to stop, 70 a part failed, 78 settings or a file they name are wrong.
    """
    try:
        settings = config.load(settings_type)
    except ConfigError as e:
        sys.stderr.write(f"{name}: {e}\n")
        sys.exit(78)
    log.setup(name, settings.instance, fmt=settings.log_format, level=settings.log_level)
    _take_place(settings.nice)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            code = runner.run(_main(name, settings, start))
    except ConfigError as e:
        logger.error("settings_wrong", reason=str(e))
        code = 78
    sys.exit(code)
