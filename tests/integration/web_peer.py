"""A web server that misbehaves as it is told by the path that is asked for."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

CUSTOMER = {
    "id": 4711,
    "name": "Sara\r\nAhmadi",
    "class": "gold",
    "vip": True,
    "balance": 12.5,
    "phones": ["1", "2"],
    "none": None,
}


class WebPeer:
    """Listens on a free port of 127.0.0.1; ``requests`` are the heads that came, ``bodies`` what came with them."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.elsewhere = ""
        """Where ``/away`` leads."""
        self.open = 0

    async def __aenter__(self) -> WebPeer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://localhost:{self.port}"

    _tasks: set[asyncio.Task[Any]] = set()  # noqa: RUF012  the server's tasks, of all peers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode("latin-1")
                self.requests.append(text)
                length = next(
                    (
                        int(line[15:])
                        for line in text.split("\r\n")
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                self.bodies.append(await reader.readexactly(length))
                await self._answer(text.split(" ")[1], writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        def say(status: str, body: bytes = b"", *more: str) -> None:
            lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)

        match path.partition("?")[0]:
            case "/hang":
                await asyncio.sleep(60)
            case "/drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            case "/huge":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                    await writer.drain()
            case "/loop":
                say("302 Found", b"", "Location: /loop")
            case "/inside":
                say("307 Temporary Redirect", b"", "Location: http://169.254.169.254/latest/meta-data")
            case "/away":
                say("302 Found", b"", f"Location: {self.elsewhere}/ok")
            case "/500":
                say("500 Internal Server Error", b"{}")
            case "/twice":
                say("503 Service Unavailable") if len(self.requests) == 1 else say(
                    "200 OK", json.dumps(CUSTOMER).encode()
                )
            case "/404":
                say("404 Not Found", b"{}")
            case "/garbage":
                say("200 OK", b"<html>not JSON</html>")
            case "/list":
                say("200 OK", b"[1, 2]")
            case "/wrong":
                say("200 OK", b'{"id": {"a": 1}, "name": null}')
            case "/gzip":
                say("200 OK", b"\x1f\x8b\x08", "Content-Encoding: gzip")
            case "/short":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                await writer.drain()
                raise ConnectionError
            case "/noise":
                writer.write(b"\x00\xffSSH-2.0-OpenSSH_9.0\r\n\r\n")
                await writer.drain()
                raise ConnectionError
            case _:
                say("200 OK", json.dumps(CUSTOMER).encode())
        await writer.drain()
