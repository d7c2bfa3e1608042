"""One tenant in the hands of this process: the engine, its log, its inputs and its timers.

Theory of operation. Everything that wants something of the engine puts an item into one mailbox; one loop takes them
in order. For each: make the input with the time of now, let the engine decide, append the facts, and only then arm
timers and answer. While the append waits (an election takes 4 to 11 s) nothing else is decided: what comes meanwhile
stands in the mailbox in its order.

The log is the truth. ``append`` is refused when anybody else has written since; then, or when its outcome stays unknown,
the engine is ahead of the log and is thrown away. If the lease still holds, everything is built again from the log: the
state by replay, the observations read on after the last one that the log names, the timers from the state. That is
the same path as the first start and as the takeover from a dead owner, so it is always exercised.

The lease only says who should write. It is looked at before every append, on this process's own monotonic clock, so
that a process that was frozen does not even try; the server's refusal is what makes two writers impossible.

An input on which the engine fails is a defect of this program. It is logged with its id and left out from then on:
a tenant must not stand still because of one event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

import structlog
from prometheus_client import Counter, Gauge

from services.common.bus import Bus, Envelope, RequestHandler, Sendable, subjects
from services.common.clock import Clock
from services.common.errors import BusUnavailable, Conflict, DecodeError, Fenced, NotReady, Refused
from services.routing.adapters import messages
from services.routing.adapters.log import TenantLog
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import Center, Policy
from services.routing.core.engine import Engine, Timer
from services.routing.core.expected import Expectation
from services.routing.core.facts import AgentSeatChanged, Decided
from services.routing.core.state import State

log = structlog.get_logger()

# Decisions appended. Zero while contacts wait: look at the lease and at NATS.
DECIDED = Counter("peyvand_routing_decisions_total", "Entries appended to tenants' logs", ["tenant"])
# Inputs the engine failed on and that were left out. Anything above zero is a defect: report it with the log line.
POISONED = Counter(
    "peyvand_routing_poisoned_inputs_total", "Inputs left out because the engine failed on them", ["tenant"]
)
# Observations that could not be read and were left out. Above zero: a newer queue (update routing), or a broken one.
UNREADABLE = Counter(
    "peyvand_routing_unreadable_total", "Observations left out because they could not be read", ["tenant"]
)
# Times the engine was built again. A steady rate: two processes believe that they own the tenant.
REBUILDS = Counter("peyvand_routing_rebuilds_total", "Engines built from the log", ["tenant"])
# Inputs that wait for the loop. Grows while NATS elects a leader; otherwise this process needs more CPU.
MAILBOX = Gauge("peyvand_routing_mailbox", "Inputs that wait to be decided on", ["tenant"])

MakeInput = Callable[[int], i.AnyInput | None]
"""Makes the input when it is taken up, at that time."""
Reply = i.Answer | i.Refuse | None
_Item = tuple[MakeInput, "asyncio.Future[Reply] | None"]

_REBUILD_PAUSE_S = 0.2
_LEASE_LOOK_S = 0.1
_MINUTE_US = 60_000_000


class HeldLease(Protocol):
    """What is needed of a shard's lease. ``epoch`` grows from owner to owner."""

    epoch: int

    def valid(self) -> bool:
        """Whether this process may write now, by its own monotonic clock."""
        ...


def _never_closed(_: int) -> frozenset[str]:
    return frozenset()


def _hours(closed: frozenset[str]) -> MakeInput:
    return lambda at_us: i.HoursChanged(at_us=at_us, closed=closed)


def _give_up(reply: asyncio.Future[Reply] | None) -> None:
    if reply is not None and not reply.done():
        reply.set_exception(BusUnavailable("routing changes hands; ask again"))
        reply.exception()  # whoever waited may be gone; an unread exception would be logged as a defect


def _name(inp: i.AnyInput) -> str:
    """What tells an input from others over rebuilds."""
    return f"{inp.timer}" if isinstance(inp, i.TimerFired) else inp.input_id


class _Superseded(Exception):
    """A newer owner has written to the log."""


class _Poisoned(Exception):
    """The engine failed on an input, and its state may be half of a decision."""


class TenantOwner:
    """Decides for one tenant for as long as the lease of its shard holds."""

    def __init__(
        self,
        tenant: str,
        center: Center,
        *,
        bus: Bus,
        clock: Clock,
        owner: str,
        policy: Policy,
        known: Callable[[], Sequence[MakeInput]] = tuple,
        snapshot_every: int = 500,
        closed_at: Callable[[int], frozenset[str]] = _never_closed,
    ) -> None:
        self.tenant = tenant
        self._center = center
        self._bus = bus
        self._clock = clock
        self._owner = owner
        self._policy = policy
        self._known = known
        self._snapshot_every = snapshot_every
        self._closed_at = closed_at
        self._mailbox: asyncio.Queue[_Item] = asyncio.Queue()
        self._poisoned: set[str] = set()
        self._expectation = Expectation()
        self._handles: dict[Timer, asyncio.TimerHandle] = {}
        self._engine: Engine | None = None
        self._lease: HeldLease | None = None

    # -- from outside

    @property
    def revision(self) -> str:
        """Revision of the configuration that holds from the next decision on."""
        return self._center.revision

    def tell(self, make: MakeInput) -> None:
        """Have the owner take something up that needs no answer. Lost when it does not own: it asks ``known`` then."""
        if self._engine is not None:
            self._mailbox.put_nowait((make, None))

    def revise(self, center: Center, closed_at: Callable[[int], frozenset[str]] = _never_closed) -> None:
        """From the next decision on this configuration holds; its hours from the next full minute on."""
        self._center, self._closed_at = center, closed_at
        self.tell(lambda at_us: i.CenterRevised(at_us=at_us, center=center))

    async def run(self, lease: HeldLease) -> None:
        """Own the tenant until the lease is over; cancel to end it sooner.

        Raises Fenced when a newer owner has been there, whatever the lease says, and what is no matter of owning.
        """
        self._lease = lease
        while lease.valid():
            try:
                await self._own(lease)
            except _Superseded as e:
                raise Fenced(str(e)) from e
            except Conflict as e:
                log.warning("log_written_by_other", tenant=self.tenant, reason=str(e))
            except NotReady as e:
                log.warning("log_unavailable", tenant=self.tenant, reason=str(e))
            except _Poisoned:
                pass
            await asyncio.sleep(_REBUILD_PAUSE_S)

    # -- owning

    async def _own(self, lease: HeldLease) -> None:
        REBUILDS.labels(self.tenant).inc()
        self._log = TenantLog(
            self._bus,
            self._clock,
            self.tenant,
            owner=self._owner,
            epoch=lease.epoch,
            snapshot_every=self._snapshot_every,
        )
        try:
            engine, outputs = await self._log.open(self._policy, self._take_over)
        except Fenced as e:
            raise _Superseded(str(e)) from e
        state = engine.state
        try:
            self._engine = engine
            await self._carry_out(engine, None, outputs)
            log.info(
                "tenant_owned",
                tenant=self.tenant,
                epoch=lease.epoch,
                revision=engine.center.revision,
                log_seq=self._log.seq,
                input_seq=state.input_seq,
                contacts=len(state.contacts),
            )
            if engine.center is not self._center:  # revised while the log was read
                self.revise(self._center, self._closed_at)
            for make in self._known():
                self._mailbox.put_nowait((make, None))
            await self._until_any_ends(
                self._take_all(engine),
                self._follow_observations(state.input_seq),
                self._serve_until_cancelled(),
                self._lease_over(),
                self._follow_hours(),
            )
        finally:
            self._drop()
            await self._log.close()

    async def _until_any_ends(self, *parts: Coroutine[Any, Any, None]) -> None:
        """Run all parts until one ends; raise what it raised."""
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._drop()  # before the subscriptions stop: their handlers wait for replies
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _lease_over(self) -> None:
        while self._holds():  # noqa: ASYNC110
            await asyncio.sleep(_LEASE_LOOK_S)  # time passes; nothing happens that could be awaited

    async def _follow_hours(self) -> None:
        """Tell the engine which queues have closed, at full minutes: no calendar is finer."""
        told: frozenset[str] = frozenset()
        while True:
            now_us = self._clock.now_us()
            closed = self._closed_at(now_us)
            if closed != told:
                told = closed
                self._mailbox.put_nowait((_hours(closed), None))
            await asyncio.sleep((_MINUTE_US - now_us % _MINUTE_US) / 1e6)

    def _take_over(self, state: State) -> tuple[Engine, list[i.Output], Decided]:
        """Build the engine on a replayed state, and the entry with which it opens its part of the log."""
        assert self._lease is not None
        engine = Engine(self._center, self._policy, state)
        epoch = self._lease.epoch
        outputs = engine.handle(i.TakenOver(at_us=self._clock.now_us(), owner=self._owner, epoch=epoch))
        facts = tuple(fact for o in outputs if isinstance(o, i.Decide) for fact in o.facts)
        entry = Decided(epoch, self._owner, engine.state.at_us, facts, revision=engine.center.revision)
        return engine, [o for o in outputs if not isinstance(o, i.Decide)], entry

    async def _take_all(self, engine: Engine) -> None:
        while True:
            MAILBOX.labels(self.tenant).set(self._mailbox.qsize())
            make, reply = await self._mailbox.get()
            try:
                await self._decide(engine, make, reply)
            except BaseException:
                _give_up(reply)
                raise

    def _holds(self) -> bool:
        return self._lease is not None and self._lease.valid()

    def _drop(self) -> None:
        self._engine = None
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
        while not self._mailbox.empty():
            _give_up(self._mailbox.get_nowait()[1])

    # -- one input

    async def _decide(self, engine: Engine, make: MakeInput, reply: asyncio.Future[Reply] | None) -> None:
        inp = make(self._clock.now_us())
        if inp is None or _name(inp) in self._poisoned:
            if reply is not None and not reply.done():
                reply.set_result(None)
            return
        try:
            outputs = engine.handle(inp)
        except Exception as e:
            if name := _name(inp):
                self._poisoned.add(name)
            POISONED.labels(self.tenant).inc()
            log.exception(
                "input_poisoned", tenant=self.tenant, input=type(inp).__name__, input_id=inp.input_id
            )
            raise _Poisoned from e
        answer = await self._carry_out(engine, inp, outputs)
        if any(isinstance(x, AgentSeatChanged) for o in outputs if isinstance(o, i.Decide) for x in o.facts):
            for (
                known
            ) in self._known():  # The state knows agents' phones only; of this one it has heard nothing yet.
                self._mailbox.put_nowait((known, None))
        if reply is not None and not reply.done():
            reply.set_result(answer)

    async def _carry_out(self, engine: Engine, inp: i.AnyInput | None, outputs: Sequence[i.Output]) -> Reply:
        answer: Reply = None
        for output in outputs:
            if isinstance(output, i.Decide):
                assert inp is not None
                await self._append(engine, inp, output)
            elif isinstance(output, i.ArmTimer):
                self._arm(output.timer, output.at_us)
            elif isinstance(output, i.CancelTimer):
                self._cancel(output.timer)
            elif isinstance(output, i.Answer | i.Refuse):
                answer = output
            elif inp is not None:
                self._note(inp, output)
        return answer

    async def _append(self, engine: Engine, inp: i.AnyInput, decision: i.Decide) -> None:
        if not self._holds():
            raise Fenced(f"the lease for {self.tenant} is over")
        state = engine.state
        await self._log.append(
            Decided(
                epoch=state.epoch,
                owner=self._owner,
                at_us=state.at_us,
                facts=decision.facts,
                input_id=inp.input_id,
                revision=engine.center.revision,
                input_seq=inp.input_seq,
            ),
            state,
        )
        DECIDED.labels(self.tenant).inc()

    def _note(self, inp: i.AnyInput, note: i.Ignored) -> None:
        log.info(
            "input_ignored",
            tenant=self.tenant,
            input=type(inp).__name__,
            input_id=inp.input_id,
            reason=note.reason,
            contact=note.contact_id,
            agent=note.agent_id,
            offer=note.offer_id,
        )

    # -- timers

    def _arm(self, timer: Timer, at_us: int) -> None:
        self._cancel(timer)
        delay_s = max(0, at_us - self._clock.now_us()) / 1e6
        self._handles[timer] = asyncio.get_running_loop().call_later(delay_s, self._fire, timer)

    def _cancel(self, timer: Timer) -> None:
        if (handle := self._handles.pop(timer, None)) is not None:
            handle.cancel()

    def _fire(self, timer: Timer) -> None:
        self._handles.pop(timer, None)
        self._mailbox.put_nowait((lambda at_us: i.TimerFired(at_us=at_us, timer=timer), None))

    # -- observations and wishes

    async def _observe(self, envelope: Envelope) -> None:
        """Hand one observation over and wait until it is decided on, so that a backlog stays on the server."""

        def make(at_us: int) -> i.AnyInput | None:
            try:
                return messages.observation(envelope, at_us)
            except DecodeError as e:
                UNREADABLE.labels(self.tenant).inc()
                log.error(
                    "observation_unreadable",
                    tenant=self.tenant,
                    id=envelope.id,
                    type=envelope.type,
                    reason=str(e),
                )
                return None

        try:
            await self._ask(make)
        except BusUnavailable:
            # Not decided on: the rebuilt engine reads it again. This subscription is about to be stopped, and an error
            # would tell the bus that it failed.
            await asyncio.Event().wait()

    async def _follow_observations(self, after_seq: int) -> None:
        follow = await self._bus.follow(
            [messages.observations_of(self.tenant)], self._observe, after_seq=after_seq
        )
        try:
            await follow.wait()
        finally:
            await follow.stop()

    async def _ask(self, make: MakeInput) -> Reply:
        if self._engine is None:
            raise BusUnavailable("routing changes hands; ask again")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._mailbox.put_nowait((make, reply))
        return await reply

    async def _wish(self, make: MakeInput) -> Sendable:
        answer = await self._ask(make)
        if isinstance(answer, i.Refuse):
            raise Refused(answer.slug, answer.reason, status=answer.status)
        if answer is None:
            raise BusUnavailable("the wish was not decided on")
        shown = answer.agent or answer.contact or answer.callback
        assert shown is not None
        return shown

    async def _serve_until_cancelled(self) -> None:
        """Answer on the tenant's rpc subjects: only the owner does. Deciding does not wait for it, as it takes some round trips."""
        async with AsyncExitStack() as stack:

            async def serve(entity: str, what: str, handler: RequestHandler) -> None:
                subject = subjects.rpc(self.tenant, "routing", entity, what)
                served = await self._bus.serve(subject, handler, queue="routing")
                stack.push_async_callback(served.stop)

            await asyncio.gather(*(serve(*asked, handler) for asked, handler in self._handlers().items()))
            await asyncio.Event().wait()

    def _handlers(self) -> dict[tuple[str, str], RequestHandler]:
        """Who answers what, by entity and verb."""

        def wishes(kind: type[Any]) -> Callable[[Envelope], Coroutine[Any, Any, Sendable]]:
            async def handle(envelope: Envelope) -> Sendable:
                return await self._wish(lambda at_us: messages.wish(kind, envelope, at_us))

            return handle

        async def callbacks(_: Envelope) -> Sendable:
            engine, now_us = self._present()
            return views.CallbackList(tuple(views.callbacks(engine.state, engine.index, now_us)))

        async def agents(_: Envelope) -> Sendable:
            engine, now_us = self._present()
            return views.AgentList(tuple(views.agents(engine.state, engine.center, now_us)))

        async def queues(_: Envelope) -> Sendable:
            engine, now_us = self._present()
            return views.QueueList(tuple(views.queues(engine.state, engine.center, engine.index, now_us)))

        async def contacts(_: Envelope) -> Sendable:
            engine, now_us = self._present()
            return views.ContactList(tuple(views.contacts(engine.state, engine.index, now_us)))

        async def open_contacts(envelope: Envelope) -> Sendable:
            engine, _ = self._present()
            return views.open_contacts(engine.state, *messages.asked_node(envelope))

        async def position(envelope: Envelope) -> Sendable:
            engine, now_us = self._present()
            asked = messages.asked_position(envelope)
            wait_ms = self._expectation.of(engine.state, engine.center, engine.index, asked, now_us)
            return views.position(engine.state, engine.index, asked, wait_ms)

        async def details(envelope: Envelope) -> Sendable:
            engine, _ = self._present()
            return views.contact_details(engine.state, messages.asked_position(envelope))

        async def nodes(_: Envelope) -> Sendable:
            engine, _now_us = self._present()
            return views.NodeList(tuple(views.nodes(engine.state)))

        return {
            ("agent", "set-presence"): wishes(i.SetAgentPresence),
            ("agent", "seat"): wishes(i.SeatAgent),
            ("agent", "dispose"): wishes(i.SetDisposition),
            ("agent", "wrap-up"): wishes(i.SetWrapUp),
            ("agent", "place-call"): wishes(i.PlaceCall),
            ("contact", "set-priority"): wishes(i.SetContactPriority),
            ("contact", "enqueue"): wishes(i.EnqueueContact),
            ("contact", "leave"): wishes(i.LeaveContact),
            ("contact", "handle"): wishes(i.HandleContact),
            ("callback", "change"): wishes(i.ChangeCallback),
            ("callback", "list"): callbacks,
            ("agent", "list"): agents,
            ("queue", "list"): queues,
            ("contact", "list"): contacts,
            ("contact", "open"): open_contacts,
            ("contact", "position"): position,
            ("contact", "details"): details,
            ("node", "list"): nodes,
        }

    def _present(self) -> tuple[Engine, int]:
        if self._engine is None:
            raise BusUnavailable("routing changes hands; ask again")
        return self._engine, self._clock.now_us()
