"""What a waiting caller hears: music, the queue's welcome, and (``schedule``) what is said now and then; how a caller gets back to it.

Announcements displace the music (``uuid_displace``): the live stream goes on underneath, and a displacement works over every kind
of music. It survives a bridge, so it is stopped before one.
"""

from __future__ import annotations

from services.queue.core import schedule
from services.queue.core.facts import ContactWaiting, TreatmentPlayed
from services.queue.core.inputs import AnnouncementEnded
from services.queue.core.legs import OUTBOUND, CallerLeg
from services.queue.core.node import Node
from services.queue.core.outputs import Farewell, PlayMusic
from services.queue.core.plan import DEFAULT_MUSIC
from services.queue.core.records import Caller, Offer, Stage

OUTAGE_MIN_MS = 15_000  # An election takes 4 to 11 s; nobody is sent away for one.
EXPECTED_FIRST_MS = 5_000  # Time for routing to know the contact, and for the welcome to begin.
SETTLE_MS = 1_000  # A bridge takes 112 ms at worst; a leg in between for longer is stuck.
FAREWELL_LIMIT_MS = 30_000  # A farewell is a prompt of seconds; a leg that outlives this is killed.


def adopt(node: Node, leg: CallerLeg, *, recovered: bool) -> Caller | None:
    """Take a waiting leg: fix its place, tell routing, start the treatment. None when there is no center to serve it."""
    caller = remember(node, leg, Stage.WAITING, recovered=recovered)
    if caller is None:
        return None
    since_ms = caller.waiting_since_us // 1000
    node.set_vars(
        caller.contact,
        caller.contact,
        cc_waiting_ms=str(since_ms),
        cc_tenant=caller.tenant,
        cc_queue=caller.queue.name,
        presence_data=f"c/{caller.tenant}/{caller.contact}",
    )
    announce_waiting(node, caller, "0")
    if leg.kind == OUTBOUND and not recovered:
        return caller  # Is being joined with the agent who called, and waits for nobody.
    if caller.queue.music != DEFAULT_MUSIC:
        node.emit(PlayMusic(contact=caller.contact, leg=caller.contact, music=caller.queue.music))
    if not recovered:
        welcome(node, caller)
    schedule.arm(node, caller)
    schedule_offer(node, caller)
    watch_outage(node, caller)
    return caller


def remember(node: Node, leg: CallerLeg, stage: Stage, *, recovered: bool) -> Caller | None:
    """Put a caller's leg into memory without doing anything to it."""
    center = node.plans.of(leg.tenant, leg.entry_point)
    if center is None:
        node.unserved = True
        node.line("no_center_for_call", warning=True, contact=leg.leg, entry_point=leg.entry_point)
        return None
    since_us = leg.waiting_ms * 1000 or node.at_us - leg.waited_ms * 1000
    caller = Caller(
        leg=leg,
        center=center,
        queue=center.queue_for(leg.queue, leg.entry_point),
        stage=stage,
        waiting_since_us=since_us,
        keyed_at_us=since_us,
        recovered=recovered,
        bridged_at_us=leg.bridged_ms * 1000,
    )
    caller.heard_position, caller.heard_minutes = schedule.parse_heard(leg.heard)
    node.callers[caller.contact] = caller
    return caller


def announce_waiting(node: Node, caller: Caller, n: str) -> None:
    """Tell routing that the contact waits. ``n`` differs when it is told again on purpose."""
    leg = caller.leg
    if n == "0" and leg.arrived:
        n = leg.arrived  # That it waits was said under this id on the node it comes from.
    node.report(
        caller.tenant,
        ContactWaiting(
            contact_id=caller.contact,
            node=node.name,
            queue=caller.queue.name,
            priority=leg.priority,
            skills=leg.skills,
            language=leg.language,
            ani=leg.ani,
            caller_name=leg.caller_name,
            entry_point=leg.entry_point,
            customer=leg.customer,
            revision=leg.revision or caller.center.revision,
            waiting_since_us=caller.waiting_since_us,
            started_at_us=leg.started_ms * 1000,
            recovered=caller.recovered or n != "0",
            service_class=leg.service_class,
            preferred_agent=leg.preferred_agent,
            preferred_ms=leg.preferred_ms,
            no_answer=leg.no_answer if caller.queue.name == leg.queue else "",
            callback_id="" if leg.kind == OUTBOUND else leg.callback,
            kind=leg.kind,
        ),
        "waiting",
        n,
    )


def welcome(node: Node, caller: Caller) -> None:
    """Play the queue's welcome over the music."""
    if (name := caller.queue.welcome) and (file := caller.prompt(name)):
        caller.announce(node, file)
        node.report(
            caller.tenant,
            TreatmentPlayed(contact_id=caller.contact, what="welcome", at_us=node.at_us),
            "welcome",
            caller.queue.name,
        )


def stop_announcement(node: Node, caller: Caller) -> None:
    """Stop what displaces the music."""
    caller.stop_announcement(node)


def announcement_ended(node: Node, event: AnnouncementEnded) -> None:
    caller = node.callers.get(event.leg)
    if caller is not None and caller.announcing == event.file:
        caller.announcing = ""


def schedule_offer(node: Node, caller: Caller) -> None:
    """Arm the first telling that one can be called back, and the first look at the expected wait."""
    plan = caller.queue.callback
    node.cancel_timer(f"callback:{caller.contact}", f"callback-expected:{caller.contact}")
    if plan is None or caller.called_back:
        return
    waited_ms = (node.at_us - caller.waiting_since_us) // 1000
    if plan.after_ms:
        node.timer(f"callback:{caller.contact}", max(1, plan.after_ms - waited_ms))
    if plan.expected_ms:
        node.timer(f"callback-expected:{caller.contact}", EXPECTED_FIRST_MS)


def back_to_music(node: Node, caller: Caller) -> None:
    """Rescue a caller from whatever a failed bridge left: music again, then park.

    A leg stuck in CS_RESET or CS_SOFT_EXECUTE after a failed uuid_bridge comes back by a transfer (8 of 8 measured).
    """
    caller.stage = Stage.WAITING
    caller.bridged_at_us = 0
    caller.announcing = ""
    node.set_vars(
        caller.contact, caller.contact, cc_state="waiting", cc_offer="", cc_bridged_ms="0", cc_step=""
    )
    node.emit(PlayMusic(contact=caller.contact, leg=caller.contact, music=caller.queue.music))
    watch_outage(node, caller)


def farewell(node: Node, caller: Caller, prompt: str) -> None:
    """Say something and hang up, without needing us any more."""
    if caller.stage is Stage.LEAVING:
        return
    if caller.leg.kind == OUTBOUND and prompt == "goodbye":
        prompt = ""  # Nobody is thanked for having been called.
    stop_announcement(node, caller)
    leave(node, caller, "leaving")
    caller.ended_by_us = True
    node.emit(
        Farewell(contact=caller.contact, leg=caller.contact, file=caller.prompt(prompt) if prompt else "")
    )
    node.timer(f"farewell:{caller.contact}", FAREWELL_LIMIT_MS)


def say_sorry(node: Node, offer: Offer) -> None:
    """The agent answered and the caller is gone: say so instead of silence; the kill follows when the prompt is over."""
    center = node.plans.of(offer.tenant, "")
    file = center.prompt("caller-left", center.agent_language(offer.agent)) if center else ""
    node.end_after_prompt(offer, Farewell(contact=offer.contact, leg=offer.leg, file=file))


def unsettle(node: Node, caller: Caller) -> None:
    """Nobody knows how the leg is: look at it again in a second."""
    node.asides.pop(caller.contact, None)
    node.rooms.pop(caller.contact, None)
    caller.stage = Stage.UNSETTLED
    caller.unsettled_at_us = node.at_us
    node.timer(f"settle:{caller.contact}", SETTLE_MS)


def leave(node: Node, caller: Caller, state: str, **values: str) -> None:
    """Mark the leg (``cc_state`` leaving or transferred) so that no later owner adopts it as waiting; ``values`` go with it."""
    caller.stage = Stage.LEAVING
    node.set_vars(caller.contact, caller.contact, cc_state=state, **values)
    schedule.cancel(node, caller)
    node.cancel_timer(
        f"outage:{caller.contact}",
        f"part:{caller.contact}",
        f"settle:{caller.contact}",
        f"callback:{caller.contact}",
        f"callback-menu:{caller.contact}",
        f"callback-expected:{caller.contact}",
    )


def watch_outage(node: Node, caller: Caller) -> None:
    """While the bus is down, arm the time at which the caller must not wait any longer for its return."""
    if node.bus_up or caller.stage is not Stage.WAITING:
        node.cancel_timer(f"outage:{caller.contact}")
        return
    waited_ms = (node.at_us - caller.waiting_since_us) // 1000
    node.timer(f"outage:{caller.contact}", max(caller.center.outage_wait_ms - waited_ms, OUTAGE_MIN_MS))
