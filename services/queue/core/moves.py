"""Emptying a node: no new calls, callers who wait move to another node, who talks talks on.

The dialplan refuses new calls with 503 while the switch's global ``cc_draining`` is a time (ms since the epoch); that holds whatever
becomes of us. A caller who waits goes on at another node, which takes over the line (``line_moves``, services/adr/0039), and is the same
contact there, on a leg of its own:

    here                                        there                                   routing
    WAITING -> MOVING                           peyvand::waiting, cc_state=moved
                                                who is it? (AskContact)                 queue, place, skills ...
                                                adopted, ContactWaiting                 ContactMoved
    ContactMoved: the leg here is let go, silently

Who cannot be moved stays here: WAITING again, served as ever, and tried no second time.

With ``PEYVAND_QUEUE_REFERS`` the carrier is asked to bring the caller by a REFER to ``move-<tenant>.<contact>`` there (services/adr/0026).
``uuid_deflect`` would hang up whatever the carrier says of it, so ``sip_refer_continue_after_reply`` is set. A carrier that accepts must be able to
do it: with the last NOTIFY about it, good or bad, FreeSWITCH 1.10.12 ends the line (sofia.c destroys the handle of the call when a subscription on it is
over) without ending the channel; ``Refer-Sub: false`` asks for no NOTIFY, and ``sofia::notify_refer`` ends the channel too.

A caller whose leg ends while MOVING has left, or has arrived and we do not know it yet: the end is reported when ``ARRIVAL_MS`` have passed
without ContactMoved. A new owner that finds a leg with ``cc_move`` asks routing where its contact is before it says that it waits.

Not moved: who is called back (we called them), and who is being offered; they are served here.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.queue.core import line_moves, schedule
from services.queue.core.drain_facts import NodeDrainChanged, NodeDrained
from services.queue.core.facts import ContactGone
from services.queue.core.inputs import (
    ContactKnown,
    ContactMoved,
    DrainFound,
    DrainWished,
    LegProbed,
    LineSent,
    PeerSeen,
    ReferEnded,
)
from services.queue.core.legs import CallerLeg
from services.queue.core.node import Node
from services.queue.core.outputs import AskContact, Kill, Probe, Refer, Report, SetGlobal
from services.queue.core.records import Arrival, Caller, Departed, Drain, Stage
from services.queue.core.treatment import adopt, back_to_music, leave, remember

DRAINING = "cc_draining"  # The global that the dialplan looks at.
MOVES_AT_ONCE = 20  # A carrier is not asked to bring more calls than that at a time.
REFUSED_MS = 1_500  # A carrier that cannot follow a REFER says so at once.
MOVE_MS = 8_000  # One that follows has brought the caller by then.
ARRIVAL_MS = 10_000  # So long a caller who left while MOVING may be on the way.
ASK_MS = 2_000
ASKS = 15
LOOK_MS = 5_000  # How often the switch's list is read while the node drains.
LOOK = "drain"
REFER_FINAL = 200
REFER_REFUSED = 300  # SIP statuses from here on say no.


# --- the node ---------------------------------------------------------------------------------------------------------


def wished(node: Node, event: DrainWished) -> None:
    """Somebody wants the node emptied, or back."""
    if (node.drain is not None) == event.draining:
        return
    since_ms = node.at_us // 1000
    node.drain = Drain(since_ms, event.actor) if event.draining else None
    node.in_service = not event.draining
    _tell_switch(node)
    _report(node, since_ms, event.actor)
    node.line("node_drain_changed", warning=True, draining=event.draining, actor=event.actor)
    if event.draining:
        look(node)
    else:
        node.cancel_timer(LOOK)
        for caller in node.callers.values():
            caller.move_tried = False


def _report(node: Node, since_ms: int, actor: str) -> None:
    """To every tenant; the id is the same for whoever reports the same change again."""
    fact = NodeDrainChanged(
        node=node.name,
        draining=node.drain is not None,
        since_us=since_ms * 1000,
        actor=actor,
        at_us=node.at_us,
    )
    what = "draining" if node.drain is not None else "undrained"
    for center in node.plans.centers:
        node.emit(Report(tenant=center.tenant, fact_id=f"node:{node.name}:{what}:{since_ms}", fact=fact))


def _tell_switch(node: Node) -> None:
    value = str(node.drain.since_ms) if node.drain is not None else "0"
    node.emit(SetGlobal(contact="", leg="", name=DRAINING, value=value))


def found(node: Node, event: DrainFound) -> None:
    """What the switch says, or where it has forgotten (it was restarted) what routing's log says.

    A switch that says 0 was told so later than routing; one that says nothing is told what is known.
    """
    if event.by_switch:
        node.in_service = event.said == "0"
    if event.by_switch and node.in_service:
        node.drain = None
    elif node.in_service and event.said.isdigit():
        _report(node, int(event.said), "system")  # Whoever undrained it may not have come to say so.
    elif event.said.isdigit() and int(event.said) and node.drain is None:
        node.drain = Drain(int(event.said), event.actor)
        if event.by_switch:
            _report(node, node.drain.since_ms, event.actor)  # Whoever set it may not have come to say so.
        look(node)
    if node.drain is not None and not (event.by_switch and event.said):
        _tell_switch(node)


def look(node: Node) -> None:
    """Read the switch's list again: is the node empty?"""
    if node.drain is not None and not node.drain.drained:
        node.timer(LOOK, LOOK_MS)
        if node.link_up:
            node.list_channels()


def listed(node: Node, legs: int) -> None:
    """So many legs are on the switch, of whatever kind."""
    node.legs_seen = legs
    drain = node.drain
    if drain is None or drain.drained or legs or node.callers or node.arrivals:
        return
    drain.drained = True
    node.cancel_timer(LOOK)
    drain_ms = max(0, node.at_us // 1000 - drain.since_ms)
    fact = NodeDrained(node=node.name, drain_ms=drain_ms, at_us=node.at_us)
    for center in node.plans.centers:
        node.emit(
            Report(tenant=center.tenant, fact_id=f"node:{node.name}:drained:{drain.since_ms}", fact=fact)
        )
    node.line("node_drained", drain_ms=drain_ms)


def peer_seen(node: Node, event: PeerSeen) -> None:
    """Whether another node can take callers."""
    if event.up is not None:
        (node.down.discard if event.up else node.down.add)(event.node)
    if event.draining is not None:
        (node.emptied.add if event.draining else node.emptied.discard)(event.node)


# --- leaving ----------------------------------------------------------------------------------------------------------


def review(node: Node) -> None:
    """Send on whoever waits, as many at a time as may be; called after every input."""
    if node.drain is None or not (node.link_up and node.bus_up):
        return
    target = next(
        (n for n in node.refer or node.peers if n != node.name and n not in node.down | node.emptied), ""
    )
    room = MOVES_AT_ONCE - sum(c.stage is Stage.MOVING for c in node.callers.values()) if target else 0
    for caller in list(node.callers.values()):
        if room <= 0:
            return
        if (
            caller.stage is Stage.WAITING
            and not (caller.move_tried or caller.called_back or caller.leaving or caller.rings)
            and caller.menu is None
        ):
            room -= 1
            _send_on(node, caller, target)


def _send_on(node: Node, caller: Caller, target: str) -> None:
    caller.stage, caller.move_tried, caller.moving_to = Stage.MOVING, True, target
    caller.moved_to, caller.line_taken, caller.move_asks = target, False, 0
    caller.moving_since_us = node.at_us
    if target not in node.refer:
        node.set_vars(caller.contact, caller.contact, cc_move=target)
        line_moves.send(node, caller)
        node.timer(f"move:{caller.contact}", line_moves.HERE_MS)
        return
    node.set_vars(caller.contact, caller.contact, cc_move=target, sip_refer_continue_after_reply="true")
    node.emit(
        Refer(
            contact=caller.contact,
            leg=caller.contact,
            user=f"move-{caller.tenant}.{caller.contact}",
            address=node.refer[target],
        )
    )
    node.timer(f"move:{caller.contact}", REFUSED_MS)


def overdue(node: Node, contact: str) -> None:
    """The caller is still here."""
    caller = node.callers.get(contact)
    if caller is None or caller.stage is not Stage.MOVING:
        return
    if caller.moving_to not in node.refer:
        line_moves.ask_again(node, caller)
        return
    waited_ms = (node.at_us - caller.moving_since_us) // 1000
    if waited_ms < MOVE_MS:
        node.emit(Probe(contact=contact, leg=contact))
        node.timer(f"move:{contact}", MOVE_MS - waited_ms)
    else:
        _stays(node, caller, "NO_ARRIVAL")


def line_sent(node: Node, event: LineSent) -> None:
    """What another node said to the offer of a line."""
    caller = node.callers.get(event.contact)
    if event.taken is False and event.contact in node.departed:
        node.cancel_timer(f"departed:{event.contact}")
        not_arrived(node, event.contact)  # Hung up before the other node had the line.
    if (reason := line_moves.sent(node, event)) and caller is not None:
        _stays(node, caller, reason)


def refer_ended(node: Node, event: ReferEnded) -> None:
    """The carrier is through with it, and whatever came of it, FreeSWITCH has ended the line here and not noticed: end the leg too."""
    caller = node.callers.get(event.leg)
    if event.status < REFER_FINAL or caller is None or not caller.move_tried:
        return
    node.line("caller_referred", contact=caller.contact, status=event.status)
    if caller.stage in (Stage.MOVING, Stage.WAITING, Stage.BRIDGING, Stage.TALKING):
        node.emit(Kill(contact=caller.contact, leg=caller.contact, cause="BLIND_TRANSFER"))


def probed(node: Node, event: LegProbed) -> None:
    """What the carrier answered to the REFER."""
    caller = node.callers.get(event.leg)
    if caller is None or caller.stage is not Stage.MOVING or event.caller is None:
        return
    if event.caller.refer_status >= REFER_REFUSED:
        _stays(node, caller, str(event.caller.refer_status))


def _stays(node: Node, caller: Caller, reason: str) -> None:
    """The carrier does not move its caller: served here, as ever."""
    node.cancel_timer(f"move:{caller.contact}")
    node.line("caller_stays", contact=caller.contact, to=caller.moving_to, reason=reason)
    caller.stage, caller.moving_to = Stage.WAITING, ""
    node.set_vars(caller.contact, caller.contact, cc_move="")


def left(node: Node, caller: Caller, cause: str) -> None:
    """The leg ended while MOVING: gone, or there already."""
    del node.callers[caller.contact]
    schedule.cancel(node, caller)
    node.cancel_timer(
        *(f"{kind}:{caller.contact}" for kind in ("move", "outage", "callback", "callback-expected"))
    )
    node.departed[caller.contact] = Departed(
        caller.tenant, cause, max(0, (node.at_us - caller.waiting_since_us) // 1000), node.at_us
    )
    node.timer(f"departed:{caller.contact}", ARRIVAL_MS)


def not_arrived(node: Node, contact: str) -> None:
    """Nobody has seen the caller since: they had hung up."""
    gone = node.departed.pop(contact, None)
    if gone is not None:
        fact = ContactGone(
            contact_id=contact, state="waiting", cause=gone.cause, wait_ms=gone.wait_ms, at_us=gone.at_us
        )
        node.report(gone.tenant, fact, "gone", "0")


def moved(node: Node, event: ContactMoved) -> None:
    """Routing has the contact on another node: what is left of it here is let go without a word."""
    if event.node == node.name:
        return
    if node.departed.pop(event.contact_id, None) is not None:
        node.cancel_timer(f"departed:{event.contact_id}")
    caller = node.callers.get(event.contact_id)
    if caller is None or event.node not in (caller.moving_to, caller.moved_to):
        return  # An entry read again, of a move before this caller came back.
    leave(node, caller, "leaving")
    node.cancel_timer(f"move:{caller.contact}")
    caller.gone_reported = True
    node.emit(Kill(contact=caller.contact, leg=caller.contact, cause="BLIND_TRANSFER"))
    node.line("caller_moved", contact=caller.contact, tenant=caller.tenant, to=event.node)


# --- arriving ---------------------------------------------------------------------------------------------------------


def arrived(node: Node, leg: CallerLeg) -> None:
    """A leg of which only the contact is known, or one that was being moved when its owner went: routing knows the rest."""
    if leg.leg in node.arrivals or leg.leg in node.callers:
        return
    node.arrivals[leg.leg] = Arrival(leg)
    _ask(node, leg)


def _ask(node: Node, leg: CallerLeg) -> None:
    node.emit(AskContact(tenant=leg.tenant, contact=leg.leg))
    node.timer(f"arrival:{leg.leg}", ASK_MS)


def unanswered(node: Node, contact: str) -> None:
    """Routing has not answered: the caller hears music; at last served with what is known."""
    arrival = node.arrivals.get(contact)
    if arrival is None:
        return
    arrival.tries += 1
    if arrival.tries < ASKS:
        _ask(node, arrival.leg)
    else:
        _take(node, arrival.leg)


def known(node: Node, event: ContactKnown) -> None:
    """What routing says of the contact."""
    arrival = node.arrivals.get(event.contact)
    if arrival is None:
        return
    leg = arrival.leg
    if leg.moving and event.node not in ("", node.name):
        # Not the arrival but what is left behind: its contact is on another node.
        _forget(node, event.contact)
        node.emit(Kill(contact=leg.leg, leg=leg.leg, cause="BLIND_TRANSFER"))
        return
    if event.caller is not None and not leg.moving:
        leg = replace(
            event.caller,
            leg=leg.leg,
            tenant=leg.tenant,
            state="waiting",
            silent=leg.silent,
            taken=leg.taken,
            ani=event.caller.ani or leg.ani,
        )
    _take(node, leg)


def _take(node: Node, leg: CallerLeg) -> None:
    _forget(node, leg.leg)
    arrived_at = leg.arrived if leg.moving else f"{node.name}-{node.at_us // 1000}"
    leg = replace(leg, state="waiting", moving="", arrived=arrived_at)
    node.set_vars(
        leg.leg,
        leg.leg,
        # All at once: whoever finds a leg that says it waits must find its place and its queue as well.
        cc_state="waiting",
        cc_move="",
        cc_waiting_ms=str(leg.waiting_ms or ""),
        cc_queue=leg.queue,
        cc_arrived=leg.arrived,
        cc_priority=str(leg.priority),
        cc_skills=" ".join(leg.skills),
        cc_language=leg.language,
        cc_customer=leg.customer,
        cc_number=leg.ani,
        cc_entry=leg.entry_point,
        cc_class=leg.service_class,
        cc_preferred_agent=leg.preferred_agent,
        cc_started_ms=str(leg.started_ms),
        # FreeSWITCH would give every later re-INVITE of the leg the same number (sofia_glue.c), and the carrier refuse it.
        **({"sip_invite_cseq": ""} if leg.taken else {}),
    )
    caller = adopt(node, leg, recovered=True)
    if caller is not None and leg.silent:
        back_to_music(node, caller)


def _forget(node: Node, contact: str) -> None:
    node.arrivals.pop(contact, None)
    node.cancel_timer(f"arrival:{contact}")


def arrival_gone(node: Node, contact: str, cause: str) -> None:
    """The leg ended before it was adopted: there is the other one, or the caller has left."""
    arrival = node.arrivals.get(contact)
    _forget(node, contact)
    node.line("arrival_gone", contact=contact, cause=cause, moving=bool(arrival and arrival.leg.moving))
    if arrival is not None and arrival.leg.taken and not arrival.leg.moving:
        line_moves.over(node, contact, arrival, cause)
    if arrival is not None and arrival.leg.moving:
        caller = remember(node, arrival.leg, Stage.MOVING, recovered=True)
        if caller is not None:
            left(node, caller, cause)
