"""Messages of one consumer, pulled, with a watch of our own.

Theory of operation
  A pull asks for a number of messages (its credit) within twenty seconds, and for a heartbeat whenever half a second goes by
  without one. Everything comes to inboxes ``<base>.<number of the pull>``: the messages under their own subject, the
  statuses under the inbox's, so a late status of an earlier pull is told from one of this pull. One pull is out at a time.
  Silence for three heartbeats means that the node with the consumer, or the way to it, is gone: ``take`` raises Silent and
  the caller makes sure of the consumer. Without that, the death of a node goes unnoticed for 19 s.
"""

from __future__ import annotations

import asyncio
from collections import deque

from services.common.bus.arrival import Arrival
from services.common.bus.connection import Connection, Wanted
from services.common.bus.jetstream import JetStream

HEARTBEAT_S = 0.5
EXPIRES_S = 20.0
_SILENT_BEATS = 3


class Silent(Exception):
    """Nothing was heard of the consumer, or it is gone: make sure that it exists, then pull again."""


class Pull:
    """The inbox of one consumer."""

    def __init__(
        self,
        connection: Connection,
        jetstream: JetStream,
        stream: str,
        consumer: str,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._connection = connection
        self._jetstream = jetstream
        self._stream = stream
        self._consumer = consumer
        self._heartbeat_s = heartbeat_s
        self._base = ""
        self._number = 0
        self._credit = 0
        self._arrived: deque[Arrival] = deque()
        self._heard = asyncio.Event()
        self._wanted: Wanted | None = None

    async def open(self) -> None:
        """Subscribe the inbox; waits for the connection."""
        self._base = await self._connection.new_inbox()
        self._wanted = await self._connection.listen(f"{self._base}.*", self._on_arrival)

    def _on_arrival(self, message: Arrival) -> None:
        self._arrived.append(message)
        self._heard.set()

    @property
    def waiting(self) -> list[Arrival]:
        """Messages that arrived and were not taken yet."""
        return [m for m in self._arrived if not m.status]

    def again(self) -> None:
        """Forget the pull that is out: it got no answer."""
        self._credit = 0

    async def take(self, most: int, *, timeout_s: float | None = None) -> list[Arrival]:
        """1 to ``most`` messages, as soon as there are any; none after ``timeout_s``. Raises Silent."""
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        heard_at = loop.time()
        while True:
            self._heard.clear()
            if taken := self._sort_out(most):
                return taken
            if self._credit <= 0:
                await self._ask(most)
            now = loop.time()
            if until is not None and now >= until:
                return []
            silence_at = heard_at + _SILENT_BEATS * self._heartbeat_s
            if now >= silence_at:
                self._credit = 0
                raise Silent
            try:
                # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
                async with asyncio.timeout_at(min(silence_at, until or silence_at)):
                    await self._heard.wait()
                heard_at = loop.time()
            except TimeoutError:
                continue

    def _sort_out(self, most: int) -> list[Arrival]:
        taken: list[Arrival] = []
        asked = f"{self._base}.{self._number}".encode()
        while self._arrived and len(taken) < most:
            message = self._arrived.popleft()
            status = message.status
            if not status:
                self._credit -= 1
                taken.append(message)
            elif status != "100" and message.subject == asked:
                self._credit = 0
                if status == "503" or (status == "409" and "Deleted" in message.description):
                    if taken:
                        self._arrived.appendleft(message)
                        break
                    raise Silent
        return taken

    async def _ask(self, most: int) -> None:
        await self._connection.connected()
        self._number += 1
        sent = await self._jetstream.ask_next(
            self._stream,
            self._consumer,
            f"{self._base}.{self._number}",
            batch=most,
            expires_s=EXPIRES_S,
            heartbeat_s=self._heartbeat_s,
        )
        if sent:
            self._credit = most

    async def close(self) -> list[Arrival]:
        """Unsubscribe; return what arrived and was never taken."""
        if self._wanted is not None:
            await self._wanted.unsubscribe(drain=True)
        left = self.waiting
        self._arrived.clear()
        return left
