"""What a call is served with: its events, one by one, and what runs on its channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from services.ivr.core import model as core


class Inbox:
    """Events of a call, handled one by one in the order in which they came; what comes while one is handled waits for its turn."""

    def __init__(self, handle: Callable[[core.Event], None]) -> None:
        self._handle = handle
        self._events: deque[core.Event] = deque()
        self._busy = False

    def put_nowait(self, event: core.Event) -> None:
        """For tasks of the call, which an event may cancel: it is handled when the task has let go of the event loop."""
        asyncio.get_running_loop().call_soon(self.take, event)

    def take(self, event: core.Event) -> None:
        """Handle the event now, or when those before it are handled."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._busy = False


class Running:
    """An application that runs on the channel, as far as anybody asks."""

    def __init__(self) -> None:
        self._done = False

    def done(self) -> bool:
        return self._done

    def end(self) -> None:
        self._done = True

    def cancel(self) -> bool:
        """Nothing here waits for it."""
        return False
