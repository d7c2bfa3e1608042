"""Wishes about a call, by HTTP or by a feature code, and when they are granted.

A wish is answered when FreeSWITCH has shown its effect (a bridge that ended or began, a phone that is being rung by routing's order, three
members in a room), or with the reason why there is none. One contact has one wish at a time.
"""

from __future__ import annotations

from services.center.outside import FULL, NO_ROUTE
from services.queue.core import aside as beside
from services.queue.core import conference, lines
from services.queue.core.inputs import CallWished, FeaturePressed
from services.queue.core.node import Node
from services.queue.core.outputs import WishAnswered
from services.queue.core.records import Caller, Offer, Phase, Stage, Step, Wish

WISH_MS = 8_000  # Of an rpc's time; a bridge on a switch with too much to do took 3.4 s.
VERBS = ("hold", "resume", "transfer", "consult", "complete", "cancel", "conference", "drop")
KEYS = {"1": "hold", "2": "transfer", "3": "consult", "4": "complete", "5": "conference", "6": "cancel"}
"""Feature codes by the key after the star. Hold is resume, too; transfer and consult go on with the target's digits and #."""

_NO_LINE = {
    NO_ROUTE: "no route of the center document leads to {!r}",
    FULL: "every trunk that leads to {!r} has as many calls as channels",
}

Refusal = tuple[str, str]


def wished(node: Node, event: CallWished) -> None:
    """Somebody wishes something about a contact of this node."""
    caller = node.callers.get(event.contact)
    offer = node.offer_of(caller) if caller is not None else None

    def refuse(slug: str, reason: str, status: int = 409) -> None:
        node.emit(
            WishAnswered(
                request_id=event.request_id, contact=event.contact, slug=slug, reason=reason, status=status
            )
        )

    if caller is None or caller.tenant != event.tenant:
        return refuse("unknown-contact", f"no contact {event.contact!r} is on this node", 404)
    if caller.stage is Stage.UNSETTLED:
        # After an outage: it may be held, or talk, or wait; an answer from memory would be a guess.
        return refuse("unsettled", f"what {event.contact} does is being read from the switch; ask again", 503)
    if offer is None or not offer.serves or offer.phase is Phase.RINGING:
        return refuse("not-talking", "nobody talks with this contact")
    if event.agent and offer.agent != event.agent:
        return refuse("not-your-contact", f"{event.contact} talks with {offer.agent}", 403)
    if event.contact in node.wishes:
        return refuse("busy", f"{node.wishes[event.contact].verb} is not done yet")
    if event.verb not in VERBS:
        return refuse("unknown-wish", f"expected one of {', '.join(VERBS)}; found {event.verb!r}", 404)
    node.wishes[event.contact] = Wish(event.request_id, event.verb)
    node.timer(f"wish:{event.contact}", WISH_MS)
    if (refusal := _do(node, caller, offer, event.verb, event.target_kind, event.target)) is not None:
        node.deny(event.contact, *refusal)
    return None


def review(node: Node) -> None:
    """Whoever wishes something about a conversation that has ended meanwhile is told so at once."""
    for contact in list(node.wishes):
        caller = node.callers.get(contact)
        if caller is None:
            node.deny(contact, "caller-gone", "the caller has left")
        elif caller.stage in (Stage.PARTED, Stage.LEAVING):
            node.deny(contact, "not-talking", "the conversation is over")


def overdue(node: Node, contact: str) -> None:
    """Neither an effect nor a reason."""
    node.deny(contact, "no-effect", "the switch, or routing, has not confirmed it in time", status=504)


def feature(node: Node, event: FeaturePressed) -> None:
    """A feature code of the agent who has the contact; what cannot be is not done."""
    offer = node.offer_on(event.leg)
    caller = node.callers.get(offer.contact) if offer is not None else None
    if offer is None or caller is None or caller.offer_id != offer.offer_id or not offer.serves:
        return
    aside = node.asides.get(caller.contact)
    verb = event.what
    if verb == "hold" and aside is not None and aside.step is Step.HELD:
        verb = "resume"
    if verb in ("transfer", "consult"):
        refusal = _dial(node, caller, offer, verb)
    else:
        refusal = _do(node, caller, offer, verb, "", "")
    node.line(
        "feature_code",
        contact=caller.contact,
        agent=offer.agent,
        what=verb,
        refused=refusal[0] if refusal else "",
    )


def _dial(node: Node, caller: Caller, offer: Offer, purpose: str) -> Refusal | None:
    """The caller to music; the agent keys whom to reach."""
    aside = node.asides.get(caller.contact)
    if aside is not None and aside.step is Step.HELD:
        aside.purpose, aside.digits = purpose, ""
        beside.mark(node, aside, Step.DIALLING)
    elif caller.stage is Stage.TALKING and offer.phase is Phase.TALKING:
        beside.put_aside(node, caller, offer, Step.DIALLING, "transfer", purpose)
    else:
        return "not-talking", f"{offer.agent} does not talk with the caller"
    node.timer(f"keys:{caller.contact}", beside.KEYS_MS)
    return None


def _do(node: Node, caller: Caller, offer: Offer, verb: str, target_kind: str, target: str) -> Refusal | None:
    aside = node.asides.get(caller.contact)
    talks = caller.stage is Stage.TALKING and offer.phase is Phase.TALKING
    step = aside.step if aside is not None else None
    if verb == "hold":
        if not talks:
            return "not-talking", "only a caller one talks with can be held"
        beside.put_aside(node, caller, offer, Step.HELD, "agent")
    elif verb == "resume":
        if aside is None or step is not Step.HELD:
            return "not-held", "the caller is not on hold"
        beside.back(node, aside)
    elif verb in ("transfer", "consult"):
        if not (talks or step in (Step.HELD, Step.DIALLING)):
            return "not-talking", f"{offer.agent} does not talk with the caller"
        if target_kind == "number" and (no := lines.refusal(node, caller.center, target)):
            return no, _NO_LINE[no].format(target)
        beside.ask_routing(node, caller, offer, target_kind, target, consult=verb == "consult")
    elif verb == "cancel":
        if aside is None or step not in (Step.DIALLING, Step.ASKED, Step.RINGING, Step.CONSULTING):
            return "not-consulting", "nobody is being asked"
        beside.back(node, aside)
    elif verb in ("complete", "conference"):
        if aside is None or step is not Step.CONSULTING:
            return "not-consulting", "no colleague is on the line"
        if verb == "complete":
            beside.complete(node, aside)
        else:
            conference.begin(node, caller, aside)
    else:
        room = node.rooms.get(caller.contact)
        if room is None or not conference.drop(node, room, target):
            return "not-in-conference", f"agent {target!r} is in no conference with this contact"
    return None
