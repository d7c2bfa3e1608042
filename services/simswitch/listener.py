"""Connections of the event socket: those that clients open, and those that the switch opens to a controller.

Commands of one connection are carried out one after the other, and events behind a slow ``api`` wait for it, as in the
real switch; ``bgapi`` answers at once. Replies and errors have the real texts. A reader that does not read is dropped when
its backlog is full: the real switch then freezes everybody's event socket, which nobody wants simulated.
"""

from __future__ import annotations

import asyncio
import uuid as uuids
from typing import Final

import structlog

from services.common.errors import ProtocolError
from services.simswitch.channel import Channel, Message
from services.simswitch.core.wire import (
    EVENT_NAMES,
    MYEVENTS,
    Command,
    CommandReader,
    Event,
    Subscription,
    Value,
    header_lines,
)
from services.simswitch.switch import Switch

log = structlog.get_logger()

BACKLOG_BYTES: Final = 64 * 1024 * 1024
REPLY_BYTES: Final = 511
_GOODBYE: Final = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
_AUTH_S: Final = 25.0


class Connection(asyncio.Protocol):
    """One connection, either way."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.subscription = Subscription()
        self.closed = False
        self.connected = False
        self.session: Channel | None = None
        self.linger = False
        self._transport: asyncio.Transport | None = None
        self._reader = CommandReader()
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._held: list[Event] | None = None
        self._pending: list[bytes] = []

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._worker = self.switch.spawn(self._work(), "event socket")

    def data_received(self, data: bytes) -> None:
        try:
            for command in self._reader.feed(data):
                self._commands.put_nowait(command)
        except ProtocolError as e:
            log.warning("event_socket_protocol_error", error=str(e))
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def drop(self) -> None:
        """Close at once, without a word."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.switch.remove_listener(self)
        if self._worker is not None:
            self._worker.cancel()

    # -- events

    def offers(self, name: str, subclass: str) -> bool:
        return not self.closed and self.subscription.takes_name(name, subclass)

    def deliver(self, event: Event) -> None:
        if self.closed or not self.subscription.takes(event):
            return
        if self._held is not None:
            self._held.append(event)
            return
        self._write(event.frame(self.subscription.fmt))

    def _write(self, data: bytes) -> None:
        # What one turn of the loop fires goes out in one write: a send a frame was the largest single cost.
        if self._transport is None or self.closed:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(data)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if self._transport is None or not pending or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES:
            log.warning("event_socket_listener_dropped", reason="its backlog is full")
            self.drop()
            return
        self._transport.write(b"".join(pending))

    # -- commands

    async def _work(self) -> None:
        while not self.closed:
            command = await self._commands.get()
            if not await self._carry_out(command):
                self._bye()
                return

    async def _carry_out(self, command: Command) -> bool:
        reply = await self.handle(command)
        if reply is not None:
            self._reply(reply or "-ERR command not found")
        return not command.line.lower().startswith(("exit", "..."))

    def _reply(self, text: str) -> None:
        if text.startswith("~"):
            self._write(("Content-Type: command/reply\n" + text[1:]).encode("utf-8", "surrogateescape"))
            return
        line = text.encode("utf-8", "surrogateescape")[:REPLY_BYTES]
        self._write(b"Content-Type: command/reply\nReply-Text: " + line + b"\n\n")

    def _bye(self) -> None:
        self._notice("disconnect", _GOODBYE)
        self._flush()
        if self._transport is not None:
            self._transport.close()
        self._end()

    def _notice(self, disposition: str, body: str) -> None:
        lines = "Content-Type: text/disconnect-notice\n"
        if self.session is not None:
            lines += f"Controlled-Session-UUID: {self.session.uuid}\nContent-Disposition: {disposition}\n"
            if disposition == "linger":
                lines += f"Channel-Name: {self.session.name}\nLinger-Time: -1\n"
        self._write(f"{lines}Content-Length: {len(body)}\n\n{body}".encode())

    async def handle(self, command: Command) -> str | None:
        """Carry out one command; None when the reply is already written, empty for an unknown command."""
        word, _, rest = command.line.partition(" ")
        lower = command.line.lower()
        if lower.startswith(("exit", "...")):
            return "+OK bye"
        if self.session is not None and not lower.startswith("connect") and lower.startswith("resume"):
            self.session.variables["socket_resume"] = "true"
            return "+OK"
        if lower.startswith("filter "):
            return self.subscription.filter(command.line[7:])
        if lower.startswith("sendmsg"):
            return self._sendmsg(command)
        if lower.startswith("api ") and rest:
            await self._run_api(rest)
            return None
        if lower.startswith("bgapi ") and rest:
            return await self._bgapi(command, rest)
        if lower.startswith("sendevent"):
            return self._sendevent(command, rest.strip())
        if lower.startswith("linger"):
            if self.session is None:
                return "-ERR not controlling a session"
            self.linger = True
            seconds = rest.strip()
            return f"+OK will linger {seconds} seconds" if seconds else "+OK will linger"
        if lower.startswith("nolinger"):
            if self.session is None:
                return "-ERR not controlling a session"
            self.linger = False
            return "+OK will not linger"
        if lower.startswith("divert_events"):
            return self._divert(rest.strip().lower())
        if lower.startswith("nolog"):
            return "-ERR not loging"
        if lower.startswith("log"):
            return f"+OK log level {rest.strip() or 'DEBUG'} [7]"
        if lower.startswith("event"):
            return self._event(rest.split())
        if lower.startswith("nixevent"):
            return (
                "+OK events nixed"
                if self.subscription.nixevent(rest.split())
                else "-ERR no keywords supplied"
            )
        if lower.startswith("noevents"):
            was = self.subscription.clear()
            return "+OK no longer listening for events" if was else "-ERR not listening for events"
        if word.lower() == "myevents":
            return self._myevents(rest)
        return ""

    def _event(self, words: list[str]) -> str:
        if not self.subscription.event(words):
            return "-ERR no keywords supplied"
        return f"+OK event listener enabled {self.subscription.fmt}"

    def _divert(self, value: str) -> str:
        if self.session is None:
            return "-ERR not controlling a session."
        if not value:
            return "-ERR missing value."
        return "+OK events diverted" if value == "on" else "+OK events not diverted"

    def _myevents(self, rest: str) -> str:
        if self.session is None:
            # An inbound client's myevents for a leg that is not there still answers +OK and delivers everything.
            words = rest.split()
            if not words:
                return ""
            self.subscription.session = words[0] if self.switch.find(words[0]) is not None else ""
        else:
            if self.subscription.session:
                return "-ERR aready enabled."
            self.subscription.session = self.session.uuid
        if "json" in rest.lower():
            self.subscription.fmt = "json"
        self.subscription.listening = True
        self.subscription.names |= MYEVENTS
        return "+OK Events Enabled"

    async def _run_api(self, text: str) -> None:
        name, _, argument = text.strip().partition(" ")
        held: list[Event] = []
        self._held = held
        try:
            output = await self.switch.api(self.switch, name, argument)
        finally:
            self._held = None
        self._fire_api(name, argument)
        body = (output or "-ERR no reply\n").encode("utf-8", "surrogateescape")
        self._write(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)
        for event in held:
            self._write(event.frame(self.subscription.fmt))

    def _fire_api(self, name: str, argument: str) -> None:
        tail: dict[str, Value] = {"API-Command": name}
        if argument:
            tail["API-Command-Argument"] = argument
        self.switch.fire("API", tail=tail)

    async def _bgapi(self, command: Command, text: str) -> str:
        name, _, argument = text.strip().partition(" ")
        job = command.headers.get("job-uuid") or str(uuids.uuid4())
        self.switch.spawn(self._job(job, name, argument), f"job {job}")
        # The real listener waits until the job's thread has begun: a kill that follows an originate finds its leg.
        await asyncio.sleep(0)
        return f"~Reply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n"

    async def _job(self, job: str, name: str, argument: str) -> None:
        output = await self.switch.api(self.switch, name, argument)
        self._fire_api(name, argument)
        head: dict[str, Value] = {"Job-UUID": job, "Job-Command": name}
        if argument:
            head["Job-Command-Arg"] = argument
        if self.session is not None:
            head["Job-Owner-UUID"] = self.session.uuid
        self.switch.fire("BACKGROUND_JOB", head=head, body=output or "-ERR no reply\n")

    def _sendevent(self, command: Command, name: str) -> str:
        event_uuid = str(uuids.uuid4())
        skipped = ("event-name", "content-length", "event-subclass")
        tail: dict[str, Value] = {k: v for k, v in command.written.items() if k.lower() not in skipped}
        subclass = command.headers.get("event-subclass", "")
        if name.upper() in EVENT_NAMES:
            self.switch.fire(
                name.upper(),
                tail={**tail, "Event-UUID": event_uuid},
                subclass=subclass,
                body=command.body or None,
            )
        return f"+OK {event_uuid}"

    def _sendmsg(self, command: Command) -> str:
        target = command.line[7:].strip() or command.headers.get("session-id", "")
        leg = self.session if not target else self.switch.find(target)
        if leg is None:
            return f"-ERR invalid session id [{target}]"
        if leg.down:
            return "+OK"
        kind = command.headers.get("call-command", "").lower()
        if kind == "hangup":
            leg.end(command.headers.get("hangup-cause", "NORMAL_CLEARING") or "NORMAL_CLEARING", by="command")
        elif kind == "execute":
            loops = command.headers.get("loops", "1")
            leg.queue(
                Message(
                    app=command.headers.get("execute-app-name", ""),
                    data=command.headers.get("execute-app-arg", "") or command.body,
                    event_uuid=command.headers.get("event-uuid", ""),
                    locked=command.headers.get("event-lock", "").lower() == "true",
                    loops=int(loops) if loops.lstrip("-").isdigit() else 1,
                    headers={"Command": "sendmsg", **command.written},
                )
            )
        return "+OK"

    def session_hung_up(self) -> None:
        """The leg that this connection controls begins to end."""

    async def session_ended(self) -> None:
        """It is over, but for its destruction."""


class Client(Connection):
    """A connection that a client opened."""

    def __init__(self, switch: Switch, password: str) -> None:
        super().__init__(switch)
        self._password = password
        self._authed = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(_AUTH_S, self._too_late)
        self._write(b"Content-Type: auth/request\n\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _too_late(self) -> None:
        if not self._authed:
            self._bye()

    async def _carry_out(self, command: Command) -> bool:
        if self._authed:
            return await super()._carry_out(command)
        lower = command.line.lower()
        if lower.startswith("auth "):
            if command.line[5:] == self._password:
                self._authed = True
                self.switch.add_listener(self)
                self._reply("+OK accepted")
                return True
            self._reply("-ERR invalid")
            return False
        return await super()._carry_out(Command("exit" if lower.startswith(("exit", "...")) else "-", {}))


class Controller(Connection):
    """A connection that the application ``socket`` opened: the other side speaks first."""

    def __init__(self, switch: Switch, leg: Channel, *, full: bool, is_async: bool) -> None:
        super().__init__(switch)
        self.session = leg
        self._full = full
        self._is_async = is_async
        self._freed = asyncio.Event()

    def _end(self) -> None:
        if not self.closed:
            super()._end()
            self._freed.set()
            if self.session is not None and self.connected:
                self.session.controller_closed()
            elif self.session is not None:
                self.session.wake()

    async def handle(self, command: Command) -> str | None:
        lower = command.line.lower()
        if lower.startswith("connect"):
            self._connect()
            return None
        leg = self.session
        assert leg is not None
        if lower.startswith("getvar"):
            return leg.var(command.line[6:].strip())
        limited = ("event", "nixevent", "noevents", "api", "bgapi", "linger", "nolinger", "log", "sendevent")
        if not self._full and lower.startswith(limited):
            return ""
        return await super().handle(command)

    def _connect(self) -> None:
        leg = self.session
        assert leg is not None
        headers = self.switch.base("CHANNEL_DATA", 0)
        headers.update(leg.profile.headers("Channel"))
        headers.update(leg.with_variables())
        headers["Content-Type"] = "command/reply"
        headers["Reply-Text"] = "+OK\n"
        headers["Socket-Mode"] = "async" if self._is_async else "static"
        headers["Control"] = "full" if self._full else "single-channel"
        self._write(header_lines(headers) + b"\n")
        self.connected = True
        self.switch.observer.controller_took(leg)
        leg.wake()

    def session_hung_up(self) -> None:
        """Without linger the connection ends here: CHANNEL_HANGUP_COMPLETE never comes (27 of 30 times, measured)."""
        if not self.linger and not self.closed:
            self._bye()

    async def session_ended(self) -> None:
        """With linger the leg stays until the controller closes."""
        if self.closed:
            return
        self._notice("linger", "")
        await self._freed.wait()
