"""Calls that FreeSWITCH hands to us: the outbound event socket. Theory of operation.

The dialplan's ``socket`` application connects here, once for each call. A call is one socket and one coroutine on the event
loop. What was measured and holds here:

* FreeSWITCH says nothing first, and answers nothing before ``connect``; the rest of the greeting goes in the same write.
* ``linger`` keeps the socket open past the hangup (without it CHANNEL_HANGUP_COMPLETE was lost in 27 of 30 calls), and keeps
  the channel itself alive until we close: so we close as soon as that event is there.
* After the hangup ``sendmsg`` answers ``+OK`` and runs nothing: whoever waits is told at CHANNEL_HANGUP.
* A socket that dies within a millisecond of ``connect`` may leave the call orphaned (14 of 20 without ``socket_resume``);
  after two it never did. So a refusal comes a moment late.
* The answer to ``exit`` is awaited before the socket is closed: a reset would throw away commands that FreeSWITCH has not read yet.
* ``myevents`` subscribes 23 kinds of events, of 3 to 12 KB each; a call in a menu has about forty of them, and needs seven. What nobody
  asked for is taken out by ``nixevent`` in the same greeting: FreeSWITCH then neither writes nor sends it. (``noevents`` would also throw
  away what is queued, the end of the call among it.)
* FreeSWITCH looks for events every 20 ms, or when a newline comes. Twenty milliseconds after a key are nothing to a caller, and newlines cost:
  they are sent while hardly anybody else is here.

Whatever becomes of the coroutine, it ends in letting the call go: the dialplan has the next action, and no caller is
hung up on because of us.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, overload

import structlog

from services.common.errors import CallGone
from services.common.esl.hub import fail, resolve, within
from services.common.esl.link import Link, Listener, ignore, safely
from services.common.esl.protocol import Event, Frame, command, sendmsg
from services.common.esl.quoting import setvar_multi

_log = structlog.get_logger(__name__)

# Events nobody fetches. A call has about 50; more than this is a handler that has stopped reading.
_MAX_UNREAD = 1_000
# What the session itself needs.
_NEEDED = ("CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE")
# What ``myevents`` subscribes (mod_event_socket.c, parse_command).
_MYEVENTS = """CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY CHANNEL_EXECUTE
    CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_OUTGOING
    CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNPARK
    DETECTED_SPEECH DTMF NOTALK TALK"""


class OutboundServer:
    """Accepts calls from the ``socket`` application and runs ``on_session`` for each.

    Above ``max_sessions``, and while the event loop is behind, a call is turned away, and the dialplan goes on. Its own ``events`` reach a session, its hangup, and nothing else.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_session: Callable[[OutboundSession], Awaitable[None]],
        *,
        max_sessions: int,
        events: Sequence[str],
    ) -> None:
        self._on_session = on_session
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = Listener(host, port, max_sessions, self._greeting(events), self._on_call)

    @staticmethod
    def _greeting(events: Sequence[str]) -> list[str]:
        lines = ["connect", "linger", "myevents json"]
        # Alone it is what limits all that follows to this call; of its own list hardly anything is wanted.
        mine = _MYEVENTS.split()
        lines.append("nixevent " + " ".join(name for name in mine if name not in (*_NEEDED, *events)))
        # Behind the word CUSTOM everything is a subclass, so it is for the caller to have it last.
        beside = [name for name in events if name not in mine]
        return [*lines, "event json " + " ".join(beside)] if beside else lines

    @property
    def sessions(self) -> int:
        """Calls whose coroutine runs."""
        return len(self._tasks)

    async def start(self) -> int:
        """Listen; return the port. Raises OSError if the address cannot be had."""
        port = await self._listener.listen()
        _log.info("outbound_socket_listens", port=port)
        return port

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, wait ``grace_s`` seconds for those under way, then let the rest go on in the dialplan."""
        self._listener.stop()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # They have been told to leave; those that FreeSWITCH does not answer are closed all the same.
        await self._listener.close_all()

    def _on_call(self, link: Link, channel: Event) -> None:
        session = OutboundSession(link, channel)
        link.session = session
        task = asyncio.get_running_loop().create_task(
            self._run(session, link), name=f"call-{session.unique_id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, session: OutboundSession, link: Link) -> None:
        link.begun()
        try:
            await self._on_session(session)
        except CallGone as e:
            _log.info("session_ended_by_caller", unique_id=session.unique_id, reason=str(e))
        except Exception:
            _log.exception("session_failed", unique_id=session.unique_id)
        finally:
            session.leave()


class OutboundSession:
    """One call. ``channel`` is the call as it was when it was handed to us, with all its variables."""

    def __init__(self, link: Link, channel: Event) -> None:
        self.channel = channel
        self.unique_id = channel.unique_id
        self.hung_up = False
        self.ended = False
        self._left = False
        self._apps = 0
        self._link = link
        self._unread: deque[Event] = deque(maxlen=_MAX_UNREAD)
        self._news = asyncio.Event()
        self._overflow_logged = False
        self._on_event: Callable[[Event], None] | None = None
        self._on_over: Callable[[], None] | None = None

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

    def listen(self, on_event: Callable[[Event], None], on_over: Callable[[], None]) -> None:
        """Have the call's events told, in order, instead of kept; ``on_over`` when there will be no more, even now."""
        self._on_event, self._on_over = on_event, on_over
        while self._unread:
            on_event(self._unread.popleft())
        if self.ended:
            on_over()

    def on_events(self, events: list[Event]) -> None:
        """Take events that the socket delivered."""
        if self._on_event is not None:
            for event in events:
                self._on_event(event)
            return
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
        if self._on_over is not None:
            self._on_over()

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
        app_id = self._app_id()
        data = sendmsg(app, arg, app_id, event_lock=event_lock)
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._link.execute(app_id, data, partial(_settle, future), wait)
        try:
            event = await within(future, timeout_s, f"{self.unique_id}: {app}")
        finally:
            if not future.done() or future.cancelled():
                self._link.forget(app_id)
        return event if wait else None

    def run(self, app: str, arg: str, done: Callable[[Event | Exception], None] | None = None) -> None:
        """Queue an application behind those before it; ``done`` gets its CHANNEL_EXECUTE_COMPLETE, or why there will be none.

        Without ``done`` nobody hears of it again. Raises UnsafeCommandError.
        """
        app_id = self._app_id()
        data = sendmsg(app, arg, app_id, event_lock=True)
        if done is None:
            self._link.submit(data, (ignore,))
        else:
            self._link.execute(app_id, data, partial(safely, done), True)

    def _app_id(self) -> str:
        # Completions come to this socket only, so it is enough that no two of its applications have the same.
        self._apps += 1
        return f"{self.unique_id}.{self._apps}"

    async def api(self, command_line: str, *, timeout_s: float = 5.0) -> str:
        """Run an API command on the call's own socket; return its text. Raises CallGone, SwitchTimeout."""
        data = command(f"api {command_line}")
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._link.submit(data, (partial(_settle, future),))
        return (await within(future, timeout_s, f"{self.unique_id}: {command_line}")).text

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Set channel variables (an empty value unsets) at once, whatever runs on the channel; nobody waits for the answer.

        Raises UnsafeCommandError.
        """
        data = command(f"api uuid_setvar_multi {self.unique_id} {setvar_multi(variables)}")
        self._link.submit(data, (ignore,))

    def break_off(self) -> None:
        """Break off the application that runs; nobody waits for the answer: its end is the answer."""
        self._link.submit(command(f"api uuid_break {self.unique_id}"), (ignore,))

    def set_and_tell(
        self,
        variables: Mapping[str, str],
        subclass: str,
        headers: Mapping[str, str],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Set channel variables (an empty value unsets), then fire a CUSTOM event with these headers, both in one write.

        Unlike an application it does not wait for the channel's 20 ms clock, nor for what runs on the channel. The headers must
        not have ``Unique-ID``: FreeSWITCH would keep such an event for the channel's own thread. ``done`` gets None when FreeSWITCH
        has set them, else CallGone. Raises UnsafeCommandError.
        """
        data = command(f"api uuid_setvar_multi {self.unique_id} {setvar_multi(variables)}")
        data += command("sendevent CUSTOM", {"Event-Subclass": subclass, **headers})

        def answered(reply: Frame | Exception) -> None:
            if isinstance(reply, Frame):
                text = reply.text
                done(CallGone(f"{self.unique_id}: {text.strip()}") if text.startswith("-") else None)
            else:
                done(reply)

        self._link.submit(data, (partial(safely, answered), ignore))

    def leave(self, *applications: tuple[str, str]) -> None:
        """Let the call go on in the dialplan; nothing happens if it is gone.

        ``applications`` (name and argument) are queued before it in the same write, such as the ``multiset`` of a hand-over.
        The socket is closed when FreeSWITCH has read all of it: a reset would throw away what it has not.
        """
        if self.ended or self._left:
            return
        self._left = True
        commands = [sendmsg(app, arg, self._app_id(), event_lock=True) for app, arg in applications]
        self._link.leave(b"".join([*commands, command("exit")]), len(commands))


def _settle(future: asyncio.Future[Any], result: object) -> None:
    """Give a future what a waiter is told."""
    if isinstance(result, Exception):
        fail(future, result)
    else:
        resolve(future, result)
