"""Sockets of calls that FreeSWITCH hands to us, on the event loop; ``server`` says what is known of them. Theory of operation.

A `Link` belongs to one call. Nothing of it waits: bytes come into its own buffer, a reply goes to whoever is first in the FIFO, an
event to the session, all in the turn of the event loop in which it came; it has one timer. The `Listener` accepts calls, and
pokes: FreeSWITCH looks for events every 20 ms, or when a newline comes.

There is neither gevent nor another thread between a call and its handler (services/adr/0060). What the event loop cannot do by
itself is to notice that it stands still, and callers must not wait for it. So a thread that does nothing else, the `_Guard`,
looks whether the loop has run. While it has not for a second, the guard takes the calls that come and lets them go; those that
the loop has taken and not begun to serve are let go after three. The dialplan has the next action for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol as Port
from typing import cast

import structlog
from prometheus_client import Counter, Gauge

from services.common.errors import CallGone, ProtocolError
from services.common.esl.protocol import Decoder, Event, Frame, command, event_from_connect
from services.common.esl.replies import SOCKET_OPTIONS, WRITE_TIMEOUT_S, Kind, LinkLost, Replies, Waiter
from services.common.metrics import ESL_MALFORMED

_log = structlog.get_logger(__name__)

# Calls we hold. Near the limit the next ones go on in the dialplan without us: start another copy of the service.
ESL_SESSIONS = Gauge("peyvand_esl_sessions", "Calls whose outbound socket is open")
# Calls that found no place, or whose greeting failed. Each one went on to the dialplan's next action.
ESL_REFUSED = Counter(
    "peyvand_esl_sessions_refused_total", "Outbound sockets that were turned away", ["reason"]
)

_REFUSE_AFTER_S = 0.02
# A call that FreeSWITCH has not described by then, or that the event loop has not begun to serve, because it stands still or is far
# behind, is let go.
_BEGIN_S = 3.0
# While the event loop has not run for so long, further calls are turned away.
_SLOW_S = 1.0
_LOOK_S = 0.25
# After CHANNEL_HANGUP the rest takes milliseconds; a socket that lingers for longer would hold a session of the switch.
_LINGER_MAX_S = 5.0
_EXIT_TIMEOUT_S = 2.0
# At most five hundred pokes a second in all: two calls each 5 ms, five calls each 10 ms, then none.
_POKE_S = 0.005
_POKE_SHARE_S = 0.002
_POKE_USELESS_S = 0.0101
_LOOK_AGAIN_S = 0.1
# Events are 3 to 12 KB; thousands of calls have a buffer each.
_BUFFER_BYTES = 16 << 10
_BACKLOG = 1024


class Session(Port):
    """Who serves the call."""

    def on_events(self, events: list[Event]) -> None: ...
    def on_hangup(self) -> None: ...
    def on_lost(self) -> None: ...


class Link(Replies, asyncio.BufferedProtocol):
    """The call's socket."""

    def __init__(self, listener: Listener) -> None:
        self.session: Session | None = None
        self.accepted = False
        """FreeSWITCH has told which call it is."""
        self.leaving = False
        self.lost: LinkLost | None = None
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._unique_id = ""
        self._hangup_cause = ""
        self._malformed_logged = False
        self._apps: dict[str, Callable[[Event | Exception], None]] = {}
        self._waiters: deque[Waiter] = deque()
        self._notice = ""
        self._lingering = False
        self._decoder = Decoder(_BUFFER_BYTES)
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None
        self._stuffed: asyncio.TimerHandle | None = None

    # -- asyncio -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self._transport.set_write_buffer_limits(0)
        sock = transport.get_extra_info("socket")
        try:
            for level, option, value in SOCKET_OPTIONS:
                sock.setsockopt(level, option, value)
        except OSError as e:
            _log.info("call_gone_at_once", reason=str(e))
            self.lost = LinkLost("closed", str(e))
            self._transport.abort()
            return
        self._listener.came(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.space()

    def buffer_updated(self, nbytes: int) -> None:
        if self.lost is not None:
            return
        try:
            self._take(self._decoder.received(nbytes))
            if self._decoder.error is not None:
                raise self._decoder.error
        except ProtocolError as e:
            self.close("broken", str(e))
        except Exception as e:
            _log.exception("outbound_socket_failed", unique_id=self._unique_id)
            self.close("broken", repr(e))

    def pause_writing(self) -> None:
        silent = f"FreeSWITCH took nothing for {WRITE_TIMEOUT_S} s"
        self._stuffed = self._loop.call_later(WRITE_TIMEOUT_S, self.close, "silent", silent)

    def resume_writing(self) -> None:
        if self._stuffed is not None:
            self._stuffed.cancel()
            self._stuffed = None

    def connection_lost(self, exc: Exception | None) -> None:
        cut = " in the middle of a frame" if self._decoder.pending else ""
        reason = str(exc) if exc is not None else "FreeSWITCH closed the connection"
        self.close("closed", (self._notice or reason) + cut)

    # -- its life ----------------------------------------------------------------------------------------------------

    def greet(self, greeting: bytes, commands: int) -> None:
        """Send the greeting with one write."""
        self._by(_BEGIN_S, "silent", f"no reply to connect within {_BEGIN_S} s")
        self.submit(greeting, [self._on_connected, *[self._on_subscribed] * (commands - 1)])

    def turn_away(self) -> None:
        """There is no place. The call is held over the moment in which the end of the socket would orphan it."""
        self.lost = LinkLost("stopped", "no place")
        self._loop.call_later(_REFUSE_AFTER_S, self._transport.abort)

    def shut(self) -> None:
        """End the connection for both sides; from any thread. The event loop hears of it when it runs again."""
        fd = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
            sock.shutdown(socket.SHUT_RDWR)

    def close(self, kind: Kind, text: str) -> None:
        """Close the socket now. Never waits: FreeSWITCH would first wait for its background jobs to say good-bye."""
        if self.lost is not None:
            return
        lost = self.lost = LinkLost(kind, text)
        for timer in (self._deadline, self._stuffed):
            if timer is not None:
                timer.cancel()
        self._transport.abort()
        self.fail_waiters(lost)
        if self.session is not None:
            safely(self.session.on_lost)
        self._fail_apps(self.error_for(lost))
        self._listener.gone(self)

    def _by(self, seconds: float, kind: Kind, text: str) -> None:
        """Close after a time, and not when it was to be closed before."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.close, kind, text)

    def _on_connected(self, reply: Frame | Exception) -> None:
        if isinstance(reply, Exception):
            return
        channel = event_from_connect(reply)
        self._unique_id = channel.unique_id
        if not self._unique_id:
            self.close("broken", f"the reply to connect describes no call: {reply.text[:80]!r}")
            return
        self.accepted = True
        if self._deadline is not None:
            self._deadline.cancel()
        # At once: the events behind this reply must find the session.
        self._listener.on_call(self, channel)

    def begun(self) -> None:
        """The event loop serves the call."""
        self._listener.begun(self)

    def _on_subscribed(self, reply: Frame | Exception) -> None:
        if isinstance(reply, Frame) and not reply.text.startswith("+OK"):
            _log.error("outbound_socket_limited", reply=reply.text, expected="socket HOST:PORT async full")

    # -- commands ----------------------------------------------------------------------------------------------------

    def submit(self, data: bytes, waiters: Iterable[Waiter]) -> None:
        """Write whole commands in one piece, a waiter for each. Never blocks; failure is told to the waiters, in the next turn."""
        if (error := self.no_waiting()) is not None:
            for waiter in waiters:
                self._loop.call_soon(waiter, error)
            return
        self._waiters.extend(waiters)
        self._transport.write(data)

    def poke(self) -> None:
        """Make FreeSWITCH look for events now instead of within 20 ms: a bare newline, which it skips without a reply."""
        if self.lost is None and self._stuffed is None:
            self._transport.write(b"\n")

    def leave(self, data: bytes, before: int) -> None:
        """Write ``exit`` behind so many commands, and close when it is answered."""
        if self.leaving or self.lost is not None:
            return
        self.leaving = True
        self._by(_EXIT_TIMEOUT_S, "stopped", "the call was let go")
        self.submit(data, [*[ignore] * before, self._left])

    def _left(self, reply: Frame | Exception) -> None:
        self.close("stopped", "the call was let go")

    def execute(
        self,
        app_id: str,
        data: bytes,
        waiter: Callable[[Event | Exception], None],
        wait: bool,
    ) -> None:
        """Queue an application; ``waiter`` gets its completion, or with ``wait`` false an event without meaning at once."""
        if self._hangup_cause:
            self._loop.call_soon(waiter, CallGone(f"{self._unique_id}: {self._hangup_cause}"))
            return

        def on_reply(reply: Frame | Exception) -> None:
            if isinstance(reply, Frame) and reply.text.startswith("+OK"):
                if wait:
                    return
                result: Event | Exception = Event("CHANNEL_EXECUTE")
            else:
                result = CallGone(f"{self._unique_id}: {reply.text}") if isinstance(reply, Frame) else reply
            self._apps.pop(app_id, None)
            waiter(result)

        if wait:
            self._apps[app_id] = waiter
        self.submit(data, (on_reply,))

    def forget(self, app_id: str) -> None:
        """Nobody waits for the application any more."""
        self._apps.pop(app_id, None)

    # -- what comes --------------------------------------------------------------------------------------------------

    def on_events(self, events: list[Event]) -> None:
        over = False
        told = []
        for event in events:
            if event.name == "CHANNEL_EXECUTE_COMPLETE":
                waiter = self._apps.pop(event.application_id, None) if self._apps else None
                if waiter is not None:
                    waiter(event)
                continue
            told.append(event)
            if event.name == "CHANNEL_HANGUP" and event.unique_id == self._unique_id:
                self._hung_up(event.get("Hangup-Cause", "hung up"))
            elif event.name == "CHANNEL_HANGUP_COMPLETE" and event.unique_id == self._unique_id:
                over = True
        if told and self.session is not None:
            safely(self.session.on_events, told)
        if over:
            self.close("closed", "the call is over")

    def on_notice(self, frame: Frame) -> None:
        if self._lingering and not self._hangup_cause:
            self._hung_up("hung up")

    def on_malformed(self, frame: Frame) -> None:
        ESL_MALFORMED.labels("outbound").inc()
        if self._malformed_logged:
            return
        self._malformed_logged = True
        _log.error(
            "event_malformed", unique_id=self._unique_id, headers=frame.headers, start=repr(frame.body[:200])
        )

    def error_for(self, lost: LinkLost) -> Exception:
        return CallGone(f"{self._unique_id}: {self._hangup_cause or lost}")

    def _hung_up(self, cause: str) -> None:
        self._hangup_cause = cause
        if self.session is not None:  # first: who is failed next asks the session whether it was this
            safely(self.session.on_hangup)
        self._fail_apps(CallGone(f"{self._unique_id}: {cause}"))
        self._by(_LINGER_MAX_S, "closed", "the call is over")

    def _fail_apps(self, error: Exception) -> None:
        apps, self._apps = self._apps, {}
        for waiter in apps.values():
            waiter(error)


class Listener:
    """Takes calls, greets them, pokes them. ``on_call`` gets a link and its channel as soon as FreeSWITCH has described it."""

    def __init__(
        self,
        host: str,
        port: int,
        max_sessions: int,
        greeting: Sequence[str],
        on_call: Callable[[Link, Event], None],
    ) -> None:
        self.on_call = on_call
        self._address = (host, port)
        self._max_sessions = max_sessions
        self._greeting = b"".join(command(line) for line in greeting)
        self._commands = len(greeting)
        self._links: set[Link] = set()
        self._unbegun: set[Link] = set()
        self._fewer = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._guard: _Guard | None = None
        self._poker: asyncio.TimerHandle | None = None

    async def listen(self) -> int:
        """Listen; return the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), *self._address, backlog=_BACKLOG)
        sock = self._server.sockets[0]
        self._guard = _Guard(sock.fileno(), self._unbegun)
        self._guard.start()
        port: int = sock.getsockname()[1]
        return port

    def stop(self) -> None:
        """Take no more calls."""
        if self._guard is not None:
            self._guard.stop()
        if self._server is not None:
            self._server.close()

    async def close_all(self) -> None:
        """Close what is left, once FreeSWITCH has read its ``exit``; the calls go on in the dialplan."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_TIMEOUT_S):
                while any(link.leaving for link in self._links):
                    self._fewer.clear()
                    await self._fewer.wait()
        for link in tuple(self._links):
            link.close("stopped", "the service ends")
        if self._poker is not None:
            self._poker.cancel()

    def came(self, link: Link) -> None:
        """A call came in."""
        if len(self._links) >= self._max_sessions:
            ESL_REFUSED.labels("full").inc()
            _log.warning(
                "call_refused", reason="full", sessions=len(self._links), max_sessions=self._max_sessions
            )
            link.turn_away()
            return
        self._links.add(link)
        self._unbegun.add(link)
        ESL_SESSIONS.inc()
        if self._poker is None:
            self._poke()
        link.greet(self._greeting, self._commands)

    def begun(self, link: Link) -> None:
        """A call is served."""
        self._unbegun.discard(link)

    def gone(self, link: Link) -> None:
        """A socket is closed."""
        self._links.discard(link)
        self._unbegun.discard(link)
        self._fewer.set()
        ESL_SESSIONS.dec()
        if not link.accepted:
            ESL_REFUSED.labels("greeting").inc()
            _log.warning("call_refused", reason="greeting", detail=str(link.lost))

    def _poke(self) -> None:
        """Fetch events while few calls are here; a call's handler always waits for one."""
        share = max(_POKE_S, len(self._links) * _POKE_SHARE_S)
        if share < _POKE_USELESS_S:
            for link in self._links:
                link.poke()
        self._poker = (
            asyncio.get_running_loop().call_later(min(share, _LOOK_AGAIN_S), self._poke)
            if self._links
            else None
        )


class _Guard(threading.Thread):
    """Lets calls go that the event loop does not take, while it stands still."""

    def __init__(self, listening: int, unbegun: set[Link]) -> None:
        super().__init__(name="esl-guard", daemon=True)
        self._listening = socket.socket(fileno=os.dup(listening))
        self._unbegun = unbegun
        self._loop = asyncio.get_running_loop()
        self.still_s = 0.0
        """For how long the event loop has not run, as far as the guard has looked."""
        self._beats = 0
        self._ended = threading.Event()
        self._timer = self._loop.call_soon(self._beat)

    def _beat(self) -> None:
        self._beats += 1
        self._timer = self._loop.call_later(_LOOK_S / 2, self._beat)

    def stop(self) -> None:
        """Look no more; from the event loop."""
        self._timer.cancel()
        self._ended.set()

    def run(self) -> None:
        """The thread."""
        with self._listening:
            beats = self._beats
            # Counted in looks, not by the clock: whoever was stopped, or slept with the machine, did not stand still.
            while not self._ended.wait(_LOOK_S):
                self.still_s = 0.0 if self._beats != beats else self.still_s + _LOOK_S
                beats = self._beats
                if self.still_s >= _SLOW_S:
                    self._turn_away()
                if self.still_s >= _BEGIN_S:
                    for link in tuple(self._unbegun):
                        self._refused()
                        link.shut()

    def _turn_away(self) -> None:
        taken = []
        with contextlib.suppress(OSError):  # nobody is left, or the event loop runs again and has closed it
            while True:
                taken.append(self._listening.accept()[0])
        if taken:
            time.sleep(_REFUSE_AFTER_S)
        for sock in taken:
            self._refused()
            sock.close()

    def _refused(self) -> None:
        ESL_REFUSED.labels("slow").inc()
        _log.error("call_refused", reason="slow", event_loop_stands_still_for_s=self.still_s)


def ignore(reply: Frame | Exception) -> None:
    """Take a reply that decides nothing."""


def safely(do: Callable[..., object], *args: object) -> None:
    """Tell somebody; what goes wrong there is logged, and is not the socket's end."""
    try:
        do(*args)
    except Exception:
        _log.exception("delivery_failed", call=getattr(do, "__qualname__", repr(do)))
