"""The asyncio face of one FreeSWITCH node. Theory of operation in node.py, which does the work in the hub's thread.

Order of things, for one node: ``on_up`` is awaited when both sockets stand and the subscription is confirmed; events that
come meanwhile are held and follow when it returns, so a service reads the node's state first and then everything that
happened since it subscribed (a little of it twice). Events come one by one, in the order in which FreeSWITCH sent them;
``on_down`` comes after the last of them. If ``on_up`` fails, or the sockets are lost while it runs (it is cancelled then), the
node is connected anew.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import structlog
from prometheus_client import Counter, Gauge

from services.common.errors import ConfigError, Conflict, NotReady, ProtocolError
from services.common.esl.hub import GeventHub, fail, resolve, within
from services.common.esl.node import HEARTBEAT, Down, Node, Up
from services.common.esl.protocol import Event, Frame, command, sendmsg
from services.common.esl.quoting import checked_id, checked_job_id
from services.common.ids import is_token, new_id
from services.common.metrics import ESL_MALFORMED

_log = structlog.get_logger(__name__)

# Events that wait for their handlers. Near max_backlog the sockets are about to be closed: this process needs more CPU.
ESL_BACKLOG = Gauge("peyvand_esl_backlog", "Events that wait for their handlers", ["node"])

# Events on which a service's handler failed. Above zero is a defect: report the log line.
HANDLER_FAILURES = Counter("peyvand_esl_handler_failures_total", "Events on which a handler failed", ["node"])
_FAILURES_LOGGED = 100

DEFAULT_PORT = 8021
_EVENT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SUBCLASS = re.compile(r"[!-~]+")
# Handlers run so long before the event loop gets a turn for its other work.
_SLICE_S = 0.005


@dataclass(frozen=True)
class SwitchAddress:
    """Where a FreeSWITCH node's event socket is, and when it counts as silent.

    ``name`` is the node's name in subjects and facts. A node that is asked and says nothing for ``silence_s``, or
    misses three HEARTBEATs that are due every ``heartbeat_s`` (0: not judged), is *unknown*: connected anew and read anew.
    """

    name: str
    host: str
    port: int
    password: str = field(repr=False)
    silence_s: float = 8.0
    heartbeat_s: float = 20.0

    @classmethod
    def parse_all(cls, text: str) -> list[SwitchAddress]:
        """Read addresses separated by commas. Raises ConfigError, also for a name that is there twice."""
        addresses = [cls.parse(part) for part in text.split(",") if part.strip()]
        names = [address.name for address in addresses]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"the switch {', '.join(twice)} is there more than once")
        return addresses

    @classmethod
    def parse(cls, text: str) -> SwitchAddress:
        """Read ``fs1=esl://:PASSWORD@HOST:PORT``; the password percent-encoded where needed. Raises ConfigError."""
        name, _, url = text.strip().partition("=")
        form = "name=esl://:PASSWORD@HOST:PORT"
        if not is_token(name):
            # Without "=" the whole address, password and all, stands where the name should.
            found = repr(name) if url else "what stands before '='"
            raise ConfigError(
                f"a switch address has the form {form}; {found} is not a name of small letters, digits and hyphens"
            )
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORT
        except ValueError:  # its text may hold a part of the password
            raise ConfigError(
                f"the address of switch {name} must have the form {form}, the password percent-encoded"
            ) from None
        if parts.scheme != "esl" or not parts.hostname or parts.password is None or parts.username:
            raise ConfigError(f"the address of switch {name} must have the form {form}")
        password = unquote(parts.password)
        if not password or any(c in password for c in "\r\n\0"):
            raise ConfigError(f"the password of switch {name} is empty or holds a line break")
        return cls(name, parts.hostname, port, password)


class SwitchClient:
    """Events of one node, and commands to it.

    ``on_event`` must be quick and not fail (a failure is logged, and the next event follows). ``on_down`` is told why, once
    for each change of the kind of reason, so it may be called again without an ``on_up`` between.
    """

    def __init__(
        self,
        hub: GeventHub,
        address: SwitchAddress,
        *,
        events: Sequence[str],
        subclasses: Sequence[str] = (),
        on_event: Callable[[Event], None],
        on_up: Callable[[], Awaitable[None]],
        on_down: Callable[[str], None],
        max_backlog: int = 20_000,
        connect_timeout_s: float = 5.0,
        retry_max_s: float = 5.0,
        prompt: bool = False,
    ) -> None:
        """``prompt``: events are fetched within some 2 ms, not 20, while anything happens on the node."""
        self.address = address
        self.up = False
        self.core_uuid = ""
        self.switchname = ""
        self._hub = hub
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._failures: set[tuple[str, type[Exception]]] = set()
        self._inbox: deque[Event | Up | Down] = deque()
        self._armed = False
        self._resync: asyncio.Task[None] | None = None
        # Jobs that are waited for, as this thread knows them: the node learns later that one was given up, and who gave it
        # up may ask for the same id again at once.
        self._jobs: set[str] = set()
        self._started = False
        self._node = Node(
            address.name,
            address.host,
            address.port,
            address.password,
            subscription(events, subclasses),
            inbox=self._inbox,
            wake=self._wake,
            lost_now=self._lost_now,
            max_backlog=max_backlog,
            connect_timeout_s=connect_timeout_s,
            retry_max_s=retry_max_s,
            silence_s=address.silence_s,
            heartbeat_s=address.heartbeat_s,
            heartbeats_wanted=bool({HEARTBEAT, "ALL"}.intersection(events)),
            prompt=prompt,
        )
        ESL_BACKLOG.labels(address.name).set_function(self._inbox.__len__)

    async def start(self) -> None:
        """Begin to connect; returns at once. ``on_up`` tells when the node can be used."""
        self._started = True
        self._hub.post(self._node.start)

    async def stop(self) -> None:
        """Close the sockets. No callback comes after this returns."""
        if not self._started:
            return
        self._started = False
        await self._hub.call(self._node.stop)
        self.up = False
        self._inbox.clear()
        if self._resync is not None:
            self._resync.cancel()
            await asyncio.gather(self._resync, return_exceptions=True)

    # -- commands ----------------------------------------------------------------------------------------------------

    async def api(self, command_line: str, *, timeout_s: float = 5) -> str:
        """Run an API command and return its text; FreeSWITCH tells failure in the text (``-ERR ...``).

        What may take long belongs into `bgapi`: it would hold up every other command. Raises SwitchUnavailable,
        SwitchTimeout, UnsafeCommandError.
        """
        return (await self.pipeline((command_line,), timeout_s=timeout_s))[0]

    async def pipeline(self, commands: Sequence[str], *, timeout_s: float = 5) -> list[str]:
        """Run several API commands with one write; return their texts in order. Raises as `api`."""
        if not commands:
            return []
        data = b"".join(command(f"api {line}") for line in commands)
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        deliver = self._hub.deliver
        texts: list[str] = []

        def waiter(reply: Frame | Exception) -> None:
            if isinstance(reply, Exception):
                deliver(fail, future, reply)
                return
            texts.append(reply.text)
            if len(texts) == len(commands):
                deliver(resolve, future, texts)

        self._hub.post(self._node.submit, data, (waiter,) * len(commands))
        return await within(future, timeout_s, f"{self.address.name}: {commands[0]}")

    async def bgapi(self, command_line: str, *, job_id: str | None = None, timeout_s: float = 90) -> str:
        """Run an API command in a thread of FreeSWITCH; return the text of its BACKGROUND_JOB.

        Raises as `api`, and Conflict if a job of that id is under way. FreeSWITCH keeps 36 characters of ``job_id``: a longer
        one is refused.
        """
        job = new_id() if job_id is None else checked_job_id(job_id)
        data = command(f"bgapi {command_line}", {"Job-UUID": job})
        if job in self._jobs:
            raise Conflict(f"a background job {job} is under way")
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._hub.post(self._node.submit_job, job, data, self._hub.waiter(future))
        self._jobs.add(job)
        try:
            return (await within(future, timeout_s, f"{self.address.name}: {command_line}")).body
        finally:
            self._jobs.discard(job)
            if not future.done() or future.cancelled():
                self._hub.post(self._node.forget_job, job)

    async def execute(
        self,
        unique_id: str,
        app: str,
        arg: str = "",
        *,
        event_lock: bool = False,
        wait: bool = False,
        timeout_s: float = 30.0,
    ) -> Event | None:
        """Run an application on a channel; with ``wait``, return its CHANNEL_EXECUTE_COMPLETE.

        ``event_lock`` makes it wait for the application before it, and everything after it wait for it: never for music.
        ``arg`` is expanded by FreeSWITCH. Raises CallGone if the channel is not there or is hung up meanwhile, and as
        `api`.
        """
        checked_id(unique_id, "the id of a channel")
        app_id = new_id()
        data = sendmsg(app, arg, app_id, unique_id=unique_id, event_lock=event_lock)
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._hub.post(self._node.submit_app, app_id, unique_id, data, self._hub.waiter(future), wait)
        try:
            event = await within(future, timeout_s, f"{self.address.name}: {app} on {unique_id}")
        finally:
            if wait and (not future.done() or future.cancelled()):
                self._hub.post(self._node.forget_app, app_id)
        return event if wait else None

    # -- events ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """In the hub's thread: have the event loop look at the inbox."""
        if not self._armed:
            self._armed = True
            self._hub.deliver(self._drain)

    def _lost_now(self) -> None:
        """In the hub's thread: whatever is still to be delivered, the node cannot be used."""
        self._hub.deliver(self._on_lost_now)

    def _on_lost_now(self) -> None:
        self.up = False
        if self._resync is not None:
            self._resync.cancel()

    def _drain(self) -> None:
        self._armed = False
        inbox = self._inbox
        on_event = self._on_event
        until = time.monotonic() + _SLICE_S
        count = 0
        while inbox:
            if self._resync is not None:  # goes on when on_up has returned
                return
            item = inbox.popleft()
            if isinstance(item, Event):
                try:
                    on_event(item)
                except Exception as e:
                    self._handler_failed(item, e)
                count += 1
                if not count & 31 and time.monotonic() > until:
                    self._armed = True
                    asyncio.get_running_loop().call_soon(self._drain)
                    return
            elif isinstance(item, Up):
                self._came_up(item)
            else:
                self._went_down(item)

    def _handler_failed(self, event: Event, error: Exception) -> None:
        """Count it; log it once for each kind of event and error until the next connection."""
        if isinstance(error, ProtocolError):
            ESL_MALFORMED.labels(self.address.name).inc()
        else:
            HANDLER_FAILURES.labels(self.address.name).inc()
        kind = (event.name, type(error))
        if kind not in self._failures and len(self._failures) < _FAILURES_LOGGED:
            self._failures.add(kind)
            _log.error(
                "event_handler_failed",
                node=self.address.name,
                event_name=event.name,
                unique_id=event.raw[:300].decode("utf-8", "replace")
                if isinstance(error, ProtocolError)
                else event.unique_id,
                exc_info=error,
            )

    def _came_up(self, up: Up) -> None:
        self.up = True
        self._failures.clear()
        self.core_uuid = up.core_uuid
        self.switchname = up.switchname
        self._resync = asyncio.get_running_loop().create_task(self._run_on_up())
        # Not at the end of the task: one that is cancelled before its first step never runs, and the inbox would stay shut.
        self._resync.add_done_callback(self._resynced)

    async def _run_on_up(self) -> None:
        try:
            await self._on_up()
        except NotReady as e:
            _log.warning("switch_resync_failed", node=self.address.name, reason=str(e))
            self._hub.post(self._node.resync_failed)
        except Exception:
            _log.exception("switch_resync_failed", node=self.address.name)
            self._hub.post(self._node.resync_failed)

    def _resynced(self, resync: asyncio.Task[None]) -> None:
        self._resync = None
        self._drain()

    def _went_down(self, down: Down) -> None:
        self.up = False
        try:
            self._on_down(down.reason)
        except Exception:
            _log.exception("down_handler_failed", node=self.address.name)
        self._hub.post(self._node.drained.set)


def subscription(events: Sequence[str], subclasses: Sequence[str]) -> str:
    """Return the command that subscribes: standard names first, for every word after CUSTOM is a subclass.

    HEARTBEAT is always among them: the node is judged by it. Raises ValueError for a name of another form (FreeSWITCH
    ignores it), and for CUSTOM without subclasses.
    """
    if not events and not subclasses:
        return ""
    words = [name for name in events if name != "CUSTOM"]
    for word in words:
        if not _EVENT_NAME.fullmatch(word):
            raise ValueError(f"not the name of an event: {word!r}")
    for word in subclasses:
        if not _SUBCLASS.fullmatch(word):
            raise ValueError(f"not the name of a subclass: {word!r}")
    if len(words) < len(events) and not subclasses:
        raise ValueError("CUSTOM without subclasses delivers nothing")
    if not {HEARTBEAT, "ALL"}.intersection(words):
        words.append(HEARTBEAT)
    if subclasses:
        words += ["CUSTOM", *subclasses]
    return "event json " + " ".join(words)
