"""From the bridge to the end: talking, who left first, the disposition by key, the caller's leg over at any moment."""

from __future__ import annotations

from services.queue.core import moves, schedule, supervision, survey
from services.queue.core.causes import NODE_LOST
from services.queue.core.facts import (
    AgentBridged,
    ContactGone,
    ContactHeld,
    ContactResumed,
    ConversationEnded,
    DispositionKeyed,
)
from services.queue.core.inputs import DigitPressed, LegBridged, LegHeld, LegHungUp, LegUnbridged, OfferEnded
from services.queue.core.node import Node
from services.queue.core.offers import agent_leg_hung_up, ended_by_routing
from services.queue.core.outputs import PlayTo, Record
from services.queue.core.records import Caller, Offer, Phase, Stage
from services.queue.core.treatment import announce_waiting, back_to_music, say_sorry

PART_MS = (
    150  # UNBRIDGE and PARK came 46 ms after the agent's BYE; the farewell waits until the leg is parked.
)
BESIDE = ("asked", "keys", "rejoin")  # Timers of what goes on beside a caller who hears music.
UNBRIDGED_MS = 500  # Both legs alive and apart for so long: somebody else took them apart.


def recording_path(tenant: str, day: str, contact: str) -> str:
    """Return where a contact is recorded, relative to the recordings folder. ``day`` is ``yyyy/mm/dd``, UTC."""
    return f"{tenant}/{day}/{contact}.wav"


def day_of(at_us: int) -> str:
    """Return ``yyyy/mm/dd`` (UTC) of a time, by the civil calendar (Howard Hinnant's days-to-civil algorithm)."""
    days = at_us // 86_400_000_000 + 719_468
    era, doe = divmod(days, 146_097)
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day = doy - (153 * mp + 2) // 5 + 1
    month = mp + 3 if mp < 10 else mp - 9
    return f"{yoe + era * 400 + (month <= 2):04d}/{month:02d}/{day:02d}"


def bridged(node: Node, event: LegBridged) -> None:
    """CHANNEL_BRIDGE of an agent's leg and its caller."""
    offer = node.offer_on(event.leg) or node.offer_on(event.partner)
    if offer is None:
        return
    caller = node.callers.get(offer.contact)
    if offer.phase is Phase.CLOSING:
        # The bridge came after we gave it up: end the agent's leg again and take the caller back.
        if not node.say_farewell(offer):
            node.press_close(offer)
        if (
            caller is not None
            and caller.stage is Stage.WAITING
            and caller.contact in (event.leg, event.partner)
        ):
            back_to_music(node, caller)
        return
    if offer.phase is not Phase.ANSWERED or caller is None:
        return
    start_talking(node, caller, offer, node.at_us)


def start_talking(node: Node, caller: Caller, offer: Offer, since_us: int) -> None:
    """Record, mark both legs, report. Also for a pair found talking: every command and id is the same as the first time."""
    node.cancel_timer(f"bridge:{offer.offer_id}", f"settle:{caller.contact}", f"outage:{caller.contact}")
    offer.phase = Phase.TALKING
    offer.bridged_at_us = caller.bridged_at_us = since_us
    offer.reported = True
    caller.stage = Stage.TALKING
    caller.offer_id = offer.offer_id
    caller.announcing = ""
    path = caller.recording
    if caller.queue.recording and not path:
        path = caller.recording = recording_path(caller.tenant, day_of(since_us), caller.contact)
        node.emit(Record(contact=caller.contact, leg=caller.contact, path=path))
    mark = str(since_us // 1000)
    node.set_vars(caller.contact, caller.contact, cc_bridged_ms=mark)
    if offer.dispositions and offer.wrap_up_ms:
        codes = "".join(sorted(offer.dispositions))
        node.set_vars(caller.contact, offer.leg, cc_bridged_ms=mark, cc_codes=codes, park_after_bridge="true")
    else:
        node.set_vars(caller.contact, offer.leg, cc_bridged_ms=mark)
    latency_ms = (since_us - offer.answered_at_us) // 1000 - offer.said_ms if offer.answered_at_us else 0
    report_bridged(
        node,
        caller,
        offer.offer_id,
        offer.agent,
        offer.leg,
        since_us,
        answer_latency_ms=max(0, latency_ms),
        recorded=path,
    )


def report_bridged(
    node: Node,
    caller: Caller,
    offer_id: str,
    agent: str,
    leg: str,
    since_us: int,
    *,
    answer_latency_ms: int = 0,
    recorded: str = "",
) -> None:
    """Tell that caller and agent talk; under the same id for whoever sees the same bridge again."""
    node.report(
        caller.tenant,
        AgentBridged(
            offer_id=offer_id,
            contact_id=caller.contact,
            agent_id=agent,
            agent_leg_id=leg,
            queue=caller.queue.name,
            node=node.name,
            wait_ms=max(0, (since_us - caller.waiting_since_us) // 1000),
            answer_latency_ms=answer_latency_ms,
            recording_path=recorded,
            at_us=since_us,
        ),
        "bridged",
        offer_id,
    )


def unbridged(node: Node, event: LegUnbridged) -> None:
    """CHANNEL_UNBRIDGE: whoever is left is parked now; when nobody hung up, wait who will."""
    offer = node.offer_on(event.leg) or node.offer_on(event.partner)
    if offer is None:
        return
    caller = node.callers.get(offer.contact)
    if offer.phase is Phase.WRAP_UP:
        ask_disposition(node, offer)
    elif offer.phase is Phase.TALKING and caller is not None and caller.stage is Stage.TALKING:
        node.timer(f"unbridged:{caller.contact}", UNBRIDGED_MS)


def still_apart(node: Node, contact: str) -> None:
    """Neither hung up after an unbridge: the conversation is over by somebody's command."""
    caller = node.callers.get(contact)
    offer = node.offer_of(caller) if caller else None
    if (
        caller is None
        or caller.stage is not Stage.TALKING
        or offer is None
        or offer.phase is not Phase.TALKING
    ):
        return
    conversation_ended(node, caller, offer, "system", "UNBRIDGED")
    node.close_offer(offer, "NORMAL_CLEARING")
    survey.part(node, caller)


def conversation_ended(node: Node, caller: Caller, offer: Offer, ended_by: str, cause: str) -> None:
    """Report the end of the conversation, and of a hold that it ended in."""
    node.cancel_timer(f"unbridged:{caller.contact}")
    hold_ended(node, offer)
    caller.parted = True
    node.report(
        caller.tenant,
        ConversationEnded(
            offer_id=offer.offer_id,
            contact_id=caller.contact,
            agent_id=offer.agent,
            ended_by=ended_by,
            talk_ms=max(0, (node.at_us - offer.bridged_at_us) // 1000),
            hold_ms=offer.held_ms,
            cause=cause,
            at_us=node.at_us,
        ),
        "conversation-ended",
        offer.offer_id,
    )


def hold_began(node: Node, offer: Offer, by: str) -> None:
    """The caller hears music; a hold within a hold is one."""
    if offer.held_since_us:
        return
    offer.held_since_us = node.at_us
    node.report(
        offer.tenant,
        ContactHeld(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            by=by,
            at_us=node.at_us,
        ),
        "held",
        f"{offer.offer_id}-{node.at_us}",
    )


def hold_ended(node: Node, offer: Offer) -> None:
    """Caller and agent talk again, or are through."""
    if not offer.held_since_us:
        return
    since_us, offer.held_since_us = offer.held_since_us, 0
    hold_ms = max(0, (node.at_us - since_us) // 1000)
    offer.held_ms += hold_ms
    node.report(
        offer.tenant,
        ContactResumed(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            hold_ms=hold_ms,
            at_us=node.at_us,
        ),
        "resumed",
        f"{offer.offer_id}-{since_us}",
    )


def phone_held(node: Node, event: LegHeld) -> None:
    """The agent's phone holds, by a re-INVITE of its own, or talks again."""
    offer = node.offer_on(event.leg)
    caller = node.callers.get(offer.contact) if offer is not None else None
    if (
        offer is None
        or caller is None
        or caller.offer_id != offer.offer_id
        or caller.stage is not Stage.TALKING
    ):
        return
    if event.held:
        hold_began(node, offer, "phone")
    else:
        hold_ended(node, offer)


def hung_up(node: Node, event: LegHungUp, *, unseen: bool = False) -> None:
    """CHANNEL_HANGUP of any leg; ``unseen`` when it was found out by asking."""
    node.remember_gone(event.leg)
    supervision.leg_over(node, event.leg)
    if (caller := node.callers.get(event.leg)) is not None and caller.stage is Stage.MOVING and not unseen:
        moves.left(node, caller, event.cause)
    elif caller is not None:
        _caller_gone(node, caller, event.cause, at_us=event.at_us, unseen=unseen)
    elif (offer := node.offer_on(event.leg)) is not None:
        _agent_gone(node, offer, event.cause)


def _caller_gone(node: Node, caller: Caller, cause: str, *, at_us: int, unseen: bool) -> None:
    """The caller's leg is over, at whatever moment: the agent's leg must not outlive it by itself."""
    offer = node.offer_of(caller)
    kept = caller.agent_there
    state = "after" if caller.parted else "waiting"
    if caller.stage is Stage.LEAVING and not caller.parted:
        state = "after"
    if offer is not None:
        if offer.phase is Phase.TALKING or caller.contact in node.asides:
            state = "talking"
            conversation_ended(
                node, caller, offer, "system" if caller.ended_by_us or unseen else "caller", cause
            )
            wrap_up(node, offer)
        else:
            # ContactGone tells routing everything: the offers' own ends are routing's to decide.
            state = "offered"
            for open_offer in {o.offer_id: o for o in (*node.rings_of(caller), offer)}.values():
                open_offer.reported = True
                open_offer.cause = open_offer.cause or "caller_gone"
                if open_offer.offer_id in node.leads and not open_offer.bridge_held:
                    say_sorry(node, open_offer)  # The agent is being told about somebody who has left.
                else:
                    node.close_offer(open_offer, "ORIGINATOR_CANCEL")
                kept = node.keep(open_offer) or kept
    schedule.cancel(node, caller)
    node.cancel_timer(
        *(
            f"{kind}:{caller.contact}"
            for kind in (
                "outage",
                "part",
                "farewell",
                "settle",
                "unbridged",
                "callback",
                "callback-menu",
                "callback-expected",
                *BESIDE,
            )
        )
    )
    del node.callers[caller.contact]
    wait_end_us = caller.bridged_at_us or at_us
    wait_ms = max(0, (wait_end_us - caller.waiting_since_us) // 1000)
    if not caller.gone_reported:
        node.report(
            caller.tenant,
            ContactGone(
                contact_id=caller.contact,
                state=state,
                cause=cause,
                wait_ms=wait_ms,
                unseen=unseen,
                at_us=at_us,
                kept_offer_id=kept,
            ),
            "gone",
            "0",
        )
    node.line(
        "caller_leg_over",
        contact=caller.contact,
        tenant=caller.tenant,
        queue=caller.queue.name,
        entry_point=caller.leg.entry_point,
        state=state,
        wait_ms=wait_ms,
        talk_ms=max(0, (at_us - caller.bridged_at_us) // 1000) if caller.bridged_at_us else 0,
        offers=caller.offers,
        cause=cause,
        unseen=unseen,
        recovered=caller.recovered,
    )


def _agent_gone(node: Node, offer: Offer, cause: str) -> None:
    if offer.phase not in (Phase.TALKING, Phase.WRAP_UP):
        agent_leg_hung_up(node, offer, cause)
        return
    offer.leg_gone = True
    offer.cause = offer.cause or cause
    caller = node.callers.get(offer.contact)
    if offer.phase is Phase.TALKING and caller is not None and caller.stage is Stage.TALKING:
        if offer.elsewhere and cause in NODE_LOST:
            _node_lost(node, caller, offer, cause)
        else:
            left_by_agent(node, caller, offer, cause)
    node.close_offer(offer, "NORMAL_CLEARING")


def left_by_agent(node: Node, caller: Caller, offer: Offer, cause: str) -> None:
    """The last agent has left: the farewell comes when the leg is parked."""
    conversation_ended(node, caller, offer, "agent", cause)
    caller.stage = Stage.PARTED
    node.timer(f"part:{caller.contact}", PART_MS)


def hand_on(node: Node, caller: Caller, offer: Offer, ended_by: str, cause: str) -> None:
    """The conversation with one agent is over, the contact is not."""
    conversation_ended(node, caller, offer, ended_by, cause)
    caller.parted = False
    if caller.offer_id == offer.offer_id:
        caller.offer_id = ""


def requeue(node: Node, caller: Caller, first: Offer) -> None:
    """Nobody has the caller: music, and the former place. Routing must hear that before it hears of the conversation's end."""
    hold_ended(node, first)
    back_to_music(node, caller)
    caller.recovered = True
    caller.again += 1
    announce_waiting(node, caller, f"{first.offer_id}-{caller.again}")
    hand_on(node, caller, first, "system", first.cause or "AGENT_GONE")


def _node_lost(node: Node, caller: Caller, offer: Offer, cause: str) -> None:
    """The node with the agent's phone is gone: back to the head of the queue, when the leg is parked.

    The mark comes first: should this process end meanwhile, the next owner finds one who waits and hears nothing.
    """
    node.line("agent_node_lost", warning=True, contact=caller.contact, offer=offer.offer_id, cause=cause)
    caller.stage = Stage.PARTED
    caller.lost_agent = offer
    node.set_vars(caller.contact, caller.contact, cc_state="waiting", cc_offer="", cc_bridged_ms="0")
    node.timer(f"part:{caller.contact}", PART_MS)


def part(node: Node, contact: str) -> None:
    """The agent has left and the caller is parked: ask or thank and hang up, or music again when it was not the agent's will."""
    caller = node.callers.get(contact)
    if caller is None or caller.stage is not Stage.PARTED:
        return
    offer, caller.lost_agent = caller.lost_agent, None
    if offer is not None:
        requeue(node, caller, offer)
    else:
        survey.part(node, caller)


def wrap_up(node: Node, offer: Offer) -> None:
    """The caller has left: keep the agent's leg for one key, or let it go."""
    if not offer.dispositions or not offer.wrap_up_ms or offer.leg_gone:
        node.close_offer(offer, "NORMAL_CLEARING")
        return
    offer.phase = Phase.WRAP_UP
    node.timer(f"wrap-up:{offer.offer_id}", offer.wrap_up_ms)
    node.timer(f"prompt:{offer.offer_id}", PART_MS)


def ask_disposition(node: Node, offer: Offer) -> None:
    """Ask the agent for a key, once the leg is parked."""
    if offer.phase is not Phase.WRAP_UP:
        return
    node.cancel_timer(f"prompt:{offer.offer_id}")
    center = node.plans.of(offer.tenant, "")
    if center is not None and (file := center.prompt("disposition", center.agent_language(offer.agent))):
        node.emit(PlayTo(contact=offer.contact, leg=offer.leg, file=file))


def digit(node: Node, event: DigitPressed) -> None:
    """A key on an agent's leg after the caller has left; a key that is no disposition is not an answer."""
    offer = node.offer_on(event.leg)
    if offer is None or offer.phase is not Phase.WRAP_UP or event.digit not in offer.dispositions:
        return
    node.report(
        offer.tenant,
        DispositionKeyed(
            offer_id=offer.offer_id,
            contact_id=offer.contact,
            agent_id=offer.agent,
            code=event.digit,
            at_us=node.at_us,
        ),
        "disposition",
        offer.offer_id,
    )
    node.close_offer(offer, "NORMAL_CLEARING")


def offer_ended(node: Node, event: OfferEnded) -> None:
    """Routing's end of an offer. One that talks already loses too when it was withdrawn: routing has given the contact away.

    An offer that *expired* is another matter. Nobody had reported in time, because the owner of the node was dead while the phone was answered;
    routing joins the two when it hears of the bridge, whatever it has offered since. A conversation is not cut for that.
    """
    offer = node.offers.get(event.offer_id)
    if offer is None or offer.phase is not Phase.TALKING or event.outcome == "accepted":
        ended_by_routing(node, event)
        return
    if event.outcome == "expired":
        node.line("late_conversation_kept", contact=offer.contact, offer=offer.offer_id)
        return
    caller = node.callers.get(offer.contact)
    offer.cause = offer.cause or event.outcome
    node.line(
        "conversation_refused",
        warning=True,
        contact=offer.contact,
        offer=offer.offer_id,
        outcome=event.outcome,
    )
    node.close_offer(offer, "NORMAL_CLEARING")
    if caller is not None and caller.stage is Stage.TALKING:
        back_to_music(node, caller)
        announce_waiting(node, caller, event.offer_id)
