"""An installation that survives its parts, on one machine: NATS on three servers, every service twice, two FreeSWITCH nodes.

The servers of NATS are children of the runner itself, not of a wrapper: what is killed or stopped is the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from ruamel.yaml import YAML

from deploy.dev.process import Process, ProcessFailed, module
from deploy.dev.stack import CENTERS, Stack, free_shift, table
from services.common.bus.embedded import EmbeddedCluster, EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.errors import PeyvandError

TENANT: Final = "demo"
DIRECT: Final = "4000"
"""A number of the chaos center that leads into a queue without a menu."""
NODES: Final = ("fs1", "fs2")
_QUICK: Final = {"timeout_s": 2, "gap_s": 1, "retries": 1}
_NATS: Final = (4222, 4223, 4224, 4232, 4233, 4234)
_SWITCHES: Final = (8020, 8021, 8106)
_STORE: Final = (9000, 8123)


def find_shift(first: int = 0, *, copies: int = 2) -> int:
    """The smallest shift with which all ports of such an installation are free. Raises ProcessFailed."""
    services = [row.port + 10 * n for row in table() for n in range(copies)]
    sockets = [row.esl_port + n for row in table() if row.esl_port for n in range(copies)]
    return free_shift({*_NATS, *_SWITCHES, *_STORE, *services, *sockets}, first=first)


def write_center(folder: Path, agents: int) -> Path:
    """Write the demo's center for ``agents`` agents and for calls that only their people and our faults may end.

    Limits of length and of waiting are left out, and the way to a message from the menu: a caller whom the center sends away could not be
    told from one who was lost.
    Returns the folder of documents.
    """
    # By YAML 1.2, as the documents are meant: PyYAML would make a truth value of a node's "yes".
    document: dict[str, Any] = YAML(typ="safe").load(CENTERS / "demo.yaml")
    models = list(document["agents"].values())
    document["agents"] = {
        f"a{n:04}": {**models[n % len(models)], "extension": str(10_000 + n)} for n in range(1, agents + 1)
    }
    for team in document["teams"].values():
        team["supervisors"] = ["supervisor"]
    for queue in document["queues"].values():
        for limit in ("max_wait", "max_length", "full", "callback", "return_s"):
            queue.pop(limit, None)
        queue["wrap_up_s"] = 2
    document["entry_points"][DIRECT] = {
        "name": {"en": "Without a menu"},
        "flow": "direct",
        "language": "en",
        "fallback_queue": "support",
    }
    for flow in document["flows"].values():
        for node in flow["nodes"].values():
            # People here are quick; a menu that waits as for others keeps the few who key nothing for a quarter of a minute.
            node |= {name: shorter for name, shorter in _QUICK.items() if name in node}
    menu = document["flows"]["main"]["nodes"]
    menu["support"] = {"queue": "support"}
    for node in ("crowded", "message", "thanks"):
        menu.pop(node, None)
    document["flows"]["direct"] = {"start": "go", "nodes": {"go": {"queue": "support"}}}
    document["limits"]["outage_wait_s"] = 600
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.yaml").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


def write_scenario(folder: Path, *, time_scale: float) -> Path:
    """Write how people behave."""
    behaviour = {
        "time_scale": time_scale,
        "entries": {"1000": 4, "2000": 1, DIRECT: 2},
        "caller": {
            # Most would wait for ever: whoever is forgotten must still be there at the end. Some leave at once.
            "patience": {"median": 240, "sigma": 1.6, "least": 0.5},
            "digits": {"1": 4, "2": 4, "3": 2, "9": 1, "": 0.4},
            "think": {"median": 4, "sigma": 0.4},
            "leaves_in_menu": 0.03,
            "listens": {"median": 6, "sigma": 0.4},
        },
        "agent": {
            "talk": {"median": 25, "sigma": 0.7, "least": 2, "most": 150},
            "caller_ends": 0.6,
            "rings": {"median": 4, "sigma": 0.5},
            "misses": 0.02,
            "declines": 0.02,
            "holds": 0.05,
            "wrap_up": {"median": 5, "sigma": 0.4},
            "keys_disposition": 0.5,
            "dials_disposition": 0.05,
            "break_every_s": 3600,
            "break_for": {"median": 60, "sigma": 0.4},
        },
    }
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(behaviour), encoding="utf-8")
    return path


@dataclass
class ChaosStack(Stack):
    """See ``Stack``. ``rate``: calls a second on both nodes together; ``only``: the services to run, empty for all, and without
    ``reporting`` no ClickHouse either."""

    rate: float = 4.0
    seed: int = 1
    agents: int = 200
    time_scale: float = 5.0
    copies_of_each: int = 2
    only: frozenset[str] = frozenset()
    before_services: Callable[[], Awaitable[None]] | None = None
    """Awaited when the streams are there, before any service starts."""
    cluster: EmbeddedCluster = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.centers = write_center(self._sub("centers"), self.agents)
        self.nodes = len(NODES)
        self.simswitch_env = {
            # The second copy of ivr is asked when the first does not answer.
            "PEYVAND_SIMSWITCH_IVR": "|".join(
                f"127.0.0.1:{self.ivr_esl_port + n}" for n in range(self.copies_of_each)
            ),
            "PEYVAND_SIMSWITCH_SCENARIO": str(write_scenario(self.folder, time_scale=self.time_scale)),
            "PEYVAND_SIMSWITCH_RATE": str(self.rate),
            "PEYVAND_SIMSWITCH_SEED": str(self.seed),
            "PEYVAND_SIMSWITCH_AUTOSTART": "false",
        }
        self.cluster = EmbeddedCluster(
            self._sub("nats"), nodes=3, ports=[port + self.shift for port in _NATS]
        )

    # ---------------------------------------------------------------- addresses

    @property
    def nats_url(self) -> str:
        return self.cluster.url

    def copies(self, service: str) -> list[Process]:
        """The processes of a service."""
        return [p for p in self.processes.values() if p.name.partition("-")[0] == service]

    def copy_of(self, owner: str) -> Process | None:
        """The process that goes by this name in a lease: ``routing-2-…`` is the second copy of routing."""
        service, _, rest = owner.partition("-")
        instance = rest.partition("-")[0]
        return self.processes.get(service if instance == "1" else f"{service}-{instance}")

    def environment(self) -> dict[str, str]:
        """What every process gets."""
        return super().environment() | {"PEYVAND_NATS_REPLICAS": "3"}

    # ---------------------------------------------------------------- plan

    def _plan(self) -> tuple[list[Process], list[Process]]:
        rows = [row for row in table() if not self.only or row.name in self.only]
        stores = [self._store()] if any(row.name == "reporting" for row in rows) else []
        infrastructure = [*stores, self._simswitch()]
        services = []
        for row in rows:
            for n in range(self.copies_of_each):
                port = row.port + self.shift + 10 * n
                env = {"PEYVAND_HTTP_PORT": str(port), "PEYVAND_INSTANCE": str(n + 1)}
                if row.esl_port:
                    env["PEYVAND_IVR_ESL_PORT"] = str(row.esl_port + self.shift + n)
                name = row.name if n == 0 else f"{row.name}-{n + 1}"
                ready = f"http://127.0.0.1:{port}/readyz"
                services.append(self._process(name, module(f"services.{row.name}"), env, ready))
        return infrastructure, services

    def _store(self) -> Process:
        ports = ("--tcp-port", str(self.port("clickhouse")), "--http-port", str(self.port("clickhouse_http")))
        return self._process(
            "clickhouse",
            module("services.common.clickhouse.embedded", "--dir", str(self.folder / "clickhouse"), *ports),
            {"PEYVAND_CLICKHOUSE_ANALYST_PASSWORD": self.secrets["analyst"]},
        )

    # ---------------------------------------------------------------- life

    async def start(self, deadline_s: float = 120) -> None:
        """Start everything. Raises ProcessFailed; then nothing is left running."""
        try:
            for server in self.cluster.nodes:
                server.launch()
            await self.caught_up(self.cluster.nodes)
            await migrate(self.nats_url, replicas=len(self.cluster.nodes))
            if self.before_services is not None:
                await self.before_services()
        except PeyvandError as e:
            self.cluster.stop()
            raise ProcessFailed(f"the cluster of NATS or its streams: {e}") from e
        await super().start(deadline_s)

    async def _streams(self, deadline_s: float) -> None:
        """They are there before the first service starts."""

    async def caught_up(self, servers: Iterable[EmbeddedNats]) -> None:
        """Wait until these servers serve and have their streams. Raises ConfigError."""
        for server in servers:
            await asyncio.to_thread(server.wait_ready)

    async def stop(self) -> None:
        """Services first, the switches and the stores after them."""
        await super().stop()
        self.cluster.stop()

    def logs(self) -> Sequence[Path]:
        """The logs of all processes."""
        return sorted(self.log_dir.glob("*.log"))
