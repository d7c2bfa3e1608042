"""What a frame from FreeSWITCH means to one connection, whoever reads the socket: which waiter a reply is for, and what is an event.

FreeSWITCH answers in the order of the commands and says nothing else of which answer is whose. So whoever has given up leaves the
waiter in the FIFO as a tombstone that swallows the late reply; otherwise every later reply would go to the wrong caller. When
the socket is lost, for whatever reason, all waiters fail at once.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Literal

from services.common.errors import ProtocolError, SwitchUnavailable
from services.common.esl.protocol import Event, Frame

# What a waiter is told: the reply, or why none will come.
Waiter = Callable[[Frame | Exception], None]
Kind = Literal[
    "no_listener",
    "unreachable",
    "silent",
    "denied",
    "rejected",
    "closed",
    "broken",
    "backlog",
    "stopped",
    "resync",
    "slow",
]

SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    # A host that vanished while we send is noticed in 10 s, not after 15 minutes of retransmissions.
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)
# A peer that takes nothing for so long is dead or frozen; our callers have given up before.
WRITE_TIMEOUT_S = 10.0
# With tombstones counted; beyond it the switch answers nothing and more commands make it only worse.
MAX_WAITERS = 10_000


class LinkLost(Exception):
    """The socket could not be opened, or is gone. ``kind`` tells cases apart, the text is for people."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


class Replies:
    """Frames to waiters and events. A mixin: who uses it has the socket, and sets the attributes when it has one."""

    lost: LinkLost | None
    _waiters: deque[Waiter]
    _notice: str
    _lingering: bool

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def close(self, kind: Kind, text: str) -> None:
        """Close the socket now."""
        raise NotImplementedError

    def on_events(self, events: list[Event]) -> None:
        """Take events, in order of arrival. Must not block."""
        raise NotImplementedError

    def on_auth_request(self) -> None:
        """FreeSWITCH asks who we are."""

    def on_notice(self, frame: Frame) -> None:
        """Take a ``text/disconnect-notice``; the end of the socket follows, unless it is about lingering."""

    def on_malformed(self, frame: Frame) -> None:
        """Take a frame whose event could not be read."""

    def on_lost(self, lost: LinkLost) -> None:
        """Learn that the socket is closed; called once, after all waiters have failed."""

    def error_for(self, lost: LinkLost) -> Exception:
        """What waiters get when the socket is lost."""
        return SwitchUnavailable(str(lost))

    # -- what came ---------------------------------------------------------------------------------------------------

    def _take(self, items: list[Frame | Event]) -> None:
        events: list[Event] = []
        for item in items:
            if isinstance(item, Event):
                events.append(item)
                continue
            if self.lost is not None:
                return
            if events:
                self.on_events(events)
                events = []
            self.handle_event(item)
        if events and self.lost is None:
            self.on_events(events)

    def handle_event(self, frame: Frame) -> None:
        """Take a frame that is no event. Raises ProtocolError for a reply that nobody asked for."""
        kind = frame.content_type
        if kind == "command/reply" or kind == "api/response":
            if not self._waiters:
                raise ProtocolError(f"a reply that nobody asked for: {frame.text[:80]!r}")
            self._waiters.popleft()(frame)
        elif kind == "auth/request":
            self.on_auth_request()
        elif kind == "text/rude-rejection":
            self.close("rejected", frame.body.decode("utf-8", "replace").strip() or "access denied")
        elif kind == "text/disconnect-notice":
            if frame.headers.get("Content-Disposition") == "linger":
                self._lingering = True
            else:
                self._notice = " ".join(frame.body.decode("utf-8", "replace").split())
            self.on_notice(frame)
        elif kind.startswith("text/event-"):
            self.on_malformed(frame)

    # -- what waits --------------------------------------------------------------------------------------------------

    def no_waiting(self) -> Exception | None:
        """Why no command can be sent now."""
        if self.lost is not None:
            return self.error_for(self.lost)
        if len(self._waiters) > MAX_WAITERS:
            return self.error_for(LinkLost("silent", f"more than {MAX_WAITERS} commands without an answer"))
        return None

    def fail_waiters(self, lost: LinkLost) -> None:
        """Tell all who wait that there will be no reply."""
        waiters, self._waiters = self._waiters, deque()
        error = self.error_for(lost)
        for waiter in waiters:
            waiter(error)
