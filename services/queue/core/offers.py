"""From the ringing phone to the bridge: answer, bridge, and every way in which that fails. ``orders`` comes before it.

The agent's leg is named first in ``uuid_bridge``. The other order loses people: a caller who hangs up in that moment leaves the
agent's leg connected and silent for ever, and an agent who hangs up takes the waiting caller along (5 of 24). With the agent first the
caller was never lost, only silent, and is rescued by a transfer to music when no CHANNEL_BRIDGE follows.

The bridge waits for the end of the originate. ``originate ... &park()`` sets the answered leg's state to CS_EXECUTE as its last act,
some milliseconds after CHANNEL_ANSWER and longer on a machine with too much to do. When that hits a ``uuid_bridge`` under way, FreeSWITCH
finds the agent's leg "not ready" and hangs up the *caller* with DESTINATION_OUT_OF_ORDER (switch_ivr_bridge.c,
uuid_bridge_on_soft_execute): seen once in about a hundred calls under load. The job's +OK is written after that act, and costs 15 ms.
"""

from __future__ import annotations

from services.center.outside import DIVERTING
from services.queue.core import callbacks, connecting, lines, remote
from services.queue.core.causes import cause_of, outcome_of
from services.queue.core.facts import OfferAnswered, OfferFailed, OfferRinging
from services.queue.core.inputs import DigitPressed, JobEnded, LegProbed, OfferEnded
from services.queue.core.node import JOB_GRACE_MS, Node
from services.queue.core.outputs import Bridge, Probe
from services.queue.core.records import Caller, Customer, Offer, Phase, Stage, Step
from services.queue.core.treatment import back_to_music, stop_announcement

# +OK to CHANNEL_BRIDGE took 45 ms at p50 and 112 ms at worst on an idle machine. When it has not come, both legs are asked for;
# as long as both live, it may still come on a machine with too much to do, and taking a bridge apart is worse than a second of waiting.
BRIDGE_LIMIT_MS = 500
# A look that is not answered yet does not count: the switch, or the way to it, has too much to do, and so has the bridge. Under an overload
# of five calls a second too many, sound bridges took 3.4 s.
BRIDGE_LOOKS = 4
BRIDGE_PATIENCE_MS = 10_000
JOB_LATE_MS = 2_000  # So long an answered leg waits for its originate's +OK.
JOB_UNHEARD_MS = 500  # The same where another connection has the job; its end came within 395 ms at worst.


def _agent_before_customer(node: Node, offer: Offer, customer: Customer, *, let_go: bool) -> None:
    """The agent has answered and the customer is not there yet."""
    if not offer.answered_at_us:
        offer.answered_at_us = node.at_us
        report_answered(node, offer)
    if let_go or not offer.job_pending:
        callbacks.agent_waits(node, customer, offer)


def created(node: Node, leg: str) -> None:
    """A kill that came before the channel missed: repeat it now."""
    if (offer := node.offer_on(leg)) is not None:
        offer.leg_seen = True
        if offer.phase is Phase.CLOSING:
            node.press_close(offer)


def ringing(node: Node, leg: str) -> None:
    offer = node.offer_on(leg)
    if offer is None or offer.phase is not Phase.RINGING or offer.ringing_at_us:
        return
    offer.leg_seen = True
    offer.ringing_at_us = node.at_us
    node.report(
        offer.tenant,
        OfferRinging(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            agent_leg_id=offer.leg,
            at_us=node.at_us,
        ),
        "ringing",
        offer.offer_id,
    )


def answered(node: Node, leg: str, *, let_go: bool = False) -> None:
    """Prepare the bridge, and make it once originate has let go of the leg."""
    offer = node.offer_on(leg)
    if offer is None:
        return
    offer.leg_seen = True
    if offer.phase is Phase.CLOSING:
        node.press_close(offer)
        return
    if offer.phase is not Phase.RINGING:
        return
    if not remote.picked_up(node, offer, let_go=let_go):
        return
    if (customer := node.customers.get(offer.contact)) is not None:
        _agent_before_customer(node, offer, customer, let_go=let_go)
        return
    caller = node.callers.get(offer.contact)
    if offer.kind == "consult":
        _colleague_answered(node, offer, let_go=let_go)
        return
    if caller is None or caller.stage is not Stage.WAITING or offer.offer_id not in caller.rings:
        report_failed(node, offer, "withdrawn", "contact_not_waiting")
        node.close_offer(offer, "ORIGINATOR_CANCEL")
        return
    offer.phase = Phase.ANSWERED
    offer.answered_at_us = offer.answered_at_us or node.at_us
    caller.stage = Stage.BRIDGING
    for other in node.rings_of(caller):
        if other is not offer:
            # Routing withdraws it on reading OfferAnswered. The cause makes the phone say "answered elsewhere", not "missed".
            other.reported = True
            other.cause = "LOSE_RACE"
            node.close_offer(other, "LOSE_RACE")
    caller.rings.clear()
    caller.offer_id = offer.offer_id
    report_answered(node, offer)
    stop_announcement(node, caller)
    lead = connecting.prepare(node, caller, offer)
    # An ivr that hung after the hand-over closes its socket late: FreeSWITCH would then take the leg out of the bridge, back to the
    # dialplan (mod_event_socket.c, the end of a listener, sets CS_RESET).
    # RECORD_STEREO must be there before the recording starts; setting it here saves a command after the bridge.
    node.set_vars(
        caller.contact,
        caller.contact,
        socket_resume="false",
        park_after_bridge="true",
        uuid_bridge_park_on_cancel="true",
        RECORD_STEREO="true",
        cc_state="talking",
        cc_offer=offer.offer_id,
        cc_agent=offer.agent,
        **({"cc_step": connecting.STEP} if lead is not None else {}),
    )
    if lead is not None:
        connecting.begin(node, caller, lead)
    _bridge_when_let_go(node, offer, let_go=let_go)


def key(node: Node, event: DigitPressed) -> bool:
    """A key of whoever answered at an agent's number outside. Return whether it was one."""
    offer = node.offer_on(event.leg)
    if offer is None or not remote.waits(offer):
        return False
    if event.digit == remote.KEY:
        answered(node, offer.leg, let_go=remote.confirmed(node, offer))
    return True


def not_confirmed(node: Node, offer: Offer) -> None:
    """Somebody picked up at an agent's number outside and pressed nothing."""
    if remote.waits(offer):
        ring_failed(node, offer, remote.NOT_CONFIRMED)


def report_answered(node: Node, offer: Offer) -> None:
    node.report(
        offer.tenant,
        OfferAnswered(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            ring_ms=offer.ring_ms(node.at_us),
            at_us=node.at_us,
        ),
        "answered",
        offer.offer_id,
    )


def _colleague_answered(node: Node, offer: Offer, *, let_go: bool) -> None:
    """Bridge who is asked with who asks; both stay parked when the other is taken out of that bridge."""
    aside = node.asides.get(offer.contact)
    if aside is None or aside.second is not offer or aside.step is not Step.RINGING:
        report_failed(node, offer, "withdrawn", "nobody_asks")
        node.close_offer(offer, "ORIGINATOR_CANCEL")
        return
    offer.phase = Phase.ANSWERED
    offer.answered_at_us = node.at_us
    offer.bridge_to = aside.first.leg
    report_answered(node, offer)
    node.set_vars(offer.contact, offer.leg, park_after_bridge="true", uuid_bridge_park_on_cancel="true")
    _bridge_when_let_go(node, offer, let_go=let_go)


def _bridge_when_let_go(node: Node, offer: Offer, *, let_go: bool) -> None:
    offer.retries = 0
    if let_go:
        bridge_when_said(node, offer)
    else:
        offer.bridge_held = True
        node.timer(f"bridge:{offer.offer_id}", JOB_LATE_MS if offer.job_pending else JOB_UNHEARD_MS)


def bridge_when_said(node: Node, offer: Offer) -> None:
    """Make the bridge, unless something is being said before it."""
    if connecting.ready(node, offer):
        send_bridge(node, offer)


def send_bridge(node: Node, offer: Offer) -> None:
    """Bridge the agent's leg with its caller, or with ``bridge_to``, and watch for CHANNEL_BRIDGE."""
    offer.bridge_held = False
    offer.look_pending = False
    offer.bridge_sent_at_us = node.at_us
    to_leg = offer.bridge_to or offer.contact
    node.emit(Bridge(contact=offer.contact, leg=offer.leg, caller_leg=to_leg, offer=offer.offer_id))
    node.timer(f"bridge:{offer.offer_id}", BRIDGE_LIMIT_MS)


def bridge_overdue(node: Node, offer: Offer, caller: Caller) -> None:
    """No CHANNEL_BRIDGE in time: look at both legs, and give it up when the last look is answered."""
    if offer.bridge_held:
        offer.bridge_held = False
        bridge_when_said(node, offer)
        return
    waited_ms = (node.at_us - offer.bridge_sent_at_us) // 1000
    if not offer.look_pending:
        offer.retries += 1
    if offer.retries >= BRIDGE_LOOKS or waited_ms >= BRIDGE_PATIENCE_MS:
        bridge_failed(node, offer, "failed", "NO_BRIDGE")
        return
    if not offer.look_pending:
        offer.look_pending = True
        node.emit(
            Probe(contact=offer.contact, leg=offer.leg), Probe(contact=offer.contact, leg=caller.contact)
        )
    node.timer(f"bridge:{offer.offer_id}", BRIDGE_LIMIT_MS)


def bridge_failed(node: Node, offer: Offer, outcome: str, cause: str) -> None:
    """No CHANNEL_BRIDGE followed: the caller back to music, the agent's leg ended."""
    if offer.phase is not Phase.ANSWERED:
        return
    caller = node.callers.get(offer.contact)
    offer.cause = offer.cause or cause
    report_failed(node, offer, outcome, cause)
    node.close_offer(offer, "NORMAL_CLEARING")
    if caller is not None and caller.stage is Stage.BRIDGING:
        back_to_music(node, caller)


def bridge_refused(node: Node, offer_id: str, text: str) -> None:
    """``-ERR`` to uuid_bridge: one of the two is gone."""
    if (offer := node.offers.get(offer_id)) is not None:
        bridge_failed(node, offer, "failed", text[:80])


def ring_failed(node: Node, offer: Offer, cause: str) -> None:
    """The agent's leg ended before an answer; the caller keeps the music and the place."""
    offer.cause = cause
    outcome = remote.outcome(offer, cause)
    if (customer := node.customers.get(offer.contact)) is not None and customer.leg.offer == offer.offer_id:
        # Routing hears of the attempt first: the next one is another contact, whose leg cannot meet this one's.
        offer.reported = offer.reported or customer.step != "held"
        callbacks.agent_left(node, customer, outcome, cause)
    report_failed(node, offer, outcome, cause)
    node.close_offer(offer, "NORMAL_CLEARING")


def agent_leg_hung_up(node: Node, offer: Offer, cause: str) -> None:
    """The agent's leg is over before any bridge."""
    offer.leg_seen = True
    offer.leg_gone = True
    offer.cause = offer.cause or cause
    node.cancel_timer(f"close:{offer.offer_id}")
    match offer.phase:
        case Phase.RINGING if offer.originate is not None or remote.diverts(offer, cause):
            return  # Another trunk is tried, now or when the originate is over.
        case Phase.RINGING:
            ring_failed(node, offer, remote.NOT_CONFIRMED if remote.waits(offer) else cause)
        case Phase.ANSWERED:
            outcome = outcome_of(cause, elsewhere=offer.elsewhere)
            bridge_failed(node, offer, "declined" if cause == "NORMAL_CLEARING" else outcome, cause)
        case Phase.CONSULTING:
            node.close_offer(offer, "NORMAL_CLEARING")
        case _:
            node.settle_offer(offer)


def job_ended(node: Node, event: JobEnded) -> None:
    """The originate is over: with an answered leg, or with a cause.

    ``-ERR`` alone does not prove that there is no leg: a second originate of the same offer (after a takeover) is refused because the
    first one's leg lives, and a broken connection says nothing. So the leg is asked for.
    """
    offer = node.offers.get(event.offer)
    if offer is None or not offer.job_pending:
        return
    offer.job_pending = False
    node.cancel_timer(f"job:{offer.offer_id}")
    if event.ok:
        if offer.phase is Phase.CLOSING:
            if not node.say_farewell(offer):
                node.press_close(offer)
        elif offer.phase is Phase.ANSWERED and offer.bridge_held:
            offer.bridge_held = False
            bridge_when_said(node, offer)
        elif offer.phase is Phase.RINGING and not offer.leg_gone:
            # +OK means answered; when CHANNEL_ANSWER was lost with a connection this is the news.
            answered(node, offer.leg, let_go=True)
        return
    offer.cause = offer.cause or cause_of(event.text)
    of_the_way = offer.leg_gone or (event.known and offer.cause in DIVERTING)
    if offer.phase is Phase.RINGING and offer.remote is not None and of_the_way:
        lines.failed(node, offer.leg, offer.cause)
        offer.leg_gone = True
        if not remote.next_way(node, offer):
            ring_failed(node, offer, offer.cause)
        return
    if offer.leg_gone:
        node.settle_offer(offer)
        return
    node.emit(Probe(contact=offer.contact, leg=offer.leg))
    node.settle_offer(offer)


def job_lost(node: Node, offer_id: str) -> None:
    """The ring time is long over and the job has not come."""
    offer = node.offers.get(offer_id)
    if offer is None or not offer.job_pending:
        return
    node.line("originate_job_lost", warning=True, contact=offer.contact, offer=offer_id, leg=offer.leg)
    job_ended(node, JobEnded(at_us=node.at_us, offer=offer_id, ok=False, text="", known=False))


def leg_probed(node: Node, offer: Offer, event: LegProbed) -> None:
    """What FreeSWITCH says about the agent's leg itself."""
    if event.alive:
        offer.leg_seen = True
        offer.look_pending = False
        if offer.phase is Phase.CLOSING:
            node.settle_offer(offer)
        elif offer.phase is Phase.RINGING:
            if event.answered:
                answered(node, offer.leg)
            elif not offer.job_pending:
                # Rings under somebody else's job. FreeSWITCH ends it by its originate timeout; then it is asked again.
                node.timer(f"probe:{offer.offer_id}", offer.ring_limit_ms + JOB_GRACE_MS)
        return
    if offer.job_pending and not offer.leg_seen:
        return  # The originate runs and the channel may come yet; the job decides.
    agent_leg_hung_up(node, offer, offer.cause or "UNKNOWN")


def ended_by_routing(node: Node, event: OfferEnded) -> None:
    """Withdrawn, expired or failed in routing's log: the first that it appends wins, whatever happens here."""
    offer = node.offers.get(event.offer_id)
    if event.outcome == "accepted":
        return
    customer = node.customers.get(event.contact_id)
    if customer is not None and customer.leg.offer == event.offer_id:
        callbacks.withdrawn(node, customer)
    if offer is None:
        # The end may be read before the order when both were written while nobody owned the node.
        node.remember_ended(event.offer_id)
        caller = node.callers.get(event.contact_id)
        if caller is not None:
            caller.held = [order for order in caller.held if order.offer_id != event.offer_id]
        return
    offer.reported = True
    if offer.phase is Phase.CONSULTING:
        node.close_offer(offer, "NORMAL_CLEARING")
    elif offer.phase in (Phase.RINGING, Phase.ANSWERED):
        caller = node.callers.get(offer.contact)
        offer.cause = offer.cause or event.outcome
        was_bridging = offer.phase is Phase.ANSWERED
        node.close_offer(offer, "ORIGINATOR_CANCEL")
        if was_bridging and caller is not None and caller.stage is Stage.BRIDGING:
            back_to_music(node, caller)


def report_failed(node: Node, offer: Offer, outcome: str, cause: str) -> None:
    """Report the end of the offer, once."""
    if offer.reported:
        return
    offer.reported = True
    node.report(
        offer.tenant,
        OfferFailed(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            outcome=outcome,
            cause=cause,
            ring_ms=offer.ring_ms(node.at_us),
            at_us=node.at_us,
        ),
        "offer-failed",
        offer.offer_id,
    )
