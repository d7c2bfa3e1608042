"""gevent beside asyncio: one hub in one OS thread, and the two ways across. Theory of operation.

greenswitch stands on gevent, everything else here on asyncio. Nothing is monkey-patched: asyncio owns the main thread, and
one more thread runs a gevent hub with all event sockets in it.

In (asyncio to gevent): a deque, and libev's async watcher, whose ``send`` is the one call of gevent that is safe from
other threads. Out: a deque and ``loop.call_soon_threadsafe``. Both wake the other side only when the deque was not known
to be filled, so a burst costs one wake-up: 16 us median for a round trip, 40 us at the 99th percentile.

Python has one lock for both threads, and by itself takes it away from a busy one after 5 ms: a command that was posted was written when
the event loop had nothing more to do (8 ms median behind 3 ms of work), an event waited for as long. Here it is half a millisecond.

Rules: an object of the event socket is touched in the hub's thread only. What is posted runs inside the hub itself and
must not block there; what is called gets a greenlet of its own and may. The caller's context variables (the log's fields)
come along.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent
import gevent.event
import gevent.hub
import structlog

from services.common.errors import SwitchTimeout

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)

# The loop goes on with other work after so many deliveries; a batch of events counts as one.
_SLICE = 256
# 0.7 ms median from posting to writing, behind 3 ms of work. Python's own 5 ms: 8 ms.
_SWITCH_INTERVAL_S = 0.0005


class GeventHub:
    """The thread with the gevent hub. Start it where the event loop runs; one is enough for all nodes."""

    def __init__(self) -> None:
        self._in: deque[tuple[contextvars.Context, Callable[..., object], tuple[Any, ...]]] = deque()
        self._out: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._in_armed = False
        self._out_armed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._wake: Any = None

    @property
    def running(self) -> bool:
        """Whether the thread is there to do anything."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; must be called on the event loop that results are to be delivered to."""
        if self._thread is not None:
            raise RuntimeError("the hub runs already")
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name="esl-gevent", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread: greenlets that still run are killed. Stop clients and servers first."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._post(self._stopped.set)
        thread.join(timeout_s)
        if thread.is_alive():
            _log.warning("gevent_thread_did_not_end", timeout_s=timeout_s)

    def post(self, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``fn`` inside the hub, in order with everything posted; it must not block. An error is logged."""
        if kwargs:
            raise TypeError("keywords do not go through the hub")
        if self._thread is None:
            raise RuntimeError("the hub does not run")
        self._post(fn, *args)

    async def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` in a greenlet of its own, where it may block; return its result or raise its error.

        When the awaiting task is cancelled, the greenlet goes on and its result is dropped.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as e:  # GreenletExit as well: nobody else would tell the waiting task
                self.deliver(fail, future, e if isinstance(e, Exception) else RuntimeError(repr(e)))
            else:
                self.deliver(resolve, future, result)

        self.post(gevent.spawn, contextvars.copy_context().run, run)
        return await future

    async def stands_still(self, *, look_s: float = 3.0, looks: int = 3) -> None:
        """Return when the hub has not run what was posted ``looks`` times in a row, for ``look_s`` seconds each.

        More than once, because a machine that slept wakes up with all its deadlines behind it.
        """
        missed = 0
        while missed < looks:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.post(self.deliver, resolve, turn, None)
            try:
                await asyncio.wait_for(turn, look_s)
            except TimeoutError:
                missed += 1
                _log.warning("gevent_thread_stands_still", look_s=look_s, missed=missed)
            else:
                missed = 0
                await asyncio.sleep(look_s)

    def deliver(self, fn: Callable[..., object], *args: Any) -> None:
        """From the hub's thread: run ``fn`` on the event loop, in order with everything delivered. An error is logged."""
        self._out.append((fn, args))
        if not self._out_armed:
            self._out_armed = True
            loop = self._loop
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._drain_out)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                self._out.clear()

    def waiter(self, future: asyncio.Future[Any]) -> Callable[[Any], None]:
        """Return what the hub's thread calls once with the result of ``future``, or with the error, from wherever."""

        def wait(result: object) -> None:
            if isinstance(result, Exception):
                self.deliver(fail, future, result)
            else:
                self.deliver(resolve, future, result)

        return wait

    # -- the hub's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        hub = gevent.hub.get_hub()
        hub.print_exception = _log_error  # gevent would write to standard error
        self._stopped = gevent.event.Event()
        self._wake = hub.loop.async_()
        self._wake.start(self._drain_in)
        self._ready.set()
        self._stopped.wait()
        self._wake.close()
        hub.destroy(destroy_loop=True)

    def _post(self, fn: Callable[..., object], *args: Any) -> None:
        self._in.append((contextvars.copy_context(), fn, args))
        if not self._in_armed:
            self._in_armed = True
            self._wake.send()

    def _drain_in(self) -> None:
        self._in_armed = False  # before the deque is read: what is appended from now on wakes again
        pending = self._in
        while pending:
            context, fn, args = pending.popleft()
            try:
                context.run(fn, *args)
            except Exception:
                _log.exception("posted_call_failed", call=getattr(fn, "__qualname__", repr(fn)))

    # -- the event loop's thread -------------------------------------------------------------------------------------

    def _drain_out(self) -> None:
        self._out_armed = False
        pending = self._out
        for _ in range(min(len(pending), _SLICE)):
            fn, args = pending.popleft()
            try:
                fn(*args)
            except Exception:
                _log.exception("delivery_failed", call=getattr(fn, "__qualname__", repr(fn)))
        if pending and not self._out_armed and self._loop is not None:
            self._out_armed = True
            self._loop.call_soon(self._drain_out)


def _log_error(context: object, kind: object, value: BaseException | None, trace: object) -> None:
    _log.error("greenlet_failed", greenlet=repr(context), exc_info=value)


def resolve(future: asyncio.Future[T], result: T) -> None:
    """Give ``future`` its result unless its task has given up waiting."""
    if not future.done():
        future.set_result(result)


def fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Give ``future`` its error unless its task has given up waiting."""
    if not future.done():
        future.set_exception(error)


async def within(future: asyncio.Future[T], timeout_s: float | None, what: str) -> T:
    """Wait for an answer of FreeSWITCH. Raises SwitchTimeout, with the first words of ``what`` was asked."""
    if timeout_s is None:
        return await future
    try:
        async with asyncio.timeout(timeout_s):
            return await future
    except TimeoutError:
        raise SwitchTimeout(f"no answer within {timeout_s} s to {what[:120]!r}") from None
