"""Puts a simulated switch together: dialplan file, globals, applications, commands, and its listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

import structlog

from services.common.clock import Clock
from services.common.errors import ConfigError
from services.simswitch.apps import APPS
from services.simswitch.bugs import stop_all_bugs
from services.simswitch.client import Access, Client
from services.simswitch.commands import run
from services.simswitch.connection import SHUT_DOWN
from services.simswitch.core import dialplan, directory
from services.simswitch.core.media import MISSING
from services.simswitch.ports import Gateway, Observer
from services.simswitch.switch import Switch

_MODULE: Final = re.compile(r'<load module="([^"]+)"')
_GATEWAY: Final = re.compile(r'<gateway name="([^"]+)"')

log = structlog.get_logger()

BACKLOG: Final = 5
RELOAD_S: Final = 0.25
"""From the last word of the module to its listening again."""
_ACCEPT_AGAIN_S: Final = 0.2
_PLUGS: Final = 2


def build(
    *,
    name: str,
    clock: Clock,
    dialplan_file: Path,
    overrides: Mapping[str, str],
    cdr_spool: Path | None = None,
    recordings: Path | None = None,
    missing_file_ms: int = MISSING,
    observer: Observer | None = None,
) -> Switch:
    """Return a switch that runs ``dialplan_file`` of the real one, with the globals of the ``vars.xml`` above its folder.

    ``overrides`` win over both. Raises ConfigError for a file that cannot be read.
    """
    values: dict[str, str] = {}
    variables_file = dialplan_file.parent.parent / "vars.xml"
    if variables_file.exists():
        values = dialplan.parse_globals(_text(variables_file), variables_file, os.environ)
    values |= {"cc_node": name, **overrides}
    plan = dialplan.parse(_text(dialplan_file), dialplan_file, values)
    for folder in (cdr_spool, recordings):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    switch = Switch(
        name=name,
        clock=clock,
        dialplan=plan,
        globals_=values,
        apps=APPS,
        api=run,
        on_leg_ending=stop_all_bugs,
        domain=values.get("domain") or "peyvand.local",
        cdr_spool=cdr_spool,
        recordings=recordings,
        missing_file_ms=missing_file_ms,
        observer=observer,
        directory=_directory(dialplan_file.parent.parent / "directory", values),
    )
    profiles = dialplan_file.parent.parent / "sip_profiles"
    if profiles.is_dir():
        switch.sofia_profiles = {file.stem for file in profiles.glob("*.xml")}
        files = sorted(profiles.glob("*/*.xml"))
        switch.gateways = {name: Gateway() for file in files for name in _GATEWAY.findall(_text(file))}
    modules = dialplan_file.parent.parent / "autoload_configs" / "modules.conf.xml"
    if modules.exists():
        switch.modules = frozenset(_MODULE.findall(_text(modules)))
    return switch


class EventSocket:
    """The listening socket, and what faults do to it.

    It is accepted from by hand: a partition must not only stop reading but also leave the SYNs of new connections without an
    answer, for which the kernel's queue is made as short as can be and filled up. ``backlog`` is the real switch's 5.
    """

    def __init__(
        self,
        switch: Switch,
        password: str,
        *,
        networks: tuple[IPv4Network | IPv6Network, ...] = (),
        deadline_s: float = 25.0,
    ) -> None:
        self._switch = switch
        self._access = Access(password, networks, deadline_s)
        self._host = ""
        self._socket: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._plugs: list[socket.socket] = []
        self._unloaded = False
        self.port = 0
        switch.faults.door = self
        switch.reloading = self._reload

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one, which is then in ``port``. Raises ConfigError."""
        self._host = host
        try:
            self._listen(port)
        except OSError as e:
            raise ConfigError(
                f"cannot listen on {host}:{port} (PEYVAND_SIMSWITCH_ESL_PORT): {e.strerror}; expected a free port"
            ) from None
        assert self._socket is not None
        self.port = self._socket.getsockname()[1]

    def _listen(self, port: int) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self._accept()

    def _accept(self) -> None:
        self._acceptor = asyncio.get_running_loop().create_task(
            self._accept_all(), name="event socket accepts"
        )

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        while True:
            try:
                peer, _ = await loop.sock_accept(self._socket)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.connect_accepted_socket(lambda: Client(self._switch, self._access), peer)
            except OSError as e:
                log.warning("event_socket_accept_failed", error=str(e))
                await asyncio.sleep(_ACCEPT_AGAIN_S)

    @property
    def listening(self) -> bool:
        """Whether connections are accepted now."""
        return self._acceptor is not None

    def drop_clients(self) -> int:
        """A fault: close every connection that a client opened at once; return how many there were."""
        alive = [x for x in self._switch.links if isinstance(x, Client)]
        for client in alive:
            client.drop()
        return len(alive)

    # -- the door

    async def open(self) -> None:
        """Accept again; what was held up by `block` gets in now."""
        for plug in self._plugs:
            plug.close()
        self._plugs.clear()
        if self._unloaded:
            return
        if self._socket is None:
            # Somebody may have taken the port meanwhile, or hold it for a moment longer.
            while self._socket is None:
                try:
                    self._listen(self.port)
                except OSError as e:
                    log.warning("event_socket_cannot_listen", port=self.port, error=str(e))
                    await asyncio.sleep(_ACCEPT_AGAIN_S)
        elif self._acceptor is None:
            self._socket.listen(BACKLOG)
            self._accept()

    def hold(self) -> None:
        """The kernel goes on accepting, nobody takes the connections."""
        if self._acceptor is not None:
            self._acceptor.cancel()
            self._acceptor = None

    def block(self) -> None:
        """Let the kernel drop every SYN: its queue is cut to one place, which is taken."""
        self.hold()
        if self._socket is None or self._plugs:
            return
        self._socket.listen(0)
        for _ in range(_PLUGS):
            plug = socket.socket(self._socket.family, socket.SOCK_STREAM)
            plug.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                plug.connect(self._socket.getsockname())
            self._plugs.append(plug)

    def shut(self) -> None:
        """Listen no more: a connect is refused."""
        self.hold()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _reload(self, again: bool) -> None:
        self.shut()
        self._unloaded = True
        for link in list(self._switch.links):
            link.wake()
            link.kill(SHUT_DOWN)
        if again:
            await asyncio.sleep(RELOAD_S)
            self._unloaded = False
            await self.open()

    async def stop(self) -> None:
        """Stop listening and close every connection; a fault that ends later opens nothing."""
        self._unloaded = True
        self.shut()
        for plug in self._plugs:
            plug.close()
        self.drop_clients()


def _directory(folder: Path, values: Mapping[str, str]) -> directory.Directory:
    files = sorted(folder.glob("*.xml")) if folder.is_dir() else []
    return directory.merge([directory.parse(_text(f), f, values) for f in files])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror} (PEYVAND_SIMSWITCH_DIALPLAN)") from None
