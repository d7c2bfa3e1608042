"""One connection to NATS that tells the truth about itself, with nats-py's traps worked around.

trap (nats-py 2.16)                                            answer here
connect() to a dead server never fails                         a deadline on each attempt, repeated with one log line
publishes are kept while disconnected and sent much later      pending_size=0: refused at once, repeated by the caller
a hung peer with unsent data blocks the reconnection           TCP_USER_TIMEOUT on every new socket
an error in a callback of ours ends the read loop              the callbacks only log; short pings find a dead loop
a right that is missing only shows as a timeout                the reason is in the error, the log and readiness
an answer to a flush that was given up ends the read loop      left aside (client.py)
a client without attempts left is closed for good              attempts without end; if it closes all the same, say so
request() copies, respond() echoes headers                     replies are published with headers of their own
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from services.common.bus import ReadyHook
from services.common.bus.access import PREFIX as ACCESS
from services.common.bus.access import NatsAccess
from services.common.bus.arrival import Arrival
from services.common.bus.base import Nobody, Unconfirmed, Unstored, end
from services.common.bus.client import LeanClient
from services.common.errors import ContractError

logger = structlog.get_logger()

_CONNECT_S = 5.0
_TCP_USER_TIMEOUT_MS = 4000
_VIOLATION = re.compile(r'(?i)permissions violation.* to "(?P<subject>[^"]+)"')
_HEADER_FRAME = len("NATS/1.0\r\n\r\n")
_AT_ONCE = 1000  # acknowledgements in one write: some 80 KB
_TCP_USER_TIMEOUT = 18  # linux/tcp.h

Verify = Callable[["Connection"], Awaitable[str]]
Callback = Callable[[Msg], Awaitable[None]]
Listener = Callable[[Arrival], None]


class Connection:
    """The client, connected in the background; core subscriptions outlive reconnections."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        on_ready: ReadyHook,
        on_closed: Callable[[str], None] | None,
        verify: Verify,
        access: NatsAccess | None = None,
    ) -> None:
        self._access = access or NatsAccess.model_construct()
        self._servers = [part.strip() for part in url.split(",") if part.strip()]
        self._name = name
        self._on_ready = on_ready
        self._on_closed = on_closed
        self._verify = verify
        self._client: LeanClient | None = None
        self._connected = asyncio.Event()
        self._wanted: list[Wanted] = []
        self._task: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._stopping = False
        self._logged: set[str] = set()
        self._denied: dict[str, str] = {}
        self._unreachable = ""

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._on_ready("nats", False, "not connected yet")
        self._task = asyncio.get_running_loop().create_task(self._connect(), name="nats-connect")

    async def connected(self, timeout_s: float | None = None) -> LeanClient:
        """The client, as soon as it is connected. Raises Unstored after ``timeout_s``."""
        if self._client is not None and self._client.is_connected:
            return self._client
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            raise Unstored("not connected to NATS") from None
        assert self._client is not None
        return self._client

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have, as the server said."""
        return self._client.max_payload if self._client is not None else 1 << 20

    # -------------------------------------------------------------------------------------------------------- connecting
    async def _connect(self) -> None:
        while True:
            client = LeanClient()
            try:
                await asyncio.wait_for(
                    client.connect(
                        self._servers,
                        name=self._name,
                        max_reconnect_attempts=-1,
                        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # declared int; it is slept
                        connect_timeout=1,
                        ping_interval=2,
                        max_outstanding_pings=2,
                        pending_size=0,
                        drain_timeout=10,
                        error_cb=self._error,
                        disconnected_cb=self._disconnected,
                        reconnected_cb=self._reconnected,
                        closed_cb=self._closed,
                        **self._access.options(),
                    ),
                    _CONNECT_S,
                )
            except (OSError, nats.errors.Error, TimeoutError) as e:
                # nats-py tries again within connect(), and tells each failure to the callback: then this is only its deadline.
                if self._unreachable == "" or not isinstance(e, TimeoutError):
                    self._say_unreachable(e)
                with contextlib.suppress(Exception):
                    await client.close()
                await asyncio.sleep(0.2)
                continue
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await client.close()
                raise
            self._client = client
            for wanted in self._wanted:
                await wanted.subscribe(client)
            await self._up("bus_connected")
            return

    async def _up(self, event: str) -> None:
        assert self._client is not None
        self._set_user_timeout()
        self._logged.clear()
        self._denied.clear()
        server = self._client.connected_url
        logger.info(event, server=f"{server.hostname}:{server.port}" if server else "")
        self._connected.set()
        if self._checking is not None:
            self._checking.cancel()
        self._checking = asyncio.get_running_loop().create_task(self._check(), name="nats-verify")

    async def _check(self) -> None:
        """Ready when the streams are there; asked again until they are."""
        while True:
            try:
                problem = await self._verify(self)
            except (Unconfirmed, Unstored) as e:
                problem = f"the streams could not be read: {e}"
            self._on_ready("nats", not problem, problem)
            if not problem:
                return
            self._once("bus_streams_missing", problem)
            await asyncio.sleep(1.0)

    def _set_user_timeout(self) -> None:
        if sys.platform != "linux" or self._client is None:
            return
        # Without it the kernel goes on for minutes to send to a machine that is gone, and nats-py waits for that.
        transport: Any = self._client._transport
        writer = getattr(transport, "_io_writer", None)
        sock = writer.get_extra_info("socket") if writer is not None else None
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)

    async def _error(self, error: Exception) -> None:
        if self._client is None:
            self._say_unreachable(error)
        elif (found := _VIOLATION.search(str(error))) is not None:
            self._denied[found["subject"]] = f"NATS refuses it: {error} (rights of {self._name}'s user)"
            self._once("bus_permission_missing", str(error))
            self._on_ready("nats", False, self._denied[found["subject"]])
        else:
            self._once("bus_error", repr(error))

    def _say_unreachable(self, error: Exception) -> None:
        """The first connection failed."""
        reason = str(error) or repr(error)
        if "authorization" in reason.lower() or "credentials" in reason.lower():
            self._unreachable = (
                f"NATS at {self._shown()} refuses us: {reason} ({ACCESS}USER, _NKEY_FILE or _CREDS_FILE)"
            )
        elif isinstance(error, ssl.SSLError) or "tls" in reason.lower():
            self._unreachable = (
                f"NATS at {self._shown()}: no TLS that both agree on: {reason} ({ACCESS}TLS_CA_FILE)"
            )
        else:
            self._unreachable = f"NATS at {self._shown()} does not answer: {reason} ({ACCESS}URL)"
        self._once("bus_unreachable", self._unreachable)
        self._on_ready("nats", False, self._unreachable)

    async def _disconnected(self) -> None:
        self._connected.clear()
        if not self._stopping and self._client is not None:
            self._on_ready("nats", False, f"disconnected from NATS at {self._shown()}")
            logger.warning("bus_disconnected", servers=self._shown())

    async def _reconnected(self) -> None:
        await self._up("bus_reconnected")

    async def _closed(self) -> None:
        self._connected.clear()
        if not self._stopping and self._client is not None and self._client.is_closed:
            self._on_ready("nats", False, "the connection to NATS is closed for good")
            logger.error("bus_closed", servers=self._shown())
            if self._on_closed is not None:
                self._on_closed("the connection to NATS is closed for good")

    def _once(self, event: str, detail: str) -> None:
        """Log a repeated trouble once until the next connection."""
        if f"{event}{detail}" not in self._logged:
            self._logged.add(f"{event}{detail}")
            logger.warning(event, detail=detail)

    def _shown(self) -> str:
        """The servers without user and password."""
        return ", ".join(s.rpartition("@")[2].removeprefix("nats://") for s in self._servers)

    # ------------------------------------------------------------------------------------------------------------- using
    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None, timeout_s: float
    ) -> Msg:
        """One request. Raises Unstored (surely not sent), Nobody (no listener), Unconfirmed (no answer), ContractError."""
        client = await self.connected(timeout_s)
        self._refuse_too_large(subject, data, headers)
        try:
            return await client.request(subject, data, timeout=timeout_s, headers=headers)
        except nats.errors.NoRespondersError:
            raise Nobody(subject) from None
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError):
            raise Unstored("the connection to NATS is down") from None
        except (nats.errors.Error, OSError, TimeoutError) as e:
            raise Unconfirmed(self._denied.get(subject) or repr(e)) from e

    async def publish(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> bool:
        """Send without an answer; False when there is no connection."""
        client = self._client
        if client is None or not client.is_connected:
            return False
        self._refuse_too_large(subject, data, headers)
        try:
            await client.publish(subject, data, reply=reply, headers=headers)
        except (nats.errors.Error, OSError):
            return False
        return True

    async def publish_same(self, subjects: Sequence[str], data: bytes) -> bool:
        """Send the same to each of these subjects, which the server gave us, without an answer; False when there is no connection."""
        client = self._client
        if client is None or not client.is_connected:
            return False
        try:
            for begin in range(0, len(subjects), _AT_ONCE):
                await client.publish_same(list(subjects[begin : begin + _AT_ONCE]), data)
        except (nats.errors.Error, OSError):
            return False
        return True

    def _refuse_too_large(self, subject: str, data: bytes, headers: dict[str, str] | None) -> None:
        # nats-py looks at the data alone; the server counts the headers too, and closes the connection, and with it everything
        # else that is on its way.
        size = len(data)
        if headers:
            size += _HEADER_FRAME + sum(len(k) + len(v) + 4 for k, v in headers.items())
        if size > self.max_payload:
            raise ContractError(f"{subject}: {size} bytes are more than NATS takes ({self.max_payload})")

    async def subscribe(self, subject: str, callback: Callback, *, queue: str = "") -> Wanted:
        """Listen from now on, over all reconnections; active when this returns, if there is a connection."""
        return await self._want(Wanted(self, subject, queue, callback, None))

    async def listen(self, subject: str, listener: Listener) -> Wanted:
        """As ``subscribe``, with the messages as they arrive: ``listener`` must not wait, and must not raise."""
        return await self._want(Wanted(self, subject, "", _nothing, listener))

    async def _want(self, wanted: Wanted) -> Wanted:
        self._wanted.append(wanted)
        client = self._client
        if client is not None and client.is_connected:
            await wanted.subscribe(client)
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                # nats-py writes the ping of a flush past the commands that are waiting to be written: the first flush may
                # be answered before the server has seen the subscription, the second not.
                await client.flush(timeout=2)
                await client.flush(timeout=2)
        return wanted

    def forget(self, wanted: Wanted) -> None:
        """Do not subscribe to it again."""
        if wanted in self._wanted:
            self._wanted.remove(wanted)

    async def new_inbox(self) -> str:
        """A subject of our own for answers."""
        return (await self.connected()).new_inbox()

    async def stop(self) -> None:
        """Send what is on its way and close."""
        self._stopping = True
        # Cancelled until they end: within connect() nats-py loses a cancellation now and then, and begins anew.
        await end([task for task in (self._task, self._checking) if task is not None])
        if self._client is not None and not self._client.is_closed:
            with contextlib.suppress(Exception):
                if self._client.is_connected:
                    await self._client.flush(timeout=1)
            with contextlib.suppress(Exception):
                await self._client.close()
        self._connected.clear()


async def _nothing(_: Msg) -> None:
    """What arrives is given to the listener directly."""


class Wanted:
    """A core subscription that is made on the first connection; nats-py repeats it on later ones."""

    def __init__(
        self,
        connection: Connection,
        subject: str,
        queue: str,
        callback: Callback,
        listener: Listener | None,
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._queue = queue
        self._callback = callback
        self._listener = listener
        self._direct: dict[int, Listener] = {}
        self._active: NatsSubscription | None = None

    async def subscribe(self, client: LeanClient) -> None:
        if self._active is None:
            self._active = await client.subscribe(self._subject, queue=self._queue, cb=self._callback)
            if self._listener is not None:
                # nats-py keeps the number over reconnections.
                self._direct = client.parser.direct
                self._direct[self._active._id] = self._listener

    async def unsubscribe(self, *, drain: bool = False) -> None:
        """End it; with ``drain`` what is on its way to us still reaches the callback."""
        self._connection.forget(self)
        active, self._active = self._active, None
        if active is not None:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    if drain:
                        await active.drain()  # type: ignore[no-untyped-call]
                    else:
                        await active.unsubscribe()
            self._direct.pop(active._id, None)
