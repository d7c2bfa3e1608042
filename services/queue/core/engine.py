"""The queue engine of one FreeSWITCH node.

Theory of operation
-------------------
``Engine.handle(input) -> [outputs]`` is the whole of it: no clock, no I/O, no chance. Inputs are what FreeSWITCH did (its events,
the ends of jobs, answers to questions), what routing's log says, timers, and the state of the two connections. Outputs
are commands to FreeSWITCH, facts to append, timers to arm. The shell executes the commands of one contact in their order and tells
failures back.

Two kinds of things live in here. A *caller* is a contact's leg: it waits, is bridged, talks, leaves. An *offer* is an agent's leg: it
rings, was answered, talks, wraps up, closes. A caller has at most one running offer; an offer outlives its caller until
FreeSWITCH has really ended its leg. Four rules keep people from being lost:

1. A caller never leaves WAITING except into a bridge that is watched for 500 ms, or into a farewell or transfer that needs nobody.
   A failed bridge, an agent who vanished and an order that came to nothing all lead back to music, with the place kept.
2. An agent's leg is only forgotten when its originate's job has come *and* the leg is gone; a kill that may have missed is repeated.
3. Routing decides, FreeSWITCH is right. An offer's end in routing's log is carried out whatever happens here; what FreeSWITCH
   says about a leg is taken even when it contradicts memory.
4. Every fact has an id made of the contact, what happened and which one of it, and every command may be repeated: a new owner of the
   node, or a redelivered order, does nothing twice.

The parts: ``arrival`` (out of ivr's hands), ``treatment`` and ``schedule`` (what a waiting caller hears), ``orders`` (whose phone rings),
``offers`` (answer to bridge), ``connecting`` (what is said before it), ``remote`` (agents at numbers outside), ``conversation`` (bridge to
end), ``lines`` (trunks), ``outward`` (to a number outside), ``aside`` (hold, transfer, consultation), ``conference``, ``wishes`` (who may
ask for it, and when it is granted), ``callback_menu`` and ``callbacks`` (asking to be called back; calling), ``overflow`` (ways out without
an agent), ``supervision`` (who listens in), ``takeover`` and ``regain`` (reading the truth from FreeSWITCH), ``moves`` (emptying the node),
``records`` and ``node`` (memory).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from services.center.outside import NO_ROUTE
from services.queue.core import (
    arrival,
    aside,
    callback_menu,
    callbacks,
    conference,
    connecting,
    conversation,
    inputs,
    line_moves,
    lines,
    moves,
    offers,
    orders,
    outputs,
    outward,
    overflow,
    remote,
    schedule,
    supervision,
    takeover,
    treatment,
    wishes,
)
from services.queue.core.node import Node
from services.queue.core.records import Aside, Caller, Customer, Offer, Phase, Stage, Step

# What these would do needs FreeSWITCH. While it cannot be reached they wait: a farewell that nobody hears is none, and a call that is
# given up in memory alone would be forgotten. The other timers look after the connection by themselves.
FROZEN_TIMERS = frozenset(
    {"part", "farewell", "unbridged", "wrap-up", "prompt", "outage", "dial", "keys", "asked", "rejoin"}
    | {"way-out", "customer-redial", "lead", "move", "departed"}
    | {"confirm", "customer-unheard", "farewell-prompt", remote.ASK, remote.CONFIRM}
)
FROZEN_MS = 1_000
AUDIT_MS = 30_000  # How often the switch's own list is compared with memory.
AUDIT = "audit"
_STATES = {
    Stage.TALKING: "talking",
    Stage.CONFERENCE: "conference",
    Stage.PARTED: "leaving",
    Stage.LEAVING: "leaving",
}
_BESIDE = {Step.HELD: "held", Step.DIALLING: "dialling", Step.BACK: "talking"}


class CallState(Struct, frozen=True, kw_only=True):
    """One contact, for people. Times in µs since the epoch."""

    contact: str
    tenant: str
    queue: str
    state: str  # waiting, offered, talking, held, dialling, consulting, conference, leaving
    waiting_since_us: int
    agent: str = ""
    bridged_at_us: int = 0
    second: str = ""  # The agent who is asked, or the third in the conference.


class NodeStatus(Struct, frozen=True, kw_only=True):
    """The node, for people. ``legs``: at the last look."""

    node: str
    connected: bool
    draining_since_us: int
    drained: bool
    contacts: int
    waiting: int
    legs: int


class Engine:
    """The decisions for one node."""

    def __init__(
        self, node: str, refer: Mapping[str, str] | None = None, peers: tuple[str, ...] = ()
    ) -> None:
        """How callers who wait on a node that is being emptied get to another one: by REFER to an address of ``refer``, by node; without
        these one of ``peers`` takes over their lines."""
        self._node = Node(name=node, refer=refer or {}, peers=peers)
        self._handlers: dict[type[inputs.Input], Callable[[Any], None]] = {
            inputs.LegHandedOver: self._handed_over,
            inputs.LegParked: self._parked,
            inputs.LegCreated: self._created,
            inputs.LegRinging: lambda e: offers.ringing(self._node, e.leg),
            inputs.LegAnswered: self._answered,
            inputs.LegBridged: self._bridged,
            inputs.LegUnbridged: self._unbridged,
            inputs.LegHeld: lambda e: conversation.phone_held(self._node, e),
            inputs.FeaturePressed: lambda e: wishes.feature(self._node, e),
            inputs.RoomChanged: lambda e: conference.changed(self._node, e),
            inputs.LegHungUp: self._hung_up,
            inputs.AnnouncementEnded: self._announcement_ended,
            inputs.WhisperEnded: self._whispered,
            inputs.DigitPressed: self._digit,
            inputs.JobEnded: self._job_ended,
            inputs.LegProbed: self._probed,
            inputs.CommandFailed: self._command_failed,
            inputs.ChannelsListed: self._listed,
            inputs.LinkUp: lambda e: takeover.link_up(self._node, e.core_uuid),
            inputs.LinkDown: lambda e: takeover.link_down(self._node),
            inputs.OfferMade: lambda e: aside.order(self._node, e),
            inputs.OfferEnded: lambda e: conversation.offer_ended(self._node, e),
            inputs.ContactOverflowed: lambda e: overflow.overflowed(self._node, e),
            inputs.ContactTransferred: lambda e: aside.transferred(self._node, e),
            inputs.TransferRefused: lambda e: aside.refused(self._node, e),
            inputs.CallWished: lambda e: wishes.wished(self._node, e),
            inputs.DrainWished: lambda e: moves.wished(self._node, e),
            inputs.DrainFound: lambda e: moves.found(self._node, e),
            inputs.PeerSeen: lambda e: moves.peer_seen(self._node, e),
            inputs.ReferEnded: lambda e: moves.refer_ended(self._node, e),
            inputs.LineSent: lambda e: moves.line_sent(self._node, e),
            inputs.LineOffered: lambda e: line_moves.offered(self._node, e),
            inputs.ContactMoved: lambda e: moves.moved(self._node, e),
            inputs.ContactKnown: lambda e: moves.known(self._node, e),
            inputs.ContactClosed: lambda e: overflow.closed(self._node, e),
            inputs.AgentFreed: lambda e: overflow.agent_freed(self._node, e),
            inputs.WrapUpEnded: lambda e: overflow.wrap_up_ended(self._node, e),
            inputs.PositionKnown: lambda e: (
                callback_menu.wait_known if e.what == callback_menu.EXPECTED else schedule.position_known
            )(self._node, e),
            inputs.CentersRevised: self._revised,
            inputs.BusDown: lambda e: overflow.bus_changed(self._node, up=False),
            inputs.BusUp: lambda e: overflow.bus_changed(self._node, up=True),
            inputs.GatewayChanged: lambda e: None,
            inputs.RouteWished: self._route_wished,
            inputs.HangUpWished: lambda e: overflow.hang_up_wished(self._node, e),
            inputs.TimerFired: self._timer,
        }
        self._timers: dict[str, Callable[[str], object]] = {
            "arrive": lambda key: arrival.arrived(self._node, key),
            "say": lambda key: schedule.due(self._node, key),
            "outage": lambda key: overflow.outage_limit(self._node, key),
            "part": lambda key: conversation.part(self._node, key),
            "farewell": lambda key: overflow.farewell_overdue(self._node, key),
            "settle": lambda key: takeover.settle_due(self._node, key),
            "unbridged": lambda key: conversation.still_apart(self._node, key),
            "job": lambda key: offers.job_lost(self._node, key),
            "bridge": self._bridge_overdue,
            "keys": lambda key: aside.keyed(self._node, key),
            "asked": lambda key: aside.asked_in_vain(self._node, key),
            "rejoin": lambda key: aside.rejoin(self._node, key),
            "wish": lambda key: wishes.overdue(self._node, key),
            "lead": lambda key: self._said(connecting.overdue(self._node, key)),
            "dial": lambda key: orders.dial(self._node, key),
            remote.ASK: lambda key: self._with_offer(key, lambda o: remote.ask(self._node, o)),
            remote.CONFIRM: lambda key: self._with_offer(key, lambda o: offers.not_confirmed(self._node, o)),
            "close": lambda key: self._with_offer(key, self._node.press_close),
            "wrap-up": lambda key: self._with_offer(key, self._wrap_up_over),
            "prompt": lambda key: self._with_offer(
                key, lambda o: conversation.ask_disposition(self._node, o)
            ),
            "farewell-prompt": lambda key: self._with_offer(
                key, lambda o: self._node.say_farewell(o) and None
            ),
            "probe": lambda key: self._with_offer(key, self._probe),
            "callback": lambda key: callback_menu.offer_due(self._node, key),
            "callback-expected": lambda key: callback_menu.look_at_wait(self._node, key),
            "callback-menu": lambda key: callback_menu.overdue(self._node, key),
            "move": lambda key: moves.overdue(self._node, key),
            "departed": lambda key: moves.not_arrived(self._node, key),
            "arrival": lambda key: moves.unanswered(self._node, key),
            moves.LOOK: lambda key: moves.look(self._node),
            "confirm": lambda key: self._with_customer(key, callbacks.not_confirmed),
            "customer-job": lambda key: self._with_customer(key, callbacks.job_lost),
            "customer-close": lambda key: self._with_customer(key, callbacks.close_due),
            "customer-probe": lambda key: self._node.emit(outputs.Probe(contact=key, leg=key)),
            "customer-unheard": self._customer_unheard,
            "customer-redial": lambda key: self._with_customer(key, callbacks.redial),
            lines.TIMER: lambda key: lines.unseen(self._node, key),
            "way-out": lambda key: outward.look_again(self._node, key),
            takeover.LOOK_BACK: lambda key: self._node.emit(outputs.LookBack()),
            AUDIT: lambda key: self._audit(),
        }

    def handle(self, event: inputs.Input) -> list[outputs.Output]:
        """Take one input and return what follows from it, in order."""
        node = self._node
        node.at_us = event.at_us
        node.out = []
        lines.watch(node, event)
        if not supervision.take(node, event):
            self._handlers[type(event)](event)
        connecting.review(node)
        aside.review(node)
        conference.review(node)
        wishes.review(node)
        supervision.review(node)
        moves.review(node)
        return arrival.hold_back(node, node.out) if node.arriving else node.out

    def knows(self, leg: str) -> bool:
        """Whether a listing needs no details of this leg."""
        return takeover.knows(self._node, leg)

    def counts(self, leg: str) -> bool:
        """Whether a listing needs no details of this leg on a trunk."""
        return leg in self._node.lines

    def calls(self) -> list[CallState]:
        """Every contact on the node."""
        return [self._call(caller) for caller in self._node.callers.values()]

    def tenant_of(self, contact: str) -> str:
        """Return the tenant of a contact on this node, ``""`` when it is not here."""
        caller = self._node.callers.get(contact)
        return caller.tenant if caller is not None else ""

    def status(self) -> NodeStatus:
        """The node, for people."""
        node = self._node
        return NodeStatus(
            node=node.name,
            connected=node.link_up,
            draining_since_us=node.drain.since_ms * 1000 if node.drain is not None else 0,
            drained=node.drain is not None and node.drain.drained,
            contacts=len(node.callers) + len(node.arrivals),
            waiting=sum(c.stage in (Stage.WAITING, Stage.MOVING) for c in node.callers.values()),
            legs=node.legs_seen,
        )

    def may_see(self, contact: str, supervisor: str, *, everybody: bool) -> bool:
        """Whether a supervisor may know of a contact on this node."""
        caller = self._node.callers.get(contact)
        return caller is not None and supervision.may(self._node, caller, supervisor, everybody=everybody)

    def open_agent_legs(self) -> int:
        """How many agents' legs are not over yet."""
        return len(self._node.offers)

    def _call(self, caller: Caller) -> CallState:
        offer = self._node.offer_of(caller)
        beside = self._node.asides.get(caller.contact) or self._node.rooms.get(caller.contact)
        second = beside.second if beside is not None else None
        if isinstance(beside, Aside):
            state = _BESIDE.get(beside.step, "consulting")
        else:
            state = _STATES.get(caller.stage, "offered" if offer is not None else "waiting")
        return CallState(
            contact=caller.contact,
            tenant=caller.tenant,
            queue=caller.queue.name,
            state=state,
            waiting_since_us=caller.waiting_since_us,
            agent=offer.agent if offer is not None else "",
            bridged_at_us=caller.bridged_at_us,
            second=second.agent if second is not None else "",
        )

    def call(self, contact: str) -> CallState | None:
        """One contact; None when it is not on this node."""
        caller = self._node.callers.get(contact)
        return self._call(caller) if caller is not None else None

    def _bridged(self, event: inputs.LegBridged) -> None:
        if not aside.bridged(self._node, event):
            conversation.bridged(self._node, event)

    def _unbridged(self, event: inputs.LegUnbridged) -> None:
        aside.unbridged(self._node, event)
        conversation.unbridged(self._node, event)

    def _parked(self, event: inputs.LegParked) -> None:
        if event.caller.state == "moved":
            moves.arrived(self._node, event.caller)
            return
        if arrival.arrived(self._node, event.caller.leg):
            return
        known = self._node.callers.get(event.caller.leg)
        if known is not None and known.stage is Stage.LEAVING and known.way_out is not None:
            outward.came_back(self._node, known)
            return
        if known is not None and known.stage is not Stage.UNSETTLED:
            return
        recovered = bool(event.caller.waiting_ms)
        caller = treatment.adopt(self._node, event.caller, recovered=recovered)
        self._grant_wish(caller)
        if caller is not None and known is not None:
            for held in known.held:
                orders.order(self._node, held)

    def _route_wished(self, event: inputs.RouteWished) -> None:
        """ivr dials by itself; its legs are counted here."""
        node = self._node
        center = node.plans.of(event.tenant, "")
        if center is None:
            node.emit(outputs.RouteChosen(request_id=event.request_id, refusal=NO_ROUTE))
            return
        taken = lines.take(node, center, event.number, purpose="flow", contact=event.contact)
        node.emit(outputs.RouteChosen(request_id=event.request_id, ways=taken.ways, refusal=taken.refusal))

    def _handed_over(self, event: inputs.LegHandedOver) -> None:
        self._grant_wish(arrival.handed_over(self._node, event.caller))

    def _grant_wish(self, caller: Caller | None) -> None:
        if caller is not None and caller.leg.wish == "callback" and not caller.recovered:
            callback_menu.wished(self._node, caller)

    # --- customers who are called back: the same events, until they are callers ---

    def _created(self, event: inputs.LegCreated) -> None:
        if (customer := self._node.customers.get(event.leg)) is not None:
            callbacks.close_due(self._node, customer)  # A kill that came before the channel missed.
        else:
            offers.created(self._node, event.leg)

    def _answered(self, event: inputs.LegAnswered) -> None:
        if (customer := self._node.customers.get(event.leg)) is not None:
            callbacks.answered(self._node, customer)
        elif event.customer is not None:
            callbacks.found(self._node, event.customer)  # Dialled by an owner before; no listing had it yet.
        else:
            offers.answered(self._node, event.leg)

    def _hung_up(self, event: inputs.LegHungUp) -> None:
        if (customer := self._node.customers.get(event.leg)) is not None:
            self._node.remember_gone(event.leg)
            callbacks.hung_up(self._node, customer, event.cause)
        elif event.leg in self._node.arrivals:
            moves.arrival_gone(self._node, event.leg, event.cause)
        else:
            takeover.leg_hung_up(self._node, event)

    def _announcement_ended(self, event: inputs.AnnouncementEnded) -> None:
        if (customer := self._node.customers.get(event.leg)) is not None:
            if customer.announcing == event.file:
                customer.announcing = ""
        elif (offer := self._node.offer_on(event.leg)) is not None:
            customer = self._node.customers.get(offer.contact)
            if customer is not None and customer.agent_announcing == event.file:
                customer.agent_announcing = ""
        else:
            treatment.announcement_ended(self._node, event)
            self._said(connecting.announced(self._node, event.leg, event.file, heard=True))

    def _whispered(self, event: inputs.WhisperEnded) -> None:
        if not remote.said(self._node, event):
            self._said(connecting.whispered(self._node, event))

    def _said(self, offer: Offer | None) -> None:
        """Something that is said before a bridge is over: the bridge follows unless the other part goes on."""
        if offer is not None:
            offers.bridge_when_said(self._node, offer)

    def _digit(self, event: inputs.DigitPressed) -> None:
        node = self._node
        if (customer := node.customers.get(event.leg)) is not None:
            if callbacks.key(node, customer, event.digit):
                orders.customer_ready(node, customer)
        elif (caller := node.callers.get(event.leg)) is not None:
            if not callback_menu.key(node, caller, event):
                overflow.key_pressed(node, event)
        elif not offers.key(node, event) and not aside.digit(node, event):
            conversation.digit(node, event)

    def _job_ended(self, event: inputs.JobEnded) -> None:
        kind, _, contact = event.offer.partition(":")
        if f"{kind}:" == line_moves.JOB:
            line_moves.job_ended(self._node, event)
        elif f"{kind}:" != callbacks.JOB:
            offers.job_ended(self._node, event)
        elif (customer := self._node.customers.get(contact)) and callbacks.job_ended(
            self._node, customer, event
        ):
            orders.customer_ready(self._node, customer)

    def _customer_unheard(self, contact: str) -> None:
        customer = self._node.customers.get(contact)
        if customer is not None and callbacks.unheard(self._node, customer):
            orders.customer_ready(self._node, customer)

    def _with_customer(self, contact: str, act: Callable[[Node, Customer], None]) -> None:
        if (customer := self._node.customers.get(contact)) is not None:
            act(self._node, customer)

    def _probed(self, event: inputs.LegProbed) -> None:
        moves.probed(self._node, event)
        takeover.probed(self._node, event)

    def _listed(self, event: inputs.ChannelsListed) -> None:
        takeover.channels_listed(self._node, event)
        supervision.listed(self._node, event)
        moves.listed(self._node, len(event.present))
        self._node.timer(AUDIT, AUDIT_MS)

    def _audit(self) -> None:
        if self._node.link_up:
            self._node.list_channels()

    def _revised(self, event: inputs.CentersRevised) -> None:
        """New settings hold from the next decision on; no call is touched."""
        node = self._node
        node.plans = event.plans
        for caller in node.callers.values():
            center = event.plans.of(caller.tenant, caller.leg.entry_point)
            if center is not None and center.tenant == caller.tenant:
                caller.center = center
                before, caller.queue = caller.queue, center.queues.get(caller.queue.name, caller.queue)
                if caller.queue.schedule != before.schedule and caller.stage is Stage.WAITING:
                    schedule.arm(node, caller)
        if node.unserved and event.plans.centers:
            node.unserved = False
            node.list_channels()

    def _command_failed(self, event: inputs.CommandFailed) -> None:
        node, command = self._node, event.command
        match command:
            case outputs.Bridge():
                offers.bridge_refused(node, command.offer, event.text)
            case outputs.Kill() | outputs.Probe():
                # The next look at a closing offer repeats it; a caller's leg that cannot be killed is gone or will be listed.
                return
            case outputs.StartAnnouncement():
                caller = node.callers.get(command.contact)
                if caller is not None and caller.announcing == command.file:
                    caller.announcing = ""
                self._said(connecting.announced(node, command.contact, command.file, heard=False))
            case outputs.Whisper():
                self._whispered(inputs.WhisperEnded(at_us=node.at_us, leg=command.leg, heard=False))
            case (
                outputs.Farewell()
                | outputs.TransferOut()
                | outputs.LeaveMessage()
                | outputs.RunSurvey()
                | outputs.PlayMusic()
            ):
                node.line("command_failed", warning=True, contact=command.contact, text=event.text[:120])
                node.emit(outputs.Probe(contact=command.contact, leg=command.leg))
            case _:
                node.line("command_failed", warning=True, contact=command.contact, text=event.text[:120])

    def _timer(self, event: inputs.TimerFired) -> None:
        kind, _, key = event.key.partition(":")
        if kind in FROZEN_TIMERS and not self._node.link_up:
            self._node.timer(event.key, FROZEN_MS)
            return
        self._timers[kind](key)

    def _with_offer(self, offer_id: str, act: Callable[[Offer], object]) -> None:
        if (offer := self._node.offers.get(offer_id)) is not None:
            act(offer)

    def _bridge_overdue(self, offer_id: str) -> None:
        node = self._node
        offer = node.offers.get(offer_id)
        if offer is None or offer.phase is not Phase.ANSWERED:
            return
        caller = node.callers.get(offer.contact)
        if caller is None:
            return
        if node.link_up:
            offers.bridge_overdue(node, offer, caller)
        else:
            treatment.unsettle(node, caller)  # The bridge may stand; nobody can see it now.

    def _wrap_up_over(self, offer: Offer) -> None:
        if offer.phase is Phase.WRAP_UP:
            self._node.close_offer(offer, "NORMAL_CLEARING")

    def _probe(self, offer: Offer) -> None:
        self._node.emit(outputs.Probe(contact=offer.contact, leg=offer.leg))
