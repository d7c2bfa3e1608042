"""How a waiting contact leaves the queue without an agent: routing's overflow, the outage of everything, a closed book."""

from __future__ import annotations

from services.queue.core import callback_menu, line_moves, outward, schedule
from services.queue.core.conversation import day_of
from services.queue.core.facts import ContactGone, KeyPressed
from services.queue.core.inputs import (
    AgentFreed,
    ContactClosed,
    ContactOverflowed,
    DigitPressed,
    HangUpWished,
    WrapUpEnded,
)
from services.queue.core.node import Node
from services.queue.core.offers import report_failed
from services.queue.core.outputs import Kill, LeaveMessage, PlayMusic
from services.queue.core.records import Caller, Phase, Stage
from services.queue.core.treatment import (
    FAREWELL_LIMIT_MS,
    announce_waiting,
    back_to_music,
    farewell,
    leave,
    schedule_offer,
    stop_announcement,
    watch_outage,
    welcome,
)

# A finger that slips presses a key twice; the second time must not count in the queue to which the first one led.
KEY_REST_MS = 2_000
REANNOUNCE_LIMIT = 3  # A contact that routing closes again and again is not fought over.


def overflowed(node: Node, event: ContactOverflowed) -> None:
    """Carry out what routing decided when the queue's limit was reached."""
    caller = node.callers.get(event.contact_id)
    if caller is None or caller.stage in (
        Stage.LEAVING,
        Stage.TALKING,
        Stage.ASIDE,
        Stage.CONFERENCE,
        Stage.PARTED,
    ):
        return
    _end_offer(node, caller)
    match event.action:
        case "queue":
            change_queue(node, caller, event.target)
        case "transfer":
            outward.send(node, caller, event.target, "overflow")
        case "voicemail":
            leave_message(node, caller, event.target)
        case "callback":
            callback_menu.way_out(node, caller)
        case _:
            farewell(node, caller, event.target or "sorry")


def _end_offer(node: Node, caller: Caller) -> None:
    """Routing has ended the offer too; whichever of the two entries is read first."""
    running = node.offer_of(caller)
    for offer in {o.offer_id: o for o in (*node.rings_of(caller), running) if o is not None}.values():
        offer.reported = True
        node.close_offer(offer, "ORIGINATOR_CANCEL")
    if caller.stage in (Stage.BRIDGING, Stage.UNSETTLED):
        back_to_music(node, caller)


def change_queue(node: Node, caller: Caller, name: str) -> None:
    """The same wait in another queue: its music, its welcome, its announcements; the place is routing's."""
    plan = caller.center.queue_for(name, caller.leg.entry_point)
    if plan.name == caller.queue.name:
        return
    old, caller.queue = caller.queue, plan
    gone = {"cc_no_answer": ""} if caller.leg.no_answer else {}  # Said of the agent for whom he waited.
    node.set_vars(caller.contact, caller.contact, cc_queue=plan.name, **gone)
    if plan.music != old.music:
        stop_announcement(node, caller)
        node.emit(PlayMusic(contact=caller.contact, leg=caller.contact, music=plan.music))
    caller.menu = None
    welcome(node, caller)
    # Another line, other numbers: what was heard of the former one is no measure for it.
    caller.heard_position = caller.heard_minutes = 0
    schedule.arm(node, caller)
    schedule_offer(node, caller)


def leave_message(node: Node, caller: Caller, prompt: str) -> None:
    """Let the caller speak. FreeSWITCH does it all without us; that a message was left is told by the recording service."""
    if caller.stage is Stage.LEAVING:
        return
    stop_announcement(node, caller)
    leave(node, caller, "message")
    node.emit(
        LeaveMessage(
            contact=caller.contact,
            leg=caller.contact,
            file=caller.prompt(prompt),
            path=message_path(caller.tenant, day_of(node.at_us), caller.contact, caller.queue.name),
            most_s=caller.center.message_most_s,
            silence_s=caller.center.message_silence_s,
            thanks_file=caller.prompt(caller.center.message_thanks),
        )
    )
    node.timer(f"farewell:{caller.contact}", caller.center.message_most_s * 1000 + 2 * FAREWELL_LIMIT_MS)


def message_path(tenant: str, day: str, contact: str, queue: str) -> str:
    """Return where a caller's message is recorded, relative to the recordings folder. ``day`` is ``yyyy/mm/dd``, UTC.

    The name says for which queue it is: whoever finds the file after a crash has nothing else.
    """
    return f"{tenant}/{day}/{contact}.message.{queue}.wav"


def key_pressed(node: Node, event: DigitPressed) -> None:
    """A key of a waiting caller, for routing to act on.

    Whoever rings for the caller stops ringing first, so that nobody answers a caller who has just been given away; once an agent
    has answered, the key is too late.
    """
    caller = node.callers[event.leg]
    if caller.stage is not Stage.WAITING or event.digit not in caller.queue.keys:
        return
    if node.at_us - caller.keyed_at_us < KEY_REST_MS * 1000:
        return
    caller.keyed_at_us = node.at_us
    for offer in {o.offer_id: o for o in (*node.rings_of(caller), node.offer_of(caller)) if o}.values():
        report_failed(node, offer, "withdrawn", "caller_key")
        node.close_offer(offer, "ORIGINATOR_CANCEL")
    node.report(
        caller.tenant,
        KeyPressed(contact_id=caller.contact, key=event.digit, queue=caller.queue.name, at_us=node.at_us),
        "key",
        str(node.at_us),
    )


def outage_limit(node: Node, contact: str) -> None:
    """The bus has been down for longer than this caller may wait: the center's fallback, without asking anybody."""
    caller = node.callers.get(contact)
    if caller is None or node.bus_up or caller.stage is not Stage.WAITING:
        return
    node.line("outage_fallback", warning=True, contact=contact, tenant=caller.tenant, queue=caller.queue.name)
    # Routing will hear of it when the bus is back; until the leg is really over it must not be offered to anybody.
    caller.gone_reported = True
    node.report(
        caller.tenant,
        ContactGone(
            contact_id=contact,
            state="waiting",
            cause="OUTAGE",
            wait_ms=max(0, (node.at_us - caller.waiting_since_us) // 1000),
            at_us=node.at_us,
        ),
        "gone",
        "0",
    )
    if caller.center.outage_transfer:
        outward.send(node, caller, caller.center.outage_transfer, "outage")
    else:
        farewell(node, caller, caller.center.outage_prompt)


def bus_changed(node: Node, *, up: bool) -> None:
    """Arm or disarm the outage limit of everybody who waits."""
    if node.bus_up == up:
        return
    node.bus_up = up
    for caller in node.callers.values():
        watch_outage(node, caller)


def closed(node: Node, event: ContactClosed) -> None:
    """Routing is done with a contact. If its caller still waits here, routing is mistaken and hears of it again."""
    caller = node.callers.get(event.contact_id)
    if caller is None or line_moves.closed_there(node, caller):
        return
    if caller.stage not in (Stage.WAITING, Stage.BRIDGING):
        return
    _end_offer(node, caller)
    if event.outcome == "not_reached":
        farewell(node, caller, "")  # The agent who called them was lost in this moment.
        return
    if event.outcome == "callback" and not caller.called_back:
        callback_menu.taken(node, caller)
        return
    caller.reannounced += 1
    if caller.reannounced > REANNOUNCE_LIMIT:
        node.line("contact_closed_while_waiting", warning=True, contact=caller.contact, outcome=event.outcome)
        farewell(node, caller, "sorry")
    else:
        announce_waiting(node, caller, f"again-{caller.reannounced}")


def wrap_up_ended(node: Node, event: WrapUpEnded) -> None:
    """The agent is free: the leg that still waits for a key goes."""
    for offer in [
        o
        for o in node.offers.values()
        if o.phase is Phase.WRAP_UP and o.agent == event.agent_id and o.contact == event.contact_id
    ]:
        node.close_offer(offer, "NORMAL_CLEARING")


def agent_freed(node: Node, event: AgentFreed) -> None:
    """The agent is idle in routing's book: the next order may come at once, and on another node, which cannot end what is left here.

    Mostly that was said by ``WrapUpEnded``; not after a queue that has no wrap-up, nor to an owner who found the leg after that.
    """
    decided_us = node.at_us - event.age_ms * 1000
    for offer in [
        o
        for o in node.offers.values()
        if o.phase is Phase.WRAP_UP and (o.tenant, o.agent) == (event.tenant, event.agent_id)
    ]:
        if (
            offer.bridged_at_us < decided_us
        ):  # Else the word is older than the conversation: the log is read again.
            node.close_offer(offer, "NORMAL_CLEARING")


def hang_up_wished(node: Node, event: HangUpWished) -> None:
    """A supervisor ends the call; the hangup that follows is handled like any other."""
    caller = node.callers.get(event.contact)
    if caller is not None:
        caller.ended_by_us = True
        node.emit(Kill(contact=caller.contact, leg=caller.contact, cause="NORMAL_CLEARING"))


def farewell_overdue(node: Node, contact: str) -> None:
    """The farewell should long be over."""
    caller = node.callers.get(contact)
    if caller is not None and caller.stage is Stage.LEAVING:
        node.emit(Kill(contact=contact, leg=contact, cause="NORMAL_CLEARING"))
