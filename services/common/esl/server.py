"""Calls that FreeSWITCH hands to us: the outbound event socket. Theory of operation.

The dialplan's ``socket`` application connects here, once for each call. A call is one greenswitch session in the hub's
thread and one coroutine on the event loop. What was measured and holds here:

* FreeSWITCH says nothing first, and answers nothing before ``connect``; the rest of the greeting goes in the same write.
* ``linger`` keeps the socket open past the hangup (without it CHANNEL_HANGUP_COMPLETE was lost in 27 of 30 calls), and keeps
  the channel itself alive until we close: so we close as soon as that event is there.
* After the hangup ``sendmsg`` answers ``+OK`` and runs nothing: whoever waits is told at CHANNEL_HANGUP.
* A socket that dies within a millisecond of ``connect`` may leave the call orphaned (14 of 20 without ``socket_resume``);
  after two it never did. So a refusal comes a moment late.
* ``exit`` is awaited before the socket is closed: a reset would throw away commands that FreeSWITCH has not read yet.

Whatever becomes of the coroutine, it ends in letting the call go: the dialplan has the next action, and no caller is
hung up on because of us.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, overload

import gevent
import structlog
from gevent.server import StreamServer
from greenswitch import esl as greenswitch
from prometheus_client import Counter, Gauge

from services.common.errors import CallGone, SwitchUnavailable
from services.common.esl.hub import GeventHub, within
from services.common.esl.protocol import Event, Frame, command, event_from_connect, sendmsg
from services.common.esl.quoting import setvar_multi
from services.common.esl.transport import LinkLost, Protocol, Waiter
from services.common.ids import new_id
from services.common.metrics import ESL_MALFORMED

_log = structlog.get_logger(__name__)

# Calls we hold. Near the limit the next ones go on in the dialplan without us: start another copy of the service.
ESL_SESSIONS = Gauge("peyvand_esl_sessions", "Calls whose outbound socket is open")
# Calls that found no place, or whose greeting failed. Each one went on to the dialplan's next action.
ESL_REFUSED = Counter(
    "peyvand_esl_sessions_refused_total", "Outbound sockets that were turned away", ["reason"]
)

_GREETING_TIMEOUT_S = 5.0
_REFUSE_AFTER_S = 0.02
# After CHANNEL_HANGUP the rest takes milliseconds; a socket that lingers for longer would hold a session of the switch.
_LINGER_MAX_S = 5.0
_EXIT_TIMEOUT_S = 2.0
# Events nobody fetches. A call has about 50; more than this is a handler that has stopped reading.
_MAX_UNREAD = 1_000
# A poke costs some microseconds here, and FreeSWITCH looks by itself every 20 ms: so more calls, fewer pokes for each.
_POKE_S = 0.005
_POKE_SHARE_S = 0.000_25
_POKE_USELESS_S = 0.02


class OutboundServer:
    """Accepts calls from the ``socket`` application and runs ``on_session`` for each.

    Above ``max_sessions`` a call is turned away, and the dialplan goes on. ``events`` are subscribed beside those of
    ``myevents``, which lacks the RECORD, PLAYBACK and HOLD events.
    """

    def __init__(
        self,
        hub: GeventHub,
        host: str,
        port: int,
        on_session: Callable[[OutboundSession], Awaitable[None]],
        *,
        max_sessions: int,
        events: Sequence[str] = ("RECORD_STOP",),
    ) -> None:
        self._hub = hub
        self._on_session = on_session
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = _Listener(host, port, max_sessions, self._greeting(events), self._accepted, hub)

    @staticmethod
    def _greeting(events: Sequence[str]) -> list[str]:
        lines = ["connect", "linger", "myevents json"]
        return [*lines, "event json " + " ".join(events)] if events else lines

    @property
    def sessions(self) -> int:
        """Calls whose coroutine runs."""
        return len(self._tasks)

    async def start(self) -> int:
        """Listen; return the port. Raises OSError if the address cannot be had."""
        port: int = await self._hub.call(self._listener.listen)
        _log.info("outbound_socket_listens", port=port)
        return port

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, wait ``grace_s`` seconds for those under way, then let the rest go on in the dialplan."""
        await self._hub.call(self._listener.stop)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hub.call(self._listener.close_all)

    def _accepted(self, link: _Link, channel: Event) -> None:
        session = OutboundSession(self._hub, link, channel)
        link.session = session
        task = asyncio.get_running_loop().create_task(self._run(session), name=f"call-{session.unique_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, session: OutboundSession) -> None:
        try:
            await self._on_session(session)
        except CallGone as e:
            _log.info("session_ended_by_caller", unique_id=session.unique_id, reason=str(e))
        except Exception:
            _log.exception("session_failed", unique_id=session.unique_id)
        finally:
            await session.exit()


class OutboundSession:
    """One call. ``channel`` is the call as it was when it was handed to us, with all its variables."""

    def __init__(self, hub: GeventHub, link: _Link, channel: Event) -> None:
        self.channel = channel
        self.unique_id = channel.unique_id
        self.hung_up = False
        self.ended = False
        self._hub = hub
        self._link = link
        self._unread: deque[Event] = deque(maxlen=_MAX_UNREAD)
        self._news = asyncio.Event()
        self._overflow_logged = False

    # -- events ------------------------------------------------------------------------------------------------------

    @property
    def events(self) -> AsyncIterator[Event]:
        """The call's events, in order, until it is hung up or the socket is closed."""
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Event]:
        while (event := await self.next_event()) is not None:
            yield event

    async def next_event(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when ``timeout_s`` is over or, with ``ended`` set, when there will be no more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._unread and not self.ended:
                    self._news.clear()
                    await self._news.wait()
        return self._unread.popleft() if self._unread else None

    def on_events(self, events: list[Event]) -> None:
        """Take events that the socket delivered."""
        if len(self._unread) + len(events) > _MAX_UNREAD and not self._overflow_logged:
            self._overflow_logged = True
            _log.error("session_events_unread", unique_id=self.unique_id, dropped="the oldest")
        self._unread.extend(events)
        self._news.set()

    def on_hangup(self) -> None:
        """Learn that the call is hung up; events may still follow."""
        self.hung_up = True

    def on_lost(self) -> None:
        """Learn that no event will follow."""
        self.ended = True
        self._news.set()

    # -- commands ----------------------------------------------------------------------------------------------------

    @overload
    async def execute(
        self,
        app: str,
        arg: str = "",
        *,
        event_lock: bool = True,
        wait: Literal[True] = True,
        timeout_s: float | None = None,
    ) -> Event: ...
    @overload
    async def execute(
        self, app: str, arg: str = "", *, event_lock: bool = True, wait: bool, timeout_s: float | None = None
    ) -> Event | None: ...
    async def execute(
        self,
        app: str,
        arg: str = "",
        *,
        event_lock: bool = True,
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Event | None:
        """Run an application on the call; return its CHANNEL_EXECUTE_COMPLETE, or with ``wait=False`` None once it is queued.

        ``event_lock`` makes it wait for the application before it; never set it for music or anything endless. ``arg`` is
        expanded: neutralise untrusted text. Raises CallGone when the call is hung up or the socket is closed,
        SwitchTimeout after ``timeout_s``, UnsafeCommandError.
        """
        app_id = new_id()
        data = sendmsg(app, arg, app_id, event_lock=event_lock)
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._hub.post(self._link.execute, app_id, data, self._hub.waiter(future), wait)
        try:
            event = await within(future, timeout_s, f"{self.unique_id}: {app}")
        finally:
            if not future.done() or future.cancelled():
                self._hub.post(self._link.forget, app_id)
        return event if wait else None

    async def api(self, command_line: str, *, timeout_s: float = 5.0) -> str:
        """Run an API command on the call's own socket; return its text. Raises CallGone, SwitchTimeout."""
        data = command(f"api {command_line}")
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._hub.post(self._link.submit, data, (self._hub.waiter(future),))
        return (await within(future, timeout_s, f"{self.unique_id}: {command_line}")).text

    async def set_and_tell(
        self,
        variables: Mapping[str, str],
        subclass: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float = 5.0,
    ) -> None:
        """Set channel variables (an empty value unsets), then fire a CUSTOM event with these headers, both in one write.

        Unlike an application it does not wait for the channel's 20 ms clock, nor for what runs on the channel. The headers must
        not have ``Unique-ID``: FreeSWITCH would keep such an event for the channel's own thread. Raises CallGone,
        SwitchTimeout, UnsafeCommandError.
        """
        what = f"uuid_setvar_multi {self.unique_id}"
        data = command(f"api {what} {setvar_multi(variables)}")
        data += command("sendevent CUSTOM", {"Event-Subclass": subclass, **headers})
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._hub.post(self._link.submit, data, (self._hub.waiter(future), _ignore))
        text = (await within(future, timeout_s, f"{self.unique_id}: {what}")).text
        if text.startswith("-"):
            raise CallGone(f"{self.unique_id}: {text.strip()}")

    async def exit(self, *applications: tuple[str, str]) -> None:
        """Let the call go on in the dialplan; nothing happens if it is gone.

        ``applications`` (name and argument) are queued before it in the same write, such as the ``multiset`` of a hand-over.
        """
        if self.ended:
            return
        commands = [sendmsg(app, arg, new_id(), event_lock=True) for app, arg in applications]
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        waiters: list[Waiter] = [_ignore] * len(commands)
        data = b"".join([*commands, command("exit")])
        self._hub.post(self._link.submit, data, [*waiters, self._hub.waiter(future)])
        with contextlib.suppress(CallGone, SwitchUnavailable):
            await within(future, _EXIT_TIMEOUT_S, f"{self.unique_id}: exit")
        self._hub.post(self._link.close, "stopped", "the call was let go")


class _Link(Protocol, greenswitch.OutboundSession):  # type: ignore[misc]
    """The call's socket, in the hub's thread."""

    def __init__(self, sock: Any, hub: GeventHub, accepted: Callable[[_Link, Event], None]) -> None:
        # greenswitch's own constructor starts its reader on a buffered file at once
        greenswitch.ESLProtocol.__init__(self)
        self.sock = sock
        self.session: OutboundSession | None = None  # for the event loop's thread
        self.greeted = gevent.event.Event()
        self.accepted = False
        self._hub = hub
        self._accepted = accepted
        self._unique_id = ""
        self._hangup_cause = ""
        self._malformed_logged = False
        self._apps: dict[str, Callable[[Event | Exception], None]] = {}
        self.connected = True
        self.start_event_handlers()

    def greet(self, lines: Sequence[str]) -> None:
        """Send the greeting with one write. ``greeted`` is set when FreeSWITCH has told which call it is."""
        self.submit(
            b"".join(command(line) for line in lines),
            [self._on_connected, *[self._on_subscribed] * (len(lines) - 1)],
        )

    def _on_connected(self, reply: Frame | Exception) -> None:
        # Here, in the reader: the events behind this reply must find the session.
        if isinstance(reply, Exception):
            return
        channel = event_from_connect(reply)
        self._unique_id = channel.unique_id
        if not self._unique_id:
            self.close("broken", f"the reply to connect describes no call: {reply.text[:80]!r}")
            return
        self.accepted = True
        self._hub.deliver(self._accepted, self, channel)
        self.greeted.set()

    def _on_subscribed(self, reply: Frame | Exception) -> None:
        if isinstance(reply, Frame) and not reply.text.startswith("+OK"):
            _log.error("outbound_socket_limited", reply=reply.text, expected="socket HOST:PORT async full")

    def execute(
        self, app_id: str, data: bytes, waiter: Callable[[Event | Exception], None], wait: bool
    ) -> None:
        """Queue an application; ``waiter`` gets its completion, or with ``wait`` false an event without meaning at once."""
        if self._hangup_cause:
            waiter(CallGone(f"{self._unique_id}: {self._hangup_cause}"))
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

    def on_events(self, events: list[Event]) -> None:
        over = False
        for event in events:
            if event.name == "CHANNEL_EXECUTE_COMPLETE":
                waiter = self._apps.pop(event.application_id, None)
                if waiter is not None:
                    waiter(event)
            elif event.name == "CHANNEL_HANGUP" and event.unique_id == self._unique_id:
                self._hung_up(event.get("Hangup-Cause", "hung up"))
            elif event.name == "CHANNEL_HANGUP_COMPLETE" and event.unique_id == self._unique_id:
                over = True
        self._hub.deliver(self._to_session, events)
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

    def on_lost(self, lost: LinkLost) -> None:
        self.greeted.set()
        self._hub.deliver(self._session_over)
        self._fail_apps(self.error_for(lost))

    def error_for(self, lost: LinkLost) -> Exception:
        return CallGone(f"{self._unique_id}: {self._hangup_cause or lost}")

    def _hung_up(self, cause: str) -> None:
        self._hangup_cause = cause
        self._hub.deliver(
            self._session_hung_up
        )  # first: who is failed next asks the session whether it was this
        self._fail_apps(CallGone(f"{self._unique_id}: {cause}"))
        gevent.spawn_later(_LINGER_MAX_S, self.close, "closed", "the call is over")

    def _fail_apps(self, error: Exception) -> None:
        apps, self._apps = self._apps, {}
        for waiter in apps.values():
            waiter(error)

    # -- the event loop's thread -------------------------------------------------------------------------------------

    def _to_session(self, events: list[Event]) -> None:
        if self.session is not None:
            self.session.on_events(events)

    def _session_over(self) -> None:
        if self.session is not None:
            self.session.on_lost()

    def _session_hung_up(self) -> None:
        if self.session is not None:
            self.session.on_hangup()


class _Listener(greenswitch.OutboundESLServer):  # type: ignore[misc]
    """greenswitch's server with an accept loop that does not poll, in the hub's thread."""

    def __init__(
        self,
        host: str,
        port: int,
        max_sessions: int,
        greeting: Sequence[str],
        accepted: Callable[[_Link, Event], None],
        hub: GeventHub,
    ) -> None:
        super().__init__(host, [port], accepted, max_sessions)
        self._greeting = greeting
        self._hub = hub
        self._links: set[_Link] = set()
        self._poker: Any = None

    def listen(self) -> int:
        """Listen; return the port. Raises OSError."""
        self.server = StreamServer((self.bind_address, self.bind_port[0]), self._handle, backlog=1024)
        self.server.start()
        port: int = self.server.server_port
        self.bound_port = port
        return port

    def stop(self) -> None:
        """Take no more calls."""
        if self.server is not None:
            self.server.stop()

    def close_all(self) -> None:
        """Close what is left; the calls go on in the dialplan."""
        for link in tuple(self._links):
            link.close("stopped", "the service ends")

    def _handle(self, sock: Any, address: object) -> None:
        # StreamServer closes the socket when this returns
        if len(self._links) >= self.max_connections:
            ESL_REFUSED.labels("full").inc()
            _log.warning("call_refused", reason="full", max_sessions=self.max_connections)
            gevent.sleep(_REFUSE_AFTER_S)
            return
        link = _Link(sock, self._hub, self.application)
        self._links.add(link)
        ESL_SESSIONS.inc()
        try:
            link.greet(self._greeting)
            if not link.greeted.wait(_GREETING_TIMEOUT_S):
                link.close("silent", f"no reply to connect within {_GREETING_TIMEOUT_S} s")
            if not link.accepted:
                ESL_REFUSED.labels("greeting").inc()
                _log.warning("call_refused", reason="greeting", peer=str(address), detail=str(link.lost))
            elif not self._poker:
                self._poker = gevent.spawn(self._poke)
            link.closed.wait()
        finally:
            self._links.discard(link)
            ESL_SESSIONS.dec()

    def _poke(self) -> None:
        """Fetch events for all calls; a call's handler always waits for one."""
        while self._links:
            share = max(_POKE_S, len(self._links) * _POKE_SHARE_S)
            gevent.sleep(share)
            if share < _POKE_USELESS_S:
                for link in self._links:
                    link.poke()


def _ignore(reply: Frame | Exception) -> None:
    """Take a reply that decides nothing."""
