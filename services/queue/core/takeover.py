"""Reading the truth from FreeSWITCH: after a takeover, a lost connection, and now and then.

What a listing can show, and what follows:

=========================  ============================================================================================
caller ``handover``        with ``cc_waiting_ms``: adopted, and its leg left alone until the dialplan has it
caller ``waiting``         adopted; ``cc_waiting_ms`` on the leg keeps its place
caller ``aside``           or ``conference``: goes on where it stood, see ``regain``
caller ``talking``         with a partner: the pair is joined, and AgentBridged reported again under its old id; without:
                           looked at again a second later (a bridge takes up to 112 ms), then either the bridge never was (bridged when the
                           agent's leg still stands, else back to music), or it is over (farewell): by ``cc_bridged_ms``, or by
                           ``last_bridge_to``, should nobody have lived to write that
caller ``connecting``      (``cc_step``) something was being said before the bridge: bridged at once, else back to music
customer's leg (callback)  unanswered: its answer or end is waited for; answered: asked to confirm again
caller ``moved``           or ``waiting`` in the middle of a move: routing is asked whose it is and where, see ``moves``
caller ``survey``          with ivr: left there; parked: sent there
agent's leg of a callback  waits for the customer who is being called; none is: given back to routing
agent's leg, unconfirmed   answered at a number outside, no key was pressed: asked for it again
agent's leg, no caller     after a conversation: asked for the disposition; before: told sorry and ended
agent's leg, caller waits  goes on ringing, or is bridged when it was answered
hung up before it was read  its end is remembered, and reported when routing says that it has the contact open
known leg not listed       asked for by itself: the channel table is written late, a missing row proves nothing
open in routing's log      but no such leg, and still so seconds later: *ended unseen*, or as we saw it hang up
anything remembered        and the node has another Core-UUID than before: ended with it, cause SWITCH_RESTARTED
=========================  ============================================================================================
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from services.queue.core import callbacks, connecting, lines, moves, outward, remote, supervision, survey
from services.queue.core.arrival import handed_over
from services.queue.core.conversation import hung_up, report_bridged, start_talking
from services.queue.core.facts import ConversationEnded
from services.queue.core.inputs import ChannelsListed, LegHungUp, LegProbed
from services.queue.core.legs import AgentLeg, CallerLeg, OpenContact
from services.queue.core.node import JOB_GRACE_MS, Node
from services.queue.core.offers import answered, leg_probed, report_failed
from services.queue.core.orders import carry_out_held
from services.queue.core.outputs import Probe
from services.queue.core.records import Caller, Phase, Stage
from services.queue.core.regain import offer_from, regain
from services.queue.core.treatment import (
    FAREWELL_LIMIT_MS,
    SETTLE_MS,
    adopt,
    announce_waiting,
    back_to_music,
    remember,
    say_sorry,
    unsettle,
)

LegT = TypeVar("LegT", CallerLeg, AgentLeg)

RESTARTED = "SWITCH_RESTARTED"  # Cause of everything that ended with the node.
LOOK_BACK: Final = "look-back"
EARLIER_OWNER_MS: Final = 5_000
"""So long what the owner before us saw may be on its way still: cut off from NATS it has lost the node, but not its facts.

One came 0.4 s after its successor's word: three conversations were in the books as ended unseen.
"""


def knows(node: Node, leg: str) -> bool:
    """Whether a listing needs no details of this leg."""
    if leg in node.customers or leg in node.supervisions or leg in node.arrivals:
        return True
    caller = node.callers.get(leg)
    if caller is not None:
        return caller.stage is not Stage.UNSETTLED
    offer = node.offer_on(leg)
    if offer is None:
        return False
    caller = node.callers.get(offer.contact)
    return caller is None or caller.stage is not Stage.UNSETTLED


def link_up(node: Node, core_uuid: str = "") -> None:
    """Events may have been missed: whatever was in the middle of something is looked at anew."""
    node.link_up = True
    restarted = bool(core_uuid) and node.core_uuid not in ("", core_uuid)
    callbacks.link_up(node, restarted=restarted)
    if restarted:
        lines.restarted(node)
    if restarted:
        _restarted(node)
    node.core_uuid = core_uuid or node.core_uuid
    for caller in node.callers.values():
        if caller.stage in (Stage.BRIDGING, Stage.ASIDE) or caller.contact in node.arriving:
            unsettle(node, caller)
    node.arriving.clear()
    for offer in [o for o in node.offers.values() if o.phase is Phase.CLOSING]:
        node.press_close(offer)
    for offer in node.offers.values():
        if offer.phase is Phase.RINGING and offer.originate is None:
            node.emit(Probe(contact=offer.contact, leg=offer.leg))  # The answer may have been missed.
    remote.link_up(node)
    node.list_channels()


def _restarted(node: Node) -> None:
    """Another Core-UUID: the FreeSWITCH that had the legs is no more, and nobody need be asked."""
    node.line("switch_restarted", warning=True, callers=len(node.callers), agent_legs=len(node.offers))
    for offer in node.offers.values():
        offer.job_pending, offer.leg_gone = False, True
    for caller in list(node.callers.values()):
        if caller.stage is Stage.UNSETTLED:
            _missed_end(node, caller, caller.leg, "system", RESTARTED)
        hung_up(node, LegHungUp(at_us=node.at_us, leg=caller.contact, cause=RESTARTED), unseen=True)
    supervision.restarted(node)
    for offer in list(node.offers.values()):
        offer.cause = offer.cause or RESTARTED
        node.close_offer(offer, "NORMAL_CLEARING")
        node.settle_offer(offer)


def link_down(node: Node) -> None:
    """Nothing is known of the legs until the connection is back; nothing has ended."""
    node.link_up = False


def settle_due(node: Node, contact: str) -> None:
    caller = node.callers.get(contact)
    if caller is not None and caller.stage is Stage.UNSETTLED and node.link_up:
        node.timer(f"settle:{contact}", SETTLE_MS)
        node.list_channels()


def channels_listed(node: Node, event: ChannelsListed) -> None:
    """Compare what FreeSWITCH has with what is remembered."""
    for caller in node.callers.values():
        if caller.contact not in event.present:
            node.emit(Probe(contact=caller.contact, leg=caller.contact))
    for arriving in node.arrivals.keys() - event.present:
        node.emit(Probe(contact=arriving, leg=arriving))
    for customer in node.customers.values():
        if customer.contact not in event.present and customer.step != "held" and not customer.job_pending:
            node.emit(Probe(contact=customer.contact, leg=customer.contact))
    for offer in node.offers.values():
        if (
            offer.leg not in event.present
            and not offer.leg_gone
            and (offer.leg_seen or not offer.job_pending)
        ):
            node.emit(Probe(contact=offer.contact, leg=offer.leg))
    found = [agent for agent in event.agents if agent.leg not in node.gone_legs]
    # Of several legs that ring together the one that talks, else the one that answered, is the caller's.
    found.sort(key=lambda agent: (agent.bridged, agent.answered))
    agents: dict[str, list[AgentLeg]] = {}
    for agent in found:
        if agent.offer not in node.ended_offers:
            agents.setdefault(agent.contact, []).append(agent)
    for leg in event.callers:
        if leg.leg not in node.gone_legs:
            caller_found(node, leg, agents.get(leg.leg, []))
    look_again = False
    for contact in event.open_contacts:
        stranger = contact.contact in node.strangers_gone
        if contact.contact in node.callers or (contact.contact in event.present and not stranger):
            continue
        if not node.missed_for(contact.contact, EARLIER_OWNER_MS):
            look_again = True
        elif stranger:
            _gone_unknown(node, contact)
        elif contact.contact not in node.gone_legs:
            _missing(node, contact)
    if look_again:
        node.timer(LOOK_BACK, EARLIER_OWNER_MS)
    for agent in found:
        _agent_found(node, agent)


def _its_agent(leg: CallerLeg, agents: list[AgentLeg]) -> AgentLeg | None:
    """The agent's leg that the caller's leg names, else the one that is furthest; never one that is only asked."""
    named = [a for a in agents if a.offer == leg.offer]
    found = named or [a for a in agents if a.kind != "consult"]
    return found[-1] if found else None


def caller_found(node: Node, leg: CallerLeg, agents: list[AgentLeg]) -> None:
    """A caller's leg whose details were read, and the agents' legs that carry its offers."""
    leg = _with_bridge(node, leg)
    caller = node.callers.get(leg.leg)
    agent = _its_agent(leg, agents)
    if caller is not None:
        if caller.stage is not Stage.UNSETTLED:
            return
        caller.leg = leg
        caller.waiting_since_us = leg.waiting_ms * 1000 or caller.waiting_since_us
        settled = leg.step == connecting.STEP or (agent is not None and leg.bridged and agent.bridged)
        if not settled and node.at_us - caller.unsettled_at_us < SETTLE_MS * 1000:
            return  # It may be in the middle of a bridge.
    match leg.state:
        case "moved":
            moves.arrived(node, leg)
        case "waiting" | "leaving" if caller is None and leg.moving:
            moves.arrived(node, leg)  # Its contact may be on the other node already.
        case "waiting":
            if caller is None:
                adopted = adopt(node, leg, recovered=True)
                if adopted is not None and leg.silent:
                    back_to_music(node, adopted)  # The one before us marked it, and came no further.
            else:
                _take_up(node, caller, agent, rescue=leg.silent)
        case "talking":
            if agent is not None and leg.bridged and agent.bridged and agent.leg == leg.partner:
                _join(node, caller or remember(node, leg, Stage.TALKING, recovered=True), leg, agent)
            elif leg.step == connecting.STEP:
                caller = caller or remember(node, leg, Stage.UNSETTLED, recovered=True)
                if caller is not None:
                    _cut_short(node, caller, agent)
            elif caller is None:
                if (fresh := remember(node, leg, Stage.UNSETTLED, recovered=True)) is not None:
                    unsettle(node, fresh)
            elif leg.bridged_ms:
                _over(node, caller, leg, agent)
            else:
                _take_up(node, caller, agent, rescue=True)
        case "aside" | "conference":
            if caller is not None:
                regain(node, caller, leg, agents)
            elif (fresh := remember(node, leg, Stage.UNSETTLED, recovered=True)) is not None:
                unsettle(node, fresh)
        case "callback":
            callbacks.found(node, leg)
        case outward.OUTWARD:
            fresh = caller or remember(node, leg, Stage.LEAVING, recovered=True)
            if fresh is not None:
                outward.resume(node, fresh, leg.out)
        case survey.SURVEY:
            fresh = caller or remember(node, leg, Stage.LEAVING, recovered=True)
            if fresh is not None:
                survey.resume(node, fresh, silent=leg.silent)
        case "leaving" | "transferred" | "message":
            fresh = caller or remember(node, leg, Stage.LEAVING, recovered=True)
            if fresh is not None:
                fresh.stage = Stage.LEAVING
                if leg.state == "leaving":
                    node.timer(f"farewell:{fresh.contact}", FAREWELL_LIMIT_MS)
                elif leg.state == "message":
                    most_ms = fresh.center.message_most_s * 1000 + 2 * FAREWELL_LIMIT_MS
                    node.timer(f"farewell:{fresh.contact}", most_ms)
        case "handover" if caller is None and leg.waiting_ms:
            handed_over(node, leg, recovered=True)  # Routing knows it already, and may have it offered.
        case _:
            # Still with ivr; it will say peyvand::waiting.
            return


def _with_bridge(node: Node, leg: LegT) -> LegT:
    """The leg with the time of a bridge that only FreeSWITCH remembers: whoever made it ended, or hung, before it was written down."""
    if leg.bridged_ms or not leg.met:
        return leg
    return replace(leg, bridged_ms=node.at_us // 1000 - leg.met_ago_ms)


def _join(node: Node, caller: Caller | None, leg: CallerLeg, agent: AgentLeg) -> None:
    """The pair talks."""
    if caller is not None:
        offer = offer_from(node, agent, Phase.TALKING)
        start_talking(node, caller, offer, leg.bridged_ms * 1000 or node.at_us)


def _take_up(node: Node, caller: Caller, agent: AgentLeg | None, *, rescue: bool) -> None:
    """No bridge came about: the agent's answered leg gets one now, otherwise the caller goes on waiting."""
    node.cancel_timer(f"settle:{caller.contact}")
    caller.stage = Stage.WAITING
    if agent is not None and agent.answered:
        offer = offer_from(node, agent, Phase.RINGING)
        if not offer.reported:
            node.rings_for(caller, offer)
            answered(node, offer.leg)
            if offer.phase is not Phase.RINGING:
                return
            # Somebody at a number outside is asked for the key again: the caller goes on waiting meanwhile.
    offer_left = node.offer_of(caller)
    if offer_left is not None and offer_left.phase is Phase.ANSWERED:
        report_failed(node, offer_left, "failed", "NO_BRIDGE")
        node.close_offer(offer_left, "NORMAL_CLEARING")
    if rescue:
        back_to_music(node, caller)
    announce_waiting(node, caller, "0")
    carry_out_held(node, caller)


def _cut_short(node: Node, caller: Caller, agent: AgentLeg | None) -> None:
    """Something was being said before a bridge: it is made now, and nothing is said twice."""
    plan = caller.queue.before_bridge
    caller.announcing = caller.prompt(plan.caller) if plan is not None and plan.caller else ""
    caller.stop_announcement(node)
    _take_up(node, caller, agent, rescue=True)
    caller.leg = replace(caller.leg, step="")


def _over(node: Node, caller: Caller, leg: CallerLeg, agent: AgentLeg | None) -> None:
    """They talked and talk no more: the end was missed."""
    node.cancel_timer(f"settle:{caller.contact}")
    _missed_end(node, caller, leg, "agent" if agent is None else "system")
    if agent is not None:
        node.close_offer(offer_from(node, agent, Phase.TALKING), "NORMAL_CLEARING")
    survey.part(node, caller)


def _missed_end(
    node: Node, caller: Caller, leg: CallerLeg, ended_by: str, cause: str = "UNSEEN", *, ended_at_us: int = 0
) -> None:
    """Report a conversation whose end nobody saw, and perhaps nobody its beginning."""
    ended_at_us = ended_at_us or node.at_us
    if not (leg.offer and leg.agent and leg.bridged_ms) or caller.parted:
        return
    caller.parted = True
    if leg.met:
        report_bridged(node, caller, leg.offer, leg.agent, leg.met, leg.bridged_ms * 1000)
    node.report(
        caller.tenant,
        ConversationEnded(
            offer_id=leg.offer,
            contact_id=caller.contact,
            agent_id=leg.agent,
            ended_by=ended_by,
            talk_ms=max(0, ended_at_us // 1000 - leg.bridged_ms),
            cause=cause,
            at_us=ended_at_us,
        ),
        "conversation-ended",
        leg.offer,
    )


def leg_hung_up(node: Node, event: LegHungUp) -> None:
    """CHANNEL_HANGUP of a leg, perhaps of one that was not read yet, or not to its end."""
    caller = node.callers.get(event.leg)
    if caller is not None and caller.stage is Stage.UNSETTLED:
        _missed_end(node, caller, caller.leg, "caller", event.cause)
        node.list_channels()  # For the agent's leg.
    elif caller is None and node.offer_on(event.leg) is None and event.leg not in node.gone_legs:
        node.remember_stranger(event)
    hung_up(node, event)


def _gone_unknown(node: Node, found: OpenContact) -> None:
    """Routing's log has it, and it hung up after we had subscribed but before its leg was read: nobody has told of it."""
    end = node.strangers_gone.pop(found.contact)
    caller = remember(node, _as_routing_has_it(found), Stage.UNSETTLED, recovered=True)
    if caller is not None:
        _missed_end(node, caller, caller.leg, "caller", end.cause, ended_at_us=end.at_us)
        hung_up(node, end)


def _missing(node: Node, found: OpenContact) -> None:
    """Routing's log has it, the listing has not."""
    caller = remember(node, _as_routing_has_it(found), Stage.UNSETTLED, recovered=True)
    if caller is not None:
        unsettle(node, caller)
        node.emit(Probe(contact=caller.contact, leg=caller.contact))


def _as_routing_has_it(found: OpenContact) -> CallerLeg:
    return CallerLeg(
        leg=found.contact,
        tenant=found.tenant,
        queue=found.queue,
        entry_point=found.entry_point,
        waiting_ms=found.waiting_since_us // 1000,
        bridged_ms=found.connected_at_us // 1000,
        offer=found.offer,
        agent=found.agent,
    )


def _agent_found(node: Node, agent: AgentLeg) -> None:
    """An agent's leg that no caller has claimed yet."""
    agent = _with_bridge(node, agent)
    if node.offer_on(agent.leg) is not None:
        return
    caller = node.callers.get(agent.contact)
    if caller is not None and caller.stage is Stage.UNSETTLED:
        if agent.answered and not agent.bridged_ms:
            caller.agent_there = agent.offer
        return
    if agent.callback and caller is None and not agent.bridged_ms:
        _callback_agent_found(node, agent)
        return
    wanted = (
        caller is not None
        and caller.stage is Stage.WAITING
        and agent.kind != "consult"
        and (not caller.offer_id or (caller.queue.parallel and bool(caller.rings)))
    )
    if wanted and caller is not None and agent.offer not in node.ended_offers:
        offer = offer_from(node, agent, Phase.RINGING)
        node.rings_for(caller, offer)
        if agent.answered:
            answered(node, offer.leg)
        else:
            node.timer(f"probe:{offer.offer_id}", offer.ring_limit_ms + JOB_GRACE_MS)
        return
    if agent.bridged_ms and (caller is None or caller.offer_id != agent.offer):
        offer = offer_from(node, agent, Phase.WRAP_UP)
        offer.bridged_at_us = agent.bridged_ms * 1000
        offer.reported = True
        node.park(offer)  # It may stand in a conference that its caller has left.
        if offer.dispositions and offer.wrap_up_ms:
            node.timer(f"wrap-up:{offer.offer_id}", offer.wrap_up_ms)
            node.timer(f"prompt:{offer.offer_id}", 1)
        else:
            node.close_offer(offer, "NORMAL_CLEARING")
        return
    offer = offer_from(node, agent, Phase.RINGING)
    offer.reported = True
    if caller is not None and caller.stage in (Stage.BRIDGING, Stage.TALKING) and agent.kind != "consult":
        # Several answered while nobody looked; routing withdraws it on reading OfferAnswered, and has the agent free from then on.
        offer.cause = "LOSE_RACE"
        node.close_offer(offer, "LOSE_RACE")
        return
    offer.cause = "caller_gone"
    if agent.answered:
        say_sorry(node, offer)
    else:
        node.close_offer(offer, "ORIGINATOR_CANCEL")


def _callback_agent_found(node: Node, agent: AgentLeg) -> None:
    """An agent who was called before the customer: goes on waiting for one who is being called, else routing begins anew."""
    offer = offer_from(node, agent, Phase.RINGING)
    customer = node.customers.get(agent.contact)
    if customer is not None and customer.step != "closing":
        offer.answered_at_us = node.at_us if agent.answered else 0
        return
    report_failed(node, offer, "failed", "OWNER_CHANGED")
    node.close_offer(offer, "ORIGINATOR_CANCEL")


def probed(node: Node, event: LegProbed) -> None:
    """What FreeSWITCH said about one leg."""
    if (customer := node.customers.get(event.leg)) is not None:
        callbacks.probed(node, customer, alive=event.alive, is_answered=event.answered)
        return
    if event.leg in node.arrivals:
        if not event.alive:
            moves.arrival_gone(node, event.leg, "UNSEEN")
        return
    caller = node.callers.get(event.leg)
    if caller is None:
        offer = node.offer_on(event.leg)
        if offer is not None and not event.alive and offer.phase in (Phase.TALKING, Phase.WRAP_UP):
            hung_up(node, LegHungUp(at_us=node.at_us, leg=event.leg, cause="UNSEEN"), unseen=True)
        elif offer is not None:
            leg_probed(node, offer, event)
        return
    if event.alive:
        return  # An unsettled one comes with details in the next listing.
    at_us = node.missed.pop(event.leg, node.at_us)
    if caller.stage is Stage.UNSETTLED:
        _missed_end(node, caller, caller.leg, "system", ended_at_us=at_us)
        node.list_channels()
    hung_up(node, LegHungUp(at_us=at_us, leg=event.leg, cause="UNSEEN"), unseen=True)
