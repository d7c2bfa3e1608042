"""An application on a port of its own, in a thread with an event loop of its own, beside the test that drives a browser."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import uvicorn
from fastapi import FastAPI

from services.common import pages


class Served:
    """Subclasses build the application and take down what they started for it, both on the thread's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    async def build(self) -> FastAPI:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        assert (pages.built() / "index.html").is_file(), "the pages are not built: make pages"
        self._thread.start()
        assert self._ready.wait(60)
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(30)
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the application's loop; returns what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as e:
            self._failed = e
            self._ready.set()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        app = await self.build()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1, ws="none")
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        self._ready.set()
        await self._done.wait()
        await self.close()
        server.should_exit = True
        await task
        listener.close()
