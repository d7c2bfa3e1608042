"""What a leg waits for, and what wakes it: flags, queued messages, digits, time. Theory of operation.

A leg is one task. Whatever it does, it waits in `WaitingLeg.wait`, which looks at the flags in one order: the leg is down,
redirected or let go; the playback is broken; a message is queued; what was waited for is so; a digit came; the time is over. Whoever
changes a flag wakes the task, at once or, as the real switch notices most things, at the next step of its media clock.

Messages run inside whatever waits. One with event-lock makes those behind it wait until it is done, which is why endless
music must not have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from services.simswitch.core.leg import Leg, Profile
from services.simswitch.core.wire import Value
from services.simswitch.messages import Message
from services.simswitch.party import KeyTaker

TICK_S: Final = 0.020
_SOON_S: Final = 0.0005
"""A timer may come so much early: loops count in milliseconds."""

Step = Callable[[], Awaitable[None]]


class WaitingLeg(Leg):
    """A leg that can wait; what it runs while it does is up to the subclass."""

    def __init__(self, uuid: str, profile: Profile, session_id: int) -> None:
        super().__init__(uuid, profile, session_id)
        self.redirect: Step | None = None
        self.down = False
        self.abandon = False
        self.messages: deque[Message] = deque()
        self.keys: KeyTaker | None = None
        self._locked = False
        self._now: Message | None = None
        self._breaks = 0
        self._digits: deque[tuple[str, str]] = deque()
        self._waker: asyncio.Future[None] | None = None
        self._tick: asyncio.TimerHandle | None = None

    async def execute(self, app: str, data: str, event_uuid: str = "") -> None:
        """Run one application."""
        raise NotImplementedError

    def report(
        self, name: str, *, head: Mapping[str, Value] | None = None, tail: Mapping[str, Value] | None = None
    ) -> None:
        """Fire an event of this leg without its variables."""
        raise NotImplementedError

    # -- what others do to it

    def wake(self) -> None:
        """Let the task look at its flags now."""
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def wake_at_tick(self) -> None:
        """Let the task look at its flags at the next step of the media clock."""
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(TICK_S, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.wake()

    def redirect_to(self, step: Step, state: str = "") -> None:
        """End what runs and do ``step`` instead; ``state`` is the one that was asked for, before it runs."""
        if state and not self.down:
            self.state = state
        self.redirect = step
        self.wake()

    def break_playback(self, everything: bool) -> None:
        """``uuid_break``: the innermost playback ends; with ``everything`` what is queued is dropped too."""
        if everything:
            self.messages.clear()
        self._breaks = 1
        self.wake_at_tick()

    def hears(self, role: str) -> bool:
        """Whether the message of this role has started to play."""
        return self._now is not None and self._now.role == role and self._now.begun

    def stop_broadcast(self, role: str) -> None:
        """End the message of this role, or drop it when it did not begin yet."""
        for message in [m for m in self.messages if m.role == role]:
            self.messages.remove(message)
        if self._now is not None and self._now.role == role:
            self._now = None
            self._breaks = 1
            self.wake()

    def queue(self, message: Message) -> None:
        """Queue a message; nothing ever runs it when the leg is ending."""
        self.messages.append(message)
        self.wake_at_tick()

    def press(self, digit: str, source: str = "RTP") -> None:
        """A DTMF digit arrives; a key that the phone pressed may mean something else (`keys`)."""
        if source == "RTP" and self.keys is not None and self.keys.take(digit):
            return
        if not self.down:
            self._digits.append((digit, source))
            self.wake_at_tick()

    # -- waiting

    @property
    def interrupted(self) -> bool:
        """Whether the running application must end."""
        return self.down or self.redirect is not None or self.abandon

    @property
    def leaving(self) -> bool:
        """Whether the running step must end: the leg is down or redirected."""
        return self.down or self.redirect is not None

    async def _sleep_until(self, deadline: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waker = loop.create_future()
        timer = loop.call_at(deadline, self.wake) if deadline is not None else None
        try:
            await self._waker
        finally:
            self._waker = None
            if timer is not None:
                timer.cancel()

    async def pause(self, seconds: float) -> None:
        """Let time pass for this leg whatever happens to it."""
        await asyncio.sleep(seconds)

    async def wait(
        self,
        seconds: float | None,
        *,
        digits: str = "eat",
        accept: str = "",
        breakable: bool = False,
        messages: bool = True,
        until: Callable[[], bool] | None = None,
    ) -> str:
        """Wait; return ``stop``, ``break``, ``until``, ``time`` or the digit that was pressed.

        ``digits``: ``eat`` reports and drops them, ``take`` reports them and returns the first that is in ``accept``
        (in anything, when that is empty), ``keep`` leaves them.
        Time that a message took inside does not count.
        """
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while True:
            if self.interrupted:
                return "stop"
            if breakable and self._breaks:
                self._breaks = 0
                return "break"
            if messages and self.messages and not self._locked:
                before = loop.time()
                await self.run_message(self.messages.popleft())
                if deadline is not None:
                    deadline += loop.time() - before
                continue
            if until is not None and until():
                return "until"
            if self._digits and digits != "keep":
                digit = self.take_digit()
                if digits == "take" and (not accept or digit in accept):
                    return digit
                continue
            if deadline is not None and loop.time() >= deadline - _SOON_S:
                return "time"
            await self._sleep_until(deadline)

    def take_digit(self) -> str:
        """Take one digit that was pressed, and report it."""
        digit, source = self._digits.popleft()
        self.digits_dialed += digit
        tail: dict[str, Value] = {"DTMF-Digit": digit, "DTMF-Duration": "2000", "DTMF-Source": source}
        self.report("DTMF", tail=tail)
        return digit

    def clear_breaks(self) -> None:
        """A new playback is not ended by an old break."""
        self._breaks = 0

    def drop_digits(self) -> None:
        self._digits.clear()

    async def run_message(self, message: Message) -> None:
        """Run one queued message inside whatever runs."""
        was, before = self._locked, self._now
        self._locked = was or message.locked
        self._now = message
        try:
            if message.lead_s and await self.wait(message.lead_s, digits="keep", messages=False) == "stop":
                return
            self.variables["current_loop"] = "1"
            self.variables["total_loops"] = str(message.loops)
            message.begun = True
            turn = 0
            while self._now is message and (turn < max(1, message.loops) or message.loops < 0):
                turn += 1
                await self.execute(message.app, message.data, message.event_uuid)
                if self.interrupted:
                    break
        finally:
            self._locked, self._now = was, before
            message.done.set()
            if message.after is not None:
                message.after()
        self.report("PRIVATE_COMMAND", head=dict(message.headers))
        self.variables.pop("current_loop", None)
        self.variables.pop("total_loops", None)
