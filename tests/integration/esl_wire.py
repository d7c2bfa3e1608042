"""The network between a client and a switch, as a test wants it: it carries, swallows everything without a word, or refuses."""

from __future__ import annotations

import asyncio
import contextlib


class Wire:
    """A relay on loopback. ``cut`` is a partition: both ends stand, and nothing comes through, no RST either."""

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self.port = 0
        self._target = (host, target_port)
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    def cut(self) -> None:
        """From now on nothing is carried; new connections are taken (as by a kernel) and never spoken to."""
        self._whole.clear()

    def heal(self) -> None:
        """Carry again. What stood when the wire was cut is gone: the ends have given it up meanwhile."""
        for task in tuple(self._tasks):
            task.cancel()
        self._whole.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            back, there = await asyncio.open_connection(*self._target)
            self._writers.add(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there))
                both.create_task(self._pump(back, writer))
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, there):
                if end is not None:
                    self._writers.discard(end)
                    with contextlib.suppress(ConnectionError):
                        end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one end is closed")
