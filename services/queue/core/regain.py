"""A hold, a consultation or a conference as a new owner of the node finds it: the legs say how far it came.

``cc_step`` is written before a step is taken, so a found step may not have been taken yet; where the legs contradict it, they are right.
Whatever cannot be told leads back to the conversation that the agent had, or to the queue when that agent is gone.

=====================  ================================================================================================
C with A               they talk again: the way back was done
C with B               they talk: the hand-over was done
A with B               the consultation goes on
A alone, B answered    is bridged: with the caller when it was being completed, else with A
A alone, B rings       goes on ringing
A alone, no B          a hold goes on; otherwise back to the caller
no A, B answered       B has the caller
no A                   back to the place in the queue
=====================  ================================================================================================
"""

from __future__ import annotations

from services.queue.core import aside as beside
from services.queue.core import conference, offers
from services.queue.core.legs import AgentLeg, CallerLeg
from services.queue.core.node import JOB_GRACE_MS, Node
from services.queue.core.records import Aside, Caller, Offer, Phase, Remote, Room, Stage, Step

UNKNOWN_RING_MS = 60_000  # Ring limit of a leg that somebody else's originate made; the longest a center may configure is 120 s.


def offer_from(node: Node, agent: AgentLeg, phase: Phase) -> Offer:
    """The offer of a found agent leg, remembered or new."""
    offer = node.offers.get(agent.offer)
    if offer is None:
        center = node.plans.of(agent.tenant, "")
        offer = Offer(
            offer_id=agent.offer,
            contact=agent.contact,
            tenant=agent.tenant,
            agent=agent.agent,
            leg=agent.leg,
            queue="",
            phase=phase,
            made_at_us=node.at_us,
            ring_limit_ms=UNKNOWN_RING_MS,
            recovered=True,
            dispositions=frozenset(agent.codes),
            wrap_up_ms=max((q.wrap_up_ms for q in center.queues.values()), default=0) if center else 0,
        )
        node.add_offer(offer)
    offer.kind = agent.kind
    offer.elsewhere = agent.elsewhere
    if agent.unconfirmed or offer.remote is not None:
        offer.remote = offer.remote or Remote()
        offer.remote.confirm = agent.unconfirmed
    offer.phase = phase
    offer.leg_seen = True
    caller = node.callers.get(agent.contact)
    if caller is not None:
        offer.queue = caller.queue.name
        offer.wrap_up_ms = caller.queue.wrap_up_ms
        offer.dispositions = caller.center.keyed_codes(caller.queue)
    return offer


def regain(node: Node, caller: Caller, leg: CallerLeg, agents: list[AgentLeg]) -> None:
    """Go on with a caller whose leg says ``aside`` or ``conference``."""
    node.cancel_timer(f"settle:{caller.contact}")
    found_first = next((a for a in agents if a.offer == leg.offer), None)
    found_second = next((a for a in agents if a.kind == "consult" and a.offer != leg.offer), None)
    first = offer_from(node, found_first, Phase.TALKING) if found_first else _gone(node, leg)
    first.reported = True
    first.bridged_at_us = first.bridged_at_us or leg.bridged_ms * 1000 or node.at_us
    caller.offer_id = leg.offer
    caller.bridged_at_us = leg.bridged_ms * 1000
    if leg.state == conference.CONFERENCE:
        second = offer_from(node, found_second, Phase.CONSULTING) if found_second else None
        _regain_room(node, caller, leg, first, second)
    else:
        first.held_since_us = first.held_since_us or leg.held_ms * 1000
        _regain_aside(node, caller, leg, first, found_first, found_second)
    held, caller.held = caller.held, []
    for event in held:
        beside.order(node, event)


def _gone(node: Node, leg: CallerLeg) -> Offer:
    """The offer of an agent's leg that is not there any more."""
    return Offer(
        offer_id=leg.offer,
        contact=leg.leg,
        tenant=leg.tenant,
        agent=leg.agent,
        leg="",
        queue=leg.queue,
        phase=Phase.CLOSING,
        made_at_us=node.at_us,
        ring_limit_ms=UNKNOWN_RING_MS,
        leg_gone=True,
        recovered=True,
    )


def _regain_room(node: Node, caller: Caller, leg: CallerLeg, first: Offer, second: Offer | None) -> None:
    caller.stage = Stage.CONFERENCE
    room = Room(
        contact=caller.contact,
        name=caller.contact,
        first=first,
        second=second,
        consulting_since_us=node.at_us,
    )
    node.rooms[caller.contact] = room
    if leg.step != conference.INSIDE:
        conference.gather(node, room)
        return
    room.joined[caller.contact] = ""
    room.joined |= {o.leg: o.agent for o in (first, second) if o is not None and o.serves}


def _regain_aside(
    node: Node,
    caller: Caller,
    leg: CallerLeg,
    first: Offer,
    found_first: AgentLeg | None,
    found: AgentLeg | None,
) -> None:
    steps = {step.value: step for step in Step}
    aside = Aside(contact=caller.contact, first=first, step=steps.get(leg.step, Step.HELD))
    node.asides[caller.contact] = aside
    caller.stage = Stage.ASIDE
    if found is not None:
        aside.second = second = offer_from(node, found, Phase.RINGING)
    if found_first is not None and leg.bridged and leg.partner == first.leg:
        beside.resumed(node, caller, aside)
    elif found is not None and leg.bridged and leg.partner == second.leg:
        beside.completed(node, caller, aside)
    elif found_first is None:
        if found is not None and found.answered and not found.unconfirmed:
            second.phase = Phase.CONSULTING
            second.answered_at_us = second.answered_at_us or node.at_us
            second.reported = True
            beside.complete(node, aside)
        # Otherwise the review sends the caller back to the queue.
    elif found is not None and found.bridged and found.partner == first.leg:
        aside.step = Step.RINGING
        second.answered_at_us = second.answered_at_us or node.at_us
        beside.consulting(node, aside, second)
    elif found is not None and found.answered:
        aside.step = Step.RINGING
        if leg.step == Step.COMPLETING.value:
            second.phase = Phase.CONSULTING
            second.answered_at_us = node.at_us
            second.reported = True
            beside.complete(node, aside)
        else:
            offers.answered(node, second.leg, let_go=True)
    elif found is not None:
        aside.step = Step.RINGING
        node.timer(f"probe:{second.offer_id}", second.ring_limit_ms + JOB_GRACE_MS)
    elif aside.step in (Step.ASKED, Step.DIALLING):
        aside.step = Step.ASKED  # Keys that nobody remembers are no number; an order may be on its way.
        node.timer(f"asked:{caller.contact}", beside.ASKED_MS)
    elif aside.step is not Step.HELD:
        beside.back(node, aside)
