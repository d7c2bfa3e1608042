"""Faults on demand: they begin, hold back or break what they are about, and end by themselves.

The event socket asks here before it reads, answers, writes or accepts (services.simswitch.connection); the limits and the
restart act on the switch itself. A *partition* stops everything on the wire while calls go on: nothing is answered, nothing
is reset, and a new connection is not even accepted by the kernel (the listening queue is full, so its SYN is dropped). A
*freeze* is the event socket alone, as when one slow listener holds the mutex of all: the kernel still accepts.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import structlog

from services.common.errors import Refused
from services.simswitch.connection import SHUT_DOWN
from services.simswitch.core.faults import Fault, complaints

if TYPE_CHECKING:
    from services.simswitch.connection import Link
    from services.simswitch.switch import Switch

log = structlog.get_logger()

_SHUTDOWN_S = 2.0


class Door(Protocol):
    """The listening socket, as far as faults change it."""

    async def open(self) -> None:
        """Listen again on the same port."""
        ...

    def shut(self) -> None:
        """Nobody listens: a connect is refused."""
        ...

    def block(self) -> None:
        """Nothing is accepted and no SYN is answered."""
        ...

    def hold(self) -> None:
        """The kernel accepts, nobody else does."""
        ...


@dataclass(eq=False)
class _Active:
    number: int
    fault: Fault
    ends: asyncio.Task[None] | None = None
    course: asyncio.Task[None] | None = None


class Faults:
    """The faults of one switch. Without any, everything it is asked costs next to nothing."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._numbers = itertools.count(1)
        self._active: dict[int, _Active] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clear = asyncio.Event()
        self._clear.set()
        self._counts: WeakKeyDictionary[Link, int] = WeakKeyDictionary()
        self._lossy: Fault | None = None
        self._half: Fault | None = None
        self._reply_s = 0.0
        self._job_s = 0.0
        self.event_delay_s = 0.0
        self.silent = False
        self.refuses = False
        self.denies = False
        self.door: Door | None = None
        self.on_down: Callable[[], None] = lambda: None
        self.on_restarted: Callable[[Fault], None] = lambda _: None

    # -- asked by the event socket

    async def clear(self) -> None:
        """Return when the wire is not held up."""
        if self.silent:
            await self._clear.wait()

    async def before_reply(self) -> None:
        """The time that a reply takes longer."""
        if self._reply_s:
            await asyncio.sleep(self._reply_s)

    async def before_job(self) -> None:
        """The time that a ``bgapi`` job waits to begin."""
        if self._job_s:
            await asyncio.sleep(self._job_s)

    def loses_event(self, link: Link) -> bool:
        """Whether this event finds the listener's queue full."""
        if self._lossy is None:
            return False
        count = self._counts[link] = self._counts.get(link, 0) + 1
        return self._lossy.after < count <= self._lossy.after + self._lossy.lose

    def cuts_frame(self, link: Link) -> bool:
        """Whether the connection breaks in the middle of the next event."""
        if self._half is None:
            return False
        count = self._counts[link] = self._counts.get(link, 0) + 1
        if count <= self._half.after:
            return False
        self._half = None
        return True

    # -- asked by people

    def active(self) -> list[dict[str, Any]]:
        """The faults that go on, with their numbers."""
        return [{"number": a.number, **asdict(a.fault)} for a in self._active.values()]

    def begin(self, fault: Fault) -> int:
        """Begin a fault, ``at_s`` seconds from now; return its number. Raises Refused for one that makes no sense."""
        if wrong := complaints(fault):
            raise Refused("bad-fault", "; ".join(wrong), status=422)
        number = next(self._numbers)
        active = _Active(number, fault)
        active.course = task = asyncio.get_running_loop().create_task(
            self._run(active), name=f"fault {number}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return number

    async def end(self, number: int) -> None:
        """End a fault before its time. Raises Refused for one that is not there."""
        active = self._active.get(number)
        if active is None or active.ends is None:
            raise Refused("unknown-fault", f"no fault {number} goes on", status=404)
        active.ends.cancel()
        if active.course is not None:
            await asyncio.wait({active.course})

    async def stop(self) -> None:
        """Forget every fault."""
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- their course

    async def _run(self, active: _Active) -> None:
        fault = active.fault
        if fault.at_s:
            await asyncio.sleep(fault.at_s)
        self._active[active.number] = active
        self._tell("began", active)
        try:
            if fault.kind == "restart":
                await self._restart(fault)
                return
            self._apply()
            active.ends = asyncio.get_running_loop().create_task(asyncio.sleep(fault.for_s))
            await asyncio.wait({active.ends})
        finally:
            if active.ends is not None:
                active.ends.cancel()
            del self._active[active.number]
            self._apply()
            self._heal(fault)
            self._tell("ended", active)

    def _tell(self, what: str, active: _Active) -> None:
        log.info(
            "simulated_fault",
            what=what,
            number=active.number,
            kind=active.fault.kind,
            for_s=active.fault.for_s,
        )
        self._switch.observer.fault(what, active.number, asdict(active.fault))

    def _apply(self) -> None:
        """Take over what all active faults together say."""
        faults = [a.fault for a in self._active.values()]
        kinds = {f.kind for f in faults}
        self._reply_s = sum(f.reply_ms for f in faults) / 1000
        self._job_s = sum(f.job_ms for f in faults) / 1000
        self.event_delay_s = sum(f.event_ms for f in faults) / 1000
        for kind, name in (("lossy", "_lossy"), ("half_frame", "_half")):
            found = next((f for f in faults if f.kind == kind), None)
            if found is not getattr(self, name):
                self._counts.clear()
                setattr(self, name, found)
        self._switch.limits.squeeze(
            min((f.max_sessions for f in faults if f.max_sessions is not None), default=None),
            min((f.sps for f in faults if f.sps is not None), default=None),
        )
        ways = {f.how for f in faults if f.kind == "refuse"}
        self.refuses, self.denies = "acl" in ways, "password" in ways
        self.silent = bool(kinds & {"partition", "freeze"})
        if self.silent:
            self._clear.clear()
        else:
            self._clear.set()
        if self.door is not None:
            if "restart" in kinds or "port" in ways:
                self.door.shut()
            elif "partition" in kinds:
                self.door.block()
            elif "freeze" in kinds:
                self.door.hold()

    def _heal(self, fault: Fault) -> None:
        kinds = {a.fault.kind for a in self._active.values()}
        ways = {a.fault.how for a in self._active.values() if a.fault.kind == "refuse"}
        if fault.kind == "partition" and fault.heal == "reset":
            for link in list(self._switch.links):
                link.reset()
        if not self.silent:
            for link in list(self._switch.links):
                link.wake()
        if self.door is not None and not (kinds & {"partition", "freeze", "restart"} or "port" in ways):
            task = asyncio.get_running_loop().create_task(self.door.open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _restart(self, fault: Fault) -> None:
        switch = self._switch
        switch.down = True
        self._apply()
        if fault.graceful:
            for leg in list(switch.channels.values()):
                leg.end("SYSTEM_SHUTDOWN", by="switch")
            legs = [c.task for c in switch.channels.values() if c.task]
            if legs:
                await asyncio.wait(legs, timeout=_SHUTDOWN_S)
            switch.fire("SHUTDOWN", tail={"Event-Info": "System Shutting Down"})
            for link in list(switch.links):
                link.wake()
                link.kill(SHUT_DOWN)
        await switch.vanish()
        self.on_down()
        await asyncio.sleep(fault.for_s)
        switch.be_reborn(registrations=fault.registrations == "kept")
        self.on_restarted(fault)
