"""A whole installation on one machine, for development, the demo and tests: embedded NATS and ClickHouse, every service of
deploy/services.yaml, and the simulated FreeSWITCH where no real one is given. All on loopback, all ending with the runner.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from deploy.dev.process import Process, ProcessFailed, module
from services.common import auth
from services.common.bus.migrate import migrate
from services.common.errors import PeyvandError

ROOT: Final = Path(__file__).resolve().parents[2]
TABLE: Final = ROOT / "deploy" / "services.yaml"
CENTERS: Final = ROOT / "deploy" / "centers"

_PORTS: Final = {
    "nats": 4222,
    "clickhouse": 9000,
    "clickhouse_http": 8123,
    "switch": 8021,
    "simswitch": 8106,
}
_NODES_SIP: Final = 5085  # Of the simulated nodes' profiles for calls between them; nothing listens there.


@dataclass(frozen=True)
class Row:
    """One line of deploy/services.yaml."""

    name: str
    port: int
    replicas: int
    esl_port: int = 0
    nice: int = 0


def table() -> list[Row]:
    """The rows of deploy/services.yaml, in the order of starting."""
    rows = yaml.safe_load(TABLE.read_text())["services"]
    return [Row(**row) for row in rows]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find_shift(first: int = 0, *, real_switch: bool = False, nodes: int = 1) -> int:
    """The smallest shift, in steps of 1000, with which none of our ports is taken. Raises ProcessFailed.

    With a real switch the simulated one's ports are not ours: the real one may well listen there.
    """
    wanted = {port for name, port in _PORTS.items() if not (real_switch and name in ("switch", "simswitch"))}
    if not real_switch:
        wanted |= {_PORTS["switch"] - n for n in range(nodes)}
    for row in table():
        wanted |= {row.port + 10 * n for n in range(row.replicas)} | (
            {row.esl_port} if row.esl_port else set()
        )
    return free_shift(wanted, first)


_taken: dict[int, int] = {}  # Lock by shift, held until this process ends.


def free_shift(wanted: Iterable[int], first: int = 0) -> int:
    """The smallest shift, in steps of 1000, with which all these ports are free. Raises ProcessFailed.

    It belongs to this process from then on: of two that look at the same moment, the second gets another one.
    """
    ports = list(wanted)
    for shift in range(first, 50_000, 1000):
        if all(_free(port + shift) for port in ports) and _take(shift):
            return shift
    raise ProcessFailed("no free range of ports on 127.0.0.1")


def _take(shift: int) -> bool:
    if shift in _taken:
        return True
    name = Path(tempfile.gettempdir()) / f"peyvand-ports-{os.getuid()}-{shift}.lock"
    lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _taken[shift] = lock
    return True


@dataclass
class Stack:
    """Started with ``start()``, ended with ``stop()``. ``folder`` holds all state, logs and secrets."""

    folder: Path
    centers: Path = CENTERS
    switches: str = ""  # PEYVAND_SWITCHES of a real FreeSWITCH; empty: the simulated one
    nodes: int = 1  # Simulated FreeSWITCH nodes: fs1, fs2 ...
    shift: int = 0
    sounds: Path | None = None
    recordings: Path | None = None
    cdr_spool: Path | None = None
    simswitch_env: Mapping[str, str] = field(default_factory=dict)
    extra_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log_dir = self._sub("log")
        self.sounds = self.sounds or self.folder.parent / "sounds"
        self.recordings = self.recordings or self._sub("recordings")
        self.cdr_spool = self.cdr_spool or self._sub("cdr")
        self.speech = self._sub("speech")
        self.cdr_spool.mkdir(parents=True, exist_ok=True)
        self.ledger = self.folder / "ledger.jsonl"
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ProcessFailed(f"another runner works in {self.folder}; stop it first") from None
        self.secrets = self._secrets()

    def _sub(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _secrets(self) -> dict[str, str]:
        path = self.folder / "secrets.json"
        if path.exists():
            return dict(json.loads(path.read_text()))
        made = {name: secrets.token_urlsafe(32) for name in ("auth", "esl", "clickhouse", "analyst")}
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            json.dump(made, out)
        return made

    # ---------------------------------------------------------------- addresses

    def port(self, name: str) -> int:
        return _PORTS[name] + self.shift

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.port('nats')}"

    @property
    def clickhouse_url(self) -> str:
        return (
            f"clickhouse://peyvand:{self.secrets['clickhouse']}@127.0.0.1:{self.port('clickhouse')}/peyvand"
        )

    def http(self, service: str) -> str:
        if service == "simswitch":
            return f"http://127.0.0.1:{self.port('simswitch')}"
        row = next(r for r in table() if r.name == service)
        return f"http://127.0.0.1:{row.port + self.shift}"

    @property
    def ivr_esl_port(self) -> int:
        return next(r for r in table() if r.name == "ivr").esl_port + self.shift

    def token(self, tenant: str, role: auth.Role, subject: str = "", ttl: str = "8h") -> str:
        return auth.issue(
            self.secrets["auth"], tenant=tenant, role=role, subject=subject or role, ttl_s=auth.parse_ttl(ttl)
        )

    # ---------------------------------------------------------------- environments

    def environment(self) -> dict[str, str]:
        """What every process gets; also written to ``<folder>/env`` for `make tail` and for people."""
        switches = self.switches or ",".join(
            f"{name}=esl://:{self.secrets['esl']}@127.0.0.1:{port}"
            for name, port in self._esl_ports().items()
        )
        sip = {} if self.switches or self.nodes == 1 else self._sip_of_nodes()
        return {
            **sip,
            "PEYVAND_NATS_URL": self.nats_url,
            "PEYVAND_AUTH_SECRET": self.secrets["auth"],
            "PEYVAND_CENTERS": str(self.centers),
            "PEYVAND_SWITCHES": switches,
            "PEYVAND_CLICKHOUSE_URL": self.clickhouse_url,
            "PEYVAND_QUEUE_RECORDINGS_DIR": str(self.recordings),
            "PEYVAND_QUEUE_SOUNDS_DIR": str(self.sounds),
            "PEYVAND_IVR_SOUNDS_DIR": str(self.sounds),
            "PEYVAND_IVR_RECORDINGS_DIR": str(self.recordings),
            "PEYVAND_IVR_SPEECH_DIR": str(self.speech),
            "PEYVAND_RECORDING_DIR": str(self.recordings),
            "PEYVAND_REPORTING_CDR_SPOOL": str(self.cdr_spool),
            "PEYVAND_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
        }

    def _esl_ports(self) -> dict[str, int]:
        """Event socket ports of the simulated nodes: below the first one's, a range that nobody else uses."""
        return {f"fs{n + 1}": self.port("switch") - n for n in range(self.nodes)}

    def _sip_of_nodes(self) -> dict[str, str]:
        """Where the simulated nodes reach each other, and that they take over each other's lines."""
        nodes = enumerate(self._esl_ports())
        return {
            "PEYVAND_QUEUE_NODES": ",".join(f"{node}=127.0.0.1:{_NODES_SIP + n}" for n, node in nodes),
            "PEYVAND_QUEUE_MOVES": "true",
        }

    def _process(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], ready_url: str = ""
    ) -> Process:
        merged = {**self.environment(), **env, **self.extra_env.get(name, {})}
        self.processes[name] = Process(
            name, argv, env=merged, log_dir=self.log_dir, cwd=ROOT, ready_url=ready_url
        )
        return self.processes[name]

    def _plan(self) -> tuple[list[Process], list[Process]]:
        infrastructure = [
            self._process(
                "nats",
                module(
                    "services.common.bus.embedded",
                    "--dir",
                    str(self.folder / "nats"),
                    "--port",
                    str(self.port("nats")),
                    *(("--nice", str(min(row.nice for row in table()))) if self.switches else ()),
                ),
                {},
            ),
            self._process(
                "clickhouse",
                module(
                    "services.common.clickhouse.embedded",
                    "--dir",
                    str(self.folder / "clickhouse"),
                    "--tcp-port",
                    str(self.port("clickhouse")),
                    "--http-port",
                    str(self.port("clickhouse_http")),
                ),
                {"PEYVAND_CLICKHOUSE_ANALYST_PASSWORD": self.secrets["analyst"]},
            ),
        ]
        if not self.switches:
            infrastructure.append(self._simswitch())
        services = []
        for row in table():
            for n in range(row.replicas):
                port = row.port + self.shift + 10 * n
                env = {"PEYVAND_HTTP_PORT": str(port), "PEYVAND_INSTANCE": str(n + 1)}
                if row.nice and self.switches:  # The simulated switch does not go before others either.
                    env["PEYVAND_NICE"] = str(row.nice)
                if row.esl_port:
                    env["PEYVAND_IVR_ESL_PORT"] = str(row.esl_port + self.shift + n)
                name = row.name if n == 0 else f"{row.name}-{n + 1}"
                services.append(
                    self._process(
                        name, module(f"services.{row.name}"), env, f"http://127.0.0.1:{port}/readyz"
                    )
                )
        return infrastructure, services

    def _simswitch(self) -> Process:
        env = {
            "PEYVAND_HTTP_PORT": str(self.port("simswitch")),
            "PEYVAND_SIMSWITCH_ESL_PORT": str(self.port("switch")),
            "PEYVAND_SIMSWITCH_ESL_PASSWORD": self.secrets["esl"],
            "PEYVAND_SIMSWITCH_NODE": "fs1",
            "PEYVAND_SIMSWITCH_NODES": ",".join(
                f"{name}={port}" for name, port in list(self._esl_ports().items())[1:]
            ),
            "PEYVAND_SIMSWITCH_IVR": f"127.0.0.1:{self.ivr_esl_port}",
            "PEYVAND_SIMSWITCH_LEDGER": str(self.ledger),
            "PEYVAND_SIMSWITCH_CDR_SPOOL": str(self.cdr_spool),
            "PEYVAND_SIMSWITCH_RECORDINGS": str(self.recordings),
            "PEYVAND_SIMSWITCH_SOUNDS": str(self.sounds),
            "PEYVAND_SIMSWITCH_SPEECH": str(self.speech),
            **self.simswitch_env,
        }
        return self._process(
            "simswitch", module("services.simswitch"), env, self.http("simswitch") + "/readyz"
        )

    # ---------------------------------------------------------------- life

    async def start(self, deadline_s: float = 180) -> None:
        """Start everything and wait until every /readyz says so. Raises ProcessFailed; then nothing is left running."""
        try:
            infrastructure, services = self._plan()
            (self.folder / "env").write_text("".join(f"{k}={v}\n" for k, v in self.environment().items()))
            # All at once: a service waits for what it needs, and most of the time goes into loading Python.
            for process in (*infrastructure, *services):
                await process.start()
            await asyncio.gather(
                self.prepare_prompts(),
                self._streams(deadline_s),
                *(p.wait_ready(deadline_s) for p in (*infrastructure, *services) if p.ready_url),
            )
        except BaseException:
            await self.stop()
            raise

    async def _run(self, *argv: str, env: Mapping[str, str] | None = None) -> str:
        """Run a module to its end; its output on success. Raises ProcessFailed."""
        child = await asyncio.create_subprocess_exec(
            *module(argv[0], *argv[1:]),
            cwd=ROOT,
            env={**os.environ, **self.environment(), **(env or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await child.communicate()
        if child.returncode:
            raise ProcessFailed(f"{argv[0]} failed:\n{out.decode(errors='replace')}")
        return out.decode()

    async def prepare_prompts(self) -> None:
        """Make the center's prompts and music where the switch looks for them; what is there already is kept."""
        assert self.sounds is not None
        await self._run("services.center", "prompts", "--out", str(self.sounds), str(self.centers))

    async def _streams(self, deadline_s: float) -> None:
        """Create or update the bus's streams once NATS listens."""
        until = asyncio.get_running_loop().time() + deadline_s
        nats = self.processes["nats"]
        while _free(self.port("nats")):
            if not nats.alive:
                raise ProcessFailed(f"nats-server ended while starting:\n{nats.log_tail()}")
            if asyncio.get_running_loop().time() > until:
                raise ProcessFailed(f"nats-server does not listen:\n{nats.log_tail()}")
            await asyncio.sleep(0.02)
        try:
            await migrate(self.nats_url, replicas=1)
        except PeyvandError as e:
            raise ProcessFailed(f"the bus's streams could not be made: {e}") from e

    async def revive(self) -> list[str]:
        """Start again what ended by itself; the names of what was."""
        names = []
        for process in self.processes.values():
            if process.ended_unexpectedly:
                process.restarts += 1
                names.append(process.name)
                await process.start()
        return names

    async def stop(self) -> None:
        """Services first, the switch and the stores after them, so that nothing is lost on the way out."""
        rows = {row.name for row in table()}
        services = [p for p in self.processes.values() if p.name.partition("-")[0] in rows]
        others = [p for p in self.processes.values() if p not in services]
        await asyncio.gather(*(p.stop() for p in services))
        await asyncio.gather(*(p.stop() for p in others))

    def write_access(self, tenant: str) -> Path:
        """Put what a person needs to get in into a file that only the owner of the folder may read."""
        path = self.folder / "access.txt"
        lines = [f"{role}: {self.token(tenant, role)}" for role in ("supervisor", "analyst", "admin")]
        lines.append(f"ClickHouse user analyst (read only): {self.secrets['analyst']}")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write("\n".join(lines) + "\n")
        return path

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()


def switch_environment(stack: Stack) -> str:
    """What a real FreeSWITCH with our configuration must be told to work with this stack."""
    told = {
        "CC_IVR": f"127.0.0.1:{stack.ivr_esl_port}",
        "CC_SOUNDS": str(stack.sounds),
        "CC_CDR_SPOOL": str(stack.cdr_spool),
    }
    return " ".join(f"{name}={value}" for name, value in told.items())


def describe(stack: Stack) -> list[tuple[str, str]]:
    """What a person may open, with a token where one is needed: (what, where)."""
    board = f"{stack.http('reporting')}/wallboard#token={stack.token('demo', 'display')}"
    reports = f"{stack.http('reporting')}/reports#token={stack.token('demo', 'supervisor')}"
    return [
        ("Wallboard", f"{board}&lang=en"),
        ("تابلوی زنده", f"{board}&lang=fa"),
        ("Reports", f"{reports}&lang=en"),
        ("گزارش‌ها", f"{reports}&lang=fa"),
        ("Reports (OpenAPI)", f"{stack.http('reporting')}/docs"),
        ("Agents and queues (OpenAPI)", f"{stack.http('routing')}/docs"),
        ("Recordings (OpenAPI)", f"{stack.http('recording')}/docs"),
        ("ClickHouse for analysts", f"http://127.0.0.1:{stack.port('clickhouse_http')}/play"),
        ("Tokens and passwords", os.path.relpath(stack.write_access("demo"))),
    ]
