"""One socket to FreeSWITCH, in the hub's thread: greenswitch's session API over a reader and a writer of our own.

greenswitch 0.0.19 gives the classes and their lifecycle (``connect``, ``authenticate``, sessions, the server). Everything
that touches bytes is overridden, because each of these was reproduced with it: a caller's name becomes a header, one
odd byte or a missing Content-Type ends the reader for good, a cut connection leaves ``send`` waiting for ever, a large
command is sent in part, ``stop`` waits for background jobs, a silent peer blocks ``connect``.

The socket is non-blocking. A command is written where it is submitted, at once and whole; what the kernel does not take is
flushed by a greenlet, behind which later commands queue, so their bytes never mix. Waiters stand in a FIFO in the order of
the bytes (`replies`).
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import gevent
import gevent.event
import gevent.socket
from greenswitch import esl as greenswitch

from services.common.errors import ProtocolError, SwitchTimeout, SwitchUnavailable
from services.common.esl.protocol import Decoder, Frame, command
from services.common.esl.replies import SOCKET_OPTIONS, WRITE_TIMEOUT_S, Kind, LinkLost, Replies, Waiter

# A read of so much means that FreeSWITCH is ahead of us.
_BUSY_BYTES = 64 << 10


class Protocol(Replies):
    """Overrides for greenswitch's ESLProtocol; a mixin before one of its classes. Only for the hub's thread."""

    sock: Any
    connected: bool
    # When bytes came last, by the monotonic clock.
    heard_at: float
    _receive_events_greenlet: Any
    _auth_request_event: Any

    def on_auth_request(self) -> None:
        self._auth_request_event.set()

    # -- life --------------------------------------------------------------------------------------------------------

    def start_event_handlers(self) -> None:
        """Begin to read ``self.sock``, in a greenlet."""
        self.set_up()
        self._receive_events_greenlet = gevent.spawn(self.receive_events)

    def set_up(self) -> None:
        """Make ``self.sock`` ready for reading and writing."""
        self.sock.setblocking(False)
        for level, option, value in SOCKET_OPTIONS:
            self.sock.setsockopt(level, option, value)
        self._waiters: deque[Waiter] = deque()
        self._unsent: deque[bytes] = deque()
        self._notice = ""
        self.lost: LinkLost | None = None
        self.heard_at = time.monotonic()
        self.closed = gevent.event.Event()
        hub_loop = gevent.get_hub().loop
        self._readable = hub_loop.io(self.sock.fileno(), 1)
        self._writable = hub_loop.io(self.sock.fileno(), 2)
        self._flusher: Any = None
        self._receive_events_greenlet = None

    def close(self, kind: Kind, text: str) -> None:
        """Close the socket now. Never waits: FreeSWITCH would first wait for its background jobs to say good-bye."""
        if self.lost is not None:
            return
        lost = self.lost = LinkLost(kind, text)
        self.connected = False
        current = gevent.getcurrent()
        for greenlet in (self._receive_events_greenlet, self._flusher):
            if greenlet is not None and greenlet is not current:
                greenlet.kill(block=False)
        for watcher in (self._readable, self._writable):
            watcher.stop()
            watcher.close()
        self.sock.close()
        self._unsent.clear()
        self.fail_waiters(lost)
        self._auth_request_event.set()
        self.closed.set()
        self.on_lost(lost)

    def stop(self) -> None:
        """Close the socket on our own wish."""
        self.close("stopped", "we closed the connection")

    # -- reading -----------------------------------------------------------------------------------------------------

    def receive_events(self) -> None:
        """Read until the socket ends; never stop reading, for one stalled reader freezes the whole switch's sockets."""
        decoder = Decoder()
        sock = self.sock
        hub = gevent.get_hub()
        kind: Kind = "closed"
        text = ""
        try:
            while self.lost is None:
                try:
                    count = sock.recv_into(decoder.space())
                except BlockingIOError:
                    hub.wait(self._readable)
                    continue
                self.heard_at = time.monotonic()
                if not count:
                    text = self._notice or "FreeSWITCH closed the connection"
                    if decoder.pending:
                        text += " in the middle of a frame"
                    break
                self._take(decoder.received(count))
                if decoder.error is not None:
                    raise decoder.error
                if count > _BUSY_BYTES:
                    gevent.sleep(0)  # there is probably more: let timers and writers have a turn first
        except ProtocolError as e:
            kind, text = "broken", str(e)
        except OSError as e:
            text = f"{self._notice} {e}".strip()
        finally:
            self.close(kind, text)

    # -- writing -----------------------------------------------------------------------------------------------------

    def submit(self, data: bytes, waiters: Iterable[Waiter]) -> None:
        """Write whole commands in one piece, a waiter for each. Never blocks; failure is told to the waiters."""
        if (error := self.no_waiting()) is not None:
            for waiter in waiters:
                waiter(error)
            return
        self._waiters.extend(waiters)
        if self._unsent:
            self._unsent.append(data)
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.close("closed", str(e))
            return
        if sent < len(data):
            self._unsent.append(data[sent:])
            self._flusher = gevent.spawn(self._flush)

    def _flush(self) -> None:
        hub = gevent.get_hub()
        try:
            while self._unsent:
                with gevent.Timeout(
                    WRITE_TIMEOUT_S, LinkLost("silent", f"FreeSWITCH took nothing for {WRITE_TIMEOUT_S} s")
                ):
                    hub.wait(self._writable)
                sent = self.sock.send(self._unsent[0])
                rest = self._unsent[0][sent:]
                if rest:
                    self._unsent[0] = rest
                else:
                    self._unsent.popleft()
        except LinkLost as e:
            self.close(e.kind, str(e))
        except OSError as e:
            self.close("closed", str(e))

    def poke(self) -> None:
        """Make FreeSWITCH look for events now instead of within 20 ms: a bare newline, which it skips without a reply.

        Nothing is sent while a command is half written: the newline would end it.
        """
        if self.lost is None and not self._unsent:
            try:
                self.sock.send(b"\n")
            except OSError:  # a full buffer needs no poke; a dead socket is the reader's to find
                return

    def send(self, data: str, timeout: float = 5.0) -> Frame:
        """Send one command from a greenlet and wait for its reply. Raises SwitchTimeout, SwitchUnavailable."""
        result = gevent.event.AsyncResult()

        def waiter(reply: Frame | Exception) -> None:
            if isinstance(reply, Frame):
                result.set(reply)
            else:
                result.set_exception(reply)

        self.submit(command(data), (waiter,))
        try:
            reply: Frame = result.get(timeout=timeout)
        except gevent.Timeout:
            raise SwitchTimeout(f"no answer to {data.split(' ', 1)[0]!r} within {timeout} s") from None
        return reply


class InboundLink(Protocol, greenswitch.InboundESL):  # type: ignore[misc]
    """A socket that we open to FreeSWITCH's event socket and authenticate on."""

    host: str
    port: int
    password: str
    timeout: float

    def connect(self) -> None:
        """Open and authenticate within ``timeout`` seconds, name lookup included. Raises LinkLost."""
        where = f"{self.host}:{self.port}"
        try:
            with gevent.Timeout(
                self.timeout, LinkLost("silent", f"{where}: not ready within {self.timeout} s")
            ):
                self.sock = open_socket(self.host, self.port, self.timeout)
                self.connected = True
                self._auth_request_event.clear()
                self.start_event_handlers()
                self._auth_request_event.wait()
                if self.lost is not None:
                    raise LinkLost(self.lost.kind, f"{where}: {self.lost}")
                self.authenticate()
        except ValueError:  # how greenswitch says that the password is wrong
            raise self._given_up("denied", f"{where}: the password was refused") from None
        except ConnectionRefusedError:
            raise LinkLost("no_listener", f"{where}: nobody listens") from None
        except SwitchUnavailable as e:
            raise self._given_up("closed", f"{where}: {e}") from None
        except OSError as e:
            raise LinkLost("unreachable", f"{where}: {e}") from None
        except LinkLost as e:
            raise self._given_up(e.kind, str(e)) from None

    def _given_up(self, kind: Kind, text: str) -> LinkLost:
        if self.connected:
            self.close(kind, text)
        return LinkLost(kind, text)


def open_socket(host: str, port: int, timeout_s: float) -> stdlib_socket.socket:
    """Connect, in a greenlet: to each address that ``host`` has, in turn, within equal parts of the time. Raises OSError.

    A literal address, IPv4 or IPv6, takes no look-up: gevent would do even that one in its pool of ten threads, where the
    name of another node may hang until the resolver gives up. A ``%zone`` of a link-local address is understood.
    """
    where: tuple[str, int, int, int] = (host, port, 0, stdlib_socket.SOCK_STREAM)
    try:
        found = stdlib_socket.getaddrinfo(*where, flags=stdlib_socket.AI_NUMERICHOST)
    except stdlib_socket.gaierror:
        found = gevent.socket.getaddrinfo(*where)
    error: OSError = OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    for family, kind, protocol, _, address in found:
        sock = stdlib_socket.socket(family, kind, protocol)
        try:
            _connect(sock, address, timeout_s / len(found))
        except OSError as e:
            sock.close()
            error = e
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


def _connect(sock: stdlib_socket.socket, address: Any, timeout_s: float) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        hub = gevent.get_hub()
        writable = hub.loop.io(sock.fileno(), 2)
        try:
            with gevent.Timeout(timeout_s, TimeoutError(errno.ETIMEDOUT, "the connection was not taken")):
                hub.wait(writable)
        finally:
            writable.stop()
            writable.close()
        code = sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)
    # Where nobody listens on a port of the range that the system gives out, a socket can meet itself, and would keep
    # FreeSWITCH from listening there again.
    if not code and sock.getsockname() == sock.getpeername():
        code = errno.ECONNREFUSED
    if code:
        raise OSError(code, os.strerror(code))
