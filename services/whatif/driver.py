"""What every simulation through routing's core needs: a clock that jumps from event to event, timers, the log and its digest.

Events are calls of bound methods in a heap; nothing waits. The engine's timers are kept as its caller keeps them: a timer that
was armed anew or cancelled finds that it is no longer the one, and does not fire. Everything random comes from one seeded
source, so a seed is a run.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Center, Policy
from services.routing.core.engine import Engine
from services.routing.core.state import State

START_US = 1_767_225_600_000_000
"""Midnight of 2026-01-01 UTC, where simulations begin that are of no real day."""


class Driver:
    """Feeds the engine and carries out what it returns; subclasses are the world around it."""

    def __init__(
        self, center: Center, *, seed: int, policy: Policy | None = None, start_us: int = START_US
    ) -> None:
        self.center = center
        self.policy = policy or Policy()
        self.random = random.Random(seed)
        self.engine = Engine(center, self.policy)
        self.now_us = start_us
        self.inputs = 0
        self.epoch = 0
        self._serial = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._timers: dict[tuple[str, str], int] = {}
        self._hash = hashlib.sha256()
        self._encode = msgspec.msgpack.Encoder().encode

    @property
    def digest(self) -> str:
        """Hash over every decision in order."""
        return self._hash.hexdigest()

    def decided(self, entry: f.Decided) -> None:
        """Whatever the world does about an entry of the log."""
        raise NotImplementedError

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        """Call ``act(*args)`` so many seconds from now."""
        self._serial += 1
        heapq.heappush(self._heap, (self.now_us + round(seconds * 1e6), self._serial, act, args))

    def play(self, until_us: int = 0) -> None:
        """Go from event to event until there is none, or up to a time."""
        heap = self._heap
        while heap and not 0 < until_us < heap[0][0]:
            self.now_us, _, act, args = heapq.heappop(heap)
            act(*args)

    def take_over(self, owner: str = "sim") -> None:
        """Become the owner; again after ``State.load`` and a replay, as another process would."""
        self.epoch += 1
        self.feed(i.TakenOver(at_us=self.now_us, owner=owner, epoch=self.epoch))

    def resume(self, state: State) -> None:
        """Go on with another engine that begins with this state; its timers are its own."""
        self._timers.clear()
        self.engine = Engine(self.center, self.policy, state)

    def tell(self, kind: type[Any], **fields: Any) -> None:
        """Feed an input of this kind that happens now, with an id of its own."""
        self.feed(kind(at_us=self.now_us, input_id=f"s{self.inputs}", **fields))

    def feed(self, inp: i.AnyInput) -> None:
        """Let the engine take an input in and do what it says."""
        self.inputs += 1
        for output in self.engine.handle(inp):
            if isinstance(output, i.Decide):
                entry = f.Decided(
                    self.epoch,
                    "sim",
                    self.engine.state.at_us,
                    output.facts,
                    inp.input_id,
                    input_seq=inp.input_seq,
                )
                self._hash.update(self._encode(entry))
                self.decided(entry)
            elif isinstance(output, i.ArmTimer):
                timer, at_us = output.timer, output.at_us
                self._timers[timer] = at_us
                self._serial += 1
                heapq.heappush(
                    self._heap, (max(at_us, self.now_us), self._serial, self._fire, (timer, at_us))
                )
            elif isinstance(output, i.CancelTimer):
                self._timers.pop(output.timer, None)

    def _fire(self, timer: tuple[str, str], at_us: int) -> None:
        if self._timers.get(timer) == at_us:
            del self._timers[timer]
            self.feed(i.TimerFired(at_us=self.now_us, timer=timer))
