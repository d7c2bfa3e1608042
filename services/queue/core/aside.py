"""What an agent does beside a caller: hold, dial a target, ask a colleague, hand the caller over, come back.

Theory of operation. All of it is one picture: the caller hears music and the agent's leg is parked (``Stage.ASIDE``). Taking the caller out of
the bridge needs nothing from the phone, and every way on is a bridge of two parked legs:

    hold, dial      C music     A parked
    ask             C music     A ring tone     B rings
    consult         C music     A <-> B
    complete        B <-> C     A parked, then wraps up
    back            A <-> C     B parked, then ended

Both agents' legs carry ``park_after_bridge`` before they enter such a bridge, so nobody is hung up by a bridge that ends. Each step stands
on the caller's leg (``cc_step``, ``cc_second``) before it is taken: a new owner of the node goes on from there (``regain``).

Ends are not handled where they come from. The ordinary rules end an offer (a phone that declines, a leg that is gone, a bridge that failed);
``review`` runs after every input and says what follows when one of the two offers serves no longer. So no way in which a leg can
end is forgotten, and none is written down twice.
"""

from __future__ import annotations

from services.queue.core import lines, offers, orders, outward, schedule, survey
from services.queue.core.conversation import (
    PART_MS,
    conversation_ended,
    hand_on,
    hold_began,
    hold_ended,
    left_by_agent,
    requeue,
    start_talking,
    wrap_up,
)
from services.queue.core.facts import ConsultEnded, ConsultStarted, TransferRequested
from services.queue.core.inputs import (
    ContactTransferred,
    DigitPressed,
    LegBridged,
    LegUnbridged,
    OfferMade,
    TransferRefused,
)
from services.queue.core.node import Node
from services.queue.core.outputs import PlayMusic, PlayTo, RingBack
from services.queue.core.overflow import change_queue
from services.queue.core.records import Aside, Caller, Offer, Phase, Stage, Step
from services.queue.core.treatment import back_to_music, say_sorry

KEYS_MS = 5_000  # So long after the last key the number is complete, and a number of no key at all is none.
NO_MS = 2_500  # As long as the prompts are that say why something cannot be.
KEYED = "key-"  # How requests begin that were made by keys.
FORBIDDEN = frozenset({"number-forbidden", "limit-reached", "outside-hours"})
ASKED_MS = 5_000  # So long routing may take; an election of NATS takes longer, and the caller had better talk meanwhile.


def put_aside(node: Node, caller: Caller, offer: Offer, step: Step, by: str, purpose: str = "") -> Aside:
    """The caller to music, the agent parked."""
    aside = Aside(contact=caller.contact, first=offer, step=step, purpose=purpose)
    node.asides[caller.contact] = aside
    caller.stage = Stage.ASIDE
    node.cancel_timer(f"unbridged:{caller.contact}")
    node.set_vars(
        caller.contact,
        caller.contact,
        cc_state="aside",
        cc_step=step.value,
        cc_second="",
        cc_held_ms=str(node.at_us // 1000),
        park_after_bridge="true",
    )
    node.set_vars(caller.contact, offer.leg, park_after_bridge="true", uuid_bridge_park_on_cancel="true")
    node.emit(PlayMusic(contact=caller.contact, leg=caller.contact, music=caller.queue.music))
    hold_began(node, offer, by)
    return aside


def mark(node: Node, aside: Aside, step: Step) -> None:
    """Write the step on the caller's leg, then be there."""
    aside.step = step
    second = aside.second.offer_id if aside.second is not None else ""
    node.set_vars(aside.contact, aside.contact, cc_step=step.value, cc_second=second)


# --- asking for somebody else ----------------------------------------------------------------------------------------


def ask_routing(
    node: Node, caller: Caller, offer: Offer, target_kind: str, target: str, *, consult: bool
) -> None:
    """Routing decides; until then nothing happens to the call."""
    wish = node.wishes.get(caller.contact)
    request_id = wish.request_id if wish is not None and wish.request_id else f"{KEYED}{node.at_us}"
    if (aside := node.asides.get(caller.contact)) is not None:
        mark(node, aside, Step.ASKED)
        node.timer(f"asked:{caller.contact}", ASKED_MS)
    node.report(
        caller.tenant,
        TransferRequested(
            request_id=request_id,
            offer_id=offer.offer_id,
            contact_id=caller.contact,
            agent_id=offer.agent,
            target_kind=target_kind,
            target=target,
            consult=consult,
            at_us=node.at_us,
        ),
        "transfer-requested",
        request_id,
    )


def asked_in_vain(node: Node, contact: str) -> None:
    """Routing has not answered: agent and caller talk on."""
    aside = node.asides.get(contact)
    if aside is not None and aside.step is Step.ASKED:
        back(node, aside)


def refused(node: Node, event: TransferRefused) -> None:
    """Routing says no. Who asked by keys has to be told; who asked by HTTP reads the reason."""
    wish = node.wishes.get(event.contact_id)
    aside = node.asides.get(event.contact_id)
    if event.request_id.startswith(KEYED) and aside is not None and aside.step is Step.ASKED:
        say_no(node, aside, "number-forbidden" if event.reason in FORBIDDEN else "not-possible")
        return
    asked_in_vain(node, event.contact_id)
    if wish is not None and wish.request_id == event.request_id:
        node.deny(event.contact_id, event.reason, event.detail)


def say_no(node: Node, aside: Aside, prompt: str) -> None:
    """Tell the agent why not, then back to the caller."""
    center = node.plans.of(aside.first.tenant, "")
    file = center.prompt(prompt, center.languages[0]) if center is not None else ""
    mark(node, aside, Step.ASKED)
    if file:
        node.emit(PlayTo(contact=aside.contact, leg=aside.first.leg, file=file))
    node.timer(f"asked:{aside.contact}", NO_MS if file else 1)


def transferred(node: Node, event: ContactTransferred) -> None:
    """Routing has given the contact away: out of the conversation with its agent, once."""
    caller = node.callers.get(event.contact_id)
    offer = node.offer_of(caller) if caller is not None else None
    if caller is None or offer is None or offer.offer_id != event.offer_id:
        return
    if caller.stage not in (Stage.TALKING, Stage.ASIDE) or not offer.serves:
        return
    if (aside := node.asides.pop(caller.contact, None)) is not None and aside.second is not None:
        _end_second(node, aside, "cancelled")
    hand_on(node, caller, offer, "transfer", event.target)
    if event.waiting_since_us:
        caller.waiting_since_us = event.waiting_since_us
        node.set_vars(caller.contact, caller.contact, cc_waiting_ms=str(event.waiting_since_us // 1000))
    if event.target_kind == "number":
        caller.parted = True
        outward.send(node, caller, event.target, outward.TRANSFER)
    else:
        back_to_music(node, caller)
        schedule.arm(node, caller)
        if event.target_kind == "queue":
            change_queue(node, caller, event.target)
    wrap_up(node, offer)
    node.grant(caller.contact, "transfer")


# --- keys ------------------------------------------------------------------------------------------------------------


def digit(node: Node, event: DigitPressed) -> bool:
    """A key of an agent who dials a target. Return whether it was one."""
    offer = node.offer_on(event.leg)
    aside = node.asides.get(offer.contact) if offer is not None else None
    if aside is None or aside.first is not offer or aside.step is not Step.DIALLING:
        return False
    if event.digit == "#":
        keyed(node, aside.contact)
    elif event.digit.isdigit():
        aside.digits += event.digit
        node.timer(f"keys:{aside.contact}", KEYS_MS)
    return True


def keyed(node: Node, contact: str) -> None:
    """The number is complete, or nobody keys one."""
    aside, caller = node.asides.get(contact), node.callers.get(contact)
    if aside is None or caller is None or aside.step is not Step.DIALLING:
        return
    node.cancel_timer(f"keys:{contact}")
    outside = aside.digits and aside.digits not in caller.center.inside
    if outside and aside.purpose == "transfer" and lines.refusal(node, caller.center, aside.digits):
        say_no(node, aside, "lines-busy")
    elif aside.digits:
        consult = aside.purpose == "consult"
        ask_routing(node, caller, aside.first, "keyed", aside.digits, consult=consult)
    else:
        back(node, aside)


# --- a colleague -----------------------------------------------------------------------------------------------------


def order(node: Node, event: OfferMade) -> None:
    """Routing's order to ring somebody; for a consultation the caller is put aside first."""
    caller = node.callers.get(event.contact_id)
    if event.kind == "consult" and caller is not None and event.offer_id not in node.ended_offers:
        talk = node.offer_of(caller)
        if caller.stage is Stage.TALKING and talk is not None and talk.phase is Phase.TALKING:
            put_aside(node, caller, talk, Step.ASKED, "consult")
    orders.order(node, event)
    aside = node.asides.get(event.contact_id)
    if aside is None or aside.second is None or aside.second.offer_id != event.offer_id:
        return
    if aside.step in (Step.HELD, Step.DIALLING, Step.ASKED):
        node.cancel_timer(f"asked:{aside.contact}", f"keys:{aside.contact}")
        mark(node, aside, Step.RINGING)
        node.emit(RingBack(contact=aside.contact, leg=aside.first.leg))
        node.grant(aside.contact, "consult")


def bridged(node: Node, event: LegBridged) -> bool:
    """CHANNEL_BRIDGE of two of the three. Return whether it was that."""
    offer = node.offer_on(event.leg) or node.offer_on(event.partner)
    aside = node.asides.get(offer.contact) if offer is not None else None
    caller = node.callers.get(aside.contact) if aside is not None else None
    if aside is None or caller is None:
        return False
    pair = {event.leg, event.partner}
    second = aside.second
    if pair == {caller.contact, aside.first.leg} and aside.first.serves:
        resumed(node, caller, aside)
    elif second is None or not second.serves:
        return False
    elif pair == {caller.contact, second.leg}:
        completed(node, caller, aside)
    elif pair == {aside.first.leg, second.leg} and aside.step is Step.RINGING:
        consulting(node, aside, second)
    return True


def consulting(node: Node, aside: Aside, second: Offer) -> None:
    """The agents talk."""
    node.cancel_timer(f"bridge:{second.offer_id}")
    second.phase = Phase.CONSULTING
    second.bridge_to = ""
    second.reported = True
    aside.consulting_since_us = node.at_us
    mark(node, aside, Step.CONSULTING)
    node.report(
        second.tenant,
        ConsultStarted(
            offer_id=second.offer_id,
            contact_id=aside.contact,
            agent_id=second.agent,
            from_agent_id=aside.first.agent,
            agent_leg_id=second.leg,
            at_us=node.at_us,
        ),
        "consult-started",
        second.offer_id,
    )


def complete(node: Node, aside: Aside) -> None:
    """The colleague to the caller. When who asked has just hung up, the colleague's leg needs a moment to be parked."""
    second = aside.second
    if second is None or second.phase not in (Phase.CONSULTING, Phase.ANSWERED):
        return
    mark(node, aside, Step.COMPLETING)
    second.phase = Phase.ANSWERED
    second.bridge_to = ""
    if aside.first.serves:
        rejoin(node, aside.contact)
    else:
        node.timer(f"rejoin:{aside.contact}", PART_MS)


def back(node: Node, aside: Aside) -> None:
    """The agent to the caller again; a colleague who is in that bridge or rings goes afterwards."""
    second, asked = aside.second, aside.step in (Step.RINGING, Step.CONSULTING, Step.COMPLETING)
    node.cancel_timer(f"asked:{aside.contact}", f"keys:{aside.contact}")
    mark(node, aside, Step.BACK)
    aside.first.phase = Phase.ANSWERED
    aside.first.bridge_to = ""
    aside.first.bridge_held = False
    if asked and (second is None or not second.serves):
        node.timer(f"rejoin:{aside.contact}", PART_MS)  # The leg is on its way from the bridge to the park.
    else:
        rejoin(node, aside.contact)


def rejoin(node: Node, contact: str) -> None:
    """Make the bridge with the caller that the step is about."""
    aside = node.asides.get(contact)
    if aside is None:
        return
    offer = aside.second if aside.step is Step.COMPLETING else aside.first
    if aside.step in (Step.COMPLETING, Step.BACK) and offer is not None and offer.phase is Phase.ANSWERED:
        offer.retries = 0
        offers.send_bridge(node, offer)


def resumed(node: Node, caller: Caller, aside: Aside) -> None:
    """Agent and caller talk again."""
    first = aside.first
    del node.asides[caller.contact]
    node.cancel_timer(f"bridge:{first.offer_id}")
    first.phase = Phase.TALKING
    caller.stage = Stage.TALKING
    caller.offer_id = first.offer_id
    node.set_vars(caller.contact, caller.contact, cc_state="talking", cc_step="", cc_second="")
    hold_ended(node, first)
    if aside.second is not None:
        _end_second(node, aside, "cancelled")
    node.grant(caller.contact, "resume", "cancel")
    node.deny(caller.contact, "came-back", "agent and caller talk again")


def completed(node: Node, caller: Caller, aside: Aside) -> None:
    """Colleague and caller talk; who asked wraps up."""
    first, second = aside.first, aside.second
    assert second is not None
    del node.asides[caller.contact]
    hold_ended(node, first)
    node.set_vars(
        caller.contact,
        caller.contact,
        cc_state="talking",
        cc_step="",
        cc_second="",
        cc_offer=second.offer_id,
        cc_agent=second.agent,
    )
    start_talking(node, caller, second, node.at_us)
    consult_ended(node, aside.contact, first, second, aside.consulting_since_us, "completed")
    conversation_ended(node, caller, first, "transfer", second.agent)
    caller.parted = False
    if first.serves:
        wrap_up(node, first)
    node.grant(caller.contact, "complete")


def consult_ended(node: Node, contact: str, first: Offer, second: Offer, since_us: int, outcome: str) -> None:
    """Report who has the contact now."""
    node.report(
        second.tenant,
        ConsultEnded(
            offer_id=second.offer_id,
            contact_id=contact,
            agent_id=second.agent,
            from_agent_id=first.agent,
            outcome=outcome,
            consult_ms=max(0, (node.at_us - since_us) // 1000) if since_us else 0,
            at_us=node.at_us,
        ),
        "consult-ended",
        second.offer_id,
    )


def _end_second(node: Node, aside: Aside, outcome: str) -> None:
    """The colleague is not needed."""
    second, aside.second = aside.second, None
    if second is None:
        return
    if aside.consulting_since_us:
        consult_ended(node, aside.contact, aside.first, second, aside.consulting_since_us, outcome)
    elif second.serves:
        offers.report_failed(node, second, "withdrawn", outcome)
    node.close_offer(second, "NORMAL_CLEARING" if second.answered_at_us else "ORIGINATOR_CANCEL")


# --- what follows from an end ----------------------------------------------------------------------------------------


def review(node: Node) -> None:
    """Go on where somebody has left, whoever said so and in whatever order."""
    for aside in list(node.asides.values()):
        caller = node.callers.get(aside.contact)
        if caller is None or caller.stage is not Stage.ASIDE:
            _over(node, aside, told=caller is None)
        elif not aside.first.serves:
            _first_lost(node, caller, aside)
        elif aside.second is not None and not aside.second.serves:
            _second_lost(node, aside)


def _over(node: Node, aside: Aside, *, told: bool) -> None:
    """The caller is gone, or on another way: the colleague is told and free."""
    node.asides.pop(aside.contact, None)
    second = aside.second
    node.deny(aside.contact, "caller-gone", "the caller has left")
    if told and aside.step is Step.BACK and aside.first.phase is Phase.WRAP_UP:
        node.park(aside.first)  # Out of the bridge that came to nothing, in which nothing can be heard.
    if second is None:
        return
    if told and second.serves and second.answered_at_us:
        if aside.consulting_since_us:
            consult_ended(node, aside.contact, aside.first, second, aside.consulting_since_us, "failed")
        say_sorry(node, second)
        node.keep(second)
    else:
        second.reported = second.reported or told  # ContactGone ends the offer in routing.
        _end_second(node, aside, "failed")


def _second_lost(node: Node, aside: Aside) -> None:
    """Declined, not answered, hung up, or the bridge failed: back to the caller."""
    second = aside.second
    assert second is not None
    if aside.consulting_since_us:
        consult_ended(node, aside.contact, aside.first, second, aside.consulting_since_us, "failed")
    if aside.step is not Step.BACK:
        node.deny(aside.contact, "colleague-gone", f"agent {second.agent} is not there: {second.cause}")
        back(node, aside)
    aside.second = None
    aside.consulting_since_us = 0


def _first_lost(node: Node, caller: Caller, aside: Aside) -> None:
    """Who had the contact is gone: it goes to the colleague who is asked, else back to its place in the queue."""
    first, second = aside.first, aside.second
    if second is not None and second.serves and aside.step in (Step.CONSULTING, Step.COMPLETING):
        if aside.step is Step.CONSULTING:
            complete(node, aside)
        return
    del node.asides[caller.contact]
    node.cancel_timer(*(f"{kind}:{caller.contact}" for kind in ("asked", "keys", "rejoin")))
    if aside.step is Step.HELD:
        left_by_agent(node, caller, first, first.cause)
        survey.part(node, caller)
        return
    requeue(node, caller, first)
    if second is not None:
        _end_second(node, aside, "failed")


def unbridged(node: Node, event: LegUnbridged) -> None:
    """The pair is apart as it was meant to be: a hold has its effect."""
    offer = node.offer_on(event.leg) or node.offer_on(event.partner)
    if offer is None:
        return
    aside = node.asides.get(offer.contact)
    if aside is not None and aside.step is Step.HELD and {event.leg, event.partner} & {aside.contact}:
        node.grant(aside.contact, "hold")
