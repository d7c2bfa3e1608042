"""Connections that clients open: who may, and what they may."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Final

from services.simswitch.core.command import Command
from services.simswitch.core.subscription import rights
from services.simswitch.listener import Connection
from services.simswitch.switch import Switch

_DENIED: Final = "Access Denied, go away.\n"


@dataclass(frozen=True, slots=True)
class Access:
    """Who gets in: the password of ``auth``, the networks (none named: everybody), seconds to the first command."""

    password: str
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    deadline_s: float = 25.0

    def admits(self, address: str) -> bool:
        """Whether a peer with this address is let in."""
        peer = ipaddress.ip_address(address.partition("%")[0])
        return not self.networks or any(peer.version == n.version and peer in n for n in self.networks)


class Client(Connection):
    """A connection that a client opened."""

    def __init__(self, switch: Switch, access: Access) -> None:
        super().__init__(switch)
        self._access = access
        self._authed = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")[0]
        if not self._access.admits(peer) or self.switch.faults.refuses:
            body = _DENIED
            self._write(f"Content-Type: text/rude-rejection\nContent-Length: {len(body)}\n\n{body}".encode())
            self.bye_soon()
            return
        self._deadline = asyncio.get_running_loop().call_later(self._access.deadline_s, self.bye_soon)
        self._write(b"Content-Type: auth/request\n\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._first_came()
        super().connection_lost(exc)

    def _first_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    async def _carry_out(self, command: Command) -> bool:
        # The deadline is for the first command only, whatever it is.
        self._first_came()
        lower = command.line.lower()
        if self._authed or (not command.magic and lower.startswith(("exit", "..."))):
            return await super()._carry_out(command)
        await self.switch.faults.before_reply()
        if command.magic:
            self._reply("-ERR command not found")
        elif lower.startswith("auth "):
            return self._admit(command.line[5:] == self._access.password and not self.switch.faults.denies)
        elif lower.startswith("userauth "):
            return self._user(command.line[9:])
        else:
            self._reply("-ERR command not found")
        return True

    def _admit(self, known: bool) -> bool:
        if known:
            self._enter()
        self._reply("+OK accepted" if known else "-ERR invalid")
        return known

    def _enter(self) -> None:
        self._authed = True
        self.switch.add_listener(self)

    def _user(self, text: str) -> bool:
        """``user@domain:password`` or ``user:password@domain``. The reply is cut like every other, which may take its end."""
        user, at, domain = text.partition("@")
        domain, _, password = domain.partition(":")
        if ":" in user:
            user, _, password = user.partition(":")
        found = self.switch.directory.find(user, domain) if at and user and domain else None
        params = found.params if found is not None else {}
        wanted = params.get("esl-password", "")
        if not wanted or wanted != password or self.switch.faults.denies:
            self._reply("-ERR invalid")
            return False
        events, api = params.get("esl-allowed-events"), params.get("esl-allowed-api")
        log = params.get("esl-allowed-log", "true").lower() in (
            "true",
            "yes",
            "on",
            "1",
            "enabled",
            "active",
            "allow",
        )
        self.subscription.rights = rights(events=events, api=api, log=log)
        self._enter()
        self._reply(
            f"~Reply-Text: +OK accepted\nAllowed-Events: {'all' if events is None else events}\n"
            f"Allowed-API: {'all' if api is None else api}\nAllowed-LOG: {'true' if log else 'false'}\n\n"
        )
        return True
