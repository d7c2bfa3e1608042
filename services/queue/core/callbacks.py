"""Calling a customer back, or whom an agent wants to call: from routing's order to a customer who is on the line and wants to talk.

Routing has reserved an agent by an offer of the kind ``callback``. Its contact has no leg; its id is the UUID that the customer's
leg will have. Until the customer is ready the leg is a *customer* in here, not a caller: nothing of a wait is played or decided for it.

``first: customer``   HELD is skipped: DIALLING -> (answer) CONFIRMING -> ready: adopted like any parked leg at its old place, and the
                      agent is rung as in every offer.
``first: agent``      HELD until the agent has answered and hears what this is, then DIALLING -> CONFIRMING -> ready: bridged at once.

``outbound``          as agent first, with a ring tone instead of words and without a confirmation. The agent's leg may be there already, when the
                      phone has dialled.

What can go wrong, and what then: the customer does not answer, is busy, is a machine that presses nothing: ``CallbackAttempted``; an
agent who waits for it is told. The agent puts down, or routing ends the offer: the customer's leg is ended, ``CallbackAttempted``
says that it was not the customer's doing. A new owner finds the leg by ``cc_state=callback``, which it has until it is ready: unanswered, its
answer or end is waited for; answered, it is asked to confirm again. An agent's leg of a callback whose customer was not dialled yet is
given back to routing. Every leg is forgotten only when its job has come and it is gone, as with agents' legs.
"""

from __future__ import annotations

from services.center.outside import DIVERTING, leg_variables
from services.queue.core import lines
from services.queue.core.causes import cause_of, outcome_of
from services.queue.core.facts import CallbackAttempted
from services.queue.core.inputs import JobEnded, OfferMade
from services.queue.core.legs import OUTBOUND, CallerLeg
from services.queue.core.node import CLOSE_RETRY_MAX_MS, CLOSE_RETRY_MS, JOB_GRACE_MS, Node
from services.queue.core.outbound_facts import OutboundAnswered, OutboundDialled, OutboundFailed
from services.queue.core.outputs import (
    CallCustomer,
    Farewell,
    Kill,
    PlayMusic,
    Probe,
    RingBack,
    StartAnnouncement,
    StopAnnouncement,
)
from services.queue.core.plan import CallbackPlan
from services.queue.core.records import Customer, Offer

CONFIRM_MS = 15_000  # An answering machine's greeting is as long; who is there presses sooner.
REDIAL_MS = 200  # A leg's UUID can be had again when the channel is destroyed, some 60 ms after its hangup.
JOB_UNHEARD_MS = 500  # An answered leg whose originate somebody else has is used after this: its end came within 395 ms at worst.
_SAID = {"busy": "call-busy", "no_line": "lines-busy"}  # To an agent whose call came to nothing.
JOB = "customer:"  # What the jobs of customers' legs are named, before the contact.


def hold(node: Node, event: OfferMade) -> Customer | None:
    """Remember whom to call. None when no center document covers the call, or the leg exists already."""
    center = node.plans.of(event.tenant, event.entry_point)
    if center is None or event.contact_id in node.customers or event.contact_id in node.callers:
        return None
    queue = center.queue_for(event.queue, event.entry_point)
    leg = CallerLeg(
        leg=event.contact_id,
        tenant=event.tenant,
        queue=queue.name,
        language=event.language,
        ani=event.number,
        entry_point=event.entry_point,
        started_ms=node.at_us // 1000,
        waiting_ms=event.waiting_since_us // 1000,
        offer=event.offer_id,
        agent=event.agent_id,
        callback=event.callback_id or (event.contact_id if event.kind == OUTBOUND else ""),
        kind=event.kind if event.kind == OUTBOUND else "",
    )
    customer = node.customers[event.contact_id] = Customer(leg=leg, center=center, queue=queue, order=event)
    return customer


def call(node: Node, customer: Customer) -> None:
    """Dial the customer, by a trunk that has not failed in this attempt."""
    plan, leg, order = customer.queue.callback or CallbackPlan(), customer.leg, customer.order
    placed = leg.kind == OUTBOUND
    caller_id = order.caller_id if placed and order is not None else plan.caller_id or leg.entry_point
    dial_ms = order.dial_ms if placed and order is not None and order.dial_ms else plan.dial_ms
    taken = lines.take(
        node,
        customer.center,
        leg.ani,
        purpose=OUTBOUND if placed else "callback",
        contact=leg.leg,
        leg=leg.leg,
        caller_id=caller_id,
        ours=True,
        agent=leg.agent,
        without=customer.tried,
        quiet=bool(customer.tried),
    )
    if not taken.ways:
        outcome = outcome_of(customer.cause) if customer.tried else "no_line"
        failed(node, customer, outcome, customer.cause or taken.refusal, gone=True)
        return
    customer.tried.append(taken.ways[0].trunk)
    customer.leg_gone, customer.cause = False, ""
    customer.step, customer.job_pending, customer.called_at_us = "dialling", True, node.at_us
    node.emit(
        CallCustomer(
            contact=leg.leg,
            leg=leg.leg,
            offer=JOB + leg.leg,
            way=taken.ways[0],
            ring_ms=dial_ms,
            variables=(
                ("cc_tenant", customer.center.tenant),
                ("cc_contact", leg.leg),
                ("cc_queue", leg.queue),
                ("cc_language", leg.language),
                ("cc_entry", leg.entry_point),
                ("cc_state", "callback"),
                ("cc_role", "customer"),
                ("cc_callback", leg.callback),
                ("cc_kind", leg.kind),
                ("cc_number", leg.ani),
                ("cc_offer", leg.offer),
                ("cc_agent", leg.agent),
                *leg_variables(taken.ways[0], customer.center.tenant, leg.leg).items(),
                ("cc_started_ms", str(leg.started_ms)),
                ("cc_waiting_ms", str(leg.waiting_ms)),
                ("presence_data", f"c/{customer.center.tenant}/{leg.leg}"),
                ("accountcode", leg.leg),
            ),
        )
    )
    node.timer(f"customer-job:{leg.leg}", dial_ms + JOB_GRACE_MS)
    if placed:
        way = taken.ways[0]
        dialled = OutboundDialled(
            contact_id=leg.leg,
            offer_id=leg.offer,
            agent_id=leg.agent,
            number=leg.ani,
            trunk=way.trunk,
            caller_id=way.caller_id,
            at_us=node.at_us,
        )
        node.report(customer.center.tenant, dialled, "outbound-dialled", str(len(customer.tried)))


def answered(node: Node, customer: Customer) -> bool:
    """CHANNEL_ANSWER. Whether the customer is ready now."""
    customer.answered = True
    if customer.step == "closing":
        _press(node, customer)
    elif customer.step == "dialling" and not customer.job_pending:
        node.timer(f"customer-unheard:{customer.contact}", JOB_UNHEARD_MS)
    return False


def unheard(node: Node, customer: Customer) -> bool:
    """The leg has been answered for long enough that its originate has let go of it."""
    return _there(node, customer) if customer.step == "dialling" and customer.answered else False


def job_ended(node: Node, customer: Customer, event: JobEnded) -> bool:
    """The originate is over. Whether the customer is ready now."""
    if not customer.job_pending:
        return False
    customer.job_pending = False
    node.cancel_timer(f"customer-job:{customer.contact}")
    if customer.step == "closing":
        _press(node, customer)
        return False
    if event.ok:
        customer.answered = True
        return _there(node, customer)
    customer.cause = customer.cause or cause_of(event.text)
    if event.known and customer.cause in DIVERTING:
        lines.failed(node, customer.contact, customer.cause)
    if (
        event.known
        and customer.cause in DIVERTING
        and not lines.refusal(node, customer.center, customer.leg.ani, customer.tried)
    ):
        customer.step, customer.leg_gone = "redialling", True
        node.timer(f"customer-redial:{customer.contact}", REDIAL_MS)
    elif event.known and customer.cause:
        failed(node, customer, outcome_of(customer.cause), customer.cause, gone=True)
    else:
        node.emit(Probe(contact=customer.contact, leg=customer.contact))
    return False


def redial(node: Node, customer: Customer) -> None:
    """The way failed, not the customer: by the next trunk, or not at all."""
    if customer.step == "redialling":
        call(node, customer)


def _there(node: Node, customer: Customer) -> bool:
    """The customer has answered and the leg is parked."""
    if customer.leg.kind == OUTBOUND:
        leg = customer.leg
        joined = OutboundAnswered(
            contact_id=leg.leg,
            offer_id=leg.offer,
            agent_id=leg.agent,
            number=leg.ani,
            ring_ms=_rang_ms(node, customer),
            at_us=node.at_us,
        )
        node.report(customer.center.tenant, joined, "outbound-answered", "0")
        return True
    node.emit(PlayMusic(contact=customer.contact, leg=customer.contact, music=customer.queue.music))
    plan = customer.queue.callback or CallbackPlan()
    file = customer.prompt("callback-customer")
    if not plan.confirm or not file:
        return True
    customer.step, customer.announcing = "confirming", file
    node.emit(StartAnnouncement(contact=customer.contact, leg=customer.contact, file=file))
    node.timer(f"confirm:{customer.contact}", CONFIRM_MS)
    return False


def key(node: Node, customer: Customer, digit: str) -> bool:
    """A key of the customer. Whether the customer is ready now."""
    return customer.step == "confirming" and digit == "1"


def ready(node: Node, customer: Customer) -> CallerLeg:
    """Give the leg away: from now on it is a caller's."""
    node.cancel_timer(
        *(f"{kind}:{customer.contact}" for kind in ("confirm", "customer-job", "customer-unheard"))
    )
    if customer.announcing:
        node.emit(StopAnnouncement(contact=customer.contact, leg=customer.contact, file=customer.announcing))
    offer = node.offers.get(customer.leg.offer)
    if customer.agent_announcing and offer is not None:
        node.emit(StopAnnouncement(contact=customer.contact, leg=offer.leg, file=customer.agent_announcing))
    del node.customers[customer.contact]
    node.set_vars(customer.contact, customer.contact, cc_state="waiting")
    return customer.leg


def not_confirmed(node: Node, customer: Customer) -> None:
    """Nobody pressed the key: a machine, or somebody who does not want to talk now."""
    if customer.step == "confirming":
        failed(node, customer, "machine", "NOT_CONFIRMED")


def hung_up(node: Node, customer: Customer, cause: str) -> None:
    """The customer's leg is over before it was ready."""
    customer.leg_gone = True
    if customer.step == "closing":
        settle(node, customer)
        return
    if customer.step == "redialling":
        return
    if customer.job_pending and not customer.answered and cause in DIVERTING:
        customer.cause = cause  # The end of the originate follows, and then another trunk is tried.
        return
    outcome = "declined" if customer.answered else outcome_of(cause)
    failed(node, customer, outcome, cause, gone=True)


def failed(node: Node, customer: Customer, outcome: str, cause: str, *, gone: bool = False) -> None:
    """The customer is not reached: tell routing, and the agent who waits for it."""
    if customer.step == "closing":
        return
    offer = node.offers.get(customer.leg.offer)
    if offer is not None and not offer.reported:
        _tell_agent(node, customer, offer, outcome)
    customer.leg_gone = customer.leg_gone or gone
    _report(node, customer, outcome, cause)
    _close(node, customer)


def _tell_agent(node: Node, customer: Customer, offer: Offer, outcome: str) -> None:
    """Say that nobody was reached and end the leg; a phone that still rings just stops."""
    offer.reported = True
    offer.cause = offer.cause or "customer_missed"
    if not offer.answered_at_us:
        node.close_offer(offer, "ORIGINATOR_CANCEL")
        return
    said = _SAID.get(outcome, "call-failed") if customer.leg.kind == OUTBOUND else "callback-missed"
    file = customer.center.prompt(said, customer.center.agent_language(offer.agent))
    node.end_after_prompt(offer, Farewell(contact=offer.contact, leg=offer.leg, file=file))


def agent_left(node: Node, customer: Customer, outcome: str, cause: str) -> None:
    """The agent's leg is over and the customer is being called, or was about to be."""
    if customer.step == "closing":
        return
    if customer.step == "held":
        del node.customers[customer.contact]
        return
    _report(node, customer, "agent_left", cause, agent_outcome=outcome)
    _close(node, customer)


def withdrawn(node: Node, customer: Customer) -> None:
    """Routing has ended the offer."""
    if customer.step == "held":
        del node.customers[customer.contact]
    elif customer.step != "closing":
        _report(node, customer, "agent_left", "WITHDRAWN")
        _close(node, customer)


def agent_waits(node: Node, customer: Customer, offer: Offer) -> None:
    """The agent has answered first: say what this is, and call the customer."""
    if customer.step != "held":
        return
    if customer.leg.kind == OUTBOUND:
        dialled = customer.order is not None and bool(customer.order.agent_leg)
        node.emit(RingBack(contact=offer.contact, leg=offer.leg, keys=dialled))
        call(node, customer)
        return
    node.emit(PlayMusic(contact=offer.contact, leg=offer.leg, music=customer.queue.music))
    if file := customer.center.prompt("callback-agent", customer.center.agent_language(offer.agent)):
        customer.agent_announcing = file
        node.emit(StartAnnouncement(contact=offer.contact, leg=offer.leg, file=file))
    call(node, customer)


def _rang_ms(node: Node, customer: Customer) -> int:
    return max(0, (node.at_us - customer.called_at_us) // 1000) if customer.called_at_us else 0


def _report(node: Node, customer: Customer, outcome: str, cause: str, *, agent_outcome: str = "") -> None:
    kept = node.keep(node.offers.get(customer.leg.offer))
    if customer.leg.kind == OUTBOUND:
        lost = OutboundFailed(
            contact_id=customer.contact,
            offer_id=customer.leg.offer,
            agent_id=customer.leg.agent,
            number=customer.leg.ani,
            outcome=outcome,
            cause=cause,
            ring_ms=_rang_ms(node, customer),
            at_us=node.at_us,
            kept_offer_id=kept,
        )
        node.report(customer.center.tenant, lost, "outbound-failed", "0")
        return
    node.report(
        customer.center.tenant,
        CallbackAttempted(
            contact_id=customer.contact,
            callback_id=customer.leg.callback,
            outcome=outcome,
            cause=cause,
            number=customer.leg.ani,
            offer_id=customer.leg.offer,
            agent_id=customer.leg.agent,
            agent_outcome=agent_outcome,
            ring_ms=_rang_ms(node, customer),
            at_us=node.at_us,
            kept_offer_id=kept,
        ),
        "callback-attempted",
        "0",
    )


def _close(node: Node, customer: Customer) -> None:
    customer.step, customer.retries = "closing", 0
    node.cancel_timer(
        f"confirm:{customer.contact}",
        f"customer-unheard:{customer.contact}",
        f"customer-redial:{customer.contact}",
    )
    if not customer.leg_gone:
        node.emit(Kill(contact=customer.contact, leg=customer.contact, cause="ORIGINATOR_CANCEL"))
    settle(node, customer)


def settle(node: Node, customer: Customer) -> None:
    """Forget a closing customer once the job has come and the leg is gone; otherwise look again later."""
    if customer.step != "closing":
        return
    if not customer.job_pending and customer.leg_gone:
        node.cancel_timer(f"customer-close:{customer.contact}", f"customer-job:{customer.contact}")
        del node.customers[customer.contact]
        node.remember_gone(customer.contact)
        return
    wait_ms = min(CLOSE_RETRY_MS << min(customer.retries, 5), CLOSE_RETRY_MAX_MS)
    node.timer(f"customer-close:{customer.contact}", wait_ms)


def _press(node: Node, customer: Customer) -> None:
    """Send the kill of a closing leg again and ask whether it lives."""
    customer.retries += 1
    if node.link_up and not customer.leg_gone:
        node.emit(
            Kill(contact=customer.contact, leg=customer.contact, cause="ORIGINATOR_CANCEL"),
            Probe(contact=customer.contact, leg=customer.contact),
        )
    settle(node, customer)


def close_due(node: Node, customer: Customer) -> None:
    """Time to look at a closing leg again."""
    if customer.step == "closing":
        _press(node, customer)


def job_lost(node: Node, customer: Customer) -> None:
    """The ring time is long over and the job has not come."""
    if customer.job_pending:
        node.line("originate_job_lost", warning=True, contact=customer.contact, leg=customer.contact)
        lost = JobEnded(at_us=node.at_us, offer=JOB + customer.contact, ok=False, text="", known=False)
        job_ended(node, customer, lost)


def probed(node: Node, customer: Customer, *, alive: bool, is_answered: bool) -> None:
    """What FreeSWITCH says of the leg."""
    if customer.step == "redialling":
        return
    if not alive:
        if not customer.job_pending:
            hung_up(node, customer, customer.cause or "UNKNOWN")
        return
    if customer.step == "closing":
        settle(node, customer)
    elif is_answered and not customer.answered:
        answered(node, customer)
    elif not customer.job_pending and customer.step == "dialling":
        # It rings under somebody else's job. FreeSWITCH ends it by its originate timeout; then it is asked again.
        node.timer(f"customer-probe:{customer.contact}", JOB_GRACE_MS)


def found(node: Node, leg: CallerLeg) -> None:
    """A new owner finds a customer's leg that is not ready."""
    center = node.plans.of(leg.tenant, leg.entry_point)
    if center is None or leg.leg in node.customers or leg.leg in node.callers:
        return
    customer = Customer(
        leg=leg, center=center, queue=center.queue_for(leg.queue, leg.entry_point), step="dialling"
    )
    node.customers[leg.leg] = customer
    probed(node, customer, alive=True, is_answered=leg.answered)


def link_up(node: Node, *, restarted: bool) -> None:
    """Events may have been missed; with another Core-UUID every leg is gone."""
    for customer in list(node.customers.values()):
        if restarted:
            customer.job_pending = False
            if customer.step == "held":
                del node.customers[customer.contact]
            else:
                hung_up(node, customer, "SWITCH_RESTARTED")
        elif customer.step != "held":
            node.emit(Probe(contact=customer.contact, leg=customer.contact))
