"""A FreeSWITCH node and its queue engine in the time of a simulation: what one says reaches the other some milliseconds later.

The switch is the one of queue's own tests (``tests/unit/queue/mini_switch``). Its events and replies travel on two sockets, a bridge takes
as long as a real one, and what was under way to an owner who dies, or on a connection that breaks, is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from services.common.bus import Envelope
from services.queue.adapters import log as routing_log
from services.queue.core import inputs, outputs
from services.queue.core.engine import Engine
from services.queue.core.legs import CallerLeg, OpenContact
from services.queue.core.listening import SupervisionAnswered
from services.queue.core.plan import Plans
from tests.unit.queue.mini_switch import Job, Leg, MiniSwitch

EVENT_S, REPLY_S, LOG_S = 0.002, 0.001, 0.002
BRIDGE_S = 0.045
NOTHING_LOST = 16
"""Entries of the log that a new owner reads again: those that the one before had not acknowledged."""


class World(Protocol):
    """What a node needs of the simulation around it."""

    now_us: int

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None: ...
    def wrong(self, finding: str) -> None: ...
    def put_out(self, output: outputs.Command | outputs.Report) -> None: ...
    def reported(self, node: SimNode, report: outputs.Report) -> None: ...
    def dials(self, node: SimNode, order: outputs.Originate | outputs.CallCustomer) -> None: ...
    def bridged(self, node: SimNode, leg: Leg, other: Leg) -> None: ...
    def taken_apart(self, node: SimNode, leg: Leg) -> None: ...
    def leg_over(self, node: SimNode, leg: Leg) -> None: ...
    def asked(self, node: SimNode, question: outputs.AskPosition) -> inputs.PositionKnown: ...
    def granted(self, answer: outputs.WishAnswered) -> None: ...
    def open_contacts(self, node: str) -> tuple[OpenContact, ...]: ...


class SimNode(MiniSwitch):
    """One node. ``owned``: some process decides for it; ``linked``: that process has its connection to the switch."""

    def __init__(self, name: str, world: World, plans: Plans) -> None:
        super().__init__()
        self.name, self.world, self.plans = name, world, plans
        self.engine = Engine(name)
        self.owned = self.linked = True
        self.blind_us: list[tuple[int, int]] = []
        """From when to when nobody listened."""
        self.warnings: dict[str, int] = {}
        self.inputs = self.commands = self.deaths = 0
        self._life = 0
        self._serial = 0
        self._timers: dict[str, int] = {}
        self._letting_go: set[str] = set()
        self._parked_us: dict[str, int] = {}
        self._read: list[Envelope] = []
        self._unread: list[Envelope] = []

    @property
    def now_us(self) -> int:  # type: ignore[override]
        return self.world.now_us

    # --- the engine ---

    def begin(self) -> None:
        """A process owns the node from now on and reads it."""
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.plans))
        self.feed(inputs.DrainFound(at_us=self.now_us, said="", by_switch=True))
        self.feed(inputs.LinkUp(at_us=self.now_us, core_uuid=self.name))

    def revise(self, plans: Plans) -> None:
        self.plans = plans
        if self.owned:
            self.feed(inputs.CentersRevised(at_us=self.now_us, plans=plans))

    def feed(self, event: inputs.Input) -> None:
        """Give the engine one input now, and carry out what it says."""
        self.inputs += 1
        for output in self.engine.handle(msgspec.structs.replace(event, at_us=self.now_us)):
            self._do(output)
        self.flush()

    def flush(self) -> None:
        """Send what the switch has to say on its way."""
        for queue, delay_s in ((self.events, EVENT_S), (self.replies, REPLY_S)):
            while queue:
                said = queue.popleft()
                if isinstance(said, inputs.JobEnded):
                    self._letting_go.add(said.offer)
                self.world.after(delay_s, self._arrives, self._life, said)
        bridges, self.bridges = self.bridges, []
        for pair in bridges:
            self.world.after(BRIDGE_S, self._complete, pair)

    def _arrives(self, life: int, said: inputs.Input) -> None:
        """What the switch says, to the process that it was said to."""
        if isinstance(said, inputs.JobEnded):
            self._letting_go.discard(said.offer)
        if self.linked:
            self._tell(life, said)

    def _tell(self, life: int, said: inputs.Input) -> None:
        if self.owned and life == self._life:
            self.feed(said)

    def _complete(self, pair: tuple[str, str]) -> None:
        self.bridges = [pair]
        self.complete_bridges()
        leg, other = (self.legs.get(uuid) for uuid in pair)
        if leg is not None and other is not None and leg.mode == "bridged" and leg.partner == other.uuid:
            self.world.bridged(self, leg, other)
        self.flush()

    def read(self, envelope: Envelope) -> None:
        """An entry of routing's log; while nobody can do anything about it, it waits in its stream."""
        if not (self.owned and self.linked):
            self._unread.append(envelope)
            return
        self._read = [*self._read[1 - NOTHING_LOST :], envelope]
        for event in routing_log.inputs_of([envelope], self.name, self.now_us):
            self.feed(event)

    def _do(self, output: outputs.Output) -> None:
        match output:
            case outputs.Command():
                self.commands += 1
                self.world.put_out(output)
                if self.linked:
                    self._carry_out(output)
                elif isinstance(output, outputs.Originate | outputs.CallCustomer):
                    self.world.after(REPLY_S, self._tell, self._life, self._job_lost(output.offer))
            case outputs.Report():
                self.world.put_out(output)
                self.world.reported(self, output)
            case outputs.SetTimer():
                self._serial += 1
                self._timers[output.key] = self._serial
                self.world.after(output.after_ms / 1000, self._fire, output.key, self._serial)
            case outputs.CancelTimer():
                self._timers.pop(output.key, None)
            case outputs.LookBack():
                self.world.after(0.02, self._look_back)
            case outputs.ListChannels():
                if self.linked:
                    self._list()
            case outputs.AskPosition():
                self.world.after(0.003, self._tell, self._life, self.world.asked(self, output))
            case outputs.WishAnswered():
                self.world.granted(output)
            case outputs.Line():
                if output.warning:
                    self.warnings[output.event] = self.warnings.get(output.event, 0) + 1
            case outputs.AskContact() | outputs.RouteChosen() | SupervisionAnswered():
                self.world.wrong(f"{self.name}: nobody asked for {output}")

    def _fire(self, key: str, serial: int) -> None:
        if self._timers.get(key) == serial:
            del self._timers[key]
            self.feed(inputs.TimerFired(at_us=self.now_us, key=key))

    # --- the switch ---

    def _carry_out(self, command: outputs.Command) -> None:
        self._command(command)
        match command:
            case outputs.Originate() | outputs.CallCustomer():
                if command.leg in self.jobs:
                    self.world.dials(self, command)
            case outputs.Farewell():
                self.world.after(3.0, self.hang, command.leg)
            case outputs.LeaveMessage() | outputs.RunSurvey():
                self.world.after(20.0, self.hang, command.leg)
            case outputs.TransferOut():
                self.world.after(8.0, self.hang, command.leg)
            case outputs.StartAnnouncement():
                self.world.after(3.0, self._heard, command.leg, command.file)
            case outputs.Whisper():
                self.world.after(2.0, self._heard, command.leg, "")

    def _caller(self, leg: Leg) -> CallerLeg:
        """FreeSWITCH knows how long ago a leg was parked; whoever comes late to it takes that."""
        parked_us = self._parked_us.get(leg.uuid, self.now_us)
        return msgspec.structs.replace(super()._caller(leg), waited_ms=(self.now_us - parked_us) // 1000)

    def _still_originating(self, offer: str) -> bool:
        return offer in self._letting_go

    def _heard(self, leg: str, file: str) -> None:
        known = self.legs.get(leg)
        if known is not None and (known.playing == file if file else known.mode == "whispering"):
            self.said(leg)
            self.flush()

    def _apart(self, leg: Leg) -> None:
        if leg.mode == "bridged":
            self.world.taken_apart(self, leg)
        super()._apart(leg)

    def hang_up(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        leg = self.legs.get(uuid)
        super().hang_up(uuid, cause)
        if leg is not None:
            self.world.leg_over(self, leg)

    def hang(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        """Somebody puts down, or what FreeSWITCH does by itself is over."""
        self.hang_up(uuid, cause)
        self.flush()

    def park(self, uuid: str, variables: dict[str, str], *, by_ivr: bool) -> None:
        """A caller comes: from ivr, which says so 15 ms before the dialplan does, or by the dialplan alone."""
        leg = self.legs[uuid] = Leg(uuid, caller=True, answered=True, mode="socket", vars=variables)
        self._parked_us[uuid] = self.now_us
        if by_ivr:
            leg.vars["cc_state"] = "handover"
            self.events.append(inputs.LegHandedOver(at_us=self.now_us, caller=self._caller(leg)))
            self.world.after(0.015, self._goes_on, uuid)
        else:
            self.go_on(uuid)
        self.flush()

    def _goes_on(self, uuid: str) -> None:
        self.go_on(uuid)
        self.flush()

    def phone(self, what: str, uuid: str, *args: str) -> None:
        """Whatever an originate does next: create, ring, answer, fail."""
        getattr(self, what)(uuid, *args)
        self.flush()

    def key(self, uuid: str, digit: str) -> None:
        """Somebody presses a key."""
        if uuid in self.legs:
            self.events.append(inputs.DigitPressed(at_us=self.now_us, leg=uuid, digit=digit))
            self.flush()

    # --- what goes wrong ---

    def _job_lost(self, offer: str) -> inputs.JobEnded:
        return inputs.JobEnded(at_us=self.now_us, offer=offer, ok=False, text="", known=False)

    def die(self, for_s: float) -> None:
        """kill -9 of the owner; another one begins after a while."""
        if not (self.owned and self.linked):
            return
        self.owned, self._life, self.deaths = False, self._life + 1, self.deaths + 1
        self._timers.clear()
        self.jobs = {uuid: Job("", uuid) for uuid in self.jobs}  # They run on; nobody hears of them.
        self._blind(for_s)
        self.world.after(for_s, self._reborn)

    def _reborn(self) -> None:
        self.owned, self._life = True, self._life + 1
        self.engine = Engine(self.name)
        self.begin()
        # What the one before had not acknowledged comes again, then what was decided since.
        self._unread, self._read = [*self._read, *self._unread], []
        self.world.after(0.02, self._catch_up)
        self.world.after(0.1, self._look_back)

    def _look_back(self) -> None:
        if self.owned and self.linked:
            self._open = self.world.open_contacts(self.name)
            self._list()
            self.flush()

    def break_link(self, for_s: float) -> None:
        """The connection to the switch is lost: what happens meanwhile nobody hears."""
        if not (self.owned and self.linked):
            return
        self.feed(inputs.LinkDown(at_us=self.now_us))
        self.linked, self._life = False, self._life + 1
        for job in self.jobs.values():
            if job.offer:
                self.feed(self._job_lost(job.offer))
                job.offer = ""
        self._blind(for_s)
        self.world.after(for_s, self._linked)

    def _linked(self) -> None:
        self.linked, self._life = True, self._life + 1
        self.feed(inputs.DrainFound(at_us=self.now_us, said="", by_switch=True))
        self.feed(inputs.LinkUp(at_us=self.now_us, core_uuid=self.name))
        self.world.after(0.02, self._catch_up)

    def _catch_up(self) -> None:
        if not (self.owned and self.linked):
            return
        unread, self._unread = self._unread, []
        self._read = [*self._read, *unread][-NOTHING_LOST:]
        for event in routing_log.inputs_of(unread, self.name, self.now_us):
            self.feed(event)

    def _blind(self, for_s: float) -> None:
        self.blind_us.append((self.now_us, self.now_us + round(for_s * 1e6)))
