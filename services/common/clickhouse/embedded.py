"""A ClickHouse server out of the chdb-core wheel: native TCP and HTTP, one process, one data folder.

Theory of operation
-------------------
The wheel's extension module contains clickhouse-local, and clickhouse-local can listen since engine 26.6
(``SYSTEM START LISTEN TCP | HTTP``). chdb's public API opens another front in which that statement has no callback; the
module's own ``query()`` opens clickhouse-local, which reads ``./config.xml``. Whichever front is used first in a
process is the only one, and importing the ``chdb`` package uses the public one: so the launcher loads the extension
module by its path and imports nothing else of chdb.

The server lives as long as the statement that started it, therefore the launcher's statement is an endless SELECT. On
SIGTERM the launcher kills that SELECT over HTTP; the engine then closes its tables in order.

clickhouse-local always logs in as the user ``default`` without a password, over what it takes for a loopback
connection. That user is confined to one session at a time, and the launcher's statement is that session for the whole
life of the process: everybody else who tries ``default`` is refused (error 700), and it has no rights to any data.

This is a private entry of the pinned wheel: ``tests/integration/test_clickhouse_embedded.py`` is the gate for another
version.

    python -m services.common.clickhouse.embedded --dir DIR --tcp-port 9000 --http-port 8123

takes user, password and database from PEYVAND_CLICKHOUSE_URL and the analyst's password from
PEYVAND_CLICKHOUSE_ANALYST_PASSWORD, and prints one JSON line when it serves. Further users stand in DIR/accounts.json
(``access.py``), which is read at the start; after SIGHUP the process begins anew under the same number.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import IO, Any, Final, NoReturn
from urllib.parse import quote

from services.common.clickhouse import StoreUrl, access
from services.common.errors import ConfigError, NotReady
from services.common.ports import free_port
from services.common.priority import take_place

ANALYST: Final = "analyst"
MIN_PASSWORD: Final = 12
NICE: Final = 5
_HOST: Final = "127.0.0.1"
_MARK: Final = "peyvand-keep-alive"
_STAY: Final = (
    "SELECT sleepEachRow(0.5) FROM system.numbers SETTINGS max_block_size = 1, max_execution_time = 0, "  # noqa: S608
    f"log_queries = 0, max_threads = 1, log_comment = '{_MARK}' FORMAT Null"
)

_CONFIG: Final = """<clickhouse>
  <tcp_port>{tcp_port}</tcp_port>
  <http_port>{http_port}</http_port>
  <listen_host>{host}</listen_host>
  <log-level>{log_level}</log-level>
  <timezone>UTC</timezone>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <query_condition_cache_size>16777216</query_condition_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <max_concurrent_queries>64</max_concurrent_queries>
  <macros><cluster>embedded</cluster><shard>01</shard><replica>r1</replica></macros>
  <remote_servers><embedded><shard><replica>
    <host>{host}</host><port>{tcp_port}</port>
  </replica></shard></embedded></remote_servers>
</clickhouse>
"""

_USERS: Final = """<clickhouse>
  <profiles>
    <default/>
    <engine><max_sessions_for_user>1</max_sessions_for_user></engine>
    <analyst>
      <readonly>2</readonly>
      <max_memory_usage>{query_memory}</max_memory_usage>
      <max_execution_time>60</max_execution_time>
      <constraints>
        <max_memory_usage><min>1</min><max>{query_memory}</max></max_memory_usage>
        <max_execution_time><min>1</min><max>60</max></max_execution_time>
      </constraints>
    </analyst>
    {profiles}
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks><profile>engine</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants></default>
    <{launcher}><password_sha256_hex>{launcher_hash}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
      <grants><query>GRANT KILL QUERY ON *.*</query><query>GRANT SELECT ON system.*</query></grants></{launcher}>
    <{service}><password_sha256_hex>{service_hash}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
      <grants>
        <query>GRANT SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SHOW, KILL QUERY ON *.*</query>
        <query>GRANT TABLE ENGINE ON *</query>
        <query>GRANT SET DEFINER ON *</query><query>GRANT SHOW ACCESS ON *.*</query>
      </grants></{service}>
    <analyst><password_sha256_hex>{analyst_hash}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
      <profile>analyst</profile><quota>default</quota>
      <grants><query>GRANT SELECT, SHOW ON {database}.*</query></grants></analyst>
    {users}
  </users>
</clickhouse>
"""
_LAUNCHER: Final = "launcher"
_LOADED: Final = "accounts.loaded"
AGAIN: Final = -1
"""``serve`` returns because of SIGHUP, its engine still at work: the process is to begin anew."""


class EmbeddedClickHouse:
    """The launcher as a child process, for tests and one-machine runners. Its methods block.

    The child dies with its parent. Passwords travel in the environment, never on the command line.
    """

    def __init__(
        self,
        directory: Path,
        *,
        password: str,
        analyst_password: str,
        database: str = "peyvand",
        tcp_port: int = 0,
        http_port: int = 0,
        memory_mib: int = 1024,
    ) -> None:
        self.directory = directory
        self.tcp_port = tcp_port or free_port()
        self.http_port = http_port or free_port()
        self._memory_mib = memory_mib
        self._password = password
        self._analyst_password = analyst_password
        self._database = database
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> StoreUrl:
        """For services: may create and change everything."""
        return StoreUrl(_HOST, self.tcp_port, "peyvand", self._password, self._database)

    @property
    def analyst_url(self) -> StoreUrl:
        """For people and dashboards: may read the one database."""
        return StoreUrl(_HOST, self.tcp_port, ANALYST, self._analyst_password, self._database)

    @property
    def url_text(self) -> str:
        """``url`` in the form of PEYVAND_CLICKHOUSE_URL."""
        return (
            f"clickhouse://peyvand:{quote(self._password, safe='')}@{_HOST}:{self.tcp_port}/{self._database}"
        )

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout_s: float = 60.0) -> None:
        """Start and wait until it serves. Raises ConfigError when it refuses, NotReady when it takes too long."""
        if self.pid is not None:
            return
        environment = dict(
            os.environ,
            PEYVAND_CLICKHOUSE_URL=self.url_text,
            PEYVAND_CLICKHOUSE_ANALYST_PASSWORD=self._analyst_password,
        )
        command = [
            sys.executable,
            "-m",
            "services.common.clickhouse.embedded",
            *("--dir", str(self.directory)),
            *("--tcp-port", str(self.tcp_port)),
            *("--http-port", str(self.http_port)),
            *("--memory-mib", str(self._memory_mib)),
            "--die-with-parent",
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        line = _read_line(self._process.stdout, timeout_s)
        if line:
            return
        if line is None:
            self.kill()
            raise NotReady(
                f"the embedded ClickHouse in {self.directory} did not serve within {timeout_s:g} s"
            )
        code = self._process.wait()
        self._close_pipe()
        raise ConfigError(
            f"the embedded ClickHouse in {self.directory} ended with exit code {code}; see its messages"
        )

    def stop(self, timeout_s: float = 30.0) -> int:
        """End in order and return the exit code; kills after ``timeout_s``."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._close_pipe()

    def kill(self) -> None:
        """End at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


def _read_line(stream: IO[str], timeout_s: float) -> str | None:
    """The next line; empty at the end of the stream, None when nothing came in time."""
    readable, _, _ = select.select([stream], [], [], timeout_s)
    return stream.readline() if readable else None


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _load_engine() -> ModuleType:
    found = importlib.util.find_spec("chdb")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "the embedded ClickHouse needs the wheel chdb-core: pip install --no-deps 'peyvand[embedded]'"
        )
    path = Path(found.submodule_search_locations[0]) / "_chdb.abi3.so"
    spec = importlib.util.spec_from_file_location("_chdb", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: expected chdb-core's extension module")
    module = importlib.util.module_from_spec(spec)
    flags = sys.getdlopenflags()
    # The wheel links its own C++ runtime statically; it must not find the symbols of another one in the process.
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.setdlopenflags(flags)
    return module


def _check_password(setting: str, password: str) -> None:
    if len(password) < MIN_PASSWORD:
        raise ConfigError(f"{setting}: expected a password of {MIN_PASSWORD} characters or more")


def _check_free(port: int) -> None:
    # A taken port would look like our own server in the readiness check.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as e:
            raise ConfigError(
                f"{_HOST}:{port}: {e.strerror}; choose another --tcp-port or --http-port"
            ) from None


def _lock(directory: Path) -> Any:
    """Hold the folder for the life of the process. The engine's own lock comes later and says less."""
    handle = (directory / "lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        raise ConfigError(
            f"{directory}: another embedded ClickHouse (pid {owner}) has this folder; one process a folder"
        ) from None
    handle.seek(0)
    handle.truncate()
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


def loaded(directory: Path) -> str:
    """``access.hashed`` of the accounts' text with which the server in this folder serves; empty when it never did."""
    path = directory / _LOADED
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(text)


def _http(port: int, method: str, path: str, password: str, body: str = "") -> str:
    token = base64.b64encode(f"{_LAUNCHER}:{password}".encode()).decode()
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request(method, path, body or None, {"Authorization": f"Basic {token}"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return text if answer.status == 200 else ""
    finally:
        connection.close()


class _Engine:
    """clickhouse-local in a thread of this process."""

    def __init__(self, home: Path, tcp_port: int, http_port: int, password: str) -> None:
        self._home = home
        self._tcp_port = tcp_port
        self._http_port = http_port
        self._password = password
        self.failure = ""
        self._module = _load_engine()
        if hasattr(self._module, "set_signal_handlers_enabled"):
            self._module.set_signal_handlers_enabled(False)
        self.thread = threading.Thread(target=self._serve, name="clickhouse-engine", daemon=True)

    def _serve(self) -> None:
        statement = f"SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; {_STAY}"
        try:
            result = self._module.query(statement, "TabSeparated", path=str(self._home / "data"))
            if result.has_error():
                self.failure = result.error_message()
        except Exception as e:  # the extension raises RuntimeError with the server's text
            self.failure = str(e)

    def ready(self) -> bool:
        try:
            with socket.create_connection((_HOST, self._tcp_port), 1):
                pass
            return _http(self._http_port, "POST", "/", self._password, "SELECT 1").strip() == "1"
        except OSError:
            return False

    def end(self, timeout_s: float) -> bool:
        """Kill the statement that keeps the engine; whether it closed its tables in time."""
        kill = f"KILL QUERY WHERE Settings['log_comment'] = '{_MARK}' ASYNC"
        with contextlib.suppress(OSError):
            _http(self._http_port, "POST", "/", self._password, kill)
        self.thread.join(timeout_s)
        return not self.thread.is_alive()


def serve(
    directory: Path,
    url: StoreUrl,
    analyst_password: str,
    *,
    tcp_port: int,
    http_port: int,
    memory_mib: int,
    log_level: str,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises ConfigError when it cannot start as told."""
    _check_password("PEYVAND_CLICKHOUSE_URL", url.password)
    _check_password("PEYVAND_CLICKHOUSE_ANALYST_PASSWORD", analyst_password)
    if url.user in (ANALYST, _LAUNCHER, "default") or not url.user.isidentifier():
        raise ConfigError(
            f"PEYVAND_CLICKHOUSE_URL: user {url.user!r} cannot be used, for example 'peyvand' can"
        )
    home = directory.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(home)
    taken = {url.user, ANALYST, _LAUNCHER, "default"}
    accounts = _accounts(home, taken)
    loads = access.hashed(access.dumps(accounts))
    _check_free(tcp_port)
    _check_free(http_port)
    password = secrets.token_urlsafe(24)
    memory = memory_mib * 1024 * 1024
    _write_private(
        home / "users.xml",
        _USERS.format(
            launcher=_LAUNCHER,
            launcher_hash=_hash(password),
            service=url.user,
            service_hash=_hash(url.password),
            analyst_hash=_hash(analyst_password),
            database=url.database,
            query_memory=memory // 2,
            profiles=access.profiles_xml(accounts),
            users=access.users_xml(accounts, _HOST),
        ),
    )
    _write_private(
        home / "config.xml",
        _CONFIG.format(
            host=_HOST,
            tcp_port=tcp_port,
            http_port=http_port,
            users=home / "users.xml",
            memory=memory,
            log_level=log_level,
        ),
    )
    os.chdir(home)  # clickhouse-local reads ./config.xml
    stop = threading.Event()
    numbers: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        try:
            _accounts(home, taken)
        except ConfigError as e:
            if number == signal.SIGHUP:  # it would not come up again
                sys.stderr.write(f"clickhouse: it goes on with the accounts that it has: {e}\n")
                return
        numbers.append(number)
        stop.set()

    engine = _Engine(home, tcp_port, http_port, password)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    engine.thread.start()
    ready = False
    while engine.thread.is_alive() and not stop.wait(1.0 if ready else 0.05):
        if not ready and engine.ready():
            ready = True
            _write_private(home / _LOADED, loads)
            line = json.dumps({"ready": True, "tcp_port": tcp_port, "http_port": http_port, "dir": str(home)})
            with contextlib.suppress(
                BrokenPipeError
            ):  # after SIGHUP whoever started it may not listen any more
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    if set(numbers) == {signal.SIGHUP}:
        return AGAIN
    if not stop.is_set():
        sys.stderr.write(f"the embedded ClickHouse ended by itself: {engine.failure or 'no reason given'}\n")
        return 1
    in_order = engine.end(20.0)
    lock.close()
    return 0 if in_order else 1


def _accounts(home: Path, taken: set[str]) -> list[access.Account]:
    path = home / access.ACCOUNTS_FILE
    if not path.exists():
        return []
    accounts = access.loads(path.read_text(encoding="utf-8"))
    names = [account.name for account in accounts]
    for name in names:
        if name in taken or names.count(name) > 1:
            raise ConfigError(f"{path}: the name {name!r} is taken")
    return accounts


def _begin_anew(arguments: Sequence[str], tcp_port: int, http_port: int) -> NoReturn:
    """Become a new process under the same number.

    The engine is not asked to end: with a client connected it ends the whole process after that (exit code 1). What it
    does is what it does at kill -9: confirmed rows are there, the others are stored whole or not at all. Its sockets and
    files would live on without the flag.
    """
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile, as the folder's own
            if int(number) > 2:
                os.set_inheritable(int(number), False)
    ports = ("--tcp-port", str(tcp_port), "--http-port", str(http_port))
    module = "services.common.clickhouse.embedded"
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments, *ports])  # noqa: S606 - our own module


def _die_with_parent() -> None:
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the call
        os.kill(os.getpid(), signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.common.clickhouse.embedded")
    parser.add_argument("--dir", type=Path, required=True, help="data folder; one process a folder")
    parser.add_argument("--tcp-port", type=int, default=9000, help="native protocol; 0 takes a free port")
    parser.add_argument("--http-port", type=int, default=8123, help="HTTP; 0 takes a free port")
    parser.add_argument("--memory-mib", type=int, default=1024, help="bound of the server's memory")
    parser.add_argument("--log-level", default="warning", help="of the engine's own messages")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the starting process ends")
    args = parser.parse_args(argv)
    if args.die_with_parent:
        _die_with_parent()
    # It merges with all threads that it has, on the machine on which calls are served: they go first.
    take_place(NICE)
    folder = Path.cwd()
    tcp_port, http_port = args.tcp_port or free_port(), args.http_port or free_port()
    try:
        code = serve(
            args.dir,
            StoreUrl.parse(os.environ.get("PEYVAND_CLICKHOUSE_URL", "")),
            os.environ.get("PEYVAND_CLICKHOUSE_ANALYST_PASSWORD", ""),
            tcp_port=tcp_port,
            http_port=http_port,
            memory_mib=args.memory_mib,
            log_level=args.log_level,
        )
        if code == AGAIN:
            os.chdir(folder)  # the engine was started in its own folder
            _begin_anew(sys.argv[1:] if argv is None else argv, tcp_port, http_port)
        return code
    except ConfigError as e:
        sys.stderr.write(f"clickhouse: {e}\n")
        return 78


if __name__ == "__main__":
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The engine's threads outlive its statement; a normal interpreter exit would wait for them or crash in them.
    os._exit(exit_code)
