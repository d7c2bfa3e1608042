"""Routing's orders: whose phone rings for whom, now or when the phone is free, and when an order cannot be carried out.

An order may come twice, late, or for somebody who is not there any more; it is carried out once, or reported as failed once.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.queue.core import callbacks, offers, remote
from services.queue.core.inputs import OfferMade
from services.queue.core.legs import OUTBOUND, CallerLeg
from services.queue.core.node import Node
from services.queue.core.outputs import Originate, Probe
from services.queue.core.records import Caller, Customer, Offer, Phase, Stage
from services.queue.core.treatment import adopt, remember, unsettle

FORMER_LEG_MS = 1_000  # So long an order waits for the end of the agent's former leg.
INSIST_MS = 500  # And so long when it was told to end once more.
STALE_GRACE_MS = 30_000  # An order so much older than its ring time has long been ended by routing.


def order(node: Node, event: OfferMade) -> None:
    """Ring the agent, once: an order may be redelivered, and may come to a caller who is not there any more."""
    if event.offer_id in node.offers or event.offer_id in node.ended_offers:
        return
    if event.age_ms > event.ring_ms + STALE_GRACE_MS:
        node.line("stale_order_ignored", contact=event.contact_id, offer=event.offer_id, age_ms=event.age_ms)
        return
    if (event.callback_id or event.kind == OUTBOUND) and event.contact_id not in node.callers:
        _order_callback(node, event)
        return
    caller = node.callers.get(event.contact_id)
    if caller is None and (caller := _ghost(node, event)) is None:
        return
    if caller.stage is Stage.UNSETTLED:
        caller.held.append(event)
        return
    refusal = _refusal(node, caller, event)
    offer = _offer(node, event)
    if refusal:
        node.remember_ended(event.offer_id)
        offers.report_failed(node, offer, "withdrawn", refusal)
        return
    if (aside := node.asides.get(caller.contact)) is not None:
        aside.second = offer
    else:
        node.rings_for(caller, offer)
    caller.offers += 1
    _ring(node, event, offer, caller)


def _offer(node: Node, event: OfferMade) -> Offer:
    return Offer(
        offer_id=event.offer_id,
        contact=event.contact_id,
        tenant=event.tenant,
        agent=event.agent_id,
        leg=event.leg,
        queue=event.queue,
        phase=Phase.RINGING,
        made_at_us=node.at_us,
        ring_limit_ms=event.ring_ms,
    )


def _ring(node: Node, event: OfferMade, offer: Offer, caller: Caller | Customer) -> None:
    """Ring the agent, now or when the phone is free."""
    offer.kind = event.kind
    offer.leg_gone = True  # There is none before it is dialled.
    offer.wrap_up_ms = caller.queue.wrap_up_ms
    offer.dispositions = caller.center.keyed_codes(caller.queue)
    offer.originate = Originate(
        contact=offer.contact,
        leg=offer.leg,
        offer=offer.offer_id,
        agent=offer.agent,
        extension=event.extension,
        tenant=caller.center.tenant,
        ring_ms=event.ring_ms,
        ani=caller.leg.ani,
        caller_name=caller.leg.caller_name,
        kind=event.kind,
        callback=event.callback_id or (event.contact_id if event.kind == OUTBOUND else ""),
        phone_node=event.agent_node,
        confirm=bool(event.agent_number) and event.confirm,
    )
    offer.remote = remote.called(event, node.at_us)
    offer.elsewhere = event.agent_node not in ("", node.name)
    node.add_offer(offer)
    if not free_agent(node, event.tenant, event.agent_id):
        node.dial_after(offer, FORMER_LEG_MS)
    elif rest_ms := node.rest_ms(event.tenant, event.agent_id):
        node.dial_after(offer, rest_ms)
    else:
        dial(node, offer.offer_id)


def dial(node: Node, offer_id: str) -> None:
    """Send the originate of an offer; to a number outside when there is a line."""
    offer = node.offers.get(offer_id)
    if offer is not None and offer.originate is not None and _insist(node, offer):
        return
    if offer is not None and offer.phase is Phase.RINGING and (refusal := remote.take_line(node, offer)):
        offer.originate = None
        node.undialled.pop((offer.tenant, offer.agent), None)
        node.cancel_timer(f"dial:{offer_id}")
        offers.ring_failed(node, offer, refusal)
        return
    node.dial(offer_id)


def _insist(node: Node, offer: Offer) -> bool:
    """End, once, what the agent's former leg still hears: a phone in a call would answer busy. Return whether there is such a leg.

    That somebody has left is told in two seconds, and whoever is told it is free for routing from the first moment on.
    """
    left = _former(node, offer.tenant, offer.agent)
    if not left or offer.insisted or not node.link_up:
        return False
    offer.insisted = True
    for former in left:
        node.press_close(former)
    node.dial_after(offer, INSIST_MS)
    return True


def _order_callback(node: Node, event: OfferMade) -> None:
    """Call the customer, or the agent who will be joined with the customer."""
    customer = node.customers.get(event.contact_id)
    if customer is not None and customer.leg.offer == event.offer_id:
        customer.order = customer.order or event  # Read again by a new owner.
        return
    customer = callbacks.hold(node, event)
    if customer is None:
        node.remember_ended(event.offer_id)
        offers.report_failed(node, _offer(node, event), "withdrawn", "customer_busy")
    elif event.agent_leg:
        _take_leg(node, event, _offer(node, event), customer)
    elif event.first == "agent":
        _ring(node, event, _offer(node, event), customer)
    else:
        callbacks.call(node, customer)


def _take_leg(node: Node, event: OfferMade, offer: Offer, customer: Customer) -> None:
    """The agent's phone has dialled: its leg is the offer's, as if it had been rung and answered."""
    offer.kind, offer.leg = event.kind, event.agent_leg
    offer.wrap_up_ms, offer.dispositions = customer.queue.wrap_up_ms, customer.center.dispositions
    offer.ringing_at_us = offer.answered_at_us = node.at_us
    node.add_offer(offer)
    if offer.leg in node.gone_legs:
        offers.agent_leg_hung_up(node, offer, "NORMAL_CLEARING")
        return
    node.set_vars(
        offer.contact,
        offer.leg,
        cc_role="agent",
        cc_state="agent",
        cc_tenant=customer.center.tenant,
        cc_contact=offer.contact,
        cc_offer=offer.offer_id,
        cc_agent=offer.agent,
        cc_kind=event.kind,
        cc_callback=offer.contact,
        presence_data=f"a/{customer.center.tenant}/{offer.contact}/{offer.offer_id}",
        accountcode=offer.contact,
    )
    node.emit(
        Probe(contact=offer.contact, leg=offer.leg)
    )  # It may have been put down before anybody knew whose it is.
    offers.report_answered(node, offer)
    callbacks.agent_waits(node, customer, offer)


def customer_ready(node: Node, customer: Customer) -> None:
    """The customer is on the line and wants to talk: a caller from here on, for the agent who was reserved."""
    event, offer = customer.order, node.offers.get(customer.leg.offer)
    caller = adopt(node, callbacks.ready(node, customer), recovered=False)
    if caller is None:
        return
    if offer is not None and offer.phase is Phase.RINGING and not offer.reported:
        node.rings_for(caller, offer)
        if offer.answered_at_us:
            offers.answered(node, offer.leg, let_go=True)
    elif event is not None and event.first != "agent":
        order(node, replace(event, callback_id="", kind=""))
    else:
        lost = event or OfferMade(
            at_us=node.at_us,
            tenant=caller.tenant,
            offer_id=caller.leg.offer,
            contact_id=caller.contact,
            agent_id=caller.leg.agent,
            extension="",
            queue=caller.queue.name,
            leg="",
            ring_ms=0,
        )
        node.remember_ended(lost.offer_id)
        offers.report_failed(node, _offer(node, lost), "failed", "OWNER_CHANGED")


def _ghost(node: Node, event: OfferMade) -> Caller | None:
    """Remember a contact that only the log knows until FreeSWITCH has said whether its leg lives.

    A plain refusal would be answered by the next order at once, again and again; a leg that is gone is reported as gone.
    """
    leg = CallerLeg(leg=event.contact_id, tenant=event.tenant, queue=event.queue)
    caller = remember(node, leg, Stage.UNSETTLED, recovered=True)
    if caller is not None:
        unsettle(node, caller)
        node.emit(Probe(contact=caller.contact, leg=caller.contact))
    return caller


def carry_out_held(node: Node, caller: Caller) -> None:
    """Carry out what was ordered while nobody knew how the leg is."""
    held, caller.held = caller.held, []
    for event in held:
        order(node, event)


def _refusal(node: Node, caller: Caller, event: OfferMade) -> str:
    """Why an order for the caller cannot be carried out; empty when it can. Phones ring together only when routing says so."""
    if event.kind == "consult":
        aside = node.asides.get(caller.contact)
        wanted = (
            aside is not None and aside.second is None and aside.first.serves and caller.stage is Stage.ASIDE
        )
        return "" if wanted else f"contact_{caller.stage.value}"
    if caller.stage is not Stage.WAITING:
        return f"contact_{caller.stage.value}"
    if node.offer_of(caller) is None:
        return ""
    return "" if event.at_once > 1 and len(node.rings_of(caller)) < event.at_once else "contact_offered"


def free_agent(node: Node, tenant: str, agent: str) -> bool:
    """End what is left of the agent's previous conversation: routing says the agent is free. Return whether nothing is left.

    A key ends the wrap-up here and in routing at the same time, so the next order comes within milliseconds, while the phone
    has not seen the end of the last call: it would answer busy.
    """
    left = _former(node, tenant, agent)
    for offer in left:
        node.close_offer(offer, "NORMAL_CLEARING")
    return not left


def _former(node: Node, tenant: str, agent: str) -> list[Offer]:
    """The agent's legs of conversations that are over."""
    return [
        o
        for o in node.offers.values()
        if o.agent == agent
        and o.tenant == tenant
        and o.phase in (Phase.WRAP_UP, Phase.CLOSING)
        and not o.leg_gone
    ]
