"""The wire of one event socket connection: what is read, what waits, what is written, and when it ends.

A connection of the real switch is one thread: it carries out commands one after the other, and between them, when no
command has begun, it writes the events that were queued. So here too

* a reply precedes every event that its command causes, and events wait behind a slow ``api``;
* a half-sent command stops the events until it is complete;
* events of an idle connection may wait up to 20 ms (``poll_ms``: the thread sleeps in ``poll`` on the socket, which an event
  does not end; any byte does, a bare newline too). Without ``poll_ms`` the first goes out at once and what follows within
  5 ms together with it or after it: a send an event was the largest single cost of a call;
* a client that does not read makes its queue grow; when it is full events are lost, and beyond 500 in a row the listener is
  killed. (The real switch then freezes everybody's event socket for a while. That is the fault ``freeze`` here, not the
  punishment of one client.)

Faults that are asked for (services.simswitch.faults) hold back what is written and what is read at this place.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import structlog

from services.common.errors import ProtocolError
from services.simswitch.core.command import Command, CommandReader
from services.simswitch.core.subscription import Subscription
from services.simswitch.core.wire import Event

if TYPE_CHECKING:
    from services.simswitch.channel import Channel
    from services.simswitch.switch import Switch

log = structlog.get_logger()

BACKLOG_BYTES: Final = 64 * 1024 * 1024
REPLY_BYTES: Final = 511
MAX_MISSED: Final = 500
GOODBYE: Final = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
LOST: Final = "killed listener because of lost events\n"
SHUT_DOWN: Final = "The system is being shut down.\n"
_RESET_AFTER_S: Final = 0.05
_GATHER_S: Final = 0.005


class Link(asyncio.Protocol):
    """One connection, either way, without its commands."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.subscription = Subscription()
        self.closed = False
        self.session: Channel | None = None
        self.linger: int | None = None
        """Seconds that the connection stays after the hangup of its leg; -1 is for ever, None not at all."""
        self.freed = asyncio.Event()
        """Set when the connection is over."""
        self.jobs: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._reader = CommandReader()
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._busy = False
        self._ending = False
        self._stuffed = False
        self._lost = 0
        self._events: deque[Event] = deque()
        self._pump_timer: asyncio.Handle | None = None
        self._pending: list[bytes] = []
        self._since_s = 0.0
        self._pumped_s = 0.0

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self.switch.links.add(self)
        self._since_s = asyncio.get_running_loop().time()
        self._worker = self.switch.spawn(self._work(), "event socket")

    def data_received(self, data: bytes) -> None:
        self._hurry()
        try:
            for command in self._reader.feed(data):
                self._commands.put_nowait(command)
        except ProtocolError as e:
            log.warning("event_socket_protocol_error", error=str(e))
            self.drop()
            return
        self._since_s = asyncio.get_running_loop().time()
        if self._events and self._commands.empty():
            self._pump()

    def pause_writing(self) -> None:
        self._stuffed = True

    def resume_writing(self) -> None:
        self._stuffed = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # -- its end

    def drop(self) -> None:
        """Close at once, without a word."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def reset(self) -> None:
        """Close at once with an RST, as a host does that has forgotten the connection."""
        if self._transport is not None and not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def kill(self, message: str) -> None:
        """``kill_listener``: a last word, then the end; a client that does not read hears nothing of it."""
        if self.closed:
            return
        if self._stuffed:
            self.drop()
            return
        self._notice("disconnect", message)
        self._flush()
        if self._transport is not None:
            self._transport.close()
        self._end()

    async def bye(self) -> None:
        """The orderly end: no more events or commands, wait for the jobs that were started here, a notice, EOF."""
        if self._begin_end():
            await self._last_words()

    def bye_soon(self) -> None:
        """`bye` beside what runs; nothing is delivered from now on."""
        if self._begin_end():
            self.switch.spawn(self._last_words(), "event socket goodbye")

    def _begin_end(self) -> bool:
        if self._ending or self.closed:
            return False
        self._pump()
        self._ending = True
        self.switch.remove_listener(self)
        return True

    async def _last_words(self) -> None:
        if self.jobs:
            await asyncio.wait(set(self.jobs))
        await self.switch.faults.clear()
        self.kill(GOODBYE)

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.freed.set()
        self._events.clear()
        if self._pump_timer is not None:
            self._pump_timer.cancel()
        self.switch.links.discard(self)
        self.switch.remove_listener(self)
        if self._worker is not None and self._worker is not asyncio.current_task():
            self._worker.cancel()

    # -- events

    def offers(self, name: str, subclass: str) -> bool:
        """Whether events of this name may be wanted."""
        return not (self.closed or self._ending) and self.subscription.takes_name(name, subclass)

    def deliver(self, event: Event) -> None:
        """Queue the event if it is wanted."""
        if self.closed or self._ending or not self.subscription.takes(event):
            return
        if len(self._events) >= self.switch.event_queue or self.switch.faults.loses_event(self):
            self._lost += 1
            if self._lost > MAX_MISSED:
                log.warning("event_socket_listener_killed", lost_events=self._lost)
                self.kill(LOST)
            return
        self._lost = 0
        self._events.append(event)
        self._schedule_pump()

    def push(self, event: Event) -> None:
        """Queue an event whatever was subscribed to: one that was diverted to the session."""
        self._events.append(event)
        self._schedule_pump()

    def flush_events(self) -> None:
        """Forget what is queued (``noevents``)."""
        self._events.clear()

    def _schedule_pump(self) -> None:
        if self._pump_timer is not None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self.switch.poll_s:
            wait_s = self.switch.poll_s - (now - self._since_s) % self.switch.poll_s
        else:
            wait_s = max(0.0, self._pumped_s + _GATHER_S - now)
        wait_s += self.switch.faults.event_delay_s
        self._pump_timer = loop.call_later(wait_s, self._pump) if wait_s else loop.call_soon(self._pump)

    def _hurry(self) -> None:
        """The thread is awake, by a byte or a command: what waits goes out now, with the reply when there is one."""
        if self._events and not self.switch.poll_s and not self.switch.faults.event_delay_s:
            self._pump()

    def _pump(self) -> None:
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        if (
            self._busy
            or self._stuffed
            or self.closed
            or not self._events
            or self._reader.pending
            or self.switch.faults.silent
        ):
            return
        if self.switch.faults.cuts_frame(self):
            self._write_half(self._events.popleft())
            return
        fmt = self.subscription.fmt
        self._pending.extend(event.frame(fmt) for event in self._events)
        self._events.clear()
        self._pumped_s = asyncio.get_running_loop().time()
        self._flush()

    def _write_half(self, event: Event) -> None:
        data = event.frame(self.subscription.fmt)
        self._pending.append(data[: len(data) // 2])
        self._flush()
        self.closed = True
        asyncio.get_running_loop().call_later(_RESET_AFTER_S, self._reset_late)

    def _reset_late(self) -> None:
        self.closed = False
        self.reset()

    def wake(self) -> None:
        """A fault is over: write what waited."""
        self._flush()
        self._pump()

    # -- writing

    def _write(self, data: bytes) -> None:
        # What one turn of the loop writes goes out in one send: a send a frame was the largest single cost.
        if self._transport is None or self.closed:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(data)

    def _flush(self) -> None:
        if self._transport is None or not self._pending or self._transport.is_closing():
            return
        if self.switch.faults.silent:
            return
        pending, self._pending = self._pending, []
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES:
            log.warning("event_socket_listener_dropped", reason="its backlog is full")
            self.drop()
            return
        self._transport.write(b"".join(pending))

    def _reply(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")[:REPLY_BYTES]
        if data.startswith(b"~"):
            self._write(b"Content-Type: command/reply\n" + data[1:])
            return
        self._write(b"Content-Type: command/reply\nReply-Text: " + data + b"\n\n")

    def _notice(self, disposition: str, body: str) -> None:
        lines = "Content-Type: text/disconnect-notice\n"
        if self.session is not None:
            lines += f"Controlled-Session-UUID: {self.session.uuid}\nContent-Disposition: {disposition}\n"
            if disposition == "linger":
                lines += f"Channel-Name: {self.session.name}\nLinger-Time: {self.linger}\n"
        self._write(f"{lines}Content-Length: {len(body)}\n\n{body}".encode())

    def write_log(self, line: bytes) -> None:
        """A ``log/data`` frame."""
        self._write(line)

    # -- commands

    async def _work(self) -> None:
        while not self.closed:
            command = await self._commands.get()
            await self.switch.faults.clear()
            if self._ending:
                return
            self._busy = True
            try:
                goes_on = await self._carry_out(command)
            finally:
                self._busy = False
            if not goes_on:
                await self.bye()
                return
            if self._commands.empty():
                self._hurry()
            if self._events:
                self._schedule_pump()

    async def _carry_out(self, command: Command) -> bool:
        """Carry out one command and write its reply; False ends the connection."""
        raise NotImplementedError
