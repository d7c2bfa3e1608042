"""A real FreeSWITCH with the configuration of this repository, on free loopback ports, in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "freeswitch" / "conf"
AGENT_PASSWORD = "agents-of-the-test"
ESL_PASSWORD = "event-socket-of-the-test"
DOMAIN = "peyvand.local"


def find_binary() -> str | None:
    """The freeswitch binary of FREESWITCH_BIN or PATH."""
    return os.environ.get("FREESWITCH_BIN") or shutil.which("freeswitch")


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class FreeSwitch:
    """Started by ``start()``, ended by ``stop()``; ``kill()`` is a crash of the machine's switch."""

    folder: Path
    ivr_port: int
    esl_port: int = field(default_factory=free_port)
    agents_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    trunk_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))

    def __post_init__(self) -> None:
        for name in ("log", "db", "run", "sounds/music", "cdr", "recordings"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._child: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """The value for PEYVAND_SWITCHES."""
        return f"fs1=esl://:{ESL_PASSWORD}@127.0.0.1:{self.esl_port}"

    @property
    def sounds(self) -> Path:
        return self.folder / "sounds"

    @property
    def cdr_spool(self) -> Path:
        return self.folder / "cdr"

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"

    async def start(self) -> None:
        binary = find_binary()
        assert binary is not None
        env = {
            **os.environ,
            "CC_NODE": "fs1",
            "CC_IVR": f"127.0.0.1:{self.ivr_port}",
            "CC_DOMAIN": DOMAIN,
            "CC_AGENTS_PORT": str(self.agents_port),
            "CC_TRUNK_PORT": str(self.trunk_port),
            "CC_ESL_PORT": str(self.esl_port),
            "CC_ESL_PASSWORD": ESL_PASSWORD,
            "CC_AGENT_PASSWORD": AGENT_PASSWORD,
            "CC_SOUNDS": str(self.sounds),
            "CC_CDR_SPOOL": str(self.folder / "cdr"),
        }
        folders = [x for n in ("log", "db", "run", "recordings") for x in (f"-{n}", str(self.folder / n))]
        with (self.folder / "log" / "console.log").open("ab") as out:
            self._child = await asyncio.create_subprocess_exec(
                binary,
                "-nonat",
                "-nf",
                "-nc",
                "-conf",
                str(CONF),
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
        reader, writer = await asyncio.open_connection("127.0.0.1", self.esl_port)
        try:
            await reader.readuntil(b"\n\n")
            writer.write(f"auth {ESL_PASSWORD}\n\napi {command}\n\n".encode())
            await reader.readuntil(b"\n\n")
            head = await reader.readuntil(b"\n\n")
            length = int(next(x for x in head.split(b"\n") if x.startswith(b"Content-Length")).split(b":")[1])
            return (await reader.readexactly(length)).decode()
        except asyncio.IncompleteReadError as e:
            raise OSError("the event socket closed") from e
        finally:
            writer.close()

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
