"""A real FreeSWITCH with the configuration of this repository, on free loopback ports, in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from services.common import ports

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "freeswitch" / "conf"
AGENT_PASSWORD = "agents-of-the-test"
ESL_PASSWORD = "event-socket-of-the-test"
DOMAIN = "peyvand.local"


def find_binary() -> str | None:
    """The freeswitch binary of FREESWITCH_BIN or PATH."""
    return os.environ.get("FREESWITCH_BIN") or shutil.which("freeswitch")


PORTS = range(2_048, 10_000)
"""Below SIPp's media and FreeSWITCH's media."""


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody has and that is given once."""
    return ports.free_port(kind, PORTS)


class Watch:
    """A plain event socket, written for the tests only: events are kept while an answer is awaited."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._events: deque[dict[str, str]] = deque()

    async def frame(self) -> tuple[str, str]:
        """The next frame: content type and body."""
        head = (await self._reader.readuntil(b"\n\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        length = int(headers.get("Content-Length", 0))
        return headers["Content-Type"], (await self._reader.readexactly(length)).decode()

    async def ask(self, *commands: str) -> list[str]:
        """Send commands in one write; the bodies of their replies."""
        self._writer.write("".join(f"{command}\n\n" for command in commands).encode())
        replies: list[str] = []
        while len(replies) < len(commands):
            kind, body = await self.frame()
            if kind == "text/event-json":
                self._events.append(json.loads(body))
            else:
                replies.append(body)
        return replies

    async def api(self, command: str) -> str:
        return (await self.ask(f"api {command}"))[0]

    async def poke(self, every_s: float) -> None:
        """Send newlines until cancelled: events come at once, not within 20 ms."""
        while True:
            self._writer.write(b"\n")
            await asyncio.sleep(every_s)

    async def event(self) -> dict[str, str]:
        """The next event, whichever it is."""
        while not self._events:
            kind, body = await self.frame()
            if kind == "text/event-json":
                self._events.append(json.loads(body))
        return self._events.popleft()

    async def next(self, **wanted: str) -> dict[str, str]:
        """The next event with these headers (``_`` stands for ``-``, except in variables); what came before is dropped."""
        headers = {
            name if name.startswith("variable_") else name.replace("_", "-"): value
            for name, value in wanted.items()
        }
        async with asyncio.timeout(120):
            while True:
                event = await self.event()
                if all(event.get(name) == value for name, value in headers.items()):
                    return event


@contextlib.asynccontextmanager
async def watching(port: int, password: str, *events: str) -> AsyncIterator[Watch]:
    """An event socket of the test's own, subscribed to ``events``. Raises OSError when the switch closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    watch = Watch(reader, writer)
    try:
        await watch.frame()
        await watch.ask(f"auth {password}")
        if events:
            await watch.ask(f"event json {' '.join(events)}")
        yield watch
    except asyncio.IncompleteReadError as e:
        raise OSError("the event socket closed") from e
    finally:
        writer.close()


@dataclass
class FreeSwitch:
    """Started by ``start()``, ended by ``stop()``; ``kill()`` is a crash of the machine's switch."""

    folder: Path
    ivr_port: int
    name: str = "fs1"
    beside: FreeSwitch | None = None
    """The other node of the installation, with which it shares sounds, CDRs and recordings."""
    esl_port: int = field(default_factory=free_port)
    agents_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    trunk_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    carrier_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    nodes_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    conf: Path = CONF
    rtp_ports: int = 998

    def __post_init__(self) -> None:
        # A range of its own for each test run on the machine, below the ports that the system gives out: a port that somebody
        # else has taken makes FreeSWITCH answer the call and drop it (INCOMPATIBLE_DESTINATION).
        self.rtp_start = 16_384 + (os.getpid() % 8 * 2 + (self.name != "fs1")) * 1_000
        for name in ("log", "db", "run", "sounds/music", "cdr", "recordings"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._child: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """The value for PEYVAND_SWITCHES."""
        return f"{self.name}=esl://:{ESL_PASSWORD}@127.0.0.1:{self.esl_port}"

    @property
    def sounds(self) -> Path:
        return (self.beside or self).folder / "sounds"

    @property
    def cdr_spool(self) -> Path:
        return (self.beside or self).folder / "cdr"

    @property
    def recordings(self) -> Path:
        return (self.beside or self).folder / "recordings"

    async def start(self) -> None:
        binary = find_binary()
        assert binary is not None
        env = {
            **os.environ,
            "CC_NODE": self.name,
            "CC_IVR": f"127.0.0.1:{self.ivr_port}",
            "CC_EARLY": "3008|3009",
            "CC_DOMAIN": DOMAIN,
            "CC_AGENTS_PORT": str(self.agents_port),
            "CC_TRUNK_PORT": str(self.trunk_port),
            "CC_NODES_PORT": str(self.nodes_port),
            "CC_TRUNK_PROXY": f"127.0.0.1:{self.carrier_port}",
            "CC_ESL_PORT": str(self.esl_port),
            "CC_ESL_PASSWORD": ESL_PASSWORD,
            "CC_AGENT_PASSWORD": AGENT_PASSWORD,
            "CC_RTP_START": str(self.rtp_start),
            "CC_RTP_END": str(self.rtp_start + self.rtp_ports),
            "CC_SOUNDS": str(self.sounds),
            "CC_CDR_SPOOL": str(self.cdr_spool),
        }
        folders = [x for n in ("log", "db", "run") for x in (f"-{n}", str(self.folder / n))]
        folders += ["-recordings", str(self.recordings)]
        with (self.folder / "log" / "console.log").open("ab") as out:
            self._child = await asyncio.create_subprocess_exec(
                binary,
                "-nonat",
                "-nf",
                "-nc",
                "-conf",
                str(self.conf),
                "-cache",
                str(self.folder / "db"),
                *folders,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        await self._listening()

    async def _listening(self) -> None:
        """Until the event socket answers ``status`` with "is ready"."""
        async with asyncio.timeout(30):
            while True:
                assert self._child is not None
                assert self._child.returncode is None, (self.folder / "log" / "console.log").read_text()[
                    -2000:
                ]
                try:
                    if "is ready" in await self.api("status"):
                        return
                except OSError:
                    pass
                await asyncio.sleep(0.1)

    async def api(self, command: str) -> str:
        """One ``api`` command over a connection of its own, independent of the code under test."""
        async with self.watch() as socket_:
            return await socket_.api(command)

    def watch(self, *events: str) -> contextlib.AbstractAsyncContextManager[Watch]:
        """An event socket of the test's own, subscribed to ``events``."""
        return watching(self.esl_port, ESL_PASSWORD, *events)

    async def channels(self) -> int:
        """How many legs are up."""
        return int((await self.api("show channels count")).strip().split()[0])

    async def stop(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._child.wait(), 15)
            except TimeoutError:
                await self.kill()

    async def kill(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open, and nothing is answered (SIGSTOP). ``thaw`` lets it go on."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on (SIGCONT)."""
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(signal.SIGCONT)
