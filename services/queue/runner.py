"""One FreeSWITCH node in the hands of this process: the engine, its inputs and its outputs.

Theory of operation. Everything runs in the event loop; the engine is called for one input at a time and never waits. Its commands
go into ``lanes``, its facts to the outbox.

The node belongs to whoever holds its lease. ``own`` is called with the lease and cancelled when somebody else has taken it. FreeSWITCH
does not know of leases, so an owner writes its name on every caller's leg that it handles (``cc_keeper``). While the lease is confirmed,
commands go out. When it is not, because NATS elects a leader or is away, no phone is rung any more; but what concerns a call that is
already in our hands (a bridge after an answer, a rescue, a kill, the fallback of an outage) goes out after a look at the leg: only if the
name on it is still ours. A new owner has written its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import structlog

from services.common.bus import Bus, Envelope, Retry, codec, subjects
from services.common.bus.base import to_the_end
from services.common.clock import Clock
from services.common.errors import PeyvandError
from services.common.esl import Event
from services.common.parts import switch_part
from services.common.sentences import Sentences
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.queue.adapters import log as routing_log
from services.queue.adapters import switch
from services.queue.adapters.desk import WishDesk
from services.queue.adapters.lag import Lag
from services.queue.adapters.line_desk import LineDesk
from services.queue.adapters.names import LegNames
from services.queue.adapters.node_desk import NodeDesk
from services.queue.adapters.outbox import Outbox
from services.queue.adapters.routes import RouteDesk
from services.queue.core import inputs, legs, outputs
from services.queue.core.engine import CallState, Engine, NodeStatus
from services.queue.core.listening import SupervisionAnswered
from services.queue.core.moves import DRAINING
from services.queue.core.plan import Plans
from services.queue.inquiries import Inquiries
from services.queue.lanes import Client, HeldLease, Lanes
from services.queue.reading import read_channels

log = structlog.get_logger()

POSITION_TIMEOUT_S = 1.0
LIST_RETRY_S = 1.0
WATCH_S = 0.5
ORDERS_S = 300.0  # The longest ring time a center may configure, and what an order may be late.


ClientFactory = Callable[
    [Callable[[Event], None], Callable[[], Coroutine[Any, Any, None]], Callable[[str], None]], Client
]
Spoken = Callable[
    [outputs.AskPosition, int, int], tuple[str, int]
]  # question, position, wait in ms -> file or "", minutes


class _NoLease:
    owner = ""

    def valid(self) -> bool:
        return False


class NodeRunner:
    """Runs the engine of one node while this process owns it."""

    def __init__(
        self,
        name: str,
        *,
        bus: Bus,
        clock: Clock,
        make_client: ClientFactory,
        dialing: switch.Dialing,
        plans: Plans,
        spoken: Spoken,
        ready: Callable[[str, bool, str], None],
        attempt_s: float = 5.0,
        refer: Mapping[str, str] | None = None,
        peers: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self._refer = refer or {}
        self._peers = peers
        self._bus = bus
        self._clock = clock
        self._make_client = make_client
        self._dialing = dialing
        self._plans = plans
        self._spoken = spoken
        self._ready = ready
        self._attempt_s = attempt_s
        self._lease: HeldLease = _NoLease()
        self._engine: Engine | None = None
        self._client: Client | None = None
        self._outbox: Outbox | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._lanes: Lanes | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listed = asyncio.Event()
        self._listing: asyncio.Task[None] | None = None
        self._list_again = False
        self._fresh = True
        self._left_open: tuple[legs.OpenContact, ...] = ()
        self._desk = WishDesk(name, self, self._now)
        self._route_desk = RouteDesk(name, self.feed, self._now)
        self._node_desk = NodeDesk(name, self, self._now, self._switch_told)
        self._line_desk = LineDesk(name, bus, self.feed, self._now)
        self._inquiries = Inquiries(name, bus, self._now, self.feed)
        self._names = LegNames()
        self._sentences = Sentences()
        self._lag = Lag()

    # --- ownership ---------------------------------------------------------------------------------------------------

    async def own(self, lease: HeldLease) -> None:
        """Serve the node until cancelled."""
        self._lease = lease
        log.info("node_owned", node=self.name)
        try:
            await self._begin()
            await self._listed.wait()
            async with AsyncExitStack() as stack:
                # Before anything else: an agent who is offered now waits for nothing but this.
                orders = await self._bus.consume(
                    f"queue-{self.name}",
                    [subjects.any_fact(service="routing", entity="log", what="decided")],
                    self._on_log,
                    batch=64,
                    exclusive=True,  # a new owner takes over at once what the dead one had been given
                    begins_ago_s=ORDERS_S,  # of a node that is new; a month of other nodes' orders is nothing for it
                )
                stack.push_async_callback(orders.stop)
                self._spawn(self._inquiries.nodes(center.tenant for center in self._plans.centers))
                for served in await asyncio.gather(
                    self._desk.open(self._bus),
                    self._route_desk.open(self._bus),
                    self._node_desk.open(self._bus),
                    self._line_desk.open(),
                ):
                    for each in served:
                        stack.push_async_callback(each.stop)
                await orders.wait()
        finally:
            self._lease = _NoLease()
            # Half of it done would be worse than none: a client that is left would go on telling the next engine what it tells by itself.
            await to_the_end(self._let_go())

    async def _let_go(self) -> None:
        """Leave the node. Legs, music and conversations go on by themselves."""
        self._engine = None
        self._route_desk.close()
        self._desk.close()
        self._line_desk.close()
        client, self._client = self._client, None
        outbox, self._outbox = self._outbox, None
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        lanes, self._lanes = self._lanes, None
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if lanes is not None:
            await lanes.stop()
        self._listed.clear()
        self._listing = None
        if client is not None:
            await client.stop()
        if outbox is not None:
            await outbox.stop()
        self._ready(switch_part(self.name), True, "another process owns the node")
        log.info("node_released", node=self.name)

    @property
    def owned(self) -> bool:
        """Whether this process has the node."""
        return self._engine is not None

    async def _begin(self) -> None:
        self._fresh, self._left_open = True, ()
        self._listed.clear()
        self._engine = Engine(self.name, self._refer, self._peers)
        self._outbox = Outbox(self._bus, self.name, attempt_s=self._attempt_s)
        self._outbox.start()
        self._client = self._make_client(self._on_event, self._on_up, self._on_down)
        self._lanes = Lanes(
            self.name,
            self._client,
            self._lease,
            names=self._names,
            dialing=self._dialing,
            lines=self._line_desk,
            feed=self.feed,
            now_us=self._now,
        )
        self.feed(inputs.CentersRevised(at_us=self._now(), plans=self._plans))
        self._ready(switch_part(self.name), False, "connecting")
        await self._client.start()
        self._spawn(self._watch_bus())

    # --- inputs ------------------------------------------------------------------------------------------------------

    def feed(self, event: inputs.Input) -> None:
        """Give the engine one input and do what follows."""
        if self._engine is not None:
            for output in self._engine.handle(event):
                self._do(output)

    def revise(self, plans: Plans) -> None:
        """Take new center documents."""
        self._plans = plans
        self.feed(inputs.CentersRevised(at_us=self._now(), plans=plans))

    def calls(self) -> list[CallState]:
        """The node's contacts, as long as it is served here."""
        return self._engine.calls() if self._engine is not None else []

    def call(self, contact: str) -> CallState | None:
        """One contact of the node, as long as it is served here."""
        return self._engine.call(contact) if self._engine is not None else None

    def tenant_of(self, contact: str) -> str:
        """The tenant of a contact of this node, or ``""``."""
        return self._engine.tenant_of(contact) if self._engine is not None else ""

    def may_see(self, contact: str, supervisor: str, *, everybody: bool) -> bool:
        """Whether a supervisor may know of a contact of this node."""
        return self._engine is not None and self._engine.may_see(contact, supervisor, everybody=everybody)

    def status(self) -> NodeStatus | None:
        """The node itself, as long as it is served here."""
        return self._engine.status() if self._engine is not None else None

    async def _switch_told(self) -> None:
        if self._lanes is not None:
            await self._lanes.sent({""})

    def hang_up(self, contact: str) -> None:
        """End a contact's call."""
        self.feed(inputs.HangUpWished(at_us=self._now(), contact=contact))

    def _now(self) -> int:
        return self._clock.now_us()

    def _on_event(self, event: Event) -> None:
        now_us = self._now()
        self._names.learn(event)
        late_ms = self._lag.ms(event, now_us)
        if (given := switch.to_input(event, now_us)) is not None:
            if late_ms and isinstance(given, inputs.LegParked | inputs.LegHandedOver):
                given = switch.parked_before(given, late_ms)
            self.feed(self._names.named(given))
            if isinstance(given, inputs.LegHungUp):
                self._names.forget(given.leg)

    async def _on_up(self) -> None:
        client = self._client
        if client is not None:
            said = (await client.api(f"global_getvar {DRAINING}")).strip()
            self.feed(inputs.DrainFound(at_us=self._now(), said=said, by_switch=True))
        self.feed(inputs.LinkUp(at_us=self._now(), core_uuid=client.core_uuid if client is not None else ""))
        if self._listing is not None:
            await asyncio.shield(self._listing)  # Events wait until the node has been read.
        log.info("node_read", node=self.name, contacts=len(self.calls()))
        self._ready(switch_part(self.name), True, "")

    def _on_down(self, reason: str) -> None:
        self.feed(inputs.LinkDown(at_us=self._now()))
        self._ready(switch_part(self.name), False, reason)

    async def _watch_bus(self) -> None:
        """Tell the engine when facts can be neither written nor read, and look at everything anew when they can again."""
        down = False
        while True:
            await asyncio.sleep(WATCH_S)
            outbox = self._outbox
            now_down = not self._lease.valid() or (outbox is not None and outbox.failing)
            if now_down == down:
                continue
            down = now_down
            log.warning("bus_state_changed", node=self.name, up=not down)
            self.feed(inputs.BusDown(at_us=self._now()) if down else inputs.BusUp(at_us=self._now()))
            if not down and self._client is not None and self._client.up:
                self.feed(inputs.LinkUp(at_us=self._now()))

    async def _on_log(self, envelopes: list[Envelope]) -> None:
        client = self._client
        if client is None or not client.up or not self._lease.valid():
            raise Retry(0.5)
        given = routing_log.inputs_of(envelopes, self.name, self._now())
        for event in given:
            self.feed(event)
        # Acknowledged when the commands that follow are sent: what is not may be ordered again.
        touched = {getattr(event, "contact_id", "") for event in given}
        if self._lanes is not None:
            await self._lanes.sent(touched, timeout_s=5.0)

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _do(self, output: outputs.Output) -> None:
        match output:
            case outputs.Command():
                if self._lanes is not None:
                    self._lanes.put(output)
            case outputs.Report():
                if self._outbox is not None:
                    self._outbox.put(output, self._now())
            case SupervisionAnswered():
                self._desk.answered(output.request, output)
            case outputs.SetTimer():
                self._forget_timer(output.key)
                self._timers[output.key] = asyncio.get_running_loop().call_later(
                    output.after_ms / 1000, self._fire, output.key
                )
            case outputs.CancelTimer():
                self._forget_timer(output.key)
            case outputs.AskPosition():
                self._spawn(self._ask_position(output))
            case outputs.AskContact():
                self._spawn(self._inquiries.contact(output))
            case outputs.WishAnswered():
                self._desk.answered(output.request_id, output)
            case outputs.RouteChosen():
                self._route_desk.chosen(output)
            case outputs.LineAnswered():
                self._line_desk.answered(output)
            case outputs.LookBack():
                self._spawn(self._look_back())
            case outputs.ListChannels():
                self._list()
            case outputs.Line():
                (log.warning if output.warning else log.info)(
                    output.event, node=self.name, **dict(output.fields)
                )

    def _forget_timer(self, key: str) -> None:
        if (handle := self._timers.pop(key, None)) is not None:
            handle.cancel()

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.feed(inputs.TimerFired(at_us=self._now(), key=key))

    def _spawn(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("queue_task_failed", node=self.name, exc_info=error)

    async def _ask_position(self, question: outputs.AskPosition) -> None:
        try:
            answer = await self._bus.request(
                subjects.rpc(question.tenant, "routing", "contact", "position"),
                rpc_pb2.AskPosition(contact_id=question.contact),
                timeout_s=POSITION_TIMEOUT_S,
            )
            position = codec.decode(answer)
        except PeyvandError as e:
            log.debug("position_unknown", node=self.name, contact=question.contact, reason=str(e))
            return
        if not isinstance(position, rpc_pb2.Position):
            return
        file, minutes = self._spoken(question, position.position, position.expected_wait_ms)
        if file and not await self._has_all_of(file):
            file = ""  # Nothing is said: a place or a time with a hole in it is another one.
        self.feed(
            inputs.PositionKnown(
                at_us=self._now(),
                contact=question.contact,
                position=position.position,
                file=file,
                what=question.what,
                wait_ms=position.expected_wait_ms,
                minutes=minutes,
            )
        )

    async def _has_all_of(self, file: str) -> bool:
        """Whether the node has every part of a sentence."""
        files = file.removeprefix("file_string://").split("!")
        whole = self._sentences.whole(self.name, files)
        if whole is None and self._client is not None:
            whole = await self._sentences.ask(self.name, files, self._client.api)
        return whole is not False

    # --- reading the switch ------------------------------------------------------------------------------------------

    def _list(self) -> None:
        if self._listing is not None and not self._listing.done():
            self._list_again = True
            return
        self._listing = self._spawn(self._read_node())

    async def _read_node(self) -> None:
        said = ""
        while True:
            self._list_again = False
            try:
                event = await self._read_channels()
            except PeyvandError as e:
                if str(e) != said:
                    said = str(e)
                    log.warning("node_not_read", node=self.name, reason=said)
                if self._client is None or not self._client.up:
                    return  # Read when the connection is back.
                await asyncio.sleep(LIST_RETRY_S)
                continue
            self.feed(event)
            self._listed.set()
            if self._fresh:
                self._fresh = False
                self._spawn(self._look_back())
            if not self._list_again:
                return

    async def _read_channels(self) -> inputs.ChannelsListed:
        client, engine = self._client, self._engine
        if client is None or engine is None:
            return inputs.ChannelsListed(at_us=self._now(), present=frozenset())
        listed = await read_channels(client, engine, self._names, self._now)
        left_open, self._left_open = self._left_open, ()
        return msgspec.structs.replace(listed, open_contacts=left_open)

    async def _look_back(self) -> None:
        """Ask routing what it has open here: a contact may have ended while nobody looked.

        Nobody waits for it: whoever lives is served meanwhile. What routing names and the next listing has not is gone.
        """
        for tenant in sorted(center.tenant for center in self._plans.centers):
            said = ""
            while True:
                try:
                    self._left_open += await self._inquiries.open_contacts(tenant)
                    break
                except PeyvandError as e:
                    if not said:
                        said = str(e)
                        log.info("open_contacts_unknown", node=self.name, tenant=tenant, reason=said)
                    await asyncio.sleep(LIST_RETRY_S)
        if self._left_open:
            self._list()
