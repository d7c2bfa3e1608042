"""Agents at a number outside: dialled by a trunk, and there when whoever answers has pressed a key.

An answer says nothing there: a mobile's voicemail answers too, and so does whoever is near the phone. So the offer goes on ringing for the
rest of the world until the key; the caller keeps the music and the place.

    taken       a line (``lines``); the way fails: the next trunk, as long as there is ring time left
    picked up   FreeSWITCH has the answer. The prompt begins when originate has let go of the leg, and comes again until
    confirmed   the key. ``cc_confirmed`` is set on the leg *before* anything follows from it

A new owner that finds the leg answered without ``cc_confirmed`` asks again: a key that the one before heard and did not write down is lost.
Nobody presses within ``CONFIRM_MS``, or the leg ends first: no answer. What is the way's fault is not the agent's, and never ``unreachable``,
which takes an agent from the floor: a way that fails is ``failed``, after which routing tries this agent again a little later; trunks that are all
full are ``no_line``, which says nothing of the agent and something of the node: routing offers its contacts to agents at phones meanwhile.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.center.outside import DIVERTING, FULL, NO_ROUTE
from services.queue.core import lines
from services.queue.core.causes import outcome_of
from services.queue.core.inputs import OfferMade, WhisperEnded
from services.queue.core.node import Node
from services.queue.core.outputs import Whisper
from services.queue.core.records import Offer, Phase, Remote

ASK, CONFIRM = "ask-key", "confirm-key"  # Timers, by offer.
KEY = "1"
CONFIRM_MS = 15_000  # Routing leaves the offer open for as long after its ring time.
AGAIN_MS = 2_000  # From the end of the prompt to its next beginning.
REDIAL_MS = 200  # A leg's UUID can be had again when the channel is destroyed, some 60 ms after its hangup.
JOB_LATE_MS = 2_000  # So long an answered leg waits for its originate's +OK,
JOB_UNHEARD_MS = 500  # and so long where another connection has the job.
LEAST_RING_MS = 5_000  # With less ring time left no other trunk is tried.
NOT_CONFIRMED = "NOT_CONFIRMED"
NO_LINE = "no_line"
_OF_THE_WAY = frozenset({*DIVERTING, NO_ROUTE})


def called(event: OfferMade, at_us: int) -> Remote | None:
    """What an order to call an agent outside begins with; None for one to ring a phone."""
    if not event.agent_number:
        return None
    return Remote(
        number=event.agent_number, confirm=event.confirm, ring_until_us=at_us + event.ring_ms * 1000
    )


def take_line(node: Node, offer: Offer) -> str:
    """Take a line for the originate that is about to be sent. Return why there is none, else nothing."""
    remote, order = offer.remote, offer.originate
    whose = node.callers.get(offer.contact) or node.customers.get(offer.contact)
    if remote is None or order is None or whose is None:
        return ""
    taken = lines.take(
        node,
        whose.center,
        remote.number,
        purpose="agent",
        contact=offer.contact,
        leg=offer.leg,
        caller_id=whose.queue.caller_id or whose.leg.entry_point,
        ours=True,
        agent=offer.agent,
        without=remote.tried,
        quiet=bool(remote.tried),
    )
    if not taken.ways:
        return taken.refusal
    remote.order = remote.order or order
    remote.tried.append(taken.ways[0].trunk)
    offer.originate = replace(order, way=taken.ways[0])
    return ""


def diverts(offer: Offer, cause: str) -> bool:
    """Whether the end of a leg is the way's, so that the end of its originate has to be waited for: another trunk may follow."""
    remote = offer.remote
    return remote is not None and offer.job_pending and not remote.picked_up and cause in DIVERTING


def next_way(node: Node, offer: Offer) -> bool:
    """The way failed, not the agent. Return whether another trunk will be tried."""
    remote = offer.remote
    whose = node.callers.get(offer.contact) or node.customers.get(offer.contact)
    if remote is None or whose is None or remote.order is None:
        return False
    left_ms = (remote.ring_until_us - node.at_us) // 1000
    if left_ms < LEAST_RING_MS or lines.refusal(node, whose.center, remote.number, remote.tried):
        return False
    offer.originate, offer.cause = replace(remote.order, ring_ms=left_ms), ""
    node.timer(f"dial:{offer.offer_id}", REDIAL_MS)
    return True


def outcome(offer: Offer, cause: str) -> str:
    """The outcome of an offer whose leg ended before an answer."""
    if offer.remote is not None and cause == FULL:
        return NO_LINE
    if offer.remote is not None and cause in _OF_THE_WAY:
        return "failed"
    return outcome_of(cause, elsewhere=offer.elsewhere)


# --- the key ---------------------------------------------------------------------------------------------------------


def waits(offer: Offer) -> bool:
    """Whether somebody has picked up, and the key is waited for."""
    remote = offer.remote
    return remote is not None and remote.confirm and remote.picked_up and offer.phase is Phase.RINGING


def picked_up(node: Node, offer: Offer, *, let_go: bool) -> bool:
    """The leg was answered. Return whether that is the agent's answer; otherwise the key is asked for."""
    remote = offer.remote
    if remote is None or not remote.confirm:
        return True
    if not remote.picked_up:
        remote.picked_up = True
        node.timer(f"{CONFIRM}:{offer.offer_id}", CONFIRM_MS)
        node.timer(f"{ASK}:{offer.offer_id}", JOB_LATE_MS if offer.job_pending else JOB_UNHEARD_MS)
    if let_go:
        ask(node, offer)
    return False


def ask(node: Node, offer: Offer) -> None:
    """Play the prompt: the queue's name, where the agent is told it, and which key takes the call."""
    remote = offer.remote
    if remote is None or remote.asked or not waits(offer):
        return
    remote.asked = remote.let_go = True
    node.cancel_timer(f"{ASK}:{offer.offer_id}")
    whose = node.callers.get(offer.contact) or node.customers.get(offer.contact)
    if whose is None:
        return
    language = whose.center.agent_language(offer.agent)
    before = whose.queue.before_bridge
    names = (before.name if before is not None else "", "agent-confirm")
    files = tuple(file for name in names if name and (file := whose.center.prompt(name, language)))
    if files:
        node.emit(Whisper(contact=offer.contact, leg=offer.leg, files=files))


def said(node: Node, event: WhisperEnded) -> bool:
    """The prompt has ended and will come again, unless it is not there. Return whether it was this prompt."""
    offer = node.offer_on(event.leg)
    if offer is None or offer.remote is None or not waits(offer):
        return False
    if event.heard:
        offer.remote.asked = False
        node.timer(f"{ASK}:{offer.offer_id}", AGAIN_MS)
    return True


def confirmed(node: Node, offer: Offer) -> bool:
    """The key was pressed: the agent answers now. Return whether originate is known to have let go of the leg."""
    remote = offer.remote
    if remote is None:
        return False
    remote.confirm = False
    node.cancel_timer(f"{ASK}:{offer.offer_id}", f"{CONFIRM}:{offer.offer_id}")
    node.set_vars(offer.contact, offer.leg, cc_confirmed="1")
    return remote.let_go


def link_up(node: Node) -> None:
    """A key, or the end of the prompt, may have been missed: it is asked for again."""
    for offer in node.offers.values():
        if offer.remote is not None and waits(offer):
            offer.remote.asked = False
            node.timer(f"{ASK}:{offer.offer_id}", JOB_UNHEARD_MS)
