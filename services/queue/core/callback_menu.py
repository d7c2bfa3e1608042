"""A waiting caller asks to be called back: the offer, the number, its confirmation.

All of it goes on over the music of the wait, by announcements and keys, so the caller keeps the place meanwhile, an agent who becomes
free is bridged in the middle of it, and a dead queue process costs the caller no more than pressing the key again.

The caller is let go by routing's log only: ``CallbackAccepted`` is reported, and ``ContactClosed`` with the outcome ``callback`` is the
proof that the place is kept. While the bus is away the caller simply waits on.

=========  ==================================================================================
CONFIRM    a number was read out: 1 takes it, 2 asks for another one, * goes on waiting
ENTER      a number is keyed, # ends it
TAKEN      reported; routing has not answered yet
=========  ==================================================================================
"""

from __future__ import annotations

import re

from services.queue.core import schedule
from services.queue.core.facts import CallbackAccepted, TreatmentPlayed
from services.queue.core.inputs import DigitPressed, PositionKnown
from services.queue.core.node import Node
from services.queue.core.plan import CallbackPlan
from services.queue.core.records import Caller, Menu, Stage
from services.queue.core.schedule import AGAIN_MS, DEAF_MS
from services.queue.core.treatment import farewell, stop_announcement

IDLE_MS = (
    20_000  # A menu in which nobody has pressed anything for so long; the longest announcement takes 12 s.
)
ANSWER_MS = 10_000  # So long routing may take: an election of the bus takes 4 to 11 s.
LOOK_MS = 30_000  # The expected wait is looked at so often.
EXPECTED = "callback"  # What AskPosition is for.
TRIES = 3  # Numbers that cannot be called, after which the menu ends.
DIGITS_MAX = 24
_OWN = re.compile(r"\+?[0-9]{3,24}")
FILE = "file_string://"


def offer_due(node: Node, contact: str) -> None:
    """Tell of it, unless the caller is being connected; what is due while something else is heard waits for its end."""
    caller = node.callers.get(contact)
    if caller is None or caller.stage is Stage.LEAVING or caller.queue.callback is None:
        return
    busy = caller.stage is not Stage.WAITING or caller.menu is not None
    if not busy and caller.announcing and node.at_us - caller.announced_at_us < DEAF_MS * 1000:
        node.timer(f"callback:{contact}", AGAIN_MS)
        return
    if caller.queue.callback.every_ms:
        node.timer(f"callback:{contact}", caller.queue.callback.every_ms)
    file = caller.prompt("callback-offer")
    if busy or not file or not node.bus_up:
        return
    caller.callback_told = True
    caller.announce(node, file)
    node.report(
        caller.tenant,
        TreatmentPlayed(contact_id=contact, what="callback_offer", at_us=node.at_us),
        "callback-offer",
        str(node.at_us),
    )


def look_at_wait(node: Node, contact: str) -> None:
    """Ask routing how long the wait will be, until the caller has been told of callbacks."""
    caller = node.callers.get(contact)
    if caller is None or caller.stage is Stage.LEAVING or caller.callback_told:
        return
    node.timer(f"callback-expected:{contact}", LOOK_MS)
    if caller.stage is Stage.WAITING and node.bus_up:
        node.ask_position(caller, EXPECTED)


def wait_known(node: Node, event: PositionKnown) -> None:
    """Tell of callbacks when the wait will be long; 0 is not known."""
    caller = node.callers.get(event.contact)
    plan = caller.queue.callback if caller is not None else None
    if caller is None or plan is None or caller.callback_told or not plan.expected_ms:
        return
    if event.wait_ms >= plan.expected_ms:
        offer_due(node, event.contact)


def way_out(node: Node, caller: Caller) -> None:
    """A limit of the queue leads to a callback: the caller takes one, or hears that we are sorry."""
    caller.leaving = True
    caller.offer_id = ""
    schedule.cancel(node, caller)
    node.cancel_timer(f"callback:{caller.contact}", f"callback-expected:{caller.contact}")
    if caller.queue.callback is None:
        farewell(node, caller, "sorry")
        return
    _begin(node, caller, caller.queue.callback)


def wished(node: Node, caller: Caller) -> None:
    """The caller comes in with the wish, from a menu that offered it. Who changes their mind waits, as anybody."""
    if caller.queue.callback is not None and caller.stage is Stage.WAITING and not caller.called_back:
        _begin(node, caller, caller.queue.callback)


def key(node: Node, caller: Caller, event: DigitPressed) -> bool:
    """A key of a caller; whether it was meant for this."""
    plan = caller.queue.callback
    if plan is None or caller.stage is not Stage.WAITING or caller.called_back:
        return False
    menu = caller.menu
    if menu is None:
        if event.digit != plan.key:
            return False
        _begin(node, caller, plan)
        return True
    node.timer(f"callback-menu:{caller.contact}", IDLE_MS)
    if menu.step == "confirm":
        _confirm(node, caller, plan, menu, event.digit)
    elif menu.step == "enter":
        _enter(node, caller, plan, menu, event.digit)
    return True


def _begin(node: Node, caller: Caller, plan: CallbackPlan) -> None:
    own = caller.leg.ani
    usable = bool(_OWN.fullmatch(own)) and plan.may_call(own, caller.center.do_not_call, own=True)
    if not usable and not plan.another_number:
        _say(node, caller, "callback-refused")
        if caller.leaving:
            farewell(node, caller, "sorry")
        return
    caller.menu = Menu(step="confirm" if usable else "enter", number=own if usable else "")
    node.timer(f"callback-menu:{caller.contact}", IDLE_MS)
    if usable:
        _read_back(node, caller, own)
    else:
        _say(node, caller, "callback-enter")


def _confirm(node: Node, caller: Caller, plan: CallbackPlan, menu: Menu, digit: str) -> None:
    if digit == "1":
        menu.step = "taken"
        stop_announcement(node, caller)
        node.timer(f"callback-menu:{caller.contact}", ANSWER_MS)
        node.report(
            caller.tenant,
            CallbackAccepted(
                contact_id=caller.contact,
                number=menu.number,
                own_number=menu.number == caller.leg.ani,
                at_us=node.at_us,
            ),
            "callback-accepted",
            str(node.at_us),
        )
    elif digit == "2" and plan.another_number:
        menu.step, menu.number = "enter", ""
        _say(node, caller, "callback-enter")
    elif digit == "*":
        end(node, caller)


def _enter(node: Node, caller: Caller, plan: CallbackPlan, menu: Menu, digit: str) -> None:
    stop_announcement(node, caller)
    if digit == "*":
        end(node, caller)
        return
    if digit != "#":
        menu.number += digit
        if len(menu.number) < DIGITS_MAX:
            return
    own = menu.number == caller.leg.ani
    if _OWN.fullmatch(menu.number) and plan.may_call(menu.number, caller.center.do_not_call, own=own):
        menu.step = "confirm"
        _read_back(node, caller, menu.number)
        return
    menu.number = ""
    menu.tries += 1
    if menu.tries >= TRIES:
        _say(node, caller, "callback-refused")
        end(node, caller)
    else:
        _say(node, caller, "callback-refused", "callback-enter")


def overdue(node: Node, contact: str) -> None:
    """Nothing was pressed, or routing has not answered: the caller waits on."""
    caller = node.callers.get(contact)
    if caller is not None and caller.menu is not None:
        end(node, caller)


def end(node: Node, caller: Caller) -> None:
    """Leave the menu: back to waiting, or to the farewell where the queue's limit was reached."""
    caller.menu = None
    node.cancel_timer(f"callback-menu:{caller.contact}")
    if caller.leaving and caller.stage is Stage.WAITING:
        farewell(node, caller, "sorry")


def taken(node: Node, caller: Caller) -> None:
    """Routing keeps the place."""
    caller.menu = None
    node.cancel_timer(f"callback-menu:{caller.contact}")
    farewell(node, caller, "callback-taken")


def _say(node: Node, caller: Caller, *prompts: str) -> None:
    files = [file for name in prompts if (file := caller.prompt(name))]
    if files:
        caller.announce(node, files[0] if len(files) == 1 else FILE + "!".join(files))


def _read_back(node: Node, caller: Caller, number: str) -> None:
    _say(
        node,
        caller,
        "callback-number",
        *(f"digits/{digit}" for digit in number if digit.isdigit()),
        "callback-confirm",
    )
