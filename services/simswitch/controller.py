"""Connections that the application ``socket`` opens: the other side speaks first and controls one leg."""

from __future__ import annotations

import asyncio
from typing import Final

from services.simswitch.channel import Channel
from services.simswitch.core.command import Command
from services.simswitch.core.wire import header_lines
from services.simswitch.listener import Connection
from services.simswitch.switch import Switch

FIRST_COMMAND_S: Final = 25.0


class Controller(Connection):
    """One call's controller."""

    def __init__(self, switch: Switch, leg: Channel, *, full: bool, is_async: bool) -> None:
        super().__init__(switch)
        self.session: Channel = leg
        self.connected = False
        self.is_async = is_async
        self._full = full
        self._first = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(FIRST_COMMAND_S, self.bye_soon)

    def _end(self) -> None:
        if not self.closed:
            super()._end()
            if self._deadline is not None:
                self._deadline.cancel()
            if self.connected:
                self.session.controller_closed()
            else:
                self.session.wake()

    async def _carry_out(self, command: Command) -> bool:
        first, self._first = self._first, False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not first or command.magic or command.line.lower().startswith("connect"):
            goes_on = await super()._carry_out(command)
        else:
            # The very first command is carried out, but only ``connect`` is ever answered.
            goes_on = not command.line.lower().startswith(("exit", "..."))
            if goes_on:
                await self.handle(command)
        self._place_listener()
        return goes_on

    def _place_listener(self) -> None:
        """Among those that hear of everything only who asked for more than the leg's own events."""
        sub = self.subscription
        if sub.listening and not sub.only_session and not self.closed:
            self.switch.add_listener(self)
        else:
            self.switch.remove_listener(self)

    async def handle(self, command: Command) -> str | None:
        if command.line.lower().startswith("connect"):
            self._connect()
            return None
        return await super().handle(command)

    async def handle_full(self, command: Command) -> str | None:
        return await super().handle_full(command) if self._full else ""

    def _connect(self) -> None:
        leg = self.session
        headers = self.switch.base("CHANNEL_DATA", 0)
        leg.profile.show(headers, "Channel")
        leg.show(headers)
        headers["Content-Type"] = "command/reply"
        headers["Reply-Text"] = "+OK\n"
        headers["Socket-Mode"] = "async" if self.is_async else "static"
        headers["Control"] = "full" if self._full else "single-channel"
        self._write(header_lines(headers) + b"\n")
        if not self.connected:
            self.connected = True
            self.switch.observer.controller_took(leg)
            leg.wake()
