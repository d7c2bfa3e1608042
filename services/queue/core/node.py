"""The engine's memory of one node: callers, offers, and what is put out while one input is handled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.queue.core.facts import AgentReleased, Observation
from services.queue.core.inputs import LegHungUp
from services.queue.core.listening import Supervision
from services.queue.core.outputs import (
    AskPosition,
    CancelTimer,
    Command,
    Farewell,
    Kill,
    Line,
    ListChannels,
    Output,
    Park,
    Probe,
    Report,
    SetTimer,
    SetVars,
    WishAnswered,
)
from services.queue.core.plan import Plans
from services.queue.core.records import (
    Arrival,
    Aside,
    Caller,
    Customer,
    Departed,
    Drain,
    Lead,
    Offer,
    Phase,
    Room,
    TrunkLine,
    Wish,
)

REMEMBERED = (
    4096  # Ended offers whose order may be redelivered; ended legs that a listing under way may name.
)
CLOSE_RETRY_MS = 200  # First repetition of a kill that may have missed.
CLOSE_RETRY_MAX_MS = 5_000
HUNG_UP_MS = 50  # CHANNEL_HANGUP comes before the BYE is sent (8 ms on a busy machine); an INVITE between the two meets a busy phone.
BRIDGE_UNHEARD_MS = (
    500  # A bridge that has not come about by then has left its legs where a transfer finds them.
)
JOB_GRACE_MS = 10_000  # A job that has not come so long after the ring time is lost.


T = TypeVar("T")


def _remember(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)


@dataclass(slots=True)
class Node:
    """Everything the engine remembers of its FreeSWITCH node."""

    name: str
    plans: Plans = field(default_factory=Plans)
    callers: dict[str, Caller] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    offer_by_leg: dict[str, str] = field(default_factory=dict)
    supervisions: dict[str, Supervision] = field(default_factory=dict)  # By the supervisor's leg.
    undialled: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # Offer that waits for its agent's former leg.
    last_leg_us: dict[tuple[str, str], int] = field(default_factory=dict)  # When an agent's last call ended.
    ended_offers: OrderedDict[str, None] = field(default_factory=OrderedDict)
    gone_legs: OrderedDict[str, None] = field(
        default_factory=OrderedDict
    )  # A listing read before may still have them.
    strangers_gone: OrderedDict[str, LegHungUp] = field(
        default_factory=OrderedDict
    )  # Ends of legs that had not been read: routing may know whose they were.
    missed: OrderedDict[str, int] = field(
        default_factory=OrderedDict
    )  # Contacts that routing has open and the switch has not: since when.
    arriving: dict[str, list[Command]] = field(
        default_factory=dict
    )  # By contact: held back, see ``arrival``.
    asides: dict[str, Aside] = field(default_factory=dict)  # By contact.
    rooms: dict[str, Room] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    lines: dict[str, TrunkLine] = field(default_factory=dict)  # By leg.
    resting: dict[str, int] = field(default_factory=dict)  # Gateways that are tried last, until when.
    leads: dict[str, Lead] = field(default_factory=dict)  # By offer.
    drain: Drain | None = None
    in_service: bool = False  # The switch was told so: later than whoever says that it is being emptied.
    refer: Mapping[str, str] = field(
        default_factory=dict
    )  # Where callers are sent by REFER: SIP addresses by node.
    peers: tuple[str, ...] = ()  # Other nodes, which can take over the lines of this one.
    lines_asked: dict[str, list[str]] = field(
        default_factory=dict
    )  # Requests by contact: its line is being taken over.
    down: set[str] = field(default_factory=set)  # Other nodes that routing does not hear of,
    emptied: set[str] = field(default_factory=set)  # and those that are being emptied too.
    arrivals: dict[str, Arrival] = field(default_factory=dict)  # By contact.
    departed: dict[str, Departed] = field(default_factory=dict)
    legs_seen: int = 0
    link_up: bool = False
    core_uuid: str = ""  # Of the FreeSWITCH that the legs were last seen in.
    bus_up: bool = True
    unserved: bool = False  # A leg waits that no center document covers.
    at_us: int = 0
    out: list[Output] = field(default_factory=list)

    # --- output ---

    def emit(self, *outputs: Output) -> None:
        self.out.extend(outputs)

    def report(self, tenant: str, fact: Observation, what: str, n: str) -> None:
        """Report under the id ``<contact>:<what>:<n>``: whoever sees the same thing again gives it the same id."""
        self.emit(Report(tenant=tenant, fact_id=f"{fact.contact_id}:{what}:{n}", fact=fact))

    def timer(self, key: str, after_ms: int) -> None:
        self.emit(SetTimer(key=key, after_ms=after_ms))

    def cancel_timer(self, *keys: str) -> None:
        self.emit(*(CancelTimer(key=key) for key in keys))

    def line(self, event: str, *, warning: bool = False, **fields: str | int | bool) -> None:
        self.emit(Line(event=event, fields=tuple(fields.items()), warning=warning))

    def ask_position(self, caller: Caller, what: str) -> None:
        """Ask routing for the caller's place and expected wait; the answer comes back as an input under ``what``."""
        self.emit(
            AskPosition(
                tenant=caller.tenant,
                contact=caller.contact,
                language=caller.leg.language,
                queue=caller.queue.name,
                what=what,
            )
        )

    def set_vars(self, contact: str, leg: str, **values: str) -> None:
        self.emit(SetVars(contact=contact, leg=leg, values=tuple(values.items())))

    def grant(self, contact: str, *verbs: str) -> None:
        """The effect of a wish was seen."""
        if (wish := self.wishes.get(contact)) is not None and wish.verb in verbs:
            self._answer(contact, WishAnswered(request_id=wish.request_id, contact=contact))

    def deny(self, contact: str, slug: str, reason: str, *, status: int = 409) -> None:
        """The wish that waits will have no effect."""
        if (wish := self.wishes.get(contact)) is not None:
            answer = WishAnswered(
                request_id=wish.request_id, contact=contact, slug=slug, reason=reason, status=status
            )
            self._answer(contact, answer)

    def _answer(self, contact: str, answer: WishAnswered) -> None:
        del self.wishes[contact]
        self.cancel_timer(f"wish:{contact}")
        if answer.request_id:
            self.emit(answer)

    def list_channels(self) -> None:
        self.emit(ListChannels())

    # --- offers ---

    def offer_of(self, caller: Caller) -> Offer | None:
        """The caller's running offer."""
        return self.offers.get(caller.offer_id) if caller.offer_id else None

    def rings_of(self, caller: Caller) -> list[Offer]:
        """The offers of the caller whose phones ring."""
        return [self.offers[offer_id] for offer_id in caller.rings if offer_id in self.offers]

    def rings_for(self, caller: Caller, offer: Offer) -> None:
        """From now on the phone of this offer rings for the caller."""
        caller.offer_id = offer.offer_id
        if offer.offer_id not in caller.rings:
            caller.rings.append(offer.offer_id)

    def offer_on(self, leg: str) -> Offer | None:
        """The offer whose agent leg this is."""
        return self.offers.get(self.offer_by_leg.get(leg, ""))

    def add_offer(self, offer: Offer) -> None:
        self.offers[offer.offer_id] = offer
        self.offer_by_leg[offer.leg] = offer.offer_id

    def remember_ended(self, offer_id: str) -> None:
        _remember(self.ended_offers, offer_id, None)

    def remember_gone(self, leg: str) -> None:
        _remember(self.gone_legs, leg, None)

    def remember_stranger(self, end: LegHungUp) -> None:
        _remember(self.strangers_gone, end.leg, end)

    def missed_for(self, contact: str, at_least_ms: int) -> bool:
        """Whether a contact has been missed for so long; the first question begins it."""
        if contact not in self.missed:
            _remember(self.missed, contact, self.at_us)
        return self.at_us - self.missed[contact] >= at_least_ms * 1000

    def close_offer(self, offer: Offer, cause: str) -> None:
        """End the agent's leg and see to it that it is really over.

        A kill can miss: FreeSWITCH may have no channel for the leg yet although the originate runs (2 of 30 when sent on another
        connection). So it is repeated until the job has come and the leg is gone.
        """
        if offer.phase is Phase.CLOSING:
            return
        offer.phase = Phase.CLOSING
        offer.kill_cause = cause
        offer.retries = 0
        self.cancel_timer(f"bridge:{offer.offer_id}", f"wrap-up:{offer.offer_id}", f"prompt:{offer.offer_id}")
        caller = self.callers.get(offer.contact)
        if caller is not None:
            if offer.offer_id in caller.rings:
                caller.rings.remove(offer.offer_id)
            if caller.offer_id == offer.offer_id:
                caller.offer_id = caller.rings[-1] if caller.rings else ""
        if not offer.leg_gone:
            self.emit(Kill(contact=offer.contact, leg=offer.leg, cause=cause))
        self.settle_offer(offer)

    def keep(self, offer: Offer | None) -> str:
        """The id of an offer whose agent answered in vain and is on the line still, for the report that ends it; else an empty string.

        Routing has that agent busy until ``AgentReleased``: the next order may come on another node, which would find the phone in a call.
        """
        if offer is None or offer.phase is not Phase.CLOSING or not offer.answered_at_us or offer.leg_gone:
            return ""
        offer.kept = True
        return offer.offer_id

    def end_after_prompt(self, offer: Offer, farewell: Farewell) -> None:
        """End the agent's leg when it has heard a prompt; the kill follows should that not end it.

        A transfer in the middle of a bridge is lost: the bridge goes on, finds nobody, and leaves the leg connected and silent. So is
        one before originate has parked the leg. There the prompt waits for the end of either. Who is being told something before the
        bridge is in neither.
        """
        lead = self.leads.get(offer.offer_id)
        unsettled = offer.phase is Phase.ANSWERED and not (lead is not None and lead.whispering_since_us)
        offer.phase = Phase.CLOSING
        offer.retries = 5
        self.cancel_timer(f"bridge:{offer.offer_id}")
        offer.farewell = farewell
        if unsettled:
            self.timer(f"farewell-prompt:{offer.offer_id}", BRIDGE_UNHEARD_MS)
        else:
            self.say_farewell(offer)
        self.settle_offer(offer)

    def say_farewell(self, offer: Offer) -> bool:
        """Say now what waited for it. Return whether anything did."""
        farewell, offer.farewell = offer.farewell, None
        if farewell is None or offer.phase is not Phase.CLOSING or offer.leg_gone:
            return False
        self.cancel_timer(f"farewell-prompt:{offer.offer_id}")
        self.emit(farewell)
        return True

    def settle_offer(self, offer: Offer) -> None:
        """Forget a closing offer once its job has come and its leg is gone; otherwise look again later."""
        if offer.phase is not Phase.CLOSING:
            return
        if offer.job_pending or not offer.leg_gone:
            self.timer(
                f"close:{offer.offer_id}", min(CLOSE_RETRY_MS << min(offer.retries, 5), CLOSE_RETRY_MAX_MS)
            )
            return
        self.cancel_timer(
            f"close:{offer.offer_id}", f"job:{offer.offer_id}", f"farewell-prompt:{offer.offer_id}"
        )
        del self.offers[offer.offer_id]
        self.offer_by_leg.pop(offer.leg, None)
        self.remember_ended(offer.offer_id)
        if offer.kept or (offer.recovered and not offer.bridged_at_us):
            released = AgentReleased(
                offer_id=offer.offer_id, contact_id=offer.contact, agent_id=offer.agent, at_us=self.at_us
            )
            self.report(offer.tenant, released, "released", offer.offer_id)
        if offer.answered_at_us or offer.bridged_at_us:
            self.last_leg_us[(offer.tenant, offer.agent)] = self.at_us
        if next_offer := self.undialled.get((offer.tenant, offer.agent)):
            self.timer(f"dial:{next_offer}", HUNG_UP_MS)
        self.line(
            "agent_leg_over",
            contact=offer.contact,
            tenant=offer.tenant,
            offer=offer.offer_id,
            agent=offer.agent,
            leg=offer.leg,
            queue=offer.queue,
            ring_ms=offer.ring_ms(self.at_us),
            talk_ms=(self.at_us - offer.bridged_at_us) // 1000 if offer.bridged_at_us else 0,
            answered=bool(offer.answered_at_us),
            bridged=bool(offer.bridged_at_us),
            cause=offer.cause,
            recovered=offer.recovered,
        )

    def dial_after(self, offer: Offer, wait_ms: int) -> None:
        """Send the originate in so many ms, or when the agent's former leg is gone."""
        self.undialled[(offer.tenant, offer.agent)] = offer.offer_id
        self.timer(f"dial:{offer.offer_id}", wait_ms)

    def rest_ms(self, tenant: str, agent: str) -> int:
        """How long the agent's phone may still be busy with the leg that ended last."""
        since_us = self.at_us - self.last_leg_us.get((tenant, agent), 0)
        return HUNG_UP_MS - since_us // 1000 if 0 <= since_us < HUNG_UP_MS * 1000 else 0

    def dial(self, offer_id: str) -> None:
        """Send the originate of an offer, which may have waited for its agent's former leg."""
        offer = self.offers.get(offer_id)
        if offer is None or offer.originate is None:
            return
        self.undialled.pop((offer.tenant, offer.agent), None)
        self.cancel_timer(f"dial:{offer_id}")
        originate, offer.originate = offer.originate, None
        if offer.phase is not Phase.RINGING:
            return
        offer.job_pending, offer.leg_gone = True, False
        offer.made_at_us = self.at_us
        self.emit(originate)
        self.timer(f"job:{offer_id}", offer.ring_limit_ms + JOB_GRACE_MS)

    def park(self, offer: Offer) -> None:
        """Out of a room, to wait for a key."""
        self.emit(Park(contact=offer.contact, leg=offer.leg))

    def press_close(self, offer: Offer) -> None:
        """Send the kill of a closing offer again and ask whether the leg lives."""
        offer.retries += 1
        if self.link_up and not offer.leg_gone:
            self.emit(
                Kill(contact=offer.contact, leg=offer.leg, cause=offer.kill_cause),
                Probe(contact=offer.contact, leg=offer.leg),
            )
        self.settle_offer(offer)
