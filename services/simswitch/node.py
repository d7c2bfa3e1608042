"""Puts a simulated switch together: dialplan file, globals, applications, commands, and its listening socket."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.common.clock import Clock
from services.common.errors import ConfigError
from services.simswitch.apps import APPS
from services.simswitch.bugs import stop_all_bugs
from services.simswitch.commands import run
from services.simswitch.core import dialplan
from services.simswitch.core.media import MISSING
from services.simswitch.listener import Client
from services.simswitch.switch import Gateway, Observer, Switch

_GATEWAY: Final = re.compile(r'<gateway name="([^"]+)"')


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
    )
    profiles = dialplan_file.parent.parent / "sip_profiles"
    if profiles.is_dir():
        switch.sofia_profiles = {file.stem for file in profiles.glob("*.xml")}
        files = sorted(profiles.glob("*/*.xml"))
        switch.gateways = {name: Gateway() for file in files for name in _GATEWAY.findall(_text(file))}
    return switch


class EventSocket:
    """The listening socket."""

    def __init__(self, switch: Switch, password: str) -> None:
        self._switch = switch
        self._password = password
        self._server: asyncio.Server | None = None
        self._clients: set[Client] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one, which is then in ``port``. Raises ConfigError."""
        try:
            self._server = await asyncio.get_running_loop().create_server(self._client, host, port)
        except OSError as e:
            raise ConfigError(
                f"cannot listen on {host}:{port} (PEYVAND_SIMSWITCH_ESL_PORT): {e.strerror}; expected a free port"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    def _client(self) -> Client:
        client = Client(self._switch, self._password)
        self._clients = {c for c in self._clients if not c.closed}
        self._clients.add(client)
        return client

    def drop_clients(self) -> int:
        """A fault: close every connection at once; return how many there were."""
        alive = [c for c in self._clients if not c.closed]
        for client in alive:
            client.drop()
        return len(alive)

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        self.drop_clients()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror} (PEYVAND_SIMSWITCH_DIALPLAN)") from None
