"""Sockets of calls that FreeSWITCH hands to us, in the hub's thread; ``server`` says what is known of them.

A `Link` belongs to one call, the `Listener` accepts them and pokes: FreeSWITCH looks for events every 20 ms, or when a newline comes.
Nothing of a call waits here, so it has no greenlet: it is read where libev says that there is something, and has one timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any
from typing import Protocol as Port

import gevent
import structlog
from gevent.server import StreamServer
from greenswitch import esl as greenswitch
from prometheus_client import Counter, Gauge

from services.common.errors import CallGone, ProtocolError
from services.common.esl.hub import GeventHub
from services.common.esl.protocol import Decoder, Event, Frame, command, event_from_connect
from services.common.esl.transport import LinkLost, Protocol
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
# While one waits for so long, further calls are turned away.
_SLOW_S = 1.0
# After CHANNEL_HANGUP the rest takes milliseconds; a socket that lingers for longer would hold a session of the switch.
_LINGER_MAX_S = 5.0
_EXIT_TIMEOUT_S = 2.0
# After CHANNEL_HANGUP the rest takes milliseconds; a socket that lingers for longer would hold a session of the switch.
_LINGER_MAX_S = 5.0
# At most five hundred pokes a second in all: two calls each 5 ms, five calls each 10 ms, then none.
_POKE_S = 0.005
_POKE_SHARE_S = 0.002
_POKE_USELESS_S = 0.0101
_LOOK_AGAIN_S = 0.1
# Calls that began are forgotten when the next ones come, so many at a time.
_LOOKED_AT = 64
# Events are 3 to 12 KB; thousands of calls have a buffer each.
_BUFFER_BYTES = 16 << 10


class Session(Port):
    """Who serves the call, on the event loop."""

    def on_events(self, events: list[Event]) -> None: ...
    def on_hangup(self) -> None: ...
    def on_lost(self) -> None: ...


class Link(Protocol, greenswitch.OutboundSession):  # type: ignore[misc]
    """The call's socket, in the hub's thread."""

    def __init__(
        self,
        sock: Any,
        hub: GeventHub,
        accepted: Callable[[Link, Event], None],
        closed: Callable[[Link], None],
    ) -> None:
        # greenswitch's own constructor starts its reader on a buffered file at once
        greenswitch.ESLProtocol.__init__(self)
        self.sock = sock
        self.session: Session | None = None  # for the event loop's thread
        self.accepted = False
        """FreeSWITCH has told which call it is."""
        self.begun = False
        """Set by the event loop when it serves the call."""
        self._hub = hub
        self.leaving = False
        self._accepted = accepted
        self._unique_id = ""
        self._hangup_cause = ""
        self._malformed_logged = False
        self._apps: dict[str, Callable[[Event | Exception], None]] = {}
        self._on_closed = closed
        self._decoder = Decoder(_BUFFER_BYTES)
        self.connected = True
        self.set_up()
        # gevent's own methods would wait for what we know to be there; they are Python around these.
        self._receive = getattr(sock, "_sock", sock).recv_into
        self._deadline = gevent.get_hub().loop.timer(0)

    def greet(self, greeting: bytes, commands: int) -> None:
        """Send the greeting with one write, and begin to read."""
        self.submit(greeting, [self._on_connected, *[self._on_subscribed] * (commands - 1)])
        if self.lost is None:
            self._readable.start(self._read)
            self._by(_BEGIN_S, self._late)

    def _by(self, seconds: float, do: Callable[..., None], *args: str) -> None:
        """Do this after a time, instead of what was to be done then."""
        self._deadline.stop()
        self._deadline = gevent.get_hub().loop.timer(seconds)
        self._deadline.start(do, *args)

    def _late(self) -> None:
        if not self.accepted:
            self.close("silent", f"no reply to connect within {_BEGIN_S} s")
        elif not self.begun:
            ESL_REFUSED.labels("slow").inc()
            _log.error("call_refused", reason="slow", waited_s=_BEGIN_S)
            self.close("slow", "the event loop is busy")

    def _read(self) -> None:
        """Take what is there; called when there is something, until the socket is closed."""
        try:
            count = self._receive(self._decoder.space())
            if not count:
                cut = " in the middle of a frame" if self._decoder.pending else ""
                self.close("closed", (self._notice or "FreeSWITCH closed the connection") + cut)
                return
            self._take(self._decoder.received(count))
            if self._decoder.error is not None:
                raise self._decoder.error
        except BlockingIOError:
            return
        except ProtocolError as e:
            self.close("broken", str(e))
        except OSError as e:
            self.close("closed", f"{self._notice} {e}".strip())
        except Exception as e:
            _log.exception("outbound_socket_failed", unique_id=self._unique_id)
            self.close("broken", repr(e))

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

    def _on_subscribed(self, reply: Frame | Exception) -> None:
        if isinstance(reply, Frame) and not reply.text.startswith("+OK"):
            _log.error("outbound_socket_limited", reply=reply.text, expected="socket HOST:PORT async full")

    def leave(self, data: bytes, before: int) -> None:
        """Write ``exit`` behind so many commands, and close when it is answered."""
        if self.leaving:
            return
        self.leaving = True
        self.submit(data, [*[ignore] * before, self._left])
        if self.lost is None:
            self._by(_EXIT_TIMEOUT_S, self.close, "stopped", "the call was let go")

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
        if told:
            self._hub.deliver(self._to_session, told)
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
        self._deadline.stop()
        self._deadline.close()
        self._hub.deliver(self._session_over)
        self._fail_apps(self.error_for(lost))
        self._on_closed(self)

    def error_for(self, lost: LinkLost) -> Exception:
        return CallGone(f"{self._unique_id}: {self._hangup_cause or lost}")

    def _hung_up(self, cause: str) -> None:
        self._hangup_cause = cause
        self._hub.deliver(
            self._session_hung_up
        )  # first: who is failed next asks the session whether it was this
        self._fail_apps(CallGone(f"{self._unique_id}: {cause}"))
        self._by(_LINGER_MAX_S, self.close, "closed", "the call is over")

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


class _Accepting(StreamServer):  # type: ignore[misc]
    """A server whose handler keeps the sockets."""

    def do_close(self, *args: object) -> None:
        """Who has a socket closes it."""


class Listener(greenswitch.OutboundESLServer):  # type: ignore[misc]
    """greenswitch's server with an accept loop that does not poll, in the hub's thread."""

    def __init__(
        self,
        host: str,
        port: int,
        max_sessions: int,
        greeting: Sequence[str],
        accepted: Callable[[Link, Event], None],
        hub: GeventHub,
    ) -> None:
        super().__init__(host, [port], accepted, max_sessions)
        self._greeting = b"".join(command(line) for line in greeting)
        self._commands = len(greeting)
        self._hub = hub
        self._links: set[Link] = set()
        self._unbegun: dict[Link, float] = {}
        self._poker: Any = None

    def listen(self) -> int:
        """Listen; return the port. Raises OSError."""
        self.server = _Accepting(
            (self.bind_address, self.bind_port[0]), self._handle, backlog=1024, spawn=None
        )
        self.server.start()
        port: int = self.server.server_port
        self.bound_port = port
        return port

    def stop(self) -> None:
        """Take no more calls."""
        if self.server is not None:
            self.server.stop()

    def close_all(self) -> None:
        """Close what is left, in a greenlet, once FreeSWITCH has read its ``exit``; the calls go on in the dialplan."""
        for link in tuple(self._links):
            if link.leaving:
                link.closed.wait(_EXIT_TIMEOUT_S)
            link.close("stopped", "the service ends")

    def _handle(self, sock: Any, address: object) -> None:
        if reason := self._no_place():
            ESL_REFUSED.labels(reason).inc()
            _log.warning(
                "call_refused", reason=reason, sessions=len(self._links), max_sessions=self.max_connections
            )
            gevent.spawn_later(_REFUSE_AFTER_S, sock.close)
            return
        try:
            link = Link(sock, self._hub, self.application, self._closed)
        except OSError as e:  # gone already
            _log.info("call_gone_at_once", peer=str(address), reason=str(e))
            sock.close()
            return
        self._links.add(link)
        self._unbegun[link] = time.monotonic()
        ESL_SESSIONS.inc()
        if not self._poker:
            self._poker = gevent.spawn(self._poke)
        link.greet(self._greeting, self._commands)

    def _closed(self, link: Link) -> None:
        self._links.discard(link)
        self._unbegun.pop(link, None)
        ESL_SESSIONS.dec()
        if not link.accepted:
            ESL_REFUSED.labels("greeting").inc()
            _log.warning("call_refused", reason="greeting", detail=str(link.lost))

    def _no_place(self) -> str:
        """Why a call is turned away; empty when it is not."""
        if len(self._links) >= self.max_connections:
            return "full"
        now = time.monotonic()
        for link, since in list(islice(self._unbegun.items(), _LOOKED_AT)):
            if not link.begun:
                return "slow" if now - since > _SLOW_S else ""
            del self._unbegun[link]
        return ""

    def _poke(self) -> None:
        """Fetch events while few calls are here; a call's handler always waits for one."""
        while self._links:
            share = max(_POKE_S, len(self._links) * _POKE_SHARE_S)
            gevent.sleep(min(share, _LOOK_AGAIN_S))
            if share < _POKE_USELESS_S:
                for link in self._links:
                    link.poke()


def ignore(reply: Frame | Exception) -> None:
    """Take a reply that decides nothing."""
