"""When a waiting caller hears what: the place, the expected wait, adverts and information.

Every moment is worked out from the beginning of the wait, so nothing has to be remembered about it: a new owner of the node finds the same
moments, and which of several messages is next. What was last said of the place and the wait is remembered on the leg (``cc_heard``), because
"only when it got shorter" must hold over a takeover, too. What is due while something else is heard waits for its end.
"""

from __future__ import annotations

from services.queue.core.facts import TreatmentPlayed
from services.queue.core.inputs import PositionKnown
from services.queue.core.node import Node
from services.queue.core.plan import Slot
from services.queue.core.records import Caller, Stage

POSITION, WAIT, MESSAGE = "position", "wait", "message"
AGAIN_MS = 2_000  # Until then something else may be over; also a breath between two announcements.
DEAF_MS = 120_000  # An announcement whose end was not heard of for so long is over.


def arm(node: Node, caller: Caller) -> None:
    """Arm the next moment of everything in the queue's schedule, and nothing else."""
    cancel(node, caller)
    for what in caller.queue.schedule:
        _arm(node, caller, what)


def cancel(node: Node, caller: Caller) -> None:
    """Disarm everything, also what a queue that the caller has left had armed."""
    node.cancel_timer(*(_timer(caller.contact, what) for what in sorted(caller.armed)))
    caller.armed.clear()


def _timer(contact: str, what: str) -> str:
    return f"say:{contact}/{what}"


def _waited_ms(node: Node, caller: Caller) -> int:
    return max(0, (node.at_us - caller.waiting_since_us) // 1000)


def _arm(node: Node, caller: Caller, what: str, after_ms: int = 0) -> None:
    slot = caller.queue.schedule[what]
    after = after_ms or until_next(slot, _waited_ms(node, caller))
    if after:
        caller.armed.add(what)
        node.timer(_timer(caller.contact, what), after)


def until_next(slot: Slot, waited_ms: int) -> int:
    """Return the ms to the next moment that is still to come; 0 when there is none."""
    if waited_ms < slot.first_ms:
        return slot.first_ms - waited_ms
    return slot.every_ms - (waited_ms - slot.first_ms) % slot.every_ms if slot.every_ms else 0


def turn(slot: Slot, waited_ms: int) -> int:
    """Return which of the moments this is, from 0 on."""
    return max(0, waited_ms - slot.first_ms) // slot.every_ms if slot.every_ms else 0


def due(node: Node, key: str) -> None:
    """A moment of the schedule has come. Nothing is said to somebody who does not wait, or while the answer could not be known."""
    contact, _, what = key.partition("/")
    caller = node.callers.get(contact)
    if caller is None or caller.stage is Stage.LEAVING or what not in caller.queue.schedule:
        return
    caller.armed.discard(what)
    if caller.stage is Stage.WAITING and (_hears(node, caller) or caller.menu):
        _arm(node, caller, what, AGAIN_MS)
        return
    _arm(node, caller, what)
    if caller.stage is not Stage.WAITING:
        return
    if what in (POSITION, WAIT):
        if node.bus_up:
            node.ask_position(caller, what)
        return
    slot = caller.queue.schedule[what]
    prompt = slot.prompts[turn(slot, _waited_ms(node, caller)) % len(slot.prompts)]
    if file := caller.prompt(prompt):
        caller.announce(node, file)
        _report(
            node, caller, TreatmentPlayed(contact_id=contact, what=MESSAGE, prompt=prompt, at_us=node.at_us)
        )


def _hears(node: Node, caller: Caller) -> bool:
    return bool(caller.announcing) and node.at_us - caller.announced_at_us < DEAF_MS * 1000


def position_known(node: Node, event: PositionKnown) -> None:
    """Say what routing knows, when it is worth saying."""
    caller = node.callers.get(event.contact)
    if caller is None or caller.stage is not Stage.WAITING or not event.file or event.position < 1:
        return
    slot = caller.queue.schedule.get(event.what)
    if slot is None or not _worth_saying(caller, slot, event):
        return
    if _hears(node, caller) or caller.menu:
        _arm(node, caller, event.what, AGAIN_MS)
        return
    if event.what == POSITION:
        caller.heard_position = event.position
    else:
        caller.heard_minutes = event.minutes
    caller.announce(node, event.file)
    node.set_vars(caller.contact, caller.contact, cc_heard=f"{caller.heard_position}/{caller.heard_minutes}")
    _report(
        node,
        caller,
        TreatmentPlayed(
            contact_id=caller.contact,
            what=event.what,
            position=event.position,
            expected_wait_ms=event.wait_ms,
            at_us=node.at_us,
        ),
    )


def _worth_saying(caller: Caller, slot: Slot, event: PositionKnown) -> bool:
    if event.what == POSITION:
        if slot.up_to and event.position > slot.up_to:
            return False
        return not (slot.only_shorter and 0 < caller.heard_position <= event.position)
    if event.minutes < 1 or 0 < caller.heard_minutes < event.minutes:
        return False  # Whoever was promised five minutes is not told ten.
    return not (slot.only_shorter and caller.heard_minutes == event.minutes)


def _report(node: Node, caller: Caller, fact: TreatmentPlayed) -> None:
    node.report(caller.tenant, fact, fact.what, str(node.at_us))


def parse_heard(text: str) -> tuple[int, int]:
    """Return place and minutes from ``cc_heard``; zeros for what is not there or is no number."""
    position, _, minutes = text.partition("/")
    return _number(position), _number(minutes)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
