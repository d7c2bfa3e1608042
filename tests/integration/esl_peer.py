"""Peers on loopback that behave, or misbehave, as a test tells them: a FreeSWITCH that listens, and one that calls us."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

ACCEPTING = 5
"""Turns of the loop from a connection that the server has accepted to its handler (``selector_events._accept_connection2``)."""
AUTH = b"Content-Type: auth/request\n\n"
FAREWELL = b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\nDisconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
REJECTION = b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"


def reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


def api_response(text: str) -> bytes:
    body = text.encode()
    return b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(body), body)


def event(name: str, body: str = "", **headers: str) -> bytes:
    fields = {"Event-Name": name}
    for key, value in headers.items():
        fields[key if key.startswith("variable_") else key.replace("_", "-")] = value
    if body:
        fields["_body"] = body
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text)


class Command:
    """One command as it arrived."""

    def __init__(self, head: str, body: bytes) -> None:
        self.line, *rest = head.split("\n")
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        self.body = body.decode("utf-8", "replace")


class Peer:
    """One connection, seen from FreeSWITCH's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.pokes = 0
        self.poked = asyncio.Event()
        self.subscribed = asyncio.Event()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def command(self) -> Command | None:
        """The next command; None at the end of the connection."""
        head = b""
        while True:
            try:
                line = await self.reader.readline()
            except ConnectionError:
                return None
            if not line.endswith(b"\n"):
                return None
            if line != b"\n":
                head += line
            elif head:
                break
            else:
                self.pokes += 1
                self.poked.set()
        found = Command(head.decode().rstrip("\n"), b"")
        length = int(found.headers.get("content-length", "0"))
        return Command(head.decode().rstrip("\n"), await self.reader.readexactly(length)) if length else found

    def close(self) -> None:
        self.writer.close()


class FakeSwitch:
    """Listens, authenticates, answers. ``answer`` may take over: return bytes to send, or None for the usual answer.

    ``heard`` are the lines of all commands on all connections, ``unasked`` what came where nobody was asked for a password.
    """

    def __init__(self) -> None:
        self.password = "ClueCon"
        self.core_uuid = "core-1"
        self.greeting = AUTH
        self.answer: Callable[[Peer, Command], bytes | None] = lambda peer, command: None
        self.peers: list[Peer] = []
        self.lines: asyncio.Queue[Command] = asyncio.Queue()
        self.heard: list[str] = []
        self.unasked = b""
        self.accepted = 0
        self.subscribers: asyncio.Queue[Peer] = asyncio.Queue()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pokes(self) -> int:
        """Bare newlines on the connections that stand."""
        return sum(peer.pokes for peer in self.peers)

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=1 << 24)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        if self._server is not None:
            # A server that is closed while a connection is on its way to the handler leaves that one open (asyncio of Python 3.11).
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            for _ in range(ACCEPTING):
                await asyncio.sleep(0)
            self._server.close()
        writers = [peer.writer for peer in self.peers]
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def sent(self, start: str) -> Command:
        """Wait for the next command that starts so; the ones before it are forgotten."""
        while True:
            found = await asyncio.wait_for(self.lines.get(), 5)
            if found.line.startswith(start):
                return found

    async def subscriber(self) -> Peer:
        """Wait for the next connection that subscribes to the service's events."""
        return await asyncio.wait_for(self.subscribers.get(), 5)

    async def left(self) -> None:
        """Wait until every connection is over, and all that came on it is heard."""
        async with asyncio.timeout(5):
            while self.peers:
                await asyncio.sleep(0.005)

    def drop(self) -> None:
        """Close every connection."""
        for peer in self.peers:
            peer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self._talk(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.peers.remove(peer)
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, peer: Peer) -> None:
        peer.send(self.greeting)
        if self.greeting != AUTH:
            if self.greeting:
                return
            self.unasked += await peer.reader.read()
            return
        while (command := await peer.command()) is not None:
            self.lines.put_nowait(command)
            self.heard.append(command.line)
            answer = self.answer(peer, command)
            peer.send(self._usual(peer, command) if answer is None else answer)
            if command.line.startswith("event json") and "BACKGROUND_JOB" not in command.line:
                self.subscribers.put_nowait(peer)
            if command.line.startswith("auth ") and command.line != f"auth {self.password}":
                return
            await peer.writer.drain()

    def _usual(self, peer: Peer, command: Command) -> bytes:
        line = command.line
        if line.startswith("auth "):
            return (
                reply("+OK accepted") if line == f"auth {self.password}" else reply("-ERR invalid") + FAREWELL
            )
        if line == "api global_getvar core_uuid":
            return api_response(self.core_uuid)
        if line.startswith("api "):
            return api_response(f"+OK {line[4:]}")
        if line.startswith("bgapi "):
            return reply(f"+OK Job-UUID: {command.headers['job-uuid']}")
        return reply("+OK")


class FakeCall:
    """FreeSWITCH's end of one outbound socket."""

    def __init__(self, peer: Peer, unique_id: str) -> None:
        self.peer = peer
        self.unique_id = unique_id
        self.greeting: list[str] = []

    async def greet(self, limited: bool = False) -> None:
        """Answer the commands of the greeting, of which the last subscribes to an event that ``myevents`` lacks."""
        while not self.greeting or not self.greeting[-1].startswith("event json"):
            command = await asyncio.wait_for(self.peer.command(), 5)
            assert command is not None
            self.greeting.append(command.line)
            if command.line == "connect":
                self.peer.send(
                    f"Event-Name: CHANNEL_DATA\nUnique-ID: {self.unique_id}\nCaller-Caller-ID-Name: Bob%0AUnique-ID%3A%20victim\n"
                    "variable_cc_entry: %2A22\nContent-Type: command/reply\nReply-Text: %2BOK%0A\nSocket-Mode: async\nControl: full\n\n".encode()
                )
            else:
                self.peer.send(
                    reply("-ERR command not found" if limited and command.line == "linger" else "+OK")
                )

    async def command(self) -> Command:
        found = await asyncio.wait_for(self.peer.command(), 5)
        assert found is not None, "the connection ended where a command was expected"
        return found

    async def app(self, name: str) -> str:
        """Take one application, say that it is queued; return its id."""
        command = await self.command()
        assert command.headers["execute-app-name"] == name
        self.peer.send(reply("+OK"))
        return command.headers["event-uuid"]

    def complete(self, app_id: str, **headers: str) -> None:
        self.peer.send(
            event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=self.unique_id, Application_UUID=app_id, **headers)
        )

    def hang_up(self) -> None:
        self.peer.send(event("CHANNEL_HANGUP", Unique_ID=self.unique_id, Hangup_Cause="NORMAL_CLEARING"))

    def hang_up_complete(self) -> None:
        self.peer.send(
            event("CHANNEL_HANGUP_COMPLETE", Unique_ID=self.unique_id, Hangup_Cause="NORMAL_CLEARING")
        )

    async def ended(self) -> bool:
        """Wait until our side closes; whether nothing but newlines came before."""
        return await asyncio.wait_for(self.peer.command(), 5) is None


@contextlib.asynccontextmanager
async def call_to(port: int, unique_id: str = "u-1") -> AsyncIterator[FakeCall]:
    """Connect as the ``socket`` application does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield FakeCall(Peer(reader, writer), unique_id)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
